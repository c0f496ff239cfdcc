"""What a learner has solved, in a small file of their own: ``looped-lite progress`` and the last cell of each lesson
read it.

The file is ``.looped-lite/progress.json`` in the home folder, or where the environment variable LOOPED_LITE_PROGRESS
says; where that is set to nothing, no progress is kept. No lesson needs the file: one that is missing, damaged, of
another version of the course or read-only costs a line of text at most.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pkgutil
import re
import sys
import time
from importlib import import_module
from pathlib import Path

from looped_lite.checkpoints import write_atomic

VERSION = 1
NUMBER = re.compile(r"\d\d\.\d{1,2}")


def place() -> Path | None:
    """The learner's file; None if no progress is kept, or there is no home folder to keep it in."""
    wanted = os.environ.get("LOOPED_LITE_PROGRESS")
    if wanted is not None:
        return Path(wanted).expanduser() if wanted else None
    try:
        return Path.home() / ".looped-lite" / "progress.json"
    except RuntimeError:
        return None


def read(path: Path | None) -> tuple[dict[str, str], str]:
    """What is solved, as exercise numbers with the day, and what is wrong with the file ('' if nothing). Never raises.

    Whatever else a file holds is left alone, so that one of a newer version loses nothing by being read.
    """
    if path is None:
        return {}, ""
    try:
        found = json.loads(path.read_bytes().decode("utf-8"))
        solved = found["solved"]
        good = {n: str(day)[:10] for n, day in solved.items() if NUMBER.fullmatch(n)}
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, f"{path} is damaged"
    if type(found.get("version")) is not int or found["version"] > VERSION:
        return good, f"{path} is of another version of the course"
    return good, ""


def note(number: str) -> str:
    """Write down that an exercise is solved, if it is not yet; what went wrong, in words ('' if nothing). Never raises.

    A damaged file is put aside, not written over; one of a newer version is left as it is.
    """
    path = place()
    solved, wrong = read(path)
    if path is None or number in solved:
        return ""
    if wrong.endswith("damaged"):
        with contextlib.suppress(OSError):
            os.replace(path, path.with_name(f"{path.name}.damaged"))
    elif wrong:
        return wrong
    found = {"version": VERSION, "solved": {**solved, number: time.strftime("%Y-%m-%d")}}
    try:
        write_atomic(path, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        return str(error)
    return wrong and f"{wrong}: it was put aside as {path.name}.damaged"


def lessons() -> dict[str, list]:
    """The exercises of each lesson that is here, by its number."""
    import looped_exercises

    names = sorted(m.name for m in pkgutil.iter_modules(looped_exercises.__path__) if m.name.startswith("lesson_"))
    modules = {name[-2:]: import_module(f"looped_exercises.{name}") for name in names}
    return {number: looped_exercises.exercises_of(module) for number, module in modules.items()}


def bar(done: int, of: int) -> str:
    return "#" * done + "." * (of - done)


def main(words: list[str] | None = None) -> int:
    """``looped-lite progress``: a line for each lesson, and what to do next."""
    parser = argparse.ArgumentParser(prog="looped-lite progress", description="What you have solved, by lesson.")
    parser.add_argument("--all", action="store_true", help="each exercise, with the day on which you solved it")
    asked = parser.parse_args(words)
    path = place()
    solved, wrong = read(path)
    total = done = 0
    following = ""
    for number, exercises in lessons().items():
        here = [exercise.number for exercise in exercises if exercise.number in solved]
        total, done = total + len(exercises), done + len(here)
        print(f"{number}  {bar(len(here), len(exercises)):12} {len(here)} of {len(exercises)}")
        for exercise in exercises:
            following = following or (exercise.number not in solved and f"{exercise.number} {exercise.title}") or ""
            if asked.all:
                print(f"    {exercise.number:6} {solved.get(exercise.number, ''):10}  {exercise.title}")
    print(f"{done} of {total} exercises solved." + (f" Next: {following}." if following else ""))
    if path is None:
        print("No progress is kept: LOOPED_LITE_PROGRESS is set to nothing.")
    elif wrong:
        print(f"looped-lite: {wrong}; nothing else depends on it.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
