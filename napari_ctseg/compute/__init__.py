"""Work in separate processes, so a crash cannot end the viewer."""
