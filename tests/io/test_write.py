import datetime

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE, get_ext_header_dtype

from nt2c import __version__
from nt2c.core.errors import InputError
from nt2c.io.micrographs import create_output, open_micrograph, write_micrograph
from nt2c.io.mrc_writer import history_label
from tests.io.make import image, patch, write_mrc


def _copy(source, target, change=lambda values: values, asked_a=None, **options):
    with (
        open_micrograph(source, asked_a) as micrograph,
        create_output(target, micrograph, **options) as output,
    ):
        for section in range(micrograph.sections):
            output.write(section, change(micrograph.read(section)))
    return target


@pytest.mark.parametrize(("float16", "mode"), [(False, 2), (True, 12)])
@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
def test_values_statistics_and_geometry(tmp_path, capsys, shape, float16, mode):
    values = image(shape)
    source = write_mrc(tmp_path / "in.mrcs", values, 1.25)
    target = _copy(source, tmp_path / "out.mrcs", lambda v: v * 2 - 50, float16=float16)
    if not float16:  # the check computes the standard deviation in float16, which overflows
        assert mrcfile.validate(target), capsys.readouterr().out
    with mrcfile.open(target) as mrc:
        expected = values.reshape(-1, 6, 8) * 2 - 50
        np.testing.assert_array_equal(mrc.data.reshape(-1, 6, 8), expected)
        header = mrc.header
        assert header.mode == mode
        assert (header.nx, header.ny, header.nz) == (8, 6, len(expected))
        assert (header.mx, header.my, header.mz, header.ispg) == (8, 6, 1, 0)
        assert header.cella.item() == (10.0, 7.5, 1.25)
        assert header.dmin == expected.min()
        assert header.dmax == expected.max()
        assert header.dmean == pytest.approx(expected.mean(dtype=np.float64), rel=1e-6)
        assert header.rms == pytest.approx(expected.std(dtype=np.float64), rel=1e-6)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None
)
@given(sections=st.integers(1, 3), offset=st.floats(-1e6, 1e6), rows=st.sampled_from([1, 33, 1500]))
def test_statistics_of_any_size_and_offset(tmp_path, sections, offset, rows):
    noise = np.random.default_rng(0).normal(size=(sections, rows, 1000))
    values = (noise + offset).astype(np.float32)
    write_micrograph(tmp_path / "a.mrcs", values, 1.0)
    with mrcfile.open(tmp_path / "a.mrcs", header_only=True) as mrc:
        assert mrc.header.dmean == pytest.approx(values.mean(dtype=np.float64), rel=1e-6)
        assert mrc.header.rms == pytest.approx(values.std(dtype=np.float64), rel=1e-5)


def test_labels_extended_header_and_origin_are_kept(tmp_path):
    source = write_mrc(tmp_path / "in.mrc", image(), 1.5)
    with mrcfile.open(source, "r+") as mrc:
        mrc.set_extended_header(np.frombuffer(bytes(range(160)), "V80"))
        mrc.header.exttyp = b"FEI1"
        mrc.header.origin = (3.0, -6.0, 1.0)
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = 4, -8, 2
        mrc.header.extra2 = bytes(range(84))
        mrc.add_label("aligned by someone")
    target = _copy(source, tmp_path / "out.mrc", label="nt2c was here")
    with mrcfile.open(source) as old, mrcfile.open(target) as new:
        assert new.header.nsymbt == 160
        assert new.header.exttyp == b"FEI1"
        assert new.extended_header.tobytes() == bytes(range(160))
        for name in ("origin", "nxstart", "nystart", "nzstart", "extra2"):
            assert new.header[name] == old.header[name]
        assert new.get_labels() == [*old.get_labels(), "nt2c was here"]
        np.testing.assert_array_equal(new.data, old.data)


def test_a_full_list_of_labels_keeps_the_first_and_the_newest(tmp_path):
    source = write_mrc(tmp_path / "in.mrc", image())
    with mrcfile.open(source, "r+") as mrc:
        mrc.header.label[:] = [f"label {number}".encode() for number in range(10)]
        mrc.header.nlabl = 10
    target = _copy(source, tmp_path / "out.mrc", label="new")
    with mrcfile.open(target) as mrc:
        kept = [f"label {number}" for number in (0, *range(2, 10))]
        assert mrc.get_labels() == [*kept, "new"]


def test_the_history_label_fits_and_keeps_its_date():
    today = datetime.date.today().isoformat()
    assert history_label("denoise model=x") == f"nt2c {__version__} denoise model=x {today}"
    long = history_label("denoise model=" + "x" * 100)
    assert len(long) == 80
    assert long.endswith(f"xxx {today}")


def test_another_sampling(tmp_path):
    source = write_mrc(tmp_path / "in.mrc", image((6, 8)), 1.5)
    with mrcfile.open(source, "r+") as mrc:
        mrc.header.origin = (3.0, -6.0, 0.0)
        mrc.header.nxstart, mrc.header.nystart = 4, -8
    target = _copy(
        source, tmp_path / "out.mrc", lambda v: v[::2, ::2], shape=(3, 4), pixel_size_a=3.0
    )
    with mrcfile.open(target) as mrc:
        assert mrc.voxel_size.item() == (3.0, 3.0, 3.0)
        assert mrc.header.cella.item() == (12.0, 9.0, 3.0)
        assert mrc.header.origin.item() == (3.0, -6.0, 0.0), "a length in angstrom"
        assert (mrc.header.nxstart, mrc.header.nystart) == (2, -4)


