"""MetaImage and NRRD in the layouts that SimpleITK does not write, against values worked by hand; and voxels
that are not there.
"""

import bz2
import gzip
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, CtsegError, FormatError

VOXELS = np.arange(-30, 30, dtype="<i2").reshape(5, 4, 3)  # (z, y, x)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = {binary}\nBinaryDataByteOrderMSB = "
    "{big}\n{more}TransformMatrix = 0 1 0 -1 0 0 0 0 1\n"
    "Offset = 1 2 3\nElementSpacing = 0.5 2 3\nDimSize = 3 4 5\nElementType = {kind}\nElementDataFile = "
    "{file}\n"
)
NRRD = (
    "NRRD0005\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: 3 4 5\nspace directions: "
    "(0,0.5,0) (-2,0,0) (0,0,3)\n"
    "space origin: (1,2,3)\nendian: {endian}\nencoding: {encoding}\n{more}"
)


def meta(
    folder, data=None, *, binary="True", big="False", more="", kind="MET_SHORT", file="LOCAL", name="a.mha"
):
    header = META.format(binary=binary, big=big, more=more, kind=kind, file=file).encode()
    (folder / name).write_bytes(header + (data or b""))
    return folder / name


def nrrd(folder, data=None, *, kind="short", endian="little", encoding="raw", more="", name="a.nrrd"):
    header = NRRD.format(kind=kind, endian=endian, encoding=encoding, more=more).encode()
    (folder / name).write_bytes(header + (b"\n" + data if data is not None else b""))
    return folder / name


def check(path, voxels=VOXELS):
    """By hand: column x is (0, 1, 0) of 0.5 mm, column y is (-1, 0, 0) of 2 mm, z 3 mm; from (1, 2, 3)."""
    volume = formats.read(path)
    np.testing.assert_array_equal(volume.array, voxels)
    assert volume.array.dtype.isnative
    np.testing.assert_allclose(
        volume.geometry.index_to_lps((4, 3, 2)), (1 - 3 * 2, 2 + 2 * 0.5, 3 + 4 * 3), atol=1e-12
    )
    return volume


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("MET_CHAR", "i1"),
        ("MET_UCHAR", "u1"),
        ("MET_USHORT", "<u2"),
        ("MET_INT", "<i4"),
        ("MET_UINT", "<u4"),
        ("MET_LONG", "<i4"),
        ("MET_ULONG", "<u4"),
        ("MET_LONG_LONG", "<i8"),
        ("MET_ULONG_LONG", "<u8"),
        ("MET_FLOAT", "<f4"),
        ("MET_DOUBLE", "<f8"),
    ],
)
def test_every_meta_type(tmp_path, kind, dtype):
    numbers = np.abs(VOXELS).astype(dtype)
    path = meta(tmp_path, numbers.tobytes(), kind=kind)
    assert check(path, numbers).array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), numbers)


