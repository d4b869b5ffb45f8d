"""What the docks remember, in one small JSON file in the user's configuration folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.formats.disk.atomic import write_bytes


class PreferencesError(CtsegError):
    """The user's settings cannot be saved."""


def default_path() -> Path:
    """Where the user's settings are stored."""
    return user_config_path("napari-ctseg", appauthor=False) / "preferences.json"


class Preferences:
    """Settings by dock and key; every `set` is written at once, completely or not at all.

    problem : a sentence if the file exists and cannot be read. A file that is not JSON is renamed to
    preferences.json.damaged, and the defaults are used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()
        self.problem = ""

    def get(self, dock: str, key: str, default: Any) -> Any:
        """The stored value, or `default` if there is none or it has another type. Sets `problem` if the file
        cannot be read.
        """
        try:
            value = self._read().get(dock, {}).get(key, default)
        except PreferencesError as error:
            self.problem = str(error)
            return default
        return value if default is None or isinstance(value, type(default)) else default

    def set(self, dock: str, key: str, value: Any) -> None:
        """Store a JSON value. Raises PreferencesError if the folder is not writable."""
        content = self._read()
        if content.get(dock, {}).get(key) == value:
            return
        content.setdefault(dock, {})[key] = value
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self._path, json.dumps(content, indent=1, sort_keys=True).encode(), overwrite=True)
        except (OSError, CtsegError) as error:
            raise PreferencesError(
                f"{self._path}: your settings cannot be saved ({error}); make its folder writable."
            ) from error

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PreferencesError(
                f"{self._path}: your settings cannot be read ({error.strerror}); make the file readable."
            ) from error
        except (ValueError, RecursionError):
            self._path.replace(self._path.with_name(self._path.name + ".damaged"))
            return {}
        return (
            {key: value for key, value in content.items() if isinstance(value, dict)}
            if isinstance(content, dict)
            else {}
        )
