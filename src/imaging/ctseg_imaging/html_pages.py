"""Self-contained HTML pages from Jinja templates."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any


def rendered(template: Path, **values: Any) -> str:
    """The page of a template, whose values are escaped unless they are marked as safe.

    Raises jinja2.UndefinedError for a value that the template needs and `values` lacks.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(**values)


def data_url(content: bytes, kind: str) -> str:
    """`content` as a data URL. kind : the media type, such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
