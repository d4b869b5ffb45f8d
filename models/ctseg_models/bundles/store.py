"""Finds bundles: those shipped with the project, the user's own, and those in CTSEG_BUNDLES.

Nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ctseg_imaging.errors import BundleError, BundleExists, first_line
from ctseg_models.bundles.monai.bundle import looks_like_monai, read_monai
from ctseg_models.bundles.monai.config.plain_files import read_plain
from ctseg_models.bundles.monai.config.refusals import refuse_strange_files
from ctseg_models.bundles.nnunet.bundle import NNUNetBundle, looks_like_nnunet, read_nnunet
from ctseg_models.bundles.own.bundle import METADATA, read_own
from ctseg_models.bundles.single_file import onnx, torchscript
from ctseg_models.bundles.single_file.bundle import SingleFileBundle
from ctseg_models.bundles.single_file.side_file import side_file_path
from ctseg_models.contract.bundle import Bundle
from ctseg_models.vetting.unpacking import unpack

ARCHIVE = ".zip"
MOST_NAMED = 5  # models named in a sentence
# What training leaves in a results folder of nnU-Net and running a model does not need.
LEFT_BEHIND = (
    "validation",
    "progress.png",
    "training_log_*.txt",
    "checkpoint_latest.pth",
    "debug.json",
    "__pycache__",
    ".git",
)
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scan:
    """The bundles in the folders. faults : a sentence for each thing that only looks like a bundle."""

    bundles: tuple[Bundle, ...]
    faults: tuple[str, ...]


def shipped_folder() -> Path:
    """The folder of the shipped bundles: in the package when installed, `models/bundles` in a checkout."""
    installed = PACKAGE / "bundled"
    return installed if installed.is_dir() else PACKAGE.parent / "bundles"


def is_shipped(path: Path) -> bool:
    """Whether a bundle came with the project, so users cannot change it."""
    return path.resolve().is_relative_to(shipped_folder().resolve())


def user_folder() -> Path:
    """The folder that `add` puts bundles into."""
    return platformdirs.user_data_path("napari-ctseg", appauthor=False) / "bundles"


def folders() -> tuple[Path, ...]:
    """The search path; an earlier folder wins. CTSEG_BUNDLES holds folders separated as in PATH."""
    extra = [Path(entry) for entry in os.environ.get("CTSEG_BUNDLES", "").split(os.pathsep) if entry]
    return *extra, user_folder(), shipped_folder()


def scan() -> Scan:
    """Search all folders; of two bundles with one name the first counts. No weights are read."""
    bundles: dict[str, Bundle] = {}
    faults = []
    for folder in folders():
        for path in _candidates(folder):
            try:
                bundle = read(path)
            except BundleError as error:
                faults.append(str(error))
                continue
            except Exception as error:  # noqa: BLE001 - a stranger's broken files must not hide the other bundles
                faults.append(f"{path}: cannot be read ({first_line(error)}); get the bundle again.")
                continue
            bundles.setdefault(bundle.name, bundle)
    return Scan(tuple(sorted(bundles.values(), key=lambda bundle: bundle.name)), tuple(faults))


def _candidates(folder: Path) -> list[Path]:
    """What looks like a bundle in a folder; nnU-Net's results lie one folder deeper, by data set."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if _looks_like_bundle(path):
            found.append(path)
        elif path.is_dir() and path.name.startswith("Dataset"):
            found += _models_of_nnunet(path)
    return found


def _models_of_nnunet(folder: Path) -> list[Path]:
    """The results folders directly inside a folder."""
    return [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and looks_like_nnunet(inner)]


def _results_inside(folder: Path) -> list[Path]:
    """The results folders in that of a data set, or in all of nnUNet_results."""
    outer = [
        inner for inner in sorted(folder.iterdir()) if inner.is_dir() and inner.name.startswith("Dataset")
    ]
    return [
        *_models_of_nnunet(folder),
        *(one for inner in outer for one in _models_of_nnunet(inner) if not looks_like_nnunet(inner)),
    ]


def list_bundles() -> list[Bundle]:
    """Every readable bundle of the search path, by name."""
    return list(scan().bundles)


def find(name_or_path: str | Path) -> Bundle:
    """A bundle by its name, by the name of its folder, or by the path of its folder or file.

    Raises BundleError.
    """
    text = str(name_or_path)
    bundles = scan().bundles
    named = {
        **{bundle.path.name: bundle for bundle in reversed(bundles) if bundle.path.is_dir()},
        **{one.name: one for one in bundles},
    }
    if text in named:
        return named[text]
    path = Path(name_or_path).expanduser()
    if path.exists():
        return read(path)
    known = ", ".join(bundle.name for bundle in bundles) or "none"
    raise BundleError(f"{text}: no bundle, folder or file has this name; known bundles: {known}.")


def read(path: Path) -> Bundle:
    """The bundle in a folder or file; none of its code is run. Raises BundleError."""
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() in torchscript.SUFFIXES:
        return torchscript.read_torchscript(path)
    if path.suffix.lower() in onnx.SUFFIXES:
        return onnx.read_onnx(path)
    if path.suffix.lower() == ARCHIVE:
        raise BundleError(f"{path}: is an archive; add it with `napari-ctseg bundle add`, which unpacks it.")
    raise BundleError(
        f"{path}: is not a bundle; give a bundle's folder, or a TorchScript or ONNX file with its side file."
    )


