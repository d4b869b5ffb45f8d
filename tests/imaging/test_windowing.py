"""Presets as agreed on, quantiles as numpy counts them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume, Window
from ctseg_imaging.windowing import (
    MR_QUANTILES,
    PRESETS,
    default_window,
    is_hu,
    preset,
    quantile_window,
    suggested_windows,
)

GRID = Geometry.from_parts((3, 4, 5), (2, 1, 1))


def volume(values, **more) -> Volume:
    return Volume(np.resize(np.asarray(values), GRID.shape), GRID, **more)


def test_the_nine_presets_in_the_order_of_their_keys():
    assert [(window.name, window.width, window.level) for window in PRESETS] == [
        ("brain", 80, 40),
        ("subdural", 200, 80),
        ("stroke", 40, 40),
        ("bone", 1800, 400),
        ("temporal bone", 2800, 600),
        ("lung", 1500, -600),
        ("mediastinum", 350, 50),
        ("abdomen", 400, 50),
        ("liver", 150, 30),
    ]
    assert preset("lung").limits == (-1350, 150)


@given(
    seed=st.integers(0, 99),
    low=st.floats(0, 0.49),
    high=st.floats(0.5, 1),
    kind=st.sampled_from([np.int16, np.uint8, np.uint16, np.int32, np.float32]),
)
def test_quantiles_are_numpys(seed, low, high, kind):
    array = np.random.default_rng(seed).integers(0, 200, (3, 7, 11)).astype(kind)
    if kind == np.int16:
        array -= 1000
    window = quantile_window(array, low, high, "w")
    bottom, top = np.quantile(array.astype(np.float64), (low, high))
    assert window.limits == pytest.approx(
        (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5), abs=1e-6
    )


def test_numbers_that_are_none_are_left_out():
    array = np.array([np.nan, np.inf, -np.inf, *np.linspace(0, 10, 101)])
    assert quantile_window(array, 0.1, 0.9, "w").limits == pytest.approx((1, 9))
    assert quantile_window(np.full(4, np.nan), 0.1, 0.9, "w").width == 1


def test_a_flat_volume_gets_a_window_that_can_be_shown():
    window = quantile_window(np.full((2, 3, 4), 7, np.int16), 0.005, 0.995, "w")
    assert (window.width, window.level) == (1, 7)


def test_quantiles_out_of_order_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="Quantiles"):
        quantile_window(np.zeros(3), 0.9, 0.1, "w")


def test_default_is_the_files_own_then_abdomen_for_ct_then_quantiles():
    own = Window("file", 300, 40)
    ct = np.array([-1024, 40, 900], np.int16)
    assert default_window(volume(ct, windows=(own,), modality="CT")) == own
    assert default_window(volume(ct)).name == "abdomen"
    mr = volume(np.arange(60, dtype=np.uint16))
    assert default_window(mr) == quantile_window(mr.array, *MR_QUANTILES, "0.5-99.5 %")


@pytest.mark.parametrize(
    ("values", "modality", "answer"),
    [
        ([-1024, 500], "", True),
        ([-1024, 500], "MR", False),
        ([0, 500], "CT", True),
        ([0, 500], "", False),
        ([-600, -550], "", False),
        ([np.nan, -1000.0, 50.0], "", True),
        ([np.nan], "", False),
    ],
)
def test_is_hu(values, modality, answer):
    assert is_hu(volume(values, modality=modality)) is answer


def test_suggestions_hold_presets_for_ct_only():
    assert preset("liver") in suggested_windows(volume(np.array([-1024, 900], np.int16)))
    assert [window.name for window in suggested_windows(volume(np.arange(60, dtype=np.uint16)))] == [
        "0.5-99.5 %",
        "60-99 %",
    ]
