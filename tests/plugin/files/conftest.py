"""What the tests of opening share."""

import pytest
from npe2 import PluginManager, PluginManifest


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer with the plugin, as napari finds it."""
    manager = PluginManager.instance()
    if "napari-ctseg" not in manager:
        manager.register(PluginManifest.from_distribution("napari-ctseg"))
    return make_napari_viewer()
