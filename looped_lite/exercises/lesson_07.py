"""The exercises of lesson 07, sudoku: encoding and back, rules, symmetries, structured attention, guesses, intervals."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..intervals import wilson
from ..tasks import sudoku
from ..tasks.sudoku import one_hot
from ..tasks.sudoku_puzzles import Box, apply_symmetry, clashes, parse, random_symmetry, solve, units
from . import Exercise, Mistake, describe, expect, unchanged

PUZZLE = "3....1..15.........4.2.......26....3"  # 6x6, one solution
SIX, NINE = (2, 3), (3, 3)


# ---------------------------------------------------------------- 07.1


def encode(text: str, side: int) -> Tensor:
    """The course's own answer: a puzzle as text -> (side * side, 1 + side), channel 0 for an empty cell."""
    return one_hot(torch.tensor([0 if c in ".0" else int(c) for c in text]), side)


def check_encode(f: Callable) -> None:
    text = "12.4" + "..0." + "3..." + "...1"
    digits = torch.tensor([int(c) if c in "1234" else 0 for c in text])
    right = one_hot(digits, 4)
    got = f(text, 4)
    if type(got) is Tensor and not got.is_floating_point() and got.shape == right.shape:
        raise Mistake("encode: the model multiplies this with weights, so make it floating point: .float() at the end.")
    shifted = torch.zeros(16, 4)
    shifted[digits > 0] = torch.nn.functional.one_hot(digits[digits > 0] - 1, 4).float()
    expect(
        got,
        right,
        "encode of a 4x4 puzzle",
        mistakes={
            "an empty cell has a channel of its own, channel 0; here it is all zeros": torch.cat(
                [torch.zeros(16, 1), shifted], dim=1
            ),
            "an empty cell has a channel of its own, too: 1 + side channels, channel 0 for empty": shifted,
            "channel 0 is for an empty cell, so digit d has channel d": torch.cat(
                [shifted, (digits == 0).float()[:, None]], dim=1
            ),
            "each cell is a row: (cells, 1 + side), not the other way round": right.T,
            "this is the batch of one that a model wants; return the cells alone": right[None],
            "flat, please: one row for each of the 16 cells": right.view(4, 4, 5),
            "a zero in the text is an empty cell, like a dot": digits.float(),
        },
    )
    expect(f("." * 36, 6), one_hot(torch.zeros(36, dtype=torch.long), 6), "encode of an empty 6x6 puzzle")


# ---------------------------------------------------------------- 07.2


def fill_in(text: str, logits: Tensor) -> str:
    """The course's own answer: the puzzle with every empty cell filled by its likeliest digit."""
    return "".join(c if c not in ".0" else str(int(best) + 1) for c, best in zip(text, logits.argmax(-1), strict=True))


def check_fill_in(f: Callable) -> None:
    text = "12.4" + "..0." + "3..." + "...1"
    logits = torch.randn(16, 4, generator=torch.Generator().manual_seed(3))
    best = logits.argmax(-1).tolist()
    overwritten = "".join(str(b + 1) for b in best)
    right = "".join(c if c in "1234" else str(b + 1) for c, b in zip(text, best, strict=True))
    got = f(text, logits)
    kept = logits.clone()
    wrong = {
        "a given is part of the question: keep it, whatever the logits say": overwritten,
        "class 0 stands for digit 1, so add 1": "".join(
            c if c in "1234" else str(b) for c, b in zip(text, best, strict=True)
        ),
        "a zero in the text is an empty cell, like a dot: fill it": right[:6] + "0" + right[7:],
        "these are the least likely digits: take argmax": "".join(
            c if c in "1234" else str(b + 1) for c, b in zip(text, logits.argmin(-1).tolist(), strict=True)
        ),
    }
    if type(got) in (list, tuple) and all(type(part) in (int, str) for part in got):
        got, listed = "".join(map(str, got)), True
    else:
        listed = False
    for sentence, answer in wrong.items():
        if type(got) is str and got == answer:
            raise Mistake(f"fill_in of a 4x4 puzzle: {sentence}.")
    if type(got) is str and len(got) != len(right):
        hint = ': a tensor turns into "tensor(3)", so make it a number with int(...) first' if "tensor" in got else ""
        raise Mistake(f"fill_in of a 4x4 puzzle: expected one character a cell, 16, got {len(got)}{hint}.")
    if type(got) is str and got != right:
        cell = next(cell for cell in range(16) if got[cell] != right[cell])
        raise Mistake(
            f"fill_in of a 4x4 puzzle: row {cell // 4 + 1}, column {cell % 4 + 1} holds {text[cell]!r} and its likeliest class is "
            f"{best[cell]}: expected {right[cell]!r}, got {got[cell]!r}."
        )
    expect(got, right, "fill_in of a 4x4 puzzle")
    if listed:
        raise Mistake('fill_in: these are the right digits in a list; join them to one string: "".join(...).')
    unchanged(kept, logits, "logits")


