"""Bundles of this project on disk: whole or not at all, checked by hash, found by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles import store
from ctseg_models.bundles.own.bundle import OwnBundle, build_network, read_own
from ctseg_models.bundles.own.writing import compose, write_bundle
from ctseg_models.inference import InferenceSettings, run
from tests.models.making import body_with_organ, threshold_bundle, threshold_stage, threshold_weights


def localiser_and_segmenter(folder: Path) -> tuple[OwnBundle, OwnBundle]:
    made = []
    for name, hu, spacing in (("localise", 150.0, (6.0, 6.0, 6.0)), ("segment", 200.0, (2.0, 2.5, 2.5))):
        stage = threshold_stage(name, hu, spacing, margin_mm=6.0 if name == "localise" else 0.0)
        made.append(
            write_bundle(
                folder / name,
                name=f"my-{name}",
                stages=[stage],
                weights={name: threshold_weights(stage)},
                labels=Labels.from_names({5: "organ"}),
                card=f"# {name}",
                scores={"dice": 0.5},
            )
        )
    return made[0], made[1]


def test_it_comes_back_as_written(tmp_path: Path) -> None:
    stage = threshold_stage("segment", 200, (2.0, 2.5, 2.5), smoothing_sigma_mm=1.0)
    weights = {key: torch.randn_like(tensor) for key, tensor in build_network(stage).state_dict().items()}
    labels = Labels.from_names({2: "liver", 7: "spleen"})
    with pytest.raises(BundleError, match="2 outputs for 2 labels"):
        write_bundle(
            tmp_path / "b", name="b", stages=[stage], weights={"segment": weights}, labels=labels, card="# b"
        )
    bundle = write_bundle(
        tmp_path / "b",
        name="b",
        stages=[stage],
        weights={"segment": weights},
        labels=Labels.from_names({7: "spleen"}),
        card="# For tests\n\nText.",
        scores={"dice": {"spleen": 0.9}},
        training_data={"cases": 3},
        precision="fp32",
    )
    again = read_own(tmp_path / "b")
    assert again.stages == (stage,)
    assert again.sha256 == bundle.sha256
    assert again.labels == Labels.from_names({7: "spleen"})
    assert again.card.startswith("# For tests")
    assert again.block.scores == {"dice": {"spleen": 0.9}}
    assert all(torch.equal(tensor, weights[key]) for key, tensor in again.weights("segment").items())
    half = write_bundle(
        tmp_path / "h",
        name="h",
        stages=[stage],
        weights={"segment": weights},
        labels=again.labels,
        card="# h",
    )
    assert all(
        torch.equal(tensor, weights[key].half().float()) for key, tensor in half.weights("segment").items()
    )
    assert sorted(
        path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").rglob("*") if path.is_file()
    ) == [
        "LICENSE",
        "SHA256SUMS",
        "configs/inference.json",
        "configs/metadata.json",
        "docs/README.md",
        "models/segment.safetensors",
    ]


def test_the_metadata_is_monais(tmp_path: Path) -> None:
    metadata = json.loads((threshold_bundle(tmp_path / "b").path / "configs/metadata.json").read_text())
    for key in (
        "schema",
        "version",
        "changelog",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    ):
        assert metadata[key]
    formats = metadata["network_data_format"]
    assert formats["inputs"]["image"]["channel_def"] == {"0": "CT"}
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "organ"}
    assert metadata["ctseg"]["stages"][0]["name"] == "localise"


def test_monais_parser_builds_the_network_of_inference_json(tmp_path: Path) -> None:
    parser_of = pytest.importorskip("monai.bundle").ConfigParser
    stage = threshold_stage("segment", 200, (2.0, 2.5, 2.5))
    bundle = write_bundle(
        tmp_path / "b",
        name="b",
        stages=[stage],
        weights={"segment": threshold_weights(stage)},
        labels=Labels.from_names({5: "organ"}),
        card="# b",
    )
    parser = parser_of()
    parser.read_config(str(bundle.path / "configs/inference.json"))
    parser["bundle_root"] = str(bundle.path)
    parser["device"] = "$torch.device('cpu')"
    parser.get_parsed_content("imports")
    network = parser.get_parsed_content("network")
    parser.get_parsed_content("initialize")
    image = torch.full((1, 1, 8, 8, 8), 0.5)
    image[..., 4:] = -0.5
    with torch.no_grad():
        probabilities = network(image)
    assert probabilities.shape == (1, 2, 8, 8, 8)
    assert (probabilities[0, 1, 2:6, 2:6, 1] > 0.9).all()
    assert (probabilities[0, 1, 2:6, 2:6, 6] < 0.1).all()


@pytest.mark.parametrize("name", ["models/segment.safetensors", "configs/metadata.json", "docs/README.md"])
def test_one_changed_byte_is_found(name: str, tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "b")
    bundle.verify()
    path = bundle.path / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: the hash is not the one in SHA256SUMS"):
        bundle.verify()
    with pytest.raises(BundleError, match="damaged or changed"):
        bundle.load()


def test_missing_parts_are_sentences(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "b")
    (bundle.path / "models/segment.safetensors").unlink()
    with pytest.raises(BundleError, match="listed in SHA256SUMS but missing"):
        bundle.verify()
    sums = bundle.path / "SHA256SUMS"
    sums.write_text(
        "".join(line for line in sums.read_text().splitlines(keepends=True) if "segment" not in line)
    )
    with pytest.raises(BundleError, match="not listed in SHA256SUMS"):
        bundle.verify()
    sums.write_text("../../etc/passwd\n")
    with pytest.raises(BundleError, match="is not a hash and file name"):
        bundle.verify()
    sums.unlink()
    with pytest.raises(BundleError, match="SHA256SUMS is missing"):
        bundle.load()
    (bundle.path / "configs/metadata.json").write_text("{}")
    with pytest.raises(BundleError, match="not a bundle that napari-ctseg knows"):
        read_own(bundle.path)
    shutil.rmtree(bundle.path / "configs")
    with pytest.raises(BundleError, match="not a bundle"):
        store.find(bundle.path)


def test_weights_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    stage = threshold_stage("segment", 200, (2.0, 2.5, 2.5))
    weights = threshold_weights(stage)
    weights["prediction.weight"] = torch.zeros(3, 2, 1, 1, 1)
    with pytest.raises(BundleError, match="do not fit"):
        write_bundle(
            tmp_path / "b",
            name="b",
            stages=[stage],
            weights={"segment": weights},
            labels=Labels.from_names({1: "a"}),
            card="# b",
        )
    weights = threshold_weights(stage)
    weights["prediction.weight"][0] = 1e6
    with pytest.raises(BundleError, match="not finite in fp16"):
        write_bundle(
            tmp_path / "b",
            name="b",
            stages=[stage],
            weights={"segment": weights},
            labels=Labels.from_names({1: "a"}),
            card="# b",
        )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_stays_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    first = threshold_bundle(tmp_path / "b", threshold_hu=100)
    with pytest.raises(BundleError, match="already exists"):
        threshold_bundle(tmp_path / "b")
    assert read_own(tmp_path / "b").sha256 == first.sha256
    second = write_bundle(
        tmp_path / "b",
        name="b",
        stages=list(first.stages),
        labels=first.labels,
        card="# another",
        overwrite=True,
        weights={stage.name: first.weights(stage.name) for stage in first.stages},
    )
    assert read_own(tmp_path / "b").sha256 == second.sha256 != first.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_composing_joins_the_stages_and_changes_no_weight(tmp_path: Path) -> None:
    localiser, segmenter = localiser_and_segmenter(tmp_path)
    both = compose(localiser, segmenter, tmp_path / "both")
    assert [stage.name for stage in both.stages] == ["localise", "segment"]
    assert all(
        torch.equal(tensor, segmenter.weights("segment")[key])
        for key, tensor in both.weights("segment").items()
    )
    assert both.block.scores == {"segment": {"dice": 0.5}, "localise": {"dice": 0.5}}
    assert "# localise" in both.card
    volume, _ = body_with_organ()
    assert finish(run(both, volume, settings=InferenceSettings(precision="fp32"))).labels.array.any()
    with pytest.raises(BundleError, match='has no stage "localise"'):
        compose(segmenter, localiser, tmp_path / "wrong")


def test_bundles_are_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    threshold_bundle(folder / "alpha")
    damaged = threshold_bundle(folder / "beta").path / "configs/metadata.json"
    damaged.write_text("{")
    monkeypatch.setenv("CTSEG_BUNDLES", os.pathsep.join([str(tmp_path / "nowhere"), str(folder)]))
    assert store.find("alpha").name == "alpha"
    assert store.find(folder / "alpha").name == "alpha"
    found = store.scan()
    assert "alpha" in [bundle.name for bundle in found.bundles]
    assert [str(damaged) in fault for fault in found.faults] == [True]
    with pytest.raises(
        BundleError,
        match=r"no bundle, folder or file has this name; known bundles: .*alpha",
    ):
        store.find("gamma")
    (tmp_path / "notes.txt").write_text("no bundle")
    with pytest.raises(BundleError, match="is not a bundle"):
        store.find(tmp_path / "notes.txt")


def test_add_copies_after_checking(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "b")
    added = store.add(bundle.path)
    assert added.path.parent == store.user_folder()
    assert added.sha256 == bundle.sha256
    assert store.find("b").path == added.path
    with pytest.raises(BundleError, match="already exists"):
        store.add(bundle.path)
    weights = bundle.path / "models/segment.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BundleError, match="damaged or changed"):
        store.add(bundle.path, overwrite=True)
    store.find("b").verify()


def test_finding_bundles_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, ctseg_models.bundles.store as s, ctseg_models.inference; s.list_bundles(); assert "
        "'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
