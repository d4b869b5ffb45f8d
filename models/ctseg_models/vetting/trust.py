"""Which bundles may run code of their own: the user's decisions, each for the exact bytes it was made for.

The file trusted.json in the user's configuration folder (or the one that CTSEG_TRUST names) holds {content
hash: name}.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from ctseg_imaging.errors import BundleError, CtsegError, TrustNeeded
from ctseg_models.contract.bundle import Bundle
from ctseg_models.vetting.hashes import sha256_of


def trust_file() -> Path:
    """The file that holds the decisions."""
    named = os.environ.get("CTSEG_TRUST")
    return (
        Path(named)
        if named
        else platformdirs.user_config_path("napari-ctseg", appauthor=False) / "trusted.json"
    )


def content_hash(path: Path) -> str:
    """SHA-256 over the names and bytes of every file of a bundle; any change to a file changes it.

    Raises BundleError.
    """
    return hash_of_files(path, lambda file, _: sha256_of(file))


def hash_of_files(path: Path, digest: Callable[[Path, str], str]) -> str:
    """As `content_hash`. digest : the SHA-256 of a file, given it and its name in the bundle.

    Raises BundleError, also for a name with a line break or another character that cannot be shown: it could
    stand for several files.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    total = hashlib.sha256()
    try:
        for file in files:
            name = file.relative_to(path).as_posix()
            if not name.isprintable():
                raise BundleError(
                    f"{path}: has a file whose name {ascii(name)[:80]} holds characters that cannot be "
                    "shown, so the bundle is refused; rename the file."
                )
            total.update(f"{digest(file, name)}  {name}\n".encode())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); check the folder's rights.") from error
    return total.hexdigest()


def is_trusted(bundle: Bundle) -> bool:
    """Whether the user allowed this bundle, as it is now, to run its own code.

    Raises BundleError when the decisions cannot be read.
    """
    return content_hash(bundle.path) in _decisions()


def trust(bundle: Bundle, digest: str) -> None:
    """Record that this bundle may run its own code. digest : its content_hash from when the user was asked.

    Raises BundleError when its files have changed since: the answer was not about those.
    """
    decisions = _decisions()
    if content_hash(bundle.path) != digest:
        raise BundleError(
            f"{bundle.path}: its files changed while you were asked, so nothing was allowed; look at them "
            "and decide again."
        )
    _keep({**decisions, digest: bundle.name})


def digest_for_question(bundle: Bundle, now: Callable[[], Bundle]) -> str:
    """The content hash that a question is about. now : reads the bundle again.

    Raises BundleError when it would run other code than was listed.
    """
    digest = content_hash(bundle.path)
    if now().needs_trust != bundle.needs_trust:
        raise BundleError(
            f"{bundle.path}: was changed, and would run other code than was listed; list the models again."
        )
    return digest


def distrust(bundle: Bundle) -> bool:
    """Remove every decision for this content or name; returns whether there was one. Raises BundleError."""
    decisions = _decisions()
    now = content_hash(bundle.path)
    kept = {digest: name for digest, name in decisions.items() if digest != now and name != bundle.name}
    if len(kept) == len(decisions):
        return False
    _keep(kept)
    return True


def require_trust(bundle: Bundle) -> None:
    """Raise TrustNeeded when the bundle would run code of its own and the user has not allowed it."""
    if bundle.needs_trust:
        require_decision(bundle, content_hash(bundle.path))


def require_decision(bundle: Bundle, digest: str) -> None:
    """Raise TrustNeeded unless the user allowed the code of a bundle with this content hash."""
    if digest not in _decisions():
        first, *more = bundle.needs_trust
        others = f", and {len(more)} more, which `napari-ctseg bundle show` lists" if more else ""
        shown = first if len(first) <= 300 else f"{first[:300]}..."
        raise TrustNeeded(
            f"{bundle.name}: would run code that came with it ({shown}{others}); if you know its author, "
            f'allow it with `napari-ctseg bundle trust "{bundle.name}"`.'
        )


def _decisions() -> dict[str, str]:
    path = trust_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: your decisions about models cannot be read; fix the file, or delete it to be asked "
            "again."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
        raise BundleError(
            f"{path}: your decisions about models cannot be read; fix the file, or delete it to be asked "
            "again."
        )
    return content


def _keep(decisions: dict[str, str]) -> None:
    from ctseg_imaging.formats.disk.atomic import write_bytes

    path = trust_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, (json.dumps(decisions, indent=1, sort_keys=True) + "\n").encode(), overwrite=True)
    except (OSError, CtsegError) as error:
        raise BundleError(
            f"{path}: your decision cannot be kept ({error}); make its folder writable."
        ) from error
