"""Damage done to sound files: at random, from a seed, and by hand, where it hurts most."""

import bz2
import io
import itertools
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.robustness import sound
from tests.robustness.readers import Kind, kinds

Make = Callable[[], bytes]

_WORDS = [
    *(b"nan", b"inf", b"-1", b"0", b"1e999", b"9" * 20, b"null", b"true", b"{}", b"[]", b"<NA>"),
    *(b"''", b'"', b"'", b"#", b"$x", b"[" * 50, b"{" * 50, b"\0", b"\xff\xfe", b"\xc2\xb5"),
    *(b"\n", b"\r", b"\t", b"   ", b"\n;\n", b"loop_", b"data_", b"save_x", b"stop_", b"_"),
    *(b"_rlnMicrographName", b"../../../etc/passwd", b"/", b"1979-05-27", "漢\u2028".encode()),
]
_NUMBERS = [0, 1, -1, 2, 3, 7, 255, 256, 65535, 10**5, 2**16, 2**18 + 1, 2**24, 2**30, 2**31 - 1]
_FLOATS = [float("nan"), float("inf"), -1.0, 0.0, 1e38, 1e-38]
_HEAD = 1500  # bytes at the start of a binary file where most of the damage goes


def damaged(kind: str, number: int, seed: int, folder: Path) -> bytes:
    """Return a file of a kind with one to eight faults, made from its number alone."""
    chance = random.Random(f"{seed} {kind} {number}")
    what = kinds(folder)[kind]
    content = bytearray(chance.choice(what.sound))
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        if content:
            content = _fault(content, what, chance)
    return what.file(bytes(content))


def _fault(content: bytearray, kind: Kind, chance: random.Random) -> bytearray:
    at = chance.randrange(len(content))
    if not kind.text and chance.random() < 0.7:
        at = chance.randrange(min(len(content), _HEAD))
        at = len(content) - 1 - at if chance.random() < 0.2 else at  # TIFF has directories there
    faults: list[Callable[[bytearray, int, random.Random], object]]
    faults = [_flip, _flip, _byte, _cut, _grow, _swap, _zero, _repeat, _word]
    faults += [_word, _word, _word, _lines] if kind.text else [_number, _number, _float]
    chance.choice(faults)(content, at, chance)
    return content


def _flip(content: bytearray, at: int, chance: random.Random) -> None:
    content[at] ^= 1 << chance.randrange(8)


def _byte(content: bytearray, at: int, chance: random.Random) -> None:
    content[at] = chance.randrange(256)


def _cut(content: bytearray, at: int, chance: random.Random) -> None:
    del content[at : at + chance.choice([1, 4, 100, len(content)])]


def _grow(content: bytearray, at: int, chance: random.Random) -> None:
    content += chance.randbytes(chance.choice([1, 100, 5000]))


def _swap(content: bytearray, at: int, chance: random.Random) -> None:
    other = chance.randrange(len(content))
    one, two = content[at : at + 8], content[other : other + 8]
    content[at : at + 8], content[other : other + 8] = two, one


def _zero(content: bytearray, at: int, chance: random.Random) -> None:
    count = chance.choice([1, 4, 16, 200])
    content[at : at + count] = bytes(count)


def _repeat(content: bytearray, at: int, chance: random.Random) -> None:
    content[at:at] = content[at : at + chance.choice([2, 12, 100])]


def _word(content: bytearray, at: int, chance: random.Random) -> None:
    content[at : at + chance.choice([0, 0, 1, 4])] = chance.choice(_WORDS)


def _number(content: bytearray, at: int, chance: random.Random) -> None:
    at -= at % chance.choice([1, 2, 4])
    value = chance.choice([*_NUMBERS, chance.getrandbits(31)])
    size = chance.choice([2, 4, 4, 8])
    raw = (value % 256**size).to_bytes(size, chance.choice(["little", "big"]))
    content[at : at + size] = raw


def _float(content: bytearray, at: int, chance: random.Random) -> None:
    at -= at % 4
    content[at : at + 4] = struct.pack(chance.choice("<>") + "f", chance.choice(_FLOATS))


