"""Checks the structure of a checkpoint's pickle before any of it is built.

Nothing in it may take long to hash or much memory to hold.
"""

from __future__ import annotations

import pickletools
from pathlib import Path

from ctseg_imaging.errors import BundleError

MOST_OPERATIONS = 2_000_000  # of a checkpoint with the log of 1,000 epochs: about 100,000
MOST_IN_A_TUPLE = 10_000  # entries of a tuple and of all tuples in it, counted at each place where they occur
MARK = object()
BYTES = (
    object()
)  # the arguments of the call that protocol 2 writes for bytes: a text and "latin1", which does not grow
TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
NUMPY = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
CALLED = frozenset(
    # the calls of a checkpoint of weights; anything else that torch allows (a storage of 80 GB, a bytearray)
    # is not needed
    (
        "collections.OrderedDict",
        "collections.Counter",
        "builtins.set",
        "__builtin__.set",
        "_codecs.encode",
        "torch.Size",
        "torch.device",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        *NUMPY,
    )
)
CALLS = {"REDUCE": 1, "NEWOBJ": 1}  # the position of the callable among the arguments, from the top
OTHER_CALLS = ("INST", "OBJ", "NEWOBJ_EX", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")


class Name(str):
    """The name of something to call, as opposed to a text in the pickle."""


def check_structure(path: Path, content: bytes) -> None:
    """Raise BundleError for a pickle that could run code or grow.

    Such a pickle calls anything that weights do not need, has more steps than any checkpoint, or has tuples
    that grow by repeating each other.
    """
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
            elif name == "GLOBAL":
                stack.append(Name(str(argument).replace(" ", ".")))
            elif name in TEXTS:
                stack.append(argument)
            elif name in OTHER_CALLS:
                raise could_run_code(path, name)
            else:
                taken = _taken(stack, opcode)
                if name in CALLS:
                    _check_call(path, taken[CALLS[name]], taken[0])
                stack.extend(
                    MARK if one is pickletools.markobject else _weighed(path, name, taken)
                    for one in opcode.stack_after
                )
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error


def _check_call(path: Path, called: object, arguments: object) -> None:
    if not isinstance(called, Name) or called not in CALLED:
        raise could_run_code(path, called if isinstance(called, Name) else "")
    if called == "_codecs.encode" and arguments is not BYTES:
        raise could_run_code(path, called)


def _weighed(path: Path, name: str, taken: list[object]) -> object:
    """What stands for the result of an operation: the entries of a tuple, else 1."""
    if name == "TUPLE2" and taken[0] == "latin1" and isinstance(taken[1], str):
        return BYTES
    weight = 1 + sum(one if isinstance(one, int) else 1 for one in taken) if name.startswith("TUPLE") else 1
    if weight > MOST_IN_A_TUPLE:
        raise _refused(path)
    return weight


def _taken(stack: list[object], opcode: pickletools.OpcodeInfo) -> list[object]:
    """The arguments that an operation takes from the stack, down to its mark if it has one."""
    before = opcode.stack_before
    if pickletools.stackslice not in before:
        taken = [stack.pop() for _ in before]
    else:
        taken = []
        while (one := stack.pop()) is not MARK:
            taken.append(one)
        taken += [stack.pop() for _ in range(before.index(pickletools.markobject))]
    return taken


def could_run_code(path: Path, asked: str) -> BundleError:
    """asked : what the pickle would call or build."""
    shown = "".join(character for character in asked[:80] if character.isprintable())
    named = f" ({shown})" if shown else ""
    return BundleError(
        f"{path}: holds more than weights and could run code when it is read{named}, so it was not read; ask "
        "its author for a file of weights alone."
    )


def _refused(path: Path) -> BundleError:
    return BundleError(
        f"{path}: the structure around its weights repeats itself more than any checkpoint's, so it was not "
        "read; get the file from its author."
    )
