"""A TorchScript file as a bundle. TorchScript is a program: loading one is running code that the person chose."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.foreign import ForeignBundle, Forward, describe, in_background

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".ts", ".pt", ".pth", ".torchscript")


class TorchScriptBundle(ForeignBundle):
    """`NAME.ts` with `NAME.json`."""

    def forward(self, device: str) -> Forward:
        import torch

        try:
            network: Any = torch.jit.load(str(self.path), map_location=device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, EOFError) as error:
            raise BundleError(f"{self.path}: not a readable TorchScript file; export the network with torch.jit again.") from error
        network.eval()

        def call(x: Tensor) -> Tensor:
            try:
                with torch.inference_mode():
                    output = network(x)
            except (RuntimeError, torch.jit.Error) as error:
                raise BundleError(f"{self.path}: the network does not take an array of {tuple(x.shape)}; "
                                  "mend channels, patch or multiple_of in the side file.") from error
            first: Tensor = output[0] if isinstance(output, (tuple, list)) else output
            return first.clone()

        def steps(x: Tensor) -> Generator[float, None, Tensor]:
            return in_background(lambda: call(x))

        return steps


def read_torchscript(path: Path) -> TorchScriptBundle:
    """Describe a TorchScript file; it is not loaded. Raises BundleError."""
    return TorchScriptBundle(**describe(path, "torchscript"))  # type: ignore[arg-type]
