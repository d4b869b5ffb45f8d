"""An ONNX file as a bundle, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.foreign import ForeignBundle, Forward, describe, in_background

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".onnx",)
_REFUSALS = ("Fail", "InvalidArgument", "InvalidProtobuf", "NoSuchFile", "NotImplemented", "RuntimeException", "InvalidGraph")


class OnnxBundle(ForeignBundle):
    """`NAME.onnx` with `NAME.json`; its first input and first output are used."""

    def forward(self, device: str) -> Forward:
        import torch

        runtime, refusals = _runtime(self.path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
        providers = [name for name in wanted if name in runtime.get_available_providers()]
        try:
            session = runtime.InferenceSession(str(self.path), options, providers=providers)
        except refusals as error:
            raise BundleError(f"{self.path}: not a readable ONNX file; export the network again.") from error
        source, target = session.get_inputs()[0].name, session.get_outputs()[0].name

        def steps(x: Tensor) -> Generator[float, None, Tensor]:
            run = runtime.RunOptions()

            def call() -> Tensor:
                try:
                    return torch.from_numpy(session.run([target], {source: x.cpu().numpy()}, run)[0])
                except refusals as error:
                    raise BundleError(f"{self.path}: the network does not take an array of {tuple(x.shape)}; "
                                      "mend channels, patch or multiple_of in the side file.") from error

            def stop() -> None:
                run.terminate = True

            return in_background(call, stop)

        return steps


def _runtime(path: Path) -> tuple[Any, tuple[type[Exception], ...]]:
    """onnxruntime, and its exceptions. Raises BundleError when it is not installed."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise BundleError(f"{path}: running ONNX needs onnxruntime; install it with pip install napari-ctseg[onnx].") from error
    return onnxruntime, tuple(getattr(state, name) for name in _REFUSALS if hasattr(state, name))


def read_onnx(path: Path) -> OnnxBundle:
    """Describe an ONNX file; it is not loaded. Raises BundleError."""
    return OnnxBundle(**describe(path, "onnx"))  # type: ignore[arg-type]
