"""Sudoku puzzles: text, rules, a fast solver and the symmetries. Pure Python and numpy.

Conventions used everywhere:

- `box` is (rows, columns) of one box: (2, 2) is 4x4 sudoku, (2, 3) is 6x6 and (3, 3) is 9x9; side = rows * columns.
- A grid is flat, row by row: side * side digits, 0 for an empty cell. Cells, rows and columns count from 0 in code,
  from 1 in messages for people.
- A band is a row of boxes, a stack is a column of boxes.

The solver keeps one big integer: bit `digit * cells + cell` says that the digit may still go into the cell. One shift
and one AND then work on all cells and all digits at once, which is what makes pure Python fast enough here.
"""

import random
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..checks import integers, plain_text, short, whole

Box = tuple[int, int]
DIGITS = dict.fromkeys(".0-_*", 0) | {str(digit): digit for digit in range(1, 10)}
BORDERS = re.compile(r"[\s|+=:',\[\]\u2500-\u257f]+")
DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")


# ---------------------------------------------------------------- text and rules


def side_of(box: Box) -> int:
    """Rows of a grid with such boxes. ValueError for what is no box."""
    if not isinstance(box, Sequence) or len(box) != 2:
        raise ValueError(f"box must be rows and columns of one box, such as (3, 3), got {short(box)}")
    return whole("a side of a box", box[0], 1, 5) * whole("a side of a box", box[1], 1, 5)


def lay_out(text: str, side: int) -> list[str]:
    """The rows of a grid as people write it, one string a line, without spaces and borders.

    White space, ``| + = : ' , [ ]`` and box-drawing lines are borders. Empty cells are ``. 0 _ *`` and dashes of any
    length. Lines of nothing but dashes, ``_ * .`` and borders, other than dots alone, are rulers or rows of empty
    cells: rulers, if the other lines hold a whole grid; else each is a row if it has exactly ``side`` marks (or the
    grid's, for a grid on one line) and no ``+``, and a ruler if not.
    """
    lines = plain_text(text).translate(DASHES).splitlines()
    rows = [BORDERS.sub("", line) for line in lines]
    blank = [set(row) <= set("-_*.") and set(row) != {"."} for row in rows]
    whole_grid = sum(len(row) for row, alone in zip(rows, blank, strict=True) if not alone) >= side * side
    return [
        row
        for line, row, alone in zip(lines, rows, blank, strict=True)
        if row and (not alone or (not whole_grid and len(row) in (side, side * side) and "+" not in line))
    ]


def parse(text: str, box: Box = (3, 3)) -> list[int]:
    """A grid such as "53..7....", on one line or several, with or without borders (`lay_out`), or ValueError."""
    side = side_of(box)
    if side > 9:
        raise ValueError(f"a {side}x{side} sudoku cannot be written with one digit a cell: expected at most 9x9")
    rows = lay_out(text, side)
    characters = "".join(rows)
    if len(characters) != side * side:
        message = f"a {side}x{side} sudoku has {side * side} characters, this one has {len(characters)}"
        odd = next((place for place, row in enumerate(rows) if len(row) != side), None) if len(rows) > 1 else None
        raise ValueError(message if odd is None else f"{message}: row {odd + 1} has {len(rows[odd])}")
    grid = [DIGITS.get(character, 10) for character in characters]
    if max(grid) > side:
        place = next(place for place, digit in enumerate(grid) if digit > side)
        where, found = f"row {place // side + 1}, column {place % side + 1}", short(characters[place])
        if grid[place] == 10:
            raise ValueError(f"{where}: {found} is neither a digit nor '.' or '0' for an empty cell")
        raise ValueError(f"{where}: {grid[place]} is too large for a {side}x{side} sudoku (digits 1 to {side})")
    return grid


def digits_of(grid: Any, box: Box) -> list[int]:
    """A sequence, array or tensor as a list of plain ints; ValueError if it has not ``side * side`` digits."""
    side = side_of(box)
    grid = integers("a grid", grid, 0, side, axes=1).tolist()
    if len(grid) != side * side:
        raise ValueError(f"a {side}x{side} grid has {side * side} cells, this one has {len(grid)}")
    return grid


def show(grid: Iterable[int]) -> str:
    """The grid as one line of digits, '.' for empty: the opposite of `parse`."""
    return "".join(str(int(digit)) if digit else "." for digit in grid)


