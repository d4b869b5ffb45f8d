"""The one limit of what is read of a config: entries of its files, its values and its expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Counted as a reader sees them: what an alias, a reference or an expression repeats counts again. Configs of
# MONAI's model zoo have less than 50 kB and take less than a tenth of this.
MOST_ENTRIES = 50_000
LONG_TEXT = 20  # characters that count as one entry
DEEPEST = 40  # levels of entries within each other


class TooMuchWorkError(ValueError):
    """More than MOST_ENTRIES."""


@dataclass
class Work:
    """Entries that may still be looked at: of a file, of a value, or of all expressions of a config."""

    left: int = MOST_ENTRIES

    def spend(self, entries: int) -> None:
        """Raise TooMuchWorkError when none are left."""
        self.left -= entries
        if self.left < 0:
            raise TooMuchWorkError


def weight(thing: Any) -> int:
    """How many entries it counts as, without those inside it."""
    return 1 + (len(thing) // LONG_TEXT if isinstance(thing, str) else 0)
