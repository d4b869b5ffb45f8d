"""Limits on the size of the journals: the user's settings."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ctseg.preferences import Preferences

SECTION = "recovery"
MB = 1024**2


@dataclass(frozen=True)
class Limit:
    """A setting in MB, at least `least` and at most `most`."""

    key: str
    default: int
    least: int
    most: int

    @property
    def mb(self) -> int:
        """The user's setting."""
        kept: int = Preferences().get(SECTION, self.key, self.default)
        return min(max(kept, self.least), self.most)

    @property
    def bytes(self) -> int:
        """The same in bytes."""
        return self.mb * MB

    def keep(self, mb: int) -> None:
        """Store it. Raises PreferencesError if the settings cannot be written."""
        Preferences().set(SECTION, self.key, mb)


UNDO = Limit("undo_mb", 256, 8, 16_384)  # of memory, for what can be undone in one mask
FOLDER = Limit(
    "folder_mb", 2048, 64, 1_048_576
)  # of disk; beyond it discarded masks go first, and the user is informed
