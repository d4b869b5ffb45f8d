"""Where tests find real data, and how they keep apart from each other and from the user's own settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: CTSEG_SHARED_DATA, or ../shared/data next to the repository; skips where it is
    not there.
    """
    folder = Path(os.environ.get("CTSEG_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("No real data here: put it into ../shared/data or name its folder in CTSEG_SHARED_DATA.")
    return folder


@pytest.fixture(scope="session")
def shared_file(shared_data: Path) -> Callable[[str], Path]:
    """A path inside the real data; skips where this one is not there."""

    def find(relative: str) -> Path:
        path = shared_data / relative
        if not path.exists():
            pytest.skip(f"The real data has no {relative}.")
        return path

    return find


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preferences, recovery files and added bundles of a test go into a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    monkeypatch.delenv("CTSEG_BUNDLES", raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the viewer share one process: a virtual display has one keyboard focus."""
    for item in items:
        if (ROOT / "tests" / "plugin") in item.path.parents or "qtbot" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("viewer"))
