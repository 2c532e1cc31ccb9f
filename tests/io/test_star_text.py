import gemmi
import pytest

from nt2c.core.errors import InputError
from nt2c.io.star_text import read_star_text, write_star_text

TEXT = """
# version 50001

data_optics

loop_ 
_rlnOpticsGroupName #1 
_rlnOpticsGroup #2 
_rlnVoltage #3 
opticsGroup1            1   300.000000 
"optics two"            2   300.00 
 

# version 50001

data_micrographs

loop_ 
_rlnMicrographName #1 
_rlnOpticsGroup #2 
_rlnDefocusU #3 
_myNote #4
Mic/a.mrc            1 2.1e+04  "two words" # said by hand
Mic/b#1.mrc          2 20000.0  ''
Mic/c.mrc            1 -0       plain

data_general
_rlnThing   1.50
"""  # noqa: W291, W293


def _star(tmp_path, text=TEXT):
    path = tmp_path / "a.star"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return read_star_text(path)


def test_values_are_read_without_quotes(tmp_path):
    star = _star(tmp_path)
    assert len(star.tables) == 2
    table = star.table("rlnMicrographName")
    assert table.labels == ("rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "myNote")
    assert table.column("rlnMicrographName") == ["Mic/a.mrc", "Mic/b#1.mrc", "Mic/c.mrc"]
    assert table.column("myNote") == ["two words", "", "plain"]
    assert table.column("rlnDefocusU") == ["2.1e+04", "20000.0", "-0"]
    assert star.table("rlnMicrographName", "rlnVoltage") is None
    assert star.table("rlnThing") is None
    with pytest.raises(InputError, match="rlnCoordinateX"):
        table.column("rlnCoordinateX")


def test_only_what_changes_changes(tmp_path):
    table = _star(tmp_path).table("rlnMicrographName")
    assert table.replaced({}) == TEXT
    assert table.replaced({"rlnMicrographName": table.column("rlnMicrographName")}) == TEXT
    new = table.replaced(
        {"rlnMicrographName": ["x/a.mrc", "y z.mrc", "w"], "myNote": ["", "a", "b"]}
    )
    expected = TEXT.replace("Mic/a.mrc", "x/a.mrc").replace("Mic/b#1.mrc", '"y z.mrc"')
    expected = expected.replace("Mic/c.mrc", "w").replace('"two words"', '""')
    expected = expected.replace("''", "a").replace("plain", "b")
    assert new == expected


def test_rows_can_be_dropped(tmp_path):
    new = _star(tmp_path).table("rlnMicrographName").replaced({}, keep=[True, False, True])
    assert new == "".join(line for line in TEXT.splitlines(True) if "b#1" not in line)
    block = gemmi.cif.read_string(new).find_block("micrographs")
    assert list(block.find_values("_rlnOpticsGroup")) == ["1", "1"]


def test_columns_can_be_added(tmp_path):
    table = _star(tmp_path).table("rlnMicrographName")
    new = table.replaced({"rlnMicrographPixelSize": ["1.5", "2", "a b"], "x": ["1", "2", ""]})
    expected = TEXT.replace("_myNote #4", "_myNote #4\n_rlnMicrographPixelSize #5\n_x #6")
    expected = expected.replace('"two words" #', '"two words" 1.5 1 #')
    expected = expected.replace("''", "'' 2 2").replace("plain", 'plain "a b" ""')
    assert new == expected
    block = gemmi.cif.read_string(new).find_block("micrographs")
    assert list(block.find_values("_rlnMicrographPixelSize")) == ["1.5", "2", '"a b"']


def test_the_block_of_the_micrographs_comes_first(tmp_path):
    other = "data_other\n\nloop_\n_rlnMicrographName #1\nx.mrc\n"
    assert _star(tmp_path, other).micrographs().block == "other"
    assert _star(tmp_path, other + TEXT).micrographs().block == "micrographs"
    with pytest.raises(InputError, match="no column of a loop_"):
        _star(tmp_path, "data_\n_rlnMicrographName x.mrc\n").micrographs()


def test_strange_bytes_survive_and_line_ends_become_plain(tmp_path):
    star = _star(tmp_path, TEXT.replace("plain", "b\udcffd").replace("\n", "\r\n"))
    new = star.table("rlnMicrographName").replaced({})
    write_star_text(tmp_path / "b.star", new)
    assert (tmp_path / "b.star").read_bytes() == TEXT.encode().replace(b"plain", b"b\xffd")


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a STAR file"):
        _star(tmp_path, "image_name\tx_coord\n")
    with pytest.raises(InputError, match="no_such"):
        read_star_text(tmp_path / "no_such.star")
    table = _star(tmp_path, TEXT.replace("2 20000.0", "20000.0")).table("rlnMicrographName")
    with pytest.raises(InputError, match="line 24 has 3 values for 4 columns"):
        table.column("myNote")
