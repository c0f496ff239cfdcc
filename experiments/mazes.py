"""Mazes: mark the shortest way from S to E between walls (#) on floor (.). A fourth task in one file, and what lesson
12 asks of it.

``looped-lite train experiments.mazes:Maze`` trains it; training, evaluation, solving, a board and a widget need nothing
else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
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

    ``side`` is odd; rooms lie on even rows and columns, and the wall between two rooms falls when a tree of passages
    grows through it. It grows from its newest room or from any of its rooms; how often from which is drawn for each
    maze, so that there are mazes of long corridors and mazes of many short dead ends.
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
    """How many of the four cells beside each cell are ``marked`` (batch, side, side) bool: whole numbers of the same
    shape.
    """
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
    """The cells that lie on a shortest way from START to END of each maze, (batch, side, side) numbers -> bool; none
    where there is no way.
    """
    there, back = (steps_from(mazes == end, mazes == WALL) for end in (START, END))
    length = there.masked_fill(mazes != END, -1).amax((1, 2), keepdim=True)
    return (there >= 0) & (length >= 0) & (there + back == length)


def filling(mazes: Tensor) -> tuple[Tensor, Tensor]:
    """Close dead ends, all at once and again: what stays open of each maze, (batch, side, side) bool, and in how many
    rounds, (batch,).

    A dead end is an open cell with at most one open cell beside it; S and E are none. In a perfect maze the way stays
    open.
    """
    kept, is_open, rounds = (mazes == START) | (mazes == END), mazes != WALL, torch.zeros(len(mazes), dtype=torch.long)
    while True:
        dead = is_open & ~kept & (beside(is_open) <= 1)
        if not dead.any():
            return is_open, rounds
        rounds += dead.any((1, 2))
        is_open = is_open & ~dead


# ---------------------------------------------------------------- the task


@dataclass(frozen=True)
class Maze(Task):
    """Perfect mazes of ``side`` by ``side`` cells, an odd number. With ``attention="beside"`` a cell looks at itself
    and at the four cells beside it, with a learned bias for each of the five; ``"full"``: at the whole maze, by rotary
    positions.
    """

    side: int = 5
    attention: str = "beside"
    most_loops: int = 12

    name = "maze"
    features = 4  # wall, floor, S, E
    classes = 2  # off the way, on it

    def __post_init__(self) -> None:
        keep(self, whole, 3, 99, "side")
        keep(self, whole, 1, 10**4, "most_loops")
        if self.side % 2 == 0 or self.attention not in ("beside", "full"):
            raise ValueError(
                f"expected an odd side, and attention beside or full, got {self.side} and {short(self.attention)}"
            )

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """So many mazes, (size, side, side) numbers, each with S and E in two of its rooms."""
        rng, rooms = random.Random(int(torch.randint(2**62, (), generator=generator))), self.side // 2 + 1
        grids = [carve(self.side, rng) for _ in range(size)]
        for grid in grids:
            for kind, room in zip((START, END), rng.sample(range(rooms**2), 2), strict=True):
                grid[room // rooms * 2][room % rooms * 2] = kind
        return torch.tensor(grids)

    def tensors(self, mazes: Tensor) -> tuple[Tensor, Tensor]:
        """Mazes (batch, side, side) as inputs (batch, cells, 4) and targets (batch, cells). Walls are not scored."""
        return F.one_hot(mazes.flatten(1), 4).float(), way(mazes).long().masked_fill(mazes == WALL, IGNORE).flatten(1)

    def batch(self, size: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.tensors(self.draw(batch_size(size, self.side**2, self.features, generator), generator))

    def encode(self, text: str) -> Tensor:
        cells = "".join(plain_text(text).split())
        if len(cells) != self.side**2 or set(cells) - set(LETTERS) or cells.count("S") != 1 or cells.count("E") != 1:
            raise ValueError(f"a maze has {self.side**2} characters of # and . and one S and one E, got {short(text)}")
        return F.one_hot(torch.tensor([[LETTERS.index(letter) for letter in cells]]), 4).float()

    def decode(self, text: str, logits: Tensor) -> dict[str, Any]:
        cells, on = "".join(plain_text(text).split()), logits.argmax(-1).tolist()
        return {"answer": "".join("*" if mark and cell == "." else cell for mark, cell in zip(on, cells, strict=True))}

    def drawn(self, answer: str) -> str:
        side = isqrt(len(answer))
        return "\n".join(answer[at : at + side] for at in range(0, len(answer), side))

    def positions(self, cells: int) -> Tensor:
        return torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side))

    def architecture(self, heads: int) -> dict[str, Any]:
        if self.attention == "full":
            return {}
        down, right = (axis[None] - axis[:, None] for axis in self.positions(self.side**2).T)
        near = down.abs() + right.abs() <= 1
        # five kinds of neighbour, the same for every side: weights that were trained on small mazes fit large ones
        return {"mask": near.repeat(heads, 1, 1), "offsets": (2 * down + right + 2).masked_fill(~near, 0)}


def as_text(maze: Tensor) -> str:
    """A maze (side, side) as the text that `Maze.encode` reads."""
    return "".join(LETTERS[cell] for cell in maze.flatten().tolist())


def enlarged(model: Any, side: int) -> Any:
    """The same weights in a model for mazes of another ``side``."""
    larger = replace(model.recipe, task=replace(model.recipe.task, side=side)).build()
    larger.load_state_dict(model.state_dict())
    return larger.eval().requires_grad_(False)
