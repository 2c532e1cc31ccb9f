import mrcfile
import numpy as np
import pytest
import tifffile

from nt2c.core.errors import InputError
from nt2c.io.micrographs import create_output, open_micrograph
from tests.io.make import image, real


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f2", "f8", ">u2", ">f4"]
)
def test_every_type(tmp_path, dtype):
    values = image(dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=">" if dtype[0] == ">" else "<")
    with open_micrograph(tmp_path / "a.tif", 1.5) as micrograph:
        assert (micrograph.shape, micrograph.sections) == ((6, 8), 1)
        read = micrograph.read()
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)
        assert micrograph.warnings == ()


@pytest.mark.parametrize("compression", ["lzw", "packbits", "deflate", "zstd"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_compressions(tmp_path, compression, bigtiff):
    values = image((64, 64), "u2")
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, values, compression=compression, bigtiff=bigtiff, rowsperstrip=10)
    with open_micrograph(path, 1.5) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)


def test_the_first_row_stays_the_first_row(tmp_path):
    values = image(dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values)
    with (
        open_micrograph(tmp_path / "a.tif", 1.5) as micrograph,
        create_output(tmp_path / "a.mrc", micrograph, label="x") as output,
    ):
        output.write(0, micrograph.read())
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        np.testing.assert_array_equal(mrc.data, values)
        assert mrc.voxel_size.x == 1.5
        assert mrc.get_labels() == ["x"]


def test_pages_are_sections(tmp_path):
    values = image((3, 6, 8))
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    with open_micrograph(tmp_path / "a.tif", 1.5) as micrograph:
        assert micrograph.sections == 3
        np.testing.assert_array_equal(micrograph.read(2), values[2])


@pytest.mark.parametrize(
    ("resolution", "unit", "pixel_size_a"),
    [
        ((1e8 / 1.25, 1e8 / 1.25), "CENTIMETER", 1.25),
        ((2.54e8 / 1.25, 2.54e8 / 1.25), "INCH", 1.25),
        ((72, 72), "INCH", None),
        ((5e7, 5e7), "NONE", None),
    ],
)
def test_pixel_size_from_the_resolution(tmp_path, resolution, unit, pixel_size_a):
    tifffile.imwrite(tmp_path / "a.tif", image(), resolution=resolution, resolutionunit=unit)
    if pixel_size_a is None:
        with pytest.raises(InputError, match="--pixel-size"):
            open_micrograph(tmp_path / "a.tif")
    else:
        with open_micrograph(tmp_path / "a.tif") as micrograph:
            assert micrograph.pixel_size_a == pixel_size_a


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.01])
def test_a_truncated_file_is_named(tmp_path, compression, kept):
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    tifffile.imwrite(path, noise, compression=compression, rowsperstrip=8)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError) as caught, open_micrograph(path, 1.5) as micrograph:
        micrograph.read()
    assert str(path) in str(caught.value)
    assert "copy" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((6, 8, 3), "u1"), "grey"),
        (np.zeros((6, 8), "c8"), "real numbers"),
        (np.full((6, 8), 3, "u1"), "every pixel is 3"),
        (np.full((6, 8), np.nan, "f4"), "48 pixels are not finite"),
    ],
)
def test_other_pictures_are_refused(tmp_path, values, words):
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric)
    with pytest.raises(InputError, match=words):
        with open_micrograph(tmp_path / "a.tif", 1.5) as micrograph:
            micrograph.read()


def test_pages_of_different_size_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image((6, 8)))
        writer.write(image((7, 8)))
    with open_micrograph(tmp_path / "a.tif", 1.5) as micrograph:
        micrograph.read(0)
        with pytest.raises(InputError, match="page 2 has another size"):
            micrograph.read(1)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("xmipp_klh/KLH.tif", (844, 760)), ("lowdose_tem_pairs/val_0001.tif", (512, 512))],
)
def test_real_files(name, shape):
    path = real(name)
    with open_micrograph(path, 2.0) as micrograph:
        assert micrograph.shape == shape
        np.testing.assert_array_equal(micrograph.read(), tifffile.imread(path))
