"""A run with its data and its folder: steps, validation, checkpoints, the bundle at the end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import Decathlon
from ctseg_training.data.feeding import Batches, fed
from ctseg_training.data.heldout import Split
from ctseg_training.data.sampling import PatchSampler
from ctseg_training.recipes.schema import Checkpoints
from ctseg_training.recipes.stages import REGION
from ctseg_training.record.events import EventLog
from ctseg_training.record.history import write_csv
from ctseg_training.record.memory import resident_mb
from ctseg_training.record.overlays import CaseComparison, save_samples
from ctseg_training.record.report import write_report
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.result import better, write_result
from ctseg_training.run.state import Run
from ctseg_training.run.steps import StepResult
from ctseg_training.scoring import Scores, bundle_scores, stage_scores

STEP_EVENT_EVERY_S = 0.5
LAST, BEST, CASES, CHECKED = "checkpoints/last.pt", "checkpoints/best.pt", "cases", "checked"
TrainingSteps = Generator[Progress, None, None]


@dataclass
class TrainingRun:
    """A run with its data and its folder."""

    run: Run
    dataset: Decathlon
    split: Split
    sampler: PatchSampler
    cases: CaseStore
    out: Path
    log: EventLog
    init_from: OwnBundle | None
    name: str
    should_stop: Callable[[], bool]

    def go(self) -> Generator[Progress, None, Path]:
        """Score before, train, write the bundle, score after."""
        run, recipe = self.run, self.run.recipe
        self.log.write(
            "start",
            recipe=recipe.name,
            stage=recipe.stage,
            labels=self._names(),
            cases=len(self.split.training),
            held_out=len(self.split.held_out),
            steps=recipe.budget.steps,
            minutes=recipe.budget.minutes,
            from_step=run.step,
            device=run.hardware.device,
            precision="bf16" if run.hardware.bf16 else "fp32",
            processes=run.world.size,
            parameters=sum(p.numel() for p in run.network.parameters()),
            trained_parameters=sum(p.numel() for p in run.network.parameters() if p.requires_grad),
        )
        if (
            run.world.leads
            and self.init_from is not None
            and run.before is None
            and self.split.held_out
            and not run.step
        ):
            before = yield from bundle_scores(
                self.init_from,
                self.split.held_out,
                whole=recipe.sees_whole,
                device=run.hardware.device,
                should_stop=self._stop_requested,
            )
            if not self._stop_requested():  # else cases are missing and the comparison would be unfair
                run.before = before.as_dict()
                self.log.write("validation", step=0, scores=run.before, whole_bundle=True)
        stopped = yield from self._train()
        self.save(LAST)
        if run.world.leads:
            yield from self._finish(stopped)
        run.world.from_leader(0)
        return self.out / "bundle"

    def _finish(self, stopped: bool) -> TrainingSteps:
        """Write the bundle and its scores, and delete files that only training needed.

        stopped : whether it was asked to stop before the recipe's own end.
        """
        run = self.run
        bundle = self._write(None, stopped)
        after = yield from self._score_after(bundle)
        bundle = self._write(after, stopped) if after is not None else bundle
        shutil.rmtree(self.out / CASES, ignore_errors=True)
        self.log.write(
            "stopped" if stopped else "done",
            step=run.step,
            seconds=round(run.seconds, 1),
            skipped=run.skipped,
            loss=run.loss,
            waited=round(run.waited, 1),
            bundle=str(bundle.path),
            before=run.before,
            after=after.as_dict() if after is not None else None,
            better=better(run.before, after),
        )
        write_csv(self.out)
        write_report(self.out)

    def _train(self) -> Generator[Progress, None, bool]:
        """Train until the budget or the patience is used up; True if it was asked to stop earlier."""
        run, recipe = self.run, self.run.recipe
        run.start_clock()
        saved, reported = (run.elapsed(), run.step), 0.0
        source = Batches(self.split.training, self.cases, self.sampler)
        (spent,) = run.world.from_leader(run.spent())
        stopped = exhausted = 0.0
        with fed(source, run.first_batch, run.world.size, workers=recipe.workers) as feed:
            while spent < 1 and not stopped and not exhausted:
                began = time.monotonic()
                result, rate = run.advance(feed, spent)
                now = time.monotonic()
                if result.skipped:
                    self.log.write(
                        "warning",
                        step=run.step,
                        message=f"Step {run.step} was left out: its gradient was not finite.",
                    )
                if now - reported >= STEP_EVENT_EVERY_S or run.spent() >= 1 or self._stop_requested():
                    reported = now
                    self._report(result, rate, now - began)
                yield self._progress(result)
                if run.world.leads and run.curve.due(run.step, run.elapsed(), recipe.validation):
                    # before the checkpoint of the same step, which then contains the point
                    yield from self._validate()
                if checkpoint_due(saved, run, recipe.checkpoints):
                    self.save(LAST)
                    saved = (run.elapsed(), run.step)
                spent, stopped, exhausted, cuts = run.world.from_leader(
                    run.spent(),
                    self._stop_requested(),
                    run.curve.exhausted(recipe.validation),
                    run.curve.reductions,
                )
                run.curve.reductions = int(cuts)
        return bool(stopped) and spent < 1

    def save(self, name: str) -> None:
        """Write a checkpoint, if this process leads."""
        if self.run.world.leads:
            self.run.save(self.out / name, to_resume=name == LAST)
            self.log.write("checkpoint", step=self.run.step, file=name)

    def _validate(self) -> TrainingSteps:
        """Add a point to the curve and pictures of the first cases; the best checkpoint is kept next to the
        last.
        """
        run = self.run
        if not self.split.held_out:
            return
        seen: list[CaseComparison] = []
        scores = yield from stage_scores(
            run.averaged(),
            self.sampler.plan,
            self.split.held_out,
            self.cases,
            self._names(),
            whole=self.run.recipe.sees_whole,
            device=run.hardware.device,
            seen=seen,
        )
        run.curve.step, run.curve.seconds = run.step, run.elapsed()
        if scores.mean is None:
            return
        save_samples(self.out / "samples", seen, self._labels(), step=run.step)
        best = run.curve.add(scores.mean, run.recipe.validation, run.recipe.schedule)
        self.log.write(
            "validation",
            step=run.step,
            scores=scores.as_dict(),
            whole_bundle=False,
            average=round(run.curve.average or 0.0, 4),
        )
        if best:
            self.save(BEST)

    def _score_after(self, bundle: OwnBundle) -> Generator[Progress, None, Scores | None]:
        if not self.split.held_out:
            return None
        scores = yield from bundle_scores(
            bundle, self.split.held_out, whole=self.run.recipe.sees_whole, device=self.run.hardware.device
        )
        self.log.write("validation", step=self.run.step, scores=scores.as_dict(), whole_bundle=True)
        return scores

    def _write(self, after: Scores | None, stopped: bool) -> OwnBundle:
        run, weights = self.run, self.run.ema.weights
        if run.recipe.validation.keep == "best" and (self.out / BEST).is_file():
            weights = load_checkpoint(self.out / BEST).ema
        return write_result(
            self.out / "bundle",
            run,
            weights,
            self.dataset.labels,
            self.split,
            name=self.name,
            dataset=self.dataset.name,
            init_from=self.init_from,
            after=after,
            stopped=stopped,
        )

    def _labels(self) -> Labels:
        """By class index, 1, 2, ..."""
        labels = REGION if self.run.recipe.stage == "localise" else self.dataset.labels
        return Labels(tuple(replace(label, value=index) for index, label in enumerate(labels, 1)))

    def _names(self) -> list[str]:
        return [label.name for label in self._labels()]

    def _stop_requested(self) -> bool:
        return self.should_stop() or (self.out / "stop").exists()

    def _report(self, result: StepResult, rate: float, seconds: float) -> None:
        run = self.run
        self.log.write(
            "step",
            step=run.step,
            loss=result.loss,
            smoothed_loss=run.loss,
            terms=result.terms,
            gradient_norm=result.norm,
            learning_rate=rate,
            seconds_per_step=round(seconds, 3),
            waited=round(run.waited, 2),
            elapsed=round(run.elapsed(), 1),
            spent=round(run.spent(), 5),
            seconds_left=self._seconds_left(),
            skipped=run.skipped,
            memory_mb=resident_mb(),
        )

    def _seconds_left(self) -> float | None:
        spent = self.run.spent()
        return round(self.run.elapsed() * (1 - spent) / spent, 1) if spent > 0 else None

    def _progress(self, result: StepResult) -> Progress:
        left = self._seconds_left()
        remaining = (
            "" if left is None else f", {left / 60:.0f} min left" if left >= 90 else f", {left:.0f} s left"
        )
        return Progress(
            "train",
            round(1000 * self.run.spent()),
            1000,
            f"step {self.run.step}, loss {result.loss:.3f}{remaining}",
        )


def checkpoint_due(last: tuple[float, int], run: Run, checkpoints: Checkpoints) -> bool:
    """Whether the recipe's steps or minutes have passed since `last` (seconds, step)."""
    by_steps = checkpoints.every_steps is not None and run.step - last[1] >= checkpoints.every_steps
    return by_steps or run.elapsed() - last[0] >= 60 * checkpoints.every_minutes
