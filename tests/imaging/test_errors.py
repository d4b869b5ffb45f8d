import pytest

from ctseg_imaging.errors import (
    BundleError,
    ChoiceNeeded,
    CtsegError,
    FormatError,
    RecipeError,
    is_out_of_memory,
)

SENTENCE = "/data/ct.nii: {} is not a data type of NIfTI; export it again."


@pytest.mark.parametrize("kind", [CtsegError, FormatError, RecipeError])
def test_a_sentence_of_any_length_keeps_its_file_and_its_advice(kind: type[CtsegError]) -> None:
    assert str(kind(SENTENCE.format("x" * 300))) == SENTENCE.format("x" * 300)
    shown = str(kind(SENTENCE.format("x" * 100_000)))
    assert len(shown) < 1500
    assert shown.startswith("/data/ct.nii: xxx") and shown.endswith(
        "is not a data type of NIfTI; export it again."
    )


def test_a_list_to_choose_from_is_whole() -> None:
    listed = ", ".join(f"series {k}" for k in range(1000))
    assert str(ChoiceNeeded(f"Choose one of {listed}.")) == f"Choose one of {listed}."


def test_what_counts_as_a_shortage_of_memory() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch's."""

    wrapped = BundleError("file: does not work.")
    wrapped.__cause__ = RuntimeError("Failed to allocate memory for requested buffer of size 9")
    for error in (
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        OutOfMemoryError("x"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        wrapped,
    ):
        assert is_out_of_memory(error)
    for error in (RuntimeError("shapes differ"), BundleError("f: out of memory of it."), KeyError("memory")):
        assert not is_out_of_memory(error)
