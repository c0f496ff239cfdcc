# @title Find the course's package
# On Google Colab fetch it first: some 40 MB, once, and nothing that Colab has is replaced.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY, VERSION = "", "0.0.0"
HERE = Path.cwd()
PLACES = [HERE, *HERE.parents, HERE / "course"]  # in the repository, or with a clone of it beside this notebook


class Stop(Exception):
    def _render_traceback_(self, *_):  # the message alone, without a traceback
        return [str(self)]


def package_is_here():
    folder = next((str(place) for place in PLACES if (place / "looped_lite" / "model.py").exists()), None)
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    return importlib.util.find_spec("looped_lite") is not None


def clone(*release):
    words = ["git", "clone", "--progress", "--depth", "1", *release, REPOSITORY, "course"]
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0"}  # never wait for a password
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, errors="replace", env=quiet) as git:
        for line in git.stderr:
            if "%" in line:
                print("\r" + line.strip()[:78].ljust(78), end="", flush=True)
    return git.returncode == 0


if not package_is_here():
    if "google.colab" not in sys.modules:
        raise Stop(
            "The course's package is not here. Two lines in a terminal fetch the course and open it:\n\n"
            f"    git clone {REPOSITORY or 'ADDRESS-OF-THE-COURSE'} course\n"
            "    cd course && make lab      (on Windows: cd course, then python setup_course.py lab)\n"
        )
    if not (REPOSITORY and (clone("--branch", f"v{VERSION}") or clone()) and package_is_here()):
        raise Stop(
            f"The course could not be fetched from {REPOSITORY or 'an address that this copy does not know'}. "
            "Run this line in a cell of its own, with the course's address, and then this cell again:\n\n"
            f"    !git clone --depth 1 {REPOSITORY or 'ADDRESS-OF-THE-COURSE'} course\n"
        )
    print("\nColab forgets this notebook and what you write in it, unless you choose File, Save a copy in Drive.")

import looped_lite

print(f"looped_lite {looped_lite.__version__}")
if looped_lite.__version__ != VERSION:
    print(f"This lesson belongs to version {VERSION}. If something fails, take both from the same version.")
