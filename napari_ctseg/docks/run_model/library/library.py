"""What the Run model dock does with models besides running them: the only file of the dock that knows the
store, trust and side files.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from napari_ctseg.compute.client import run_in_worker

if TYPE_CHECKING:
    from ctseg_models.bundles.export import Format
    from ctseg_models.contract.bundle import Bundle

IMAGE_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".png", ".jpg", ".tif", ".tiff")
NETWORK_FILES = (".onnx", ".ts", ".pt", ".pth", ".torchscript")


class Library(Protocol):
    """The seam to the store. Generators are driven by the queue; `guess`, `trusted`, `trust` and `withdraw`
    are called in a thread.
    """

    def needs_form(self, path: Path) -> bool:
        """Whether `path` is a network file that has no side file yet."""

    def mirror_axes(self, bundle: Bundle) -> int | None:
        """Along how many axes it may be mirrored; None when only its loading would tell."""

    def localises(self, bundle: Bundle) -> bool:
        """Whether it finds out itself where to look."""

    def identity(self, bundle: Bundle) -> str:
        """The same for models that are one under two names, as far as is known without reading weights."""

    def described(self, path: Path) -> bool:
        """Whether `path` is a network file whose side file could be rewritten."""

    def description(self, network: Path) -> dict[str, Any]:
        """The content of its side file. Raises BundleError when that is none."""

    def guess(self, network: Path) -> dict[str, Any]:
        """The beginning of a side file: the content of the file itself. Raises BundleError when it is not a
        network.
        """

    def faults(self, side: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with a side file's content, by field ("output.classes"; "" for the whole)."""

    def write_side_file(self, network: Path, side: Mapping[str, Any], overwrite: bool) -> None:
        """Write it next to the network. Raises BundleError."""

    def add(self, path: Path, overwrite: bool) -> Generator[Progress, None, str]:
        """Copy a model into the user's folder; its name. Raises BundleExists instead of replacing one
        without `overwrite`.
        """

    def verify(self, bundle: Bundle) -> Generator[Progress, None, str]:
        """Compare with the hashes and load; a sentence. Raises BundleError."""

    def export(self, bundle: Bundle, to: Format, out: Path) -> Generator[Progress, None, str]:
        """Write it as "onnx" or "torchscript"; a sentence. Raises BundleError."""

    def trusted(self, bundles: Sequence[Bundle]) -> frozenset[str]:
        """The names of those that the user allowed to run their code, as they are now on the disk."""

    def digest(self, bundle: Bundle) -> str:
        """Which files a question about its code is about. Raises BundleError when they would run other code
        than was listed.
        """

    def trust(self, bundle: Bundle, digest: str) -> None:
        """Remember that its code may run. Raises BundleError when the files are others than when it was
        asked.
        """

    def withdraw(self, bundle: Bundle) -> None:
        """Forget it."""


