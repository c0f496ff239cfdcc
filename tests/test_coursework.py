import csv
import json
import math
import os
import re
from pathlib import Path

import pytest
import torch
from made_class import WRONG, write_class

from coursework import sandbox
from coursework.feedback import copy_for_nbgrader, file_name
from coursework.grade import VALUES, assignment_names, discreet, get_assignment, grade, run_grade
from coursework.problems import function_name, personal
from coursework.release import notebook
from coursework.sandbox import Limits, Sandbox, Stopped
from coursework.submissions import OUTCOMES, read, student_of
from looped_exercises import Case, Exercise, Named, Verdict
from looped_exercises.plain import Outcome

LIMITS = Limits(seconds=2, wait=15)
ASSIGNMENTS = [get_assignment(name) for name in assignment_names()]
WAYS = [way for way in sandbox.WAYS[:2] if sandbox.available(way)]
needs_isolation = pytest.mark.skipif(not WAYS, reason="neither bubblewrap nor user namespaces work here")


def problems():
    return [pytest.param(a, p, id=p.name) for a in ASSIGNMENTS for p in a.problems]


def written_differently(exercise: Exercise):
    return [lambda *args, **options: exercise.reference(*args, **options), *exercise.styles]


# ---------------------------------------------------------------- declarations


@pytest.mark.parametrize(("assignment", "problem"), problems())
@pytest.mark.parametrize("student", ["", "anna", "Bob Jones", "c"])
def test_each_style_is_accepted_and_each_mistake_gets_its_sentence(assignment, problem, student):
    exercise = problem.declare(personal(assignment.numbers, assignment.name, student))
    for seed in (0, 1, 977):
        for style in written_differently(exercise):
            assert exercise.check(style, seed).state == "solved"
        for mistake in exercise.mistakes:
            verdicts = [exercise.check(function, seed) for function in mistake.functions]
            # another student's numbers may happen to be one's own
            named = [v for v in verdicts if v.state != "solved" or "another student" not in mistake.sentence]
            assert named and [v.mistake for v in named] == [mistake.sentence] * len(named)


def test_there_are_two_hundred_wrong_answers():
    counts = [sum(len(m.functions) for m in p.declare(a.blank).mistakes) for a in ASSIGNMENTS for p in a.problems]
    assert sum(counts) >= 50 * len(ASSIGNMENTS) and min(counts) >= 5


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
def test_personal_numbers_differ_and_do_not_depend_on_how_a_name_is_written(assignment):
    drawn = [personal(assignment.numbers, assignment.name, f"student {n}") for n in range(40)]
    assert len({json.dumps(numbers) for numbers in drawn}) > 5
    assert personal(assignment.numbers, assignment.name, "Jane Doe") == personal(
        assignment.numbers, assignment.name, "jane_doe"
    )


# ---------------------------------------------------------------- release


def code_of(book, kind=None):
    return [
        c.source for c in book.cells if c.cell_type == "code" and (kind is None or kind in c.metadata.nbgrader.grade_id)
    ]


def body_lines(function_source: str) -> list[str]:
    """The lines of a solution that say how it is done: after the docstring, and long enough to be no accident."""
    body = function_source.split('"""', 2)[-1].splitlines()
    return [line.strip() for line in body if len(line.strip()) > 18 and not line.strip().startswith("for ")]


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
def test_no_solution_is_in_what_is_released(assignment, tmp_path):
    """Neither in the notebook, nor in anything that the worker can read."""
    sandbox.prepare(tmp_path / "package", tuple(assignment.closed))
    released = json.dumps(notebook(assignment), ensure_ascii=False)
    seen = [released, *(path.read_text() for path in (tmp_path / "package").rglob("*.py"))]
    for solution in code_of(notebook(assignment, solved=True)):
        if solution not in code_of(notebook(assignment)):
            for line in body_lines(solution):
                assert not any(line in text for text in seen), line
    public = [*Path("notebooks").glob("*.ipynb"), *Path("lessons").glob("*.py")]
    for problem in assignment.problems:
        assert not any(
            f"def {function_name(problem.declare(assignment.blank))}(" in path.read_text() for path in public
        )


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
def test_visible_checks_pass_for_the_solution_and_fail_for_the_stub(assignment):
    for solved_form in (True, False):
        names = {}
        for cell in notebook(assignment, solved=solved_form, student="anna").cells:
            if cell.cell_type != "code":
                continue
            if cell.metadata.nbgrader.grade_id.endswith("-check") and not solved_form:
                with pytest.raises(NotImplementedError):
                    exec(cell.source, names)
            else:
                exec(cell.source, names)


