"""Checks a TorchScript file before torch loads it, as loading runs the program inside."""

from __future__ import annotations

import ast
import io
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.torchscript_words import FILE_OPERATORS, FORBIDDEN_NAMES, OPERATORS, OTHER_OPERATORS

LARGEST_PROGRAM = 32 * 2**20  # bytes of code and structure together; those of real files are less than 2 MB
MOST_RECORDS = 100_000
PICKLES = ("data.pkl", "constants.pkl")
ARRAYS = ("data/", "constants/")
# What the two small pickles may refer to: the program's own classes, arrays, and lists of numbers.
PICKLED = re.compile(
    r"__torch__\S* \w+|torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch "
    r"(\w+Storage|device)"
    r"|torch\.jit\._pickle (build_(int|double|bool|tensor)list|restore_type_tag)"
)


def checked_archive(path: Path) -> bytes:
    """The checked file as an archive of what torch needs and nothing else, for torch.jit.load.

    Arrays are uncompressed (so no zip bomb), the program has a limited size, every name is plain and unique.
    The program is parsed as text and not run: operators that are not listed as arithmetic, and all that touch
    files, are refused. Raises BundleError.
    """
    records = _records(path)
    code = {
        name: content
        for name, content in records.items()
        if name.startswith("code/") and name.endswith(".py")
    }
    for name, content in code.items():
        if (word := next(_forbidden_words(content), None)) is not None:
            raise BundleError(
                f"{path}: its program uses {word} ({name}), which is not arithmetic on arrays, so it is not "
                "run; ask its author for a plain export."
            )
    for name in PICKLES:
        if (word := next(_forbidden_references(records[name]), None)) is not None:
            raise BundleError(
                f"{path}: {name} refers to {word}, which no network needs, so it is not read; ask its author "
                "for a plain export."
            )
    return _written(records)


def _records(path: Path) -> dict[str, bytes]:
    """The records that torch needs, without the name of their folder.

    Raises BundleError for anything that torch.jit.save does not write.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, size)
            found = {_inner(entry): entry for entry in entries}
            if (
                "constants.pkl" not in found
                or "data.pkl" not in found
                or not any(name.startswith("code/") for name in found)
            ):
                raise BundleError(
                    f"{path}: holds weights without a network; export the network as TorchScript "
                    "(torch.jit.trace), or name the folder of the bundle it belongs to."
                )
            return {name: archive.read(entry) for name, entry in found.items() if _needed(name)}
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the file is missing; get the bundle again.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        with path.open("rb") as file:
            pickled = file.read(1) == b"\x80"
        if pickled:
            raise BundleError(
                f"{path}: is a pickle, not a network: it was not read, because reading it could run code; "
                "export the network as TorchScript (torch.jit.trace)."
            ) from error
        raise BundleError(
            f"{path}: not a readable TorchScript file; export the network with torch.jit again."
        ) from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); get the file again.") from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    needed = [entry for entry in entries if _needed(_inner(entry))]
    arrays = [entry for entry in needed if _inner(entry).startswith(ARRAYS)]
    program = sum(entry.file_size for entry in needed) - sum(entry.file_size for entry in arrays)
    if (
        len(entries) > MOST_RECORDS
        or sum(entry.file_size for entry in arrays) > size
        or program > LARGEST_PROGRAM
    ):
        raise BundleError(
            f"{path}: its records would grow to far more than the file's own size when unpacked, so it was "
            "not read; get the file from its author."
        )
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        packed = entry.compress_type != zipfile.ZIP_STORED
        if entry.flag_bits & 1 or (
            packed and (_inner(entry).startswith(ARRAYS) or entry.compress_type != zipfile.ZIP_DEFLATED)
        ):
            raise BundleError(
                f"{path}: its record {name[:80]} is compressed or locked as torch never does, so it was not "
                "read; get the file from its author."
            )
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or name.lower() in seen:
            raise BundleError(
                f"{path}: its record {name[:80]} has a name that torch never writes, so it was not read; get "
                "the file from its author."
            )
        seen.add(name.lower())
    if len({name.split("/")[0] for name in seen}) > 1:
        raise BundleError(
            f"{path}: its records lie in several folders, which torch never writes, so it was not read; get "
            "the file from its author."
        )


def _inner(entry: zipfile.ZipInfo) -> str:
    """The record's name without that of the one folder that holds all."""
    return entry.filename.partition("/")[2]


def _needed(name: str) -> bool:
    if name in (*PICKLES, "version", "byteorder"):
        return True
    return name.startswith(ARRAYS) or (name.startswith("code/") and name.endswith(".py"))


def _written(records: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(f"network/{name}", content)
    return file.getvalue()


def _forbidden_words(code: bytes) -> Iterator[str]:
    """What a program uses that it must not. The language is parsed as Python, whose syntax it shares."""
    try:
        tree = ast.parse(code.decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "something that cannot be read"
        return
    inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inside:
            yield from _forbidden_path(node)
        elif (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and (node.id in FORBIDDEN_NAMES or (node.id in ("torch", "ops") and id(node) not in inside))
        ):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in FILE_OPERATORS:
            yield f'the name "{node.value}"'
        elif isinstance(node, ast.FunctionDef) and node.name in FILE_OPERATORS:
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom) and not ast.unparse(node).startswith(
            "import __torch__"
        ):
            yield ast.unparse(node)


def _forbidden_path(node: ast.Attribute) -> Iterator[str]:
    """a.b.c, from its end to its root."""
    names: list[str] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        names.insert(0, root.attr)
        root = root.value
    whole = ".".join(names)
    if isinstance(root, ast.Name) and root.id == "torch":
        if len(names) != 1 or _bare(names[0]) not in OPERATORS:
            yield f"torch.{whole}"
    elif isinstance(root, ast.Name) and root.id == "ops":
        if len(names) != 2 or _bare(names[1]) not in OTHER_OPERATORS.get(names[0], ()):
            yield f"ops.{whole}"
    elif isinstance(root, ast.Name) and root.id == "__torch__" and names[:2] == ["torch", "classes"]:
        yield f"__torch__.{whole}"
    elif wrong := [name for name in names if name in FILE_OPERATORS]:
        yield wrong[0]


def _bare(name: str) -> str:
    """The name of an operator without the underscore of its in-place form."""
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _forbidden_references(content: bytes) -> Iterator[str]:
    """Globals of a pickle that are not on the list; the pickle's operations are listed, not run."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
                opcode.name == "GLOBAL"
                and (not PICKLED.fullmatch(str(argument)) or "__torch__.torch.classes" in str(argument))
            ):
                yield str(argument or opcode.name)
    except ValueError:
        yield "something that cannot be read"
