"""The exercises of lesson 06, three axes of stability."""

import itertools
import math

import torch
from torch import Tensor

from looped_lite.fixed_points import agreement, input_sensitivity_by_difference

from . import Case, Exercise, Mistake, Named, after

double = torch.float64


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=double)


def flat(states: Tensor, before: int = 1) -> Tensor:
    """Lengths of states, each everything after the first ``before`` dimensions."""
    return states.flatten(before).norm(dim=before)


# ---------------------------------------------------------------- 06.1 path independence as a score


def ends_cases(generator):
    """Distances lie around the tolerance; some starts end five times as far out or on
    the other side, so it matters whose length counts."""
    cases = []
    for shape, options in (
        ((3, 12, 2), {}),
        ((4, 16, 2, 3), {}),
        ((5, 10, 4), {"tol": 0.3}),
        ((4, 12, 3), {"tol": 1e-3}),
    ):
        tol, ones = options.get("tol", 1e-2), (1,) * (len(shape) - 2)
        near = 10 ** torch.rand(shape[1], *ones, generator=generator, dtype=double) * tol / 4
        noise, far = draw(generator, *shape), torch.rand(shape[:2], generator=generator) < 0.25
        noise = noise / flat(noise, 2).view(*shape[:2], *ones)
        base = (0.1 if len(cases) % 2 else 10) * draw(generator, *shape[1:])
        ends = base * torch.where(far, 5.0, 1.0).where(torch.rand(shape[:2], generator=generator) < 0.75, -1.0).view(
            *shape[:2], *ones
        ) + noise * near * flat(base).view(-1, *ones)
        said = f", tol={tol}" if options else ""
        cases.append(Case(f"path_score of {shape[0]} starts and {shape[1]} instances{said}", ends, **options))
    return cases


every_pair = lambda n: list(itertools.combinations(range(n), 2))


def scoring(distance=flat, unit=lambda sizes, ends: sizes.mean(0), pairs=every_pair,
            share=lambda agree: agree.float().mean(0),
            tol=None, scale=1.0):  # fmt: skip
    """Right as it stands; each option is a mistake."""

    def answer(ends, tol_given=1e-2):
        most = scale * (tol or tol_given) * unit(flat(ends, 2), ends)
        return share(torch.stack([distance(ends[i] - ends[j]) <= most for i, j in pairs(len(ends))]))

    return lambda ends, tol=1e-2: answer(ends, tol)


def score_by_cdist(ends, tol=1e-2):
    """Right: all distances at once, the diagonal taken out."""
    states, n = ends.flatten(2).transpose(0, 1), len(ends)
    distances = torch.cdist(states, states, compute_mode="donot_use_mm_for_euclid_dist")
    near = distances <= tol * states.norm(dim=2).mean(1)[:, None, None]
    return (near.sum((1, 2)) - n) / (n * (n - 1))


