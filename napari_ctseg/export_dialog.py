"""The dialog that asks where a mask goes. It offers the formats that the image allows and adds the ending of the chosen one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ctseg_imaging import formats
from ctseg_imaging.formats.dicom import DicomHeader

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from ctseg_imaging.volume import Volume

FILTERS = {
    "NIfTI (*.nii.gz *.nii)": ".nii.gz",
    "Slicer segmentation (*.seg.nrrd)": ".seg.nrrd",
    "NRRD (*.nrrd)": ".nrrd",
    "MetaImage (*.mha)": ".mha",
}
DICOM_FILTERS = {
    "RTSTRUCT (*.rtstruct.dcm)": formats.RTSTRUCT_ENDING,
    "DICOM SEG (*.dcm)": formats.DICOM_ENDING,
}  # these refer to the slices of a DICOM series


def ask_where(parent: QWidget | None, title: str, image: Volume | None) -> Path | None:
    """Where a mask drawn on `image` is to be written; None when the user cancels."""
    dialog = export_dialog(parent, title, image)
    return Path(dialog.selectedFiles()[0]) if dialog.exec() else None


def export_dialog(parent: QWidget | None, title: str, image: Volume | None) -> QFileDialog:
    """A dialog for one new file, which asks before an older file is replaced. DICOM is offered for images from DICOM."""
    from_dicom = image is not None and isinstance(image.header, DicomHeader)
    endings = {**FILTERS, **(DICOM_FILTERS if from_dicom else {})}
    dialog = QFileDialog(parent, title)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(list(endings))
    dialog.setDefaultSuffix(next(iter(endings.values())))
    dialog.filterSelected.connect(lambda chosen: dialog.setDefaultSuffix(endings[chosen]))
    dialog.selectFile("mask")
    return dialog
