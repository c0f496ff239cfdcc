"""When may a loop stop? Rules as plain functions of what a loop can see of itself, and one runner that obeys any of
them.

A rule takes `Seen`, the instances that still run, and says which may stop: (rows,) bool. The same rule runs live
(`run_until`: what stops leaves the batch, and its answer goes back to its place) or on what one long run saw (`trace`,
then `stops`), so that a hundred settings are compared for the price of one run. Nothing here knows the right answers,
except a head while it is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .fixed_points import lengths
from .model import LoopedTransformer
from .tasks import IGNORE, exact_match

TINY = 1e-30


@dataclass(frozen=True)
class Seen:
    """What can be seen after ``loops`` loops without knowing the answer. One row for each instance that still runs."""

    loops: int
    residual: Tensor  # (rows,) |f(z) - z| / |f(z)| in the last loop
    unchanged: Tensor  # (rows,) for how many loops the answer has been what it is
    certified: Tensor  # (rows,) bool: right by the task's own rules; False where the task has none
    margin: Tensor  # (rows,) of the cell least sure: the likeliest class's probability minus the second's
    state: Tensor  # (rows, width) mean of the state over its cells, for a learned head

    def __len__(self) -> int:
        return len(self.residual)

    def __getitem__(self, rows: Tensor) -> Seen:
        """The same for some instances only."""
        return Seen(self.loops, *(getattr(self, name)[rows] for name in ROWS))


ROWS = tuple(part.name for part in fields(Seen)[1:])  # what `Seen` holds of each instance
Rule = Callable[[Seen], Tensor]


def fixed(loops: int) -> Rule:
    """Everybody gets the same number of loops."""
    return lambda seen: torch.full((len(seen),), seen.loops >= loops)


def still(tol: float) -> Rule:
    """Stop where a loop moves the state by at most ``tol`` of its length."""
    return lambda seen: seen.residual <= tol


def unchanged(loops: int) -> Rule:
    """Stop where the answer has not changed for ``loops`` loops."""
    return lambda seen: seen.unchanged >= loops


def certified(seen: Seen) -> Tensor:
    """Stop where the task's own rules say that the answer is right."""
    return seen.certified


def sure(head: Callable[[Seen], Tensor], share: float) -> Rule:
    """Stop where a learned ``head`` (see `fit_head`) gives the answer at least this probability of being right."""
    return lambda seen: head(seen) >= share


# ---- running


def margin(logits: Tensor, asked: Tensor) -> Tensor:
    """How far the likeliest class is ahead of the second in the cell least sure, of those that are ``asked`` for:
    logits (batch, cells, classes), (batch, cells) bool -> (batch,), from 0 to 1.
    """
    best = logits.softmax(-1).topk(2, dim=-1).values
    return (best[..., 0] - best[..., 1]).masked_fill(~asked, 1.0).amin(-1)


