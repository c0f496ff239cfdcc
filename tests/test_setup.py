"""setup_course.py: which build of PyTorch is asked for, and that nothing hangs or ends without a sentence."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import setup_course as setup  # noqa: E402


def asked(system="Linux", build="cpu", answers=True):
    return list(setup.torch_attempts("2.13.0", system, build, lambda: answers))


def test_without_a_driver_the_small_build_is_asked_for_first():
    own, index, plain = asked()
    assert "torch==2.13.0+cpu" in own[1] and "--index-url" not in own[1]
    assert index[1][:2] == ["--index-url", setup.CPU_INDEX] and "torch==2.13.0+cpu" in index[1]
    assert plain[1] == ["torch==2.13.0"]


def test_an_index_that_does_not_answer_is_not_asked():
    own, plain = asked(answers=False)
    assert "--index-url" not in own[1] + plain[1]
    assert "did not answer" in plain[0] and "GB" in plain[0]


def test_the_index_is_looked_for_only_when_pips_own_settings_have_nothing():
    def never():
        raise AssertionError("asked too early")

    assert next(setup.torch_attempts("2.13.0", "Linux", "cpu", never))[1]


@pytest.mark.parametrize(("system", "build"), [("Linux", "usual"), ("Darwin", "cpu"), ("Windows", "cpu")])
def test_elsewhere_the_usual_build_is_right(system, build):
    ((sentence, words),) = asked(system, build)
    assert words == ["torch==2.13.0"] and sentence.endswith(".")


def test_an_address_that_never_answers_costs_its_seconds_and_no_more():
    import socket

    with socket.socket() as listener:  # accepts, and then says nothing
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        began = time.monotonic()
        assert setup.answers(f"http://127.0.0.1:{listener.getsockname()[1]}", seconds=0.3) is False
        assert time.monotonic() - began < 10
    assert setup.answers("http://127.0.0.1:9", seconds=2) is False
    assert setup.answers("no address", seconds=2) is False


def test_the_pin_is_the_constraints():
    text = (ROOT / "constraints.txt").read_text()
    assert f"\ntorch=={setup.torch_pin(text)}\n" in text, "one pin for every platform"
    with pytest.raises(ValueError, match="names no version of torch"):
        setup.torch_pin("numpy==2.0\n")


def test_what_cannot_work_is_said():
    assert "too old" in setup.problem((3, 9, 1), "Linux", "x86_64")
    assert "Intel" in setup.problem((3, 12, 1), "Darwin", "x86_64")
    assert setup.problem((3, 12, 1), "Darwin", "arm64") is None
    assert setup.problem((3, 10, 0), "Windows", "AMD64") is None


def test_unknown_words_explain_the_commands():
    done = subprocess.run([sys.executable, ROOT / "setup_course.py", "lob"], capture_output=True, text=True)
    assert done.returncode == 2 and "python setup_course.py lab" in done.stdout


def test_make_and_the_file_do_the_same():
    rule = re.search(
        r"^((?:[\w-]+ )*[\w-]+): python\n\t@\$\(PYTHON\) setup_course.py \$@", (ROOT / "Makefile").read_text(), re.M
    )
    assert set(rule[1].split()) == set(setup.COMMANDS)
