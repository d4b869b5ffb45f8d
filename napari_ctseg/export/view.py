"""The dialog that asks where a mask goes. It offers the formats that the image allows and adds the ending of
the chosen one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFileDialog, QFileSystemModel, QLineEdit, QListView, QTreeView

from ctseg_imaging import formats
from ctseg_imaging.formats.dicom.reading import DicomHeader
from napari_ctseg.export.mask import ENDINGS

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

    Qt's own dialog, because those of the systems know an ending of one part only: with "*.rtstruct.dcm"
    chosen they name a file "mask.dcm", which would be a DICOM SEG. Qt's does so too where the type is chosen
    after the name. It also selects what a typed path passes through, and then takes the selection for the
    answer, or the last part of the path in the folder shown. So what counts here is what the user typed or
    clicked.
    """

    def __init__(self, parent: QWidget | None, title: str, image: Volume | None) -> None:
        super().__init__(parent, title)
        from_dicom = image is not None and isinstance(image.header, DicomHeader)
        self._endings = {**FILTERS, **(DICOM_FILTERS if from_dicom else {})}
        self.setOption(QFileDialog.Option.DontUseNativeDialog)
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setNameFilters(list(self._endings))
        self._listings = self.findChild(QListView, "listView"), self.findChild(QTreeView, "treeView")
        self._line: QLineEdit = self.findChild(QLineEdit, "fileNameEdit")
        self._name, self._folder = (
            "mask" + self.ending,
            "",
        )  # as typed or clicked; a folder that was clicked after that
        self._show_name()
        self._line.selectAll()
        self._line.textEdited.connect(self._typed)
        self._line.completer().activated.connect(self._typed)
        self.currentChanged.connect(self._clicked)
        for listing in self._listings:
            listing.clicked.connect(
                lambda index: self._clicked(index.data(QFileSystemModel.Roles.FilePathRole))
            )
        self.directoryEntered.connect(lambda _: self._clicked(""))
        self.findChild(QComboBox, "fileTypeCombo").activated.connect(self._type_chosen)

    @property
    def ending(self) -> str:
        """That of the chosen type."""
        return self._endings[self.selectedNameFilter()]

    def accept(self) -> None:
        """Qt's: Save was pressed. A name without the ending of a format gets that of the chosen type."""
        place = Path(self.directory().absolutePath())
        folder = self._folder or (self._name if self._name and (place / self._name).is_dir() else "")
        if folder:
            self.setDirectory(str(place / folder))
            self._name, self._folder = ("mask" + self.ending if folder == self._name else self._name), ""
        elif self._name:
            self._name = with_ending(self._name, self.ending)
        for listing in self._listings:
            listing.clearSelection()
        self._show_name()
        if not folder:
            super().accept()

    def _show_name(self) -> None:
        """The name without Qt's completion."""
        blocked = self._line.blockSignals(True)
        self._line.setText(self._name)
        self._line.blockSignals(blocked)

    def _typed(self, text: str) -> None:
        self._name, self._folder = text, ""

    def _clicked(self, path: str) -> None:
        """A folder is entered by Save; the name of a file stays, even if another folder is opened then."""
        self._folder = path if path and Path(path).is_dir() else ""
        if path and not self._folder:
            self._name = Path(path).name

    def _type_chosen(self) -> None:
        """Qt has replaced the last part of the ending by now, or something that it took for one."""
        self._name = without_ending(self._name) + self.ending
        self._show_name()


def with_ending(name: str, ending: str) -> str:
    """`name` with `ending`. The ending of another format stays, but where `ending` is the longer one of the
    two (.dcm, .rtstruct.dcm).
    """
    own = _ending_of(name)
    return name if own and not (ending.endswith(own) and ending != own) else without_ending(name) + ending


def without_ending(name: str) -> str:
    """`name` without the ending of a format; anything else after a dot belongs to the name."""
    return name[: len(name) - len(_ending_of(name))]


def _ending_of(name: str) -> str:
    return next((one for one in ENDINGS if name.lower().endswith(one)), "")
