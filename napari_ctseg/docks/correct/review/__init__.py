"""Which slices and classes of the mask are reviewed."""
