"""Writes docs/keys.md from the table of keys: python docs/site/keys_page.py"""

from __future__ import annotations

from pathlib import Path

from napari_ctseg.keys.napari_keys import by_default
from napari_ctseg.keys.page import as_markdown
from napari_ctseg.keys.table import TABLE

PAGE = Path(__file__).resolve().parents[1] / "keys.md"


def keys_page() -> str:
    """The page, with napari's keys as napari comes."""
    return as_markdown((*TABLE, *by_default()))


if __name__ == "__main__":
    PAGE.write_text(keys_page(), encoding="utf-8")
