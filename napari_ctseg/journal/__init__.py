"""Undo, autosave and recovery of label layers: a journal of the voxels that each edit changed."""
