"""Assignment 1, on lessons 01 and 02: fixed points, and what one loop of a block can see."""

import math
from functools import partial

import torch

from looped_exercises import Case, Exercise, Mistake, Named

from ..problems import Assignment, Problem
from ..things import THINGS

define = partial(Exercise, things=THINGS)
double = torch.float64


def draw(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=double)


# ---------------------------------------------------------------- 1: patience


def patience(f, z, tol, most):
    """A map f, a batch of starts z (batch, width), a tolerance, a limit -> (batch,) whole numbers: loops until each
    is still."""
    found = torch.full((len(z),), -1)
    for loops in range(most):
        after = f(z)
        still = (after - z).norm(dim=1) <= tol
        found[still & (found < 0)] = loops
        z = after
    return found


def patience_with(
    size=lambda step, z: step.norm(dim=1), never=lambda most: -1, last=False, shift=0, strict=None, more=0
):
    """Patience, measured or counted in another way, for wrong answers and other styles."""

    def answer(f, z, tol, most):
        found = torch.full((len(z),), -1)
        for loops in range(most + more):
            after = f(z)
            still = size(after - z, z) <= tol
            found[still & ((found < 0) | last)] = loops + shift
            z = after
        return torch.where(found < 0, torch.tensor(never(most)), found)

    return answer


def patience_each(f, z, tol, most):
    found = []
    for row in z:
        states = [row[None]]
        for _ in range(most):
            states.append(f(states[-1]))
        still = [n for n in range(most) if math.dist(states[n][0].tolist(), states[n + 1][0].tolist()) <= tol]
        found.append(min(still, default=-1))
    return found


def patience_cases(generator):
    z, wide = draw(generator, 4, 3), 3 * draw(generator, 3, 5)
    slow, turn = Named("affine", 0.8, 1.0), Named("affine", -0.5, 2.0)
    z = torch.cat([z, torch.full((1, 3), 5.0, dtype=double)])
    edge = 2 ** torch.arange(6.0, dtype=double)[:, None] * torch.tensor([0.6, 0.8], dtype=double)
    return [
        Case("the patience of z -> 0.8 z + 1 from five starts, one of them its fixed point", slow, z, 0.05, 60),
        Case("the patience of z -> 2 - z/2 from three starts of width 5", turn, wide, 1e-3, 40),
        Case("the patience where the limit is too small for some", Named("affine", 0.5, 0.0), edge, 0.75, 3),
        Case("the patience of a map that doubles, where none is ever still", Named("affine", 2.0, 1.0), z, 1e-3, 8),
    ]


PATIENCE = define(
    "1.1",
    "patience",
    patience,
    patience_cases,
    seen="How long a loop needs is a property of the start, too: that is what solving in batches with early stops "
    "lives on.",
    styles=[patience_with(), patience_each],
    mistakes=[
        Mistake(
            "one number for the whole batch; each start has its own",
            lambda f, z, tol, most: int(patience(f, z, tol, most).max()),
            patience_with(lambda step, z: step.norm().expand(len(z))),
            lambda f, z, tol, most: patience(f, z, tol, most).amax().expand(len(z)),
        ),
        Mistake("this counts one too many; a start that is already still needs 0 loops", patience_with(shift=1)),
        Mistake(
            "a start that is not still within the limit gets -1",
            patience_with(never=lambda most: most),
            patience_with(never=lambda most: 0),
            patience_with(never=lambda most: most - 1),
        ),
        Mistake(
            "this compares entry by entry; how far a state moves is the length of its step",
            patience_with(lambda step, z: step.abs().amax(1)),
        ),
        Mistake(
            "this adds or averages the entries; the length of a step is the root of the sum of squares",
            patience_with(lambda step, z: step.abs().sum(1)),
            patience_with(lambda step, z: step.square().mean(1).sqrt()),
        ),
        Mistake("this is the square of the length; take the root", patience_with(lambda step, z: step.square().sum(1))),
        Mistake(
            "the tolerance here is absolute; do not divide by the length of the state",
            patience_with(lambda step, z: step.norm(dim=1) / z.norm(dim=1)),
            patience_with(lambda step, z: step.norm(dim=1) / (z + step).norm(dim=1)),
        ),
        Mistake("this is the last loop at which it was still; the first is asked for", patience_with(last=True)),
        Mistake(
            "one loop more than the limit was looked at; with a limit of `most`, the last step is that from z_(most-1)",
            patience_with(more=1),
        ),
        Mistake(
            "one loop fewer than the limit was looked at; the step from z_(most-1) counts, too", patience_with(more=-1)
        ),
    ],
)

