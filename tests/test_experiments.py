"""Sweeps: a job is done once, whoever asks; what a killed one left is gone on with; damaged rows are named."""

import contextlib
import io
import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import chess, judges, prefix_sums, restarts, stopping, sudoku
from experiments.__main__ import main
from experiments.grid import RATES, cell_of, chosen, grid_jobs
from experiments.sweep import Experiment, Job, collate, known_jobs, plain, read_job, run, run_job, write_rows
from looped_lite.paths import read_rows
from looped_lite.recipe import Recipe
from looped_lite.stopping import Seen
from looped_lite.tasks.prefix_sums import PrefixSums

SMALL = {"width": 8, "heads": 2, "batch": 4, "steps": 6}
TASK = PrefixSums(first_level=2, last_level=4, most_loops=2, last_loops=None)


def jobs(known):
    return [Job(Recipe(TASK, seed=seed, **SMALL)) for seed in range(4)]


def measure(model, job):
    return {"weights": float(sum(p.detach().sum() for p in model.parameters()))}


def columns(job):
    return {"seed": job.recipe.seed}


SEEN = Seen(1, torch.ones(2), torch.zeros(2), torch.zeros(2) > 0, torch.ones(2), torch.zeros(2, 3))
TRIAL = Experiment("trial", "four small models", jobs, measure, columns, facts=("steps",))


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder of our own."""
    monkeypatch.setenv("LOOPED_LITE_DATA", str(tmp_path))
    return tmp_path


def values():
    return [(row["seed"], row["weights"]) for row in read_rows(TRIAL.table)]


def test_a_sweep_run_twice_does_nothing_twice():
    first = run(TRIAL)
    times = {path: path.stat().st_mtime_ns for path in TRIAL.path().glob("*.json")}
    assert len(first) == 4 and len(times) == 4 and run(TRIAL) == first
    assert times == {path: path.stat().st_mtime_ns for path in TRIAL.path().glob("*.json")}
    assert not list(TRIAL.path(".running").glob("*.safetensors")), "nothing half-way is left"


def test_rows_differ_by_every_setting():
    keys = {Job(Recipe(TASK, **{**SMALL, **change})).key for change in ({}, {"lr": 1e-3}, {"beta2": 0.9}, {"seed": 1})}
    assert len(keys) == 4 and Job(Recipe(TASK, **SMALL), threads=2).key not in keys


@pytest.mark.slow
def test_processes_side_by_side_and_doubled_sweeps_find_the_same():
    run(TRIAL)
    alone = values()
    for path in TRIAL.path().glob("*.json"):
        path.unlink()
    fork = multiprocessing.get_context("spawn")
    doubled = [fork.Process(target=run, args=(TRIAL,)) for _ in range(2)]
    for process in doubled:
        process.start()
    for process in doubled:
        process.join(120)
        assert process.exitcode == 0
    assert values() == alone


@pytest.mark.slow
def test_a_killed_sweep_goes_on():
    run(TRIAL)
    whole = values()
    for path in TRIAL.path().glob("*.json"):
        path.unlink()
    process = multiprocessing.get_context("spawn").Process(target=run, args=(TRIAL,))
    process.start()
    end = time.monotonic() + 60
    while not list(TRIAL.path().glob("*.json")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert 1 <= len(known_jobs(TRIAL)) <= 4
    run(TRIAL)
    assert values() == whole


def test_a_training_that_fails_is_a_row(monkeypatch):
    def fails(recipe, **ways):
        raise FloatingPointError("the loss is nan at step 3: try a smaller learning rate")

    monkeypatch.setattr("experiments.sweep.train", fails)
    assert run_job(TRIAL, jobs({})[0])
    (row,) = collate(TRIAL)
    assert row["failed"].startswith("the loss is nan") and row["seed"] == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"recipe": {}}', '{"recipe": 3, "part": "", "threads": 1, "rows": []}']
)
def test_damaged_rows_are_named(data, text):
    run_job(TRIAL, jobs({})[0])
    (path,) = TRIAL.path().glob("*.json")
    path.write_text(text)
    with pytest.raises(ValueError, match="is no row of results"):
        read_job(path)


def test_a_row_under_another_name_is_named():
    run_job(TRIAL, jobs({})[0])
    (path,) = TRIAL.path().glob("*.json")
    with pytest.raises(ValueError, match="it is the file of"):
        read_job(path.rename(path.with_stem("0" * 12)))


def test_what_is_measured_does_not_hide_what_is_said_of_the_job():
    with pytest.raises(ValueError, match="trial: 'seed' is measured and said of the job, too"):
        run_job(replace(TRIAL, measure=lambda model, job: {"seed": 3}), jobs({})[0])


def test_tables_of_uneven_rows(data):
    write_rows(data / "x.csv", [{"a": 1, "b": 0.123456789}, {"a": 2, "c": "x"}])
    assert read_rows(data / "x.csv") == [{"a": "1", "b": "0.123457", "c": ""}, {"a": "2", "b": "", "c": "x"}]
    assert plain({"a": [float("nan"), float("inf")], "b": (1, 2)}) == {"a": ["nan", "inf"], "b": [1, 2]}
    json.dumps(plain({"a": float("-inf")}), allow_nan=False)


def test_a_grid_chooses_the_rate_of_each_cell_on_validation_data():
    known, cell = {}, [("internal", "post")]
    grid = lambda: grid_jobs(known, TASK, PrefixSums(most_loops=1, last_loops=None), 6, cell)
    first = grid()
    assert [(job.recipe.lr, job.recipe.seed) for job in first] == [(rate, 0) for rate in RATES]
    for job, value in zip(first, (0.2, 0.7), strict=True):
        known[job.key] = {"rows": [{"validation": value}]}
    assert [(job.recipe.lr, job.recipe.seed) for job in grid()[2:]] == [(RATES[1], 1), (RATES[1], 2)]
    assert all(cell_of(job.recipe) == cell[0] for job in grid())
    rows = [
        {"recall": "internal", "norm": "post", "lr": lr, "seed": seed, "validation": value}
        for lr, seed, value in (("0.003", "0", "0.2"), ("0.001", "0", "0.7"), ("0.001", "1", "0.1"))
    ]
    assert [(row["lr"], row["seed"]) for row in chosen(rows)] == [("0.001", "0"), ("0.001", "1")]


def test_every_experiment_names_its_jobs(monkeypatch):
    monkeypatch.delenv("LOOPED_LITE_DATA")
    for experiment in [
        e for part in (prefix_sums, sudoku, chess, stopping, restarts, judges) for e in part.EXPERIMENTS
    ]:
        keys = [job.key for job in experiment.jobs({})]
        assert keys and len(set(keys)) == len(keys), experiment.name


def test_goals_are_judged_by_rows(monkeypatch):
    """Right are those that are solved and not wrong, after the last row of a job: all loops, all tries."""
    job = Job(Recipe(TASK))
    few, many = {"loops": 64, "tries": 1, "solved": 0}, {"loops": 64, "tries": 16, "solved": 97}
    sets = {part for part, _, _ in sudoku.GOALS}
    rows = {f"{job.key}-{part}": {"rows": [{**row, "count": 100, "wrong": 1} for row in (few, many)]} for part in sets}
    monkeypatch.setattr(sudoku, "run_job", lambda experiment, job: True)
    monkeypatch.setattr(sudoku, "known_jobs", lambda experiment: rows)
    found = sudoku.measure_goals(None, job)
    assert [row["met"] for row in found] == [goal <= 0.96 for _, _, goal in sudoku.GOALS]
    assert all((row["right"], row["wrong"], row["loops"], row["share"]) == (96, 1, 1024, 0.96) for row in found)
    assert all(row["low"] < 0.96 < row["high"] for row in found)


def test_schedules_of_tries_spend_what_they_say():
    never = float("inf")
    times = torch.tensor([[never, 40.0, 40.0], [10.0, never, never], [never, never, never]])
    assert [restarts.luby(n) for n in range(15)] == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]
    solved, loops = restarts.spend(times, lambda n: 64, 100)
    assert solved.tolist() == [0, 1, 0] and loops.tolist() == [100, 10, 100]  # the second try has 36 loops left
    solved, loops = restarts.spend(times, lambda n: 32 + 32 * n, 200)
    assert solved.tolist() == [1, 1, 0] and loops.tolist() == [72, 10, 200]


def test_a_rule_is_chosen_on_validation_data_and_then_only():
    seen = [replace(SEEN, loops=t, residual=torch.tensor([1.0, 1.0]) / t) for t in range(1, 9)]
    right = torch.tensor([[False, False]] * 3 + [[True, False]] + [[True, True]] * 4)
    rules = {tol: stopping.still(tol) for tol in (0.5, 0.25, 0.2, 0.125)}
    assert stopping.choose("unchanged", rules, [(seen, right)], 1.0) == 0.2
    assert stopping.choose("unchanged", rules, [(seen, right)], 0.505) == 0.25
    loops, hits = stopping.outcome("unchanged", rules[0.25], [(seen, right)])
    assert loops.tolist() == [4, 4] and hits.tolist() == [True, False]
    loops, _ = stopping.outcome("residual", rules[0.5], [(seen, right)])
    assert loops.tolist() == [4, 4]  # asked every four loops only


@pytest.mark.slow
def test_the_program(capsys, monkeypatch):
    monkeypatch.delenv("LOOPED_LITE_DATA")
    assert main([]) == 0 and "prefix-sums-grid" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["no-such"])


def on_a_small_disk(most):
    """The sweep in a process that can write no file longer than ``most`` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            run(TRIAL)
        except OSError:
            os._exit(28)


