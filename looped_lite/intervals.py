"""How sure is a measured number? 95% intervals for shares, means, differences, rank correlations, the AUC."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from .checks import whole

Measured = tuple[float, float, float]  # the number itself, and the two ends of its 95% interval


def _numbers(values: Any, name: str = "values", least: int = 1) -> np.ndarray:
    """Finite real numbers as floats, from lists, NumPy or PyTorch; at least ``least`` along the first axis."""
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite real numbers, got {str(values).splitlines()[0] if values.size else 'none':.60}"
        )
    if (len(values) if values.ndim else 1) < least or values.size == 0:
        raise ValueError(f"{name} must be at least {least} numbers, got {len(values) if values.ndim else 1}")
    return values.astype(float)


def _pair(a: Any, b: Any, names: tuple[str, str], least: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = _numbers(a, names[0], least), _numbers(b, names[1], least)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must be two lists of one length, got shapes {a.shape} and {b.shape}"
        )
    return a, b


def wilson(successes: Any, n: Any, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval for a share of right answers: ``(low, high)``, 95% at the default ``z``.

    ``successes`` of ``n`` trials, numbers or arrays of the same shape. Unlike mean +- 1.96 standard errors it stays
    inside [0, 1] and keeps a width when every trial went the same way: 100 right of 100 gives 0.963 to 1.
    """
    successes, n = _numbers(successes, "successes"), _numbers(n, "n")
    if not 0 < (z := float(_numbers(z, "z"))) < 100:
        raise ValueError(f"z must be positive and below 100, got {z:g}")
    if (n < 1).any() or (n > 2**53).any():
        raise ValueError(f"an interval needs at least one trial and at most 2**53, got n={n.min():g} to {n.max():g}")
    if (successes != np.round(successes)).any() or (n != np.round(n)).any():
        raise ValueError("successes and n must be whole numbers: counts, not shares")
    if successes.shape and n.shape and successes.shape != n.shape:
        raise ValueError(f"successes and n must have one shape, got {successes.shape} and {n.shape}")
    if (successes < 0).any() or (successes > n).any():
        raise ValueError(f"successes must lie between 0 and n, got {successes.min():g} to {successes.max():g}")
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at 0 and at n one end is the share itself, which rounding must not move
    low, high = np.where(successes == 0, 0.0, middle - half), np.where(successes == n, 1.0, middle + half)
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def in_words(right: Any, n: int | None = None, digits: int = 3) -> str:
    """A share with Wilson's interval, "0.960 (0.924 to 0.979)": of right answers (n,) bool, or of a count ``right`` of
    ``n``.
    """
    right, n = (int(np.sum(_numbers(right))), len(right)) if n is None else (right, n)
    low, high = wilson(right, n)
    return f"{right / n:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def band(values: Any, share: float = 0.8, axis: int = -1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median and the band that holds the middle ``share`` of ``values`` along ``axis``: ``(median, low, high)``."""
    if not 0 < (share := float(_numbers(share, "share"))) <= 1:
        raise ValueError(f"share must lie between 0 and 1, got {share:g}")
    low, middle, high = np.quantile(_numbers(values), [(1 - share) / 2, 0.5, (1 + share) / 2], axis=axis)
    return middle, low, high


def t_quantile(freedom: int) -> float:
    """The t for which Student's distribution with ``freedom`` degrees of freedom has 95% between -t and t."""
    if freedom > 200:  # the first two terms of its series in 1 / freedom
        z = NormalDist().inv_cdf(0.975)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, math.pi / 2  # look for the angle whose tangent is t / sqrt(freedom)
    for _ in range(60):
        angle = (low + high) / 2
        odd = freedom % 2
        term, inside = math.cos(angle) if odd else 1.0, 0.0
        for k in range(1 + odd, freedom, 2):  # the closed form: a finite sum of powers of the cosine
            inside += term
            term *= math.cos(angle) ** 2 * k / (k + 1)
        inside *= math.sin(angle)
        inside = 2 / math.pi * (angle + inside) if odd else inside
        low, high = (angle, high) if inside < 0.95 else (low, angle)
    return math.tan(low) * math.sqrt(freedom)


