"""Whatever a .cs file holds, reading it ends in a table or in an error that names the file."""

import io
import struct
import zipfile

import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.io.cs import cs_bytes, read_cs, texts, with_fields

TABLE = np.array([(1, b"a.mrc"), (2, b"b.mrc")], [("uid", "<u8"), ("micrograph_blob/path", "S9")])


def _zipped(whole=True):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("arr_0.npy", cs_bytes(TABLE))
    return content.getvalue()[: None if whole else 60]


def _with_header(text):
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + cs_bytes(TABLE)[-34:]


def _array(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


BAD = {
    "empty": b"",
    "signature": b"\x93NUMPY",
    "zip": _zipped(),
    "broken zip": _zipped(whole=False),
    "other format": b"\x94CSDAT" + bytes(100),
    "cut": cs_bytes(TABLE)[:-1],
    "pickle": _array(np.array([{"a": 1}], object)),
    "scalar": _array(np.float64(1)),
    "plain": _array(np.zeros(3)),
    "two axes": _array(np.zeros((2, 2), TABLE.dtype)),
    "huge": _with_header("{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (10**12,)}"),
    "huge number": _with_header(
        "{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (1000000000000,)}"
    ),
    "negative": _with_header("{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (-1,)}"),
    "no header": _with_header("{'descr'"),
    "deep header": _with_header("[" * 100),
    "odd type": _with_header("{'descr': [('uid', 5)], 'fortran_order': False, 'shape': (1,)}"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_dataset_is_named(tmp_path, kind):
    path = tmp_path / "a.cs"
    path.write_bytes(BAD[kind])
    with pytest.raises(InputError, match=r"a\.cs: .*(not a|no file)"):
        read_cs(path)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_datasets_come_back(tmp_path, count):
    (tmp_path / "a.cs").write_bytes(cs_bytes(TABLE[:count]))
    np.testing.assert_array_equal(read_cs(tmp_path / "a.cs"), TABLE[:count])


def test_names_that_are_no_utf8_stay_what_they_are():
    table = with_fields(TABLE, {"micrograph_blob/path": np.array([b"caf\xe9.mrc", b"b.mrc"])})
    names = texts(table["micrograph_blob/path"], "path")
    assert with_fields(table, {"micrograph_blob/path": names})["micrograph_blob/path"][0] == (
        b"caf\xe9.mrc"
    )


def test_names_with_zero_bytes_are_refused():
    with pytest.raises(InputError, match="path: a text holds a zero byte"):
        texts(np.array([b"a\0b"]), "path")
