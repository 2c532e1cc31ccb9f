"""What can be said of a fitted model without the truth."""

from pathlib import Path

import torch

from nt2c.core.errors import InputError
from nt2c.denoising.denoiser import Denoiser
from nt2c.evaluation.pairs import PairScore, pair_score, pooled_fraction
from nt2c.evaluation.spectral import Image
from nt2c.io.matching import SameName
from nt2c.io.micrographs import open_micrograph
from nt2c.models.denoiser import DenoiserModel
from nt2c.pipeline.job import FitJob, Watch
from nt2c.pipeline.records import IndependentRecord, NoiseLeftRecord, Recovered
from nt2c.pipeline.window_files import load_prepared, prepared_paths, read_places


def noise_left(model: DenoiserModel, windows: Path, device: str = "auto") -> NoiseLeftRecord:
    """Denoise the micrographs that the extraction kept in `windows`, and look at their windows."""
    denoiser = Denoiser(model, device=device, precision="fp32")
    rows = read_places(windows)
    before, after, everywhere = [], [], []
    for path in prepared_paths(windows):
        scaled = load_prepared(path)
        with torch.inference_mode():
            estimate = denoiser.estimate(scaled.to(denoiser.device)).cpu()
        everywhere.append(float(estimate.var()))
        for row in rows:
            if row.micrograph == path.stem:
                y, x, size = row.y_px, row.x_px, row.size_px
                before.append(float(scaled[y : y + size, x : x + size].var()))
                after.append(float(estimate[y : y + size, x : x + size].var()))
    left = sum(after) / len(after)
    return NoiseLeftRecord(
        of_noise=left * len(before) / sum(before),
        of_output=left * len(everywhere) / sum(everywhere),
    )


def judge_independent(
    job: FitJob, denoised: Path, independent: Path, watch: Watch
) -> IndependentRecord:
    """Score raw, coarsely denoised and denoised micrographs by independent exposures.

    Parameters
    ----------
    job : FitJob
        Names the raw micrographs and the coarse model.
    denoised : Path
        Folder of the results for them.
    independent : Path
        Folder of exposures of the same fields, with the names of the raw micrographs.
    watch : Watch
        Hears how it goes on.

    Returns
    -------
    IndependentRecord
        What is recovered of the signal, and a message for each micrograph that could not be
        scored.

    Raises
    ------
    InputError
        No micrograph can be scored.
    SettingsError
        `independent` is not a folder.
    """
    partners = SameName(independent)
    coarse = Denoiser(job.coarse, device=job.device)
    scores: dict[str, dict[str, PairScore]] = {}
    failed = []
    for index, item in enumerate(job.inputs):
        try:
            partner = partners.of(item.path)
            if partner is None:
                raise InputError(f"{item.path}: {independent} holds no exposure of that name")
            with open_micrograph(item.path, job.pixel_size_a, item.star_pixel_size_a) as raw:
                image, pixel_size_a = raw.read(), raw.pixel_size_a
            second, result = _image(partner), _image(denoised / item.output_name)
            methods = {"raw": image, "coarse": coarse(image, pixel_size_a), "fitted": result}
            scores[item.output_name] = {
                name: pair_score(made, second, image, pixel_size_a=pixel_size_a)
                for name, made in methods.items()
            }
        except InputError as error:
            failed.append(str(error))
        watch.advance(index + 1, item.path.name)
    if not scores:
        raise InputError(f"{independent}: no micrograph could be scored: {failed[0]}")
    pooled = {
        method: pooled_fraction([score[method] for score in scores.values()])
        for method in ("raw", "coarse", "fitted")
    }
    fields = {
        field: Recovered(**{method: score.fraction for method, score in own.items()})
        for field, own in scores.items()
    }
    return IndependentRecord(fraction=Recovered(**pooled), fields=fields, failed=tuple(failed))


def _image(path: Path) -> Image:
    with open_micrograph(path, 1.0) as micrograph:  # the pixel size is that of the raw one
        return micrograph.read()
