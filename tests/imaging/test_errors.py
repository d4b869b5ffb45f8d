import pytest

from ctseg_imaging.errors import ChoiceNeeded, CtsegError, FormatError, RecipeError

SENTENCE = "/data/ct.nii: {} is not a data type of NIfTI; export it again."


@pytest.mark.parametrize("kind", [CtsegError, FormatError, RecipeError])
def test_a_sentence_of_any_length_keeps_its_file_and_its_advice(kind: type[CtsegError]) -> None:
    assert str(kind(SENTENCE.format("x" * 300))) == SENTENCE.format("x" * 300)
    said = str(kind(SENTENCE.format("x" * 100_000)))
    assert len(said) < 1500
    assert said.startswith("/data/ct.nii: xxx") and said.endswith(
        "is not a data type of NIfTI; export it again."
    )


def test_a_list_to_choose_from_is_whole() -> None:
    listed = ", ".join(f"series {k}" for k in range(1000))
    assert str(ChoiceNeeded(f"Choose one of {listed}.")) == f"Choose one of {listed}."
