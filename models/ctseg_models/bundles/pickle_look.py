"""The structure of a checkpoint's pickle looked at before anything of it is built: nothing in it may take long to hash or to hold."""

from __future__ import annotations

import pickletools
from pathlib import Path

from ctseg_imaging.errors import BundleError

MOST_OPERATIONS = 2_000_000  # of a checkpoint with the log of 1,000 epochs: about 100,000
MOST_IN_A_TUPLE = 10_000  # entries of a tuple and of all tuples in it, counted at each place where they stand
MARK = object()


def look_through(path: Path, content: bytes) -> None:
    """Raises BundleError for a pickle with more steps than any checkpoint has, or with tuples that grow by repeating each other."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number > MOST_OPERATIONS:
                raise _refused(path)
            name = opcode.name
            if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if name == "MEMOIZE" else int(str(argument))] = stack[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[int(str(argument))])
            elif name == "DUP":
                stack.append(stack[-1])
            else:
                taken = _taken(stack, opcode)
                weight = 1 + sum(one for one in taken if isinstance(one, int)) if name.startswith("TUPLE") else 1
                if weight > MOST_IN_A_TUPLE:
                    raise _refused(path)
                stack.extend(MARK if one is pickletools.markobject else weight for one in opcode.stack_after)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error


def _taken(stack: list[object], opcode: pickletools.OpcodeInfo) -> list[object]:
    """What an operation takes from the stack, down to its mark where it has one."""
    before = opcode.stack_before
    if pickletools.stackslice not in before:
        taken = [stack.pop() for _ in before]
    else:
        taken = []
        while (one := stack.pop()) is not MARK:
            taken.append(one)
        taken += [stack.pop() for _ in range(before.index(pickletools.markobject))]
    return taken


def _refused(path: Path) -> BundleError:
    return BundleError(f"{path}: the structure around its weights repeats itself more than any checkpoint's, so it was not read; "
                       "get the file from its author.")
