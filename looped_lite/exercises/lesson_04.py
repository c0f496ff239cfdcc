"""Exercises of lesson 04, learning to loop: progressive loss, curriculum, gradients through a loop, symmetry."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import training
from ..model import LoopedTransformer
from ..recipe import Recipe
from ..tasks.prefix_sums import PrefixSums, one_hot
from . import Exercise, Mistake, expect, unchanged

# ---------------------------------------------------------------- 04.1


def progressive_logits(model: LoopedTransformer, x: Tensor, n: int, k: int) -> Tensor:
    """`training.progressive_logits`, which refuses k < 1: with no loop in the graph only the read-out would learn."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return training.progressive_logits(model, x, n, k)


def gradients(model: LoopedTransformer, logits: Tensor) -> dict[str, Tensor]:
    """How a fixed function of the logits moves with the embedding, the block and the head."""
    push = torch.linspace(-1.0, 2.0, logits.numel()).view_as(logits)
    parts = {"embedding": model.embed, "block": model.blocks, "head": model.head}
    owned = [(part, parameter) for part, module in parts.items() for parameter in module.parameters()]
    found = torch.autograd.grad((logits * push).sum(), [parameter for _, parameter in owned], materialize_grads=True)
    return {
        part: torch.cat([g.flatten() for (name, _), g in zip(owned, found, strict=True) if name == part])
        for part in parts
    }


def check_progressive_logits(f: Callable) -> None:
    task = PrefixSums(uniform=1, biased=0, last_loops=None)
    x, _ = task.batch(3, 6, torch.Generator().manual_seed(0))
    model = Recipe(task, seed=0, width=16, heads=2).build()
    kept = x.clone()
    got = f(model, x, 2, 3)
    unchanged(kept, x, "x")
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        raise Mistake(
            "gradients are switched off after your function: use with torch.no_grad(): around the first n loops."
        )
    with torch.no_grad():
        after = lambda loops: model(x, loops)
        states = list(model.states(x, 5))
        expect(
            got,
            after(5),
            "the logits for n = 2, k = 3",
            mistakes={
                "this is the answer after k loops: run n loops first, and then k more": after(3),
                "this is the answer after n loops: after them, k more loops run with gradient": after(2),
                "one loop is missing": after(4),
                "this is one loop too many": after(6),
                "this is the state: read it out with model.read_out": states[-1],
            },
        )
    if not got.requires_grad:
        raise Mistake(
            "The logits carry no gradient at all: the last k loops and the read-out must run with gradients on, and nothing be "
            "detached after them."
        )
    found, right = (gradients(model, logits) for logits in (got, training.progressive_logits(model, x, 2, 3)))
    if not found["embedding"].any():
        raise Mistake(
            "The embedding gets no gradient: h must be made (model.loop or model.encode) outside torch.no_grad(), so that recall can "
            "bring it back with its gradient."
        )
    expect(
        found,
        right,
        "the gradients for n = 2, k = 3",
        mistakes={
            "the gradient passes through all n + k loops: the first n must run under torch.no_grad()": gradients(
                model, training.progressive_logits(model, x, 0, 5)
            ),
            "the gradient passes through the last loop only: all k loops keep theirs": gradients(
                model, training.progressive_logits(model, x, 4, 1)
            ),
            "the gradient passes through n loops: it is k that run with gradient": gradients(
                model, training.progressive_logits(model, x, 3, 2)
            ),
        },
        tol=1e-3,
    )
    silent = Recipe(task, seed=1, width=16, heads=2, recall="none").build()
    found, right = (gradients(silent, g(silent, x, 0, 2)) for g in (f, training.progressive_logits))
    if not found["embedding"].any():
        raise Mistake(
            "With n = 0 the start is h itself, gradient and all: you detach it. Without recall the embedding would never learn."
        )
    expect(found, right, "the gradients for n = 0, k = 2, without recall", tol=1e-3)
    try:
        f(model, x, 2, 0)
    except ValueError:
        return
    raise Mistake(
        "k = 0 went through: then no loop is in the graph and the block learns nothing. Raise ValueError for k < 1."
    )


# ---------------------------------------------------------------- 04.4


def curriculum(
    task: PrefixSums, level: int, running: float, drawn: int, loops: int, accuracy: float
) -> tuple[int, float]:
    """Level and running accuracy after a batch of ``drawn`` bits, run for ``loops`` loops, with ``accuracy`` of its cells right."""
    if drawn == level and loops >= 0.8 * task.loops(level):
        running += 0.3 * (accuracy - running)
        if running > 0.9 and level != task.last_level:
            return task.harder(level), 0.0
    return level, running


