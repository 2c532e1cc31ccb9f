"""Every kind of file that nt2c reads: sound examples, and what reads them in the commands."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from nt2c.batch.merge import merge_summaries
from nt2c.batch.stamps import made_by_us
from nt2c.core.errors import Nt2cError
from nt2c.denoising.denoiser import load_model
from nt2c.hosts.cryosparc import exposure_inputs
from nt2c.io.cs import read_cs
from nt2c.io.frames import sum_frames
from nt2c.io.inputs import find_inputs
from nt2c.io.micrographs import Micrograph, open_micrograph, open_movie
from nt2c.io.pick_targets import Targets
from nt2c.io.picks import raw_picks
from nt2c.io.picks_cs import raw_cs_picks
from nt2c.io.recipes import read_settings
from nt2c.io.records import append_record, read_records
from nt2c.io.star import read_coordinates_star, read_micrographs_star, read_optics_star
from nt2c.io.star_outputs import write_outputs_star
from nt2c.io.structures import read_map, read_structure
from nt2c.pipeline.settings import FitRecipe
from nt2c.report.sources import find_source
from nt2c.training.sampler_files import read_sampler
from nt2c.training.settings import Recipe
from tests.robustness import sound

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Attributes
    ----------
    ending : str
        Of their names.
    sound : sequence of bytes
        Whole files.
    readers : sequence of callable
        Each may return, or raise an Nt2cError that names the file.
    text : bool
        Whether they are text.
    packed : callable, optional
        What is done to the content after it is damaged.
    """

    ending: str
    sound: Sequence[bytes]
    readers: Sequence[Read]
    text: bool = False
    packed: Callable[[bytes], bytes] | None = None

    def file(self, content: bytes) -> bytes:
        """Return what a file of this content holds."""
        return self.packed(content) if self.packed else content

    def read(self, path: Path) -> list[str]:
        """Try every reader; return what those said that refused."""
        messages = []
        for reader in self.readers:
            try:
                reader(path)
            except Nt2cError as error:
                messages.append(str(error))
        return messages


def prepare(folder: Path) -> None:
    """Make the files that the sound ones name, in the folder where the readers work."""
    (folder / "named").mkdir(exist_ok=True)
    (folder / "raw").mkdir(exist_ok=True)
    for name in ("good.mrc", "good_out.mrc", "raw/good.mrc"):
        (folder / name).write_bytes(sound.mrc())
    (folder / "list.star").write_text(sound.STAR)
    picked = folder / "AutoPick" / "job001" / "good_autopick.star"
    picked.parent.mkdir(parents=True, exist_ok=True)
    picked.write_text(sound.COORDINATES)


def _images(micrograph: Micrograph) -> None:
    with micrograph:
        for section in range(min(3, micrograph.sections)):
            image = micrograph.read(section)
            assert image.dtype == np.float32
            assert image.shape == micrograph.shape
        assert isinstance(list(micrograph.warnings), list)


def _movie(path: Path) -> None:
    with open_movie(path, 1.0) as movie:
        if movie.sections < 200:
            sum_frames(movie, halves=True)
        else:
            movie.read(0)


def _outputs(path: Path) -> None:
    done = {path.parent / "good.mrc": (path.parent / "good_out.mrc", 2.0)}
    write_outputs_star(path.parent / "scratch" / "out.star", path, done)


def _picks(path: Path) -> None:
    if path.suffix in (".box", ".cbox"):  # named as its micrograph
        path = Path(shutil.copy(path, path.parent / "named" / f"good{path.suffix}"))
    root = path.parent.parent if path.parent.name == "named" else path.parent
    targets = Targets(find_inputs([root / "raw"]), find_inputs([root / "good.mrc"]))
    raw_picks(path, targets, root / "scratch" / path.stem).write()


def _in_folder(read: Read) -> Read:
    """Let a reader of folders find the file as its summary."""

    def reads(path: Path) -> None:
        folder = path.parent / "account" / path.stem
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(path, folder / "summary.json")
        read(folder)

    return reads


