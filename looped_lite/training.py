"""Train a loop: progressive loss, a curriculum that waits for the model, checkpoints that resume to the same bits."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from .checkpoints import load_into, load_tensors, save_tensors
from .model import LoopedTransformer
from .tasks import IGNORE, Task, correct_cells, exact_match


def sample_loops(most: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw how many loops run without gradient (n in [0, most)) and then with gradient (k in [1, most - n])."""
    if most < 1:
        raise ValueError(f"loops must be at least 1, got {most}")
    n = int(torch.randint(0, most, (), generator=generator))
    k = int(torch.randint(1, most - n + 1, (), generator=generator))
    return n, k


def progressive_logits(model: LoopedTransformer, x: Tensor, n: int, k: int) -> Tensor:
    """Run ``n`` loops without gradient, then ``k`` with it, and read out: (batch, cells, classes).

    The start of the second part carries no gradient through the first, but recall still brings ``h`` in with gradient. With
    n = 0 the start is ``h`` itself, gradient and all: without recall the embedding learns from these batches alone.
    """
    f, h = model.loop(x)
    z = h
    with torch.no_grad():
        for _ in range(n):
            z = f(z)
    for _ in range(k):
        z = f(z)
    return model.read_out(z)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the scored cells: (batch, cells, classes), (batch, cells) -> ()."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def half_precision(model: LoopedTransformer, on: bool) -> torch.autocast:
    """Within it, and if ``on``, matrix products are in bfloat16: about twice as fast where the processor has instructions for it.

    Weights, states, norms and the loss stay in float32. No cache: it would keep the copies of weights that the loops without gradient
    made, and the loops with gradient would learn nothing.
    """
    kind = model.embed.weight.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=on, cache_enabled=False)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 50, decay: float = 0.4) -> float:
    """Linear warm-up, a plateau at ``peak``, then linear to zero over the last share ``decay`` of the run."""
    return peak * min(1.0, (step + 1) / warmup, (steps - step) / (decay * steps))


@dataclass
class Run:
    """Where a training run stands, and what it has seen. ``history`` holds one number a step for each name."""

    step: int = 0
    level: float = 0.0
    running: float = 0.0  # running accuracy on scored cells, in batches of full level and nearly full depth
    seconds: float = 0.0
    finished: bool = False
    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "level": [], "running": []})


def end_of_run(run: Run, task: Task, steps: int, settle: int) -> int:
    """The step at which a run ends that settles: ``settle`` steps after its curriculum came to the last level, ``steps`` at most.

    It is ``steps`` as long as that level has not been reached.
    """
    if run.level != task.last_level:
        return steps
    before = [task.first_level, *run.history["level"]]  # the level before each step, from the first
    return min(before.index(task.last_level) + settle, steps)


