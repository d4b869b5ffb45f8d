import nibabel
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError
from napari_ctseg.export.writers import write_image, write_labels
from napari_ctseg.files.readers import get_reader
from napari_ctseg.viewer.showing import show_labels, show_volume


def meta_of(layer):
    return layer._get_state() | {"name": layer.name, "metadata": layer.metadata}


def test_a_nifti_goes_through_the_viewer_to_the_bit(tmp_path):
    """qform and sform differ on purpose, with codes 1 and 2, the raw values are scaled: all comes back."""
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    image = nibabel.Nifti1Image(
        array, np.array([[0, 0, -3, 5], [1.5, 0, 0, 6], [0, -2, 0, 7], [0, 0, 0, 1.0]])
    )
    image.header.set_qform(image.affine, code=1)
    image.header.set_sform(image.affine, code=2)
    image.header["descrip"] = b"kept"
    nibabel.save(image, tmp_path / "in.nii.gz")
    data, settings, kind = get_reader(str(tmp_path / "in.nii.gz"))(str(tmp_path / "in.nii.gz"))[0]
    layer = Layer.create(data, settings, kind)
    assert write_image(str(tmp_path / "out.nii.gz"), layer.data, meta_of(layer)) == [
        str(tmp_path / "out.nii.gz")
    ]
    before, after = nibabel.load(tmp_path / "in.nii.gz"), nibabel.load(tmp_path / "out.nii.gz")
    assert before.header.binaryblock == after.header.binaryblock
    np.testing.assert_array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_painted_labels_are_written_in_stored_order(tmp_path, label_map, ending):
    layer = show_labels(ViewerModel(), label_map, "mask")
    layer.data_setitem((np.array([0, 1]), np.array([2, 2]), np.array([3, 4])), 3)
    path = tmp_path / f"out{ending}"
    write_labels(str(path), layer.data, meta_of(layer))
    back = formats.read_labels(path)
    np.testing.assert_array_equal(back.array, label_map.array)
    np.testing.assert_allclose(back.geometry.affine_lps, label_map.geometry.affine_lps, atol=1e-4)


def test_saving_again_replaces_the_file_and_a_refusal_leaves_it(tmp_path, volume):
    layer = show_volume(ViewerModel(), volume, "ct")
    path = tmp_path / "ct.nii.gz"
    write_image(str(path), layer.data, meta_of(layer))
    write_image(str(path), layer.data, meta_of(layer))
    before = path.read_bytes()
    with pytest.raises(CtsegError):
        write_image(str(tmp_path / "missing" / "ct.nii.gz"), layer.data, meta_of(layer))
    with pytest.raises(CtsegError):
        write_image(str(tmp_path / "ct.png"), layer.data, meta_of(layer))
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["ct.nii.gz"]


def test_a_plain_layer_is_written_with_its_scale(tmp_path):
    layer = ViewerModel().add_labels(np.ones((3, 4, 5), np.int64), scale=(3, 2, 1), translate=(30, 20, 10))
    write_labels(str(tmp_path / "plain.nii.gz"), layer.data, meta_of(layer))
    written = nibabel.load(tmp_path / "plain.nii.gz")
    assert written.header.get_data_dtype() == np.uint8
    np.testing.assert_allclose(
        written.affine, [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    )
