"""How a trajectory ends, and which end belongs to which start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import whole
from ._checks import (
    Map,
    apply,
    check_memory,
    check_number,
    check_state,
    check_tensor,
    flat,
    lengths,
    refuse_nan,
)
from ._iterate import iterate

ENDS = ("fixed point", "cycle", "wandering", "diverging")


@dataclass(frozen=True)
class End:
    """``kind`` is one of `ENDS`; ``period`` is 1 for a fixed point, the period for a cycle, None otherwise."""

    kind: str
    period: int | None = None

    def __str__(self) -> str:
        return f"cycle of period {self.period}" if self.kind == "cycle" else self.kind


@torch.no_grad()
def classify_end(f: Map, z: Tensor, loops: int = 1000, longest_period: int = 16) -> list[End]:
    """Run ``loops`` loops from ``z`` and say for each instance how its trajectory ends.

    - *fixed point*: the **absolute** step ``|z[t+1] - z[t]|`` has reached the rounding error of the state, or falls
      like a power t^-p with p > 1, or faster, so that the way still to go is finite (as far as a finite run can tell).
    - *diverging*: the state overflows, or its length keeps growing. A state that drifts at a constant step belongs
      here, although its *relative* step falls like 1/t and passes every tolerance some day; so does growth like log t.
    - *cycle* of period p: as fixed point, for ``f`` applied p times, p up to ``longest_period``, and no smaller p.
    - *wandering*: bounded, and none of these within ``loops``: chaos, a turn by an irrational angle, a cycle too long,
      or a trajectory that has not made up its mind. Ask again with more loops.

    Decisions compare the three thirds of the run, so a transient should be shorter than two thirds of ``loops``.
    """
    check_state(z)
    loops, longest_period = whole("loops", loops, 30), whole("longest_period", longest_period, 1)
    if longest_period >= loops // 3:
        raise ValueError(f"longest_period must lie between 1 and a third of loops, got {longest_period}")
    check_memory(loops * (longest_period + 1) * len(z) + longest_period * z.numel(), z, f"a run of {loops} loops")
    first, distances, norms = lengths(z), [], []
    recent = flat(z).new_full((longest_period, *flat(z).shape), float("nan"))  # a ring: state t is in row t % period
    recent[0] = flat(z)
    for t in range(1, loops + 1):
        z = apply(f, z)
        distances.append((recent - flat(z)).norm(dim=2))
        norms.append(lengths(z))
        recent[t % longest_period] = flat(z)
    norms = torch.stack(norms)
    refuse_nan(norms, first)
    # in row t - 1, the state of q loops before lay in column (t - q) % period
    column = (torch.arange(1, loops + 1)[:, None] - torch.arange(1, longest_period + 1)) % longest_period
    lags = torch.stack(distances).double().cpu().take_along_dim(column[:, :, None], dim=1)  # |z[t] - z[t - q]|
    rounding = 32 * torch.finfo(z.dtype).eps
    return [read_end(lags[:, :, b], norm, rounding) for b, norm in enumerate(norms.double().cpu().unbind(1))]


def read_end(lags: Tensor, norms: Tensor, rounding: float) -> End:
    """The end of one trajectory: lags (loops, periods), norms (loops,), ``rounding`` as a share of a length."""
    if not (norms.isfinite().all() and lags[len(lags) // 2 :].isfinite().all()):
        return End("diverging")
    floor = rounding * float(norms[-(len(norms) // 3) :].max()) + 1e-30
    lags = lags[lags.shape[1] :]  # from here on there is a state q loops ago, for every q
    if dies_out(lags[:, 0], floor):
        return End("fixed point", 1)
    if keeps_growing(norms):
        return End("diverging")
    for q in range(2, lags.shape[1] + 1):
        if dies_out(lags[:, q - 1], floor):
            return End("cycle", q)
    return End("wandering")


def thirds(numbers: Tensor) -> list[Tensor]:
    size = len(numbers) // 3
    return [numbers[-3 * size : -2 * size], numbers[-2 * size : -size], numbers[-size:]]


def dies_out(distances: Tensor, floor: float) -> bool:
    """Do these distances reach ``floor``, or fall like t^-p with p above 1, or faster?

    Their mean logarithms over the thirds of the run decide. From the first third to the second and from there to the
    last, a power law t^-p falls by 1.39 p and 0.52 p, a geometric decay twice by the same amount. Chaos can imitate
    that in the mean, but not in the largest distance.
    """
    early, middle, late = (third.clamp_min(floor) for third in thirds(distances))
    if float(late[-len(late) // 4 :].max()) <= floor:
        return True
    first = float(early.log().mean() - middle.log().mean())
    second = float(middle.log().mean() - late.log().mean())
    falls = float(late.max()) < 0.8 * float(middle.max())
    return falls and (second > 1.15 * 0.523 or (second > 0.3 and second > 0.75 * first))


def keeps_growing(norms: Tensor) -> bool:
    """Does the mean length of the thirds keep growing? It may slow down as log t does, by 0.38, and no more."""
    early, middle, late = (float(third.mean()) for third in thirds(norms))
    jitter = float(thirds(norms)[2].diff().abs().mean())
    return late - middle > max(0.3 * (middle - early), 2e-3 * late, jitter)


@dataclass(frozen=True)
class Basins:
    """Starts on a square grid. ``labels[i, j]`` is the row of ``ends`` reached from ``points[i, j]``, or -1."""

    labels: Tensor  # (resolution, resolution); row i goes with v, column j with u; -1 where nothing settled
    diverged: Tensor  # (resolution, resolution) did the state overflow? Its label is -1
    loops: Tensor  # (resolution, resolution) loops until it settled or overflowed
    points: Tensor  # (resolution, resolution, 2) the coordinates along u and v
    ends: Tensor  # (kinds, ...) one state of each kind of end, the most frequent first


@torch.no_grad()
def basins(
    f: Map,
    origin: Tensor,
    u: Tensor,
    v: Tensor,
    extent: float = 1.0,
    resolution: int = 64,
    loops: int = 500,
    tol: float = 1e-5,
    same: float = 1e-2,
    chunk: int = 4096,
) -> Basins:
    """Run ``f`` from each start ``origin + a u + b v``, a and b from -extent to extent, and see which end it reaches.

    ``origin``, ``u`` and ``v`` are single states, without batch dimension. Starts run ``chunk`` at a time, so ``f``
    must accept any batch. Ends closer than ``same`` times their length count as one; ``tol`` says when a start has
    settled.
    """
    tol, same = check_number(tol, "tol"), check_number(same, "same", zero=True)
    extent, resolution = check_number(extent, "extent"), whole("resolution", resolution, 2)
    loops, chunk = whole("loops", loops, 0), whole("chunk", chunk, 1)
    for name, part in (("origin", origin), ("u", u), ("v", v)):
        check_tensor(part, name, finite=True)
    if not origin.shape == u.shape == v.shape:
        raise ValueError(f"origin, u and v must have one shape, got {[tuple(part.shape) for part in (origin, u, v)]}")
    check_memory(8 * resolution**2, origin, f"a grid of {resolution} by {resolution} starts")
    axis = torch.linspace(-extent, extent, resolution, dtype=origin.dtype, device=origin.device)
    b, a = torch.meshgrid(axis, axis, indexing="ij")
    labels, used, gone, ends = [], [], [], []
    for one, other in zip(a.flatten().split(chunk), b.flatten().split(chunk), strict=True):
        reach = (-1, *[1] * origin.dim())
        run = iterate(f, origin + one.view(reach) * u + other.view(reach) * v, loops, tol)
        found = torch.full((len(one),), -1, dtype=torch.long, device=origin.device)
        kind = 0
        while bool(((found < 0) & run.settled).any()):
            if kind == len(ends):  # the first end that is like none so far
                ends.append(run.z[int(((found < 0) & run.settled).nonzero()[0])])
            size = flat(ends[kind][None]).norm().clamp_min(1e-12)
            near = flat(run.z - ends[kind]).norm(dim=1) <= same * torch.maximum(size, lengths(run.z))
            found[near & run.settled & (found < 0)] = kind
            kind += 1
        labels.append(found)
        used.append(run.loops)
        gone.append(run.diverged)
    labels = torch.cat(labels)
    counts = torch.bincount(labels[labels >= 0], minlength=len(ends))
    order = counts.argsort(descending=True, stable=True)
    rank = torch.cat([order.argsort(), torch.tensor([-1], device=order.device)])
    return Basins(
        labels=rank[labels].reshape(resolution, resolution),
        diverged=torch.cat(gone).reshape(resolution, resolution),
        loops=torch.cat(used).reshape(resolution, resolution),
        points=torch.stack([a, b], dim=-1),
        ends=torch.stack([ends[i] for i in order.tolist()]) if ends else origin.new_zeros(0, *origin.shape),
    )
