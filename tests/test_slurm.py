"""`nt2c slurm`: the script it prints submits jobs that do all, under signals, kills and spaces."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from nt2c.batch.slurm import SlurmJob, check_time
from nt2c.cli import app
from nt2c.core.errors import SettingsError

SBATCH = """#!/bin/bash
# Keep the script and the options of each job.
number=$(($(ls "$JOBS" | wc -l) + 1))
mkdir "$JOBS/$number"
cat >"$JOBS/$number/script"
printf '%s\\n' "$@" >"$JOBS/$number/options"
echo "10$number;cluster"
"""
SCONTROL = """#!/bin/bash
echo "$@" >>"$JOBS/scontrol"
"""
WORKER = """#!/bin/bash
# Stands for nt2c: notes what it is asked to do, and ends as the first argument says.
printf '%s\\n' "$PWD" "$OMP_NUM_THREADS" "$@" >"$JOBS/asked"
trap 'echo TERM >"$JOBS/heard"; sleep 0.2; exit 143' TERM
case $2 in
    wait) touch "$JOBS/ready"; while :; do sleep 0.05; done ;;
    killed) kill -9 $$ ;;
    *) exit "$2" ;;
esac
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that records what a stand-in for Slurm is told; its programs come first."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name, text in {"sbatch": SBATCH, "scontrol": SCONTROL, "worker": WORKER}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(jobs))
    for name in [n for n in os.environ if n.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return jobs


def job(tmp_path: Path, *arguments: str, shards: int = 3) -> SlurmJob:
    folder = tmp_path / "a folder 'with' 100% $HOME"
    folder.mkdir(exist_ok=True)
    return SlurmJob(
        ["worker"], arguments, folder, folder / "out", shards, ["--mem=8G"], ["--partition=p"]
    )


def submit(script: str, cluster: Path) -> str:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    run = subprocess.run(["bash"], input=script, text=True, check=True, stdout=subprocess.PIPE)
    for part in cluster.glob("*/script"):
        subprocess.run(["bash", "-n", part], check=True)
    return run.stdout


def start(cluster: Path, *, task: int = 1, **more: str) -> "subprocess.Popen[bytes]":
    number = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": "101"}
    return subprocess.Popen(
        ["bash", cluster / "1" / "script"],
        env=os.environ | number | more,
    )


def requeued(cluster: Path) -> str:
    told = cluster / "scontrol"
    return told.read_text() if told.exists() else ""


def test_an_array_of_shards_and_then_a_merge_are_submitted(tmp_path: Path, cluster: Path) -> None:
    one = job(tmp_path, "0", "in put", "it's *")
    said = submit(one.script(), cluster)
    array, merge = ((cluster / n / "options").read_text().splitlines() for n in "12")
    logs = str(one.output / "slurm")
    assert Path(logs).is_dir()
    assert {"--array=1-3", "--requeue", "--open-mode=append", "--mem=8G"} <= set(array)
    assert "--signal=B:USR1@120" in array
    assert f"--output={logs.replace('%', '%%')}/shard-%a.log" in array
    assert "--dependency=afterany:101" in merge
    assert "--mem=8G" not in merge
    assert "--partition=p" in merge
    assert "job 101" in said
    assert "job 102" in said
    assert logs in said

    assert start(cluster, task=2, SLURM_CPUS_PER_TASK="4").wait() == 0
    asked = (cluster / "asked").read_text().splitlines()
    assert asked == [str(one.folder), "4", "denoise", "0", "in put", "it's *", "--shard", "2/3"]
    subprocess.run(["bash", cluster / "2" / "script"], check=False)
    assert (cluster / "asked").read_text().splitlines()[2:] == ["merge", str(one.output)]


@pytest.mark.parametrize(
    ("sent", "again"), [(signal.SIGUSR1, "requeue 101_1\n"), (signal.SIGTERM, "")]
)
def test_a_signal_ends_the_work_politely(
    tmp_path: Path, cluster: Path, sent: signal.Signals, again: str
) -> None:
    submit(job(tmp_path, "wait").script(), cluster)
    task = start(cluster)
    while not (cluster / "ready").exists():
        time.sleep(0.02)
    task.send_signal(sent)
    assert task.wait() == 143
    assert (cluster / "heard").exists()
    assert requeued(cluster) == again


@pytest.mark.parametrize(
    ("ending", "restarts", "again"),
    [
        ("killed", 0, "requeue 101_1\n"),
        ("killed", 2, "requeue 101_1\n"),
        ("killed", 3, ""),
        ("0", 0, ""),
        ("1", 0, ""),
        ("2", 0, ""),
        ("130", 0, ""),
        ("143", 0, ""),
    ],
)
def test_only_what_was_killed_starts_again(
    tmp_path: Path, cluster: Path, ending: str, restarts: int, again: str
) -> None:
    submit(job(tmp_path, ending).script(), cluster)
    count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    assert start(cluster, **count).wait() == (137 if ending == "killed" else int(ending))
    assert requeued(cluster) == again


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.mrc").write_bytes(b"looked at by nobody")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "a\nEND_OF_SHARD\ntouch escaped\n",
        "a\nEND_OF_MERGE\ntouch escaped",
        "it's\t\\n\x7f",
        "\udcff",
    ],
)
def test_no_name_leaves_the_script(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    one = SlurmJob(["worker"], ["0", name], folder, folder / name, 3, [f"--comment={name}"])
    script = os.fsencode(one.script())
    subprocess.run(["bash"], input=script, check=True, stdout=subprocess.PIPE)
    assert start(cluster).wait() == 0
    asked = os.fsencode("\n".join([str(folder), "1", "denoise", "0", name, "--shard", "1/3", ""]))
    assert (cluster / "asked").read_bytes() == asked
    (cluster / "asked").unlink()
    subprocess.run(["bash", cluster / "2" / "script"], check=False)
    assert os.fsencode(f"merge\n{folder / name}\n") in (cluster / "asked").read_bytes()
    assert not list(tmp_path.rglob("escaped"))


def test_what_the_merging_job_gets(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["slurm", "in", "--shards", "1", "-o", "out", "--partition", "p", "--account", "a"]
    more = ["--qos", "q", "--time", "9:00:00", "--mem", "64G"]

    def merge(*options: str) -> list[str]:
        assert app.main([*words, *more, *options]) == 0
        script = capsys.readouterr().out
        line = next(line for line in script.splitlines() if line.startswith("last="))
        return line.rstrip(")").split()

    plain = {"--account=a", "--qos=q", "--time=1:00:00", "--mem=4G", "--cpus-per-task=1"}
    assert plain | {"--partition=p"} < set(merge())
    given = merge("--gpus", "1")
    assert plain < set(given)
    assert not any("partition" in word or "gres" in word for word in given)
    assert "--partition=cpu" in merge("--gpus", "1", "--merge-partition", "cpu")


def test_no_more_shards_than_micrographs(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["slurm", "in", "--shards", "4", "-o", "out"]) == 0
    shown = capsys.readouterr()
    assert "--array=1-1 " in shown.out
    assert shown.err == "nt2c: 1 micrograph: so many shards, not 4\n"


def test_options_go_where_they_belong(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["slurm", "in", "--shards", "1", "-o", "out", "--gpus", "1", "--suffix", "_d"]
    assert app.main([*words, "--time", "1:00:00", "--sbatch=--qos=low", "--keep-background"]) == 0
    script = capsys.readouterr().out
    call = "denoise in -o out --suffix _d --keep-background --shard"
    assert f"{sys.executable} -P -m nt2c {call}" in script
    assert f"nt2c merge {inputs}/out" in script
    array = next(line for line in script.splitlines() if "--array=1-1" in line)
    for option in ("--gres=gpu:1", "--time=1:00:00", "--qos=low", "--cpus-per-task=1"):
        assert option in array
    assert not (inputs / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["in", "-o", "out", "--sufix", "x"], 2, "--suffix"),
        (["in"], 2, "--output"),
        (["empty", "-o", "out"], 1, "no micrographs"),
        (["in", "-o", "out", "--model", "genral"], 2, "genral"),
        (["in", "-o", "out", "--json", "x.json"], 2, "--json: not with nt2c slurm"),
        (["in/one.mrc", "in/two.mrc", "-o", "out"], 1, "in/two.mrc: no such file"),
        (["in/*.tif", "-o", "out"], 1, "no micrograph matches"),
        (["in", "-o", "out", "--time", "2 hours"], 2, "--time 2 hours: not a time of Slurm"),
    ],
)
def test_what_the_tasks_would_refuse_is_refused_at_once(
    words: list[str],
    code: int,
    message: str,
    inputs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.main(["slurm", *words, "--shards", "2"]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["90", "30:00", "0:2:01", "2:00:00", "100:00:00", "1-0", "1-12:30", "1-12:30:15", "0",
             "UNLIMITED"],
)  # fmt: skip
def test_times_of_slurm(text: str) -> None:
    check_time(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a time"),
        ("2h", "not a time"),
        ("1:2:3:4", "not a time"),
        ("1-", "not a time"),
        ("-5", "not a time"),
        ("1.5", "not a time"),
        ("2:00", "that is 120 s, .*2:00:00 for two hours"),
        ("1", "that is 60 s"),
        ("0-0:1", "that is 60 s"),
    ],
)
def test_times_that_do_not_do(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=rf"'time' {text}: .*{message}"):
        check_time(text)


def test_missing_micrographs_of_a_list_are_warned_of(
    inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "a.star").write_text(
        "data_\n\nloop_\n_rlnMicrographName #1\nin/one.mrc\nin/two.mrc\n"
    )
    assert app.main(["slurm", "a.star", "-o", "out", "--shards", "2"]) == 0
    shown = capsys.readouterr()
    assert "1 micrograph of a.star not there, such as" in shown.err
    assert shown.out.startswith("#!/bin/bash")


def test_submit_submits(inputs: Path, cluster: Path) -> None:
    assert app.main(["slurm", "in", "-o", "out", "--shards", "2", "--submit"]) == 0
    assert sorted(part.parent.name for part in cluster.glob("*/script")) == ["1", "2"]


def test_submit_needs_slurm(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert app.main(["slurm", "in", "-o", "out", "--shards", "2", "--submit"]) == 2
    assert "no sbatch here" in capsys.readouterr().err


def test_no_option_has_two_meanings() -> None:
    names = [
        {name for option in command.params for name in option.opts}
        for command in (
            typer.main.get_command(app.build_app([word])).commands[word]  # type: ignore[attr-defined]
            for word in ("slurm", "denoise")
        )
    ]
    assert names[0] & names[1] <= {"--help", "-h"}
