"""Is a value the one that was meant? First as a kind of thing, then number by number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import permutations
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from .plain import TENSORS, describe

NUMBERS = (bool, int, float)


def like(value: Any, right: Any) -> tuple[Any, str]:
    """``value`` as the kind of thing that ``right`` is, and a word about it if it had to be turned into that, else ''.

    A list of numbers becomes a tensor, a tensor a number or a list, a float without a fraction a count. What would have
    to be guessed (a list of tensors, numbers for truths) stays as it is, for `differs` to refuse.
    """
    kind, wanted = type(value), type(right)
    if wanted in TENSORS:
        if kind in TENSORS and right.dtype == torch.long and is_whole(value):
            return value.long(), "floats where whole numbers are meant"
        flat = numbers(value) if kind not in TENSORS else None
        if flat is None:
            return value, ""
        turned = torch.tensor(flat, dtype=torch.get_default_dtype() if has_floats(flat) else None)
        if right.is_floating_point() and turned.dtype == torch.long:
            turned = turned.to(torch.get_default_dtype())
        if right.dtype == torch.long and is_whole(turned):
            turned = turned.long()
        return turned, f"a {kind.__name__} where a tensor is meant"
    if wanted in NUMBERS:
        value, word = (value.item(), "a tensor where a number is meant") if is_one(value) else (value, "")
        if wanted is int and type(value) is float and value.is_integer():
            return int(value), word or "a float where a whole number is meant"
        return value, word
    if wanted in (list, tuple):
        word = f"a tensor where a {wanted.__name__} is meant" if kind in TENSORS and value.ndim else ""
        if word:
            flat = not right or type(right[0]) in (*NUMBERS, list, tuple)
            value = value.tolist() if flat else list(value.unbind())
        if right and type(value) in (list, tuple):
            meant = right if len(right) == len(value) else [right[0]] * len(value)
            pairs = [like(part, other) for part, other in zip(value, meant, strict=True)]
            return wanted(part for part, _ in pairs), word or next((word for _, word in pairs if word), "")
        return value, word
    if wanted is dict and kind is dict:
        pairs = {key: like(part, right.get(key, next(iter(right.values()), None))) for key, part in value.items()}
        return {key: part for key, (part, _) in pairs.items()}, next((w for _, w in pairs.values() if w), "")
    return value, ""


def is_whole(value: Tensor) -> bool:
    """Are these floats, each of them a whole number?"""
    return value.is_floating_point() and bool((value.isfinite() & (value == value.round())).all())


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def parts_of(value: Any) -> Iterable | None:
    """What a list, tuple or dict holds; None for anything else."""
    return value.values() if type(value) is dict else value if type(value) in (list, tuple) else None


def leaves(value: Any) -> list:
    """All that is no list, tuple, dict or tensor in a plain value, in order."""
    if type(value) in TENSORS:
        return value.flatten().tolist()
    parts = parts_of(value)
    return [value] if parts is None else [leaf for part in parts for leaf in leaves(part)]


def no_such_word(got: Any, rights: Sequence[Any], place: int) -> str:
    """What to say where the right values of all cases know a few words, and ``got`` has another there."""
    known = [leaf for right in rights for leaf in leaves(right) if type(leaf) is str]
    words, pairs = sorted({*known}), list(zip(leaves(got), leaves(rights[place]), strict=False))
    if len(leaves(got)) != len(leaves(rights[place])) or len(words) == len(known) or len(words) > 6:
        return ""
    strange = [
        one for one, other in pairs if type(other) is str and type(one) in (str, bool, NoneType) and one not in words
    ]
    return f"; {strange[0]!r} is none of the words {', '.join(map(repr, words))}" if strange else ""


def is_one(value: Any) -> bool:
    return type(value) in TENSORS and value.numel() == 1


def numbers(value: Any) -> Any:
    """A number, or nested lists of numbers (0-d tensors among them); None for anything else or a ragged list."""
    if type(value) in NUMBERS:
        return value
    if type(value) in TENSORS:
        return value.item() if value.ndim == 0 else None
    if type(value) not in (list, tuple):
        return None
    parts = [numbers(part) for part in value]
    shapes = {len(part) if type(part) is list else -1 for part in parts}
    return None if any(part is None for part in parts) or len(shapes) > 1 else parts


def has_floats(value: Any) -> bool:
    """Is there a measured number in a plain value?"""
    if type(value) in TENSORS:
        return value.is_floating_point()
    return type(value) is float or any(has_floats(part) for part in parts_of(value) or ())


def is_measured(value: Any) -> bool:
    """Is there a number in a plain value that is not whole, so that another does not come to it by chance?"""
    if type(value) in TENSORS:
        return value.is_floating_point() and bool((value != value.round()).any())
    return (type(value) is float and not value.is_integer()) or any(is_measured(part) for part in parts_of(value) or ())


def is_wide(value: Any) -> bool:
    """Are there so many numbers in a tensor or list that all of them are not hit by chance?"""
    return (value.numel() if type(value) in TENSORS else len(value) if type(value) in (list, tuple) else 0) > 5


def differs(got: Any, right: Any, tol: float, atol: float, why: bool = False) -> str:
    """How ``got`` differs from ``right``, '' if it does not: the kind first, then shape, dtype, NaN and values.

    Measured numbers may be off by ``atol + tol * |right|``; whole numbers and truths may not. With ``tol`` infinite
    only kinds, shapes and lengths count. With ``why`` it also says what turns one into the other, where that is simple.
    """
    if why and (text := differs(got, right, tol, atol)) and (reason := turned(got, right, tol, atol)):
        return f"{text}; {reason}"
    if type(right) in TENSORS:
        return tensors_differ(got, right, tol, atol)
    if type(right) in NUMBERS:
        return numbers_differ(got, right, tol, atol)
    if type(right) in (list, tuple):
        if type(got) not in (list, tuple):
            alone = " (one number for all)" if type(got) in NUMBERS else ""
            return f"expected a {type(right).__name__} of {len(right)}, got {describe(got)}{alone}"
        if len(got) != len(right):
            return f"expected {len(right)} entries, got {len(got)}"
        found = (
            (place, differs(one, other, tol, atol, why))
            for place, (one, other) in enumerate(zip(got, right, strict=True))
        )
        return next((f"entry {place}: {text}" for place, text in found if text), "")
    if type(right) is dict:
        if type(got) is not dict:
            return f"expected a dict, got {describe(got)}"
        if got.keys() != right.keys():
            in_order = partial(sorted, key=lambda key: (len(str(key)), str(key)))  # 2 comes before 10
            return f"expected the keys {in_order(right)}, got {in_order(got)}"[:300]
        found = ((key, differs(got[key], right[key], tol, atol, why)) for key in right)
        return next((f"entry {key}: {text}" for key, text in found if text), "")
    if type(got) is not type(right) or (got != right and tol != math.inf):
        return f"expected {right!r}, got {describe(got)}"
    return ""


def tensors_differ(got: Any, right: Tensor, tol: float, atol: float) -> str:
    if type(got) in (list, tuple) and got and all(type(part) in TENSORS for part in got):
        way = "torch.stack makes one tensor of them" if len(got) > 1 else "take its entry 0"
        return f"expected one tensor, got a {type(got).__name__} of {len(got)} ({way})"
    if type(got) not in TENSORS:
        return f"expected {describe(right)}, got {describe(got)}"
    if got.shape != right.shape:
        few = "one number for all" if got.numel() == 1 else "an axis is missing" if got.ndim < right.ndim else ""
        word = few or ("an axis too many" if got.ndim > right.ndim else "")
        return f"expected shape {tuple(right.shape)}, got {tuple(got.shape)}" + (f" ({word})" if word else "")
    sort: Callable = lambda x: "bool" if x.dtype == torch.bool else x.is_floating_point() or x.is_complex()
    if sort(got) != sort(right):
        truths = " (truths are meant, as a comparison gives them)" if right.dtype == torch.bool else ""
        return f"expected dtype {str(right.dtype)[6:]}, got dtype {str(got.dtype)[6:]}{truths}"
    wide = torch.complex128 if got.is_complex() or right.is_complex() else torch.float64
    one, other = got.detach().to(wide), right.detach().to(wide)
    if one.isnan().any() and not other.isnan().any():
        return f"{int(one.isnan().sum())} of {one.numel()} values are NaN"
    slack = (tol, atol) if right.is_floating_point() or right.is_complex() else (0.0, 0.0)
    if tol == math.inf or torch.allclose(one, other, *slack, equal_nan=True):
        return ""
    off = (one - other).abs().nan_to_num(nan=math.inf)
    if not off.ndim:
        return f"expected {in_words(right.item())}, got {in_words(got.item())}"
    place = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
    wrong = int((~torch.isclose(one, other, *slack, equal_nan=True)).sum())
    return (
        f"the shape is right, but {wrong} of {off.numel()} values are off, the most at {list(place)}: "
        f"expected {in_words(right[place].item())}, got {in_words(got[place].item())}"
    )


def numbers_differ(got: Any, right: bool | int | float, tol: float, atol: float) -> str:
    if type(got) not in NUMBERS or (type(right) is bool) != (type(got) is bool):
        return f"expected {describe(right)}, got {describe(got)}"
    if got != got and right == right:  # not isnan, for which a whole number may be too large
        return f"expected {in_words(right)}, got NaN"
    counted = type(right) is not float
    near = got == right or (got != got and right != right)
    if near or tol == math.inf or (not counted and abs(got - right) <= atol + tol * abs(right) < math.inf):
        return ""
    return f"expected {in_words(right)}, got {in_words(got)}"


def in_words(value: Any) -> str:
    return f"{value:.4g}" if type(value) is float else str(value)


def turned(got: Any, right: Any, tol: float, atol: float) -> str:
    """The one simple change that makes ``got`` of ``right``, in words; '' if there is none, or too little to tell."""
    if type(right) in (*NUMBERS, str) and type(got) in (list, tuple):
        places = [place for place, part in enumerate(got) if not differs(part, right, tol, atol)]
        return f"its entry {places[0]} is right: return that alone" if places else ""
    if type(right) is tuple and len(right) > 1 and type(got) in (list, tuple) and len(got) == len(right):
        fits = lambda order: not any(differs(got[i], right[j], tol, atol) for i, j in enumerate(order))
        orders = [order for order in permutations(range(len(right))) if len(right) < 5 and fits(order)]
        if orders:
            return f"these are the right things in another order: entry 0 belongs at {orders[0][0]}"
    elif type(right) is tuple and len(right) > 1:
        places = [place for place, part in enumerate(right) if not differs(like(got, part)[0], part, tol, atol)]
        return f"this is entry {places[0]} alone: return all {len(right)}" if len(places) == 1 else ""
    one, other = as_tensor(got), as_tensor(right)
    if one is None or other is None or tol == math.inf or other.numel() < 2:
        return ""
    fits = lambda value: value.shape == one.shape and torch.allclose(one, value, tol, atol)
    if one.shape != other.shape and one.numel() == other.numel() and fits(other.reshape(one.shape)):
        return "the values are right, but not their shape"
    spread = lambda value: value.numel() == 1 or value.max() - value.min() > 4 * (atol + tol * value.abs().max())
    if other.numel() < 3 or not spread(other):  # of equal numbers much is true by chance
        return ""
    return next((text for text, value in changes(other, one) if fits(value) and spread(value)), "")


def as_tensor(value: Any) -> Tensor | None:
    """A tensor of measured numbers, or a list of numbers as one, in double precision; None for what is neither."""
    if type(value) in TENSORS:
        return None if value.is_complex() else value.detach().double()
    return torch.tensor(flat, dtype=torch.double) if type(flat := numbers(value)) is list else None


# What is often made of right values by mistake: of each, and of those along an axis (of truths only the first three).
EACH: dict[str, Callable] = {
    "with the other sign": torch.neg, "without their signs": torch.abs, "squared": torch.square,
    "as roots": lambda x: x.abs().sqrt(), "as one over each": torch.reciprocal, "taken away from 1": lambda x: 1 - x,
    "as logarithms": torch.log, "as exp of each": torch.exp, "rounded": torch.round, "with 0 for all below": torch.relu,
    "divided by the largest of them": lambda x: x / x.max(), "divided by their sum": lambda x: x / x.sum(),
    "divided by the length of them all": lambda x: x / x.norm(),
}  # fmt: skip
ALONG: dict[str, Callable] = {
    "in reverse order": lambda x, axis: x.flip(axis), "moved on by a place": lambda x, axis: x.roll(1, axis),
    "moved back by a place": lambda x, axis: x.roll(-1, axis), "added up": torch.cumsum,
    "as means so far": lambda x, axis: x.cumsum(axis) / x.new_ones(x.shape).cumsum(axis),
    "as the largest so far": lambda x, axis: x.cummax(axis).values,
    "in order of size": lambda x, axis: x.sort(axis).values, "less their mean": lambda x, axis: x - x.mean(axis, True),
    "divided by their sum": lambda x, axis: x / x.sum(axis, True), "as a softmax": torch.softmax,
    "divided by their length": lambda x, axis: x / x.norm(dim=axis, keepdim=True),
    "with their mean for all": lambda x, axis: x.mean(axis, True).expand_as(x),
    "with the first for all": lambda x, axis: x.narrow(axis, 0, 1).expand_as(x),
    "with the last for all": lambda x, axis: x.narrow(axis, -1, 1).expand_as(x),
}  # fmt: skip


def changes(right: Tensor, got: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What is often made of ``right`` by mistake, with its name; fewer where more would fit by chance."""
    along = [f" along axis {axis}" if right.ndim > 1 else "" for axis in range(right.ndim)]
    truths = bool(((right == 0) | (right == 1)).all())
    for axis, size in enumerate(right.shape if got.ndim == right.ndim else ()):
        of, kept = along[axis], got.shape[axis]
        if 0 < kept < size:
            yield f"the last {size - kept} of {size}{of} are missing", right.narrow(axis, 0, kept)
            yield f"the first {size - kept} of {size}{of} are missing", right.narrow(axis, size - kept, kept)
        if kept > size and got.narrow(axis, 0, size).shape == right.shape:
            more = got.narrow(axis, size, kept - size)
            yield f"{kept - size}{of} are too many, behind the right ones", torch.cat([right, more], axis)
        for words, change in list(ALONG.items())[: 3 if truths else None]:
            yield f"these are the right values {words}{of}", change(right, axis)
    if truths:
        yield "this is the opposite everywhere", 1 - right
        return
    if got.shape == right.shape:
        yield from of_each(right, got)
    for axis, of in enumerate(along if len(right.unique()) == right.numel() else ()):  # else too much looks alike
        for other in range(axis):
            yield f"axes {other} and {axis} have changed places", right.transpose(other, axis)
        yield f"this is the sum of the right values{of}", right.sum(axis)
        yield f"this is the mean of the right values{of}", right.mean(axis)
        yield f"these are the first of the right values alone{of}", right.select(axis, 0)
        yield f"these are the last of the right values alone{of}", right.select(axis, -1)


