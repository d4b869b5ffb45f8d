"""The shapes of the Measure dock: how they are drawn, moved and undone."""
