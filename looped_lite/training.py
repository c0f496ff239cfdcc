"""Train a loop: progressive loss, a curriculum that waits for the model, checkpoints that resume to the same bits."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from .checkpoints import check_writable, checksum, load_into, load_tensors, save_tensors
from .checks import check_device, number, short, whole
from .model import Loop, LoopedTransformer, compile_blocks
from .paths import model_path
from .recipe import Recipe
from .tasks import IGNORE, Task, correct_cells, exact_match

SAVE_SECONDS = 60.0  # a run with a checkpoint is saved this often, besides every so many steps


def sample_loops(most: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw how many loops run without gradient (n in [0, most)) and then with gradient (k in [1, most - n])."""
    if most < 1:
        raise ValueError(f"loops must be at least 1, got {most}")
    n = int(torch.randint(0, most, (), generator=generator))
    k = int(torch.randint(1, most - n + 1, (), generator=generator))
    return n, k


def progressive_states(model: LoopedTransformer, x: Tensor, n: int, k: int) -> tuple[Loop, Tensor, Tensor]:
    """``n`` loops without gradient, then ``k`` with it: the loop, the state before its last application, the last one.

    The start of the second part carries no gradient through the first, but recall still brings ``h`` in with gradient.
    With n = 0 the start is ``h`` itself, gradient and all: without recall the embedding learns from these batches
    alone.
    """
    loop = model.loop(x)
    z = loop.start()
    with torch.no_grad():
        for _ in range(n):
            z = loop(z)
    for _ in range(k):
        before, z = z, loop(z)
    return loop, before, z


def progressive_logits(model: LoopedTransformer, x: Tensor, n: int, k: int) -> Tensor:
    """What is read off the last of the `progressive_states`: (batch, cells, classes)."""
    loop, _, z = progressive_states(model, x, n, k)
    return loop.read_out(z)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the scored cells: (batch, cells, classes), (batch, cells) -> ()."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def relative_step(before: Tensor, z: Tensor) -> Tensor:
    """The squared length of a step relative to that of the state it led to, mean over a batch of states: ()."""
    squared = lambda states: states.float().square().flatten(1).sum(1)
    return (squared(z - before) / squared(z)).mean()


def add_step(loss: Tensor, recipe: Recipe, before: Tensor, z: Tensor) -> Tensor:
    """``loss`` and, as much as the recipe's ``still`` asks for, the `relative_step` from ``before`` to ``z``."""
    return loss + recipe.still * relative_step(before, z) if recipe.still else loss


@contextmanager
def half_precision(model: LoopedTransformer, on: bool) -> Iterator[None]:
    """Within it, and if ``on``, matrix products are in bfloat16: about twice as fast where the processor has
    instructions for it.

    Weights, states, norms and the loss stay in float32. No cache: it would keep the copies of weights that the loops
    without gradient made, and the loops with gradient would learn nothing.
    """
    kind = model.embed.weight.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=on, cache_enabled=False), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")  # gains stay in float32
        yield


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


Pool = dict[str, Tensor]


@dataclass
class State:
    """All that the next step depends on."""

    recipe: Recipe
    model: LoopedTransformer
    optimizers: list[torch.optim.Optimizer]
    generator: torch.Generator
    run: Run
    pool: Pool = field(default_factory=dict)


def end_of_run(run: Run, task: Task, steps: int, settle: int | None) -> int:
    """The step at which a run ends: ``steps``, or earlier ``settle`` steps after the last level was reached."""
    if settle is None or run.level != task.last_level:
        return steps
    before = [task.first_level, *run.history["level"]]  # the level before each step, from the first
    return min(before.index(task.last_level) + settle, steps)


def make_optimizers(model: LoopedTransformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters; or, with a ``muon`` rate, Muon for the matrices inside the loop and AdamW for the rest.

    ``beta2`` is how much of AdamW's running mean of squared gradients a step keeps: 0.999 remembers about 1,000 steps,
    0.95 twenty.

    Muon (torch >= 2.9) replaces each matrix's update by the nearest orthogonal one, so that every direction of it moves
    equally far. The long sudoku and chess runs use it; the lessons train with AdamW alone.
    """
    rest, optimizers = list(model.parameters()), []
    if recipe.muon is not None:
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"muon needs PyTorch 2.9 or newer, this is {torch.__version__}")
        matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in rest if id(p) not in chosen]
        optimizers = [torch.optim.Muon(matrices, lr=recipe.muon, weight_decay=recipe.weight_decay)]
    adamw = torch.optim.AdamW(rest, lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay)
    return [*optimizers, adamw]


def set_rates(optimizers: list[torch.optim.Optimizer], recipe: Recipe, step: int, end: int) -> None:
    """Give every optimizer its rate for this step of a run that ends at ``end``."""
    decay = recipe.decay if recipe.settle is None else recipe.settle / end
    peaks = [recipe.lr] if recipe.muon is None else [recipe.muon, recipe.lr]
    for optimizer, peak in zip(optimizers, peaks, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, end, peak, decay=decay)


def process() -> tuple[int, int]:
    """The number of this process, and how many of them train one model (`torchrun`): (0, 1) for one alone."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def mean_over_processes(tensors: list[Tensor]) -> None:
    """Make each tensor, in place, the mean of what all processes that train together have. Alone it stays as it is."""
    if process()[1] > 1:
        joined = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(joined)
        for tensor, part in zip(tensors, joined.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor) / process()[1])