relative = "the distance must be relative: compare it with tol times the mean length of the ends"
path_score = Exercise(
    "06.1", "path independence as a score", lambda ends, tol=1e-2: agreement(ends, tol)[0], ends_cases,
    seen="1 means that the start is forgotten, 0 that no two starts agree.",
    styles=[scoring(), score_by_cdist, after(scoring(), Tensor.tolist), after(scoring(), Tensor.double)],
    mistakes=[
        Mistake("you count each start as agreeing with itself; take pairs of different starts",
                scoring(pairs=lambda n: list(itertools.product(range(n), repeat=2))),
                scoring(pairs=lambda n: list(itertools.combinations_with_replacement(range(n), 2)))),
        Mistake("you compare with the first start only; take all pairs",
                scoring(pairs=lambda n: [(0, i) for i in range(1, n)]),
                scoring(pairs=lambda n: [(0, i) for i in range(n)])),
        Mistake("you compare neighbouring starts only; take all pairs",
                scoring(pairs=lambda n: [(i, i + 1) for i in range(n - 1)]),
                scoring(pairs=lambda n: [(i, (i + 1) % n) for i in range(n)])),
        Mistake("this is all or nothing; the share of pairs says more",
                scoring(share=lambda agree: agree.all(0).float()),
                scoring(share=lambda agree: agree.all(0)), scoring(share=lambda agree: agree.any(0).float())),
        Mistake(relative, scoring(unit=lambda sizes, ends: 1.0)),
        Mistake("the unit is the mean length of all ends, not the length of one of them",
                *(scoring(unit=lambda sizes, ends, of=of: sizes[of]) for of in (0, 1, -1)),
                scoring(unit=lambda sizes, ends: sizes.amax(0)), scoring(unit=lambda sizes, ends: sizes.amin(0)),
                scoring(unit=lambda sizes, ends: sizes.median(0).values)),
        Mistake("the unit is the mean length of all ends, not of the two that are compared", lambda ends, tol=1e-2:
                torch.stack([flat(ends[i] - ends[j]) <= tol * (flat(ends[i]) + flat(ends[j])) / 2
                             for i, j in every_pair(len(ends))]).float().mean(0)),
        Mistake("compare the ends with each other, not with their mean", lambda ends, tol=1e-2:
                (flat(ends - ends.mean(0), 2) <= tol * flat(ends, 2).mean(0)).float().mean(0)),
        Mistake("these are pairs of instances: the starts lie along dimension 0",
                lambda ends, tol=1e-2: scoring()(ends.transpose(0, 1), tol)),
        Mistake("the unit is the mean length of the ends, not their sum",
                scoring(unit=lambda sizes, ends: sizes.sum(0))),
        Mistake("take lengths first, then their mean: this is the length of the mean end",
                scoring(unit=lambda sizes, ends: flat(ends.mean(0)))),
        Mistake("each instance has its own unit, the mean over its starts; this is one for the whole batch",
                scoring(unit=lambda sizes, ends: sizes.mean())),
        Mistake("this is the square of the distance; take the root", scoring(lambda moved: flat(moved) ** 2)),
        Mistake("the distance is the length of the difference: the root of the sum of squares",
                scoring(lambda moved: moved.flatten(1).abs().amax(1)),
                scoring(lambda moved: moved.flatten(1).abs().sum(1)),
                scoring(lambda moved: moved.flatten(1).square().mean(1).sqrt()),
                scoring(lambda moved: moved.flatten(1).abs().mean(1))),
        Mistake("the tolerance is an argument, `tol`, and its default is 1e-2",
                *(scoring(tol=tol) for tol in (1e-2, 0.1))),
        Mistake("agree means at most tol, not at most twice or half of it", scoring(scale=2.0), scoring(scale=0.5)),
        Mistake("this is the share of pairs that differ", after(scoring(), lambda score: 1 - score)),
        Mistake("one number for the whole batch; every instance has its own score", after(scoring(), torch.mean)),
        Mistake("divide the number of pairs that agree by the number of all pairs",
                scoring(share=lambda agree: agree.sum(0)), scoring(share=lambda agree: agree.float().sum(0)),
                lambda ends, tol=1e-2: scoring(share=lambda agree: agree.sum(0) / len(ends))(ends, tol)),
        Mistake("this is a distance: count the pairs whose distance is small", *(lambda ends, tol=1e-2, by=by: by(
                torch.stack([flat(ends[i] - ends[j]) for i, j in every_pair(len(ends))]).mean(0), ends) for by in (
                    lambda far, ends: far / flat(ends, 2).mean(0), lambda far, ends: far))),
        Mistake("a state is all that lies after the first two axes, one vector: flatten(2)", lambda ends, tol=1e-2:
                torch.stack([(ends[i] - ends[j]).norm(dim=-1) <= tol * ends.norm(dim=-1).mean(0)
                             for i, j in every_pair(len(ends))]).float().mean(0)),
        Mistake("take the mean over the pairs, for each instance", scoring(share=lambda agree: agree.float().mean(1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 06.2 a cycle detector


def orbit(generator, periods, shape=(2,), loops=40, apart=0.0):
    """An orbit for each period after some steps of other things; in each round all is ``apart`` from the last one."""
    found = draw(generator, loops + 1, len(periods), *shape)
    for place, p in enumerate(periods):
        table, way = draw(generator, p, *shape), draw(generator, *shape)
        t = torch.arange(8, loops + 1)
        found[8:, place] = table[t % p] + apart * (t // p).view(-1, *(1,) * len(shape)) * way / way.norm()
    return found


def nudged(generator, p, by, spread=False, last=1):
    """An orbit of period p whose last states are off, in one random number or in all six."""
    states, place = orbit(generator, [p], (2, 3)), int(torch.randint(6, (), generator=generator))
    states[-last:] += by * (torch.ones(6) if spread else torch.eye(6)[place]).view(2, 3)
    return states


def period_cases(generator):
    wild, close = draw(generator, 41, 2, 2), draw(generator, 41, 1, 2)
    wild[:20] = wild[0]
    wild[-1], close[-1], close[-2] = wild[-3], close[-5], close[-6]
    drift = 1000 + 0.01 * torch.arange(41, dtype=double)[:, None, None].expand(41, 2, 2).clone() + draw(generator, 2, 2)
    return [
        Case("the period of three states that move in rounds of 2, 3 and 5", orbit(generator, [2, 3, 5])),
        Case("the period of two states that stay", orbit(generator, [1, 1], (2, 3)), hint="A fixed point has period 1"),
        Case("the period of rounds of 8, the longest asked for, and of 7", orbit(generator, [8, 7])),
        Case("the period of a round of 12, with the default longest=8", orbit(generator, [12]),
             hint="None fits, so it is 0"),
        Case("the period of rounds of 5, 3 and 6, with longest=4", orbit(generator, [5, 3, 6], (3,)), longest=4),
        Case("the period of rounds of 10 and 6, with longest=12", orbit(generator, [10, 6], (3,)), longest=12),
        Case("the period of a drift by 0.01 a loop, far out", drift, hint="It moves by more than tol, for ever"),
        Case("the period of chaos whose end is by chance where it was two loops ago", wild),
        Case("the period of chaos whose last two states are by chance where they were four loops ago", close),
        Case("the period of a round of 3 whose last state is off by 2.4 tol", nudged(generator, 3, 2.4e-3)),
        Case("the period of a round of 4 whose last state is off by 0.8 tol in each of six numbers",
             nudged(generator, 4, 8e-4, True)),
        Case("the period of a round of 4 whose last two states are off by 1.6 tol",
             nudged(generator, 4, 1.6e-3, last=2)),
        *(Case(f"the period of a round of 5 that moves by {apart} tol each time",
               orbit(generator, [5], (2, 3), apart=apart / 1e3))
          for apart in (0.15, 0.8, 1.5)),
        Case("the period of a round of 5 that moves by 0.0008 each time, with tol=1e-4",
             orbit(generator, [5], apart=8e-4), tol=1e-4),
        Case("the period of a round of 2 that moves by 0.0002 each time, with tol=10, for which all is one",
             orbit(generator, [2], apart=2e-4), tol=10.0),
        Case("the period of a round of 4 that moves by 0.05 each time, with tol=0.1",
             orbit(generator, [4], apart=0.05), tol=0.1),
    ]  # fmt: skip


def repeating(pairs=lambda p: range(1, p + 1), reduce=max, distance=torch.norm,
              tries=lambda longest: range(1, longest + 1),
              none=0, fixed=None, size=lambda path: 1.0, longest_is=None, each=lambda state: 1.0, more=0):  # fmt: skip
    """Right as it stands; each option is a mistake. ``pairs(p)`` are the places from the end that are compared."""
    apart = lambda path, i, p: float(distance(path[-i] - path[-i - p - more]) / each(path[-i]))

    def answer(states, longest=8, tol=1e-3):
        found = []
        for path in states.flatten(2).unbind(1):
            fits = lambda p, path=path: reduce([apart(path, i, p) for i in pairs(p)])
            most = (fixed or tol) * size(path)
            found.append(next((p for p in tries(longest_is or longest) if fits(p) <= most), none))
        return found

    return answer


def all_at_once(states, longest=8, tol=1e-3):
    """Right: one comparison for the whole batch, the longest period first; a tensor."""
    answer = torch.zeros(states.shape[1], dtype=torch.long)
    for p in range(longest, 0, -1):
        answer[flat(states[-p:] - states[-2 * p : -p], 2).amax(0) <= tol] = p
    return answer


def as_one(states, longest=8, tol=1e-3):
    """Wrong: the whole batch as one state."""
    return repeating()(states[:, None], longest, tol)


def step_by_step(states, longest=8, tol=1e-3):
    """Wrong: each state compared with the one just before."""
    moved = flat(states.diff(dim=0), 2)
    return [next((p for p in range(1, longest + 1) if path[-p:].max() <= tol), 0) for path in moved.T]


periods = repeating()
period = Exercise(
    "06.2", "a cycle detector", periods, period_cases,
    seen="Now turn it on trained models: one of them has a surprise for you.",
    styles=[all_at_once, after(periods, tuple), after(all_at_once, Tensor.numpy)],
    mistakes=[
        Mistake("several periods fit, each a multiple of the first; return the smallest",
                repeating(tries=lambda longest: range(longest, 0, -1))),
        Mistake("go up to longest itself: range(1, longest + 1)", repeating(tries=lambda longest: range(1, longest))),
        Mistake("that is one period too many: longest is the last to try",
                repeating(tries=lambda longest: range(1, longest + 2))),
        Mistake("begin with p = 1: a fixed point has period 1", repeating(tries=lambda longest: range(2, longest + 1))),
        Mistake("the longest period to try is an argument, `longest`",
                repeating(longest_is=8), repeating(longest_is=10),
                repeating(longest_is=20)),
        Mistake("the tolerance is an argument, `tol`, and its default is 1e-3",
                *(repeating(fixed=tol) for tol in (1e-3, 1e-2, 1e-4))),
        Mistake("one close pair is no cycle: the last p states must all repeat the p before them",
                repeating(lambda p: [1]),
                repeating(reduce=min)),
        Mistake("two close pairs are no cycle: the last p states must all repeat the p before them",
                repeating(lambda p: range(1, min(p, 2) + 1))),
        Mistake("that is one pair too few: the last p states must all repeat the p before them",
                repeating(lambda p: range(1, max(p, 2))), repeating(lambda p: range(2, p + 1) or [1])),
        Mistake("each of the p distances must be at most tol: take the largest, not their mean",
                repeating(reduce=lambda found: sum(found) / len(found))),
        Mistake("each of the p distances must be at most tol: take the largest, not their sum or the length of all",
                repeating(reduce=sum), repeating(reduce=lambda found: sum(one * one for one in found) ** 0.5)),
        Mistake("the distance is the length of the difference, not its largest number",
                repeating(distance=lambda moved: moved.abs().max())),
        Mistake("the distance is the length of the difference: the root of the sum of squares",
                repeating(distance=lambda moved: moved.abs().sum()),
                repeating(distance=lambda moved: moved.square().sum()),
                repeating(distance=lambda moved: moved.abs().mean()),
                repeating(distance=lambda moved: moved.square().mean().sqrt())),
        Mistake("the distance is absolute here: far out, a small part of the length is still a step",
                repeating(size=lambda path: float(path[-1].norm())), repeating(each=torch.norm)),
        Mistake("that is p + 1 loops before: the p states before the last p are path[-2 * p : -p]", repeating(more=1)),
        Mistake("no orbit repeats here, or p = 0, which always fits, comes first: begin with p = 1",
                lambda states, longest=8, tol=1e-3: [0] * states.shape[1]),
        Mistake("one number for the whole batch; return a list with one period for each instance",
                after(periods, lambda found: found[0]), after(periods, lambda found: found[:1]),
                after(periods, max)),
        Mistake("you look at the whole batch at once; each instance has a period of its own", as_one,
                lambda states, longest=8, tol=1e-3: as_one(states, longest, tol) * states.shape[1],
                lambda states, longest=8, tol=1e-3: as_one(states, longest, tol)[0]),
        Mistake("only the end of the orbit has to repeat, the last p states; here all of it has to",
                lambda states, longest=8, tol=1e-3: [next((p for p in range(1, longest + 1) if (
                    path[p:] - path[:-p]).norm(dim=1).max() <= tol), 0) for path in states.flatten(2).unbind(1)]),
        Mistake("compare each of the last p states with the one p loops before, not just before, and not in a mirror",
                step_by_step,
                lambda states, longest=8, tol=1e-3: [next((p for p in range(1, longest + 1) if (path[-p:] - path[
                    -2 * p : -p].flip(0)).norm(dim=1).max() <= tol), 0) for path in states.flatten(2).unbind(1)]),
        Mistake("where no p fits return 0", *(repeating(none=none) for none in (None, -1, False, float("inf"))),
                lambda states, longest=8, tol=1e-3: repeating(none=longest + 1)(states, longest, tol)),
        Mistake("look at the end of the orbit: this is how it begins",
                lambda states, longest=8, tol=1e-3: periods(states.flip(0), longest, tol)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 06.3 one plane for many trajectories


def plane_cases(generator):
    """States spread by 3 and 2 in two directions of many, around a far centre; starts and ends lie elsewhere."""
    cases = []
    for loops, batch, shape in ((40, 5, (2, 3)), (25, 8, (4,)), (60, 3, (3, 1, 3))):
        numbers = torch.Size(shape).numel()
        turn = torch.linalg.qr(draw(generator, numbers, numbers))[0]
        spread = torch.tensor([3.0, 2.0, *[0.1] * (numbers - 2)], dtype=double)
        states = (draw(generator, loops, batch, numbers) * spread) @ turn.T + 7 + draw(generator, numbers)
        cases.append(Case(f"the plane of states of shape {(loops, batch, *shape)}", states.view(loops, batch, *shape)))
    return cases


def laying(of=lambda states: states, centre=lambda points: points.mean(0),
           around=lambda points: points - points.mean(0),
           pick=lambda values, rows: rows[:2], put=lambda centre, axes: (centre, axes)):  # fmt: skip
    """Right as it stands; each option is a mistake."""

    def answer(states):
        points = of(states).flatten(0, 1).flatten(1)
        values, rows = torch.linalg.svd(around(points), full_matrices=False)[1:]
        return put(centre(points), pick(values, rows))

    return answer


def plane_by_covariance(states):
    """Right: eigenvectors of the covariance, the largest first."""
    points = states.flatten(0, 1).flatten(1)
    return points.mean(0), torch.linalg.eigh(points.T.cov())[1].flip(1)[:, :2].T


def sign_fixed(value):
    """An axis and its opposite are the same: the largest number of each is made positive."""
    centre, axes = value
    return centre, axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()


def upright(value, states):
    """A sentence where the two axes are not orthogonal, None where they are."""
    product = float(value[1][0] @ value[1][1])
    return f"the two axes are not at right angles: their product is {product:.2g}" if abs(product) > 1e-3 else None


shared_plane = Exercise(
    "06.3", "one plane for many trajectories", laying(), plane_cases, form=sign_fixed, properties=[upright],
    seen="With one plane for all, two pictures can be laid side by side.",
    styles=[plane_by_covariance, laying(put=lambda centre, axes: [centre, -axes]),
            lambda states: (states.mean((0, 1)).flatten(), laying()(states)[1])],
    mistakes=[
        Mistake("these are the states of the last loop only; all loops of all instances share one plane",
                laying(lambda states: states[-1:])),
        Mistake("these are the states of the start only; all loops of all instances share one plane",
                laying(lambda states: states[:1])),
        Mistake("this is one trajectory only; all instances share one plane", laying(lambda states: states[:, :1])),
        Mistake("the centre is the mean of all states, not of one loop or one instance",
                *(laying(centre=lambda points, some=some: points[some].mean(0)) for some in (slice(0, 1),
                                                                                             slice(-1, None)))),
        Mistake("subtract the centre before the decomposition; these axes point at the far centre",
                laying(around=lambda points: points)),
        Mistake("principal components are measured from the mean: return it as the centre, not zero",
                laying(centre=lambda points: 0 * points[0]),
                laying(centre=lambda points: (points - points.mean(0)).mean(0)),
                laying(centre=lambda points: 0 * points[0], around=lambda points: points)),
        Mistake("the centre is the mean, not the median", laying(centre=lambda points: points.median(0).values),
                laying(centre=lambda points: points.median(0).values,
                       around=lambda points: points - points.median(0).values)),
        Mistake("the centre is the mean over all loops, not of the last or first one",
                *(lambda states, at=at: laying(centre=lambda points: states[at].mean(0).flatten(),
                                               around=lambda points: points - states[at].mean(0).flatten())(states)
                  for at in (-1, 0))),
        Mistake("one centre for all: centred each on its own, trajectories lose how they lie to each other",
                lambda states: (laying()(states)[0], laying(lambda states: states - states.mean(0))(states)[1])),
        Mistake("these are the directions of the steps; the axes are about where the states lie",
                lambda states: (laying()(states)[0], laying()(states.diff(dim=0))[1])),
        Mistake("a state is all of its numbers in one row: flatten(0, 1).flatten(1)",
                lambda states: laying()(states.flatten(1, -2))),
        Mistake("these are from U, the first of three: the directions are the rows of the third",
                *(lambda states, turned=turned: (laying()(states)[0], turned(torch.linalg.svd(
                    states.flatten(0, 1).flatten(1) - laying()(states)[0], full_matrices=False)[0]))
                  for turned in (lambda U: U[:, :2].T, lambda U: U[:2], lambda U: U[:, :2]))),
        Mistake("do not rescale the numbers: their variance is what the axes are about",
                laying(around=lambda points: (points - points.mean(0)) / points.std(0))),
        Mistake("these are columns of what torch.linalg.svd returns last; the directions are its rows",
                laying(pick=lambda values, rows: rows[:, :2].T)),
        Mistake("put one axis in each row: (2, numbers)", laying(pick=lambda values, rows: rows[:2].T),
                laying(pick=lambda values, rows: rows[:, :2])),
        Mistake("the two are in the wrong order; the one with more variance comes first",
                laying(pick=lambda values, rows: rows[:2].flip(0))),
        Mistake("these are the directions of least variance; take the other end of the list",
                laying(pick=lambda values, rows: rows[-2:]), laying(pick=lambda values, rows: rows.flip(0)[:2]),
                lambda states: (laying()(states)[0],
                                torch.linalg.eigh(states.flatten(0, 1).flatten(1).T.cov())[1][:, :2].T)),
        Mistake("these are all directions; keep the first two", laying(pick=lambda values, rows: rows)),
        Mistake("the plane has two axes",
                laying(pick=lambda values, rows: rows[:1]), laying(pick=lambda values, rows: rows[:3]),
                laying(pick=lambda values, rows: rows[0])),
        Mistake("the axes have length 1: do not multiply them by the spread",
                laying(pick=lambda values, rows: rows[:2] * values[:2, None]),
                laying(pick=lambda values, rows: rows[:2] * 2)),
        Mistake("return both, (centre, axes)",
                laying(put=lambda centre, axes: axes), laying(put=lambda centre, axes: centre)),
        Mistake("the order is centre, axes", laying(put=lambda centre, axes: (axes, centre))),
        Mistake("the centre is one state, (numbers,)", laying(centre=lambda points: points.mean(0, keepdim=True)),
                laying(centre=lambda points: points.mean()), laying(centre=lambda points: points.mean(1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 06.4 input sensitivity by experiment

LOOPS = {"pull": lambda a: lambda z, x: a * z + x.square() + 0.1 * x**3,
         "mix": lambda A: lambda z, x: torch.tanh(z @ A.T) + x.sin()}  # fmt: skip


def sensitivity_cases(generator):
    one, more, A = (lambda: draw(generator, 2, 1)), (lambda: draw(generator, 3, 2, 4)), 0.4 * draw(generator, 4, 4)
    pull, mix = Named("pull", 0.5), Named("mix", A)
    return [
        Case(
            "the sensitivity of a loop of one number after 3 loops, step=0.1", pull, one(), one() + 2, 3 * one(), 3, 0.1
        ),
        Case("the sensitivity of the same loop after 80 loops, step=0.1", pull, one(), one() + 2, 3 * one(), 80, 0.1),
        Case(
            "the sensitivity of states of shape (3, 2, 4) after 4 loops, step=0.3", mix, more(), more(), more(), 4, 0.3
        ),
        Case("the sensitivity after 2 loops, with the default step=0.01", mix, more(), more(), more(), 2),
    ]


def differing(sides=(1, -1), scale=lambda step, dx: 2 * step, loops=lambda loops: loops, fixed=None,
              input=lambda x, move, dx, k: x + move * dx, start=lambda z, ends, x, move: z, turn=lambda dx: dx,
              put=lambda difference: difference):  # fmt: skip
    """Right as it stands; each option is a mistake."""

    def answer(f, z, x, dx, count, step=1e-2):
        step, dx, ends = fixed or step, turn(dx), []
        for side in sides:
            state = start(z, ends, x, side * step * dx)
            for k in range(loops(count)):
                state = f(state, input(x, side * step, dx, k))
            ends.append(state)
        return put((ends[0] - ends[1]) / scale(step, dx))

    return lambda f, z, x, dx, loops, step=1e-2: answer(f, z, x, dx, loops, step)


one_unit = lambda dx: dx / flat(dx).view(-1, *(1,) * (dx.ndim - 1))
sensitivity = Exercise(
    "06.4", "input sensitivity by experiment", input_sensitivity_by_difference, sensitivity_cases, things=LOOPS,
    tol=1e-6,
    seen="Two runs of the loop tell how far its end moves when the question does.",
    styles=[differing(), differing(sides=(-1, 1), scale=lambda step, dx: -2 * step), after(differing(), Tensor.tolist)],
    mistakes=[
        Mistake("divide by 2 * step: the two inputs are 2 * step apart (in units of dx)",
                differing(scale=lambda step, dx: step)),
        Mistake("this is the difference of the two ends; divide it by 2 * step", differing(scale=lambda step, dx: 1.0)),
        Mistake("you divide by 2, or multiply by step: put 2 * step in brackets",
                differing(scale=lambda step, dx: 2 / step),
                differing(scale=lambda step, dx: 2.0)),
        Mistake("these are differences to one side; use x + step dx and x - step dx",
                differing((1, 0), lambda step, dx: step),
                differing((0, -1), lambda step, dx: step), differing((1, 0)), differing((0, -1))),
        Mistake("both runs got the same input (a lambda looks its names up when it is called, after the loop)",
                differing((-1, -1)), differing((1, 1))),
        Mistake("the sign is wrong: the end for x + step dx comes first", differing((-1, 1))),
        Mistake("do not bring dx to length 1: its length is part of the question", differing(turn=one_unit),
                differing(turn=lambda dx: dx / dx.norm()), differing(scale=lambda step, dx: 2 * step * dx.norm()),
                differing(scale=lambda step, dx: 2 * step * flat(dx).view(-1, *(1,) * (dx.ndim - 1)))),
        Mistake("the input moves along dx: this adds step to every number of x",
                differing(input=lambda x, move, dx, k: x + move)),
        Mistake("dx is a direction, not a factor: x + step * dx",
                differing(input=lambda x, move, dx, k: x * (1 + move * dx))),
        Mistake("this moves by dx itself, or by minus dx: x + step * dx",
                differing(input=lambda x, move, dx, k: x + dx if move > 0 else x - dx)),
        Mistake("the loop runs once more than asked: `loops` times", differing(loops=lambda count: count + 1)),
        Mistake("the loop runs once less than asked: `loops` times", differing(loops=lambda count: count - 1)),
        Mistake("run the loop for `loops` loops, not one", differing(loops=lambda count: 1)),
        Mistake("both runs start at the same z: this starts the second where the first ended",
                differing(start=lambda z, ends, x, move: ends[-1] if ends else z)),
        Mistake("both runs start at z, not at zero or at the input", differing(start=lambda z, *_: 0 * z),
                differing(start=lambda z, ends, x, move: x), differing(start=lambda z, ends, x, move: x + move)),
        Mistake("the input moves, x + step * dx; the start z stays where it is",
                *(differing(input=moved, start=lambda z, ends, x, move: z + move) for moved in (
                    lambda x, move, dx, k: x, lambda x, move, dx, k: x + move * dx))),
        Mistake("f takes the state first, then the input: f(z, x)",
                lambda f, *rest, **step: differing()(lambda z, x: f(x, z), *rest, **step)),
        Mistake("divide by 2 * step alone, not by the number of loops", lambda f, z, x, dx, loops, step=1e-2:
                differing()(f, z, x, dx, loops, step) / loops),
        Mistake("the input stays the same in all loops of a run: do not move it further each time",
                differing(input=lambda x, move, dx, k: x + (k + 1) * move * dx)),
        Mistake("the input is moved in all loops of a run, not in the first alone",
                differing(input=lambda x, move, dx, k: x + (k == 0) * move * dx)),
        Mistake("the size of the step is an argument, `step`", *(differing(fixed=step) for step in (1e-2, 1e-3, 0.1))),
        Mistake("return the difference itself, like z, not its length", differing(put=torch.norm), differing(put=flat),
                differing(put=torch.abs), differing(put=torch.mean)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 06.5 the same by (I - J)^-1, as a series


def series_cases(generator):
    J = lambda n: Named("matrix", 0.6 * torch.eye(n, dtype=double) + 0.2 * draw(generator, n, n).triu(1))
    return [
        Case("neumann with 3 terms", J(2), draw(generator, 3, 2), 3),
        Case("neumann with 6 terms of vectors of 4", J(4), draw(generator, 2, 4), 6),
        Case("neumann with 200 terms, which is (I - J)^-1 push", J(3), draw(generator, 2, 3), 200),
        Case("neumann with 1 term", J(2), draw(generator, 3, 2), 1, hint="That is push itself"),
    ]


def terms_of(product, push, terms):
    found = [push]
    while len(found) < terms:
        found.append(product(found[-1]))
    return found


def horner(product, push, terms, first=None):
    """Right: push + J (push + J (push + ...))."""
    total = push if first is None else first
    for _ in range(terms - 1):
        total = push + product(total)
    return total


def sums(product, push, terms):
    total = push
    for _ in range(terms - 1):
        total = total + product(total)
    return total


def powers(product, push, terms):
    """Wrong: each term from the start again."""
    return sum(terms_of(product, push, k + 1)[-1] for k in range(terms))


added = after(terms_of, sum)
generous = lambda product, push, terms: sum(terms_of(product, push, terms + 1)[:-1])  # one product may be left over
neumann = Exercise(
    "06.5", "the same by (I - J)^-1, as a series", generous, series_cases, calls=["product"],
    things={"matrix": lambda J: lambda v: v @ J.T},
    seen="Transposed, this series is also the gradient of training: one number, the spectral radius, rules both.",
    styles=[horner, after(terms_of, lambda found: torch.stack(found).sum(0)), after(added, Tensor.tolist), added],
    mistakes=[
        Mistake("the first term, push itself, is missing",
                lambda product, push, terms: product(added(product, push, terms)),
                after(terms_of, lambda found: sum(found[1:], 0 * found[0]))),
        Mistake("that is one term too many: push itself is the first",
                lambda product, push, terms: added(product, push, terms + 1)),
        Mistake("that is one term too few", lambda product, push, terms: added(product, push, max(terms - 1, 1)),
                after(terms_of, lambda found: sum(found[:-1], 0 * found[0]))),
        Mistake("this is the last term only; add them up", after(terms_of, lambda found: found[-1])),
        Mistake("push counts twice: it is the first term, once", after(terms_of, lambda found: found[0] + sum(found))),
        Mistake("each term is J times the term before, not J times the sum so far", sums),
        Mistake("every term after the first is J push; multiply again each time",
                lambda product, push, terms: push + (terms - 1) * product(push)),
        Mistake("every term is push; multiply by J each time", lambda product, push, terms: terms * push),
        Mistake("the signs alternate here; the series of (I - J)^-1 adds all terms",
                after(terms_of, lambda found: sum((-1) ** k * term for k, term in enumerate(found)))),
        Mistake("each power is computed anew: keep the newest term, and multiply it once more", powers),
        Mistake("the terms are not divided by 1, 2, 3, ...: that is the exponential series",
                after(terms_of, lambda found: sum(term / math.factorial(k) for k, term in enumerate(found)))),
        Mistake("these are all sums on the way; return the last", after(terms_of, so_far := lambda found: list(
                itertools.accumulate(found))), after(terms_of, lambda found: torch.stack(so_far(found)))),
        Mistake("these are the terms; add them up", after(terms_of, torch.stack), terms_of),
        Mistake("the sum is not divided by the number of terms",
                after(terms_of, lambda found: sum(found) / len(found))),
        Mistake("the number of terms is an argument, `terms`",
                *(lambda product, push, terms, n=n: added(product, push, n)
                                                                 for n in (3, 100, 80))),
        Mistake("sum over the terms, not over the numbers of a vector too: the answer has the shape of push",
                after(added, torch.sum), after(added, torch.norm), after(added, lambda total: total.norm(dim=-1))),
    ],
)  # fmt: skip
