"""What an assignment is: problems as programs, like the lessons' exercises, with points, a text and a hint.

A problem's answer, stub, hidden cases and mistakes all come from its `looped_exercises.Exercise`. Where a problem has
numbers of the student's own, ``exercise`` is a function of them.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from looped_exercises import Exercise

PRELUDE = "import math\n\nimport torch"  # what the notebook's own set-up imports for all problems
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Problem:
    """One graded problem. ``example`` is the code of a visible check: it must pass for the reference and fail for the
    stub."""

    name: str  # what the notebook calls its cell, e.g. "a1-1"
    exercise: Exercise | Callable[[dict[str, Any]], Exercise]
    points: int
    text: str
    hint: str
    example: str

    def declare(self, mine: dict[str, Any]) -> Exercise:
        """The exercise for a student with the numbers ``mine``."""
        return self.exercise if isinstance(self.exercise, Exercise) else self.exercise(mine)


@dataclass(frozen=True)
class Assignment:
    """Problems in order. ``numbers``: by name, what a student's own number may be. ``closed``: functions of
    looped_lite that are answers."""

    name: str
    title: str
    lessons: str
    opening: str
    problems: Sequence[Problem]
    numbers: dict[str, Sequence[Any]] = field(default_factory=dict)
    closed: Sequence[str] = ()

    @property
    def points(self) -> int:
        return sum(problem.points for problem in self.problems)

    @property
    def blank(self) -> dict[str, Any]:
        """Numbers of nobody, to read the declarations with."""
        return personal(self.numbers, self.name, "")

    @cached_property
    def version(self) -> str:
        """A digest of all code that has a say in a mark: the same version gives the same marks."""
        files = sorted(
            path
            for folder in ("coursework", "looped_exercises", "looped_lite")
            for path in (CHECKOUT / folder).rglob("*.py")
            if not (folder == "looped_exercises" and path.name.startswith("lesson_"))
        )
        digest = hashlib.sha256()
        for path in files:
            digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()


def personal(numbers, assignment, student):
    """The student's own numbers. Its source stands in the notebook, so that a student sees them while working."""
    own = "".join(letter for letter in student.casefold() if letter.isalnum())
    draw = lambda name: int(hashlib.sha256(f"{assignment}/{name}/{own}".encode()).hexdigest(), 16)
    return {name: choices[draw(name) % len(choices)] for name, choices in numbers.items()}


def function_name(exercise: Exercise) -> str:
    return exercise.reference.__name__


def source(function: Callable) -> str:
    """The source of a function, however deep it was written, ending in a line break."""
    return textwrap.dedent(inspect.getsource(function)).rstrip() + "\n"


def stub(function: Callable) -> str:
    """The source of a function up to its docstring, and a line that raises."""
    head, quote, rest = source(function).partition('"""')
    doc, _, _ = rest.partition('"""')
    if not quote:
        raise ValueError(f"{function.__name__} has no docstring: expected one that says what goes in and out")
    return f'{head}"""{doc}"""\n    raise NotImplementedError("your turn")\n'


def hidden_seed(secret: str, problem: str) -> int:
    """The seed of a problem's hidden cases."""
    return int.from_bytes(hashlib.sha256(f"{secret}/{problem}".encode()).digest()[:6], "big") + 1
