"""What the plugin's tests share: volumes with three unequal sides, unequal spacing and an oblique
direction.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.run_warning import RunWarning, WarningKind


def oblique_geometry() -> Geometry:
    """7 x 8 x 9 voxels of 3 x 1.5 x 2 mm, stored from the left and turned by 10 degrees about the patient's
    long axis.
    """
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
    return Geometry.from_parts((7, 8, 9), (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), turned)


@pytest.fixture
def volume() -> Volume:
    """Every voxel another value, from -250 to 253."""
    geometry = oblique_geometry()
    array = (np.arange(7 * 8 * 9, dtype=np.int16) - 250).reshape(geometry.shape)
    return Volume(array, geometry, modality="CT")


@pytest.fixture
def label_map() -> LabelMap:
    """Two labels on the grid of `volume`: 1 "liver" in stored voxels [1:3, 2:5, 0:2], 3 "spleen" in [5, 6,
    7:9].
    """
    geometry = oblique_geometry()
    array = np.zeros(geometry.shape, np.uint8)
    array[1:3, 2:5, 0:2] = 1
    array[5, 6, 7:9] = 3
    return LabelMap(array, geometry, Labels.from_names({1: "liver", 3: "spleen"}))


@pytest.fixture
def make_plugin_viewer(make_napari_viewer):
    """Makes viewers as a plugin gets them: behind napari's public proxy, through which every access to a
    layer gives another object.
    """
    return lambda **settings: PublicOnlyProxy(make_napari_viewer(**settings))


@pytest.fixture
def plugin_viewer(make_plugin_viewer):
    """One of them, not shown."""
    return make_plugin_viewer()


@pytest.fixture
def plugin_model(qapp):
    """As `plugin_viewer`, without a window."""
    return PublicOnlyProxy(ViewerModel())


class FakeBundle:
    def __init__(self, name, warning=""):
        self.name, self.warning = name, warning
        self.labels, self.modality = Labels.from_names({1: "liver", 2: "spleen"}), "CT"
        self.card = f"# {name}\n\nTrained on\nphantoms.\n\nNot for patients."
        self.kind, self.channels, self.needs_trust, self.path = "ctseg", ("CT",), (), Path(f"/models/{name}")
        self.sha256 = f"sha256 of {name}"

    def warnings_for(self, volume):
        return (self.warning,) if self.warning else ()


class Answer:
    """A prediction or an estimate, as the seam has them."""

    def __init__(self, **values):
        self.__dict__.update(values)


class FakeModels:
    """Thresholds the volume; keeps the requests."""

    def __init__(self, error=None, listing_error=None):
        self.requests, self.error, self.listing_error = [], error, listing_error

    def bundles(self):
        if self.listing_error:
            raise self.listing_error
        return [FakeBundle("abdomen"), FakeBundle("headneck", "The image has no values below -200.")], [
            "broken: is damaged; get it again."
        ]

    def estimate(self, request):
        yield Progress("estimate")
        return Answer(seconds=12.0, bytes=1.5e9)

    def run(self, request):
        self.requests.append(request)
        count = len(request.bundles)
        for number in range(count):
            yield Progress("load", 0, 1, "Loading", number, count)
            yield Progress("localise", 50, 100, "Looking", number, count)
            if self.error:
                raise self.error
            yield Progress("segment", 100, 100, "Segmenting", number, count)
        labels = LabelMap(
            (request.volume.array > 0).astype(np.uint8), request.volume.geometry, request.bundles[0].labels
        )
        return Answer(
            labels=labels,
            roi_boxes=(Answer(name="roi", start=(1, 1, 1), stop=(4, 5, 6)),),
            edge_map=None,
            probabilities=None,
            disagreement=None,
            provenance={
                "bundles": [bundle.name for bundle in request.bundles],
                "warnings": ["Look with care."],
            },
            warnings=(RunWarning(WarningKind.IMAGE, "Look with care."),),
        )


@pytest.fixture
def fakes() -> SimpleNamespace:
    """Stand-ins for ctseg_models, without torch: Models, Answer, Bundle."""
    return SimpleNamespace(Models=FakeModels, Answer=Answer, Bundle=FakeBundle)
