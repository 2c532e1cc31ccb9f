"""Every command in docs/relion.md and docs/cryosparc.md is run in a made project."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nt2c.cli.app import main
from nt2c.pipeline.fit import FitResult
from tests.hosts.project import STAR, make_project

DOCS = Path(__file__).resolve().parents[2] / "docs"
COUNT = 3


def _commands(document):
    blocks = re.findall(r"^```bash\n(.*?)^```", (DOCS / document).read_text(), re.DOTALL | re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("nt2c ")]


def _picks(names):
    """Write picks of two kinds on the denoised micrographs of External/job012."""
    rows = []
    for name in names:
        coordinates = Path(name.replace("MotionCorr/job002", "AutoPick/job013")).with_suffix(
            ".star"
        )
        coordinates.parent.mkdir(parents=True, exist_ok=True)
        coordinates.write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n5 6\n")
        rows.append(f"{name.replace('MotionCorr/job002', 'External/job012')} {coordinates}\n")
    head = "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
    Path("AutoPick/job013/autopick.star").write_text(head + "".join(rows))
    table = "".join(f"{Path(name).stem}\t5\t6\t1.0\n" for name in names)
    Path("topaz.txt").write_text(f"image_name\tx_coord\ty_coord\tscore\n{table}")


def test_relion(tmp_path, monkeypatch, model_file):
    def fit(job, _):
        record = SimpleNamespace(stages={}, windows=SimpleNamespace(failed=()))
        return FitResult(job.folder / "model.safetensors", record)

    monkeypatch.setattr("nt2c.workflows.fit.do_stages", fit)
    monkeypatch.chdir(tmp_path)
    _picks(make_project(tmp_path, COUNT))
    commands = _commands("relion.md")
    assert len(commands) == 6
    for words in commands:
        extra = ["--model", str(model_file), "--device", "cpu"] if words[0] == "relion" else []
        extra += ["--diameter", "20"] if "pick" in words else []  # the fields are tiny
        assert main([*words, *extra]) == 0, words
    assert Path("External/job013/autopick.star").is_file()
    assert len(list(Path("External/job012").rglob("*.mrc"))) == COUNT
    text = Path("picks_raw/autopick.star").read_text()
    assert text.count("MotionCorr/job002/") == COUNT
    assert text.count(" picks_raw/data/") == COUNT
    assert Path("picks_raw/topaz.txt").read_text().count("\t20\t24\t") == COUNT
    assert Path(STAR).exists()


def test_cryosparc(tmp_path, monkeypatch, model_file):
    monkeypatch.chdir(tmp_path)
    names = make_project(tmp_path, COUNT)
    (tmp_path / "J5").mkdir()
    blob, place = "micrograph_blob", "location"
    kinds = [("uid", "<u8"), (f"{blob}/path", "S200"), (f"{blob}/shape", "<u4", (2,))]
    kinds += [(f"{blob}/psize_A", "<f4")]
    rows = [(n + 1, name, (48, 56), 2.0) for n, name in enumerate(names)]
    np.save(tmp_path / "e.npy", np.array(rows, kinds))
    (tmp_path / "e.npy").rename(tmp_path / "J5" / "exposures.cs")
    kinds = [("uid", "<u8"), (f"{place}/micrograph_uid", "<u8")]
    kinds += [
        (f"{place}/micrograph_path", "S200"),
        *((f"{place}/center_{axis}_frac", "<f4") for axis in "xy"),
    ]
    np.save(tmp_path / "p.npy", np.array([(1, 1, "J5_denoised/x.mrc", 0.5, 0.5)], kinds))
    (tmp_path / "p.npy").rename(tmp_path / "picked_particles.cs")
    server, *local = _commands("cryosparc.md")
    for words in local:
        extra = ["--model", str(model_file), "--device", "cpu"] if words[0] == "cryosparc" else []
        assert main([*words, *extra]) == 0, words
    picks = np.load("picks_raw/picked_particles.cs")
    assert picks[f"{place}/micrograph_path"][0].decode() == names[0]
    assert len(np.load("J5_denoised/denoised_exposures.cs")) == COUNT

    def client():
        raise ConnectionError("asked for a server")

    monkeypatch.setattr("nt2c.cli.cryosparc._client", client)
    with pytest.raises(ConnectionError, match="asked for a server"):
        main(server)
