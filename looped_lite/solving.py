"""Run a model on instances: each for the loops it needs, many at once, again from noise where known to be wrong."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from .checks import number, whole
from .fixed_points import lengths
from .model import Loop, LoopedTransformer, join
from .tasks import Task

STATUSES = ("solved", "settled", "cycling", "ran out", "diverged", "invalid")
CELLS_AT_ONCE = 1280  # cells that a pool steps together: more leave the processor's cache and are slower
AHEAD = 8192  # instances that are read before the first of them is answered, at most
TINY = 1e-30  # a state of length 0 that stays there has residual 0
LOOK_EVERY = 4  # loops between two looks at the task's certificate


@dataclass(frozen=True)
class Solution:
    """What `solve` says about one instance. ``residual`` is relative, at the last loop run; ``loops`` counts those of
    all tries.

    ``status`` is *solved*: certified by the task's own rules; *settled*: a loop moves the state by less than ``tol`` of
    its length; *cycling*: the state came back to where it had been; *ran out* of loops; *diverged*: the state
    overflowed, and there is no answer; *invalid*: the text is no instance of the task, and ``extra["error"]`` says why.
    """

    input: str
    answer: str | None
    status: str
    loops: int
    tries: int
    residual: float
    extra: dict[str, Any] = field(default_factory=dict)  # what else the task can tell, such as a probability

    def as_dict(self) -> dict[str, Any]:
        """All of it in one flat dictionary that JSON can hold."""
        facts = asdict(self)
        if not math.isfinite(self.residual):
            facts["residual"] = None
        return facts | facts.pop("extra")


Run = tuple[Loop, Tensor, Callable[[Tensor], Tensor]]


def begin(task: Task, model: LoopedTransformer, x: Tensor, number: int, said: Tensor | None = None) -> Run:
    """How try ``number`` of an instance ``x`` (1, cells, features) begins: the first from the input, further ones from
    noise, on a symmetric image; and, if several have failed, with the task's guess, by the logits ``said`` of the last
    (None: without). Returns the loop, its start state and what brings logits back to ``x``. Every instance of one size
    gets the same noise."""
    if number == 0:
        loop = model.loop(x)
        return loop, loop.start(), lambda logits: logits
    put = lambda logits: logits
    if said is not None and number >= task.guess_after:
        x, put = task.guess(x, said, torch.Generator().manual_seed(number))
    generator = torch.Generator().manual_seed(number)
    image, back = task.image(x, generator)
    loop = model.loop(image)
    return loop, loop.start("noise", generator), lambda logits: put(back(logits))


@dataclass
class Job:
    """One instance on its way. ``age`` counts the loops of this try, ``used`` those of all."""

    index: int
    text: str
    x: Tensor
    budget: int
    back: Callable[[Tensor], Tensor] = lambda logits: logits
    said: Tensor | None = None  # the logits that were last asked for, by which the next try guesses
    tries: int = 0
    age: int = 0
    used: int = 0


class Pool:
    """Running instances of one model and one number of cells, stepped together. A row of the tensors is a `Job`."""

    def __init__(
        self,
        model: LoopedTransformer,
        task: Task,
        restart: Callable[[int], int],
        tol: float,
        at_once: int,
        guess: bool = True,
    ) -> None:
        self.model, self.task, self.restart, self.tol, self.at_once = model, task, restart, tol, at_once
        self.guess = guess
        self.waiting: deque[Job] = deque()
        self.jobs: list[Job] = []
        self.loop: Loop | None = None
        self.z = self.anchor = torch.empty(0)
        self.certifies: bool | None = None  # can the task tell right answers? known after the first instance

    def fill(self) -> None:
        """Let waiting instances in while there is room."""
        fresh = []
        while self.waiting and len(self.jobs) + len(fresh) < self.at_once:
            fresh.append(self.waiting.popleft())
        self.enter(fresh)

    def enter(self, jobs: list[Job]) -> None:
        """Begin the next try of each job, beside those that run."""
        if not jobs:
            return
        runs = [begin(self.task, self.model, job.x, job.tries, job.said if self.guess else None) for job in jobs]
        for job, (_, _, job.back) in zip(jobs, runs, strict=True):
            job.tries, job.age = job.tries + 1, 0
        loops, states = [run[0] for run in runs], [run[1] for run in runs]
        if self.jobs:
            loops, states = [self.loop, *loops], [self.z, *states]
        anchors = [self.anchor, *states[1:]] if self.jobs else states
        self.loop, self.z, self.anchor = join(loops), torch.cat(states), torch.cat(anchors)
        self.jobs += jobs
        if self.certifies is None:
            self.certifies = self.task.certify(jobs[0].x, self.loop.read_out(self.z[:1])) is not None

    @torch.no_grad()  # here, since each thread has a switch of its own
    def run(self, loops: int = 8) -> list[tuple[Job, Solution]]:
        """A few loops for every running instance, and whoever waits comes in as there is room. Returns what is done."""
        done = []
        for _ in range(loops):
            self.fill()
            if not self.jobs:
                break
            done += self.step()
        return done

    def step(self) -> list[tuple[Job, Solution]]:
        """One loop for every running instance; returns the jobs that are done, with what became of them."""
        before, self.z = self.z, self.loop(self.z)
        size, moved = lengths(self.z), lengths(self.z - before)
        residual = moved / size.clamp_min(TINY)
        rest = (residual <= self.tol).tolist()  # an overflowing state has residual nan, and is not at rest
        lost = (~size.isfinite()).tolist()
        back_again = (lengths(self.z - self.anchor) <= 1e-3 * moved).tolist()
        for job in self.jobs:
            job.age, job.used = job.age + 1, job.used + 1
        right = self.certified([a or b for a, b in zip(rest, back_again, strict=True)])
        done, again, keep = [], [], []
        for row, job in enumerate(self.jobs):
            status = (
                "diverged" if lost[row] else "settled" if rest[row] else "cycling" if back_again[row] else "ran out"
            )
            if row in right:
                status = "solved"
            if status == "ran out" and job.age < self.limit(job):
                keep.append(row)
            elif self.certifies and status != "solved" and job.used < job.budget:
                again.append(job)
            else:
                done.append((job, self.answer(job, row, status, float(residual[row]))))
        self.move_anchors()
        if len(keep) < len(self.jobs):
            self.jobs = [self.jobs[row] for row in keep]
            self.loop, self.z, self.anchor = self.loop[keep], self.z[keep], self.anchor[keep]
            self.enter(again)
        return done

    def limit(self, job: Job) -> int:
        """How many loops this try of a job may take."""
        left = job.age + job.budget - job.used
        return min(self.restart(job.tries - 1), left) if self.certifies else left

    def certified(self, ends: list[bool]) -> set[int]:
        """The rows whose answer the task certifies, asked every few loops and when a try ends (``ends``)."""
        due = [
            row
            for row, job in enumerate(self.jobs)
            if self.certifies and (ends[row] or job.age % LOOK_EVERY == 0 or job.age >= self.limit(job))
        ]
        if not due:
            return set()
        jobs = [self.jobs[row] for row in due]
        for job, logits in zip(jobs, self.loop.read_out(self.z[due]), strict=True):
            job.said = job.back(logits[None])
        right = self.task.certify(torch.cat([job.x for job in jobs]), torch.cat([job.said for job in jobs]))
        return {row for row, yes in zip(due, right.tolist(), strict=True) if yes}

    def move_anchors(self) -> None:
        """Remember the states at loops 1, 2, 4, 8, ...: a state that comes back to its anchor is in a cycle (Brent)."""
        rows = [row for row, job in enumerate(self.jobs) if job.age & (job.age - 1) == 0]
        if rows:
            self.anchor[rows] = self.z[rows]

    def answer(self, job: Job, row: int, status: str, residual: float) -> Solution:
        """What has become of a job that ends in this loop."""
        logits = job.back(self.loop.read_out(self.z[row : row + 1]))[0]
        if status == "diverged" or not logits.isfinite().all():  # what is not a number names no class
            return Solution(job.text, None, "diverged", job.used, job.tries, residual)
        said = self.task.decode(job.text, logits)
        return Solution(job.text, said.pop("answer"), status, job.used, job.tries, residual, said)


class Desk:
    """Takes instances in, spreads them over pools of their own length, and keeps what is ready until its turn."""

    def __init__(
        self, choose: Callable[[str], LoopedTransformer], make_pool: Callable[..., Pool], workers: int
    ) -> None:
        self.choose, self.make_pool, self.workers = choose, make_pool, workers
        self.pools: dict[tuple[int, int], list[Pool]] = {}
        self.home: dict[int, Pool] = {}  # where each instance that is not ready runs or waits
        self.ready: dict[int, Solution] = {}

    def admit(self, index: int, text: str, budget: int | None, strict: bool) -> None:
        """Put an instance before the pool of its length that has least to do."""
        try:
            model = self.choose(text)
            x = model.recipe.task.encode(text).to(model.embed.weight.device)
        except ValueError as error:
            if strict:
                raise
            self.ready[index] = Solution(text, None, "invalid", 0, 0, math.inf, {"error": str(error)})
            return
        key = id(model), x.shape[1]
        if key not in self.pools:
            self.pools[key] = [self.make_pool(model, x.shape[1]) for _ in range(self.workers)]
        pool = min(self.pools[key], key=lambda pool: len(pool.jobs) + len(pool.waiting))
        pool.waiting.append(Job(index, text, x, budget or model.recipe.task.max_loops(x)))
        self.home[index] = pool

    def turn(self, oldest: int, run: Callable[..., Iterable]) -> None:
        """A few loops for the pool of the ``oldest`` instance, and for as many others as there are workers."""
        first = self.home[oldest]
        others = [p for p in chain(*self.pools.values()) if p is not first and (p.jobs or p.waiting)]
        others.sort(key=lambda pool: (pool.jobs or pool.waiting)[0].index)
        chosen = [first, *others[: self.workers - 1]]
        for job, solution in chain(*(run if len(chosen) > 1 else map)(Pool.run, chosen)):
            self.ready[job.index] = solution
            del self.home[job.index]
        self.pools = {key: some for key, some in self.pools.items() if any(p.jobs or p.waiting for p in some)}


@torch.no_grad()
def solve(
    model: LoopedTransformer | Callable[[str], LoopedTransformer],
    texts: Iterable[str],
    loops: int | None = None,
    restart: int | Callable[[int], int] | None = None,
    tol: float = 1e-4,
    at_once: int | None = None,
    ahead: int = AHEAD,
    strict: bool = True,
    guess: bool = True,
) -> Iterator[Solution]:
    """Solve instances written as text (bits, puzzles, FENs): `Solution`s in the order of ``texts``, as they are ready.

    Instances of equal length run together, at most ``at_once`` of them, on as many cores as PyTorch may use. What has
    settled, or what the task certifies as solved, leaves and makes room for the next one. Where a task certifies
    answers (sudoku has its rules), an instance without one begins again, from noise and on a symmetric image, after
    ``restart`` loops (a number, or a function of the number of the try, counted from 0), until its budget of ``loops``
    is spent (the task's own, if left out). With ``guess``, after four tries (the task's ``guess_after``) each
    further one also assumes something where the last answer was unsure: in sudoku, one digit.

    ``texts`` may be a stream that never ends: at most ``ahead`` instances are held at a time. Answers do not depend on
    which instances run together, nor on their order. ``model`` may be a function that names the model for a text.
    Raises ValueError, with the reason, for a text that is no instance of the task; with ``strict=False`` its status is
    *invalid* instead.
    """
    budget = None if loops is None else whole("loops", loops, 1)
    if not callable(restart) and restart is not None:
        whole("restart", restart, 1)
    number("tol", tol, 1e-12, 1)
    whole("ahead", ahead, 1)
    whole("at_once", 1 if at_once is None else at_once, 1)

    def make_pool(model: LoopedTransformer, cells: int) -> Pool:
        task = model.recipe.task
        tries = restart if callable(restart) else lambda _: restart or task.restart_every
        return Pool(model, task, tries, tol, at_once or max(1, CELLS_AT_ONCE // cells), guess)

    workers = torch.get_num_threads()
    desk = Desk((lambda text: model) if isinstance(model, LoopedTransformer) else model, make_pool, workers)
    numbered, read, given = enumerate(texts), 0, 0
    with one_core_each(workers) as run:
        while True:
            for index, text in islice(numbered, ahead - (read - given)):
                desk.admit(index, text, budget, strict)
                read = index + 1
            if given == read:
                return
            while given in desk.ready:
                yield desk.ready.pop(given)
                given += 1
            if given in desk.home:
                desk.turn(given, run)


@contextmanager
def one_core_each(workers: int) -> Iterator[Callable[..., Iterable]]:
    """A ``map`` in ``workers`` threads of one core each, side by side. PyTorch's number of threads is put back."""
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        try:
            yield threads.map
        finally:
            torch.set_num_threads(workers)


