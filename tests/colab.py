"""Google Colab, emulated: the lessons from the notebook alone, with the packages that Colab had on the day in
colab_pins.txt.

    python tests/colab.py                 every lesson in both forms, on Python 3.13 with Colab's PyTorch (5 GB, once)
    python tests/colab.py --cheap 00 03   these, on this Python and its PyTorch; all other packages as on Colab

Each lesson runs in a kernel that starts in an empty folder, in which `google.colab` can be imported. It finds no
package there, so its set-up cell clones the course, from this repository's own address on this disk: what is not
committed is not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tests" / "colab_pins.txt"
HOME = ROOT / "build" / "colab"
# what PyTorch needs beside itself, when it is borrowed instead of installed
BESIDE_TORCH = ["filelock", "fsspec", "networkx", "sympy", "typing_extensions", "setuptools>=77"]

RUN = """\
import json, resource, sys, time
import nbformat
from nbclient import NotebookClient
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
began = time.perf_counter()
try:
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    error = ""
except Exception as failure:
    error = str(failure)[-1500:]
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the kernel, which has ended
streams = [o["text"] for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
kinds = sorted({line for text in streams for line in text.splitlines() if "Warning" in line})
setup = notebook.cells[1].get("outputs", [])
print(json.dumps({"seconds": seconds, "peak": peak, "error": error, "warnings": kinds, "setup": setup}))
"""


def python_of(home: Path) -> Path:
    return home / "bin" / "python"


def make_environment(home: Path, cheap: bool) -> Path:
    """An environment with Colab's packages, made once; returns its Python."""
    python = python_of(home)
    if (home / ".made").exists() and (home / ".made").read_text() == PINS.read_text():
        return python
    base = sys.executable if cheap else shutil.which("python3.13")
    if not base or subprocess.run([base, "--version"], capture_output=True).returncode:
        sys.exit("Python 3.13 is not here: install it, or run the cheap form, --cheap, on this Python")
    subprocess.run([base, "-m", "venv", "--clear", home], check=True)
    pins = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
    if cheap:
        pins = [pin for pin in pins if not pin.startswith(("torch==", "setuptools=="))] + BESIDE_TORCH
    subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *pins], check=True)
    site = next((home / "lib").glob("python3.*")) / "site-packages"
    if cheap:
        for part in Path(sysconfig.get_path("purelib")).glob("torch*"):
            (site / part.name).symlink_to(part)
        for part in Path(sysconfig.get_path("purelib")).glob("functorch"):
            (site / part.name).symlink_to(part)
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text('"""A stand-in for Colab\'s own module."""\n')
    (site / "sitecustomize.py").write_text("import google.colab  # Colab's kernel has imported it, too\n")
    (home / ".made").write_text(PINS.read_text())
    return python


def clean_environment() -> dict[str, str]:
    """This process's variables without those that would let a kernel find the course by another way."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV", "LOOPED_LITE_DATA")
    }
    return kept | {"OMP_NUM_THREADS": kept.get("OMP_NUM_THREADS", "2"), "PYTHONDONTWRITEBYTECODE": "1"}


def packages(python: Path) -> list[str]:
    """Name and version of all that is installed."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    return sorted(f"{one['name']}=={one['version']}" for one in json.loads(listed.stdout))


def would_change(python: Path) -> list[str]:
    """What `pip install` of the course, without extras, would install or replace; the course itself does not count."""
    words = [
        "install",
        "--dry-run",
        "--quiet",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--report",
        "-",
        str(ROOT),
    ]
    done = subprocess.run(
        [python, "-m", "pip", *words], capture_output=True, text=True, check=True, env=clean_environment()
    )
    new = json.loads(done.stdout[done.stdout.index("{") :])["install"]
    return sorted(
        f"{one['metadata']['name']}=={one['metadata']['version']}"
        for one in new
        if one["metadata"]["name"] != "looped-lite"
    )


def run_lesson(python: Path, number: str, solved: bool, repository: str | None = None) -> dict:
    """Run one lesson from its notebook alone; its seconds, the kernel's peak memory in MB, error and warnings."""
    repository = f"file://{ROOT}" if repository is None else repository
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as empty:
        build = [sys.executable, str(ROOT / "lessons" / "build.py"), number, "--no-execute", "--out", made]
        subprocess.run([*build, "--repository", repository, *["--solved"] * solved], check=True, capture_output=True)
        words = [str(python), "-c", RUN, str(next(Path(made).glob("*.ipynb"))), empty]
        done = subprocess.run(words, cwd=empty, env=clean_environment(), capture_output=True, text=True)
    if done.returncode:
        return {"seconds": 0.0, "peak": 0.0, "error": done.stderr[-1500:], "warnings": [], "setup": []}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the lessons in an emulation of Google Colab.")
    parser.add_argument("lessons", nargs="*", help="numbers, all if none is given")
    parser.add_argument("--cheap", action="store_true", help="this Python and its PyTorch instead of Colab's")
    parser.add_argument("--home", type=Path, help="where the environment is, or is made (default: build/colab)")
    arguments = parser.parse_args()
    python = make_environment(arguments.home or HOME / ("cheap" if arguments.cheap else "full"), arguments.cheap)
    lessons = arguments.lessons or sorted(path.name[:2] for path in (ROOT / "lessons").glob("[0-9][0-9]_*.py"))
    before, failed = packages(python), False
    for number in lessons:
        for solved in (False, True):
            done = run_lesson(python, number, solved)
            failed |= bool(done["error"])
            form = "solved " if solved else "learner"
            print(
                f"{number} {form}  {done['seconds']:5.0f} s  {done['peak']:6.0f} MB  {done['error'] or 'runs'}",
                *done["warnings"],
                flush=True,
            )
    changed = sorted(set(packages(python)) ^ set(before))
    print(f"packages changed by the lessons: {', '.join(changed) or 'none'}")
    resolved = would_change(python)
    print(f"packages that pip install of the course would change: {', '.join(resolved) or 'none'}")
    sys.exit(failed or bool(changed) or bool(resolved))


if __name__ == "__main__":
    main()