class InstalledLibrary:
    """The store of ctseg_models. What loads a network happens in the computing process."""

    def needs_form(self, path: Path) -> bool:
        from ctseg_models.bundles.single_file.side_file import side_file_path

        return path.is_file() and path.suffix.lower() in NETWORK_FILES and not side_file_path(path).exists()

    def mirror_axes(self, bundle: Bundle) -> int | None:
        from ctseg_models.bundles.own.bundle import OwnBundle

        if isinstance(bundle, OwnBundle):
            return len(bundle.stages[-1].mirror_axes)
        return None if bundle.kind == "nnunet" else 0

    def localises(self, bundle: Bundle) -> bool:
        from ctseg_models.bundles.own.bundle import OwnBundle

        return isinstance(bundle, OwnBundle) and any(stage.name == "localise" for stage in bundle.stages)

    def identity(self, bundle: Bundle) -> str:
        bare = bundle.kind in ("torchscript", "onnx")  # their hash is that of all their weights
        return "" if bare else bundle.sha256

    def described(self, path: Path) -> bool:
        from ctseg_models.bundles.single_file.side_file import side_file_path

        side = side_file_path(path)
        return (
            path.is_file()
            and path.suffix.lower() in NETWORK_FILES
            and side.is_file()
            and os.access(side, os.W_OK)
            and os.access(side.parent, os.W_OK)
        )

    def description(self, network: Path) -> dict[str, Any]:
        from ctseg_models.bundles.single_file.side_file import read_side_file

        side = read_side_file(network)
        fields = side.model_dump(mode="json", exclude_defaults=True)
        return {
            "name": network.name.split(".")[0],
            **fields,
            "channels": [
                {"name": channel.name, **entry}
                for channel, entry in zip(side.channels, fields["channels"], strict=True)
            ],
        }

    def guess(self, network: Path) -> dict[str, Any]:
        from ctseg_models.bundles.single_file.side_file import draft_side_file

        return draft_side_file(network)

    def faults(self, side: Mapping[str, Any]) -> dict[str, str]:
        from pydantic import ValidationError

        from ctseg_models.bundles.single_file.side_fields import SideFile
        from ctseg_models.vetting.faults import fault_text

        try:
            SideFile.model_validate(dict(side))
        except ValidationError as error:
            return {
                ".".join(str(part) for part in fault["loc"]): fault_text(fault, SideFile)
                for fault in reversed(error.errors())
            }
        return {}

    def write_side_file(self, network: Path, side: Mapping[str, Any], overwrite: bool) -> None:
        from ctseg_models.bundles.single_file.side_fields import SideFile
        from ctseg_models.bundles.single_file.side_file import write_side_file

        write_side_file(network, SideFile.model_validate(dict(side)), overwrite=overwrite)

    def add(self, path: Path, overwrite: bool) -> Generator[Progress, None, str]:
        return run_in_worker(added, path, overwrite, title=path.name)

    def verify(self, bundle: Bundle) -> Generator[Progress, None, str]:
        return run_in_worker(verified, bundle, title=bundle.name)

    def export(self, bundle: Bundle, to: Format, out: Path) -> Generator[Progress, None, str]:
        return run_in_worker(exported, bundle, to, out, title=bundle.name)

    def trusted(self, bundles: Sequence[Bundle]) -> frozenset[str]:
        from ctseg_models.vetting.trust import is_trusted

        return frozenset(bundle.name for bundle in bundles if is_trusted(bundle))

    def digest(self, bundle: Bundle) -> str:
        from ctseg_models.bundles.store import read
        from ctseg_models.vetting.trust import digest_for_question

        return digest_for_question(bundle, lambda: read(bundle.path))

    def trust(self, bundle: Bundle, digest: str) -> None:
        from ctseg_models.vetting.trust import trust

        trust(bundle, digest)

    def withdraw(self, bundle: Bundle) -> None:
        from ctseg_models.vetting.trust import distrust

        distrust(bundle)


def added(path: Path, overwrite: bool) -> Generator[Progress, None, str]:
    """In the computing process: copy a model into the user's folder."""
    from ctseg_models.bundles.store import add

    yield Progress("add", 0, 1, f"Reading {path.name}")
    return add(path, overwrite=overwrite).name


def verified(bundle: Bundle) -> Generator[Progress, None, str]:
    """In the computing process: as `napari-ctseg bundle verify`."""
    yield Progress("verify", 0, 2, f"Comparing {bundle.name} with its hashes")
    bundle.verify()
    yield Progress("verify", 1, 2, f"Loading {bundle.name}")
    bundle.load()
    return f"{bundle.name} is intact: all hashes match and it loads."


def exported(bundle: Bundle, to: Format, out: Path) -> Generator[Progress, None, str]:
    """In the computing process: as `napari-ctseg bundle export`."""
    from ctseg_models.bundles.export import export

    yield Progress("export", 0, 1, f"Writing {out.name}")
    written = export(bundle, to, out)
    return f"Written: {', '.join(path.name for path in written)}."


def refuse_what_is_no_model(path: Path) -> None:
    """A first look without opening anything. Raises BundleError."""
    if not path.exists():
        raise BundleError(f"{path}: does not exist; check the name.")
    if path.name.lower().endswith(IMAGE_FILES):
        raise BundleError(f"{path.name}: is an image, not a model; drop it on the canvas to open it.")
    if path.is_dir() and not any(path.iterdir()):
        raise BundleError(f"{path}: is an empty folder; choose the folder of a model.")
