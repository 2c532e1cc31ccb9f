import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nt2c.core.errors import InputError
from nt2c.io.records import (
    append_record,
    read_json,
    read_records,
    write_json,
    write_records,
)


def test_records_come_back_in_order(tmp_path):
    log = tmp_path / "new" / "log.jsonl"
    append_record(log, {"step": 1, "loss": 0.5})
    append_record(log, {"step": np.int64(2), "loss": torch.tensor(0.25), "at": Path("a/b")})
    assert read_records(log) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "at": "a/b"}]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    log = tmp_path / "log.jsonl"
    append_record(log, {"a": float("nan"), "b": np.array([1.0, np.inf]), "c": [{"d": -np.inf}]})
    assert read_records(log) == [{"a": None, "b": [1.0, None], "c": [{"d": None}]}]


def test_a_torn_line_is_no_record_and_is_cut_by_the_next(tmp_path):
    log = tmp_path / "log.jsonl"
    append_record(log, {"step": 1})
    with log.open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_records(log) == [{"step": 1}]
    append_record(log, {"step": 3})
    assert read_records(log) == [{"step": 1}, {"step": 3}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error_that_names_the_log():
    with pytest.raises(OSError, match="/dev/full") as caught:
        append_record("/dev/full", {"step": 1})
    assert caught.value.errno == errno.ENOSPC


DEEP = b"[" * 100_000 + b"]" * 100_000
DAMAGED = [
    (b"{]", "not JSON"),
    (b"3", "object"),
    (b'"\xb5"', "not JSON"),
    (DEEP, "nested too deep"),
]


@pytest.mark.parametrize(("text", "words"), DAMAGED)
def test_a_damaged_log_is_named(tmp_path, text, words):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"{}\n" + text + b"\n")
    words = f"line 2 is .*{words}"
    with pytest.raises(InputError, match=rf"log\.jsonl: .*{words}"):
        read_records(log)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_records(tmp_path / "log.jsonl")


def test_write_json(tmp_path):
    write_json(tmp_path / "a.json", {"x": np.float32(0.5), "y": (1, float("inf"))})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 0.5, "y": [1, None]}


def test_a_log_is_written_anew_as_a_whole(tmp_path):
    log = tmp_path / "log.jsonl"
    for step in range(4):
        append_record(log, {"step": step})

    def fails_on_the_way():
        yield {"step": 0}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(log, fails_on_the_way())
    assert len(read_records(log)) == 4
    write_records(log, read_records(log)[:2])
    assert read_records(log) == [{"step": 0}, {"step": 1}]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize(("text", "words"), [*DAMAGED, (b"", "not JSON")])
def test_damaged_json_is_named(tmp_path, text, words):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=rf"a\.json is .*{words}"):
        read_json(path)
