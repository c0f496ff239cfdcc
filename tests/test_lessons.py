"""A lesson's visible cells are what it teaches: short, and free of what only checks the text."""

import json
import re
from pathlib import Path

import jupytext
import pytest

LESSONS = sorted((Path(__file__).resolve().parent.parent / "lessons").glob("[0-9][0-9]_*.py"))
FOLDED = {"claims", "plumbing", "hidden-tests", "exercise"}
LONGEST = 22  # lines of a visible cell
LONGER = {  # the first words of a cell that may be longer, and why
    "def step(z, h, angles, w):": "lesson 03: all fifteen variants as one loop body, the subject of the lesson",
    "def train_here(": "lesson 04: the whole training loop",
}


def visible(lesson):
    """The code cells that a reader sees open and that are no exercise's."""
    for cell in jupytext.read(lesson, fmt="py:percent").cells:
        if cell.cell_type == "code" and not FOLDED & set(cell.metadata.get("tags", [])):
            yield cell.source.strip()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem[:2])
def test_visible_cells_are_short(lesson):
    lengths = {source: source.count("\n") + 1 for source in visible(lesson) if not source.startswith(tuple(LONGER))}
    long = {source.splitlines()[0]: lines for source, lines in lengths.items() if lines > LONGEST}
    assert not long, f"longer than {LONGEST} lines: {long}"


def test_every_long_cell_that_is_allowed_is_there():
    sources = [source for lesson in LESSONS for source in visible(lesson)]
    for words in LONGER:
        (found,) = [source for source in sources if source.startswith(words)]
        assert found.count("\n") + 1 > LONGEST


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem[:2])
def test_claims_are_folded_and_figures_described(lesson):
    for source in visible(lesson):
        assert not source.startswith("# Check the claim"), source.splitlines()[0]
        for call in re.findall(r"^ *plots\.show\(.*?^\)$", source, re.DOTALL | re.MULTILINE):
            assert "alt=" in call and "caption=" in call, call


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem[:2])
def test_shipped_notebooks_show_no_warning(lesson):
    path = lesson.parent.parent / "notebooks" / f"{lesson.stem}.ipynb"
    outputs = [out for cell in json.loads(path.read_text())["cells"] for out in cell.get("outputs", [])]
    said = ["".join(out["text"]) for out in outputs if out.get("name") == "stderr"]
    assert not said, said


def test_the_first_lesson_names_every_lesson():
    titles = [re.search(r"^# # (\d\d · .*)$", lesson.read_text(), re.MULTILINE)[1].lower() for lesson in LESSONS]
    rows = re.findall(r"^# \| (\d\d · .*?) \|", LESSONS[0].read_text(), re.MULTILINE)
    assert rows == titles[1:]
