"""What MkDocs calls while it builds the site: pages that are generated or that lie outside docs/."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
sys.path[:0] = [str(FOLDER), *(str(ROOT / part) for part in ("", "src/imaging", "src/training", "models"))]

from command_pages import commands_page  # noqa: E402
from notebook_pages import notebook_page  # noqa: E402
from recipe_pages import recipes_page  # noqa: E402


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and README, CONTRIBUTING and CHANGELOG from the root."""
    from mkdocs.structure.files import File

    pages = {
        "index.md": moved((ROOT / "README.md").read_text(encoding="utf-8")),
        "contributing.md": moved((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")),
        "changelog.md": moved((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
        "reference/commands.md": commands_page(),
        "reference/recipes.md": recipes_page(),
    }
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook_page(path)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as GitHub follows them, to the pages that this site has instead."""
    if page.file.src_uri.startswith("notebooks/"):
        return markdown  # a page made of a notebook offers the file itself
    markdown = re.sub(r"\]\(((?:\.\./)*notebooks/[\w-]+)\.ipynb\)", r"](\1.md)", markdown)
    return re.sub(r"\]\(\.\./((?:\.\./)*)CONTRIBUTING\.md\)", r"](\1contributing.md)", markdown)


def moved(text: str) -> str:
    """A page of the root as a page of docs/: its links lose the folder, and name the copies here."""
    text = text.replace("](docs/", "](")
    for name in ("CONTRIBUTING", "CHANGELOG"):
        text = text.replace(f"]({name}.md)", f"]({name.lower()}.md)")
    return text.replace("](README.md)", "](index.md)")
