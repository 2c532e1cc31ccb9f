"""Every file that cannot be used is named, with what is wrong and what to do."""

import bz2
import gzip
import os

import numpy as np
import pytest

from nt2c.core.errors import InputError
from nt2c.io.micrographs import open_micrograph
from nt2c.io.mrc import MrcReader
from tests.io.make import image, patch, write_mrc


def _int(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


def _patched(*places):
    def make(path):
        write_mrc(path, image())
        for offset, data in zip(places[::2], places[1::2], strict=True):
            patch(path, offset, data)

    return make


def _cut(count):
    def make(path):
        write_mrc(path, image())
        path.write_bytes(path.read_bytes()[:-count])

    return make


def _compressed(compress, cut):
    def make(path):
        noise = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
        content = compress(write_mrc(path, noise).read_bytes())
        path.write_bytes(content[:-cut])

    return make


def _spoilt(value):
    def make(path):
        values = image()
        values[2, 3] = value
        write_mrc(path, values)

    return make


BAD = {
    "empty": (lambda path: path.write_bytes(b""), ["empty file", "copy"]),
    "missing": (lambda path: None, ["no such file", "check the path"]),
    "folder": (lambda path: path.mkdir(), ["a folder"]),
    "header_only": (_cut(6 * 8 * 4), ["truncated", "need 1216 bytes", "has 1024", "copy"]),
    "one_byte_short": (_cut(1), ["truncated", "need 1216 bytes", "has 1215", "copy"]),
    "half_header": (_cut(800), ["truncated", "416 bytes"]),
    "text": (lambda path: path.write_text("hello world\n" * 200), ["not an MRC file", "give"]),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), ["not an MRC file"]),
    "no_map_and_short": (
        lambda path: patch(patch(write_mrc(path, image()), 208, bytes(8)), 0, _int(99)),
        ["not an MRC file"],
    ),
    "constant": (lambda path: write_mrc(path, np.full((6, 8), 7, "f4")), ["every pixel is 7"]),
    "nan": (_spoilt(np.nan), ["1 pixels are not finite", "repair"]),
    "inf": (_spoilt(np.inf), ["1 pixels are not finite"]),
    "minus_inf": (_spoilt(-np.inf), ["1 pixels are not finite"]),
    "complex64": (lambda path: write_mrc(path, image(dtype=np.complex64)), ["mode 4", "complex"]),
    "complex_int16": (_patched(12, _int(3)), ["mode 3", "complex", "real space"]),
    "packed": (_patched(12, _int(101)), ["mode 101", "packed 4-bit", "newstack"]),
    "mode_16": (_patched(12, _int(16)), ["mode 16"]),
    "packed_bytes_of_imod": (
        _patched(12, _int(0), 152, _int(1146047817) + _int(16)),
        ["mode 101", "packed 4-bit"],
    ),
    "pipe": (os.mkfifo, ["named pipe", "regular file"]),
    "unknown_mode": (_patched(12, _int(55)), ["header is damaged", "mode 55"]),
    "negative_size": (_patched(0, _int(-8)), ["header is damaged", "-8 x 6 x 1"]),
    "zero_size": (_patched(4, _int(0)), ["header is damaged", "8 x 0 x 1"]),
    "huge_size": (_patched(0, _int(1 << 28)), ["header is damaged"]),
    "negative_extended_header": (_patched(92, _int(-1)), ["header is damaged"]),
    "other_byte_order_stamp": (_patched(212, b"\x11\x11\0\0"), ["wrong machine stamp 11 11 00 00"]),
    "unknown_stamp": (_patched(212, b"\xff\xfe\0\0"), ["unknown machine stamp ff fe", "213-216"]),
    "gzip_cut": (_compressed(gzip.compress, 100), ["truncated", "image 1 of 1", "copy"]),
    "bzip2_cut": (_compressed(bz2.compress, 100), ["truncated", "copy"]),
    "gzip_of_nothing": (lambda path: path.write_bytes(gzip.compress(b"")), ["truncated"]),
    "gzip_damaged": (
        lambda path: patch(_gz(path), 1500, b"\xff" * 64),
        ["damaged data", "copy it again"],
    ),
    "tiff_head": (lambda path: path.write_bytes(b"II*\0\x08\0\0\0"), ["TIFF", "copy"]),
    "no_pixel_size": (lambda path: write_mrc(path, image(), 0.0), ["--pixel-size"]),
    "no_grid": (_patched(28, _int(0)), ["--pixel-size"]),
    "nan_cell": (_patched(40, np.float32(np.nan).tobytes()), ["--pixel-size"]),
}


def _gz(path):
    _compressed(gzip.compress, 1)(path)
    return path


@pytest.mark.parametrize("kind", BAD)
def test_bad_file(tmp_path, kind):
    make, words = BAD[kind]
    path = tmp_path / f"{kind}.mrc"
    make(path)
    with pytest.raises(InputError) as caught, open_micrograph(path) as micrograph:
        micrograph.read()
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_no_permission(tmp_path, monkeypatch):
    path = write_mrc(tmp_path / "a.mrc", image())

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"a\.mrc: no permission"):
        open_micrograph(path)


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyError(3), MemoryError(), OSError(5, "I/O")]
)
def test_whatever_a_reader_raises_is_the_fault_of_the_file(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    path = write_mrc(tmp_path / "a.mrc", image())
    with open_micrograph(path) as micrograph:
        monkeypatch.setattr(MrcReader, "read", fail)
        with pytest.raises(InputError, match=r"a\.mrc: "):
            micrograph.read()
    monkeypatch.setattr("nt2c.io.mrc.parse_header", fail)
    with pytest.raises(InputError, match=r"a\.mrc: "):
        open_micrograph(path)


def test_eer(tmp_path):
    (tmp_path / "a.eer").write_bytes(b"II+\0 and so on")
    with pytest.raises(InputError, match="motion-corrected sum"):
        open_micrograph(tmp_path / "a.eer")


def test_one_bad_image_of_a_stack_is_named(tmp_path):
    stack = image((3, 6, 8))
    stack[1, 2, 3] = np.nan
    with open_micrograph(write_mrc(tmp_path / "a.mrcs", stack)) as micrograph:
        micrograph.read(0)
        with pytest.raises(InputError, match="image 2: 1 pixels are not finite"):
            micrograph.read(1)
