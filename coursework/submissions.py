"""Read what students hand in: notebooks as JSON, never trusted, never run here. Whatever a file is, it gets a named
outcome of its own."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BYTES = 64 << 20  # of a notebook, its outputs included
CELLS = 500
LETTERS = 200_000  # of all code together
FILES = 2_000  # looked at in one student's folder
PLATFORMS = (  # how Moodle and Canvas name what they collect; the student is the first group
    re.compile(r"^(.+?)_\d+_assignsubmission_file.*$"),
    re.compile(r"^(.+?)(?:_LATE)?_\d+_\d+_.*$"),
)
OUTCOMES = {
    "missing": "There is no notebook in what was handed in.",
    "several": "There are several notebooks, and none has the assignment's name: hand in one.",
    "link": "A symbolic link was handed in, not a file. Hand in the notebook itself.",
    "not a file": "What was handed in is not an ordinary file.",
    "unreadable": "The file could not be read.",
    "too large": "The notebook is larger than 64 MB. Clear its outputs (Edit, Clear Outputs of All Cells) and hand it "
    "in again.",
    "encoding": "The file is not text in UTF-8, as notebooks are. Save it from Jupyter again, and do not send it "
    "through an editor.",
    "broken": "The file is no whole notebook: its JSON is broken. Open it in Jupyter, save it, and hand it in again.",
    "old": "The notebook has a format that Jupyter has not written since 2015. Open it in Jupyter, save it, and hand "
    "it in again.",
    "kernel": "The notebook is written for another language than Python.",
    "too long": "The notebook has more than 500 cells, or more than 200,000 letters of code. Take out what is not "
    "yours.",
    "empty": "The notebook has no code in it.",
}


@dataclass(frozen=True)
class Cell:
    """A code cell: its place in the notebook, from 1, its nbgrader name ('' if none), and its source."""

    place: int
    name: str
    source: str


@dataclass
class Submission:
    """One student's work. ``outcome`` is '' if the cells could be read, else a key of `OUTCOMES`."""

    student: str
    path: Path
    data: bytes = b""
    outcome: str = ""
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(folder: Path, assignment: str) -> list[tuple[str, Path]]:
    """Who handed in what: pairs of a student and a path, by the student. Each entry of ``folder`` is one student's.

    A folder's student is its name, a file's its name without .ipynb; both without what Canvas or Moodle add to it.
    Two entries of one student both keep their full names, for a person to look at. ValueError if there is no such
    folder.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}: expected one with a notebook or a folder for each student")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    entries = [entry for entry in entries if entry.is_symlink() or entry.is_dir() or entry.suffix == ".ipynb"]
    if not entries:
        raise ValueError(f"nothing was handed in to {folder}: expected a notebook or a folder for each student")
    names = [student_of(entry) for entry in entries]
    pairs = zip(names, entries, strict=True)
    return sorted((name if names.count(name) == 1 else entry.name, entry) for name, entry in pairs)


def student_of(entry: Path) -> str:
    name = entry.name.removesuffix(".ipynb")
    found = next((match for match in (pattern.match(name) for pattern in PLATFORMS) if match), None)
    return printable(found[1] if found else name)


def printable(text: str) -> str:
    """A name without control characters and halves of characters, at most 100 letters."""
    text = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:100]


def read(student: str, entry: Path, assignment: str) -> Submission:
    """Read one student's work. Never raises for what it finds there."""
    path, outcome = find(entry, assignment)
    submission = Submission(student, path, outcome=outcome)
    if not outcome:
        submission.data, submission.outcome = contents(path)
    if not submission.outcome:
        submission.cells, submission.outcome = parse(submission.data)
    if path.name != f"{assignment}.ipynb" and not submission.outcome and path != entry:
        submission.notes.append(f"The notebook is not called {assignment}.ipynb. It was graded all the same.")
    return submission


def find(entry: Path, assignment: str) -> tuple[Path, str]:
    """The notebook in a student's folder, which may lie deeper: the one with the assignment's name, else the only
    one."""
    if entry.is_symlink():
        return entry, "link"
    if not entry.is_dir():
        return entry, ""
    found: list[Path] = []
    looked = 0
    for place, folders, files in os.walk(entry):  # does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files) if name.endswith(".ipynb") and not name.startswith(".")]
        looked += len(files) + len(folders)
        if looked > FILES:
            break
    named = [path for path in found if path.name == f"{assignment}.ipynb"]
    chosen = named if len(named) == 1 else found
    if len(chosen) != 1:
        return entry, "several" if chosen else "missing"
    return chosen[0], "link" if chosen[0].is_symlink() else ""


def contents(path: Path) -> tuple[bytes, str]:
    """The bytes of an ordinary file, without following a link or waiting for a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return b"", "unreadable"
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return b"", "not a file"
        if facts.st_size > BYTES:
            return b"", "too large"
        data = file.read(BYTES + 1)
    return (b"", "too large") if len(data) > BYTES else (data, "")


def parse(data: bytes) -> tuple[list[Cell], str]:
    """The code cells of a notebook, or why there are none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [], "encoding"
    if "\0" in text:
        return [], "encoding"
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        return [], "broken"
    if type(notebook) is not dict or not isinstance(notebook.get("cells", notebook.get("worksheets")), list):
        return [], "broken"
    if "cells" not in notebook or notebook.get("nbformat") not in (4, 5):
        return [], "old"
    if language(notebook.get("metadata")) != "python":
        return [], "kernel"
    if len(notebook["cells"]) > CELLS:
        return [], "too long"
    cells = [cell(place, raw) for place, raw in enumerate(notebook["cells"], 1)]
    cells = [each for each in cells if each and each.source.strip()]
    if sum(len(each.source) for each in cells) > LETTERS:
        return [], "too long"
    return cells, "" if cells else "empty"


def language(metadata: Any) -> str:
    """The language of a notebook; Python if it does not say."""
    kernel = metadata.get("kernelspec") if type(metadata) is dict else None
    said = (kernel.get("language") or kernel.get("name")) if type(kernel) is dict else None
    info = metadata.get("language_info") if type(metadata) is dict else None
    said = said or (info.get("name") if type(info) is dict else None)
    said = said.lower() if type(said) is str else "python"
    return "python" if said.startswith(("python", "ipython", "pyodide", "xpython", "conda")) else said


def cell(place: int, raw: Any) -> Cell | None:
    """A code cell of a notebook; None for any other, and for what is no cell."""
    if type(raw) is not dict or raw.get("cell_type") != "code":
        return None
    source = raw.get("source")
    if type(source) is list and all(type(line) is str for line in source):
        source = "".join(source)
    if type(source) is not str:
        return None
    metadata = raw.get("metadata")
    marks = metadata.get("nbgrader") if type(metadata) is dict else None
    name = marks.get("grade_id") if type(marks) is dict else None
    return Cell(place, name if type(name) is str else "", source.encode("utf-8", "replace").decode())


def notes_about(cells: Sequence[Cell], names: Sequence[str]) -> list[str]:
    """What a student should know about cells of problems that are gone or there twice."""
    have = [each.name for each in cells]
    gone = [name for name in names if name not in have]
    twice = [name for name in names if have.count(name) > 1]
    notes = [f"The cell of problem {name} is not in the notebook any more." for name in gone]
    return notes + [
        f"The cell of problem {name} is there {have.count(name)} times; the last one counts." for name in twice
    ]
