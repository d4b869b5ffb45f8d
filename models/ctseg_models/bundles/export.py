"""A bundle of this project as files for other programs: TorchScript or ONNX, each with its side file."""

from __future__ import annotations

import io
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.single_file import onnx, torchscript
from ctseg_models.bundles.single_file.side_fields import Channel, OutputEntry, SideFile
from ctseg_models.bundles.single_file.side_file import side_file_path, write_side_file
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.plan import Intensity
from ctseg_models.vetting.hashes import sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

Format = Literal["onnx", "torchscript"]
SUFFIXES: dict[Format, tuple[str, ...]] = {"onnx": onnx.SUFFIXES, "torchscript": torchscript.SUFFIXES}
OPSET = 17
SLICES = 8  # of a 2D network at once
DIFFERENCE, FEW = (
    1e-3,
    1e-3,
)  # of a probability, and the share of voxels: norms over a handful of voxels amplify the last bit
SMALL, OTHER = (
    (32, 32, 32),
    (48, 32, 64),
)  # sizes that a network is traced and compared on; the nearest that it takes


def export(
    bundle: Bundle, to: Format, out: Path, *, stage: str | None = None, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write the network of `stage` to `out`, or of every stage: the last one's to `out`, a localiser's next
    to it.

    Each file gets its side file, and is compared with the network before anything is written. Returns the
    network files. Raises BundleError for a bundle that is not this project's, a file that exists, or a
    network that the format cannot hold.
    """
    if not isinstance(bundle, OwnBundle):
        raise BundleError(
            f"{bundle.path}: only bundles of this project can be exported; this one is {bundle.kind} already."
        )
    if out.suffix.lower() not in SUFFIXES[to]:
        raise BundleError(f"{out}: a {to} file ends in {' or '.join(SUFFIXES[to])}; choose another name.")
    bundle.verify()
    stages = bundle.stages if stage is None else (bundle.stage(stage),)
    targets = {
        one.name: out if one is stages[-1] else out.with_name(f"{out.stem}-{one.name}{out.suffix}")
        for one in stages
    }
    for target in (*targets.values(), *map(side_file_path, targets.values())):
        if target.exists() and not overwrite:
            raise BundleError(f"{target}: already exists; choose another name, or allow overwriting.")
    try:
        with tempfile.TemporaryDirectory(prefix=".export.", dir=out.resolve().parent) as folder:
            made = []
            for one in stages:
                partial = Path(folder) / targets[one.name].name
                _export_stage(bundle, one, to, partial)
                made += [
                    (side_file_path(partial), side_file_path(targets[one.name])),
                    (partial, targets[one.name]),
                ]
            for partial, target in made:
                partial.replace(target)
    except OSError as error:
        raise BundleError(
            f"{out}: cannot be written ({error.strerror}); choose another folder or free some space."
        ) from error
    return tuple(targets.values())


def default_name(bundle: Bundle, to: Format) -> str:
    """The file that is written when none is named."""
    return f"{bundle.path.name}{SUFFIXES[to][0]}"


def side_file_of(bundle: OwnBundle, stage: Stage) -> SideFile:
    """The stage as a side file."""
    if (
        any(low % step for low, step in zip(stage.sizes.min, stage.sizes.step, strict=True))
        and stage.inferer == "whole"
    ):
        raise BundleError(
            f"{bundle.path}: the sizes of its stage {stage.name} are not multiples of a step, which a side "
            "file cannot say; use the bundle itself."
        )
    flat = _dimensions(bundle, stage) == 2
    sliding = stage.inferer == "sliding_window"
    if stage.name == "localise":
        labels, classes = {1: "region of interest"}, tuple(range(stage.outputs))
    else:
        labels, classes = {label.value: label.name for label in bundle.labels}, bundle.block.values
    block = bundle.block.channels
    return SideFile(
        labels=labels,
        channels=tuple(_channel(one, block[one.source]) for one in stage.channels),
        output=OutputEntry(kind="probabilities", classes=classes),
        spacing=stage.spacing_mm,
        orientation="SPL",
        interpolation="area",
        layout="NCHW" if flat else "NCDHW",
        batch=SLICES if flat else 1,
        multiple_of=1 if sliding else stage.sizes.step,
        min_size=(1, 1, 1) if sliding else stage.sizes.min,
        patch=stage.patch if sliding else None,
        overlap=stage.overlap,
        smoothing=stage.smoothing_sigma_mm,
        pad=stage.pad_hu,
        name=f"{bundle.name}-{stage.name}",
        modality=bundle.modality,
        version=bundle.version,
        card=_card(bundle, stage),
    )


def _card(bundle: OwnBundle, stage: Stage) -> str:
    parts = [f'The stage "{stage.name}" of {bundle.name} {bundle.version}, exported by napari-ctseg.']
    if len(bundle.stages) == 2 and stage.name == "localise":
        parts.append(
            f"It finds the region of interest; the box around it, {stage.margin_mm:g} mm larger on every "
            "side, is where the segmenter looks."
        )
    elif len(bundle.stages) == 2:
        parts.append(
            "In the bundle a localiser finds its region: run that file first and give the box around what "
            "it finds as the region; on the whole volume it is slower and may find organs elsewhere."
        )
    if stage.inferer == "whole":
        parts.append(
            f"The bundle makes the spacing coarser where an input would be larger than {stage.sizes.max} (z, "
            "y, x); this file does not."
        )
    return " ".join(parts) + f"\n\n{bundle.card.strip()}\n"


def _channel(intensity: Intensity, name: str) -> Channel:
    clip = None
    if intensity.clip_low is not None or intensity.clip_high is not None:
        low = -1e9 if intensity.clip_low is None else intensity.clip_low
        clip = (low, 1e9 if intensity.clip_high is None else intensity.clip_high)
    if intensity.statistics != "none":
        return Channel(
            name=name,
            source=intensity.source,
            clip=clip,
            clip_quantiles=intensity.clip_quantiles,
            normalise=intensity.statistics,
        )
    return Channel(
        name=name,
        source=intensity.source,
        clip=clip,
        clip_quantiles=intensity.clip_quantiles,
        normalise="fixed",
        shift=intensity.shift,
        scale=intensity.scale,
    )


def _dimensions(bundle: OwnBundle, stage: Stage) -> int:
    return int(getattr(bundle.network(stage.name).config, "dimensions", 3))


def _export_stage(bundle: OwnBundle, stage: Stage, to: Format, path: Path) -> None:
    """Write network and side file into a temporary folder. Raises BundleError when the file computes
    something else.
    """
    import torch

    from ctseg_models.bundles.own.plain_network import plain
    from ctseg_models.networks.probabilities import Probabilities

    network = bundle.network(stage.name)
    side = side_file_of(bundle, stage)
    small, other = (_example(stage, side, sides) for sides in (SMALL, OTHER))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch warns at length that both ways of exporting are about to be replaced
        wanted = Probabilities(network)(other)
        try:
            got = (_to_onnx if to == "onnx" else _to_torchscript)(plain(network), small, other, path)
        except (RuntimeError, TypeError, ValueError) as error:
            raise BundleError(
                f"{bundle.path}: the {stage.network} network cannot be written as {to}; try the other format."
            ) from error
    if got.shape != wanted.shape or not float(((got - wanted).abs() <= DIFFERENCE).float().mean()) >= 1 - FEW:
        raise BundleError(
            f"{bundle.path}: the {to} file of the {stage.network} network does not give the network's own "
            "probabilities, so it was not written; try the other format."
        )
    write_side_file(path, side.model_copy(update={"sha256": sha256_of(path)}))


def _example(stage: Stage, side: SideFile, sides: tuple[int, int, int]) -> Tensor:
    """Noise of a size that the network takes: a window, or one of the allowed sizes."""
    import torch

    size = stage.patch if side.patch is not None else stage.sizes.next_allowed(sides) or stage.sizes.min
    assert size is not None
    generator = torch.Generator().manual_seed(0)
    if side.layout == "NCHW":
        return torch.randn(3 if sides == OTHER else 2, len(stage.channels), *size[1:], generator=generator)
    return torch.randn(1, len(stage.channels), *size, generator=generator)


def _to_torchscript(network: nn.Module, small: Tensor, other: Tensor, path: Path) -> Tensor:
    """Write the file; returns what it computes for `other`."""
    import torch

    from ctseg_models.vetting.scan_torchscript import checked_archive

    traced: Any = torch.jit.trace(network, small, check_trace=False)  # type: ignore[no-untyped-call]
    traced.save(str(path))
    loaded: Any = torch.jit.load(io.BytesIO(checked_archive(path)))  # type: ignore[no-untyped-call]
    given: Tensor = loaded(other)
    return given


def _to_onnx(network: nn.Module, small: Tensor, other: Tensor, path: Path) -> Tensor:
    """Write the file; returns what onnxruntime computes for `other`. Raises BundleError if not installed."""
    import torch

    from ctseg_models.vetting.scan_onnx import scan

    axes = {0: "batch", **{2 + number: name for number, name in enumerate("zyx"[5 - small.ndim :])}}
    with (
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):  # it prints pages about what it cannot write
        torch.onnx.export(
            network,
            (small,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_axes={"image": axes, "probabilities": axes},
        )
    scan(path)
    session = onnx.opened(path, "cpu")
    return torch.from_numpy(session.run(None, {"image": other.numpy()})[0])
