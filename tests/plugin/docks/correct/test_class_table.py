"""The classes and steps of the Correct & export dock can be read in every theme."""

import numpy as np
import pytest

from ctseg_imaging.volume import Labels
from napari_ctseg.docks.correct import words
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.docks.correct.widgets.class_table import NAME, VOLUME, StepList
from napari_ctseg.viewer.showing import show_labels
from tests.plugin.docks.correct.test_correct import mask, with_image

LEGIBLE = 100  # of 255, between the darkest and the lightest pixel of a cell


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_class_can_be_read_in_every_theme(make_napari_viewer, theme):
    viewer = with_image(make_napari_viewer(show=True))
    viewer.theme = theme
    show_labels(viewer, mask(), "mask", role="edited")
    dock = CorrectDock(viewer)  # draws its rows before it has the window's style
    viewer.window.add_dock_widget(dock, name="Correct & export")
    dock.controller.brush.select(3)
    picture = dock.classes.table.viewport().grab().toImage()
    for k in range(dock.classes.table.rowCount()):
        for column in (NAME, VOLUME):
            cell = dock.classes.table.visualItemRect(dock.classes.table.item(k, column))
            left = cell.left() + 20 if column == NAME else cell.left()  # next to the colour
            greys = [
                picture.pixelColor(x, y).lightness()
                for x in range(left, cell.right())
                for y in range(cell.top(), cell.bottom())
            ]
            assert np.ptp(greys) > LEGIBLE, (theme, k, column)
    marked = {index.row() for index in dock.classes.table.selectionModel().selectedIndexes()}
    assert marked == {1}


def test_a_step_names_the_class(qapp):
    labels = Labels.from_names({1: "liver"})
    assert words.step({"operation": "paint", "label": 1, "slice": 4}, labels) == "paint, liver, slice 5"
    assert words.step({"operation": "fill", "label": 0, "slice": 0}, labels) == "fill, background, slice 1"
    assert words.step({"operation": "erase", "label": 1, "slice": 4}, labels) == "erase, slice 5"
    steps = StepList()
    steps.draw(("paint, liver, slice 5", "erase, slice 5"), 1)
    assert [steps.item(k).font().italic() for k in range(3)] == [
        False,
        False,
        True,
    ] and steps.currentRow() == 1


def test_volumes_have_at_most_four_digits_before_the_column_is_full():
    from napari_ctseg.docks.correct.widgets.class_table import _volume

    assert [_volume(ml) for ml in (0, 12.34, 999.94, 999.96, 1390.2)] == [
        "0.0",
        "12.3",
        "999.9",
        "1000",
        "1390",
    ]