def of_each(right: Tensor, got: Tensor) -> Iterator[tuple[str, Tensor]]:
    for words, change in EACH.items():
        yield f"these are the right values {words}", change(right)
    factor, shift = float((got * right).sum() / right.square().sum()), float((got - right).mean())
    yield f"every value is {factor:.4g} times the right one", factor * right
    yield f"every value is the right one and {shift:.4g}", right + shift


def in_columns(pairs: list[tuple[Any, Any]], tol: float, atol: float) -> str:
    """What makes single numbers, or the first wrong entry of tuples of them, of the right ones, seen over all cases."""
    rows = [tuple(part if type(part) in (list, tuple) else [part] for part in pair) for pair in pairs]
    lengths = {len(side) for row in rows for side in row}
    if len(rows) < 3 or len(lengths) > 1 or any(type(p) not in NUMBERS for row in rows for side in row for p in side):
        return ""
    for place in range(*lengths):
        got, right = (torch.tensor([row[side][place] for row in rows], dtype=torch.double) for side in (0, 1))
        fits = partial(torch.allclose, got, rtol=tol, atol=atol)
        if not fits(right):
            entry = f"; entry {place}: " if lengths != {1} else "; "
            found = next((words for words, value in of_each(right, got) if fits(value)), "")
            return entry + found if found and is_measured(right) else ""
    return ""
