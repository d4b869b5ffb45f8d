"""Bundles that try to run code, to write elsewhere, or to fill the memory are refused at once."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError
from ctseg_models.bundles import store
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.vetting import trust
from napari_ctseg.commands.main import app
from tests.models.making import threshold_bundle
from tests.models.monai_making import (
    NETWORK,
    ORIENTATION,
    RANGE,
    SPACING,
    monai_bundle,
    random_weights,
    smooth_ct,
)
from tests.pace import at_most


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder while the hostile bundle is handled: whatever it writes shows here."""
    folder = tmp_path / "current"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class Touch:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("pwned", "w")


def listing(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "eval" not in path.name}


def run_all_of(path: Path) -> None:
    """As a user would who allows everything."""
    bundle = store.read(path)
    trust.trust(bundle, trust.content_hash(bundle.path))
    bundle.verify()
    bundle.load()


def assert_refused(path: Path, scratch: Path, *needles: str) -> None:
    """By reading, trusting, loading, adding, and the command; none leaves anything behind."""
    before = listing(scratch.parent)
    with pytest.raises(BundleError) as refused:
        run_all_of(path)
    with pytest.raises(BundleError):
        store.add(path)
    sentence = str(refused.value)
    assert all(needle in sentence for needle in needles), sentence
    assert sentence.count("\n") == 0
    assert listing(scratch.parent) - before <= {scratch.parent / "ct.nii.gz"}
    assert list(scratch.iterdir()) == []
    assert not list(store.user_folder().glob("*")) and not list(store.user_folder().glob(".*"))


MONAI = [
    ("pickle_model", "model.pt"),
    ("config_expression", "__import__"),
    ("logging_conf", "logging.conf"),
    ("output_path", "output_dir"),
]


@pytest.mark.parametrize(("name", "needle"), MONAI)
def test_the_hostile_bundles(
    name: str, needle: str, shared_file: Callable[[str], Path], scratch: Path, tmp_path: Path
) -> None:
    folder = shared_file(f"oracles/monai/hostile/{name}")
    assert_refused(folder, scratch, needle)
    formats.write(tmp_path / "ct.nii.gz", smooth_ct())
    for words in (
        ["predict", "-m", folder, tmp_path / "ct.nii.gz", scratch / "out.nii.gz"],
        ["bundle", "add", folder],
        ["bundle", "verify", folder],
        ["bundle", "trust", folder],
    ):
        result = CliRunner().invoke(app, [str(word) for word in words])
        if (
            words[1] != "trust" or name != "pickle_model"
        ):  # that one has nothing to trust: its weights are refused in any case
            assert result.exit_code == 1, result.output
            assert needle in result.stderr
    assert list(scratch.iterdir()) == []


def test_the_hostile_checkpoint(shared_file: Callable[[str], Path], scratch: Path) -> None:
    checkpoint = shared_file("oracles/monai/hostile/nnunet_checkpoint/checkpoint_final.pth")
    assert_refused(checkpoint, scratch, "side file")
    assert_refused(checkpoint.parent, scratch, "not a bundle")


def hostile(scratch: Path, **entries: Any) -> Path:
    return monai_bundle(scratch.parent / "made", **entries)


CONFIGS: dict[str, dict[str, Any]] = {
    "a system call": {"helper": "$os.system('touch pwned')"},
    "an import of subprocess": {"imports": ["$import subprocess"]},
    "another name for it": {
        "imports": ["$from os import system as harmless"],
        "x": "$harmless('touch pwned')",
    },
    "a module with another name": {"imports": ["$import os as o"], "x": "$o.popen('touch pwned')"},
    "through another module": {"x": "$glob.os.system('touch pwned')"},
    "dunders": {"x": "$().__class__.__base__.__subclasses__()"},
    "a dunder in a text": {"x": "$getattr(1, '__class__')"},
    "eval": {"x": "$eval('1')"},
    "builtins": {"x": {"_target_": "builtins.exec", "source": "open('pwned', 'w')"}},
    "a target": {"x": {"_target_": "subprocess.run", "args": ["touch", "pwned"]}},
    "a debugger": {"x": {"_target_": "UNet", "_mode_": "debug"}},
    "weights elsewhere": {
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/../../../weights.pt'",
        }
    },
    "an output elsewhere": {"output_dir": "../../elsewhere"},
    "a postfix elsewhere": {"output_postfix": "x/../../../pwned"},
    "a macro elsewhere": {"x": "%../../secret.json#a"},
    "a loop": {"inferer": "@inferer"},
    "in the network": {"network_def": {**NETWORK, "out_channels": "$os.system('touch pwned') + 3"}},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_configs(name: str, scratch: Path) -> None:
    assert_refused(hostile(scratch, **CONFIGS[name]), scratch, "inference.json")


