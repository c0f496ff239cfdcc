"""A recipe: everything that makes a trained model. The card of a model, the identity of an experiment's row, the check
at resume, the options of ``looped-lite train`` and the line that repeats a run are all derived from it."""

from __future__ import annotations

import difflib
import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from importlib import import_module
from typing import Any

import torch

from .blocks import NORMS, RECALLS
from .checks import memory, number, one_of, short, whole
from .model import LoopedTransformer, count_parameters
from .tasks import Task

# The shipped tasks by their short names. Any other is named by its place: "my_maze:Maze".
TASKS = {
    "prefix-sums": "looped_lite.tasks.prefix_sums:PrefixSums",
    "sudoku": "looped_lite.tasks.sudoku:Sudoku",
    "chess": "looped_lite.tasks.chess:Chess",
}

VERSION = 3
# Settings that came after version 1: name -> (the version that brought it, the value that recipes written before it
# had). A name of a task's setting is written "task.setting".
ADDED: dict[str, tuple[int, Any]] = {"still": (2, 0.0), "task.mined": (3, 0.0)}


def option(default: Any, help: str, low: Any = None, high: Any = None, words: tuple[str, ...] = ()) -> Any:
    """A setting of a recipe: its default, what it is, and what values it may have."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "words": words})


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a trained model: a task with its settings, and these. Two models of equal recipes, made on
    one machine with one number of threads, are equal to the last bit. Raises ValueError for a setting that no model can
    be trained with."""

    task: Task
    recall: str = option("internal", "where the input comes back in: none, external or internal", words=RECALLS)
    norm: str = option("post", "where the norm sits: pre, peri, post, sandwich or gru", words=NORMS)
    width: int = option(64, "channels a cell", 1, 65_536)
    heads: int = option(4, "attention heads", 1, 1_024)
    mlp_ratio: int = option(4, "how many times wider the MLP is inside", 1, 1_024)
    blocks: int = option(1, "blocks that one loop consists of", 1, 1_000)
    steps: int = option(600, "training steps, at most", 1, 10**9)
    batch: int = option(64, "instances a step", 1, 10**6)
    lr: float = option(3e-3, "peak learning rate of AdamW", 1e-12, 1e3)
    decay: float = option(0.4, "share of the steps, at the end, in which the rate falls to 0", 1e-9, 1.0)
    settle: int | None = option(None, "end so many steps after the curriculum came to its last level", 1, 10**9)
    weight_decay: float = option(0.01, "weight decay of AdamW and Muon", 0.0, 1e3)
    beta2: float = option(0.999, "how much of the mean square gradient AdamW keeps a step", 0.0, 1 - 1e-9)
    muon: float | None = option(None, "rate of Muon for the matrices in the loop (none: AdamW for all)", 1e-12, 1e3)
    clip: float = option(1.0, "longest gradient", 1e-12, 1e12)
    advance: float = option(0.9, "running accuracy at which the curriculum moves on", 0.0, 1.0)
    still: float = option(
        0.0, "weight in the loss of the last step: its length squared, relative to the state's", 0.0, 1e6
    )
    pool: int | None = option(None, "train on so many instances that keep their states from step to step", 1, 10**7)
    horizon: int = option(64, "most loops of an instance of the pool", 1, 10**6)
    noise: float = option(0.0, "share of the pool's instances that begin from noise", 0.0, 1.0)
    bfloat16: bool = option(False, "matrix products in half precision: faster on some processors")
    compiled: bool = option(False, "compile the block first: faster steps, but it needs a C++ compiler")
    begin: str = option("", "begin with the weights of this model, a pretrained one or a file")
    seed: int = option(0, "of the weights and of all that is drawn", 0, 2**63 - 1)

    def __post_init__(self) -> None:
        for setting in fields(self)[1:]:
            object.__setattr__(self, setting.name, checked(setting, getattr(self, setting.name)))
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(
                f"width {self.width} must be divisible by heads {self.heads} into an even number of channels"
            )
        if self.settle is not None and self.settle > self.steps:
            raise ValueError(f"settle must be at most steps = {self.steps}, got {self.settle}")
        if self.pool is not None and self.settle is not None:
            raise ValueError("settle waits for a curriculum, and a pool has none: leave one of the two out")
        if self.pool is not None and self.pool < self.batch:
            raise ValueError(f"pool must hold at least a batch of {self.batch} instances, got {self.pool}")

    def build(self) -> LoopedTransformer:
        """A fresh model, with random weights of this seed. ValueError if it would not fit into memory."""
        needed = 4 * count_parameters(self._model("meta"))
        if 4 * needed > memory():  # weights, gradients, two moments
            raise ValueError(
                f"a model of this recipe takes {4 * needed / 1e9:,.0f} GB to train, this machine has "
                f"{memory() / 1e9:.0f}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = self._model("cpu")
        model.recipe = self
        return model

    def _model(self, device: str) -> LoopedTransformer:
        named = {name: getattr(self, name) for name in ("width", "blocks", "recall", "norm", "heads", "mlp_ratio")}
        architecture = self.task.architecture(self.heads)
        with torch.device(device):
            return LoopedTransformer(
                self.task.features, self.task.classes, positions=self.task.positions, **named, **architecture
            )

    def to_dict(self) -> dict[str, Any]:
        """All settings, those of the task too, as plain data that JSON can hold."""
        task = {"kind": kind_of(self.task)} | settings_of(self.task)
        return {"version": VERSION, "task": task} | {f.name: getattr(self, f.name) for f in fields(self)[1:]}

    @classmethod
    def from_dict(cls, facts: Any) -> Recipe:
        """The recipe that `to_dict` wrote. ValueError names a setting that is missing, unknown or impossible."""
        if not isinstance(facts, dict) or not isinstance(facts.get("task"), dict):
            raise ValueError(f"a recipe must be an object with a task, got {short(facts)}")
        version = facts.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise ValueError(f"this recipe has version {short(version)}: expected a number from 1 to {VERSION}")
        task = dict(facts["task"])
        kind = task.pop("kind", None)
        if type(kind) is not str:
            raise ValueError(f"the task of a recipe needs a kind, such as prefix-sums, got {short(kind)}")
        known = {f.name for f in fields(task_class(kind)) if f.init} if is_dataclass(task_class(kind)) else set()
        task = complete(task, known, version, "task.")
        settings = {name: value for name, value in facts.items() if name not in ("version", "task")}
        settings = complete(settings, {f.name for f in fields(cls)[1:]}, version)
        return cls(get_task(kind, **task), **settings)

    @property
    def digest(self) -> str:
        """Twelve characters that name this recipe: equal for equal recipes, and for no others. Settings that come later
        do not change them.
        """
        return hashlib.sha256(json.dumps(oldest_form(self.to_dict()), sort_keys=True).encode()).hexdigest()[:12]

    def command(self) -> str:
        """The line that trains this recipe again."""
        words = ["looped-lite", "train", kind_of(self.task)]
        for f in fields(self.task) if is_dataclass(self.task) else ():
            value = getattr(self.task, f.name)
            if f.init and value != default_of(f):
                words += ["--setting", f"{f.name}={json.dumps(value, separators=(',', ':'))}"]
        for f in fields(self)[1:]:
            value = getattr(self, f.name)
            if value != f.default:
                words += [flag(f.name)] if value is True else [flag(f.name), f"{value}"]
        return shlex.join(words)


def flag(name: str) -> str:
    """The option of the command line for a setting."""
    return "--" + name.replace("_", "-")


def checked(setting: Field, value: Any) -> Any:
    """``value`` if the setting may have it, as the type that the setting has; ValueError otherwise."""
    name, low, high = setting.name, setting.metadata["low"], setting.metadata["high"]
    if setting.metadata["words"]:
        return one_of(name, value, setting.metadata["words"])
    if value is None and setting.default is None:
        return None
    kind = setting.type.removesuffix(" | None")
    if kind in ("bool", "str"):
        if type(value).__name__ != kind:
            raise ValueError(f"{name} must be {'true or false' if kind == 'bool' else 'a string'}, got {short(value)}")
        return value
    return whole(name, value, low, high) if kind == "int" else float(number(name, value, low, high))


def complete(given: dict[str, Any], known: set[str], version: int, prefix: str = "") -> dict[str, Any]:
    """The settings of an older version's file, with what came later filled in; ValueError for an unknown one."""
    later = {name: ADDED[prefix + name] for name in known if prefix + name in ADDED}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=2)
            raise ValueError(
                f"unknown setting {short(name)}" + (f": did you mean {' or '.join(near)}?" if near else "")
            )
    missing = {name for name in known - given.keys() if name not in later or version >= later[name][0]}
    if missing:
        raise ValueError(f"the recipe lacks {', '.join(sorted(missing))}")
    tuples = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}  # JSON has no tuples
    return {name: later[name][1] for name in known - given.keys()} | tuples


