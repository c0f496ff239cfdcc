"""Ratios of processor time that mean something on a busy machine: the ways take turns, and each round gives
one ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple


class Ratio(NamedTuple):
    """How many times as long one way took as another: the median over rounds, the least and the most."""

    median: float
    least: float
    most: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.least:.3g} to {self.most:.3g})"


def take_turns(ways: Mapping[Hashable, Callable[[], Any]], rounds: int = 5) -> dict[Hashable, list[float]]:
    """Seconds of processor time of each way in each round; one round before them warms up and does not count."""
    times: dict[Hashable, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if number:
                times[name].append(time.process_time() - began)
    return times


def ratio(times: Mapping[Hashable, list[float]], one: Hashable, other: Hashable) -> Ratio:
    """How many times as long ``one`` took as ``other``, round by round."""
    found = [a / b for a, b in zip(times[one], times[other], strict=True)]
    return Ratio(statistics.median(found), min(found), max(found), len(found))