@cache
def units(box: Box) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(name, cells) of every row, column and box: ("row 1", (0, 1, ...)), ..., 3 * side of them."""
    (box_rows, box_cols), side = box, side_of(box)
    every = range(side)
    rows = [(f"row {r + 1}", tuple(r * side + k for k in every)) for r in every]
    columns = [(f"column {c + 1}", tuple(k * side + c for k in every)) for c in every]
    boxes = []
    for b in every:
        top, left = b // box_rows * box_rows, b % box_rows * box_cols
        cells = tuple((top + k // box_cols) * side + left + k % box_cols for k in every)
        boxes.append((f"box {b + 1}", cells))
    return tuple(rows + columns + boxes)


def clashes(grid: Sequence[int], box: Box = (3, 3)) -> list[tuple[str, int, tuple[int, ...]]]:
    """Every broken rule as (unit name, digit, the cells that hold it): empty if the digits so far break no rule."""
    grid, found = digits_of(grid, box), []
    for name, cells in units(box):
        for digit in range(1, box[0] * box[1] + 1):
            holders = tuple(cell for cell in cells if grid[cell] == digit)
            if len(holders) > 1:
                found.append((name, digit, holders))
    return found


def clash_messages(grid: Sequence[int], box: Box = (3, 3)) -> list[str]:
    """The clashes in words, for example "row 3 has two 5s: columns 1 and 7"."""
    side, words = box[0] * box[1], {2: "two", 3: "three", 4: "four"}
    messages = []
    for name, digit, cells in clashes(grid, box):
        if name.startswith("row"):
            kind, places = "columns ", [str(cell % side + 1) for cell in cells]
        elif name.startswith("column"):
            kind, places = "rows ", [str(cell // side + 1) for cell in cells]
        else:
            kind, places = "", [f"row {cell // side + 1} column {cell % side + 1}" for cell in cells]
        listed = ", ".join(places[:-1]) + " and " + places[-1]
        messages.append(f"{name} has {words.get(len(cells), len(cells))} {digit}s: {kind}{listed}")
    return messages


def is_valid_solution(grid: Sequence[int], givens: Sequence[int], box: Box = (3, 3)) -> bool:
    """True if the grid is full, breaks no rule and changes no given."""
    try:
        grid, givens = digits_of(grid, box), digits_of(givens, box)
    except ValueError:
        return False
    kept = all(given in (0, digit) for digit, given in zip(grid, givens, strict=True))
    return kept and all({grid[cell] for cell in cells} == set(range(1, side_of(box) + 1)) for _, cells in units(box))


# ---------------------------------------------------------------- solver


@cache
def tables(box: Box):
    """Constants of the solver: all candidates, what each placement keeps, and the four kinds of constraint.

    `keeps[digit * cells + cell]` has a 0 for every candidate that dies when the digit is placed in the cell. A kind of
    constraint (cell, row, column, box) is (shifts, leaders, spread): its side members sit at leader + shift, `leaders`
    marks the first member of each, and multiplying leaders by `spread` marks all members.
    """
    side = box[0] * box[1]
    cells, every = side * side, range(side)
    everything = (1 << side * cells) - 1
    names_and_units = units(box)
    peers = [0] * cells
    for _, members in names_and_units:
        together = sum(1 << cell for cell in members)
        for cell in members:
            peers[cell] |= together
    whole_cell = sum(1 << digit * cells for digit in every)
    keeps = [
        everything & ~(peers[cell] << digit * cells | whole_cell << cell) | 1 << digit * cells + cell
        for digit in every
        for cell in range(cells)
    ]
    kinds = [([digit * cells for digit in every], range(cells))]
    for first in (0, side, 2 * side):
        members = [unit for _, unit in names_and_units[first : first + side]]
        shifts = [cell - members[0][0] for cell in members[0]]
        kinds.append((shifts, [digit * cells + unit[0] for digit in every for unit in members]))
    constraints = tuple(
        (tuple(shifts), sum(1 << leader for leader in leaders), sum(1 << shift for shift in shifts))
        for shifts, leaders in kinds
    )
    return everything, keeps, constraints


def propagate(options: int, placed: int, keeps: list[int], constraints: tuple) -> tuple[int, int]:
    """Places every single (a constraint with one option left) until there is none; options = 0 if one has no option."""
    while True:
        singles = 0
        for shifts, leaders, spread in constraints:
            once = twice = 0
            for shift in shifts:
                member = options >> shift
                twice |= once & member
                once |= member
            if leaders & ~once:
                return 0, placed
            singles |= (leaders & ~twice) * spread
        singles &= options & ~placed
        if not singles:
            return options, placed
        placed |= singles
        while singles:
            lowest = singles & -singles
            options &= keeps[lowest.bit_length() - 1]
            singles ^= lowest


def choose(options: int, constraint: tuple, cells: int) -> list[int]:
    """The options of a cell with the fewest, but more than one (of several such cells, the first)."""
    shifts, leaders, spread = constraint
    once = twice = thrice = 0
    for shift in shifts:
        member = options >> shift
        thrice |= twice & member
        twice |= once & member
        once |= member
    pairs = twice & ~thrice & leaders
    if pairs:
        cell = (pairs & -pairs).bit_length() - 1
    else:
        counts = [(options >> cell & spread).bit_count() for cell in range(cells)]
        cell = min((cell for cell in range(cells) if counts[cell] > 1), key=counts.__getitem__)
    return [cell + shift for shift in shifts if options >> cell + shift & 1]


def search(
    options: int,
    placed: int,
    box: Box,
    limit: int,
    hidden: bool = True,
    rng: random.Random | None = None,
    most_guesses: int | None = None,
):
    """Depth-first search: (up to `limit` solutions as integers of placed options, number of guesses)."""
    _, keeps, constraints = tables(box)
    used = constraints if hidden else constraints[:1]
    solutions, guesses, stack = [], 0, [(options, placed)]
    while stack and len(solutions) < limit:
        options, placed = propagate(*stack.pop(), keeps, used)
        if options and options == placed:
            solutions.append(options)
        elif options:
            guesses += 1
            if most_guesses is not None and guesses > most_guesses:
                raise ValueError(
                    f"gave up after {most_guesses:,} guesses: a puzzle with exactly one solution takes far fewer"
                )
            choice = choose(options, constraints[0], (box[0] * box[1]) ** 2)
            if rng:
                rng.shuffle(choice)
            stack += [(options & keeps[option], placed | 1 << option) for option in reversed(choice)]
    return solutions, guesses


def put(placed: Iterable[int], box: Box) -> tuple[int, int]:
    """The (options, placed) integers after placing these options (digit - 1) * cells + cell."""
    options, keeps, _ = tables(box)
    marks = 0
    for option in placed:
        options &= keeps[option]
        marks |= 1 << option
    return options, marks


def grid_of(options: int, box: Box) -> list[int]:
    """The grid of an integer of options with one option per cell."""
    cells = (box[0] * box[1]) ** 2
    grid = [0] * cells
    while options:
        digit, cell = divmod(options.bit_length() - 1, cells)
        grid[cell] = digit + 1
        options ^= 1 << digit * cells + cell
    return grid


def place_givens(grid: Sequence[int], box: Box) -> tuple[int, int]:
    """The (options, placed) integers of the grid's digits."""
    grid = digits_of(grid, box)  # plain ints: numpy's would overflow in shifts
    cells = len(grid)
    return put([(digit - 1) * cells + cell for cell, digit in enumerate(grid) if digit], box)


