"""Writes bundles of this project: a folder, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ctseg_imaging.errors import BundleError
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own.bundle import CARD, METADATA, OwnBundle, build_network, read_own, weights_file
from ctseg_models.bundles.own.metadata import CtsegBlock, LabelEntry, Stage, monai_metadata
from ctseg_models.vetting.faults import first_fault
from ctseg_models.vetting.hashes import write_sums

if TYPE_CHECKING:
    from torch import Tensor


LICENCE = (
    "BSD 3-Clause, as napari-ctseg itself. The licence and the terms of the training data are named in "
    "docs/README.md.\n"
)


def write_bundle(
    folder: Path,
    *,
    name: str,
    stages: Sequence[Stage],
    weights: Mapping[str, Mapping[str, Tensor]],
    labels: Labels,
    card: str,
    scores: Mapping[str, Any] | None = None,
    training_data: Mapping[str, Any] | None = None,
    modality: str = "CT",
    channels: Sequence[str] = ("CT",),
    version: str = "1.0.0",
    precision: Literal["fp16", "fp32"] = "fp16",
    licence: str = LICENCE,
    overwrite: bool = False,
) -> OwnBundle:
    """Write a bundle folder, whole or not at all, and read it back.

    stages : ["localise"], ["segment"] or both. weights : by stage name, state dicts that fit
    `build_network(stage)`. labels : in ascending value = network outputs 1, 2, ... precision : of the file;
    loading always gives float32. Raises BundleError when the folder exists (unless `overwrite`), cannot be
    written, or the weights do not fit.
    """
    folder = Path(folder)
    entries = tuple(LabelEntry(value=label.value, name=label.name, colour=label.colour) for label in labels)
    try:
        block = CtsegBlock(
            stages=tuple(stages),
            labels=entries,
            channels=tuple(channels),
            modality=modality,
            training_data=dict(training_data or {}),
            scores=dict(scores or {}),
        )
    except ValidationError as error:
        raise BundleError(f"{folder}: {first_fault(error, CtsegBlock)}.") from error
    if folder.exists() and not overwrite:
        raise BundleError(f"{folder}: already exists; choose another name, or allow overwriting.")
    with replaced_folder(folder) as partial:
        fill_folder(partial, name, version, block, weights, card, precision, licence)
    return read_own(folder)


@contextmanager
def replaced_folder(folder: Path, todo: str = "choose another folder or free some space") -> Iterator[Path]:
    """An empty folder that replaces `folder` when the block succeeds, and is removed when it raises.

    Raises BundleError for an OSError, ending in `todo`; `folder` is then unchanged.
    """
    from ctseg_imaging.formats.disk.atomic import swap_in

    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield partial
        partial.chmod(0o755)
        swap_in(partial, folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror}); {todo}.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def fill_folder(
    folder: Path,
    name: str,
    version: str,
    block: CtsegBlock,
    weights: Mapping[str, Mapping[str, Tensor]],
    card: str,
    precision: str,
    licence: str,
) -> None:
    import torch
    from safetensors.torch import save_file

    from ctseg_models.bundles.own.inference_config import inference_config

    for part in ("configs", "models", "docs"):
        (folder / part).mkdir()
    for stage in block.stages:
        if stage.name not in weights:
            raise BundleError(f"The stage {stage.name} has no weights; give a state dict for it.")
        expected = {key: tensor.shape for key, tensor in build_network(stage).state_dict().items()}
        if expected != {key: tensor.shape for key, tensor in weights[stage.name].items()}:
            raise BundleError(
                f"The weights of stage {stage.name} do not fit its network and config; check the config of "
                "the stage."
            )
        dtype = torch.float16 if precision == "fp16" else torch.float32
        tensors = {
            key: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
            for key, tensor in weights[stage.name].items()
        }
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise BundleError(
                f"The weights of stage {stage.name} are not finite in {precision}; write fp32 or train again."
            )
        save_file(tensors, folder / weights_file(stage))
    first_line = next((line.strip("# ").strip() for line in card.splitlines() if line.strip()), name)
    metadata = monai_metadata(name, version, first_line, block, _versions())
    (folder / METADATA).write_text(
        json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    if (config := inference_config(block)) is not None:
        (folder / "configs/inference.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card if card.endswith("\n") else card + "\n", encoding="utf-8")
    (folder / "LICENSE").write_text(licence, encoding="utf-8")
    write_sums(folder)


def rewrite(bundle: OwnBundle, block: CtsegBlock) -> OwnBundle:
    """The same bundle with another block in its metadata and new hashes; its other files do not change.

    Raises BundleError when the bundle is damaged or its folder cannot be written; it is then unchanged.
    """
    bundle.verify()
    folder = bundle.path.resolve()
    with replaced_folder(folder, "copy the bundle to where you may write, or free some space") as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        metadata["ctseg"] = block.model_dump(mode="json")
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (partial / METADATA).write_text(f"{text}\n", encoding="utf-8")
        write_sums(partial)
    return read_own(bundle.path)


def compose(
    localiser: OwnBundle, segmenter: OwnBundle, out: Path, *, name: str | None = None, overwrite: bool = False
) -> OwnBundle:
    """A two-stage bundle of one bundle's localiser and another's segmenter. Raises BundleError."""
    for bundle in (localiser, segmenter):
        bundle.verify()
    stages = [localiser.stage("localise"), segmenter.stage("segment")]
    if localiser.channels != segmenter.channels:
        raise BundleError(
            f"{localiser.name} takes {', '.join(localiser.channels)} and {segmenter.name} "
            f"{', '.join(segmenter.channels)}; compose bundles with the same channels."
        )
    weights = {"localise": localiser.weights("localise"), "segment": segmenter.weights("segment")}
    card = f"{segmenter.card.rstrip()}\n\n## The localiser\n\n{localiser.card.strip()}\n"
    return write_bundle(
        out,
        name=name or out.name,
        stages=stages,
        weights=weights,
        labels=segmenter.labels,
        card=card,
        scores={"segment": segmenter.block.scores, "localise": localiser.block.scores},
        training_data={"segment": segmenter.block.training_data, "localise": localiser.block.training_data},
        modality=segmenter.modality,
        channels=segmenter.channels,
        version=segmenter.version,
        precision=_common_precision(localiser, segmenter),
        overwrite=overwrite,
    )


def _common_precision(*bundles: OwnBundle) -> Literal["fp16", "fp32"]:
    """fp32 if one of the files holds it, so composing does not change weights; else fp16."""
    from safetensors import safe_open

    for bundle in bundles:
        for stage in bundle.stages:
            with safe_open(bundle.path / weights_file(stage), framework="pt") as file:
                if any(file.get_slice(key).get_dtype() == "F32" for key in file.keys()):  # noqa: SIM118 (not a dict)
                    return "fp32"
    return "fp16"


def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "numpy", "safetensors", "monai"):
        try:
            found[package] = package_version(package)
        except PackageNotFoundError:
            continue
    return found
