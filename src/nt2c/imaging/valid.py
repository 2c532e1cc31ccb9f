"""Pixels of a raw micrograph that hold no image: found, and filled so that nothing sees them.

Motion correction leaves borders of zeros, a grid bar or the edge of the beam a dark plateau, a
broken copy an empty half, a detector dead lines and pixels. They all lack the noise that every
exposed pixel has; or they lie far from all their neighbours.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from nt2c.imaging.quantiles import ascending, quantiles

_ROWS = 32  # at once, also the side of the blocks that are judged: what fits into the cache
_NO_NOISE = 0.01  # of the usual variance of neighbours' differences
_LITTLE_NOISE = 0.1  # enough where the mean is off, too: bars and unlit rims
_FINE = 8  # side of the blocks that outline an area
_USUAL = 0.75  # quantile of the blocks: up to this share of a micrograph may be empty
_MIXED_PX = 2  # around an area of one value
_PARTS = 4  # of a line, judged one by one: amplifiers read a part each
_RARE = 0.05  # share of the rest of the pixels
_FAR = 3.0  # standard deviations of single pixels by which the mean of an area or line is off
_UNLIKE = 8.0  # the same in median deviations of the lines from their surroundings
_AT_BORDER = 1.0  # as _FAR, of lines at the border: cameras often have dark first ones
_AROUND = 17  # lines that are compared with the one in their middle
_OUTLIER = 5.0  # standard deviations of pixels that their neighbours must be like
_SPIKE_DEPTH = 2.5  # standard deviations from the median: dead and saturated pixels
_SPIKE_EXCESS = 5  # times as many as of the grey values next to it
_SPIKE_LEAST = 8  # in the sample
# Standard deviations at quantiles of a normal distribution: those farther out are for sparse
# counts, which mostly have one value.
_TAILS = {0.05: 1.645, 0.01: 2.326, 0.001: 3.090}
_SAMPLE = 1 << 18


@dataclass(frozen=True)
class ValidArea:
    """Which pixels of a micrograph hold an image, and what the others are filled with.

    Attributes
    ----------
    empty : Tensor of bool, shape (y, x), or None
        Areas and lines without image, not single pixels; None where there are none.
    median, below, above : float
        Median of the pixels that hold an image, and robust standard deviations to either side.
    spikes : tuple of float
        Values of dead or saturated pixels.
    """

    empty: Tensor | None
    median: float
    below: float
    above: float
    spikes: tuple[float, ...]

    @property
    def empty_share(self) -> float:
        """Share of the micrograph that holds no image."""
        return 0.0 if self.empty is None else float(self.empty.float().mean())

    def limits(self, deviations: float) -> tuple[float, float]:
        """Grey values so many standard deviations from the median."""
        return self.median - deviations * self.below, self.median + deviations * self.above

    def filled(self, raw: Float[Tensor, "y x"], start: int, stop: int) -> Float[Tensor, "rows x"]:
        """Copy rows of the micrograph, with its median in empty areas.

        Pixels on the rim of these, single dead ones, and those as far from their neighbours as from
        the median, get the mean of the neighbours.
        """
        top, bottom = max(0, start - 1), min(raw.shape[0], stop + 1)
        part = raw[top:bottom]
        low, high = self.limits(_OUTLIER)
        bad = (part < low) | (part > high)
        for spike in self.spikes:
            bad |= part == spike
        empty = None if self.empty is None else self.empty[top:bottom]
        if empty is not None:
            bad |= empty
        rows = slice(start - top, stop - top)
        result = part[rows].clone()
        inner = bad[rows]
        if empty is not None:
            own = empty[rows]
            result[own] = self.median
            rim = (empty & _dilated(~empty, 1))[rows]
            y, x = torch.nonzero(rim, as_tuple=True)
            mean, count = _neighbours(part, bad, y + start - top, x)
            result[y, x] = torch.where(count > 0, mean, result[y, x])
            inner = inner & ~own
        y, x = torch.nonzero(inner, as_tuple=True)
        if len(y):
            mean, count = _neighbours(part, bad, y + start - top, x)
            value = result[y, x]
            off = (value - mean > _OUTLIER * self.above) | (mean - value > _OUTLIER * self.below)
            for spike in self.spikes:
                off |= value == spike
            lonely = off & (count >= 4)  # groups of outliers are something, not dead pixels
            result[y[lonely], x[lonely]] = mean[lonely]
        return result


def find_valid_area(raw: Float[Tensor, "y x"]) -> ValidArea:
    """Find the pixels of a micrograph that hold no image.

    An area holds none where neighbouring pixels hardly differ, as noise makes them do; a line
    neither, nor where its mean is far from that of the lines around it, for which less is enough at
    the border. Values far from the median that far too many pixels have are those of dead or
    saturated ones.
    """
    empty = _empty(raw)
    seen = raw.flatten()
    step = max(1, seen.numel() // _SAMPLE) | 1  # odd: not always the same columns
    seen = seen[::step]
    if empty is not None:
        valid = seen[~empty.flatten()[::step]]
        seen = valid if len(valid) else seen
    middle = float(seen.median())
    down, up = _spread(middle - seen), _spread(seen - middle)
    values, counts = ascending(seen).unique_consecutive(return_counts=True)
    spread = torch.where(values < middle, down, up).clamp(min=1e-30)
    beside = torch.cat([counts[:1] * 0, counts, counts[:1] * 0])
    beside = torch.maximum(beside[:-2], beside[2:])
    many = (counts > _SPIKE_EXCESS * beside) & (counts >= _SPIKE_LEAST)
    spikes = values[many & ((values - middle).abs() > _SPIKE_DEPTH * spread)].tolist()
    return ValidArea(empty, middle, down, up, tuple(spikes))


def _spread(deviations: Tensor) -> float:
    """Robust standard deviation, of the deviations from the median to one side."""
    edges = quantiles(deviations, *(1 - share for share in _TAILS)).tolist()
    found = (edge / tail for edge, tail in zip(edges, _TAILS.values(), strict=True) if edge > 0)
    return next(found, 0.0)


def _empty(raw: Tensor) -> Bool[Tensor, "y x"] | None:
    """Areas and lines that hold no image; None where there are none."""
    usable = _usable(raw)
    if min(raw.shape) < _ROWS or usable is None:
        return None
    noise, mean = _blocks(raw, _ROWS, usable)
    usual = float(quantiles(noise[noise > 0], _USUAL))
    sd = (usual / 2) ** 0.5
    middle = float(mean[noise > 0.5 * usual].median())
    quiet = _is_quiet(noise / usual, mean, middle, sd)
    empty = torch.zeros(raw.shape, dtype=torch.bool, device=raw.device)
    if bool(quiet.any()):
        # Small blocks outline the area; one on its rim is mixed, so that those around belong to it
        # where nothing tells its pixels apart.
        noise, mean = _blocks(raw, _FINE, usable)
        near = _enlarged(_dilated(quiet, 2), _ROWS // _FINE, noise.shape)
        fine = near & _is_quiet(noise / usual, mean, middle, sd)
        # In an area of one value, if that is rare in the image, each pixel tells; those on its rim
        # may be mixed.
        seen = raw[::_FINE, ::_FINE]
        values, counts = seen[fine].unique(return_counts=True)
        value = values[2 * counts > counts.sum()]
        rare = float(torch.isin(seen[~near], value).float().mean()) < _RARE
        if len(value) and rare:
            inside = _enlarged(fine, _FINE, raw.shape)
            empty = _dilated(_grown(inside, torch.isin(raw, value)), _MIXED_PX)
        else:
            empty = _enlarged(_dilated(fine, 1), _FINE, raw.shape)
    rows, columns = _lines(raw, usable)
    for lines, mask in ((rows, empty), (columns, empty.T)):
        ends = _ends(mask.shape[1])
        for part, (variances, means) in enumerate(lines):
            bad = _bad_lines(variances / usual, means, sd)
            mask[:, ends[part] : ends[part + 1]] |= bad[:, None]
    return empty if bool(empty.any()) else None


@dataclass(frozen=True)
class _Usable:
    """Greatest values and differences that count: a single x-ray is no noise, nor a line's mean."""

    low: float
    high: float
    difference: float

    def values(self, raw: Tensor) -> Tensor:
        return raw.clamp(self.low, self.high)

    def squares(self, raw: Tensor, dim: int) -> Tensor:
        """Squared differences of neighbours."""
        return torch.diff(raw, dim=dim).clamp_(-self.difference, self.difference).square_()


