"""Run many jobs, each once, and keep what they found: one file a job, written whole or not at all, named by the
recipe's digest.

A sweep may be killed and started again, started twice, or spread over processes and machines that share a disk: a job
is claimed by a lock that dies with its process, its training is resumed where it stood, and the table is put together
from the files.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from looped_lite.checkpoints import write_atomic
from looped_lite.model import LoopedTransformer, count_parameters
from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.training import train

Row = dict[str, Any]
Known = dict[str, Row]  # what the finished jobs left, by key


@dataclass(frozen=True)
class Job:
    """One model to be measured: trained by ``recipe``, or ``pretrained``, the name of a model that was. ``part`` tells
    apart several jobs on one model: a test set, a length."""

    recipe: Recipe
    part: str = ""
    threads: int = 1
    pretrained: str = ""

    @property
    def key(self) -> str:
        """The name of its file: equal for equal jobs, and for no others."""
        ends = [self.part] * bool(self.part) + [f"{self.threads}-threads"] * (self.threads != 1)
        return "-".join([self.recipe.digest, *ends])


def shipped(name: str, part: str = "") -> Job:
    """The job on a model that is in data/checkpoints."""
    return Job(load_pretrained(name).recipe, part, pretrained=name)


@dataclass(frozen=True)
class Experiment:
    """A list of jobs and what is measured on the model of each. ``name`` is that of the folder and of the table in
    data/results.

    ``jobs(known)`` is asked again whenever something became known, so that later jobs can depend on the results of
    earlier ones. ``measure(model, job)`` gives a row or several. ``columns(job)`` is what the table says of a job
    besides, and ``facts`` names what it says of its training. ``ship(job)`` is the name under which a trained model is
    kept in data/checkpoints, if it is.
    """

    name: str
    help: str
    jobs: Callable[[Known], list[Job]]
    measure: Callable[[LoopedTransformer, Job], Row | list[Row]]
    columns: Callable[[Job], Row]
    facts: tuple[str, ...] = ("steps", "parameters", "level", "minutes", "threads", "device")
    ship: Callable[[Job], str] | None = None

    def path(self, *parts: str) -> Path:
        return data_path("results", self.name, *parts)

    @property
    def table(self) -> Path:
        return data_path("results", f"{self.name}.csv")


# ---- the files


def plain(value: Any) -> Any:
    """``value`` as strict JSON can hold it: numbers that are not finite become words."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read_job(path: Path) -> Row:
    """The file of one job. ValueError, in one line, if it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        key = Job(Recipe.from_dict(found["recipe"]), found["part"], found["threads"]).key
        if key != path.stem or not all(isinstance(row, dict) for row in found["rows"]):
            raise ValueError(f"it is the file of {key}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ValueError(f"{path} is no row of results ({reason}): delete it to measure it again") from error
    return found


def known_jobs(experiment: Experiment) -> Known:
    """What the finished jobs of an experiment left, by key."""
    return {path.stem: read_job(path) for path in sorted(experiment.path().glob("*.json"))}


def write_job(experiment: Experiment, job: Job, rows: Row | list[Row], **facts: Any) -> Row:
    """Keep what a job found."""
    rows = [rows] if isinstance(rows, dict) else list(rows)
    found = {"recipe": job.recipe.to_dict(), "part": job.part, "threads": job.threads, "pretrained": job.pretrained}
    found = plain({**found, **facts, "rows": rows})
    write_atomic(experiment.path(f"{job.key}.json"), (json.dumps(found) + "\n").encode())
    return found


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, whole or not at all. Columns are those of all rows, in the order in which they come up."""
    rows, text = list(rows), io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_atomic(path, text.getvalue().encode())


def collate(experiment: Experiment) -> list[Row]:
    """The table of the jobs' files: those of the experiment in its order, then others that lie there, by key."""
    with claim(experiment.path(".running", "table")):
        known = known_jobs(experiment)
        jobs = {job.key: job for job in experiment.jobs(known)}
        rows = []
        for key in [*(key for key in jobs if key in known), *(key for key in known if key not in jobs)]:
            found = known[key]
            job = Job(Recipe.from_dict(found["recipe"]), found["part"], found["threads"], found["pretrained"])
            said = experiment.columns(job) | {name: found.get(name, "") for name in experiment.facts}
            failed = {"failed": found["failed"]} if "failed" in found else {}
            for row in found["rows"] or [{}]:
                if both := sorted(said.keys() & row.keys()):
                    raise ValueError(f"{experiment.name}: {both[0]!r} is measured and said of the job, too: rename one")
                rows.append(said | failed | row)
        if rows:
            write_rows(experiment.table, rows)
    return rows


