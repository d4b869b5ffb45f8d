"""A batch of cases: order, overlap, errors, bounded memory, and what --continue takes for finished."""

import gc
import json
import threading
import weakref

import numpy as np
import pytest

from ctseg_imaging.errors import FormatError
from napari_ctseg.commands.results.batch import Batch, Pace, is_done


class Array:
    """Something large, counted while it is alive."""

    alive = weakref.WeakSet()

    def __init__(self):
        self.alive.add(self)


def test_outcomes_come_in_order_and_an_error_in_any_step_is_the_items_own():
    def read(item):
        if item == "unreadable":
            raise FormatError("unreadable: no image.")
        return item

    def make(item, read):
        if item == "unmakeable":
            raise FormatError("unmakeable: too small.")
        return read.upper()

    def write(item, read, made):
        if item == "unwritable":
            raise FormatError("unwritable: the disk is full.")
        return f"{item} {read} {made}"

    items = ["a", "unreadable", "b", "unmakeable", "unwritable", "c"]
    outcomes = list(Batch(read, make, write).run(items))
    assert [one.item for one in outcomes] == items
    assert [one.written for one in outcomes] == ["a a A", None, "b b B", None, None, "c c C"]
    assert [str(one.error).split(":")[0] for one in outcomes if one.error] == [items[k] for k in (1, 3, 4)]


def test_the_next_is_read_and_the_last_written_while_one_is_made():
    being_read, being_written = threading.Event(), threading.Event()

    def read(item):
        if item == 2:
            being_read.set()
        return item

    def make(item, read):
        if item == 1:
            assert being_read.wait(60) and being_written.wait(60)
        return item

    def write(item, read, made):
        being_written.set()

    assert len(list(Batch(read, make, write).run([0, 1, 2]))) == 3


def test_memory_does_not_grow_with_the_number_of_cases():
    most = []

    def made(item, image):
        gc.collect()
        most.append(len(Array.alive))
        return Array()

    batch = Batch(lambda item: Array(), made, lambda item, image, result: None)
    for _ in batch.run(range(40)):
        pass
    assert max(most) <= 5  # three images (read ahead, in work, being written) and up to two results


def test_an_unforeseen_error_ends_the_batch_after_what_was_made_is_written():
    written = []

    def make(item, read):
        if item == 2:
            raise ZeroDivisionError
        return item

    batch = Batch(lambda item: item, make, lambda item, read, made: written.append(item))
    with pytest.raises(ZeroDivisionError):
        list(batch.run(range(5)))
    assert written == [0, 1]


def test_no_item_and_closing_early():
    assert list(Batch(None, None, None).run([])) == []
    run = Batch(lambda item: item, lambda item, read: item, lambda item, read, made: made).run(range(9))
    assert next(run).written == 0
    run.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]


def test_the_time_left_is_that_of_the_mean_case():
    times = iter([100.0, 130.0, 190.0, 4000.0])
    pace = Pace(4, clock=lambda: next(times))
    assert pace.next("a") == "Case 1 of 4: a"
    assert pace.next("b") == "Case 2 of 4: b, about 90 s left"
    assert pace.next("c") == "Case 3 of 4: c, about 90 s left"
    assert pace.next("d") == "Case 4 of 4: d, about 22 min left"


@pytest.mark.parametrize(
    ("change", "done"),
    [
        ({}, True),
        ({"settings": {"mirroring": False, "device": "cuda", "threads": 1}}, True),
        ({"settings": {"mirroring": True, "device": "cpu", "threads": 2}}, False),
        ({"bundles": [{"sha256": "b"}]}, False),
        ({"bundles": None}, False),
    ],
)
def test_a_case_is_finished_if_the_same_models_and_settings_made_it(tmp_path, change, done):
    labels, provenance = tmp_path / "a.nii.gz", tmp_path / "a.provenance.json"
    settings = {"mirroring": False, "device": "cpu", "threads": 2}
    provenance.write_text(json.dumps({"bundles": [{"sha256": "a"}], "settings": settings, **change}))
    assert not is_done(labels, provenance, ["a"], settings)
    labels.write_bytes(np.zeros(4).tobytes())
    assert is_done(labels, provenance, ["a"], settings) is done
    provenance.write_text("{")
    assert not is_done(labels, provenance, ["a"], settings)
