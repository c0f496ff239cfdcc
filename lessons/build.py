"""Build notebooks from the lessons' one source.

    python lessons/build.py               every lesson: stubs, executed, into notebooks/
    python lessons/build.py 02 04         only these
    python lessons/build.py --solved --out build/solved [--no-execute]
    python lessons/build.py --readdress   only the title and set-up cells of what is in notebooks/
    python lessons/build.py --check       fail if notebooks/ is not what the sources build

A source is a jupytext percent file. Its exercise cells hold the solution between BEGIN SOLUTION and END SOLUTION, its
hidden tests stand between BEGIN HIDDEN TESTS and END HIDDEN TESTS. The learner's form has a stub for each solution, the
solution folded under it, and no hidden tests; the solved form has both. A cell tagged ``claims`` asserts what the text
says, one tagged ``plumbing`` only helps: both are run, and shown folded.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat.notebooknode import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "lessons"
NOTEBOOKS = ROOT / "notebooks"

SETUP = SOURCES / "setup_cell.py"  # the first code cell of every notebook
SETUP_LOOK = {"tags": ["setup", "hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}  # folded
FOLDED = ("claims", "plumbing")  # tags of cells that are shown folded, too: what asserts, and what only helps
COLAB = "https://colab.research.google.com/github/{place}/blob/main/notebooks/{name}.ipynb"
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.DOTALL | re.MULTILINE)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\n(.*?)^[ \t]*### END HIDDEN TESTS\n?", re.DOTALL | re.MULTILINE)
STUB = 'raise NotImplementedError("your turn")'
PROGRESS = re.compile(r"\d+%\|")  # how a progress bar begins, as text


def sources(wanted: list[str]) -> list[Path]:
    """The lesson files whose number or name begins with one of ``wanted``; all of them if that is empty."""
    found = sorted(SOURCES.glob("[0-9][0-9]_*.py"))
    chosen = [path for path in found if not wanted or any(path.stem.startswith(name) for name in wanted)]
    missing = [name for name in wanted if not any(path.stem.startswith(name) for path in found)]
    if missing:
        sys.exit(f"no lesson begins with {', '.join(missing)}: expected one of {', '.join(p.stem for p in found)}")
    return chosen


def solved_cells(cell: NotebookNode) -> list[NotebookNode]:
    """A source cell as it stands in the solved form: the markers gone, everything else kept."""
    cell.source = re.sub(
        r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", "", cell.source + "\n", flags=re.MULTILINE
    )
    cell.source = cell.source.rstrip("\n")
    return [cell]


def learner_cells(cell: NotebookNode) -> list[NotebookNode]:
    """A source cell as the learner gets it: stubs, each with its solution folded below, and no hidden tests."""
    text = cell.source + "\n"
    if HIDDEN.search(text):
        text = HIDDEN.sub("", text)
        if not text.strip():
            return []
    if not SOLUTION.search(text):
        cell.source = text.rstrip("\n")
        return [cell]
    solution = solved_cells(nbformat.v4.new_code_cell(text))[0].source
    cell.source = SOLUTION.sub(lambda match: f"{match[1]}{STUB}\n", text).rstrip("\n")
    fold = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\n\n</details>"
    return [cell, nbformat.v4.new_markdown_cell(fold, metadata={"tags": ["solution"]})]


def project_setting(name: str) -> str:
    """A line ``name = "value"`` of pyproject.toml, "" if there is none: ``version``, or ``Repository`` of its URLs."""
    found = re.search(rf'^{name} = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def colab_link(repository: str, name: str) -> str:
    """Where Colab opens a notebook of a public GitHub repository; "" for other addresses, which it cannot open."""
    place = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository)
    return COLAB.format(place=place[1], name=name) if place else ""


def setup_cell(repository: str) -> str:
    """The set-up cell of this version, for a course that lives at ``repository`` ("" before it is published)."""
    setting = f"REPOSITORY, VERSION = {json.dumps(repository)}, {json.dumps(project_setting('version'))}"
    return re.sub(
        r"^REPOSITORY, VERSION = .*", lambda _: setting, SETUP.read_text(encoding="utf-8"), flags=re.MULTILINE
    )


def title_cell(text: str, link: str) -> str:
    """The first cell, with a line under the title that opens the lesson on Colab."""
    title, _, rest = text.partition("\n")
    return f"{title}\n\n[Open this lesson in Google Colab]({link})\n{rest}" if link else text


def build(source: Path, solved: bool, repository: str | None = None) -> NotebookNode:
    """The notebook of one lesson, not executed. The same source gives the same notebook, cell ids included.

    ``repository`` is the course's address, if it is another than pyproject.toml says.
    """
    repository = project_setting("Repository") if repository is None else repository
    notebook = jupytext.read(source, fmt="py:percent")
    form = solved_cells if solved else learner_cells
    cells = [new for cell in notebook.cells for new in form(cell)]
    cells[0].source = title_cell(cells[0].source, colab_link(repository, source.stem))
    cells.insert(1, nbformat.v4.new_code_cell(setup_cell(repository), metadata=SETUP_LOOK))
    for place, cell in enumerate(cells):
        cell.id = f"{source.stem[:2]}-{place:03d}"
        cell.source = cell.source.strip("\n")
        tags = cell.metadata.get("tags", [])
        if set(FOLDED) & set(tags):
            cell.metadata.update(SETUP_LOOK | {"tags": [*tags, "hide-input"]})
    notebook.cells = cells
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def readdress(source: Path) -> None:
    """Write title and set-up cell of a shipped notebook anew, after the repository's address or the version has
    changed.

    Outputs stay: neither cell changes what the lesson computes.
    """
    path = NOTEBOOKS / f"{source.stem}.ipynb"
    shipped, built = nbformat.read(path, as_version=4), build(source, solved=False)
    for place in (0, 1):
        shipped.cells[place].source = built.cells[place].source
        shipped.cells[place].metadata = built.cells[place].metadata
    nbformat.write(shipped, path)


def execute(notebook: NotebookNode, timeout: int) -> float:
    """Run all cells in ``notebooks/`` as the working folder; returns the seconds it took. A failing cell raises."""
    began = time.perf_counter()
    os.environ["LOOPED_LITE_PROGRESS"] = ""  # what a build solves is nobody's progress
    NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day: they would change with every build
        tidy_outputs(cell)
    notebook.metadata["language_info"] = {"name": "python"}
    return time.perf_counter() - began


def tidy_outputs(cell: NotebookNode) -> None:
    """Join the pieces of each stream, and keep of a progress line what a terminal would show: its last state.

    A progress bar that is a widget goes: on a page without a kernel it would stand at 0% for ever. Of a widget that
    brings a still picture the picture stays: the widget itself ended with its kernel, and JupyterLab would show an
    error in its place.
    """
    if cell.cell_type != "code":
        return
    kept: list[NotebookNode] = []
    for output in cell.outputs:
        if output.output_type == "display_data" and PROGRESS.search(output.data.get("text/plain", "")):
            continue
        if (
            output.output_type == "stream"
            and kept
            and kept[-1].output_type == "stream"
            and kept[-1].name == output.name
        ):
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if "text/html" in output.get("data", {}):
            output.data.pop("application/vnd.jupyter.widget-view+json", None)
        if output.output_type == "stream":
            output.text = "\n".join(line.rstrip("\r").split("\r")[-1] for line in output.text.split("\n"))
    cell.outputs = kept


def record(number: str, seconds: float) -> None:
    """Write into data/lessons.csv how long a lesson took and how fast this machine is, for `looped-lite doctor`."""
    from looped_lite.doctor import lessons, speed

    rows = [row for row in lessons() if row["lesson"] != number]
    row = next((row for row in lessons() if row["lesson"] == number), {"you_minutes": "60", "after": ""})
    rows.append(row | {"lesson": number, "machine_seconds": f"{seconds:.0f}", "speed": f"{speed():.0f}"})
    with open(ROOT / "data" / "lessons.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file, ["lesson", "you_minutes", "machine_seconds", "speed", "after"], lineterminator="\n"
        )
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: row["lesson"]))


def drift(source: Path) -> str | None:
    """Why the shipped notebook of a lesson is not what its source builds, or None."""
    path = NOTEBOOKS / f"{source.stem}.ipynb"
    if not path.exists():
        return f"{path.name} is missing"
    shipped, built = nbformat.read(path, as_version=4), build(source, solved=False)
    for mine, theirs in zip(built.cells, shipped.cells, strict=False):
        if (mine.cell_type, mine.source, mine.id) != (theirs.cell_type, theirs.source, theirs.id):
            return f"{path.name}: cell {theirs.id} is not what {source.name} builds"
    if len(built.cells) != len(shipped.cells):
        return f"{path.name} has {len(shipped.cells)} cells, {source.name} builds {len(built.cells)}"
    for cell in shipped.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return f"{path.name}: cell {cell.id} was never executed"
        if cell.cell_type == "code" and any(output.output_type == "error" for output in cell.outputs):
            return f"{path.name}: cell {cell.id} ships with an error"
    if path.stat().st_size > 4_000_000:
        return f"{path.name} is {path.stat().st_size / 1e6:.1f} MB: expected less than 4"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the notebooks from the lessons.")
    parser.add_argument("lessons", nargs="*", help="numbers or names, all if none is given")
    parser.add_argument("--solved", action="store_true", help="solutions and hidden tests instead of stubs")
    parser.add_argument("--out", type=Path, default=NOTEBOOKS)
    parser.add_argument("--no-execute", action="store_true", help="write the cells without outputs")
    parser.add_argument("--timeout", type=int, default=400, help="seconds for one cell")
    parser.add_argument("--record", action="store_true", help="note the seconds in data/lessons.csv")
    parser.add_argument("--repository", help="the course's address, if it is another than pyproject.toml says")
    parser.add_argument("--readdress", action="store_true", help="write title and set-up cells anew, keep all else")
    parser.add_argument("--check", action="store_true", help="only compare notebooks/ with the sources")
    arguments = parser.parse_args()
    chosen = sources(arguments.lessons)
    if arguments.check:
        problems = [problem for problem in map(drift, chosen) if problem]
        if problems:
            sys.exit("\n".join([*problems, "run: python lessons/build.py " + " ".join(arguments.lessons)]))
        print(f"{len(chosen)} notebooks are what their sources build")
        return
    if arguments.readdress:
        for source in chosen:
            readdress(source)
        print(f"{len(chosen)} notebooks: title and set-up cells written anew")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for source in chosen:
        notebook = build(source, arguments.solved, arguments.repository)
        took = 0.0 if arguments.no_execute else execute(notebook, arguments.timeout)
        if arguments.record and took:
            record(source.stem[:2], took)
        path = arguments.out / f"{source.stem}.ipynb"
        nbformat.write(notebook, path)
        print(f"{path.name}: {len(notebook.cells)} cells, {took:.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
