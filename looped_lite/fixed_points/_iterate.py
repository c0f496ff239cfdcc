"""Repeat a map and watch: residual, trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import whole
from ._checks import Map, apply, check_memory, check_number, check_state, lengths, refuse_nan


def residual(f: Map, z: Tensor, relative: bool = False) -> Tensor:
    """How far one application moves each state, ``|f(z) - z|``; relative: divided by ``|f(z)|``. Returns (batch,).

    Infinite where the state or its image is.
    """
    check_state(z)
    after = apply(f, z)
    refuse_nan(lengths(after)[None], lengths(z))
    moved = lengths(after - z)
    moved = moved / lengths(after).clamp_min(1e-12) if relative else moved
    return moved.nan_to_num(nan=torch.inf, posinf=torch.inf)


@dataclass(frozen=True)
class Trajectory:
    """What `iterate` saw. ``steps[t]`` is ``|z[t+1] - z[t]|`` and ``norms[t]`` is ``|z[t+1]|``, both (loops, batch)."""

    z: Tensor  # the last state, (batch, ...)
    loops: Tensor  # (batch,) loops until the step first fell below tol or the length overflowed, or all of them
    settled: Tensor  # (batch,) did it fall below tol? Never true where the length overflowed
    diverged: Tensor  # (batch,) did the length overflow? The state is held there, and its steps and norms are inf
    steps: Tensor
    norms: Tensor
    states: Tensor | None = None  # (loops + 1, batch, ...), the start first; only if asked for


@torch.no_grad()
def iterate(f: Map, z: Tensor, loops: int, tol: float = 0.0, keep: bool = False) -> Trajectory:
    """Apply ``f`` up to ``loops`` times, and stop early once every state of the batch has settled or overflowed.

    A state has settled when a step moves it by at most ``tol`` of its length; ``tol=0`` runs all loops. Memory does not
    grow with ``loops`` beyond two numbers a loop and instance, unless ``keep`` asks for the states.

    A state whose length overflows is a result, ``diverged``; a NaN out of a finite state is a ValueError.
    """
    check_state(z)
    loops, tol = whole("loops", loops, 0), check_number(tol, "tol", zero=True)
    if tol == 0:
        check_memory(loops * (2 * len(z) + bool(keep) * z.numel()), z, f"a run of {loops} loops")
    first = lengths(z)
    alive = first.isfinite()
    states, steps, norms = [z], [], []
    settled = torch.zeros_like(alive)
    used = torch.where(alive, loops, 0)
    for t in range(loops):
        after = apply(f, z)
        size = torch.where(alive, lengths(after), float("inf"))
        steps.append(torch.where(alive & size.isfinite(), lengths(after - z), float("inf")))
        norms.append(size)
        z = torch.where(alive.view(-1, *[1] * (z.dim() - 1)), after, z)
        used[alive & ~size.isfinite()] = t + 1
        alive = alive & size.isfinite()
        if keep:
            states.append(z)
        if tol > 0:
            now = (steps[-1] <= tol * size) & alive & ~settled
            used[now] = t + 1
            settled |= now
            if (settled | ~alive).all():
                break
    empty = first.new_empty(0, len(z))
    norms = torch.stack(norms) if norms else empty
    refuse_nan(norms, first)
    return Trajectory(
        z=z,
        loops=used,
        settled=settled & alive,
        diverged=~alive,
        steps=torch.stack(steps) if steps else empty,
        norms=norms,
        states=torch.stack(states) if keep else None,
    )
