"""Which of a person's techniques a 9x9 puzzle needs. Options are (81, 9) bool: may this digit still stand in this
cell?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from looped_lite.tasks.sudoku_puzzles import units

Options = np.ndarray
UNITS = np.array([cells for _, cells in units((3, 3))])  # (27, 9): rows, columns, boxes
PEERS = (UNITS[:, :, None] == np.arange(81)).any(1)  # (27, 81): who lies in which
PEERS = (PEERS.T.astype(int) @ PEERS > 0) & ~np.eye(81, dtype=bool)


def naked_singles(options: Options) -> Options:
    """A cell with one digit left: it goes from the cells that see it."""
    known = options & (options.sum(1, keepdims=True) == 1)
    return options & ~(PEERS.astype(int) @ known > 0)


def hidden_singles(options: Options) -> Options:
    """A digit with one place left in a row, column or box: it stands there."""
    alone = options[UNITS].sum(1) == 1  # (27, 9)
    found = np.zeros_like(options)
    for cells, digits in zip(UNITS, alone, strict=True):
        found[cells] |= options[cells] & digits
    return np.where(found.any(1, keepdims=True), found, options)


def both_ways(one_way: Callable[[Options], Options]) -> Callable[[Options], Options]:
    """A technique for rows, (9, 9, 9) as row, column, digit, used on rows and then on columns."""

    def technique(options: Options) -> Options:
        by_rows = one_way(options.reshape(9, 9, 9).copy())
        return one_way(by_rows.transpose(1, 0, 2).copy()).transpose(1, 0, 2).reshape(81, 9)

    return technique


@both_ways
def pointing(grid: Options) -> Options:
    """A digit whose places in a box all lie in one row: it goes from the rest of that row."""
    lines = grid.reshape(3, 3, 3, 3, 9).any(3)  # band, row of it, stack, digit
    points = lines & (lines.sum(1, keepdims=True) == 1)
    others = (points.sum(2, keepdims=True) - points > 0)[:, :, :, None]
    return grid & ~np.broadcast_to(others, (3, 3, 3, 3, 9)).reshape(9, 9, 9)


@both_ways
def x_wing(grid: Options) -> Options:
    """A digit with two places in each of two rows, in the same columns: it goes from the other rows in these
    columns.
    """
    for digit in range(9):
        places = grid[:, :, digit]  # a view
        pairs = [row for row in range(9) if places[row].sum() == 2]
        for a, b in combinations(pairs, 2):
            if (places[a] == places[b]).all():
                columns, others = places[a].copy(), [row for row in range(9) if row not in (a, b)]
                for row in others:
                    places[row] &= ~columns
    return grid


SINGLES = (naked_singles, hidden_singles)


def falls_to(puzzle: Sequence[int], techniques: Sequence[Callable[[Options], Options]]) -> bool:
    """Do these techniques, again and again, leave one digit in every cell? The puzzle (81,), 0 for empty, has one
    solution.
    """
    options = np.ones((81, 9), bool)
    for cell, digit in enumerate(puzzle):
        if digit:
            options[cell] = np.arange(1, 10) == digit
    left = -1
    while options.sum() != left:
        left = options.sum()
        for technique in techniques:
            options = technique(options)
    return bool((options.sum(1) == 1).all())


def needed(puzzle: Sequence[int]) -> str:
    """The technique that a puzzle needs, in words: the one that must be added to the ones before it, or "more". Of
    pointing and X-wing only one must do: a puzzle that falls to singles with either of them is "either", one that wants
    both "both".
    """
    if falls_to(puzzle, [naked_singles]):
        return "naked singles"
    if falls_to(puzzle, SINGLES):
        return "hidden singles"
    with_pointing, with_wing = (falls_to(puzzle, [*SINGLES, one]) for one in (pointing, x_wing))
    if with_pointing or with_wing:
        return "either" if with_pointing and with_wing else "pointing" if with_pointing else "X-wing"
    return "both" if falls_to(puzzle, [*SINGLES, pointing, x_wing]) else "more"
