"""What grading leaves: a page for each student, a summary of the class, and tables for learning platforms. No page
has a script."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections import Counter
from collections.abc import Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

from looped_lite.checkpoints import write_atomic

from .problems import Assignment, personal
from .sandbox import PROTECTION
from .submissions import OUTCOMES, contents

STYLE = """
body { font: 1.05rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
background: #fff; } h2 { margin-top: 2.2rem; border-top: 1px solid #767676; padding-top: 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .8rem; border-bottom: 1px solid
#767676; } .mark { font-weight: bold; } code, pre { font-family: ui-monospace, monospace; background: #f3f3f3; } pre {
# padding: .5rem; overflow-x: auto; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STATES = {
    "solved": "Right.",
    "wrong": "Not right yet.",
    "unsolved": "Not solved: the stub is still there.",
    "missing": "Nothing to grade.",
    "stopped": "Stopped.",
}


def page(title: str, body: str) -> bytes:
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{head}<title>{html.escape(title)}</title><style>{STYLE}</style>"
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}</main></body></html>\n'
    return page.encode()


def prose(text: str) -> str:
    """A problem's text as HTML: paragraphs, indented code, and `code` in lines. All of it is escaped."""
    parts = []
    for part in re.split(r"\n\s*\n", text.strip()):
        escaped = html.escape(part)
        if all(line.startswith("    ") for line in part.split("\n")):
            parts.append(f"<pre>{escaped}</pre>")
        else:
            parts.append("<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped) + "</p>")
    return "\n".join(parts) + "\n"


def student_page(result: dict[str, Any], assignment: Assignment) -> bytes:
    """One student's feedback: what was asked, what is right, the named mistake and a hint; never a hidden case's
    numbers."""
    title = f"{assignment.title}: {result['student']}"
    parts = [f"<h1>{html.escape(title)}</h1>\n<p class='mark'>{result['score']} of {assignment.points} points</p>\n"]
    if result["outcome"]:
        parts.append(f"<p>{html.escape(OUTCOMES[result['outcome']])}</p>\n")
    parts += [f"<p>{html.escape(note)}</p>\n" for note in result["notes"]]
    mine = personal(assignment.numbers, assignment.name, result["student"])
    if mine:
        listed = ", ".join(f"{name} = {value}" for name, value in mine.items())
        parts.append(f"<p>Your own numbers were {html.escape(listed)}.</p>\n")
    for problem in assignment.problems:
        found = result["problems"][problem.name]
        exercise = problem.declare(mine)
        parts.append(f"<h2>{html.escape(f'{exercise.number} {exercise.title}')}</h2>\n{prose(cleandoc(problem.text))}")
        parts.append(f"<p class='mark'>{STATES[found['state']]} {found['points']} of {problem.points} points.</p>\n")
        if found["sentence"] and not result["outcome"]:
            parts.append(f"<p>{html.escape(found['sentence'])}</p>\n")
        if found["state"] != "solved":
            parts.append(f"<p>Hint: {html.escape(problem.hint)}</p>\n")
        elif exercise.seen:
            parts.append(f"<p>{html.escape(exercise.seen)}</p>\n")
    return page(title, "".join(parts))


def summary_page(results: Sequence[dict[str, Any]], assignment: Assignment, way: str) -> bytes:
    """The class: points, how each problem went, and the commonest mistakes by their sentences."""
    scores = sorted(result["score"] for result in results)
    middle = (scores[(len(scores) - 1) // 2] + scores[len(scores) // 2]) / 2
    parts = [f"<h1>{html.escape(assignment.title)}: the class</h1>\n"]
    parts.append(f"<p>{len(results)} submissions; {middle:g} of {assignment.points} points in the middle.</p>\n")
    outcomes = Counter(result["outcome"] for result in results if result["outcome"])
    parts += [f"<p>{count} times: {html.escape(OUTCOMES[name])}</p>\n" for name, count in sorted(outcomes.items())]
    head = "".join(f"<th scope='col'>{state}</th>" for state in STATES)
    parts.append(f"<table><thead><tr><th scope='col'>problem</th>{head}</tr></thead><tbody>\n")
    for problem in assignment.problems:
        states = Counter(result["problems"][problem.name]["state"] for result in results)
        row = "".join(f"<td>{states[state]}</td>" for state in STATES)
        parts.append(f"<tr><th scope='row'>{html.escape(problem.declare(assignment.blank).title)}</th>{row}</tr>\n")
    parts.append("</tbody></table>\n")
    for problem in assignment.problems:
        mistakes = Counter(result["problems"][problem.name]["mistake"] for result in results)
        mistakes.pop("", None)
        if mistakes:
            rows = sorted(mistakes.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
            parts.append(
                f"<h2>{html.escape(problem.declare(assignment.blank).title)}: the commonest mistakes</h2>\n<ul>\n"
            )
            parts += [f"<li>{count}: {html.escape(sentence)}</li>\n" for sentence, count in rows]
            parts.append("</ul>\n")
    parts.append(f"<h2>How it was graded</h2>\n<p>{html.escape(PROTECTION[way])}</p>\n")
    return page(f"{assignment.title}: the class", "".join(parts))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A CSV table; a cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"'{cell}" if type(cell) is str and cell[:1] in "=+-@\t" and cell else cell for cell in row])
    return text.getvalue().encode("utf-8")


def file_name(student: str) -> str:
    """A name for a student's page that is a file's name anywhere, also where case does not count; no two students
    share one."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", student).strip("._")[:60]
    return (
        plain
        if plain and plain == student.lower()
        else f"{plain or 'student'}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
    )


def write(results: Sequence[dict[str, Any]], assignment: Assignment, out: Path, way: str) -> None:
    """Write all pages and tables, each whole or not at all."""
    names, most = [problem.name for problem in assignment.problems], assignment.points
    rows = []
    for result in results:
        write_atomic(out / "feedback" / f"{file_name(result['student'])}.html", student_page(result, assignment))
        points = [result["problems"][name]["points"] for name in names]
        page_name = f"feedback/{file_name(result['student'])}.html"
        percent = round(100 * result["score"] / most, 2)
        rows.append(
            [result["student"], assignment.name, result["score"], most, percent, result["outcome"], *points, page_name]
        )
    header = ["student", "assignment", "score", "max_score", "percent", "outcome", *names, "feedback"]
    write_atomic(out / "grades.csv", table(header, rows))
    canvas = [[row[0], "", "", row[0], "", row[2]] for row in rows]
    write_atomic(
        out / "grades-canvas.csv",
        table(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.title], canvas),
    )
    write_atomic(out / "grades-moodle.csv", table(["username", assignment.title], [[row[0], row[2]] for row in rows]))
    write_atomic(out / "summary.html", summary_page(results, assignment, way))


def copy_for_nbgrader(result: dict[str, Any], submitted: Path, out: Path, folder: Path) -> None:
    """Put a student's page where ``nbgrader release_feedback`` looks for it, FOLDER/STUDENT/ASSIGNMENT/ASSIGNMENT.html,
    with the two notes that it keeps about a submission.

    Nothing is written for a name that is no plain name of a folder.
    """
    student, assignment = result["student"], result["assignment"]
    if Path(student).name != student or student in ("", ".", ".."):
        return
    target = folder / student / assignment
    write_atomic(target / f"{assignment}.html", (out / "feedback" / f"{file_name(student)}.html").read_bytes())
    for name in ("timestamp.txt", "submission_secret.txt"):
        note, problem = contents(submitted / student / assignment / name)
        if not problem and re.fullmatch(rb"[ -~]{1,200}\s*", note):
            write_atomic(target / name, note)
