"""A task is one file: this maze, in a folder of its own, trains, resumes, is measured, solved, drawn, played."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looped_lite.evaluation import accuracy_over_loops
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.recipe import Recipe, get_task
from looped_lite.solving import solve
from looped_lite.training import train

ROOT = Path(__file__).resolve().parent.parent

MAZE = '''
"""Mazes: mark the shortest path from S to E in a square of walls (#) and floor (.)."""
from dataclasses import dataclass

import torch
from torch.nn.functional import one_hot

from looped_lite.tasks import Task


def steps_from(wall, start):
    """How many steps each cell (side, side) is from the start; -1 where none lead."""
    distance, edge = torch.full(wall.shape, -1), [start]
    distance[start] = 0
    for row, column in edge:
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < len(wall) and 0 <= c < len(wall) and not wall[r, c] and distance[r, c] < 0:
                distance[r, c] = distance[row, column] + 1
                edge.append((r, c))
    return distance


@dataclass(frozen=True)
class Maze(Task):
    side: int = 5

    name = "maze"
    features = 4  # wall, floor, S, E
    classes = 2  # off the path, on it

    def batch(self, size, level, generator):
        x, y = [], []
        while len(x) < size:
            cells = (torch.rand(self.side, self.side, generator=generator) > 0.3).long()
            places = torch.randperm(cells.numel(), generator=generator)[:2]
            start, end = ((int(at) // self.side, int(at) % self.side) for at in places)
            cells[start], cells[end] = 2, 3
            there, back = steps_from(cells == 0, start), steps_from(cells == 0, end)
            if there[end] > 0:  # on a shortest path: the steps from both ends add up to its length
                x.append(one_hot(cells.flatten(), 4).float())
                y.append(((there + back == there[end]) & (there >= 0)).long().flatten())
        return torch.stack(x), torch.stack(y)

    def encode(self, text):
        cells = ["#.SE".find(character) for character in text]
        if len(cells) != self.side**2 or -1 in cells or text.count("S") != 1 or text.count("E") != 1:
            raise ValueError(f"a maze has {self.side**2} characters of # and . and one S and E, got {text[:40]!r}")
        return one_hot(torch.tensor([cells]), 4).float()

    def decode(self, text, logits):
        return {"answer": "".join("*" if on else cell for on, cell in zip(logits.argmax(-1).tolist(), text))}

    def positions(self, cells):
        return torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side))
'''

TEXTS = ["S...E" + "." * 20, "S####" + ".####" * 3 + "....E"]
SETTINGS = {"width": 16, "heads": 2, "steps": 4, "batch": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "my_maze.py").write_text(MAZE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("my_maze", None)


@pytest.fixture(scope="module")
def model(folder):
    return train(Recipe(get_task("my_maze:Maze"), **SETTINGS), progress=False)[0].eval()


def test_it_trains_resumes_comes_back_and_is_measured(folder, model):
    path, stop = folder / "run.safetensors", lambda run: os.kill(os.getpid(), signal.SIGINT) if run.step == 2 else None
    assert not train(model.recipe, checkpoint=path, on_step=stop, progress=False)[1].finished
    resumed, run = train(model.recipe, checkpoint=path, progress=False)
    again = load_pretrained(save_pretrained(resumed, folder / "m.safetensors"))
    assert (
        run.finished
        and again.recipe == model.recipe
        and again.card["recipe"]["task"] == {"kind": "my_maze:Maze", "side": 5}
    )
    ((name, x, y, loops),) = again.recipe.task.test_sets(3, None, torch.Generator())
    right = accuracy_over_loops(again, x, y, loops)
    assert name == "maze 0" and all(torch.equal(right[t], (model(x, t).argmax(-1) == y).all(-1)) for t in loops)


def test_it_is_solved(model):
    for solution in solve(model, TEXTS, loops=20):
        assert len(solution.answer) == 25 and solution.status in ("settled", "cycling", "ran out")
        assert all(mark in ("*", cell) for mark, cell in zip(solution.answer, solution.input, strict=True))
    with pytest.raises(ValueError, match="a maze has 25 characters"):
        list(solve(model, ["S.E"]))


def test_it_is_drawn_and_played(model):
    from looped_lite.boards import board_of
    from looped_lite.solving import watch
    from looped_lite.widgets import watch_player

    draw, describe = board_of(model.recipe.task)(watch(model, TEXTS[0], loops=3), model.recipe.task)
    assert len(draw(3).axes[0].patches) == 25 and "Loop 3 of 3" in describe(3)
    assert "<img" in watch_player(model, TEXTS[1], loops=3).still()


def test_it_trains_and_solves_from_a_terminal(folder):
    def program(*words):
        run = [sys.executable, "-m", "looped_lite", *words]
        done = subprocess.run(
            run, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    tiny = ("--steps", "4", "--batch", "4", "--width", "16", "--heads", "2", "--threads", str(torch.get_num_threads()))
    said = program("train", "my_maze:Maze", "--setting", "side=5", *tiny, "--quiet", "--out", "terminal")
    assert said[1] == "again: looped-lite train my_maze:Maze --width 16 --heads 2 --steps 4 --batch 4"
    row = json.loads(
        program("solve", "my_maze:Maze", TEXTS[0], "--model", "terminal.safetensors", "--json", "--loops", "20")[0]
    )
    assert row["input"] == TEXTS[0] and len(row["answer"]) == 25
