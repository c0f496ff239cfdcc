"""Repeat a map and watch: residual, trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def flat(z: Tensor) -> Tensor:
    """Each state as one vector: (batch, ...) -> (batch, numbers)."""
    if z.dim() == 0:
        raise ValueError("a state must have a batch dimension: expected (batch, ...), got a single number")
    return z.flatten(1) if z.dim() > 1 else z[:, None]


def lengths(z: Tensor) -> Tensor:
    """Euclidean length of each state of a batch: (batch, ...) -> (batch,)."""
    return flat(z).norm(dim=1)


def apply(f: Map, z: Tensor) -> Tensor:
    """``f(z)``, once it is sure that ``f`` gave back a tensor like ``z``: same shape, device and dtype."""
    after = f(z)
    if not isinstance(after, Tensor):
        raise ValueError(f"the map returned {type(after).__name__}, expected a tensor of shape {tuple(z.shape)}")
    if after.shape != z.shape:
        raise ValueError(f"the map returned shape {tuple(after.shape)} for a state of shape {tuple(z.shape)}")
    if after.device != z.device or after.dtype != z.dtype:
        raise ValueError(
            f"the map returned {after.dtype} on {after.device} for a state in {z.dtype} on {z.device}: expected the same"
        )
    return after


def refuse_nan(norms: Tensor, first: Tensor) -> None:
    """ValueError if a finite state (length in ``first`` or ``norms``) was mapped to NaN. Overflow to inf is no error."""
    broke = norms.isnan() & torch.cat([first[None], norms[:-1]]).isfinite()
    if broke.any():
        loop, instance = broke.nonzero()[0].tolist()
        raise ValueError(f"the map returned NaN for a finite state at loop {loop + 1} (instance {instance})")


def check_tol(tol: float) -> None:
    if not tol > 0:
        raise ValueError(f"tol must be positive, got {tol}")


def residual(f: Map, z: Tensor, relative: bool = False) -> Tensor:
    """How far one application moves each state, ``|f(z) - z|``; relative: divided by ``|f(z)|``. Returns (batch,)."""
    after = apply(f, z)
    refuse_nan(lengths(after)[None], lengths(z))
    moved = lengths(after - z)
    return moved / lengths(after).clamp_min(1e-12) if relative else moved


@dataclass(frozen=True)
class Trajectory:
    """What `iterate` saw. ``steps[t]`` is ``|z[t+1] - z[t]|`` and ``norms[t]`` is ``|z[t+1]|``, both (loops, batch)."""

    z: Tensor  # the last state, (batch, ...)
    loops: Tensor  # (batch,) loops until the relative step first fell below tol; all loops run where it never did
    settled: Tensor  # (batch,) did it?
    steps: Tensor
    norms: Tensor
    states: Tensor | None = None  # (loops + 1, batch, ...), the start first; only if asked for


@torch.no_grad()
def iterate(f: Map, z: Tensor, loops: int, tol: float = 0.0, keep: bool = False) -> Trajectory:
    """Apply ``f`` up to ``loops`` times, and stop early once every state of the batch has settled.

    A state has settled when a step moves it by at most ``tol`` of its length; ``tol=0`` runs all loops. Memory does not
    grow with ``loops`` beyond two numbers a loop and instance, unless ``keep`` asks for the states.

    A state that overflows to infinity is a result (see `classify_end`); a NaN out of a finite state is a ValueError.
    """
    if loops < 0:
        raise ValueError(f"loops must not be negative, got {loops}")
    if not tol >= 0:
        raise ValueError(f"tol must not be negative, got {tol}")
    first = lengths(z)
    states, steps, norms = [z], [], []
    settled = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    used = torch.full((len(z),), loops, device=z.device)
    for t in range(loops):
        after = apply(f, z)
        steps.append(lengths(after - z))
        norms.append(lengths(after))
        z = after
        if keep:
            states.append(z)
        if tol > 0:
            now = (steps[-1] <= tol * norms[-1]) & ~settled
            used[now] = t + 1
            settled |= now
            if settled.all():
                break
    empty = torch.empty(0, len(z), device=z.device)
    norms = torch.stack(norms) if norms else empty
    refuse_nan(norms, first)
    return Trajectory(
        z=z,
        loops=used,
        settled=settled,
        steps=torch.stack(steps) if steps else empty,
        norms=norms,
        states=torch.stack(states) if keep else None,
    )