def _log(path: Path) -> None:
    read_records(path)
    append_record(path, {"step": 3})
    read_records(path)


@cache
def kinds(folder: Path) -> dict[str, Kind]:
    """Return all kinds by name; `folder` is the one that `prepare` filled."""
    micrograph: list[Read] = [made_by_us, lambda path: _images(open_micrograph(path, 1.0))]
    unknown: Read = lambda path: open_micrograph(path).reader.close()  # noqa: E731
    images = [sound.mrc(), sound.mrc(3), sound.mrc(dtype="i2"), sound.mrc(dtype="i1")]
    images += [sound.mrc(dtype="f2", extended=bytes(range(256)) * 3), sound.mrc(2, "u2", bytes(80))]
    gz, bz = zip(*map(sound.compressed, images[:2]), strict=True)
    codecs = [sound.tiff(compression=name) for name in ("zlib", "lzw", "zstd")]
    layouts = [sound.tiff(tile=(16, 16)), sound.tiff(rowsperstrip=7), sound.tiff(bigtiff=True)]
    tiffs = [sound.tiff(), sound.tiff(3), sound.tiff(dtype="f4"), *codecs, *layouts]
    lists: list[Read] = [read_micrographs_star, read_optics_star, lambda p: find_inputs([p])]
    tables: list[Read] = [
        lambda path: exposure_inputs(read_cs(path), path.parent),
        lambda path: raw_cs_picks(path, path, path.parent / "scratch").write(),
    ]
    accounts: list[Read] = [_in_folder(merge_summaries), _in_folder(find_source)]
    recipes: list[Read] = [
        lambda p: read_settings(p, Recipe),
        lambda p: read_settings(p, FitRecipe),
    ]

    def text(ending: str, *examples: str, readers: Sequence[Read]) -> Kind:
        return Kind(ending, [example.encode() for example in examples], readers, text=True)

    return {
        "mrc": Kind(".mrc", images, [*micrograph, unknown]),
        "mrcs": Kind(".mrcs", [sound.mrc(6)], [_movie]),
        "gzip": Kind(".mrc.gz", gz, micrograph),
        "packed": Kind(".mrc.gz", images[:2], micrograph, packed=lambda c: sound.compressed(c)[0]),
        "bzip2": Kind(".mrc.bz2", bz, micrograph),
        "tiff": Kind(".tif", tiffs, [*micrograph, unknown]),
        "frames": Kind(".tif", [sound.tiff(5)], [_movie]),
        "eer": Kind(".eer", [sound.eer(), sound.eer(True)], [_movie]),
        "star": text(".star", sound.STAR, readers=[*lists, _outputs]),
        "coords": text(".star", sound.COORDINATES, readers=[read_coordinates_star, _picks]),
        "listing": text(".star", sound.LISTING, readers=[_picks]),
        "cbox": text(".cbox", sound.CBOX, readers=[_picks]),
        "topaz": text(".txt", sound.TOPAZ, readers=[_picks]),
        "box": text(".box", sound.BOX, readers=[_picks]),
        "cs": Kind(".cs", [sound.cs()], tables),
        "model": Kind(".safetensors", [sound.model()], [load_model]),
        "sampler": Kind(".safetensors", sound.samplers(), [read_sampler]),
        "recipe": text(".toml", sound.RECIPE, readers=recipes),
        "summary": Kind(".json", [sound.summary(folder)], accounts, text=True),
        "log": Kind(".jsonl", [sound.LOG], [_log], text=True),
        "pdb": text(".pdb", sound.PDB, readers=[read_structure]),
        "cif": text(".cif", sound.CIF, readers=[read_structure]),
        "pdb-gz": Kind(".pdb.gz", sound.compressed(sound.PDB.encode())[:1], [read_structure]),
        "map": Kind(".map", [sound.mrc(48, volume=True)], [read_map]),
        "map-gz": Kind(
            ".map.gz",
            [sound.mrc(6, volume=True)],
            [read_map],
            packed=lambda c: sound.compressed(c)[0],
        ),
    }