@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
def test_the_notebook_is_what_nbgrader_reads(assignment):
    book = notebook(assignment)
    marks = [cell.metadata.nbgrader for cell in book.cells]
    assert len({mark.grade_id for mark in marks}) == len(marks)
    assert sum(mark.get("points", 0) for mark in marks) == assignment.points
    assert all(mark.locked != mark.solution and mark.schema_version == 3 for mark in marks)
    assert notebook(assignment) == book


# ---------------------------------------------------------------- the locked-up worker


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    sandbox.prepare(folder, ("rms_norm",))
    return folder


PROBE = """
import os, socket
def listed(path): return sorted(os.listdir(path)) if os.path.isdir(path) else []
def exists(path): return os.path.exists(path)
def environment(): return dict(os.environ)
def processes(): return len([p for p in os.listdir("/proc") if p.isdigit()])
def capabilities():
    wanted = ("CapEff", "CapPrm", "CapBnd")
    return [l.split()[1] for l in open("/proc/self/status") if l.startswith(wanted)]
def interfaces(): return [l.split(":")[0].strip() for l in open("/proc/net/dev").readlines()[2:]]
def write(path):
    with open(path, "w") as file: return file.write("x")
def f(f, z): return f(z), {"n": [1, True, None, float("inf"), "text"]}, (2.5,)
"""


@needs_isolation
@pytest.mark.parametrize("way", WAYS)
def test_the_worker_sees_no_file_process_network_or_environment_of_ours(way, package, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_WORD", "plum")
    (tmp_path / "answers").write_text("42")
    root = Path(sandbox.CHECKOUT)

    def call(worker, name, *arguments):
        (outcome,) = worker.ask(do="call", function=name, cases=[Case("", *arguments)])
        return outcome

    with Sandbox(way, package, LIMITS, tuple(sandbox.hidden((tmp_path,)))) as worker:
        assert worker.ask(do="run", source=PROBE, whole=True, place="cell 1") == []
        for path in (
            root / "coursework",
            root / "tests",
            root / "looped_exercises" / "lesson_01.py",
            tmp_path / "answers",
            "/etc/passwd",
        ):
            assert call(worker, "exists", str(path)).value is False
        assert call(worker, "listed", ".").value == []
        assert call(worker, "listed", "/course").value == ["looped_exercises", "looped_lite", "things.py", "worker.py"]
        assert "SECRET_WORD" not in call(worker, "environment").value
        assert call(worker, "processes").value <= 3 and call(worker, "interfaces").value in ([], ["lo"])
        assert set(call(worker, "capabilities").value) == {"0" * 16}
        for path in ("/course/worker.py", "/usr/x", "/course/looped_lite/x.py"):
            assert (
                "OSError" in call(worker, "write", path).stopped or "Permission" in call(worker, "write", path).stopped
            )
        made = call(worker, "f", Named("affine", 2.0, 1.0), torch.ones(2)).value
        assert made[0].tolist() == [3, 3] and made[1:] == ({"n": [1, True, None, math.inf, "text"]}, (2.5,))


@needs_isolation
def test_the_courses_own_answers_are_closed(package):
    source = "import inspect\nfrom looped_lite import blocks\ndef code(): return inspect.getsource(blocks.rms_norm)\n"
    source += "def norm(x): return blocks.rms_norm(x)"
    with Sandbox(WAYS[0], package, LIMITS) as worker:
        worker.ask(do="run", source=source, whole=True, place="cell 1")
        (code,) = worker.ask(do="call", function="code", cases=[Case("")])
        (norm,) = worker.ask(do="call", function="norm", cases=[Case("", torch.ones(2))])
    assert "square" not in code.value and "write it yourself" in norm.error
    with pytest.raises(ValueError, match="no_such_function"):
        sandbox.prepare(package / "more", ("no_such_function",))


@needs_isolation
@pytest.mark.parametrize(
    ("source", "reason"),
    [("while True: pass", "time"), ("import os\nos._exit(0)", "ended"), ("import os\nos.abort()", "signal"),
     ("import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'\\0' * 64)\n  except OSError: pass", "garbled"),
     ("import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'\\xff' * 8)\n  except OSError: pass", "output")],
)  # fmt: skip
def test_a_worker_that_is_gone_says_why(package, source, reason):
    with Sandbox(WAYS[0], package, LIMITS) as worker, pytest.raises(Stopped) as stopped:
        worker.ask(do="run", source=source, whole=True, place="cell 1")
    assert stopped.value.reason == reason


def test_isolation_is_never_dropped_in_silence(monkeypatch):
    monkeypatch.setattr(sandbox, "available", lambda way: way == "limits")
    with pytest.raises(ValueError, match="install bubblewrap"):
        sandbox.choose()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ValueError, match="another user"):
        sandbox.choose("limits")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert sandbox.choose("limits") == "limits" and "could be read and changed" in sandbox.PROTECTION["limits"]
    with pytest.raises(ValueError, match="'jail'"):
        sandbox.choose("jail")


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "name", ["Jane Doe_12345_assignsubmission_file_", "Jane Doe_LATE_12_345_a1.ipynb", "Jane Doe", "Jane Doe.ipynb"]
)
def test_names_of_learning_platforms(name):
    assert student_of(Path(name)) == "Jane Doe"


