"""The exercises of lesson 06, three axes of stability."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..fixed_points import agreement, input_sensitivity_by_difference
from . import Exercise, Mistake, expect, unchanged

double = torch.float64

# ---------------------------------------------------------------- 06.1


def path_score(ends: Tensor, tol: float = 1e-2) -> Tensor:
    """The course's own answer: the share of pairs of starts that agree, for each instance."""
    return agreement(ends, tol)[0]


def check_path_score(f: Callable) -> None:
    # three starts, four instances of two numbers: all agree, two of three agree, none agree, and a far pair of long states
    ends = torch.tensor(
        [
            [[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [30.0, 40.0]],
            [[3.0, 4.0], [3.0, 4.0], [-3.0, 4.0], [30.0, 40.2]],
            [[3.0, 4.01], [-3.0, 4.0], [3.0, -4.0], [30.0, 39.8]],
        ],
        dtype=double,
    )
    right = torch.tensor([1.0, 1 / 3, 0.0, 1.0], dtype=double)
    kept = ends.clone()
    got = f(ends, tol=0.01)
    unchanged(kept, ends, "ends")
    if type(got) is Tensor and got.is_floating_point():
        got = got.double()
    with_self = torch.tensor([1.0, 5 / 9, 3 / 9, 1.0], dtype=double)
    to_first = torch.tensor([1.0, 0.5, 0.0, 1.0], dtype=double)
    expect(
        got,
        right,
        "path_score of three starts and four instances",
        mistakes=[
            ("you count each start as agreeing with itself; take pairs of different starts", with_self),
            ("you compare with the first start only; take all pairs", to_first),
            ("you compare with the first start only, itself included; take all pairs", (2 * to_first + 1) / 3),
            (
                "you compare with the start before only; take all pairs",
                torch.tensor([1.0, 0.5, 0.0, 1.0], dtype=double),
            ),
            ("this is all or nothing; the share of pairs says more", (right == 1).double()),
            (
                "the distance must be relative: compare it with tol times the mean length of the ends",
                right * (right < 1),
            ),
            (
                "the distance must be relative: compare it with tol times the mean length of the ends",
                torch.tensor([1.0, 1 / 3, 0.0, 0.0], dtype=double),
            ),
            (
                "the distance must be relative: compare it with tol times the mean length of the ends",
                torch.tensor([2 / 3, 1 / 3, 0.0, 0.0], dtype=double),
            ),
            ("this is the share of pairs that differ", 1 - right),
            ("one number for the whole batch; every instance has its own score", right.mean()),
        ],
    )
    cells = torch.randn(4, 2, 3, 5, dtype=double)
    cells[1:, 0] = cells[0, 0]
    got = f(cells)
    expect(
        got.double() if type(got) is Tensor else got,
        torch.tensor([1.0, 0.0], dtype=double),
        "path_score of ends of shape (4, 2, 3, 5)",
    )


# ---------------------------------------------------------------- 06.2


def period(states: Tensor, longest: int = 8, tol: float = 1e-3) -> list[int]:
    """The course's own answer: the smallest p for which the last p states repeat the p before them; 0 if there is none."""
    found = []
    for path in states.flatten(2).unbind(1):  # (loops + 1, numbers)
        repeats = (
            p
            for p in range(1, longest + 1)
            if 2 * p <= len(path) and (path[-p:] - path[-2 * p : -p]).norm(dim=1).max() <= tol
        )
        found.append(next(repeats, 0))
    return found


def check_period(f: Callable) -> None:
    t = torch.arange(41, dtype=double)
    turn = lambda p: torch.stack([torch.cos(2 * torch.pi * t / p), torch.sin(2 * torch.pi * t / p)], dim=1)
    chaos = [0.3]
    for _ in range(40):
        chaos.append(3.9 * chaos[-1] * (1 - chaos[-1]))
    twice = torch.tensor(chaos, dtype=double)[:, None].expand(41, 2).clone()
    twice[-4:] = torch.tensor(
        [[0.2], [0.9], [0.5], [0.9]], dtype=double
    )  # one pair two loops apart agrees, the other does not
    cases = {
        "a state that stays": (torch.ones(41, 2, dtype=double), 1),
        "a turn by half a circle": (turn(2), 2),
        "a turn by a third": (turn(3), 3),
        "a turn by a fifth": (turn(5), 5),
        "a turn by 1/7.3 of a circle": (turn(7.3), 0),
        "a turn by 1/12, longer than the longest period asked for": (turn(12), 0),
        "a drift in steps of 1": (t[:, None].expand(41, 2), 0),
        "a fixed point reached geometrically": (0.5 ** t[:, None].expand(41, 2), 1),
        "chaos that by chance comes close to where it was two loops ago": (twice, 0),
    }
    states = torch.stack([case for case, _ in cases.values()], dim=1)
    got = f(states.clone())
    if type(got) is Tensor and got.shape == (len(cases),):
        got = got.tolist()
    if type(got) is int or (type(got) is Tensor and got.ndim == 0):
        raise Mistake("period: one number for the whole batch; return a list with one period for each instance.")
    if type(got) not in (list, tuple) or len(got) != len(cases):
        raise Mistake(f"period: expected a list of {len(cases)} whole numbers, one for each instance.")
    for (name, (_, right)), answer in zip(cases.items(), got, strict=True):
        if type(answer) is float and answer.is_integer():
            answer = int(answer)
        mistakes = {}
        if right > 1:
            mistakes = {f"{k * right} is a multiple of the period; return the smallest": k * right for k in (2, 3, 4)}
            mistakes["one step moves this state, so its period is not 1"] = 1
        if right == 0:
            mistakes = {"it never repeats within 8 loops: return 0": answer}
        if right == 0 and "close" in name:
            mistakes = {"one close pair is no cycle: the last p states must all repeat the p before them": 2}
        if right == 1:
            mistakes = {f"a fixed point has period 1, and also {k}; return the smallest": k for k in range(2, 9)}
        expect(answer, right, f"the period of {name}", mistakes)
    expect(list(f(turn(5)[:, None], longest=4)), [0], "the period of a turn by a fifth with longest=4")


# ---------------------------------------------------------------- 06.3


def shared_plane(states: Tensor) -> tuple[Tensor, Tensor]:
    """The course's own answer: (centre (d,), axes (2, d)) of the plane that holds most of the variance of all states together."""
    points = states.flatten(0, 1).flatten(1)
    centre = points.mean(0)
    return centre, torch.linalg.svd(points - centre, full_matrices=False)[2][:2]


def check_shared_plane(f: Callable) -> None:
    # states (loops, batch, cells, width) spread by 3 and 2 in two directions of six, around a far centre
    spread = torch.randn(40, 5, 6, generator=torch.Generator().manual_seed(0), dtype=double)
    spread = spread * torch.tensor([0.1, 2.0, 0.1, 0.1, 3.0, 0.1], dtype=double) + 7
    states = spread.view(40, 5, 2, 3)
    got = f(states)
    if type(got) not in (tuple, list) or len(got) != 2:
        raise Mistake("shared_plane: expected two tensors, (centre, axes).")
    centre, axes = got
    points = spread.flatten(0, 1)
    expect(
        centre,
        points.mean(0),
        "the centre of the plane",
        mistakes={
            "this is the mean of the last loop only; all loops of all instances share one plane": spread[-1].mean(0),
            "this is the mean of the start only; all loops of all instances share one plane": spread[0].mean(0),
            "principal components are measured from the mean, not from zero": torch.zeros(6, dtype=double),
        },
    )
    _, _, right = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    _, _, uncentred = torch.linalg.svd(points, full_matrices=False)
    what = "the axes of the plane"
    if type(axes) is not Tensor:
        raise Mistake(f"{what}: expected a tensor of shape (2, 6).")
    if axes.shape == (6, 2):
        raise Mistake(f"{what}: shape (6, 2); put one axis in each row: (2, numbers).")
    if axes.shape == (6, 6):
        raise Mistake(f"{what}: all six directions; keep the first two.")
    if axes.shape != (2, 6):
        raise Mistake(f"{what}: expected shape (2, 6), got {tuple(axes.shape)}.")
    lengths = axes.detach().double().norm(dim=1)
    if not torch.allclose(lengths, torch.ones(2, dtype=double), atol=1e-4):
        raise Mistake(f"{what}: expected two vectors of length 1, got lengths {lengths[0]:.3g} and {lengths[1]:.3g}.")
    along = lambda basis: (axes.detach().double() * basis).sum(1).abs()
    if (along(right[:2]) > 1 - 1e-3).all():
        return
    if (along(uncentred[:2]) > 1 - 1e-3).all():
        raise Mistake(f"{what}: subtract the centre before the decomposition; these axes point at the far centre.")
    if (along(right.T[:2]) > 1 - 1e-3).all():
        raise Mistake(f"{what}: these are columns of what torch.linalg.svd returns last; the directions are its rows.")
    if (along(right[:2].flip(0)) > 1 - 1e-3).all():
        raise Mistake(f"{what}: the two are in the wrong order; the one with more variance comes first.")
    if (along(right[-2:]) > 1 - 1e-3).all() or (along(right[-2:].flip(0)) > 1 - 1e-3).all():
        raise Mistake(f"{what}: these are the directions of least variance; take the other end of the list.")
    raise Mistake(f"{what}: these are not the two directions of most variance of all states together.")


# ---------------------------------------------------------------- 06.4


def check_sensitivity(f: Callable) -> None:
    # z = a z + x^2 has its fixed point at x^2 / (1 - a): it moves by 2 x dx / (1 - a)
    a, x = 0.5, torch.tensor([[1.0], [-2.0]], dtype=double)
    dx = torch.tensor([[1.0], [0.5]], dtype=double)
    step = lambda z, x: a * z + x.square() + 0.1 * x**3
    z = torch.zeros(2, 1, dtype=double)
    s, end = 0.1, lambda x: (x.square() + 0.1 * x**3) / (1 - a)
    right = (end(x + s * dx) - end(x - s * dx)) / (2 * s)
    kept = x.clone()
    got = f(step, z, x, dx, 80, s)
    unchanged(kept, x, "the input x")
    unit = dx / dx.norm(dim=1, keepdim=True)
    few = 0.0
    for sign in (1, -1):
        state = z
        for _ in range(1):
            state = step(state, x + sign * s * dx)
        few = few + sign * state / (2 * s)
    expect(
        got,
        right,
        "the sensitivity of the end of a loop of one number",
        mistakes={
            "divide by 2 * step: the two inputs are 2 * step apart (in units of dx)": 2 * right,
            "this is the difference of the two ends; divide it by 2 * step": 2 * s * right,
            "these are differences to one side; use x + step dx and x - step dx": (end(x + s * dx) - end(x)) / s,
            "the sign is wrong: the end for x + step dx comes first": -right,
            "do not rescale dx: its length is part of the question": (end(x + s * unit) - end(x - s * unit)) / (2 * s),
            "run the loop for `loops` loops, not one": few,
        },
        tol=1e-6,
    )


# ---------------------------------------------------------------- 06.5


def neumann(product: Callable[[Tensor], Tensor], push: Tensor, terms: int) -> Tensor:
    """The course's own answer: push + J push + J^2 push + ..., so many terms."""
    total = term = push
    for _ in range(terms - 1):
        term = product(term)
        total = total + term
    return total


def check_neumann(f: Callable) -> None:
    J = torch.tensor([[0.5, 0.4], [0.0, 0.2]], dtype=double)
    push = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=double)
    product = lambda v: v @ J.T
    right = push + product(push) + product(product(push))
    kept = push.clone()
    got = f(product, push, 3)
    unchanged(kept, push, "push")
    expect(
        got,
        right,
        "neumann with 3 terms",
        mistakes={
            "the first term, push itself, is missing": product(right),
            "that is one term too many: push itself is the first": right + product(product(product(push))),
            "that is one term too few": push + product(push),
            "this is the last term only; add them up": product(product(push)),
            "each term is J times the term before, not J times the sum so far": push
            + product(push)
            + product(push + product(push)),
            "every term after the first is J push; multiply again each time": push + 2 * product(push),
        },
    )
    many = f(product, push, 200)
    expect(
        many,
        push @ torch.linalg.inv(torch.eye(2, dtype=double) - J).T,
        "neumann with 200 terms, which is (I - J)^-1 push",
    )
    expect(f(product, push, 1), push, "neumann with 1 term")


path_score = Exercise(
    "06.1",
    "path independence as a score",
    path_score,
    check_path_score,
    seen="1 means that the start is forgotten, 0 that no two starts agree.",
)
period = Exercise(
    "06.2",
    "a cycle detector",
    period,
    check_period,
    seen="Now turn it on trained models: one of them has a surprise for you.",
)
shared_plane = Exercise(
    "06.3",
    "one plane for many trajectories",
    shared_plane,
    check_shared_plane,
    seen="With one plane for all, two pictures can be laid side by side.",
)
sensitivity = Exercise(
    "06.4",
    "input sensitivity by experiment",
    input_sensitivity_by_difference,
    check_sensitivity,
    seen="Two runs of the loop tell how far its end moves when the question does.",
)
neumann = Exercise(
    "06.5",
    "the same by (I - J)^-1, as a series",
    neumann,
    check_neumann,
    seen="Transposed, this series is also the gradient of training: one number, the spectral radius, rules both.",
)