def solve_one(model: LoopedTransformer, text: str, loops: int | None = None, **options: Any) -> Solution:
    """`solve` for one instance."""
    return next(solve(model, [text], loops, **options))


@dataclass(frozen=True)
class Watched:
    """One instance: ``logits[t]`` (cells, classes) after t loops, ``residuals[t]``: the relative step of loop t + 1."""

    text: str
    logits: Tensor  # (loops + 1, cells, classes)
    residuals: Tensor  # (loops,)
    settled: int | None  # the loop of the last try that first moved the state by less than tol of its length
    begun: tuple[int, ...] = (0,)  # after how many loops each try began

    @property
    def loops(self) -> int:
        return len(self.residuals)

    def progress(self, loop: int) -> str:
        """In words, how far the state moved in this loop and whether it has settled."""
        step = f"last step {self.residuals[loop - 1]:.1e} of the state's length; " if loop else ""
        if self.settled is None:
            return f"{step}not settled in {self.loops} loops"
        return step + (f"settled at loop {self.settled}" if loop >= self.settled else "not settled yet")


@torch.no_grad()
def watch(
    model: LoopedTransformer, text: str, loops: int | None = None, tol: float = 1e-4, extra: int = 4, tries: int = 1
) -> Watched:
    """Run ``model`` on an instance written as text and keep what it would answer after every loop.

    A try stops ``extra`` loops after the state settled, or after ``loops`` (as many as `solve` gives a try, if left
    out). With more ``tries`` an answer that is not certified is tried again, as in `solve`. ValueError says what is
    wrong with the text.
    """
    task = model.recipe.task
    x = task.encode(text).to(model.embed.weight.device)
    logits, residuals, begun = [], [], []
    for attempt in range(whole("tries", tries, 1)):
        loop, z, back = begin(task, model, x, attempt, logits[-1] if logits else None)
        begun.append(len(residuals))
        settled = None
        if not logits:
            logits.append(loop.read_out(z))
        certifies = task.certify(x, logits[0]) is not None
        for _ in range(
            whole(
                "loops",
                min(task.max_loops(x), task.restart_every if certifies else 10**9) if loops is None else loops,
                1,
            )
        ):
            before, z = z, loop(z)
            residuals.append(float(lengths(z - before) / lengths(z).clamp_min(TINY)))
            logits.append(back(loop.read_out(z)))
            if settled is None and residuals[-1] <= tol:
                settled = len(residuals)
            if settled is not None and len(residuals) >= settled + extra:
                break
        if not certifies or task.certify(x, logits[-1]).all():
            break
    return Watched(text, torch.cat(logits).cpu(), torch.tensor(residuals), settled, tuple(begun))
