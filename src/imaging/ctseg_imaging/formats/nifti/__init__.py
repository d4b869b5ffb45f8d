"""NIfTI files, and nibabel images in memory."""

from ctseg_imaging.formats.nifti.files import SUFFIXES, list_choices, read, write

__all__ = ["SUFFIXES", "list_choices", "read", "write"]
