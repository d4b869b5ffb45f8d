"""Sound bundles, recipes, journals, preferences and measurements to damage, and how a program reads them."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import numpy as np

from tests.fuzz.image_inputs import GRID, in_folder, shared


def own_bundle(folder: Path) -> list[Path]:
    from tests.models.making import threshold_bundle

    threshold_bundle(folder / "bundle")
    return [folder / "bundle"]


def sums(path: Path) -> None:
    """Hashes as of a bundle whose files are as they should be."""
    from ctseg_models.vetting.hashes import write_sums

    write_sums(path)


def read_bundle(path: Path) -> None:
    """Found, described, verified and loaded; nothing of it is trusted."""
    from ctseg_models.bundles import store

    bundle = store.read(path)
    bundle.load("cpu")


def monai_bundle(folder: Path) -> list[Path]:
    from tests.models.monai_making import monai_bundle as make

    return [make(folder / "bundle")]


def nnunet_folder(folder: Path) -> list[Path]:
    """nnU-Net's results of a toy data set, if they are here."""
    found = []
    for number, variant in enumerate(("plain_aniso", "2d")):
        source = shared() / "oracles" / "nnunet" / variant / "Dataset999_Toy"
        if source.is_dir():
            inner = next(source.iterdir())
            shutil.copytree(
                inner, folder / str(number) / inner.name, ignore=shutil.ignore_patterns("*.png", "validation")
            )
            found.append(folder / str(number) / inner.name)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return found


def network_files(folder: Path) -> list[Path]:
    """TorchScript and ONNX with their side files."""
    import onnx
    import torch
    from onnx import TensorProto, helper

    side = {
        "labels": {"1": "one"},
        "channels": [{"source": 0, "clip": [-100, 300]}],
        "spacing": [1, 1, 1],
        "pad": 0,
        "modality": "CT",
        "orientation": "LPS",
        "interpolation": "linear",
        "output": {"kind": "logits", "classes": [0, 1]},
    }
    for part in ("ts", "onnx"):
        (folder / part).mkdir(parents=True)
        (folder / part / "a.json").write_text(json.dumps(side))
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    torch.jit.script(network).save(str(folder / "ts" / "a.ts"))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 1, 1, 1], [1.0, -1.0])
    axes = ["n", 1, "z", "y", "x"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["out"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2, "z", "y", "x"])],
        [weight],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "onnx" / "a.onnx",
    )
    return [folder / "ts" / "a.ts", folder / "onnx" / "a.onnx"]


def recipes(folder: Path) -> list[Path]:
    from ctseg_training.recipes.loading import recipe_text

    return [
        in_folder(folder / name, "recipe.yaml", recipe_text(name).encode())
        for name in ("phantom-segment", "finetune", "edge-gated-unet-small")
    ]


def read_recipe(path: Path) -> None:
    from ctseg_training.recipes.loading import load_recipe

    load_recipe(path)


def journals(folder: Path) -> list[Path]:
    """A journal with a base and gestures, written by hand."""
    from ctseg_imaging.geometry import AxisView
    from napari_ctseg.journal.frames import MAGIC, FrameKind, frame
    from napari_ctseg.journal.patches import Patch, pack

    view = AxisView.of(GRID)
    drawn = np.zeros(view.geometry(GRID).shape, np.uint8)
    header = {
        "dtype": "uint8",
        "labels": [[1, "liver", "#ff0000", True]],
        "edits": [],
        "before": 0,
        "shape": list(GRID.shape),
        "affine_lps": GRID.affine_lps.tolist(),
        "order": list(view.order),
        "flips": [bool(one) for one in view.flips],
    }
    patch = Patch(np.array([3, 4, 5, 40]), np.zeros(4, np.uint8), np.ones(4, np.uint8))
    data = [
        frame(FrameKind.HEADER, json.dumps(header).encode()),
        frame(FrameKind.BASE, np.array([0, len(drawn)], "<u4").tobytes() + zlib.compress(drawn.tobytes())),
        frame(FrameKind.BASE_END),
        frame(FrameKind.PART, pack(patch)),
        frame(FrameKind.GESTURE, json.dumps({"operation": "brush"}).encode()),
        frame(FrameKind.UNDO, pack(patch.inverse)),
        frame(FrameKind.REDO, pack(patch)),
        frame(FrameKind.PART, pack(patch)),
        frame(FrameKind.ABORT),
    ]
    return [in_folder(folder / "a", "a-b.journal", MAGIC + b"".join(data))]


def read_journal(path: Path) -> None:
    from napari_ctseg.journal.replay import replay, summary

    summary(path)
    replay(path)


def preferences(folder: Path) -> list[Path]:
    content = json.dumps(
        {"window": {"preset": "lung", "width": 1500}, "run model": {"device": "cpu"}}
    ).encode()
    return [in_folder(folder / "a", "preferences.json", content)]


def read_preferences(path: Path) -> None:
    from napari_ctseg.preferences import Preferences

    kept = Preferences(path)
    kept.get("window", "preset", "")
    kept.get("window", "width", 0)
    kept.set("window", "width", 3)


def measurements(folder: Path) -> list[Path]:
    from ctseg_imaging.measurements import DrawnShape, Kind, LabelValues, record, write
    from ctseg_imaging.volume import Volume

    volume = Volume(np.zeros(GRID.shape, np.int16), GRID, modality="CT")
    ruler = DrawnShape(Kind.RULER, 0, ((1.0, 0.5, 0.0), (1.0, 2.0, 3.25)))
    kept = record(volume, [ruler], [LabelValues(1, "liver", 12, 0.5, 41.0, 3.0)])
    paths = [folder / "a" / "case.csv", folder / "b" / "case.json"]
    for path in paths:
        path.parent.mkdir(parents=True)
        write(path, kept)
    return paths


def read_measurements(path: Path) -> None:
    from ctseg_imaging.measurements import read, shapes_on

    shapes_on(read(path), GRID)
