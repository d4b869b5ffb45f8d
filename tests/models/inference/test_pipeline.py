"""Whole runs with networks whose result is known: a threshold."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.inference import InferenceSettings, Region, estimate, run
from tests.models.making import AIR, TISSUE, body_with_organ, dice, threshold_bundle
from tests.pace import at_most

EXACT = InferenceSettings(precision="fp32")


def test_the_organ_is_found_on_the_inputs_own_grid(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    prediction = finish(run(threshold_bundle(tmp_path / "b"), volume, settings=EXACT))
    labels = prediction.labels
    assert labels.geometry is volume.geometry
    assert labels.array.dtype == np.uint8
    assert set(np.unique(labels.array)) == {0, 5}
    assert labels.labels.name(5) == "organ"
    assert dice(labels.array == 5, organ) > 0.97
    (box,) = prediction.roi_boxes
    where = np.argwhere(organ)
    assert (where.min(axis=0) >= box.start).all()
    assert (where.max(axis=0) < box.stop).all()
    assert np.prod(np.subtract(box.stop, box.start)) < 0.6 * organ.size
    assert not prediction.warnings[1:]  # only the one that it is oblique
    assert prediction.probabilities is prediction.edge_map is prediction.disagreement is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_stored_order_and_direction_gives_the_same_voxels(
    order: tuple[int, int, int], tmp_path: Path
) -> None:
    volume, _ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b")
    expected = finish(run(bundle, volume, settings=EXACT))
    flips = (True, False, order[0] == 1)
    turned = turn(volume, order, flips)
    got = finish(run(bundle, turned, settings=EXACT))
    assert np.array_equal(got.labels.array, turned_array(expected.labels.array, order, flips))
    mask = np.zeros(volume.geometry.shape, bool)
    mask[
        tuple(
            slice(a, b) for a, b in zip(expected.roi_boxes[0].start, expected.roi_boxes[0].stop, strict=True)
        )
    ] = True
    box = got.roi_boxes[0]
    again = np.zeros(turned.geometry.shape, bool)
    again[tuple(slice(a, b) for a, b in zip(box.start, box.stop, strict=True))] = True
    assert np.array_equal(again, turned_array(mask, order, flips))


def turned_array(
    array: np.ndarray, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> np.ndarray:
    return np.ascontiguousarray(
        array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    )


def turn(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same voxels of the patient stored another way."""
    affine = volume.geometry.affine_lps.copy()
    affine[:3, :3] = volume.geometry.affine_lps[:3, list(order)]
    shape = [volume.geometry.shape[axis] for axis in order]
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    return replace(
        volume, array=turned_array(volume.array, order, flips), geometry=Geometry(tuple(shape), affine)
    )


