"""The list of the results is the given list but for names and pixel sizes that changed."""

from pathlib import Path

import pytest

from nt2c.core.errors import InputError
from nt2c.io.star_outputs import write_outputs_star

OPTICS = """
# version 50001

data_optics

loop_ 
_rlnOpticsGroupName #1 
_rlnOpticsGroup #2 
_rlnMicrographOriginalPixelSize #3 
one            1   0.885000 
two            2   1.06

"""  # noqa: W291
ROWS = """
# version 50001

data_micrographs

loop_ 
_rlnMicrographName #1 
_rlnOpticsGroup #2 
_rlnDefocusU #3 
Movies/a.mrc            1 2.1e+04 # said by hand
Movies/b.mrc            2 20000.0
Movies/c.mrc            1 -0
 
"""  # noqa: W291, W293
OLD = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnVoltage #2\nMovies/a.mrc  300.00\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Movies").mkdir()
    (tmp_path / "Movies" / "a.mrc").touch()
    return tmp_path


def written(project: Path, text: str, sizes_a: dict[str, float], folder: str = "out") -> str:
    """Write the list of results of these pixel sizes; return its text."""
    star, new = project / "in.star", project / "new.star"
    star.write_text(text)
    outputs = {
        project / "Movies" / f"{name}.mrc": (project / folder / f"{name}.mrc", size_a)
        for name, size_a in sizes_a.items()
    }
    assert write_outputs_star(new, star, outputs) == len(sizes_a)
    return new.read_text()


def test_names_change_and_nothing_else(project: Path) -> None:
    new = written(project, OPTICS + ROWS, {"a": 0.88500001, "c": 0.885})
    row_b = next(line for line in ROWS.splitlines(True) if "b.mrc" in line)
    assert new == (OPTICS + ROWS).replace(row_b, "").replace("Movies/", "out/")


def test_another_sampling_is_said_of_the_optics_group(project: Path) -> None:
    new = written(project, OPTICS + ROWS, {"a": 4.0, "b": 1.06, "c": 4.0})
    optics = OPTICS.replace("PixelSize #3 ", "PixelSize #3 \n_rlnMicrographPixelSize #4")
    optics = optics.replace("0.885000 ", "0.885000 4.000000 ").replace("1.06", "1.06 1.06")
    assert new == optics + ROWS.replace("Movies/", "out/")


def test_a_micrograph_with_a_size_of_its_own_keeps_it_there(project: Path) -> None:
    text = OPTICS + ROWS.replace("DefocusU", "MicrographPixelSize").replace("2.1e+04", "2.0")
    new = written(project, text, {"a": 4.0})
    assert OPTICS in new
    assert "out/a.mrc            1 4.000000 # said by hand" in new


def test_a_list_that_tells_no_size_is_told_it(project: Path) -> None:
    new = written(project, OLD, {"a": 1.5})
    assert new == OLD.replace("Movies", "out").replace(
        "_rlnVoltage #2", "_rlnVoltage #2\n_rlnMicrographPixelSize #3"
    ).replace("300.00", "300.00 1.500000")


def test_names_without_white_space_only(project: Path) -> None:
    with pytest.raises(InputError, match="no white space"):
        written(project, OLD, {"a": 1.0}, folder="my results")