def _lines(content: bytearray, at: int, chance: random.Random) -> None:
    lines = bytes(content).split(b"\n")
    line = lines.pop(chance.randrange(len(lines)))
    for _ in range(chance.choice([0, 2, 3])):
        lines.insert(chance.randrange(len(lines) + 1), line)
    content[:] = b"\n".join(lines)


def handmade(folder: Path) -> Iterator[tuple[str, str, Make]]:
    """Yield kind, name and maker of hostile files; one fault each."""
    for kind, named in {
        "mrc": _mrc(),
        "gzip": _gzip(),
        "bzip2": {"bomb": lambda: _bomb(bz2.BZ2Compressor(1), 0.6, _header(nx=16000, ny=16000))},
        "tiff": _tiff(),
        "frames": {"100k-pages": lambda: _pages(100_000)},
        "star": _star(folder),
        "coords": _coordinates(),
        "listing": {"traversal": _in(sound.LISTING, "AutoPick/job001/good_auto", "../../victim")},
        "topaz": _cells(sound.TOPAZ, "\t1\t", "good"),
        "box": _cells(sound.BOX, "1\t", "10\n"),
        "cbox": _cells(sound.CBOX, "1.0 ", "<NA>"),
        "cs": _cs(folder),
        "model": _model(kinds(folder)["model"].sound[0]),
        "recipe": _recipe(),
        "summary": _summary(folder),
        "log": {"long": lambda: b"a" * 10**8, "deep": lambda: _DEEP + b"\n"},
        "pdb": _cells(sound.PDB, "   1.000", "ALA"),
        "pdb-gz": {"bomb": lambda: _bomb(_gz(), 1.0, b"HEADER\n")},
        "cif": _cells(sound.CIF, "1 2 3", "ALA")
        | {"loops": lambda: b"data_x\n" + b"loop_\n" * 10**5},
        "map": _map(),
        "map-gz": {},
    }.items():
        for name, make in named.items():
            yield kind, name, make
    for kind, (name, content) in itertools.product(kinds(folder), _NOTHING.items()):
        yield kind, name, lambda content=content: content


_NOTHING = {
    "empty": b"",
    "byte": b"\0",
    "noise": random.Random(1).randbytes(20_000),
    "zeros": bytes(20_000),
    "newlines": b"\n" * 20_000,
    "ones": b"\xff" * 20_000,
}
_DEEP = b"[" * 100_000 + b"]" * 100_000
_ODD: list[Any] = [
    None,
    0,
    -1,
    1e308,
    10**30,
    "",
    "a",
    "a\0b",
    [],
    {},
    [None],
    [[1]],
    {"a": 1},
    "../x",
]


def _in(text: str, old: str, new: str | bytes) -> Make:
    assert old in text
    new = new if isinstance(new, bytes) else new.encode()
    return lambda: text.encode().replace(old.encode(), new, 1)


def _cells(text: str, number: str, name: str) -> dict[str, Make]:
    """Put odd things in the place of a number and of a name."""
    odd = ["nan", "inf", "-inf", "1e999", "9" * 400, "abc", "", "\0", b"\xb5", "a" * 10**6]
    return {
        f"{place}-{i}": _in(text, old, new)
        for place, old in (("number", number), ("name", name))
        for i, new in enumerate(odd)
    }


def _gz() -> Any:
    return zlib.compressobj(1, zlib.DEFLATED, 31)


def _bomb(packer: Any, gigabytes: float, head: bytes = b"") -> bytes:
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(int(1024 * gigabytes))]
    return b"".join([*parts, packer.flush()])


# MRC


_FIELDS = {"nx": 0, "ny": 4, "nz": 8, "mode": 12, "mx": 28, "my": 32, "mz": 36, "mapc": 64}
_FIELDS |= {"ispg": 88, "nsymbt": 92, "nlabl": 220, "cx": 40, "cy": 44, "machst": 212}