def _read_folder(path: Path) -> Bundle:
    if looks_like_nnunet(path):
        return read_nnunet(path)
    if not (path / METADATA).is_file() and not looks_like_monai(path):
        if inside := _results_inside(path):
            more = f" and {len(inside) - MOST_NAMED} more" if len(inside) > MOST_NAMED else ""
            raise BundleError(
                f"{path}: is not a model but a folder of nnU-Net's models; name one of them: "
                f"{', '.join(str(one.relative_to(path)) for one in inside[:MOST_NAMED])}{more}."
            )
        raise BundleError(
            f"{path}: not a bundle: it has neither configs/metadata.json (a bundle in MONAI's layout) nor "
            "plans.json and dataset.json (a results folder of nnU-Net); name the bundle's own folder."
        )
    metadata = read_plain(path / METADATA) if (path / METADATA).is_file() else {}
    own = isinstance(metadata, dict) and "ctseg" in metadata
    return read_monai(path) if looks_like_monai(path) and not own else read_own(path)


def add(path: str | Path, *, overwrite: bool = False) -> Bundle:
    """Copy a bundle (a folder, a network file with its side file, or a .zip) into the user's own folder.

    All of it is checked first: hashes where it has them, and whether its weights can be read safely. Code of
    the bundle's own is not run. Raises BundleExists instead of replacing one without `overwrite`, else
    BundleError.
    """
    source = Path(path).expanduser()
    try:
        user_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".add.", dir=user_folder()) as work:
            if source.is_file() and source.suffix.lower() == ARCHIVE:
                inside = Path(work) / "archive" / source.stem
                inside.mkdir(parents=True)
                return _copied(unpack(source, inside), Path(work), overwrite)
            return _copied(source, Path(work), overwrite)
    except OSError as error:
        raise BundleError(
            f"{user_folder()}: the bundle cannot be put there ({error.strerror}); free some space or check "
            "the folder's rights."
        ) from error


def _copied(source: Path, work: Path, overwrite: bool) -> Bundle:
    """The bundle at `source`, checked and copied. work : an empty folder on the same disk."""
    bundle = read(source)
    if isinstance(bundle, NNUNetBundle):
        bundle = bundle.settled()
    previous = getattr(bundle, "previous", None)
    for folder in (source, *(() if previous is None else (previous.path,))):
        if folder.is_dir():
            refuse_strange_files(folder)
    if isinstance(bundle, SingleFileBundle):
        _refuse_shared_files(bundle)
    bundle.verify()
    if not bundle.needs_trust:
        bundle.load()
    return _placed(bundle, work, overwrite)


def _placed(bundle: Bundle, work: Path, overwrite: bool) -> Bundle:
    source = bundle.path.resolve()
    # Both halves of an nnU-Net cascade, and several of its data sets, have folders of the same name:
    # nnU-Net's own folder structure is kept.
    place = (
        user_folder() / source.parent.name
        if bundle.kind == "nnunet" and source.parent.name.startswith("Dataset")
        else user_folder()
    )
    target = place / source.name
    single = source.is_file()
    if single:
        _refuse_other_network(target)
    if (target.exists() or (single and side_file_path(target).exists())) and not overwrite:
        raise BundleExists(target)
    copy = work / "copy" / source.name
    copy.parent.mkdir()
    if source.is_dir():
        shutil.copytree(
            source, copy, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*LEFT_BEHIND)
        )
        place.mkdir(exist_ok=True)
        if target.exists():
            target.replace(work / "old")
    else:
        shutil.copyfile(side_file_path(source), side_file_path(copy))
        shutil.copyfile(source, copy)
        for file in bundle.arrays if isinstance(bundle, SingleFileBundle) else ():
            shutil.copyfile(file, copy.parent / file.name)
            (copy.parent / file.name).replace(place / file.name)
        side_file_path(copy).replace(side_file_path(target))
    copy.replace(target)
    previous = getattr(bundle, "previous", None)
    if previous is not None and not (place / previous.path.name).exists():
        (work / "first half").mkdir()
        _placed(previous, work / "first half", overwrite)
    return read(target)


def _refuse_other_network(target: Path) -> None:
    """Raise BundleError when another network file would share the side file of `target`."""
    for path in target.parent.iterdir():
        if (
            path.stem == target.stem
            and path.name != target.name
            and path.suffix.lower() in (*torchscript.SUFFIXES, *onnx.SUFFIXES)
        ):
            raise BundleError(
                f"{path}: already exists, and {target.name} would take its side file "
                f"{side_file_path(target).name}; rename the new one."
            )


def _refuse_shared_files(bundle: SingleFileBundle) -> None:
    """Raise BundleError for arrays next to a network in files that another network could use too."""
    for file in bundle.arrays:
        if file.parent != bundle.path.parent or not file.name.startswith(f"{bundle.path.name}."):
            raise BundleError(
                f"{bundle.path}: keeps its arrays in {file.name}, a name that another network may have too; "
                f"export it as one file, or with its arrays in {bundle.path.name}.data."
            )


def _looks_like_bundle(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return (path / METADATA).is_file() or looks_like_monai(path) or looks_like_nnunet(path)
    return path.suffix.lower() in (*torchscript.SUFFIXES, *onnx.SUFFIXES) and side_file_path(path).is_file()
