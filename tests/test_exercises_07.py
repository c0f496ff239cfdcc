"""Lesson 07's checks: wrong answers are rejected with a word about why, right ones are accepted however they are written."""

import random

import numpy as np
import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite.exercises import lesson_07 as ex
from looped_lite.tasks.sudoku import one_hot
from looped_lite.tasks.sudoku_puzzles import units

EXERCISES = exercises_of(ex)


def encode_in_a_loop(text, side):
    table = torch.zeros(side * side, side + 1)
    for cell, character in enumerate(text):
        table[cell, 0 if character == "." else int(character)] = 1
    return table


def encode_by_eye(text, side, dtype=torch.float32, empty=".0"):
    return torch.eye(side + 1, dtype=dtype)[[0 if c in empty else int(c) for c in text]]


def without_channel_for_empty(text, side):
    table = encode_by_eye(text, side)
    table[:, 0] = 0
    return table


def fill(text, logits, keep=True, plus=1, pick=torch.argmax, empty=".0", join=True):
    answer = [c if keep and c not in empty else str(int(pick(row)) + plus) for c, row in zip(text, logits, strict=True)]
    return "".join(answer) if join else answer


def fill_by_tensor(text, logits):
    digits = torch.tensor([int(c) if c.isdigit() else 0 for c in text])
    return "".join(str(d) for d in torch.where(digits > 0, digits, logits.argmax(1) + 1).tolist())