def check_curriculum(f: Callable) -> None:
    task = PrefixSums(uniform=1, biased=0, last_loops=None)
    expect(
        f(task, 8, 0.5, 8, 8, 0.9),
        (8, 0.62),
        "level 8, running 0.5, then a batch of 8 bits, 8 loops, accuracy 0.9",
        mistakes={
            "the running accuracy moves by 0.3 of the way to the new one, not by 0.7": (8, 0.78),
            "this is the accuracy of the one batch: mix it into the running one": (8, 0.9),
            "a batch of full length and full depth must count": (8, 0.5),
            "0.3 of the new accuracy is added, but 0.3 of the old one must go": (8, 0.77),
        },
    )
    expect(
        f(task, 8, 0.5, 8, 3, 0.6),
        (8, 0.5),
        "level 8, running 0.5, then a batch of 8 bits that ran for only 3 loops",
        mistakes={"a shallow batch must not count: it fails for lack of loops": (8, 0.53)},
    )
    expect(
        f(task, 8, 0.5, 8, 6, 0.6),
        (8, 0.5),
        "level 8, running 0.5, then a batch of 8 bits and 6 loops, less than 0.8 of the 8 that N allows",
        mistakes={"this batch is too shallow to count: at least 0.8 N loops": (8, 0.53)},
    )
    expect(
        f(task, 32, 0.5, 32, 16, 0.9),
        (32, 0.62),
        "level 32, running 0.5, then a batch of 32 bits and 16 loops, with N = 20",
        mistakes={
            "16 loops are 0.8 of N = task.loops(32) = 20 and count (compare with N, not with the length; >= and not >)": (
                32,
                0.5,
            )
        },
    )
    expect(
        f(task, 8, 0.5, 7, 7, 1.0),
        (8, 0.5),
        "level 8, running 0.5, then a batch of 7 bits and 7 loops",
        mistakes={"a batch of an easier level must not count: it says nothing about this one": (8, 0.65)},
    )
    expect(
        f(task, 8, 0.89, 8, 8, 1.0),
        (10, 0.0),
        "level 8, running 0.89, then a perfect batch (running is 0.923)",
        mistakes={
            "it moves on, and the running accuracy must start at 0 again for the new level": (10, 0.923),
            "0.923 is above 0.9: move to task.harder(level)": (8, 0.923),
            "the level after this one is task.harder(level), 10 bits": (9, 0.0),
        },
    )
    expect(
        f(task, 8, 0.8, 8, 8, 1.0),
        (8, 0.86),
        "level 8, running 0.8, then a perfect batch",
        mistakes={"0.86 is not above 0.9: it is too early to move on": (10, 0.0)},
    )
    expect(
        f(task, 32, 0.95, 32, 20, 1.0),
        (32, 0.965),
        "level 32, the last, running 0.95, then a perfect batch",
        mistakes={"the last level is the last: keep its running accuracy": (32, 0.0)},
    )


# ---------------------------------------------------------------- 04.2


def truncated_gradient(A: Tensor, c: Tensor, k: int) -> Tensor:
    """``sum over i < k of (A^T)^i c``: what backpropagation through the last k loops of ``z <- A z + h`` says about ``h``."""
    total = term = c
    for _ in range(k - 1):
        term = A.T @ term
        total = total + term
    return total


def check_truncated_gradient(f: Callable) -> None:
    generator = torch.Generator().manual_seed(1)
    A, c = 0.4 * torch.randn(4, 4, generator=generator), torch.randn(4, generator=generator)
    kept = A.clone(), c.clone()
    powers = [torch.linalg.matrix_power(A.T, i) @ c for i in range(5)]
    forward = [torch.linalg.matrix_power(A, i) @ c for i in range(5)]
    expect(
        f(A, c, 3),
        sum(powers[:3]),
        "k = 3, with a 4 x 4 matrix that is not symmetric",
        mistakes={
            "gradients travel backwards: multiply by the transpose, A.T": sum(forward[:3]),
            "one term too many: i goes from 0 to k - 1": sum(powers[:4]),
            "one term is missing: i goes from 0 to k - 1": sum(powers[:2]),
            "the sum begins with i = 0, which is c itself": sum(powers[1:4]),
            "the sum begins with i = 0: c itself is missing": sum(powers[1:3]),
            "this is the last term alone; h enters at every loop, so the terms add up": powers[2],
            "this is (A^T)^k c alone; h enters at every loop, so the terms add up": powers[3],
        },
    )
    unchanged(kept[0], A, "A")
    unchanged(kept[1], c, "c")
    expect(f(A, c, 1), c, "k = 1 (only the last loop: the gradient is c)")
    expect(f(A, c, 5), sum(powers), "k = 5")


# ---------------------------------------------------------------- 04.5


def neumann_gradient(f: Callable, z: Tensor, h: Tensor, g: Tensor, terms: int) -> Tensor:
    """The gradient with respect to ``h`` at a fixed point ``z`` of ``f(z, h)``, from ``terms`` terms of the Neumann series.

    ``g`` is the gradient of the loss with respect to ``z``. Returns ``J_h^T u`` with ``u = sum over i < terms of (J_z^T)^i g``.
    """
    z, h = z.detach().requires_grad_(), h.detach().requires_grad_()
    with torch.enable_grad():
        after = f(z, h)
    u = term = g
    for _ in range(terms - 1):
        (term,) = torch.autograd.grad(after, z, term, retain_graph=True)
        u = u + term
    return torch.autograd.grad(after, h, u)[0]


