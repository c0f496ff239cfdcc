"""``python -m coursework ASSIGNMENT SUBMISSIONS/ --out DIR``: marks, feedback and a class summary, from notebooks that
are run elsewhere.

For each submission: read the file (`submissions`), let a locked-up worker run its cells and call its functions on the
hidden cases (`sandbox`), judge the outcomes here with the assignment's declarations, and write one result file. What
a submission sends is data; nothing of it is run or unpickled here. Grading again, or going on after an interruption,
gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import pkgutil
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from looped_exercises import Exercise, Outcome, Verdict
from looped_exercises.plain import Case
from looped_lite.checkpoints import write_atomic

from . import feedback, sandbox
from .problems import PRELUDE, Assignment, Problem, function_name, hidden_seed, personal
from .sandbox import Limits, Sandbox, Stopped
from .submissions import OUTCOMES, Submission, collect, notes_about, read

JUDGING = threading.Lock()  # judging calls references with seeded random numbers, which are the process's
BUDGET = 180  # seconds that one submission may keep a grader waiting, in all
STOPS = {
    "time": "ran for longer than allowed, or took more memory, and was stopped. Is there a loop that never ends?",
    "ended": "ended Python itself (exit), so there was nothing left to ask.",
    "signal": "made Python crash.",
    "output": "gave back more than can be sent.",
    "garbled": "sent something that is not an answer.",
}

VALUES = (  # how a comparison says what was expected, and what the feedback says instead
    (r", the most at \[.*$", "."),
    (r"expected (-?[\d.]+(e[-+]?\d+)?|-?inf|nan|NaN|True|False|None|'.*?'), got .*$", "the value is not right."),
    (r"expected (bool|int|float|str) \S+, got", r"expected a value of type \1, got"),
    (
        r"expected (list|tuple|dict) [\[({].*?, got (?=an? |None|bool|int|float|str|list|tuple|dict)",
        r"expected a \1, got ",
    ),
    (r"expected the keys .*$", "the keys are not right."),
)

# --- one submission ---


class Run:
    """A submission in a worker. When the worker is stopped a new one is started, without the cell that stopped it."""

    def __init__(
        self, submission: Submission, assignment: Assignment, mine: dict[str, Any], start: Callable[[], Sandbox]
    ):
        problems = {problem.name for problem in assignment.problems}
        kept = [
            cell
            for cell in submission.cells
            if cell.name in problems or not cell.name.startswith(f"{assignment.name}-")
        ]
        self.cells = [(cell, cell.name in problems) for cell in kept]
        self.names, self.start, self.worker = {"STUDENT": submission.student, "mine": mine}, start, None
        self.notes: dict[int, list[str]] = {}
        self.ends = time.monotonic() + BUDGET

    def ready(self) -> Sandbox:
        """A worker that has run all cells, but for those that stop it. Raises `Stopped` when the time for this
        submission is up."""
        while self.worker is None:
            if time.monotonic() > self.ends:
                raise Stopped("time")
            worker = self.begin()
            running = None
            try:
                worker.ask(do="set", names=self.names)
                worker.ask(do="run", source=PRELUDE, whole=True, place="cell 0")
                for running, whole in list(self.cells):
                    said = worker.ask(do="run", source=running.source, whole=whole, place=f"cell {running.place}")
                    self.notes[running.place] = [str(text)[:300] for text in said] if type(said) is list else []
                self.worker = worker
            except Stopped as stopped:
                if running is None:
                    raise
                self.notes[running.place] = [f"cell {running.place} {STOPS[stopped.reason]}"]
                self.cells = [pair for pair in self.cells if pair[0] is not running]
        return self.worker

    def begin(self) -> Sandbox:
        """A new worker. One that does not start has nothing to do with the submission: on a busy machine the third
        may."""
        for again in (True, True, False):
            try:
                return self.start()
            except RuntimeError:
                if not again:
                    raise
        raise AssertionError

    def call(self, function: str, cases: Sequence[Case]) -> Any:
        """What came of a function on the cases: outcomes, or a word about why there are none. Raises `Stopped`."""
        try:
            return self.ready().ask(do="call", function=function, cases=list(cases))
        except Stopped:
            self.worker = None
            raise

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


def grade_problem(run: Run, problem: Problem, exercise: Exercise, seed: int) -> Verdict:
    """The verdict on one problem."""
    cases = exercise.make_cases(seed)
    name = function_name(exercise)
    try:
        said = run.call(name, cases)
    except Stopped as stopped:
        return Verdict("stopped", f"{name} {STOPS[stopped.reason]}")
    if type(said) is str:
        own = [text for cell, _ in run.cells if cell.name == problem.name for text in run.notes.get(cell.place, [])]
        own = own or [text for texts in run.notes.values() for text in texts]
        because = f" ({own[0]})" if own else ""
        return Verdict("missing", f"There is no function called {name} in the notebook{because}." if said == "nothing"
                       else f"{name} is not a function, but of type {said}.")  # fmt: skip
    try:
        outcomes = [trusted(each) for each in said]
        with JUDGING:
            return exercise.judge(cases, outcomes)
    except Exception as error:  # outcomes are what a submission makes them: at worst they are wrong
        return Verdict("wrong", f"{name} gave back something that cannot be compared ({type(error).__name__}).")


def trusted(outcome: Any) -> Outcome:
    """An outcome whose parts are of the kinds that they should be. TypeError or AttributeError otherwise."""
    if type(outcome) is not Outcome or type(outcome.error) is not str or type(outcome.stopped) is not str:
        raise TypeError("not an outcome")
    changed = [place for place in outcome.changed if type(place) in (int, str)]
    calls = {key: count for key, count in outcome.calls.items() if type(key) in (int, str) and type(count) is int}
    return Outcome(outcome.value, outcome.error[:400], outcome.stopped[:60], changed, bool(outcome.printed), calls)


def grade_one(
    student: str, entry: Path, assignment: str | Assignment, out: Path, secret: str, limits: Limits, way: str,
    package: Path, covered: tuple[Path, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Grade one submission, or read the result of an earlier time. Never raises for what the submission is or does."""
    assignment = get_assignment(assignment) if isinstance(assignment, str) else assignment
    submission = read(student, entry, assignment.name)
    key = identity(submission, assignment, secret, limits)
    path = out / "results" / f"{key[:24]}.json"
    earlier = earlier_result(path, key)
    if earlier is not None:
        return earlier
    mine = personal(assignment.numbers, assignment.name, student)
    result = {
        "key": key,
        "student": student,
        "assignment": assignment.name,
        "outcome": submission.outcome,
        "notes": submission.notes,
    }
    verdicts = {
        problem.name: Verdict("missing", OUTCOMES.get(submission.outcome, "")) for problem in assignment.problems
    }
    if not submission.outcome:
        run = Run(submission, assignment, mine, lambda: Sandbox(way, package, limits, covered))
        for problem in assignment.problems:
            exercise = problem.declare(mine)
            verdicts[problem.name] = grade_problem(run, problem, exercise, hidden_seed(secret, problem.name))
        run.close()
        result["notes"] = submission.notes + notes_about(submission.cells, list(verdicts))
    result["problems"] = {
        problem.name: {
            "points": problem.points if verdicts[problem.name].state == "solved" else 0,
            "state": verdicts[problem.name].state,
            "sentence": scrub(discreet(verdicts[problem.name])),
            "mistake": verdicts[problem.name].mistake,
        }
        for problem in assignment.problems
    }
    result["score"] = sum(problem["points"] for problem in result["problems"].values())
    write_atomic(path, (json.dumps(result, indent=1, sort_keys=True) + "\n").encode())
    return result


