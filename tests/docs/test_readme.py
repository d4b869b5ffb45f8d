"""README names the verbs of the command, in the order of its help, with options that they have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from napari_ctseg.commands.main import app

ROOT = Path(__file__).resolve().parents[2]
GROUP: Any = get_command(app)


def commands_in(text: str) -> list[list[str]]:
    """The lines of the shell blocks that call the command, without its name and without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("napari-ctseg ")]


def test_the_readme_lists_every_verb_in_the_order_of_the_help() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## From the terminal")[1]
    assert [words[0] for words in commands_in(text)] == list(GROUP.commands)


@pytest.mark.parametrize(
    "page", ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]
)
def test_every_command_of_a_page_has_verbs_and_options_that_exist(page: str) -> None:
    for words in commands_in((ROOT / page).read_text(encoding="utf-8")):
        verb, *rest = words
        command = GROUP.commands[verb]
        if getattr(command, "commands", None):
            command = command.commands[rest[0]]
        known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)} | {
            "--help",
            "-h",
        }
        unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]
        assert unknown == [], f"{page}: {' '.join(words)}"