# ---------------------------------------------------------------- 2: extrapolation


def extrapolate(states):
    """The states of an orbit (loops + 1, batch, width), at least three -> (batch, width): where it is heading."""
    a, b, c = states[-3:]
    bend = c - 2 * b + a
    return torch.where(bend == 0, c, c - (c - b) ** 2 / torch.where(bend == 0, 1.0, bend))


def extrapolate_by_rate(states):
    first, second = states[-2] - states[-3], states[-1] - states[-2]
    end = states[-1].clone()
    for place in torch.nonzero(second != first).tolist():
        i = tuple(place)
        rate = second[i] / first[i] if first[i] != 0 else None
        end[i] += second[i] * rate / (1 - rate) if rate is not None else -second[i]
    return end


def extrapolate_with(formula, guard=True):
    def answer(states):
        a, b, c = states[-3:]
        value = formula(a, b, c)
        return torch.where(c - 2 * b + a == 0, c, value) if guard else value

    return answer


def extrapolate_cases(generator):
    rates, start, end = draw(generator, 2, 3).tanh(), draw(generator, 2, 3), draw(generator, 2, 3)
    loops = torch.arange(6, dtype=double)[:, None, None]
    wide = draw(generator, 5, 4, 2)
    still = torch.cat([wide, wide[-1:], wide[-1:]])
    still[:, :2] = torch.cat([wide[:, :2], wide[:2, :2]])
    return [
        Case("the end of orbits z_t = end + rate^t (start - end)", end + rates**loops * (start - end)),
        Case("the end of an orbit that follows no such law", wide),
        Case("the end of orbits of which some stand still", still),
        Case("the end of an orbit of three states", draw(generator, 3, 1, 4)),
    ]


EXTRAPOLATE = define(
    "1.2",
    "where an orbit is heading",
    extrapolate,
    extrapolate_cases,
    tol=1e-6,
    atol=1e-8,
    seen="On a geometric approach three states tell the end, to the last digit. Anderson's method does the same in "
    "many dimensions.",
    styles=[
        extrapolate_by_rate,
        extrapolate_with(lambda a, b, c: a - (b - a) ** 2 / (c - 2 * b + a)),
        extrapolate_with(lambda a, b, c: (a * c - b * b) / (c - 2 * b + a)),
    ],
    mistakes=[
        Mistake(
            "where the orbit stands still the quotient is 0/0; there the last state is the answer",
            extrapolate_with(lambda a, b, c: c - (c - b) ** 2 / (c - 2 * b + a), guard=False),
        ),
        Mistake(
            "the correction is subtracted, not added",
            extrapolate_with(lambda a, b, c: c + (c - b) ** 2 / (c - 2 * b + a)),
        ),
        Mistake(
            "this goes out from the last state with the step before it; both must be of the same place",
            extrapolate_with(lambda a, b, c: c - (b - a) ** 2 / (c - 2 * b + a)),
            extrapolate_with(lambda a, b, c: a - (c - b) ** 2 / (c - 2 * b + a)),
        ),
        Mistake("the step is squared", extrapolate_with(lambda a, b, c: c - (c - b) / (c - 2 * b + a))),
        Mistake("this uses the first three states; the last three know more", lambda states: extrapolate(states[:3])),
        Mistake("this is the last state; it has not arrived yet", lambda states: states[-1]),
        Mistake(
            "this is one more step of the same length; the steps shrink", lambda states: 2 * states[-1] - states[-2]
        ),
        Mistake(
            "this is the mean of the last states; an orbit that comes from one side passes no mean",
            lambda states: states[-3:].mean(0),
            lambda states: states.mean(0),
            lambda states: states[-2:].mean(0),
        ),
    ],
)

# ---------------------------------------------------------------- 3: news


def loops_needed(mask):
    """mask (cells, cells) of booleans, True where cell i looks at cell j -> (cells, cells) whole numbers."""
    cells = len(mask)
    needed = torch.full((cells, cells), -1)
    known = torch.eye(cells, dtype=torch.bool)
    for loops in range(cells + 1):
        needed[known & (needed < 0)] = loops
        known = known | ((mask.float() @ known.float()) > 0)
    return needed


def loops_needed_by_search(mask):
    rows = mask.tolist()
    needed = [[-1] * len(rows) for _ in rows]
    for start in range(len(rows)):
        front, depth = [start], 0
        needed[start][start] = 0
        while front:
            depth += 1
            new = [j for i in front for j in range(len(rows)) if rows[i][j] and needed[start][j] < 0]
            for j in new:
                needed[start][j] = depth
            front = list(dict.fromkeys(new))
    return torch.tensor(needed)