# ---------------------------------------------------------------- 07.3


def clashing_cells(grid: Sequence[int], box: Box) -> list[int]:
    """The course's own answer: cells, in order, whose digit stands a second time in their row, column or box."""
    return sorted({cell for _, _, cells in clashes([int(digit) for digit in grid], box) for cell in cells})


def check_clashing_cells(f: Callable) -> None:
    def ask(digits: dict[int, int], box: Box, right: list[int], what: str, mistakes: dict[str, list[int]]) -> None:
        side = box[0] * box[1]
        grid = [digits.get(cell, 0) for cell in range(side * side)]
        kept = list(grid)
        got = f(grid, box)
        if grid != kept:
            raise Mistake("clashing_cells: the grid was changed in place: the caller still needs it.")
        if type(got) in (set, frozenset):
            got = sorted(got)
        if type(got) is Tensor and got.dtype == torch.bool and got.shape == (side * side,):
            got = got.nonzero()[:, 0]
        if type(got) is Tensor:
            got = got.tolist()
        if type(got) in (list, tuple):
            if not all(type(cell) is int for cell in got):
                raise Mistake("clashing_cells: expected a list of cell numbers, each a whole number from 0.")
            if len(set(got)) < len(got):
                raise Mistake(f"{what}: each cell once, even if it breaks several rules.")
            got = sorted(got)
        for sentence, wrong in mistakes.items():
            if got == wrong and wrong != right:
                raise Mistake(f"{what}: {sentence}.")
        expect(got, right, what)

    empty = "empty cells hold no digit and cannot clash"
    ask({}, SIX, [], "the clashes of an empty 6x6 grid", {empty: list(range(36))})
    ask({6: 5, 10: 5, 0: 1, 7: 2}, SIX, [6, 10], "the clashes of a 6x6 grid with two 5s in row 2",
        {"both cells clash, not only the later one": [10], "both cells clash, not only the first": [6],
         "two cells of one row clash; you found none": []})  # fmt: skip
    ask({2: 3, 32: 3, 5: 1}, SIX, [2, 32], "the clashes of a 6x6 grid with two 3s in column 3",
        {"two cells of one column clash; you found none": [], "both cells clash, not only the later one": [32]})  # fmt: skip
    ask({0: 4, 8: 4}, SIX, [0, 8], "the clashes of a 6x6 grid with two 4s in one box, row 1 column 1 and row 2 column 3",
        {"boxes count, too. They are box[0] rows high and box[1] columns wide, here 2 by 3": []})  # fmt: skip
    ask({0: 4, 13: 4}, SIX, [], "the clashes of 4s in row 1 column 1 and row 3 column 2 of a 6x6 grid",
        {"a box is box[0] rows high and box[1] columns wide, here 2 by 3: these two are in different boxes": [0, 13]})  # fmt: skip
    ask({0: 4, 6: 5, 8: 3, 13: 4}, SIX, [], "the clashes of a grid without any", {})
    ask({30: 7, 40: 7, 50: 1, 3: 2, 75: 2}, NINE, [3, 30, 40, 75],
        "the clashes of a 9x9 grid with two 7s in a box and two 2s in a column",
        {"boxes count, too": [3, 75], "go on after the first clash": [3, 75]})  # fmt: skip
    ask({0: 2, 4: 2, 24: 2}, SIX, [0, 4, 24], "the clashes of a 2 that breaks two rules", {})


# ---------------------------------------------------------------- 07.4


def augment(puzzle: Tensor, solution: Tensor, box: Box, rng: random.Random) -> tuple[Tensor, Tensor]:
    """The course's own answer: the same random symmetry applied to a puzzle and its solution, (side, side) each."""
    cells, digits = random_symmetry(box, rng)
    both = torch.stack([puzzle, solution]).numpy()
    images = apply_symmetry(both.reshape(2, -1), cells, digits).reshape(both.shape)
    return torch.from_numpy(images[0]), torch.from_numpy(images[1])


