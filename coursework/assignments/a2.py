"""Assignment 2, on lessons 03 and 04: what recall and norms do to a state, and what training through loops costs."""

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


# ---------------------------------------------------------------- 1: recall through a narrow door


def narrow_recall(z, h, A, B, Wh):
    """z, h (batch, cells, width), A (width, rank), B (rank, width), Wh (width, width) -> what the branch reads."""
    return (z @ B.T) @ A.T + h @ Wh.T


def swap_roles(z, h, A, B, Wh):
    return narrow_recall(h, z, A, B, Wh)


def narrow_recall_cases(generator):
    wide, square = draw(generator, 2, 3, 5), draw(generator, 1, 2, 4)
    return [
        Case(
            "width 5, rank 2",
            wide,
            draw(generator, 2, 3, 5),
            draw(generator, 5, 2),
            draw(generator, 2, 5),
            draw(generator, 5, 5),
        ),
        Case(
            "width 4, rank 4",
            square,
            draw(generator, 1, 2, 4),
            draw(generator, 4, 4),
            draw(generator, 4, 4),
            draw(generator, 4, 4),
        ),
        Case(
            "width 3, rank 1",
            draw(generator, 4, 1, 3),
            draw(generator, 4, 1, 3),
            draw(generator, 3, 1),
            draw(generator, 1, 3),
            draw(generator, 3, 3),
        ),
    ]


NARROW_RECALL = define(
    "2.1",
    "recall through a narrow door",
    narrow_recall,
    narrow_recall_cases,
    tol=1e-6,
    seen="With rank 1 the old state enters as one number a cell. The input still enters whole.",
    styles=[
        lambda z, h, A, B, Wh: z @ (A @ B).T + h @ Wh.T,
        lambda z, h, A, B, Wh: torch.einsum("wr,rv,bcv->bcw", A, B, z) + torch.nn.functional.linear(h, Wh),
    ],
    mistakes=[
        Mistake("the input h is missing", lambda z, h, A, B, Wh: z @ (A @ B).T),
        Mistake("the old state is missing", lambda z, h, A, B, Wh: h @ Wh.T),
        Mistake(
            "Wh is not applied to h",
            lambda z, h, A, B, Wh: z @ (A @ B).T + h,
            lambda z, h, A, B, Wh: z @ (A @ B).T + z @ Wh.T,
        ),
        Mistake(
            "a matrix acts on a vector from the left: for rows of a tensor that is a product with its transpose",
            lambda z, h, A, B, Wh: z @ (A @ B) + h @ Wh,
            lambda z, h, A, B, Wh: z @ (A @ B).T + h @ Wh,
            lambda z, h, A, B, Wh: z @ (A @ B) + h @ Wh.T,
            lambda z, h, A, B, Wh: z @ A @ B + h @ Wh.T,
        ),
        Mistake("z and h have changed places", swap_roles),
        Mistake("h goes through the narrow door, too; only the state does", lambda z, h, A, B, Wh: (z + h) @ (A @ B).T),
        Mistake("the state is left whole, and added", lambda z, h, A, B, Wh: z + z @ (A @ B).T + h @ Wh.T),
    ],
)

# ---------------------------------------------------------------- 2: how fast a state grows


