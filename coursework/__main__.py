"""``looped-lite grade ASSIGNMENT SUBMISSIONS/ --out DIR``, or ``python -m coursework``: marks, feedback and a class
summary.
"""

import argparse
import sys

from .grade import add_arguments, run_grade


def main(words: list[str] | None = None) -> int:
    """What pyproject.toml declares as the command ``grade`` of ``looped-lite``."""
    parser = argparse.ArgumentParser(prog="looped-lite grade", description="Grade a class in one command.")
    add_arguments(parser)
    return run_grade(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
