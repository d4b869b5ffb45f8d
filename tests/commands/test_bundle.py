"""`napari-ctseg bundle` as a user calls it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctseg_imaging import formats
from napari_ctseg.commands.main import app
from tests.models.making import threshold_bundle
from tests.models.monai_making import ORIENTATION, RANGE, SPACING, monai_bundle, smooth_ct

CODE = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x * 2"}


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def with_code(tmp_path: Path) -> Path:
    return monai_bundle(
        tmp_path / "with_code", before=(ORIENTATION, SPACING, RANGE, CODE), metadata={"name": "With code"}
    )


def test_the_way_of_a_bundle_with_code(with_code: Path, tmp_path: Path) -> None:
    formats.write(tmp_path / "ct.nii.gz", smooth_ct())
    added = call("bundle", "add", with_code)
    assert added.exit_code == 0, added.output
    assert "lambda x: x * 2" in added.stderr
    assert any(
        "With code" in line and "asks first" in line for line in call("bundle", "list").stdout.splitlines()
    )
    refused = call("predict", "-m", "With code", tmp_path / "ct.nii.gz", tmp_path / "out.nii.gz")
    assert refused.exit_code == 1
    assert 'napari-ctseg bundle trust "With code"' in refused.stderr
    assert not (tmp_path / "out.nii.gz").exists()
    assert "Its own code was not run" in call("bundle", "verify", "With code").stdout
    trusted = call("bundle", "trust", "With code")
    assert "lambda x: x * 2" in trusted.stderr
    assert json.loads(call("bundle", "show", "With code", "--json").stdout)["trust"] == "trusted"
    ran = call("predict", "-m", "With code", tmp_path / "ct.nii.gz", tmp_path / "out.nii.gz")
    assert ran.exit_code == 0, ran.output
    assert formats.read_labels(tmp_path / "out.nii.gz").array.any()
    assert "no longer" in call("bundle", "trust", "With code", "--revoke").stdout
    assert "was not trusted before" in call("bundle", "trust", "With code", "--revoke").stdout
    again = call("predict", "-m", "With code", tmp_path / "ct.nii.gz", tmp_path / "again.nii.gz")
    assert again.exit_code == 1


def test_each_piece_of_code_is_a_line_in_plain_words_and_the_advice_is_given_once(tmp_path: Path) -> None:
    loop = {"_target_": "Lambdad", "keys": "image", "func": "$[one for one in (1, 2)]"}
    two = monai_bundle(
        tmp_path / "two", before=(ORIENTATION, SPACING, RANGE, CODE, loop), metadata={"name": "Two"}
    )
    added = call("bundle", "add", two)
    assert added.exit_code == 0, added.output
    first, *code, advice = added.stderr.splitlines()
    assert first == "Two: would run its own code:"
    assert advice == 'If you know its author, allow it with `napari-ctseg bundle trust "Two"`.'
    assert all(line.startswith("- ") for line in code)
    assert [
        sum(words in line for line in code) for words in ("(it makes a function)", "(it runs a loop)")
    ] == [1, 1]
    refused = call("predict", "-m", "Two", tmp_path, tmp_path / "out")
    asked = call("bundle", "trust", "Two")
    assert refused.exit_code == 1 and asked.stderr.splitlines()[1:] == code


def test_verify_says_what_each_kind_can_be_compared_with(
    tmp_path: Path, shared_file: Callable[[str], Path]
) -> None:
    own = threshold_bundle(tmp_path / "threshold")
    assert "all hashes match" in call("bundle", "verify", own.path).stdout
    assert "have no hashes" in call("bundle", "verify", monai_bundle(tmp_path / "made")).stdout
    folder = next(shared_file("oracles/nnunet/plain_aniso").glob("Dataset*/*__*"))
    assert "are not signed" in call("bundle", "verify", folder).stdout


def test_a_damaged_weight_is_found(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made")
    weights = folder / "models/model.pt"
    weights.write_bytes(weights.read_bytes()[:-200])
    result = call("bundle", "verify", folder)
    assert result.exit_code == 1
    assert "model.pt" in result.stderr
    assert result.stderr.count("\n") == 1


def test_list_and_show_are_for_programs_too(tmp_path: Path) -> None:
    call("bundle", "add", monai_bundle(tmp_path / "made", metadata={"name": "Made"}))
    listed = {entry["name"]: entry for entry in json.loads(call("bundle", "list", "--json").stdout)}
    assert (listed["Made"]["kind"], listed["Made"]["trust"], listed["Made"]["needs_trust"]) == (
        "monai",
        "",
        [],
    )
    assert listed["Made"]["labels"] == {"1": "liver", "2": "spleen"}
    shown = call("bundle", "show", "Made").stdout
    assert "1 liver, 2 spleen" in shown and "interpreted" in shown


def test_trust_has_nothing_to_decide_for_plain_bundles(tmp_path: Path) -> None:
    assert "nothing to allow" in call("bundle", "trust", monai_bundle(tmp_path / "made")).stdout


def test_an_archive_is_added_and_not_twice(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder.parent, folder.name))
    assert call("bundle", "add", archive).exit_code == 0
    again = call("bundle", "add", archive)
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    assert call("bundle", "add", archive, "--overwrite").exit_code == 0