@pytest.mark.parametrize(
    ("data", "outcome"),
    [(b"", "broken"), (b"null", "broken"), (b"[]", "broken"), (b'{"cells": 3}', "broken"), (b'{"cells": []}', "old"),
     (b"\xff\xfe{\x00}\x00", "encoding"),
     (b'{"nbformat": 3, "worksheets": []}', "old"),
     (b'{"nbformat": 4, "cells": [1, null, {"cell_type": "code", "source": 3}]}', "empty"),
     (json.dumps({"nbformat": 4, "cells": [{}] * 501}).encode(), "too long"),
     (b'{"a": ' + b"9" * 5000 + b"}", "broken"),
     (json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "x" * 200_001}]}).encode(), "too long"),
     (b"[" * 10**6, "broken")],
)  # fmt: skip
def test_every_file_gets_a_named_outcome(data, outcome, tmp_path):
    (tmp_path / "a1.ipynb").write_bytes(data)
    assert read("x", tmp_path, "a1").outcome == outcome and outcome in OUTCOMES


def test_hidden_values_are_not_told():
    exercise = get_assignment("a1").problems[1].exercise
    wrong = [lambda s: s[-1] + 0.123, lambda s: 3, lambda s: None, lambda s: torch.zeros(7), lambda s: [1.0, 2.0]]
    for answer in wrong:
        said = discreet(exercise.check(answer, 5))
        assert (
            "expected -" not in said and not re.search(r"expected [\d-]", said) and not re.search(r"\d\.\d\d", said)
        ), said
    longest = get_assignment("a1").problems[4].declare({"window": 7, "loops": 11})
    for answer in (lambda blocks: -5, lambda blocks: "x", lambda blocks: None, lambda blocks: 0.5):
        assert "34" not in discreet(longest.check(answer, 5))
    assert all(len(pair) == 2 for pair in VALUES) and discreet(Verdict("wrong", "named 34", "named 34")) == "named 34"


