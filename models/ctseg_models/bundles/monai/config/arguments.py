"""Arguments of MONAI's components, taken one by one, so unsupported ones are noticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ctseg_models.bundles.monai.config.components import Component

Numbers = tuple[float, ...]


class NotHereError(ValueError):
    """A transform or an option that is not supported here; MONAI itself may support it."""


class Arguments:
    """The arguments of a component, taken one by one; those that are left over are not supported."""

    def __init__(self, component: Component, ignored: Iterable[str] = ()) -> None:
        self._left = {
            name: value
            for name, value in component.arguments.items()
            if name not in (*ignored, "keys", "allow_missing_keys")
        }
        self.component = component

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """The argument, of one of `kinds` or None. Raises NotHereError."""
        value = self._left.pop(name, default)
        if value is not None and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            raise NotHereError(f"{self.component.target} with {name} {value!r:.60}")
        return value

    def numbers(self, name: str, default: float | None) -> Numbers | float | None:
        """A number, or one for each axis or channel."""
        value = self.take(name, default, int, float, list, tuple)
        if isinstance(value, list | tuple):
            if not value or not all(isinstance(one, int | float) for one in value):
                raise NotHereError(f"{self.component.target} with {name} {value!r:.60}")
            return tuple(float(one) for one in value)
        return value if value is None else float(value)

    def end(self) -> None:
        """Raise NotHereError for arguments that were not taken, unless they switch something off."""
        for name, value in self._left.items():
            if value not in (None, False):
                raise NotHereError(f"{self.component.target} with {name}")
