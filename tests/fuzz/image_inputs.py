"""Sound images, labels and data sets to damage, and how a program reads them."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from ctseg_imaging.errors import ChoiceNeeded, CtsegError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume

TURN = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
GRID = Geometry.from_parts((4, 5, 6), (3, 1.7, 0.9), (1, 2, 3), TURN)
ARRAY = np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 60


def shared() -> Path:
    """The folder of real data, which need not be there."""
    return Path(
        os.environ.get("CTSEG_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    )


def read_image(path: Path) -> None:
    """As the viewer does: a look, the volume or each of its choices, and writing what was read in other
    formats.
    """
    from ctseg_imaging import formats

    formats.is_readable(path)
    try:
        volumes = [formats.read(path)]
    except ChoiceNeeded:
        choices = formats.list_choices(path)
        volumes = [
            formats.read(path, series=one.index) if one.uid else formats.read(path, volume=one.index)
            for one in choices[:2]
        ]
    for volume in volumes:
        for ending in ("nii.gz", "nrrd", "mha"):
            formats.write(path.parent / f"written.{ending}", volume, overwrite=True)
        with suppress(CtsegError):
            formats.read_labels(path)


def read_label_map(path: Path) -> None:
    from ctseg_imaging import formats

    found = formats.read_labels(path)
    formats.write(path.parent / "written.nii.gz", found, like=found, overwrite=True)


def in_folder(folder: Path, name: str, content: bytes, **more: bytes) -> Path:
    folder.mkdir(parents=True)
    for other, data in more.items():
        (folder / other.replace("__", ".")).write_bytes(data)
    (folder / name).write_bytes(content)
    return folder / name


def nifti(folder: Path) -> list[Path]:
    import nibabel as nib

    from ctseg_imaging import formats

    found = []
    for number, name in enumerate(("a.nii", "a.nii.gz")):
        (folder / str(number)).mkdir(parents=True)
        formats.write(folder / str(number) / name, Volume(ARRAY, GRID))
        found.append(folder / str(number) / name)
    ras = np.diag([-1, -1, 1, 1]) @ GRID.affine_lps[:, [2, 1, 0, 3]]
    for number, (kind, name) in enumerate(
        ((nib.Nifti2Image, "b.nii"), (nib.Nifti1Pair, "c.hdr"), (nib.Nifti1Image, "d.nii")), 2
    ):
        (folder / str(number)).mkdir()
        data = ARRAY.transpose(2, 1, 0)
        image = kind(np.stack([data, data], -1) if name == "d.nii" else data, ras)
        if name == "b.nii":
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a comment"))
        nib.save(image, folder / str(number) / name)
        found.append(folder / str(number) / name)
    return found


def analyze(folder: Path) -> list[Path]:
    import nibabel as nib

    (folder / "a").mkdir(parents=True)
    nib.save(nib.Spm99AnalyzeImage(ARRAY.transpose(2, 1, 0), np.eye(4)), folder / "a" / "a.hdr")
    return [folder / "a" / "a.hdr"]


def nrrd(folder: Path) -> list[Path]:
    head = (
        "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\nspace "
        "directions: (1,0,0) (0,2,0) (0,0,3)\n"
        'space origin: (1,2,3)\nspace units: "mm" "mm" "mm"\nkinds: domain domain domain\nendian: '
        "little\nkey:=value\nencoding: "
    )
    raw = ARRAY.tobytes()
    packed = {
        "raw": raw,
        "gzip": gzip.compress(raw, mtime=0),
        "bzip2": bz2.compress(raw),
        "hex": raw.hex().encode(),
        "text": " ".join(map(str, ARRAY.ravel())).encode(),
    }
    found = [
        in_folder(folder / kind, "a.nrrd", f"{head}{kind}\n\n".encode() + data)
        for kind, data in packed.items()
    ]
    listed = f"{head}raw\ndata file: LIST\n" + "\n".join(f"{number}.raw" for number in range(4))
    slices = {f"{number}__raw": plane.tobytes() for number, plane in enumerate(ARRAY)}
    found.append(in_folder(folder / "list", "a.nhdr", listed.encode(), **slices))
    found.append(
        in_folder(
            folder / "pattern",
            "a.nhdr",
            f"{head}raw\nbyte skip: 0\ndata file: %d.raw 0 3 1\n".encode(),
            **slices,
        )
    )
    layers = (
        head.replace("dimension: 3", "dimension: 4")
        .replace("sizes: ", "sizes: 2 ")
        .replace("directions: ", "directions: none ")
    )
    layers = layers.replace("kinds: ", "kinds: list ")
    found.append(in_folder(folder / "layers", "a.nrrd", f"{layers}raw\n\n".encode() + raw + raw))
    return found


def metaimage(folder: Path) -> list[Path]:
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = "
        "{packed}\n{size}"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nCenterOfRotation = 0 0 "
        "0\nAnatomicalOrientation = RAI\n"
        "ElementSpacing = 1 2 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nComment = words\nElementDataFile "
        "= {file}\n"
    )
    raw, packed = ARRAY.tobytes(), zlib.compress(ARRAY.tobytes())
    found = [
        in_folder(folder / "raw", "a.mha", head.format(packed=False, size="", file="LOCAL").encode() + raw)
    ]
    size = f"CompressedDataSize = {len(packed)}\n"
    found.append(
        in_folder(
            folder / "zlib", "a.mha", head.format(packed=True, size=size, file="LOCAL").encode() + packed
        )
    )
    found.append(
        in_folder(
            folder / "pair",
            "a.mhd",
            head.format(packed=True, size=size, file="a.zraw").encode(),
            a__zraw=packed,
        )
    )
    slices = {f"{number}__raw": plane.tobytes() for number, plane in enumerate(ARRAY)}
    listed = head.format(
        packed=False,
        size="HeaderSize = 0\n",
        file="LIST\n" + "\n".join(f"{number}.raw" for number in range(4)),
    )
    found.append(in_folder(folder / "list", "a.mhd", listed.encode(), **slices))
    found.append(
        in_folder(
            folder / "pattern",
            "a.mhd",
            head.format(packed=False, size="", file="%d.raw 0 3 1").encode(),
            **slices,
        )
    )
    return found


def dicom(folder: Path) -> list[Path]:
    """A series of four CT slices, and an enhanced one of three frames."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.sequence import Sequence

    def common(number: int) -> pydicom.Dataset:
        one = pydicom.Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
        one.PatientID, one.PatientName, one.Modality, one.SeriesDescription = "id", "name^x", "CT", "plain"
        one.SeriesNumber, one.InstanceNumber, one.AcquisitionNumber, one.ImageType = (
            1,
            number,
            1,
            ["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 5, 6, 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.RescaleSlope, one.RescaleIntercept, one.WindowCenter, one.WindowWidth = 1, -1024, 40, 400
        return one

    (folder / "series").mkdir(parents=True)
    for number, plane in enumerate(ARRAY):
        one = common(number)
        one.ImagePositionPatient, one.ImageOrientationPatient = [1, 2, 3 * number], [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness, one.PixelData = [1.7, 0.9], 3, plane.tobytes()
        one.save_as(folder / "series" / f"{number}.dcm", enforce_file_format=True)
    (folder / "enhanced").mkdir()
    one = common(9)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    one.NumberOfFrames, one.PixelData = 4, ARRAY.tobytes()
    shared, frames = pydicom.Dataset(), []
    measures, orientation, values = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.7, 0.9], 3
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = (
        Sequence([measures]),
        Sequence([orientation]),
    )
    shared.PixelValueTransformationSequence = Sequence([values])
    for number in range(4):
        frame, position, content = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient, content.StackID, content.InStackPositionNumber = (
            [1, 2, 3 * number],
            "1",
            number + 1,
        )
        frame.PlanePositionSequence, frame.FrameContentSequence = Sequence([position]), Sequence([content])
        frames.append(frame)
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = (
        Sequence([shared]),
        Sequence(frames),
    )
    one.save_as(folder / "enhanced" / "e.dcm", enforce_file_format=True)
    return [folder / "series", folder / "enhanced" / "e.dcm"]


def labels(folder: Path) -> list[Path]:
    """A label map with everything next to it that names its labels."""
    from ctseg_imaging import formats

    found = []
    for ending in ("nii.gz", "seg.nrrd"):
        place = folder / ending.partition(".")[0] / "labelsTr"
        place.mkdir(parents=True)
        drawn = LabelMap((ARRAY > 0).astype(np.uint8) * 2, GRID, Labels.from_names({1: "liver", 2: "spleen"}))
        formats.write(place / f"a.{ending}", drawn)
        (place / "a.provenance.json").write_text(
            json.dumps({"labels": [{"value": 1, "name": "liver", "colour": "#ff0000", "contoured": True}]})
        )
        (place / "labels.json").write_text(
            json.dumps({"1": "liver", "2": {"name": "spleen", "color": "#00ff00"}})
        )
        (place.parent / "dataset.json").write_text(
            json.dumps(
                {
                    "labels": {"0": "background", "1": "liver", "2": "spleen"},
                    "labels_present": {"a": ["liver"]},
                }
            )
        )
        found.append(place / f"a.{ending}")
    return found


def dataset(folder: Path) -> list[Path]:
    """A data set of the Medical Segmentation Decathlon."""
    from ctseg_imaging import formats

    folder = folder / "a"
    for part, item in (
        ("imagesTr", Volume(ARRAY, GRID)),
        ("labelsTr", LabelMap((ARRAY > 0).astype(np.uint8), GRID)),
    ):
        (folder / part).mkdir(parents=True)
        for case in ("a", "b"):
            formats.write(folder / part / f"{case}.nii.gz", item)
    cases = [
        {
            "image": f"./imagesTr/{case}.nii.gz",
            "label": f"./labelsTr/{case}.nii.gz",
            "labels_present": ["liver"],
        }
        for case in ("a", "b")
    ]
    (folder / "dataset.json").write_text(
        json.dumps(
            {
                "name": "x",
                "labels": {"0": "background", "1": "liver"},
                "modality": {"0": "CT"},
                "training": cases[:1],
                "validation": cases[1:],
                "numTraining": 1,
            }
        )
    )
    return [folder]


def read_dataset(folder: Path) -> None:
    from ctseg_imaging.metrics.cases import find_cases, read_pair
    from ctseg_training.data.decathlon import open_dataset

    cases = find_cases(folder / "labelsTr", folder)
    for pair in cases.pairs:
        read_pair(pair)
    open_dataset(folder)


def segmentations(folder: Path) -> list[Path]:
    """Slicer's segmentation with two layers, a structure set without an image, and DICOM SEG of the shared
    data if it is there.
    """
    from tests.imaging.formats.segmentations.rtstruct import making as rtstruct_making

    head = (
        "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 6 5 4\n"
        "space directions: none (1,0,0) (0,2,0) "
        "(0,0,3)\nkinds: list domain domain domain\nencoding: gzip\nspace origin: (1,2,3)\n"
    )
    names = (("Segment_0", "liver", 0, 1), ("Segment1", "tumour", 1, 2))
    for number, (_, name, layer, value) in enumerate(names):
        head += (
            f"Segment{number}_ID:=Segment_{number}\nSegment{number}_Name:={name}\nSegment{number}_Color:=0.5 "
            f"0.2 {number}\n"
            f"Segment{number}_LabelValue:={value}\nSegment{number}_Layer:={layer}\nSegment{number}_Extent:=0 "
            "5 0 4 0 3\n"
        )
    head += "Segmentation_ReferenceImageExtentOffset:=0 0 0\n\n"
    drawn = np.zeros((4, 5, 6, 2), np.uint8)
    drawn[1:3, 1:4, 2:5, 0], drawn[2, 2:4, 1:5, 1] = 1, 2
    found = [
        in_folder(folder / "slicer", "a.seg.nrrd", head.encode() + gzip.compress(drawn.tobytes(), mtime=0))
    ]
    (folder / "rtstruct").mkdir()
    polygons = [rtstruct_making.square(GRID, z, 1, 3) for z in range(1, 3)]
    found.append(
        rtstruct_making.write(folder / "rtstruct" / "rt.dcm", [("liver", polygons), ("tumour", polygons[:1])])
    )
    source = shared() / "dicom-seg"
    for name in ("binary", "fractional", "labelmap", "binary_overlap"):
        if (file := source / f"seg_image_ct_{name}.dcm").is_file() and file.stat().st_size < 300_000:
            found.append(in_folder(folder / name, "seg.dcm", file.read_bytes()))
    return found


def read_segmentation(path: Path) -> None:
    """As `info`, `convert --labels` and the viewer do."""
    from ctseg_imaging import formats

    like = GRID if path.name == "rt.dcm" else None
    try:
        found = formats.read_labels(path, like=like)
    except ChoiceNeeded:
        found = formats.read_labels(path, like=like, segment_layer=1)
    formats.write(path.parent / "written.nii.gz", found, overwrite=True)
    formats.write(path.parent / "written.seg.nrrd", found, overwrite=True)


def zarr_maps(folder: Path) -> list[Path]:
    from ctseg_imaging.formats.zarr_maps import writing

    folder.mkdir(parents=True)
    with writing(folder / "a.zarr", (2, *GRID.shape), GRID, ("background", "liver"), "uint8") as writer:
        writer.put(1, 0, (np.abs(ARRAY) / 60).astype(np.float32))
    return [folder / "a.zarr"]


def read_zarr(path: Path) -> None:
    from ctseg_imaging.formats.zarr_maps import read_maps

    read_maps(path)