def descend(state: State, loss: Tensor) -> float:
    """One step down the gradient of ``loss``, clipped. Returns the loss; FloatingPointError when it is not finite."""
    model, step = state.model, state.run.step
    mean_over_processes([value := loss.detach().clone()])
    if not math.isfinite(value.item()):
        raise FloatingPointError(f"the loss is {value.item()} at step {step}: try a smaller learning rate")
    model.zero_grad(set_to_none=True)
    loss.backward()
    mean_over_processes([p.grad for p in model.parameters() if p.grad is not None])
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), state.recipe.clip))
    if not math.isfinite(norm):  # one such step would fill the weights, and the next checkpoint, with nan
        raise FloatingPointError(f"the gradient norm is {norm} at step {step}: try a smaller learning rate")
    for optimizer in state.optimizers:
        optimizer.step()
    return value.item()


def train_step(state: State) -> float:
    """One step of progressive loss on one batch. Returns the loss. Processes that train together draw the same batch,
    and each takes its share.

    Batches of full level and nearly full depth update ``run.running``; when it passes ``advance``, the curriculum moves
    on to the next level. Shallow batches say nothing about readiness: they fail for lack of loops.
    """
    recipe, model, run, generator, task = state.recipe, state.model, state.run, state.generator, state.recipe.task
    level = task.draw_level(run.level, generator)
    x, y = task.batch(recipe.batch, level, generator)
    (rank, count), cells = process(), int((y != IGNORE).sum())
    x, y = (part[rank::count].to(model.embed.weight.device) for part in (x, y))
    scored = y != IGNORE
    weight = count * int(scored.sum()) / cells  # of this share among all, whose means are averaged; 1 alone
    most = task.loops(level)
    n, k = sample_loops(most, generator)
    with half_precision(model, recipe.bfloat16):
        loop, before, z = progressive_states(model, x, n, k)
        logits = loop.read_out(z).float()
    loss = add_step(cross_entropy(logits, y) * weight, recipe, before, z)
    value = descend(state, loss)
    if level == run.level and n + k >= 0.8 * most:
        mean_over_processes([accuracy := correct_cells(logits, y)[scored].float().mean() * weight])
        run.running += 0.3 * (float(accuracy) - run.running)
        if run.running > recipe.advance and level != task.last_level:
            run.level, run.running = task.harder(level), 0.0
    return value


def make_pool(recipe: Recipe, generator: torch.Generator, device: torch.device) -> Pool:
    """Training instances of the last level, each with a state of its own that goes on from step to step: inputs ``x``,
    targets ``y``, states ``z`` (size, cells, width), the loops run so far ``age``, and whether the last answer was
    ``right``."""
    x, y = recipe.task.batch(recipe.pool, recipe.task.last_level, generator)
    age, right = torch.zeros(recipe.pool, dtype=torch.long), torch.zeros(recipe.pool, dtype=torch.bool)
    pool = {"x": x, "y": y, "z": torch.zeros(*x.shape[:2], recipe.width), "age": age, "right": right}
    return {name: part.to(device) for name, part in pool.items()}


