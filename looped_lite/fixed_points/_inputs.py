"""What the end of a loop depends on: where it started, and the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import whole
from ._checks import Map, apply, check_number, check_state, check_tensor, lengths
from ._iterate import iterate
from ._jacobian import gmres, jacobian_product, products

InputMap = Callable[[Tensor, Tensor], Tensor]  # (z, x) -> the next state; x is the input, whatever its shape


@dataclass(frozen=True)
class PathIndependence:
    """Do many starts come to the same end? One row of ``ends`` for each start."""

    score: Tensor  # (batch,) share of the pairs of starts whose ends agree: 1 = one end for all
    distance: Tensor  # (batch,) mean distance of a pair of ends, relative to their mean length
    settled: Tensor  # (starts, batch) did the last loop move the state by at most tol of its length?
    ends: Tensor  # (starts, batch, ...)


@torch.no_grad()
def path_independence(f: Map, starts: Tensor, loops: int, tol: float = 1e-3) -> PathIndependence:
    """Run ``f`` from several ``starts`` (starts, batch, ...) of the same instances, and compare where they end.

    Two ends agree when their distance is at most ``tol`` times the mean length of all ends. Ends that are not fixed
    points are compared as they stand after ``loops`` loops: agreement then means little, so look at ``settled`` too.
    """
    loops, tol = whole("loops", loops, 0), check_number(tol, "tol")
    check_tensor(starts, "starts")
    if starts.dim() < 2 or len(starts) < 2:
        raise ValueError(f"starts must be (starts, batch, ...) with two starts or more, got {tuple(starts.shape)}")
    runs = [iterate(f, start, loops) for start in starts]
    ends = torch.stack([run.z for run in runs])
    still = lambda run: (run.steps[-1] <= tol * run.norms[-1]) & ~run.diverged
    last = [still(run) if loops else torch.zeros_like(run.settled) for run in runs]
    return PathIndependence(*agreement(ends, tol), torch.stack(last), ends)


def agreement(ends: Tensor, tol: float) -> tuple[Tensor, Tensor]:
    """Do several ends (starts, batch, ...) of the same instances agree?

    Returns the share of pairs of ends whose distance is at most ``tol`` times the mean length of all, (batch,), and the
    mean distance of a pair in that unit, (batch,). An end that overflowed agrees with none, and its distances are
    infinite.
    """
    tol = check_number(tol, "tol")
    if not isinstance(ends, Tensor) or ends.dim() < 2 or len(ends) < 2:
        raise ValueError("ends must be a tensor (starts, batch, ...) with two starts or more")
    pairs = torch.triu_indices(len(ends), len(ends), 1)
    apart = torch.stack([lengths(ends[i] - ends[j]) for i, j in pairs.T.tolist()])  # (pairs, batch)
    sizes = torch.stack([lengths(end) for end in ends])
    there = sizes.isfinite()
    apart = torch.where(there[pairs[0]] & there[pairs[1]], apart, float("inf"))
    size = (torch.where(there, sizes, 0.0).sum(0) / there.sum(0).clamp_min(1)).clamp_min(1e-12)
    return (apart <= tol * size).float().mean(0), (apart / size).mean(0)


def input_product(f: InputMap, z: Tensor, x: Tensor, dx: Tensor) -> Tensor:
    """``J_x dx``: how the next state moves when the input moves by ``dx`` and the state is held."""
    check_state(z, real=True, finite=True)
    for name, part in (("x", x), ("dx", dx)):
        check_tensor(part, name, real=True, finite=True)
    if dx.shape != x.shape:
        raise ValueError(f"dx has shape {tuple(dx.shape)}, expected the input's {tuple(x.shape)}")
    return products(lambda x: apply(lambda state: f(state, x), z), x, where="x")[0](dx)


def input_sensitivity(f: InputMap, z: Tensor, x: Tensor, dx: Tensor, tol: float = 1e-4, size: int = 40) -> Tensor:
    """How the fixed point ``z`` of ``f(., x)`` moves with the input, by ``dx``: ``(I - J_z)^-1 J_x dx``, like ``z``.

    Implicit differentiation: ``z* = f(z*, x)`` gives ``dz = J_z dz + J_x dx``. GMRES solves it without a run of the
    loop. ValueError when ``z`` is no fixed point (relative residual above 1e-3), or when the system is not solved to
    ``tol``.
    """
    check_state(z, real=True, finite=True)
    tol, size = check_number(tol, "tol"), whole("size", size, 1)
    at_x = lambda state: f(state, x)
    moved = lengths(apply(at_x, z) - z) / lengths(z).clamp_min(1e-12)
    if not (moved <= 1e-3).all():
        raise ValueError(f"z is no fixed point: one loop moves it by {float(moved.max()):.1e} of its length")
    push, product = input_product(f, z, x, dx), jacobian_product(at_x, z)
    answer, left = gmres(lambda v: v - product(v), push, size, restarts=20, tol=tol)
    if not (left <= tol).all() and bool((lengths(push) > 0).any()):
        raise ValueError(
            f"(I - J) v = J_x dx was not solved to {tol:g} (left {float(left.max()):.1e}): is 1 an eigenvalue?"
        )
    return answer


@torch.no_grad()
def input_sensitivity_by_difference(
    f: InputMap, z: Tensor, x: Tensor, dx: Tensor, loops: int, step: float = 1e-2
) -> Tensor:
    """By experiment: run the loop to its end on ``x + step dx`` and ``x - step dx``, and compare. Like ``z``."""
    step = check_number(step, "step")
    for name, part in (("x", x), ("dx", dx)):
        check_tensor(part, name, finite=True)
    ends = [iterate(lambda state, x=x + sign * step * dx: f(state, x), z, loops).z for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)
