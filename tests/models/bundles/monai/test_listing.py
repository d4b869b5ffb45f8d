"""The question to the user lists all that MONAI's own parser could run, in every branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctseg_imaging.errors import BundleError, TrustNeeded
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.vetting import trust
from tests.models.monai_making import ARGMAX, INVERT, SOFTMAX, monai_bundle, rewritten

EVIL = {"_target_": "scripts.evil.Evil", "keys": "image"}
IDENTITY = {"_target_": "Identityd", "keys": "image"}
LAMBDA = {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x"}
READING = [{"_target_": "LoadImaged", "keys": "image"}]


def reasons(folder: Path, **entries: Any) -> str:
    """The listed reasons of a bundle with one lambda, and other entries in its config."""
    return "\n".join(
        read_monai(
            rewritten(monai_bundle(folder, after=(SOFTMAX, INVERT, ARGMAX, LAMBDA)), **entries)
        ).needs_trust
    )


def compose(*transforms: Any) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": [*READING, *transforms]}


HIDDEN: dict[str, dict[str, Any]] = {
    "the other branch": {
        "a": compose(),
        "b": compose(EVIL),
        "preprocessing": "$@a if @bundle_root == '.' else @b",
    },
    "where there is a GPU": {
        "a": compose(),
        "b": compose(EVIL),
        "preprocessing": "$@b if torch.cuda.is_available() else @a",
    },
    "switched off here": {"preprocessing": compose({**EVIL, "_disabled_": "$@bundle_root == '.'"})},
    "an argument that nothing here reads": {
        "preprocessing": compose({**IDENTITY, "allow_missing_keys": EVIL})
    },
    "behind a reference": {
        "far": [{"deep": EVIL}],
        "preprocessing": compose({**IDENTITY, "keys": "$@far#0#deep and 'image'"}),
    },
    "what is asked for first": {"preprocessing": compose({**IDENTITY, "_requires_": [EVIL]})},
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_component_that_could_be_built_is_listed(case: str, tmp_path: Path) -> None:
    listed_reasons = reasons(tmp_path / "made", **HIDDEN[case])
    assert (
        "scripts.evil.Evil, which is not MONAI's plain arithmetic" in listed_reasons
        and "$lambda x: x" in listed_reasons
    )


@pytest.mark.parametrize(
    "text",
    [
        "1 if @bundle_root == '.' else glob.glob('x')",
        "False and open('x')",
        "@datalist.pop()",
        "'image' or [i for i in 'x']",
        "'image' if 1 else f'{1}'",
        "@bundle_root.upper or 1",
    ],
)
def test_an_expression_is_listed_for_any_of_its_parts(text: str, tmp_path: Path) -> None:
    listed_reasons = reasons(
        tmp_path / "made", preprocessing=compose({**IDENTITY, "allow_missing_keys": f"${text}"})
    )
    assert f"the expression ${text}" in listed_reasons


def test_what_is_plain_arithmetic_is_not_listed(tmp_path: Path) -> None:
    plain = compose(
        {
            **IDENTITY,
            "keys": "$'im' + 'age'",
            "allow_missing_keys": "$torch.cuda.is_available() and @sizes[0] > 3",
        }
    )
    listed_reasons = reasons(tmp_path / "made", sizes=[1, 2], preprocessing=plain)
    assert listed_reasons.count("\n") == 4  # the lambda, what it is given to, and three imports


IMPORTS: dict[str, dict[str, Any]] = {
    "in an entry that nothing uses": {"unused": {"deep": ["$import canary"]}},
    "imports as a text": {"imports": "$import canary"},
    "from a module": {"imports": ["$from canary import x"]},
    "of a module that is switched off": {
        "unused": {"_target_": "UNet", "_disabled_": True, "x": "$import canary"}
    },
    "under the name of a known module": {"imports": ["$import canary as numpy"]},
}


@pytest.mark.parametrize("case", IMPORTS)
def test_every_import_is_listed_and_runs_only_after_the_decision(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = rewritten(
        monai_bundle(tmp_path / "made", after=(SOFTMAX, INVERT, ARGMAX, LAMBDA)), **IMPORTS[case]
    )
    (folder / "canary.py").write_text("from pathlib import Path\nPath('canary ran').touch()\nx = 1\n")
    bundle = read_monai(folder)
    assert any("canary" in reason for reason in bundle.needs_trust)
    bundle.verify()
    with pytest.raises(TrustNeeded):
        bundle.load()
    assert not Path("canary ran").exists()


def test_a_macro_in_what_a_macro_names_is_refused(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made", after=(SOFTMAX, INVERT, ARGMAX, LAMBDA))
    (folder / "configs/a.json").write_text('{"inner": ["%configs/b.json#x"]}')
    with pytest.raises(BundleError, match="holds a macro itself"):
        read_monai(rewritten(folder, unused="%configs/a.json#inner"))


def test_monai_reads_no_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A macro names the file of the bundle as it was read, not one of that name in the current folder, nor a
    later one.
    """
    folder = monai_bundle(tmp_path / "made", after=(SOFTMAX, INVERT, ARGMAX, LAMBDA))
    (folder / "configs/a.json").write_text('{"x": "$import math"}')
    bundle = read_monai(rewritten(folder, unused="%configs/a.json#x"))
    assert any("import math" in reason for reason in bundle.needs_trust)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "configs").mkdir(parents=True)
    (elsewhere / "canary.py").write_text("from pathlib import Path\nPath('canary ran').touch()\n")
    (elsewhere / "configs/a.json").write_text('{"x": "$import canary"}')
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(str(elsewhere))
    trust.trust(bundle, trust.content_hash(bundle.path))
    bundle.load()
    assert not Path("canary ran").exists()


