"""The store: bundles of every kind found by name or path, and copied whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles import store
from ctseg_models.bundles.single_file.onnx import OnnxBundle
from ctseg_models.bundles.single_file.side_file import side_file_path
from tests.models.making import threshold_bundle
from tests.models.monai_making import monai_bundle
from tests.pace import at_most

PLANS = "oracles/nnunet/plain_aniso"


def nnunet_folder(shared_file: Callable[[str], Path]) -> Path:
    return next(shared_file(PLANS).glob("Dataset*/*__*"))


def zipped(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
    return path


def test_a_monai_bundle_is_copied_and_found_by_both_names(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "lung_ct", metadata={"name": "Lung CT segmentation"})
    added = store.add(folder)
    assert added.path == store.user_folder() / "lung_ct"
    for name in ("Lung CT segmentation", "lung_ct", str(folder)):
        assert store.find(name).name == "Lung CT segmentation"
    assert [path.name for path in store.user_folder().iterdir()] == ["lung_ct"]
    with pytest.raises(BundleError, match="already exists"):
        store.add(folder)
    assert store.add(folder, overwrite=True).sha256 == added.sha256


def test_the_fingerprint_follows_config_and_weights(tmp_path: Path) -> None:
    import torch

    from tests.models.monai_making import random_weights

    folder = monai_bundle(tmp_path / "one")
    first = store.read(folder).sha256
    changed = random_weights()
    changed[next(iter(changed))] += 1e-3
    torch.save(changed, folder / "models/model.pt")
    assert first != store.read(folder).sha256 != ""


def test_an_nnunet_folder_keeps_its_place_below_its_data_set(shared_file: Callable[[str], Path]) -> None:
    folder = nnunet_folder(shared_file)
    added = store.add(folder)
    assert added.path == store.user_folder() / folder.parent.name / folder.name
    assert (added.kind, store.find(added.name).path) == ("nnunet", added.path)
    assert {path.name for path in added.path.rglob("*") if path.is_file()} >= {
        "plans.json",
        "dataset.json",
        "checkpoint_final.pth",
    }


def test_what_training_left_behind_stays_behind(shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "Dataset999_Toy" / nnunet_folder(shared_file).name
    shutil.copytree(nnunet_folder(shared_file), folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    (folder / "fold_0/validation").mkdir()
    (folder / "fold_0/validation/case.nii.gz").write_bytes(b"x" * 1000)
    (folder / "fold_0/progress.png").write_bytes(b"x")
    assert not list(store.add(folder).path.rglob("validation")) + list(
        store.user_folder().rglob("progress.png")
    )


@pytest.mark.parametrize("prefix", ["", "inner/", "a/b/"])
def test_an_archive_is_unpacked(prefix: str, tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made", metadata={"name": "Zipped"})
    added = store.add(zipped(folder, tmp_path / "archive.zip", prefix))
    assert added.name == "Zipped"
    assert added.path.parent == store.user_folder()
    assert added.path.name == {"": "archive", "inner/": "inner", "a/b/": "b"}[prefix]
    assert {path.name for path in store.user_folder().iterdir()} == {added.path.name}


def test_an_archive_of_this_projects_own_bundle(tmp_path: Path) -> None:
    own = threshold_bundle(tmp_path / "threshold")
    added = store.add(zipped(own.path, tmp_path / "threshold.zip", "threshold/"))
    assert (added.kind, added.sha256) == ("ctseg", own.sha256)


def test_an_archive_has_to_be_added(tmp_path: Path) -> None:
    path = zipped(monai_bundle(tmp_path / "made"), tmp_path / "archive.zip")
    with pytest.raises(BundleError, match="bundle add"):
        store.find(path)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BundleError, match=r"damaged\.zip"):
        store.add(damaged)
    assert not list(store.user_folder().iterdir())


def test_a_network_file_comes_with_its_side_file(tmp_path: Path) -> None:
    import torch

    from tests.models.bundles.single_file.test_foreign_bundles import Ramp, scripted, side_file

    network = side_file(
        scripted(Ramp(), tmp_path / "ramp.ts"),
        labels={"1": "a", "2": "b"},
        output={"kind": "logits", "classes": [0, 1, 2]},
    )
    added = store.add(network)
    assert side_file_path(added.path).is_file()
    torch.save({"a": torch.zeros(1)}, network)
    with pytest.raises(BundleError):
        store.add(network, overwrite=True)
    assert store.read(added.path).sha256 == added.sha256


def test_what_is_no_bundle_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    for name, needle in (
        ("empty", "plans.json"),
        ("text.txt", "is not a bundle"),
        ("none", "folder or file has this name"),
    ):
        with pytest.raises(BundleError, match=needle):
            store.find(tmp_path / name)
    with pytest.raises(BundleError, match="none: is not a bundle"):
        store.add(tmp_path / "none")


def test_our_own_block_makes_it_our_own_kind(tmp_path: Path) -> None:
    own = threshold_bundle(tmp_path / "threshold")
    (own.path / "configs/inference.json").write_text('{"anything": "$import os"}')
    assert store.read(own.path).kind == "ctseg"


def test_listing_many_bundles_is_fast_and_loads_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    for number in range(10):
        monai_bundle(tmp_path / "many" / f"bundle{number}")
    monkeypatch.setenv("CTSEG_BUNDLES", str(tmp_path / "many"))
    store.scan()
    with at_most(0.5):  # 0.05 s on an idle machine
        found = store.scan()
    assert len(found.bundles) >= 10
    code = (
        "import sys\nfrom ctseg_models.bundles import store\nstore.scan()\nprint([name for name in ('torch', "
        "'monai', 'scipy') if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "looped")
    own = threshold_bundle(tmp_path / "threshold").path
    for path in (folder, own):
        (path / "a").symlink_to(".")
        with pytest.raises(BundleError, match="is a link to a folder"):
            store.add(path)
    assert not list(store.user_folder().iterdir())


def test_files_of_an_archive_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    whole = zipped(monai_bundle(tmp_path / "made"), tmp_path / "shared.zip")
    with zipfile.ZipFile(whole, "a") as archive:
        for number in range(3):  # further entries of the table of contents for the largest file
            again = max(archive.infolist(), key=lambda entry: entry.compress_size)
            archive.filelist.append(copy(again))
            archive.filelist[-1].filename = f"again{number}.pt"
        archive.comment = b"more"  # so the table of contents is written again
    with pytest.raises(BundleError, match="share their bytes"):
        store.add(whole)


def test_two_networks_of_one_name_do_not_share_a_side_file(tmp_path: Path) -> None:
    from tests.models.bundles.single_file.test_foreign_bundles import Ramp, scripted, side_file

    entries = {"labels": {"1": "a", "2": "b"}, "output": {"kind": "logits", "classes": [0, 1, 2]}}
    (tmp_path / "other").mkdir()
    added = store.add(side_file(scripted(Ramp(), tmp_path / "ramp.ts"), **entries))
    before = side_file_path(added.path).read_bytes()
    second = side_file(scripted(Ramp(), tmp_path / "other/ramp.pt"), **entries, card="another")
    for overwrite in (False, True):
        with pytest.raises(BundleError, match=r"would take its side file ramp\.json"):
            store.add(second, overwrite=overwrite)
    assert side_file_path(added.path).read_bytes() == before
    added.path.unlink()
    with pytest.raises(BundleError, match="already exists"):
        store.add(second)


def test_arrays_beside_an_onnx_file_come_with_it_and_count(tmp_path: Path) -> None:
    from tests.models.bundles.single_file.test_foreign_bundles import side_file
    from tests.models.bundles.single_file.test_foreign_safety import onnx_file, outside

    path = side_file(onnx_file(tmp_path / "x.onnx", weight=outside("x.onnx.data")))
    (tmp_path / "x.onnx.data").write_bytes(bytes(16))
    first = store.read(path).sha256
    (tmp_path / "x.onnx.data").write_bytes(bytes(15) + b"1")
    bundle = store.read(path)
    assert (
        isinstance(bundle, OnnxBundle)
        and bundle.sha256 != first
        and bundle.arrays == (tmp_path / "x.onnx.data",)
    )
    joined = hashlib.sha256(path.read_bytes() + (tmp_path / "x.onnx.data").read_bytes()).hexdigest()
    replace(bundle, side=bundle.side.model_copy(update={"sha256": joined})).verify()
    with pytest.raises(BundleError, match="the hash is not"):
        replace(
            bundle,
            side=bundle.side.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}),
        ).verify()
    store.add(path)
    assert (store.user_folder() / "x.onnx.data").read_bytes() == (tmp_path / "x.onnx.data").read_bytes()
    (tmp_path / "x.onnx.data").rename(tmp_path / "weights.bin")
    shared = side_file(onnx_file(tmp_path / "x.onnx", weight=outside("weights.bin")))
    with pytest.raises(BundleError, match="another network may have too"):
        store.add(shared)


@pytest.mark.parametrize("listed", ["store", "dock"])
def test_a_list_of_bundles_opens_no_network_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    from napari_ctseg.docks.run_model.run.request import InstalledModels
    from tests.models.bundles.single_file.test_foreign_bundles import Ramp, scripted, side_file
    from tests.models.bundles.single_file.test_foreign_safety import onnx_file, outside

    networks = [
        side_file(onnx_file(tmp_path / "x.onnx", weight=outside("x.onnx.data"))),
        side_file(scripted(Ramp(), tmp_path / "r.ts")),
    ]
    (tmp_path / "x.onnx.data").write_bytes(bytes(16))
    monkeypatch.setenv("CTSEG_BUNDLES", str(tmp_path))
    opened: list[Path] = []
    plain = Path.open

    def recording(path: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(path)
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", recording)
    bundles = {
        bundle.path: bundle
        for bundle in (store.scan().bundles if listed == "store" else InstalledModels().bundles()[0])
    }
    assert not {*networks, tmp_path / "x.onnx.data"} & {*opened}
    for path in networks:
        files = [path, side_file_path(path), *([tmp_path / "x.onnx.data"] if path.suffix == ".onnx" else [])]
        parts = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        opened.clear()
        assert bundles[path].sha256 == hashlib.sha256("".join(parts).encode()).hexdigest() and {*files} <= {
            *opened
        }


def test_the_hash_of_a_network_that_went_away_is_asked_for(tmp_path: Path) -> None:
    from tests.models.bundles.single_file.test_foreign_bundles import Ramp, scripted, side_file

    path = side_file(scripted(Ramp(), tmp_path / "r.ts"))
    bundle = store.read(path)
    path.unlink()
    with pytest.raises(BundleError, match=r"r\.ts: the file is missing"):
        _ = bundle.sha256


def test_a_folder_of_nnunets_models_is_refused_with_their_names(tmp_path: Path) -> None:
    names = [
        f"nnUNetTrainer__nnUNetPlans__{one}"
        for one in ("2d", "3d_cascade_fullres", "3d_fullres", "3d_lowres")
    ]
    for dataset, within in (("Dataset001_One", names), ("Dataset002_Two", names[:2])):
        for name in within:
            (tmp_path / dataset / name).mkdir(parents=True)
            for file in ("plans.json", "dataset.json"):
                (tmp_path / dataset / name / file).write_text("{}")
    with pytest.raises(BundleError) as refused:
        store.add(tmp_path / "Dataset002_Two")
    assert str(refused.value).endswith(
        f"Two: is not a model but a folder of nnU-Net's models; name one of them: {names[0]}, {names[1]}."
    )
    with pytest.raises(BundleError) as refused:
        store.read(tmp_path)
    listed = [*(f"Dataset001_One/{name}" for name in names), f"Dataset002_Two/{names[0]}"]
    assert str(refused.value).endswith(f"name one of them: {', '.join(listed)} and 1 more.")
