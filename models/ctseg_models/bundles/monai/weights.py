"""The weights of a MONAI bundle: which file, and its tensors, read without running anything."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.config.components import Code, Component
from ctseg_models.bundles.monai.config.reader import Config
from ctseg_models.vetting.safe_tensors import read_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn

SCRIPTED = ".ts"
_ENDINGS = (".pt", ".pth", ".safetensors")
_INSIDE = ("model", "state_dict", "network", "net", "network_weights", "model_state_dict")


def weights_of(config: Config, folder: Path) -> tuple[Path | None, Path | None]:
    """(a file of weights, a TorchScript file) of the bundle, at least one.

    What the config's CheckpointLoader names comes first; the zoo's configs name models/model.pt. Raises
    BundleError when there is none, or it is outside the folder.
    """
    named = _named(config)
    try:
        return _files(named, config, folder)
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{config.path}: its weights ({(named or 'model')[:80]!r}) cannot be a file; get the bundle "
            "again."
        ) from error


def _files(named: str | None, config: Config, folder: Path) -> tuple[Path | None, Path | None]:
    stem = "model"
    if named is not None:
        path = _within(folder, named, config.path)
        stem = path.stem
        if path.is_file():
            return (None, path) if path.suffix == SCRIPTED else (path, _existing(path.with_suffix(SCRIPTED)))
    weights = next(
        (path for ending in _ENDINGS if (path := folder / "models" / f"{stem}{ending}").is_file()), None
    )
    scripted = _existing(folder / "models" / f"{stem}{SCRIPTED}")
    if weights is None and scripted is None:
        raise BundleError(
            f"{folder / 'models' / stem}.pt: the weights of the bundle are missing; put them there, or get "
            "the whole bundle."
        )
    return weights, scripted


def _named(config: Config) -> str | None:
    """The file that the config's CheckpointLoader reads, or that an entry of a usual name holds.

    The loader is an entry of its own or one of a list of handlers; one that is switched off, or that only
    running it would tell, is ignored.
    """
    for place, entry in _entries(config):
        if str(entry.get("_target_", "")).endswith("CheckpointLoader"):
            loader = config.resolve(place)
            if not isinstance(loader, Component):
                continue
            found = loader.arguments.get("load_path")
            return None if found is None or isinstance(found, Code) else str(found)
    for name in ("ckpt_path", "checkpoint_path", "model_path"):
        if name in config and isinstance(found := config.resolve(name), str):
            return found
    return None


def _entries(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dictionaries of the config's first level, and of the lists there, with their ids."""
    for name, entry in config.content.items():
        for place, one in (
            [(name, entry)]
            if not isinstance(entry, list)
            else [(f"{name}#{k}", one) for k, one in enumerate(entry)]
        ):
            if isinstance(one, dict):
                yield place, one


def _within(folder: Path, name: str, path: Path) -> Path:
    """Raise BundleError unless `name` is in the folder.

    An absolute name of the author's machine stands for models/ here.
    """
    place = folder / "models" / Path(name).name if Path(name).is_absolute() else folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{path}: its weights ({name[:80]}) lie outside the bundle's folder, so the bundle is refused; "
            "get it from its author."
        )
    return place


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def fingerprint(paths: list[Path]) -> str:
    """SHA-256 of the content of small files and the tables of contents (names, sizes, CRC-32) of archives of
    weights.

    Fast, for lists. It distinguishes versions but does not protect against forgery; decisions of trust use
    trust.content_hash.
    """
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode())
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for entry in archive.infolist():
                        total.update(f"{entry.filename} {entry.CRC} {entry.file_size}\n".encode())
            else:
                with path.open("rb") as file:
                    total.update(f"{path.stat().st_size}".encode() + file.read(2**20))
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise BundleError(f"{path}: cannot be read; get the bundle again.") from error
    return total.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, mapped: those that are not used take no memory.

    Runs nothing of the file. Raises BundleError.
    """
    from torch import Tensor

    from ctseg_models.networks.nnunet_blocks import without_wrappers

    content: Any = read_safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)
    tensors = {
        without_wrappers(name): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise BundleError(f"{path}: holds no named weights; get the bundle again.")
    return tensors


def _checkpoint(path: Path) -> dict[str, Any]:
    """A state dict, bare or inside what was saved around it."""
    from torch import Tensor

    from ctseg_models.vetting.checkpoint import load_checkpoint

    content = load_checkpoint(path)
    for _ in range(2):
        if any(isinstance(value, Tensor) for value in content.values()):
            break
        inner = next((content[name] for name in _INSIDE if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    return content


def load_scripted(path: Path, device: str) -> nn.Module:
    """A TorchScript network, checked before it is loaded. Raises BundleError."""
    import torch

    from ctseg_models.vetting.scan_torchscript import checked_archive

    checked = io.BytesIO(checked_archive(path))
    try:
        network: nn.Module = torch.jit.load(checked, map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, EOFError) as error:
        raise BundleError(f"{path}: not a readable TorchScript file; get the bundle again.") from error
    return network.eval()
