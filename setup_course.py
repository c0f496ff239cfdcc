#!/usr/bin/env python3
"""Set the course up, with nothing but Python: `make lab` and `make test` call this file, and where there is no make you
do.

    python setup_course.py lab          a virtual environment in .venv, then JupyterLab on the first lesson
    python setup_course.py lab-check    the same without a browser: the first lesson, from its first cell to its last
    python setup_course.py test         the tests: style, lessons against notebooks, the package, every notebook in
                                        both forms
    python setup_course.py check        the quick ones: style, lessons against notebooks, most tests of the package
    python setup_course.py lint         style, and lessons against notebooks
    python setup_course.py install lab  (or test) only the environment

PyTorch is most of what is fetched, and its usual build for Linux brings gigabytes of CUDA. So where there is no NVIDIA
driver the small CPU build is taken: from pip's own settings if they offer it, else from PyTorch's own CPU index if that
answers, else the usual one. Settings, as environment variables: VENV (default .venv), TORCH_BUILD (cpu or usual;
default: look), CPU_INDEX (another address of such an index), WORKERS (test processes, default 2), CELL_TIMEOUT
(seconds, default 400).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / os.environ.get("VENV", ".venv")
CPU_INDEX = os.environ.get("CPU_INDEX", "https://download.pytorch.org/whl/cpu")
FIRST = "notebooks/00_start_here.ipynb"
WORKERS = os.environ.get("WORKERS", "2")
CELL_TIMEOUT = os.environ.get("CELL_TIMEOUT", "400")
EXTRAS = {"lab": "lab,chess", "test": "lab,chess,test"}
OLDEST, PATIENCE = (3, 10), 6.0  # the oldest Python; seconds that an index has to answer

# A sentence for the learner, and what pip is asked for. Quoted for old Pythons, which get to the sentence about them.
Attempt = "tuple[str, list[str]]"


def say(sentence: str) -> None:
    print(sentence, flush=True)


def problem(version: tuple[int, ...], system: str, machine: str) -> str | None:
    """Why the course cannot be set up by a Python of this version on this machine, or None."""
    if version[:2] < OLDEST:
        found = ".".join(map(str, version[:2]))
        return f"Python {found} is too old: the course needs 3.10 or newer. Say which to use: make PYTHON=python3.12"
    if (system, machine) == ("Darwin", "x86_64"):
        return (
            "PyTorch has had no builds for Macs with Intel processors since 2.2, and the course needs 2.4 or newer: "
            "it cannot be set up here. The lessons run on Google Colab; the README says how. (On an Apple-silicon Mac "
            "this message means that Python itself is an Intel build: install Python for arm64.)"
        )
    return None


def torch_attempts(pin: str, system: str, build: str, index_answers: Callable[[], bool]) -> Iterator[Attempt]:
    """What to ask pip for, one after the other until one works. ``build`` is "cpu" or "usual", ``pin`` a version of
    PyTorch.

    Only on Linux does the usual build bring CUDA; on macOS and Windows it is small.
    """
    usual = [f"torch=={pin}"]
    if system != "Linux":
        yield "Fetching PyTorch.", usual
        return
    if build == "usual":
        yield "There is an NVIDIA driver: fetching PyTorch with CUDA, about 2.8 GB.", usual
        return
    # without dependencies: they come with the rest, from pip's usual places and in the pinned versions
    small = ["--no-deps", f"torch=={pin}+cpu"]
    quick = ["--quiet", "--retries", "1", "--timeout", "10"]
    yield "There is no NVIDIA driver: asking pip's own settings for PyTorch's small CPU build.", [*quick, *small]
    why = "The CPU build did not come through"
    if index_answers():
        yield "Fetching the CPU build, about 190 MB, from PyTorch's own index.", ["--index-url", CPU_INDEX, *small]
    else:
        why = f"PyTorch's index of CPU builds did not answer within {PATIENCE:.0f} seconds"
    yield f"{why}: taking the usual build. It works as well, but it is 2.8 GB to fetch and 5 GB on disk.", usual


def torch_pin(constraints: str) -> str:
    """The version of PyTorch that constraints.txt names."""
    found = re.search(r"^torch==([\w.]+)", constraints, re.MULTILINE)
    if not found:
        raise ValueError("constraints.txt names no version of torch: expected a line such as torch==2.13.0")
    return found[1]


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is loaded."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    tool = shutil.which("nvidia-smi") or shutil.which("/usr/lib/wsl/lib/nvidia-smi")
    try:
        return bool(tool) and subprocess.run([tool], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def answers(address: str, seconds: float = PATIENCE) -> bool:
    """Whether a web address answers in time. Looking up its name has no time limit of its own, so it is done aside."""
    found: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{address.rstrip('/')}/torch/", timeout=seconds) as page:
                found.append(bool(page.read(1)))
        except (OSError, ValueError):
            found.append(False)

    asked = threading.Thread(target=ask, daemon=True)
    asked.start()
    asked.join(seconds)
    return found == [True]


def tool(name: str) -> Path:
    """A program of the virtual environment, e.g. ``tool("python")``."""
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


def run(*words: object, quiet: bool = False, environment: dict[str, str] | None = None) -> int:
    """Run a program from the course's folder; its exit code."""
    output = subprocess.DEVNULL if quiet else None
    words = tuple(map(str, words))
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=output, stderr=output, check=False
    ).returncode


def pip(*words: str) -> bool:
    """Whether pip did it. With --quiet among the words its errors are not shown either: there is another way."""
    return run(tool("python"), "-m", "pip", "--disable-pip-version-check", *words, quiet="--quiet" in words) == 0


