"""Our training step against an ordinary loop and MONAI's trainer: the same network, batches, loss and
optimiser.

   python benchmarks/training.py    # the SCN of headneck-segment, the 3D U-Net of hippocampus
   python benchmarks/training.py --table docs/training-speed.md

The ordinary loop is what a user of torch writes: float32, torch's own layers and layout, each batch made
between two steps. MONAI's `SupervisedTrainer` computes the same and gets its batches as ours does, from
separate processes. All start with the same weights. The ways take turns, each round with batches of its own,
so other work on the machine slows all of them. Of ours the whole step is timed, including clipping, average
of the weights and learning rate, which the others do without. Last comes the share of a whole run's time in
which it did not wait for data.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.experiments.trials import SHARED, headneck, hippocampus, table
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.networks import unet
from ctseg_models.networks.outputs import named_outputs
from ctseg_models.networks.patched_layers import SOUND
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import CaseEntry, Decathlon, open_dataset
from ctseg_training.data.feeding import Batch, Batches, fed
from ctseg_training.data.heldout import split_cases
from ctseg_training.data.sampling import PatchSampler
from ctseg_training.data.statistics import with_statistics
from ctseg_training.losses.objective import LossInput, Objective
from ctseg_training.recipes import load_recipe
from ctseg_training.recipes.schema import Recipe
from ctseg_training.recipes.stages import stage_of
from ctseg_training.record.events import EVENTS, read_events
from ctseg_training.run.engine import train
from ctseg_training.run.optimisation import build_optimiser
from ctseg_training.run.state import Run
from ctseg_training.run.steps import Hardware

AIM_WITH_BF16, AIM_WITHOUT, AIM_BUSY = 2.0, 1.3, 0.90
WARM = 2  # steps before the clock starts
ENGINE_STEPS = 10  # times --steps, of the whole run
HEADNECK_CASES = 12
SOURCES = {"headneck-segment": "headneck-ct", "hippocampus": "hippocampus-mr"}  # by recipe
HEADS = (
    "implementation",
    "batches made by",
    "steps/s, median",
    "each round",
    "waiting for batches",
    "CPU s per step",
    "speed-up over the ordinary loop",
    "loss of step 1",
)
PLAIN = {sound: plain for plain, sound in SOUND.items()}


@dataclass(frozen=True)
class Task:
    """A recipe on a data set. cases : the folder that stores them as memory maps."""

    recipe: Recipe
    stage: Stage
    dataset: Decathlon
    training: tuple[CaseEntry, ...]
    cases: Path

    @classmethod
    def of(cls, name: str, data: Path, cases: Path) -> Task:
        """Read every case once, so no way has to."""
        recipe, dataset = load_recipe(name, ("validation.share=0",)), open_dataset(data)
        training = split_cases(dataset, recipe).training
        recipe = with_statistics(recipe, training)
        task = cls(recipe, stage_of(recipe, dataset.labels), dataset, training, cases)
        batches = task.batches()
        for entry in training:
            batches.cases.get(entry)
        return task

    def batches(self) -> Batches:
        """With no case open yet: an open one would be sent to the process that makes the batches."""
        plan = self.stage.plan
        return Batches(
            self.training,
            CaseStore(self.cases, plan.channels),
            PatchSampler.of(self.recipe, plan, self.dataset),
        )


class Stopwatch:
    """Passes batches on; from number `warm` on, measures the time and how much of it was spent waiting."""

    def __init__(self, feed: Iterator[Batch], warm: int) -> None:
        self.feed, self.warm, self.taken = feed, warm, 0
        self.began = self.waited = self.cpu_began = 0.0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        if self.taken == self.warm:
            self.began, self.waited, self.cpu_began = asked, 0.0, time.process_time()
        batch = next(self.feed)
        self.waited += time.perf_counter() - asked
        self.taken += 1
        return batch


@dataclass(frozen=True)
class Way:
    """train : takes a number of batches from the feed and returns the first one's loss. workers : processes
    that make batches.
    """

    name: str
    train: Callable[[Task, Iterator[Batch], int], float]
    workers: int


@dataclass(frozen=True)
class Lap:
    """The result of one way in one round.

    waiting : share of the time. cpu_s : of all threads of this process, per step; other work on the machine
    changes it less. Batches made in another process are not included.
    """

    steps_per_s: float
    waiting: float
    cpu_s: float
    first_loss: float


def ours(precision: str) -> Callable[[Task, Iterator[Batch], int], float]:
    """The engine's own step."""

    def run(task: Task, feed: Iterator[Batch], steps: int) -> float:
        state = Run.begin(task.recipe, task.stage, Hardware.choose("cpu", precision), None)
        state.start_clock()
        losses = [state.advance(feed, state.spent())[0].loss for _ in range(steps)]
        return losses[0]

    return run


