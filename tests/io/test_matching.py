"""Which files belong together: each way of matching, and what it refuses."""

from pathlib import Path

import pytest

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.matching import (
    SameName,
    by_stem,
    halves_beside,
    halves_in_folders,
    partner,
    picked_on,
    stem,
    without_uid,
)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_a_stem_lacks_the_whole_ending_and_no_more():
    names = ("a/b.1.mrc", "b.1.mrc.gz", Path("b.1.TIFF"), "b.1")
    assert [stem(name) for name in names] == ["b.1", "b.1", "b.1", "b.1"]


def test_files_of_one_name_are_found_whatever_their_kind(tmp_path):
    masks = SameName(put(tmp_path, "x_1.tif", "x_2.mrc", "x_2.mrc.gz", "x_3.txt"))
    assert masks.of(Path("raw/x_1.mrc")) == tmp_path / "x_1.tif"
    assert masks.of(Path("raw/x_1_DW.mrc")) is None
    assert Path("x_2.mrc") in masks
    assert Path("x_3.mrc") not in masks
    with pytest.raises(InputError, match=r"x_2\.mrc and x_2\.mrc\.gz"):
        masks.of(Path("x_2.mrc"))
    with pytest.raises(SettingsError, match="not a folder"):
        SameName(tmp_path / "x_1.tif")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mic_1.mrc", "one/mic_1.mrc"),
        ("Denoised/job003/one/mic_1_denoised.mrc", "one/mic_1.mrc"),
        ("mic_1_denoised_autopick", "one/mic_1.mrc"),
        ("two/mic_2", "two/mic_2.mrc"),
        ("mic_1_7", None),  # numbers tell micrographs apart
        ("mic", None),
    ],
)
def test_a_name_of_another_program_means_the_raw_micrograph(name, expected):
    raw = by_stem([Path("one/mic_1.mrc"), Path("one/mic_2.mrc"), Path("two/mic_2.mrc")])
    assert picked_on(name, raw) == (Path(expected) if expected else None)
    with pytest.raises(InputError, match=r"one/mic_2\.mrc or two/mic_2\.mrc"):
        picked_on("three/mic_2.mrc", raw)


def test_halves_are_the_same_in_folders_and_beside_each_other(tmp_path):
    apart = put(tmp_path / "apart", "de/a.mrc", "do/a.mrc", "re/a_EVN.mrc", "ro/a_ODD.mrc")
    evens, others = halves_in_folders(*(apart / name for name in ("de", "do", "re", "ro")))
    assert [path.name for path in evens] == ["a.mrc"]
    assert others(evens[0]) == (apart / "re/a_EVN.mrc", apart / "ro/a_ODD.mrc", apart / "do/a.mrc")
    put(tmp_path / "beside", "raw/a_EVN.mrc", "raw/a_ODD.mrc", "out/even/a.mrc", "out/odd/a.mrc")
    evens, others = halves_beside(tmp_path / "beside/out", tmp_path / "beside/raw")
    found = [path.relative_to(tmp_path / "beside").as_posix() for path in others(evens[0])]
    assert found == ["raw/a_EVN.mrc", "raw/a_ODD.mrc", "out/odd/a.mrc"]
    with pytest.raises(SettingsError, match="holds no halves"):
        halves_beside(tmp_path / "beside/out/odd", tmp_path / "beside/raw")


def test_a_partner_is_no_other_of_equal_rank(tmp_path):
    place, own = put(tmp_path, "a_clean.mrc", "a_noisy.mrc"), tmp_path / "x/a_denoised.mrc"
    put(own.parent, own.name)
    assert partner(own, place, ("_clean",)).name == "a_clean.mrc"
    with pytest.raises(InputError, match=r"a_clean\.mrc and a_noisy\.mrc"):
        partner(own, place)


def test_the_number_of_an_exposure_is_no_part_of_its_name():
    assert without_uid(">J1/motion/000123456789012345678_mic_4.mrc") == "mic_4"
    assert without_uid("J1/2024_mic_4.mrc") == "2024_mic_4"
