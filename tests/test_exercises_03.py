"""Mutants for lesson 03: wrong answers must be told what is wrong, right ones written another way must pass."""

import ast
from pathlib import Path

import jupytext
import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers

from looped_lite.exercises import Exercise
from looped_lite.exercises import lesson_03 as ex

SOURCE = Path(__file__).parents[1] / "lessons" / "03_recall_and_normalization.py"
EXERCISES = {name: value for name, value in vars(ex).items() if isinstance(value, Exercise)}


def mix_in_place(z, h, Wz, Wh):
    z.copy_(z @ Wz.T)
    return z + h @ Wh.T


class Branch:
    """A branch with a memory of its first call: wrong as soon as it is called again."""

    def __init__(self, branch, h, Wz, Wh):
        self.branch, self.h, self.Wz, self.Wh, self.first = branch, h, Wz, Wh, None

    def __call__(self, u):
        self.first = u if self.first is None else self.first
        return self.branch(ex.mix(self.first, self.h, self.Wz, self.Wh))


def nested(branch, h, Wz, Wh):
    def new(u):
        both, weights = torch.cat([u, h], dim=-1), torch.cat([Wz, Wh], dim=1)
        return branch(torch.einsum("...i,oi->...o", both, weights))

    return new


def by_table(z, branch, norm_in, norm_out, where):
    update = branch(z if where == "post" else norm_in(z))
    update = norm_out(update) if where == "peri" else update
    return norm_out(z + update) if where in ("post", "sandwich") else z + update


def always(where):
    return lambda z, branch, norm_in, norm_out, _: ex.add_branch(z, branch, norm_in, norm_out, where)


def swapped(a, b):
    def answer(z, branch, norm_in, norm_out, where):
        return ex.add_branch(z, branch, norm_in, norm_out, {a: b, b: a}.get(where, where))

    return answer


def normalized_stream(z, branch, norm_in, norm_out, where):
    if where == "pre":
        return norm_in(z) + branch(norm_in(z))
    return ex.add_branch(z, branch, norm_in, norm_out, where)


def no_residual(z, branch, norm_in, norm_out, where):
    if where == "post":
        return norm_out(branch(z))
    return ex.add_branch(z, branch, norm_in, norm_out, where)


def with_lists(norms, slack=0.01):
    numbers = [float(value) for value in norms]
    quarter = len(numbers) // 4
    return max(numbers[3 * quarter :]) <= max(numbers[2 * quarter : 3 * quarter]) * (1 + slack)


def added(f, z):
    return f(z) - z


RIGHT = {
    "external": [
        lambda z, h, Wz, Wh: torch.nn.functional.linear(z, Wz) + torch.nn.functional.linear(h, Wh),
        lambda z, h, Wz, Wh: torch.einsum("oi,bci->bco", Wz, z) + (Wh @ h.mT).mT,
    ],
    "internal": [nested, lambda branch, h, Wz, Wh: lambda u, *rest: branch(u @ Wz.T + h @ Wh.mT)],
    "place_norm": [by_table, lambda *args: ex.add_branch(*args).double()],
    "stays_bounded": [
        with_lists,
        lambda norms: torch.tensor(ex.bounded(norms)),
        lambda n: n[300:].max() < 1.01 * n[200:300].max() if len(n) == 400 else ex.bounded(n),
    ],
    "change_on_lengthening": [
        lambda f, z, c: float(torch.dist(added(f, c * z), added(f, z)) / torch.linalg.vector_norm(added(f, z))),
        lambda f, z, factor: (
            (added(f, factor * z) - added(f, z)).square().sum().sqrt() / added(f, z).flatten().norm()
        ).item(),
    ],
}

