"""Assignment 3, on lessons 05 and 06: curves over loops, several fixed points, and how an end follows its input."""

import math
from functools import partial

import torch

from looped_exercises import Case, Exercise, Mistake

from ..problems import Assignment, Problem
from ..things import THINGS

define = partial(Exercise, things=THINGS)
double = torch.float64


def draw(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=double)


# ---------------------------------------------------------------- 1: lost again


def lost_again(right):
    """right (loops, batch) of booleans, after 1, 2, ... loops -> the share of instances once right that end wrong."""
    return float((right.any(0) & ~right[-1]).double().mean())


def share_of(which):
    return lambda right: float(which(right).double().mean())


def fell(right):
    """Did an instance go from right to wrong at some loop?"""
    return (right[:-1] & ~right[1:]).any(0)


def lost_again_cases(generator):
    some = torch.rand(12, 40, generator=generator) < 0.6
    rare = torch.rand(30, 25, generator=generator) < 0.05
    never, always = torch.zeros(5, 4, dtype=torch.bool), torch.ones(6, 3, dtype=torch.bool)
    return [
        Case("40 instances over 12 loops", some),
        Case("25 instances that are seldom right", rare),
        Case("instances that are never right", never),
        Case("instances that are always right", always),
        Case("a single loop", some[:1]),
    ]


LOST_AGAIN = define(
    "3.1",
    "lost again",
    lost_again,
    lost_again_cases,
    seen="This is overthinking, counted by instance. A curve of accuracy hides it where as many are found as lost.",
    styles=[
        lambda right: right.any(0).double().mean() - (right.any(0) & right[-1]).double().mean(),
        lambda right: sum(any(column) and not column[-1] for column in right.T.tolist()) / right.shape[1],
    ],
    mistakes=[
        Mistake("what was lost and found again is right in the end: it does not count", share_of(fell)),
        Mistake("this is the share that ends wrong; some of them were never right", share_of(lambda right: ~right[-1])),
        Mistake(
            "this is the share that was ever right, or ends right; those that end wrong are asked for",
            share_of(lambda right: right.any(0)),
            share_of(lambda right: right[-1]),
        ),
        Mistake("this looks at the first loop and the last only", share_of(lambda right: right[0] & ~right[-1])),
        Mistake(
            "this is a share of those that were right once; all instances are the whole",
            lambda right: float((right.any(0) & ~right[-1]).double().sum() / right.any(0).double().sum()),
            lambda right: float((right.any(0) & ~right[-1]).double().sum() / right.any(0).double().sum().clamp(min=1)),
        ),
        Mistake(
            "this compares curves of the whole batch; each instance has its own story",
            lambda right: float(right.double().mean(1).max() - right.double().mean(1)[-1]),
        ),
        Mistake(
            "this is a number of instances; their share is asked for",
            lambda right: int((right.any(0) & ~right[-1]).sum()),
        ),
        Mistake(
            "one answer for each instance; their share is asked for",
            lambda right: right.any(0) & ~right[-1],
        ),
        Mistake(
            "rows are loops and columns are instances; this has them the other way round",
            lambda right: lost_again(right.T),
        ),
        Mistake(
            "this is the share of loops at which instances are wrong after they have been right",
            lambda right: float(((right.cumsum(0) > 0) & ~right).double().mean()),
        ),
    ],
)

# ---------------------------------------------------------------- 2: as good as the best


def enough_loops(curve, slack):
    """A dict from loops to accuracy, a slack -> the fewest loops from which on accuracy is never below best - slack."""
    bar, answer = max(curve.values()) - slack - 1e-9, None
    for loops in sorted(curve, reverse=True):
        if curve[loops] < bar:
            break
        answer = loops
    return answer


def first_over(curve, slack):
    bar = max(curve.values()) - slack - 1e-9
    return min(loops for loops in curve if curve[loops] >= bar)


def enough_backwards(curve, slack):
    bar = max(curve.values()) - slack - 1e-9
    fits = [loops for loops in curve if all(curve[more] >= bar for more in curve if more >= loops)]
    return min(fits, default=None)


