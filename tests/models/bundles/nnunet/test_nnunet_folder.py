"""nnU-Net's results folders against nnU-Net's own results, with its sums in float32 and as released."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from ctseg_imaging import formats
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.nnunet.bundle import NNUNetBundle, read_nnunet
from ctseg_models.bundles.nnunet.input import InputSizes, spacing_of
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Region, ViewBox
from ctseg_models.contract.upright import Upright
from ctseg_models.inference import InferenceSettings, pipeline, run
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.stage_run import StageResult

VARIANTS = ["plain_aniso", "resenc_transposed", "old_plans", "regions", "2d"]
AS_NNUNET = InferenceSettings(precision="fp32", mirroring=True, probabilities=True)
SharedFile = Callable[[str], Path]


def results_folder(shared_file: SharedFile, variant: str) -> Path:
    """The folder that nnU-Net's trainer wrote."""
    return next(shared_file(f"oracles/nnunet/{variant}/Dataset999_Toy").iterdir())


def image(shared_file: SharedFile, variant: str, case: str) -> Volume:
    """One of the two inputs; regions/ takes two channels."""
    if variant != "regions":
        return formats.read(shared_file(f"oracles/nnunet/inputs/{case}_0000.nii.gz"))
    first, second = (
        formats.read(shared_file(f"oracles/nnunet/inputs/{case}mr_000{n}.nii.gz")) for n in range(2)
    )
    return Volume(np.stack([first.array, second.array]), first.geometry)


def on_the_image(maps: ClassMaps, upright: Upright) -> NDArray[np.float32]:
    """(heads, z, y, x) probabilities on the image's stored voxels, in the order of the network's maps.

    For a region, its own sigmoid.
    """
    target = Target(upright.geometry.spacing_mm, (0, 0, 0), upright.geometry.shape)
    depth = target.shape[0]
    if maps.form != "regions":
        sampler = ClassMapSampler(maps, target)
        slabs = [sampler.slab(value, 0, depth) for value in maps.each]
    else:
        alone = [torch.stack([maps.maps.part(k, 0, maps.maps.shape[1])]) for k in range(maps.maps.shape[0])]
        slabs = [
            ClassMapSampler(
                ClassMaps.of(one, maps.lattice, (1,), "regions", maps.interpolation), target
            ).slab(1, 0, depth)
            for one in alone
        ]
    return np.stack([upright.view.invert(slab.numpy()) for slab in slabs if slab is not None])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[StageResult]:
    """The networks' results in the runs of a test, on the network's own grid."""
    seen: list[StageResult] = []
    segment = pipeline.segment

    def listening(*given: Any, **named: Any) -> Generator[Progress, None, StageResult]:
        result = yield from segment(*given, **named)
        seen.append(result)
        return result

    monkeypatch.setattr(pipeline, "segment", listening)
    return seen


