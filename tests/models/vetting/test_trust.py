"""Code of a bundle runs after a decision, for the bytes that it was made for, while the bundle runs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError, TrustNeeded
from ctseg_imaging.progress import finish
from ctseg_models.bundles import store
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.vetting import trust
from tests.models.making import dice, threshold_bundle
from tests.models.monai_making import ORIENTATION, RANGE, SPACING, monai_bundle, smooth_ct

OWN = '''"""Code of the bundle's author."""
from pathlib import Path

Path("own code ran").touch()


class Doubled:
    def __init__(self, keys):
        self.keys = keys

    def __call__(self, data):
        return {**data, self.keys: data[self.keys] * 2}
'''


@pytest.fixture
def bundle_folder(shared_file: Callable[[str], Path], tmp_path: Path) -> Path:
    folder = tmp_path / "needs_trust"
    shutil.copytree(shared_file("oracles/monai/needs_trust"), folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose module leaves a file in the current folder when it is imported."""
    monkeypatch.chdir(tmp_path)
    folder = monai_bundle(
        tmp_path / "own",
        before=(ORIENTATION, SPACING, RANGE, {"_target_": "scripts.own.Doubled", "keys": "image"}),
        imports=["$import scripts.own"],
    )
    (folder / "scripts").mkdir()
    (folder / "scripts/__init__.py").touch()
    (folder / "scripts/own.py").write_text(OWN)
    return folder


def test_it_asks_first_and_then_gives_the_labels_of_monais_runner(
    bundle_folder: Path, shared_file: Callable[[str], Path]
) -> None:
    bundle = store.find(bundle_folder)
    reasons = " ".join(bundle.needs_trust)
    for needle in ("statistics.median", "scripts.own_transforms.Squared", "lambda x", "import statistics"):
        assert needle in reasons
    volume = formats.read(shared_file("oracles/monai/inputs/oblique.nii.gz"))
    with pytest.raises(TrustNeeded, match='bundle trust "Needs trust"'):
        finish(run(bundle, volume))
    trust.trust(bundle, trust.content_hash(bundle.path))
    for case in ("oblique", "plain"):
        volume = formats.read(shared_file(f"oracles/monai/inputs/{case}.nii.gz"))
        expected = formats.read(shared_file(f"oracles/monai/expected/needs_trust/{case}_labels.nii.gz")).array
        labels = finish(run(bundle, volume, settings=InferenceSettings(precision="fp32"))).labels.array
        assert (labels == expected).mean() >= 0.999
        assert all(dice(labels == value, expected == value) >= 0.99 for value in (0, 1))


@pytest.mark.parametrize(
    "change", ["a byte of its code", "a byte of its weights", "a new file", "a new name", "a config"]
)
def test_one_change_asks_again(change: str, bundle_folder: Path) -> None:
    bundle = read_monai(bundle_folder)
    trust.trust(bundle, trust.content_hash(bundle.path))
    assert trust.is_trusted(read_monai(bundle_folder))
    if change == "a byte of its code":
        with (bundle_folder / "scripts/own_transforms.py").open("a") as file:
            file.write("\n")
    elif change == "a byte of its weights":
        weights = bundle_folder / "models/model.pt"
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(bytes(content))
    elif change == "a new file":
        (bundle_folder / "scripts/more.py").write_text("")
    elif change == "a new name":
        (bundle_folder / "scripts/__init__.py").rename(bundle_folder / "scripts/other.py")
    else:
        path = bundle_folder / "configs/inference.json"
        path.write_text(path.read_text().replace("0.05", "0.06"))
    assert not trust.is_trusted(read_monai(bundle_folder))
    with pytest.raises(TrustNeeded):
        read_monai(bundle_folder).load()


def test_an_answer_is_about_the_bytes_that_were_asked_about(bundle_folder: Path) -> None:
    bundle = read_monai(bundle_folder)
    asked = trust.digest_for_question(bundle, lambda: read_monai(bundle_folder))
    code = bundle_folder / "scripts/own_transforms.py"
    before = code.read_bytes()
    code.write_bytes(before + b"# other code, written while the question was open")
    with pytest.raises(BundleError, match="changed while you were asked"):
        trust.trust(bundle, asked)
    assert not trust.is_trusted(bundle)
    assert not trust.trust_file().exists()
    code.write_bytes(before)
    trust.trust(bundle, asked)
    assert trust.is_trusted(bundle)


def test_a_question_lists_what_the_files_would_run_now(bundle_folder: Path) -> None:
    bundle = read_monai(bundle_folder)
    path = bundle_folder / "configs/inference.json"
    path.write_text(path.read_text().replace("statistics.median", "statistics.mean"))
    with pytest.raises(BundleError, match="other code than was listed"):
        trust.digest_for_question(bundle, lambda: read_monai(bundle_folder))


def test_a_decision_goes_with_the_content_and_can_be_taken_back(bundle_folder: Path, tmp_path: Path) -> None:
    bundle = read_monai(bundle_folder)
    assert not trust.distrust(bundle)
    trust.trust(bundle, trust.content_hash(bundle.path))
    copy = tmp_path / "elsewhere"
    shutil.copytree(bundle_folder, copy)
    assert trust.is_trusted(read_monai(copy))
    assert trust.distrust(read_monai(copy))
    assert not trust.is_trusted(bundle)


def test_nothing_runs_before_the_decision_and_nothing_stays_after_the_run(own_code: Path) -> None:
    bundle = read_monai(own_code)
    bundle.verify()
    store.add(own_code)
    with pytest.raises(TrustNeeded):
        bundle.load()
    assert not Path("own code ran").exists()
    trust.trust(bundle, trust.content_hash(bundle.path))
    before, path = set(sys.modules), list(sys.path)
    labels = finish(run(bundle, smooth_ct(), settings=InferenceSettings(precision="fp32"))).labels.array
    assert Path("own code ran").exists()
    assert len(np.unique(labels)) > 1
    assert not [name for name in set(sys.modules) - before if name.split(".")[0] == "scripts"]
    assert sys.path == path
    assert not list(own_code.rglob("*.pyc"))
    assert trust.is_trusted(bundle)


def test_own_code_counts(own_code: Path, tmp_path: Path) -> None:
    plain = read_monai(monai_bundle(tmp_path / "plain", before=(ORIENTATION, SPACING, {**RANGE, "b_max": 2})))
    bundle = read_monai(own_code)
    trust.trust(bundle, trust.content_hash(bundle.path))
    ours, theirs = (
        finish(run(one, smooth_ct(), settings=InferenceSettings(precision="fp32"))).labels.array
        for one in (plain, bundle)
    )
    assert (ours == theirs).mean() >= 0.999


def test_code_that_fails_becomes_a_sentence(own_code: Path) -> None:
    (own_code / "scripts/own.py").write_text("raise ValueError('broken on purpose')")
    bundle = read_monai(own_code)
    trust.trust(bundle, trust.content_hash(bundle.path))
    with pytest.raises(BundleError, match="its own code failed"):
        bundle.load()


def test_weights_are_read_safely_whatever_was_decided(own_code: Path) -> None:
    import pickle

    (own_code / "models/model.pt").write_bytes(pickle.dumps({"a": print}))
    bundle = read_monai(own_code)
    trust.trust(bundle, trust.content_hash(bundle.path))
    with pytest.raises(BundleError, match=r"model\.pt"):
        bundle.load()


def test_bundles_without_code_need_no_decision(tmp_path: Path) -> None:
    for bundle in (threshold_bundle(tmp_path / "own"), read_monai(monai_bundle(tmp_path / "plain"))):
        assert bundle.needs_trust == ()
        trust.require_trust(bundle)
    assert not trust.trust_file().exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\xff"])
def test_decisions_that_cannot_be_read_are_reported_and_kept(
    content: str, own_code: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "decisions.json"
    path.write_bytes(content.encode("latin-1"))
    monkeypatch.setenv("CTSEG_TRUST", str(path))
    bundle = read_monai(own_code)
    for action in (
        trust.is_trusted,
        lambda one: trust.trust(one, trust.content_hash(one.path)),
        trust.distrust,
    ):
        with pytest.raises(BundleError, match=r"decisions\.json"):
            action(bundle)
    assert path.read_bytes() == content.encode("latin-1")


def test_decisions_lie_in_one_small_file(
    own_code: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CTSEG_TRUST", str(tmp_path / "new folder" / "decisions.json"))
    trust.trust(read_monai(own_code), trust.content_hash(own_code))
    content = json.loads((tmp_path / "new folder" / "decisions.json").read_text())
    assert content == {trust.content_hash(own_code): "own"}


def test_a_question_about_a_very_long_text_is_still_one_sentence(tmp_path: Path) -> None:
    long_name = {"_target_": f"scripts.own.{'a' * 5000}", "keys": "image"}
    bundle = read_monai(monai_bundle(tmp_path / "long", before=(ORIENTATION, SPACING, RANGE, long_name)))
    with pytest.raises(TrustNeeded) as caught:
        trust.require_trust(bundle)
    assert len(str(caught.value)) < 1000
    assert any(len(reason) > 5000 for reason in bundle.needs_trust)  # `bundle show` lists all of it