def clash(grid, box, kinds=("row", "column", "box"), zeros=False, later=False, high=None, wide=None):
    side, high, wide = box[0] * box[1], high or box[0], wide or box[1]
    unit = {
        "row": lambda c: c // side,
        "column": lambda c: c % side,
        "box": lambda c: (c // side // high, c % side // wide),
    }
    found = []
    for cell, digit in enumerate(grid):
        others = range(cell) if later else [other for other in range(side * side) if other != cell]
        if (digit or zeros) and any(
            grid[other] == digit and any(unit[kind](cell) == unit[kind](other) for kind in kinds) for other in others
        ):
            found.append(cell)
    return found


def clash_by_units(grid, box):
    """Right, written differently: a set, from the package's list of units."""
    found = set()
    for _, cells in units(box):
        digits = [grid[cell] for cell in cells]
        found |= {cell for cell in cells if grid[cell] and digits.count(grid[cell]) > 1}
    return found


def clash_by_tensor(grid, box):
    """Right, written differently: who sees whom, and who holds the same digit."""
    digits = torch.tensor(grid)
    sees = ex.unit_masks.reference(box)[:3].any(0) & ~torch.eye(len(grid), dtype=torch.bool)
    return (sees & (digits[:, None] == digits[None]) & (digits > 0)).any(1)


def line_order(side, size, rng, groups=True, within=True):
    blocks = [list(range(first, first + size)) for first in range(0, side, size)]
    if groups:
        rng.shuffle(blocks)
    for block in blocks:
        if within:
            rng.shuffle(block)
    return [line for block in blocks for line in block]


def image(
    puzzle, solution, box, rng, rename=True, zero=False, high=None, wide=None, twice=False, rows=None, columns=None
):
    side, both = box[0] * box[1], []
    for grid in (puzzle, solution):
        if not both or twice:
            row_order = line_order(side, high or box[0], rng, **(rows or {}))
            column_order = line_order(side, wide or box[1], rng, **(columns or {}))
            names = list(range(0 if zero else 1, side + 1))
            if rename:
                rng.shuffle(names)
            names = torch.tensor(names if zero else [0, *names])
        both.append(names[grid[row_order][:, column_order]])
    return tuple(both)


def image_in_numpy(puzzle, solution, box, rng):
    """Right, written differently: NumPy, and a list of two."""
    side = box[0] * box[1]
    rows, columns = line_order(side, box[0], rng), line_order(side, box[1], rng)
    names = np.array([0, *rng.sample(range(1, side + 1), side)])
    return [names[grid.numpy()[np.ix_(rows, columns)]] for grid in (puzzle, solution)]


def image_by_swaps(puzzle, solution, box, rng):
    """Right, written differently: many swaps of two rows of a band, two bands, two columns of a stack, two stacks, two digits."""
    grids = torch.stack([puzzle, solution])
    for dim, size in ((1, box[0]), (2, box[1])):
        side = box[0] * box[1]
        for _ in range(60):
            order = list(range(side))
            first = size * rng.randrange(side // size)
            if rng.random() < 0.5:
                a, b = rng.randrange(size), rng.randrange(size)
                order[first + a], order[first + b] = order[first + b], order[first + a]
            else:
                other = size * rng.randrange(side // size)
                order[first : first + size], order[other : other + size] = (
                    order[other : other + size],
                    order[first : first + size],
                )
            grids = grids.index_select(dim, torch.tensor(order))
    names = list(range(1, box[0] * box[1] + 1))
    rng.shuffle(names)
    return tuple(torch.tensor([0, *names])[grids])


def image_in_place(puzzle, solution, box, rng):
    puzzle[:], solution[:] = image(puzzle, solution, box, rng)
    return puzzle, solution


def masks(box, self_too=True, order=(0, 1, 2, 3), high=None, last=True, dtype=torch.bool):
    side = box[0] * box[1]
    high = high or box[0]
    cell = torch.arange(side * side)
    row, column = cell // side, cell % side
    square = row // high * high + column // (side // high)
    parts = [key[:, None] == key for key in (row, column, square)]
    parts.append(torch.ones_like(parts[0]) if last else parts[0] | parts[1] | parts[2])
    if not self_too:
        parts = [part & ~torch.eye(len(cell), dtype=torch.bool) for part in parts]
    return torch.stack(parts)[list(order)].to(dtype)


def masks_in_loops(box):
    """Right, written differently: from the list of units, cell by cell, as a list of tensors."""
    cells = (box[0] * box[1]) ** 2
    parts = [torch.zeros(cells, cells, dtype=torch.bool) for _ in range(3)]
    for name, members in units(box):
        for a in members:
            for b in members:
                parts[("row", "column", "box").index(name.split()[0])][a, b] = True
    return [*parts, torch.ones(cells, cells, dtype=torch.bool)]


def candidates(grid, cell, box):
    seen = {grid[other] for _, cells in units(box) if cell in cells for other in cells}
    return [digit for digit in range(1, box[0] * box[1] + 1) if digit not in seen]


def guesses(grid, box, habit=""):
    found = []

    def search(grid):
        if habit == "first" and found:
            return 0
        options = {cell: candidates(grid, cell, box) for cell, digit in enumerate(grid) if not digit}
        if not options:
            found.append(grid)
            return 0
        cell = min(options, key=lambda c: len(options[c])) if habit != "in order" else min(options)
        number = len(options[cell])
        here = {"branches": number * (number > 1), "singles": 1}.get(habit, int(number > 1))
        return here + sum(search([*grid[:cell], digit, *grid[cell + 1 :]]) for digit in options[cell])

    return search(list(grid))


def guesses_with_a_stack(grid, box):
    """Right, written differently: no recursion, and singles are filled before anything is guessed."""
    stack, count = [list(grid)], 0
    while stack:
        grid = stack.pop()
        while True:
            options = {cell: candidates(grid, cell, box) for cell, digit in enumerate(grid) if not digit}
            single = next((cell for cell in options if len(options[cell]) == 1), None)
            if single is None or not all(options.values()):
                break
            grid[single] = options[single][0]
        if options and all(options.values()):
            count += 1
            cell = min(options, key=lambda c: len(options[c]))
            stack += [[*grid[:cell], digit, *grid[cell + 1 :]] for digit in options[cell]]
    return torch.tensor(count)


def guesses_in_place(grid, box):
    answer = guesses(grid, box)
    grid[:] = [1] * len(grid)
    return answer


def interval(right, kind="wilson", z=1.96):
    n, p = len(right), float(right.double().mean())
    if kind == "plain":
        half = z * (p * (1 - p) / n) ** 0.5
        return p, p - half, p + half
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    spread = (p * (1 - p) / n + z**2 / (4 * n * n)) ** 0.5
    half = {"no z": spread / (1 + z**2 / n), "undivided": z * spread}.get(kind, z * spread / (1 + z**2 / n))
    return p, middle - half, middle + half


def interval_by_roots(right):
    """Right, written differently: the two shares from which the measured one is 1.96 standard errors away, solved as a quadratic."""
    n, p, z = len(right), right.float().mean(), 1.96
    roots = np.roots([1 + z * z / n, -2 * float(p) - z * z / n, float(p) ** 2])
    return [p, np.float64(min(roots).real), np.float64(max(roots).real)]


RIGHT = {
    "07.1": [encode_in_a_loop, encode_by_eye, lambda text, side: encode_by_eye(text, side, torch.float64)],
    "07.2": [fill, fill_by_tensor],
    "07.3": [clash, clash_by_units, clash_by_tensor, lambda grid, box: torch.tensor(clash(grid, box))],
    "07.4": [image, image_in_numpy, image_by_swaps],
    "07.5": [masks, masks_in_loops],
    "07.6": [guesses, guesses_with_a_stack],
    "07.7": [interval, interval_by_roots],
}

WRONG = {
    "07.1": [
        (without_channel_for_empty, "channel of its own"),
        (lambda text, side: encode_by_eye(text, side)[:, 1:], "channel of its own"),
        (lambda text, side: encode_by_eye(text, side).roll(-1, 1), "digit d has channel d"),
        (lambda text, side: encode_by_eye(text, side).T, "each cell is a row"),
        (lambda text, side: encode_by_eye(text, side)[None], "batch of one"),
        (lambda text, side: encode_by_eye(text, side, torch.long), "floating point"),
        (lambda text, side: one_hot(torch.tensor([int(c) for c in text]), side), "invalid literal"),
    ],
    "07.2": [
        (lambda text, logits: fill(text, logits, keep=False), "keep it"),
        (lambda text, logits: fill(text, logits, plus=0), "add 1"),
        (lambda text, logits: fill(text, logits, empty="."), "like a dot"),
        (lambda text, logits: fill(text, logits, pick=torch.argmin), "argmax"),
        (lambda text, logits: fill(text, logits, join=False), "join"),
        (lambda text, logits: "".join(str(row.argmax() + 1) for row in logits), "make it a number with int"),
        (lambda text, logits: fill(text, logits, empty=".", plus=0), "row 1, column 3 holds '.' and its likeliest"),
        (lambda text, logits: fill(text, logits)[:-1], "one character a cell, 16, got 15"),
        (lambda text, logits: None, "is there a return"),
    ],
    "07.3": [
        (lambda grid, box: clash(grid, box, zeros=True), "empty cells"),
        (lambda grid, box: clash(grid, box, later=True), "not only the later"),
        (lambda grid, box: clash(grid, box, ("row", "column")), "boxes count"),
        (lambda grid, box: clash(grid, box, ("row", "box")), "one column clash"),
        (lambda grid, box: clash(grid, box, high=box[1], wide=box[0]), "2 by 3"),
        (lambda grid, box: bool(clash(grid, box)), "expected a list"),
        (lambda grid, box: clash(grid, box) * 2, "each cell once"),
        (lambda grid, box: [(cell // 6, cell % 6) for cell in clash(grid, box)], "cell numbers"),
    ],
    "07.4": [
        (lambda *a: image(*a, twice=True), "draw the symmetry once"),
        (lambda *a: image(*a, zero=True), None),
        (lambda *a: image(*a, rename=False), "never change their names"),
        (lambda *a: image(*a, high=6), "a box holds a digit twice"),
        (lambda *a: image(*a, high=3, wide=2), "a box holds a digit twice"),
        (lambda *a: image(*a, rows={"groups": False}), "shuffle the bands"),
        (lambda *a: image(*a, columns={"within": False}), "no columns within a stack"),
        (lambda *a: image(*a, columns={"within": False, "groups": False}), "shuffle the columns"),
        (lambda p, s, box, rng: image(p, s, box, random.Random()), "draw everything from rng"),
        (lambda p, s, box, rng: image(p, s, box, rng)[0], "expected two tensors"),
        (lambda p, s, box, rng: [part.flatten() for part in image(p, s, box, rng)], "keep its shape"),
        (lambda p, s, box, rng: [part.float() for part in image(p, s, box, rng)], "whole numbers"),
        (image_in_place, "changed in place"),
    ],
    "07.5": [
        (lambda box: masks(box, self_too=False), "diagonal"),
        (lambda box: ~masks(box), "True means may look"),
        (lambda box: masks(box, order=(1, 0, 2, 3)), "swapped"),
        (lambda box: masks(box, high=box[1]), "yours are 3 by 2"),
        (lambda box: masks(box, last=False), "whole board"),
        (lambda box: masks(box)[:3], "is missing"),
        (lambda box: masks(box, dtype=torch.float32), "boolean"),
        (lambda box: masks((2, 3)), "9x9"),
    ],
    "07.6": [
        (lambda grid, box: guesses(grid, box, "first"), "no other"),
        (lambda grid, box: guesses(grid, box, "branches"), "however many"),
        (lambda grid, box: guesses(grid, box, "singles"), "only a single"),
        (lambda grid, box: guesses(grid, box, "in order"), "fewest"),
        (lambda grid, box: ([], guesses(grid, box)), "one whole number"),
        (guesses_in_place, "changed in place"),
    ],
    "07.7": [
        (lambda right: interval(right, "plain"), "plain interval"),
        (lambda right: interval(right, "no z"), "is missing in the half width"),
        (lambda right: interval(right, "undivided"), "is divided by"),
        (lambda right: interval(right)[1:], "the share is missing"),
        (lambda right: tuple(len(right) * part for part in interval(right)), "divide by n"),
        (lambda right: (sum(interval(right)[1:]) / 2, *interval(right)[1:]), "as it was measured"),
    ],
}
