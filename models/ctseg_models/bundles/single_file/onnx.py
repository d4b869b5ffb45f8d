"""An ONNX file as a bundle, run by onnxruntime after `scan_onnx` has checked it."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ctseg_imaging.errors import BundleError, is_out_of_memory
from ctseg_models.bundles.single_file.bundle import Network, SingleFileBundle, cast, describe
from ctseg_models.bundles.single_file.side_fields import SideFile

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
SUFFIXES = (".onnx",)
FOLDING = (
    # would compute constants when a file is opened, in a crafted one for hours or gigabytes
    "ConstantFolding"
)
POLL_SECONDS = 0.2
LONGEST_STOP = 2.0  # seconds to wait for a cancelled run to end; onnxruntime checks between operators only
_REFUSALS = (
    "Fail",
    "InvalidArgument",
    "InvalidProtobuf",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
    "InvalidGraph",
    "EPFail",
)


class OnnxBundle(SingleFileBundle):
    """`NAME.onnx` with `NAME.json`; its first input, and the output that the side file names."""

    @property
    def arrays(self) -> tuple[Path, ...]:
        about = self.path.stat()
        return _arrays_of(self.path, about.st_size, about.st_mtime_ns)

    def network(self, device: str) -> Network:
        import torch

        from ctseg_models.vetting.scan_onnx import scan

        scanned = scan(self.path)
        if len(scanned.inputs) > 1:
            raise BundleError(
                f"{self.path}: wants {len(scanned.inputs)} inputs, and only networks with one can be run; "
                "export it with one."
            )
        runtime, refusals = _runtime(self.path)
        session = opened(self.path, device)
        source, target = (
            session.get_inputs()[0],
            _chosen([output.name for output in session.get_outputs()], self.side, self.path),
        )
        integers = {
            f"tensor({name})": getattr(torch, name) for name in ("int8", "int16", "int32", "int64", "uint8")
        }
        kind = {"tensor(float16)": torch.float16, "tensor(double)": torch.float64, **integers}.get(
            source.type, torch.float32
        )
        path = self.path

        def forward(x: Tensor) -> Generator[float, None, Tensor]:
            run = runtime.RunOptions()

            def call() -> Tensor:
                try:
                    return torch.from_numpy(
                        session.run([target], {source.name: cast(x.cpu(), kind).numpy()}, run)[0]
                    ).to(x.device)
                except refusals as error:
                    if is_out_of_memory(error):
                        raise torch.OutOfMemoryError(str(error)) from error
                    raise BundleError(
                        f"{path}: the network does not take an array of {tuple(x.shape)}; fix channels, "
                        "layout, patch, size or multiple_of in the side file."
                    ) from error

            def stop() -> None:
                run.terminate = True

            return in_background(call, stop)

        return Network(forward)


def read_onnx(path: Path) -> OnnxBundle:
    """The bundle of an ONNX file, which is not loaded. Raises BundleError."""
    return OnnxBundle(**describe(path, "onnx"))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _arrays_of(path: Path, size: int, changed_ns: int) -> tuple[Path, ...]:
    """The arrays of a file of this size, changed at this time: cached.

    Most files lack "location", the key of every external array: those are not parsed.
    """
    from ctseg_models.vetting.scan_onnx import scan

    with path.open("rb") as file:
        if size == 0 or mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).find(b"location") < 0:
            return ()
    return scan(path).files


def opened(path: Path, device: str) -> Any:
    """An onnxruntime session of a checked file. Raises BundleError when it cannot be run."""
    import torch

    runtime, refusals = _runtime(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # an arena keeps the most that was ever needed
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.load_model_format", "ONNX")
    gpu = "CUDAExecutionProvider"
    if device != "cpu" and (not device.startswith("cuda") or gpu not in runtime.get_available_providers()):
        raise BundleError(_not_on(path, device))
    number = device.partition(":")[2] or "0"
    providers: list[Any] = (
        ["CPUExecutionProvider"]
        if device == "cpu"
        else [(gpu, {"device_id": number}), "CPUExecutionProvider"]
    )
    try:
        session = runtime.InferenceSession(
            str(path), options, providers=providers, disabled_optimizers=[FOLDING]
        )
    except refusals as error:
        raise BundleError(
            f"{path}: onnxruntime cannot run this file; export the network again with a common opset (17, "
            "say)."
        ) from error
    if device != "cpu" and gpu not in session.get_providers():
        raise BundleError(_not_on(path, device))
    return session


def _not_on(path: Path, device: str) -> str:
    return (
        f'{path}: the installed onnxruntime cannot use the device "{device}"; choose cpu, or install '
        "onnxruntime-gpu."
    )


def _runtime(path: Path) -> tuple[Any, tuple[type[Exception], ...]]:
    """onnxruntime and its exceptions. Raises BundleError when it is not installed."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise BundleError(
            f"{path}: running ONNX needs onnxruntime; install it with pip install napari-ctseg[onnx]."
        ) from error
    known = [getattr(state, name) for name in _REFUSALS if hasattr(state, name)]
    return onnxruntime, (
        *known,
        UnicodeDecodeError,
    )  # onnxruntime's own message about a name that is not UTF-8


def _chosen(names: list[str], side: SideFile, path: Path) -> str:
    """The output that the side file names. Raises BundleError."""
    wanted = side.output
    if wanted.name and wanted.name not in names:
        raise BundleError(
            f'{path}: has no output "{wanted.name}", but {", ".join(names)}; fix output.name in the side '
            "file."
        )
    if wanted.index >= len(names):
        raise BundleError(
            f"{path}: has {len(names)} outputs and no number {wanted.index}; fix output.index in the side "
            "file."
        )
    return wanted.name or names[wanted.index]


def in_background(call: Callable[[], T], stop: Callable[[], None]) -> Generator[float, None, T]:
    """Run `call` in a thread, yielding five times a second.

    Closing the generator calls `stop` and waits at most two seconds.
    """
    from threading import Event, Thread

    ended = Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            errors.append(error)
        finally:
            ended.set()

    thread = Thread(target=work, name="ctseg network", daemon=True)
    thread.start()
    try:
        while not ended.wait(POLL_SECONDS):
            yield 0.0
    finally:
        if not ended.is_set():
            stop()
            thread.join(LONGEST_STOP)
    if errors:
        raise errors.pop()
    return results.pop()