def solve(
    grid: Sequence[int], box: Box = (3, 3), limit: int = 2, hidden: bool = True, most_guesses: int | None = None
) -> tuple[list[list[int]], int]:
    """Up to `limit` solutions of the grid, and how many guesses the search made.

    The search fills every single, then tries all digits of a cell with the fewest candidates, and so on. A guess is one
    such cell with several candidates, counted over the whole search, wrong branches included; for a puzzle with one
    solution that is the number needed to prove that it has no other. Singles are naked (a cell with one candidate) and
    hidden (a digit with one place left in a row, column or box); `hidden=False` allows naked ones only.

    One solution: a proper puzzle. None: a contradiction. Two, at limit=2: ambiguous.

    A contradiction that shows late can take minutes to prove. Raises ValueError after `most_guesses`, if given.
    """
    limit = whole("limit", limit, 1, 10**9)
    solutions, guesses = search(*place_givens(grid, box), box, limit, hidden, most_guesses=most_guesses)
    return [grid_of(solution, box) for solution in solutions], guesses


def rate(puzzle: Sequence[int], box: Box = (3, 3), hidden: bool = True, copies: int = 10) -> float:
    """Guesses of `solve`, the mean over symmetric copies of the puzzle (always the same copies).

    A single count depends on which of several equally good cells comes first, so a mirrored puzzle could get another
    one; the mean depends much less on it. It is 0 exactly if singles alone solve the puzzle.
    """
    rng, grid = random.Random(copies), np.asarray(puzzle)
    images = [apply_symmetry(grid, *random_symmetry(box, rng)).tolist() for _ in range(copies)]
    return sum(solve(image, box, hidden=hidden)[1] for image in images) / copies


# ---------------------------------------------------------------- symmetries


def random_symmetry(box: Box, rng) -> tuple[np.ndarray, np.ndarray]:
    """A random symmetry as (cells, digits), to be used by `apply_symmetry`.

    It permutes the digits, the bands, the rows within each band, the stacks, the columns within each stack, and, where
    boxes are square, may swap rows with columns. `cells` has shape (side * side,): the cell that each cell takes its
    content from. `digits` has shape (side + 1,): the new name of each digit, digits[0] = 0. `rng` is a
    `random.Random` or a `numpy.random.Generator`.
    """
    side = box[0] * box[1]
    lines = []
    for size in box:
        groups = [list(range(first, first + size)) for first in range(0, side, size)]
        rng.shuffle(groups)
        for group in groups:
            rng.shuffle(group)
        lines.append([line for group in groups for line in group])
    digits = list(range(1, side + 1))
    rng.shuffle(digits)
    cells = np.add.outer(np.array(lines[0]) * side, np.array(lines[1]))
    if box[0] == box[1] and rng.random() < 0.5:
        cells = cells.T
    return cells.ravel(), np.array([0, *digits])


def apply_symmetry(grids: np.ndarray, cells: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """The images of grids (..., side * side) under a symmetry: one for all, or one each.

    One each: cells (..., side * side) and digits (..., side + 1), stacked from `random_symmetry`. A puzzle and its
    solution keep belonging together if both get the same symmetry.
    """
    if cells.ndim == 1:
        return digits[grids[..., cells]].astype(grids.dtype)
    moved = np.take_along_axis(grids, cells, axis=-1)
    return np.take_along_axis(digits, moved, axis=-1).astype(grids.dtype)