def changed_where(change):
    """loops_needed, with a change made to what it gives: (needed) -> needed."""
    return lambda mask: change(loops_needed(mask))


def powers_only(mask):
    """The first power of the mask alone that has an entry, on the diagonal, too."""
    needed, reach = torch.full(mask.shape, -1), mask.float()
    for loops in range(1, len(mask) + 1):
        needed[(reach > 0) & (needed < 0)] = loops
        reach = (mask.float() @ reach > 0).float()
    return needed


def loops_needed_cases(generator):
    cells = torch.arange(9)
    window = (cells[:, None] - cells).abs() <= 2
    causal = (cells[:, None] >= cells) & window
    islands = window & ((cells[:, None] < 4) == (cells < 4))
    sparse = torch.rand(12, 12, generator=generator) < 0.15
    return [
        Case("loops needed in a causal window of 2 to the left", causal),
        Case("loops needed in a window of 5", window),
        Case("loops needed in two islands that do not look at each other", islands),
        Case("loops needed in a random mask of 12 cells, whose cells need not look at themselves", sparse),
        Case("loops needed where every cell looks at every one", torch.ones(4, 4, dtype=torch.bool)),
    ]


LOOPS_NEEDED = define(
    "1.3",
    "how long news travels",
    loops_needed,
    loops_needed_cases,
    seen="A loop cannot be faster than this, however it was trained. It may well be slower.",
    styles=[loops_needed_by_search, changed_where(lambda n: n.tolist())],
    mistakes=[
        Mistake(
            "this is turned round: row i is what cell i gets to know",
            changed_where(lambda n: n.T),
            lambda mask: loops_needed(mask.T),
        ),
        Mistake(
            "a cell knows itself without any loop: 0 on the diagonal",
            changed_where(lambda n: torch.where(n == 0, 1, n)),
            powers_only,
        ),
        Mistake(
            "this is one loop too many",
            changed_where(lambda n: n + 1),
            changed_where(lambda n: torch.where(n >= 0, n + 1, n)),
        ),
        Mistake(
            "where no news ever arrives the answer is -1",
            changed_where(lambda n: torch.where(n < 0, 0, n)),
            changed_where(lambda n: torch.where(n < 0, len(n), n)),
            changed_where(lambda n: torch.where(n < 0, len(n) + 1, n)),
        ),
        Mistake(
            "this stops after too few loops; news can need cells - 1 of them",
            changed_where(lambda n: torch.where(n > 2, -1, n)),
            changed_where(lambda n: torch.where(n > 1, -1, n)),
            changed_where(lambda n: torch.where(n > 3, -1, n)),
        ),
        Mistake("these are truths; the number of loops is asked for", lambda mask: loops_needed(mask) >= 0),
        Mistake(
            "this takes the distance between cells; what counts is the mask",
            lambda mask: (torch.arange(len(mask))[:, None] - torch.arange(len(mask))).abs(),
        ),
        Mistake(
            "news travels in one direction here: a cell that looks is told, the cell that is looked at is not",
            lambda mask: loops_needed(mask | mask.T),
        ),
    ],
)

# ---------------------------------------------------------------- 4: a norm for each head


def head_norm(x, heads, eps=1e-6):
    """x (..., width), a number of heads that divides width -> (..., width): each head's part over its own root mean
    square."""
    parts = x.unflatten(-1, (heads, -1))
    return (parts / (parts.square().mean(-1, keepdim=True) + eps).sqrt()).flatten(-2)


def head_norm_with(size, heads_of=lambda x, heads: x.unflatten(-1, (heads, -1))):
    def answer(x, heads, eps=1e-6):
        parts = heads_of(x, heads)
        return (parts / size(parts, eps)).reshape(x.shape)

    return answer


def rms(parts, eps):
    return (parts.square().mean(-1, keepdim=True) + eps).sqrt()


def head_norm_by_chunks(x, heads, eps=1e-6):
    return torch.cat(
        [chunk * torch.rsqrt(chunk.pow(2).mean(-1, keepdim=True) + eps) for chunk in x.chunk(heads, -1)], -1
    )


def head_norm_cases(generator):
    small = 1e-3 * draw(generator, 3, 6)
    return [
        Case("two heads of width 3", draw(generator, 2, 6) * torch.tensor([1, 1, 1, 9, 9, 9]) + 0.5, 2),
        Case("four heads of width 2 in a batch of strings", draw(generator, 2, 3, 8) * 2 + 1, 4),
        Case("one head", draw(generator, 4, 5) + 1, 1),
        Case("three heads of small numbers, where eps counts", small, 3),
        Case("two heads with an eps of 0.1", draw(generator, 3, 4), 2, eps=0.1),
    ]


