"""Reading and writing volumes and label maps: the content and the ending of a path decide the format."""

from ctseg_imaging.endings import DICOM_ENDING, ENDINGS, RTSTRUCT_ENDING
from ctseg_imaging.formats.choice import Choice
from ctseg_imaging.formats.label_maps import read_labels, read_labels_of, read_layers
from ctseg_imaging.formats.segmentations import SegmentationKind
from ctseg_imaging.formats.segmentations import kind_of as kind_of_segmentation
from ctseg_imaging.formats.volumes import is_dicom, is_readable, list_choices, read, read_view_only, reading
from ctseg_imaging.formats.writing import write

__all__ = [
    "DICOM_ENDING",
    "ENDINGS",
    "RTSTRUCT_ENDING",
    "Choice",
    "SegmentationKind",
    "is_dicom",
    "is_readable",
    "kind_of_segmentation",
    "list_choices",
    "read",
    "read_labels",
    "read_labels_of",
    "read_layers",
    "read_view_only",
    "reading",
    "write",
]
