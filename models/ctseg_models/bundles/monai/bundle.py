"""Bundles of MONAI's model zoo, and others in its layout, unmodified.

The declarative part (network, transforms, inferer) is read as plain data and run in one of three ways:
interpreted here, in the volume's upright view; by MONAI's own harmless transforms where some are not
supported here; or, with code of the bundle's own, by MONAI's parser after the user's decision (trust.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.monai.building import already_done, built, parsed_by_monai
from ctseg_models.bundles.monai.config.arguments import NotHereError
from ctseg_models.bundles.monai.config.plain_files import read_plain
from ctseg_models.bundles.monai.config.reader import Config
from ctseg_models.bundles.monai.config.refusals import (
    refuse_hostile_config,
    refuse_hostile_logging,
    refuse_stand_ins,
    refuse_strange_files,
)
from ctseg_models.bundles.monai.facts import Facts, facts_of
from ctseg_models.bundles.monai.interpreted.interpreted_bundle import Interpreted
from ctseg_models.bundles.monai.interpreted.output import output
from ctseg_models.bundles.monai.interpreted.transforms import spacing_of
from ctseg_models.bundles.monai.networks import build_network, check_network
from ctseg_models.bundles.monai.parts import (
    CONFIGS,
    Parts,
    RunMode,
    classes_overlap,
    parts_in,
    reasons_for_code,
    renumbered,
    run_mode,
)
from ctseg_models.bundles.monai.runner import Pipeline, prepare_by
from ctseg_models.bundles.monai.weights import fingerprint, load_scripted, read_weights, weights_of
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import LoadedStage, Model, RunSize
from ctseg_models.vetting.private_copy import PrivateCopy
from ctseg_models.vetting.trust import require_decision, require_trust

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.upright import Upright


METADATA = "configs/metadata.json"


@dataclass(frozen=True, eq=False, repr=False)
class MonaiBundle(Bundle):
    """A folder in MONAI's layout. way : how it is run. reasons : the code of its own that would run."""

    config: Config
    parts: Parts
    facts: Facts
    way: RunMode
    reasons: tuple[str, ...]
    weights: Path | None
    scripted: Path | None

    @property
    def needs_trust(self) -> tuple[str, ...]:
        return self.reasons

    def verify(self) -> None:
        """Check all that can be checked without running it: MONAI bundles carry no hashes. Raises
        BundleError.
        """
        read_monai(self.path)
        if self.weights is not None:
            read_weights(self.weights)
        if self.scripted is not None:
            from ctseg_models.vetting.scan_torchscript import checked_archive

            checked_archive(self.scripted)

    def load(self, device: str = "cpu") -> Model:
        require_trust(self)
        on_cpu = None if device == "cpu" else lambda: self.load("cpu").stages[0]
        try:
            return (
                self._loaded_from_copy(device, on_cpu)
                if self.needs_trust
                else self._loaded(device, on_cpu, None)
            )
        except NotHereError as error:
            raise BundleError(
                f"{self.path}: needs {error}, which cannot be run here; look for a newer bundle."
            ) from error

    def _loaded_from_copy(self, device: str, on_cpu: Callable[[], LoadedStage] | None) -> Model:
        """A copy of what the user allowed, hashed as it was made: the folder itself may change at any time.

        Raises TrustNeeded, or BundleError when it changed since the bundle was listed.
        """
        copy = PrivateCopy(self.path)
        require_decision(self, copy.digest)
        try:
            again = read_monai(copy.path)
            if (repr(again.config.content), again.reasons) != (repr(self.config.content), self.reasons):
                raise BundleError(
                    f"{self.path}: was changed, and would run other code than was listed; list the models "
                    "again."
                )
            return again._loaded(device, on_cpu, copy)
        except BundleError as error:
            raise copy.of_original(error) from error

    def _loaded(
        self, device: str, on_cpu: Callable[[], LoadedStage] | None, copy: PrivateCopy | None
    ) -> Model:
        stage = self._interpreted(device) if self.way == "interpreted" else self._piped(device, copy)
        return Model((replace(stage, key=self.sha256, on_cpu=on_cpu),), self.labels, device)

    def _interpreted(self, device: str) -> LoadedStage:
        """Its transforms and inferer as they are interpreted here."""
        network, outline = self._network(device)
        parts = self.parts
        way = Interpreted(self.name, parts.before, parts.inferer, parts.after, self.facts, network, outline)
        return LoadedStage(
            "segment",
            way.prepare,
            way.steps(AxisOrder()),
            way.values,
            way.flops,
            way.layout,
            way.output.form,
            _parameters(network),
            spacing_mm=self.spacing_mm,
        )

    def _piped(self, device: str, copy: PrivateCopy | None) -> LoadedStage:
        """Its transforms and inferer as MONAI runs them."""
        network, _ = self._network(device)
        before, inferer, after = self._pipeline()
        pipeline = Pipeline(
            before,
            inferer,
            after,
            network,
            self.facts.image_key,
            self.facts.values,
            self.labels.values,
            self.path if copy is None else copy.original,
            self.facts.exclusive,
            copy,
        )
        return LoadedStage(
            "segment",
            prepare_by(pipeline, device),
            _not_prepared,
            self.facts.values,
            lambda _: 0.0,
            _whole_box,
            "probabilities",
            _parameters(network),
            half=False,
        )

    def warnings_for(self, volume: Volume) -> tuple[RunWarning, ...]:
        warnings = list(super().warnings_for(volume))
        if volume.channels != self.facts.channels:
            text = f"{self.name} takes {self.facts.channels} channels and the volume has {volume.channels}."
            warnings.append(RunWarning(WarningKind.IMAGE, text))
        if self.way == "interpreted" and (note := output(self.parts.after).note):
            warnings.append(RunWarning(WarningKind.LABELS, note))
        return tuple(warnings)

    def _network(self, device: str) -> tuple[nn.Module, nn.Module | None]:
        """The network with its weights, and the same without memory, for counting operations."""
        try:
            component = check_network(self.parts.network)
        except NotHereError:
            component = None
        if component is not None and self.weights is not None:
            network, outline = build_network(component, read_weights(self.weights), self.weights)
            return network.to(device), outline
        if self.scripted is not None:
            return load_scripted(self.scripted, device), None
        assert self.weights is not None
        (network,) = parsed_by_monai(self.config, (self.parts.names[3],))
        try:
            network.load_state_dict(read_weights(self.weights))
        except (RuntimeError, AttributeError) as error:
            raise BundleError(
                f"{self.weights}: the weights do not fit the bundle's own network; get the bundle again."
            ) from error
        return network.to(device).float().requires_grad_(False).eval(), None

    def _pipeline(self) -> tuple[Any, Any, Any]:
        if self.way == "by its own code":
            before, inferer, after = parsed_by_monai(self.config, self.parts.names[:3])
        else:
            made = already_done(self.parts.before)
            before, inferer, after = (
                built(part, made) for part in (self.parts.before, self.parts.inferer, self.parts.after)
            )
        return before, inferer, after if after is not None else lambda data: data


