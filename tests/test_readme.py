"""README and CONTRIBUTING: no dead link, no lesson forgotten, and the commands that they name exist."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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