def _usable(raw: Tensor) -> _Usable | None:
    """Measure it where neighbours differ; None where none do."""
    rows = raw[:: max(1, raw.numel() // _SAMPLE)]
    differences = torch.diff(rows, dim=1).abs_()
    there = differences > 0
    if not bool(there.any()):
        return None
    low, middle, high = quantiles(rows[:, :-1][there], 0.05, 0.5, 0.95).tolist()
    reach = _UNLIKE / _TAILS[0.05]
    difference = _UNLIKE * float(quantiles(differences[there], 0.9))
    return _Usable(middle - reach * (middle - low), middle + reach * (high - middle), difference)


def _blocks(raw: Tensor, size: int, usable: _Usable) -> tuple[Tensor, Tensor]:
    """Mean square of neighbours' differences, and mean, of blocks of `size` pixels."""
    noise, mean = [], []
    for part in raw.split(size):
        across = usable.squares(part, 1)
        # The last column has no neighbour: it stands for itself.
        across = torch.cat([across, across[:, -1:]], 1)
        noise.append(_block_means(across.mean(0), size))
        mean.append(_block_means(usable.values(part).mean(0), size))
    return torch.stack(noise), torch.stack(mean)


def _grown(area: Tensor, more: Tensor) -> Tensor:
    """Add what of `more` is connected with an area."""
    grown = ndimage.binary_propagation(area.cpu().numpy(), mask=(area | more).cpu().numpy())
    return torch.from_numpy(grown).to(area.device)


def _ends(size: int) -> list[int]:
    """Where the parts of a line begin and end."""
    return [round(size * i / _PARTS) for i in range(_PARTS + 1)]


Lines = list[tuple[Tensor, Tensor]]
"""For each part of the lines: mean square of neighbours' differences along them, and mean."""


def _lines(raw: Tensor, usable: _Usable) -> tuple[Lines, Lines]:
    """Rows and columns, in parts; in one pass over rows that fit into the cache."""
    height, width = raw.shape
    rows, ends = [], _ends(width)
    for part in raw.split(_ROWS):
        across, values = usable.squares(part, 1), usable.values(part)
        spans = list(zip(ends[:-1], ends[1:], strict=True))
        rows.append(torch.stack([
            torch.stack([across[:, a : b - 1].mean(1), values[:, a:b].mean(1)]) for a, b in spans
        ]))  # fmt: skip
    columns = []
    for top, bottom in zip(_ends(height)[:-1], _ends(height)[1:], strict=True):
        total = torch.zeros(2, width, device=raw.device)
        pairs = 0
        for part in raw[top:bottom].split(_ROWS):
            total[0] += usable.squares(part, 0).sum(0)
            total[1] += usable.values(part).sum(0)
            pairs += len(part) - 1
        columns.append((total[0] / max(1, pairs), total[1] / (bottom - top)))
    return [(own[0], own[1]) for own in torch.cat(rows, -1)], columns


def _enlarged(mask: Tensor, times: int, shape: torch.Size) -> Tensor:
    whole = mask.repeat_interleave(times, 0).repeat_interleave(times, 1)
    return whole[: shape[0], : shape[1]]


def _block_means(line: Tensor, size: int = _ROWS) -> Tensor:
    """Means of so many neighbours each in the last axis; the last one of fewer."""
    more = -line.shape[-1] % size
    blocks = functional.pad(line, (0, more)).unflatten(-1, (-1, size)).sum(-1)
    counts = torch.full_like(blocks, size)
    counts[..., -1] -= more
    return blocks / counts


def _is_quiet(noise: Tensor, mean: Tensor, middle: float, sd: float) -> Tensor:
    """Whether blocks hold no image, from their noise in units of the usual variance and mean."""
    off = (mean - middle).abs() > _FAR * sd
    return (noise < _NO_NOISE) | ((noise < _LITTLE_NOISE) & off)


def _dilated(mask: Tensor, by: int) -> Tensor:
    side = 2 * by + 1
    return functional.max_pool2d(mask[None].float(), side, 1, by)[0] > 0


def _bad_lines(variances: Tensor, means: Tensor, sd: float) -> Bool[Tensor, " lines"]:
    """Lines without noise, and those whose mean is far from that of the lines around them.

    `variances` is that of neighbours' differences in units of the usual one, `sd` the standard
    deviation of single pixels.
    """
    # Mirrored so that the first and last lines do not count as their own surroundings.
    around = ndimage.median_filter(means.cpu().numpy(), _AROUND, mode="mirror")
    deviation = (means - torch.from_numpy(around).to(means.device)).abs()
    unlike = _UNLIKE * float(deviation.median())
    off = deviation > max(_FAR * sd, unlike)
    border = (deviation > max(_AT_BORDER * sd, unlike)).int()
    border = border.cumprod(0) | border.flip(0).cumprod(0).flip(0)
    return (variances < _NO_NOISE) | off | border.bool()


def _neighbours(image: Tensor, bad: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the good ones among the eight neighbours of pixels, and how many these are."""
    height, width = image.shape
    total = torch.zeros(len(y), device=image.device)
    count = torch.zeros(len(y), device=image.device)
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        if dy or dx:
            v, u = y + dy, x + dx
            inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
            v, u = v.clamp(0, height - 1), u.clamp(0, width - 1)
            good = inside & ~bad[v, u]
            total += image[v, u] * good
            count += good
    return total / count.clamp(min=1), count


def mirror_fill(image: Float[Tensor, "y x"], empty: Bool[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """Fill empty pixels with the mirror image of what lies across the nearest edge.

    So they hold the same noise as the rest, and nothing that measures it is misled.
    """
    gap = empty.cpu().numpy()
    if gap.all():
        return image
    near = ndimage.distance_transform_edt(gap, return_distances=False, return_indices=True)
    places = np.indices(gap.shape)
    across = 2 * near - places
    for axis, size in enumerate(gap.shape):
        across[axis] = np.abs(across[axis])
        across[axis] = size - 1 - np.abs(size - 1 - across[axis])
        across[axis] = across[axis].clip(0, size - 1)
    outside = gap[across[0], across[1]]
    source = np.where(outside, near, across)
    index = torch.from_numpy(source).to(image.device)
    return torch.where(empty, image[index[0], index[1]], image)
