"""What a learner has solved: kept in a file of their own, which no lesson needs."""

import importlib.metadata
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

import looped_exercises
from looped_exercises import Case, Exercise, progress, report
from looped_lite.cli import BROUGHT, main

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPED_LITE_PROGRESS", str(tmp_path / "mine" / "progress.json"))
    monkeypatch.setattr(looped_exercises, "TOLD", set())
    return tmp_path / "mine" / "progress.json"


def solve(number="01.1"):
    double = Exercise(number, "twice", lambda x: 2 * x, lambda generator: [Case("twice 3", 3.0)])
    answer = lambda x: x + x
    assert double(answer) is answer and double.state == "solved"
    return double


def test_what_is_solved_is_noted_with_others_before_it_and_only_once(file):
    solve("01.1")
    solve("02.3")
    found = json.loads(file.read_text())
    before = file.stat().st_mtime_ns
    solve("01.1")
    assert sorted(found["solved"]) == ["01.1", "02.3"] and found["version"] == progress.VERSION
    assert file.stat().st_mtime_ns == before and list(file.parent.iterdir()) == [file]


def test_what_is_wrong_or_not_solved_is_not_noted(file):
    other = Exercise("01.1", "twice", lambda x: 2 * x, lambda generator: [Case("twice 3", 3.0)])
    other(lambda x: x)
    assert not file.exists()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"solved": 3}', b"\xff\xfe", b"[" * 10**6, b'{"version": 1}']
)
def test_a_damaged_file_is_put_aside(file, data, capsys):
    file.parent.mkdir()
    file.write_bytes(data)
    assert progress.read(file)[0] == {} and "damaged" in progress.read(file)[1]
    solve()
    assert "put aside" in capsys.readouterr().out
    assert sorted(progress.read(file)[0]) == ["01.1"] and progress.read(file)[1] == ""
    assert file.with_name("progress.json.damaged").read_bytes() == data


@pytest.mark.parametrize("version", [progress.VERSION + 1, None, "x"])
def test_a_file_of_another_version_is_read_as_far_as_it_can_be_and_left_alone(file, version, capsys):
    file.parent.mkdir()
    text = json.dumps({"version": version, "solved": {"01.1": "2030-01-01", "a new kind": [1], "02.2": 7}, "more": {}})
    file.write_text(text)
    assert progress.read(file)[0] == {"01.1": "2030-01-01", "02.2": "7"}
    solve("03.1")
    solve("03.2")
    assert file.read_text() == text and capsys.readouterr().out.count("could not be noted") == 1


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(parents=True), lambda path: path.parent.write_text("no folder")]
)
def test_a_place_that_cannot_be_written_breaks_nothing(file, make, capsys):
    make(file)
    assert progress.read(file)[0] == {}
    solve()
    report(ModuleType("lesson_99"))
    assert progress.main([]) == 0 and capsys.readouterr().out.count("could not be noted") == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the system's root writes everywhere")
def test_a_read_only_folder_breaks_nothing(file):
    file.parent.mkdir()
    file.parent.chmod(0o500)
    solve()
    file.parent.chmod(0o700)
    assert not file.exists()


def test_without_a_place_nothing_is_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LOOPED_LITE_PROGRESS", "")
    monkeypatch.chdir(tmp_path)
    solve()
    assert progress.place() is None and list(tmp_path.iterdir()) == []
    assert progress.main([]) == 0 and "No progress is kept" in capsys.readouterr().out
    monkeypatch.delenv("LOOPED_LITE_PROGRESS")
    assert progress.place() is None or progress.place().parts[-2:] == (".looped-lite", "progress.json")


def test_the_last_cell_of_a_lesson_says_what_was_solved_before(file, capsys):
    solve("01.2")
    lesson = ModuleType("lesson_01")
    lesson.exercise = Exercise("01.2", "twice", lambda x: x, lambda generator: [])
    capsys.readouterr()
    report(lesson)
    said = capsys.readouterr().out
    assert re.search(r"01\.2  not tried  twice  \(solved on 20\d\d-\d\d-\d\d\)", said) and "lesson 01: 1." in said


def test_every_lesson_with_exercises_ends_with_it():
    for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py")):
        if (ROOT / "looped_exercises" / f"lesson_{path.name[:2]}.py").exists():
            assert "report(ex)" in path.read_text(encoding="utf-8"), path.name


def test_the_command_counts_by_lesson_and_names_what_is_next(file, capsys):
    solve("01.1")
    capsys.readouterr()
    assert progress.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == sorted(progress.lessons())
    assert "#" in lines[1] and re.search(r"^1 of \d+ exercises solved\. Next: ", lines[-1])
    assert progress.main(["--all"]) == 0 and "01.2" in capsys.readouterr().out


# ---------------------------------------------------------------- commands of other packages


def points(**named):
    made = [importlib.metadata.EntryPoint(name, where, "looped_lite.commands") for name, where in named.items()]
    return lambda group, name: [point for point in made if point.name == name]


def test_commands_of_other_packages_are_those_that_the_project_declares(monkeypatch, capsys):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = dict(re.findall(r"^(progress|grade) = \"([\w.]+:\w+)\"$", text, re.MULTILINE))
    assert set(declared) == set(BROUGHT)
    monkeypatch.setattr("looped_lite.cli.entry_points", points(**declared))
    assert main(["progress"]) == 0
    assert main(["grade", "a1", "no such folder", "--out", "nowhere", "--isolation", "jail"]) == 2
    assert "'jail'" in capsys.readouterr().err


@pytest.mark.parametrize("found", [points(), points(grade="no_such_package.x:main")])
def test_a_command_whose_package_is_missing_says_what_to_do(found, monkeypatch, capsys):
    monkeypatch.setattr("looped_lite.cli.entry_points", found)
    assert main(["grade", "a1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not installed here" in said and "python -m coursework" in said
