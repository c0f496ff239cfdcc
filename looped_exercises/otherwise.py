"""The same case with an argument that is not as it was given: what a wrong answer may have been right for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .plain import TENSORS, Case


def otherwise(case: Case, name: Callable[[int | str], str]) -> Iterator[tuple[str, Case]]:
    """Words for what is otherwise, and the case made so. ``name`` tells an argument's name by its place."""
    given = {**dict(enumerate(case.arguments)), **case.options}
    for place, value in given.items():
        for words, other in of_one(value):
            yield words.format(name(place)), put(case, {place: other})
    for (one, first), (other, second) in itertools.combinations(given.items(), 2):
        if kind(first) and kind(first) == kind(second):
            yield f"{name(one)} and {name(other)} exchanged", put(case, {one: second, other: first})
            yield f"{name(one)} in the place of {name(other)}", put(case, {other: first})
            yield f"{name(other)} in the place of {name(one)}", put(case, {one: second})


def put(case: Case, changes: dict[int | str, Any]) -> Case:
    """The case with other values in some places."""
    arguments = [changes.get(place, value) for place, value in enumerate(case.arguments)]
    options = {name: changes.get(name, value) for name, value in case.options.items()}
    return Case(case.label, *arguments, within=case.within, **options)


def kind(value: Any) -> tuple:
    """Two arguments of one kind may be taken for each other; () for what is never."""
    if type(value) in TENSORS:
        return (value.dtype, value.shape)
    return (type(value), len(value) if type(value) is list else 0) if type(value) in (int, float, list) else ()


def of_one(value: Any) -> Iterator[tuple[str, Any]]:
    """What a number, a list of numbers or a tensor may be taken for, with words in which {} is its name."""
    if type(value) is int:
        yield from {"{} + 1": value + 1, "{} - 1": value - 1, "2 * {}": 2 * value, "{} / 2": value // 2}.items()
        yield from {"{} = 1": 1, "{} = 0": 0}.items()
    elif type(value) is float:
        yield from {"-{}": -value, "2 * {}": 2 * value, "{} / 2": value / 2, "{} = 1": 1.0, "{} = 0": 0.0}.items()
        yield from {"{} squared": value**2, "the root of {}": abs(value) ** 0.5, "{} / 100": value / 100}.items()
        yield "1 / {}", 1 / (value or 1.0)
    elif type(value) is list and len(value) > 1 and all(type(part) in (int, float) for part in value):
        yield from ((words, other.tolist()) for words, other in of_one(torch.tensor(value, dtype=torch.double)))
        yield from {"the places 0, 1, 2, ... for {}": [*range(len(value))], "{} in order": sorted(value)}.items()
        yield from {"{} without its first entry": value[1:], "{} without its last entry": value[:-1]}.items()
    elif type(value) in TENSORS and value.numel() > 1:
        yield from of_tensor(value.detach())


def of_tensor(value: Tensor) -> Iterator[tuple[str, Tensor]]:
    square = value.ndim > 1 and value.shape[-1] == value.shape[-2]
    if square:
        yield "{} transposed", value.mT
    for axis in (axis for axis, size in enumerate(value.shape) if size > 1):
        of = f" along axis {axis}" if value.ndim > 1 else ""
        yield f"{{}} in reverse order{of}", value.flip(axis)
        yield f"the first of {{}}{of} in the place of all", value.narrow(axis, 0, 1).expand_as(value).clone()
        yield f"{{}} moved on by a place{of}", value.roll(1, axis)
    if value.dtype == torch.bool:
        yield from {"the opposite of {}": ~value, "True all over {}": value | ~value}.items()
        if square:
            yield from {"{} or its transpose": value | value.mT, "{} and its transpose": value & value.mT}.items()
    elif value.is_floating_point():
        unit, eye = value / value.norm(dim=-1, keepdim=True), torch.eye(value.shape[-1], dtype=value.dtype)
        yield from {"{} = 0": 0 * value, "{} = 1 everywhere": 0 * value + 1, "-{}": -value, "2 * {}": 2 * value,
                    "{} / 2": value / 2, "{} squared": value**2, "{} without its signs": value.abs(),
                    "{} brought to length 1 along its last axis": unit, "{} rounded": value.round(),
                    "{} brought to length 1": value / value.norm(),
                    "{} less its mean": value - value.mean(-1, keepdim=True)}.items()  # fmt: skip
        if square:
            inverse = torch.linalg.inv_ex(value).inverse
            yield from {"the identity for {}": 0 * value + eye, "the inverse of {}": inverse,
                        "the diagonal of {} alone": value * eye}.items()  # fmt: skip
    else:
        yield from {"{} + 1": value + 1, "{} - 1": value - 1, "{} = 0": 0 * value}.items()
