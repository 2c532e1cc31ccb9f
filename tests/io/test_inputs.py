from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nt2c.core.errors import InputError
from nt2c.io.inputs import find_inputs


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def _names(inputs):
    return [found.output_name for found in inputs]


def test_a_folder_gives_its_micrographs_and_nothing_else(tmp_path):
    _touch(
        tmp_path,
        *("b.mrc", "a.mrc", "c.mrcs", "d.tif", "e.TIFF", "f.mrc.gz", "g.mrcs.bz2", "x.Odd.mrc"),
        *("a_EVN.mrc", "a_ODD.mrc", "a_PS.mrc", "a_noDW.mrc", "a_Ctf.mrc", "a_EVN.mrc.gz"),
        *(
            ".hidden.mrc",
            "._a.mrc",
            ".a.mrc.nt2c-host-1-abcdef.partial",
            "a.txt",
            "a.mrc~",
            "a.star",
        ),
        *("deeper/z.mrc", "folder.mrc/z.mrc"),
    )
    found = find_inputs([tmp_path])
    assert [item.path.name for item in found] == [
        *("a.mrc", "b.mrc", "c.mrcs", "d.tif", "e.TIFF", "f.mrc.gz", "g.mrcs.bz2", "x.Odd.mrc")
    ]
    assert _names(found) == [
        *("a.mrc", "b.mrc", "c.mrcs", "d.mrc", "e.mrc", "f.mrc", "g.mrcs", "x.Odd.mrc")
    ]
    assert {item.star_pixel_size_a for item in found} == {None}


def test_one_path_is_a_list_of_one(tmp_path):
    _touch(tmp_path, "b.mrc", "a.mrc")
    assert find_inputs(tmp_path) == find_inputs(str(tmp_path)) == find_inputs([tmp_path])


def test_a_folder_without_micrographs_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no micrographs.*\*\*/\*\.mrc"):
        find_inputs([_touch(tmp_path, "deeper/a.mrc", "a.txt")])
    with pytest.raises(InputError, match=r"only 1 products such as a_EVN\.mrc"):
        find_inputs([_touch(tmp_path, "a_EVN.mrc")])


def test_patterns(tmp_path):
    _touch(tmp_path, "a.mrc", "a_EVN.mrc", "s/b.mrc", "s/t/c.mrc", "s/t/c.txt")
    assert _names(find_inputs([f"{tmp_path}/*"])) == ["a.mrc"]
    assert _names(find_inputs([f"{tmp_path}/**/*.mrc"])) == ["a.mrc", "b.mrc", "c.mrc"]
    assert _names(find_inputs([f"{tmp_path}/*_EVN.mrc"])) == ["a_EVN.mrc"]
    with pytest.raises(InputError, match="no micrograph matches"):
        find_inputs([f"{tmp_path}/*.tif"])


def test_links_in_patterns(tmp_path):
    """Any depth goes through links to other folders, once; in circles it comes to an end."""
    _touch(tmp_path, "raw/a.mrc", "raw/s/b.mrc", "raw/.hidden/h.mrc", "far/c.mrc", "far/d/e.mrc")
    for place in ("raw/loop", "raw/aa", "raw/s/up", "far/back"):
        (tmp_path / place).symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "a_link").symlink_to(tmp_path / "far")
    (tmp_path / "raw" / "again").symlink_to(tmp_path / "far" / "d")
    (tmp_path / "raw" / "z.mrc").symlink_to(tmp_path / "raw" / "a.mrc")
    (tmp_path / "raw" / "broken").symlink_to(tmp_path / "nowhere")
    raw = tmp_path / "raw"
    expected = ["a.mrc", "a_link/c.mrc", "a_link/d/e.mrc", "s/b.mrc", "z.mrc"]
    for pattern in ("**/*.mrc", "**", "**/**/*.mrc", "**/*"):
        found = [str(item.path.relative_to(raw)) for item in find_inputs([f"{raw}/{pattern}"])]
        assert found == expected, pattern
    both = find_inputs([f"{tmp_path}/*/**/*.mrc"])
    assert len(both) == 5
    assert {item.path.name for item in both} == {"a.mrc", "b.mrc", "c.mrc", "e.mrc", "z.mrc"}


def test_files_are_taken_as_named_even_when_missing(tmp_path):
    _touch(tmp_path, "a_EVN.mrc", "odd[1].mrc")
    given_paths = [tmp_path / "a_EVN.mrc", tmp_path / "absent.mrc", str(tmp_path / "odd[1].mrc")]
    assert _names(find_inputs(given_paths)) == ["a_EVN.mrc", "absent.mrc", "odd[1].mrc"]
    assert _names(find_inputs([tmp_path / "a.dm4"])) == ["a.dm4.mrc"]