def pool_step(state: State, most: int = 8) -> float:
    """One step on a batch of the pool: each instance goes on from its own state for k loops, k in [1, ``most``], all
    with gradient.

    So the model meets the states that it really gets into after dozens of loops, stuck ones above all. An instance
    makes room for a fresh one when it was right twice in a row, or has run for ``horizon`` loops. Returns the loss.
    """
    recipe, model, generator, pool = state.recipe, state.model, state.generator, state.pool
    task, device = recipe.task, pool["z"].device
    rows = torch.randperm(len(pool["age"]), generator=generator)[: recipe.batch].to(device)
    k = int(torch.randint(1, most + 1, (), generator=generator))
    x, y, fresh = pool["x"][rows], pool["y"][rows], pool["age"][rows] == 0
    with half_precision(model, recipe.bfloat16):
        loop = model.loop(x)
        z = torch.where(fresh[:, None, None], loop.h, pool["z"][rows])
        if recipe.noise:
            noisy = fresh & (torch.rand(len(rows), generator=generator) < recipe.noise).to(device)
            z = torch.where(noisy[:, None, None], torch.randn(z.shape, generator=generator).to(z), z)
        for _ in range(k):
            before, z = z, loop(z)
        logits = loop.read_out(z).float()
    loss = add_step(cross_entropy(logits, y), recipe, before, z)
    value = descend(state, loss)

    right, age = exact_match(logits, y), pool["age"][rows] + k
    state.run.running += 0.02 * (float(right.float().mean()) - state.run.running)
    leaves = (right & pool["right"][rows]) | (age >= recipe.horizon)
    pool["z"][rows], pool["age"][rows], pool["right"][rows] = z.detach(), age, right
    gone = rows[leaves]
    if len(gone):
        new_x, new_y = task.batch(len(gone), task.last_level, generator)
        pool["x"][gone], pool["y"][gone] = new_x.to(device), new_y.to(device)
        pool["age"][gone], pool["right"][gone] = 0, False
    return value


def train(
    recipe: Recipe,
    *,
    model: LoopedTransformer | None = None,
    checkpoint: str | Path | None = None,
    save_every: int = 200,
    on_step: Callable[[Run], bool | None] | None = None,
    progress: bool = True,
    device: str = "cpu",
) -> tuple[LoopedTransformer, Run]:
    """Train the model of a recipe. The same recipe, machine and thread count give the same bits. Returns the model and
    its run.

    ``model`` is trained in place instead of ``recipe.build()``, for one that you built and want to watch. What else
    stands here changes nothing in the result. The learning rate falls to zero over the last share ``decay`` of the run.
    With ``settle`` the run waits for its curriculum instead: the rate falls over the ``settle`` steps after the last
    level was reached, and then the run ends; ``steps`` is the most it may take, and a run that is late falls over its
    last ``settle`` steps all the same. With ``pool`` there is no curriculum and no loop without gradient (see
    `pool_step`).

    ``on_step(run)`` is called after every step; training stops early if it returns True. With a ``checkpoint`` path the
    whole state is saved every ``save_every`` steps, every minute, and at the end, and a second call goes on where the
    first one stopped, to the same result; a finished run is only loaded. Ctrl-C (the stop button, SIGTERM, SIGHUP) ends
    the current step, saves, and returns.

    Processes that have joined a group of `torch.distributed` (see experiments/together.py) train one model: each takes
    its share of every batch, and the first one saves.

    Raises ValueError when the checkpoint belongs to another recipe, FloatingPointError when the loss is not finite.
    """
    whole("save_every", save_every, 1)
    check_device(device)
    rank, count = process()
    if count > 1 and (recipe.batch % count or recipe.pool is not None):
        raise ValueError(f"{count} processes share a batch of equal parts and no pool: got batch {recipe.batch}")
    model = start_model(recipe, model).to(device).train()
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizers = make_optimizers(model, recipe)
    task, run = recipe.task, Run(level=recipe.task.first_level if recipe.pool is None else recipe.task.last_level)
    pool = {} if recipe.pool is None else make_pool(recipe, generator, model.embed.weight.device)
    state = State(recipe, model, optimizers, generator, run, pool)
    if checkpoint is not None:
        check_writable(checkpoint)
        if Path(checkpoint).exists():
            run = state.run = resume(checkpoint, state)
    save = lambda: checkpoint and rank == 0 and save_run(checkpoint, state)
    saved = time.monotonic()
    with (
        interruptible() as interrupted,
        tqdm(total=recipe.steps, initial=run.step, disable=not progress or rank > 0, unit="step") as bar,
    ):
        while run.step < recipe.steps and not run.finished and not interrupted():
            began = time.perf_counter()
            end = end_of_run(run, task, recipe.steps, recipe.settle)
            set_rates(optimizers, recipe, run.step, end)
            loss = (pool_step if pool else train_step)(state)
            run.step += 1
            run.seconds += time.perf_counter() - began
            for name, value in (("loss", loss), ("level", run.level), ("running", run.running)):
                run.history[name].append(value)
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", level=f"{run.level:g}", running=f"{run.running:.2f}", refresh=False)
            run.finished = run.step == end or bool(on_step is not None and on_step(run))
            if run.finished or run.step % save_every == 0 or time.monotonic() > saved + SAVE_SECONDS:
                save()
                saved = time.monotonic()
    if not run.finished:
        save()
        how = "call train again to go on from there" if checkpoint else "give a checkpoint to be able to resume"
        print(f"Interrupted after step {run.step} of {recipe.steps}; {how}.")
    return model, run


