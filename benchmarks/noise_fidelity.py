"""How faithful the noise samplers are, on noise that is known and on windows of real micrographs.

    python benchmarks/noise_fidelity.py [--sets ice level tails lines] [--seeds 0] [--threads 1]
    python benchmarks/noise_fidelity.py --windows FOLDER_OF_EXTRACT_NOISE

Sets (fields of 448 px at 4 A, cut into windows of 48 px; of each field five eighths of the windows
teach, the rest judge):
  ice    counting noise and ice of our simulator, optics and ice differing between fields
  level  coloured Gaussian noise whose level drifts over 100-300 A
  tails  heavy-tailed grains (variance drawn anew at each pixel, blurred a little) on Gaussian noise
  lines  anisotropic noise, and rows with an offset that runs through the whole field
Each sampler, set and seed adds a JSON line to the results.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nt2c.core.random import stream
from nt2c.core.version import __version__
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.io.records import append_record
from nt2c.noise.features import radial_spectra
from nt2c.noise.samplers import BootstrapNoise, ColouredNoise, NoiseSampler, standardised
from nt2c.noise.statistics import compare
from nt2c.pipeline.learning import split_windows
from nt2c.simulation.bank import procedural_bank
from nt2c.simulation.micrograph import simulate
from nt2c.simulation.settings import ImagingSettings, SimulationSettings, SpecimenSettings
from nt2c.training.pairs import scaled_pairs
from nt2c.training.sampler_files import load_sampler, write_sampler
from nt2c.training.synthesizer import SynthesizerSettings, train_synthesizer

ROOT = Path(__file__).resolve().parents[1]
PIXEL_SIZE_A, FIELDS, FIELD_PX, WINDOW_PX = 4.0, 12, 448, 48
_LARGE_FIELDS = 300
KINDS = ("coloured", "bootstrap", "wgan")


@dataclass(frozen=True)
class Subject:
    """Windows (n, s, s) to learn from and to judge by, and the fields that they are from."""

    name: str
    learn: Tensor
    judge: Tensor
    learn_groups: Tensor
    groups: Tensor | None
    pixel_size_a: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--windows", type=Path, help="folder of nt2c extract-noise, judged alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks/outputs/noise_fidelity")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks/results/noise_fidelity.jsonl"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    records = []
    for seed in arguments.seeds:
        if arguments.windows:
            subjects = [real_subject(arguments.windows)]
        else:
            subjects = [known_subject(name, seed) for name in arguments.sets]
        for subject in subjects:
            for kind in arguments.kinds:
                records.append(judge(subject, kind, seed, arguments.work))
                append_record(arguments.results, records[-1])
    show(records)


def white(seed: int, role: str, count: int = FIELDS) -> Tensor:
    return torch.randn(count, FIELD_PX, FIELD_PX, generator=stream(seed, role))


def frequency() -> Tensor:
    """|k| in 1/px."""
    return frequency_grid((FIELD_PX, FIELD_PX), 1.0)


def coloured(noise: Tensor) -> Tensor:
    """Noise that falls towards Nyquist as a detector's, with a rise at low frequency as of ice."""
    k = frequency()
    power = 1 / (1 + (1.2 * k) ** 2) + 3 / (1 + (30 * k) ** 2) ** 1.5
    return apply_filter(noise, power.sqrt())


def ice(seed: int) -> Tensor:
    settings = SimulationSettings(
        pixel_size_a=PIXEL_SIZE_A,
        shape=(FIELD_PX, FIELD_PX),
        specimen=SpecimenSettings(empty=1.0),
        imaging=ImagingSettings(
            defocus_um=(0.8, 2.5),
            dose_e_per_a2=(40.0, 40.0),
            ice_thickness_a=(200.0, 500.0),
            ice_gain=(1.0, 1.0),
            camera_pixel_size_a=(1.0, 1.0),
            detectors=("K3",),
            contamination=0.0,
            carbon=0.0,
        ),
    )
    bank = procedural_bank(1, PIXEL_SIZE_A, 1, (90.0, 90.0), stream(seed, "unused particle"))
    generators = stream(seed, "ice placement"), stream(seed, "ice noise")
    return scaled_pairs(simulate(bank, settings, FIELDS, *generators), PIXEL_SIZE_A).noisy[:, 0]


def level(seed: int) -> Tensor:
    log = torch.zeros(FIELDS, FIELD_PX, FIELD_PX)
    for sigma_px in (8.0, 18.0):  # correlated over about 100 and 250 A (full width at half height)
        transfer = torch.exp(-2 * (math.pi * sigma_px * frequency()) ** 2)
        smooth = apply_filter(white(seed, f"level {sigma_px}"), transfer)
        log += 0.25 * smooth / smooth.std()
    return coloured(white(seed, "level noise")) * torch.exp(log)


def tails(seed: int) -> Tensor:
    squares = [white(seed, f"tails {i}").square() for i in range(4)]
    student = white(seed, "tails noise") / torch.stack(squares).mean(0).sqrt().clamp(min=0.15)
    grains = apply_filter(student, torch.exp(-1.44 * frequency() ** 2))
    return grains + 0.7 * coloured(white(seed, "tails ground"))


def lines(seed: int) -> Tensor:
    ky, kx = torch.fft.fftfreq(FIELD_PX)[:, None], torch.fft.rfftfreq(FIELD_PX)[None]
    power = 1 + 2 * torch.exp(-((25 * ky) ** 2) - (4 * kx) ** 2)
    field = apply_filter(white(seed, "lines noise"), power.sqrt())
    generator = stream(seed, "lines rows")
    offset = torch.randn(FIELDS, FIELD_PX, 1, generator=generator)
    struck = torch.rand(FIELDS, FIELD_PX, 1, generator=generator) < 0.06
    return field + 2.0 * offset * struck


