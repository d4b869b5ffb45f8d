"""`napari-ctseg bundle`: list, inspect and manage trained models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ctseg.commands.console import note, print_json, print_result
from napari_ctseg.commands.models.side_table import side_table
from napari_ctseg.commands.results.export import export

if TYPE_CHECKING:
    from ctseg_models.contract.bundle import Bundle

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Trained models: list, show, verify, compose, add, trust, export.",
)

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A name from `bundle list`, a folder or a file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing one.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the bundles: shipped, your own, and those in CTSEG_BUNDLES."""
    from ctseg_models.bundles import store

    found = store.scan()
    for fault in found.faults:
        note(fault)
    if as_json:
        print_json([_facts(bundle) for bundle in found.bundles])
        return
    for bundle in found.bundles:
        names = ", ".join(label.name for label in bundle.labels)
        print_result(
            f"{bundle.name:<28} {bundle.kind:<12} {bundle.modality:<3} {_trust_state(bundle):<13} {names}"
        )
    if not found.bundles:
        note("No bundles found; add one with `napari-ctseg bundle add PATH`.")


@app.command()
def show(name: BundleArgument, as_json: AsJson = False) -> None:
    """Show the purpose, labels, stages and scores of a bundle."""
    from ctseg_models.bundles import store
    from ctseg_models.bundles.single_file.side_fields import SideFile

    bundle = store.find(name)
    facts = _facts(bundle)
    if as_json:
        print_json({**facts, "card": bundle.card})
        return
    for key, value in facts.items():
        if key == "stages":
            for stage in value:
                print_result(
                    f"{'stage':<12}{stage['name']}: {stage['network']} at "
                    f"{' x '.join(f'{s:g}' for s in stage['spacing_mm'])} mm (z, y, x)"
                )
        elif key == "labels":
            print_result(f"{'labels':<12}{', '.join(f'{number} {label}' for number, label in value.items())}")
        elif key == "side_file":
            for line in side_table(SideFile.model_validate(value)):
                print_result(line)
        elif key == "needs_trust":
            for reason in value:
                print_result(f"{'would run':<12}{reason}")
        elif value not in ("", None, {}, []):
            print_result(f"{key:<12}{_plain(value)}")
    print_result(f"\n{bundle.card.strip()}")


@app.command()
def verify(name: BundleArgument) -> None:
    """Look at every file of a bundle, and load it unless that would run code of its own. Exit 1 and a
    sentence when something is wrong.
    """
    from ctseg_models.bundles import store
    from ctseg_models.vetting.trust import is_trusted

    bundle = store.find(name)
    bundle.verify()
    if bundle.needs_trust and not is_trusted(bundle):
        print_result(
            f"{bundle.name}: all that can be checked without running it is intact. Its own code was not "
            f"run:{_listed(bundle)}"
        )
        return
    bundle.load()
    print_result(f"{bundle.name}: {_checked(bundle)}")


@app.command()
def trust(
    name: BundleArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="Withdraw the permission.")] = False,
) -> None:
    """Let a bundle run the code that came with it, as it is now: one changed byte, and you are asked
    again.
    """
    from ctseg_models.bundles import store
    from ctseg_models.vetting import trust as decisions

    bundle = store.find(name)
    if revoke:
        result = (
            "may no longer run its own code." if decisions.distrust(bundle) else "was not trusted before."
        )
        print_result(f"{bundle.name}: {result}")
        return
    if not bundle.needs_trust:
        print_result(f"{bundle.name}: has no code of its own, so there is nothing to allow.")
        return
    digest = decisions.digest_for_question(bundle, lambda: store.find(name))
    note(f"{bundle.name}: will run its own code:{_listed(bundle)}")
    bundle.verify()
    decisions.trust(bundle, digest)
    print_result(f"{bundle.name}: may now run its own code; use --revoke to withdraw this.")


