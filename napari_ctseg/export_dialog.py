"""The dialog that asks where a mask goes. It offers the formats that the image allows and adds the ending of the chosen one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFileDialog, QLineEdit, QListView, QTreeView

from ctseg_imaging import formats
from ctseg_imaging.formats.dicom import DicomHeader
from napari_ctseg.exporting import ENDINGS

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
    dialog = ExportDialog(parent, title, image)
    return Path(dialog.selectedFiles()[0]) if dialog.exec() else None


class ExportDialog(QFileDialog):  # type: ignore[misc]
    """Asks for one new file, and before an older one is replaced. DICOM is offered for images from DICOM.

    Qt's own dialog, because those of the systems know an ending of one part only: with "*.rtstruct.dcm" chosen they name a file "mask.dcm",
    which would be a DICOM SEG. Qt's does so too where the type is chosen after the name; that is put right here.
    """

    def __init__(self, parent: QWidget | None, title: str, image: Volume | None) -> None:
        super().__init__(parent, title)
        from_dicom = image is not None and isinstance(image.header, DicomHeader)
        self._endings = {**FILTERS, **(DICOM_FILTERS if from_dicom else {})}
        self.setOption(QFileDialog.Option.DontUseNativeDialog)
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setNameFilters(list(self._endings))
        self._name: QLineEdit = self.findChild(QLineEdit, "fileNameEdit")
        self._listings = self.findChild(QListView, "listView"), self.findChild(QTreeView, "treeView")
        self._name.setText("mask" + self.ending)
        self._name.selectAll()
        self._typed = self._name.text()
        self._name.textEdited.connect(self._edited)
        self.findChild(QComboBox, "fileTypeCombo").activated.connect(self._type_chosen)

    @property
    def ending(self) -> str:
        """That of the chosen type."""
        return self._endings[self.selectedNameFilter()]

    def accept(self) -> None:
        """Qt's: Save was pressed. A name without the ending of a format gets that of the chosen type."""
        name = self._name.text()
        for listing in self._listings:
            listing.clearSelection()  # the folders that Qt selected while a path was typed would go before the name
        if name and not Path(self.directory().absoluteFilePath(name)).is_dir():
            name = with_ending(name, self.ending)
        self._name.setText(name)
        super().accept()

    def _edited(self, text: str) -> None:
        self._typed = text

    def _type_chosen(self) -> None:
        """Qt has replaced the last part of the ending by now, or something that it took for one."""
        self._name.setText(without_ending(self._typed) + self.ending)
        self._typed = self._name.text()


def with_ending(name: str, ending: str) -> str:
    """`name` with `ending`. The ending of another format stays, but where `ending` is the longer one of the two (.dcm, .rtstruct.dcm)."""
    own = _ending_of(name)
    return name if own and not (ending.endswith(own) and ending != own) else without_ending(name) + ending


def without_ending(name: str) -> str:
    """`name` without the ending of a format; anything else after a dot belongs to the name."""
    return name[:len(name) - len(_ending_of(name))]


def _ending_of(name: str) -> str:
    return next((one for one in ENDINGS if name.lower().endswith(one)), "")
