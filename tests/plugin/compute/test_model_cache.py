import pickle
from dataclasses import replace

import numpy as np
import pytest

from ctseg_imaging import phantom
from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles.store import find
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.run_warning import WarningKind
from napari_ctseg.compute.client import shut_down
from napari_ctseg.compute.model_cache import ModelCache, identity
from napari_ctseg.docks.run_model.run import request as running
from napari_ctseg.docks.run_model.run.request import InstalledModels, Request
from napari_ctseg.docks.run_model.state import Combine, RegionChoice

BUNDLE = "phantom-abdomen-scn"


class Bundle:
    """What Warm asks of one; counts how often it is loaded."""

    loads = 0

    def __init__(self, path="a", sha256="1", needs_trust=()):
        self.path, self.sha256, self.needs_trust = path, sha256, needs_trust

    def load(self, device="cpu"):
        Bundle.loads += 1
        return object()


def test_identity_is_of_values_and_grid(volume):
    array = volume.array.copy()
    same = replace(volume, array=array, header="another", source=None)
    assert identity(volume) == identity(same)
    array[3, 4, 5] += 1
    assert identity(volume) != identity(same)
    affine = volume.geometry.affine_lps.copy()
    affine[0, 3] += 1e-3
    moved = Geometry(volume.geometry.shape, affine)
    assert identity(replace(volume, geometry=moved)) != identity(volume)
    assert identity(replace(volume, array=volume.array.view(np.uint16))) != identity(volume)


def test_identity_tells_a_turned_array_from_the_one_it_shares_memory_with():
    array = np.arange(6**3, dtype=np.int16).reshape(6, 6, 6)
    grid = Geometry.from_parts((6, 6, 6), (1, 1, 1))
    keys = {
        identity(Volume(view, grid))
        for view in (array, array.transpose(1, 0, 2), array[::-1], array[:, ::-1])
    }
    assert len(keys) == 4


def test_the_last_model_stays_and_only_that(monkeypatch):
    monkeypatch.setattr(Bundle, "loads", 0)
    warm = ModelCache()
    first = warm.model(Bundle(), "cpu")
    assert first is not None and warm.model(Bundle(), "cpu") is first and Bundle.loads == 1
    assert warm.model(Bundle(sha256="2"), "cpu") is not first  # other files under the same name
    warm.model(Bundle(), "cpu")
    assert Bundle.loads == 3
    for asks in (Bundle(sha256=""), Bundle(needs_trust=("runs code",))):
        assert warm.model(asks, "cpu") is None
    warm.model(Bundle(), "cpu")
    assert Bundle.loads == 4
    with pytest.raises(BundleError, match="cuda:77"):
        warm.model(Bundle(), "cuda:77")


def test_another_device_than_the_warm_one_is_loaded_afresh(monkeypatch):
    monkeypatch.setattr(Bundle, "load", lambda self, device="cpu": f"networks on {device}")
    warm = ModelCache()
    assert warm.model(Bundle(), "meta") == "networks on meta"
    assert warm.model(Bundle(), "cpu") == "networks on cpu"


def test_boxes_of_one_volume_are_remembered(volume):
    warm = ModelCache()
    kept = warm.remembered(volume)
    assert warm.remembered(replace(volume, array=volume.array.copy())) is kept
    other = replace(volume, array=volume.array + 1)
    assert warm.remembered(other) is not kept and warm.remembered(volume) is not kept


def test_a_second_run_in_the_computing_process_looks_only_once_and_says_the_same():
    whole = phantom.abdomen(90_100, (70, 100, 112), (5.0, 3.6, 3.4), tilt_deg=4).image
    grid = whole.geometry
    part = Geometry.from_parts((24, 60, 70), grid.spacing_mm, grid.index_to_lps((20, 20, 20)), grid.direction)
    volume = Volume(
        whole.array[20:44, 20:80, 20:90],
        part,
        header=lambda: "cannot travel",
        modality="CT",
        notes=("Doe^John",),
    )
    models, bundle = InstalledModels(), find(BUNDLE)
    request = Request(
        (bundle,),
        volume,
        RegionChoice.LOCALISER,
        None,
        Combine.MEAN,
        "cpu",
        "fp32",
        edge_map=True,
        entropy=True,
        probabilities=True,
    )
    estimate = finish(models.estimate(request))
    first, second = finish(models.run(request)), finish(models.run(request))
    shut_down()
    assert estimate.seconds > 0 and estimate.bytes > 1e8
    assert [stage.get("remembered", False) for stage in first.provenance["stages"]] == [False, False]
    assert [stage.get("remembered", False) for stage in second.provenance["stages"]] == [True, False]
    assert first.labels.array.any() and np.array_equal(first.labels.array, second.labels.array)
    assert (
        np.array_equal(first.labels.geometry.affine_lps, part.affine_lps)
        and first.edge_map.array.shape == part.shape
    )
    assert first.disagreement.array.shape == part.shape and 0 < first.disagreement.array.max() <= 1
    assert first.probabilities.array.dtype == np.float16 and len(first.probabilities.array) == 5
    assert np.allclose(first.probabilities.array.sum(0, dtype=np.float32), 1, atol=4e-3)
    assert first.provenance["settings"]["disagreement"] == "entropy"
    assert "Doe" not in repr(first.provenance) and pickle.loads(pickle.dumps(bundle)).sha256 == bundle.sha256


def test_probabilities_are_kept_in_half_precision_unless_they_are_large(monkeypatch, volume, label_map):
    maps = np.full((2, *volume.array.shape), 0.5, np.float32)
    made = Prediction(label_map, probabilities=Volume(maps, volume.geometry))
    kept = running._to_keep(made).probabilities
    assert kept.array.dtype == np.float16 and (kept.array == 0.5).all()
    monkeypatch.setattr(running, "MOST_KEPT", 2 * maps.size - 1)
    without = running._to_keep(made)
    assert without.probabilities is None and [one.kind for one in without.warnings] == [WarningKind.MAPS]