def test_each_file_once(tmp_path, monkeypatch):
    _touch(tmp_path, "a.mrc", "s/b.mrc")
    monkeypatch.chdir(tmp_path)
    found = find_inputs([tmp_path, "a.mrc", "./a.mrc", "s/../a.mrc", "*.mrc"])
    assert _names(found) == ["a.mrc"]


def test_equal_names_keep_what_tells_their_folders_apart(tmp_path):
    _touch(tmp_path, "s1/data/a.mrc", "s2/data/a.mrc", "s2/data/b.mrc", "s3/c.mrc")
    found = find_inputs([tmp_path / "s1/data", tmp_path / "s2/data", tmp_path / "s3"])
    assert _names(found) == ["s1/data/a.mrc", "s2/data/a.mrc", "s2/data/b.mrc", "c.mrc"]


def test_equal_names_of_other_kinds_keep_the_kind(tmp_path):
    _touch(tmp_path, "a.mrc", "a.tif", "a.mrc.gz", "b.tif")
    assert sorted(_names(find_inputs([tmp_path]))) == [
        "a.mrc",
        "a_mrc_gz.mrc",
        "a_tif.mrc",
        "b.mrc",
    ]


def test_names_that_cannot_be_told_apart_are_an_error(tmp_path):
    _touch(tmp_path, "a.mrc", "a.tif", "a_tif.mrc")
    with pytest.raises(InputError, match="same output; rename"):
        find_inputs([tmp_path])


def _star(tmp_path, *names):
    lines = ["data_", "loop_", "_rlnMicrographName", "_rlnMicrographPixelSize"]
    star = tmp_path / "micrographs.star"
    star.write_text("\n".join([*lines, *(f"{name} 1.5" for name in names)]) + "\n")
    return star


def test_a_star_file_keeps_its_hierarchy_without_the_job(tmp_path):
    names = ["MotionCorr/job002/Movies/G1/a.mrc", "MotionCorr/job002/Movies/G2/a.mrc"]
    _touch(tmp_path, names[0])
    found = find_inputs([_star(tmp_path, *names)])
    assert _names(found) == ["Movies/G1/a.mrc", "Movies/G2/a.mrc"]
    assert [item.path for item in found] == [tmp_path / name for name in names]
    assert {item.star_pixel_size_a for item in found} == {1.5}


def test_a_star_file_with_two_jobs_does_not_collide(tmp_path):
    names = ["Import/job001/M/a.mrc", "MotionCorr/job002/M/a.mrc"]
    _touch(tmp_path, *names)
    assert _names(find_inputs([_star(tmp_path, *names)])) == [
        "job001/M/a.mrc",
        "job002/M/a.mrc",
    ]


def test_output_names_stay_inside_the_output_folder(tmp_path):
    _touch(tmp_path, "raw/a.mrc", "raw/b.mrc", "project/x")
    star = _star(tmp_path / "project", "../raw/a.mrc", str(tmp_path / "raw/b.mrc"))
    assert _names(find_inputs([star])) == ["a.mrc", "b.mrc"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("ab"), max_size=3),
            st.sampled_from(["x.mrc", "x.tif", "x.mrc.gz", "x.mrcs", "y.mrc"]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda item: ("/".join(item[0]), item[1]),
    )
)
def test_output_names_are_always_distinct_relative_paths(tmp_path, items):
    paths = [tmp_path.joinpath(*folders, name) for folders, name in items]
    names = _names(find_inputs(paths))
    assert len(set(names)) == len(names) == len(paths)
    for path, name in zip(paths, names, strict=True):
        output = PurePosixPath(name)
        assert not output.is_absolute()
        assert ".." not in output.parts
        assert output.suffix in (".mrc", ".mrcs")
        assert output.parent.parts == path.parent.parts[len(path.parts) - len(output.parts) :]
    assert _names(find_inputs(paths[::-1])) == names[::-1], "the order does not matter"


def test_a_list_that_names_the_root_is_refused(tmp_path):
    (tmp_path / "a.mrc").touch()
    (tmp_path / "x.star").write_text("data_\nloop_\n_rlnMicrographName\na.mrc\n/\n")
    with pytest.raises(InputError, match=r"x\.star: ./. names no micrograph"):
        find_inputs([tmp_path / "x.star"])
