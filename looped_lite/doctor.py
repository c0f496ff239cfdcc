"""``looped-lite doctor``: what this machine has, how long each lesson takes on it, what is wrong, what to do."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .paths import data_path

# oldest versions, as in pyproject.toml; what is asked of JupyterLab's side is only wrong where lessons are opened
NEEDED = {
    "torch": "2.4",
    "numpy": "1.26",
    "matplotlib": "3.8",
    "ipywidgets": "7.7",
    "tqdm": "4.66",
    "safetensors": "0.4.3",
}
OPTIONAL = {"jupyterlab": "4.2", "chess": "1.10"}
PYTHON = (3, 10)
MEMORY = 2.0  # GB; the largest peak of a lesson's kernel that was measured is 1.5


class Problem(NamedTuple):
    what: str
    do: str
    stops: bool = False  # lessons do not run with it


def number(version: str) -> tuple[int, ...]:
    """ "2.13.0+cpu" -> (2, 13, 0); what is not a number ends it."""
    parts = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def versions() -> dict[str, str]:
    """Installed versions of the packages that the course uses; "" for what is missing."""
    found = {}
    for name in (*NEEDED, *OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def cores() -> int:
    """Processor cores that this process may use, a container's share included."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or one without a limit
        return count


def free_memory() -> float | None:
    """GB of memory that are free, or None where that cannot be told (psutil comes with Jupyter)."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().available / 1e9


def speed(seconds: float = 1.0) -> float:
    """Loops a second in matrix products of a lesson's size: 64 puzzles, 81 cells, 64 channels, an MLP of 256."""
    import torch

    state, up, down = torch.randn(64 * 81, 64), torch.randn(64, 256) / 8, torch.randn(256, 64) / 16

    def loop() -> None:
        heads = state.view(64, 81, 4, 16).transpose(1, 2)
        torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
        torch.nn.functional.gelu(state @ up) @ down

    took = []  # of each loop; the fastest tenth says what the machine can, whatever else runs beside it
    with torch.no_grad():
        began = time.perf_counter()
        while time.perf_counter() - began < seconds or len(took) < 10:
            before = time.perf_counter()
            loop()
            took.append(time.perf_counter() - before)
    return 1 / sorted(took)[len(took) // 10]


def lessons() -> list[dict[str, str]]:
    """Rows of ``data/lessons.csv``: ``lesson``, ``you_minutes``, ``machine_seconds`` and its ``speed``, ``after``."""
    with open(data_path("lessons.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def has_driver() -> bool:
    """Whether an NVIDIA driver is there."""
    import torch

    return torch.cuda.is_available() or Path("/proc/driver/nvidia/version").exists()


def problems(
    found: Mapping[str, str],
    python: tuple[int, ...] = (3, 12),
    threads: int = 2,
    count: int = 2,
    memory: float | None = None,
    driver: bool = False,
    data: bool = True,
) -> list[Problem]:
    """What is wrong, and what to do about it; ``found`` as from `versions`, ``memory`` in GB, ``driver``: NVIDIA's."""
    wrong = []
    if python[:2] < PYTHON:
        old = f"Python {python[0]}.{python[1]} is too old."
        wrong.append(Problem(old, "Install Python 3.10 or newer and set the course up with it.", True))
    for name, oldest in NEEDED.items():
        if not found[name]:
            wrong.append(Problem(f"{name} is missing.", "Run make lab again, or python setup_course.py lab.", True))
        elif number(found[name]) < number(oldest):
            wrong.append(Problem(f"{name} {found[name]} is too old.", f'pip install "{name}>={oldest}"', True))
    if not data:
        missing = "The course's puzzles and models are missing."
        wrong.append(Problem(missing, "Fetch the course again; LOOPED_LITE_DATA, if set, names its data folder.", True))
    if not found["jupyterlab"]:
        wrong.append(
            Problem("JupyterLab is missing.", 'pip install "jupyterlab>=4.2", or open lessons in another editor.')
        )
    elif number(found["jupyterlab"]) >= (4,) and (0,) < number(found["ipywidgets"]) < (8,):
        wrong.append(Problem("ipywidgets 7 shows no widgets in JupyterLab 4.", 'pip install "ipywidgets>=8.1"'))
    if not found["chess"]:
        wrong.append(
            Problem("Without chess you cannot try positions of your own in lesson 08.", 'pip install "chess>=1.10"')
        )
    if found["torch"] and "+" not in found["torch"] and sys.platform == "linux" and not driver:
        big = "PyTorch seems to be the build with CUDA, 4 GB more than the small one, and there is no NVIDIA driver."
        wrong.append(Problem(big, "It works. To get the space back, delete .venv and run make lab again."))
    if threads > count:
        busy = f"PyTorch uses {threads} threads on {count} core{'s' * (count != 1)}, which is slow."
        wrong.append(Problem(busy, f"Set OMP_NUM_THREADS={count} before Jupyter starts."))
    if memory is not None and memory < MEMORY:
        wrong.append(Problem(f"Only {memory:.1f} GB of memory are free.", f"Close programs until {MEMORY:g} GB are."))
    return wrong


def minutes(seconds: float) -> str:
    return "under half a minute" if seconds < 30 else f"about {max(1, round(seconds / 60))} min"


def doctor() -> int:
    """Print the report. Returns 1 if something is wrong that stops lessons, else 0."""
    import torch

    from . import __version__

    found, count, threads, memory = versions(), cores(), torch.get_num_threads(), free_memory()
    print(f"looped_lite {__version__} in {Path(__file__).parent}")
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(", ".join(f"{name} {version or 'missing'}" for name, version in found.items()))
    free = "" if memory is None else f", {memory:.1f} GB of memory free"
    print(f"{count} core{'s' * (count != 1)}, {threads} PyTorch thread{'s' * (threads != 1)}{free}")
    data = data_path("lessons.csv").is_file() and data_path("checkpoints").is_dir()
    if data:
        print(f"speed: {(here := speed()):.0f} loops a second\n\nWhat running a whole lesson takes on this machine:")
        for row in lessons():
            print(f"  {row['lesson']}  {minutes(float(row['machine_seconds']) * float(row['speed']) / here)}")
    wrong = problems(found, sys.version_info[:3], threads, count, memory, has_driver(), data)
    print("\nWhat to know:" if wrong else "\nNothing is wrong.")
    for problem in wrong:
        print(f"- {problem.what}\n  {problem.do}")
    return int(any(problem.stops for problem in wrong))


if __name__ == "__main__":
    sys.exit(doctor())
