"""Damage to files: blind to what they are, and aware of it. Everything follows from the random generator."""

from __future__ import annotations

import gzip
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]
NUMBERS = (
    "0",
    "-1",
    "1",
    "2",
    "255",
    "256",
    "-32769",
    "65536",
    "2147483648",
    "-2147483649",
    "99999999999999999999",
    "1e308",
    "-1e-320",
    "nan",
    "inf",
    "-inf",
    "0.0001",
    "1e30",
    "",
    "x",
    "0x10",
    "1_000",
    "٣",
    "3 3",
    "3,5",
    "None",
    "true",
    "[]",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**31,
    2**63,
    2**70,
    -0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "0",
    "..",
    "/",
    "\0",
    "ä",
    "$import os",
    "@a",
    "%b",
    "a" * 5000,
    [],
    [0],
    [[]],
    [1, 2, 3],
    ["x", None],
    {},
    {"a": 1},
    {"": {}},
    {"1": "x"},
)


def integers(rng: Random) -> bytes:
    """An extreme number in 1 to 8 bytes."""
    size, kind = rng.choice(((1, "b"), (2, "h"), (4, "i"), (8, "q")))
    top = 2 ** (8 * size - 1)
    value = rng.choice((0, 1, -1, 2, 3, 7, top - 1, -top, top // 2, 348, 540, 1000))
    return struct.pack(rng.choice("<>") + kind, max(-top, min(top - 1, value)))


def floats(rng: Random) -> bytes:
    """An extreme floating-point number."""
    value = rng.choice(
        (0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-30, 1e30, 352.0, 0.5)
    )
    return struct.pack(rng.choice("<>") + rng.choice("fd"), value)


def place(rng: Random, data: bytes) -> int:
    """A place in the data, more often near its beginning, where headers are."""
    return rng.randrange(min(len(data), rng.choice((64, 400, 2000, 10**9)))) if data else 0


def cut(rng: Random, data: bytes) -> bytes:
    return data[
        : rng.choice((0, 1, 4, place(rng, data), max(0, len(data) - rng.randrange(1, 20)), len(data) // 2))
    ]


def flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if changed:
            changed[place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def noise(rng: Random, data: bytes) -> bytes:
    at, size = place(rng, data), rng.choice((1, 2, 4, 16, 100))
    return data[:at] + rng.randbytes(size) + data[at + rng.choice((0, size)) :]


def extreme(rng: Random, data: bytes) -> bytes:
    at, value = place(rng, data), rng.choice((integers, floats))(rng)
    at -= at % rng.choice((1, 2, 4, len(value)))
    return data[:at] + value + data[at + len(value) :]


def repeat(rng: Random, data: bytes) -> bytes:
    at, to = sorted((place(rng, data), place(rng, data)))
    return data[:to] + data[at:to][:10_000] * rng.choice((1, 2, 20)) + data[to:]


def remove(rng: Random, data: bytes) -> bytes:
    at = place(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 3, 8, 50, 500)) :]


def swap(rng: Random, data: bytes) -> bytes:
    a, b = sorted((place(rng, data), place(rng, data)))
    size = min(rng.choice((1, 2, 4, 8, 32)), b - a)
    return data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]


def blank(rng: Random, data: bytes) -> bytes:
    at, size = place(rng, data), rng.choice((1, 4, 16, 128, 1000))
    return data[:at] + rng.choice((b"\0", b"\xff", b" ", b"\n")) * size + data[at + size :]


def append(rng: Random, data: bytes) -> bytes:
    return data + rng.choice((b"\0" * 100, rng.randbytes(50), data[:2000], b"\x1f\x8b\x08", b"\n", b" 1"))


BLIND: tuple[Mutation, ...] = (cut, flip, noise, extreme, repeat, remove, swap, blank, append)


def number_in_text(rng: Random, data: bytes) -> bytes:
    """Another number, or none, where one stands in the first bytes."""
    found = list(re.finditer(rb"-?\d+\.?\d*(e-?\d+)?", data[:20_000]))
    if not found:
        return flip(rng, data)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(NUMBERS).encode() + data[one.end() :]


def words(rng: Random, data: bytes) -> bytes:
    """A word of the first bytes put where another one stands, or in other letters."""
    found = list(re.finditer(rb"[A-Za-z_][A-Za-z_ ]*[A-Za-z_]", data[:20_000]))
    if len(found) < 2:
        return flip(rng, data)
    one, other = rng.choice(found), rng.choice(found)
    new = rng.choice(
        (
            other[0],
            one[0].upper(),
            one[0][::-1],
            b"",
            one[0] * 300,
            "größe".encode(),
            "größe".encode("latin-1"),
        )
    )
    return data[: one.start()] + new + data[one.end() :]


def lines(rng: Random, data: bytes) -> bytes:
    """Lines of a header left out, doubled or exchanged."""
    head, tail = data[:4000].split(b"\n"), data[4000:]
    a, b = rng.randrange(len(head)), rng.randrange(len(head))
    match rng.randrange(4):
        case 0:
            del head[a]
        case 1:
            head.insert(b, head[a])
        case 2:
            head[a], head[b] = head[b], head[a]
        case 3:
            head[a] = head[a].partition(rng.choice((b":", b"=", b" ")))[0]
    return b"\n".join(head) + tail


TEXT: tuple[Mutation, ...] = (number_in_text, number_in_text, words, lines)


def nodes(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every node of a JSON tree but its root."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found: list[tuple[Any, ...]] = []
    for key, value in inner:
        found += [(*at, key), *nodes(value, (*at, key))]
    return found


def json_tree(rng: Random, data: bytes) -> bytes:
    """A node of a JSON document replaced, removed, renamed, wrapped or copied to another place."""
    try:
        tree = json.loads(data)
        paths = nodes(tree)
        path, other = rng.choice(paths), rng.choice(paths)
    except (ValueError, IndexError, RecursionError):
        return number_in_text(rng, data)
    parent, source = tree, tree
    for key in path[:-1]:
        parent = parent[key]
    for key in other:
        source = source[key]
    key = path[-1]
    match rng.randrange(6):
        case 0 | 1:
            parent[key] = rng.choice(VALUES)
        case 2:
            del parent[key]
        case 3:
            parent[key] = json.loads(json.dumps(source))
        case 4:
            parent[key] = rng.choice(([parent[key]], {"x": parent[key]}, str(parent[key]), [parent[key]] * 3))
        case 5:
            if isinstance(parent, dict):
                parent[rng.choice(("", "x", "0", "-1", "name", str(key).upper(), f"{key} "))] = parent.pop(
                    key
                )
    return json.dumps(tree).encode()


def nested(rng: Random, data: bytes) -> bytes:
    return rng.choice(
        (
            b"[" * 100_000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"[" + data + b"]",
            b"null",
            b"3",
            b'""',
            b"\xef\xbb\xbf" + data,
            data.decode("utf-8", "replace").encode("utf-16"),
        )
    )


JSON: tuple[Mutation, ...] = (json_tree, json_tree, json_tree, json_tree, nested, number_in_text)
YAML: tuple[Mutation, ...] = (
    *TEXT,
    nested,
    lambda rng, data: (
        data + rng.choice((b"\na: *b\n", b"\n- &a [*a]\n", b"\n!!python/object:os.system x\n", b"\n\t:"))
    ),
)


def nifti_fields(rng: Random, data: bytes) -> bytes:
    """A field of a NIfTI-1 header set to an extreme."""
    at, kind = rng.choice(
        (
            (0, "i"),
            *((40 + 2 * k, "h") for k in range(8)),
            (70, "h"),
            (72, "h"),
            *((76 + 4 * k, "f") for k in range(5)),
            (108, "f"),
            (112, "f"),
            (116, "f"),
            (123, "b"),
            (252, "h"),
            (254, "h"),
            *((256 + 4 * k, "f") for k in range(6)),
            *((280 + 4 * k, "f") for k in range(12)),
            (344, "i"),
            (348, "i"),
        )
    )
    value = rng.choice(
        (0, 1, -1, 2, 3, 4, 16, 64, 127, 100)
        if kind != "f"
        else (0.0, -1.0, 1.0, 352.0, 1e30, 1e-30, float("nan"), float("inf"))
    )
    return data[:at] + struct.pack("<" + kind, value) + data[at + struct.calcsize(kind) :]


def inside_gzip(mutation: Mutation) -> Mutation:
    """The same damage to what is compressed, under sound compression."""

    def mutate(rng: Random, data: bytes) -> bytes:
        try:
            return gzip.compress(mutation(rng, gzip.decompress(data)), mtime=0)
        except (OSError, EOFError, zlib.error):
            return mutation(rng, data)

    return mutate


def inside_zip(mutation: Mutation) -> Mutation:
    """The same damage to a member of a zip archive (checkpoints, TorchScript), under sound checksums."""

    def mutate(rng: Random, data: bytes) -> bytes:
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                members = {info.filename: archive.read(info) for info in archive.infolist()}
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError):
            return mutation(rng, data)
        pickles = [name for name in members if name.endswith((".pkl", ".py", "version", "byteorder"))]
        name = rng.choice(pickles if pickles and rng.random() < 0.8 else sorted(members))
        members[name] = mutation(rng, members[name])
        target = BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for one, content in members.items():
                archive.writestr(zipfile.ZipInfo(one), content)
        return target.getvalue()

    return mutate


def safetensors_header(rng: Random, data: bytes) -> bytes:
    """The JSON header of a safetensors file, with its length made right."""
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 0 < size < len(data):
        return flip(rng, data)
    header = json_tree(rng, data[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def journal_frame(mutation: Mutation) -> Mutation:
    """The same damage to the payload of a frame of a journal, with its checksum made right."""

    def mutate(rng: Random, data: bytes) -> bytes:
        from napari_ctseg.journal.frames import MAGIC, FrameKind, frame

        at, found = len(MAGIC), []
        while at + 13 <= len(data):
            kind, size, _ = struct.unpack_from("<BQI", data, at)
            if size > len(data):
                return mutation(rng, data)
            found.append((kind, data[at + 13 : at + 13 + size]))
            at += 13 + size
        if not found:
            return mutation(rng, data)
        which = rng.randrange(len(found))
        kind, payload = found[which]
        found[which] = (
            rng.choice((kind, kind, kind, *[one.value for one in FrameKind])),
            mutation(rng, payload),
        )
        return MAGIC + b"".join(
            frame(FrameKind(kind), payload) for kind, payload in found if kind in list(FrameKind)
        )

    return mutate


def dicom_elements(rng: Random, data: bytes) -> bytes:
    """An element of a data set removed or given another value, written the way pydicom writes what it is
    handed.
    """
    import pydicom
    from pydicom import config
    from pydicom.dataelem import DataElement

    try:
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        elements = [(dataset, tag) for tag in dataset]
        for element in dataset:
            if element.VR == "SQ" and len(element.value):
                item = rng.choice(list(element.value))
                elements += [(item, one.tag) for one in item] * 2
        owner, one = rng.choice(elements)
        tag = one.tag if hasattr(one, "tag") else one
        element = owner[tag]
        if rng.random() < 0.25:
            del owner[tag]
        else:
            vr = element.VR
            value: Any
            if vr in ("US", "SS", "UL", "SL"):
                value = rng.choice((0, 1, 2, 3, 8, 16, 32, 255, 32767))
            elif vr in ("FD", "FL"):
                value = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30, [1.0, 2.0]))
            elif vr in ("OB", "OW", "UN"):
                value = rng.choice((b"", b"\0" * 2, element.value[: len(element.value) // 4 * 2]))
            elif vr == "SQ":
                value = rng.choice(([], list(element.value)[:1] * 2, list(element.value)[:-1]))
            else:
                value = rng.choice(
                    ("", *NUMBERS, "\\", "1\\2", "1\\2\\3", "x" * 200, "20200101", "1.2.3", "../../x")
                )
            with config.disable_value_validation():
                owner[tag] = DataElement(
                    tag,
                    vr if rng.random() < 0.8 else rng.choice(("LO", "DS", "US", "UN", "SH")),
                    value,
                    already_converted=True,
                )
        target = BytesIO()
        with config.disable_value_validation():
            dataset.save_as(target, enforce_file_format=False)
        return target.getvalue()
    except Exception:  # noqa: BLE001 - pydicom writes no such value: then the bytes are damaged instead
        return extreme(rng, data)


KINDS: dict[str, tuple[Mutation, ...]] = {
    ".nii": (nifti_fields,) * 8,
    ".hdr": (nifti_fields,) * 6,
    ".nii.gz": (inside_gzip(nifti_fields),) * 8 + (inside_gzip(extreme),) * 2,
    ".nrrd": TEXT * 3,
    ".nhdr": TEXT * 3,
    ".mha": TEXT * 3,
    ".mhd": TEXT * 3,
    ".json": JSON * 3,
    ".yaml": YAML * 3,
    ".dcm": (dicom_elements,) * 8,
    ".safetensors": (safetensors_header,) * 8,
    ".pt": tuple(map(inside_zip, BLIND)) * 2,
    ".pth": tuple(map(inside_zip, BLIND)) * 2,
    ".ts": tuple(map(inside_zip, (*BLIND, *TEXT))) * 2,
    ".journal": tuple(map(journal_frame, (*BLIND, *JSON))) * 2,
    ".txt": TEXT * 3,
}


def mutate(rng: Random, name: str, data: bytes) -> bytes:
    """`data` of a file called `name`, damaged once or a few times."""
    lower = name.lower()
    aware = next(
        (KINDS[ending] for ending in sorted(KINDS, key=len, reverse=True) if lower.endswith(ending)), ()
    )
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice((*aware, *BLIND))(rng, data)
    return data
