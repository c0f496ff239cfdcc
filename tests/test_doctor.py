"""looped-lite doctor: versions compared as numbers, each problem named with what to do, minutes for every lesson."""

import re
from pathlib import Path

import pytest

from looped_lite import doctor

ROOT = Path(__file__).resolve().parent.parent
WELL = {
    name: f"{oldest}.1+cpu" if name == "torch" else oldest for name, oldest in (doctor.NEEDED | doctor.OPTIONAL).items()
}
WELL |= {"ipywidgets": "8.1.9"}


def test_a_machine_that_is_well():
    assert doctor.problems(WELL, memory=8.0) == []


@pytest.mark.parametrize(
    ("change", "words", "stops"),
    [
        ({"found": WELL | {"torch": "2.3.1+cpu"}}, "torch 2.3.1", True),
        ({"found": WELL | {"safetensors": ""}}, "safetensors is missing", True),
        ({"python": (3, 9, 1)}, "Python 3.9", True),
        ({"data": False}, "puzzles and models", True),
        ({"found": WELL | {"ipywidgets": "7.7.1"}}, "ipywidgets 7", False),
        ({"found": WELL | {"jupyterlab": ""}}, "JupyterLab is missing", False),
        ({"found": WELL | {"chess": ""}}, "chess", False),
        ({"memory": 0.5}, "0.5 GB", False),
        ({"threads": 8, "count": 2}, "8 threads on 2 cores", False),
    ],
)
def test_each_problem_is_named(change, words, stops):
    (problem,) = doctor.problems(**({"found": WELL} | change))
    assert words in problem.what and problem.do and problem.stops is stops


def test_cuda_without_a_driver_is_named_on_linux(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    assert "CUDA" in doctor.problems(WELL | {"torch": "2.13.0"})[0].what
    assert doctor.problems(WELL | {"torch": "2.13.0"}, driver=True) == []
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    assert doctor.problems(WELL | {"torch": "2.13.0"}) == []


def test_versions_are_numbers():
    assert doctor.number("2.13.0+cpu") == (2, 13, 0) > doctor.number("2.4")
    assert doctor.number("2.14.0rc1") == (2, 14, 0)
    assert doctor.number("") == ()


def test_what_is_needed_is_what_pyproject_says():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    assert dict(re.findall(r'"([\w-]+)>=([\d.]+)"', listed)) == doctor.NEEDED
    assert all(f'"{name}>={oldest}"' in text for name, oldest in doctor.OPTIONAL.items())


def test_every_lesson_has_a_row():
    numbers = [row["lesson"] for row in doctor.lessons()]
    assert numbers == sorted(path.name[:2] for path in (ROOT / "lessons").glob("[0-9][0-9]_*.py"))
    assert all(
        float(row["machine_seconds"]) > 0 and float(row["speed"]) > 0 and row["after"] for row in doctor.lessons()
    )


def test_the_report(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "speed", lambda: 90.0)
    code = doctor.doctor()
    said = capsys.readouterr().out
    assert code in (0, 1) and "90 loops a second" in said
    for row in doctor.lessons():
        assert f"  {row['lesson']}  " in said
    slow = max(float(row["machine_seconds"]) * float(row["speed"]) / 90 for row in doctor.lessons())
    assert f"about {round(slow / 60)} min" in said


def test_speed_is_measured():
    assert doctor.speed(0.05) > 0
