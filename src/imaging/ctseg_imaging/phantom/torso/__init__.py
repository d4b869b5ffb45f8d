"""The abdominal phantom, part by part."""
