"""The validation curve of a run: a moving average, the best point, and when to lower the rate or stop."""

from __future__ import annotations

from dataclasses import dataclass

from ctseg_training.recipes.schema import Schedule, Validation


@dataclass
class LearningCurve:
    """The validation curve of a run."""

    average: float | None = None  # of the mean Dice, the past weighted by validation.smoothing
    best: float | None = None  # the highest average
    since_best: int = 0  # points after it
    reductions: int = 0  # how often the plateau schedule has cut the learning rate
    since_cut: int = 0  # points without a better average, after a cut
    # step, seconds: when the last point was made
    step: int = 0
    seconds: float = 0.0

    def due(self, step: int, seconds: float, validation: Validation) -> bool:
        """Whether the next point is due, according to steps or minutes since the last one."""
        by_steps = validation.every_steps is not None and step - self.step >= validation.every_steps
        return by_steps or (
            validation.every_minutes is not None and seconds - self.seconds >= 60 * validation.every_minutes
        )

    def add(self, mean: float, validation: Validation, schedule: Schedule) -> bool:
        """Add a point; returns whether its average is the best so far."""
        kept = validation.smoothing
        self.average = mean if self.average is None else kept * self.average + (1 - kept) * mean
        if self.best is None or self.average > self.best:
            self.best, self.since_best, self.since_cut = self.average, 0, 0
            return True
        self.since_best += 1
        self.since_cut += 1
        if schedule.kind == "plateau" and self.since_cut >= schedule.patience:
            self.reductions, self.since_cut = self.reductions + 1, 0
        return False

    def exhausted(self, validation: Validation) -> bool:
        """Whether the patience is used up."""
        return validation.patience is not None and self.since_best >= validation.patience
