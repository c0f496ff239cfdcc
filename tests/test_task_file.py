"""A task is one file: the maze of lesson 12, copied to a folder that has never heard of the house, trains, resumes, is
measured, solved, drawn and played.
"""

import json
import os
import shutil
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

TEXTS = ["S...E" + "." * 20, "S####" + ".####" * 3 + "....E"]
SETTINGS = {"width": 16, "heads": 2, "steps": 4, "batch": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copyfile(ROOT / "experiments" / "mazes.py", folder / "my_maze.py")
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
    assert run.finished and again.recipe == model.recipe and again.card["recipe"]["task"]["kind"] == "my_maze:Maze"
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


@pytest.mark.slow
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
