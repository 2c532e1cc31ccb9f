import bz2
import gzip
import tracemalloc
import warnings

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nt2c.core.errors import InputError
from nt2c.io.micrographs import open_micrograph
from nt2c.io.mrc_header import HEADER_BYTES
from tests.io.make import DATA, image, patch, real, write_mrc

DTYPES = [np.int8, np.int16, np.float32, np.uint16, np.float16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_mode_and_byte_order(tmp_path, dtype, order):
    values = image(dtype=dtype) - dtype(40)
    path = write_mrc(tmp_path / "a.mrc", values.astype(np.dtype(dtype).newbyteorder(order)))
    with open_micrograph(path) as micrograph:
        assert micrograph.shape == (6, 8)
        assert micrograph.sections == 1
        assert micrograph.pixel_size_a == 1.5
        assert micrograph.warnings == ()
        read = micrograph.read()
    assert read.dtype == np.float32
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["a.mrc", "compressed_but_not_called_so.mrc"])
def test_compressed(tmp_path, compress, name):
    stack = image((3, 6, 8))
    plain = write_mrc(tmp_path / "plain.mrc", stack)
    path = tmp_path / name
    path.write_bytes(compress(plain.read_bytes()))
    with open_micrograph(path) as micrograph:
        for section in (2, 0, 1):
            np.testing.assert_array_equal(micrograph.read(section), stack[section])


def test_bytes_are_unsigned_when_imod_says_so(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_mrc(tmp_path / "a.mrc", values.view(np.int8))
    stamp = (1146047817).to_bytes(4, "little")
    for flags, expected in [(0, values), (1, values.view(np.int8)), (4, values)]:
        patch(path, 152, stamp + flags.to_bytes(4, "little"))
        with open_micrograph(path) as micrograph:
            np.testing.assert_array_equal(micrograph.read(), expected)


def test_bytes_are_unsigned_when_the_stored_maximum_cannot_be_signed(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_mrc(tmp_path / "a.mrc", values.view(np.int8))
    patch(path, 76, np.array([0, 255], "<f4").tobytes())
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)


def _stored_as(path, values, unsigned, statistics):
    """Write integers with the bytes of `values` in mode 0 or 1, and extremes of the header."""
    signed = values.astype(f"u{values.dtype.itemsize}" if unsigned else values.dtype)
    write_mrc(path, signed.view(f"i{values.dtype.itemsize}"))
    return patch(path, 76, np.array(statistics, "<f4").tobytes())


UNSET = [(0, 0, 0), (0, -1, -2)]  # nothing there, and MRC2014's way to say so


@pytest.mark.parametrize("statistics", UNSET)
@pytest.mark.parametrize(
    ("dtype", "mean", "deviation"),
    [("u1", 128, 20), ("u1", 110, 12), ("u1", 100, 60), ("u2", 33000, 900), ("u2", 30000, 9000)],
)
def test_unsigned_integers_are_known_by_their_pixels(tmp_path, dtype, mean, deviation, statistics):
    values = np.random.default_rng(0).normal(mean, deviation, (128, 128))
    limits = np.iinfo(dtype)
    values = np.clip(values, limits.min, limits.max).astype(dtype)
    path = _stored_as(tmp_path / "a.mrc", values, True, statistics)
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)
        assert "taken for unsigned" in micrograph.warnings[0]


@pytest.mark.parametrize("statistics", [*UNSET, (0, 255, 100)])
@pytest.mark.parametrize(
    ("dtype", "mean", "deviation"),
    [("i1", 0, 20), ("i1", 20, 12), ("i1", -10, 70), ("i2", 0, 900), ("i2", 10, 14000),
     ("i2", 1500, 20), ("i1", 40, 3), ("i2", 0, 1)],
)  # fmt: skip
def test_signed_integers_are_known_by_their_pixels(tmp_path, dtype, mean, deviation, statistics):
    values = np.random.default_rng(0).normal(mean, deviation, (128, 128))
    limits = np.iinfo(dtype)
    values = np.clip(values, limits.min, limits.max).astype(dtype)
    path = _stored_as(tmp_path / "a.mrc", values, False, statistics)
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values)


