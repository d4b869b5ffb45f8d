"""Networks of a few lines, and their ONNX files."""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch


def written_onnx(
    network: torch.nn.Module, x: torch.Tensor, path: Path, *, dynamic: bool = False, outputs: int = 1
) -> Path:
    """ONNX of a fixed size, or of any."""
    names = [f"out{number}" for number in range(outputs)]
    axes = (
        {name: {axis: f"{name}{axis}" for axis in range(x.ndim) if axis != 1} for name in ("image", *names)}
        if dynamic
        else None
    )
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (x,),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=names,
            dynamic_axes=axes,
        )
    return path


class TwoWindows(torch.nn.Module):
    """Two channels to background, body, liver, bone: one convolution that distinguishes left and right, one
    that mixes.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.kernel = torch.nn.Parameter(
            torch.randn(6, 2, 3, 3, 3, generator=generator) / 4, requires_grad=False
        )
        self.mix = torch.nn.Parameter(torch.randn(4, 6, 1, 1, 1, generator=generator), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(
            torch.relu(torch.nn.functional.conv3d(x, self.kernel, padding=1)), self.mix
        )


class Identity(torch.nn.Module):
    """Map 1 is the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(x[:, :1]), x[:, :1]], dim=1)
