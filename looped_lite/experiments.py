"""Train and measure every variant at equal steps. One function makes one row of a table; a grid is many rows.

python -m looped_lite.experiments prefix-sums            train every recall x norm: data/results/prefix_sums_grid.csv
python -m looped_lite.experiments prefix-sums-lengths    test recall + outer norm: data/results/prefix_sums_lengths.csv
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import torch

from .blocks import NORMS, RECALLS
from .checkpoints import write_atomic
from .fixed_points import iterate
from .model import LoopedTransformer, count_parameters
from .paths import data_path
from .pretrained import load_pretrained, save_pretrained
from .tasks.prefix_sums import PrefixSums
from .training import accuracy_over_loops, train

Row = dict[str, Any]
LENGTHS = {32: 256, 64: 128, 128: 64, 256: 32, 512: 16}  # bits: how many test strings, for each of many models
MANY = {64: 200, 128: 200, 256: 60, 512: 40}  # and for a few of them


@torch.no_grad()
def measure_prefix_sums(model: LoopedTransformer, lengths: dict[int, int] = LENGTHS, seed: int = 1_000) -> Row:
    """Exact match at each length with loops = length, from the input, and from noise at 32 and 128 bits with twice that; and
    how the loop ends: step size, relative step size and state norm (mean over 16 strings of 32 bits) after 400 loops."""
    generator = torch.Generator().manual_seed(seed)
    task, row = PrefixSums(), {}
    for bits, count in lengths.items():
        x, y = task.batch(count, bits, generator)
        row[f"exact_{bits}"] = float(accuracy_over_loops(model, x, y, [bits])[bits].float().mean())
        if bits in (32, 128):
            right = accuracy_over_loops(model, x, y, [2 * bits], start="noise", generator=generator)[2 * bits]
            row[f"noise_{bits}"] = float(right.float().mean())
    x, _ = task.batch(16, 32, generator)
    f, h = model.loop(x)
    end = iterate(f, h, loops=400)
    row["step_400"] = float(end.steps[-1].mean())
    row["relative_step_400"] = float((end.steps[-1] / end.norms[-1]).mean())
    row["norm_400"] = float(end.norms[-1].mean())
    recall = model.blocks[0].recall
    row["rho_Wz"] = "" if recall is None else float(torch.linalg.eigvals(recall.Wz.weight).abs().max())
    return row


def prefix_sums_row(
    recall: str, norm: str, seed: int, steps: int = 600, lr: float = 3e-3, label: str = "", progress: bool = False
) -> Row:
    """Train one prefix-sum model, ship it as ``prefix-sums-RECALL-NORM[-LABEL]-seedSEED``, and measure it."""
    task = PrefixSums()
    settings = {"recall": recall, "norm": norm, "seed": seed}
    model = task.model(**settings)
    run = train(model, task, steps, seed=seed, lr=lr, progress=progress)
    row = {**settings, "steps": run.step, "parameters": count_parameters(model), "level": run.level}
    row |= {"minutes": run.seconds / 60, "threads": torch.get_num_threads(), **measure_prefix_sums(model.eval())}
    command = f"python -m looped_lite.experiments prefix-sums --recalls {recall} --norms {norm} --seeds {seed}"
    command += f" --steps {steps} --lr {lr:g}" + f" --label {label}" * bool(label)
    recipe = {key: row[key] for key in ("seed", "steps", "minutes", "threads")}
    card = {"model": settings, "command": command, "trained_on": "CPU", **recipe, "lr": lr, "scores": row}
    save_pretrained(model, "-".join(filter(None, ["prefix-sums", recall, norm, label, f"seed{seed}"])), card)
    return row


def lengths_row(recall: str, norm: str, seed: int, counts: dict[int, int] = MANY) -> Row:
    """Test a shipped prefix-sum model on more strings: exact match at each length with loops = length and with twice that,
    and up to 128 bits with twice that from noise. The strings are none that training or the grid saw."""
    model = load_pretrained(f"prefix-sums-{recall}-{norm}-seed{seed}")
    generator = torch.Generator().manual_seed(2_000 + seed)
    row: Row = {"recall": recall, "norm": norm, "seed": seed}
    for bits, count in counts.items():
        x, y = model.task.batch(count, bits, generator)
        found: dict[str, list[torch.Tensor]] = {"exact": [], "twice": [], "noise": []}
        for part in zip(x.split(20), y.split(20), strict=True):  # small batches stay in the processor's cache
            right = accuracy_over_loops(model, *part, [bits, 2 * bits])
            found["exact"].append(right[bits])
            found["twice"].append(right[2 * bits])
            if bits <= 128:
                noise = accuracy_over_loops(model, *part, [2 * bits], start="noise", generator=generator)
                found["noise"].append(noise[2 * bits])
        row |= {f"strings_{bits}": count}
        row |= {f"{name}_{bits}": float(torch.cat(parts).float().mean()) for name, parts in found.items() if parts}
    return row


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a results file; none if there is no such file."""
    path = Path(path)
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows of equal columns as CSV, whole or not at all."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_atomic(path, text.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and measure variants at equal steps. Rows that exist are kept.")
    parser.add_argument("experiment", choices=["prefix-sums", "prefix-sums-lengths"])
    parser.add_argument("--results", type=Path, help="(default: data/results/EXPERIMENT.csv, see above)")
    parser.add_argument("--recalls", nargs="+", choices=RECALLS)
    parser.add_argument("--norms", nargs="+", choices=NORMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--label", default="", help="a word for the names of the checkpoints, to keep them apart")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one core a run, so that several runs fit side by side
    training = arguments.experiment == "prefix-sums"
    path = arguments.results or data_path("results", f"prefix_sums_{'grid' if training else 'lengths'}.csv")
    recalls = arguments.recalls or (RECALLS if training else ("internal", "external"))
    norms = arguments.norms or (NORMS if training else ("post",))
    for seed, recall, norm in product(arguments.seeds, recalls, norms):
        rows = read_rows(path)
        wanted = {"recall": recall, "norm": norm, "seed": str(seed)} | (
            {"steps": str(arguments.steps)} if training else {}
        )
        if any(all(row[key] == value for key, value in wanted.items()) for row in rows):
            continue
        if training:
            row = prefix_sums_row(recall, norm, seed, arguments.steps, arguments.lr, arguments.label)
        else:
            row = lengths_row(recall, norm, seed)
        write_rows(path, [*rows, row])
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)


if __name__ == "__main__":
    main()
