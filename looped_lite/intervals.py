"""How sure is a measured share or mean? Intervals for shares of right answers, and bands over seeds or instances."""

from __future__ import annotations

from typing import Any

import numpy as np


def wilson(successes: Any, n: Any, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval for a share of right answers: ``(low, high)``, 95% at the default ``z``.

    ``successes`` of ``n`` trials, numbers or arrays of the same shape. Unlike mean +- 1.96 standard errors it stays
    inside [0, 1] and keeps a width when every trial went the same way: 100 right of 100 gives 0.963 to 1.
    """
    successes, n = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    if (n < 1).any():
        raise ValueError(f"an interval needs at least one trial, got n={n.min():g}")
    if (successes < 0).any() or (successes > n).any():
        raise ValueError(f"successes must lie between 0 and n, got {successes} of {n}")
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)


def band(values: Any, share: float = 0.8, axis: int = -1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median and the band that holds the middle ``share`` of ``values`` along ``axis``: ``(median, low, high)``."""
    values = np.asarray(values, dtype=float)
    low, middle, high = np.quantile(values, [(1 - share) / 2, 0.5, (1 + share) / 2], axis=axis)
    return middle, low, high
