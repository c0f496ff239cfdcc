"""The floors of the house: a file imports only from floors below its own, also inside its functions."""

import ast
import re
from pathlib import Path

import pytest

import looped_lite

PACKAGE = Path(looped_lite.__file__).parent
FLOORS = {
    name: int(line[0])
    for line in re.findall(r"^\d\. .*$", looped_lite.__doc__, re.M)
    for name in re.findall(r"`(\w+)`", line)
}


def room_of(path):
    """The name in the table of floors: of a file, or of the folder that it lies in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room_of(path) not in ("__init__", "__main__"))
IGNORANT = {"fixed_points", "plots"}  # of models and tasks
OUTSIDE = {"looped_exercises", "experiments", "coursework", "lessons", "benchmarks", "tests", "site"}


def imports(path):
    """Every module that a file imports, as words: ("looped_lite", "model") for ``from .model import Loop``."""
    here = ("looped_lite", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            yield from [base] if base != ("looped_lite",) else [(*base, alias.name) for alias in node.names]


def test_the_table_of_floors_names_what_is_there():
    assert {room_of(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_floors_below(path):
    own = room_of(path)
    for name in imports(path):
        assert name[0] not in OUTSIDE, f"the package must not know {name[0]}"
        if name[0] == "looped_lite" and len(name) > 1 and name[1] != own and not name[1].startswith("__"):
            assert FLOORS[name[1]] < FLOORS[own], f"{own}, floor {FLOORS[own]}, imports {name[1]}"
            assert own not in IGNORANT or name[1] not in ("model", "tasks"), f"{own} is to know no {name[1]}"
    if own not in (
        "recipe",
        "tasks",
        "boards",
        "exercises",
    ):  # recipe holds the list of shipped tasks, a board is one task's own
        known = [name for name in imports(path) if name[:2] == ("looped_lite", "tasks") and len(name) > 2]
        assert not known, f"{own} knows a task by name: {known}"