def enough_of(bar, order=sorted, strict=False):
    """The same with another bar, or another order of the loops."""

    def answer(curve, slack):
        found = None
        for loops in reversed(order(curve)):
            if curve[loops] < bar(curve, slack) - 1e-9:
                break
            found = loops
        return found

    return answer


def enough_loops_cases(generator):
    noise = (0.02 * torch.rand(6, generator=generator)).tolist()
    rising = {2**n: 1 - 0.5**n - noise[n] for n in range(6)}
    dips = {4: 0.2, 8: 0.93, 16: 0.5, 32: 0.95, 64: 0.94, 128: 0.96}
    falls = {5: 0.5, 10: 0.8, 20: 0.99, 40: 0.97, 80: 0.6}
    mixed = {16: 0.79, 8: 0.3, 128: 0.805, 2: 0.1, 512: 0.8, 64: 0.78}
    return [
        Case("a curve that rises", rising, 0.1),
        Case("a curve that dips on its way", dips, 0.05),
        Case("a curve that falls in the end", falls, 0.05),
        Case("loops that are not in order", mixed, 0.03),
        Case("no slack at all", dips, 0.0),
    ]


ENOUGH_LOOPS = define(
    "3.2",
    "enough loops",
    enough_loops,
    enough_loops_cases,
    seen="Where the answer is None no number of loops is enough: the model overthinks, and a fixed budget will not "
    "help.",
    styles=[enough_backwards],
    mistakes=[
        Mistake("accuracy falls below the bar later on; it must stay above", first_over),
        Mistake("this is where the curve is best; within the slack is good enough", lambda c, slack: max(c, key=c.get)),
        Mistake(
            "the bar is best - slack, not a share of the best",
            enough_of(lambda c, s: max(c.values()) * (1 - s)),
        ),
        Mistake(
            "the loops of a dict come in any order: sort them",
            enough_of(lambda c, s: max(c.values()) - s, order=list),
        ),
        Mistake(
            "the bar is below the best accuracy, not below the last",
            enough_of(lambda c, s: list(c.values())[-1] - s),
            enough_of(lambda c, s: c[max(c)] - s),
        ),
        Mistake("the bar is below the best accuracy, not below 1", enough_of(lambda c, s: 1 - s)),
        Mistake("this is the largest number of loops", lambda c, s: max(c)),
        Mistake(
            "this is an accuracy; a number of loops is asked for",
            lambda c, s: max(c.values()) - s,
            lambda c, s: max(c.values()),
        ),
        Mistake(
            "where the last entry is below the bar, the answer is None",
            lambda c, s: enough_loops(c, s) if enough_loops(c, s) is not None else max(c),
            lambda c, s: enough_loops(c, s) if enough_loops(c, s) is not None else -1,
            lambda c, s: enough_loops(c, s) if enough_loops(c, s) is not None else 0,
        ),
    ],
)

# ---------------------------------------------------------------- 3: how many ends


def different_ends(ends, tol):
    """ends (starts, batch, width), a tolerance -> (batch,) whole numbers: how many different ends each instance has."""
    apart = (ends[:, None] - ends[None]).norm(dim=-1) > tol
    new = torch.stack([apart[row, :row].all(0) for row in range(len(ends))])
    return new.sum(0)


def ends_with(size=lambda d: d.norm(dim=-1), strict=True):
    def answer(ends, tol):
        apart = size(ends[:, None] - ends[None]) > tol
        return torch.stack([apart[row, :row].all(0) for row in range(len(ends))]).sum(0)

    return answer


def ends_by_lists(ends, tol):
    counts = []
    for instance in range(ends.shape[1]):
        kept = []
        for end in ends[:, instance].tolist():
            if all(math.dist(end, other) > tol for other in kept):
                kept.append(end)
        counts.append(len(kept))
    return counts


def two_places(offsets, base):
    """Four starts, which end at a place of each instance's own, and at one so far off it, in turn."""
    return torch.stack([base + turn * offsets for turn in (0, 1, 0, 1)])


