"""Patches, frames, files, folder and locks of the journal, without a viewer."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import AxisView, Geometry
from napari_ctseg.journal import folder
from napari_ctseg.journal.file import JournalFile, Start
from napari_ctseg.journal.frames import MAGIC, FrameKind, frame, frames
from napari_ctseg.journal.history import Gesture, History
from napari_ctseg.journal.patches import BoxChange, Patch, PointChange, between, merged, pack, unpack, write
from napari_ctseg.journal.replay import replay, summary
from napari_ctseg.journal.writer import Writer

SHAPE = (5, 7, 11)
GEOMETRY = Geometry.from_parts(SHAPE, (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), np.diag([-1, 1, -1.0]))


@given(
    hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 4)),
    hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 4)),
)
def test_a_packed_patch_turns_one_array_into_the_other_and_back(before, after):
    patch = unpack(pack(between(before, after)))
    array = before[::-1, :, ::-1].copy()[::-1, :, ::-1]
    write(array, patch)
    assert np.array_equal(array, after)
    write(array, patch.inverse)
    assert np.array_equal(array, before)


def test_a_box_and_points_are_the_voxels_that_numpy_changes():
    array = np.zeros(SHAPE, np.uint16)
    mask = np.random.default_rng(3).random((2, 3, 4)) < 0.4
    where = (slice(1, 3), slice(2, 5), slice(6, 10))
    box = BoxChange(where, mask, array[where][mask], 300)
    array[where][mask] = 300
    old = np.array([0, array[1, 2, 6]], np.uint16)
    points = PointChange((np.array([4, 1]), np.array([0, 2]), np.array([10, 6])), old, np.array([7, 8]))
    array[[4, 1], [0, 2], [10, 6]] = [7, 8]
    found = np.zeros(SHAPE, np.uint16)
    write(found, merged([box.patch(SHAPE), points.patch(SHAPE)]))
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 10, pack(Patch(np.arange(5), np.zeros(5, np.uint8), np.ones(5, np.uint8)))[:-3]]
)
def test_a_damaged_patch_is_a_value_error(damage):
    with pytest.raises(ValueError, match="damaged"):
        unpack(damage)


def test_a_file_is_read_to_its_last_whole_frame_wherever_it_ends_or_is_damaged(tmp_path):
    parts = [frame(FrameKind.PART, bytes([k]) * (k + 1)) for k in range(5)]
    whole = MAGIC + b"".join(parts)
    ends = np.cumsum([len(MAGIC), *map(len, parts)])
    path = tmp_path / "x.journal"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert len(list(frames(path))) == max(0, np.searchsorted(ends, length, "right") - 1)
    for at in range(len(MAGIC), len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        assert len(list(frames(path))) == np.searchsorted(ends, at, "right") - 1


def test_the_history_is_bounded_by_bytes_and_keeps_the_last_step():
    def gesture(k):
        noise = np.random.default_rng(k).integers(0, 200, 5000).astype(np.uint8)
        return Gesture(SHAPE, {"k": k}, [pack(Patch(np.arange(0, 10_000, 2), noise, noise + 1))])

    size = gesture(0).size
    history = History(limit=10 * size)
    for k in range(40):
        history.push(gesture(k))
    assert history.size <= 11 * size and [one.meta["k"] for one in history.done] == list(
        range(40 - len(history.done), 40)
    )
    assert len(history.done) >= 9
    small = History(limit=10)
    small.push(gesture(1))
    small.push(gesture(2))
    assert [one.meta["k"] for one in small.done] == [2]


# ---- a file as the writer writes it


def start(array, done=(), undone=()):
    view = AxisView.of(GEOMETRY)
    header = {
        "shape": GEOMETRY.shape,
        "affine_lps": GEOMETRY.affine_lps.tolist(),
        "order": view.order,
        "flips": view.flips,
        "dtype": array.dtype.str,
        "before": 0,
        "labels": [[1, "liver", "#112233", True]],
        "edits": [],
    }
    return Start(header, array, tuple(done), tuple(undone))


def stroke(array, k):
    where = (slice(k % 5, k % 5 + 1), slice(1, 5), slice(2, 9))
    gesture = Gesture(SHAPE)
    gesture.add(BoxChange(where, None, array[where].copy(), k % 7 + 1))
    array[where] = k % 7 + 1
    gesture.meta = {"operation": "paint", "k": k}
    return gesture


class Now:
    """A journal file whose tasks run when asked, without a thread."""

    def __init__(self, path):
        self.tasks, self.reports = [], []
        self.file = JournalFile(
            path, self.tasks.append, self.reports.append, lambda: self.reports.append("kept")
        )

    def run(self):
        while self.tasks:
            self.tasks.pop(0)()

    def begin(self, start):
        self.file.begin(start)
        self.run()


@pytest.fixture
def journal(tmp_path):
    return Now(tmp_path / "0123-4567.journal")


def test_strokes_during_a_base_and_during_its_renewal_are_all_there(journal, monkeypatch):
    monkeypatch.setattr("napari_ctseg.journal.file.SLAB_BYTES", 1)
    monkeypatch.setattr("napari_ctseg.journal.file.STEP_S", 0.0)
    array = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)[::-1, :, ::-1]
    done = []
    for generation in range(3):
        journal.file.begin(start(array, done))
        for k in range(20):
            done.append(stroke(array, 20 * generation + k))
            journal.file.end(done[-1])
            if generation or k > 10:
                assert np.array_equal(
                    replay(journal.file.path).shown, array
                )  # killed here, whatever stands in the new file
            if journal.tasks:
                journal.tasks.pop(0)()
        journal.run()
        again = replay(journal.file.path)
        assert np.array_equal(again.shown, array) and len(again.history.done) == len(done)
    assert np.array_equal(AxisView.of(GEOMETRY).apply(again.label_map.array), array)
    assert [label.name for label in again.label_map.labels] == ["liver"]


def test_what_a_base_shows_of_the_stroke_under_way_is_undone_wherever_the_process_is_killed(journal):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    under_way = stroke(array, 1)  # in the array, and its part is posted
    journal.tasks.append(lambda: journal.file.part(under_way))
    journal.file.begin(start(array))  # this base has the stroke, this history has not
    while True:
        replayed = replay(journal.file.path)
        found = replayed.shown.copy()
        assert np.array_equal(found, array) or not found.any()
        for gesture in reversed(replayed.history.done):
            write(found, gesture.patch().inverse)
        assert not found.any()
        if not journal.tasks:
            break
        journal.tasks.pop(0)()
    assert np.array_equal(replay(journal.file.path).shown, array) and not journal.file._next


def test_a_voxel_that_a_stroke_changes_and_changes_back_while_the_base_is_read_is_right(journal):
    array = np.zeros(SHAPE, np.uint8)
    where, gesture = (slice(1, 2), slice(1, 5), slice(2, 9)), Gesture(SHAPE)
    for value in (3, 0):
        gesture.add(BoxChange(where, None, array[where].copy(), value))
        array[where] = value
        if value:
            journal.file.begin(start(array))  # the base has it between the two
    journal.file.end(gesture)
    journal.run()
    replayed = replay(journal.file.path)
    assert not replayed.shown.any() and not len(replayed.history.done[0].patch())


def test_a_generation_that_is_under_way_is_whole_when_the_journal_is_closed(journal, monkeypatch):
    monkeypatch.setattr("napari_ctseg.journal.file.SLAB_BYTES", 1)
    monkeypatch.setattr("napari_ctseg.journal.file.STEP_S", 0.0)
    array = np.zeros(SHAPE, np.uint8)
    journal.file.begin(start(array))
    journal.file.end(stroke(array, 1))
    assert not journal.file.path.exists()
    journal.file.close()
    assert np.array_equal(replay(journal.file.path).shown, array)


def test_a_journal_that_ends_anywhere_gives_the_state_after_a_whole_step(journal):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    states, sizes = [array.copy()], [journal.file._now.size]
    for k in range(6):
        journal.file.end(stroke(array, k))
        states.append(array.copy())
        sizes.append(journal.file._now.size)
    content = journal.file.path.read_bytes()
    for length in range(sizes[0], len(content) + 1, 3):
        journal.file.path.write_bytes(content[:length])
        k = np.searchsorted(sizes, length, "right") - 1
        found = replay(journal.file.path).shown
        assert np.array_equal(found, states[k]) or np.array_equal(
            found, states[k + 1]
        )  # its voxels are written before its description
        assert summary(journal.file.path).steps in (k, k + 1)
    for length in range(0, sizes[0], 7):
        journal.file.path.write_bytes(content[:length])
        with pytest.raises(FormatError, match="damaged"):
            replay(journal.file.path)


def test_a_full_disk_is_told_once_and_what_was_painted_is_kept_once_there_is_room(journal, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    written = os.write

    def full(handle, data):
        if len(data) > 3:
            return written(handle, data[:3])  # half a frame gets there, then no more
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.file.end(stroke(array, 1))
    safe = array.copy()
    monkeypatch.setattr(os, "write", full)
    for k in range(2, 5):
        journal.file.end(stroke(array, k))
    assert [error.errno for error in journal.reports] == [errno.ENOSPC]
    assert np.array_equal(replay(journal.file.path).shown, safe)
    monkeypatch.setattr(os, "write", written)
    journal.file.end(stroke(array, 5))
    assert journal.reports[1:] == ["kept"] and np.array_equal(replay(journal.file.path).shown, array)


def test_a_renewal_that_finds_no_room_leaves_the_journal_as_it_is(journal, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    journal.file.end(stroke(array, 1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as within:
        within.setattr("napari_ctseg.journal.file.zlib.compress", full)
        journal.begin(start(array))
    assert journal.reports[0].errno == errno.ENOSPC
    journal.file.end(stroke(array, 2))
    assert np.array_equal(replay(journal.file.path).shown, array)
    assert [path.name for path in journal.file.path.parent.iterdir()] == [journal.file.path.name]


def test_edits_that_wait_for_a_full_disk_are_bounded_and_a_fresh_copy_takes_their_place(journal, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    journal.file.end(stroke(array, 1))
    safe = array.copy()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as within:
        within.setattr(os, "write", full)
        within.setattr("napari_ctseg.journal.file.WAITING_BYTES", 400)
        for k in range(2, 60):
            journal.file.end(stroke(array, k))
            assert journal.file._now is None or journal.file._now.waiting_bytes < 1000
        assert journal.file.wanted and len(journal.reports) == 1
        journal.begin(start(array))
        assert journal.file.wanted and np.array_equal(replay(journal.file.path).shown, safe)
    journal.begin(start(array))
    assert journal.reports[1:] == ["kept"] and np.array_equal(replay(journal.file.path).shown, array)
    journal.file.end(stroke(array, 60))
    assert np.array_equal(replay(journal.file.path).shown, array)


def test_an_unforeseen_exception_ends_the_journal_and_is_reported_once(journal):
    array = np.zeros(SHAPE, np.uint8)
    journal.begin(start(array))
    journal.file.end(stroke(array, 1))
    safe = array.copy()

    def fault(_):
        raise MemoryError

    journal.file.run(fault)
    journal.file.run(fault)
    journal.file.run(lambda file: file.end(stroke(array, 2)))
    assert [type(error) for error in journal.reports] == [MemoryError] and journal.file.in_trouble
    assert np.array_equal(replay(journal.file.path).shown, safe)


def test_the_writer_goes_on_after_a_task_that_failed(monkeypatch):
    writer, seen = Writer(), []
    monkeypatch.setattr("threading.excepthook", lambda args: seen.append(args.exc_type))
    writer.post(lambda: {}["absent"])
    writer.post(lambda: seen.append("next"))
    assert writer.flush(5.0) and seen == [KeyError, "next"]


def test_the_writer_flushes_what_was_posted_in_order():
    writer, seen = Writer(), []
    for k in range(100):
        writer.post(lambda k=k: seen.append(k))
    assert writer.flush() and seen == list(range(100))


# ---- the folder


def kept_journal(key="0123456789abcdef01234567", strokes=3):
    path = folder.new_path(key)
    now, array = Now(path), np.zeros(SHAPE, np.uint8)
    now.begin(start(array))
    for k in range(strokes):
        now.file.end(stroke(array, k))
    now.file.close()
    return path


def test_files_are_the_user_s_alone():
    path = kept_journal()
    folder.claim(path)
    for one in (path, path.with_suffix(".writer")):
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
    for one in (folder.folder(), folder.folder() / "discarded"):
        assert stat.S_IMODE(one.stat().st_mode) == 0o700


def test_what_is_kept_is_found_by_image_and_a_damaged_one_beside_the_healthy():
    path, other = kept_journal(), kept_journal("f" * 24, 1)
    damaged = path.with_name(path.name.partition("-")[0] + "-00.journal")
    damaged.write_bytes(path.read_bytes()[:60])
    assert {(kept.path, kept.steps) for kept in folder.find(path.name.partition("-")[0])} == {
        (path, 3),
        (damaged, None),
    }
    assert [kept.path for kept in folder.find("f" * 24)] == [other] and len(folder.find()) == 3
    assert folder.find("a" * 24) == ()
    assert folder.find("f" * 24)[0].key == "f" * 24
    untouched = kept_journal("e" * 24, 0)
    assert untouched.exists() and folder.find("e" * 24) == ()


def test_discarding_can_be_undone_for_a_fortnight_and_beyond_the_limit_the_oldest_go_first():
    paths = [kept_journal() for _ in range(3)]
    for path in paths:
        folder.discard(path)
    assert folder.find() == () and len(folder.discarded()) == 3
    folder.bring_back(paths[0])
    assert [kept.path for kept in folder.find()] == [paths[0]]
    aside = [path.parent / "discarded" / path.name for path in paths]
    os.utime(aside[1], (time.time() - 15 * 86400,) * 2)
    os.utime(aside[2], (time.time() - 13 * 86400,) * 2)
    folder.sweep(10**9)
    assert not aside[1].exists() and aside[2].exists() and paths[0].exists()
    folder.sweep(limit=1)
    assert not aside[2].exists() and paths[0].exists()  # what was not discarded is never deleted
    with pytest.raises(FormatError, match="no longer"):
        folder.bring_back(paths[1])


def test_another_process_is_seen_and_a_dead_one_is_not():
    path = kept_journal()
    code = (
        "import sys; from pathlib import Path; from napari_ctseg.journal import folder; "
        "folder.claim(Path(sys.argv[1])); "
        "print('claimed', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "claimed\n"
        assert folder.claim(path) == other.pid == folder.writer_of(path)
        assert folder.find() == ()  # it is being written there
        folder.take_over(path)
        assert folder.claim(path) is None and len(folder.find()) == 1
        folder.release(path)
        other.stdin.close()
    note = path.with_suffix(".writer")
    note.write_text(json.dumps({"pid": other.pid, "started": 1.0}))
    assert folder.writer_of(path) is None
    note.write_text("no JSON")
    assert folder.claim(path) is None


def test_half_written_files_of_killed_processes_are_swept():
    path = kept_journal()
    part = path.with_name("0" * 24 + "-11.part")
    part.write_bytes(b"x")
    folder.sweep(10**9)
    assert not part.exists() and Path(path).exists()
