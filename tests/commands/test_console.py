"""What reaches the terminal besides results: an unexpected error, and what libraries remark to
programmers.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import NoReturn

import pytest
from typer.testing import CliRunner

from ctseg_training import recipes
from napari_ctseg.commands.main import app, run


def broken(*_: object) -> NoReturn:
    raise RuntimeError("shape mismatch\nframe #0: c10::Error")


def talkative(*_: object) -> dict[str, str]:
    warnings.warn("use another function", FutureWarning, stacklevel=2)
    logging.getLogger("somebody.elses.plugin").warning("a codec is not available")
    logging.getLogger("somebody.elses.plugin").error("the driver is broken")
    return {"a": "recipe"}


@pytest.mark.parametrize("verbose", [False, True])
def test_an_unforeseen_error_is_a_sentence_and_with_v_a_traceback(
    verbose: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recipes, "list_recipes", broken)
    monkeypatch.setattr(sys, "argv", ["napari-ctseg", "recipes", *(["-v"] if verbose else [])])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 1
    *before, sentence = capfd.readouterr().err.splitlines()
    assert sentence == (
        "napari-ctseg recipes: unexpected error (RuntimeError: shape mismatch); "
        "run it again with -v for the traceback, and report it."
    )
    assert ("Traceback (most recent call last):" in before) == verbose and bool(before) == verbose


def test_the_ends_that_are_foreseen_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, code in ((["--version"], 0), (["no-such-verb"], 2), (["recipes", "no-such-recipe"], 1)):
        monkeypatch.setattr(sys, "argv", ["napari-ctseg", *words])
        with pytest.raises(SystemExit) as end:
            run()
        assert end.value.code == code
        assert "unexpected error" not in capfd.readouterr().err


@pytest.mark.parametrize("verbose", [False, True])
def test_remarks_of_libraries_are_for_those_who_ask(verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "list_recipes", talkative)
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setattr(logging.getLogger("somebody.elses.plugin"), "propagate", False)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = CliRunner().invoke(app, ["recipes", *(["-v"] if verbose else [])])
        warnings.warn("the next one is heard again", UserWarning, stacklevel=1)
    assert result.exit_code == 0
    assert [str(one.message) for one in warned if one.category is FutureWarning] == (
        ["use another function"] if verbose else []
    )
    assert ("a codec is not available" in result.stderr) == verbose
    assert "the driver is broken" in result.stderr
    assert "heard again" in str(warned[-1].message)
    assert logging.lastResort is not None and logging.lastResort.level == logging.WARNING
