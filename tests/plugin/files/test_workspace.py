"""The window as it is laid out: on the screen, with names that can be read in every theme."""

import pytest
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QTabBar

from napari_ctseg import parts
from napari_ctseg.files import view


def test_a_window_that_is_larger_than_the_screen_is_made_as_large_as_it(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    room = window.screen().availableGeometry()
    window.resize(room.width() + 500, room.height() + 300)
    view.fit_screen(viewer)
    assert (
        window.width() <= room.width() and window.height() < room.height() and window.pos() == room.topLeft()
    )
    window.resize(900, 700)
    view.fit_screen(viewer)
    assert (window.width(), window.height()) == (900, 700)


def test_the_names_of_the_docks_are_never_cut_off(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    view.open_docks(viewer)
    window = viewer.window._qt_window

    def bars():
        return [bar for bar in window.findChildren(QTabBar) if bar.count() == len(view.DOCKS)]

    qtbot.waitUntil(lambda: bool(bars()) and bars()[0].width() >= bars()[0].sizeHint().width())
    window.resize(window.minimumSizeHint())
    bar = bars()[0]
    qtbot.waitUntil(lambda: bar.width() >= bar.sizeHint().width())
    for k in range(bar.count()):
        assert bar.tabRect(k).width() >= bar.fontMetrics().horizontalAdvance(
            bar.tabText(k).replace("&&", "&")
        )


def luminance(colour):
    """Of WCAG 2, 0 to 1."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (colour.redF(), colour.greenF(), colour.blueF())
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_remarks_can_be_read_in_every_theme_also_after_it_was_changed(make_napari_viewer, theme):
    viewer = make_napari_viewer(show=True)
    viewer.theme = "light" if theme == "dark" else "dark"
    remark = parts.remark()
    remark.setText("Not contoured in the truth and left out: Larynx.")
    viewer.window.add_dock_widget(remark, name="remark")
    viewer.theme = theme
    picture = remark.grab().toImage()
    shades = sorted(
        luminance(QColor(picture.pixelColor(x, y)))
        for x in range(picture.width())
        for y in range(picture.height())
    )
    assert (shades[-1] + 0.05) / (shades[0] + 0.05) >= 4.5  # contrast for text, WCAG 2 AA
