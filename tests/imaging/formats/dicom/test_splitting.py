"""Which slices of one series belong to different volumes, and which do not."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, GeometryError
from tests.imaging.formats.dicom.making import HU, ORIGIN, STEP, TURN, enhanced, plane, save, series


def second(**fields) -> list[Dataset]:
    """The same positions again, 50 HU higher, in the same series."""
    return [plane(k, HU[k] + 50, **fields) for k in range(7)]


def per_slice(planes: list[Dataset], **values) -> list[Dataset]:
    """values : attribute to function of the slice's number."""
    for k, header in enumerate(planes):
        for name, value in values.items():
            setattr(header, name, value(k))
    return planes


# Attributes of the first and of the second volume at the same positions, and what sets them apart.
SPLIT = {
    "acquisition": ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, ["acquisition 1", "acquisition 2"]),
    "echo": (
        {"EchoNumbers": 1, "EchoTime": "2.3"},
        {"EchoNumbers": 2, "EchoTime": "4.6"},
        ["echo 1", "echo 2"],
    ),
    "echo time": ({"EchoTime": "2.3"}, {"EchoTime": "4.6"}, ["echo time (ms) 2.3", "echo time (ms) 4.6"]),
    "time": (
        {"TemporalPositionIdentifier": 1},
        {"TemporalPositionIdentifier": 2},
        ["temporal position 1", "temporal position 2"],
    ),
    "b-value": ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 800.0}, ["b-value 0", "b-value 800"]),
    "kernel": ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}, ["kernel B30f", "kernel B70f"]),
    "dual energy": ({"KVP": "80"}, {"KVP": "140"}, ["kVp 80", "kVp 140"]),
    "image type": (
        {"ImageType": ["DERIVED", "PRIMARY", "WATER"]},
        {"ImageType": ["DERIVED", "PRIMARY", "FAT"]},
        [r"image type DERIVED\PRIMARY\FAT", r"image type DERIVED\PRIMARY\WATER"],
    ),
    "ADC": (
        {"ImageType": ["DERIVED", "PRIMARY", "ADC"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION"]},
        [r"image type DERIVED\PRIMARY\ADC", r"image type ORIGINAL\PRIMARY\DIFFUSION"],
    ),
    "contrast": (
        {},
        {"ContrastBolusAgent": "Iodine"},
        ["no contrast agent", "contrast agent Iodine"],
    ),
    "patient": ({}, {"PatientID": "ID-4711"}, ["patient 1", "patient 2"]),
    "name only": (
        {"PatientID": None},
        {"PatientID": None, "PatientName": "Other^One"},
        ["patient 1", "patient 2"],
    ),
    "study": ({}, {"StudyInstanceUID": generate_uid()}, ["study 1", "study 2"]),
    "frame": (
        {"FrameOfReferenceUID": generate_uid()},
        {"FrameOfReferenceUID": generate_uid()},
        ["frame of reference 1", "frame of reference 2"],
    ),
    "modality": ({}, {"Modality": "PT"}, ["modality CT", "modality PT"]),
    "series number": ({}, {"SeriesNumber": 4}, ["series number 3", "series number 4"]),
    "inverted": (
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        ["stored as MONOCHROME1", "stored as MONOCHROME2"],
    ),
    "units": ({"Units": "BQML"}, {"Units": "CNTS"}, ["units BQML", "units CNTS"]),
    "breath hold": (
        {"AcquisitionNumber": 1, "AcquisitionTime": "101500"},
        {"AcquisitionNumber": 1, "AcquisitionTime": "101900"},
        ["time of acquisition 1", "time of acquisition 2"],
    ),
    "phase in percent": (
        {"NominalPercentageOfCardiacPhase": 30.0},
        {"NominalPercentageOfCardiacPhase": 70.0},
        ["cardiac phase (%) 30", "cardiac phase (%) 70"],
    ),
    "description": (
        {},
        {"SeriesDescription": "Nobody late"},
        ["protocol 1", "protocol 2"],
    ),
}


@pytest.mark.parametrize("what", SPLIT)
def test_what_separates_two_volumes_at_one_place_is_a_choice(tmp_path, what):
    first, other, apart = SPLIT[what]
    folder = save(tmp_path / "ct", [*series(**first), *second(**other)])
    with pytest.raises(ChoiceNeeded) as refusal:
        formats.read(folder)
    assert not [word for word in ("Nobody", "0815", "4711", "Other", "1019") if word in str(refusal.value)]
    choices = formats.list_choices(folder)
    assert [choice.apart for choice in choices] == apart
    found = sorted(
        (formats.read(folder, series=choice.uid).array.mean(), choice.slices) for choice in choices
    )
    assert found == [(pytest.approx(HU.mean()), 7), (pytest.approx(HU.mean() + 50), 7)]


def test_a_missing_series_uid_does_not_mix_scans(tmp_path):
    """Without series number too: only the times of acquisition differ, slice by slice."""
    nothing = {"SeriesInstanceUID": None, "SeriesNumber": None}
    planes = [
        *per_slice(series(**nothing), AcquisitionTime=lambda k: f"1015{k:02d}"),
        *per_slice(second(**nothing), AcquisitionTime=lambda k: f"1019{k:02d}"),
    ]
    folder = save(tmp_path / "ct", planes)
    assert [choice.apart for choice in formats.list_choices(folder)] == [
        "time of acquisition 1",
        "time of acquisition 2",
    ]
    np.testing.assert_array_equal(formats.read(folder, series=1).array, HU)
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


def test_cardiac_phases_are_the_order_of_trigger_times(tmp_path):
    """The heart rate varies, so no two positions have the same times."""
    planes = [
        *per_slice(series(), TriggerTime=lambda k: f"{10 + k}"),
        *per_slice(second(), TriggerTime=lambda k: f"{400 - 60 * k}"),
    ]
    folder = save(tmp_path / "ct", planes)
    assert [choice.apart for choice in formats.list_choices(folder)] == ["cardiac phase 1", "cardiac phase 2"]
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


@pytest.mark.parametrize(
    ("maker", "creator", "tag", "vr", "values"),
    [
        ("siemens", "SIEMENS MR HEADER", 0x0019100C, "IS", ("50", "800")),
        ("ge", "GEMS_PARM_01", 0x00431039, "IS", (["1000000050", "8"], ["1000000800", "8"])),
        ("philips", "Philips Imaging DD 001", 0x20011003, "FL", (50.0, 800.0)),
        ("unknown VR", "SIEMENS MR HEADER", 0x0019100C, "UN", (b"50", b"800 ")),
    ],
)
def test_private_b_values_separate(tmp_path, maker, creator, tag, vr, values):
    planes = [series(Modality="MR"), second(Modality="MR")]
    for members, value in zip(planes, values, strict=True):
        for header in members:
            header.add_new(Tag((tag >> 16 << 16) | 0x10), "LO", creator)
            header.add_new(tag, vr, value)
    folder = save(tmp_path / "mr", [*planes[0], *planes[1]])
    assert [choice.apart for choice in formats.list_choices(folder)] == ["b-value 50", "b-value 800"]


def test_blocks_of_acquisitions_that_follow_each_other_are_one_volume(tmp_path):
    folder = save(tmp_path / "ct", per_slice(series(), AcquisitionNumber=lambda k: 1 + k // 3))
    volume = formats.read(folder)
    np.testing.assert_array_equal(volume.array, HU)
    assert "3 acquisitions that follow each other" in " ".join(volume.notes)


@pytest.mark.parametrize("name", ["AcquisitionNumber", "TriggerTime", "AcquisitionTime", "EchoTime"])
def test_values_that_change_with_every_slice_separate_nothing(tmp_path, name):
    folder = save(tmp_path / "ct", per_slice(series(), **{name: lambda k: f"{k + 1}"}))
    np.testing.assert_array_equal(formats.read(folder).array, HU)


def test_a_single_second_slice_at_one_position_is_refused_by_name(tmp_path):
    folder = save(tmp_path / "ct", [*series(), plane(3, HU[3] + 1, InstanceNumber=999)])
    with pytest.raises(GeometryError, match="no attribute tells which scan"):
        formats.read(folder)


@pytest.mark.parametrize(
    ("group", "field", "apart"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", "temporal position"),
        ("FrameContentSequence", "StackID", "stack"),
        ("FrameContentSequence", "FrameAcquisitionNumber", "acquisition"),
        ("MREchoSequence", "EffectiveEchoTime", "echo time (ms)"),
        ("MRDiffusionSequence", "DiffusionBValue", "b-value"),
    ],
)
def test_an_enhanced_object_holds_several_volumes(tmp_path, group, field, apart):
    one, two = enhanced(), enhanced()
    frames = []
    for number, header in ((1, one), (2, two)):
        for frame in header.PerFrameFunctionalGroupsSequence:
            item = Dataset()
            setattr(item, field, str(number) if field == "StackID" else number)
            setattr(frame, group, [item])
            frames.append(frame)
    one.PerFrameFunctionalGroupsSequence, one.NumberOfFrames = frames, 14
    higher = np.frombuffer(two.PixelData, "<u2") + 50
    one.PixelData = one.PixelData + higher.astype("<u2").tobytes()
    folder = save(tmp_path / "enhanced", [one])
    assert [(choice.slices, choice.apart) for choice in formats.list_choices(folder)] == [
        (7, f"{apart} 1"),
        (7, f"{apart} 2"),
    ]
    np.testing.assert_array_equal(formats.read(folder, series=1).array, HU)
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)
    with pytest.raises(ChoiceNeeded):
        formats.read(next(folder.iterdir()))


def test_positions_of_two_interleaved_scans(tmp_path):
    """Two scans without numbers, the second one 1 mm further: uneven together, even apart."""
    shifted = [
        plane(
            k,
            HU[k] + 50,
            AcquisitionTime="1019",
            ImagePositionPatient=[f"{v:.9g}" for v in ORIGIN + (k * STEP + 1) * TURN[:, 2]],
        )
        for k in range(7)
    ]
    folder = save(tmp_path / "ct", [*series(AcquisitionTime="1015"), *shifted])
    assert [choice.slices for choice in formats.list_choices(folder)] == [7, 7]
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


NUMBERING = {
    "time": {"TemporalPositionIdentifier": lambda k: k + 1},
    "tube voltage": {"KVP": lambda k: f"{118 + k}"},
    "tube voltage jitter": {"KVP": lambda k: "120" if k in (0, 1, 4) else "121"},
    "kernel": {"ConvolutionKernel": lambda k: f"B30f-{k}"},
    "echo time jitter": {"EchoTime": lambda k: "2.45" if k in (0, 1, 4) else "2.46"},
    "two at once": {"TemporalPositionIdentifier": lambda k: k + 1, "KVP": lambda k: f"{130 - k}"},
}


@pytest.mark.parametrize("what", NUMBERING)
def test_a_technical_attribute_that_numbers_the_slices_separates_nothing(tmp_path, what):
    folder = save(tmp_path / "ct", per_slice(series(), **NUMBERING[what]))
    np.testing.assert_array_equal(formats.read(folder).array, HU)


def test_numbered_slices_of_two_echoes_are_two_volumes(tmp_path):
    numbered = {"TemporalPositionIdentifier": lambda k: k + 1}
    later = {"TemporalPositionIdentifier": lambda k: k + 8}
    planes = [*per_slice(series(EchoNumbers=1), **numbered), *per_slice(second(EchoNumbers=2), **later)]
    folder = save(tmp_path / "ct", planes)
    assert [choice.apart for choice in formats.list_choices(folder)] == ["echo 1", "echo 2"]
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


@pytest.mark.parametrize("keyword", ["SeriesNumber", "Modality", "StudyInstanceUID", "ImageType"])
def test_what_some_slices_of_two_volumes_lack_divides_them_no_further(tmp_path, keyword):
    planes = [*series(EchoTime="2.3"), *second(EchoTime="4.6")]
    for k in (1, 4, 8, 9):
        delattr(planes[k], keyword)
    folder = save(tmp_path / "ct", planes)
    assert [choice.apart for choice in formats.list_choices(folder)] == [
        "echo time (ms) 2.3",
        "echo time (ms) 4.6",
    ]
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


def test_a_number_for_each_slice_of_two_volumes_makes_no_single_slices(tmp_path):
    planes = [*series(AcquisitionTime="1015"), *second(AcquisitionTime="1019")]
    folder = save(tmp_path / "ct", per_slice(planes, TemporalPositionIdentifier=lambda k: k + 1))
    assert [choice.slices for choice in formats.list_choices(folder)] == [7, 7]
    np.testing.assert_array_equal(formats.read(folder, series=1).array, HU)


def test_times_of_a_single_position_are_choices(tmp_path):
    planes = [plane(2, HU[k], TemporalPositionIdentifier=k + 1) for k in range(7)]
    assert [choice.apart for choice in formats.list_choices(save(tmp_path / "ct", planes))] == [
        f"temporal position {k + 1}" for k in range(7)
    ]


def test_slices_of_one_stack_may_be_of_several_thicknesses(tmp_path):
    folder = save(tmp_path / "ct", per_slice(series(), SliceThickness=lambda k: "3.1" if k % 2 else "3"))
    np.testing.assert_array_equal(formats.read(folder).array, HU)


def test_two_reconstructions_of_other_thickness_are_two_volumes(tmp_path):
    """Thick slices at every second position of the thin ones, and between them."""
    for shift in (0, 0.5):
        places = [ORIGIN + (2 * k + shift) * STEP * TURN[:, 2] for k in range(3)]
        thick = [
            plane(k, HU[k] + 50, SliceThickness="6", ImagePositionPatient=[f"{v:.9g}" for v in at])
            for k, at in enumerate(places)
        ]
        choices = formats.list_choices(folder := save(tmp_path / f"ct{shift}", [*series(), *thick]))
        assert [choice.apart for choice in choices] == ["slice thickness (mm) 3", "slice thickness (mm) 6"]
        np.testing.assert_array_equal(formats.read(folder, series=2).array, HU[:3] + 50)


def test_thickness_that_varies_does_not_mix_two_volumes(tmp_path):
    planes = per_slice(
        [*series(SeriesDescription="a"), *second(SeriesDescription="b")],
        SliceThickness=lambda k: "3.1" if k % 2 else "3",
    )
    folder = save(tmp_path / "ct", planes)
    assert [choice.apart for choice in formats.list_choices(folder)] == ["protocol 1", "protocol 2"]
    np.testing.assert_array_equal(formats.read(folder, series=2).array, HU + 50)


def test_two_kernels_in_blocks_are_two_volumes(tmp_path):
    planes = per_slice(series(), ConvolutionKernel=lambda k: "B30f" if k < 4 else "B70f")
    choices = formats.list_choices(save(tmp_path / "ct", planes))
    assert [(choice.apart, choice.slices) for choice in choices] == [("kernel B30f", 4), ("kernel B70f", 3)]
