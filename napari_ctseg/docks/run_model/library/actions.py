"""The installed models, and what is done with them besides running: add, trust, verify, export."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleExists, CtsegError
from ctseg_imaging.progress import Progress
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.run_model.library.card import first_paragraph
from napari_ctseg.docks.run_model.library.library import Library, refuse_what_is_no_model
from napari_ctseg.docks.run_model.state import BundleInfo, FormNeeded, Replacement, TrustQuestion

if TYPE_CHECKING:
    from ctseg_imaging.volume import Volume
    from ctseg_models.bundles.export import Format
    from ctseg_models.contract.bundle import Bundle

Runner = Callable[..., queue.Task]
Errand = Callable[[], Generator[Progress, None, str]]


class ModelActions:
    """Keeps the models by name. update : changes fields of the dock's state. reload : lists the models again;
    its argument becomes the chosen one.
    """

    def __init__(
        self,
        library: Library,
        runner: Runner,
        aside: ThreadedCall,
        update: Callable[..., None],
        reload: Callable[[str | None], None],
    ) -> None:
        self.bundles: dict[str, Bundle] = {}
        self._library, self._run, self._aside, self._update, self._reload = (
            library,
            runner,
            aside,
            update,
            reload,
        )
        self._trusted: frozenset[str] | None = None
        self._digests: dict[str, str] = {}  # of the files of models that will be asked about next
        self._task: queue.Task | None = None

    # ---- what is there

    def fill(self, bundles: Sequence[Bundle]) -> None:
        """Replace the models by those of the store. Which ones are trusted is looked up in a thread, because
        their files are hashed.
        """
        self.bundles = {bundle.name: bundle for bundle in bundles}
        self._digests = {}
        asking = [bundle for bundle in bundles if bundle.needs_trust]
        self._trusted = None if asking else frozenset()
        if asking:
            self._aside(lambda: self._library.trusted(asking), self._trust_known, self._failed)

    def infos(self, volume: Volume | None) -> tuple[BundleInfo, ...]:
        """The models in the store's order, with their warnings about the image."""
        return tuple(self._info(bundle, volume) for bundle in self.bundles.values())

    def _info(self, bundle: Bundle, volume: Volume | None) -> BundleInfo:
        trusted = None if self._trusted is None else bundle.name in self._trusted
        return BundleInfo(
            bundle.name,
            tuple(label.name for label in bundle.labels),
            bundle.modality,
            first_paragraph(bundle.card),
            bundle.card,
            () if volume is None else tuple(str(one) for one in bundle.warnings_for(volume)),
            bundle.kind,
            tuple(bundle.channels),
            tuple(bundle.needs_trust),
            trusted,
            self._library.mirror_axes(bundle),
            self._library.localises(bundle),
            bundle.path if self._library.described(bundle.path) else None,
            self._library.identity(bundle),
        )

    # ---- trust

    def questions(self, names: Sequence[str]) -> tuple[TrustQuestion, ...]:
        """What has to be asked before these models run."""
        known = self._trusted or frozenset()
        asking = [
            self.bundles[name] for name in names if self.bundles[name].needs_trust and name not in known
        ]
        return tuple(
            TrustQuestion(
                bundle.name, str(bundle.path), tuple(bundle.needs_trust), self._digests.pop(bundle.name)
            )
            for bundle in asking
        )

    def look_up_trust(self, names: Sequence[str], then: Callable[[], None]) -> bool:
        """Whether it is not known yet which models are trusted, or which files of `names` will be asked
        about; if so, `then` is called once it is.
        """
        everyone = [bundle for bundle in self.bundles.values() if bundle.needs_trust]
        known = self._trusted

        def unknown(trusted: frozenset[str]) -> list[Bundle]:
            return [
                one
                for one in everyone
                if one.name in names and one.name not in trusted and one.name not in self._digests
            ]

        if known is not None and not unknown(known):
            return False

        def look() -> tuple[frozenset[str], dict[str, str]]:
            trusted = self._library.trusted(everyone) if known is None else known
            return trusted, {bundle.name: self._library.digest(bundle) for bundle in unknown(trusted)}

        def found(both: tuple[frozenset[str], dict[str, str]]) -> None:
            self._digests.update(both[1])
            self._trust_known(both[0])
            then()

        self._aside(look, found, self._failed)
        return True

    def trust(self, questions: Sequence[TrustQuestion], then: Callable[[], None]) -> None:
        """Remember that the code of these models may run, as it was when it was asked, then go on."""
        answered = [(self.bundles[question.name], question.digest) for question in questions]

        def remember() -> None:
            for bundle, digest in answered:
                self._library.trust(bundle, digest)

        def remembered(_: None) -> None:
            self._trust_known((self._trusted or frozenset()) | {question.name for question in questions})
            then()

        self._aside(remember, remembered, self._failed)

    def withdraw(self, name: str) -> None:
        """The model will ask again before it runs."""
        bundle = self.bundles[name]

        def forgotten(_: None) -> None:
            self._trust_known((self._trusted or frozenset()) - {name})
            self._update(message=f"{name} will ask again before it runs.", details="")

        self._aside(lambda: self._library.withdraw(bundle), forgotten, self._failed)

    def _trust_known(self, names: frozenset[str]) -> None:
        self._trusted = names
        self._update(trusted=names)

    # ---- add

    def add(self, path: Path) -> None:
        """A folder or file that the user chose or dropped; a network without its side file opens the form
        first.
        """
        self._update(message="", details="", asked=None)
        try:
            refuse_what_is_no_model(path)
            if self._library.needs_form(path):
                self._aside(
                    lambda: self._library.guess(path),
                    lambda guess: self._update(asked=FormNeeded(path, guess)),
                    self._failed,
                )
                return
        except CtsegError as error:
            self._failed(error)
            return
        self.copy(path)

    def copy(self, path: Path, *, overwrite: bool = False) -> None:
        """Add; where the store would replace a model, the user is asked about that one first."""

        def refused(error: Exception) -> None:
            if isinstance(error, BundleExists):
                self._task = None
                self._update(errand="", asked=Replacement(path, error.target))
            else:
                self._failed(error, path)

        self._update(asked=None)
        self._errand(f"Adding {path.name}", lambda: self._library.add(path, overwrite), self._added, refused)

    def leave(self) -> None:
        """The form or the question was closed: nothing is written, nothing added."""
        self._update(asked=None)

    def _added(self, name: str) -> None:
        self._reload(name)
        self._update(errand="", message=f"Added: {name}.", details="")

    def faults(self, side: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the form's content, by field."""
        return self._library.faults(side)

    def describe(self, network: Path) -> None:
        """Open the form with the content of the network's side file."""
        try:
            description = self._library.description(network)
        except CtsegError as error:
            self._failed(error)
            return
        self._update(asked=FormNeeded(network, description, rewrite=True), message="", details="")

    def describe_model(self, name: str) -> None:
        """The same, of a model in the list."""
        self.describe(self.bundles[name].path)

    def write_side_file(self, network: Path, side: Mapping[str, Any], *, overwrite: bool = False) -> str:
        """Write it and add the network, unless it is among the models; returns a sentence when it cannot be
        written, else "". overwrite : replace the side file that exists.
        """
        try:
            self._library.write_side_file(network, side, overwrite)
        except CtsegError as error:
            return str(error)
        self._update(asked=None)
        if all(bundle.path != network for bundle in self.bundles.values()):
            self.add(network)
            return ""
        before = set(self.bundles)
        self._reload(None)
        for name in [name for name, one in self.bundles.items() if one.path == network]:
            if name not in before:
                self._reload(name)  # it was given another name
        self._update(errand="", message=f"Description of {network.name} updated.", details="")
        return ""

    # ---- verify, export

    def verify(self, name: str) -> None:
        """Compare the files with their hashes and load the networks."""
        bundle = self.bundles[name]
        self._errand(f"Verifying {name}", lambda: self._library.verify(bundle), self._reported)

    def export(self, name: str, to: Format, out: Path) -> None:
        """Write the model as ONNX or TorchScript."""
        bundle = self.bundles[name]
        self._errand(f"Exporting {name}", lambda: self._library.export(bundle, to, out), self._reported)

    def stop_errand(self) -> None:
        """The dock is ready at once."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._update(errand="", message="Cancelled.")

    # ---- inside

    def _errand(
        self,
        title: str,
        factory: Errand,
        done: Callable[[str], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        self._update(errand=title, message="", details="")
        self._task = self._run(
            factory,
            lambda step: self._update(errand=step.message or title),
            done,
            failed or self._failed,
            title=title,
        )

    def _reported(self, sentence: str) -> None:
        self._task = None
        self._update(errand="", message=sentence, details="")

    def _failed(self, error: Exception, added: Path | None = None) -> None:
        """added : what could not be added."""
        self._task = None
        to_fix = added if added is not None and self._library.described(added) else None
        self._update(
            errand="",
            failed=True,
            message=queue.sentence(error),
            details=queue.details(error),
            to_fix=to_fix,
        )


def with_trust(infos: Sequence[BundleInfo], trusted: frozenset[str]) -> tuple[BundleInfo, ...]:
    """The same models, with what the user decided."""
    return tuple(replace(info, trusted=info.name in trusted) for info in infos)