def test_meta_big_endian_text_and_header_size(tmp_path):
    check(meta(tmp_path, VOXELS.astype(">i2").tobytes(), big="True"))
    check(meta(tmp_path, " ".join(map(str, VOXELS.ravel())).encode(), binary="False"))
    (tmp_path / "v.raw").write_bytes(b"seven b" + VOXELS.tobytes())
    check(meta(tmp_path, file="v.raw", more="HeaderSize = 7\n", name="a.mhd"))
    check(meta(tmp_path, file="v.raw", more="HeaderSize = -1\n", name="a.mhd"))
    (tmp_path / "v.zraw").write_bytes(b"seven b" + zlib.compress(VOXELS.tobytes()))
    check(meta(tmp_path, file="v.zraw", more="HeaderSize = 7\nCompressedData = True\n", name="a.mhd"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file", ["LIST\n", "LIST 2D\n", "s%03d.raw 1 5 1", "s%03d.raw 1 5", "s%03d.raw"])
def test_meta_slice_files(tmp_path, file, packed):
    names = [f"s{number:03d}.raw" for number in range(1, 6)]
    for name, plane in zip(names, VOXELS, strict=True):
        (tmp_path / name).write_bytes(zlib.compress(plane.tobytes()) if packed else plane.tobytes())
    listed = file + "\n".join(names) if file.startswith("LIST") else file
    path = meta(tmp_path, file=listed, more=f"CompressedData = {packed}\n", name="a.mhd")
    check(path)
    third = (tmp_path / names[2]).read_bytes()
    (tmp_path / names[2]).write_bytes(third[:-3])
    with pytest.raises(FormatError, match=r"(cut off|damaged).*s003\.raw"):
        formats.read(path)
    (tmp_path / names[2]).unlink()
    with pytest.raises(FormatError, match=r"s003\.raw is missing"):
        formats.read(path)


def test_meta_lists_that_are_short_or_no_pattern_are_refused(tmp_path):
    for number in range(1, 6):
        (tmp_path / f"s{number}.raw").write_bytes(bytes(24))
    for file, cause in {
        "LIST\ns1.raw\ns2.raw": "lists 2 data files",
        "s%d.raw 1 4 1": "names 4",
        "s%s.raw 1 5 1": "pattern",
        "s%d%d.raw 1 5 1": "pattern",
        "s%999999999d.raw 1 5 1": "pattern",
        "s%d.raw 1 5 0": "by 0",
        "LIST 7D\n": "damaged",
        "s%d.raw 1 999999999999 1": "counts from",
        "": "missing",
    }.items():
        with pytest.raises(FormatError, match=cause):
            formats.read(meta(tmp_path, file=file, name="a.mhd"))


@pytest.mark.parametrize(
    "size", ["", "CompressedDataSize = 3\n", "CompressedDataSize = 999999\n", "CompressedDataSize = 0\n"]
)
def test_meta_compressed_size_is_not_believed(tmp_path, size):
    data = zlib.compress(VOXELS.tobytes())
    volume = check(meta(tmp_path, data, more="CompressedData = True\n" + size))
    assert any("CompressedDataSize" in note for note in volume.notes) == bool(size)
    with pytest.raises(FormatError, match=r"cut off|damaged"):
        formats.read(meta(tmp_path, data[:-5], more="CompressedData = True\n" + size))
    with pytest.raises(FormatError, match="cut off"):
        formats.read(
            meta(tmp_path, zlib.compress(VOXELS.tobytes()[:-2]), more="CompressedData = True\n" + size)
        )


def test_meta_units_become_mm(tmp_path):
    for unit, mm in (("um", 1e-3), ("cm", 10), ("mm", 1), ("?", 1)):
        volume = formats.read(meta(tmp_path, VOXELS.tobytes(), more=f"DistanceUnits = {unit}\n"))
        np.testing.assert_allclose(volume.geometry.spacing_mm, np.array((3, 2, 0.5)) * mm)
        np.testing.assert_allclose(volume.geometry.origin_lps_mm, np.array((1, 2, 3)) * mm)
        assert any("converted to mm" in note for note in volume.notes) == (mm != 1)
    with pytest.raises(FormatError, match="furlong"):
        formats.read(meta(tmp_path, VOXELS.tobytes(), more="DistanceUnits = furlong\n"))


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("NDims = 3", "NDims = -1 3", "ndims"),
        ("NDims = 3", "NDims = 99999999999", "dimensions"),
        ("DimSize = 3 4 5", "DimSize = 3 4", "dimsize"),
        ("DimSize = 3 4 5", "DimSize = 3 4 -5", "dimsize"),
        ("DimSize = 3 4 5", "DimSize = 99999 99999 99999", "cut off"),
        ("DimSize = 3 4 5", "DimSize = 3 4 5e0", "dimsize"),
        ("MET_SHORT", "MET_OTHER", "MET_OTHER"),
        ("MET_SHORT", "MET_SHORT_ARRAY", "plain numbers"),
        ("Offset = 1 2 3", "Offset = 1 nan 3", "offset"),
        ("Offset = 1 2 3", "Offset = 1 2 3\nOffset = 1 2 4", "twice"),
        ("0 1 0 -1 0 0 0 0 1", "0 2 0 -1 0 0 0 0 1", "rotation"),
        ("0 1 0 -1 0 0 0 0 1", "0 1 0", "transformmatrix"),
        ("ElementDataFile = LOCAL\n", "", "ElementDataFile"),
        ("ObjectType = Image", "ObjectType = Tube", "Tube"),
        ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3", "3 numbers a voxel"),
        ("NDims = 3", "NDims = 3\nHeaderSize = -2", "headersize"),
    ],
)
def test_meta_headers_that_cannot_be_are_refused_by_name(tmp_path, old, new, cause):
    path = meta(tmp_path, VOXELS.tobytes())
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(CtsegError, match=cause) as refusal:
        formats.read(path)
    assert "\n" not in str(refusal.value)


def test_nrrd_encodings(tmp_path):
    raw = VOXELS.tobytes()
    check(nrrd(tmp_path, VOXELS.astype(">i2").tobytes(), endian="big"))
    for name in ("gzip", "gz"):
        check(nrrd(tmp_path, gzip.compress(raw), encoding=name))
        check(nrrd(tmp_path, gzip.compress(b"1234" + raw), encoding=name, more="byte skip: 4\n"))
        check(nrrd(tmp_path, b"a line\nanother\n" + gzip.compress(raw), encoding=name, more="line skip: 2\n"))
    for name in ("bzip2", "bz2"):
        check(nrrd(tmp_path, bz2.compress(raw), encoding=name))
        check(nrrd(tmp_path, bz2.compress(raw[:50]) + bz2.compress(raw[50:]), encoding=name))
    check(nrrd(tmp_path, raw.hex().encode(), encoding="hex"))
    check(
        nrrd(tmp_path, b"\n".join(raw[at : at + 7].hex().encode() for at in range(0, 120, 7)), encoding="hex")
    )
    for name in ("ascii", "text", "txt"):
        check(nrrd(tmp_path, " ".join(map(str, VOXELS.ravel())).encode(), encoding=name))
    check(nrrd(tmp_path, b"one\ntwo\n123" + raw, more="line skip: 2\nbyte skip: 3\n"))
    check(nrrd(tmp_path, b"anything in front" + raw, more="byte skip: -1\n"))


