"""The members of an ensemble one after another."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from ctseg_imaging.progress import finish
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles import members
from tests.models.making import body_with_organ, threshold_bundle


def test_a_member_is_freed_before_the_next_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = [threshold_bundle(tmp_path / name) for name in ("one", "two")]
    loaded: list[weakref.ref[LoadedStage]] = []

    def alive() -> int:
        gc.collect()
        return sum(stage() is not None for stage in loaded)

    def load(bundle: Bundle, device: str) -> Model:
        assert alive() == 0
        model = bundle.load(device)
        loaded.extend(map(weakref.ref, model.stages))
        return model

    monkeypatch.setattr(members, "load_with_cpu_fallback", load)
    upright = Upright.of(body_with_organ()[0])
    found = finish(members.run_members(bundles, upright, None, "cpu", Arithmetic()))
    assert (len(loaded), alive()) == (4, 0)
    assert [[stage["name"] for stage in member.stages] for member in found] == [["localise", "segment"]] * 2