def identity(submission: Submission, assignment: Assignment, secret: str, limits: Limits) -> str:
    """A digest of all that a result depends on."""
    facts = [
        submission.student,
        submission.outcome,
        submission.path.name,
        assignment.name,
        assignment.version,
        secret,
        asdict(limits),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + b"\0" + submission.data).hexdigest()


def earlier_result(path: Path, key: str) -> dict[str, Any] | None:
    """What an earlier grading found, if its file is whole and of the same submission, assignment and settings."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if type(result) is dict and result.get("key") == key else None


def discreet(verdict: Verdict) -> str:
    """A verdict's sentence without the values that a hidden case expects; a named mistake holds none."""
    text = verdict.sentence
    if not verdict.mistake and verdict.state == "wrong":
        for pattern, instead in VALUES:
            text = re.sub(pattern, instead, text)
    return text


def scrub(text: str) -> str:
    """A sentence without addresses in memory, which differ from run to run, and in one line."""
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", " ".join(text.split()))[:600]


# --- a class ---


def assignment_names() -> list[str]:
    from . import assignments

    return sorted(found.name for found in pkgutil.iter_modules(assignments.__path__))


def get_assignment(name: str) -> Assignment:
    """An assignment by its name. ValueError if there is none of that name."""
    if name not in assignment_names():
        raise ValueError(f"no assignment is called {name[:40]!r}: expected one of {', '.join(assignment_names())}")
    return importlib.import_module(f"coursework.assignments.{name}").ASSIGNMENT