def test_an_empty_localisation_is_the_whole_volume_with_a_warning(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    prediction = finish(run(threshold_bundle(tmp_path / "b", localise_hu=1500), volume, settings=EXACT))
    assert prediction.roi_boxes == ()
    assert any("localiser found nothing" in warning.text for warning in prediction.warnings)
    assert dice(prediction.labels.array == 5, organ) > 0.95


def test_a_region_limits_the_labels_and_asks_no_localiser(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    start, stop = (10, 5, 20), (30, 30, 59)
    plain = replace(
        volume,
        geometry=Geometry.from_parts(volume.geometry.shape, volume.geometry.spacing_mm, (5.0, 6.0, 7.0)),
    )
    region = Region.from_index(plain.geometry, start, stop)
    prediction = finish(
        run(threshold_bundle(tmp_path / "b", localise_hu=1500), plain, region=region, settings=EXACT)
    )
    inside = np.zeros(organ.shape, bool)
    inside[10:30, 5:30, 20:59] = True
    assert not prediction.labels.array[~inside].any()
    assert dice(prediction.labels.array == 5, organ & inside) > 0.95
    assert (prediction.roi_boxes[0].start, prediction.roi_boxes[0].stop) == (start, stop)
    assert [stage["name"] for stage in prediction.provenance["stages"]] == ["segment"]


def test_sliding_window_and_whole_agree(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b", two_stages=False, inferer="sliding_window", patch=(16, 24, 32))
    prediction = finish(run(bundle, volume, settings=EXACT))
    whole = finish(run(threshold_bundle(tmp_path / "w", two_stages=False), volume, settings=EXACT))
    assert dice(prediction.labels.array == 5, organ) > 0.96
    assert dice(prediction.labels.array == 5, whole.labels.array == 5) > 0.99


def test_extras_on_request(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    prediction = finish(
        run(
            threshold_bundle(tmp_path / "b"),
            volume,
            settings=replace(EXACT, probabilities=True, edge_map=True),
        )
    )
    probabilities, edges = prediction.probabilities, prediction.edge_map
    assert probabilities is not None
    assert edges is not None
    assert probabilities.array.shape[0] == 2
    assert np.allclose(probabilities.array.sum(axis=0), 1, atol=1e-5)
    assert probabilities.geometry.spacing_mm == pytest.approx((2.0, 2.5, 2.5))
    organ_voxel = np.argwhere(prediction.labels.array == 5).mean(axis=0)
    at = np.rint(probabilities.geometry.lps_to_index(volume.geometry.index_to_lps(organ_voxel))).astype(int)
    assert probabilities.array[(1, *at)] > 0.9
    assert edges.geometry is volume.geometry
    assert 0 <= edges.array.min() <= edges.array.max() <= 1
    border = prediction.labels.array != np.roll(prediction.labels.array, 1, axis=0)
    assert edges.array[border].mean() > 3 * edges.array.mean()


def test_provenance_holds_everything_but_the_patient(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    named = replace(
        volume,
        source=tmp_path / "DOE_JOHN_19700101" / "ct.nii.gz",
        notes=("Patient DOE",),
        header={"PatientName": "DOE"},
    )
    bundle = threshold_bundle(tmp_path / "b")
    record = finish(run(bundle, named, settings=EXACT)).provenance
    text = json.dumps(record)
    assert "DOE" not in text
    assert str(tmp_path) not in text
    assert record["bundles"] == [{"name": "b", "kind": "ctseg", "version": "1.0.0", "sha256": bundle.sha256}]
    assert record["versions"]["torch"]
    assert record["device"] == "cpu"
    assert record["precision"] == "float32"
    assert record["settings"]["precision"] == "fp32"
    assert record["stages"][0]["size"] == [24, 16, 24]  # 19, 16 and 17 voxels of 6 mm, in multiples of 8
    assert set(record["seconds"]) == {"load", "networks", "assemble", "total"}
    assert record["input"] == {"shape": [37, 48, 59], "spacing_mm": [3.0, 2.0, 1.7]}


def test_closing_the_generator_cancels_and_leaves_nothing_running(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    work = run(threshold_bundle(tmp_path / "b"), volume, settings=EXACT)
    stages = {next(work).stage for _ in range(6)}
    assert "localise" in stages
    with at_most(0.5):
        work.close()
    with pytest.raises(StopIteration):
        next(work)


def test_progress_never_runs_backwards(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    seen: dict[str, list[int]] = {}
    for progress in run(threshold_bundle(tmp_path / "b"), volume, settings=EXACT):
        seen.setdefault(progress.stage, []).append(progress.done)
        assert progress.done <= progress.total
    assert list(seen) == ["load", "localise", "segment", "assemble"]
    assert all(done == sorted(done) for done in seen.values())


@pytest.mark.parametrize("shape", [(1, 30, 40), (3, 1, 50), (2, 2, 2)])
def test_thin_volumes_are_segmented_too(shape: tuple[int, int, int], tmp_path: Path) -> None:
    geometry = Geometry.from_parts(shape, (5.0, 2.0, 2.0))
    array = np.full(shape, AIR, np.int16)
    array[:, : shape[1] // 2 + 1, : shape[2] // 2 + 1] = 500
    prediction = finish(run(threshold_bundle(tmp_path / "b"), Volume(array, geometry), settings=EXACT))
    assert prediction.labels.array.shape == shape
    assert (prediction.labels.array == 5).mean() > 0.1


def test_the_source_array_is_neither_changed_nor_copied_to_float(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    before = volume.array.copy()
    volume.array.setflags(write=False)
    finish(run(threshold_bundle(tmp_path / "b"), volume, settings=EXACT))
    assert np.array_equal(volume.array, before)
    assert AxisView.of(volume.geometry).apply(volume.array).base is volume.array


def test_warnings_name_what_is_outside_of_the_bundles_world(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "b")
    odd = Volume(
        np.full((10, 11, 12), TISSUE, np.int16),
        Geometry.from_parts((10, 11, 12), (9.0, 2.0, 2.0)),
        modality="MR",
    )
    warnings = " ".join(map(str, bundle.warnings_for(odd)))
    assert "image is MR" in warnings
    assert "Hounsfield" in warnings
    assert "9.0 mm" in warnings
    volume, _ = body_with_organ()
    assert (
        bundle.warnings_for(
            replace(volume, geometry=Geometry.from_parts(volume.geometry.shape, (3.0, 2.0, 1.7)))
        )
        == ()
    )


def test_a_device_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    with pytest.raises(BundleError, match="cannot be used here"):
        finish(run(threshold_bundle(tmp_path / "b"), volume, settings=InferenceSettings(device="cuda:99")))


def test_the_estimate_grows_with_the_work(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b")
    small = estimate(
        bundle, volume, region=Region.from_index(volume.geometry, (0, 0, 0), (10, 10, 10)), settings=EXACT
    )
    large = estimate(bundle, volume, settings=EXACT)
    assert 0 < small.seconds < large.seconds < 60
    assert 0 < small.bytes < large.bytes < 3e9