@pytest.mark.parametrize("encoding", ["gzip", "bzip2", "hex", "text", "raw"])
def test_nrrd_cut_in_every_encoding(tmp_path, encoding):
    raw = VOXELS.tobytes()
    packed = {
        "gzip": gzip.compress(raw),
        "bzip2": bz2.compress(raw),
        "hex": raw.hex().encode(),
        "raw": raw,
        "text": " ".join(map(str, VOXELS.ravel())).encode(),
    }[encoding]
    for lost in (1, 3, len(packed) // 2):
        if (encoding, lost) == ("text", 1):
            continue  # 29 for 2 is a whole number too
        with pytest.raises(FormatError, match=r"cut off|damaged"):
            formats.read(nrrd(tmp_path, packed[:-lost], encoding=encoding))


def test_nrrd_data_files(tmp_path):
    for number, plane in enumerate(VOXELS, 1):
        (tmp_path / f"s{number:02d}.raw").write_bytes(plane.tobytes())
    listed = "\n".join(f"s{number:02d}.raw" for number in range(1, 6))
    check(nrrd(tmp_path, more=f"data file: LIST\n{listed}\n", name="a.nhdr"))
    check(nrrd(tmp_path, more=f"data file: LIST 2\n{listed}\n", name="a.nhdr"))
    check(nrrd(tmp_path, more="data file: s%02d.raw 1 5 1\n", name="a.nhdr"))
    check(nrrd(tmp_path, more="datafile: s%02d.raw 1 5 1 2\n", name="a.nhdr"))
    with pytest.raises(FormatError, match="names 4 data files"):
        formats.read(nrrd(tmp_path, more="data file: s%02d.raw 1 4 1\n", name="a.nhdr"))
    (tmp_path / "whole.raw").write_bytes(VOXELS.tobytes())
    check(nrrd(tmp_path, more="data file: whole.raw\n", name="a.nhdr"))
    with pytest.raises(FormatError, match="no data file"):
        formats.read(nrrd(tmp_path, name="a.nhdr"))


@pytest.mark.parametrize("first", [True, False])
def test_nrrd_lists_of_volumes_are_a_choice_and_colours_are_not(tmp_path, first):
    def header(kind):
        sizes, directions, kinds = ["3 4 5", "(0,0.5,0) (-2,0,0) (0,0,3)", "domain domain domain"]
        join = (lambda one, many: f"{one} {many}") if first else (lambda one, many: f"{many} {one}")
        return (
            f"NRRD0004\ntype: short\ndimension: 4\nspace: LPS\nsizes: {join('2', sizes)}\nspace directions: "
            f"{join('none', directions)}\n"
            f"kinds: {join(kind, kinds)}\nspace origin: (1,2,3)\nendian: little\nencoding: raw\n\n"
        ).encode()

    both = np.stack([VOXELS, VOXELS + 100], axis=-1 if first else 0)
    path = tmp_path / "a.nrrd"
    path.write_bytes(header("list") + both.tobytes())
    with pytest.raises(ChoiceNeeded, match="2 volumes"):
        formats.read(path)
    for volume in (1, 2):
        found = formats.read(path, volume=volume)
        np.testing.assert_array_equal(found.array, VOXELS + 100 * (volume - 1))
        np.testing.assert_allclose(found.geometry.index_to_lps((4, 3, 2)), (-5, 3, 15))
    path.write_bytes(header("vector") + both.tobytes())
    with pytest.raises(FormatError, match="2 numbers a voxel"):
        formats.read(path)


def test_nrrd_units_also_mixed(tmp_path):
    for units, mm in (
        ('"um" "um" "um"', (1e-3,) * 3),
        ('"cm" "mm" "mm"', (10, 1, 1)),
        ('"m" "m" "m"', (1000,) * 3),
        ('"mm" "" ""', (1,) * 3),
    ):
        volume = formats.read(nrrd(tmp_path, VOXELS.tobytes(), more=f"space units: {units}\n"))
        x, y, z = mm  # of LPS; axis x runs along LPS y
        np.testing.assert_allclose(volume.geometry.spacing_mm, (3 * z, 2 * x, 0.5 * y))
        np.testing.assert_allclose(volume.geometry.origin_lps_mm, (x, 2 * y, 3 * z))
        assert any("converted to mm" in note for note in volume.notes) == (set(mm) != {1})
    with pytest.raises(FormatError, match="pixel"):
        formats.read(nrrd(tmp_path, VOXELS.tobytes(), more='space units: "pixel" "pixel" "pixel"\n'))


@pytest.mark.parametrize("space", ["space dimension: 3", "space: scanner-xyz", "space: 3D-right-handed"])
def test_nrrd_spaces_without_anatomy_are_noted(tmp_path, space):
    path = nrrd(tmp_path, VOXELS.tobytes())
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior", space.encode()))
    assert "Orientation unknown" in check(path).notes[0]


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("(0,0.5,0)", "(0,nan,0)", "space directions"),
        ("(0,0.5,0)", "(0,0,0)", "space directions|spacing"),
        ("(0,0.5,0)", "(0,x,0)", "space dir"),
        ("sizes: 3 4 5", "sizes: 3 4", "sizes"),
        ("sizes: 3 4 5", "sizes: 3 4 0", "sizes"),
        ("dimension: 3", "dimension: 99", "dimensions"),
        ("sizes: 3 4 5", "sizes: 99999 99999 99999", "cut off"),
        ("endian: little\n", "", "endian"),
        ("type: short", "type: block", "plain numbers"),
        ("encoding: raw", "encoding: zstd", "zstd"),
        ("left-posterior-superior", "left-right-up", "space"),
        ("(1,2,3)", "(1,2)", "space origin"),
        ("encoding: raw", "encoding: raw\nsizes: 3 4 6", "twice"),
        ("encoding: raw", "encoding: raw\nbyte skip: -2", "byte skip"),
        ("encoding: raw", "encoding: raw\nline skip: 999999999", "fewer"),
        ("NRRD0005", "NRRD0009", "version"),
    ],
)
def test_nrrd_headers_that_cannot_be_are_refused_by_name(tmp_path, old, new, cause):
    path = nrrd(tmp_path, VOXELS.tobytes())
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(CtsegError, match=cause) as refusal:
        formats.read(path)
    assert "\n" not in str(refusal.value)


