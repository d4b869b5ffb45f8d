"""Notebooks as pages: their text, code and saved outputs as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTE = "[Download this notebook]({name}). It makes its own data and takes a minute or two on two cores."


def notebook_page(path: Path) -> str:
    """Markdown for a notebook; the title comes first."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, *rest = "".join(cells[0]["source"]).split("\n", 1)
    blocks = [title, NOTE.format(name=path.name), *rest]
    for cell in cells[1:]:
        blocks += [*_blocks(cell)]
    return "\n\n".join(blocks) + "\n"


def _blocks(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"]).removeprefix("%%capture\n")
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```{'sh' if source.startswith('!') else 'python'}\n{source.removeprefix('!')}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    """The richest form that Markdown can show: a picture, HTML, or text."""
    data = output.get("data", {})
    if picture := data.get("image/png"):
        return (
            f'<img alt="The figure that the code above draws" src="data:image/png;base64,{picture.strip()}">'
        )
    text = "".join(data.get("text/plain", output.get("text", "")))
    if "text/html" in data:
        return "".join(data["text/html"])
    return f"```text\n{text.rstrip()}\n```"