def test_code_that_is_not_on_the_list_of_attacks_waits_for_a_decision(scratch: Path) -> None:
    call = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: open('pwned', 'w') and x"}
    folder = hostile(scratch, before=(ORIENTATION, SPACING, RANGE, call))
    bundle = store.add(folder)
    bundle.verify()
    with pytest.raises(BundleError, match="bundle trust"):
        bundle.load()
    assert "lambda x: open" in bundle.needs_trust[0] + bundle.needs_trust[1]
    assert list(scratch.iterdir()) == []


def test_a_pickle_that_runs_code(scratch: Path) -> None:
    folder = hostile(scratch, weights=False)
    torch.save({"model": random_weights(), "extra": Touch()}, folder / "models/model.pt")
    assert_refused(folder, scratch, "model.pt", "could run code")
    (folder / "models/model.pt").write_bytes(pickle.dumps(Touch()))
    assert_refused(folder, scratch, "model.pt")


def test_a_pickle_in_a_torchscript_file(scratch: Path) -> None:
    folder = hostile(scratch, weights=False)
    path = folder / "models/model.ts"
    torch.jit.script(torch.nn.Conv3d(1, 3, 1)).save(str(path))
    with zipfile.ZipFile(path) as archive:
        records = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(name, pickle.dumps(Touch()) if name.endswith("/data.pkl") else content)
    assert_refused(folder, scratch, "model.ts")


def test_a_safetensors_file_that_claims_a_header_of_1_gb(scratch: Path) -> None:
    folder = hostile(scratch, weights=False)
    (folder / "models/model.safetensors").write_bytes(struct.pack("<Q", 2**30) + b"{}" * 50)
    assert_refused(folder, scratch, "model.safetensors")
    own = threshold_bundle(scratch.parent / "own", two_stages=False).path
    weights = own / "models/segment.safetensors"
    weights.write_bytes(struct.pack("<Q", 2**30) + b"{}" * 50)
    from ctseg_models.vetting.hashes import write_sums

    write_sums(own)
    assert_refused(own, scratch, "segment.safetensors")


def test_a_checkpoint_that_unpacks_to_much_more_than_it_is(scratch: Path) -> None:
    folder = hostile(scratch, weights=False)
    torch.save(random_weights(), folder / "models/model.pt")
    with zipfile.ZipFile(folder / "models/model.pt") as archive:
        records = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(folder / "models/model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content + b"\0" * 2**22)
    assert_refused(folder, scratch, "model.pt", "beyond the file's own size")


@pytest.mark.parametrize("name", ["configs/inference.json", "configs/metadata.json"])
def test_a_json_of_200_mb(name: str, scratch: Path) -> None:
    folder = hostile(scratch)
    with (folder / name).open("ab") as file:
        file.truncate(200 * 2**20)
    assert_refused(folder, scratch, "far more than any config")


def test_a_yaml_bomb(scratch: Path) -> None:
    folder = hostile(scratch)
    (folder / "configs/inference.json").unlink()
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"] + [
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 25)
    ]
    (folder / "configs/inference.yaml").write_text("\n".join(lines))
    assert_refused(folder, scratch, "inference.yaml", "aliases")


def test_a_link_out_of_the_folder(scratch: Path) -> None:
    folder = hostile(scratch)
    secret = scratch.parent / "secret.pt"
    shutil.copyfile(folder / "models/model.pt", secret)
    (folder / "models/model.pt").unlink()
    (folder / "models/model.pt").symlink_to(secret)
    assert_refused(folder, scratch, "link that leads out")
    (folder / "models/model.pt").unlink()
    os.mkfifo(folder / "models/model.pt")
    assert_refused(folder, scratch, "neither a file nor a folder")


def test_a_name_that_is_a_path(scratch: Path) -> None:
    assert_refused(
        hostile(scratch, metadata={"name": "../../evil"}), scratch, "metadata.json", "reads like a path"
    )


