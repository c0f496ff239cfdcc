"""Release notebooks: a stub and a visible check for each problem, with the cell metadata that nbgrader reads; or
solved, to try the grader.

python -m coursework.release a1 --out release/
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import nbformat
from nbformat.notebooknode import NotebookNode

from looped_lite.checkpoints import write_atomic

from .problems import Assignment, Problem, personal, source, stub

SETUP = """\
# Find the course's package, also where it is not installed (on Colab, clone the course and open this notebook from it).
import hashlib
import math
import sys
from pathlib import Path

import torch

for folder in (Path.cwd(), *Path.cwd().parents):
    if (folder / "looped_lite" / "model.py").exists():
        sys.path.insert(0, str(folder)) if str(folder) not in sys.path else None
        break


{personal}

mine = personal({numbers}, {name!r}, STUDENT)
print("Your own numbers:", mine)"""
STUDENT = """\
STUDENT = ""  # your name, exactly as the place where you hand in knows you: your own numbers are drawn from it"""
HOW = """
Write your answers in the cells that say *your turn*, and add cells of your own where you like: functions that you
define in them can be used. When you are graded, imports, definitions and assignments are run from your own cells, and
all of a problem's cell; nothing is printed or drawn. The packages are PyTorch, NumPy and `looped_lite`; files, other
processes and the network are not there, and a function has ten seconds for all its cases together."""


def marks(name: str, kind: str, solution: bool = False, points: int | None = None) -> dict[str, Any]:
    """nbgrader's metadata for a cell; with ``points`` it is a test that is graded, without and not a solution it is
    only locked."""
    facts = {
        "grade": points is not None,
        "grade_id": name,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return {"nbgrader": {**facts, "cell_type": kind} | ({"points": points} if points is not None else {})}


def cells_of(problem: Problem, assignment: Assignment, solved: bool) -> list[NotebookNode]:
    """The text, the cell to fill in and the visible check of one problem."""
    exercise = problem.declare(assignment.blank)
    text = f"## {exercise.number} {exercise.title} ({problem.points} points)\n\n{inspect.cleandoc(problem.text)}"
    answer = solution_of(problem, assignment) if solved else stub(exercise.reference)
    code = nbformat.v4.new_code_cell
    return [
        nbformat.v4.new_markdown_cell(text, metadata=marks(f"{problem.name}-text", "markdown")),
        code(answer.rstrip(), metadata=marks(problem.name, "code", solution=True)),
        code(inspect.cleandoc(problem.example), metadata=marks(f"{problem.name}-check", "code", points=problem.points)),
    ]


def solution_of(problem: Problem, assignment: Assignment) -> str:
    """The reference's source as a student would have written it: own numbers are read from ``mine``."""
    reference = problem.declare(assignment.blank).reference
    names = [name for name in inspect.getclosurevars(reference).nonlocals if name in assignment.numbers]
    lines = [f"{name} = mine[{name!r}]" for name in names]
    return "\n".join([*lines, *(["", ""] if lines else []), source(reference)])


def notebook(assignment: Assignment, solved: bool = False, student: str = "") -> NotebookNode:
    """The notebook that students get, or the one that has full marks. The same assignment gives the same bytes."""
    opening = f"# {assignment.title}\n\n*Lessons {assignment.lessons}, {assignment.points} points.* "
    opening += f"{inspect.cleandoc(assignment.opening)}\n{HOW}"
    setup = SETUP.format(personal=source(personal).rstrip(), numbers=dict(assignment.numbers), name=assignment.name)
    code, name = nbformat.v4.new_code_cell, assignment.name
    cells = [
        nbformat.v4.new_markdown_cell(opening, metadata=marks(f"{name}-opening", "markdown")),
        code(
            STUDENT.replace('""', repr(student), 1) if student else STUDENT,
            metadata=marks(f"{name}-student", "code", solution=True),
        ),
        code(setup, metadata=marks(f"{name}-setup", "code")),
    ]
    cells += [cell for problem in assignment.problems for cell in cells_of(problem, assignment, solved)]
    for place, cell in enumerate(cells):
        cell.id = f"{name}-{place:03d}"
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    made.nbformat, made.nbformat_minor = 4, 5
    return made


def release(assignment: Assignment, out: Path, solved: bool = False) -> Path:
    """Write an assignment's notebook into ``out``; its path."""
    path = Path(out) / f"{assignment.name}.ipynb"
    write_atomic(path, (nbformat.writes(notebook(assignment, solved)) + "\n").encode())
    return path


def mistakes(assignment: Assignment) -> str:
    """The misconceptions that the grader tells apart, by problem."""
    exercises = [problem.declare(assignment.blank) for problem in assignment.problems]
    listed = ["\n".join([f"{e.number} {e.title}", *(f"  - {m.sentence}" for m in e.mistakes)]) for e in exercises]
    return f"{assignment.title}\n\n" + "\n\n".join(listed) + "\n"


def main() -> None:
    from .grade import assignment_names, get_assignment

    parser = argparse.ArgumentParser(description="Build the notebook of an assignment for students.")
    parser.add_argument("assignments", nargs="*", help=f"of {', '.join(assignment_names())}; all if none is given")
    parser.add_argument("--out", type=Path, default=Path("release"))
    parser.add_argument("--solved", action="store_true", help="with the solutions: for the instructor only")
    parser.add_argument("--mistakes", action="store_true", help="write nothing; list the mistakes that have a name")
    arguments = parser.parse_args()
    for name in arguments.assignments or assignment_names():
        try:
            if arguments.mistakes:
                print(mistakes(get_assignment(name)))
            else:
                print(release(get_assignment(name), arguments.out, arguments.solved))
        except ValueError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