# ---- running


@contextmanager
def claim(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock at ``path`` until its process ends; without ``wait``, False if another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(lock)
            yield False
            return
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            break
        os.close(lock)  # the one who held it has removed the file: this lock is on nothing
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # before the lock is given up, so that nobody else's file is removed
        os.close(lock)


def run_job(experiment: Experiment, job: Job, device: str = "cpu") -> bool:
    """Do one job, unless it is done, training on ``device``. False if another process is at it."""
    done = experiment.path(f"{job.key}.json")
    with claim(experiment.path(".running", f"{job.key}.lock"), wait=False) as mine:
        if not mine or done.exists():
            return mine
        torch.set_num_threads(job.threads)
        halfway = experiment.path(".running", f"{job.key}.safetensors")
        began, facts, rows = time.perf_counter(), {}, []
        if job.pretrained:
            model = load_pretrained(job.pretrained)
            facts = {key: model.card[key] for key in ("steps", "level", "minutes") if key in model.card}
        else:
            try:
                model, run = train(job.recipe, checkpoint=halfway, progress=False, device=device)
                if not run.finished:
                    raise KeyboardInterrupt
                facts = {"steps": run.step, "level": run.level, "minutes": run.seconds / 60}
                facts["device"] = torch.cuda.get_device_name() if device == "cuda" else device
                facts["arrived"] = arrival(run.history["level"], job.recipe.task.last_level)
            except FloatingPointError as error:
                model, facts = None, {"failed": str(error), "minutes": (time.perf_counter() - began) / 60}
        if model is not None:
            facts["parameters"] = count_parameters(model)
            rows = experiment.measure(model.cpu().eval(), job)
        if model is not None and experiment.ship and not job.pretrained:
            card = {key: value for key, value in facts.items() if key != "device"}
            card = {"trained_on": facts["device"].upper(), **card, "threads": job.threads, "scores": plain(rows)}
            save_pretrained(model, experiment.ship(job), card)
        found = write_job(experiment, job, rows, **facts)
        halfway.unlink(missing_ok=True)
    collate(experiment)
    row = found["rows"][0] if found["rows"] else {}
    said = {name: f"{v:.3g}" if isinstance(v, float) else v for name, v in (experiment.columns(job) | row).items()}
    print(experiment.name, job.key, found.get("failed", ""), *(f"{k}={v}" for k, v in said.items()), flush=True)
    return True


def arrival(levels: list[float], last: float) -> int | str:
    """The step at which a curriculum came to its last level, if it did."""
    return levels.index(last) + 1 if last in levels else ""


def run(
    experiment: Experiment, processes: int = 1, scheduler: str = "", minutes: float = math.inf, device: str = "cpu"
) -> list[Row]:
    """Do all jobs of an experiment that are not done, and return the rows of its table. Begins no job after so many
    ``minutes``.

    One process runs them in order; several run them side by side, here or, with the address of a Dask ``scheduler``, on
    its workers.
    """
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        known = known_jobs(experiment)
        todo = [job for job in experiment.jobs(known) if job.key not in known]
        if not todo:
            break
        if processes == 1 and not scheduler:
            # the first that nobody else is at, then ask again
            mine = any(run_job(experiment, job, device) for job in todo)
        else:
            mine = any(side_by_side(experiment, todo, processes, scheduler, end, device))
        if not mine:
            time.sleep(1)  # others are at all that is left: wait, in case one of them dies
    return collate(experiment)


def side_by_side(
    experiment: Experiment, jobs: list[Job], processes: int, scheduler: str, end: float, device: str
) -> list[bool]:
    """`run_job` for each of ``jobs``, with joblib: in processes of this machine or on the workers of a Dask cluster."""
    import joblib

    def before_end(job: Job) -> bool:
        return time.monotonic() >= end or run_job(experiment, job, device)

    if not scheduler:
        return joblib.Parallel(n_jobs=processes)(joblib.delayed(before_end)(job) for job in jobs)
    from dask.distributed import Client

    with Client(scheduler), joblib.parallel_config(backend="dask"):
        return joblib.Parallel()(joblib.delayed(run_job)(experiment, job, device) for job in jobs)
