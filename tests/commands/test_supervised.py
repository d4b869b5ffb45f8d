"""The real command on strangers' files: one Ctrl-C ends it, a crash or a lack of memory is a sentence, a
network's print is kept away.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume
from napari_ctseg.commands import supervised
from napari_ctseg.compute import memory
from tests.pace import PATIENCE_S, at_most

COMPUTING = "the network is computing"
SIDE = {
    "labels": {"1": "one"},
    "channels": [{}],
    "spacing": [2, 2, 2],
    "pad": 0,
    "modality": "",
    "output": {"kind": "logits", "classes": [0, 1]},
}


class Endless(nn.Module):
    """Never gives its result, and prints all the while."""

    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() > -1e30):
            print("the network is computing")
            x = x + 1
        return torch.cat([x, x], 1)


class Talkative(nn.Module):
    """Prints, and is done."""

    def forward(self, x: Tensor) -> Tensor:
        print("the network is computing")
        return torch.cat([x, x], 1)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """A shell starts background jobs deaf to SIGINT, and their children inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def ended_in_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A fault in the command fails the test instead of keeping it waiting."""
    overdue = threading.Timer(PATIENCE_S, process.kill)
    overdue.start()
    try:
        yield
    finally:
        overdue.cancel()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supervised")
    for network in (Endless(), Talkative()):
        name = type(network).__name__.lower()
        torch.jit.script(network).save(str(folder / f"{name}.ts"))
        (folder / f"{name}.json").write_text(json.dumps(SIDE))
    grid = Geometry.from_parts((8, 9, 11), (2.0, 2.0, 2.0))
    formats.write(folder / "image.nii.gz", Volume(np.zeros((8, 9, 11), np.int16), grid))
    return folder


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "napari_ctseg.commands.supervised", *map(str, words)]


def predict(folder: Path, network: str) -> tuple[str | Path, ...]:
    return (
        "predict",
        folder / "image.nii.gz",
        folder / f"{network}.out.nii.gz",
        "-m",
        folder / f"{network}.ts",
        "--overwrite",
    )


def wait_for(stream: IO[bytes], message: str) -> None:
    """Read until a line has `text`; an end before is a fault."""
    seen = b""
    while message.encode() not in seen:
        with suppress(OSError):  # a terminal whose last writer has ended
            seen = stream.readline()
        assert seen, "it ended before its network computed"


@pytest.fixture
def computing(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in the middle of an endless network."""
    process = subprocess.Popen(command(*predict(folder, "endless"), "-v"), stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr, ended_in_the_end(process):
        wait_for(process.stderr, COMPUTING)
        yield process


def test_one_interrupt_ends_an_endless_network(computing: subprocess.Popen[bytes], folder: Path) -> None:
    (child,) = psutil.Process(computing.pid).children()
    assert computing.stderr is not None
    with at_most(2):
        computing.send_signal(signal.SIGINT)
        message = computing.stderr.read()
        computing.wait()
    assert computing.returncode == 130
    assert message.decode().rstrip().endswith("Interrupted.")
    assert not child.is_running()
    assert not (folder / "endless.out.nii.gz").exists()


def test_ctrl_c_in_a_terminal_ends_an_endless_network(folder: Path) -> None:
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command(*predict(folder, "endless"), "-v"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    with open(ours, "r+b", buffering=0) as terminal, ended_in_the_end(process):  # noqa: PTH123 - a descriptor
        wait_for(terminal, COMPUTING)
        with at_most(2):
            terminal.write(b"\x03")
            while process.poll() is None:
                with suppress(OSError):
                    terminal.read(4096)
    assert process.returncode == 130


def test_killing_the_command_leaves_no_child(computing: subprocess.Popen[bytes]) -> None:
    (child,) = psutil.Process(computing.pid).children()
    computing.kill()
    computing.wait()
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not child.is_running()


@pytest.mark.parametrize("verbose", [False, True])
def test_what_a_network_prints_is_shown_with_v_only(verbose: bool, folder: Path) -> None:
    ended = subprocess.run(
        command(*predict(folder, "talkative"), "--json", *(["-v"] if verbose else [])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (COMPUTING in ended.stderr) == verbose
    assert json.loads(ended.stdout)  # the provenance, and nothing else


def test_exit_codes(folder: Path) -> None:
    for words, code in (
        (("info", folder / "image.nii.gz"), 0),
        (("info", folder / "none.nii.gz"), 1),
        (("info", "--no-such-option"), 2),
    ):
        ended = subprocess.run(command(*words), capture_output=True, text=True, check=False)
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert bool(ended.stderr) == (code != 0)


def test_a_reader_that_has_enough_ends_it_quietly(folder: Path) -> None:
    process = subprocess.Popen(
        command("info", folder / "image.nii.gz"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_a_crash_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    monkeypatch.setattr(supervised, "_start", lambda words: subprocess.Popen(crash, stdin=subprocess.PIPE))
    assert supervised.supervise(["info", "x.nii.gz"]) == 1
    (message,) = capfd.readouterr().err.splitlines()
    assert message.startswith("napari-ctseg info: its process ended unexpectedly (") and "SIGSEGV" in message


def test_too_much_memory_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "SHARE_OF_FREE", 0.0)  # a bomb is what takes more than the interpreter alone
    assert supervised.supervise([str(word) for word in predict(folder, "endless")]) == 1
    (message,) = capfd.readouterr().err.splitlines()
    assert "napari-ctseg predict: it took more than" in message and "give a smaller volume" in message
    assert not (folder / "endless.out.nii.gz").exists()
