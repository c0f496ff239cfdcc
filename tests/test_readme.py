"""README and CONTRIBUTING: no dead link, no lesson forgotten, and the commands that they name exist."""

import csv
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from looped_lite.paths import read_results

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import publish  # noqa: E402

PAGES = ("README.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_every_lesson_is_in_the_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    notebooks = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    listed = re.findall(r"\]\(notebooks/([0-9]{2}_\w+\.ipynb)\)", readme)
    assert listed == notebooks


def test_titles_are_those_of_the_lessons():
    rows = re.findall(
        r"^\| (\d\d) \| \[(.+?)\]\((.+?)\) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for number, title, link in rows:
        first = "".join(json.loads((ROOT / link).read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
        assert first.lower() == f"# {number} · {title}".lower()


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([\w-]+)(?:`|\s)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    assert targets and all(
        re.search(rf"^(?:[\w-]+ )*{target}(?: [\w-]+)*:", makefile, re.MULTILINE) for target in targets
    )


def test_every_kind_of_module_is_packaged():
    """A package that pyproject.toml forgets would be missing from an install."""
    packages = {path.parent for path in (ROOT / "looped_lite").rglob("__init__.py")}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [p for p in packages if f'"{".".join(p.relative_to(ROOT).parts)}"' not in text] == []


def test_minutes_and_abilities_are_those_of_the_lessons():
    """data/lessons.csv is what `looped-lite doctor` reads, too."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d\d) \|.*?\)(?: \|.*?)\| (\d+ \| [\d.]+ \| .*) \|$", readme, re.MULTILINE))
    with open(ROOT / "data" / "lessons.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            machine = max(0.5, round(float(row["machine_seconds"]) / 30) / 2)
            assert rows[row["lesson"]] == f"{row['you_minutes']} | {machine:g} | {row['after']}"


@pytest.mark.parametrize("page", [*PAGES, "INSTRUCTORS.md", "data/README.md"])
def test_commands_exist(page):
    from looped_lite.cli import COMMANDS

    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`|\bbin/)looped-lite (\w+)", text, re.MULTILINE)) <= set(COMMANDS)
    modules = set(re.findall(r"python -m (looped_lite[\w.]*|coursework[\w.]*|experiments[\w.]*)", text))
    known = [module for module in modules if (ROOT / module.partition(".")[0]).exists()]
    assert [module for module in known if importlib.util.find_spec(module) is None] == []
    assert [file for file in re.findall(r"python ([\w/]+\.py)", text) if not (ROOT / file).exists()] == []


def test_the_address_is_the_projects():
    text, names = (ROOT / "README.md").read_text(encoding="utf-8"), [path.stem for path in publish.sources([])]
    addresses = publish.project_setting("Repository"), names, publish.project_setting("Homepage")
    assert publish.readme_with(text, *addresses) == text


def test_readme_begins_with_the_page_that_runs_a_model():
    text, site = (ROOT / "README.md").read_text(encoding="utf-8"), "https://a.github.io/b"
    said = publish.readme_with(text, "https://github.com/a/b", [], site)
    links = re.findall(r"\]\(((?!notebooks/images)[^)]*)\)", said)
    assert links[0] == f"{site}/try/sudoku.html" and f".gif)]({site}/try/sudoku.html)" in said
    assert publish.readme_with(said, "", []) == publish.readme_with(text, "", [])
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    twice = publish.project_with(
        publish.project_with(project, "https://github.com/a/b", site), "https://github.com/a/b", site
    )
    assert twice.count("[project.urls]") == twice.count(f'Homepage = "{site}"') == 1
    with pytest.raises(ValueError, match="no address of pages"):
        publish.check_site("file:///pages")


def test_publishing_writes_the_address_once():
    readme, project = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "pyproject.toml"))
    first = publish.project_with(project, "https://github.com/a/b")
    assert publish.project_with(first, "https://github.com/c/d") == first.replace("a/b", "c/d")
    assert first.count("[project.urls]") == 1 and '\nRepository = "https://github.com/a/b"\n' in first
    said = publish.readme_with(readme, "https://github.com/a/b", ["00_start_here"])
    assert "git clone https://github.com/a/b course" in said and "git clone ADDRESS" not in said
    assert "colab.research.google.com/github/a/b/blob/main/notebooks/00_start_here.ipynb" in said
    assert publish.readme_with(said, "", []) == publish.readme_with(readme, "", [])
    assert "colab" not in publish.where("https://example.org/a/b", ["00_start_here"])


@pytest.mark.parametrize(
    "address", ["", "github.com/a/b", "git@github.com:a/b.git", "https://github.com", 'https://h.org/a/b"']
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="no address of a repository"):
        publish.check(address)


def test_the_counts_of_bits_and_sudokus_are_those_of_the_rows():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quick = [row for row in read_results("prefix_sums_quick") if row["seed"] == "0"]
    for bits in ("512", "4096"):
        for rows in (read_results("prefix_sums_solved"), quick):
            right, count = (sum(int(row[name]) for row in rows if row["bits"] == bits) for name in ("exact", "strings"))
            assert f"{right} of {count} at {int(bits):,}" in readme
    rows = [row for row in read_results("sudoku_9x9_tries") if row["model"] == "sudoku-9x9"]
    tries = {row["split"]: (int(row["solved"]), int(row["count"])) for row in rows}
    other = [sum(counts) for counts in zip(*(v for k, v in tries.items() if k.startswith("qqwing")), strict=True)]
    for name, (right, count) in {"easy": tries["test"], **tries, "of another generator": other}.items():
        said = f"{right:,} of {count:,} {name}"
        assert said in readme or name in ("test", *(k for k in tries if k.startswith("qqwing"))), said


@pytest.mark.parametrize(
    ("model", "table", "column", "stopped"),
    [
        ("sudoku-9x9-mined", "sudoku_9x9", "right", ""),
        ("sudoku-9x9-averaged", "sudoku_9x9_one_run", "solved", ", stopped by the rules,"),
    ],
)
def test_the_shares_of_the_other_sudoku_models_are_those_of_the_rows(model, table, column, stopped):
    rows = [row for row in read_results(table) if row["loops"] == "1024"]
    one_run = {r["split"]: int(r[column]) / int(r["count"]) for r in rows if r["model"] == model}
    rows = [row for row in read_results("sudoku_9x9_tries") if row["tries"] == "16"]
    tries = {r["split"]: (r["solved"], r["count"]) for r in rows if r["model"] == model}
    three = ("test", "hard", "extreme")
    alone = [f"{one_run[split]:.3f}" for split in three]
    tried = [f"{int(tries[split][0]) / int(tries[split][1]):.3f}" for split in three]
    words = f"one run of 1,024 loops{stopped} {alone[0]}, {alone[1]} and {float(alone[2]):g}; "
    words += f"with tries {tried[0]}, {tried[1]} and {float(tried[2]):g}, and "
    words += f"{' of '.join(tries['mined'])} mined puzzles"
    assert words in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line, model",
    [
        ("chess", "chess"),
        ("chess, longer", "chess-longer"),
        ("chess, averaged", "chess-averaged"),
        ("chess, all kinds of positions", "chess-all"),
        ("chess, mates in one alone", "chess-mate1"),
    ],
)
def test_the_shares_of_the_chess_models_are_those_of_the_rows(line, model):
    rows = [row for row in read_results("chess_best") if row["loops"] == "100"]
    rows += [row for row in read_results("chess_composed") if row["loops"] == "1024" and row["model"] != "chess"]
    shares = {f"{int(row['move']) / int(row['count']):.3f}" for row in rows if row["model"] == model}
    (said,) = re.findall(rf"^\| {line} \|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = set(re.findall(r"\b0\.\d{3}\b", said))
    assert found <= shares and (found == shares or model == "chess-mate1"), "of mates in one alone the first two"