@pytest.mark.slow
@pytest.mark.parametrize("most", [100, 4000])
def test_a_full_disk_stops_a_sweep_with_its_rows_whole(most):
    """Too small for any row, or for the states of a training."""
    process = multiprocessing.get_context("spawn").Process(target=on_a_small_disk, args=(most,))
    process.start()
    process.join(120)
    assert process.exitcode == 28
    assert known_jobs(TRIAL) == {} and not list(TRIAL.path().rglob("*.tmp*"))
    assert len(run(TRIAL)) == 4 == len(values())


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_costs_no_row(data, monkeypatch):
    distributed = pytest.importorskip("distributed")
    run(TRIAL)
    alone = values()
    for path in [*TRIAL.path().glob("*.json"), TRIAL.table]:
        path.unlink()
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))  # the workers import this file
    with distributed.LocalCluster(
        2, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None
    ) as two:
        victim = next(iter(two.workers.values())).process.pid
        watch = threading.Thread(target=kill_at_first_row, args=(victim,))
        watch.start()
        run(TRIAL, scheduler=two.scheduler_address)
        watch.join(120)
    assert values() == alone


def kill_at_first_row(process):
    end = time.monotonic() + 60
    while not list(TRIAL.path().glob("*.json")) and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)


def test_loops_until_right_for_good(monkeypatch):
    from experiments import fill_or_flood

    right = [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]  # instances by loops
    logits = {t: torch.tensor([[[0.5, float(row[t - 1])]] for row in right]) for t in range(1, 5)}
    monkeypatch.setattr(fill_or_flood, "logits_over_loops", lambda model, x, loops: {t: logits[t] for t in loops})
    found = fill_or_flood.needed(None, None, torch.ones(5, 1, dtype=torch.long), loops=4)
    assert found.tolist() == [2, 3, 0, 1, 0]
