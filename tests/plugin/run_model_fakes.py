"""A view, a queue and a store for tests of the Run model dock."""

from types import SimpleNamespace

from ctseg_imaging.errors import BundleError, BundleExists
from ctseg_imaging.progress import Progress
from napari_ctseg.docks.run_model.library.library import InstalledLibrary


class FakeView:
    def __init__(self):
        self.states = []

    def show(self, state):
        self.state = state
        self.states.append(state)


class Later:
    """A runner whose work continues when the test allows it."""

    def __init__(self):
        self.tasks = []

    def __call__(self, factory, on_progress, on_done, on_error, *, title=""):
        task = SimpleNamespace(
            work=factory(),
            on_progress=on_progress,
            on_done=on_done,
            on_error=on_error,
            title=title,
            cancelled=False,
        )
        task.cancel = lambda: setattr(task, "cancelled", True)
        self.tasks.append(task)
        return task

    def step(self):
        task = self.tasks[-1]
        try:
            task.on_progress(next(task.work))
        except StopIteration as end:
            task.on_done(end.value)
            return False
        except (BundleError, RuntimeError) as error:
            task.on_error(error)
            return False
        return True

    def finish(self):
        while self.step():
            pass


class FakeLibrary:
    """Keeps what was asked of it in `calls`. no_model : name of what `add` refuses. there : target of what is
    there already, by name.
    """

    def __init__(self, models, no_model=""):
        self.files = {}
        self.models, self.no_model, self.calls, self.allowed, self.there = models, no_model, [], set(), {}

    def needs_form(self, path):
        return path.suffix == ".onnx" and not path.with_suffix(".json").exists()

    def mirror_axes(self, bundle):
        return bundle.mirror_axes

    def localises(self, bundle):
        return bundle.name == "abdomen"

    def identity(self, bundle):
        return InstalledLibrary().identity(bundle)

    def described(self, path):
        return InstalledLibrary().described(path)

    def description(self, network):
        return InstalledLibrary().description(network)

    def guess(self, network):
        self.calls.append(("guess", network.name))
        return {
            "name": network.stem,
            "size": [8, 9, 10],
            "channels": [{"name": "CT"}],
            "output": {"kind": "logits", "classes": [0, 1]},
        }

    def faults(self, side):
        return InstalledLibrary().faults(side)

    def write_side_file(self, network, side, overwrite):
        InstalledLibrary().write_side_file(network, side, overwrite)

    def add(self, path, overwrite):
        yield Progress("add", 0, 1, f"Reading {path.name}")
        if path.name == self.no_model:
            raise BundleError(f"{path}: is not a bundle.")
        if path.name in self.there and not overwrite:
            raise BundleExists(self.there[path.name])
        self.calls.append(("add", path.name, overwrite))
        self.models.extra.append(path.stem)
        return path.stem

    def verify(self, bundle):
        yield Progress("verify", 0, 1, "Comparing")
        return f"{bundle.name} is intact."

    def export(self, bundle, to, out):
        yield Progress("export", 0, 1, "Writing")
        self.calls.append(("export", bundle.name, to, out.name))
        return f"Written: {out.name}."

    def trusted(self, bundles):
        self.calls.append(("trusted", *(bundle.name for bundle in bundles)))
        return frozenset(bundle.name for bundle in bundles if bundle.name in self.allowed)

    def digest(self, bundle):
        return self.files.get(bundle.name, "as listed")

    def trust(self, bundle, digest):
        if digest != self.digest(bundle):
            raise BundleError(f"{bundle.name}: its files changed.")
        self.allowed.add(bundle.name)

    def withdraw(self, bundle):
        self.allowed.discard(bundle.name)


def with_kinds(fakes):
    """FakeModels with an nnU-Net of two channels, a MONAI bundle that wants trust, and whatever was added."""

    class Kinds(fakes.Models):
        def __init__(self):
            super().__init__()
            self.extra = []

        def bundles(self):
            found = [
                fakes.Bundle(name) for name in ("abdomen", "headneck", "brain-mr", "spleen", *self.extra)
            ]
            for bundle, axes in zip(found, (0, 1, None, 0, *(0 for _ in self.extra)), strict=True):
                bundle.mirror_axes = axes
            found[2].kind, found[2].channels, found[2].modality = "nnunet", ("T1", "FLAIR"), "MR"
            found[3].kind, found[3].needs_trust = (
                "monai",
                ("configs/inference.json asks for scripts.net.Net.",),
            )
            return found, []

    return Kinds()