CANARY = (
    "from pathlib import Path\n\nPath('canary ran').touch()\n\n\nclass Here:\n    def __init__(self, "
    "keys=None):\n        pass\n\n    def __call__(self, data=None):\n        return data\n"
)
HERE = {"_target_": "canary.Here", "keys": "image"}
USED: dict[str, dict[str, Any]] = {
    "_requires_": {"preprocessing": compose({**IDENTITY, "_requires_": HERE})},
    "_requires_ by reference": {"far": HERE, "preprocessing": compose({**IDENTITY, "_requires_": "@far"})},
    "_requires_ as an expression": {
        "preprocessing": compose({**IDENTITY, "_requires_": ["$__import__('canary')"]})
    },
    "_mode_ partial": {"preprocessing": compose({**HERE, "_mode_": "partial"})},
    "_mode_ callable": {"preprocessing": compose({**HERE, "_mode_": "callable"})},
    "_mode_ of a harmless component": {
        "preprocessing": compose({**IDENTITY, "_mode_": "partial", "allow_missing_keys": HERE})
    },
    "a dotted callable": {
        "preprocessing": compose({"_target_": "$@far.Here", "keys": "image"}),
        "far": "$canary",
        "imports": ["$import canary"],
    },
    "a lambda": {
        "preprocessing": compose({**IDENTITY, "keys": "$(lambda: canary.Here() and 'image')()"}),
        "imports": ["$import canary"],
    },
}
UNUSED: dict[str, dict[str, Any]] = {
    "a component": {"unused": HERE},
    "_requires_": {"unused": {**IDENTITY, "_requires_": [HERE]}},
    "_mode_ callable": {"unused": [{**HERE, "_mode_": "callable"}]},
    "a dotted callable": {"unused": {"_target_": "canary.Here.__call__"}},
    "a dotted call": {"unused": "$scripts.canary.Here()"},
    "a lambda that is called": {"unused": ["$(lambda: open('canary ran', 'w'))()"]},
    "a lambda within a list": {"unused": ["$[f() for f in [lambda: open('canary ran', 'w')]]"]},
    "what a switch would say": {"unused": {**IDENTITY, "_disabled_": "$open('canary ran', 'w')"}},
    "what is run at the end": {
        "run": ["$open('canary ran', 'w')"],
        "initialize": ["$open('canary ran', 'w')"],
    },
}


def with_canary(folder: Path, entries: dict[str, Any]) -> Path:
    made = rewritten(monai_bundle(folder, after=(SOFTMAX, INVERT, ARGMAX, LAMBDA)), **entries)
    (made / "canary.py").write_text(CANARY)
    return made


@pytest.mark.parametrize("case", USED)
def test_a_canary_in_what_is_used_is_listed_or_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = with_canary(tmp_path / "made", USED[case])
    try:
        bundle = read_monai(folder)
    except BundleError:  # whatever the user would decide
        bundle = None
    if bundle is not None:
        assert any("canary" in reason for reason in bundle.needs_trust)
        bundle.verify()
        with pytest.raises(TrustNeeded):
            bundle.load()
    assert not Path("canary ran").exists()


@pytest.mark.parametrize("case", UNUSED)
def test_a_canary_in_an_unused_entry_never_runs(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even after the decision about another part of the bundle."""
    monkeypatch.chdir(tmp_path)
    folder = with_canary(tmp_path / "made", UNUSED[case])
    try:
        bundle = read_monai(folder)
        trust.trust(bundle, trust.content_hash(bundle.path))
        bundle.load()
    except BundleError as refused:
        assert "_call__" in str(refused)  # noqa: PT017 - only this one is refused at once
    assert not Path("canary ran").exists()


@pytest.mark.parametrize("place", ["monai/evil.py", "torch.py", "colorsys.py", "numpy/deep/a.py"])
def test_modules_that_stand_in_for_installed_ones_are_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`monai.evil.Identityd` looks like MONAI's own."""
    monkeypatch.chdir(tmp_path)
    folder = with_canary(
        tmp_path / "made", {"preprocessing": compose({"_target_": "monai.evil.Identityd", "keys": "image"})}
    )
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(CANARY.replace("Here", "Identityd"))
    with pytest.raises(BundleError, match=f"would replace {place.split('/')[0].removesuffix('.py')}"):
        read_monai(folder)
    assert not Path("canary ran").exists()


def test_the_usual_folders_of_a_bundle_stand_in_for_nothing(tmp_path: Path) -> None:
    folder = with_canary(tmp_path / "made", {})
    for name in ("scripts", "tests", "docs", "json"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "scripts/own.py").touch()
    (folder / "json/values.json").touch()
    assert read_monai(folder).kind == "monai"
