"""``python -m experiments NAME ...`` runs experiments; ``claims`` for the table of claims, no name for the list."""

from __future__ import annotations

import argparse
import math
import sys
import time

import torch

from . import beyond, chess, claims, fill_or_flood, judges, prefix_sums, restarts, stopping, sudoku
from .sweep import Experiment, collate, known_jobs, run

EXPERIMENTS = {
    experiment.name.replace("_", "-"): experiment
    for part in (prefix_sums, sudoku, chess, stopping, restarts, judges, fill_or_flood, beyond)
    for experiment in part.EXPERIMENTS
}


def state(experiment: Experiment) -> str:
    known = known_jobs(experiment)
    jobs = experiment.jobs(known)
    return f"{sum(job.key in known for job in jobs)} of {len(jobs)} done"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m experiments", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="of an experiment, or claims; without one they are listed"
    )
    parser.add_argument("--processes", type=int, default=1, help="side by side on this machine, one thread each")
    parser.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="on the workers of this Dask cluster instead"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no job after so many minutes")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="on which models are trained")
    parser.add_argument("--collate", action="store_true", help="only put the tables together")
    asked = parser.parse_args(words)
    if asked.processes < 1:
        parser.error(f"--processes must be at least 1, got {asked.processes}")
    unknown = [name for name in asked.names if name not in ("claims", *EXPERIMENTS)]
    if unknown:
        parser.error(f"unknown experiment {unknown[0]!r:.60}: expected claims, {', '.join(EXPERIMENTS)}")
    torch.set_num_threads(1)
    end = time.monotonic() + asked.minutes * 60
    try:
        for name, experiment in EXPERIMENTS.items():
            if not asked.names:
                print(f"{name:24} {experiment.help} ({state(experiment)})")
        for name in asked.names:
            if name == "claims":
                claims.write()
            elif asked.collate:
                collate(EXPERIMENTS[name])
            else:
                left = (end - time.monotonic()) / 60
                run(EXPERIMENTS[name], asked.processes, asked.scheduler, left, asked.device)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
