"""A fit starts from the one of two models that most of its micrographs ask for."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nt2c.io.inputs import find_inputs
from nt2c.pipeline.start import starting_model
from tests.batch.make import identity_model, micrograph, noise, random_model
from tests.io.make import write_mrc

SHAPE = (256, 256)


def with_blobs(path: Path) -> None:
    """Write a micrograph of which little is noise."""
    image = noise(SHAPE)
    for y, x in np.random.default_rng(2).integers(8, 120, (30, 2)):
        image[y - 6 : y + 6, x - 6 : x + 6] -= 140.0  # of a noise of 10
    write_mrc(path, image.astype(np.float32), 4.0)


def test_most_micrographs_decide_and_bad_ones_do_not_count(tmp_path: Path) -> None:
    both = replace(identity_model(), other=random_model(name="other"))
    for seed in range(2):
        micrograph(tmp_path / f"noise{seed}.mrc", seed, 4.0, SHAPE)
    (tmp_path / "broken.mrc").write_bytes(b"no micrograph")
    found = find_inputs([tmp_path])
    assert starting_model(both, found, device="cpu").name == "other"
    with_blobs(tmp_path / "one.mrc")
    with_blobs(tmp_path / "two.mrc")
    (tmp_path / "noise1.mrc").unlink()
    chosen = starting_model(both, find_inputs([tmp_path]), device="cpu")
    assert (chosen.name, chosen.other) == ("identity", None)


def test_one_model_is_taken_unseen(tmp_path: Path) -> None:
    model = identity_model()
    assert starting_model(model, []) is model