def _header(content: bytes | None = None, **fields: float) -> bytes:
    raw = bytearray((content or sound.mrc())[:1024])
    for name, value in fields.items():
        struct.pack_into("<f" if name in ("cx", "cy") else "<i", raw, _FIELDS[name], value)
    return bytes(raw)


def _mrc() -> dict[str, Make]:
    whole = [0, -1, 1, 7, 2**16, 2**18, 2**24, 2**30, 2**31 - 1, -(2**31)]
    body = sound.mrc()[1024:]
    made: dict[str, Make] = {
        f"{name}-{value}": lambda name=name, value=value: _header(**{name: value}) + body
        for name in _FIELDS
        for value in (_FLOATS if name in ("cx", "cy") else whole)
    }
    made["square"] = lambda: _header(nx=2**18, ny=2**18) + body
    made["not-finite"] = lambda: _header() + b"\xff" * len(body)
    made["largest"] = lambda: _header() + struct.pack("<2f", 3.4e38, -3.4e38) * (len(body) // 8)
    return made


def _map() -> dict[str, Make]:
    small = sound.mrc(6, volume=True)
    return {
        f"{name}-{value}": lambda n=name, v=value: _header(small, **{n: v}) + small[1024:]
        for name in _FIELDS
        for value in ((float("nan"), -1.0) if name in ("cx", "cy") else (0, -1, 2**14, 2**31 - 1))
    }


def _gzip() -> dict[str, Make]:
    body = sound.mrc()
    pack = lambda content: sound.compressed(content)[0]  # noqa: E731
    return {
        "claims": lambda: pack(_header(nx=2**18, ny=2**18) + bytes(1000)),
        "bomb": lambda: _bomb(_gz(), 1.0, _header(nx=16000, ny=16000)),
        "bomb-behind": lambda: _bomb(_gz(), 1.1, body),
        "bomb-extended": lambda: _bomb(_gz(), 1.1, _header(nsymbt=2**30)),
        "bomb-sections": lambda: _bomb(_gz(), 0.5, _header(nz=2**24, nx=16, ny=16)),
        "twice": lambda: pack(pack(body)),
        "of-nothing": lambda: pack(b""),
        "head": lambda: b"\x1f\x8b",
        "two-members": lambda: pack(body[:2000]) + pack(body[2000:]),
        "checksum": lambda: pack(body)[:-8] + bytes(8),
    }


# TIFF


_TAGS = {256: (4, 1, 48), 257: (4, 1, 48), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
_TAGS |= {273: (4, 1, 400), 277: (3, 1, 1), 278: (4, 1, 48), 279: (4, 1, 2304)}


def _directory(tags: dict[int, tuple[int, int, int]], following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _one_page(tags: dict[int, Any], *, following: int = 0, tail: bytes = b"") -> bytes:
    kept = {tag: entry for tag, entry in (_TAGS | tags).items() if entry}
    head = b"II*\0" + struct.pack("<I", 8) + _directory(kept, following)
    return head.ljust(400, b"\0") + bytes(range(256)) * 9 + tail


def _pages(count: int) -> bytes:
    tags, size = _TAGS | {273: (4, 1, 8)}, 6 + 12 * len(_TAGS)
    start = 8 + 2304
    directories = [
        _directory(tags, start + size * (i + 1) if i + 1 < count else 0) for i in range(count)
    ]
    return b"II*\0" + struct.pack("<I", start) + bytes(range(256)) * 9 + b"".join(directories)


def _tiff() -> dict[str, Make]:
    values = [None, (3, 1, 0), (3, 2, 0x00030003), (2, 4, 0x41414141), (4, 1, 2**31 - 1)]
    values += [(4, 1, 40000), (11, 1, 0x7FC00000), (5, 1, 400), (5, 1, 10**9), (4, 2**28, 400)]
    made: dict[str, Make] = {
        f"{tag}-{i}": lambda tag=tag, value=value: _one_page({tag: value, **extra(tag)})
        for tag in (*_TAGS, 282, 296, 339, 32997)
        for i, value in enumerate(values)
    }
    for side in (30_000, 40_000, 100_000):
        tags = {256: (4, 1, side), 257: (4, 1, side), 278: (4, 1, side)}
        made[f"side-{side}"] = lambda tags=tags: _one_page(tags)
        empty = tags | {273: (4, 1, 0), 279: (4, 1, 0)}
        made[f"side-{side}-empty"] = lambda empty=empty: _one_page(empty)
        made[f"side-{side}-rows"] = lambda tags=tags: _one_page(tags | {278: (4, 1, 1)})
    made["bomb"] = _tiff_bomb
    descriptions = {
        "imagej": b"ImageJ=1.11a\nimages=2000000000\nframes=2000000000\nhyperstack=true\n\0",
        "shaped": b'{"shape": [1000000, 48, 48]}\0',
        "ome": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaa">]><OME xmlns="x">&a;</OME>\0',
    }
    for name, text in descriptions.items():
        tags = {270: (2, len(text), 2704)}
        made[name] = lambda tags=tags, text=text: _one_page(tags, tail=text)
    cycle = _directory(_TAGS, 8)
    made |= {
        "cycle": lambda: _one_page({}, following=8),
        "cycle-of-two": lambda: _one_page({}, following=2704, tail=cycle),
        "100k-pages": lambda: _pages(100_000),
        "no-page": lambda: b"II*\0" + bytes(100),
        "page-beyond": lambda: b"II*\0" + struct.pack("<I", 2**31) + bytes(100),
        "signature": lambda: b"II*\0",
        "many-tags": lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65535 + 4),
    }
    return made


def extra(tag: int) -> dict[int, tuple[int, int, int]]:
    """Return the unit that a resolution needs to be read, and the other way round."""
    return {282: {296: (3, 1, 3)}, 296: {282: (5, 1, 400)}}.get(tag, {})


def _tiff_bomb() -> bytes:
    packed = zlib.compress(bytes(900_000_000), 1)
    side = {tag: (4, 1, 30_000) for tag in (256, 257, 278)}
    tags = side | {259: (3, 1, 8), 279: (4, 1, len(packed)), 273: (4, 1, 2704)}
    return _one_page(tags, tail=packed)


# Text


def _star(folder: Path) -> dict[str, Make]:
    def names(*rows: bytes) -> Make:
        return lambda: b"data_micrographs\nloop_\n_rlnMicrographName\n" + b"\n".join(rows) + b"\n"

    star, path = sound.STAR, str(folder).encode()
    odd = [b"/", b".", b"''", b"a\0b.mrc", b"a" * 5000 + b".mrc", b"\xb5.mrc", b"'" * 10**5]
    odd += [b"data_x.mrc", b"_x.mrc", b";", b"$x", b"[x", b"../" * 40 + path[1:] + b"/good.mrc"]
    made = {f"name-{i}": names(name, b"good.mrc") for i, name in enumerate(odd)}
    odd_numbers = ["nan", "inf", "abc", "''", "9" * 400, "-1"]
    for i, value in enumerate(odd_numbers):
        made[f"size-{i}"] = _in(star, " 1.5 ", f" {value} ")
        made[f"defocus-{i}"] = _in(star, "10000", value)
        made[f"group-{i}"] = _in(star, "good.mrc 1", f"good.mrc {value}")
    columns = "".join(f"_c{i}\n" for i in range(10**5))
    return made | {
        "rows": names(*[b"good.mrc"] * 10**5),
        "missing": names(*[b"x%d.mrc" % i for i in range(20_000)]),
        "columns": lambda: (
            f"data_micrographs\nloop_\n_rlnMicrographName\n{columns}good.mrc{' 1' * 10**5}\n"
        ).encode(),
        "blocks": lambda: "".join(f"data_{i}\n_x 1\n" for i in range(10**5)).encode(),
        "tables": lambda: "".join(
            f"data_{i}\nloop_\n_rlnMicrographName\ngood.mrc\n" for i in range(20_000)
        ).encode(),
        "long-line": names(b"a" * 10**7),
        "quotes": names(b"good.mrc " + b"'a" * 10**5),
        "text-field": names(b";\ngood.mrc\n;"),
        "one-value": lambda: b"data_\n_rlnMicrographName good.mrc\n",
        "short-row": _in(star, "g1 1 1.5", "g1 1"),
        "same-label": _in(star, "_rlnDefocusU", "_rlnMicrographName"),
        "twice": lambda: (star + star).encode(),
        "utf-16": lambda: star.encode("utf-16"),
        "byte-order-mark": lambda: b"\xef\xbb\xbf" + star.encode(),
        "carriage-returns": lambda: star.replace("\n", "\r").encode(),
        "crlf": lambda: star.replace("\n", "\r\n").encode(),
        "movies": _in(star, "rlnMicrographName", "rlnMicrographMovieName"),
    }


def _coordinates() -> dict[str, Make]:
    return _cells(sound.COORDINATES, "1.500", "good.mrc") | {
        "short-row": lambda: sound.COORDINATES.encode() + b"1\n",
        "split": lambda: b"data_\n_rlnCoordinateX 1\nloop_\n_rlnCoordinateY\n1\n2\n",
        "quotes": lambda: b"data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n" + b"'\"" * 10**5,
    }


def _recipe() -> dict[str, Make]:
    made: dict[str, Make] = {}
    odd = ["nan", "inf", "-1", "0", "1e999", '"a"', "[]", "{}", "true", "1979-05-27", '"\\u0000"']
    odd += ["9" * 1900, "[" * 500 + "]" * 500]
    for old in ('"x"', "3\n", "5\n", "4e-4", "[0.9, 0.999]", "[4, 6]", "[448, 448]", "4.0"):
        for i, new in enumerate(odd):
            made[f"{old.strip()}-{i}"] = _in(sound.RECIPE, old, f"{new}\n")
    return made | {
        "deep-arrays": lambda: b"a = " + b"[\n" * 10**4 + b"]\n" * 10**4,
        "deep-tables": lambda: b"a = " + b"{a=" * 5000 + b"1" + b"}" * 5000,
        "deep-keys": lambda: b".".join([b"a"] * 20_000) + b" = 1",
        "many-keys": lambda: b"".join(b"k%d = 1\n" % i for i in range(10**5)),
        "unknown-keys": lambda: b"[optimizer]\n" + b"".join(b"k%d = 1\n" % i for i in range(5000)),
        "byte-order-mark": lambda: b"\xef\xbb\xbf" + sound.RECIPE.encode(),
        "utf-16": lambda: sound.RECIPE.encode("utf-16"),
    }


def _summary(folder: Path) -> dict[str, Make]:
    record = json.loads(sound.summary(folder))
    odd = [*_ODD, str(folder), str(folder / "pipe")]
    keys = [*record, *(f"row_{key}" for key in record["results"][0])]
    made: dict[str, Make] = {
        f"{key}-{i}": lambda key=key, value=value: sound.summary(folder, **{key: value})
        for key in keys
        for i, value in enumerate(odd)
    }
    for key in record:
        made[f"without-{key}"] = lambda key=key: json.dumps(
            {k: v for k, v in record.items() if k != key}
        ).encode()
    deep = {"deep": b'"general"', "deep-row": b'"fp32"', "digits": b"3.0"}
    for name, old in deep.items():
        new = b"1" * 10**4 if name == "digits" else _DEEP
        made[name] = lambda old=old, new=new: sound.summary(folder).replace(old, new, 1)
    return made | {"only-deep": lambda: _DEEP, "list": lambda: b"[]"}


# Binary tables and weights


def _npy(header: str, data: bytes = bytes(99)) -> bytes:
    text = header.encode() + b" " * 20 + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + data


def _zip(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def _pickled(folder: Path) -> bytes:
    """Return a pickle that makes the file EXECUTED, were it ever loaded."""
    return f"cos\nsystem\n(S'touch {folder}/EXECUTED'\ntR.".encode()


def _cs(folder: Path) -> dict[str, Make]:
    table = "{'descr': %s, 'fortran_order': False, 'shape': %s, }"
    headers = {
        "huge": table % ("[('uid','<u8')]", "(10000000000,)"),
        "negative": table % ("[('uid','<u8')]", "(-1,)"),
        "no-axis": table % ("[('uid','<u8')]", "()"),
        "code": table % ("[('uid', __import__('os'))]", "(1,)"),
        "number": table % ("7", "(1,)"),
        "odd-type": table % ("[('uid','<q99')]", "(1,)"),
        "deep": table % ("[" * 5000 + "]" * 5000, "(1,)"),
        "open": "{'descr': [('uid'",
        "objects": table % ("'|O'", "(1,)"),
        "two-axes": table
        % (
            "[('uid','<u8'),('micrograph_blob/path','S4'),('micrograph_blob/psize_A','<f4')]",
            "(2, 2)",
        ),
    }
    made: dict[str, Make] = {name: lambda text=text: _npy(text) for name, text in headers.items()}
    columns = [
        *("uid", "micrograph_blob__path", "micrograph_blob__psize_A", "micrograph_blob__shape"),
        *("location__micrograph_uid", "location__micrograph_path", "location__center_x_frac"),
    ]
    odd: list[Any] = [[b"\xb5"] * 4, ["a\0b"] * 4, [float("nan")] * 4, [-1] * 4, [[1, 2]] * 4]
    for name, (i, value) in itertools.product(columns, enumerate(odd)):
        made[f"{name}-{i}"] = lambda name=name, value=value: sound.cs(**{name: value})
    return made | {
        "pickle": lambda: _pickled(folder),
        "npz": lambda: _zip("a.npy", sound.cs()),
        "npz-bomb": lambda: _zip("a.npy", bytes(5 * 10**8)),
        "zip": lambda: _zip("x.txt", b"hello"),
        "zip-cut": lambda: _zip("x.txt", b"hello")[:-10],
        "old": lambda: b"\x94CSDAT" + bytes(1000),
    }


def _model(model: bytes) -> dict[str, Make]:
    size = struct.unpack("<Q", model[:8])[0]
    header, weights = json.loads(model[8 : 8 + size]), model[8 + size :]
    own = json.loads(header["__metadata__"]["nt2c"])

    def told(text: str) -> bytes:
        return _tensors(header | {"__metadata__": {"nt2c": text}}, weights)

    made: dict[str, Make] = {
        f"{key}-{i}": lambda key=key, value=value: told(json.dumps({**own, key: value}))
        for key in own
        for i, value in enumerate([*_ODD, "wgan", "coloured", "bootstrap"])
    }
    for key in own:
        made[f"without-{key}"] = lambda key=key: told(
            json.dumps({k: v for k, v in own.items() if k != key})
        )
    for i, network in enumerate(
        (
            {"widths": [8192] * 4, "blocks": [64] * 4},
            {"widths": [4] * 2000, "blocks": [1] * 2000},
            {"widths": [-1], "blocks": [1]},
            {"widths": [4, 6], "blocks": [10**9, 1]},
        )
    ):
        made[f"network-shape-{i}"] = lambda network=network: told(
            json.dumps({**own, "network": network})
        )
    texts = ["{not json", "[1, 2]", "null", "3", _DEEP.decode(), '{"a": ' + "1" * 10**4 + "}"]
    for i, text in enumerate(texts):
        made[f"text-{i}"] = lambda text=text: told(text)
    for i, entry in enumerate(([0, 2**42], [0, 0], [-1, 4], [4, 0])):
        one = {"a": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": entry}}
        made[f"claims-{i}"] = lambda one=one: _tensors(one, bytes(4))
    return made | {
        "long-header": lambda: struct.pack("<Q", 2**62) + b"{}",
        "deep-header": lambda: _tensors(b'{"a":' * 10**4 + b"1" + b"}" * 10**4, b""),
        "not-finite": lambda: model[:-400] + b"\xff\x7f" * 200,
        "zip": lambda: _zip("archive/data.pkl", b"cos\nsystem\n."),
    }


def _tensors(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