WRONG = {
    "external": [
        (lambda z, h, Wz, Wh: z @ Wz + h @ Wh, "a matrix acts as z @ Wz.T"),
        (lambda z, h, Wz, Wh: z + h, "the matrices are missing"),
        (lambda z, h, Wz, Wh: z @ Wz.T, "the input h is missing"),
        (lambda z, h, Wz, Wh: z @ Wh.T + h @ Wz.T, "changed places"),
        (lambda z, h, Wz, Wh: z @ Wz.T + h, "goes through Wh first"),
        (lambda z, h, Wz, Wh: z + z @ Wz.T + h @ Wh.T, "takes the place of z"),
        (lambda z, h, Wz, Wh: Wz @ z + Wh @ h, "stopped with RuntimeError"),
        (lambda z, h, Wz, Wh: torch.cat([z @ Wz.T, h @ Wh.T], -1), "expected shape (2, 5, 6), got (2, 5, 12)"),
        (mix_in_place, "changed in place"),
    ],
    "internal": [
        (lambda branch, h, Wz, Wh: branch, "h is not in it"),
        (lambda branch, h, Wz, Wh: lambda u: ex.mix(branch(u), h, Wz, Wh), "mix first"),
        (lambda branch, h, Wz, Wh: branch(ex.mix(h, h, Wz, Wh)), "return a new branch, a function"),
        (lambda branch, h, Wz, Wh: lambda u: u + branch(ex.mix(u, h, Wz, Wh)), "the residual is not its business"),
        (lambda branch, h, Wz, Wh: lambda u: ex.mix(u, h, Wz, Wh), "the old branch never reads it"),
        (lambda branch, h, Wz, Wh: lambda u: branch(u + h), "the matrices are missing"),
        (lambda branch, h, Wz, Wh: lambda u: branch(u @ Wz.T) + h @ Wh.T, "the branch should read it"),
        (lambda branch, h, Wz, Wh: None, "is there a return?"),
        (Branch, "called a second time"),
    ],
    "place_norm": [
        (swapped("pre", "peri"), 'where="pre": this is peri'),
        (swapped("post", "sandwich"), 'where="post": this is sandwich'),
        (always("pre"), 'where="peri": this is pre'),
        (normalized_stream, "the normalized state is added"),
        (no_residual, 'where="post": the residual is missing'),
        (lambda z, branch, a, b, where: ex.add_branch(z, branch, b, a, where), "changed places"),
        (lambda z, branch, a, b, where: z + branch(z), "no norm is used"),
        (lambda z, branch, a, b, where: z + a(z), "the branch itself is missing"),
        (lambda z, branch, a, b, where: z + branch(a(z)) if where == "pre" else None, "is there a return?"),
    ],
    "stays_bounded": [
        (lambda norms: bool(norms.max() < 10), "length 100,000"),
        (lambda norms: bool(norms[-1] < 1.01 * norms[0]), "not with the start"),
        (lambda norms: bool(norms[-1] <= 1.01 * norms.max()), "goes on for ever"),
        (lambda norms: bool(norms[-100:].max() <= 1.01 * norms[:-100].max()), "an old maximum hides the growth"),
        (lambda norms: bool(norms[-1] - norms[-2] < 1), "slow growth is growth"),
        (lambda norms: not ex.bounded(norms), "a state that stays at length 8"),
        (lambda norms: ex.bounded(norms, 0.045), "more than 1%"),
        (lambda norms: float(norms.max()), "expected bool True"),
        (lambda norms: True, "goes on for ever"),
    ],
    "change_on_lengthening": [
        (lambda f, z, c: (f(c * z) - f(z)).norm() / added(f, z).norm(), "subtract from each what went in"),
        (lambda f, z, c: (added(f, c * z) - added(f, z)).norm(), "not divided by the size"),
        (lambda f, z, c: (added(f, c * z) - added(f, z)).norm() / z.norm(), "divided by the length of the state"),
        (
            lambda f, z, c: (added(f, c * z) - added(f, z)).norm() / added(f, c * z).norm(),
            "divide by what is added to z",
        ),
        (
            lambda f, z, c: (added(f, c * z).norm() - added(f, z).norm()).abs() / added(f, z).norm(),
            "the length of the difference",
        ),
        (lambda f, z, c: (added(f, c * z) - added(f, z)).norm(dim=-1) / added(f, z).norm(dim=-1), "a tensor of shape"),
        (lambda f, z, c: 0.0, "a map z + Wz + b"),
    ],
}


def test_a_new_branch_that_is_still_a_stub_is_unsolved():
    def internal(branch, h, Wz, Wh):
        def new(u):
            raise NotImplementedError("your turn")

        return new

    assert ex.internal(internal) is ex.internal.reference and ex.internal.state == "unsolved"


def test_the_lessons_solutions_are_right_and_every_exercise_is_in_the_lesson():
    """Run the exercise cells of the source, solutions and all, and what they lean on."""
    cells = [cell for cell in jupytext.read(SOURCE).cells if cell.cell_type == "code"]
    space = {"torch": torch, "ex": ex}
    for cell in cells:
        tree = ast.parse(cell.source)
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        exec(compile(tree, str(SOURCE), "exec"), space)
    assert {name: one.state for name, one in EXERCISES.items()} == dict.fromkeys(EXERCISES, "solved")
