"""Undo, autosave and recovery of label layers as one thing: a journal of the voxels that each edit
changed.
"""
