"""A damaged file is read or refused by name, whatever the damage; see `fuzz` for the long run."""

import os
from functools import partial

import pytest

from nt2c.core.errors import InputError
from tests.robustness import fuzz
from tests.robustness.damage import handmade
from tests.robustness.readers import Kind, kinds, prepare

_SLOW_TO_MAKE = ("bomb", "pages", "long", "deep", "k-")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    prepare(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def findings(cases, folder):
    judged = (fuzz.judge(case, folder) for case in cases)
    return [outcome for outcome in judged if outcome.is_finding]


def test_sound_files_are_read(folder):
    for name, kind in kinds(folder).items():
        for number, content in enumerate(kind.sound):
            case = (name, f"sound-{number}", partial(kind.file, content))
            assert fuzz.judge(case, folder).what == "read"


def test_damaged_files_are_read_or_refused_by_name(folder):
    cases = fuzz.random_cases(folder, 200, seed=1, chosen=list(kinds(folder)))
    assert findings(cases, folder) == []


def test_hostile_files_are_refused_by_name(folder):
    cases = [case for case in handmade(folder) if not any(w in case[1] for w in _SLOW_TO_MAKE)]
    assert findings(cases[::11], folder) == []
    assert not (folder / "EXECUTED").exists()


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (lambda path: [][1], "IndexError"),
        (lambda path: path.with_name("none").read_bytes(), "FileNotFoundError"),
        (lambda path: bytearray(100 << 20), "memory"),
        (lambda path: refuse("some file: damaged"), "unnamed"),
        (lambda path: refuse(f"{path}: damaged"), "refused"),
    ],
)
def test_what_is_not_as_promised_is_a_finding(tmp_path, monkeypatch, read, what):
    monkeypatch.setattr(fuzz, "GROWTH_MB", 50.0)
    assert fuzz.attempt(Kind(".x", (), [read]), tmp_path / "a.x")[0] == what


def refuse(message):
    raise InputError(message)


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path, monkeypatch):
    words = ["fuzz", "--count", "10000", "--seed", "1", "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    assert fuzz.main() == 0