class Ordinary:
    """The recipe's network with torch's own layers, its loss and optimiser; within `torch_dropout`."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(task.recipe.seed)
        self.network = build_network(task.stage).train()
        for module in self.network.modules():
            module.__class__ = PLAIN.get(type(module), type(module))
        self.objective = Objective.of(task.recipe, "cpu")
        self.optimiser = build_optimiser(task.recipe.optimiser, self.network)
        self.first_loss: float | None = None

    def loss(self, returned: Any, batch: Batch) -> Tensor:
        """The loss of a network's output for a batch."""
        outputs = named_outputs(returned, batch.present.shape[1])
        value, _ = self.objective(outputs, LossInput(batch.image, batch.target, batch.present))
        self.first_loss = float(value.detach()) if self.first_loss is None else self.first_loss
        return value


def torch_dropout() -> AbstractContextManager[Any]:
    """A context in which the networks use torch's dropout."""
    return patch.object(unet, "dropout", F.dropout)


def ordinary_loop(task: Task, feed: Iterator[Batch], steps: int) -> float:
    """Zero, forward, backward, step."""
    state = Ordinary(task)
    with torch_dropout():
        for _ in range(steps):
            batch = next(feed)
            state.optimiser.zero_grad()
            state.loss(state.network(batch.image), batch).backward()  # type: ignore[no-untyped-call]
            state.optimiser.step()
    return state.first_loss or 0.0


def monai_trainer(task: Task, feed: Iterator[Batch], steps: int) -> float:
    """The same with MONAI's trainer. Needs pytorch-ignite."""
    from monai.engines import SupervisedTrainer

    state = Ordinary(task)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        epoch_length=steps,
        train_data_loader=feed,
        network=state.network,
        optimizer=state.optimiser,
        loss_function=state.loss,
        prepare_batch=lambda batch, *_, **__: (batch.image, batch),
        amp=False,
        decollate=False,
        optim_set_to_none=True,
    )
    with torch_dropout():
        trainer.run()
    return state.first_loss or 0.0


def lap(way: Way, task: Task, first: int, steps: int, warm: int) -> Lap:
    """`steps` steps on the batches from `first` on, after `warm` that do not count."""
    with fed(task.batches(), first, workers=way.workers) as feed:
        watch = Stopwatch(feed, warm)
        loss = way.train(task, watch, warm + steps)
        elapsed, cpu = time.perf_counter() - watch.began, time.process_time() - watch.cpu_began
    if watch.taken != warm + steps:
        raise RuntimeError(f"{way.name} took {watch.taken} batches where {warm + steps} were meant.")
    return Lap(steps / elapsed, watch.waited / elapsed, cpu / steps, loss)


def ways_of(precisions: Sequence[str], task: Task) -> list[Way]:
    """All ways; the ordinary loop is the last."""
    found = {f"ours, {'bf16' if Hardware.choose('cpu', one).bf16 else 'fp32'}": one for one in precisions}
    ways = [Way(name, ours(one), task.recipe.workers) for name, one in found.items()]
    if find_spec("ignite") is not None:
        ways.append(Way("MONAI SupervisedTrainer, fp32", monai_trainer, task.recipe.workers))
    return [*ways, Way("ordinary loop, fp32", ordinary_loop, 0)]