def make_optimizers(
    model: LoopedTransformer, lr: float, weight_decay: float, muon: float | None = None, beta2: float = 0.999
) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters; or, with a ``muon`` rate, Muon for the matrices inside the loop and AdamW for the rest.

    ``beta2`` is how much of AdamW's running mean of squared gradients a step keeps: 0.999 remembers about 1,000 steps, 0.95 twenty.

    Muon (torch >= 2.9) replaces each matrix's update by the nearest orthogonal one, so that every direction of it moves
    equally far. The long sudoku runs use it; the lessons train with AdamW alone.
    """
    if muon is None:
        return [torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, beta2), weight_decay=weight_decay)]
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=muon, weight_decay=weight_decay),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay),
    ]


def descend(
    model: LoopedTransformer, loss: Tensor, optimizers: list[torch.optim.Optimizer], run: Run, clip: float
) -> None:
    """One step down the gradient of ``loss``, clipped to length ``clip``. FloatingPointError when it is not finite."""
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()} at step {run.step}: try a smaller learning rate")
    model.zero_grad(set_to_none=True)
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip))
    if not math.isfinite(norm):  # one such step would fill the weights, and the next checkpoint, with nan
        raise FloatingPointError(f"the gradient norm is {norm} at step {run.step}: try a smaller learning rate")
    for optimizer in optimizers:
        optimizer.step()


def train_step(
    model: LoopedTransformer,
    task: Task,
    optimizers: list[torch.optim.Optimizer],
    run: Run,
    generator: torch.Generator,
    batch: int,
    advance: float = 0.9,
    clip: float = 1.0,
    bfloat16: bool = False,
) -> float:
    """One step of progressive loss on one batch of ``batch`` instances. Returns the loss.

    Batches of full level and nearly full depth update ``run.running``; when it passes ``advance``, the curriculum moves on
    to the next level. Shallow batches say nothing about readiness: they fail for lack of loops.
    """
    level = task.draw_level(run.level, generator)
    x, y = (part.to(model.embed.weight.device) for part in task.batch(batch, level, generator))
    most = task.loops(level)
    n, k = sample_loops(most, generator)
    with half_precision(model, bfloat16):
        logits = progressive_logits(model, x, n, k).float()
    loss = cross_entropy(logits, y)
    descend(model, loss, optimizers, run, clip)
    if level == run.level and n + k >= 0.8 * most:
        scored = y != IGNORE
        accuracy = float(correct_cells(logits, y)[scored].float().mean())
        run.running += 0.3 * (accuracy - run.running)
        if run.running > advance and level != task.last_level:
            run.level, run.running = task.harder(level), 0.0
    return loss.item()


Pool = dict[str, Tensor]


def make_pool(task: Task, size: int, width: int, generator: torch.Generator) -> Pool:
    """``size`` training instances of the last level, each with a state of its own that goes on from step to step: inputs ``x``,
    targets ``y``, states ``z`` (size, cells, width), the loops run so far ``age``, and whether the last answer was ``right``."""
    x, y = task.batch(size, task.last_level, generator)
    age, right = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.bool)
    return {"x": x, "y": y, "z": torch.zeros(*x.shape[:2], width), "age": age, "right": right}


def pool_step(
    model: LoopedTransformer,
    task: Task,
    optimizers: list[torch.optim.Optimizer],
    run: Run,
    generator: torch.Generator,
    pool: Pool,
    batch: int,
    horizon: int,
    most: int = 8,
    clip: float = 1.0,
    bfloat16: bool = False,
) -> float:
    """One step on ``batch`` instances of a ``pool``: each goes on from its own state for k loops, k in [1, ``most``], all with gradient.

    So the model meets the states that it really gets into after dozens of loops, stuck ones above all. An instance makes room
    for a fresh one when it was right twice in a row, or has run for ``horizon`` loops. Returns the loss.
    """
    rows = torch.randperm(len(pool["age"]), generator=generator)[:batch]
    k = int(torch.randint(1, most + 1, (), generator=generator))
    x, y, fresh = pool["x"][rows], pool["y"][rows], pool["age"][rows] == 0
    with half_precision(model, bfloat16):
        f, h = model.loop(x)
        z = torch.where(fresh[:, None, None], h, pool["z"][rows])
        for _ in range(k):
            z = f(z)
        logits = model.read_out(z).float()
    loss = cross_entropy(logits, y)
    descend(model, loss, optimizers, run, clip)

    right, age = exact_match(logits, y), pool["age"][rows] + k
    run.running += 0.02 * (float(right.float().mean()) - run.running)
    leaves = (right & pool["right"][rows]) | (age >= horizon)
    pool["z"][rows], pool["age"][rows], pool["right"][rows] = z.detach(), age, right
    gone = rows[leaves]
    if len(gone):
        pool["x"][gone], pool["y"][gone] = task.batch(len(gone), task.last_level, generator)
        pool["age"][gone], pool["right"][gone] = 0, False
    return loss.item()


def train(
    model: LoopedTransformer,
    task: Task,
    steps: int,
    *,
    seed: int = 0,
    batch: int = 64,
    lr: float = 3e-3,
    decay: float = 0.4,
    settle: int | None = None,
    weight_decay: float = 0.01,
    muon: float | None = None,
    beta2: float = 0.999,
    advance: float = 0.9,
    pool: int | None = None,
    horizon: int = 64,
    bfloat16: bool = False,
    checkpoint: str | Path | None = None,
    save_every: int = 200,
    on_step: Callable[[Run], bool | None] | None = None,
    progress: bool = True,
) -> Run:
    """Train ``model`` in place for ``steps`` steps of AdamW. The same seed, machine and thread count give the same bits.

    The learning rate falls to zero over the last share ``decay`` of the run. With ``settle`` the run waits for its curriculum
    instead: the rate falls over the ``settle`` steps after the last level was reached, and then the run ends. ``steps`` is then
    the most it may take, and a run that is late falls over its last ``settle`` steps all the same.

    With ``pool`` there is no curriculum and no loop without gradient: so many instances of the last level keep their states from
    step to step, and a step takes some of them a few loops on (see `pool_step`). For a model that has learned the rest.

    With ``bfloat16`` the matrix products of the loops are in half precision (see `half_precision`).

    ``on_step(run)`` is called after every step; training stops early if it returns True. With a ``checkpoint`` path the whole
    state is saved every ``save_every`` steps and at the end, and a second call with the same arguments goes on where the
    first one stopped, to the same result; a finished run is only loaded. Ctrl-C (or the stop button) ends the current step,
    saves, and returns.

    Raises ValueError when the checkpoint belongs to other settings, FloatingPointError when the loss is not finite.
    """
    if steps < 1 or batch < 1:
        raise ValueError(f"steps and batch must be at least 1, got {steps} and {batch}")
    if settle is not None and settle not in range(1, steps + 1):
        raise ValueError(f"settle must be a whole number from 1 to steps = {steps}, got {settle}")
    if pool is not None and pool < batch:
        raise ValueError(f"pool must hold at least a batch of {batch} instances, got {pool}")
    settings = {"task": task.name, "steps": steps, "seed": seed, "batch": batch, "lr": lr, "decay": decay}
    settings |= {"settle": settle, "weight_decay": weight_decay, "muon": muon, "beta2": beta2, "advance": advance}
    settings |= {"recall": model.blocks[0].recall_at, "norm": model.blocks[0].norm_at, "pool": pool, "horizon": horizon}
    settings["bfloat16"] = bfloat16
    generator = torch.Generator().manual_seed(seed)
    optimizers = make_optimizers(model, lr, weight_decay, muon, beta2)
    run = Run(level=task.first_level if pool is None else task.last_level)
    kept = {} if pool is None else make_pool(task, pool, model.embed.out_features, generator)
    if checkpoint is not None and Path(checkpoint).exists():
        run = resume(checkpoint, model, optimizers, generator, settings, kept)
    with interruptible() as interrupted, tqdm(total=steps, initial=run.step, disable=not progress, unit="step") as bar:
        while run.step < steps and not run.finished and not interrupted():
            began = time.perf_counter()
            end, share = steps, decay
            if settle is not None:
                end = end_of_run(run, task, steps, settle)
                share = settle / end
            for optimizer, peak in zip(optimizers, (lr,) if muon is None else (muon, lr), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(run.step, end, peak, decay=share)
            if kept:
                loss = pool_step(model, task, optimizers, run, generator, kept, batch, horizon, bfloat16=bfloat16)
            else:
                loss = train_step(model, task, optimizers, run, generator, batch, advance, bfloat16=bfloat16)
            run.step += 1
            run.seconds += time.perf_counter() - began
            for name, value in (("loss", loss), ("level", run.level), ("running", run.running)):
                run.history[name].append(value)
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", level=f"{run.level:g}", running=f"{run.running:.2f}", refresh=False)
            run.finished = run.step == end or bool(on_step is not None and on_step(run))
            if checkpoint is not None and (run.finished or run.step % save_every == 0):
                save_run(checkpoint, run, model, optimizers, generator, settings, kept)
    if not run.finished:
        if checkpoint is not None:
            save_run(checkpoint, run, model, optimizers, generator, settings, kept)
        how = (
            "call train again to go on from there"
            if checkpoint is not None
            else "give a checkpoint to be able to resume"
        )
        print(f"Interrupted after step {run.step} of {steps}; {how}.")
    return run


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """While open, the first Ctrl-C only raises a flag, so that a step is never cut in half; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return
    asked = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def save_run(
    path: str | Path,
    run: Run,
    model: LoopedTransformer,
    optimizers: list[torch.optim.Optimizer],
    generator: torch.Generator,
    settings: dict[str, Any],
    pool: Pool,
) -> None:
    """Save all that the next step depends on: weights, the optimizers' moments, the generator, the pool, and where the run stands."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"pool.{name}": value for name, value in pool.items()}
    for optimizer in optimizers:
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
    tensors["generator"] = generator.get_state()
    save_tensors(path, tensors, {"run": asdict(run), "settings": settings})


def resume(
    path: str | Path,
    model: LoopedTransformer,
    optimizers: list[torch.optim.Optimizer],
    generator: torch.Generator,
    settings: dict[str, Any],
    pool: Pool,
) -> Run:
    """Bring model, optimizers, generator and pool to where `save_run` left them, and return the run."""
    tensors, facts = load_tensors(path)
    if "run" not in facts:
        raise ValueError(f"{path} holds no training run: expected a file saved by train")
    for name, value in settings.items():
        if facts["settings"].get(name, value) != value:  # a setting newer than the file had its default then
            raise ValueError(
                f"{path} was trained with {name}={facts['settings'][name]!r}, this call asks for {value!r}"
            )
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    load_into(model, weights, path)
    owner = {id(p): optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, key, parameter = name.split(".", 2)
            owner[id(parameters[parameter])].state[parameters[parameter]][key] = value
    for name in pool:
        pool[name] = tensors[f"pool.{name}"]
    generator.set_state(tensors["generator"])
    return Run(**facts["run"])


@torch.no_grad()
def accuracy_over_loops(
    model: LoopedTransformer,
    x: Tensor,
    targets: Tensor,
    loops: list[int],
    start: str | Tensor = "input",
    generator: torch.Generator | None = None,
    at_once: int | None = None,
) -> dict[int, Tensor]:
    """Exact match of each instance after each of the given numbers of ``loops``: {loops: (batch,) bool}. One pass.

    ``at_once`` is how many instances to run together; a few dozen stay in the processor's cache, which is faster than all.
    """
    if at_once is not None:
        pairs = zip(x.split(at_once), targets.split(at_once), strict=True)
        parts = [accuracy_over_loops(model, *pair, loops, start, generator) for pair in pairs]
        return {t: torch.cat([part[t] for part in parts]) for t in parts[0]}
    wanted, right = set(loops), {}
    for t, z in enumerate(model.states(x, max(loops), start, generator), start=1):
        if t in wanted:
            right[t] = exact_match(model.read_out(z), targets)
    return right
