"""A small network over several bundles' probabilities: it learns where to trust which member.

   prediction = finish(run_stack(read_stack(Path("out/stack")), volume))

A stack is a folder: stack.json (members with their hashes, labels, scores) and stacker.safetensors. The
members stay where they are. Source: paper 3, "Architecture" (stacked CNN).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.ensembles.several import MemberResults, run_several
from ctseg_models.ensembles.stack import REACH, Member, Stack, Stacker
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.confidence import Tally, sampled
from ctseg_models.inference.labels.paint import SLICES_PER_STEP
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.stage_run import StageResult


def run_stack(
    stack: Stack,
    volume: Volume,
    *,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
) -> Generator[Progress, None, Prediction]:
    """Like `inference.run` for a stack.

    Raises BundleError when a member is missing or is not the one that the stack was trained with, and every
    error that `run` raises.
    """
    bundles = [member.bundle() for member in stack.members]
    network = stack.network()

    def combining(given: MemberResults) -> Generator[float, None, dict[str, Any]]:
        yield from paint_stack(
            network.to(settings.device),
            stack.members,
            given.found,
            given.target,
            stack.labels.values,
            given.labels,
            given.tally,
        )
        return {"stack": {"name": stack.name, "sha256": stack.weights_sha256, **asdict(stack.config)}}

    return (
        yield from run_several(
            bundles,
            volume,
            stack.labels,
            combining,
            name="stack",
            region=region,
            settings=settings,
            disagreement=False,
        )
    )


def concatenated(samplers: Sequence[ClassMapSampler], members: Sequence[Member], a: int, b: int) -> Tensor:
    """(channels, b - a, y, x) float32: slices [a, b) of every member's class maps, by member and then by
    value.
    """
    maps = []
    for sampler, member in zip(samplers, members, strict=True):
        for value in member.values:
            chance = sampler.slab(value, a, b)
            if chance is None:
                raise BundleError(f"{member.name}: has no class map of the value {value}; train a new stack.")
            maps.append(chance)
    return torch.stack(maps)


@torch.inference_mode()
def paint_stack(
    network: Stacker,
    members: Sequence[Member],
    found: Sequence[StageResult],
    target: Target,
    values: Sequence[int],
    labels: NDArray[np.generic],
    tally: Tally | None = None,
) -> Generator[float, None, None]:
    """Write the most probable value of every target voxel into `labels`, the whole view (z, y, x).

    values : of the network's outputs 1, 2, ... tally : gets every slab. A few slices are held at a time;
    their neighbours go in with them, so the result is that of all slices at once.
    """
    samplers = [ClassMapSampler(member.maps, target) for member in found]
    out, depth = labels[target.place], target.shape[0]
    device = next(network.parameters()).device
    meaning = torch.tensor([0, *values], dtype=torch.int32)
    for a in range(0, depth, SLICES_PER_STEP):
        b = min(depth, a + SLICES_PER_STEP)
        low, high = max(0, a - REACH), min(depth, b + REACH)
        logits = network(concatenated(samplers, members, low, high)[None].to(device))[0, :, a - low : b - low]
        highest, place_of = logits.softmax(0).max(0)
        winner, chance = meaning[place_of.cpu()], highest.cpu()
        out[a:b] = winner.numpy()
        if tally is not None:
            tally.add(winner, sampled(chance))
        yield (b - a) / depth
