"""Mazes: mark the shortest way from S to E between walls (#) on floor (.). A fourth task in one file, and what lesson 12 asks of it.

``looped-lite train experiments.mazes:Maze`` trains it; training, evaluation, solving, a board and a widget need nothing else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from looped_lite.checks import batch_size, keep, plain_text, short, whole
from looped_lite.tasks import IGNORE, Task

WALL, FLOOR, START, END = range(4)
LETTERS = "#.SE"


# ---------------------------------------------------------------- mazes


def carve(side: int, rng: random.Random) -> list[list[int]]:
    """A perfect maze, ``side`` rows of 0 for wall and 1 for floor: between any two floor cells there is just one way.

    ``side`` is odd; rooms lie on even rows and columns, and the wall between two rooms falls when a tree of passages grows through it.
    It grows from its newest room or from any of its rooms; how often from which is drawn for each maze, so that there are mazes of long
    corridors and mazes of many short dead ends.
    """
    grid, rooms, newest = [[WALL] * side for _ in range(side)], [(0, 0)], rng.random()
    grid[0][0] = FLOOR
    while rooms:
        place = len(rooms) - 1 if rng.random() < newest else int(rng.random() * len(rooms))
        row, column = rooms[place]
        new = [
            (r, c)
            for r, c in ((row - 2, column), (row + 2, column), (row, column - 2), (row, column + 2))
            if 0 <= r < side and 0 <= c < side and not grid[r][c]
        ]
        if not new:
            rooms.pop(place)
            continue
        r, c = new[int(rng.random() * len(new))]
        grid[r][c] = grid[(row + r) // 2][(column + c) // 2] = FLOOR
        rooms.append((r, c))
    return grid


def beside(marked: Tensor) -> Tensor:
    """How many of the four cells beside each cell are ``marked`` (batch, side, side) bool: whole numbers of the same shape."""
    padded = F.pad(marked.long(), (1, 1, 1, 1))
    return padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]


def steps_from(start: Tensor, wall: Tensor) -> Tensor:
    """How many steps each cell is from ``start``, both (batch, side, side) bool: whole numbers, -1 where no way leads.

    A flood: in each loop, what lies beside water and is no wall becomes wet. It rests when nothing new does.
    """
    wet, distance, loops = start.clone(), start.long() - 1, 0
    while True:
        new = (beside(wet) > 0) & ~wall & ~wet
        if not new.any():
            return distance
        loops += 1
        distance[new] = loops
        wet |= new


def way(mazes: Tensor) -> Tensor:
    """The cells that lie on a shortest way from START to END of each maze, (batch, side, side) numbers -> bool; none where there is no way."""
    there, back = (steps_from(mazes == end, mazes == WALL) for end in (START, END))
    length = there.masked_fill(mazes != END, -1).amax((1, 2), keepdim=True)
    return (there >= 0) & (length >= 0) & (there + back == length)


def filling(mazes: Tensor) -> tuple[Tensor, Tensor]:
    """Close dead ends, all at once and again: what stays open of each maze, (batch, side, side) bool, and in how many rounds, (batch,).

    A dead end is an open cell with at most one open cell beside it; S and E are none. In a perfect maze the way stays open.
    """
    kept, is_open, rounds = (mazes == START) | (mazes == END), mazes != WALL, torch.zeros(len(mazes), dtype=torch.long)
    while True:
        dead = is_open & ~kept & (beside(is_open) <= 1)
        if not dead.any():
            return is_open, rounds
        rounds += dead.any((1, 2))
        is_open = is_open & ~dead


# ---------------------------------------------------------------- the task


def neighbourhood(side: int, reach: int) -> tuple[Tensor, Tensor]:
    """Which cells lie at most ``reach`` rows and columns apart, (cells, cells) bool; and a number for each kind of neighbour, which is the
    same for every ``side``: so weights that were trained on small mazes fit large ones."""
    row, column = torch.arange(side**2) // side, torch.arange(side**2) % side
    down, right = row - row[:, None], column - column[:, None]
    near = (down.abs() <= reach) & (right.abs() <= reach)
    return near, ((down + reach) * (2 * reach + 1) + right + reach).masked_fill(~near, 0)


@dataclass(frozen=True)
class Maze(Task):
    """Perfect mazes in a square of ``side`` by ``side`` cells, an odd number. A cell looks ``reach`` cells far, diagonals too; 0: at all.

    The level is the side of the maze itself, which lies anywhere in the square with wall around it: training begins with small ones.
    """

    side: int = 7
    reach: int = 1
    first_level: float = 3
    most_loops: int = 16

    name = "maze"
    features = 4  # wall, floor, S, E
    classes = 2  # off the way, on it

    def __post_init__(self) -> None:
        keep(self, whole, 3, 99, "side")
        keep(self, whole, 0, 99, "reach")
        keep(self, whole, 1, 10**4, "most_loops")
        if self.side % 2 == 0:
            raise ValueError(f"side must be an odd number, got {self.side}")

    @property
    def last_level(self) -> float:
        return self.side

    def harder(self, level: float) -> float:
        return min(level + 2, self.last_level)

    def draw_level(self, level: float, generator: torch.Generator) -> float:
        """One batch in five is of the size before."""
        return max(level - 2 * (torch.rand((), generator=generator) < 0.2).item(), self.first_level)

    def loops(self, level: float) -> int:
        return max(1, round(self.most_loops * (level + 1) / (self.last_level + 1)))

    def draw(self, size: int, inner: int, generator: torch.Generator) -> Tensor:
        """So many mazes with a side of ``inner``, (size, side, side) numbers, each with S and E in two of its rooms."""
        rng, rooms = random.Random(int(torch.randint(2**62, (), generator=generator))), inner // 2 + 1
        mazes = torch.zeros(size, self.side, self.side, dtype=torch.long)
        for maze in mazes:
            grid = carve(inner, rng)
            for kind, room in zip((START, END), rng.sample(range(rooms**2), 2), strict=True):
                grid[room // rooms * 2][room % rooms * 2] = kind
            down, right = (rng.randrange(self.side - inner + 1) for _ in range(2))
            maze[down : down + inner, right : right + inner] = torch.tensor(grid)
        return mazes

    def tensors(self, mazes: Tensor) -> tuple[Tensor, Tensor]:
        """Mazes (batch, side, side) as inputs (batch, cells, 4) and targets (batch, cells). Walls are not scored."""
        return F.one_hot(mazes.flatten(1), 4).float(), way(mazes).long().masked_fill(mazes == WALL, IGNORE).flatten(1)

    def batch(self, size: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        size = batch_size(size, self.side**2, self.features, generator)
        return self.tensors(self.draw(size, whole("level", level, 3, self.side), generator))

    def encode(self, text: str) -> Tensor:
        cells = "".join(plain_text(text).split())
        wrong = next((letter for letter in cells if letter not in LETTERS), "")
        if len(cells) != self.side**2 or wrong or cells.count("S") != 1 or cells.count("E") != 1:
            raise ValueError(f"a maze has {self.side**2} characters of # and . and one S and one E, got {short(text)}")
        return F.one_hot(torch.tensor([[LETTERS.index(letter) for letter in cells]]), 4).float()

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        cells = "".join(plain_text(text).split())
        on = logits.argmax(-1).tolist()
        return {"answer": "".join("*" if mark and cell == "." else cell for mark, cell in zip(on, cells, strict=True))}

    def drawn(self, answer: str) -> str:
        side = isqrt(len(answer))
        return "\n".join(answer[at : at + side] for at in range(0, len(answer), side))

    def positions(self, cells: int) -> Tensor:
        return torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side))

    def architecture(self, heads: int) -> dict[str, Any]:
        if not self.reach:
            return {}
        near, kinds = neighbourhood(self.side, self.reach)
        return {"mask": near.repeat(heads, 1, 1), "offsets": kinds}