def test_pages_of_two_students_never_have_one_name():
    names = ["a b", "a_b", "a/b", "../a", "\u00e4", "\u00f6", "", "con", "a" * 99, "a" * 98, "A_b"]
    assert len({file_name(name).lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", file_name(name)) for name in names)


# ---------------------------------------------------------------- grading


def points(result):
    return [problem["points"] for problem in result["problems"].values()]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The made class, graded once by one command."""
    folder = tmp_path_factory.mktemp("class")
    expected = write_class(folder / "in")
    results = grade("a1", folder / "in", folder / "out", secret="plum", workers=2, limits=LIMITS, progress=False)
    return folder, expected, {result["student"]: result for result in results}


@needs_isolation
def test_given_marks_are_expected_marks(graded):
    _, expected, results = graded
    given = {
        name: points(result) if isinstance(expected[name], list) else result["score"]
        for name, result in results.items()
    }
    assert len(expected) >= 30 and given == expected


@needs_isolation
def test_named_outcomes_and_mistakes(graded):
    _, _, results = graded
    outcomes = {name: result["outcome"] for name, result in results.items() if result["outcome"]}
    assert outcomes == {
        "empty": "empty", "broken-json": "broken", "deep-json": "broken", "other-kernel": "kernel",
        "utf-16": "encoding", "latin-1": "encoding",
        "link": "link", "link-inside": "link", "waiting-pipe": "not a file",
        "several": "several", "no-notebook": "missing",
    }  # fmt: skip
    for name, (_, sentence) in WRONG.items():
        assert sentence in results["all-wrong"]["problems"][name]["mistake"]
    assert "no function called loops_needed" in results["deleted-cell"]["problems"]["a1-3"]["sentence"]
    assert "there 2 times" in results["doubled-cell"]["notes"][0] and "a1.ipynb" in results["renamed"]["notes"][0]
    assert "write it yourself" in results["own-function-of-the-course"]["problems"]["a1-4"]["sentence"]
    assert (
        "nothing" in results["looks-around"]["problems"]["a1-1"]["sentence"]
        or "got a str" in results["looks-around"]["problems"]["a1-1"]["sentence"]
    )
    states = {name: result["problems"]["a1-1"]["state"] for name, result in results.items()}
    assert states["stub"] == "unsolved" and states["endless-loop"] == states["crash"] == states["signals"] == "stopped"


@needs_isolation
def test_pages_and_tables(graded):
    folder, expected, _ = graded
    out = folder / "out"
    with (out / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected) and all((out / row["feedback"]).is_file() for row in rows)
    assert "'=cmd" in [row["student"] for row in rows]
    for path in [*out.glob("feedback/*.html"), out / "summary.html"]:
        text = path.read_text()
        assert "<script" not in text and "default-src 'none'" in text and "http" not in text.replace("http-equiv", "")
    page = (out / "feedback" / "all-wrong.html").read_text()
    assert "Hint:" in page and "0 of 10 points" in page and "whole width" in page
    assert "commonest mistakes" in (out / "summary.html").read_text()


@needs_isolation
def test_grading_again_gives_the_same_bytes(graded):
    """Resumed after an interruption, with other damage, and from nothing."""
    folder, _, _ = graded
    few = ["right-terse", "half-right", "endless-cell", "latin-1", "crash", "all-wrong"]
    write_class(folder / "few", few)

    def files(out):
        return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    one = grade("a1", folder / "few", folder / "one", limits=LIMITS, progress=False)
    before = files(folder / "one")
    kept = sorted((folder / "one" / "results").iterdir())
    kept[0].unlink()
    kept[1].write_text(kept[1].read_text()[:50])
    (folder / "one" / "grades.csv").unlink()
    assert grade("a1", folder / "few", folder / "one", limits=LIMITS, progress=False) == one
    assert files(folder / "one") == before
    grade("a1", folder / "few", folder / "two", workers=2, limits=LIMITS, progress=False)
    assert files(folder / "two") == before


@needs_isolation
@pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda a: a.name)
def test_stub_nothing_solution_everything_and_own_numbers(assignment, tmp_path):
    for student, book in [
        ("stub", notebook(assignment)),
        ("solution", notebook(assignment, solved=True)),
        ("named", notebook(assignment, solved=True, student="somebody else")),
    ]:
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / f"{assignment.name}.ipynb").write_text(json.dumps(book))
    results = grade(assignment, tmp_path / "in", tmp_path / "out", limits=LIMITS, progress=False)
    assert [r["score"] for r in results] == [assignment.points, assignment.points, 0]  # named, solution, stub


@needs_isolation
def test_a_dask_cluster_gives_the_same_bytes_and_nbgrader_its_pages(tmp_path):
    distributed = pytest.importorskip("distributed")
    write_class(tmp_path / "in", ["right-terse", "half-right", "latin-1"])
    grade("a1", tmp_path / "in", tmp_path / "one", limits=Limits(), progress=False)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        run_grade("a1", *map(str, (tmp_path / "in", tmp_path / "two")), dask=cluster.scheduler_address, quiet=True)
    assert (tmp_path / "one" / "grades.csv").read_bytes() == (tmp_path / "two" / "grades.csv").read_bytes()


def test_pages_go_where_nbgrader_looks_for_them(tmp_path):
    submitted, out, target = (tmp_path / name for name in ("submitted", "out", "feedback"))
    for student in ("anna", "../eve"):
        (out / "feedback").mkdir(parents=True, exist_ok=True)
        (out / "feedback" / f"{file_name(student)}.html").write_text("page")
        copy_for_nbgrader({"student": student, "assignment": "a1"}, submitted, out, target)
    assert [path.relative_to(target).as_posix() for path in target.rglob("*.*")] == ["anna/a1/a1.html"]
    (submitted / "anna" / "a1").mkdir(parents=True)
    (submitted / "anna" / "a1" / "timestamp.txt").write_text("2026-11-26 10:18:07.394741 UTC")
    (submitted / "anna" / "a1" / "submission_secret.txt").symlink_to("/etc/passwd")
    copy_for_nbgrader({"student": "anna", "assignment": "a1"}, submitted, out, target)
    assert sorted(path.name for path in (target / "anna" / "a1").iterdir()) == ["a1.html", "timestamp.txt"]


def test_bad_input_is_one_line(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, folder in (("a9", "in"), ("a1", "missing"), ("a1", "in")):
        assert run_grade(name, str(tmp_path / folder), str(tmp_path / "out"), quiet=True) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_an_outcome_that_is_none_is_not_judged():
    from coursework.grade import trusted

    for bad in (None, 3, "x", Outcome(error=3), Outcome(stopped=None), Outcome(changed=None), Outcome(calls=[])):
        with pytest.raises((TypeError, AttributeError)):
            trusted(bad)