HEAD_NORM = define(
    "1.4",
    "a norm for each head",
    head_norm,
    head_norm_cases,
    tol=1e-5,
    seen="With it no head can be louder than another, whatever the block adds.",
    styles=[head_norm_with(rms), head_norm_by_chunks],
    mistakes=[
        Mistake(
            "the norm is taken over the whole width; each head has its own", lambda x, heads, eps=1e-6: x / rms(x, eps)
        ),
        Mistake(
            "eps belongs inside the root, with the mean of the squares",
            head_norm_with(lambda parts, eps: parts.square().mean(-1, keepdim=True).sqrt() + eps),
        ),
        Mistake(
            "eps is missing",
            head_norm_with(lambda parts, eps: rms(parts, 0)),
            lambda x, heads, eps=1e-6: head_norm(x, heads),
        ),
        Mistake(
            "this divides by the length; the root of the mean of the squares is asked for",
            head_norm_with(lambda parts, eps: (parts.square().sum(-1, keepdim=True) + eps).sqrt()),
        ),
        Mistake(
            "the mean is subtracted first; a root mean square is not a standard deviation",
            lambda x, heads, eps=1e-6: head_norm(
                (x.unflatten(-1, (heads, -1)) - x.unflatten(-1, (heads, -1)).mean(-1, keepdim=True)).flatten(-2),
                heads,
                eps,
            ),
            head_norm_with(lambda parts, eps: (parts.var(-1, keepdim=True, correction=0) + eps).sqrt()),
        ),
        Mistake(
            "the channels of a head stand side by side; this takes every so-many-th channel",
            lambda x, heads, eps=1e-6: (
                head_norm(x.unflatten(-1, (-1, heads)).mT.flatten(-2), heads, eps)
                .unflatten(-1, (heads, -1))
                .mT.flatten(-2)
            ),
        ),
        Mistake(
            "`heads` is the number of heads, not the width of one",
            lambda x, heads, eps=1e-6: head_norm(x, x.shape[-1] // heads, eps),
        ),
        Mistake("the root is missing", head_norm_with(lambda parts, eps: parts.square().mean(-1, keepdim=True) + eps)),
        Mistake(
            "the heads are still apart; join them to the width again",
            lambda x, heads, eps=1e-6: head_norm(x, heads, eps).unflatten(-1, (heads, -1)),
        ),
        Mistake(
            "the norm is taken over the heads, not within each",
            lambda x, heads, eps=1e-6: (
                x.unflatten(-1, (heads, -1))
                / (x.unflatten(-1, (heads, -1)).square().mean(-2, keepdim=True) + eps).sqrt()
            ).flatten(-2),
        ),
    ],
)

# ---------------------------------------------------------------- 5: your own string

NUMBERS = {"window": (7, 9, 11), "loops": (11, 13, 17, 19)}


def declare_longest(mine):
    """The exercise about a string, for a student's own window and number of loops."""
    window, loops = mine["window"], mine["loops"]

    def longest(blocks):
        """A number of blocks that one loop runs one after another -> the most bits that your window and loops can
        carry news across."""
        return loops * blocks * (window // 2) + 1

    def another(w, n):
        return lambda blocks: n * blocks * (w // 2) + 1

    return define(
        "1.5",
        "your own string",
        longest,
        lambda generator: [
            Case(f"the longest string for {n} blocks", n)
            for n in (1, 2, *torch.randint(3, 9, (2,), generator=generator).tolist())
        ],
        seen="Train to a length below it, and ask for more loops when the strings get longer.",
        styles=[lambda blocks: 1 + blocks * loops * (window - 1) / 2],
        mistakes=[
            Mistake(
                "a window of w looks (w - 1) / 2 cells to each side, not w",
                lambda blocks: loops * blocks * window + 1,
                lambda blocks: loops * blocks * window,
                lambda blocks: loops * blocks * (window - 1) + 1,
                lambda blocks: loops * blocks * (window - 1),
            ),
            Mistake(
                "news from the first bit has one step fewer to go than there are bits: one more bit fits",
                lambda blocks: loops * blocks * (window // 2),
            ),
            Mistake(
                "this is two bits too many or one too few: with 1 loop and 1 block and a window of 3 the answer is 2",
                lambda blocks: loops * blocks * (window // 2) + 2,
                lambda blocks: loops * blocks * (window // 2) - 1,
            ),
            Mistake(
                "each of the blocks of a loop looks once, so each carries news on",
                lambda blocks: loops * (window // 2) + 1,
            ),
            Mistake(
                "the blocks of a loop come one after another: their reaches add up, they do not multiply",
                lambda blocks: loops * (window // 2) ** blocks + 1,
            ),
            Mistake(
                "these are another student's numbers: `mine` holds yours",
                *(another(w, n) for w in NUMBERS["window"] for n in NUMBERS["loops"]),
            ),
        ],
    )


ASSIGNMENT = Assignment(
    name="a1",
    title="Assignment 1",
    lessons="01 and 02",
    opening="""
        How long does a loop need, where is it heading, and how far does news travel in it? Five problems on lessons
        01 and 02; each is a function that you write. The small checks below a problem are only a beginning: your
        functions are graded on other cases, of other shapes and sizes. Write them for any.
        """,
    closed=("rms_norm",),
    numbers=NUMBERS,
    problems=[
        Problem(
            "a1-1",
            PATIENCE,
            2,
            """
            Each start of a batch has its own patience: the smallest `n` for which the step from `z_n` to `z_(n+1)`,
            where `z_0` is the start, is at most `tol` long (its Euclidean length, over the width). Return it for each
            start. Only steps from `z_0` to `z_(most-1)` count; a start without such a step among them gets -1.
            """,
            "Keep one tensor of answers, -1 at first, and at each loop fill in those that have become still just now.",
            """
            halve = lambda z: z / 2
            assert torch.as_tensor(patience(halve, torch.tensor([[4.0], [0.0]]), 0.6, 10)).tolist() == [2, 0]
            assert torch.as_tensor(patience(halve, torch.tensor([[4.0], [0.0]]), 0.6, 2)).tolist() == [-1, 0]
            """,
        ),
        Problem(
            "a1-2",
            EXTRAPOLATE,
            2,
            """
            Near an attracting fixed point each entry of a state closes in geometrically: `z_t = end + rate^t (z_0 -
            end)`, each entry with an `end` and a `rate` of its own. Three states in a row are enough to solve for
            `end`. Do so, entry by entry, from the last three states. Where the second difference `z_t - 2 z_(t-1) +
            z_(t-2)` is exactly 0, return the last state.
            """,
            "Call the two last steps s and r s. The steps still to come are r^2 s, r^3 s, ...: a geometric series.",
            """
            states = torch.tensor([8.0, 4.0, 2.0])[:, None, None] + 1
            assert torch.allclose(extrapolate(states), torch.tensor([[1.0]]))
            """,
        ),
        Problem(
            "a1-3",
            LOOPS_NEEDED,
            2,
            """
            In one loop cell `i` looks at the cells `j` with `mask[i, j]`, and at its own state in any case (the
            residual stream). How many loops does it take until the state of cell `i` can depend on what cell `j` held
            at the start? Return that for all pairs, row `i` for cell `i`: 0 where `i == j`, -1 where no number of
            loops is enough.
            """,
            "What a cell knows after one more loop: all that it knew, and all that those knew whom it looks at.",
            """
            chain = torch.tensor([[False, True, False], [False, False, True], [False, False, False]])
            assert torch.as_tensor(loops_needed(chain)).tolist() == [[0, 1, 2], [-1, 0, 1], [-1, -1, 0]]
            """,
        ),
        Problem(
            "a1-4",
            HEAD_NORM,
            2,
            """
            RMSNorm divides a vector by the root of the mean of its squares. Here each head's part of the vector gets
            its own: the width is cut into `heads` parts of equal width, side by side, and each is divided by the root
            of (the mean of its squares, plus `eps`). There is no gain. Any number of dimensions may stand before the
            width.
            """,
            "unflatten(-1, (heads, -1)) gives the heads a dimension of their own, flatten(-2) takes it away again.",
            """
            x = torch.tensor([[3.0, 3.0, -0.5, 0.5]])
            assert torch.allclose(head_norm(x, 2), torch.tensor([[1.0, 1.0, -1.0, 1.0]]), atol=1e-4)
            """,
        ),
        Problem(
            "a1-5",
            declare_longest,
            2,
            """
            Your own numbers stand in `mine`: an attention `window` (that many cells in all, the cell itself in the
            middle) and a number of `loops`. One loop runs `blocks` such blocks one after another. How many bits may a
            string have at most, if the last cell is to know the first bit after your number of loops? Return a whole
            number.
            """,
            "Draw five cells and a window of 3. What does the last one know after a loop of one block? Of two blocks?",
            """
            assert longest(2) > longest(1) > 1
            assert longest(1) == int(longest(1))
            """,
        ),
    ],
)