def check_neumann_gradient(answer: Callable) -> None:
    generator = torch.Generator().manual_seed(2)
    Wz, Wh = 0.5 * torch.randn(4, 4, generator=generator), torch.randn(4, 3, generator=generator)
    h, g = torch.randn(3, generator=generator), torch.randn(4, generator=generator)
    f = lambda z, h: torch.tanh(Wz @ z + Wh @ h)
    z = torch.zeros(4)
    for _ in range(500):
        z = f(z, h)
    slope = torch.diag(1 - z.square())  # of the tanh, at the fixed point
    Jz, Jh = slope @ Wz, slope @ Wh
    powers = [torch.linalg.matrix_power(Jz.T, i) @ g for i in range(6)]
    forward = [torch.linalg.matrix_power(Jz, i) @ g for i in range(6)]
    kept = z.clone(), h.clone(), g.clone()
    expect(
        answer(f, z, h, g, 4),
        Jh.T @ sum(powers[:4]),
        "4 terms, for z <- tanh(Wz z + Wh h)",
        mistakes={
            "this is u: the last step is to take it through f to h, torch.autograd.grad(f(z, h), h, u)": sum(
                powers[:4]
            ),
            "one term too many: g itself is the first": Jh.T @ sum(powers[:5]),
            "one term is missing: g itself is the first": Jh.T @ sum(powers[:3]),
            "the series begins with g itself": Jh.T @ sum(powers[1:5]),
            "this is the last term alone: add them up": Jh.T @ powers[3],
            "this multiplies by J, and gradients go backwards: torch.autograd.grad(f(z, h), z, term) gives J^T term": Jh.T
            @ sum(forward[:4]),
            "only the first term, g, reached h": Jh.T @ g,
        },
    )
    for before, after, name in zip(kept, (z, h, g), "zhg", strict=True):
        unchanged(before, after.detach(), name)
    expect(answer(f, z, h, g, 1), Jh.T @ g, "1 term (that is g alone, taken through f to h)")
    whole = Jh.T @ torch.linalg.solve(torch.eye(4) - Jz.T, g)
    expect(answer(f, z, h, g, 300), whole, "300 terms, against J_h^T (I - J_z^T)^-1 g", tol=1e-3)


# ---------------------------------------------------------------- 04.3


@torch.no_grad()
def cell_differences(model: LoopedTransformer, x: Tensor, loops: int) -> Tensor:
    """How far each cell's state is from the last cell's, after each loop: ``x`` (1, cells, features) -> (loops, cells)."""
    return torch.stack([(z - z[:, -1:]).norm(dim=-1)[0] for z in model.states(x, loops)])


def check_cell_differences(f: Callable) -> None:
    task = PrefixSums(uniform=1, biased=0, last_loops=None)
    model = Recipe(task, seed=3, width=16, heads=2).build()
    x = one_hot(torch.tensor([[1, 1, 0, 1, 0]]))
    with torch.no_grad():
        states = torch.cat(list(model.states(x, 5)))  # (loops, cells, width)
        start = model.encode(x)
        right = (states - states[:, -1:]).norm(dim=-1)
        expect(
            f(model, x, 4),
            right[:4],
            "4 loops on the string 11010",
            mistakes={
                "you begin with the start state: row 0 is after one loop": torch.cat(
                    [(start - start[:, -1:]).norm(dim=-1), right[:3]]
                ),
                "you begin with the start state: row 0 is after one loop, and there are 4 rows": torch.cat(
                    [(start - start[:, -1:]).norm(dim=-1), right[:4]]
                ),
                "these are distances from the first cell, not from the last": (states - states[:, :1]).norm(dim=-1)[:4],
                "these are the lengths of the states: subtract the last cell's first": states.norm(dim=-1)[:4],
                "this is the squared distance: take the root": right[:4].square(),
                "the two axes are swapped: one row a loop, one column a cell": right[:4].T,
                "the batch axis is still there: x holds one instance, take entry 0": right[:4][:, None],
                "this is the mean over cells: keep one number a cell": right[:4].mean(1),
            },
        )
    expect(f(model, x[:, 1:], 2).shape[1], 5, "the number of columns for 5 cells")


progressive_logits = Exercise(
    "04.1",
    "one step of progressive loss",
    progressive_logits,
    check_progressive_logits,
    seen="The gradient reaches back k loops and not one further.",
)
curriculum = Exercise(
    "04.4",
    "a curriculum that waits",
    curriculum,
    check_curriculum,
    seen="It moves on when deep batches are right, and never because of a lucky shallow one.",
)
truncated_gradient = Exercise(
    "04.2",
    "the truncated gradient of a linear loop",
    truncated_gradient,
    check_truncated_gradient,
    seen="Backpropagation through k loops is a series, cut off after k terms.",
)
neumann_gradient = Exercise(
    "04.5",
    "the implicit gradient by a Neumann series",
    neumann_gradient,
    check_neumann_gradient,
    seen="One evaluation of f was enough, whatever the number of terms.",
)
cell_differences = Exercise(
    "04.3",
    "which cells can be told apart",
    cell_differences,
    check_cell_differences,
    seen="A column that stays at 0 is a cell that can only answer like the last one.",
)
