"""Opening from the File menu."""
