"""`napari-ctseg predict` and `bundle` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from ctseg_imaging.formats.zarr_maps import read_maps
from ctseg_imaging.volume import Labels
from napari_ctseg.commands.main import app
from tests.models.making import body_with_organ, dice, threshold_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(threshold_bundle(tmp_path / "threshold").path)


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_file_gives_labels_on_its_grid_and_provenance(bundle: str, tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    result = call(
        "predict",
        "-m",
        bundle,
        tmp_path / "ct.nii.gz",
        tmp_path / "out.nii.gz",
        "--edge-map",
        "--probabilities",
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out.nii.gz")
    labels = formats.read_labels(tmp_path / "out.nii.gz")
    source = formats.read(tmp_path / "ct.nii.gz")
    assert np.array_equal(labels.geometry.affine_lps, source.geometry.affine_lps)
    assert labels.array.dtype == np.uint8
    assert dice(labels.array == 5, organ) > 0.96
    provenance = json.loads((tmp_path / "out.provenance.json").read_text())
    assert provenance["bundles"][0]["name"] == "threshold"
    assert formats.read(tmp_path / "out_edges.nii.gz").geometry.shape == volume.geometry.shape
    assert len(formats.list_choices(tmp_path / "out_probabilities.nii.gz")) == 2


def test_nothing_is_overwritten_unasked(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.mha", volume)
    (tmp_path / "out.nii.gz").write_bytes(b"precious")
    result = call("predict", "-m", bundle, tmp_path / "ct.mha", tmp_path / "out.nii.gz")
    assert result.exit_code == 1
    assert "already exists" in result.stderr
    assert (tmp_path / "out.nii.gz").read_bytes() == b"precious"
    assert (
        call("predict", "-m", bundle, tmp_path / "ct.mha", tmp_path / "out.nii.gz", "--overwrite").exit_code
        == 0
    )
    assert formats.read_labels(tmp_path / "out.nii.gz").array.any()


def test_an_image_that_is_read_is_never_overwritten(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    (tmp_path / "cases").mkdir()
    image = tmp_path / "cases" / "ct.nii.gz"
    formats.write(image, volume)
    before = image.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "cases")
    cases = image.parent
    for source, target in ((image, image), (image, cases), (cases, cases), (image, tmp_path / "link")):
        result = call("predict", "-m", bundle, source, target, "--overwrite")
        assert (
            result.exit_code == 1
            and "is one of the images to be read and would be overwritten" in result.stderr
        )
        assert image.read_bytes() == before and list(cases.iterdir()) == [image]


@pytest.mark.parametrize("name", ["o.png", "o.tif", "o.gz"])
def test_a_name_that_no_label_map_has_makes_no_folder(name: str, bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    result = call("predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / name)
    assert result.exit_code == 1 and "use .nii.gz, .nrrd or .mha" in result.stderr
    assert not (tmp_path / name).exists()


def test_an_empty_answer_is_said(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    blind = threshold_bundle(tmp_path / "blind", threshold_hu=30_000).path
    result = call("predict", "-m", blind, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz")
    assert result.exit_code == 0 and "ct: No label was found; the label map is empty." in result.stderr


def test_a_folder_of_cases_goes_on_after_a_bad_one(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    cases = tmp_path / "cases"
    cases.mkdir()
    formats.write(cases / "one_0000.nii.gz", volume)
    formats.write(cases / "two.nrrd", volume)
    (cases / "bad.nii.gz").write_bytes(b"no image")
    (cases / "notes.txt").write_text("no image either")
    result = call("predict", "-m", bundle, cases, tmp_path / "out", "--json")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "one.nii.gz",
        "one.provenance.json",
        "two.nrrd",
        "two.provenance.json",
    ]
    records = {record["case"]: record for record in json.loads(result.stdout)}
    assert "error" in records["bad"]
    assert records["one"]["seconds"]["total"] > 0
    assert "1 of 3 cases failed" in result.stderr


def test_a_folder_is_continued_where_it_stopped(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    cases, out = tmp_path / "cases", tmp_path / "out"
    cases.mkdir()
    for name in "abc":
        formats.write(cases / f"{name}.nii.gz", volume)
    assert call("predict", "-m", bundle, cases / "b.nii.gz", out / "b.nii.gz").exit_code == 0
    before = (out / "b.nii.gz").stat().st_mtime_ns
    assert call("predict", "-m", bundle, cases, out).exit_code == 1  # b is there
    result = call("predict", "-m", bundle, cases, out, "--continue")
    assert result.exit_code == 0, result.output
    assert "1 of 3 cases are finished" in result.stderr
    assert "Case 1 of 2: a" in result.stderr and "Case 2 of 2: c, about" in result.stderr
    assert (out / "b.nii.gz").stat().st_mtime_ns == before
    assert result.stdout.split() == [str(out / "a.nii.gz"), str(out / "c.nii.gz")]
    assert call("predict", "-m", bundle, cases, out, "--continue").exit_code == 0
    other = call("predict", "-m", bundle, cases, out, "--continue", "--mirror")
    assert other.exit_code == 1 and "already exists" in other.stderr


def test_the_model_of_a_folder_is_loaded_once(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctseg_models.bundles.own.bundle import OwnBundle

    volume, _ = body_with_organ()
    (tmp_path / "cases").mkdir()
    for name in "abc":
        formats.write(tmp_path / "cases" / f"{name}.nii.gz", volume)
    loads, load = [], OwnBundle.load
    monkeypatch.setattr(OwnBundle, "load", lambda self, *a: loads.append(self.name) or load(self, *a))
    assert call("predict", "-m", bundle, tmp_path / "cases", tmp_path / "out").exit_code == 0
    assert loads == ["threshold"]


def test_an_ensemble_writes_where_it_disagrees(bundle: str, tmp_path: Path) -> None:
    other = threshold_bundle(tmp_path / "other", threshold_hu=80).path
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii", volume)
    result = call(
        "predict", "-m", bundle, "-m", other, "--combine", "vote", tmp_path / "ct.nii", tmp_path / "o.nii.gz"
    )
    assert result.exit_code == 0, result.output
    disagreement = formats.read(tmp_path / "o_disagreement.nii.gz")
    assert disagreement.array.max() == pytest.approx(0.5)


def test_a_region_in_lps_mm(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    low, high = (
        volume.geometry.crop((10, 10, 20), (25, 30, 45)).corners_lps_mm().min(axis=0),
        volume.geometry.index_to_lps((25, 30, 45)),
    )
    box = ",".join(f"{value}" for pair in zip(low, high, strict=True) for value in pair)
    assert (
        call(
            "predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz", "--region", box
        ).exit_code
        == 0
    )
    assert formats.read_labels(tmp_path / "o.nii.gz").array.any()
    assert (
        call(
            "predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / "p.nii.gz", "--region", "1,2,3"
        ).exit_code
        == 2
    )
    outside = call(
        "predict",
        "-m",
        bundle,
        tmp_path / "ct.nii.gz",
        tmp_path / "p.nii.gz",
        "--region",
        "5000,5001,0,1,0,1",
    )
    assert outside.exit_code == 1
    assert "holds no voxel" in outside.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "missing.nii.gz", "does not exist"),
        (
            lambda folder: (folder / "empty").mkdir() or folder / "empty",
            "contains no image and no DICOM series",
        ),
        (lambda folder: (folder / "x.nii.gz").write_bytes(b"text") and folder / "x.nii.gz", "x.nii.gz"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    make, sentence: str, bundle: str, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    source = make(tmp_path)
    result = call("predict", "-m", bundle, source, tmp_path / "o" / "out.nii.gz")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "o").exists()


def test_bad_bundles_are_sentences(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    missing = call("predict", "-m", "no-such-bundle", tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz")
    assert missing.exit_code == 1
    assert "no bundle, folder or file has this name" in missing.stderr
    weights = Path(bundle) / "models/segment.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    changed = call("predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz")
    assert changed.exit_code == 1
    assert "the hash is not the one in SHA256SUMS" in changed.stderr
    assert not (tmp_path / "o.nii.gz").exists()


def test_several_channels_come_from_numbered_files(tmp_path: Path) -> None:
    from ctseg_models.bundles.own.writing import write_bundle
    from ctseg_models.contract.plan import Intensity
    from tests.models.making import threshold_stage, threshold_weights

    stage = threshold_stage("segment", 200, (2.0, 2.5, 2.5), more_channels=(Intensity(source=1),))
    two = write_bundle(
        tmp_path / "two",
        name="two",
        stages=[stage],
        weights={"segment": threshold_weights(stage)},
        labels=Labels.from_names({1: "a"}),
        card="# two",
        channels=("CT", "CT late"),
    )
    volume, _ = body_with_organ()
    cases = tmp_path / "cases"
    cases.mkdir()
    formats.write(cases / "k_0000.nii.gz", volume)
    lonely = call("predict", "-m", two.path, cases, tmp_path / "out")
    assert lonely.exit_code == 1
    assert "has no channel 0001" in lonely.stderr
    formats.write(cases / "k_0001.nii.gz", volume)
    assert call("predict", "-m", two.path, cases, tmp_path / "out").exit_code == 0
    assert formats.read_labels(tmp_path / "out" / "k.nii.gz").array.any()


def test_a_4d_file_brings_the_channels(tmp_path: Path) -> None:
    from ctseg_imaging.volume import Volume
    from ctseg_models.bundles.own.writing import write_bundle
    from ctseg_models.contract.plan import Intensity
    from tests.models.making import threshold_stage, threshold_weights

    stage = threshold_stage("segment", 200, (2.0, 2.5, 2.5), more_channels=(Intensity(source=1),))
    two = write_bundle(
        tmp_path / "two",
        name="two",
        stages=[stage],
        weights={"segment": threshold_weights(stage)},
        labels=Labels.from_names({1: "a"}),
        card="# two",
        channels=("CT", "CT late"),
    )
    volume, organ = body_with_organ()
    formats.write(
        tmp_path / "both.nii.gz", Volume(np.stack([volume.array, volume.array * 0]), volume.geometry)
    )
    result = call("predict", "-m", two.path, tmp_path / "both.nii.gz", tmp_path / "o.nii.gz")
    assert result.exit_code == 0, result.output
    assert dice(formats.read_labels(tmp_path / "o.nii.gz").array == 1, organ) > 0.9
    formats.write(tmp_path / "one.nii.gz", volume)
    assert (
        "a 4D file of 2 volumes"
        in call("predict", "-m", two.path, tmp_path / "one.nii.gz", tmp_path / "p.nii.gz").stderr
    )


@pytest.mark.parametrize(
    ("words", "dtype"),
    [(("--probabilities", "uint8"), np.uint8), (("--probabilities", "float16"), np.float16)],
)
def test_probabilities_of_a_type_are_zarr(
    words: tuple[str, ...], dtype: type, bundle: str, tmp_path: Path
) -> None:
    volume, organ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    assert call("predict", "-m", bundle, *words, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz").exit_code == 0
    maps, names = read_maps(tmp_path / "o_probabilities.zarr")
    assert names == ("background", "organ")
    assert zarr.open_array(tmp_path / "o_probabilities.zarr/0", mode="r").dtype == dtype
    assert maps.array.sum(axis=0) == pytest.approx(1, abs=2 / 255)
    centre = maps.geometry.lps_to_index(volume.geometry.index_to_lps(np.argwhere(organ).mean(axis=0)))
    z, y, x = (round(float(i)) for i in centre)
    assert maps.array[1, z, y, x] > 0.9
    again = call(
        "predict",
        "-m",
        bundle,
        *words,
        tmp_path / "ct.nii.gz",
        tmp_path / "o2.nii.gz",
        "--region",
        "nonsense",
    )
    assert again.exit_code == 2
    (tmp_path / "o.nii.gz").unlink()
    (tmp_path / "o.provenance.json").unlink()
    refused = call("predict", "-m", bundle, *words, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz")
    assert refused.exit_code == 1 and "o_probabilities.zarr: already exists" in refused.stderr


def test_large_probabilities_are_zarr(bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    assert (
        call(
            "predict", "-m", bundle, "--probabilities", tmp_path / "ct.nii.gz", tmp_path / "small.nii.gz"
        ).exit_code
        == 0
    )
    monkeypatch.setattr("ctseg_models.inference.labels.probability_volume.LARGE", 1000)
    assert (
        call(
            "predict", "-m", bundle, "--probabilities", tmp_path / "ct.nii.gz", tmp_path / "large.nii.gz"
        ).exit_code
        == 0
    )
    large, _ = read_maps(tmp_path / "large_probabilities.zarr")
    small = [formats.read(tmp_path / "small_probabilities.nii.gz", volume=number) for number in (1, 2)]
    assert large.array == pytest.approx(np.stack([one.array for one in small]), abs=5e-4)
    assert large.geometry.affine_lps == pytest.approx(small[0].geometry.affine_lps, abs=1e-3)
    assert not (tmp_path / "large_probabilities.nii.gz").exists()


def test_an_ensemble_of_weights_staple_and_entropy(bundle: str, tmp_path: Path) -> None:
    other = threshold_bundle(tmp_path / "other", threshold_hu=80).path
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii", volume)

    def predicted(*words: str) -> dict[str, Any]:
        result = call(
            "predict",
            "-m",
            bundle,
            "-m",
            other,
            *words,
            "--json",
            "--overwrite",
            tmp_path / "ct.nii",
            tmp_path / "o.nii.gz",
        )
        assert result.exit_code == 0, result.output
        record: dict[str, Any] = json.loads(result.stdout)
        return record

    weighted = predicted("--combine", "vote", "--weights", "1,3")
    assert weighted["weights"] == [1.0, 3.0]
    assert formats.read(tmp_path / "o_disagreement.nii.gz").array.max() == pytest.approx(0.25)
    row = weighted["confidence"][0]
    found = formats.read_labels(tmp_path / "o.nii.gz")
    assert row["name"] == "organ" and row["value"] == 5
    assert row["volume_ml"] == pytest.approx(
        (found.array == 5).sum() * np.prod(found.geometry.spacing_mm) / 1000, rel=1e-3
    )
    assert 0.5 < row["mean_probability"] <= 1 and 0 <= row["mean_disagreement"] < 0.25
    assert [one["bundle"] for one in predicted("--combine", "staple")["staple"]] == ["threshold", "other"]
    assert predicted("--disagreement", "entropy")["settings"]["disagreement"] == "entropy"
    assert predicted("--mirror")["warnings"][-1].startswith("The model allows no mirroring")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--weights", "1,2"), "a number above 0 for each"),
        (("--weights", "x"), "a number above 0 for each"),
        (("--disagreement",), "no disagreement"),
        (("-m", "BUNDLE", "--weights", "1,2", "--combine", "staple"), "STAPLE estimates"),
        (("-m", "BUNDLE", "--weights", "1,-2"), "a number above 0 for each"),
        (("-m", "BUNDLE", "--edge-map"), "for a single model only"),
        (("-m", "BUNDLE", "--probabilities"), "for a single model only"),
    ],
)
def test_options_that_make_no_sense_together(
    words: tuple[str, ...], sentence: str, bundle: str, tmp_path: Path
) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    given = [bundle if word == "BUNDLE" else word for word in words]
    result = call("predict", "-m", bundle, *given, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz")
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_the_entropy_of_a_single_model(bundle: str, tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    assert (
        call(
            "predict",
            "-m",
            bundle,
            tmp_path / "ct.nii.gz",
            tmp_path / "o.nii.gz",
            "--disagreement",
            "entropy",
        ).exit_code
        == 0
    )
    unsure = formats.read(tmp_path / "o_disagreement.nii.gz").array
    assert 0 < unsure.max() <= 1 and unsure[0, 0, 0] == 0


def test_an_output_that_cannot_be_written_is_noticed_before_the_network_runs(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the network ran")

    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    monkeypatch.setattr("ctseg_models.inference.run", never)
    below_a_file = call(
        "predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / "ct.nii.gz" / "x" / "o.nii.gz"
    )
    assert below_a_file.exit_code == 1 and "is a file; choose another folder" in below_a_file.stderr
    if Path("/proc/self").is_dir():  # where not even the administrator can make a file
        nowhere = call("predict", "-m", bundle, tmp_path / "ct.nii.gz", "/proc/self/o.nii.gz")
        assert nowhere.exit_code == 1 and "cannot be written" in nowhere.stderr
    (tmp_path / "o_edges.nii.gz").write_bytes(b"precious")
    there = call("predict", "-m", bundle, tmp_path / "ct.nii.gz", tmp_path / "o.nii.gz", "--edge-map")
    assert there.exit_code == 1 and "o_edges.nii.gz: already exists" in there.stderr


def test_bundle_verbs(bundle: str, tmp_path: Path) -> None:
    listed = call("bundle", "add", bundle)
    assert listed.exit_code == 0, listed.output
    names = [entry["name"] for entry in json.loads(call("bundle", "list", "--json").stdout)]
    assert "threshold" in names
    shown = call("bundle", "show", "threshold")
    assert "5 organ" in shown.stdout
    assert "localise: unet at 6 x 6 x 6 mm" in shown.stdout
    assert "{" not in shown.stdout
    assert json.loads(call("bundle", "show", "threshold", "--json").stdout)["labels"] == {"5": "organ"}
    assert "networks load" in call("bundle", "verify", "threshold").stdout
    assert (
        call(
            "bundle", "compose", "--stage", bundle, "--stage", "threshold", "--out", tmp_path / "new"
        ).exit_code
        == 0
    )
    assert "networks load" in call("bundle", "verify", tmp_path / "new").stdout
    assert call("bundle", "compose", "--stage", bundle, "--out", tmp_path / "other").exit_code == 2
    (tmp_path / "new/models/localise.safetensors").write_bytes(b"")
    wrong = call("bundle", "verify", tmp_path / "new")
    assert wrong.exit_code == 1
    assert "damaged or changed" in wrong.stderr