class Running:
    """A batch ``x`` (batch, cells, features) on its way. ``asked`` says in which cells of the answer the question lies,
    (batch, cells) bool, all if left out; ``step`` < 1 goes only so far towards ``f(z)`` in each loop.
    """

    def __init__(self, model: LoopedTransformer, x: Tensor, asked: Tensor | None = None, step: float = 1.0) -> None:
        self.task, self.x, self.size, self.loops = model.recipe.task, x, step, 0
        self.loop = model.loop(x)
        self.z = self.loop.start()
        self.logits = self.loop.read_out(self.z)
        self.asked = torch.ones(self.logits.shape[:2], dtype=torch.bool) if asked is None else asked
        self.unchanged = torch.zeros(len(x), dtype=torch.long)

    def step(self, look: bool = True) -> Seen | None:
        """One loop for all rows, and what is to be seen after it; nothing unless somebody will ``look``."""
        before, after = self.z, self.loop(self.z)
        self.z, self.loops = after if self.size == 1 else torch.lerp(before, after, self.size), self.loops + 1
        if not look:
            return None
        residual = lengths(after - before) / lengths(after).clamp_min(TINY)
        old, self.logits = self.logits.argmax(-1), self.loop.read_out(self.z)
        same = ((self.logits.argmax(-1) == old) | ~self.asked).all(-1)
        self.unchanged = torch.where(same, self.unchanged + 1, 0)
        certified = self.task.certify(self.x, self.logits)
        certified = torch.zeros(len(self.x), dtype=torch.bool) if certified is None else certified
        sure = margin(self.logits, self.asked)
        return Seen(self.loops, residual, self.unchanged, certified, sure, self.z.mean(1))

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows: a mask (rows,) bool."""
        self.loop, self.z, self.x = self.loop[rows], self.z[rows], self.x[rows]
        self.logits, self.unchanged, self.asked = self.logits[rows], self.unchanged[rows], self.asked[rows]


@torch.no_grad()
def run_until(
    model: LoopedTransformer,
    x: Tensor,
    rule: Rule,
    most: int,
    asked: Tensor | None = None,
    step: float = 1.0,
    every: int = 1,
) -> tuple[Tensor, Tensor]:
    """Loop each instance of ``x`` until ``rule`` lets it stop, for at most ``most`` loops: logits as the model gives
    them, (batch, ...), and loops (batch,), both in the order of ``x``. What has stopped leaves the batch and costs
    nothing any more. Looking costs, too, so that it may be done after ``every`` so many loops only; `unchanged` counts
    loops that were looked at, and wants to see them all.
    """
    run, active = Running(model, x, asked, step), torch.arange(len(x))
    logits, used = run.logits.clone(), torch.zeros(len(x), dtype=torch.long)
    while len(active):
        seen = run.step(look=(run.loops + 1) % every == 0 or run.loops + 1 >= most)
        if seen is None:
            continue
        stop = rule(seen) | (seen.loops >= most)
        if stop.any():
            logits[active[stop]], used[active[stop]] = run.logits[stop], seen.loops
            active = active[~stop]
            run.keep(~stop)
    return logits, used


@torch.no_grad()
def trace(model: LoopedTransformer, x: Tensor, y: Tensor, loops: int, step: float = 1.0) -> tuple[list[Seen], Tensor]:
    """What is to be seen of inputs ``x`` with targets ``y`` after each of ``loops`` loops, and which are right then,
    (loops, batch) bool. A state at rest (to 1e-6 of its length) is not run further: it stays what it is.
    """
    run, active, seen, right = Running(model, x, y != IGNORE, step), torch.arange(len(x)), [], []
    for t in range(1, loops + 1):
        if len(active):
            now = run.step()
            full = now if not seen else spread(seen[-1], now, active, t)
            was = right[-1].clone() if right else torch.zeros(len(x), dtype=torch.bool)
            was[active] = exact_match(run.logits, y[active])
            moving = now.residual > 1e-6
            if not moving.all():
                active = active[moving]
                run.keep(moving)
        else:
            full, was = replace(seen[-1], loops=t, unchanged=seen[-1].unchanged + 1), right[-1]
        seen.append(full)
        right.append(was)
    return seen, torch.stack(right)


def spread(last: Seen, now: Seen, active: Tensor, loops: int) -> Seen:
    """``now``, which holds the rows ``active`` alone, among all rows; the others stay as they were ``last``, a loop
    longer.
    """
    put = lambda old, new: old.clone().index_copy_(0, active, new)
    later = replace(last, unchanged=last.unchanged + 1)
    return Seen(loops, *(put(getattr(later, name), getattr(now, name)) for name in ROWS))


def stops(rule: Rule, seen: Sequence[Seen], every: int = 1) -> Tensor:
    """After how many loops ``rule``, asked after ``every`` so many, would have stopped each instance of a `trace`:
    (batch,); the last loop where it never would.
    """
    now = torch.stack([rule(one) for one in seen[every - 1 :: every]])
    return torch.where(now.any(0), every * (now.long().argmax(0) + 1), len(seen))


# ---- a head that learns when to stop


def features(seen: Seen) -> Tensor:
    """What a head reads: (rows, 3 + width)."""
    numbers = [seen.residual.clamp_min(1e-7).log10(), seen.unchanged.float().log1p(), torch.logit(seen.margin, 1e-4)]
    return torch.cat([torch.stack(numbers, -1), seen.state], -1)


@torch.enable_grad()
def fit_head(seen: Sequence[Seen], right: Tensor, decay: float = 1e-3) -> Callable[[Seen], Tensor]:
    """A logistic regression that says how likely the answer of now is right, fitted to a `trace` (``right`` (loops,
    batch)) of data that no test uses. ``decay`` is the penalty on squared weights of features brought to one scale.
    """
    x, y = torch.cat([features(one) for one in seen]), right.flatten().float()
    middle, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - middle) / scale
    weight = torch.zeros(x.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    fit = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        fit.zero_grad()
        total = F.binary_cross_entropy_with_logits(x @ weight + bias, y) + decay * weight.square().sum()
        total.backward()
        return total

    fit.step(loss)
    weight, bias = weight.detach(), bias.detach()
    return lambda one: ((features(one) - middle) / scale @ weight + bias).sigmoid()
