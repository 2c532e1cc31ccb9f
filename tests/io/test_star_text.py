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
    assert [table.block for table in star.tables] == ["optics", "micrographs", "general"]
    table = star.table("rlnMicrographName")
    assert table.labels == ("rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "myNote")
    assert table.column("rlnMicrographName") == ["Mic/a.mrc", "Mic/b#1.mrc", "Mic/c.mrc"]
    assert table.column("myNote") == ["two words", "", "plain"]
    assert table.column("rlnDefocusU") == ["2.1e+04", "20000.0", "-0"]
    assert star.table("rlnMicrographName", "rlnVoltage") is None
    assert star.table("rlnThing").column("rlnThing") == ["1.50"]
    assert star.table("rlnNothing") is None
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


# The rules below were seen in the real RELION 3.1.3, too: tests/hosts/test_relion_reads.py.
STRANGE = (
    "data_1.mrc",
    "_b.mrc",
    "save_x",
    ";c.mrc",
    "[d",
    "$e",
    "loop_",
    "it's.mrc",
    "a#b",
    "\u2028x",
)
HEAD = "data_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnVoltage #2\n"


@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("first", STRANGE)
def test_a_row_may_begin_with_anything(tmp_path, first, begin):
    """As the first row, and behind others; nothing behind it is lost."""
    for rows in ([first, "a.mrc", *STRANGE], ["a.mrc", first, "b.mrc"]):
        text = HEAD + "".join(f"{name} 300\n" for name in rows)
        star = _star(tmp_path, begin + text + "\n\ndata_x\n\nloop_\n_y #1\n5\n")
        table = star.table("rlnMicrographName")
        assert table.column("rlnMicrographName") == rows
        assert star.table("y").column("y") == ["5"]
        assert table.replaced({"rlnVoltage": ["200"] * len(rows)}).startswith(
            text.replace(" 300", " 200")
        )


def test_a_single_column_may_hold_names_like_words_of_star(tmp_path):
    rows = ["a.mrc", "data_1.mrc", "loop_", "_b.mrc"]
    text = "data_\n\nloop_\n_rlnMicrographName #1\n" + "\n".join(rows) + "\n"
    assert _star(tmp_path, text).table("rlnMicrographName").column("rlnMicrographName") == rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a.mrc 300\n\nb.mrc 300\n", r"line 8 \('b\.mrc 300'\) belongs to no table"),
        ("a.mrc 300\n  \n# x\n\nb.mrc 300\n", "line 10"),
        ("a.mrc 300\nb.mrc\n", "line 7 has 1 values for 2 columns"),
        ("a.mrc 300\nb.mrc 300 1\n", "line 7 has 3 values for 2 columns"),
        ("a.mrc 300\n\n_rlnThing\nx\n", "line 8"),
    ],
)
def test_no_row_is_dropped_without_a_word(tmp_path, rows, said):
    with pytest.raises(InputError, match=said):
        _star(tmp_path, HEAD + rows).table("rlnMicrographName").column("rlnMicrographName")


def test_blocks_need_no_empty_line_between_them_and_may_be_empty(tmp_path):
    text = HEAD + "a.mrc 300\ndata_x\nloop_\n_y #1\n_z #2\ndata_w\nloop_\n_v #1\n\ndata_u\n_t 1\n"
    tables = _star(tmp_path, text).tables
    assert [(table.block, len(table.rows)) for table in tables] == [
        ("micrographs", 1),
        ("x", 0),
        ("w", 0),
        ("u", 1),
    ]


def test_single_values_change_in_place(tmp_path):
    text = "data_\n\n_rlnMicrographName  a.mrc # note\n_rlnVoltage 300\n"
    table = _star(tmp_path, text).table("rlnMicrographName")
    assert table.column("rlnVoltage") == ["300"]
    new = table.replaced({"rlnMicrographName": ["x y.mrc"], "rlnMicrographPixelSize": ["2"]})
    assert new == text.replace("a.mrc", '"x y.mrc"').replace(
        "300\n", "300\n_rlnMicrographPixelSize 2\n"
    )
    assert "rln" not in table.replaced({}, keep=[False])


def test_two_columns_of_one_name_are_refused(tmp_path):
    star = _star(tmp_path, "data_\nloop_\n_a #1\n_a #2\n1 2\n")
    with pytest.raises(InputError, match="two columns a"):
        star.table("a").column("a")


@pytest.mark.parametrize(
    "value", ["_x", ";x", "data_x", "LOOP_", "[x", "$x", "#x", "", "a b", 'a" b']
)
def test_written_values_come_back_here_and_elsewhere(tmp_path, value):
    table = _star(tmp_path, HEAD + "a.mrc 300\n").table("rlnMicrographName")
    new = table.replaced({"rlnMicrographName": [value]})
    assert _star(tmp_path, new).table("rlnVoltage").column("rlnMicrographName") == [value]
    found = gemmi.cif.read_string(new)[0].find_values("_rlnMicrographName")
    assert [gemmi.cif.as_string(text) for text in found] == [value]
    with pytest.raises(InputError, match="line end"):
        table.replaced({"rlnMicrographName": [value + "\n"]})


def test_no_text_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="zero bytes"):
        _star(tmp_path, "data_\n\0")