def looks_like_monai(folder: Path) -> bool:
    """Whether a folder has a config for inference in MONAI's layout."""
    return any((folder / name).is_file() for name in CONFIGS)


def read_monai(folder: Path) -> MonaiBundle:
    """The MONAI bundle in `folder`: nothing of it is run, and its weights are not read.

    Raises BundleError for a bundle that is damaged, cannot be run, or is refused whatever the user decides.
    """
    refuse_strange_files(folder)
    path = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if path is None:
        raise BundleError(
            f"{folder}: has no {CONFIGS[0]} (or .yaml), so it is unknown how to run it; get the whole bundle."
        )
    refuse_hostile_logging(folder / "configs/logging.conf")
    metadata = read_plain(folder / METADATA)
    config = Config.read(path, folder)
    refuse_hostile_config(path, config.content)
    config.content["bundle_root"] = "."
    parts = parts_in(config)
    weights, scripted = weights_of(config, folder)
    reasons = tuple(reasons_for_code(config, parts, scripted))
    if reasons:
        refuse_stand_ins(folder)
    way = run_mode(parts, reasons)
    facts = facts_of(folder, metadata, parts.network, exclusive=not classes_overlap(parts.after))
    card = folder / "docs/README.md"
    text = (
        card.read_text(encoding="utf-8", errors="replace")
        if card.is_file()
        else f"# {facts.name}\n\n{facts.description}\n"
    )
    files = [file for file in (path, folder / METADATA, weights, scripted) if file is not None]
    labels = Labels.from_names(
        renumbered(facts.label_names, parts.after) if facts.exclusive else facts.label_names
    )
    return MonaiBundle(
        name=facts.name,
        path=folder,
        kind="monai",
        labels=labels,
        channels=facts.channel_names,
        modality=facts.modality,
        spacing_mm=spacing_of(parts.before) if way == "interpreted" else None,
        card=text,
        sha256=fingerprint(files),
        version=facts.version,
        config=config,
        parts=parts,
        facts=facts,
        way=way,
        reasons=reasons,
        weights=weights,
        scripted=scripted,
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _whole_box(upright: Upright, box: ViewBox) -> RunSize:
    start, stop = box.voxels(upright.geometry)
    z, y, x = (b - a for a, b in zip(start, stop, strict=True))
    return RunSize((z, y, x), (z, y, x))


def _not_prepared(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
    raise ValueError("This stage runs only what its own preparation made.")