def test_the_flag_of_imod_counts_before_the_pixels(tmp_path):
    values = np.random.default_rng(0).normal(0, 20, (64, 64)).astype("i1")
    path = _stored_as(tmp_path / "a.mrc", values, False, (0, 0, 0))
    patch(path, 152, (1146047817).to_bytes(4, "little") + bytes(4))
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), values.view("u1"))


def test_an_extended_header_may_be_promised_and_not_be_there(tmp_path):
    path = patch(write_mrc(tmp_path / "a.mrc", image()), 92, (160).to_bytes(4, "little"))
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), image())
        assert "160 bytes more, which are not there" in micrograph.warnings[0]


def test_the_extended_header_is_skipped(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", image())
    with mrcfile.open(path, "r+") as mrc:
        mrc.set_extended_header(np.frombuffer(b"x" * 160, "V80"))
    with open_micrograph(path) as micrograph:
        assert micrograph.reader.extended_header == b"x" * 160
        np.testing.assert_array_equal(micrograph.read(), image())


@pytest.mark.parametrize(
    ("offset", "data", "words"),
    [
        (212, b"\x44\x41\0\0", None),
        (212, b"\x44\x20\x20\x20", None),
        (212, b"\0\0\0\0", "byte order was inferred"),
        (212, b"\0\0\x44\x44", "byte order was inferred"),
        (208, b"\0\0\0\0", "lacks 'MAP'"),
        (208, b"MAP\0", None),
    ],
)
def test_what_real_programs_get_wrong_is_forgiven(tmp_path, offset, data, words):
    path = patch(write_mrc(tmp_path / "a.mrc", image()), offset, data)
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), image())
        assert [words in warning for warning in micrograph.warnings] == ([True] if words else [])


def test_big_endian_is_inferred_without_a_stamp(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", image().astype(">f4"))
    patch(path, 208, bytes(8))
    with open_micrograph(path) as micrograph:
        np.testing.assert_array_equal(micrograph.read(), image())


def test_trailing_bytes_are_ignored_with_a_warning(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", image())
    path.write_bytes(path.read_bytes() + b"tail")
    with open_micrograph(path) as micrograph:
        assert micrograph.warnings == ("4 bytes after the image are ignored",)
        np.testing.assert_array_equal(micrograph.read(), image())


def _volume(path):
    with mrcfile.new(path, image((3, 6, 8))) as mrc:
        mrc.set_volume()
        mrc.voxel_size = 2.0
    return path


def _tomogram_of_imod(path):
    label = b"TILT: Tomographic reconstruction.".ljust(80)
    return patch(write_mrc(path, image((3, 6, 8))), 224, label)


@pytest.mark.parametrize("make", [_volume, _tomogram_of_imod])
def test_a_volume_is_refused_unless_it_is_called_a_stack(tmp_path, make):
    with pytest.raises(InputError, match=r"of 3 slices.*\.mrcs"):
        open_micrograph(make(tmp_path / "a.mrc"))
    with open_micrograph(make(tmp_path / "a.mrcs")) as micrograph:
        assert micrograph.sections == 3
        assert micrograph.warnings == ()


def test_a_stack_is_never_in_memory_as_a_whole(tmp_path):
    section = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    path = write_mrc(tmp_path / "a.mrcs", np.broadcast_to(section, (40, 256, 256)))
    tracemalloc.start()
    with open_micrograph(path) as micrograph:
        for index in range(micrograph.sections):
            micrograph.read(index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * section.nbytes


@pytest.mark.parametrize(
    ("compress", "columns", "sections"),
    [(gzip.compress, 20000, 1), (bz2.compress, 20000, 1), (bz2.compress, 100, 6000),
     (gzip.compress, 40000, 1), (None, 40000, 1)],
)  # fmt: skip
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, compress, columns, sections):
    header = bytearray(_VALID[:HEADER_BYTES])
    header[:12] = np.array([columns, columns, sections], "<i4").tobytes()
    path = tmp_path / "a.mrc"
    if compress:
        path.write_bytes(compress(bytes(header) + bytes(4 << 20)))
    else:
        path.write_bytes(header)
        with path.open("r+b") as file:  # a file of holes
            file.truncate(HEADER_BYTES + 4 * columns**2 * sections)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"which no image does|larger than any micrograph"):
        with open_micrograph(path, 1.0) as micrograph:
            micrograph.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_compressed_image_is_in_memory_once(tmp_path):
    plain = write_mrc(
        tmp_path / "a.mrc", np.arange(3000 * 3000, dtype=np.float32).reshape(3000, -1)
    )
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), 1))
    tracemalloc.start()
    with open_micrograph(path) as micrograph:
        micrograph.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * plain.stat().st_size