def archive_of(folder: Path, path: Path, more: Callable[[zipfile.ZipFile], None] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
        more(archive)
    return path


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("made/models/link")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


ARCHIVES: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "up": (lambda archive: archive.writestr("../pwned", "x"), "outside"),
    "absolute": (lambda archive: archive.writestr("/tmp/pwned", "x"), "outside"),
    "windows": (lambda archive: archive.writestr("made\\..\\..\\pwned", "x"), "outside"),
    "a drive": (lambda archive: archive.writestr("C:/pwned", "x"), "outside"),
    "a link": (link, "link"),
    "a bomb": (lambda archive: archive.writestr("made/bomb", b"\0" * 2**26), "would unpack"),
    "many files": (
        lambda archive: [archive.writestr(f"made/{n}", "") for n in range(10_001)] and None,
        "would unpack",
    ),
    "a name twice": (
        lambda archive: archive.writestr("made/configs/metadata.json", "{}"),
        "cannot be unpacked",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives(name: str, scratch: Path) -> None:
    more, needle = ARCHIVES[name]
    path = archive_of(hostile(scratch), scratch.parent / "made.zip", more)
    before = listing(scratch.parent)
    with pytest.raises(BundleError, match=needle):
        store.add(path)
    assert listing(scratch.parent) == before
    assert list(store.user_folder().iterdir()) == []


def test_the_list_goes_on_past_a_hostile_bundle(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile(scratch, helper="$os.system('touch pwned')")
    monkeypatch.setenv("CTSEG_BUNDLES", str(scratch.parent))
    found = store.scan()
    assert any("os.system" in fault for fault in found.faults)
    assert "made" not in [bundle.name for bundle in found.bundles]
    assert found.bundles


def test_the_list_goes_on_past_what_nobody_foresaw(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hostile(scratch)
    monkeypatch.setenv("CTSEG_BUNDLES", str(scratch.parent))

    def read(path: Path) -> Any:
        if path == folder:
            raise ZeroDivisionError("division\nby zero")
        return read_monai(path)

    monkeypatch.setattr(store, "read_monai", read)
    found = store.scan()
    assert f"{folder}: cannot be read (division); get the bundle again." in found.faults
    assert found.bundles


SLOW: dict[str, tuple[dict[str, Any], str]] = {
    "references": (
        {f"r{n}": [f"@r{n - 1}" if n else RANGE] * 10 for n in range(16)} | {"preprocessing": "@r15"},
        "references",
    ),
    "an argument": (
        {f"r{n}": [f"@r{n - 1}" if n else "x"] * 8 for n in range(9)}
        | {"network_def": {**NETWORK, "x": "@r8"}},
        "references",
    ),
    "a number": (
        {"x": "$round(1, -100000000)", "inferer": {"_target_": "SimpleInferer", "y": "@x"}},
        "rounds to more digits",
    ),
    "weights with a NUL": (
        {"checkpointloader": {"_target_": "CheckpointLoader", "load_path": "a\0b.pt"}},
        "cannot be a file",
    ),
    "weights of 300 letters": (
        {"checkpointloader": {"_target_": "CheckpointLoader", "load_path": "x" * 300 + ".pt"}},
        "cannot be a file",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_tiny_configs_that_would_hold_up_or_break_the_list(name: str, scratch: Path) -> None:
    entries, needle = SLOW[name]
    folder = hostile(scratch, **entries)
    with at_most(5), pytest.raises(BundleError, match=needle):
        store.read(folder).load()


def test_an_honest_config_of_the_zoo_is_not_taken_for_an_attack(scratch: Path) -> None:
    entries = {
        "imports": [
            "$import glob",
            "$import os",
            "$import numpy as np",
            "$from pathlib import Path",
            "$import json",
        ],
        "dataset_dir": "../data",
        "pattern": "$os.path.join(@dataset_dir, '*.nii.gz')",
        "version": "$monai.__version__",
        "initialize": [
            "$setattr(torch.backends.cudnn, 'benchmark', True)",
            "$monai.utils.set_determinism(seed=123)",
        ],
        "handlers": [
            {
                "_target_": "StatsHandler",
                "output_transform": "$monai.handlers.from_engine(['loss'], first=True)",
            }
        ],
    }
    bundle = read_monai(hostile(scratch, **entries))
    assert (bundle.way, bundle.needs_trust) == ("interpreted", ())
    assert json.loads((bundle.path / "configs/inference.json").read_text())["imports"]