@app.command()
def compose(
    stage: Annotated[
        list[str],
        typer.Option(
            "--stage", metavar="BUNDLE", help="Twice: the localiser's bundle, then the segmenter's."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the new bundle.")],
    name: Annotated[str | None, typer.Option(help="Its name; by default that of the folder.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """A two-stage bundle from a localiser and a segmenter."""
    from ctseg_imaging.errors import BundleError
    from ctseg_models.bundles import store
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_models.bundles.own.writing import compose as compose_bundles

    if len(stage) != 2:
        raise typer.BadParameter(
            "give it twice: the localiser's bundle, then the segmenter's", param_hint="--stage"
        )
    first, second = (store.find(part) for part in stage)
    for bundle in (first, second):
        if not isinstance(bundle, OwnBundle):
            raise BundleError(f"{bundle.path}: only bundles of this project can be composed.")
    assert isinstance(first, OwnBundle)
    assert isinstance(second, OwnBundle)
    print_result(str(compose_bundles(first, second, out, name=name, overwrite=overwrite).path))


@app.command()
def add(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A bundle's folder (this project's, MONAI's, or a results folder of "
            "nnU-Net), a .zip of one, or a TorchScript or ONNX file.",
        ),
    ],
    overwrite: Overwrite = False,
) -> None:
    """Copy a bundle into your own folder of bundles, after checking all of it. No code of it is run."""
    from ctseg_models.bundles import store

    bundle = store.add(path, overwrite=overwrite)
    if bundle.needs_trust:
        note(
            f"{bundle.name}: would run its own code:{_listed(bundle)}\nIf you know its author, "
            "allow it with "
            f'`napari-ctseg bundle trust "{bundle.name}"`.'
        )
    print_result(f"{bundle.name}: {bundle.path}")


def _plain(value: Any, within: bool = False) -> str:
    """A fact without Python's brackets and quotes. within : it is part of another one."""
    if isinstance(value, dict):
        named = (f"{key}{' ' if within else ': '}{_plain(part, within=True)}" for key, part in value.items())
        return (", " if within else "; ").join(named)
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part, within=True) for part in value)
    return str(value)


def _listed(bundle: Bundle) -> str:
    """The code of a bundle's own, a line each."""
    return "".join(f"\n- {reason}" for reason in bundle.needs_trust)


def _trust_state(bundle: Bundle) -> str:
    """One word or two for the list."""
    from ctseg_models.vetting.trust import is_trusted

    if not bundle.needs_trust:
        return ""
    return "trusted" if is_trusted(bundle) else "asks first"


def _checked(bundle: Bundle) -> str:
    """What was verified for a bundle of this kind, and what cannot be verified."""
    if bundle.kind == "ctseg":
        return "all hashes match, and the networks load."
    if bundle.kind == "nnunet":
        return (
            "all checksums of the weights match, and the networks load; nnU-Net models are not signed, so "
            "their author cannot be verified."
        )
    if bundle.kind == "monai":
        return (
            "its config can be run and its weights load; MONAI bundles have no hashes, so their author "
            "cannot be verified."
        )
    if getattr(getattr(bundle, "side", None), "sha256", ""):
        return "the hash in its side file matches, and the network loads."
    return "the network loads; its side file gives no sha256 to compare with."


app.command("export")(export)


def _facts(bundle: Bundle) -> dict[str, Any]:
    """The facts about a bundle as plain JSON, without its card."""
    from ctseg_models.bundles.monai.bundle import MonaiBundle
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_models.bundles.single_file.bundle import SingleFileBundle

    facts: dict[str, Any] = {
        "name": bundle.name,
        "version": bundle.version,
        "kind": bundle.kind,
        "path": str(bundle.path),
        "modality": bundle.modality,
        "channels": list(bundle.channels),
        "labels": {str(label.value): label.name for label in bundle.labels},
        "spacing_mm": bundle.spacing_mm,
        "sha256": bundle.sha256,
        "trust": _trust_state(bundle),
        "needs_trust": list(bundle.needs_trust),
    }
    if isinstance(bundle, OwnBundle):
        facts["stages"] = [stage.model_dump(mode="json") for stage in bundle.stages]
        facts["training"], facts["scores"] = bundle.block.training_data, bundle.block.scores
    elif isinstance(bundle, SingleFileBundle):
        facts["side_file"] = bundle.side.model_dump(mode="json")
    elif isinstance(bundle, MonaiBundle):
        facts["run"] = bundle.way
    return facts
