"""The set-up cell of every notebook where the package is there, on Colab, and elsewhere; and `--readdress`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lessons"))
import build  # noqa: E402

COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
SHOW = """
import traceback
try:
    exec(CELL, {})
except Exception as error:
    print("STOPPED", error._render_traceback_()[0])
"""


def run_cell(folder, repository, colab=False):
    """What the cell prints, run in ``folder`` by a Python that has no looped_lite."""
    code = (COLAB if colab else "") + f"CELL = {build.setup_cell(repository)!r}\n" + SHOW
    words = [sys.executable, "-S", "-E", "-c", code]  # -S: without site-packages, where looped_lite may be installed
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A git repository with the package alone, tagged as this version."""
    place = tmp_path_factory.mktemp("released")
    shutil.copytree(ROOT / "looped_lite", place / "looped_lite", ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(place)]
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "a"],
        ["tag", f"v{build.project_setting('version')}"],
    ):
        subprocess.run([*git, *words], check=True)
    return f"file://{place}"


def test_in_the_repository_the_package_is_found():
    assert run_cell(ROOT / "notebooks", "") == f"looped_lite {build.project_setting('version')}\n"


def test_on_colab_the_release_is_fetched_once(tmp_path, released):
    said = run_cell(tmp_path, released, colab=True)
    assert "%" in said and "Save a copy in Drive" in said
    assert said.endswith(f"looped_lite {build.project_setting('version')}\n")
    assert (tmp_path / "course" / "looped_lite" / "model.py").exists()
    again = run_cell(tmp_path, "file:///nowhere", colab=True)
    assert again == f"looped_lite {build.project_setting('version')}\n"


def test_on_colab_a_repository_without_the_release_gives_its_newest(tmp_path, released):
    copy = tmp_path / "untagged"
    subprocess.run(["git", "clone", "-q", released, copy], check=True)
    subprocess.run(
        ["git", "-C", copy, "tag", "-d", f"v{build.project_setting('version')}"], check=True, capture_output=True
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run_cell(empty, f"file://{copy}", colab=True).endswith(f"looped_lite {build.project_setting('version')}\n")


@pytest.mark.parametrize("repository", ["", "file:///nowhere/at/all"])
def test_on_colab_what_cannot_be_fetched_is_said(tmp_path, repository):
    said = run_cell(tmp_path, repository, colab=True)
    assert "STOPPED The course could not be fetched" in said and "!git clone" in said


def test_elsewhere_two_lines_are_said_and_nothing_is_fetched(tmp_path, released):
    said = run_cell(tmp_path, released)
    assert said.startswith("STOPPED") and f"git clone {released} course" in said and "make lab" in said
    assert list(tmp_path.iterdir()) == []


def test_another_version_is_named(tmp_path, released):
    cell = re.sub(r"^(REPOSITORY, VERSION = .*), .*", r'\1, "9.9.9"', build.setup_cell(""), flags=re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", cell], cwd=ROOT, capture_output=True, text=True)
    assert "belongs to version 9.9.9" in done.stdout


def test_stopping_shows_no_traceback():
    """IPython shows what ``_render_traceback_`` returns."""
    from IPython.core.interactiveshell import InteractiveShell

    names = {}
    text = build.setup_cell("")
    exec(text[text.index("class Stop") : text.index("def package_is_here")], names)
    assert names["Stop"]("two lines")._render_traceback_(None, None, None) == ["two lines"]
    assert "_render_traceback_" in Path(sys.modules[InteractiveShell.__module__].__file__).read_text()


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://github.com/a/b-c", "https://colab.research.google.com/github/a/b-c/blob/main/notebooks/00_x.ipynb"),
        ("https://github.com/a/b.git", "https://colab.research.google.com/github/a/b/blob/main/notebooks/00_x.ipynb"),
        ("https://example.org/a/b", ""),
        ("", ""),
    ],
)
def test_colab_opens_what_it_can(address, link):
    assert build.colab_link(address, "00_x") == link


def test_the_address_reaches_title_and_cell():
    notebook = build.build(build.sources(["00"])[0], solved=False, repository="https://github.com/a/b")
    assert notebook.cells[0].source.splitlines()[2].startswith("[Open this lesson in Google Colab](https://colab")
    assert '"https://github.com/a/b"' in notebook.cells[1].source
