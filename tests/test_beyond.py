"""Beyond one block: several processes train as one does, a reward for standing still, and runs that are cut short where
they repeat.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.beyond import EXPERIMENTS, states_at
from looped_lite import training
from looped_lite.model import Loop
from looped_lite.recipe import Recipe
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku
from looped_lite.training import Run, State, make_optimizers, relative_step, train, train_step

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"width": 8, "heads": 4, "batch": 8, "steps": 6}


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """The shares have unequal numbers of scored cells, the curriculum moves on, and the last step counts."""
    recipe = Recipe(Sudoku((2, 3), first_level=0.9, most_loops=2), advance=0.0, still=0.1, **SMALL)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    words = ["--nproc-per-node", "2", "--standalone", "-m", "experiments.together"]
    files = [str(tmp_path / name) for name in ("recipe.json", "losses.csv")]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *words, *files], check=True, timeout=300, cwd=ROOT)
    _, alone = train(recipe, progress=False)
    with open(tmp_path / "losses.csv", encoding="utf-8") as file:
        together = [float(row["loss"]) for row in csv.DictReader(file)]
    assert together == pytest.approx(alone.history["loss"], rel=1e-5) and len(set(alone.history["level"])) > 1


def test_shares_must_be_equal(monkeypatch):
    monkeypatch.setattr(training, "process", lambda: (0, 3))
    for settings in ({}, {"batch": 6, "pool": 6}):
        with pytest.raises(ValueError, match="3 processes share a batch of equal parts and no pool: got batch"):
            train(Recipe(PrefixSums(), **{**SMALL, **settings}), progress=False)


def test_the_last_step_counts_in_the_loss():
    before, z = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]), torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])
    assert float(relative_step(before, z)) == pytest.approx((16 / 9 + 1) / 2)
    losses = []
    for still in (0.0, 0.5, 1.0):
        recipe = Recipe(PrefixSums(), still=still, **SMALL)
        model, generator = recipe.build(), torch.Generator().manual_seed(0)
        losses.append(train_step(State(recipe, model, make_optimizers(model, recipe), generator, Run(level=4))))
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 2) and losses[2] > losses[0]


@pytest.mark.parametrize("period", [0, 1, 3])
def test_what_follows_a_repetition_is_known(period):
    """A loop of whole numbers that counts to 20 and then goes round: each state is what it would be in the long run."""

    class Counting(Loop):
        def __init__(self):
            self.calls = 0

        def start(self):
            return torch.zeros(1)

        def __call__(self, z):
            self.calls += 1
            return z + 1 if not period or z < 20 else 20 + (z + 1 - 20) % period

    wanted, loop = (1, 19, 200, 1001), Counting()
    found, since, length = states_at(loop, wanted)
    long = [torch.zeros(1)]
    for _ in range(1001):
        long.append(loop(long[-1]))
    assert {t: (float(a), float(b)) for t, (a, b) in found.items()} == {
        t: (float(long[t - 1]), float(long[t])) for t in wanted
    }
    assert length == period and (since >= 20) == bool(period) and (loop.calls < 1100) == bool(period)


def test_every_experiment_names_its_jobs():
    for experiment in EXPERIMENTS:
        keys = [job.key for job in experiment.jobs({})]
        assert keys and len(set(keys)) == len(keys), experiment.name