def oldest_form(facts: dict[str, Any]) -> dict[str, Any]:
    """``facts`` of `Recipe.to_dict` as the oldest version that can say the same would write them."""
    flat = {**{f"task.{name}": value for name, value in facts["task"].items()}, **facts}
    versions = [brought for name, (brought, before) in ADDED.items() if flat.get(name, before) != before]
    later = {name for name, (brought, _) in ADDED.items() if brought > max(versions, default=1)}
    task = {name: value for name, value in facts["task"].items() if f"task.{name}" not in later}
    return {name: value for name, value in facts.items() if name not in later} | {
        "version": max(versions, default=1), "task": task,
    }  # fmt: skip


def task_class(kind: str) -> type:
    """The class of a task: ``kind`` is the short name of a shipped one, or ``module:Class``."""
    module, _, name = TASKS.get(kind, kind).partition(":")
    if not name:
        near = difflib.get_close_matches(kind, TASKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(TASKS)}, or module:Class"
        raise ValueError(f"unknown task {short(kind)}: {hint}")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # a learner's file may raise anything
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise ValueError(f"no task {short(kind)}: {reason}") from error
    if not isinstance(found, type) or Task not in found.__mro__:
        raise ValueError(f"{short(kind)} is not a task: expected a class derived from looped_lite.tasks.Task")
    return found