def grade(
    assignment: str | Assignment, submissions: Path, out: Path, secret: str = "", workers: int = 1, dask: str = "",
    isolation: str = "auto", limits: Limits | None = None, progress: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Grade a folder of submissions into ``out``; the results, by student.

    ``secret`` is the instructor's word for this class: hidden cases are drawn from it. ``workers`` submissions are
    graded at a time; with ``dask``, the address of a scheduler, on its cluster, whose machines must see the same
    folders. ValueError for input that is no class, or where no safe isolation works.
    """
    from joblib import Parallel, delayed, parallel_config
    from tqdm import tqdm

    assignment = get_assignment(assignment) if isinstance(assignment, str) else assignment
    limits, way = limits or Limits(), sandbox.choose(isolation)
    entries = collect(submissions, assignment.name)
    out = Path(out).resolve()
    (out / "results").mkdir(parents=True, exist_ok=True)
    covered = tuple(sandbox.hidden((submissions, out)))
    package = Path(tempfile.mkdtemp(prefix="package-", dir=out if dask else None))
    try:
        sandbox.prepare(package, tuple(assignment.closed))
        if dask:
            from dask.distributed import Client

            client = Client(dask)
        with parallel_config("dask") if dask else nullcontext():
            how = (
                {} if dask else {"n_jobs": workers, "backend": "threading"}
            )  # the work is done by the workers' own processes
            tasks = (
                delayed(grade_one)(
                    student, entry, assignment.name if dask else assignment, out, secret, limits, way, package, covered
                )
                for student, entry in entries
            )
            stream = Parallel(return_as="generator_unordered", **how)(tasks)
            results = list(tqdm(stream, total=len(entries), unit="submission", disable=not progress))
        if dask:
            client.close()
    finally:
        shutil.rmtree(package, ignore_errors=True)
    results.sort(key=lambda result: result["student"])
    feedback.write(results, assignment, out, way)
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m coursework``; their names are the arguments of `run_grade`."""
    parser.add_argument("assignment", help=", ".join(assignment_names()))
    parser.add_argument("submissions", help="a folder with a notebook, or a folder, for each student")
    parser.add_argument(
        "--out", required=True, help="where marks and feedback go; the same again goes on or changes nothing"
    )
    parser.add_argument("--secret", default="", help="a word of yours, from which the hidden cases are drawn")
    parser.add_argument("--workers", type=int, default=1, help="submissions at a time (default: %(default)s)")
    parser.add_argument("--dask", default="", metavar="ADDRESS", help="of a Dask scheduler: grade on its cluster")
    parser.add_argument("--isolation", default="auto", help=f"auto, {', '.join(sandbox.WAYS)} (default: %(default)s)")
    parser.add_argument("--nbgrader", default="", metavar="DIR", help="its feedback folder: put each page there, too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run_grade(
    assignment: str,
    submissions: str,
    out: str,
    secret: str = "",
    workers: int = 1,
    dask: str = "",
    isolation: str = "auto",
    quiet: bool = False,
    nbgrader: str = "",
) -> int:
    """`grade` for the command line: says where everything is; 0, or 2 and one line for bad input."""
    if workers < 1:
        print(f"looped-lite: --workers {workers}: expected a whole number of at least 1", file=sys.stderr)
        return 2
    try:
        results = grade(assignment, Path(submissions), Path(out), secret, workers, dask, isolation, progress=not quiet)
        for result in results if nbgrader else ():
            feedback.copy_for_nbgrader(result, Path(submissions), Path(out), Path(nbgrader))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"looped-lite: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    if isolation == "limits":
        print("Not protected: a submission could read and change what you can (isolation: limits).")
    unread = sum(bool(result["outcome"]) for result in results)
    print(f"{len(results)} submissions graded, {unread} of them could not be read.")
    print(f"{Path(out, 'grades.csv')}, {Path(out, 'summary.html')}, a page each in {Path(out, 'feedback')}")
    return 0
