"""A process that paints in the real viewer until it is killed, and writes down every state of the array.

python painter.py IMAGE LABELS LEDGER SECONDS STROKES_PER_SECOND WHAT   with WHAT: strokes, operations,
renewals, full disk A line of the ledger: time, CRC-32 of the layer's array, what has just happened.
"""

import resource
import subprocess
import sys
import time
import zlib

import numpy as np


def main(image, labels, ledger, seconds, rate, what):
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from napari_ctseg.docks.correct.state import Operation
    from napari_ctseg.journal import file
    from napari_ctseg.recovery.autosave import autosave_of
    from napari_ctseg.viewer.painting import Painting
    from napari_ctseg.viewer.reference import release
    from tests.plugin.docks.correct.test_correct import drag

    if what == "renewals":
        file.GROWTH_BYTES = -(10**9)  # a new generation after every stroke
    viewer = napari.Viewer(show=True)
    viewer.open(image, plugin="napari-ctseg")
    (layer,) = viewer.open(labels, plugin="napari-ctseg")
    release(layer)
    dock = None
    if what == "operations":
        _, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        dock.controller.choose(layer.name)
    layer.mode, layer.brush_size = "paint", 5
    rng = np.random.default_rng(int(time.time() * 1000) % 2**32)
    start = time.monotonic()
    # Through another process: the limit on this one's files stands for the full disk.
    out = subprocess.Popen(
        ["tee", "-a", ledger], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ).stdin

    def note(word):
        out.write(f"{time.monotonic():.4f} {zlib.crc32(np.ascontiguousarray(layer.data).tobytes())} {word}\n")
        out.flush()

    def stroke():
        k, y, x = (int(rng.integers(0, n)) for n in layer.data.shape)
        viewer.dims.set_point(0, layer.translate[0] + k * layer.scale[0])
        layer.selected_label = int(rng.integers(1, 4))
        points = [(k, min(y + step, layer.data.shape[1] - 1), x) for step in range(0, 12, 3)]
        drag(layer, points, lambda: note("move"))
        note("stroke")
        if dock is not None and rng.random() < 0.3 and not dock.controller.state.operation_why_not:
            dock.controller.operations.set_margin(2.0)
            dock.controller.operations.apply(Operation.EXPAND if rng.random() < 0.5 else Operation.SMOOTH)
        if rng.random() < 0.1:
            layer.undo()
            note("undo")

    def tick():
        if time.monotonic() - start > seconds:
            QApplication.quit()
            return
        stroke()

    # Every state that a part of a gesture, and with it the journal, can end in: a dab is announced before the
    # array changes.
    steps = Painting.of(layer).steps
    for signal, word in ((steps.added, "dab"), (steps.ended, "ended"), (steps.moved, "moved")):
        signal.connect(lambda *_, word=word: note(word))
    if what == "full disk":
        autosave_of(viewer).message.connect(lambda word: note("message " + word))
        QTimer.singleShot(
            1500, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        )
    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(int(1000 / rate))
    note("begin")
    napari.run()
    note("end")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