def t_interval(values: Any) -> tuple[float, float]:
    """Student's 95% interval for the mean behind ``values`` (two or more, one for each seed): ``(low, high)``.

    The honest choice for 3 to 5 seeds: with 3 it is 4.3 standard errors to either side, not 1.96. Equal values give no
    width.
    """
    values = _numbers(values, least=2)
    if values.ndim != 1:
        raise ValueError(f"values must be one list of numbers, got shape {values.shape}")
    half = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def difference(a: Any, b: Any) -> Measured:
    """How much larger is ``a`` than ``b``, seed by seed? ``(mean, low, high)`` of the ``a[i] - b[i]``."""
    a, b = _pair(a, b, ("a", "b"), 2)
    return float((a - b).mean()), *t_interval(a - b)


def bootstrap(
    values: Any, statistic: Callable[[np.ndarray], float] = np.mean, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """95% interval for a ``statistic`` of n ``values``, drawn ``resamples`` times with replacement: ``(low, high)``.

    Made for dozens of values or more; for a few seeds it is too narrow, use `t_interval`. The same ``seed`` gives the
    same interval.
    """
    values = _numbers(values, least=2)
    return _middle(lambda rng: statistic(values[rng.integers(0, len(values), len(values))]), resamples, seed)


def _middle(draw: Callable[[np.random.Generator], float], resamples: int, seed: int) -> tuple[float, float]:
    resamples, seed = whole("resamples", resamples, 100), whole("seed", seed, 0, 2**63 - 1)
    rng = np.random.default_rng(seed)
    found = _numbers([draw(rng) for _ in range(resamples)], "the statistics")
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def ranks(values: np.ndarray) -> np.ndarray:
    """1 for the smallest, n for the largest; equal numbers share the mean of their places."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def spearman(x: Any, y: Any) -> Measured:
    """Spearman's rank correlation of four or more pairs: ``(rho, low, high)``.

    The interval is Fisher's, with the standard error of Bonett and Wright (2000). A perfect order has a width too: it
    is taken for one in which two neighbours changed places.
    """
    x, y = _pair(x, y, ("x", "y"), 4)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("x and y must each hold two different numbers: a constant has no order")
    n = len(x)
    rho = round(float(np.corrcoef(ranks(x), ranks(y))[0, 1]), 12)
    most = 1 - 12 / (n * (n * n - 1))
    centre = min(max(rho, -most), most)
    half = NormalDist().inv_cdf(0.975) * math.sqrt((1 + centre**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(centre) + side * half) for side in (-1, 1))
    return rho, (-1.0 if rho < -most else low), (1.0 if rho > most else high)


def auc(scores: Any, labels: Any, resamples: int = 2_000, seed: int = 0) -> Measured:
    """How often does label 1 score higher than label 0? Ties count half: ``(auc, low, high)``.

    The interval is a bootstrap within each class. Where the classes are apart it would have no width: then the far end
    is Wilson's, for as many trials as the smaller class has members.
    """
    scores, labels = _pair(scores, labels, ("scores", "labels"), 2)
    ones, zeros = scores[labels == 1], scores[labels == 0]
    if len(ones) + len(zeros) < len(labels) or not len(ones) or not len(zeros):
        raise ValueError("labels must be 0 or 1, and both must occur")

    def measure(ones: np.ndarray, zeros: np.ndarray) -> float:
        above = ranks(np.concatenate([ones, zeros]))[: len(ones)].sum() - len(ones) * (len(ones) + 1) / 2
        return float(above / (len(ones) * len(zeros)))

    found, least = measure(ones, zeros), min(len(ones), len(zeros))
    low, high = _middle(
        lambda rng: measure(*(part[rng.integers(0, len(part), len(part))] for part in (ones, zeros))), resamples, seed
    )
    low = float(wilson(least, least)[0]) if found == 1 else low
    return found, low, float(wilson(0, least)[1]) if found == 0 else high