def make_environment() -> None:
    """The virtual environment: kept if its Python runs, else made anew."""
    if tool("python").exists() and run(tool("python"), "-m", "pip", "--version", quiet=True) == 0:
        return
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        sys.exit("Python's venv module is missing: on Debian and Ubuntu, apt-get install python3-venv")
    say(f"Making a virtual environment in {VENV}, with Python {platform.python_version()}.")
    venv.create(VENV, clear=True, with_pip=True, symlinks=os.name != "nt")


def install_torch(pin: str) -> None:
    """PyTorch in the smallest build that this machine can use, unless the pinned version is there already."""
    there = f"import sys, importlib.metadata as m; sys.exit(m.version('torch').split('+')[0] != '{pin}')"
    if run(tool("python"), "-c", there, quiet=True) == 0:
        return
    build = os.environ.get("TORCH_BUILD") or ("usual" if has_nvidia() else "cpu")
    if build not in ("cpu", "usual"):
        sys.exit(f"TORCH_BUILD is {build!r}: expected cpu or usual")
    for sentence, words in torch_attempts(pin, platform.system(), build, lambda: answers(CPU_INDEX)):
        say(sentence)
        if pip("install", "-c", "constraints.txt", *words):
            return
    sys.exit(
        f"PyTorch {pin} could not be installed; the lines above say why. Is there a network? Is Python "
        f"{platform.python_version()} "
        "one that it has builds for (3.10 to 3.13 are tried)? Then run this again."
    )


def install(kind: str) -> None:
    """Everything that `lab` or `test` needs, unless it is there already."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    wanted = hashlib.sha256((constraints + (ROOT / "pyproject.toml").read_text(encoding="utf-8")).encode()).hexdigest()
    stamp = VENV / f".{kind}"
    if stamp.exists() and stamp.read_text() == wanted and tool("python").exists():
        return
    sentence = problem(sys.version_info[:3], platform.system(), platform.machine())
    if sentence:
        sys.exit(sentence)
    began = time.monotonic()
    make_environment()
    install_torch(torch_pin(constraints))
    say("Fetching the rest: the course's package, JupyterLab and what they need, at the versions in constraints.txt.")
    if not pip("install", "-qq", "-c", "constraints.txt", "-e", f".[{EXTRAS[kind]}]"):
        sys.exit(
            "The packages could not be installed; the lines above say why. Run the same command again once that is "
            "mended."
        )
    for done in ("lab", kind):  # what the tests need includes what the lessons need
        (VENV / f".{done}").write_text(wanted)
    size = sum(path.lstat().st_size for path in VENV.rglob("*") if not path.is_dir()) / 1e6
    say(f"Set up in {(time.monotonic() - began) / 60:.1f} minutes: {VENV.name} takes {size:,.0f} MB.")


def lab() -> int:
    install("lab")
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return run(tool("python"), "-m", "jupyterlab", *as_root, *os.environ.get("LAB_FLAGS", "").split(), FIRST)


def lab_check() -> int:
    install("lab")
    execute = ["nbconvert", "--to", "notebook", "--execute", "--output-dir", "build/lab-check"]
    code = run(tool("python"), "-m", *execute, f"--ExecutePreprocessor.timeout={CELL_TIMEOUT}", FIRST)
    if code == 0:
        say(f"{FIRST} runs from the first cell to the last: build/lab-check holds it with its outputs.")
    return code


def lint() -> int:
    install("test")
    python = tool("python")
    return (
        run(python, "-m", "ruff", "check", ".")
        or run(python, "-m", "ruff", "format", "--check", ".")
        or run(python, "lessons/build.py", "--check")
    )


# files in the order given: what waits for browsers and other machines first, then the notebooks, short tests last, so
# that no process is left alone with a long one
LONGEST = [f"tests/test_{name}.py" for name in ("site", "browser", "colab", "coursework")]
SPREAD = ["-n", WORKERS, "--dist", "loadscope", "--no-loadscope-reorder"]
# one thread a test process: the processes share the cores, and sums come out the same whatever their number
# and what tests solve is nobody's progress
STEADY = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "LOOPED_LITE_PROGRESS": ""}


def check() -> int:
    without = [word for path in LONGEST for word in ("--ignore", path)]
    quick = ["tests", *without, "-m", "not slow"]
    return lint() or run(tool("python"), "-m", "pytest", *quick, *SPREAD, environment=STEADY)


def test() -> int:
    python, solved = tool("python"), "build/solved"
    lax = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", CELL_TIMEOUT]
    code = lint()
    if code:
        return code
    shutil.rmtree(ROOT / solved, ignore_errors=True)
    others = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/test_*.py"))
    ordered = [*LONGEST, "notebooks", solved, *(path for path in others if path not in LONGEST)]
    return run(python, "lessons/build.py", "--solved", "--no-execute", "--out", solved, environment=STEADY) or run(
        python, "-m", "pytest", *ordered, *SPREAD, "--durations", "30", *lax, environment=STEADY
    )


COMMANDS = {"lab": lab, "lab-check": lab_check, "lint": lint, "check": check, "test": test}


def main(words: list[str]) -> int:
    if len(words) == 2 and words[0] == "install" and words[1] in EXTRAS:
        install(words[1])
        return 0
    if len(words) != 1 or words[0] not in COMMANDS:
        say(str(__doc__).strip())
        return 0 if words and words[0] in ("-h", "--help") else 2
    try:
        return COMMANDS[words[0]]()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
