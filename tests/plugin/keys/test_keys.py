"""The table of keys, what is bound in the real viewer, and the list that a user reads."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractButton, QMenu

from docs.site.keys_page import PAGE, keys_page
from napari_ctseg.docks.compare.view import CompareDock
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.docks.measure.view import MeasureDock
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.docks.window.view import WindowDock
from napari_ctseg.keys import Group, Place, table
from napari_ctseg.keys.napari_keys import ACTIONS, by_default
from napari_ctseg.keys.view import KeysDock
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.showing import show_labels, show_volume

ROOT = Path(__file__).resolve().parents[3]
LAYER_PLACES = {Place.IMAGE: Image, Place.MEASUREMENTS: Shapes, Place.STROKES: Labels}


def napari_key(key):
    """As napari compares keys."""
    return coerce_keybinding(key.replace("+", "-").replace("Ctrl", "Control").replace("Esc", "Escape"))


def keys_of(*gestures):
    return [napari_key(key) for gesture in gestures for key in gesture.keys]


def at(place):
    return [gesture for gesture in table.TABLE if gesture.place is place]


@pytest.mark.parametrize("place", Place)
def test_no_two_actions_share_a_key_at_the_same_time(place):
    anywhere = [] if place in (Place.WINDOW, Place.SERIES) else at(Place.WINDOW)
    keys = keys_of(*at(place), *anywhere)
    assert len(keys) == len(set(keys))


def test_the_table_has_all_gestures_of_its_module():
    named = [value for value in vars(table).values() if isinstance(value, type(table.HELP))]
    assert [one for one in table.TABLE if one.keys] == named
    assert [one.group for one in table.TABLE] == sorted((g.group for g in table.TABLE), key=list(Group).index)


def test_keys_in_the_window_are_free_in_napari(make_napari_viewer):
    """napari's menus, viewers and layers have other keys."""
    viewer = make_napari_viewer(show=True)
    taken = {key for kind in (ViewerModel, Image, Labels, Shapes) for key in kind.class_keymap}
    menus = [action for menu in viewer.window._qt_window.findChildren(QMenu) for action in menu.actions()]
    in_menus = {action.shortcut().toString() for action in menus} - {""}
    assert "Ctrl+," in in_menus and napari_key("Ctrl+E") in taken
    for gesture in at(Place.WINDOW):
        assert not taken & set(keys_of(gesture)), gesture
        assert not in_menus & {QKeySequence(key).toString() for key in gesture.keys}, gesture


@pytest.mark.parametrize("place", LAYER_PLACES)
def test_a_key_that_napari_has_for_the_layer_says_what_is_lost(place):
    taken = set(LAYER_PLACES[place].class_keymap)
    for gesture in at(place):
        assert bool(taken & set(keys_of(gesture))) == bool(gesture.instead_of), gesture


def test_every_key_is_bound_and_every_binding_is_in_the_table(make_plugin_viewer, volume, label_map):
    viewer = make_plugin_viewer(show=True)
    image = show_volume(viewer, volume, "ct")
    show_labels(viewer, label_map, "mask", role="edited")
    docks = [kind(viewer) for kind in (WindowDock, RunModelDock, CompareDock, MeasureDock, CorrectDock)]
    for dock in docks:
        viewer.window.add_dock_widget(dock)
    docks[-1].controller.growing.begin()
    strokes = viewer.layers.selection.active
    docks[3].controller.arm(docks[3].controller.sheet.tool or next(iter(docks[3].drawing.tools.buttons)))
    measured = docks[3].controller.sheet.layer.layer
    buttons = [button for dock in docks for button in dock.findChildren(QAbstractButton)]
    in_qt = {button.shortcut().toString() for button in buttons} - {""}
    window = [gesture for gesture in at(Place.WINDOW) if gesture.group is not Group.RUN]
    on_buttons = [gesture for gesture in at(Place.WINDOW) if gesture.group is Group.RUN]
    assert in_qt == {QKeySequence(gesture.keys[0]).toString() for gesture in on_buttons}
    assert bound(unwrapped(viewer)) == set(keys_of(*window, table.PRESET))
    for layer, place in ((image, Place.IMAGE), (measured, Place.MEASUREMENTS), (strokes, Place.STROKES)):
        assert bound(layer) == set(keys_of(*at(place))), place
    for dock in docks:
        dock.closed()
    assert bound(unwrapped(viewer)) == set(keys_of(table.HELP, table.LAYOUT, table.MOUSE))


def bound(target):
    """Keys of this viewer or layer alone that do something."""
    return {key for key, act in target.keymap.items() if callable(act)}


def test_no_file_binds_a_key_by_itself():
    """`keys` has the table and `bind`; buttons take their shortcut from the table."""
    wrong = re.compile(r"\.bind_key\(|QShortcut\(|setShortcut\((?!keys\.)|Qt\.Key\.Key_|event\.key\(\)")
    for path in (ROOT / "napari_ctseg").rglob("*.py"):
        if path.parent.name != "keys" and "keys/widgets" not in path.as_posix():
            assert wrong.search(path.read_text(encoding="utf-8")) is None, path


def test_keys_without_napari_are_used_by_name():
    """Those of tables and lists reach Qt, not napari; each is named in one file."""
    text = "\n".join(path.read_text() for path in (ROOT / "napari_ctseg").rglob("*.py"))
    for name in ("REMOVE_ROW", "GO_TO_ROW", "OPEN_SERIES"):
        assert f"is_pressed(event, keys.{name})" in text


def test_the_page_of_the_documentation_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == keys_page()
    for gesture in (*table.TABLE, *by_default()):
        assert f" {gesture.does} |" in keys_page()
    assert len(by_default()) == len(ACTIONS) + 2  # every action has a key in napari as it comes


def test_f1_shows_the_list_with_a_filter_and_a_page_to_print(make_plugin_viewer, volume, qtbot, tmp_path):
    viewer = make_plugin_viewer(show=True)
    show_volume(viewer, volume, "ct")
    canvas = unwrapped(viewer).window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_F1)
    dock = unwrapped(viewer).window._qt_window.findChild(KeysDock)
    assert dock.isVisible()
    text = dock.list.toPlainText()
    for gesture in (*table.TABLE, *by_default()):
        assert gesture.name in text and gesture.does in text
    headings = [name for name, _ in groupby(gesture.group for gesture in table.TABLE)]
    assert [line for line in text.splitlines() if line in list(Group)] == [*headings, Group.NAPARI]
    dock.filter.setText("missed COMPARE")
    assert "Shift+N" in dock.list.toPlainText() and "Ruler" not in dock.list.toPlainText()
    dock.filter.setText("no such key")
    assert "No key matches." in dock.list.toPlainText()
    dock.save_as(str(tmp_path / "keys.html"))
    page = (tmp_path / "keys.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == len(table.TABLE) + len(by_default()) and "http" not in page
    dock.save_as(str(tmp_path / "none" / "keys.html"))
    assert "none" in dock.message.text()
    qtbot.keyClick(canvas, Qt.Key.Key_F1)
    assert len(unwrapped(viewer).window._qt_window.findChildren(KeysDock)) == 1
