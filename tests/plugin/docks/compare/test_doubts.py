"""Doubts about small truths whose faults are put in by hand."""

import numpy as np

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.compare.components.doubts import truth_doubts
from napari_ctseg.viewer.pairs import count

SHAPE, SPACING = (9, 20, 24), (3.0, 1.5, 2.0)
FROM_THE_LEFT = np.diag([-1.0, 1.0, 1.0])  # stored from left to right: x is turned in the viewer


def doubts(array, names):
    labels = Labels.from_names(names)
    geometry = Geometry.from_parts(SHAPE, SPACING, (0.0, 0.0, 0.0), FROM_THE_LEFT)
    truth = LabelMap(array, geometry, labels)
    return truth_doubts(count(LabelMap(array.copy(), geometry, labels), truth))


def kidneys():
    """1 on the patient's left, 2 on the right."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:7, 5:15, 2:8] = 1
    array[2:7, 5:15, 15:22] = 2
    return array


def test_a_sound_truth_raises_no_doubt():
    assert doubts(kidneys(), {1: "kidney_left", 2: "kidney_right"}) == ()
    assert doubts(kidneys(), {1: "bright spot", 2: "left over"}) == ()


def test_exchanged_sides_are_named():
    (found,) = doubts(kidneys(), {1: "Right kidney", 2: "Left kidney"})
    assert "“Left kidney” lies to the right of “Right kidney”" in found


def test_islands_are_counted_and_large_pieces_are_none():
    array = kidneys()
    array[0, 0, 0] = array[8, 19, 23] = 1
    array[3:6, 16:20, 2:8] = 2
    assert doubts(array, {1: "kidney", 2: "lesion"}) == ("“kidney” has 2 small islands in the truth.",)


def test_an_empty_label_is_named():
    assert doubts(kidneys(), {1: "a", 2: "b", 5: "spleen"}) == ("“spleen” is empty in the truth.",)