def check_augment(f: Callable) -> None:
    puzzle = torch.tensor(parse(PUZZLE, SIX)).view(6, 6)
    solution = torch.tensor(solve(puzzle.flatten().tolist(), SIX)[0][0]).view(6, 6)
    kept = puzzle.clone(), solution.clone()
    for seed in range(20):
        image, answer = pair_of(f, puzzle, solution, SIX, random.Random(seed))
        unchanged(kept[0], puzzle, "puzzle")
        unchanged(kept[1], solution, "solution")
        judge_image(puzzle, image, answer, SIX)
    first, second = (pair_of(f, puzzle, solution, SIX, random.Random(5)) for _ in range(2))
    if not (torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])):
        raise Mistake(
            "augment: twice the same rng gave two different images: draw everything from rng, such as rng.shuffle(rows)."
        )
    # one given in a corner shows where rows, columns and digits can go
    one = torch.zeros(6, 6, dtype=torch.long)
    one[0, 0] = solution[0, 0]
    rng, seen = random.Random(0), {"row": set(), "column": set(), "digit": set()}
    for _ in range(400):
        image, _ = pair_of(f, one, solution, SIX, rng)
        cell = int(image.flatten().argmax())
        seen["row"].add(cell // 6)
        seen["column"].add(cell % 6)
        seen["digit"].add(int(image.max()))
    for kind, size, group in (("row", 2, "band"), ("column", 3, "stack")):
        places, every = seen[kind], set(range(6))
        if places == {0}:
            raise Mistake(f"augment: in 400 images the first {kind} stayed the first: shuffle the {kind}s, too.")
        if len({place // size for place in places}) == 1:
            raise Mistake(
                f"augment: {kind}s change places within their {group}, but the {group}s never do: shuffle the {group}s, too."
            )
        if len({place % size for place in places}) == 1:
            raise Mistake(
                f"augment: whole {group}s change places, but no {kind}s within a {group} do: shuffle them, too."
            )
        if places != every:
            raise Mistake(
                f"augment: in 400 images the first {kind} came to the places {sorted(p + 1 for p in places)} only."
            )
    if len(seen["digit"]) == 1:
        raise Mistake("augment: the digits never change their names: draw a random renaming of 1 to 6, too.")
    if seen["digit"] != set(range(1, 7)):
        raise Mistake(
            f"augment: in 400 images digit {int(one[0, 0])} was only ever renamed to {sorted(seen['digit'])}."
        )
    nine = torch.tensor([[(3 * r + r // 3 + c) % 9 + 1 for c in range(9)] for r in range(9)])
    shown = torch.where(torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) < 0.4, nine, 0)
    image, answer = pair_of(f, shown, nine, NINE, random.Random(1))
    judge_image(shown, image, answer, NINE)


def pair_of(f: Callable, puzzle: Tensor, solution: Tensor, box: Box, rng: random.Random) -> tuple[Tensor, Tensor]:
    """What an answer to exercise 07.4 returned, as two (side, side) tensors of whole numbers."""
    got = f(puzzle, solution, box, rng)
    if type(got) is Tensor and got.shape == (2, *puzzle.shape):
        got = got.unbind()
    if type(got) not in (list, tuple) or len(got) != 2:
        raise Mistake(f"augment: expected two tensors, the puzzle and its solution, got {describe(got)}.")
    parts = []
    for part, name in zip(got, ("puzzle", "solution"), strict=True):
        if type(part) is np.ndarray or type(part) is list:
            part = torch.as_tensor(np.asarray(part))
        if type(part) is not Tensor:
            raise Mistake(f"augment: expected the {name} as a tensor, got {describe(part)}.")
        if part.shape != puzzle.shape:
            raise Mistake(f"augment: the {name} should keep its shape {tuple(puzzle.shape)}, got {tuple(part.shape)}.")
        if part.is_floating_point() or part.dtype == torch.bool:
            raise Mistake(f"augment: digits are whole numbers; the {name} came back as {part.dtype}.")
        parts.append(part.long())
    return parts[0], parts[1]


def judge_image(puzzle: Tensor, image: Tensor, answer: Tensor, box: Box) -> None:
    """Raise `Mistake` unless the image is a puzzle like ``puzzle`` and ``answer`` is its solution."""
    givens, side = int((puzzle > 0).sum()), box[0] * box[1]
    if int(answer.min()) < 1 or int(answer.max()) > side:
        raise Mistake(
            f"augment: the solution should hold digits from 1 to {side}, got {int(answer.min())} to {int(answer.max())}."
        )
    if int((image > 0).sum()) != givens:
        raise Mistake(
            f"augment: of {givens} givens and {side * side - givens} empty cells there are {int((image > 0).sum())} givens left: 0 "
            "means empty and must stay 0 when digits are renamed."
        )
    broken = {name.split()[0] for name, _, _ in clashes(answer.flatten().tolist(), box)}
    if broken == {"box"}:
        raise Mistake(
            "augment: rows and columns of the image are right, but a box holds a digit twice. Rows may change places only within their "
            f"band of {box[0]}, and bands as a whole; columns only within their stack of {box[1]}, and stacks as a whole."
        )
    if broken:
        raise Mistake(
            "augment: a row or column of the image holds a digit twice: whole rows and whole columns must move, and no two digits "
            "may get the same new name."
        )
    if not torch.equal(image[image > 0], answer[image > 0]):
        raise Mistake(
            "augment: puzzle and solution no longer belong together: draw the symmetry once, and do the same to both."
        )


# ---------------------------------------------------------------- 07.5


def check_unit_masks(f: Callable) -> None:
    def stacked(got: object) -> object:
        parts = type(got) in (list, tuple) and all(type(part) is Tensor for part in got)
        return torch.stack(list(got)) if parts and len({part.shape for part in got}) == 1 else got

    right = sudoku.unit_masks(SIX)
    got = stacked(f(SIX))
    if type(got) is Tensor and got.dtype != torch.bool and got.shape == right.shape:
        raise Mistake("unit_masks: expected True and False, a boolean tensor: compare with ==.")
    row, column, box, everybody = right
    eye = torch.eye(36, dtype=torch.bool)
    wide = sudoku.unit_masks((3, 2))[2]
    expect(
        got,
        right,
        "unit_masks of 6x6",
        mistakes=[
            ("a cell sees itself, too: leave the diagonal True", right & ~eye),
            ("a cell sees itself, too: leave the diagonal True", torch.stack([row & ~eye, column & ~eye, box & ~eye, everybody])),
            ("True means may look; these are the cells that it may not see", ~right),
            ("the first head is for rows and the second for columns: these are swapped", right[[1, 0, 2, 3]]),
            ("a box is box[0] rows high and box[1] columns wide, here 2 by 3; yours are 3 by 2",
             torch.stack([row, column, wide, everybody])),
            ("the fourth head sees the whole board", torch.stack([row, column, box, row | column | box])),
            ("the fourth head is missing: the whole board", right[:3]),
            ("the order is row, column, box, everybody", right[[3, 0, 1, 2]]),
        ],
    )  # fmt: skip
    expect(stacked(f(NINE)), sudoku.unit_masks(NINE), "unit_masks of 9x9")


# ---------------------------------------------------------------- 07.6


def count_guesses(grid: Sequence[int], box: Box) -> int:
    """The course's own answer: guesses of a search by naked singles and fewest candidates, wrong branches included."""
    return solve([int(digit) for digit in grid], box, hidden=False)[1]


def other_count(grid: list[int], box: Box, habit: str) -> int:
    """Guesses as they come out with a mistake: ``habit`` says which."""
    side, found = box[0] * box[1], [0]

    peers = [
        {other for _, cells in units(box) if cell in cells for other in cells} for cell in range(side * side)
    ]  # of every cell: those that share its row, column or box

    def options(grid: list[int], cell: int) -> list[int]:
        seen = {grid[other] for other in peers[cell]}
        return [digit for digit in range(1, side + 1) if digit not in seen]

    def search(grid: list[int]) -> int:
        if habit == "first solution" and found[0]:
            return 0
        open_cells = {cell: options(grid, cell) for cell, digit in enumerate(grid) if not digit}
        if not open_cells:
            found[0] += 1
            return 0
        cell = min(open_cells) if habit == "in order" else min(open_cells, key=lambda c: len(open_cells[c]))
        number = len(open_cells[cell])
        here = number if habit == "branches" and number > 1 else 1 if number > 1 or habit == "singles" else 0
        return here + sum(search([*grid[:cell], digit, *grid[cell + 1 :]]) for digit in open_cells[cell])

    return search(list(grid))


# rated by this search: no guess, one, and several with branches that die late
RATED = (
    ("a puzzle that naked singles solve", SIX, ".3...1.2......4.6.5..........6..25.."),
    ("a puzzle with one guess", SIX, "..13...3.25.6...2........1....5....."),
    ("a puzzle with a second solution to rule out", SIX, "....13......3..6....21..4..3.6.2...."),
    ("an extreme puzzle", SIX, "..42...6.....5...3..3.2.6.........3."),
)


def check_count_guesses(f: Callable) -> None:
    for what, box, text in RATED:
        grid = parse(text, box)
        right = solve(grid, box, hidden=False)[1]
        kept = list(grid)
        got = f(grid, box)
        if grid != kept:
            raise Mistake("count_guesses: the grid was changed in place: the caller still needs it.")
        if type(got) in (list, tuple):
            raise Mistake("count_guesses: expected one whole number.")
        habits = {
            "first solution": "go on after the first solution: the search ends when it is sure that there is no other",
            "branches": "a cell with several candidates is one guess, however many it has",
            "singles": "a cell with one candidate is no guess, only a single",
            "in order": "guess at a cell with the fewest candidates, not at the first empty one",
        }
        what = f"the guesses for {what}"
        try:
            expect(got, right, what)
        except Mistake:  # only now: to search with each habit takes a while
            expect(got, right, what, [(said, other_count(grid, box, habit)) for habit, said in habits.items()])


# ---------------------------------------------------------------- 07.7


def share_with_interval(right: Tensor, z: float = 1.96) -> tuple[float, float, float]:
    """The course's own answer: the share of True, and Wilson's interval for it."""
    low, high = wilson(int(right.sum()), len(right), z)
    return float(right.float().mean()), float(low), float(high)


def check_share_with_interval(f: Callable) -> None:
    for successes, count in ((45, 50), (3, 20), (50, 50)):
        right = torch.arange(count) < successes
        got = f(right)
        p, z = successes / count, 1.96
        low, high = wilson(successes, count)
        answer = (p, float(low), float(high))
        half = z * (p * (1 - p) / count) ** 0.5
        middle = (p + z * z / (2 * count)) / (1 + z * z / count)
        spread = (p * (1 - p) / count + z * z / (4 * count * count)) ** 0.5
        width = z / (1 + z * z / count) * spread
        around = lambda centre, reach, p=p: (p, centre - reach, centre + reach)
        expect(
            got,
            answer,
            f"share_with_interval of {successes} right of {count}",
            mistakes=[
                ("this is the plain interval p +- 1.96 standard errors, which has no width at 50 of 50; use Wilson's", around(p, half)),
                ("this is the plain interval p +- 1.96 standard errors, cut off at 0 and 1; use Wilson's",
                 (p, max(0.0, p - half), min(1.0, p + half))),
                ("the factor z = 1.96 is missing in the half width", around(middle, width / z)),
                ("the half width, too, is divided by 1 + z^2 / n", around(middle, z * spread)),
                ("the interval lies around the shifted middle, not around the share itself", around(p, width)),
                ("the order is share, low, high", (answer[1], answer[0], answer[2])),
                ("the share comes first, as it was measured; the middle of the interval is something else",
                 (middle, answer[1], answer[2])),
                ("the share is missing: return (share, low, high)", answer[1:]),
                ("these are counts: divide by n", tuple(count * part for part in answer)),
                ("z^2 / (4 n^2) is missing under the root", around(middle, half / (1 + z * z / count))),
            ],
            tol=1e-4,
        )  # fmt: skip


encode = Exercise(
    "07.1", "one-hot encoding of a puzzle", encode, check_encode,
    seen="A model sees a puzzle as a table of zeros and ones: one row a cell, one column for empty and for each digit.",
)  # fmt: skip
fill_in = Exercise(
    "07.2", "and its inverse", fill_in, check_fill_in,
    seen="This is all that turns logits into an answer: nothing in it knows the rules.",
)  # fmt: skip
clashing_cells = Exercise(
    "07.3", "which cells clash?", clashing_cells, check_clashing_cells,
    seen="Full, no clash, givens kept: that is all there is to check, and it needs no solution.",
)  # fmt: skip
augment = Exercise(
    "07.4", "the same puzzle in other clothes", augment, check_augment,
    seen="Every image is a puzzle as good as the first, with its solution, for free.",
)  # fmt: skip
unit_masks = Exercise(
    "07.5", "row, column and box masks", sudoku.unit_masks, check_unit_masks,
    seen="Three heads now know the rules' geometry, not the rules; those are still to be learned.",
)  # fmt: skip
count_guesses = Exercise(
    "07.6", "guesses as difficulty", count_guesses, check_count_guesses,
    seen="A number for how hard a puzzle is that knows nothing about any model.",
)  # fmt: skip
share_with_interval = Exercise(
    "07.7", "a share and its interval", share_with_interval, check_share_with_interval,
    seen="Even 50 right of 50 has an interval: the next 50 may not be so kind.",
)  # fmt: skip
