"""Assignment 4, on lessons 07 or 08 and 09: puzzles and their symmetries, when to stop, when to begin again, whom to
trust.
"""

from functools import partial

import torch

from looped_exercises import Case, Exercise, Mistake, after

from ..problems import Assignment, Problem

define = Exercise
double = torch.float64


def changed(answer, change):
    """``answer`` with a change made to what it gives."""
    return after(answer, change)


# ---------------------------------------------------------------- 1: candidates


def may_stand(grid, box):
    """grid (side, side) of whole numbers, 0 for empty, box (rows, columns) -> (side, side, side) of booleans."""
    side = len(grid)
    row, column = torch.arange(side)[:, None].expand(side, side), torch.arange(side).expand(side, side)
    block = row // box[0] * side + column // box[1]
    free = (grid == 0)[:, :, None].repeat(1, 1, side)
    for unit in (row, column, block):
        for number in unit.unique():
            held = grid[unit == number]
            free[unit == number] &= torch.tensor([digit not in held for digit in range(1, side + 1)])
    return free


def candidates_by(units=("row", "column", "box"), turned=False, filled=lambda grid: grid == 0, shift=0):
    """The same by counting, from some of the units, or with boxes turned round."""

    def answer(grid, box):
        side, (tall, wide) = len(grid), box[::-1] if turned else box
        ones = torch.nn.functional.one_hot(grid, side + 1)[..., 1:]
        seen = torch.zeros_like(ones)
        if "row" in units:
            seen = seen + ones.sum(1, keepdim=True)
        if "column" in units:
            seen = seen + ones.sum(0, keepdim=True)
        if "box" in units:
            blocks = ones.view(side // tall, tall, side // wide, wide, side).sum((1, 3))
            seen = seen + blocks.repeat_interleave(tall, 0).repeat_interleave(wide, 1)
        return ((seen == 0) & filled(grid)[..., None]).roll(shift, -1)

    return answer


def candidates_by_hand(grid, box):
    side, rows = len(grid), grid.tolist()
    found = [[[False] * side for _ in range(side)] for _ in range(side)]
    for r in range(side):
        for c in range(side):
            top, left = r // box[0] * box[0], c // box[1] * box[1]
            near = [rows[top + i][left + j] for i in range(box[0]) for j in range(box[1])]
            for digit in range(1, side + 1):
                seen = digit in rows[r] or digit in [line[c] for line in rows] or digit in near
                found[r][c][digit - 1] = rows[r][c] == 0 and not seen
    return found


def candidates_cases(generator):
    def some(box, shown):
        side = box[0] * box[1]
        r, c = torch.arange(side)[:, None], torch.arange(side)
        full = (box[1] * (r % box[0]) + r // box[0] + c) % side
        full = torch.randperm(side, generator=generator)[full] + 1
        return torch.where(torch.rand(side, side, generator=generator) < shown, full, 0)

    return [
        Case("candidates of a 6x6 puzzle, boxes of 2 rows and 3 columns", some((2, 3), 0.4), (2, 3)),
        Case("candidates of a 6x6 puzzle, boxes of 3 rows and 2 columns", some((3, 2), 0.3), (3, 2)),
        Case("candidates of a 9x9 puzzle", some((3, 3), 0.3), (3, 3)),
        Case("candidates of a nearly full 8x8 puzzle, boxes of 2 rows and 4 columns", some((2, 4), 0.8), (2, 4)),
    ]


CANDIDATES = define(
    "4.1",
    "what may stand here",
    may_stand,
    candidates_cases,
    seen=(
        "One round of this is what three masked heads can do in one loop: look along row, column and box, and cross"
        " out."
    ),
    styles=[candidates_by(), candidates_by_hand],
    mistakes=[
        Mistake("boxes are missing: a digit in the same box is taken, too", candidates_by(("row", "column"))),
        Mistake("columns are missing: a digit in the same column is taken, too", candidates_by(("row", "box"))),
        Mistake("rows are missing: a digit in the same row is taken, too", candidates_by(("column", "box"))),
        Mistake(
            "only one kind of unit is looked at; rows, columns and boxes all count",
            *(candidates_by((unit,)) for unit in ("row", "column", "box")),
        ),
        Mistake(
            "`box` is (rows, columns): a box is box[0] rows high and box[1] columns wide", candidates_by(turned=True)
        ),
        Mistake(
            "a cell that is filled has no candidates, not even its own digit",
            candidates_by(filled=lambda grid: grid >= 0),
            lambda grid, box: (
                may_stand(grid, box)
                | (torch.nn.functional.one_hot(grid, len(grid) + 1)[..., 1:] > 0) & (grid > 0)[..., None]
            ),
            lambda grid, box: may_stand(grid, box) | (grid > 0)[..., None],
        ),
        Mistake(
            "this is turned round: True means that the digit may stand there",
            changed(may_stand, lambda free: ~free),
            lambda grid, box: ~may_stand(grid, box) & (grid == 0)[..., None],
        ),
        Mistake("this is how many may stand there; which is asked for", changed(may_stand, lambda free: free.sum(-1))),
        Mistake(
            "digit 1 is entry 0 of the last dimension: this is shifted by one",
            candidates_by(shift=1),
            candidates_by(shift=-1),
            changed(may_stand, lambda free: torch.nn.functional.pad(free, (1, 0))),
        ),
        Mistake("digits come last: (row, column, digit)", changed(may_stand, lambda free: free.permute(2, 0, 1))),
        Mistake(
            "row and column are exchanged: entry [r, c] is about row r and column c",
            changed(may_stand, lambda free: free.transpose(0, 1)),
        ),
    ],
)

# ---------------------------------------------------------------- 2: the way back


def bring_back(logits, order, digits):
    """logits (cells, classes) of an image, order (cells,), digits (classes,) -> logits (cells, classes) of
    the puzzle.
    """
    back = torch.empty_like(logits)
    back[order] = logits[:, digits]
    return back


def bring_back_by_hand(logits, order, digits):
    rows = logits.tolist()
    found = [[0.0] * len(digits) for _ in rows]
    for image, original in enumerate(order.tolist()):
        for old, new in enumerate(digits.tolist()):
            found[original][old] = rows[image][new]
    return found


sent = lambda cells, names: lambda logits, order, digits: logits[cells(order)][:, names(digits)]
same, inverse, none = (lambda p: p), (lambda p: p.argsort()), (lambda p: torch.arange(len(p)))


def bring_back_cases(generator):
    perm = partial(torch.randperm, generator=generator)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=double)
    turn = torch.arange(16).view(4, 4).rot90().flatten()
    return [
        Case("logits of 36 cells and 6 digits under a random symmetry", draw(36, 6), perm(36), perm(6)),
        Case("logits of 81 cells and 9 digits under a random symmetry", draw(81, 9), perm(81), perm(9)),
        Case(
            "logits of a 4x4 board that was turned, digits 1, 2, 3 in a circle",
            draw(16, 4),
            turn,
            torch.tensor([1, 2, 0, 3]),
        ),
    ]


BRING_BACK = define(
    "4.2",
    "the way back",
    bring_back,
    bring_back_cases,
    seen="Now a puzzle that is not solved can be tried again as another one, "
    "and its answer read as if nothing had been done.",
    styles=[sent(inverse, same), bring_back_by_hand],
    mistakes=[
        Mistake("the cells are sent the same way again; bring them back: `order` is to be inverted", sent(same, same)),
        Mistake(
            "the digits go the wrong way: the puzzle's digit d is asked for at the image's digits[d]",
            sent(inverse, inverse),
        ),
        Mistake("both go the wrong way: this would make an image of the image", sent(same, inverse)),
        Mistake("the digits still have their new names", sent(inverse, none), sent(same, none)),
        Mistake("the cells are still in the image's order", sent(none, same), sent(none, inverse)),
        Mistake("these are the image's logits, unchanged", sent(none, none)),
        Mistake(
            "these are digits or probabilities; the logits are asked for, so that they can be added up",
            changed(bring_back, lambda logits: logits.argmax(-1)),
            changed(bring_back, lambda logits: logits.argmax(-1) + 1),
            changed(bring_back, lambda logits: logits.softmax(-1)),
            changed(bring_back, lambda logits: logits.log_softmax(-1)),
        ),
        Mistake("cells come first: (cells, classes)", changed(bring_back, lambda logits: logits.T)),
        Mistake(
            "this sorts the logits themselves; only their places are to change",
            lambda logits, order, digits: logits.sort(0).values,
            lambda logits, order, digits: logits.sort(-1).values,
        ),
    ],
)

# ---------------------------------------------------------------- 3: still, and still still


def stops_at(residuals, tol, patience):
    """residuals (loops, batch), a tolerance, a patience -> (batch,) whole numbers: loops after which each one stops."""
    found, run = torch.full((residuals.shape[1],), len(residuals)), torch.zeros(residuals.shape[1], dtype=torch.long)
    stopped = torch.zeros(residuals.shape[1], dtype=torch.bool)
    for loops, residual in enumerate(residuals, 1):
        run = torch.where(residual <= tol, run + 1, 0)
        now = (run >= patience) & ~stopped
        found[now] = loops
        stopped |= now
    return found


def stops_with(still=lambda r, tol: r <= tol, never=lambda loops: loops, shift=0, together=True, last=False, want=None):
    """The same instance by instance; each option is another rule."""

    def answer(residuals, tol, patience):
        found = []
        for column in residuals.T:
            yes, patient = still(column, tol).tolist(), want(patience) if want else patience
            ends, run = [], 0
            for loops, one in enumerate(yes, 1):
                run = run + 1 if one else (0 if together else run)
                if run >= patient:
                    ends.append(loops)
            found.append((ends[-1] if last else ends[0]) + shift if ends else never(len(residuals)))
        return torch.tensor(found)

    return answer


def stops_by_windows(residuals, tol, patience):
    loops = len(residuals)
    if patience > loops:
        return [loops] * residuals.shape[1]
    windows = (residuals <= tol).unfold(0, patience, 1).all(-1)
    return torch.where(windows.any(0), windows.int().argmax(0) + patience, loops)


def stops_cases(generator):
    falling = 0.7 ** torch.arange(24, dtype=double)[:, None] * torch.rand(1, 6, generator=generator, dtype=double)
    restless = falling * torch.where(torch.rand(24, 6, generator=generator) < 0.2, 30.0, 1.0)
    edge = torch.tensor([[0.5, 0.25, 0.5, 0.25, 0.25, 0.25, 0.125, 0.5, 0.1, 0.1, 0.1, 0.1]], dtype=double).T
    edge = torch.cat([edge, edge.roll(2, 0), torch.ones_like(edge), 0 * edge], 1)
    lost = restless.clone()
    lost[3:, 1] = float("nan")
    return [
        Case("residuals that jump, patience 3", restless, 0.05, 3),
        Case("residuals of which some are exactly the tolerance, patience 2", edge, 0.25, 2),
        Case("a state that overflows: its residuals are nan, patience 2", lost, 0.02, 2),
        Case("residuals that jump, patience 1", restless[:, :4], 0.03, 1),
        Case("a patience that is longer than the run", edge, 0.25, 99),
    ]


STOPS_AT = define(
    "4.3",
    "still, and still still",
    stops_at,
    stops_cases,
    seen="A loop that passes slowly by a wrong answer looks still for a moment. "
    "Patience costs its length in loops, for every instance.",
    styles=[stops_with(), stops_by_windows],
    mistakes=[
        Mistake(
            "this stops at the first loop that is still; `patience` of them in a row are asked for",
            stops_with(want=lambda p: 1),
        ),
        Mistake("still loops count only in a row: a jump sets the count back to 0", stops_with(together=False)),
        Mistake(
            "this is where it became still; the rule knows only at the end of the row",
            lambda r, tol, p: torch.where(
                stops_with(never=lambda n: -1)(r, tol, p) < 0, len(r), stops_at(r, tol, p) - p + 1
            ),
        ),
        Mistake(
            "this is one loop off: row 0 of the residuals is about loop 1",
            stops_with(shift=-1),
            stops_with(shift=1),
            changed(stops_at, lambda n: n - 1),
            changed(stops_at, lambda n: n + 1),
        ),
        Mistake(
            "who never stops has run all loops",
            stops_with(never=lambda loops: 0),
            stops_with(never=lambda loops: -1),
            stops_with(never=lambda loops: loops + 1),
        ),
        Mistake("`at most tol` holds for a residual that is exactly tol", stops_with(still=lambda r, tol: r < tol)),
        Mistake(
            "nan is not still: `not larger than tol` is true of what is no number",
            stops_with(still=lambda r, tol: ~(r > tol)),
            stops_with(still=lambda r, tol: r.nan_to_num(0.0) <= tol),
        ),
        Mistake("this is the last loop at which the rule holds; the run has ended at the first", stops_with(last=True)),
        Mistake(
            "one number for the whole batch; each instance stops on its own",
            changed(stops_at, lambda n: int(n.max())),
            changed(stops_at, lambda n: n.amax().expand(len(n))),
            changed(stops_at, lambda n: n.double().mean()),
        ),
        Mistake("one loop more in a row than asked for", stops_with(want=lambda p: p + 1)),
        Mistake(
            "rows are loops and columns are instances; this has them the other way round",
            lambda r, tol, p: stops_at(r.T, tol, p),
        ),
    ],
)

# ---------------------------------------------------------------- 4: what restarts cost


def spent(needed, schedule, budget):
    """needed (tries, batch) whole numbers, a list of lengths, a budget -> (loops (batch,), solved (batch,) of
    booleans).
    """
    loops, solved = torch.zeros(needed.shape[1], dtype=torch.long), torch.zeros(needed.shape[1], dtype=torch.bool)
    for number, need in enumerate(needed):
        length = torch.clamp(budget - loops, max=schedule[min(number, len(schedule) - 1)])
        now = ~solved & (need <= length)
        loops = torch.where(solved, loops, loops + torch.where(now, need, length))
        solved = solved | now
    return loops, solved


def spent_with(
    lengths=lambda schedule, k: schedule[min(k, len(schedule) - 1)],
    cut=lambda length, left: min(length, left),
    cost=lambda need, length: need,
    enough=lambda need, length, past: need <= length,
    failed=lambda length: length,
    before=lambda loops: loops,
):
    """The same instance by instance; each option is another way to count."""

    def answer(needed, schedule, budget):
        found = []
        for column in needed.T.tolist():
            loops, done = 0, False
            for k, need in enumerate(column):
                length = cut(lengths(schedule, k), budget - loops)
                if length <= 0:
                    break
                if enough(need, length, loops):
                    loops, done = before(loops) + cost(need, length), True
                    break
                loops += failed(length)
            found.append((loops, done))
        return torch.tensor([loops for loops, _ in found]), torch.tensor([done for _, done in found])

    return answer


def spent_as_lists(needed, schedule, budget):
    loops, solved = spent_with()(needed, schedule, budget)
    return loops.tolist(), solved.tolist()


def spent_cases(generator):
    draw = lambda tries, batch, most: torch.randint(1, most, (tries, batch), generator=generator)
    edge = torch.tensor(
        [[8, 9, 20, 9, 30, 9], [4, 4, 16, 17, 30, 16], [3, 3, 3, 16, 30, 8], [2, 2, 2, 2, 30, 2], [1] * 6]
    )
    return [
        Case("one length for all tries", draw(12, 9, 120), [32], 200),
        Case("lengths that grow, the last of them again and again", draw(12, 9, 90), [8, 16, 32], 250),
        Case("needs that are exactly a length, and a budget that cuts a try", edge, [8, 16], 30),
        Case("a budget shorter than the first try", draw(3, 12, 40), [64, 8], 20),
    ]


SPENT = define(
    "4.4",
    "what restarts cost",
    spent,
    spent_cases,
    seen="With this, measured once, every schedule can be judged at a desk, on "
    "validation puzzles, without another loop.",
    styles=[spent_with(), spent_as_lists],
    mistakes=[
        Mistake(
            "the budget is for all tries together: the try in which it ends is cut short",
            spent_with(cut=lambda length, left: length if left > 0 else 0),
        ),
        Mistake(
            "there is no budget here: it ends the last try, whatever the schedule says",
            lambda needed, schedule, budget: spent(needed, schedule, 10**9),
        ),
        Mistake(
            "a solved instance stops at once: it does not use its try up", spent_with(cost=lambda need, length: length)
        ),
        Mistake("the loops of the failed tries count, too", spent_with(before=lambda loops: 0)),
        Mistake(
            "where the schedule ends, its last length is used again and again",
            spent_with(lengths=lambda s, k: s[k] if k < len(s) else 0),
            spent_with(lengths=lambda s, k: s[k % len(s)]),
        ),
        Mistake(
            "every try has its own length: the first is schedule[0], the next schedule[1]",
            spent_with(lengths=lambda s, k: s[0]),
            spent_with(lengths=lambda s, k: s[-1]),
            spent_with(lengths=lambda s, k: s[min(k + 1, len(s) - 1)]),
        ),
        Mistake(
            "a need that is exactly the length of the try is met",
            spent_with(enough=lambda need, length, past: need < length),
        ),
        Mistake(
            "a restart forgets: what a try has run does not help the next",
            spent_with(
                enough=lambda need, length, past: need <= past + length, cost=lambda need, length: min(need, length)
            ),
            lambda needed, schedule, budget: spent(needed[:1].repeat(len(needed), 1), schedule, budget),
        ),
        Mistake("a restart itself costs no loop", spent_with(failed=lambda length: length + 1)),
        Mistake(
            "return two things, the loops and who is solved",
            changed(spent, lambda pair: pair[0]),
            changed(spent, lambda pair: pair[1]),
        ),
        Mistake("the loops come first, then who is solved", changed(spent, lambda pair: pair[::-1])),
        Mistake(
            "each instance has its own numbers; this adds or averages them",
            changed(spent, lambda pair: (pair[0].sum(), pair[1].sum())),
            changed(spent, lambda pair: (pair[0].double().mean(), pair[1].double().mean())),
        ),
    ],
)

# ---------------------------------------------------------------- 5: your own bar

NUMBERS = {"share": (0.75, 0.8, 0.85, 0.9, 0.95), "least": (5, 8, 10)}


def declare_own_tol(mine):
    """The exercise about a tolerance, for a student's own share of right answers and least number of accepted ones."""
    share, least = mine["share"], mine["least"]

    def own_tol(residuals, right):
        """residuals (n,) and right (n,) of booleans, of validation puzzles -> the largest tolerance that
        fits, or 0.0.
        """
        order = residuals.argsort()
        accepted = torch.arange(1, len(order) + 1)
        fits = (right[order].long().cumsum(0) >= share * accepted - 1e-9) & (accepted >= least)
        return float(residuals[order][fits].max()) if fits.any() else 0.0

    def by_hand(bar=share, least=least, which=max, good=None, over=lambda inside, right: len(inside), give=float):
        """The same, value by value; each option is another rule."""

        def answer(residuals, right):
            pairs, fits = list(zip(residuals.tolist(), right.tolist(), strict=True)), []
            for tol in sorted(r for r, _ in pairs):
                inside = [yes for r, yes in pairs if r <= tol]
                part = sum(inside) / max(over(inside, right), 1)
                if len(inside) >= least and (good(part) if good else part >= bar - 1e-9):
                    fits.append(tol)
            return give(which(fits)) if fits else 0.0

        return answer

    def until_it_fails(residuals, right):
        order, found, hits = residuals.argsort(), 0.0, 0
        for count, place in enumerate(order.tolist(), 1):
            hits += int(right[place])
            if count >= least and hits < share * count - 1e-9:
                break
            found = float(residuals[place]) if count >= least else found
        return found

    def strictly(residuals, right):
        return by_hand(good=lambda part: part > share + 1e-9)(residuals, right)

    def cases(generator):
        """Residuals in random order, and marks that were laid along them so that each rule shows itself somewhere."""

        def laid(*marks):
            marks = torch.tensor([mark for mark, times in marks for _ in range(times)])
            steps = 0.01 + (0.1 + torch.rand(len(marks), generator=generator, dtype=double)).cumsum(0)
            mix = torch.randperm(len(marks), generator=generator)
            return steps[mix], marks[mix]

        def meets(n, first):
            """The bar is missed after the first ones, met exactly at n, and missed for good from there on."""
            rights = round(n * share)
            return laid((True, first), (False, n - rights), (True, rights - first), (False, n), (True, 3))

        more = int(torch.randint(0, 4, (), generator=generator))
        return [
            Case("120 puzzles, where the bar is missed, met again exactly, and missed for good", *meets(60, 10 + more)),
            Case("80 puzzles, the first of them wrong", *meets(40, 0)),
            Case(
                "a bar that is missed once, and later met with ease", *laid((True, 12), (False, 12), (True, 300 + more))
            ),
            Case("a share that falls slowly", *laid((True, 40 + more), *[(False, 1), (True, 1)] * 60)),
            Case("a few right ones, then wrong ones", *laid((True, least - 2), (False, 20))),
            Case("40 puzzles that are all right", *laid((True, 40 + more))),
            Case("30 puzzles of which none is right", *laid((False, 30 + more))),
            Case("three puzzles", *laid((True, 2), (False, 1))),
        ]

    others = [(s, k) for s in NUMBERS["share"] for k in NUMBERS["least"] if (s, k) != (share, least)]
    return define(
        "4.5",
        "your own bar",
        own_tol,
        cases,
        tol=1e-6,
        seen="The share holds on the puzzles that it was chosen on. On others it "
        "will be a little lower: that is what test puzzles are for.",
        styles=[by_hand(), lambda residuals, right: torch.tensor(own_tol(residuals, right), dtype=double)],
        mistakes=[
            Mistake(
                "this stops where the share first falls below the bar; it may come back: look at all tolerances",
                until_it_fails,
            ),
            Mistake("the largest tolerance is asked for: it accepts the most", by_hand(which=min)),
            Mistake("a share that is exactly the bar is enough", strictly),
            Mistake(
                "this is the share of all puzzles; those that are accepted are the whole",
                by_hand(over=lambda inside, right: len(right)),
            ),
            Mistake(
                "this is how many of the right ones are accepted; how many of the accepted are right is asked for",
                by_hand(over=lambda inside, right: int(right.sum())),
            ),
            Mistake("fewer than `least` accepted puzzles are not evidence enough", by_hand(least=1)),
            Mistake(
                "this is how many are accepted; the tolerance is asked for",
                lambda residuals, right: int((residuals <= own_tol(residuals, right)).sum()),
            ),
            Mistake(
                "this is an index; the residual there is asked for",
                lambda residuals, right: int((residuals - own_tol(residuals, right)).abs().argmin()),
            ),
            Mistake(
                "this chooses among the right ones alone; what is accepted is not known to be right",
                lambda residuals, right: own_tol(residuals[right], right[right]) if right.any() else 0.0,
            ),
            Mistake(
                "where no tolerance fits the answer is 0.0",
                lambda residuals, right: own_tol(residuals, right) or float("nan"),
                lambda residuals, right: own_tol(residuals, right) or float(residuals.min()),
                lambda residuals, right: own_tol(residuals, right) or -1.0,
            ),
            Mistake(
                "these are another student's numbers: `mine` holds yours", *(by_hand(bar=s, least=k) for s, k in others)
            ),
        ],
    )


ASSIGNMENT = Assignment(
    name="a4",
    title="Assignment 4",
    lessons="07 (or 08) and 09",
    opening="""
        What may stand where, what a symmetric image says about the puzzle, when a loop may stop, what it costs to begin
        again, and whom to trust: five problems on lessons 07 and 09. Whoever has done 08 in place of 07 needs the first
        section of 07 as well: what a box is. The small checks are only a beginning: your functions are graded on other
        cases, of other shapes and sizes.
        """,
    closed=("image", "keeps_rules", "clashes"),
    numbers=NUMBERS,
    problems=[
        Problem(
            "a4-1",
            CANDIDATES,
            2,
            """
            A puzzle is a `grid` of whole numbers, 0 for an empty cell, cut into boxes of `box[0]` rows and `box[1]`
            columns. Which digits may stand in an empty cell, going by its row, its column and its box alone? Return
            booleans of shape (row, column, digit), where digit 1 is entry 0. A filled cell has no candidates.
            """,
            "Make a set of three for each cell: digits in its row, in its column, in its box. What is in none may stand"
            " there.",
            """
            grid = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]])
            free = torch.as_tensor(may_stand(grid, (2, 2)))
            assert free[0, 1].tolist() == [False, True, False, True] and not free[0, 0].any()
            """,
        ),
        Problem(
            "a4-2",
            BRING_BACK,
            2,
            """
            An image of a puzzle shows in its cell `i` what the puzzle shows in cell `order[i]`, with every digit `d`
            (counted from 0) renamed to `digits[d]`. A model was run on the image and gave `logits` (cells, classes).
            Return the logits for the puzzle itself: its cells in its order, its digits under their own names.
            """,
            "What does row i of the logits talk about: which cell of the puzzle? And its column digits[d]: which"
            " digit?",
            """
            logits = torch.tensor([[5.0, 0.0, 0.0], [0.0, 7.0, 0.0]])
            back = torch.as_tensor(bring_back(logits, torch.tensor([1, 0]), torch.tensor([1, 2, 0])))
            assert back.tolist() == [[7.0, 0.0, 0.0], [0.0, 0.0, 5.0]]
            """,
        ),
        Problem(
            "a4-3",
            STOPS_AT,
            2,
            """
            `residuals[t - 1, b]` says by what share of its length loop `t` moved the state of instance `b`. An instance
            stops after the first loop at which its residual has been at most `tol` for `patience` loops in a row, this
            one included. Return after how many loops each instance stops; who never does runs all loops. A state that
            has overflowed has residual nan, and is never still.
            """,
            "Keep one count for each instance: one more where it is still, back to 0 where it is not.",
            """
            residuals = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.1], [0.1, 0.9]])
            assert torch.as_tensor(stops_at(residuals, 0.2, 2)).tolist() == [4, 2]
            """,
        ),
        Problem(
            "a4-4",
            SPENT,
            2,
            """
            Each instance is tried again and again from new noise. `needed[k, b]` says after how many loops try number
            `k` (from 0) of instance `b` would be solved, if it were given as many. Try `k` is given `schedule[k]`
            loops, and the last length of the schedule again and again after its end; all tries of an instance together
            get `budget` loops, and the one in which they run out is cut short. An instance that is solved stops at
            once. Return how many loops each instance used, and whether it was solved. There are always enough tries to
            use a budget up.
            """,
            "Follow one instance with a pencil: how many loops are left, how many this try may use, whether that is"
            " enough.",
            """
            loops, solved = spent(torch.tensor([[9, 9], [3, 9], [1, 9]]), [4, 8], 14)
            assert torch.as_tensor(loops).tolist() == [7, 14] and torch.as_tensor(solved).tolist() == [True, False]
            """,
        ),
        Problem(
            "a4-5",
            declare_own_tol,
            2,
            """
            You trust an answer if its residual is at most a tolerance. Your own numbers stand in `mine`: of the answers
            that you accept at least the share `mine["share"]` is to be right, and you want to accept at least
            `mine["least"]`, since fewer say little. Given the residuals of validation puzzles and which of them were
            right, return the largest of these residuals that fits as a tolerance; 0.0 if none does.
            """,
            "Sort by residual. If the first k are accepted, how many of them are right? Look at every k, not only up to"
            " the first that fails.",
            """
            residuals = torch.linspace(0.1, 2.0, 20)
            assert abs(float(own_tol(residuals, residuals < 5)) - 2.0) < 1e-6
            assert float(own_tol(residuals, residuals > 5)) == 0.0
            """,
        ),
    ],
)
