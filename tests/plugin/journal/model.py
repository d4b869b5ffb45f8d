"""A plain numpy model of what painting, locks, undo and a restart do, next to a recorded napari layer."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from napari.components import Dims
from napari.layers import Labels as LabelsLayer

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.journal import folder
from napari_ctseg.journal.replay import replay
from napari_ctseg.journal.writer import WRITER
from napari_ctseg.recovery.recording import Recording
from napari_ctseg.viewer.layers import label_data
from napari_ctseg.viewer.painting import BrushRules, Painting, set_mask

SHAPE, SPACING = (5, 9, 12), (3.0, 1.5, 2.0)
C, S = np.cos(np.radians(10)), np.sin(np.radians(10))
GRID = Geometry.from_parts(
    SHAPE, SPACING, (10.0, -20.0, 30.0), np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
)
KEY = "0123456789abcdef01234567"
values, places = st.integers(0, 3), st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
boxes = st.tuples(places, places)


def layer_of(label_map):
    data, settings, _ = label_data(label_map, "mask")
    return LabelsLayer(data, **settings)


def look_at(layer, k):
    """What the viewer's slider does."""
    dims = Dims(ndim=3)
    for axis in range(3):
        dims.set_range(
            axis,
            (
                layer.translate[axis],
                layer.translate[axis] + (SHAPE[axis] - 1) * layer.scale[axis],
                layer.scale[axis],
            ),
        )
    dims.set_point(0, layer.translate[0] + k * layer.scale[0])
    layer._slice_dims(dims)