def test_a_corrected_pixel_size_scales_the_origin(tmp_path):
    source = write_mrc(tmp_path / "in.mrc", image(), 0.5)
    with mrcfile.open(source, "r+") as mrc:
        mrc.header.origin = (3.0, -6.0, 0.0)
    target = _copy(source, tmp_path / "out.mrc", asked_a=2.0)
    with mrcfile.open(target) as mrc:
        assert mrc.voxel_size.item() == (2.0, 2.0, 2.0)
        assert mrc.header.origin.item() == (12.0, -24.0, 0.0)


@pytest.mark.parametrize("dtype", [">i2", "i1"])
def test_big_endian_input_gives_big_endian_output(tmp_path, capsys, dtype):
    source = write_mrc(tmp_path / "in.mrc", image().astype(dtype))
    if dtype == "i1":
        content = source.read_bytes()
        header = np.frombuffer(content[:1024], HEADER_DTYPE)
        swapped = header.astype(header.dtype.newbyteorder(">")).tobytes()
        source.write_bytes(swapped + content[1024:])
        patch(source, 212, b"\x11\x11\0\0")
    target = _copy(source, tmp_path / "out.mrc", label="x")
    assert mrcfile.validate(target), capsys.readouterr().out
    with mrcfile.open(target) as mrc:
        assert mrc.header.machst.tolist() == [0x11, 0x11, 0, 0]
        np.testing.assert_array_equal(mrc.data, image())


def test_a_forgiven_input_gives_a_valid_output(tmp_path, capsys):
    source = patch(write_mrc(tmp_path / "in.mrc", image()), 208, bytes(8))
    target = _copy(source, tmp_path / "out.mrc")
    assert mrcfile.validate(target), capsys.readouterr().out


def test_nothing_partial_is_left(tmp_path):
    source = write_mrc(tmp_path / "in.mrcs", image((2, 6, 8)))
    target = tmp_path / "out.mrcs"
    with open_micrograph(source) as micrograph:
        with pytest.raises(KeyboardInterrupt), create_output(target, micrograph) as output:
            output.write(0, micrograph.read(0))
            raise KeyboardInterrupt
        with pytest.raises(ValueError, match="1 of 2 sections"):
            with create_output(target, micrograph) as output:
                output.write(0, micrograph.read(0))
        with pytest.raises(ValueError, match="expected section 0"):
            with create_output(target, micrograph) as output:
                output.write(1, micrograph.read(0))
        with pytest.raises(ValueError, match="shape"):
            with create_output(target, micrograph) as output:
                output.write(0, np.ones((6, 9)))
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("value", "float16", "words"),
    [(np.nan, False, "not finite"), (np.inf, False, "not finite"), (7e4, True, "write float32")],
)
def test_values_that_cannot_be_stored_are_refused(tmp_path, value, float16, words):
    values = image()
    values[1, 1] = value
    with pytest.raises(InputError, match=words):
        write_micrograph(tmp_path / "a.mrc", values, 1.0, float16=float16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mean", "fits"), [(0.0, True), (1e3, True), (5e4, False), (-5e4, False), (1e-7, False)]
)
def test_float16_is_refused_where_it_is_too_coarse(tmp_path, mean, fits):
    spread = 1e-7 if mean == 1e-7 else 100.0
    noise = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    values = mean + spread * noise
    if fits:
        write_micrograph(tmp_path / "a.mrcs", values, 1.0, float16=True)
        with mrcfile.open(tmp_path / "a.mrcs") as mrc:
            error = mrc.data.astype(np.float32) - values
        assert error.std() < 0.03 * spread
    else:
        with pytest.raises(InputError, match=r"too coarse.*leave out --float16"):
            write_micrograph(tmp_path / "a.mrcs", values, 1.0, float16=True)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_pixel_size_in_an_extended_header_is_that_of_the_output(tmp_path, kind, order):
    dtype = get_ext_header_dtype(kind, order)
    records = np.zeros(3, dtype)  # one for each image, and space for one more
    records["Metadata size"][:2] = dtype.itemsize
    records["Pixel size X"][:2] = records["Pixel size Y"][:2] = 1.5e-10
    records["Dose"] = 40.0
    source = write_mrc(tmp_path / "in.mrcs", image((2, 6, 8)).astype(f"{order}f4"), 1.5)
    with mrcfile.open(source, "r+") as mrc:
        mrc.set_extended_header(np.frombuffer(records.tobytes(), "V1"))
        mrc.header.exttyp = kind
    target = _copy(
        source, tmp_path / "out.mrcs", lambda v: v[::2, ::2], shape=(3, 4), pixel_size_a=3.0
    )
    with open_micrograph(target) as micrograph:
        found = np.frombuffer(micrograph.reader.extended_header, dtype)
    np.testing.assert_allclose(found["Pixel size X"], [3e-10, 3e-10, 0])
    np.testing.assert_allclose(found["Pixel size Y"], [3e-10, 3e-10, 0])
    np.testing.assert_array_equal(found["Dose"], 40.0)


def test_an_extended_header_that_is_not_there_is_not_promised(tmp_path, capsys):
    source = patch(write_mrc(tmp_path / "in.mrc", image()), 92, (160).to_bytes(4, "little"))
    target = _copy(source, tmp_path / "out.mrc")
    assert mrcfile.validate(target), capsys.readouterr().out
    with mrcfile.open(target) as mrc:
        assert mrc.header.nsymbt == 0
        np.testing.assert_array_equal(mrc.data, image())


def test_write_micrograph_reads_back(tmp_path, capsys):
    write_micrograph(tmp_path / "a.mrc", image(), 0.885, label="made")
    assert mrcfile.validate(tmp_path / "a.mrc"), capsys.readouterr().out
    with open_micrograph(tmp_path / "a.mrc") as micrograph:
        assert micrograph.pixel_size_a == 0.885
        np.testing.assert_array_equal(micrograph.read(), image())
