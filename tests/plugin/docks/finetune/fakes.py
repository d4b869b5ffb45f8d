"""A job, the jobs and a view that are not real, and made-up cases."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.docks.finetune.state import (
    FineTuneState,
    RecipeRow,
)

SHAPE, SPACING = (18, 22, 26), (3.0, 2.5, 2.0)
NAMES = Labels.from_names({1: "liver", 2: "spleen"})
RECIPES = (
    RecipeRow("plain-2d", "A plain network"),
    RecipeRow("siamese", "Needs features", "MR", needs_features=True),
    RecipeRow("where", "Finds the box", localises=True),
)


def case(seed, origin=0.0):
    """A bright ball and a dark box; stored from head to feet, so a lost flip shows."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]] * np.array(SPACING)[:, None, None, None]
    labels = np.zeros(SHAPE, np.uint8)
    labels[(z - 27) ** 2 + (y - 27) ** 2 + (x - 16) ** 2 < 100] = 1
    labels[(abs(z - 27) < 9) & (abs(y - 27) < 8) & (abs(x - 38) < 7)] = 2
    image = (np.array([-100, 250, -350])[labels] + rng.normal(0, 15, SHAPE)).astype(np.int16)
    grid = Geometry.from_parts(SHAPE, SPACING, (origin, -20, 30), np.diag([1.0, 1.0, -1.0]))
    return Volume(image, grid, modality="CT"), LabelMap(labels, grid, NAMES)


@dataclass
class FakeJob:
    folder: object
    written: list = field(default_factory=list)
    state: str = "running"
    message: str = ""
    stopped: bool = False
    paused: bool = False
    resumable: bool = False
    resumed: list = field(default_factory=list)

    def events(self, offset=0):
        return iter(self.written[offset:])

    def say(self, kind, **data):
        self.written.append(SimpleNamespace(kind=kind, data=data, end=len(self.written) + 1))

    def stop(self, patience_s=None):
        self.stopped = True

    def pause(self):
        self.paused = True

    def resume(self, *, to_finish=False):
        self.resumed.append(to_finish)
        self.state, self.resumable = "running", False

    def ends_paused(self):
        self.say("stopped", bundle=None, message="Ended before a bundle was written.")
        self.state, self.resumable = "paused", True


class FakeJobs:
    def __init__(self, folder):
        self.folder, self.job, self.order, self.found, self.names = (
            folder,
            None,
            None,
            None,
            ["headneck", "phantom"],
        )

    def bundles(self):
        return [SimpleNamespace(name=name, labels=NAMES, path=self.folder) for name in self.names]

    def recipes(self):
        return RECIPES

    def start(self, order):
        self.order = order
        if order.write_cases is not None:
            order.write_cases(self.folder / "data")
        self.job = FakeJob(self.folder)
        return self.job

    def find(self, folder):
        return self.found

    def add(self, folder):
        self.names.append("mine")
        return "mine"


class FakeView:
    def __init__(self):
        self.state, self.following, self.announced = FineTuneState(), False, 0

    def show(self, state):
        self.state = state

    def follow(self, on):
        self.following = on

    def announce(self):
        self.announced += 1
