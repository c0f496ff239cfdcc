"""``python -m coursework ASSIGNMENT SUBMISSIONS/ --out DIR``: what ``looped-lite grade`` does."""

import argparse
import sys

from .grade import add_arguments, run_grade

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="looped-lite grade", description="Grade a class in one command.")
    add_arguments(parser)
    sys.exit(run_grade(**vars(parser.parse_args())))
