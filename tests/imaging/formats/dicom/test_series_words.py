"""Names of series: known words of the description, and nothing about a person."""

import pytest

from ctseg_imaging.formats.dicom.series_words import series_words
from tests.imaging.formats.dicom.making import plane, save


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"SeriesDescription": "Thorax 1.0 B60f LUNG kernel"}, "CT thorax lung kernel"),
        ({"SeriesDescription": "T1_MPRAGE sag", "Modality": "MR"}, "MR T1 MPRAGE sag"),
        ({"SeriesDescription": "PET AC 3D", "Modality": "PT"}, "PT PET AC"),
        ({"SeriesDescription": "series 3", "BodyPartExamined": "CHEST"}, "CT chest"),
        ({"SeriesDescription": "CT Head/Neck 12.03.1961"}, "CT head neck"),
        ({"SeriesDescription": "Nobody^Known ID-0815 19610312 4711"}, ""),
        ({"SeriesDescription": None}, ""),
        ({"SeriesDescription": "lung Meier abdomen", "PatientName": "Lung^Meier"}, "CT abdomen"),
        ({"SeriesDescription": "liver neck", "ReferringPhysicianName": "Neck^Dr"}, "CT liver"),
        ({"SeriesDescription": "thorax thorax", "BodyPartExamined": "THORAX"}, "CT thorax"),
    ],
)
def test_words(tmp_path, fields, name):
    folder = save(tmp_path / "one", [plane(0, **fields)])
    assert series_words(folder / "001.dcm", fields.get("Modality", "CT")) == name
