"""Training a stack on cases that none of its members has seen, half for learning and half for scoring.

Every member runs once over each case. Of the cases to learn from, patches of the members' probabilities on
the case's own grid are kept; on the others the stack and each member are scored side by side. Source: paper
3, "Architecture" and "Results".
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import Progress
from ctseg_models.contract.bundle import Bundle
from ctseg_models.ensembles.stack import Member, Stack, Stacker, StackerConfig, write_stack
from ctseg_models.ensembles.stacking import concatenated
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.network.precision import check_device
from ctseg_models.inference.stage_run import StageResult
from ctseg_training.data.decathlon import CaseEntry, Decathlon
from ctseg_training.losses import cross_entropy, soft_dice
from ctseg_training.stack_scoring import Dice, StackScores, predicted_case, scores_by_name, stack_scores


@dataclass(frozen=True)
class StackSettings:
    """patches : per case, of at most `size` (z, y, x) voxels; near_label of them around a labelled voxel, the
    others anywhere. steps : of Adam, one patch each, the learning rate falling linearly to 0. filters : of
    the network, 16 in the paper.
    """

    patches: int = 32
    size: Shape = (16, 48, 48)
    near_label: float = 0.7
    steps: int = 800
    learning_rate: float = 3e-3
    filters: int = 16
    seed: int = 0


@dataclass(frozen=True, eq=False)
class MapPatch:
    """maps : (channels, z, y, x) float16 probabilities.

    target : (z, y, x) uint8 class indices. present : per class index.
    """

    maps: Tensor
    target: Tensor
    present: tuple[bool, ...]


def halves(entries: Sequence[CaseEntry]) -> tuple[tuple[CaseEntry, ...], tuple[CaseEntry, ...]]:
    """(to learn from, to score on): alternating cases, so a sorted list gives similar halves.

    Cases in which no label was contoured are left out. Raises RecipeError when fewer than two are left.
    """
    telling = [entry for entry in entries if any(entry.present[1:])]
    if len(telling) < 2:
        raise RecipeError(
            "A stack needs two or more held-out cases, half to learn from and half to be scored on; name "
            "more."
        )
    return tuple(telling[::2]), tuple(telling[1::2])


def train_stack(
    bundles: Sequence[Bundle],
    dataset: Decathlon,
    entries: Sequence[CaseEntry],
    folder: Path,
    *,
    name: str,
    settings: StackSettings = StackSettings(),
    device: str = "cpu",
) -> Generator[Progress, None, tuple[Stack, StackScores]]:
    """Train on every other case of `entries`, score on the rest, and write the stack to `folder`.

    bundles : members; a member's label values may differ in meaning from the data set's. entries : held out
    from every member, which is not checked here. The stack's labels are the data set's. Raises RecipeError,
    BundleError.
    """
    check_device(device)
    learning, scoring = halves(entries)
    members = [Member.of(bundle) for bundle in bundles]
    rng = np.random.default_rng([settings.seed, 1])
    patches: list[MapPatch] = []
    for number, entry in enumerate(learning):
        yield _running(number, len(learning) + len(scoring), entry)
        case = yield from predicted_case(bundles, entry, device)
        patches += draw_patches(case.found, members, case.target, case.truth, entry.present, settings, rng)
    config = StackerConfig(
        sum(len(member.values) for member in members), 1 + len(dataset.labels), settings.filters
    )
    network = yield from fit(config, patches, settings, device)
    rows: list[tuple[Dice, list[Dice]]] = []
    for number, entry in enumerate(scoring, len(learning)):
        yield _running(number, len(learning) + len(scoring), entry)
        case = yield from predicted_case(bundles, entry, device)
        rows.append((yield from stack_scores(case, network, members, bundles, dataset.labels, entry.present)))
    scores = StackScores(
        tuple(entry.name for entry in scoring),
        tuple(stack for stack, _ in rows),
        {one: tuple(each[index] for _, each in rows) for index, one in enumerate(distinct_names(bundles))},
    )
    stack = write_stack(
        folder,
        network,
        name=name,
        members=members,
        labels=dataset.labels,
        training=_training_data(dataset, learning, settings),
        scores=scores_by_name(scores),
    )
    return stack, scores


def _running(number: int, cases: int, entry: CaseEntry) -> Progress:
    return Progress("members", number, cases, f"Running the members on {entry.name}")


def _training_data(
    dataset: Decathlon, learning: Sequence[CaseEntry], settings: StackSettings
) -> dict[str, Any]:
    return {
        "data_set": dataset.name,
        "learnt_from": [entry.name for entry in learning],
        "settings": asdict(settings),
    }


def distinct_names(bundles: Sequence[Bundle]) -> list[str]:
    """The bundles' names, numbered if two are equal: bundle, bundle (2)."""
    names: list[str] = []
    for bundle in bundles:
        same = sum(other.name == bundle.name for other in bundles[: len(names)])
        names.append(f"{bundle.name} ({same + 1})" if same else bundle.name)
    return names


def draw_patches(
    found: Sequence[StageResult],
    members: Sequence[Member],
    target: Target,
    truth: NDArray[np.uint8],
    present: tuple[bool, ...],
    settings: StackSettings,
    rng: np.random.Generator,
) -> list[MapPatch]:
    """Patches of the members' maps within `target`, sampled there and nowhere else.

    truth : of the whole view, (z, y, x).
    """
    start, shape = np.array(target.start), np.array(target.shape)
    size = np.minimum(settings.size, shape)
    labelled = [np.flatnonzero(truth == value) for value in np.unique(truth) if value]
    patches = []
    for _ in range(settings.patches):
        if labelled and rng.random() < settings.near_label:
            voxels = labelled[rng.integers(len(labelled))]
            low = (
                np.array(np.unravel_index(voxels[rng.integers(len(voxels))], truth.shape)) - start - size // 2
            )
        else:
            low = rng.integers(0, shape - size + 1)
        a = start + np.clip(low, 0, shape - size)
        b = a + size
        place = Target(
            target.spacing_mm, (int(a[0]), int(a[1]), int(a[2])), (int(b[0]), int(b[1]), int(b[2]))
        )
        maps = concatenated(
            [ClassMapSampler(member.maps, place) for member in found], members, 0, int(size[0])
        )
        inside = truth[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
        patches.append(MapPatch(maps.half(), torch.from_numpy(np.ascontiguousarray(inside)), present))
    return patches


def fit(
    config: StackerConfig, patches: Sequence[MapPatch], settings: StackSettings, device: str
) -> Generator[Progress, None, Stacker]:
    """A network trained on the patches with soft Dice plus cross-entropy; labels that were not contoured
    count as background.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Stacker(config).to(device).train()
    rng = np.random.default_rng([settings.seed, 2])
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=settings.steps)
    for step in range(settings.steps):
        patch = patches[int(rng.integers(len(patches)))]
        present = torch.tensor([patch.present], device=device)
        target = patch.target[None].long().to(device)
        logits = network(patch.maps[None].float().to(device))
        loss = soft_dice(logits.softmax(1), target, present) + cross_entropy(
            logits, target, present, logits=True
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        yield Progress("train", step + 1, settings.steps, f"step {step + 1}, loss {float(loss.detach()):.3f}")
    return network.eval()