def compare(task: Task, ways: Sequence[Way], steps: int, rounds: int, warm: int) -> str:
    """The rows of every way, and a sentence on the aim."""
    laps: dict[str, list[Lap]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for turn in range(len(ways)):
            way = ways[(number + turn) % len(ways)]  # each round starts with another way
            done = lap(way, task, number * (warm + steps), steps, warm)
            laps[way.name].append(done)
            print(
                f"{task.recipe.name}, round {number + 1} of {rounds}: {way.name}, {done.steps_per_s:.3f} "
                "steps/s",
                flush=True,
            )
    base = laps[ways[-1].name]
    times = {
        way.name: statistics.median(
            one.steps_per_s / slow.steps_per_s for one, slow in zip(laps[way.name], base, strict=True)
        )
        for way in ways
    }
    rows = [_row(way, laps[way.name], times[way.name]) for way in ways]
    if find_spec("ignite") is None:
        rows.append(
            (
                "MONAI SupervisedTrainer, fp32",
                "",
                "not installed (needs pytorch-ignite)",
                *[""] * (len(HEADS) - 3),
            )
        )
    aim = AIM_WITH_BF16 if Hardware.choose("cpu", "auto").bf16 else AIM_WITHOUT
    return (
        f"{table(HEADS, rows)}\n{ways[0].name}: {times[ways[0].name]:.2f} times as fast as the ordinary "
        f"loop; the target is {aim}.\n"
    )


def _row(way: Way, laps: Sequence[Lap], times: float) -> tuple[str, ...]:
    return (
        way.name,
        "another process" if way.workers else "the loop itself",
        f"{statistics.median(one.steps_per_s for one in laps):.3f}",
        ", ".join(f"{one.steps_per_s:.3f}" for one in laps),
        f"{100 * statistics.median(one.waiting for one in laps):.0f} %",
        f"{statistics.median(one.cpu_s for one in laps):.2f}",
        f"{times:.2f}",
        f"{laps[0].first_loss:.3f}",
    )


def busy(task: Task, steps: int, out: Path) -> str:
    """A sentence on how long a run of the engine waited for data, without preparations and scores."""
    finish(train(task.recipe, task.dataset.folder, out, steps=steps, device="cpu"))
    events = list(read_events(out / EVENTS))
    end = events[-1].data
    steps = [event.data for event in events if event.kind == "step"]
    whole = 1 - end["waited"] / end["seconds"]
    since = (steps[-1]["elapsed"] - steps[0]["elapsed"], steps[-1]["waited"] - steps[0]["waited"])
    after = f"{1 - since[1] / since[0]:.3f}" if since[0] > 0 else "not known"
    return (
        f"A run of {end['step']} steps took {end['seconds']} s. The share of the time not spent waiting for "
        f"data was {whole:.3f} with the start of the process that makes them, and {after} after the first "
        f"step; the target is {AIM_BUSY:.2f}.\n"
    )


def networks_of(task: Task) -> str:
    """A sentence on the network and the batch."""
    network: nn.Module = build_network(task.stage)
    size = "x".join(map(str, task.recipe.sampling.size or ()))
    return (
        f"{type(network).__name__} with {sum(p.numel() for p in network.parameters()):,} parameters, "
        f"{task.stage.outputs} labels, {task.recipe.batch} x {size} voxels."
    )


def main() -> None:
    """Print, and with --table write, a section for each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precision", nargs="+", default=["auto", "fp32"], choices=["auto", "fp32", "bf16"], help="of ours"
    )
    parser.add_argument("--only", nargs="+", default=list(SOURCES), choices=list(SOURCES), help="recipes")
    parser.add_argument("--quick", action="store_true", help="one round of two steps: does it run?")
    parser.add_argument("--table", type=Path)
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.steps, chosen.rounds = 2, 1
    torch.set_num_threads(chosen.threads)
    sections = [
        "# Speed of training\n",
        f"Made by `benchmarks/training.py`. {machine(chosen.threads)} {chosen.rounds} rounds of "
        f"{chosen.steps} steps for each implementation, alternating.\n",
    ]
    with tempfile.TemporaryDirectory() as made:
        for name in chosen.only:
            section = measured(name, Path(made), chosen)
            print(section)
            sections.append(section)
    if chosen.table is not None:
        chosen.table.write_text("\n".join(sections), encoding="utf-8")


def machine(threads: int) -> str:
    """A sentence about the machine."""
    bf16 = "with" if Hardware.choose("cpu", "auto").bf16 else "without"
    return (
        f"Torch {torch.__version__}, {threads} threads, {torch.backends.cpu.get_cpu_capability()}, {bf16} "
        "fast bf16."
    )


def measured(name: str, folder: Path, chosen: argparse.Namespace) -> str:
    """The section of one recipe; a sentence if its data are missing."""
    source = SHARED / SOURCES[name]
    if not source.is_dir():
        return f"## {name}\n\nLeft out: {source.name} is not in shared/data.\n"
    data = headneck(folder, HEADNECK_CASES, 1) if name == "headneck-segment" else hippocampus(folder)
    task = Task.of(name, data, folder / "cases" / name)
    warm = 1 if chosen.quick else WARM
    found = compare(task, ways_of(chosen.precision, task), chosen.steps, chosen.rounds, warm)
    whole = busy(task, 4 if chosen.quick else ENGINE_STEPS * chosen.steps, folder / "runs" / name)
    return f"## {name}\n\n{networks_of(task)}\n\n{found}\n{whole}"


if __name__ == "__main__":
    main()
