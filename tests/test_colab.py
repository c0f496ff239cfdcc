"""The cheap form of `make colab-check`: Colab's own versions of everything but PyTorch and Python, and nothing of them
would be replaced.

It fetches some 100 MB, so it runs under CI=true only; tests/colab.py runs every lesson.
"""

import os
import subprocess
import sys

import colab
import pytest

asked = os.environ.get("CI") and sys.platform == "linux"
pytestmark = pytest.mark.skipif(not asked, reason="it fetches Colab's packages: set CI=true, on Linux")


@pytest.fixture(scope="module")
def python():
    return colab.make_environment(colab.HOME / "cheap", cheap=True)


def test_installing_the_course_would_replace_nothing_of_colabs(python):
    assert colab.would_change(python) == []


@pytest.mark.parametrize("lesson", ["00", "01"])
def test_a_lesson_runs_from_its_notebook_alone(python, lesson):
    if subprocess.run(["git", "-C", colab.ROOT, "rev-parse", "--verify", "HEAD"], capture_output=True).returncode:
        pytest.skip("this copy of the course is no git repository, so it cannot be cloned")
    done = colab.run_lesson(python, lesson, solved=lesson == "01")
    assert done["error"] == ""
    said = "".join("".join(output.get("text", "")) for output in done["setup"])
    assert "Save a copy in Drive" in said
