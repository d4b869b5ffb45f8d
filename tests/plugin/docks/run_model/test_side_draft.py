"""The draft of a side file: what it becomes, and which field a fault names."""

from dataclasses import replace

import pytest

from napari_ctseg.docks.run_model.library.library import InstalledLibrary
from napari_ctseg.docks.run_model.library.side_draft import ChannelRow, MapRow, SideDraft, draft_of, side_of

TWO_WINDOWS = SideDraft(
    "abdo",
    "CT",
    (
        ChannelRow("soft", "1", "-160", "240", "range"),
        ChannelRow("bone", "1", "-500", "1300,5", "fixed", "400", "900"),
    ),
    True,
    ("96", "192", "192"),
    "pri",
    "linear",
    ("", "", ""),
    ("", "", ""),
    "logits",
    True,
    (MapRow("0", ""), MapRow("0", "body"), MapRow("1", "liver"), MapRow("1", ""), MapRow("", "")),
    '{"align": "centres", "output": {"index": 0}}',
)


def test_a_full_draft_is_the_side_file_it_says():
    side, faults = side_of(TWO_WINDOWS)
    assert faults == {} and InstalledLibrary().faults(side) == {}
    assert side["output"] == {"kind": "logits", "exclusive": True, "classes": [0, 0, 1, 1, None], "index": 0}
    assert (
        side["labels"] == {"1": "liver"}
        and side["size"] == [96, 192, 192]
        and side["orientation"] == "PRI"
        and "spacing" not in side
    )
    assert side["channels"][1] == {
        "name": "bone",
        "source": 0,
        "normalise": "fixed",
        "clip": [-500, 1300.5],
        "shift": 400,
        "scale": 900,
    }
    assert side["align"] == "centres"


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"name": " "}, "name", "required"),
        ({"sides": ("", "", "")}, "size", "required"),
        ({"sides": ("9", "x", "9")}, "size", '"x"'),
        ({"maps": (MapRow("0"), MapRow("2", ""))}, "labels", "label 2"),
        ({"maps": (MapRow("0"), MapRow("two", "a"))}, "output.classes", "two"),
        ({"channels": (ChannelRow("CT", "1", "", "", "range"),)}, "channels.0", "window"),
        ({"further": "[1]"}, "further", "JSON"),
        ({"orientation": "SSL"}, "orientation", "different axes"),
        ({"further": '{"nonsense": 1}'}, "nonsense", ""),
    ],
)
def test_a_fault_names_its_field(change, field, expected):
    side, faults = side_of(replace(TWO_WINDOWS, **change))
    faults = {**InstalledLibrary().faults(side), **faults}
    assert field in faults and expected in faults[field], faults


def test_a_guess_fills_the_draft_and_what_has_no_field_is_kept():
    guess = {
        "name": "n",
        "layout": "NDHWC",
        "size": [None, 64, 64],
        "channels": [{}, {"clip": [0, 5], "normalise": "range"}],
        "output": {"kind": "probabilities", "classes": [0, 3], "name": "maps"},
        "labels": {"3": "spleen"},
    }
    draft = draft_of(guess)
    assert (
        draft.sides == ("", "64", "64")
        and draft.by_size
        and draft.maps == (MapRow("0", "background"), MapRow("3", "spleen"))
    )
    side, faults = side_of(draft)
    assert (
        faults == {}
        and side["size"] == [None, 64, 64]
        and side["layout"] == "NDHWC"
        and side["output"]["name"] == "maps"
    )
    assert InstalledLibrary().faults(side) == {}
