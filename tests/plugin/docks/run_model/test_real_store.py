"""Adding models to the real store: what is refused, and what is asked about."""

import pickle
import zipfile

import pytest

from ctseg_imaging.errors import BundleError, BundleExists
from ctseg_imaging.progress import finish
from ctseg_models.bundles.store import find, shipped_folder, user_folder
from napari_ctseg.compute.__main__ import raised
from napari_ctseg.docks.run_model.library.library import InstalledLibrary, added, verified
from napari_ctseg.docks.run_model.state import (
    Replacement,
)


def test_the_real_store_refuses_in_a_sentence_and_keeps_nothing(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "plans.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "old" / "model_final_checkpoint.model.pkl").write_bytes(b"\x80\x04N.")
    for name in ("notes.txt", "old"):
        with pytest.raises(BundleError, match=name) as refused:
            finish(added(tmp_path / name, False))
        assert str(refused.value).endswith(".") and "\n" not in str(refused.value)
    assert not user_folder().exists() or list(user_folder().iterdir()) == []


def test_the_real_store_takes_a_folder_and_knows_that_it_has_it():
    library, source = InstalledLibrary(), shipped_folder() / "phantom-abdomen-scn"
    assert not library.needs_form(source)
    assert finish(added(source, False)) == "phantom-abdomen-scn"
    bundle = find(user_folder() / "phantom-abdomen-scn")
    assert library.mirror_axes(bundle) == 0 and finish(verified(bundle)).startswith(
        "phantom-abdomen-scn is intact"
    )


@pytest.mark.parametrize(
    ("archive", "prefix"), [("anything.zip", "phantom-abdomen-scn/"), ("phantom-abdomen-scn.zip", "")]
)
def test_the_real_store_asks_about_the_model_inside_of_an_archive(
    made, tmp_path, monkeypatch, archive, prefix
):
    controller, _, library = made()
    monkeypatch.setattr(library, "add", added)
    source, mine = shipped_folder() / "phantom-abdomen-scn", user_folder() / "phantom-abdomen-scn"
    finish(added(source, False))
    (user_folder() / "anything").mkdir()  # what the archive's name says, and nothing that it would replace
    with zipfile.ZipFile(tmp_path / archive, "w") as packed:
        for file in source.rglob("*"):
            packed.write(file, f"{prefix}{file.relative_to(source).as_posix()}")
    before = (mine / "SHA256SUMS").stat().st_ino
    controller.actions.add(tmp_path / archive)
    controller.runner.finish()
    assert (
        controller.state.asked == Replacement(tmp_path / archive, mine)
        and (mine / "SHA256SUMS").stat().st_ino == before
    )
    controller.actions.copy(tmp_path / archive, overwrite=True)
    controller.runner.finish()
    assert controller.state.asked is None and (mine / "SHA256SUMS").stat().st_ino != before
    assert controller.state.message == "Added: phantom-abdomen-scn."


def test_the_refusal_travels_from_the_computing_process_with_its_target(tmp_path):
    error = raised(BundleExists(tmp_path / "a")).error
    back = pickle.loads(pickle.dumps(error))
    assert (
        type(back) is BundleExists
        and back.target == tmp_path / "a"
        and str(back).startswith(f"{tmp_path / 'a'}: a bundle with this name")
    )
