"""What is measured on any loop of any task: its end, from where, what the end depends on, and its gradients."""

from __future__ import annotations

import math
from contextlib import suppress

import torch
from torch import Tensor

from looped_lite.fixed_points import iterate, leading_eigenvalues, lengths
from looped_lite.model import Loop, LoopedTransformer
from looped_lite.tasks import IGNORE
from looped_lite.training import cross_entropy

from .sweep import Row

LOOPS = 256  # after which a loop is taken to be where it goes
EIGENVALUES_OF = 3  # instances: each takes some hundred products


def rho_Wz(model: LoopedTransformer) -> float | str:
    """The spectral radius of Wz; empty without recall."""
    recall = model.blocks[0].recall
    return "" if recall is None else float(torch.linalg.eigvals(recall.Wz.weight.detach()).abs().max())


@torch.no_grad()
def how_it_ends(model: LoopedTransformer, x: Tensor, loops: int = 400) -> Row:
    """Length of a step, the same relative to the state, and length of the state after 400 loops from the input: means
    over ``x``. NaN where the state overflowed."""
    loop = model.loop(x)
    try:
        end = iterate(loop, loop.start(), loops)
        step, norm = end.steps[-1], end.norms[-1]
    except ValueError:  # a finite state was mapped to NaN
        step = norm = torch.full((len(x),), math.nan)
    found = {"step": step, "relative_step": step / norm, "norm": norm}
    return {f"{name}_{loops}": float(values.mean()) for name, values in found.items()}


@torch.no_grad()
def run(loop: Loop, z: Tensor, loops: int = LOOPS) -> Tensor:
    """The state after so many loops, overflow and all."""
    for _ in range(loops):
        z = loop(z)
    return z


def stability(model: LoopedTransformer, x: Tensor, y: Tensor, seed: int = 7) -> Row:
    """The three axes, on a few instances ``x`` (batch, cells, features) with targets ``y``:

    - ``settled``: share of instances whose state a loop moves by less than 1e-3 of its length after 256 loops from the
      input; ``growth``: how much longer the state becomes in a loop there; ``rho_loop``: spectral radius of the
      Jacobian there, ``rho_known``: the share of instances for which it is known to 1%;
    - ``paths``: share of pairs of starts (input, zeros, two of noise) that end within 1e-3 of each other;
      ``same_answer``: that are read alike;
    - ``apart``: how far from each other two instances end from the same noise, relative to their length (0: the input
      is lost); ``gain``: how far the end moves, for a small move of the embedded input from there;
    - ``gradient``: by what factor a loop lengthens the gradient on its way back, over 32 loops after 16 from the input.
    """
    loop, generator = model.loop(x), torch.Generator().manual_seed(seed)
    starts = [loop.start(), loop.start("zeros"), *(loop.start("noise", generator) for _ in range(2))]
    ends = [run(loop, start) for start in starts]
    with torch.no_grad():
        after = loop(ends[0])
        moved = lengths(after - ends[0]) / lengths(after)
        later = run(loop, ends[0], 32)
        row: Row = {"settled": float((moved <= 1e-3).float().mean())}
        row["growth"] = float(((lengths(later) - lengths(ends[0])) / 32).mean())
        pairs = [(a, b) for a in range(4) for b in range(a)]
        distance = lambda a, b: lengths(a - b) / (lengths(a) + lengths(b)) * 2
        near = torch.stack([distance(ends[a], ends[b]) <= 1e-3 for a, b in pairs])
        asked = y != IGNORE
        answers = [torch.where(asked, loop.read_out(end).argmax(-1), 0) for end in ends]
        same = torch.stack([(answers[a] == answers[b]).all(-1) for a, b in pairs])
        row |= {"paths": float(near.float().mean()), "same_answer": float(same.float().mean())}
        row |= depends_on_input(model, loop, generator)
    finite = ends[0].flatten(1).isfinite().all(1).nonzero()[:EIGENVALUES_OF, 0]
    row |= {"rho_loop": math.nan, "rho_known": 0.0}
    if len(finite):
        with suppress(ValueError):  # a state so long that the derivative overflows has no eigenvalues to tell of
            found = leading_eigenvalues(loop[finite], ends[0][finite], count=2, restarts=3, tol=1e-2)
            row |= {"rho_loop": float(found.radius.mean()), "rho_known": float(found.known.float().mean())}
    return row | {"gradient": gradient_growth(loop, y)}


def depends_on_input(model: LoopedTransformer, loop: Loop, generator: torch.Generator, step: float = 1e-2) -> Row:
    """``apart`` and ``gain`` of `stability`: each instance from the same noise."""
    noise = torch.randn(1, *loop.h.shape[1:], generator=generator).expand_as(loop.h)
    end = run(loop, noise)
    distance = lengths(end - end.roll(1, 0)) / lengths(end)
    push = torch.randn(loop.h.shape, generator=generator)
    push = step * push * loop.h.norm() / push.norm()
    moved = run(Loop(model, loop.h + push), noise)
    return {"apart": float(distance.mean()), "gain": float((lengths(moved - end) / lengths(push)).median())}


def gradient_growth(loop: Loop, y: Tensor, first: int = 16, loops: int = 32) -> float:
    """By what factor a loop lengthens the gradient on its way back through ``loops`` of them: geometric mean."""
    with torch.enable_grad():
        z = early = run(loop, loop.start().detach(), first).requires_grad_()
        for _ in range(loops):
            z = loop(z)
        loss = cross_entropy(loop.read_out(z), y)
    if not math.isfinite(float(loss.detach())):
        return math.nan
    back, front = torch.autograd.grad(loss, [early, z])
    ratio = lengths(back).clamp_min(1e-30) / lengths(front).clamp_min(1e-30)
    return float((ratio.log() / loops).mean().exp())
