"""Arguments and answers as plain data: what a case may hold and an answer give, and both as bytes.

Plain data is None, bool, int, float, str, tensors, and lists, tuples and dicts of these, of just these types: an object
with an ``__eq__`` of its own proves nothing. What is not plain, a map or a model, a case asks for by name (`Named`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import GeneratorType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

TENSORS = (Tensor, nn.Parameter)


@dataclass(frozen=True)
class Named:
    """A map, model or generator in a case: made by ``things[name](*details)`` wherever the case is run."""

    name: str
    details: tuple = ()

    def __init__(self, name: str, *details: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "details", details)


@dataclass(frozen=True)
class Other:
    """Stands for a value that is not plain: a description of it."""

    text: str


@dataclass
class Outcome:
    """What one call of an answer gave: its value, or why it stopped (``error``; ``stopped`` is the exception's name),
    which arguments it changed in place, whether it printed, and how often it called each map (by place or name; for a
    generator, whether it drew from it). ``graded`` are the arguments that came back with gradients switched on, off or
    filled in."""

    value: Any = None
    error: str = ""
    stopped: str = ""
    changed: list = field(default_factory=list)
    printed: bool = False
    calls: dict = field(default_factory=dict)
    graded: list = field(default_factory=list)


def tidy(value: Any) -> Any:
    """``value`` as plain data. Arrays and sets become lists, subclasses of list, tuple and dict lose their class, the
    rest is an `Other`."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, Other) or kind in TENSORS:
        return value
    if isinstance(value, np.ndarray | np.generic) and kind.__module__ == "numpy":
        return value.tolist() if value.dtype.kind in "biuf" else Other(f"a numpy array of {value.dtype}")
    if isinstance(value, tuple | list):
        base = tuple if isinstance(value, tuple) else list
        return base(tidy(part) for part in base.__iter__(value))
    if isinstance(value, dict):
        return {tidy(key): tidy(part) for key, part in dict.items(value)}
    if kind in (range, set, frozenset):
        parts = [tidy(part) for part in value]
        return sorted(parts) if all(type(part) in (int, float, str) for part in parts) else parts
    if isinstance(value, GeneratorType | map | zip | filter):
        return Other("a generator (collect what it gives, and return that)")
    return Other(
        "a function" if callable(value) and hasattr(value, "__code__") else f"an object of type {kind.__name__}"
    )


def make(value: Any, things: Mapping[str, Callable]) -> Any:
    """A fresh copy of an argument of a case, with every `Named` thing made. A map counts its calls in ``.calls``."""
    if type(value) is Named:
        thing = things[value.name](*(make(part, things) for part in value.details))
        plain_map = callable(thing) and not isinstance(thing, nn.Module) and not hasattr(thing, "calls")
        return counted(thing) if plain_map else thing
    if type(value) in TENSORS:
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(make(part, things) for part in value)
    if type(value) is dict:
        return {key: make(part, things) for key, part in value.items()}
    return value


def counted(f: Callable) -> Callable:
    """``f`` as a function that counts in ``.calls`` how often it is called."""

    def counting(*arguments: Any, **options: Any) -> Any:
        counting.calls += 1
        return f(*arguments, **options)

    counting.calls = 0
    return counting


def same(one: Any, other: Any) -> bool:
    """Are two plain values the same, bit for bit, NaN included? Where ``one`` is Named or Other nothing is compared."""
    if type(one) in (Named, Other):
        return True
    if type(one) in TENSORS:
        fits = type(other) in TENSORS and one.shape == other.shape and one.dtype == other.dtype
        return fits and bool(((one == other) | ((one != one) & (other != other))).all())
    if type(one) in (list, tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if type(one) is dict:
        return type(other) is dict and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one == other or one != one)


def describe(value: Any) -> str:
    """A short description of any plain value, for messages."""
    if type(value) in TENSORS:
        return f"a tensor of shape {tuple(value.shape)} and dtype {str(value.dtype).removeprefix('torch.')}"
    if value is None or type(value) is Other:
        return "None (is there a return?)" if value is None else value.text
    if type(value) not in (bool, int, float, str, list, tuple, dict):
        return type(value).__name__
    text = repr(value) if type(value) in (bool, int, float, str) or len(value) < 20 else ""
    return f"{type(value).__name__} {text}" if 0 < len(text) < 60 and "\n" not in text else f"a {type(value).__name__}"


# ---------------------------------------------------------------- as bytes


@dataclass
class Case:
    """One call of an answer: a label for messages, the arguments as plain data, what to add if this goes wrong, and a
    tolerance of its own."""

    label: str
    arguments: tuple
    options: dict
    hint: str = ""
    within: float | None = None

    def __init__(
        self, label: str, *arguments: Any, hint: str = "", within: float | None = None, **options: Any
    ) -> None:
        self.label, self.arguments, self.options, self.hint, self.within = label, arguments, options, hint, within


SHAPES = {kind.__name__: kind for kind in (Named, Other, Outcome, Case)}


def dump(value: Any) -> bytes:
    """Plain data, cases and outcomes as the bytes of a safetensors file, with all but tensors as JSON in its header."""
    tensors: dict[str, Tensor] = {}

    def encode(part: Any) -> Any:
        if type(part) in TENSORS and part.is_complex():  # which safetensors cannot hold
            return {"complex": [encode(part.real), encode(part.imag)]}
        if type(part) in TENSORS:
            tensors[str(len(tensors))] = part.detach().cpu().contiguous().clone()
            return {"tensor": str(len(tensors) - 1)}
        if type(part).__name__ in SHAPES:
            return {type(part).__name__: [encode(getattr(part, each.name)) for each in fields(part)]}
        if type(part) is dict:
            return {"dict": [[encode(key), encode(entry)] for key, entry in part.items()]}
        if type(part) in (list, tuple):
            entries = [encode(entry) for entry in part]
            return entries if type(part) is list else {"tuple": entries}
        if part is not None and type(part) not in (bool, int, float, str):
            raise ValueError(
                f"not plain data: {type(part).__name__}; expected numbers, strings, tensors, lists or dicts"
            )
        return part

    text = json.dumps(encode(value))
    return save(tensors or {"none": torch.zeros(0)}, metadata={"plain": text})


def undump(data: bytes) -> Any:
    """What `dump` wrote. Raises ValueError for any other bytes; nothing is executed or unpickled."""
    try:
        tensors = load(data)
        text = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["plain"]
        return decode(json.loads(text), tensors)
    except Exception as error:  # the bytes may come from anybody
        raise ValueError(f"not plain data ({type(error).__name__})") from None


def decode(part: Any, tensors: Mapping[str, Tensor]) -> Any:
    if type(part) is list:
        return [decode(entry, tensors) for entry in part]
    if type(part) is not dict:
        return part
    ((kind, inside),) = part.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "dict":
        return {decode(key, tensors): decode(entry, tensors) for key, entry in inside}
    entries = [decode(entry, tensors) for entry in inside]
    if kind in ("tuple", "complex"):
        return tuple(entries) if kind == "tuple" else torch.complex(*entries)
    made = object.__new__(SHAPES[kind])
    for each, entry in zip(fields(made), entries, strict=True):
        object.__setattr__(made, each.name, entry)
    return made