@pytest.mark.parametrize("case", ["plain", "oblique"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_and_probabilities_are_nnunets(
    variant: str, case: str, shared_file: SharedFile, found: list[StageResult]
) -> None:
    expected = shared_file(f"oracles/nnunet/{variant}/expected")
    volume = image(shared_file, variant, case)
    prediction = finish(run(store.find(results_folder(shared_file, variant)), volume, settings=AS_NNUNET))
    labels = prediction.labels.array
    probabilities = on_the_image(found[0].maps, Upright.of(volume))

    with np.load(expected / f"{case}_probabilities_float32buffers.npz") as file:
        exact = file["probabilities"]
    with np.load(expected / f"{case}_labels_float32buffers.npz") as file:
        exact_labels = file["labels"]
    ordered = np.sort(exact, axis=0)
    margin = np.abs(exact - 0.5).min(axis=0) if variant == "regions" else ordered[-1] - ordered[-2]
    assert np.array_equal(labels[margin >= 1e-3], exact_labels[margin >= 1e-3])
    assert np.abs(probabilities - exact).max() < 1e-4
    assert len(np.unique(exact_labels)) > 2

    usual = formats.read_labels(expected / f"{case}_labels.nii.gz")
    assert (labels == usual.array).mean() >= 0.998
    with np.load(expected / f"{case}_probabilities.npz") as file:
        assert np.abs(probabilities - file["probabilities"].astype(np.float32)).mean() < 5e-4
    assert prediction.labels.geometry.matches(usual.geometry) in ("same", "rounding")


@pytest.mark.parametrize("case", ["plain", "oblique"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_crop_sizes_and_windows_are_nnunets(variant: str, case: str, shared_file: SharedFile) -> None:
    trace = json.loads((shared_file(f"oracles/nnunet/{variant}/expected") / "trace.json").read_text())[case]
    bundle = read_nnunet(results_folder(shared_file, variant))
    upright = Upright.of(image(shared_file, variant, case))
    stage = bundle.load().stages[0]
    prepared = finish(stage.prepare(upright, ViewBox.whole(upright.geometry), True))
    assert bundle.plan is not None
    order = [
        upright.view.order.index(stored) for stored in bundle.plan.transpose
    ]  # the view axis of each axis of the plans
    assert [prepared.lattice.shape[axis] for axis in order] == trace["shape_after_resampling"]
    assert [prepared.x.shape[2 + axis] for axis in order] == trace["shape_padded_to_patch"]
    assert [stop - start for start, stop in trace["bbox_used_for_cropping"]] == trace["shape_after_cropping"]
    covered = [
        prepared.lattice.shape[axis] * prepared.lattice.spacing_mm[axis] / upright.geometry.spacing_mm[axis]
        for axis in order
    ]
    assert covered == pytest.approx(trace["shape_after_cropping"])
    apart, axis = trace["separate_z_back"]
    assert prepared.interpolation == tuple(
        "nearest" if apart and v == order[axis] else "linear" for v in range(3)
    )
    assert prepared.tiling is not None and prepared.tiling.weights is not None
    weights = prepared.tiling.weights
    one = weights if not bundle.plan.flat else weights.movedim(order[0], 0)[0]
    stated = trace["gaussian"]
    assert (float(one.min()), float(one.max())) == (stated["min"], stated["max"])
    assert float(one.double().sum()) == pytest.approx(stated["sum_float64"], rel=1e-9)
    for number, starts in enumerate(reversed(trace["sliding_window_starts"]), start=1):
        axis = order[-number]
        room = prepared.x.shape[2 + axis] - prepared.tiling.window[axis]
        seen = sorted(room - start for start in starts) if upright.view.flips[axis] else starts
        assert list(prepared.tiling.starts[axis]) == seen
    (z0, y0, x0), (z1, y1, x1) = prepared.keep or ((0, 0, 0), prepared.x.shape[2:])
    for channel, numbers in zip(
        prepared.x[0, :, z0:z1, y0:y1, x0:x1].double(), trace["preprocessed"], strict=True
    ):
        got = (channel.mean(), channel.std(unbiased=False), channel.min(), channel.max())
        assert [float(each) for each in got] == pytest.approx(
            [numbers[name] for name in ("mean", "std", "min", "max")], abs=2e-5
        )


def test_the_preprocessed_array_is_nnunets(shared_file: SharedFile) -> None:
    with np.load(shared_file("oracles/nnunet/plain_aniso/expected/plain_preprocessed.npz")) as file:
        expected = file["data"]
    upright = Upright.of(image(shared_file, "plain_aniso", "plain"))
    stage = read_nnunet(results_folder(shared_file, "plain_aniso")).load().stages[0]
    x = finish(stage.prepare(upright, ViewBox.whole(upright.geometry), True)).x
    np.testing.assert_allclose(upright.view.invert(x[0].numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["resenc_transposed", "regions", "2d"])
@pytest.mark.parametrize("axes", ["PIR", "RSA", "IRP"])
def test_what_counts_is_how_the_image_is_stored(variant: str, axes: str, shared_file: SharedFile) -> None:
    """nnU-Net reads the stored array and the spacing alone, whatever the patient axes: turning the view must
    not show.
    """
    volume = image(shared_file, variant, "oblique")
    signs = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    direction = np.zeros((3, 3))
    for stored, letter in enumerate(reversed(axes)):  # columns are the stored x, y, z
        direction[signs[letter][0], stored] = signs[letter][1]
    tilt = np.radians(7)
    about_z = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    geometry = Geometry.from_parts(
        volume.geometry.shape, volume.geometry.spacing_mm, (5.0, -3.0, 8.0), about_z @ direction
    )
    turned = Volume(volume.array, geometry)
    assert AxisView.of(turned.geometry).order != (0, 1, 2)
    labels = finish(
        run(read_nnunet(results_folder(shared_file, variant)), turned, settings=AS_NNUNET)
    ).labels.array
    with np.load(shared_file(f"oracles/nnunet/{variant}/expected/oblique_labels_float32buffers.npz")) as file:
        assert (labels == file["labels"]).mean() > 0.9999


def test_a_reader_that_reorients_turns_to_ras_first(shared_file: SharedFile) -> None:
    """The same image stored in two ways is one image to such a model; the expected labels are those of the
    RAS array.
    """
    original = results_folder(shared_file, "resenc_transposed")
    bundle = read_nnunet(original)
    assert bundle.plan is not None
    turning = replace(bundle, plan=replace(bundle.plan, to_ras=True))
    volume = image(
        shared_file, "resenc_transposed", "plain"
    )  # stored as RAS: z to S, y to A, x to R in the file's x, y, z
    stored_otherwise = Volume(
        volume.array[::-1, :, ::-1].transpose(1, 2, 0).copy(), _permuted(volume.geometry)
    )
    settings = replace(AS_NNUNET, probabilities=False)
    as_it_was = finish(run(turning, volume, settings=settings)).labels.array
    other = finish(run(turning, stored_otherwise, settings=settings)).labels.array
    assert np.array_equal(other.transpose(2, 0, 1)[::-1, :, ::-1], as_it_was)
    with np.load(
        shared_file("oracles/nnunet/resenc_transposed/expected/plain_labels_float32buffers.npz")
    ) as file:
        assert (as_it_was == file["labels"]).mean() > 0.9999


def _permuted(geometry: Geometry) -> Geometry:
    """Of an array whose axes z and x were flipped and which was then transposed by (1, 2, 0)."""
    z, y, x = geometry.shape
    affine = geometry.affine_lps.copy()
    affine[:3, 3] = geometry.index_to_lps(np.array([z - 1, 0, x - 1]))
    affine[:3, :3] = geometry.affine_lps[:3, [1, 2, 0]] * np.array([1, -1, -1])
    return Geometry((y, x, z), affine)


def test_a_box_only_cuts_what_the_network_sees(shared_file: SharedFile) -> None:
    bundle = read_nnunet(results_folder(shared_file, "resenc_transposed"))
    volume = image(shared_file, "resenc_transposed", "plain")
    upright = Upright.of(volume)
    stage = bundle.load().stages[0]
    region = Region.from_index(volume.geometry, (2, 6, 7), (11, 33, 38))
    box = region.box(upright.geometry)
    part = finish(stage.prepare(upright, box, False))
    assert part.lattice.box.low[1] == pytest.approx(box.low[1]) and part.lattice.box.extent[
        2
    ] == pytest.approx(box.extent[2])
    assert part.keep is not None
    (z0, y0, x0), (z1, y1, x1) = part.keep
    kept = part.x[0, 0, z0:z1, y0:y1, x0:x1]
    assert abs(float(kept.mean())) > 0.01  # z-scores of the whole volume, not of the box
    labels = finish(
        run(bundle, volume, region=region, settings=InferenceSettings(precision="fp32"))
    ).labels.array
    outside = np.ones(labels.shape, bool)
    outside[2:11, 6:33, 7:38] = False
    assert labels.any() and not labels[outside].any()


def test_every_fold_counts(shared_file: SharedFile) -> None:
    original = results_folder(shared_file, "plain_aniso")
    both = read_nnunet(original)
    assert [path.parent.name for path in both.folds] == ["fold_0", "fold_1"]
    x = torch.randn(1, 1, 8, 40, 32)
    first, second = (replace(both, folds=(path,)) for path in both.folds)
    logits = [finish(bundle.stage("cpu").steps(x, Arithmetic())) for bundle in (both, first, second)]
    torch.testing.assert_close(logits[0], (logits[1] + logits[2]) / 2)
    assert not torch.allclose(logits[1], logits[2], atol=0.1)


def test_bf16_gives_nearly_the_same(shared_file: SharedFile) -> None:
    stage = read_nnunet(results_folder(shared_file, "old_plans")).stage("cpu")
    x = torch.randn(1, 1, 16, 32, 32)
    exact, rough = (finish(stage.steps(x, Arithmetic(dtype))) for dtype in (torch.float32, torch.bfloat16))
    assert rough.dtype == torch.float32 and 0 < float((exact - rough).abs().mean()) < 0.1


def test_the_card_of_a_folder(shared_file: SharedFile) -> None:
    bundle = store.read(results_folder(shared_file, "resenc_transposed"))
    assert isinstance(bundle, NNUNetBundle)
    assert (bundle.kind, bundle.name, bundle.modality) == (
        "nnunet",
        "Dataset999_Toy-3d_fullres-nnUNetResEncUNetMPlans",
        "CT",
    )
    assert bundle.spacing_mm == (2.0, 2.2, 2.5)  # plans' axes are stored x, z, y
    assert [(label.value, label.name) for label in bundle.labels] == [
        (1, "organ_a"),
        (2, "organ_b"),
        (3, "organ_c"),
    ]
    assert (
        "folds: 0" in bundle.card
        and "ResidualEncoderUNet" in bundle.card
        and "2.5 x 2 x 2.2 mm" in bundle.card
    )
    bundle.verify()
    regions = store.read(results_folder(shared_file, "regions"))
    assert [(label.value, label.name) for label in regions.labels] == [
        (1, "core"),
        (2, "whole"),
        (3, "enhancing"),
    ]
    assert regions.channels == ("T1", "T2") and regions.modality == "MR"
    assert len({regions.sha256, bundle.sha256}) == 2


def test_the_work_is_known_before(shared_file: SharedFile) -> None:
    """One 1x1x1 to 3x3x3 convolution after another, counted by hand for the folder with plans of before
    2.4.
    """
    stage = read_nnunet(results_folder(shared_file, "old_plans")).stage("cpu")
    fine, middle, coarse = 16 * 32 * 32, 8 * 16 * 16, 4 * 8 * 8
    convs = fine * 27 * (1 * 8 + 8 * 8) + middle * 27 * (8 * 16 + 16 * 16) + coarse * 27 * (16 * 24 + 24 * 24)
    decoder = middle * (24 * 16 + 27 * (32 * 16 + 16 * 16)) + fine * (16 * 8 + 27 * (16 * 8 + 8 * 8) + 8 * 4)
    assert stage.flops((16, 32, 32)) == pytest.approx(2 * (convs + decoder), rel=1e-6)


@pytest.mark.parametrize(("case", "spacing_mm"), [("plain", (3.0, 0.9, 0.9)), ("oblique", (2.0, 0.6, 0.6))])
def test_slices_midway_come_back_as_nnunet_chooses(
    case: str, spacing_mm: tuple[float, float, float], shared_file: SharedFile
) -> None:
    """Twice as many slices as the image has: each centre lies between two of the image's slices.

    The later one counts along the axis as it is stored, which runs backwards in the view of the oblique
    image.
    """
    bundle = read_nnunet(results_folder(shared_file, "old_plans"))
    upright = Upright.of(image(shared_file, "old_plans", case))
    assert bundle.plan is not None
    sizes = InputSizes.of(replace(bundle.plan, spacing_mm=spacing_mm), upright, upright.geometry.shape)
    slices = upright.geometry.shape[0]
    assert sizes.resized[0] == 2 * slices and sizes.interpolation == ("nearest", "linear", "linear")
    number = torch.arange(2.0 * slices).reshape(1, -1, 1, 1).expand(1, *sizes.resized)
    maps = ClassMaps.of(number, sizes.lattice((0, 0, 0), upright), (1,), "probabilities", sizes.interpolation)
    slab = ClassMapSampler(maps, Target(upright.geometry.spacing_mm, (0, 0, 0), upright.geometry.shape)).slab(
        1, 0, slices
    )
    assert slab is not None
    chosen = map_coordinates(
        np.arange(2.0 * slices), [2 * (np.arange(slices) + 0.5) - 0.5], order=0, mode="nearest"
    )  # as stored
    seen = 2 * slices - 1 - chosen[::-1] if upright.view.flips[0] else chosen
    assert slab[:, 4, 5].round().tolist() == seen.tolist()
    assert upright.view.flips[0] == (case == "oblique")


@pytest.mark.parametrize("degrees", [0.0, 10.0, 20.0])
@pytest.mark.parametrize("sides_mm", [(0.8, 0.8, 2.4), (0.9, 0.9, 2.7), (0.7, 0.7, 2.1)], ids=str)
def test_three_times_as_coarse_is_decided_by_the_header(
    sides_mm: tuple[float, float, float], degrees: float, shared_file: SharedFile, tmp_path: Path
) -> None:
    turned = np.eye(4)
    turned[:3, :3] = (
        Rotation.from_euler("xyz", [degrees / 4, degrees, 2 * degrees], degrees=True).as_matrix() * sides_mm
    )
    written = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), turned)
    written.set_qform(turned, 1)
    written.set_sform(turned, 1)
    nibabel.save(written, tmp_path / "image.nii.gz")
    seen = SimpleITK.ReadImage(str(tmp_path / "image.nii.gz")).GetSpacing()  # what nnU-Net works with
    upright = Upright.of(formats.read(tmp_path / "image.nii.gz"))
    plan = read_nnunet(results_folder(shared_file, "old_plans")).plan
    assert plan is not None
    even = InputSizes.of(replace(plan, spacing_mm=(1.0, 1.0, 1.0)), upright, upright.geometry.shape)
    assert spacing_of(upright) == seen[::-1]
    assert even.apart == (0 if max(seen) / min(seen) > 3 else None) == (None if sides_mm[0] == 0.7 else 0)
