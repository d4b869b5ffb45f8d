"""The files that `predict` writes for a case: paths, checks before the run, and formats."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.endings import DICOM_ENDING, RTSTRUCT_ENDING, case_name, split_ending
from napari_ctseg.commands.console import refuse_existing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ctseg_imaging.volume import LabelMap, Volume
    from ctseg_models.contract.prediction import Prediction
    from napari_ctseg.commands.results.case_files import CaseFiles

Probabilities = Literal["auto", "float16", "uint8"]

NO_VOLUME = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gz", ".zip", ".npy", ".npz", ".hdr", ".img", ".json"}
)


def refuse_unwritable(path: Path) -> None:
    """Raise FormatError if nothing can be written next to `path`: tried in the nearest folder that is there,
    before the work.
    """
    from ctseg_imaging.errors import FormatError

    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise FormatError(f"{path}: cannot be written, because {folder} is a file; choose another folder.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FormatError(
            f"{path}: cannot be written ({error.strerror or error}); choose a writable folder."
        ) from error


def refuse_dicom(path: Path, images: Iterable[Path]) -> None:
    """Raise FormatError if no DICOM SEG or RTSTRUCT can be written for `images`; before the work."""
    from ctseg_imaging import formats
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats.segmentations.dicom_seg_writing import refuse_without_highdicom

    kind = "RTSTRUCT" if path.name.lower().endswith(RTSTRUCT_ENDING) else "DICOM SEG"
    if kind == "DICOM SEG":
        refuse_without_highdicom(path)
    if not all(formats.is_dicom(image) for image in images):
        raise FormatError(
            f"{path}: a {kind} needs a DICOM series as input; use the ending .seg.nrrd or .nii.gz."
        )


@dataclass(frozen=True)
class Outputs:
    """The files of one case. labels : the label map; the others stand next to it and take their names from
    it. rtstruct : whether the labels are also written as an RTSTRUCT.
    """

    labels: Path
    rtstruct: bool = False

    @classmethod
    def of(cls, case: CaseFiles, target: Path, several: bool, rtstruct: bool = False) -> Outputs:
        """OUT itself when it is a file's name, else a file in the folder OUT. Raises FormatError."""
        from ctseg_imaging.errors import FormatError

        names_a_file = bool(split_ending(target)[1] or _is_dicom(target)) and not target.is_dir()
        if not names_a_file and target.suffix.lower() in NO_VOLUME and not target.is_dir():
            raise FormatError(
                f"{target}: labels cannot be written as {target.suffix}; use .nii.gz, .nrrd or .mha, or give "
                "a folder."
            )
        if several and (names_a_file or target.is_file()):
            raise FormatError(f"{target}: is a file name, but a folder of cases needs an output folder.")
        if not several and target.is_file() and not names_a_file:
            raise FormatError(
                f"{target}: the format cannot be inferred from the name; use .nii.gz, .nrrd or .mha."
            )
        labels = target if names_a_file else target / f"{case.name}{case.ending}"
        return cls(labels, rtstruct and not labels.name.lower().endswith(RTSTRUCT_ENDING))

    @property
    def provenance(self) -> Path:
        """NAME.provenance.json."""
        return self.labels.with_name(f"{self._stem}.provenance.json")

    @property
    def structure_set(self) -> Path:
        """NAME.rtstruct.dcm, next to the labels."""
        return self.labels.with_name(f"{self._stem}{RTSTRUCT_ENDING}")

    def path_of(self, what: str, ending: str | None = None) -> Path:
        """NAME_what, with the ending of the labels (.nii.gz where they are DICOM) or another one."""
        return self.labels.with_name(f"{self._stem}_{what}{self._ending if ending is None else ending}")

    @property
    def _stem(self) -> str:
        return case_name(self.labels)

    @property
    def _ending(self) -> str:
        return split_ending(self.labels)[1] or ".nii.gz"

    def check(self, wanted: list[str], overwrite: bool, images: Collection[Path]) -> None:
        """Before anything is computed: may the files be written? wanted : "probabilities", "edges",
        "disagreement". images : what is read; an image is never overwritten.

        Tries the nearest folder that is there, and makes none. Raises FormatError.
        """
        from ctseg_imaging.formats.disk.atomic import refuse_sources
        from ctseg_imaging.formats.zarr_maps import ENDING
        from napari_ctseg.export.mask import refuse_foreign_history

        contours = (self.structure_set,) if self.rtstruct else ()
        for path in (self.labels, self.provenance, *contours, *(self.path_of(what) for what in wanted)):
            refuse_existing(path, overwrite)
            refuse_sources(path, images)
        refuse_foreign_history(self.provenance)
        if "probabilities" in wanted:
            refuse_existing(self.path_of("probabilities", ENDING), overwrite)
        refuse_unwritable(self.labels)
        for path in (self.labels, *contours):
            if _is_dicom(path):
                refuse_dicom(path, images)

    def write(
        self, image: Volume, prediction: Prediction, probabilities: Probabilities, overwrite: bool
    ) -> tuple[str, ...]:
        """The labels, what else was asked for, and the provenance; each whole or not at all, the labels last.

        Returns what the label file does not hold as it was, one sentence each.
        """
        from ctseg_imaging import formats
        from ctseg_imaging.formats.disk.atomic import write_bytes
        from ctseg_imaging.label_names import as_records

        self.labels.parent.mkdir(parents=True, exist_ok=True)
        if prediction.probabilities is not None:
            self._write_probabilities(prediction.probabilities, prediction, probabilities, overwrite)
        for what, item in (("edges", prediction.edge_map), ("disagreement", prediction.disagreement)):
            if item is not None:
                formats.write(self.path_of(what), item, overwrite=overwrite)
        record = {**prediction.provenance, "labels": as_records(prediction.labels.labels)}
        write_bytes(self.provenance, (json.dumps(record, indent=2) + "\n").encode(), overwrite)
        remarks = formats.write(self.labels, prediction.labels, like=image, overwrite=overwrite)
        return (
            (*remarks, *self._write_contours(image, prediction.labels, overwrite))
            if self.rtstruct
            else remarks
        )

    def _write_contours(self, image: Volume, labels: LabelMap, overwrite: bool) -> tuple[str, ...]:
        from ctseg_imaging import formats

        if not labels.array.any():
            return (f"No label was found, so {self.structure_set.name} was not written.",)
        return formats.write(self.structure_set, labels, like=image, overwrite=overwrite)

    def _write_probabilities(
        self, maps: Volume, prediction: Prediction, kind: Probabilities, overwrite: bool
    ) -> None:
        """Small ones in the format of the labels; large ones (which come as float16), and where a type was
        asked for, as Zarr.
        """
        from ctseg_imaging import formats
        from ctseg_imaging.formats.zarr_maps import ENDING, SLICES, writing

        if kind == "auto" and maps.array.dtype.itemsize > 2:
            formats.write(self.path_of("probabilities"), maps, overwrite=overwrite)
            return
        k, z, y, x = maps.array.shape
        names = [
            "background",
            *(prediction.labels.labels.name(value) for value in prediction.labels.labels.values),
        ]
        path = self.path_of("probabilities", ENDING)
        with writing(
            path, (k, z, y, x), maps.geometry, names[:k], "float16" if kind == "auto" else kind, overwrite
        ) as writer:
            for channel in range(k):
                for low in range(0, z, SLICES):
                    writer.put(channel, low, maps.array[channel, low : low + SLICES])


def _is_dicom(path: Path) -> bool:
    return path.name.lower().endswith(DICOM_ENDING)