def start_model(recipe: Recipe, model: LoopedTransformer | None) -> LoopedTransformer:
    """The model before its first step: ``model`` or a fresh one, with the weights that ``recipe.begin`` may name."""
    model = recipe.build() if model is None else model
    model.recipe = recipe
    if recipe.begin:
        name, _, digest = recipe.begin.partition("@")
        tensors, facts = load_tensors(model_path(name))
        if digest and not checksum(tensors, facts).startswith(digest):
            raise ValueError(f"the recipe begins with {recipe.begin}, but {name} now has other weights or another card")
        load_into(model, tensors, name)
    return compile_blocks(model) if recipe.compiled else model


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """While open, the first Ctrl-C, SIGTERM or SIGHUP raises a flag, so no step is cut in half; a second interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return
    asked = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        yield lambda: bool(asked)
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def save_run(path: str | Path, state: State) -> None:
    """Save all that the next step depends on: weights, moments, generator, pool, and where the run stands."""
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    tensors |= {f"pool.{name}": value for name, value in state.pool.items()}
    for optimizer in state.optimizers:
        for name, parameter in state.model.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
    tensors["generator"] = state.generator.get_state()
    save_tensors(path, tensors, {"run": asdict(state.run), "recipe": state.recipe.to_dict()})


def resume(path: str | Path, state: State) -> Run:
    """Bring model, optimizers, generator and pool to where `save_run` left them, and return the run."""
    recipe, model, pool = state.recipe, state.model, state.pool
    tensors, facts = load_tensors(path)
    if "run" not in facts or "recipe" not in facts:
        raise ValueError(f"{path} holds no training run: expected a file saved by train")
    same_recipe(path, Recipe.from_dict(facts["recipe"]).to_dict(), recipe.to_dict())
    run = read_run(path, facts["run"], recipe)
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    load_into(model, weights, path)
    owner = {id(p): each for each in state.optimizers for group in each.param_groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    try:
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, key, parameter = name.split(".", 2)
                place = parameters[parameter]
                if value.ndim and value.shape != place.shape:
                    raise TypeError(name)
                owner[id(place)].state[place][key] = value.to(place.device) if value.ndim else value
        for name, part in pool.items():
            if tensors[f"pool.{name}"].shape != part.shape:
                raise TypeError(f"pool.{name}")
            pool[name] = tensors[f"pool.{name}"].to(part)
        state.generator.set_state(tensors["generator"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} is no whole training run: it lacks or misfits {short(str(error))}") from error
    return run


def same_recipe(path: str | Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """ValueError names the first setting in which the recipe of a file differs from this one."""
    flat = lambda facts: (
        {f"task.{k}": v for k, v in facts["task"].items()} | {k: v for k, v in facts.items() if k != "task"}
    )
    theirs, ours = flat(theirs), json.loads(json.dumps(flat(ours)))
    for name in theirs.keys() | ours.keys():
        if theirs.get(name) != ours.get(name):
            raise ValueError(
                f"{path} was trained with {name.removeprefix('task.')}={theirs.get(name)!r}, "
                f"this call asks for {ours.get(name)!r}"
            )


def read_run(path: str | Path, facts: Any, recipe: Recipe) -> Run:
    """The run of a file, if it is one that this recipe can have come to; ValueError otherwise."""
    if not isinstance(facts, dict) or facts.keys() != {f.name for f in fields(Run)}:
        raise ValueError(f"{path} is no training run of this version: {short(facts)}")
    try:
        step = whole("step", facts["step"], 0, recipe.steps)
        number("seconds", facts["seconds"], 0, 1e12)
        number("running", facts["running"], -1e-6, 1 + 1e-6)
        ends = recipe.task.first_level, recipe.task.last_level
        for level in (facts["level"], *facts["history"]["level"]):
            number("level", level, min(ends), max(ends))
        for value in facts["history"]["loss"] + facts["history"]["running"]:
            number("history", value, -1e-6, 1e38)
        lengths = {len(facts["history"][name]) for name in ("loss", "level", "running")}
        if lengths != {step} or not isinstance(facts["finished"], bool) or (facts["finished"] and step == 0):
            raise ValueError(f"step {step}, finished {facts['finished']} and a history of {lengths} steps do not fit")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} holds a run that cannot be: {short(str(error), 120)}") from error
    return Run(**facts)
