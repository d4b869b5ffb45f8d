"""The code that runs is the code that was hashed and listed, even if the folder changes meanwhile."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ctseg_imaging.errors import BundleError, TrustNeeded
from ctseg_imaging.progress import finish
from ctseg_models.bundles.monai import building
from ctseg_models.bundles.monai import runner as monai_runner
from ctseg_models.bundles.monai.bundle import MonaiBundle, read_monai
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.vetting import private_copy, trust
from ctseg_models.vetting.private_copy import PrivateCopy, copies_folder
from tests.models.monai_making import ORIENTATION, RANGE, SPACING, monai_bundle, rewritten, smooth_ct

HONEST = (
    "class Same:\n    def __init__(self, keys):\n        pass\n\n    def __call__(self, data):\n        "
    "return data\n"
)
CANARY = "from pathlib import Path\nPath('canary ran').touch()\n" + HONEST
CALL = {"_target_": "scripts.own.Same", "keys": "image"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with one module of its own that does nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(private_copy, "copies_folder", lambda: tmp_path / "running")
    made = monai_bundle(
        tmp_path / "own", before=(ORIENTATION, SPACING, RANGE, CALL), imports=["$import scripts.own"]
    )
    (made / "scripts").mkdir()
    (made / "scripts/__init__.py").touch()
    (made / "scripts/own.py").write_text(HONEST)
    return made


def trusted(folder: Path) -> MonaiBundle:
    bundle = read_monai(folder)
    trust.trust(bundle, trust.content_hash(bundle.path))
    return bundle


def test_code_that_is_swapped_after_the_hash_does_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever modules are looked up, when loading and when running, the folder holds other code."""
    bundle, honest, swapped = trusted(folder), monai_runner.own_modules, []

    @contextmanager
    def swapping(where: Path) -> Iterator[None]:
        (folder / "scripts/own.py").write_text(CANARY)
        (folder / "torch_of_the_bundle.py").write_text(CANARY)
        swapped.append(where)
        with honest(where):
            yield

    for module in (building, monai_runner):
        monkeypatch.setattr(module, "own_modules", swapping)
    finish(run(bundle, smooth_ct(), settings=InferenceSettings(precision="fp32")))
    assert len(swapped) == 2 and not any(where.is_relative_to(folder) for where in swapped)
    assert not Path("canary ran").exists()
    with pytest.raises(TrustNeeded):
        bundle.load()


def test_code_that_is_swapped_while_it_is_copied_does_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, asked = trusted(folder), trust.require_trust

    def then_swap(one: MonaiBundle) -> None:
        asked(one)
        (folder / "scripts/own.py").write_text(CANARY)

    monkeypatch.setattr("ctseg_models.bundles.monai.bundle.require_trust", then_swap)
    with pytest.raises(TrustNeeded):
        bundle.load()
    assert not Path("canary ran").exists()


def test_another_config_than_the_listed_one_does_not_run(folder: Path) -> None:
    """Both were allowed at some time, but the listed one runs."""
    (folder / "canary.py").write_text(CANARY)
    other, listed = ["$import scripts.own", "$import canary"], ["$import scripts.own"]
    trusted(rewritten(folder, imports=other))
    bundle = trusted(rewritten(folder, imports=listed))
    rewritten(folder, imports=other)
    with pytest.raises(BundleError, match=r"own: was changed, and would run other code than was listed"):
        bundle.load()
    assert not Path("canary ran").exists()


def test_compiled_files_of_the_bundle_do_not_run(folder: Path) -> None:
    """A compiled file may hold other code than the source next to it."""
    source, compiled = (
        folder / "scripts/own.py",
        Path(importlib.util.cache_from_source(str(folder / "scripts/own.py"))),
    )
    compiled.parent.mkdir()
    code = compile(CANARY, str(source), "exec")
    from importlib._bootstrap_external import _code_to_timestamp_pyc  # type: ignore[import-not-found]

    os.utime(source, (1_700_000_000, 1_700_000_000))
    compiled.write_bytes(_code_to_timestamp_pyc(code, 1_700_000_000, source.stat().st_size))
    (folder / "alone.pyc").write_bytes(_code_to_timestamp_pyc(code))
    bundle = trusted(folder)
    bundle.load()
    assert not Path("canary ran").exists()
    subprocess.run([sys.executable, "-c", "import scripts.own"], cwd=folder, check=True)
    assert (folder / "canary ran").exists()  # Python itself would have run it
    (folder / "canary ran").unlink()
    with pytest.raises(BundleError, match="its own code failed"):
        trusted(rewritten(folder, preprocessing={"_target_": "alone.Same", "keys": "image"})).load()
    assert not Path("canary ran").exists()


def test_the_copy_is_private_and_goes_with_the_model(folder: Path, tmp_path: Path) -> None:
    copy = PrivateCopy(folder)
    assert copy.digest == trust.content_hash(folder) and copy.path.name == folder.name
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in (copy.path.parent, tmp_path / "running")} == {
            0o700
        }
    assert (copy.path / "scripts/own.py").read_text() == HONEST
    del copy
    assert list((tmp_path / "running").iterdir()) == []
    model = trusted(folder).load()
    assert len(list((tmp_path / "running").iterdir())) == 1
    del model
    import gc

    gc.collect()
    assert list((tmp_path / "running").iterdir()) == []


def test_copies_of_dead_processes_are_swept(folder: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    places = {
        name: tmp_path / "running" / name
        for name in (
            f"{gone.pid}-1700000000-a",
            f"{os.getpid()}-1700000000-b",
            f"{os.getpid()}-{psutil.Process().create_time():.0f}-c",
            "notes-of-mine-d",
        )
    }
    for place in places.values():
        (place / "own").mkdir(parents=True)
    copy = PrivateCopy(folder)
    left = {path.name for path in (tmp_path / "running").iterdir()} - {copy.path.parent.name}
    assert left == set(list(places)[2:])


def test_a_failed_copy_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    bundle = trusted(folder)
    (tmp_path / "running").write_text("")
    with pytest.raises(BundleError, match="cannot be copied there to run its code"):
        bundle.load()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize(
    "name", [b"a\nb", b"x\r", b"\x1b[31m", b"not utf-8 \xff", "right-to-left \u202e".encode()]
)
def test_names_that_cannot_be_shown_have_no_hash(name: bytes, folder: Path) -> None:
    bundle = trusted(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    for action in (
        lambda: trust.content_hash(folder),
        lambda: PrivateCopy(folder),
        bundle.load,
        lambda: trust.is_trusted(bundle),
    ):
        with pytest.raises(BundleError, match="characters that cannot be shown") as refused:
            action()
        assert str(refused.value).isprintable()


def test_sentences_name_the_bundles_own_folder(folder: Path) -> None:
    (folder / "scripts/own.py").write_text("raise ValueError('on purpose')")
    with pytest.raises(BundleError) as refused:
        trusted(folder).load()
    assert str(refused.value).startswith(str(folder)) and "running" not in str(refused.value)


def test_where_copies_lie() -> None:
    assert copies_folder().name == "running" and copies_folder().parent.name == "napari-ctseg"
