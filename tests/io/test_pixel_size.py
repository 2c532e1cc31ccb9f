from pathlib import Path

import pytest

from nt2c.core.errors import InputError, SettingsError
from nt2c.io.micrographs import open_micrograph
from nt2c.io.pixel_size import MoviePixelSize, choose_pixel_size
from tests.io.make import DATA, image, patch, write_mrc

PATH = Path("a.mrc")


@pytest.mark.parametrize(
    ("asked_a", "star_a", "header_a", "chosen_a", "warnings"),
    [
        (1.0, 2.0, 4.0, 1.0, ["the STAR file 2", "the header 4"]),
        (None, 2.0, 4.0, 2.0, ["the header 4"]),
        (None, None, 4.0, 4.0, []),
        (1.0, None, None, 1.0, []),
        (None, 2.0, None, 2.0, []),
        (1.0, 1.0099, 0.9901, 1.0, []),
        (1.0, 1.0101, 0.9899, 1.0, ["the STAR file 1.0101", "the header 0.9899"]),
        (None, None, 1.0, 1.0, ["exactly 1 A/px"]),
        (None, 1.0, 1.0, 1.0, []),
    ],
)
def test_priority_and_disagreement(asked_a, star_a, header_a, chosen_a, warnings):
    size_a, given = choose_pixel_size(PATH, asked_a, star_a, header_a)
    assert size_a == chosen_a
    assert len(given) == len(warnings)
    for text, words in zip(given, warnings, strict=True):
        assert words in text


@pytest.mark.parametrize("asked_a", [0.0, -1.0, float("nan"), float("inf")])
def test_nonsense_from_the_user_is_refused(asked_a):
    with pytest.raises(SettingsError, match="'pixel_size_a'"):
        choose_pixel_size(PATH, asked_a, 1.0, 1.0)


def test_the_size_of_the_movie_does_not_beat_the_header():
    """RELION bins while it corrects motion: its rlnMicrographOriginalPixelSize is the movie's."""
    movie_a = MoviePixelSize(0.5)
    assert choose_pixel_size(PATH, None, movie_a, 0.501) == (0.501, [])
    assert choose_pixel_size(PATH, 1.0, movie_a, 1.0)[0] == 1.0
    with pytest.raises(InputError, match=r"header says 1 A/px.*movie had 0\.5.*--pixel-size"):
        choose_pixel_size(PATH, None, movie_a, 1.0)
    size_a, (warning,) = choose_pixel_size(PATH, None, movie_a, None)
    assert size_a == 0.5
    assert "only the movie's" in warning


def test_unknown_everywhere():
    with pytest.raises(InputError, match=r"a\.mrc.*--pixel-size"):
        choose_pixel_size(PATH, None, None, None)


def test_the_file_takes_part(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", image(), 1.5)
    with open_micrograph(path, 3.0, 1.5) as micrograph:
        assert micrograph.pixel_size_a == 3.0
        assert len(micrograph.warnings) == 2
    with open_micrograph(path, star_pixel_size_a=1.5) as micrograph:
        assert micrograph.pixel_size_a == 1.5
        assert micrograph.warnings == ()


def test_pixels_that_are_not_square_are_no_pixel_size(tmp_path):
    path = patch(write_mrc(tmp_path / "a.mrc", image(), 1.5), 28, (9).to_bytes(4, "little"))
    with pytest.raises(InputError, match="--pixel-size"):
        open_micrograph(path)
    with open_micrograph(path, 2.0) as micrograph:
        assert "not square" in micrograph.warnings[0]


def test_a_real_header_is_wrong():
    path = DATA / "magellon_wrong_pixel_size.mrc"
    with open_micrograph(path, 6.32) as micrograph:
        assert micrograph.pixel_size_a == 6.32
        assert micrograph.warnings == (
            "--pixel-size says 6.32 A/px, the header 0.79; --pixel-size is used",
        )
