"""A short name for a series, such as "CT thorax lung", from its modality and its description.

A description is free text and may hold anything, the patient's name too. Only words of VOCABULARY are taken,
and of these none that occurs in an attribute about a person or an institution (a patient may be called Lung).
"""

from __future__ import annotations

import re
from pathlib import Path

from ctseg_imaging.formats.dicom.files import read_header
from ctseg_imaging.formats.dicom.tags import text

_PARTS = """
    abd abdomen abdominal ankle aorta arm body bone bones brain breast cardiac cervical chest cor
    coronary elbow extremity femur foot hand head heart hip kidney kidneys knee larynx leg legs liver
    lumbar lung lungs mediastinum neck orbit pancreas parenchyma pelvis petrous pituitary prostate
    shoulder sinus skull spine spleen temporal thigh thoracic thorax thx tissue wholebody wrist
"""
_KINDS = """
    angio arterial axial contrast coronal delayed dose enhanced kernel low native plain portal post pre
    sag sagittal sharp smooth soft standard tra transverse venous whole perfusion recon space dixon
    fatsat attenuation corrected
"""
_CAPITALS = """
    ac adc dwi epi fdg flair fs fse gre hrct mip mpr mprage mra nac pd pet se stir suv swi t1 t1w t2 t2*
    t2w tof tse vibe
"""
_SEQUENCES = frozenset(_CAPITALS.split())
VOCABULARY = frozenset((_PARTS + _KINDS).split()) | _SEQUENCES
_SOURCES = ("SeriesDescription", "BodyPartExamined")
_PERSONAL = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
)
_MOST = 6  # words
_BETWEEN = re.compile(r"[^\w*]+|_+")


def series_words(file: Path, modality: str) -> str:
    """The modality and the known words of the series description and body part, each once; "" where the file
    has none of them.
    """
    header = read_header(file, ("SOPClassUID", *_SOURCES, *_PERSONAL))
    if header is None:
        return ""
    personal = {word for tag in _PERSONAL for word in _words(text([header], tag))}
    words = [word for tag in _SOURCES for word in _words(text([header], tag))]
    known = [word for word in dict.fromkeys(words) if word in VOCABULARY and word not in personal]
    described = [word for word in known if word != modality.lower()][:_MOST]
    return " ".join([modality or "image", *map(_written, described)]) if described else ""


def _words(free_text: str) -> list[str]:
    return [word for word in _BETWEEN.split(free_text.lower()) if word]


def _written(word: str) -> str:
    return word.upper() if word in _SEQUENCES else word
