"""Grow from seeds: strokes inside and outside of a structure, and the shape that grows from them."""
