"""Sudoku as a task: a cell is a one-hot digit, attention heads look along rows, columns and boxes, the answer is a
digit a cell.

Puzzles, their solver and their symmetries are in `sudoku_puzzles`; here they become tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import batch_size, integers, keep, number, one_of, short, whole
from ..paths import data_path
from ..tables import finite, read_table
from . import IGNORE, Task, TestSet
from .sudoku_puzzles import (
    Box,
    apply_symmetry,
    clash_messages,
    is_valid_solution,
    lay_out,
    parse,
    random_symmetry,
    show,
    side_of,
    solve,
)

SPLITS = ("train", "validation", "test", "hard_validation", "hard", "extreme")
MINED = ("mined_train", "mined_validation", "extreme_validation", "mined")  # 9x9 alone, in a file of their own
# the columns of a CSV of puzzles, each by the names that it has in the files that people have
COLUMNS = (("puzzle", "question", "quizzes", "quiz"), ("solution", "answer", "solutions"), ("rating",))
MOST_GUESSES = 20_000  # some seconds; the hardest shipped puzzle takes 321
SURE = 30.0  # the logit of a digit that is assumed


@cache
def load_puzzles(box: Box, split: str) -> tuple[Tensor, Tensor, Tensor]:
    """The shipped puzzles of one split: puzzles and solutions (count, cells), digits with 0 for empty, and guesses
    (count,).

    ``box`` is (2, 3) for 6x6 or (3, 3) for 9x9; see data/README.md for the splits. ValueError for a damaged file,
    OSError for a missing one.
    """
    one_of("split", split, (*SPLITS, *MINED) if box == (3, 3) else SPLITS)
    if box not in ((2, 3), (3, 3)):
        raise ValueError(f"no shipped puzzles for boxes of {'x'.join(map(str, box))}: expected (2, 3) or (3, 3)")
    path = data_path(f"sudoku_{side_of(box)}x{side_of(box)}{'_mined' if split in MINED else ''}.csv.gz")

    def read(row: dict[str, str]) -> tuple[bytes, bytes, float] | None:
        if row["split"] == split:
            return bytes(parse(row["puzzle"], box)), bytes(parse(row["solution"], box)), finite(row, "guesses")

    puzzles, solutions, guesses = together(
        path, read_table(path, [["puzzle"], ["solution"], ["guesses"], ["split"]], read)
    )
    return puzzles, solutions, guesses.float()


def together(path: Path, rows: Iterable[tuple[bytes, bytes, float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of puzzle, solution and a number -> tensors (count, cells) twice and (count,), in double precision."""
    rows = list(rows)
    if not rows:
        raise ValueError(f"{path} has no puzzles of this kind below its header")
    *grids, numbers = zip(*rows, strict=True)
    bytewise = (torch.frombuffer(bytearray(b"".join(part)), dtype=torch.uint8) for part in grids)
    return *(part.view(len(rows), -1).long() for part in bytewise), torch.tensor(numbers, dtype=torch.float64)


def read_row(row: dict[str, str], box: Box, unique: bool) -> tuple[bytes, bytes, float]:
    """A row of a CSV -> puzzle, solution, and rating or 0. ValueError if they do not belong together."""
    puzzle, solution = parse(row["puzzle"], box), parse(row["solution"], box)
    if not is_valid_solution(solution, puzzle, box):
        raise ValueError("the answer does not solve the question")
    if unique and len(solve(puzzle, box, most_guesses=MOST_GUESSES)[0]) > 1:
        raise ValueError("this puzzle has several solutions: expected exactly one")
    return bytes(puzzle), bytes(solution), finite(row, "rating") if "rating" in row else 0.0


def read_puzzles(path: str | Path, box: Box = (3, 3), unique: bool = False) -> tuple[Tensor, Tensor]:
    """Your own CSV of puzzles, plain, ``.gz`` or ``.zst``: puzzles and solutions (count, cells).

    The columns may be called puzzle and solution, question and answer, or quizzes and solutions. ``unique`` also looks
    for a second solution of each puzzle, which takes about a millisecond each. Raises ValueError, with the line, for a
    malformed row.
    """
    return together(Path(path), read_table(path, COLUMNS[:2], lambda row: read_row(row, box, unique)))[:2]


