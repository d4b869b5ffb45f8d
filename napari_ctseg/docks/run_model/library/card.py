"""What the list shows of a model's card."""

from __future__ import annotations

import re


def first_paragraph(card: str) -> str:
    """The first paragraph of a Markdown card, headings and front matter aside, as one line of plain text."""
    for block in card.replace("\r\n", "\n").split("\n\n"):
        lines = [
            line
            for line in block.splitlines()
            if line.strip() and not line.startswith(("#", "---", "|", "!"))
        ]
        if lines:
            return re.sub(r"\*\*|__|`", "", " ".join(line.strip() for line in lines))
    return ""
