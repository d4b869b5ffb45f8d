"""Scores of predictions against the truth, as a value."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_ctseg.api.arrays import as_labels
from napari_ctseg.api.progress_bar import follow

if TYPE_CHECKING:
    from ctseg_imaging.metrics.reports.case_report import CaseReport, Row, SliceRow
    from ctseg_imaging.metrics.reports.paired import PairedComparison
    from ctseg_imaging.metrics.summary import SummaryRow
    from ctseg_imaging.volume import Volume
    from napari_ctseg.api.images import AnyPath, LabelsLike
    from napari_ctseg.api.progress_bar import ProgressOption


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """A table of scores: one row per case and label.

    Attributes
    ----------
    cases : tuple of CaseReport
        One report per case, with its `rows`, `slices`, `warnings`, and `failed`, the reason why a case
        could not be compared, or "".
    only_predicted, only_true : tuple of str
        Cases of a folder whose other file is missing; they are left out.
    """

    cases: tuple[CaseReport, ...]
    only_predicted: tuple[str, ...] = ()
    only_true: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """One row per case and label: ratios in [0, 1], distances in mm, volumes in ml."""
        return tuple(row for case in self.cases for row in case.rows)

    @property
    def slices(self) -> tuple[SliceRow, ...]:
        """One row per case, label and slice in which either side has the label; `slice` is an index from 0
        at the feet, areas are in mm2.
        """
        return tuple(row for case in self.cases for row in case.slices)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each thing to know about the numbers."""
        return tuple(text for case in self.cases for text in (case.warnings or (case.failed,)) if text)

    @property
    def mean_dice(self) -> float:
        """Mean Dice over all cases and labels that both sides have; NaN if there are none."""
        return self.summary()[-1].mean.get("dice", float("nan"))

    def summary(self) -> list[SummaryRow]:
        """Means over the cases, one row per label and a last one over all labels.

        Returns
        -------
        list of SummaryRow
            `mean` and `std` are dicts by measure; `n`, `n_empty` and `n_not_contoured` count the rows that
            the means use and leave out; `dice_empty_as_0` counts a label that only one side has as 0.
        """
        from ctseg_imaging.metrics.summary import summary

        return summary(self.rows)

    def worst(self, n: int = 5, measure: str = "dice") -> list[Row]:
        """The rows with the worst values of a measure, the worst first.

        Parameters
        ----------
        n : int
            How many.
        measure : str
            A field of a row, such as "dice", "hd95" or "nsd".

        Examples
        --------
        >>> [(row.case, row.name, round(row.dice, 3)) for row in evaluation.worst(3)]
        """
        from ctseg_imaging.metrics.reports.case_report import HIGHER_IS_BETTER

        rows = [row for row in self.rows if row.contoured and _is_number(getattr(row, measure))]
        worst_is_high = measure not in HIGHER_IS_BETTER
        return sorted(rows, key=lambda row: getattr(row, measure), reverse=worst_is_high)[:n]

    def compare(self, other: Evaluation) -> PairedComparison:
        """Compare two models on the cases that both were evaluated on, this one first.

        Parameters
        ----------
        other : Evaluation
            Of the second model, with the same truths.

        Returns
        -------
        PairedComparison
            `rows` per label and measure: means, the gain of the first model with its interval, wins,
            ties and losses, p of Wilcoxon's test and p after Holm's correction; `differences` per case.

        Examples
        --------
        >>> comparison = evaluation.compare(ctseg.evaluate("other_predictions/", "dataset/"))
        >>> [(row.name, row.gain, row.p_corrected) for row in comparison.rows]
        """
        from ctseg_imaging.metrics.reports.paired import compare_models

        return compare_models(self.cases, other.cases)

    def to_records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for ``pandas.DataFrame(evaluation.to_records())``."""
        return [asdict(row) for row in self.rows]

    def to_csv(self, path: AnyPath, *, overwrite: bool = False) -> None:
        """Write one line per case and label. Raises FormatError if the file exists, unless `overwrite`."""
        from ctseg_imaging.metrics.reports.tables import write_csv

        write_csv(Path(path), self.cases, overwrite)

    def to_json(self, path: AnyPath, *, overwrite: bool = False) -> None:
        """Write the rows and the summary. Raises FormatError if the file exists, unless `overwrite`."""
        from ctseg_imaging.metrics.reports.tables import write_json

        write_json(Path(path), self.cases, overwrite)

    def to_html(self, path: AnyPath, *, overwrite: bool = False) -> None:
        """Write one page with tables and the worst slices. Raises FormatError as `to_csv` does."""
        from ctseg_imaging.metrics.reports.page import write_html

        write_html(Path(path), self.cases, overwrite)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Evaluation({len(self.cases)} cases, {len(self.rows)} rows, mean Dice {self.mean_dice:.3f})"

    def __str__(self) -> str:
        from ctseg_imaging.metrics.reports.text_table import text_lines

        return "\n".join(text_lines(self.cases)) or repr(self)

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return f"<pre>{html.escape(str(self))}</pre>"


def evaluate(
    prediction: LabelsLike,
    truth: LabelsLike,
    *,
    image: Volume | None = None,
    convention: Literal["deepmind", "wmh2017", "monai"] = "deepmind",
    nsd_tolerance_mm: float = 2.0,
    prediction_layer: int | str | None = None,
    truth_layer: int | str | None = None,
    progress: ProgressOption = False,
) -> Evaluation:
    """Compare predictions with the truth: Dice, HD95, ASSD, NSD and volumes per label.

    Parameters
    ----------
    prediction, truth : LabelMap, Prediction, SimpleITK.Image, nibabel image, str or Path
        Two label maps, two files, or two folders whose files have the same names. The truth may be the
        folder of a whole data set. Labels are compared by value; the segments of DICOM and Slicer files by
        name. A prediction on another grid is resampled to the truth's, with a warning.
    image : Volume, optional
        Drawn under the worst slices of `Evaluation.to_html`; for a single pair that is not read from files.
    convention : {"deepmind", "wmh2017", "monai"}
        Whose definitions to follow; see the metrics page.
    nsd_tolerance_mm : float
        Tolerance of the normalised surface Dice.
    prediction_layer, truth_layer : int or str, optional
        Of files with overlapping segments, see `read_labels`.
    progress : bool or callable
        As in `predict`.

    Returns
    -------
    Evaluation

    Raises
    ------
    GeometryError
        A pair has no point in common.
    FormatError
        A file cannot be read, or two folders have no file name in common. In a folder, a case that cannot be
        read or compared is reported in `cases` instead.

    Examples
    --------
    >>> evaluation = ctseg.evaluate(prediction, truth)
    >>> evaluation.rows[0].dice
    0.962
    >>> evaluation = ctseg.evaluate("predictions/", "dataset/")
    >>> evaluation.to_csv("scores.csv")
    """
    layers = prediction_layer, truth_layer
    if isinstance(prediction, str | PathLike) and isinstance(truth, str | PathLike):
        return _of_files(prediction, truth, convention, nsd_tolerance_mm, layers, progress)
    from ctseg_imaging.metrics.reports.evaluation import evaluate_pair

    true = as_labels(truth)
    report = evaluate_pair(
        as_labels(prediction),
        true,
        case=_case(true.source),
        convention=convention,
        nsd_tolerance_mm=nsd_tolerance_mm,
        image=image,
    )
    return Evaluation((report,))


def _of_files(
    prediction: AnyPath,
    truth: AnyPath,
    convention: str,
    nsd_tolerance_mm: float,
    layers: tuple[int | str | None, int | str | None],
    progress: ProgressOption,
) -> Evaluation:
    """Two files, or all pairs of two folders."""
    from ctseg_imaging.metrics.cases import find_cases
    from ctseg_imaging.metrics.reports.case_loop import evaluate_cases

    cases = find_cases(Path(prediction), Path(truth))
    work = evaluate_cases(
        cases,
        convention=convention,
        nsd_tolerance_mm=nsd_tolerance_mm,
        layers=layers,
        go_on=Path(truth).is_dir(),
    )
    return Evaluation(tuple(follow(work, progress)), cases.only_predicted, cases.only_true)


def _case(source: Path | None) -> str:
    """How a case is called in its report."""
    from ctseg_imaging.endings import case_name

    return "case" if source is None else case_name(source)


def _is_number(value: float | None) -> bool:
    return value is not None and value == value
