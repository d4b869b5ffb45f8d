"""NRRD and MetaImage files, and SimpleITK images in memory."""

from ctseg_imaging.formats.itk.files import SUFFIXES, layout, list_choices, read, write, write_checked

__all__ = ["SUFFIXES", "layout", "list_choices", "read", "write", "write_checked"]
