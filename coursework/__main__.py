"""``python -m coursework ASSIGNMENT SUBMISSIONS/ --out DIR``: marks, feedback and a class summary."""

import argparse
import sys

from .grade import add_arguments, run_grade

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m coursework", description="Grade a class in one command.")
    add_arguments(parser)
    sys.exit(run_grade(**vars(parser.parse_args())))