@settings(deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=1100),
        st.binary(min_size=40, max_size=40).map(
            lambda start: start + bytes(168) + b"MAP \x44\x44\0\0" + bytes(900)
        ),
        st.tuples(st.integers(0, 220), st.binary(min_size=1, max_size=8)).map(
            lambda change: _VALID[: change[0]] + change[1] + _VALID[change[0] + len(change[1]) :]
        ),
    )
)
def test_any_bytes_give_an_image_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.mrc"
    path.write_bytes(content)
    try:
        with open_micrograph(path, pixel_size_a=1.0) as micrograph:
            assert np.isfinite(micrograph.read()).all()
    except InputError as error:
        assert str(path) in str(error)


def _valid() -> bytes:
    header = np.zeros(HEADER_BYTES // 4, "<i4")
    header[:4] = 8, 6, 1, 2
    content = bytearray(header.tobytes())
    content[208:216] = b"MAP \x44\x44\0\0"
    return bytes(content) + image().tobytes()


_VALID = _valid()


FLAVOURS = [
    ("empiar10146_micrograph.mrc", 1.5, []),
    ("empiar10076_particles.mrcs", None, []),
    ("leginon_stamp_4441.mrc", 1.0, ["exactly 1 A"]),
    ("leginon_stamp_swapped.mrc", 1.0, ["byte order was inferred", "exactly 1 A"]),
    ("leginon_no_map.mrc", None, ["byte order was inferred", "lacks 'MAP'"]),
    ("ucsf1142_motioncor2.mrc", 1.0, ["exactly 1 A"]),
    ("micassess_k2.mrc", 8.0, []),
    ("float16.mrc", 1.1, []),
]


@pytest.mark.parametrize(("name", "pixel_size_a", "warnings_"), FLAVOURS)
def test_flavours_of_real_programs(name, pixel_size_a, warnings_):
    path = DATA / name
    with open_micrograph(path, None if pixel_size_a else 2.0) as micrograph:
        assert micrograph.pixel_size_a == pytest.approx(pixel_size_a or 2.0, rel=1e-3)
        last = micrograph.read(micrograph.sections - 1)
        assert len(micrograph.warnings) == len(warnings_)
        for words, warning in zip(warnings_, micrograph.warnings, strict=True):
            assert words in warning
    np.testing.assert_array_equal(last, _by_mrcfile(path).reshape(-1, *last.shape)[-1])


@pytest.mark.parametrize(
    ("name", "shape", "sections"),
    [
        ("empiar10146/micrographs/May08_03.05.02.mrc", (1200, 1240), 1),
        ("sim_thirdparty/groel_1024_0_noisy.mrc", (1024, 1024), 1),
        ("leginon_ccd/08mar13e_05hl.mrc", (512, 512), 1),
        ("leginon_ccd/pair_test1.mrc", (512, 512), 1),
        ("ucsf1142_k2_bin4/Ucsf_stack_1142_DW.mrc", (927, 959), 1),
        ("stacks/freehand_atpsynthase_parts.mrcs", (128, 128), 50),
        ("stacks/aspire_sample.mrcs", (200, 200), 17),
    ],
)
def test_real_files_agree_with_mrcfile(name, shape, sections):
    path = real(name)
    expected = _by_mrcfile(path)
    with open_micrograph(path, pixel_size_a=2.0) as micrograph:
        assert (micrograph.shape, micrograph.sections) == (shape, sections)
        last = expected if sections == 1 else expected[-1]
        np.testing.assert_array_equal(micrograph.read(sections - 1), last)


def _by_mrcfile(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True) as mrc:
            return mrc.data.astype(np.float32)