def test_bytes_behind_the_voxels_are_noted(tmp_path):
    for path in (meta(tmp_path, VOXELS.tobytes() + b"xyz"), nrrd(tmp_path, VOXELS.tobytes() + b"xyz")):
        assert any("3 bytes after the voxels" in note for note in check(path).notes)


_READ = """
import hashlib, sys
from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError
for path in sys.argv[1:]:
    try:
        print(hashlib.sha256(formats.read(path).array.tobytes()).hexdigest())
    except CtsegError as error:
        print(error)
"""


def test_no_voxel_comes_from_memory(tmp_path):
    """The same answers whatever malloc leaves in fresh memory (glibc's MALLOC_PERTURB_)."""
    if not sys.platform.startswith("linux"):
        pytest.skip("MALLOC_PERTURB_ is glibc's")
    packed, raw = zlib.compress(VOXELS.tobytes()), VOXELS.tobytes()
    for number, plane in enumerate(VOXELS, 1):
        (tmp_path / f"s{number}.raw").write_bytes(plane.tobytes()[: -2 if number == 3 else None])
    zipped = "CompressedData = True\n"
    paths = [
        meta(tmp_path, packed, more=zipped, name="a.mha"),
        meta(tmp_path, packed, more=zipped + "CompressedDataSize = 3\n", name="b.mha"),
        meta(tmp_path, packed[:-9], more=zipped, name="c.mha"),
        meta(tmp_path, zlib.compress(raw[:-8]), more=zipped, name="d.mha"),
        meta(tmp_path, file="s%d.raw 1 5 1", name="e.mhd"),
        meta(tmp_path, raw[:-8], name="f.mha"),
        nrrd(tmp_path, gzip.compress(raw)[:-9], encoding="gzip", name="g.nrrd"),
        nrrd(tmp_path, raw[:-4].hex().encode(), encoding="hex", name="h.nrrd"),
    ]
    answers = [
        subprocess.run(
            [sys.executable, "-c", _READ, *map(str, paths)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MALLOC_PERTURB_": value},
        ).stdout.splitlines()
        for value in ("85", "170")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(paths)
    assert answers[0][0] == answers[0][1]
    assert all("cut off" in answer or "damaged" in answer for answer in answers[0][2:])


def test_more_volumes_than_anybody_has_are_refused(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_text(
        "NRRD0004\ntype: uchar\ndimension: 4\nspace: left-posterior-superior\nsizes: 3 4 5 2000000000\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1) none\nkinds: domain domain domain list\nencoding: raw\n\n"
    )
    with pytest.raises(FormatError, match=r"a\.nrrd: .*(2000000000 volumes|bytes|voxels)"):
        formats.read(path)