def growth(norms):
    """norms (loops, batch), after 1, 2, ... loops -> (batch,): the p of norm = c loops^p, fitted to the later half."""
    loops = len(norms)
    x = torch.arange(1, loops + 1, dtype=norms.dtype)[loops // 2 :].log()
    y = norms[loops // 2 :].log()
    x = x - x.mean()
    return (x[:, None] * y).sum(0) / x.square().sum()


def growth_with(first=lambda loops: loops // 2, begin=1, x_of=torch.log, y_of=torch.log, axis=True):
    """The fit with another part, another count, other axes."""

    def answer(norms):
        loops = len(norms)
        x, y = x_of(torch.arange(begin, loops + begin, dtype=norms.dtype)[first(loops) :]), y_of(norms[first(loops) :])
        x = x - x.mean() if axis else x
        return (x[:, None] * y).sum(0) / x.square().sum()

    return answer


def growth_by_solve(norms):
    rows = range(len(norms) // 2, len(norms))
    A = torch.tensor([[math.log(row + 1), 1.0] for row in rows], dtype=norms.dtype)
    return torch.linalg.lstsq(A, norms[len(norms) // 2 :].log()).solution[0]


def growth_cases(generator):
    loops = torch.arange(1, 41, dtype=double)[:, None]
    powers = torch.tensor([0.0, 0.5, 1.0, 2.0], dtype=double)
    early = torch.where(loops < 15, 9.0, 1.0)
    noise = (0.1 * draw(generator, 31, 3)).exp()
    return [
        Case("norms that follow powers of the loops, but for the first of them", early * 3 * loops**powers),
        Case(
            "noisy norms of 31 loops",
            noise * torch.arange(1, 32, dtype=double)[:, None] ** torch.tensor([0.3, 0.7, 1.1]),
        ),
        Case("norms that double with each loop, which is no power", 2 ** torch.arange(1, 13, dtype=double)[:, None]),
    ]


GROWTH = define(
    "2.2",
    "how fast a state grows",
    growth,
    growth_cases,
    tol=1e-5,
    atol=1e-7,
    seen="0 is a state that stays bounded, 1/2 a random walk, 1 a state that is pushed the same way at each loop.",
    styles=[growth_by_solve, growth_with()],
    mistakes=[
        Mistake("the fit is over all loops; the first ones tell of the start", growth_with(first=lambda loops: 0)),
        Mistake(
            "the fit is over the earlier half", lambda norms: growth_with(first=lambda n: 0)(norms[: len(norms) // 2])
        ),
        Mistake(
            "the first row is after 1 loop, so the loops are counted from 1, and the later half keeps its numbers",
            growth_with(begin=2),
            lambda norms: growth_with(first=lambda n: 0)(norms[len(norms) // 2 :]),
            lambda norms: growth_with(first=lambda n: 0, begin=2)(norms[len(norms) // 2 :]),
        ),
        Mistake(
            "the logarithm of the loops is missing; this is the rate of an exponential", growth_with(x_of=lambda x: x)
        ),
        Mistake("the logarithm of the norms is missing", growth_with(y_of=lambda y: y)),
        Mistake(
            "no logarithm at all: this is the slope of a straight line", growth_with(x_of=lambda x: x, y_of=lambda y: y)
        ),
        Mistake("the line need not pass through the origin: c is fitted, too", growth_with(axis=False)),
        Mistake("one number for the whole batch; each instance has its own", lambda norms: growth(norms).mean()),
        Mistake(
            "this uses two points; least squares uses all of the later half",
            lambda norms: (norms[-1] / norms[len(norms) // 2]).log() / math.log(len(norms) / (len(norms) // 2 + 1)),
        ),
        Mistake(
            "both logarithms must have one base",
            growth_with(x_of=torch.log10),
            growth_with(x_of=torch.log2),
            growth_with(y_of=torch.log10),
            growth_with(y_of=torch.log2),
        ),
    ],
)

# ---------------------------------------------------------------- 3: how deep training goes


def depth_probabilities(most):
    """A limit N -> (N,): the probability that a batch runs 1, 2, ..., N loops in all."""
    return torch.tensor([sum(1 / (most * (most - n)) for n in range(depth)) for depth in range(1, most + 1)])


def depth_by_table(most):
    table = torch.zeros(most + 1)
    for n in range(most):
        for k in range(1, most - n + 1):
            table[n + k] += 1 / most / (most - n)
    return table[1:]


def depth_table(pairs, shift=0, of=lambda n, k: n + k):
    """Probabilities of other ways to draw: pairs(most) gives (n, k, probability)."""

    def answer(most):
        table = torch.zeros(2 * most + 3)
        for n, k, share in pairs(most):
            table[of(n, k) + shift] += share
        return table[1 : most + 1]

    return answer


def right_pairs(most):
    return [(n, k, 1 / most / (most - n)) for n in range(most) for k in range(1, most - n + 1)]


def all_pairs_alike(most):
    pairs = [(n, k) for n in range(most) for k in range(1, most - n + 1)]
    return [(n, k, 1 / len(pairs)) for n, k in pairs]


DEPTH = define(
    "2.3",
    "how deep training goes",
    depth_probabilities,
    lambda generator: [Case(f"the probabilities for N = {n}", n) for n in (5, 1, 20)],
    seen="The deepest runs are the likeliest by far: progressive training looks most at the states that count.",
    styles=[depth_by_table, lambda most: (1 / torch.arange(most, 0, -1)).cumsum(0) / most],
    mistakes=[
        Mistake(
            "the depths are not equally likely: a late start leaves few choices",
            lambda most: torch.full((most,), 1 / most),
        ),
        Mistake(
            "this is turned round, which is the distribution of k alone; entry 0 is for one loop in all, n + k = 1",
            depth_table(right_pairs, of=lambda n, k: k),
            lambda most: depth_probabilities(most).flip(0),
        ),
        Mistake("this is the distribution of n alone", depth_table(right_pairs, of=lambda n, k: n)),
        Mistake(
            "the pairs (n, k) are not equally likely: n is drawn first, and then k among what is left",
            depth_table(all_pairs_alike),
        ),
        Mistake(
            "k is drawn from 1 to N - n; here it begins at 0",
            depth_table(lambda N: [(n, k, 1 / N / (N - n + 1)) for n in range(N) for k in range(N - n + 1)]),
        ),
        Mistake(
            "n is drawn from 0 to N - 1; here it begins at 1",
            depth_table(
                lambda N: [(n, k, 1 / max(1, N - 1) / (N - n)) for n in range(1, N) for k in range(1, N - n + 1)]
            ),
        ),
        Mistake(
            "k is drawn up to N - n, so that no batch runs more than N loops",
            depth_table(lambda N: [(n, k, 1 / N / N) for n in range(N) for k in range(1, N + 1)]),
        ),
        Mistake(
            "these are the probabilities of at most so many loops", lambda most: depth_probabilities(most).cumsum(0)
        ),
        Mistake(
            "these do not add up to 1; divide by the number of choices for n, too",
            lambda most: depth_probabilities(most) * most,
        ),
    ],
)

# ---------------------------------------------------------------- 4: enough gradient


def loops_with_gradient(rates, error):
    """rates (batch,) between -1 and 1, a relative error -> (batch,) whole numbers: the fewest loops with gradient, at
    least 1."""
    fewest = torch.ones(len(rates), dtype=torch.long)
    for place, rate in enumerate(rates.abs().tolist()):
        while rate ** int(fewest[place]) > error:
            fewest[place] += 1
    return fewest


def by_logarithm(rounded=torch.ceil, shift=0, size=torch.abs, base=torch.log, least=1):
    def answer(rates, error):
        rate = size(rates)
        needed = rounded(math.log(error) / base(rate)) + shift
        return torch.where(rate == 0, torch.tensor(1.0 * least), needed.nan_to_num(least).clamp(min=least)).long()

    return answer


def loops_with_gradient_cases(generator):
    rates = torch.tensor([0.9, -0.9, 0.5, -0.3, 0.0, 0.97, 0.04], dtype=double)
    return [
        Case("an error of 3%", rates, 0.03),
        Case("an error of one in a million", 0.98 * draw(generator, 5).tanh(), 1e-6),
        Case("an error of 60%", rates, 0.6),
    ]


LOOPS_WITH_GRADIENT = define(
    "2.4",
    "enough gradient",
    loops_with_gradient,
    loops_with_gradient_cases,
    seen="Few loops with gradient are enough where the loop forgets quickly. A slow loop needs many, or the implicit "
    "gradient.",
    styles=[by_logarithm(), lambda rates, error: [int(n) for n in by_logarithm()(rates, error)]],
    mistakes=[
        Mistake("what counts is the modulus: a rate of -0.9 forgets as slowly as 0.9", by_logarithm(size=lambda r: r)),
        Mistake(
            "one loop too few: k loops with gradient leave an error of rate^k, at most so large (round up)",
            by_logarithm(rounded=torch.floor),
            by_logarithm(rounded=torch.round),
            by_logarithm(shift=-1),
        ),
        Mistake("one loop too many", by_logarithm(shift=1)),
        Mistake("both logarithms must have one base", by_logarithm(base=torch.log10), by_logarithm(base=torch.log2)),
        Mistake("at least one loop has a gradient, also where none would be enough", by_logarithm(least=0)),
        Mistake(
            "the error is relative: the whole gradient is 1/(1 - rate), and so is what is missing, times rate^k",
            lambda rates, error: (
                by_logarithm()(rates, 1.0)
                + torch.tensor(
                    [next(k for k in range(5000) if abs(r) ** (k + 1) / (1 - r) <= error) for r in rates.tolist()]
                )
            ),
            lambda rates, error: torch.tensor(
                [next(k for k in range(1, 5000) if abs(r) ** k / (1 - abs(r)) <= error) for r in rates.tolist()]
            ),
        ),
        Mistake(
            "one number for the whole batch; each rate has its own",
            lambda r, error: int(loops_with_gradient(r, error).max()),
        ),
        Mistake("this is the real number; loops come whole", lambda r, error: math.log(error) / r.abs().log()),
    ],
)

# ---------------------------------------------------------------- 5: your own curriculum

NUMBERS = {"bar": (0.65, 0.75, 0.85), "step": (2, 3, 5), "memory": (0.6, 0.7)}


def lengths_of(bar, step, memory, longest=32, reset=True, before=False, begin=0.0, level=4, swap=False):
    """A curriculum as a function, with the ways to write it wrongly as settings."""

    def answer(accuracies):
        length, running, found = level, begin, []
        for accuracy in accuracies:
            if before:
                found.append(length)
            old, new = (1 - memory, memory) if swap else (memory, 1 - memory)
            running = old * running + new * accuracy if memory is not None else accuracy
            if (running > bar) and (length < longest or longest == math.inf):
                length, running = min(length + step, longest), (0.0 if reset else running)
            if not before:
                found.append(length)
        return found

    return answer


def declare_lengths(mine):
    """The exercise about a curriculum, with a student's own bar, step and memory."""
    bar, step, memory = mine["bar"], mine["step"], mine["memory"]

    def lengths(accuracies):
        """A list of accuracies, one a batch -> the list of lengths after each of the batches."""
        length, running, found = 4, 0.0, []
        for accuracy in accuracies:
            running = memory * running + (1 - memory) * accuracy
            if running > bar and length < 32:
                length, running = min(length + step, 32), 0.0
            found.append(length)
        return found

    def cases(generator):
        good = (0.6 + 0.4 * torch.rand(30, generator=generator)).tolist()
        return [
            Case("the lengths over 30 good batches", good),
            Case("the lengths over 120 perfect batches", [1.0] * 120),
            Case("the lengths over 40 batches of any accuracy", torch.rand(40, generator=generator).tolist()),
            Case("the lengths over one batch", [1.0]),
        ]

    settings = [(b, s, m) for b in NUMBERS["bar"] for s in NUMBERS["step"] for m in NUMBERS["memory"]]
    return define(
        "2.5",
        "your own curriculum",
        lengths,
        cases,
        seen="The memory keeps one lucky batch from making the task harder; forgetting after a step gives the new "
        "length its chance.",
        styles=[lengths_of(bar, step, memory), lambda accuracies: torch.tensor(lengths(accuracies))],
        mistakes=[
            Mistake("after a step the running accuracy begins again at 0", lengths_of(bar, step, memory, reset=False)),
            Mistake("32 bits are the end; no length goes beyond", lengths_of(bar, step, memory, longest=math.inf)),
            Mistake("these are the lengths before each batch", lengths_of(bar, step, memory, before=True)),
            Mistake(
                "the accuracy of one batch alone moves this on; the running one should", lengths_of(bar, step, None)
            ),
            Mistake("the weights of the old and the new have changed places", lengths_of(bar, step, memory, swap=True)),
            Mistake("the running accuracy begins at 0, not at 1", lengths_of(bar, step, memory, begin=1.0)),
            Mistake(
                "the first length is 4 bits",
                lengths_of(bar, step, memory, level=2),
                lengths_of(bar, step, memory, level=step),
            ),
            Mistake(
                "these are another student's numbers: `mine` holds yours",
                *(lengths_of(*other) for other in settings if other != (bar, step, memory)),
            ),
        ],
    )


ASSIGNMENT = Assignment(
    name="a2",
    title="Assignment 2",
    lessons="03 and 04",
    opening="""
        What do recall and a norm do to a state over many loops, and what does it cost to train through them? Five
        problems on lessons 03 and 04; each is a function that you write. The small checks below a problem are only a
        beginning: your functions are graded on other cases, of other shapes and sizes. Write them for any.
        """,
    closed=("sample_loops", "learning_rate"),
    numbers=NUMBERS,
    problems=[
        Problem(
            "a2-1",
            NARROW_RECALL,
            2,
            """
            Internal recall lets a branch read `Wz u + Wh h`. Here the old state comes in through a narrow door: `Wz`
            is the product `A B` of a matrix of shape (width, rank) and one of shape (rank, width). The input `h`
            keeps its whole matrix `Wh`. Return what the branch reads, for every cell. Matrices act on the vector of a
            cell from the left, as in the lesson.
            """,
            "For one cell, a vector v: B v has `rank` entries. For a tensor of cells that is v @ B.T.",
            """
            z, h = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[10.0, 0.0]]])
            A, B, Wh = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
            assert torch.allclose(torch.as_tensor(narrow_recall(z, h, A, B, Wh)), torch.tensor([[[2.0, 10.0]]]))
            """,
        ),
        Problem(
            "a2-2",
            GROWTH,
            2,
            """
            Without an outer norm a state may grow as a power of the loops, `norm = c loops^p`. Row 0 of `norms` is
            after 1 loop, row 1 after 2 loops, and so on, each column one instance. Fit `p` by least squares to the
            logarithms, with `c` free, over the later half: of `n` rows the last `n - n // 2`. Return one `p` for each
            instance.
            """,
            "The logarithm makes a straight line of it: log norm = log c + p log loops. Centre log loops, and p is a "
            "quotient of two sums.",
            """
            loops = torch.arange(1.0, 21.0)[:, None]
            both = torch.as_tensor(growth(torch.cat([7 * loops, 3 * loops**0], 1)))
            assert torch.allclose(both, torch.tensor([1.0, 0.0]),
            atol=1e-4)
            """,
        ),
        Problem(
            "a2-3",
            DEPTH,
            2,
            """
            Progressive training draws `n` uniformly from 0, ..., N - 1, runs that many loops without gradient, then
            draws `k` uniformly from 1, ..., N - n and runs `k` more with it. With which probability does a batch run
            1, 2, ..., N loops in all? Return a tensor of N numbers.
            """,
            "To end at d = n + k loops, n must be less than d. Given n, each d from n + 1 to N has probability 1 / (N "
            "- n).",
            """
            assert torch.allclose(torch.as_tensor(depth_probabilities(2)), torch.tensor([0.25, 0.75]))
            """,
        ),
        Problem(
            "a2-4",
            LOOPS_WITH_GRADIENT,
            2,
            """
            Near its fixed point a loop of one number is `z <- rate z + h`. The gradient of its end with respect to h
            is `1 + rate + rate^2 + ...`; the last `k` loops give its first `k` terms. How many loops with gradient
            does it take until the error, relative to the whole gradient, is at most `error` (less than 1)? Return the
            fewest, at least 1, for each of the rates.
            """,
            "The terms that are missing are rate^k times the whole sum.",
            """
            assert torch.as_tensor(loops_with_gradient(torch.tensor([0.5, 0.1]), 0.2)).tolist() == [3, 1]
            """,
        ),
        Problem(
            "a2-5",
            declare_lengths,
            2,
            """
            Your own numbers stand in `mine`: a `bar`, a `step` and a `memory`. A curriculum begins with strings of 4
            bits and a running accuracy of 0. After each batch the running accuracy becomes `memory` times its old
            value plus `1 - memory` times the batch's accuracy. If it is then above the `bar` and the length is less
            than 32, the length grows by `step`, to 32 at most, and the running accuracy begins again at 0. Return the
            list of lengths after each batch.
            """,
            "Two variables and one pass. Update the running accuracy first, then ask.",
            """
            assert len(lengths([0.0, 0.0])) == 2 and list(lengths([0.0, 0.0])) == [4, 4]
            assert max(lengths([1.0] * 200)) == 32
            """,
        ),
    ],
)
