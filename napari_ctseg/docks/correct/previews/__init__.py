"""Changes of a class that are shown as an outline before they are made: Refine, Propagate, Snap."""
