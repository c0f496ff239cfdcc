"""Train one model with several processes: ``torchrun --nproc-per-node 2 -m experiments.together RECIPE LOSSES``.

The recipe is a JSON file as `Recipe.to_dict` gives it. On machines with GPUs each process takes one. The first process
writes the loss of every step.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from looped_lite.recipe import Recipe
from looped_lite.training import process, train

from .sweep import write_rows


def main(recipe: str, losses: str) -> None:
    device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    dist.init_process_group("gloo" if device == "cpu" else "nccl")
    made = Recipe.from_dict(json.loads(Path(recipe).read_text(encoding="utf-8")))
    _, run = train(made, progress=False, device=device)
    if process()[0] == 0:
        write_rows(losses, ({"step": step, "loss": repr(loss)} for step, loss in enumerate(run.history["loss"], 1)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