def read_sudoku_extreme(
    path: str | Path, quantile: float = 0.8, unique: bool = False
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Your own copy of the public Sudoku-Extreme CSV (columns source, question, answer, rating), split as in the paper.

    Returns ``{"easy": ..., "hard": ...}``, each puzzles and solutions (count, 81) and ratings (count,): easy is rated
    below the ``quantile`` of all ratings, hard is the rest. Equal ratings are not torn apart: those at the quantile are
    hard, however many they are, and where all are equal nothing is easy. For the rest as `read_puzzles`.
    """
    quantile = number("quantile", quantile, 0, 1)
    *both, rated = together(Path(path), read_table(path, COLUMNS, lambda row: read_row(row, (3, 3), unique)))
    easy = rated < float(np.quantile(rated.numpy(), quantile))
    parts = (*both, rated.float())
    return {name: tuple(part[chosen] for part in parts) for name, chosen in (("easy", easy), ("hard", ~easy))}


def box_of(text: str) -> Box:
    """The box shape of a puzzle from its number of cells: 16, 36 or 81."""
    for box in ((2, 2), (2, 3), (3, 3)):
        if sum(map(len, lay_out(text, side_of(box)))) == side_of(box) ** 2:
            return box
    count = sum(map(len, lay_out(text, 9)))
    raise ValueError(f"a puzzle of {count} characters: expected 36 (6x6) or 81 (9x9), dots or zeros for empty cells")


def one_hot(grids: Tensor, side: int) -> Tensor:
    """Grids (batch, cells), 0 for empty -> inputs (batch, cells, 1 + side)."""
    return F.one_hot(integers("grids", grids, 0, side), side + 1).float()


def unit_masks(box: Box) -> Tensor:
    """Who sees whom in each of four heads, (4, cells, cells): same row, same column, same box, everybody."""
    side = box[0] * box[1]
    row, column = torch.arange(side * side) // side, torch.arange(side * side) % side
    boxes = row // box[0] * side + column // box[1]
    same = [key[:, None] == key[None, :] for key in (row, column, boxes)]
    return torch.stack([*same, torch.ones_like(same[0])])


def fill(x: Tensor, logits: Tensor) -> Tensor:
    """Grids (batch, cells): the givens of ``x`` (batch, cells, 1 + side), elsewhere the likeliest digits."""
    givens = x.argmax(-1)
    return torch.where(givens > 0, givens, logits.argmax(-1) + 1)


def candidate_chances(x: Tensor, logits: Tensor, box: Box) -> Tensor:
    """How likely ``logits`` make each digit of a cell, of those that no given in its row, column or box forbids:
    (batch, cells, side). Logits that are not numbers leave them all alike."""
    seen = unit_masks(box)[:3].any(0).to(x.dtype).to(x.device)
    allowed = torch.einsum("ij,bjd->bid", seen, x[..., 1:]) == 0
    chances = (logits.double().nan_to_num().softmax(-1) + 1e-9) * allowed
    return chances / chances.sum(-1, keepdim=True).clamp_min(1e-30)


def drawn_by(weights: Tensor, draws: Tensor) -> Tensor:
    """A place in each row of ``weights`` (batch, places), as likely as it weighs, by ``draws`` (batch,) from 0 to 1."""
    sums = weights.cumsum(-1)
    return (sums <= draws[:, None] * sums[:, -1:]).sum(-1).clamp_max(weights.shape[-1] - 1)


def keeps_rules(grids: Tensor, box: Box) -> Tensor:
    """Which full grids (batch, cells) hold every digit once in each row, column and box: (batch,) bool."""
    ones = F.one_hot(grids, box[0] * box[1] + 1).float()
    counts = torch.einsum("uij,bjd->buid", unit_masks(box)[:3].float().to(grids.device), ones)[..., 1:]
    return (counts == 1).all(-1).all(-1).all(-1)


@dataclass(frozen=True)
class Sudoku(Task):
    """The task. ``level`` is the share of the empty cells that a training puzzle is shown on top of its givens, give or
    take a tenth; the curriculum goes down to 0, where half of the puzzles are minimal.

    ``attention="units"`` gives the four heads rows, columns, boxes and the whole board; ``"full"`` gives all of them
    the whole board, as in the paper, and leaves the geometry to the 2-D rotary positions. ``mined`` is the share of
    training puzzles that come from the harder ones (``mined_train``, 9x9 alone).
    """

    box: Box = (3, 3)
    attention: str = "units"
    first_level: float = 0.6
    last_level: float = 0.0
    stride: float = 0.04
    most_loops: int = 16  # N of the progressive loss
    mined: float = 0.0

    board = "looped_lite.boards.sudoku:draw"

    def __post_init__(self) -> None:
        if not isinstance(self.box, (list, tuple, np.ndarray)) or len(self.box) != 2:
            raise ValueError(f"box must be rows and columns of one box, such as (3, 3), got {short(self.box)}")
        object.__setattr__(self, "box", tuple(whole("a side of a box", size, 2, 5) for size in self.box))
        one_of("attention", self.attention, ("units", "full"))
        keep(self, number, 0, 1, "first_level", "last_level", "mined")
        if self.mined and self.box != (3, 3):
            raise ValueError(
                f"mined puzzles are 9x9: expected mined=0 for a box of {short(self.box)}, got {self.mined:g}"
            )
        keep(self, number, 1e-6, 1, "stride")
        keep(self, whole, 1, 10**6, "most_loops")

    @property
    def side(self) -> int:
        return self.box[0] * self.box[1]

    @property
    def name(self) -> str:
        return f"sudoku-{self.side}x{self.side}"

    @property
    def features(self) -> int:
        return self.side + 1

    @property
    def classes(self) -> int:
        return self.side

    def tensors(self, puzzles: Tensor, solutions: Tensor) -> tuple[Tensor, Tensor]:
        """Puzzles and solutions (batch, cells) -> inputs (batch, cells, 1 + side), targets; givens not scored."""
        puzzles = integers("puzzles", puzzles, 0, self.side, axes=2)
        solutions = integers("solutions", solutions, 1, self.side, axes=2)
        return one_hot(puzzles, self.side), (solutions - 1).masked_fill(puzzles > 0, IGNORE)

    def training_puzzles(self, size: int, generator: torch.Generator) -> Tensor:
        """Random puzzles and their solutions, (2, size, cells), of which a share of ``mined`` are harder ones."""

        def some(split: str) -> Tensor:
            *grids, _ = load_puzzles(self.box, split)
            chosen = torch.randint(len(grids[0]), (size,), generator=generator)
            return torch.stack([part[chosen] for part in grids])

        usual = some("train")
        if not self.mined:  # and nothing more is drawn: recipes without it see the puzzles that they always saw
            return usual
        return torch.where(torch.rand(size, 1, generator=generator) < self.mined, some("mined_train"), usual)

    def batch(self, size: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random training puzzles under random symmetries, with extra givens."""
        size, level = batch_size(size, self.side**2, self.features, generator), number("level", level, 0, 1)
        both = self.training_puzzles(size, generator).numpy()
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        cells, digits = (
            np.stack(parts) for parts in zip(*(random_symmetry(self.box, rng) for _ in range(size)), strict=True)
        )
        puzzle, solution = (torch.from_numpy(apply_symmetry(grids, cells, digits)) for grids in both)
        share = level + 0.2 * torch.rand(size, 1, generator=generator) - 0.1
        shown = torch.rand(puzzle.shape, generator=generator) < share
        return self.tensors(torch.where(shown, solution, puzzle), solution)

    def image(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Puzzles ``x`` (batch, cells, 1 + side), each under a random symmetry of its own, and the function that turns
        logits (batch, cells, side) for these images into logits for ``x``."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        drawn = zip(*(random_symmetry(self.box, rng) for _ in x), strict=True)
        cells, digits = (torch.from_numpy(np.stack(parts)).to(x.device) for parts in drawn)
        where, names = cells.argsort(-1), digits.argsort(-1)  # the way back
        over_cells = lambda values, order: values.gather(1, order[:, :, None].expand(values.shape))
        over_digits = lambda values, order: values.gather(2, order[:, None, :].expand(values.shape))
        back = lambda logits: over_digits(over_cells(logits, where), digits[:, 1:] - 1)
        return over_digits(over_cells(x, cells), names), back

    def guess(self, x: Tensor, logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """One more given for each puzzle ``x`` (batch, cells, 1 + side), after an answer ``logits`` that breaks a rule:
        a cell drawn by how unsure the answer is there, 1 less the gap between its two likeliest digits, and one of the
        digits that no given forbids, drawn by its probability. A wrong guess costs one try: what is certified keeps the
        givens and the rules. Also returns what puts the guess into logits for the new puzzle."""
        draws = torch.rand(len(x), 2, generator=generator).double().to(x.device)
        chances = candidate_chances(x, logits, self.box)
        first, second = chances.topk(2, -1).values.unbind(-1)
        unsure = (1 - first + second).clamp_min(1e-3) * (x[..., 0] > 0)  # a cell that is sure may be wrong, too
        rows, cell = torch.arange(len(x)), drawn_by(unsure, draws[:, 0])
        guessed = x.clone()
        guessed[rows, cell] = one_hot(drawn_by(chances[rows, cell], draws[:, 1]) + 1, self.side)
        new = (guessed != x).any(-1, keepdim=True)
        return guessed, lambda logits: torch.where(new, SURE * guessed[..., 1:], logits)

    def split(self, split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
        """The first ``count`` puzzles of a shipped split as inputs and targets, for evaluation."""
        puzzles, solutions, _ = load_puzzles(self.box, split)
        return self.tensors(puzzles[:count], solutions[:count])

    def harder(self, level: float) -> float:
        return max(round(level - self.stride, 6), self.last_level)

    def positions(self, cells: int) -> Tensor:
        return torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side))

    def architecture(self, heads: int) -> dict[str, Any]:
        if self.attention == "full":
            return {}
        if heads % 4:
            raise ValueError(f"heads must be a multiple of 4 (rows, columns, boxes, everybody), got {heads}")
        return {"mask": unit_masks(self.box).repeat(heads // 4, 1, 1)}

    def encode(self, text: str) -> Tensor:
        grid = parse(text, self.box)
        clashes = clash_messages(grid, self.box)
        if clashes:
            raise ValueError("; ".join(clashes[:3] + [f"and {len(clashes) - 3} more"] * (len(clashes) > 3)))
        solutions, _ = solve(grid, self.box, most_guesses=MOST_GUESSES)
        if not solutions:
            raise ValueError("this puzzle has no solution, though no two givens clash")
        if len(solutions) > 1:
            raise ValueError("this puzzle has several solutions: expected exactly one")
        return one_hot(torch.tensor([grid]), self.side)

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        """The grid with every empty cell filled by its likeliest digit, and whether that solves the puzzle."""
        givens = parse(text, self.box)
        filled = [given or int(digit) + 1 for given, digit in zip(givens, logits.argmax(-1), strict=True)]
        return {"answer": show(filled), "solved": is_valid_solution(filled, givens, self.box)}

    def drawn(self, answer: str) -> str:
        rows = [answer[first : first + self.side] for first in range(0, len(answer), self.side)]
        wide = [
            "  ".join(" ".join(row[first : first + self.box[1]]) for first in range(0, self.side, self.box[1]))
            for row in rows
        ]
        return "\n".join(
            row + "\n" * ((place + 1) % self.box[0] == 0 and place + 1 < self.side) for place, row in enumerate(wide)
        )

    def certify(self, x: Tensor, logits: Tensor) -> Tensor:
        """Which filled grids keep the rules: then they are the solution, since a puzzle has only one."""
        return keeps_rules(fill(x, logits), self.box) & logits.isfinite().all(-1).all(-1)

    def max_loops(self, x: Tensor) -> int:
        return 1024

    def default_model(self, text: str) -> str:
        side = side_of(box_of(text))
        if side == 4:
            raise ValueError("4x4 sudokus have no model: expected 36 characters (6x6) or 81 (9x9)")
        return "sudoku-6x6" if side == 6 else "sudoku-9x9-averaged"

    def test_sets(self, size: int, levels: Iterable[float] | None, generator: torch.Generator) -> Iterator[TestSet]:
        if levels is not None:
            raise ValueError("sudoku is tested on its shipped splits, not on levels")
        for split in ("test", "hard", "extreme"):
            yield f"{split} {self.name}", *self.split(split, size), [16, 64, 256]
