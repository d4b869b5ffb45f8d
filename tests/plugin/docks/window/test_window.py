import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume, Window
from napari_ctseg.docks.window.controller import WindowController
from napari_ctseg.docks.window.state import WindowKind
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.showing import show_labels, show_volume


class FakeView:
    def show(self, state):
        self.state = state


@pytest.fixture
def preferences(tmp_path):
    return Preferences(tmp_path / "preferences.json")


@pytest.fixture
def wide():
    """A CT from -1000 to 1500 HU with a window of its own in its header."""
    geometry = Geometry.from_parts((5, 6, 7), (3, 2, 1))
    array = np.linspace(-1000, 1500, 210).astype(np.int16).reshape(5, 6, 7)
    return Volume(array, geometry, modality="CT", windows=(Window("ABDOMEN SOFT", 320, 60),))


def controller_for(preferences, *volumes):
    viewer = ViewerModel()
    layers = [show_volume(viewer, volume, f"image {n}") for n, volume in enumerate(volumes)]
    return WindowController(FakeView(), viewer, preferences), viewer, layers


def test_the_files_window_comes_first_then_nine_presets_with_keys_then_quantiles(preferences, wide):
    controller, _, _ = controller_for(preferences, wide)
    presets = controller.view.state.presets
    assert presets[0].kind is WindowKind.FILE and presets[0].name == "ABDOMEN SOFT"
    assert [(p.key, p.name) for p in presets[1:10]] == [
        ("1", "brain"),
        ("2", "subdural"),
        ("3", "stroke"),
        ("4", "bone"),
        ("5", "temporal bone"),
        ("6", "lung"),
        ("7", "mediastinum"),
        ("8", "abdomen"),
        ("9", "liver"),
    ]
    assert [p.kind for p in presets[10:]] == [WindowKind.QUANTILE] * 2


def test_a_click_sets_the_contrast_limits(preferences, wide):
    controller, _, [layer] = controller_for(preferences, wide)
    controller.apply(WindowKind.PRESET, "lung")
    assert tuple(layer.contrast_limits) == (
        -1350,
        150,
    )  # 1500 wide around -600, wider than the volume reaches
    state = controller.view.state
    assert (state.width, state.level, state.current) == (1500, -600, (WindowKind.PRESET, "lung"))


def test_the_sliders_and_naparis_limits_are_one(preferences, wide):
    controller, _, [layer] = controller_for(preferences, wide)
    layer.contrast_limits = (-45, 105)
    assert (controller.view.state.width, controller.view.state.level) == (150, 30)
    assert controller.view.state.current == (WindowKind.PRESET, "liver")
    controller.set_window(100, 50)
    assert tuple(layer.contrast_limits) == (0, 100) and controller.view.state.current is None


def test_an_mr_has_no_ct_presets_and_its_quantiles_have_keys(preferences):
    values = np.arange(1, 1001, dtype=np.uint16).reshape(10, 10, 10)
    controller, _, [layer] = controller_for(
        preferences, Volume(values, Geometry.from_parts((10, 10, 10), (1, 1, 1)), modality="MR")
    )
    assert [(p.kind, p.key) for p in controller.view.state.presets] == [
        (WindowKind.QUANTILE, "1"),
        (WindowKind.QUANTILE, "2"),
    ]
    controller.press("2")
    low, high = layer.contrast_limits
    assert low == pytest.approx(600.4) and high == pytest.approx(
        990.01
    )  # ranks 0.6 * 999 + 1 and 0.99 * 999 + 1


def test_all_images_means_those_of_the_same_kind(preferences, wide):
    map_of_a_model = Volume(np.random.default_rng(0).random((5, 6, 7)).astype(np.float32), wide.geometry)
    controller, viewer, [first, second, edges] = controller_for(preferences, wide, wide, map_of_a_model)
    viewer.layers.selection.active = first
    before = tuple(edges.contrast_limits)
    controller.set_all_images(True)
    controller.apply(WindowKind.PRESET, "bone")
    assert tuple(first.contrast_limits) == tuple(second.contrast_limits) == (-500, 1300)
    assert tuple(edges.contrast_limits) == before


def test_a_labels_layer_being_active_keeps_the_image(preferences, volume, label_map):
    controller, viewer, [layer] = controller_for(preferences, volume)
    show_labels(viewer, label_map, "mask")
    assert controller.view.state.image == layer.name
    viewer.layers.remove(layer)
    assert controller.view.state.image is None


def test_own_presets_are_kept_renamed_keyed_and_removed(preferences, wide):
    controller, _, _ = controller_for(preferences, wide)
    controller.set_window(333, 44)
    controller.keep_own("contrast", "4")
    again, _, [other] = controller_for(preferences, wide)
    assert [(p.name, p.key, p.window.width) for p in again.view.state.of(WindowKind.OWN)] == [
        ("contrast", "4", 333)
    ]
    assert next(p for p in again.view.state.presets if p.name == "bone").key == ""  # the user's own took it
    again.press("4")
    assert tuple(other.contrast_limits) == (44 - 166.5, 44 + 166.5)
    again.rename_own("contrast", "portal")
    again.key_own("portal", "")
    assert [(p.name, p.key) for p in again.view.state.of(WindowKind.OWN)] == [("portal", "")]
    assert next(p for p in again.view.state.presets if p.name == "bone").key == "4"
    again.remove_own("portal")
    assert not controller_for(preferences, wide)[0].view.state.of(WindowKind.OWN)


def test_a_window_without_a_name_is_not_kept(preferences, wide):
    controller, _, _ = controller_for(preferences, wide)
    controller.keep_own("  ")
    assert not controller.view.state.of(WindowKind.OWN) and "name" in controller.view.state.message


def test_settings_that_cannot_be_kept_are_told(wide, tmp_path):
    (tmp_path / "file").write_text("")
    controller, _, _ = controller_for(Preferences(tmp_path / "file" / "preferences.json"), wide)
    assert "cannot be read" in controller.view.state.message
    controller.set_all_images(True)
    assert controller.view.state.all_images and "cannot be read" in controller.view.state.message


def test_a_damaged_settings_file_is_put_aside(tmp_path, wide):
    (tmp_path / "preferences.json").write_text("{broken")
    controller, _, _ = controller_for(Preferences(tmp_path / "preferences.json"), wide)
    controller.set_number_keys(False)
    assert (tmp_path / "preferences.json.damaged").read_text() == "{broken"
    assert Preferences(tmp_path / "preferences.json").get("window", "number_keys", True) is False


def test_the_radiology_mouse_is_the_viewers(preferences, wide):
    controller, viewer, layers = controller_for(preferences, wide, wide)
    mouse = mouse_of(viewer)
    controller.set_radiology_mouse(True)
    assert mouse.is_on and controller.view.state.radiology_mouse
    mouse.turn(False)
    assert not controller.view.state.radiology_mouse
    viewer.layers.selection.active = layers[0]
    assert mouse.targets() == [layers[0]]
    controller.set_all_images(True)
    assert mouse.targets() == layers
    controller.close()
    assert mouse.targets() == [layers[0]]


def test_a_closed_dock_gives_the_keys_back_and_follows_no_layer(preferences, wide):
    controller, viewer, [layer] = controller_for(preferences, wide)
    assert all(any(str(key) == "5" for key in one.keymap) for one in (viewer, layer))
    controller.close()
    controller.close()  # napari may tell of it twice
    assert not any(str(key) == "5" for keymap in (viewer.keymap, layer.keymap) for key in keymap)
    before = controller.view.state
    layer.contrast_limits = (0, 100)
    show_volume(viewer, wide, "another")
    assert controller.view.state is before
