"""Measure a model: what it answers after each number of loops, and how often that is right."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .fixed_points import lengths
from .model import LoopedTransformer
from .tasks import exact_match


@torch.no_grad()
def logits_over_loops(
    model: LoopedTransformer,
    x: Tensor,
    loops: Iterable[int],
    start: str | Tensor = "input",
    generator: torch.Generator | None = None,
    still: float = 0.0,
) -> dict[int, Tensor]:
    """What is read off after each of the given numbers of ``loops``: {loops: (batch, cells, classes)}. One pass over
    the loops.

    With ``still``, instances whose state a loop moves by less than that share of its length are taken out and keep
    their answer.
    """
    wanted, found = sorted(set(loops)), {}
    if not wanted or wanted[0] < 1:
        raise ValueError(f"loops must be at least 1, got {wanted}")
    loop = model.loop(x)
    z, active = loop.start(start, generator), torch.arange(len(x), device=loop.h.device)
    logits = loop.read_out(z).clone()
    for t in range(1, wanted[-1] + 1):
        before, z = z, loop(z)
        stays = lengths(z - before) <= still * lengths(z) if still else torch.zeros(len(z), dtype=torch.bool)
        if t in wanted or stays.any():
            logits[active] = loop.read_out(z)
        if t in wanted:
            found[t] = logits.clone()
        if stays.any():
            loop, z, active = loop[~stays], z[~stays], active[~stays]
            if not len(active):
                return found | {t: logits for t in wanted if t not in found}
    return found


def accuracy_over_loops(
    model: LoopedTransformer,
    x: Tensor,
    targets: Tensor,
    loops: Iterable[int],
    start: str | Tensor = "input",
    generator: torch.Generator | None = None,
    at_once: int | None = None,
    still: float = 0.0,
) -> dict[int, Tensor]:
    """Exact match of each instance after each of the given numbers of ``loops``: {loops: (batch,) bool}. One pass.

    ``at_once`` is how many instances to run together; a few dozen stay in the processor's cache, which is faster than
    all. ``still`` is that of `logits_over_loops`.
    """
    loops = list(loops)
    parts = []
    for part, right in zip(x.split(at_once or len(x)), targets.split(at_once or len(x)), strict=True):
        logits = logits_over_loops(model, part, loops, start, generator, still)
        parts.append({t: exact_match(read.to(right.device), right) for t, read in logits.items()})
    return {t: torch.cat([part[t] for part in parts]) for t in sorted(parts[0])}
