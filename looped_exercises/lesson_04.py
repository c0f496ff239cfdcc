"""The exercises of lesson 04, learning to loop: progressive loss, gradients through a loop, symmetry, a curriculum."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.autograd import grad

from looped_lite import training
from looped_lite.fixed_points import unrolled_gradient
from looped_lite.model import Loop
from looped_lite.recipe import Recipe
from looped_lite.tasks.prefix_sums import PrefixSums, one_hot, random_bits

from . import Case, Exercise, Mistake, Named, after
from .plain import Other, describe, tidy

TASKS = {"usual": PrefixSums(last_loops=None), "shorter": PrefixSums(last_level=16, most_loops=10, last_loops=None)}
THINGS = {
    "model": lambda recall, seed, norm="post": Recipe(
        TASKS["usual"], recall=recall, width=16, heads=2, seed=seed, norm=norm
    ).build(),
    "task": TASKS.__getitem__,
    "tanh": lambda Wz, Wh: lambda z, h: torch.tanh(z @ Wz.T + h @ Wh.T),
}
define = partial(Exercise, things=THINGS)
but = lambda answer, **changes: lambda *arguments: answer(*arguments, **changes)  # some of its steps done otherwise
norm = partial(torch.norm, dim=-1)


def draw(generator, *shape):
    return torch.randn(shape, generator=generator)


def model(generator, recall, *norm):
    return Named("model", recall, int(torch.randint(1000, (), generator=generator)), *norm)


# ---------------------------------------------------------------- 04.1 one step of progressive loss


def progressive_cases(generator):
    runs = [("internal", 3, 6, 2, 3), ("external", 2, 4, 3, 1), ("none", 2, 5, 0, 2), ("internal", 4, 3, 0, 1)]
    refused = "Then no loop is in the graph and the block learns nothing: raise a ValueError for k < 1"
    x = lambda batch, bits: one_hot(random_bits(batch, bits, generator))
    return [
        *(Case(f"{n} loops without gradient and {k} with it, {recall} recall", model(generator, recall), x(*size), n, k)
          for recall, *size, n, k in runs),
        *(Case(f"k = {k}", model(generator, "internal"), x(2, 4), 2, k, hint=refused) for k in (0, -1)),
    ]  # fmt: skip


def with_gradients(answer, model, x, n, k):
    """The logits, and how a fixed function of them moves with embedding, block and head; for k < 1 the refusal."""
    if k < 1:
        try:
            answer(model, x, n, k)
        except ValueError:
            return {"refused": True}
        return {"refused": False}
    before = x.clone()
    logits, still_on = answer(model, x, n, k), torch.is_grad_enabled()
    found = {"embedding": model.embed, "block": model.blocks, "head": model.head}
    if type(logits) is not Tensor or not x.equal(before):
        return {"logits": Other(describe(tidy(logits))), **dict.fromkeys(found), "gradients left on": still_on}
    with torch.enable_grad():  # what takes no part has the gradient 0
        pushed = (logits * torch.linspace(-1.0, 2.0, logits.numel()).view_as(logits)).sum()
        pushed = pushed + 0 * sum(p.sum() for p in model.parameters())
    for part, module in found.items():
        found[part] = torch.cat([g.flatten() for g in grad(pushed, [*module.parameters()], retain_graph=True)])
    return {"logits": logits, **found, "gradients left on": still_on}


def progressive(model, x, n, k, refuse=lambda n, k: k < 1, error=ValueError, start=lambda h: h, h=lambda h: h,
                blind=False, skip=0, more=0, silent=True, silent_then=False, cut=lambda t, k: False,
                swap=False, read=None):  # fmt: skip
    """One step of progressive loss, with a place for each thing that can be done otherwise."""
    if refuse(n, k):
        raise error("k must be at least 1")
    with torch.set_grad_enabled(not blind):
        f = Loop(model, h(model.encode(x)))
    z, (n, k) = start(f.h), (k, n) if swap else (n, k)
    with torch.set_grad_enabled(not silent):
        for _ in range(n - skip):
            z = f(z)
    with torch.set_grad_enabled(not silent_then):
        for t in range(k + more):
            z = f(z.detach() if cut(t, k) else z)
    return (read or model.read_out)(z)


def as_in_training(model, x, n, k):
    if not k > 0:
        raise ValueError
    return training.progressive_logits(model, x, n, k)


def detached(model, x, n, k):
    """Right: runs all loops with gradient, and cuts it."""
    f, k = model.loop(x), k if k > 0 else int("none")
    z = f.h
    for t in range(n + k):
        z = f(z).detach() if t < n else f(z)
    return model.head(z)


run = partial(but, progressive)
progressive_logits = define(
    "04.1", "one step of progressive loss", progressive, progressive_cases, ask=with_gradients, tol=1e-3, atol=1e-5,
    seen="The gradient reaches back k loops and not one further.", styles=[as_in_training, detached],
    mistakes=[
        Mistake("the gradient passes through all n + k loops: run n under torch.no_grad()", run(silent=False)),
        Mistake("the gradient passes through the last loop only: all k loops keep theirs",
                run(cut=lambda t, k: t == k - 1), run(cut=lambda t, k: True)),
        Mistake("the gradient passes through n loops: it is k that run with it", run(swap=True)),
        Mistake("you detach the start: with n = 0 it is h itself, gradient and all", run(start=Tensor.detach)),
        Mistake("the embedding gets no gradient: h is made under torch.no_grad() or detached",
                run(h=Tensor.detach), run(blind=True)),
        Mistake("the block gets no gradient: only the first n loops run under torch.no_grad()",
                run(silent_then=True), run(silent_then=True, blind=True)),
        Mistake("the k loops with gradient come last", run(swap=True, silent=False, silent_then=True)),
        Mistake("the logits carry no gradient at all: nothing may be detached after the k loops, or run under no_grad",
                after(progressive, Tensor.detach)),
        Mistake("gradients are switched off after your function: use with torch.no_grad(): around the first n loops",
                after(progressive, lambda logits: (torch.set_grad_enabled(False), logits)[1])),
        Mistake("this is the answer after k loops: run n first, and go on from there", run(skip=99)),
        Mistake("this is the answer after n loops: k more run with gradient", run(more=-99)),
        Mistake("one loop is missing: n and k make n + k", run(more=-1), run(skip=1)),
        Mistake("this is one loop too many: n and k make n + k", run(more=1), run(skip=-1)),
        Mistake("this is the state: read it out with model.read_out", run(read=lambda z: z)),
        Mistake("the loop starts from zeros: it starts from the embedded input, f.h", run(start=torch.zeros_like)),
        Mistake("the loop starts from noise: it starts from the embedded input, f.h", run(start=torch.randn_like)),
        Mistake("these are probabilities: return the logits as model.read_out gives them",
                *(after(progressive, change) for change in (lambda y: y.softmax(-1), lambda y: y.log_softmax(-1)))),
        Mistake("these are answers, without a gradient: return the logits", after(progressive, lambda y: y.argmax(-1))),
        Mistake("k loops run with gradient, after the n: n + k in all, not k",
                lambda model, x, n, k: progressive(model, x, n, k, more=-n)),
        Mistake("this is the last cell alone: return the logits of all cells", after(progressive, lambda y: y[:, -1])),
        Mistake("k = 1 is allowed: then one loop runs with gradient", run(refuse=lambda n, k: k <= 1)),
        Mistake("n = 0 is allowed: then the start is h itself", run(refuse=lambda n, k: n < 1 or k < 1)),
        Mistake("k = 0 went through: raise a ValueError, or the block learns nothing", run(refuse=lambda n, k: False)),
        Mistake("k < 1 must be refused, not only k = 0", run(refuse=lambda n, k: k == 0)),
        Mistake("k < 1 must raise a ValueError, no other exception", run(error=AssertionError)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 04.2 the truncated gradient of a linear loop


def truncated_cases(generator):
    return [Case(f"k = {k}, with a {d} x {d} matrix", 0.5 * draw(generator, d, d), draw(generator, d), k)
            for d, k in [(4, 3), (3, 1), (2, 5), (3, 2)]]  # fmt: skip


def truncated(A, c, k):
    """``sum over i < k of (A^T)^i c``: what backpropagation through the last k loops of ``z <- A z + h`` says of h."""
    total = term = c
    for _ in range(k - 1):
        term = A.T @ term
        total = total + term
    return total


def series(A, c, k, add=sum, B=lambda A: A.T, more=0):
    """What ``add`` makes of the k + ``more`` terms."""
    return add([torch.linalg.matrix_power(B(A), i) @ c for i in range(k + more)]) + torch.zeros_like(c)


def by_autograd(A, c, k):
    h = torch.zeros_like(c, requires_grad=True)
    return unrolled_gradient(lambda z: z @ A.T + h, torch.zeros(1, len(c)), lambda z: (z @ c).sum(), [h], k)[0]


adds = partial(but, series)
rest, last = (lambda terms: sum(terms[1:])), (lambda terms: terms[-1])
restart = lambda terms: terms[0] + sum(terms[1:2] * (len(terms) - 1))
truncated_gradient = define(
    "04.2", "the truncated gradient of a linear loop", truncated, truncated_cases,
    seen="Backpropagation through k loops is a series, cut off after k terms.", styles=[series, by_autograd],
    mistakes=[
        Mistake("gradients travel backwards: multiply by the transpose, A.T", adds(B=lambda A: A)),
        Mistake("one term too many: i goes from 0 to k - 1", adds(more=1)),
        Mistake("one term is missing: i goes from 0 to k - 1", adds(more=-1)),
        Mistake("the sum begins with i = 0, which is c itself", adds(add=rest), adds(add=rest, more=1)),
        Mistake("this is one term alone; h enters at every loop: add up", adds(add=last), adds(add=last, more=1)),
        Mistake("this is the first term and the last: every one between belongs to the sum, too",
                adds(add=lambda terms: terms[0] + terms[-1])),
        Mistake("c stands in the sum twice: add it once", adds(add=lambda terms: sum(terms) + terms[0])),
        Mistake("every further term is A.T times the one before, not A.T times c again", adds(add=restart)),
        Mistake("this multiplies the whole total by A.T and adds it: keep the term and the total apart",
                lambda A, c, k: torch.linalg.matrix_power(torch.eye(len(A)) + A.T, k - 1) @ c),
        Mistake("a product of matrix and vector is A.T @ term: ** and * go entry by entry",
                lambda A, c, k: sum((A.T**i) @ c for i in range(k)), lambda A, c, k: truncated(A.diag().diag(), c, k)),
        Mistake("each term has one A.T more than the one before, not two", adds(B=lambda A: A.T @ A.T)),
        Mistake("the terms are not divided by 1, 2, 3, ...: that is the exponential series", lambda A, c, k: sum(
                torch.linalg.matrix_power(A.T, i) @ c / math.factorial(i) for i in range(k))),
        Mistake("the terms keep their length: do not bring them to length 1",
                adds(add=lambda terms: terms[0] + sum(term / term.norm() for term in terms[1:])),
                adds(add=lambda terms: sum(term / term.norm() for term in terms))),
        Mistake("the powers lack their vector: the answer is one vector like c",
                lambda A, c, k: sum(torch.linalg.matrix_power(A.T, i) for i in range(k))),
        Mistake("this is the whole series, (I - A.T)^-1 c: only k terms are asked for",
                lambda A, c, k: torch.linalg.solve(torch.eye(len(A)) - A.T, c)),
        Mistake("this is a mean: the terms add up", lambda A, c, k: truncated(A, c, k) / k),
        Mistake("the signs take turns; all are +", adds(B=lambda A: -A.T)),
        Mistake("the terms stand in a list; add them up", lambda A, c, k: torch.stack([
                torch.linalg.matrix_power(A.T, i) @ c for i in range(k)])),
        Mistake("this is one number; the gradient is a vector like c", after(truncated, Tensor.sum),
                after(truncated, Tensor.norm), lambda A, c, k: truncated(A, c, k) @ c),
        Mistake("the number of terms is an argument, k", lambda A, c, k: truncated(A, c, 3)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 04.3 which cells can be told apart


def differences_cases(generator):
    case = lambda text, recall, bits, loops, *norm, first=0: Case(
        text, model(generator, recall, *norm), one_hot(random_bits(1, bits, generator))[:, first:], loops)  # fmt: skip
    return [case("4 loops on a string of 5 bits (6 cells)", "internal", 5, 4, "pre"),
            case("9 loops on a string of 5 bits, in which distances rise and fall", "none", 5, 9),
            case("2 loops on 3 bits without the BOS cell", "none", 3, 2, first=1),
            case("1 loop on a string of 7 bits", "external", 7, 1)]  # fmt: skip


@torch.no_grad()
def measure(model, x, loops, length=norm, base=lambda z: z[:, -1:], first=1, more=0):
    """The ``length`` of how far the states (loops, cells, width) are from ``base``, after each loop."""
    z = torch.cat([model.encode(x), *model.states(x, loops + more)])[first:]
    return length(z - base(z))


def by_distances(model, x, loops):
    """Right, and keeps its gradients."""
    apart = partial(torch.cdist, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.stack([apart(z[0], z[0, -1:])[:, 0] for z in model.states(x, loops)])


rows = partial(but, measure)
cell_differences = define(
    "04.3", "which cells can be told apart", measure, differences_cases, atol=1e-5,
    seen="A column that stays at 0 is a cell that can only answer like the last one.",
    styles=[by_distances, rows(length=lambda d: (d * d).sum(-1).sqrt())],
    mistakes=[
        Mistake("these are distances from the first cell, not from the last", rows(base=lambda z: z[:, :1])),
        Mistake("these are distances from the last cell but one", rows(base=lambda z: z[:, -2:-1])),
        Mistake("compare with the last cell's state after the same loop, not with the input h", lambda m, x, t: measure(
                m, x, t, base=lambda z: m.encode(x)[:, -1:])),
        Mistake("this compares directions: the distance itself is meant, the length of the difference", *(
                rows(base=lambda z: 0, length=lambda z, s=s: s * torch.cosine_similarity(z, z[:, -1:], dim=-1)
                     + (s < 0)) for s in (-1, 1))),
        Mistake("z[..., -1:] is the last channel; the last cell is z[:, -1:]", rows(base=lambda z: z[..., -1:])),
        Mistake("the last cell changes, too: compare the cells after the same loop", rows(base=lambda z: z[-1:, -1:]),
                rows(base=lambda z: z[:1, -1:])),
        Mistake("this is a distance as a share of the state's length; the distance itself is meant",
                *(rows(base=lambda z: 0, length=lambda z, of=of: norm(z - z[:, -1:]) / norm(of(z)))
                  for of in (lambda z: z, lambda z: z[:, -1:]))),
        Mistake("differences of both signs cancel when they are added: take a length",
                rows(length=lambda d: d.sum(-1)), rows(length=lambda d: d.mean(-1))),
        Mistake("model.states(x, 1) begins anew each time: run it once, for all loops", lambda m, x, loops: torch.cat([
                measure(m, x, 1) for _ in range(loops)])),
        Mistake("these are distances from the neighbour: compare every cell with the last one",
                *(rows(base=lambda z, by=by: z.roll(by, 1)) for by in (1, -1)),
                rows(base=lambda z: 0, length=lambda z: norm(z.diff(dim=1)))),
        Mistake("these are distances from the mean: compare with the last cell", rows(base=lambda z: z.mean(1, True))),
        Mistake("this compares loops with each other: compare the cells of one loop", rows(base=lambda z: z[-1:]),
                rows(base=lambda z: 0, first=0, length=lambda z: norm(z.diff(dim=0)))),
        Mistake("you begin with the start state: row 0 is after one loop", rows(first=0),
                rows(first=0, length=lambda d: norm(d)[:-1]), lambda m, x, loops: torch.stack([
                    norm(z - z[:, -1:])[0] for z in (m.encode(x), *m.states(x, loops - 1))])),
        Mistake("one loop too many: there is one row a loop", rows(more=1), rows(first=2, more=1)),
        Mistake("this is the last loop only: one row for each loop", rows(length=lambda d: norm(d)[-1]),
                rows(length=lambda d: norm(d)[-1:])),
        Mistake("these are the lengths of the states: subtract the last cell's first", rows(base=lambda z: 0)),
        Mistake("this is the difference of the lengths: subtract first, then take the length",
                *(rows(base=lambda z: 0, length=lambda z, part=part: part(norm(z) - norm(z)[:, -1:]))
                  for part in (torch.abs, torch.clone))),
        Mistake("this is the squared distance: take the root", rows(length=lambda d: d.square().sum(-1))),
        Mistake("this is the root of the mean square: take the sum", rows(length=lambda d: d.square().mean(-1).sqrt())),
        Mistake("this is no length: that is the root of the sum of squares, and not of absolute values",
                *(rows(length=lambda d, t=t: t(d.abs(), -1)) for t in (torch.sum, torch.mean, torch.amax))),
        Mistake("these are the differences: take their length, .norm(dim=-1)", rows(length=lambda d: d)),
        Mistake("this is a length over the cells: over the channels, dim=-1", rows(length=lambda d: d.norm(dim=1))),
        Mistake("the two axes are swapped: one row a loop, one column a cell", after(measure, Tensor.t)),
        Mistake("the batch axis is still there: x holds one instance, take entry 0",
                after(measure, lambda d: d[:, None]), after(measure, lambda d: d[None])),
        Mistake("this is one number a loop: keep one for each cell", after(measure, lambda d: d.mean(1)),
                after(measure, lambda d: d.sum(1)), rows(length=lambda d: d.flatten(1).norm(dim=1))),
        Mistake("the last column is missing: the last cell stays", after(measure, lambda d: d[:, :-1])),
        Mistake("these are the logits: compare the states, which model.states yields",
                lambda m, x, t: measure(m, x, t, length=lambda z: norm(m.read_out(z) - m.read_out(z)[:, -1:]),
                                        base=lambda z: 0)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 04.4 a curriculum that waits


def curriculum_cases(generator):
    share = lambda low, high: round(low + (high - low) * float(torch.rand((), generator=generator)), 3)
    mid, good, bad, near = share(0.3, 0.6), share(0.8, 0.99), share(0.1, 0.2), share(0.87, 0.895)
    deep, end = "It counts, and running moves 0.3 of the way", "At task.last_level there is no next"
    wait, go, bar = "That is not above 0.9 yet", "That is above 0.9", "0.9 is not above 0.9"
    runs = [(8, mid, 8, 8, good, deep), (8, mid, 8, 3, good, ""), (8, mid, 8, 6, good, "0.8 N is 6.4"),
            (8, mid, 8, 7, good, "0.8 N is 6.4"), (26, near, 26, 20, 1.0, go), (8, bad, 8, 8, 0.05, ""),
            (32, mid, 32, 16, good, deep), (32, mid, 32, 18, good, deep), (32, mid, 32, 15, good, ""),
            (8, mid, 7, 7, 1.0, ""), (8, 0.95, 7, 8, 1.0, ""), (8, 0.95, 8, 2, 1.0, ""), (8, mid, 8, 8, bad, ""),
            (8, near, 8, 8, 1.0, go), (16, near, 16, 16, 1.0, go), (8, share(0.79, 0.83), 8, 8, 1.0, wait),
            (10, 0.9, 10, 10, 0.9, bar), (8, 0.95, 8, 8, 0.85, go),
            (32, share(0.92, 0.96), 32, 20, 1.0, end)]  # fmt: skip
    runs = [("usual", *run) for run in runs]
    runs += [("shorter", 12, mid, 12, 8, good, deep), ("shorter", 16, share(0.92, 0.96), 16, 10, 1.0, end)]
    return [
        Case(f"level {level}, running {running}, then {drawn} bits, {loops} loops (N = {TASKS[task].loops(level)}), "
             f"accuracy {accuracy}", Named("task", task), level, running, drawn, loops, accuracy, hint=hint)
        for task, level, running, drawn, loops, accuracy, hint in runs
    ]  # fmt: skip


def step(task, level, running, drawn, loops, accuracy, same=lambda drawn, level: drawn == level, share=0.8,
         most=lambda task, level: task.loops(level), enough=lambda loops, bar: loops >= bar, always=False,
         mix=lambda r, a: r + 0.3 * (a - r), above=lambda new, old, a: new > 0.9, last=lambda task: task.last_level,
         harder=lambda task, level: task.harder(level), fresh=lambda new, old, a: 0.0):  # fmt: skip
    """The level and the running accuracy after a batch, with a place for each thing that can be done otherwise."""
    counts = same(drawn, level) and enough(loops, share * most(task, level))
    new = mix(running, accuracy) if counts else running
    if (counts or always) and above(new, running, accuracy) and level != last(task):
        return harder(task, level), fresh(new, running, accuracy)
    return level, new


def early_returns(task, level, running, drawn, loops, accuracy):
    if drawn != level or 5 * loops < 4 * task.loops(level):
        return [level, running]
    running = 0.7 * running + 0.3 * accuracy
    if running <= 0.9 or level == task.last_level:
        return [level, torch.tensor(running)]
    return [task.harder(level), 0]


def forgetful(task, level, running, drawn, loops, accuracy):
    counts = drawn == level and loops >= 0.8 * task.loops(level)
    return step(task, level, running, drawn, loops, accuracy) if counts else (level, 0.0)


moves = partial(but, step)
above = lambda *tests: [moves(above=test) for test in tests]  # steps with other conditions to move on
curriculum = define(
    "04.4", "a curriculum that waits", step, curriculum_cases,
    seen="It moves on when deep batches are right, and never because of a lucky shallow one.",
    styles=[early_returns, moves(mix=lambda r, a: r - 0.3 * r + 0.3 * a)],
    mistakes=[
        Mistake("the running accuracy moves by 0.3 of the way to the new one, not by 0.7 or a half",
                *(moves(mix=lambda r, a, part=part: r + part * (a - r)) for part in (0.7, 0.5))),
        Mistake("this is the accuracy of the one batch: mix it into the running one", moves(mix=lambda r, a: a)),
        Mistake("0.3 of the new accuracy is added, but 0.3 of the old must go", moves(mix=lambda r, a: r + 0.3 * a)),
        Mistake("mind the sign: running moves towards accuracy, by 0.3 * (accuracy - running)",
                moves(mix=lambda r, a: r - 0.3 * (a - r))),
        Mistake("a batch that does not count leaves the running accuracy as it is", forgetful),
        Mistake("the last level is a level, too: go on to it from the one before", lambda task, level, *more: step(
                task, level, *more, last=lambda task: level if task.harder(level) == task.last_level else None)),
        Mistake("the running accuracy can fall, too", moves(mix=lambda r, a: max(r, r + 0.3 * (a - r)))),
        Mistake("a batch of full length and depth must count", moves(same=lambda drawn, level: False)),
        Mistake("a shallow batch must not count: it fails for lack of loops", moves(share=0)),
        Mistake("this batch is too shallow to count: at least 0.8 N loops", *(moves(share=s) for s in (0.7, 0.5))),
        Mistake("with you only a batch of N loops counts: 0.8 N are enough", moves(share=1.0)),
        Mistake("0.8 N need not be a whole number: do not round it", moves(enough=lambda loops, bar: loops >= int(bar)),
                moves(enough=lambda loops, bar: loops >= round(bar))),
        Mistake("at least 0.8 N: >= and not >", moves(enough=lambda loops, bar: loops > bar)),
        Mistake("compare loops with N = task.loops(level), not with the length", moves(most=lambda t, level: level)),
        Mistake("N is not always the same: ask task.loops(level)", moves(most=lambda t, level: t.most_loops)),
        Mistake("ask for N at this level, not at the next one", moves(most=lambda t, level: t.loops(t.harder(level)))),
        Mistake("a batch of an easier level must not count: it says nothing about this one",
                moves(same=lambda drawn, level: True), moves(same=lambda drawn, level: drawn <= level)),
        Mistake("a batch that does not count changes nothing: move on only inside the `if`", moves(always=True)),
        Mistake("0.9 is not above 0.9: use > and not >=", *above(lambda new, old, a: new >= 0.9)),
        Mistake("it is too early to move on: running must be above 0.9", *above(lambda new, old, a: new > 0.85)),
        Mistake("it is time to move on: running is above 0.9", *above(lambda new, old, a: new > 0.95)),
        Mistake("the running accuracy decides, not that of the one batch", *above(lambda new, old, a: a > 0.9)),
        Mistake("the new running accuracy decides, not the old one", *above(lambda new, old, a: old > 0.9)),
        Mistake("it moves on, and the running accuracy must start at 0 again for the new level",
                moves(fresh=lambda new, old, a: new), moves(fresh=lambda new, old, a: old),
                moves(fresh=lambda new, old, a: 1.0), moves(fresh=lambda new, old, a: a)),
        Mistake("the level after this one is task.harder(level)", moves(harder=lambda t, level: level + 1),
                moves(harder=lambda t, level: level + 2), moves(harder=lambda t, level: 2 * level)),
        Mistake("the last level is the last: keep its running accuracy", moves(last=lambda task: None)),
        Mistake("the last level is not always 32: ask task.last_level", moves(last=lambda task: 32)),
        Mistake("the order is level, running", after(step, lambda pair: pair[::-1])),
        Mistake("return both, (level, running)", *(after(step, lambda pair, i=i: pair[i]) for i in (0, 1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 04.5 the implicit gradient by a Neumann series


def neumann_cases(generator):
    def case(text, shape, inputs, terms, off=0.0):
        Wz, Wh = draw(generator, shape[-1], shape[-1]), draw(generator, shape[-1], inputs)
        Wz, z, h = 0.7 * Wz / torch.linalg.matrix_norm(Wz, 2), torch.zeros(shape), draw(generator, *shape[:-1], inputs)
        for _ in range(200):
            z = THINGS["tanh"](Wz, Wh)(z, h)
        z, g = z + off * draw(generator, *shape), draw(generator, *shape)
        return Case(f"{terms} terms{text}, for z <- tanh(Wz z + Wh h)", Named("tanh", Wz, Wh), z, h, g, terms)

    return [case("", (4,), 3, 4), case(" (that is g alone, taken through f to h)", (3,), 2, 1), case(" and 2 cells",
            (2, 3), 3, 6), case(" at a z not quite settled (every factor is taken at z all the same)", (4,), 3, 5, 0.1),
            case(", as good as all", (3,), 4, 100)]  # fmt: skip


def neumann(f, z, h, g, terms, again=lambda once, f: once, finish=lambda once, f: once):
    """The gradient with respect to ``h`` at a fixed point ``z`` of ``f(z, h)``: ``J_h^T u``, u = sum of (J_z^T)^i g."""
    z, h = z.detach().requires_grad_(), h.detach().requires_grad_()
    with torch.enable_grad():
        once = f(z, h)
        u = term = g
        for _ in range(terms - 1):
            (term,) = grad(again(once, lambda: f(z, h)), z, term, retain_graph=True)
            u = u + term
        return grad(finish(once, lambda: f(z, h)), h, u)[0]


def dense(f, z, h, g, terms, add=sum, B=lambda J: J.T, more=0, reach=True):
    """The series by whole Jacobians; ``add`` makes u of the list of terms."""
    Jz, Jh = (J.reshape(z.numel(), -1) for J in torch.autograd.functional.jacobian(f, (z, h)))
    u = series(Jz, g.flatten(), terms, add, B, more)
    return (Jh.T @ u).view_as(h) if reach else u.view_as(z)


def by_vjp(f, z, h, g, terms):
    """Right: takes each term through f to h at once, and adds up there."""
    pull, found = torch.func.vjp(f, z, h)[1], torch.zeros_like(h)
    for _ in range(terms):
        g, part = pull(g)
        found += part
    return found


def unrolled(f, z, h, g, terms, start=lambda z: z):
    z, h = start(z), h.clone().requires_grad_()
    for _ in range(terms):
        z = f(z, h)
    return grad(z, h, g)[0]


sums, new = partial(but, dense), lambda once, f: f()
neumann_gradient = define(
    "04.5", "the implicit gradient by a Neumann series", neumann, neumann_cases, calls=["f"],
    seen="One evaluation of f was enough, whatever the number of terms.", styles=[dense, by_vjp],
    mistakes=[
        Mistake("this backpropagates through `terms` loops: call f once, at z, and ask autograd for the products",
                unrolled, but(unrolled, start=torch.zeros_like)),
        Mistake("f is called again for each term: once is enough, with retain_graph=True",
                but(neumann, again=new), but(neumann, again=new, finish=new)),
        Mistake("f is called once for z and once for h: one call gives both, torch.autograd.grad(after, h, u)",
                but(neumann, finish=new)),
        Mistake("one term too many: g itself is the first", sums(more=1)),
        Mistake("one term is missing: g itself is the first", sums(more=-1)),
        Mistake("the series begins with g itself, untouched by J", sums(add=rest), sums(add=rest, more=1)),
        Mistake("the last step goes to h: torch.autograd.grad(after, h, u)[0]", sums(add=rest, more=1, reach=False)),
        Mistake("this multiplies the whole sum by J_z^T and adds it: keep the term and the sum apart",
                sums(add=last, B=lambda J: J.T + torch.eye(len(J)))),
        Mistake("this is one term alone: add them up", sums(add=last), sums(add=last, more=1)),
        Mistake("g stands in the sum twice: add it once", sums(add=lambda terms: sum(terms) + terms[0])),
        Mistake("every further term is J_z^T times the one before, not times g again", sums(add=restart)),
        Mistake("only the first term, g, reached h", sums(add=lambda terms: terms[0])),
        Mistake("this is u: take it through f to h, torch.autograd.grad(after, h, u)[0]", sums(reach=False)),
        Mistake("this multiplies by J: torch.autograd.grad(after, z, term) gives J^T term", sums(B=lambda J: J)),
        Mistake("this is a mean: the terms add up", sums(add=lambda terms: sum(terms) / len(terms))),
        Mistake("this is the series of (I + J)^-1, with alternating signs: all are +", sums(B=lambda J: -J.T)),
        Mistake("the number of terms is an argument", lambda f, z, h, g, terms: dense(f, z, h, g, 100)),
        Mistake("the series starts from g, not from ones", lambda f, z, h, g, n: dense(f, z, h, 1 + 0 * g, n)),
    ],
)  # fmt: skip
