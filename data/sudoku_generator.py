"""Make sudoku puzzles, and tell which are the same up to symmetry: what `build_sudoku.py` is made of."""

import random
from collections.abc import Sequence
from functools import cache
from itertools import permutations, product

import numpy as np

from looped_lite.tasks.sudoku_puzzles import Box, grid_of, place_givens, propagate, put, search, tables


def generate(box: Box, rng: random.Random) -> tuple[list[int], list[int]]:
    """A minimal puzzle and its only solution: a random full grid loses givens, in random order, while it stays unique.

    Removing a given keeps the puzzle unique exactly if no solution has another digit there, so that is what is
    searched. Each given is tried once: one that could not go then cannot go later, when fewer givens are left.
    """
    (full,), _ = search(tables(box)[0], 0, box, limit=1, rng=rng)
    solution = grid_of(full, box)
    cells = len(solution)
    givens = [(digit - 1) * cells + cell for cell, digit in enumerate(solution)]
    order = list(givens)
    rng.shuffle(order)
    for given in order:
        fewer = [other for other in givens if other != given]
        options, placed = put(fewer, box)
        others, _ = search(options & ~(1 << given), placed, box, limit=1)
        if not others:
            givens = fewer
    kept = {given % cells for given in givens}
    return [digit if cell in kept else 0 for cell, digit in enumerate(solution)], solution


def singles_only(grid: Sequence[int], box: Box = (3, 3)) -> bool:
    """True if naked and hidden singles alone fill the grid."""
    _, keeps, constraints = tables(box)
    options, placed = propagate(*place_givens(grid, box), keeps, constraints)
    return bool(options) and options == placed


def _mix(numbers: np.ndarray) -> np.ndarray:
    """A fixed scrambling of 64-bit integers (the finalizer of splitmix64)."""
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return numbers ^ numbers >> np.uint64(31)


def fingerprint(puzzles: np.ndarray, box: Box = (3, 3), rounds: int = 4) -> np.ndarray:
    """A 64-bit number per puzzle (..., side * side) -> (...), the same for all symmetric images of a puzzle.

    Each cell starts with a colour, given or empty; in each round its new colour is a hash of its old one and of the
    sums of colours over its row, its column, its box and the cells with the same digit. The fingerprint is the sum of
    all colours. Nothing in it depends on the order of rows, columns, or digits, so equivalent puzzles must agree;
    others differ, but for rare accidents that `same_up_to_symmetry` settles.
    """
    side, puzzles = box[0] * box[1], np.asarray(puzzles)
    cell = np.arange(side * side)
    row, column = cell // side, cell % side
    group_of = {"row": row, "column": column, "box": row // box[0] * side + column // box[1]}
    members = {name: (group[:, None] == group[None, :]).astype(np.uint64) for name, group in group_of.items()}
    salts = {"row": 1, "column": 1 if box[0] == box[1] else 2, "box": 3}  # a transpose swaps rows with columns
    colours = (puzzles > 0).astype(np.uint64)
    for _ in range(rounds):
        hashed = _mix(colours + np.uint64(5))
        colours = hashed * np.uint64(3)
        for name, member in members.items():
            colours = colours + _mix(hashed @ member + np.uint64(salts[name]))
        for digit in range(1, side + 1):
            alike = puzzles == digit
            total = (hashed * alike).sum(-1, keepdims=True, dtype=np.uint64)
            colours = colours + alike * _mix(total + np.uint64(4))
    return _mix(colours).sum(-1, dtype=np.uint64)


@cache
def _line_orders(side: int, size: int) -> np.ndarray:
    """All orders of rows (or columns) that keep groups of `size` together: (1296, 9) for side 9 and size 3."""
    groups = [range(first, first + size) for first in range(0, side, size)]
    orders = [
        [line for group in chosen for line in group]
        for order in permutations(groups)
        for chosen in product(*(permutations(group) for group in order))
    ]
    return np.array(orders)


def same_up_to_symmetry(a: Sequence[int], b: Sequence[int], box: Box = (3, 3)) -> bool:
    """Exact test: True if some symmetry turns puzzle a into puzzle b.

    Tries every order of columns that gives b's count of givens per column, with every order of rows that then gives
    b's pattern of givens, and looks whether the digits translate one to one.
    """
    side = box[0] * box[1]
    target = np.asarray(b).reshape(side, side)
    weights = 1 << np.arange(side)
    wanted_counts, wanted_patterns = (target > 0).sum(0), (target > 0) @ weights
    row_orders, column_orders = _line_orders(side, box[0]), _line_orders(side, box[1])
    grid = np.asarray(a).reshape(side, side)
    for source in (grid, grid.T) if box[0] == box[1] else (grid,):
        counts = (source > 0).sum(0)
        for columns in column_orders[(counts[column_orders] == wanted_counts).all(1)]:
            patterns = (source > 0)[:, columns] @ weights
            for rows in row_orders[(patterns[row_orders] == wanted_patterns).all(1)]:
                pairs = set(zip(source[rows][:, columns].ravel().tolist(), target.ravel().tolist(), strict=True))
                if len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs}):
                    return True
    return False
