"""The exercises of lesson 07, sudoku: encoding and back, rules, symmetries, attention, guesses, intervals."""

import math
import random
import textwrap
from functools import partial

import numpy as np
import torch

from looped_lite.intervals import wilson
from looped_lite.tasks.sudoku import one_hot
from looped_lite.tasks.sudoku import unit_masks as package_masks
from looped_lite.tasks.sudoku_puzzles import apply_symmetry, clashes, parse, random_symmetry, show, solve, units

from . import Case, Exercise, Mistake, after
from .plain import same, tidy

FOUR, SIX, TALL, NINE = (2, 2), (2, 3), (3, 2), (3, 3)


def chance(generator: torch.Generator) -> random.Random:
    return random.Random(int(torch.randint(2**40, (), generator=generator)))


def pattern(box):
    """One solved grid for any box, flat."""
    side = box[0] * box[1]
    return [(box[1] * (r % box[0]) + r // box[0] + c) % side + 1 for r in range(side) for c in range(side)]


def image_of(grid, box, rng):
    return apply_symmetry(np.array(grid), *random_symmetry(box, rng)).tolist()


def named(box):
    return f"{box[0] * box[1]}x{box[0] * box[1]}" + (" with boxes of 3 by 2" if box == TALL else "")


# ---------------------------------------------------------------- 07.1 one-hot encoding of a puzzle


def puzzle_text(box, rng, share=0.5):
    """A puzzle as text, its empty cells written in both ways."""
    grid = image_of(pattern(box), box, rng)
    return ".0" + "".join(str(digit) if rng.random() < share else rng.choice(".0") for digit in grid[2:])


def encode_cases(generator):
    rng = chance(generator)
    found = [Case(f"encode of a puzzle of {named(box)}", puzzle_text(box, rng), box[0] * box[1])
             for box in (FOUR, SIX, NINE)]  # fmt: skip
    return [*found, Case("encode of an empty 6x6 puzzle", "." * 36, 6)]


def numbers(text):
    return [0 if character in ".0" else int(character) for character in text]


def encode_cell_by_cell(text, side):
    table = torch.zeros(side * side, 1 + side)
    for cell, digit in enumerate(numbers(text)):
        table[cell, digit] = 1
    return table


encoded = lambda text, side: one_hot(torch.tensor(numbers(text)), side)
spoilt = partial(after, encoded)
encode = Exercise(
    "07.1", "one-hot encoding of a puzzle", encoded, encode_cases,
    seen="A model sees a puzzle as a table of zeros and ones: one row a cell, one column for empty and for each digit.",
    styles=[encode_cell_by_cell, spoilt(torch.Tensor.double), spoilt(torch.Tensor.tolist),
            lambda text, side: np.eye(1 + side)[numbers(text)]],
    mistakes=[
        Mistake("an empty cell has a channel of its own, channel 0; here it is all zeros",
                spoilt(lambda t: torch.cat([0 * t[:, :1], t[:, 1:]], 1)),
                *(lambda text, side, given=given: encoded(text, side) * torch.tensor([[c != given] for c in text])
                  for given in ".0")),
        Mistake("a cell with a digit is not empty: channel 0 is for the empty ones alone",
                spoilt(lambda t: torch.cat([torch.ones_like(t[:, :1]), t[:, 1:]], 1))),
        Mistake("an empty cell has a channel of its own, too: 1 + side channels, channel 0 for empty",
                spoilt(lambda t: t[:, 1:])),
        Mistake("channel 0 is for an empty cell, so digit d has channel d", spoilt(lambda t: t.roll(-1, 1)),
                spoilt(lambda t: t.flip(1)),
                spoilt(lambda t: torch.cat([t[:, :1] + t[:, 1:2], t[:, 2:], 0 * t[:, :1]], 1))),
        Mistake("cells go row by row, not column by column",
                lambda text, side: encoded(text, side).view(side, side, -1).transpose(0, 1).flatten(0, 1)),
        Mistake("a single 1 says which digit it is: not the digit itself",
                spoilt(lambda t: t * torch.arange(t.shape[1])),
                spoilt(lambda t: t * torch.arange(t.shape[1]).clamp(min=1))),
        Mistake("every cell has its row, an empty one too",
                *(lambda text, side, given=given: torch.eye(1 + side)[[int(c) for c in text if c in given]]
                  for given in ("0123456789", "123456789"))),
        Mistake("each cell is a row: (cells, 1 + side), not the other way round", spoilt(lambda t: t.T)),
        Mistake("this is the batch of one that a model wants; return the cells alone", spoilt(lambda t: t[None])),
        Mistake("flat, please: one row for each cell, side * side of them",
                lambda text, side: encoded(text, side).view(side, side, -1), spoilt(torch.flatten)),
        Mistake("the model multiplies this with weights, so make it floating point: .float() at the end",
                spoilt(torch.Tensor.long), spoilt(torch.Tensor.bool)),
        Mistake("these are the digits themselves; give each its row of zeros and a single one",
                lambda text, side: torch.tensor(numbers(text)), lambda text, side: torch.tensor(numbers(text)).float(),
                lambda text, side: numbers(text)),
        Mistake("this has a channel too many: channel 0 for empty and one for each digit are 1 + side",
                spoilt(lambda t: torch.cat([t, 0 * t[:, :1]], 1)), spoilt(lambda t: torch.cat([0 * t[:, :1], t], 1))),
        Mistake("the number of channels is 1 + side, whatever the side is and whichever digits occur",
                lambda text, side: torch.nn.functional.one_hot(torch.tensor(numbers(text))).float(),
                lambda text, side: torch.eye(7)[numbers(text)], lambda text, side: torch.eye(10)[numbers(text)]),
        Mistake("this gives every empty cell all channels; it has channel 0 alone",
                spoilt(lambda t: torch.maximum(t, t[:, :1]))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.2 and its inverse


def fill_in_cases(generator):
    rng = chance(generator)
    return [Case(f"fill_in of a puzzle of {named(box)}", puzzle_text(box, rng),
                 torch.randn((box[0] * box[1]) ** 2, box[0] * box[1], generator=generator))
            for box in (FOUR, SIX, NINE)]  # fmt: skip


def filling(keep=True, plus=1, pick=lambda logits: logits.argmax(-1), empty=".0", write=str, put="".join):
    """Right as it stands, and wrong in each of its options."""

    def answer(text, logits):
        pairs = zip(text, pick(logits).tolist(), strict=False)
        return put([given if keep and given not in empty else write(best + plus) for given, best in pairs])

    return answer


def beside(text, logits):
    """Wrong: the first empty cell gets the first row of logits, the second the second."""
    best = iter((logits.argmax(-1) + 1).tolist())
    return "".join(str(next(best)) if given in ".0" else given for given in text)


def filling_by_rules(text, logits, seen):
    """Wrong: leaves out the digits that stand in the same row, column, box, as far as they are ``seen``."""
    box = {4: FOUR, 6: SIX, 9: NINE}[logits.shape[1]]
    sees = package_masks(box)[:3][torch.tensor(seen).bool()].any(0)
    taken = (sees.float() @ encoded(text, logits.shape[1])[:, 1:]) > 0
    return filling()(text, logits.masked_fill(taken, -math.inf))


def fill_by_where(text, logits):
    given = torch.tensor(numbers(text))
    return show(torch.where(given > 0, given, logits.argmax(1) + 1))


fill_in = Exercise(
    "07.2", "and its inverse", filling(), fill_in_cases,
    seen="This is all that turns logits into an answer: nothing in it knows the rules.",
    styles=[fill_by_where, lambda text, logits: "".join(
        given if given.isdigit() and given != "0" else f"{row.argmax() + 1}"
        for given, row in zip(text, logits, strict=True))],
    mistakes=[
        Mistake("a given is part of the question: keep it, whatever the logits say", filling(keep=False)),
        Mistake("class 0 stands for digit 1, so add 1", filling(plus=0), filling(keep=False, plus=0)),
        Mistake("a zero in the text is an empty cell, like a dot: fill it", filling(empty=".")),
        Mistake("a dot in the text is an empty cell, like a zero: fill it", filling(empty="0")),
        Mistake("these are the least likely digits: take argmax", filling(pick=lambda logits: logits.argmin(-1))),
        Mistake("argmax belongs over the classes of each cell, the last dimension, not over the cells",
                filling(pick=lambda logits: logits.argmax(0)),
                filling(pick=lambda logits: logits.softmax(0).argmax(1))),
        Mistake("exchanged: keep the givens, and fill the empty cells", lambda text, logits: "".join(
            given if given in ".0" else best
            for given, best in zip(text, filling(keep=False)(text, logits), strict=True))),
        Mistake("take the likeliest digit of each cell as it is: what the rules say is not asked here",
                *(partial(filling_by_rules, seen=seen) for seen in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)))),
        Mistake("each cell has its own likeliest digit: argmax(-1), not one argmax of all logits",
                *(filling(pick=lambda logits, best=best: best(logits).repeat(len(logits))) for best in (
                    lambda logits: logits.argmax() % logits.shape[1], torch.argmax, lambda logits: logits[0].argmax()
                ))),
        Mistake("no answer is empty: class 0 is digit 1 and takes part in argmax, too",
                *(filling(pick=lambda logits: logits[:, 1:].argmax(-1), plus=plus) for plus in (1, 2))),
        Mistake("every cell has its row of logits, a given one too: walk over both at once", beside),
        Mistake('these are the right digits, but not as one string: "".join(...)', filling(put=list),
                after(filling(), lambda text: [int(c) for c in text]), after(filling(), int),
                after(filling(), lambda text: torch.tensor([int(c) for c in text]))),
        Mistake('a tensor turns into "tensor(3)": make it a number with int(...) first',
                filling(write=lambda digit: f"tensor({digit})"),
                filling(keep=False, write=lambda digit: f"tensor({digit})")),
        Mistake("one character a cell, without anything in between", filling(put=" ".join), filling(put="\n".join),
                after(filling(), lambda text: "\n".join(textwrap.wrap(text, math.isqrt(len(text)))))),
        Mistake("these are the filled cells alone; the givens stand between them",
                lambda text, logits: "".join(d for c,
                                             d in zip(text, filling()(text, logits), strict=True) if c in ".0")),
        Mistake("that is the question itself; fill its empty cells", lambda text, logits: text),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.3 which cells clash?

by_pair = lambda row, column, box: (row // box[0], column // box[1])
WRONG_BOXES = {
    "a box is box[0] rows high and box[1] columns wide; yours are turned": [lambda r, c, b: (r // b[1], c // b[0])],
    "two different boxes get the same number here; use the pair (row // box[0], column // box[1]), or "
    "row // box[0] * side + column // box[1]": [
        lambda r, c, b: r // b[0] + c // b[1], lambda r, c, b: r // b[0] * 2 + c // b[1],
        lambda r, c, b: r // b[0] * b[1] + c // b[1], lambda r, c, b: r // b[0], lambda r, c, b: c // b[1]],
    "the size of a box is an argument: box[0] rows, box[1] columns": [
        lambda r, c, b: (r // 2, c // 3), lambda r, c, b: (r // 3, c // 3), lambda r, c, b: (r // b[0], c // b[0]),
        lambda r, c, b: (r // b[1], c // b[1]), lambda r, c, b: r // 3 * 3 + c // 3],
    "(row % box[0], column % box[1]) is the place within a box; divide with //": [
        lambda r, c, b: (r % b[0], c % b[1])],
}  # fmt: skip


def meeting(box, rows=True, columns=True, boxes=by_pair):
    """Do two cells share a row, a column or a box? Wrong in each of its options."""
    place = [divmod(cell, box[0] * box[1]) for cell in range((box[0] * box[1]) ** 2)]
    number = [boxes(*at, box) if boxes else cell for cell, at in enumerate(place)]
    return lambda a, b: (
        (rows and place[a][0] == place[b][0]) or (columns and place[a][1] == place[b][1]) or number[a] == number[b]
    )


def clashing(zeros=False, seen=lambda a, b: a != b, **kinds):
    def answer(grid, box):
        meet, cells = meeting(box, **kinds), range(len(grid))
        wrong = lambda a: any(grid[a] == grid[b] and seen(a, b) and meet(a, b) for b in cells)
        return [a for a in cells if (grid[a] or zeros) and wrong(a)]

    return answer


def clashing_pair(kind, box, rng):
    """A case in which two cells hold the same digit and share nothing but a row, column or box."""
    grid, side, everything = image_of(pattern(box), box, rng), box[0] * box[1], range((box[0] * box[1]) ** 2)
    alone = {name: meeting(box, **{"rows": False, "columns": False, "boxes": None, **{name: value}})
             for name, value in (("rows", True), ("columns", True), ("boxes", by_pair))}  # fmt: skip
    meet = lambda a, b: {name for name in alone if alone[name](a, b)}
    a, b = rng.choice([(a, b) for a in everything for b in range(a) if meet(a, b) == {kind}])
    grid = [0 if c not in (a, b) and (rng.random() < 0.4 or (digit == grid[a] and meet(c, b))) else digit
            for c, digit in enumerate(grid)]  # fmt: skip
    grid[b] = grid[a]
    where = " and ".join(f"row {cell // side + 1} column {cell % side + 1}" for cell in (b, a))
    label = f"the clashes of a grid of {named(box)} with two {grid[a]}s, in {where}"
    return Case(label, grid, box, hint=f"The two share a {kind.rstrip('s').removesuffix('e')}, so both clash")


def clash_cases(generator):
    rng = chance(generator)
    nine, twice = image_of(pattern(NINE), NINE, rng), [0] * 36
    a, b = rng.choice([(a, b) for a in range(81) for b in range(a) if nine[a] != nine[b]])
    nine[a], nine[b] = nine[b], nine[a]
    twice[0] = twice[4] = twice[24] = rng.randint(1, 2)
    twice[13] = twice[35] = rng.randint(3, 4)  # these two share neither a band nor a stack
    twice[28] = rng.randint(5, 6)
    return [
        Case("the clashes of an empty 6x6 grid", [0] * 36, SIX),
        *(Case(f"the clashes of a solved grid of {named(box)}", image_of(pattern(box), box, rng), box,
               hint="It breaks no rule") for box in (SIX, NINE, TALL)),
        clashing_pair("rows", SIX, rng), clashing_pair("columns", NINE, rng), clashing_pair("boxes", SIX, rng),
        clashing_pair("boxes", TALL, rng),
        Case("the clashes of a digit that stands in row 1 twice and in column 1 twice, among three others", twice, SIX),
        Case("the clashes of a solved 9x9 grid in which two cells were exchanged", nine, NINE),
    ]  # fmt: skip


def clashing_if(meet, side=lambda rows, columns: rows * columns):
    """Cells whose digit stands in another cell that they ``meet``, by (row, column) of both and the box."""

    def answer(grid, box):
        place = [divmod(cell, side(*box)) for cell in range(len(grid))]
        others = lambda a: (b for b in range(len(grid)) if b != a and grid[b] == grid[a])
        return [a for a, digit in enumerate(grid) if digit and any(meet(place[a], place[b], box) for b in others(a))]

    return answer


def clashing_by_units(grid, box):
    """Right: a set, from the package's list of units."""
    digits = [(cells, [grid[cell] for cell in cells]) for _, cells in units(box)]
    return {cell for cells, held in digits for cell in cells if grid[cell] and held.count(grid[cell]) > 1}


def clashing_by_tensor(grid, box):
    """Right: who sees whom, and who holds the same digit."""
    digits = torch.tensor(grid)
    sees = package_masks(box)[:3].any(0) & ~torch.eye(len(grid), dtype=torch.bool)
    return (sees & (digits[:, None] == digits) & (digits > 0)).any(1).nonzero()[:, 0]


def each_time(grid, box):
    return [cell for _, _, cells in clashes(grid, box) for cell in cells]


clashed = clashing()
clashing_cells = Exercise(
    "07.3", "which cells clash?", lambda grid, box: sorted({*each_time(grid, box)}), clash_cases, form=sorted,
    seen="Full, no clash, givens kept: that is all there is to check, and it needs no solution.",
    styles=[clashed, clashing_by_units, clashing_by_tensor, after(clashing_by_tensor, torch.Tensor.numpy),
            after(clashed, lambda found: found[::-1])],
    mistakes=[
        Mistake("empty cells hold no digit and cannot clash", clashing(zeros=True)),
        Mistake("two cells of one box clash, too", clashing(boxes=None)),
        Mistake("two cells of one row clash, too", clashing(rows=False)),
        Mistake("two cells of one column clash, too", clashing(columns=False)),
        *(Mistake(said, *(clashing(boxes=boxes) for boxes in wrong)) for said, wrong in WRONG_BOXES.items()),
        Mistake("both cells clash, not only the later one", clashing(seen=lambda a, b: b < a)),
        Mistake("both cells clash, not only the first", clashing(seen=lambda a, b: b > a)),
        Mistake("a cell does not clash with itself: compare it with the others", clashing(seen=lambda a, b: True)),
        Mistake("the same digit may stand elsewhere: only in one row, column or box is it a clash",
                lambda grid, box: [cell for cell, digit in enumerate(grid) if digit and grid.count(digit) > 1]),
        Mistake("compare rows with rows and columns with columns", clashing_if(lambda a, b, box: {*a} & {*b}),
                clashing_if(lambda a, b, box: {*a} & {*b} or by_pair(*a, box) == by_pair(*b, box))),
        Mistake("a box is both, the same band and the same stack, not one of them",
                clashing_if(lambda a, b, box: a[0] // box[0] == b[0] // box[0] or a[1] // box[1] == b[1] // box[1])),
        Mistake("nothing clashes here: to share a row, a column or a box is enough, not all three",
                lambda grid, box: []),
        Mistake("the side follows from the box: box[0] * box[1]", *(clashing_if(
                    lambda a, b, box: a[0] == b[0] or a[1] == b[1] or by_pair(*a, box) == by_pair(*b, box), side)
                for side in (lambda *_: 6, lambda *_: 9, lambda rows, _: rows**2, lambda _, columns: columns**2))),
        Mistake("equal digits clash wherever they stand in a row, column or box, not only side by side",
                clashing_if(lambda a, b, box: abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1),
                lambda grid, box: [a for a, digit in enumerate(grid) if digit and any(
                    0 <= a + by < len(grid) and grid[a + by] == digit
                    for by in (1, -1, box[0] * box[1], -box[0] * box[1]))]),
        Mistake("go on after the first clash", after(clashed, lambda found: found[:2]),
                after(each_time, lambda found: found[:2]), after(clashed, lambda found: found[:1])),
        Mistake("each cell once, even if it breaks several rules", each_time, after(clashed, lambda found: found * 2),
                lambda grid, box: [a for a in clashed(grid, box) for b in range(len(grid))
                                   if b != a and grid[a] == grid[b] and meeting(box)(a, b)]),
        Mistake("this says whether any cell clashes; return the list of those that do", after(clashed, bool),
                after(clashed, lambda found: not found)),
        Mistake("this says how many cells clash; return the list of them", after(clashed, len)),
        Mistake("this is a True or False for each cell; return the numbers of those that clash",
                lambda grid, box: [cell in clashed(grid, box) for cell in range(len(grid))],
                lambda grid, box: [int(cell in clashed(grid, box)) for cell in range(len(grid))]),
        Mistake("these are rows and columns; a cell is one number, row * side + column",
                *(lambda grid, box, pair=pair: [pair(divmod(cell, box[0] * box[1])) for cell in clashed(grid, box)]
                  for pair in (tuple, list))),
        Mistake("cells are counted from 0", after(clashed, lambda found: [cell + 1 for cell in found])),
        Mistake("these are the digits that clash; return the cells that hold them",
                lambda grid, box: [grid[cell] for cell in clashed(grid, box)],
                lambda grid, box: [*{grid[cell] for cell in clashed(grid, box)}]),
        Mistake("this is the opposite: cells that do not clash",
                lambda grid, box: [cell for cell in range(len(grid)) if cell not in clashed(grid, box)]),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.4 the same puzzle in other clothes


def augment_cases(generator):
    """Three small grids, and one so large that no shuffle leaves a thing where it was by chance. Row r of it has r + 1
    givens and column c has side - c: the numbers of givens tell where each line came from."""
    rng, cases = chance(generator), []
    for box in (SIX, TALL, NINE, (8, 8)):
        side = box[0] * box[1]
        solution = torch.tensor(image_of(pattern(box), box, rng)).view(side, side)
        shown = torch.ones(side, side).tril() if side > 9 else torch.rand(side, side, generator=generator) < 0.4
        cases.append(Case(f"an image of a puzzle of {named(box)}", solution * shown.long(), solution, box,
                          rng.randrange(2**32)))  # fmt: skip
    return cases


def with_three_rngs(answer, puzzle, solution, box, seed):
    """What ``answer`` returns, but a sentence if not `rng`, and it alone, decides about that."""
    others = [(puzzle.clone(), solution.clone(), box, random.Random(seed + more)) for more in (0, 1)]
    images = tidy(answer(puzzle, solution, box, random.Random(seed)))
    if type(images) not in (list, tuple, torch.Tensor):
        return images
    again, other = (tidy(answer(*arguments)) for arguments in others)
    return images if same(images, again) and not same(images, other) else "an image that is not drawn from rng alone"


KEEP_ZERO = "0 means empty and must stay 0, and digits from 1 to side get names from 1 to side"
WHOLE_LINES = "a row or column holds a digit twice: whole rows and columns move, and each digit has a name of its own"
IN_GROUPS = (
    "a box holds a digit twice: rows change places within their band of box[0], columns within their stack of box[1]"
)
TOGETHER = "puzzle and solution no longer belong together: draw the symmetry once, and do the same to both"
IN_ORDER = "the order is the puzzle's image, then the solution's"
MOVED_ON = "all {} only move on by one number, in a circle: shuffle them"
ALIKE = "rows and columns have one and the same order: draw one for each"
NO_NAMES = "most digits keep their names, if not all: draw a random renaming of all"
LINES = (("row", "band"), ("column", "stack"))
STAY = {line: f"the {line}s stay where they were: shuffle them, too" for line, _ in LINES}
NO_GROUPS = {line: f"{line}s change places within their {group}, but the {group}s never do: shuffle them, too"
             for line, group in LINES}  # fmt: skip
NO_LINES = {line: f"whole {group}s change places, but no {line}s within a {group} do: shuffle them, too"
            for line, group in LINES}  # fmt: skip
SOME_LINES = {line: f"in some {group}s no {line}s change places: shuffle each {group}" for line, group in LINES}
ONE_ORDER = {line: f"all {group}s have their {line}s in the same order: shuffle each {group} by itself"
             for line, group in LINES}  # fmt: skip


def wrong_image(images, puzzle, solution, box, seed):
    """Why ``images`` are no puzzle like the first with its solution, if so."""
    (image, answer), side, (high, wide) = images, len(puzzle), box
    if image.min() > 0 and (answer == 0).sum() == (puzzle == 0).sum():
        return IN_ORDER
    if answer.min() < 1 or answer.max() > side or (image > 0).sum() != (puzzle > 0).sum():
        return KEEP_ZERO
    boxes = answer.reshape(wide, high, high, wide).transpose(1, 2).reshape(side, side)
    holds = [bool((part.sort(1).values == torch.arange(1, side + 1)).all()) for part in (answer, answer.T, boxes)]
    if not all(holds):
        return IN_GROUPS if holds[0] and holds[1] else WHOLE_LINES
    if (image != answer)[image > 0].any():
        return TOGETHER
    return not_shuffled(image, answer, solution, box) if side > 9 else None


def not_shuffled(image, answer, solution, box):
    """What a good image of the large puzzle has not shuffled, if anything."""
    rows, columns = (image > 0).sum(1) - 1, len(image) - (image > 0).sum(0)
    for (line, _), order, size in zip(LINES, (rows, columns), box, strict=True):
        groups, still = order.view(-1, size), torch.arange(size)
        within, kept = groups % size, (groups % size == still).all(1).sum()
        if (order == torch.arange(len(order))).all():
            return STAY[line]
        if (groups[:, 0] // size == still).all():
            return NO_GROUPS[line]
        if kept > 1:  # of 64 lines in groups of 8: more than one by chance once in a hundred million times
            return NO_LINES[line] if kept == size else SOME_LINES[line]
        if (within == within[0]).all():
            return ONE_ORDER[line]
    if (rows == columns).all():
        return ALIKE
    moved_on = lambda order: (order.diff() % len(order) == 1).all()
    if moved_on(rows[:: box[0]] // box[0]) and moved_on(columns[:: box[1]] // box[1]):
        return MOVED_ON.format("bands and stacks")
    if 0 < (names := (answer - solution[rows][:, columns]) % len(answer)).min() == names.max():
        return MOVED_ON.format("digits")
    return NO_NAMES if (solution[rows][:, columns] == answer).float().mean() > 0.5 else None


def line_order(side, size, rng, groups=True, lines=True, alike=False, some=False):
    blocks = [list(range(first, first + size)) for first in range(0, side, size)]
    if groups:
        rng.shuffle(blocks)
    inner = [rng.sample(range(size), size)] * side if alike else [rng.sample(range(size), size) for _ in blocks]
    inner[1:] = inner[1:] if lines and not some else [range(size)] * len(inner[1:])
    inner[0] = inner[0] if lines else range(size)
    return [block[i] for block, order in zip(blocks, inner, strict=False) for i in order]


def dressing(rename=True, first=1, twice=False, sizes=lambda box: box, one=False, rows=None, columns=None):
    """Right as it stands, and wrong in each of its options."""

    def draw(side, box, rng):
        order = line_order(side, sizes(box)[0], rng, **(rows or {}))
        names = [*range(first), *rng.sample(range(first, side + 1), side + 1 - first)]
        other = order if one else line_order(side, sizes(box)[1], rng, **(columns or {}))
        return order, other, torch.tensor(names if rename else range(side + 1))

    def answer(puzzle, solution, box, rng):
        drawn = [draw(len(puzzle), box, rng)]
        drawn.append(draw(len(puzzle), box, rng) if twice else drawn[0])
        return tuple(names[grid[rows][:, columns]]
                     for grid, (rows, columns, names) in zip((puzzle, solution), drawn, strict=True))  # fmt: skip

    return answer


def moved_on(images, by):
    return [torch.where(image > 0, (image - 1 + by) % len(image) + 1, 0) for image in images]


def image_by_swaps(puzzle, solution, box, rng):
    """Right: many exchanges of two lines of a group, two groups, two digits."""
    grids, side = torch.stack([puzzle, solution]), len(puzzle)
    for dim, size in ((1, box[0]), (2, box[1])):
        lines = torch.arange(side).view(-1, size)
        for _ in range(10 * side):
            a, b, group, other = (rng.randrange(most) for most in (size, size, side // size, side // size))
            lines[group, [a, b]] = lines[group, [b, a]]
            lines[[group, other]] = lines[[other, group]]
        grids = grids.index_select(dim, lines.flatten())
    return torch.tensor([0, *rng.sample(range(1, side + 1), side)])[grids]


def image_by_package(puzzle, solution, box, rng):
    symmetry = random_symmetry(box, rng)
    both = torch.stack([puzzle, solution]).numpy()
    images = apply_symmetry(both.reshape(2, -1), *symmetry).reshape(both.shape)
    return torch.from_numpy(images[0]), torch.from_numpy(images[1])


dressed = dressing()
augment = Exercise(
    "07.4", "the same puzzle in other clothes", image_by_package, augment_cases, ask=with_three_rngs, unique=False,
    seen="Every image is a puzzle as good as the first, with its solution, for free.",
    properties=[wrong_image],
    styles=[dressed, after(dressed, list), after(dressed, lambda pair: [part.float().numpy() for part in pair]),
            image_by_swaps],
    mistakes=[
        Mistake("draw everything from rng, such as rng.shuffle(rows), and shuffle anew at each call: the same rng "
                "gives the same image, another rng another", lambda puzzle, solution, box, rng: (puzzle, solution),
                *(lambda puzzle, solution, box, rng, own=own: dressed(puzzle, solution, box, own()) for own in
                  (random.Random, partial(random.Random, 0), lambda: random, lambda: random.Random(1)))),
        Mistake(KEEP_ZERO, dressing(first=0)),
        Mistake(IN_GROUPS, dressing(sizes=lambda box: (box[0] * box[1], box[1])), dressing(sizes=lambda box: box[::-1]),
                dressing(sizes=lambda box: (2, 3)), dressing(sizes=lambda box: (3, 3))),
        Mistake(WHOLE_LINES, after(dressed, lambda pair: [part.clamp(max=len(part) - 1) for part in pair])),
        Mistake(TOGETHER, dressing(twice=True), after(dressed, lambda pair: (pair[0], pair[1].flip(0)))),
        Mistake(IN_ORDER, after(dressed, lambda pair: pair[::-1])),
        Mistake(NO_NAMES, dressing(rename=False)),
        Mistake(MOVED_ON.format("digits"), lambda puzzle, solution, box, rng: moved_on(
                    dressing(rename=False)(puzzle, solution, box, rng), rng.randrange(1, len(puzzle)))),
        Mistake(ALIKE, lambda puzzle, solution, box, rng: dressing(one=box[0] == box[1])(puzzle, solution, box, rng)),
        *(Mistake(said[line], dressing(**{f"{line}s": habit})) for line, _ in LINES for said, habit in (
            (STAY, {"groups": False, "lines": False}), (NO_GROUPS, {"groups": False}), (NO_LINES, {"lines": False}),
            (ONE_ORDER, {"alike": True}), (SOME_LINES, {"some": True}))),
        Mistake("return both images, the puzzle's and the solution's", after(dressed, lambda pair: pair[0]),
                after(dressed, lambda pair: pair[1]), after(dressed, lambda pair: pair[:1])),
        Mistake("each image keeps its shape, (side, side)",
                after(dressed, lambda pair: [part.flatten() for part in pair])),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.5 row, column and box masks


def masks_cases(generator):
    more = chance(generator).choice([(2, 4), (4, 2), FOUR, (1, 5), (5, 1), (2, 5), (5, 2), (3, 4), (4, 3)])
    return [Case(f"unit_masks of boxes of {box[0]} by {box[1]}", box) for box in (SIX, TALL, NINE, more)]


def masking(boxes=lambda r, c, b: r // b[0] * b[0] * b[1] + c // b[1], own=True, last=True, fixed=None):
    """Right as it stands, and wrong in each of its options."""

    def answer(box):
        box = fixed or box
        cells = torch.arange((box[0] * box[1]) ** 2)
        row, column = cells // (box[0] * box[1]), cells % (box[0] * box[1])
        keys = boxes(row, column, box)
        keys = keys if type(keys) is tuple else (keys,)
        parts = [row[:, None] == row, column[:, None] == column,
                 torch.stack([key[:, None] == key for key in keys]).all(0)]  # fmt: skip
        parts.append(torch.ones_like(parts[0]) if last else torch.stack(parts).any(0))
        return torch.stack(parts) & (torch.tensor(own) | ~torch.eye(len(cells), dtype=torch.bool))

    return answer


def masks_from_units(box):
    """Right: from the list of units, cell by cell."""
    found = torch.ones(4, *[(box[0] * box[1]) ** 2] * 2, dtype=torch.bool)
    found[:3] = False
    for name, cells in units(box):
        for cell in cells:
            found[("row", "column", "box").index(name.split()[0]), cell, list(cells)] = True
    return found


masks = masking()
unit_masks = Exercise(
    "07.5", "row, column and box masks", package_masks, masks_cases,
    seen="Three heads now know the rules' geometry, not the rules; those are still to be learned.",
    styles=[masks, masking(boxes=by_pair), masks_from_units, after(masks, torch.Tensor.tolist)],
    mistakes=[
        Mistake("a cell sees itself, too: leave the diagonal True", masking(own=False),
                masking(own=[[[False]], [[False]], [[False]], [[True]]])),
        Mistake("True means may look; these are the cells that it may not see", after(masks, torch.logical_not)),
        Mistake("the order is row, column, box, everybody",
                *(after(masks, lambda found, order=order: found[order])
                  for order in ([1, 0, 2, 3], [3, 0, 1, 2], [2, 0, 1, 3], [0, 2, 1, 3]))),
        *(Mistake(said, *(masking(boxes=boxes) for boxes in wrong)) for said, wrong in WRONG_BOXES.items()),
        Mistake("the size of a box is an argument, and so the number of cells",
                masking(fixed=SIX), masking(fixed=NINE)),
        Mistake("the fourth head sees the whole board", masking(last=False),
                after(masks, lambda found: torch.cat([found[:3], ~found[3:]])),
                after(masks, lambda found: torch.cat([found[:3], torch.eye(found.shape[1], dtype=torch.bool)[None]]))),
        Mistake("each head has its own rule alone; yours also see what the heads before them see",
                after(masks, lambda found: found.cumsum(0) > 0)),
        Mistake("the fourth head is missing: the whole board", after(masks, lambda found: found[:3])),
        Mistake("compare with ==: the answer is True and False, a boolean tensor", after(masks, torch.Tensor.float),
                after(masks, torch.Tensor.long)),
        Mistake("stack the four masks into one tensor: torch.stack", after(masks, list),
                after(masks, lambda found: tuple(found))),
        Mistake("there are side * side cells: torch.arange(side * side)", lambda box: masks(box)[
                    :, : box[0] * box[1], : box[0] * box[1]]),
        Mistake("the heads come first: (4, cells, cells)", after(masks, lambda found: found.permute(1, 2, 0)),
                after(masks, lambda found: found.flatten(0, 1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.6 guesses as difficulty

# several solutions and few empty cells: also a search that knows too few of the rules comes to its end soon
GRIDS = (
    (SIX, "6.....35241.1..6.2.6....4.3.6.5.6.34"),
    (FOUR, ".3....3.....3..."),
    (SIX, "..4...2..1.4.41..2.32.41..63.5.1.4.."),
    (TALL, ".1.3.2534.6.4261...5.......6.5.6.514"),
    (NINE, ".2.6748954.759..3185913264....7..5.95.83217646749851..74..5..129.5213476...46.958"),
)


def guess_cases(generator):
    """Each grid with other names for its digits, the small ones also as another image, and one without a guess."""
    rng = chance(generator)
    grids = [(box, parse(text, box)) for box, text in GRIDS]
    names = {side: [0, *rng.sample(range(1, side + 1), side)] for side in (4, 6, 9)}
    renamed = [(box, [names[box[0] * box[1]][digit] for digit in grid]) for box, grid in grids]
    singles = image_of(pattern(SIX), SIX, rng)
    singles[3:9] = [0] * 6
    images = [(box, image_of(grid, box, rng)) for box, grid in grids if box in (FOUR, TALL)]
    return [Case(f"the guesses for {show(grid) if len(grid) < 81 else 'a grid'} of {named(box)}", grid, box)
            for box, grid in [*renamed, *images, (SIX, singles)]]  # fmt: skip


def searching(
    boxes=by_pair,
    rows=True,
    columns=True,
    choose=None,
    count=lambda number: int(number > 1),
    habit="",
    tried=lambda digits: digits,
    last=0,
    put=lambda grid, at, digit: [*grid[:at], digit, *grid[at + 1 :]],
):
    """Right as it stands, and wrong in each of its options."""

    def answer(grid, box):
        meet, cells, ends = meeting(box, rows, columns, boxes), range(len(grid)), []
        peers = [[b for b in cells if meet(a, b)] for a in cells]
        fewest = lambda options: min(options, key=lambda cell: len(options[cell]))

        def search(grid):
            if len(ends) >= {"first": 1, "second": 2}.get(habit, math.inf):
                return 0
            taken = {cell: {grid[other] for other in peers[cell]} for cell in cells if not grid[cell]}
            options = {
                cell: [d for d in range(1, box[0] * box[1] + 1 - last) if d not in taken[cell]] for cell in taken
            }
            if not options:
                ends.append(grid)
                return 0
            cell = (choose or fewest)(options)
            deeper = [search(put(grid, cell, digit)) for digit in tried(options[cell])]
            below = max(deeper, default=0) if habit == "deepest" else sum(deeper)
            return below + count(len(options[cell]))

        guesses = search(list(grid))
        return len(ends) if habit == "ends" else guesses

    return answer


def guesses_with_a_stack(grid, box):
    """Right: no recursion, and singles are filled before anything is guessed."""
    stack, count, meet = [list(grid)], 0, meeting(box)
    free = lambda grid, cell: {*range(1, box[0] * box[1] + 1)} - {d for b, d in enumerate(grid) if meet(cell, b)}
    while stack:
        grid = stack.pop()
        while True:
            options = {cell: free(grid, cell) for cell, digit in enumerate(grid) if not digit}
            least = min(options, key=lambda cell: len(options[cell]), default=None)
            if least is None or len(options[least]) != 1:
                break
            grid[least] = options[least].pop()
        if options and options[least]:
            count += 1
            stack += [[*grid[:least], digit, *grid[least + 1 :]] for digit in options[least]]
    return torch.tensor(count)


every_guess = searching()
HABITS = {
    "go on after the first solution: the search ends when it is sure that there is no other": [
        searching(habit="first")],
    "a cell with several candidates is one guess, however many it has": [
        searching(count=lambda number: number if number > 1 else 0),
        searching(count=lambda number: max(number - 1, 0))],
    "a cell with one candidate is no guess, only a single": [searching(count=lambda number: int(number > 0)),
                                                               searching(count=lambda number: 1)],
    "try every candidate, and each on a grid of its own: go on with a copy, or take the digit back": [
        searching(put=lambda grid, at, digit: grid.__setitem__(at, digit) or grid),
        searching(tried=lambda digits: digits[:1]), searching(tried=lambda digits: digits[-1:])],
    "the largest digit is the side: range(1, side + 1)": [searching(last=1)],
    "this says whether there is a guess; count them": [
        lambda grid, box: int(every_guess(grid, box) > 0), lambda grid, box: every_guess(grid, box) > 0],
    "a cell without candidates is a dead end, no guess": [searching(count=lambda number: int(number != 1))],
    "guess at a cell with the fewest candidates, not at the first empty one": [searching(choose=min)],
    "guess at a cell with the fewest candidates, not the most": [
        searching(choose=lambda options: max(options, key=lambda cell: len(options[cell])))],
    "of several cells with the fewest candidates take the first": [
        searching(choose=lambda options: min(options, key=lambda cell: (len(options[cell]), -cell)))],
    "not all branches are counted: go on after each solution, and add up the guesses of all branches": [
        searching(habit="deepest"), searching(habit="second")],
    "this is the number of solutions; count the guesses": [searching(habit="ends")],
    "this counts every cell that the search fills; a guess is a cell with several candidates": [
        searching(count=lambda number: number)],
    "this counts calls of the search; a guess is a cell with several candidates": [
        lambda grid, box: searching(count=lambda number: 1)(grid, box) + searching(habit="ends")(grid, box)],
    "what stands in the box of a cell is no candidate either": [searching(boxes=None)],
    "what stands in the row of a cell is no candidate either": [searching(rows=False)],
    "what stands in the column of a cell is no candidate either": [searching(columns=False)],
}  # fmt: skip
count_guesses = Exercise(
    "07.6", "guesses as difficulty", lambda grid, box: solve(grid, box, limit=10**9, hidden=False)[1], guess_cases,
    elsewhere=False, seen="A number for how hard a puzzle is that knows nothing about any model.",
    styles=[every_guess, guesses_with_a_stack, after(every_guess, float)],
    mistakes=[
        *(Mistake(said, *functions) for said, functions in HABITS.items()),
        *(Mistake(said, searching(boxes=wrong[0])) for said, wrong in WRONG_BOXES.items()),
        Mistake("return the number of guesses alone, one whole number", lambda grid, box: (every_guess(grid, box), []),
                lambda grid, box: ([], every_guess(grid, box)), lambda grid, box: [every_guess(grid, box)]),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 07.7 a share and its interval


def share_cases(generator):
    rng, cases = chance(generator), []
    for count in (50, 20, 400):
        cases.append((rng.randint(count // 10, count // 3 if count == 20 else 9 * count // 10), count))
    return [Case(f"share_with_interval of {right} right of {count}", torch.randperm(count, generator=generator) < right)
            for right, count in [*cases, (50, 50), (0, 30)]]  # fmt: skip


def interval(z=1.96, middle=lambda p, n, zz: (p + zz / (2 * n)) / (1 + zz / n),
             spread=lambda p, n, zz: (p * (1 - p) / n + zz / (4 * n * n)) ** 0.5,
             reach=lambda z, n: z / (1 + z * z / n), size=len, put=lambda p, low, high: (p, low, high)):  # fmt: skip
    """Right as it stands, and wrong in each of its options."""

    def answer(right):
        n, p = size(right), float(right.double().mean())
        centre, half = middle(p, n, z * z), reach(z, n) * spread(p, n, z * z)
        return put(p, centre - half, centre + half)

    return answer


def by_roots(right):
    """Right: the two shares from which the measured one is 1.96 standard errors away, as the roots of a quadratic."""
    n, p, zz = len(right), right.float().mean(), 1.96**2
    roots = np.roots([1 + zz / n, -2 * float(p) - zz / n, float(p) ** 2])
    return [p, np.float64(min(roots).real), np.float64(max(roots).real)]


def from_package(right, z=1.96):
    low, high = wilson(int(right.sum()), len(right), z)
    return float(right.float().mean()), float(low), float(high)


share_alone = {"middle": lambda p, n, zz: p}
no_shift = {"spread": lambda p, n, zz: (p * (1 - p) / n) ** 0.5}
plain = {**share_alone, **no_shift, "reach": lambda z, n: z}
share_with_interval = Exercise(
    "07.7", "a share and its interval", from_package, share_cases,
    seen="Even 50 right of 50 has an interval: the next 50 may not be so kind.",
    styles=[interval(), by_roots, after(interval(), list), after(interval(), torch.tensor)],
    mistakes=[
        Mistake("this is the plain interval p +- 1.96 standard errors, which has no width at 50 of 50; use Wilson's",
                interval(**plain), interval(**plain, put=lambda p, low, high: (p, max(low, 0.0), min(high, 1.0)))),
        Mistake("n is the number of all puzzles, len(right)", *(interval(size=size) for size in (
                    lambda right: 200, lambda right: 100, lambda right: len(right) - 1,
                    lambda right: max(int(right.sum()), 1)))),
        Mistake("the middle holds z squared: p + z**2 / (2 * n)",
                interval(middle=lambda p, n, zz: (p + zz**0.5 / (2 * n)) / (1 + zz / n))),
        Mistake("below stands 1 + z**2 / n, with z squared",
                interval(middle=lambda p, n, zz: (p + zz / (2 * n)) / (1 + zz**0.5 / n),
                         reach=lambda z, n: z / (1 + z / n))),
        Mistake("this reaches twice as far as it should: the half width is what lies on each side",
                interval(reach=lambda z, n: 2 * z / (1 + z * z / n))),
        Mistake("both terms stand under the root",
                interval(spread=lambda p, n, zz: (p * (1 - p) / n) ** 0.5 + zz / (4 * n * n))),
        Mistake("these are percentages: a share is at most 1",
                lambda right: tuple(100 * part for part in from_package(right))),
        Mistake("the factor z = 1.96 is missing in the half width", interval(reach=lambda z, n: 1 / (1 + z * z / n))),
        Mistake("the half width, too, is divided by 1 + z^2 / n", interval(reach=lambda z, n: z)),
        Mistake("z / 1 + z**2 / n is z plus something: put 1 + z**2 / n in brackets",
                interval(reach=lambda z, n: z / 1 + z * z / n)),
        Mistake("the interval lies around the shifted middle, not around the share itself", interval(**share_alone)),
        Mistake("z**2 / 2 * n is multiplied by n: put 2 * n in brackets",
                interval(middle=lambda p, n, zz: (p + zz / 2 * n) / (1 + zz / n))),
        Mistake("z**2 / 4 * n**2 is multiplied by n**2: put 4 * n**2 in brackets",
                interval(spread=lambda p, n, zz: (p * (1 - p) / n + zz / 4 * n * n) ** 0.5)),
        Mistake("under the root stands z^2 / (4 n^2), with n squared",
                interval(spread=lambda p, n, zz: (p * (1 - p) / n + zz / (4 * n)) ** 0.5)),
        Mistake("p + z**2 / 2n comes first, then all of it is divided by 1 + z**2 / n: put the sum in brackets",
                interval(middle=lambda p, n, zz: p + zz / (2 * n) / (1 + zz / n))),
        Mistake("the middle is divided by 1 + z^2 / n, too", interval(middle=lambda p, n, zz: p + zz / (2 * n))),
        Mistake("z^2 / (4 n^2) is missing under the root", interval(**no_shift),
                interval(spread=lambda p, n, zz: (p * (1 - p) / (n - 1)) ** 0.5)),
        Mistake("take the root of the sum", interval(spread=lambda p, n, zz: p * (1 - p) / n + zz / (4 * n * n))),
        Mistake("the variance of a share is p (1 - p) / n",
                interval(spread=lambda p, n, zz: (p / n + zz / (4 * n * n)) ** 0.5),
                interval(spread=lambda p, n, zz: (p * p / n + zz / (4 * n * n)) ** 0.5),
                interval(spread=lambda p, n, zz: (p * (1 - p) + zz / (4 * n * n)) ** 0.5)),
        Mistake("z is 1.96 for 95%", *(interval(z) for z in (1.645, 2.576, 1.0, 2.0, 1.95, 0.95, 3.8416))),
        Mistake("the order is share, low, high", interval(put=lambda p, low, high: (low, p, high)),
                interval(put=lambda p, low, high: (low, high, p)), interval(put=lambda p, low, high: (p, high, low))),
        Mistake("the share comes first, as it was measured; the middle of the interval is something else",
                interval(put=lambda p, low, high: ((low + high) / 2, low, high))),
        Mistake("the share is missing: return (share, low, high)", interval(put=lambda p, low, high: (low, high))),
        Mistake("the interval is missing: return (share, low, high)", interval(put=lambda p, low, high: p)),
        Mistake("return its two ends, not the middle and the half width",
                interval(put=lambda p, low, high: (p, (low + high) / 2, (high - low) / 2)),
                interval(put=lambda p, low, high: (p, (high - low) / 2))),
        Mistake("these are counts: divide by n",
                lambda right: tuple(len(right) * part for part in from_package(right))),
        Mistake("the share of what is right, not of what is wrong", lambda right: from_package(~right)),
    ],
)  # fmt: skip
