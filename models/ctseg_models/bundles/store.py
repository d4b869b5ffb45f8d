"""Where bundles are found: those that ship with the project, the person's own, and CTSEG_BUNDLES. Nothing comes from the network."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles import onnx, torchscript
from ctseg_models.bundles.bundle import Bundle
from ctseg_models.bundles.nnunet import looks_like_nnunet, read_nnunet
from ctseg_models.bundles.own import METADATA, read_own
from ctseg_models.bundles.side_file import side_file_path

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scan:
    """What the folders hold. faults : a sentence for each thing that looks like a bundle and is none."""

    bundles: tuple[Bundle, ...]
    faults: tuple[str, ...]


def shipped_folder() -> Path:
    """Where the trained bundles of the project lie: inside the package when installed, `models/bundles` in a checkout."""
    installed = PACKAGE / "bundled"
    return installed if installed.is_dir() else PACKAGE.parent / "bundles"


def user_folder() -> Path:
    """Where `add` puts bundles."""
    return platformdirs.user_data_path("napari-ctseg", appauthor=False) / "bundles"


def folders() -> tuple[Path, ...]:
    """The search path; an earlier folder wins. CTSEG_BUNDLES : folders separated as in PATH."""
    extra = [Path(entry) for entry in os.environ.get("CTSEG_BUNDLES", "").split(os.pathsep) if entry]
    return *extra, user_folder(), shipped_folder()


def scan() -> Scan:
    """Look through the search path; of two bundles with one name the first counts."""
    bundles: dict[str, Bundle] = {}
    faults = []
    for folder in folders():
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not _looks_like_bundle(path):
                continue
            try:
                bundle = read(path)
            except BundleError as error:
                faults.append(str(error))
                continue
            bundles.setdefault(bundle.name, bundle)
    return Scan(tuple(sorted(bundles.values(), key=lambda bundle: bundle.name)), tuple(faults))


def list_bundles() -> list[Bundle]:
    """Every readable bundle of the search path, by name."""
    return list(scan().bundles)


def find(name_or_path: str | Path) -> Bundle:
    """A bundle by its name, or by the path of its folder or file. Raises BundleError."""
    text = str(name_or_path)
    named = {bundle.name: bundle for bundle in scan().bundles}
    if text in named:
        return named[text]
    path = Path(name_or_path).expanduser()
    if path.exists():
        return read(path)
    known = ", ".join(named) or "none"
    raise BundleError(f"{text}: there is no bundle of this name and no such folder or file; known bundles: {known}.")


def read(path: Path) -> Bundle:
    """The bundle in a folder or file. Raises BundleError."""
    if path.is_dir():
        return read_nnunet(path) if looks_like_nnunet(path) else read_own(path)
    if path.suffix.lower() in torchscript.SUFFIXES:
        return torchscript.read_torchscript(path)
    if path.suffix.lower() in onnx.SUFFIXES:
        return onnx.read_onnx(path)
    raise BundleError(f"{path}: is no bundle; give a bundle's folder, or a TorchScript or ONNX file with its side file.")


def add(path: str | Path, *, overwrite: bool = False) -> Bundle:
    """Copy a bundle into the person's own folder after checking its hashes. Raises BundleError."""
    bundle = read(Path(path).expanduser())
    bundle.verify()
    target = user_folder() / bundle.path.resolve().name
    if target.exists() and not overwrite:
        raise BundleError(f"{target}: a bundle of this name is there already; rename the new one or allow overwriting.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".add.", dir=target.parent) as work:
            copy = Path(work) / target.name
            if bundle.path.is_dir():
                shutil.copytree(bundle.path, copy, copy_function=shutil.copyfile)
                if target.exists():
                    target.replace(Path(work) / "old")
                copy.replace(target)
            else:
                shutil.copyfile(side_file_path(bundle.path), side_file_path(copy))
                shutil.copyfile(bundle.path, copy)
                side_file_path(copy).replace(side_file_path(target))
                copy.replace(target)
    except OSError as error:
        raise BundleError(f"{target}: cannot be written ({error.strerror}); free some space or check the folder's rights.") from error
    return read(target)


def _looks_like_bundle(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return (path / METADATA).is_file() or looks_like_nnunet(path)
    return path.suffix.lower() in (*torchscript.SUFFIXES, *onnx.SUFFIXES) and side_file_path(path).is_file()