def get_task(kind: str, **settings: Any) -> Task:
    """The task called ``kind``, as in ``get_task("prefix-sums", window=7)``. ValueError for one that cannot be."""
    found = task_class(kind)
    known = [f.name for f in fields(found) if f.init] if is_dataclass(found) else []
    for name in settings:
        if name not in known:
            raise ValueError(f"task {kind} has no setting {short(name)}: expected some of {', '.join(known) or 'none'}")
    try:
        return found(**settings)
    except TypeError as error:
        raise ValueError(f"task {kind} cannot be made with {short(settings)}: {error}") from error


def kind_of(task: Task) -> str:
    """The name by which `get_task` finds the class of ``task``."""
    place = f"{type(task).__module__}:{type(task).__qualname__}"
    return next((name for name, known in TASKS.items() if known == place), place)


def settings_of(task: Task) -> dict[str, Any]:
    """All settings of a task, by name, as JSON would bring them back."""
    own = {f.name: getattr(task, f.name) for f in fields(task) if f.init} if is_dataclass(task) else {}
    return json.loads(json.dumps(own))


def default_of(setting: Field) -> Any:
    return setting.default if setting.default_factory is MISSING else setting.default_factory()


def variants(
    task: Task, recalls: Iterable[str] = RECALLS, norms: Iterable[str] = NORMS, **settings: Any
) -> list[Recipe]:
    """Recipes that differ in recall and norm alone."""
    return [Recipe(task, recall=recall, norm=norm, **settings) for recall in recalls for norm in norms]
