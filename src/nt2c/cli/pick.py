"""The command `nt2c pick`."""

from pathlib import Path

from nt2c.cli.commands import Pick
from nt2c.cli.terminal import say, warn
from nt2c.core.advice import EXTRACT_FROM_RAW
from nt2c.core.words import plural
from nt2c.workflows import pick as workflow

_FEW = 5  # picks per micrograph
_CROWDED = (
    "few picks: where hardly any ice is seen between the particles, noise that is measured in the "
    "micrographs holds a part of them; learn it in windows (nt2c extract-noise, then nt2c "
    "train-noise --kind coloured) and give it with --noise"
)


def pick(given: Pick) -> int:
    """Pick, and say what was picked."""
    looked: list[Path] = []

    def show(path: Path, reason: str, total: int) -> None:
        looked.append(path)
        say(f"[{len(looked)}/{total}] {path}: {'failed' if reason else 'looked at'}")

    summary = workflow.pick(
        given.inputs, given.output, given.options, given.model, device=given.device, on_file=show
    )
    for line in told(summary):
        say(line)
    say(f"results are in {given.output}")
    say(EXTRACT_FROM_RAW)
    for reason in summary.failed:
        warn(f"failed: {reason}")
    return 1 if summary.failed else 0


def told(summary: workflow.PickSummary) -> list[str]:
    """What was picked, in plain words."""
    count, rate = len(summary.micrographs), summary.options.fdr
    few = summary.picks < _FEW * count
    hint = [_CROWDED] if few and not (summary.options.noise or summary.options.fit) else []
    if not summary.picks:
        return [
            f"no pick: in {plural(count, 'micrograph')} nothing stands out of the noise at a share "
            f"of noise of {rate:g}; look whether there are particles of this diameter",
            *hint,
        ]
    low, high = (100 * share for share in summary.share_95)
    lines = [
        f"{plural(summary.picks, 'pick')} in {plural(count, 'micrograph')}, "
        f"{summary.picks / count:.1f} per micrograph",
        f"expected noise picks: {summary.expected_noise_picks:.1f} "
        f"({100 * summary.expected_noise_picks / summary.picks:.1f} %; 95 % of {low:.1f} to "
        f"{high:.1f} %), from {plural(summary.noise_fields, 'field')} of noise",
        "dirt, ice crystals and film are not noise: they are not counted there",
        *hint,
    ]
    rest = count - summary.selected
    if rest:
        lines.append(f"{plural(rest, 'micrograph')} not selected; reasons are in summary.json")
    return lines