def different_ends_cases(generator):
    along, across = torch.tensor([0.1, 0, 0, 0], dtype=double), torch.full((4,), 0.05, dtype=double)
    offsets = torch.stack([along, across, 0.6 * across, 0 * across])
    wide = torch.tensor([[1.6, 0, 0], [2.4, 0, 0], [1.4, 1.4, 1.4]], dtype=double)
    which = torch.randint(0, 5, (7, 6), generator=generator)
    which[:, 0], which[:, 1] = 1, torch.arange(7) % 5
    places = 10 * torch.arange(5, dtype=double)[:, None] + draw(generator, 1, 3)
    return [
        Case("ends that are a tenth apart, or less", two_places(offsets, 5 * draw(generator, 4, 4)), 0.08),
        Case("ends that are some steps apart", two_places(wide, draw(generator, 3, 3)), 2.0),
        Case("seven starts, five places to end", places[which] + 1e-4 * draw(generator, 7, 6, 3), 0.5),
        Case("a single start", draw(generator, 1, 4, 3), 0.1),
    ]


DIFFERENT_ENDS = define(
    "3.3",
    "how many ends",
    different_ends,
    different_ends_cases,
    seen="1 everywhere is path independence. More than 1 can be a memory, or a mistake, by where you began.",
    styles=[ends_by_lists, ends_with()],
    mistakes=[
        Mistake(
            "one number for the whole batch; each instance has its own",
            lambda e, tol: int(different_ends(e, tol).max()),
            lambda e, tol: int(different_ends(e, tol).sum()),
        ),
        Mistake("this counts one too few: the first end is an end, too", lambda e, tol: different_ends(e, tol) - 1),
        Mistake(
            "this compares neighbouring starts only; an end may come back later",
            lambda e, tol: 1 + ((e[1:] - e[:-1]).norm(dim=-1) > tol).sum(0),
        ),
        Mistake("this compares with the first start only", lambda e, tol: ((e - e[:1]).norm(dim=-1) > tol).sum(0) + 1),
        Mistake(
            "this counts pairs of starts that end apart; count the ends",
            lambda e, tol: ((e[:, None] - e[None]).norm(dim=-1) > tol).sum((0, 1)) // 2,
            lambda e, tol: ((e[:, None] - e[None]).norm(dim=-1) > tol).sum((0, 1)),
        ),
        Mistake(
            "this compares entry by entry; how far two ends are apart is a length",
            ends_with(size=lambda d: d.abs().amax(-1)),
        ),
        Mistake(
            "this adds or averages the entries; the distance is the root of the sum of squares",
            ends_with(size=lambda d: d.abs().sum(-1)),
            ends_with(size=lambda d: d.square().mean(-1).sqrt()),
        ),
        Mistake("this is the squared distance; take the root", ends_with(size=lambda d: d.square().sum(-1))),
        Mistake(
            "the tolerance is absolute here; do not divide by the length of an end",
            lambda e, tol: ends_with(size=lambda d: d.norm(dim=-1) / e.norm(dim=-1).amax())(e, tol),
        ),
        Mistake(
            "floats that are almost the same are the same end: compare distances with tol",
            lambda e, tol: torch.tensor([len({tuple(end) for end in e[:, i].tolist()}) for i in range(e.shape[1])]),
        ),
        Mistake(
            "the first dimension is the starts, the second the batch",
            lambda e, tol: different_ends(e.transpose(0, 1), tol),
        ),
    ],
)

# ---------------------------------------------------------------- 4: how the end follows the input


def response(A, B):
    """A (batch, width, width), B (batch, width, inputs) -> (batch, width, inputs): dz/dx at the fixed point."""
    return torch.linalg.solve(torch.eye(A.shape[-1], dtype=A.dtype) - A, B)


def response_terms(terms):
    def answer(A, B):
        total, term = B, B
        for _ in range(terms - 1):
            term = A @ term
            total = total + term
        return total

    return answer


def eye(A):
    return torch.eye(A.shape[-1], dtype=A.dtype)


def response_cases(generator):
    def contraction(batch, width):
        A = draw(generator, batch, width, width)
        return 0.7 * A / torch.linalg.matrix_norm(A, 2)[:, None, None]

    pushes = 0.5 * eye(draw(generator, 2, 2)) + contraction(2, 2)
    return [
        Case("width 3, two inputs", contraction(4, 3), draw(generator, 4, 3, 2)),
        Case("width 2, five inputs", contraction(1, 2), draw(generator, 1, 2, 5)),
        Case(
            "a loop that does not settle, whose fixed point is there all the same", 3 * pushes, draw(generator, 2, 2, 1)
        ),
    ]


