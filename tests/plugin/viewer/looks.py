"""What is seen on a canvas: letters at its edges and a red marker, in rendered pixels."""

import numpy as np

LETTERS = "RLAPSI"
EDGES = ("left", "right", "top", "bottom")


def edge_crops(shot):
    """The pixels around each letter."""
    height, width = shot.shape[:2]
    y, x = slice(height // 2 - 25, height // 2 + 25), slice(width // 2 - 25, width // 2 + 25)
    return {"left": shot[y, :35], "right": shot[y, -35:], "top": shot[:40, x], "bottom": shot[-45:, x]}


def templates(model, picture):
    """How each letter looks at each edge: napari's own text, without our deciding which. picture : makes one
    of the canvas of `model`.
    """
    looks = {}
    overlays = model.canvas.overlays
    before = {edge: overlays[f"ctseg_{edge}"].text for edge in EDGES}
    for letter in LETTERS:
        for edge in EDGES:
            overlays[f"ctseg_{edge}"].text = letter
        for edge, crop in edge_crops(picture()).items():
            looks[edge, letter] = crop
    for edge, text in before.items():
        overlays[f"ctseg_{edge}"].text = text
    return looks


def letters_seen(shot, looks):
    """left, right, top, bottom: the letter that looks like it, far more than the next (text may be off by a
    part of a pixel).
    """
    seen = ""
    for edge in EDGES:
        crop = edge_crops(shot)[edge]
        off = {letter: np.abs(crop - looks[edge, letter]).mean() for letter in LETTERS}
        best, second = sorted(off, key=off.get)[:2]
        assert off[second] > 2 * off[best] + 2, f"no letter is seen clearly at the {edge}: {off}"
        seen += best
    return seen


def corner_of(shot, place):
    """(left|right, top|bottom): where a (row, column) of a picture lies, against its middle."""
    height, width = shot.shape[:2]
    return "left" if place[1] < width / 2 else "right", "top" if place[0] < height / 2 else "bottom"