class Model(RuleBasedStateMachine):
    """`plain` is a napari layer without this project's guards: what a tool does to an array. Locks and undo
    are numpy's here.
    """

    plain = None
    begun = 0  # sequences

    @initialize(seed=st.integers(0, 99))
    def begin(self, seed):
        Model.begun += 1
        array = np.random.default_rng(seed).choice(4, SHAPE, p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)
        label_map = LabelMap(array, GRID, Labels.from_names({1: "liver", 2: "spleen", 3: "kidney"}))
        shown = label_data(label_map, "mask")
        if Model.plain is None:  # made once: that takes longer than all the rest
            Model.plain = LabelsLayer(
                np.array(shown[0]), scale=shown[1]["scale"], translate=shown[1]["translate"]
            )
        self.plain.data[...] = shown[0]
        self.locked, self.done, self.undone, self.k = frozenset(), [], [], 0
        self.layer = layer_of(label_map)
        self.recording = Recording(self.layer, lambda: KEY)
        self.look(0)

    # ---- what the user does

    @rule(k=st.integers(0, SHAPE[0] - 1))
    def look(self, k):
        self.k = k
        look_at(self.layer, k)
        look_at(self.plain, k)

    @rule(locked=st.frozensets(st.integers(1, 3), max_size=2))
    def lock(self, locked):
        self.locked = locked
        Painting.of(self.layer).rules = BrushRules(locked)

    @rule(
        dabs=st.lists(st.tuples(places, values), min_size=1, max_size=4),
        size=st.integers(1, 6),
        ball=st.booleans(),
        only_background=st.booleans(),
    )
    def drag(self, dabs, size, ball, only_background):
        for layer in (self.layer, self.plain):
            layer.brush_size, layer.n_edit_dimensions, layer.preserve_labels = (
                size,
                3 if ball else 2,
                only_background,
            )
        with self.layer.block_history():
            for (_, y, x), value in dabs:
                self.layer.paint((self.k, y, x), value)
        self.step(
            [lambda layer, at=(self.k, y, x), v=value: layer.paint(at, v) for (_, y, x), value in dabs],
            [v for _, v in dabs],
        )

    @rule(at=places, value=values, contiguous=st.booleans())
    def fill(self, at, value, contiguous):
        for layer in (self.layer, self.plain):
            layer.contiguous, layer.n_edit_dimensions, layer.preserve_labels = contiguous, 2, False
        at = (self.k, *at[1:])
        self.layer.fill(at, value)
        self.step([lambda layer: layer.fill(at, value)], [value])

    @rule(a=places, b=places, c=places, value=values)
    def polygon(self, a, b, c, value):
        for layer in (self.layer, self.plain):
            layer.n_edit_dimensions, layer.preserve_labels = 2, False
        corners = np.array([(self.k, *at[1:]) for at in (a, b, c)])
        self.layer.paint_polygon(corners, value)
        self.step([lambda layer: layer.paint_polygon(corners, value)], [value])

    @rule(box=boxes, value=st.integers(1, 3))
    def operation(self, box, value):
        mask = np.zeros(SHAPE, bool)
        mask[tuple(slice(min(a, b), max(a, b) + 1) for a, b in zip(*box, strict=True))] = True
        set_mask(self.layer, value, mask)
        now = self.plain.data.copy()
        if value not in self.locked:
            now[mask & (now == 0)] = value
            now[~mask & (self.plain.data == value)] = 0
        self.push(now)

    @rule(at=places, value=values)
    def stroke_that_is_taken_back(self, at, value):
        self.layer.n_edit_dimensions = 2
        self.layer._begin_stroke()
        self.layer.paint((self.k, *at[1:]), value)
        if at[0] % 2:
            WRITER.flush()
        self.layer._abort_stroke()

    @rule()
    def undo(self):
        self.layer.undo()
        if self.done:
            self.undone.append(self.done.pop())
            self.write(*self.undone[-1][:2])

    @rule()
    def redo(self):
        self.layer.redo()
        if self.undone:
            self.done.append(self.undone.pop())
            self.write(self.done[-1][0], self.done[-1][2])

    @rule(at=places)
    def replace(self, at):
        other = self.plain.data.copy()
        other[at] = (other[at] + 1) % 4
        self.layer.data = other.copy()
        self.push(other)

    @rule()
    def export(self):
        self.recording.exported()

    @rule()
    def crash_and_restore(self):
        WRITER.flush()
        path = self.recording.path
        if path is None:
            return
        edits = folder._kept(path)
        replayed = replay(path)
        WRITER._files.discard(self.recording._file)  # the process is gone, and its open files with it
        self.recording._file._drop_now()
        self.layer = layer_of(replayed.label_map)
        self.recording = Recording(self.layer, lambda: KEY)
        self.recording.continue_from(edits, replayed)
        Painting.of(self.layer).rules = BrushRules(self.locked)
        self.look(self.k)

    # ---- the model

    @invariant()
    def the_array_is_the_model_s(self):
        assert np.array_equal(self.layer.data, self.plain.data)
        steps = Painting.of(self.layer).steps.history
        assert (len(steps.done), len(steps.undone)) == (len(self.done), len(self.undone))

    def step(self, tools, painted):
        """One undo step of several dabs: what locked classes have stays, and none of them is painted."""
        before, touched = self.plain.data.copy(), np.zeros(SHAPE, bool)
        for tool, value in zip(tools, painted, strict=True):
            then = self.plain.data.copy()
            tool(self.plain)
            kept = np.isin(then, list(self.locked)) | (value in self.locked)
            self.plain.data[...] = np.where(kept, then, self.plain.data)
            touched |= then != self.plain.data
        after = self.plain.data.copy()
        self.plain.data[...] = before
        self.push(after, touched.any())

    def push(self, after, changed=None):
        if changed or not np.array_equal(after, self.plain.data):
            where = after != self.plain.data
            self.done.append((where, self.plain.data[where], after[where]))
            self.undone.clear()
        self.plain.data[...] = after

    def write(self, where, wanted):
        now = self.plain.data[where]
        frozen = np.isin(now, list(self.locked)) | np.isin(wanted, list(self.locked))
        self.plain.data[where] = np.where(frozen, now, wanted)

    def teardown(self):
        self.recording.close()
        self.recording = None