RESPONSE = define(
    "3.4",
    "how an end follows its input",
    response,
    response_cases,
    tol=1e-5,
    seen="Where I - A is nearly singular a small change of the input moves the end far: input-dependence, but not "
    "smooth.",
    styles=[
        lambda A, B: (eye(A) - A).inverse() @ B,
        lambda A, B: torch.stack([torch.linalg.inv(eye(a) - a) @ b for a, b in zip(A, B, strict=True)]),
    ],
    mistakes=[
        Mistake("this is what one loop does; the change goes round and round", lambda A, B: B, response_terms(2)),
        Mistake(
            "the sign of A is wrong: z = f(z, x) gives dz = A dz + B dx", lambda A, B: torch.linalg.solve(eye(A) + A, B)
        ),
        Mistake("the sign of the whole is wrong", lambda A, B: -response(A, B)),
        Mistake(
            "a sum of finitely many loops is not the fixed point; and it grows without end where the loop does not "
            "settle",
            response_terms(10),
            response_terms(50),
            response_terms(200),
        ),
        Mistake(
            "A is turned round; that gives gradients of a loss, not the change of the end",
            lambda A, B: response(A.mT, B),
        ),
        Mistake("the inverse of A alone is not it: solve with I - A", lambda A, B: torch.linalg.solve(A, B)),
        Mistake("I - A is to be inverted, not applied", lambda A, B: (eye(A) - A) @ B),
        Mistake("B is missing", lambda A, B: (eye(A) - A).inverse()),
        Mistake(
            "1 - A subtracts from every entry; the identity has ones on its diagonal only",
            lambda A, B: torch.linalg.solve(1 - A, B),
        ),
    ],
)

# ---------------------------------------------------------------- 5: your own study

NUMBERS = {"z": (1.28, 1.64, 2.58), "instances": (50, 80, 120)}


def wilson_low(right, n, z):
    share = right / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (share + z * z / (2 * n) - half) / (1 + z * z / n))


def wilson_high(right, n, z):
    return 1 - wilson_low(n - right, n, z)


def of_another(instances, z, right):
    return wilson_low(min(right, instances), instances, z)


