"""A writer of EER files, from the description of the format: BigTIFF with run lengths of pixels."""

import struct
from pathlib import Path

import numpy as np

_SKIP_BITS, _SUBPIXEL_BITS = 7, 4
_METADATA = b"<metadata></metadata>"


def write_eer(path: Path, frames: np.ndarray, integrated: bool = False) -> Path:
    """Write frames (n, y, x) of 0 and 1; `integrated` puts a sum of them, all 9, before them."""
    pages = [(65001, 1, _encode(frame)) for frame in frames]
    if integrated:
        pages.insert(0, (1, 8, np.full(frames[0].shape, 9, np.uint8).tobytes()))
    content = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
    link = 8  # where the offset of the next directory goes
    for number, (compression, bits, data) in enumerate(pages):
        metadata, start = len(content), len(content) + len(_METADATA)
        content += _METADATA + data
        struct.pack_into("<Q", content, link, len(content))
        rows, columns = frames[0].shape
        entries = [
            (256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, bits), (259, 3, 1, compression),
            (262, 3, 1, 1), (273, 16, 1, start), (277, 3, 1, 1), (278, 4, 1, rows),
            (279, 16, 1, len(data)),
        ]  # fmt: skip
        if number == 0:
            entries.append((65001, 7, len(_METADATA), metadata))
        content += struct.pack("<Q", len(entries))
        content += b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
        link = len(content)
        content += bytes(8)
    path.write_bytes(content)
    return path


def _encode(frame: np.ndarray) -> bytes:
    """Run lengths of 7 bits, 127 for as many empty pixels and more; 4 bits for a place in one."""
    bits = ""  # the last one is the first in the file
    before = 0
    for place in np.flatnonzero(frame):
        empty = int(place) - before
        words = ["1" * _SKIP_BITS] * (empty // 127)
        words += [f"{empty % 127:07b}", "0" * _SUBPIXEL_BITS]
        bits = "".join(reversed(words)) + bits
        before = int(place) + 1
    empty = frame.size - before
    bits = f"{empty % 127:07b}" + "1" * _SKIP_BITS * (empty // 127) + bits
    return int(bits, 2).to_bytes(2 * -(-len(bits) // 16), "little")
