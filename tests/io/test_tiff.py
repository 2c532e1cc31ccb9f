import struct
import tracemalloc

import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nt2c.core.errors import InputError
from nt2c.io.micrographs import create_output, open_micrograph
from tests.io.eer import write_eer
from tests.io.make import DATA, image, real


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
        np.testing.assert_array_equal(read, values[::-1])
        assert micrograph.warnings == ()


@pytest.mark.parametrize("compression", ["lzw", "packbits", "deflate", "zstd"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_compressions(tmp_path, compression, bigtiff):
    values = image((64, 64), "u2")
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, values, compression=compression, bigtiff=bigtiff, rowsperstrip=10)
    with open_micrograph(path, 1.5) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values[::-1])


def test_the_last_row_of_a_tiff_is_the_first_of_an_mrc(tmp_path):
    values = image(dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values)
    with (
        open_micrograph(tmp_path / "a.tif", 1.5) as micrograph,
        create_output(tmp_path / "a.mrc", micrograph, label="x") as output,
    ):
        output.write(0, micrograph.read())
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        np.testing.assert_array_equal(mrc.data, values[::-1])
        assert mrc.voxel_size.x == 1.5
        assert mrc.get_labels() == ["x"]


def test_rows_as_cryosparc_has_them(tmp_path):
    values = image(dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", values)
    with open_micrograph(tmp_path / "a.tif", 1.5, tiff_top_first=True) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)


def test_four_bits_of_serialem(tmp_path):
    columns, rows = 3838, 7420
    stored = np.tile(image((rows, 19), "u1") * np.uint8(2), 202)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    with open_micrograph(tmp_path / "a.tif", 0.5) as micrograph:
        assert micrograph.shape == (rows, 2 * columns)
        read = micrograph.read()[::-1]
    np.testing.assert_array_equal(read[:, 0::2], stored & 15)
    np.testing.assert_array_equal(read[:, 1::2], stored >> 4)


@pytest.mark.parametrize(
    ("columns", "rows", "dtype", "packed"),
    [
        (5760, 8184, "u1", True),
        (8184, 5760, "u1", True),
        (4092, 11520, "u1", True),
        (11520, 4092, "u1", True),
        (3710, 7676, "u1", True),
        (7676, 3710, "u1", True),
        (7420, 3838, "u1", True),
        (5760, 4092, "u1", False),
        (11520, 8184, "u1", False),
        (3838, 7420, "u2", False),
    ],
)
def test_four_bits_are_known_by_the_size(tmp_path, columns, rows, dtype, packed):
    tifffile.memmap(tmp_path / "a.tif", shape=(rows, columns), dtype=dtype)  # a file of holes
    with open_micrograph(tmp_path / "a.tif", 0.5) as micrograph:
        assert micrograph.shape == (rows, 2 * columns if packed else columns)


def test_pages_are_sections(tmp_path):
    values = image((3, 6, 8))
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    with open_micrograph(tmp_path / "a.tif", 1.5) as micrograph:
        assert micrograph.sections == 3
        np.testing.assert_array_equal(micrograph.read(2), values[2, ::-1])


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


def test_a_part_of_a_real_file():
    path = DATA / "lowdose_tem.tif"
    with open_micrograph(path, 2.0) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), tifffile.imread(path)[::-1])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("xmipp_klh/KLH.tif", (844, 760)), ("lowdose_tem_pairs/val_0001.tif", (512, 512))],
)
def test_real_files(name, shape):
    path = real(name)
    with open_micrograph(path, 2.0) as micrograph:
        assert micrograph.shape == shape
        np.testing.assert_array_equal(micrograph.read(), tifffile.imread(path)[::-1])


def _entries(content):
    """Yield the offset of each entry of the first directory of a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    return [start + 2 + 12 * index for index in range(count)]


def _reads_or_is_refused(path, content):
    path.write_bytes(content)
    try:
        with open_micrograph(path, 1.5) as micrograph:
            assert np.isfinite(micrograph.read()).all()
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_malformed_tags_are_the_fault_of_the_file(tmp_path, compression):
    tifffile.imwrite(
        tmp_path / "a.tif", image((64, 64), "u1"), compression=compression, resolution=(1e8, 1e8)
    )
    valid = (tmp_path / "a.tif").read_bytes()
    for place in _entries(valid):
        for kind in (0, 2, 3, 4, 5, 11, 12, 99):
            for value in (0, 1, 0xFFFFFFFF):
                for count in (0, 2, 0xFFFFFFFF):
                    spoilt = bytearray(valid)
                    struct.pack_into("<HII", spoilt, place + 2, kind, count, value)
                    _reads_or_is_refused(tmp_path / "b.tif", spoilt)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(place=st.integers(0, 400), data=st.binary(min_size=1, max_size=12), kind=st.booleans())
def test_any_bytes_give_an_image_or_an_input_error(tmp_path, place, data, kind):
    path = tmp_path / "a.tif"
    if kind:
        write_eer(path, image((16, 16), "u1")[np.newaxis] > 90)
    else:
        tifffile.imwrite(path, image((16, 16), "u1"), compression="deflate")
    content = bytearray(path.read_bytes())
    content[place : place + len(data)] = data
    _reads_or_is_refused(path, content)


def test_a_directory_that_names_itself_as_the_next_ends(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((16, 16), "u1"))
    content = bytearray((tmp_path / "a.tif").read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    struct.pack_into("<I", content, _entries(content)[-1] + 12, start)
    _reads_or_is_refused(tmp_path / "a.tif", content)


def _bomb(path, shape, dtype, tile=None):
    with tifffile.TiffWriter(path) as writer:
        rows, columns = tile or shape
        chunk = imagecodecs.zlib_encode(bytes(rows * columns * np.dtype(dtype).itemsize))
        writer.write(
            iter([chunk]), shape=shape, dtype=dtype, compression="zlib", tile=tile,
            rowsperstrip=None if tile else rows,
        )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "tile"),
    [((5000, 5000), "f4", None), ((16, 16), "f4", (5008, 5008))],
)
def test_a_decompression_bomb_is_refused_before_memory_is_taken(tmp_path, shape, dtype, tile):
    path = _bomb(tmp_path / "a.tif", shape, dtype, tile)
    assert path.stat().st_size < 1e6
    tracemalloc.start()
    with pytest.raises(InputError, match="no image"):
        with open_micrograph(path, 1.5) as micrograph:
            micrograph.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