def declare_lower(mine):
    """The exercise about an interval, with a student's own number of instances and z."""
    z, instances = mine["z"], mine["instances"]

    def lower_end(right):
        """How many of your instances were right -> the lower end of Wilson's interval for the share."""
        share = right / instances
        middle = share + z * z / (2 * instances)
        half = z * math.sqrt(share * (1 - share) / instances + z * z / (4 * instances * instances))
        return max(0.0, (middle - half) / (1 + z * z / instances))

    def cases(generator):
        some = torch.randint(1, instances, (3,), generator=generator).tolist()
        return [Case("the lower end for a count", n) for n in (instances // 2, instances, *some, 0)]

    def normal(right):
        return right / instances - z * math.sqrt(right / instances * (1 - right / instances) / instances)

    return define(
        "3.5",
        "your own study",
        lower_end,
        cases,
        tol=1e-6,
        seen="All right of all is not certainty: the lower end says what you may still promise.",
        styles=[
            lambda right: 1 - wilson_high(instances - right, instances, z),
            lambda right: torch.tensor(wilson_low(right, instances, z)),
        ],
        mistakes=[
            Mistake(
                "this is the plain normal interval, which has no width where all went one way",
                normal,
                lambda right: max(0.0, normal(right)),
            ),
            Mistake("this is the upper end", lambda right: wilson_high(right, instances, z)),
            Mistake(
                "both ends; only the lower one is asked for",
                lambda right: (wilson_low(right, instances, z), wilson_high(right, instances, z)),
            ),
            Mistake("this is the share itself", lambda right: right / instances),
            Mistake("z is not always 1.96: `mine` holds yours", lambda right: wilson_low(right, instances, 1.96)),
            Mistake(
                "the division by 1 + z^2/n is missing",
                lambda right: max(0.0, wilson_low(right, instances, z) * (1 + z * z / instances)),
            ),
            Mistake("in percent; a share lies between 0 and 1", lambda right: 100 * wilson_low(right, instances, z)),
            Mistake(
                "these are another student's numbers: `mine` holds yours",
                *(
                    partial(of_another, n, w)
                    for n in NUMBERS["instances"]
                    for w in NUMBERS["z"]
                    if (n, w) != (instances, z)
                ),
            ),
        ],
    )


ASSIGNMENT = Assignment(
    name="a3",
    title="Assignment 3",
    lessons="05 and 06",
    opening="""
        What does thinking longer do to an answer, how many ends does a loop have, and how do they follow the input?
        Five problems on lessons 05 and 06; each is a function that you write. The small checks below a problem are
        only a beginning: your functions are graded on other cases, of other shapes and sizes. Write them for any.
        """,
    closed=("wilson", "agreement", "basins", "input_sensitivity", "implicit_gradient"),
    numbers=NUMBERS,
    problems=[
        Problem(
            "a3-1",
            LOST_AGAIN,
            2,
            """
            A model was asked after each loop whether its answer is right: `right[t, i]` for instance `i` after `t + 1`
            loops. Which share of all instances was right after some number of loops and is wrong after the last? Return
            a number.
            """,
            "Two truths for each instance, one `and`, one mean.",
            """
            right = torch.tensor([[True, False, True], [False, False, True]])
            assert abs(float(lost_again(right)) - 1 / 3) < 1e-6
            """,
        ),
        Problem(
            "a3-2",
            ENOUGH_LOOPS,
            2,
            """
            `curve` maps numbers of loops, in any order, to accuracies. What is the smallest of these numbers such that
            from it on, itself and all larger ones, the accuracy is at least the best of the whole curve minus `slack`?
            Return it, or None if there is none. (Allow a billionth for rounding.)
            """,
            "Walk from the largest number of loops downwards, as long as the accuracy holds.",
            """
            assert enough_loops({1: 0.2, 2: 0.9, 4: 0.5, 8: 0.88, 16: 0.9}, 0.05) == 8
            assert enough_loops({1: 0.9, 2: 0.5}, 0.05) is None
            """,
        ),
        Problem(
            "a3-3",
            DIFFERENT_ENDS,
            2,
            """
            A loop was run from several starts: `ends[s, i]` is where instance `i` ended from start `s`. Two ends are
            the same if their distance is at most `tol`. (In the data, ends that are the same lie well within it and
            others well apart, so that it does not matter in which order you compare.) How many different ends has each
            instance?
            """,
            "An end is new if it is far from all ends of the starts before it.",
            """
            ends = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 0.01]]])
            assert torch.as_tensor(different_ends(ends, 0.1)).tolist() == [2]
            """,
        ),
        Problem(
            "a3-4",
            RESPONSE,
            2,
            """
            At a fixed point `z = f(z, x)` let `A` be the derivative of f with respect to z and `B` the one with respect
            to x, one matrix of each for every instance. How does the fixed point move with the input? Return the
            matrices dz/dx. They exist wherever I - A has an inverse, whether or not the loop settles.
            """,
            "Differentiate both sides of z = f(z, x). dz stands on both; bring it to one.",
            """
            A, B = torch.tensor([[[0.5]]]), torch.tensor([[[3.0, 1.0]]])
            assert torch.allclose(torch.as_tensor(response(A, B)), torch.tensor([[[6.0, 2.0]]]))
            """,
        ),
        Problem(
            "a3-5",
            declare_lower,
            2,
            """
            Your own numbers stand in `mine`: you tested a model on so many `instances`, and want an interval with this
            `z` (the 1.96 of a 95% interval is another one). Given how many were right, return the lower end of Wilson's
            interval for the share of right answers, at least 0.
            """,
            "Centre (share + z^2 / 2n) / (1 + z^2/n); half width z sqrt(share (1 - share)/n + z^2/4n^2) / (1 + z^2/n).",
            """
            assert float(lower_end(0)) == 0.0
            assert 0.9 < float(lower_end(mine["instances"])) < 1.0 or mine["z"] > 2
            """,
        ),
    ],
)
