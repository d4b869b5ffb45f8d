"""Options whose value may be left out: `--disagreement` alone, or `--disagreement entropy`."""

from __future__ import annotations

from typing import Any, ClassVar

from typer.core import TyperCommand


class OptionalValues(TyperCommand):
    """A command that fills in the value of an option given without one. values : by option, what may follow
    it; the first is meant when nothing of it does.
    """

    values: ClassVar[dict[str, tuple[str, ...]]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write out the values that were left out."""
        end = args.index("--") if "--" in args else len(args)
        written: list[str] = []
        for number, word in enumerate(args):
            written.append(word)
            choices = self.values.get(word, ()) if number < end else ()
            if choices and (number + 1 >= end or args[number + 1] not in choices):
                written.append(choices[0])
        return super().parse_args(ctx, written)