SETS: dict[str, Callable[[int], Tensor]] = {
    "ice": ice,
    "level": level,
    "tails": tails,
    "lines": lines,
}


def known_subject(name: str, seed: int) -> Subject:
    fields = SETS[name](seed)
    windows = fields.unfold(1, WINDOW_PX, WINDOW_PX).unfold(2, WINDOW_PX, WINDOW_PX)
    windows = windows.reshape(FIELDS, -1, WINDOW_PX, WINDOW_PX)
    order = torch.randperm(windows.shape[1], generator=stream(seed, "judged"))
    learn, held = order.tensor_split([5 * len(order) // 8])
    learnt, groups = (torch.arange(FIELDS).repeat_interleave(len(part)) for part in (learn, held))
    judge, learn = windows[:, held].flatten(0, 1), windows[:, learn].flatten(0, 1)
    return Subject(name, learn, judge, learnt, groups, PIXEL_SIZE_A)


def real_subject(folder: Path) -> Subject:
    split = split_windows(folder)
    several = len(split.judge_groups.unique()) > 1
    groups = split.judge_groups if several else None
    return Subject(
        folder.name, split.learn, split.judge, split.learn_groups, groups, split.pixel_size_a
    )


def judge(subject: Subject, kind: str, seed: int, work: Path) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    sampler = fit(subject, kind, seed, work)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    drawn = sampler.sample(tuple(subject.judge.shape), stream(seed, "drawn"))  # type: ignore[arg-type]
    fidelity = compare(
        subject.judge, drawn, subject.pixel_size_a, stream(seed, "judgement"), subject.groups
    )
    record = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "set": subject.name,
        "seed": seed,
        "kind": kind,
        "learned_from": len(subject.learn),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "period": period_score(sampler.sample((1, 1024, 1024), stream(seed, "large"))[0]),
        "training": {k: v for k, v in getattr(sampler, "metadata", {}).items() if k != "run"},
        "ring_ratio_all": ring_ratio_all(subject, sampler, seed),
        **fidelity.to_record(),
    }
    print(line(record), flush=True)
    return record


def fit(subject: Subject, kind: str, seed: int, work: Path) -> NoiseSampler:
    if kind == "coloured":
        return ColouredNoise.fit(subject.learn, subject.learn_groups)
    if kind == "bootstrap":
        return BootstrapNoise.fit(subject.learn, subject.learn_groups)
    folder = work / f"{subject.name}-{seed}"
    sampler = train_synthesizer(
        subject.learn, subject.learn_groups, SynthesizerSettings(), folder, seed=seed, device="cpu"
    )
    path = folder / "sampler.safetensors"
    write_sampler(path, sampler, subject.pixel_size_a)
    return load_sampler(path, subject.pixel_size_a)


def ring_ratio_all(subject: Subject, sampler: NoiseSampler, seed: int) -> list[float]:
    """Power in each ring over that of all windows, taught and held out, from many draws.

    The held-out windows alone are too few to tell an error of 5 % in the innermost rings.
    """
    real = standardised(torch.cat([subject.learn, subject.judge]))
    side = real.shape[-1]
    fields = sampler.sample((_LARGE_FIELDS, 3 * side, 3 * side), stream(seed, "rings"))
    drawn = fields.unfold(1, side, side).unfold(2, side, side).reshape(-1, side, side)
    return (radial_spectra(drawn).mean(0) / radial_spectra(real).mean(0)).tolist()


def period_score(field: Tensor) -> float:
    """Largest autocorrelation at lags beyond 2 windows, in standard deviations of chance.

    Lags along which rows or columns run through the whole field (dy or dx = 0) are left out. Of
    half a million normal numbers the largest is about 5.
    """
    size = field.shape[-1]
    power = torch.fft.rfft2(field - field.mean(), s=(2 * size, 2 * size)).abs().square()
    lags = torch.fft.irfft2(power)[: size // 2, : size // 2]
    index = torch.arange(size // 2)
    score = lags / ((size - index)[:, None] * (size - index)).sqrt()
    far = torch.maximum(index[:, None], index) >= 2 * WINDOW_PX
    far &= (index[:, None] > 0) & (index > 0)
    return float(score[far].abs().max() / score[far].std())


def line(record: dict[str, Any]) -> str:
    radial, large = [m["value"] for m in record["radial_ratio"]], record["ring_ratio_all"]
    names = ("classifier_auc", "diversity", "sliced_wasserstein", "local_variance_distance")
    figures = "  ".join(f"{name} {record[name]['value']:.3f}" for name in names)
    return (
        f"{record['set']:8s} {record['kind']:9s} seed {record['seed']}  {figures}  "
        f"rings {min(radial):.3f} to {max(radial):.3f}, of all windows "
        f"{min(large):.3f} to {max(large):.3f}  period {record['period']:.1f}  "
        f"{record['seconds']:.0f} s ({record['cpu_seconds']:.0f} s of CPU)"
    )


def show(records: list[dict[str, Any]]) -> None:
    table = Table("set", "sampler", "seed", "AUC", "diversity", "rings", "chance", "period")
    for record in records:
        auc, diversity = record["classifier_auc"], record["diversity"]
        table.add_row(
            record["set"],
            record["kind"],
            str(record["seed"]),
            f"{auc['value']:.3f} ({auc['low']:.2f}-{auc['high']:.2f})",
            f"{diversity['value']:.3f} ({diversity['low']:.2f}-{diversity['high']:.2f})",
            f"{record['radial_error']['value']:.3f}",
            f"{record['radial_error']['same_high']:.3f}",
            f"{record['period']:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
