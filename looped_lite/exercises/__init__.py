"""Exercises that check themselves where they are written.

A lesson decorates the learner's function with an exercise of its module, say ``@ex.rms_norm``. The check runs at once and
prints what it found. A right answer is what the rest of the lesson uses; for a wrong or missing one the lesson goes on with
the course's own version, and says so. Nothing is stored, nothing is sent, and no file name matters.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn


class Mistake(Exception):
    """What is wrong with an answer, said so that the learner can mend it."""


class Exercise:
    """One exercise: its number, its title, the course's own answer, and a check that raises `Mistake`.

    Used as a decorator it returns the learner's function if that is right and ``reference`` otherwise. ``state`` is
    "not tried", "unsolved", "wrong" or "solved".
    """

    def __init__(
        self, number: str, title: str, reference: Callable, check: Callable[[Callable], None], seen: str = ""
    ) -> None:
        self.number, self.title, self.reference, self.check, self.seen = number, title, reference, check, seen
        self.state = "not tried"

    def __call__(self, answer: Callable) -> Callable:
        name = f"Exercise {self.number} ({self.title})"
        try:
            self.verify(answer)
        except NotImplementedError:
            self.state = "unsolved"
            print(f"{name}: not solved yet. The lesson goes on with the course's own version.")
            return self.reference
        except Mistake as mistake:
            self.state = "wrong"
            print(
                f"{name}: not right yet.\n  {mistake}\nUntil it is, the lesson goes on with the course's own version."
            )
            return self.reference
        self.state = "solved"
        print(f"{name}: right. {self.seen}".rstrip() + "\nThe rest of the lesson uses your version.")
        return answer

    def verify(self, answer: Callable) -> None:
        """Run the check. Raises `Mistake` if ``answer`` is wrong, NotImplementedError if it is still the stub."""
        if not callable(answer):
            raise Mistake(f"expected a function, got {describe(answer)}")
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.check(answer)
        except Mistake:
            raise
        except Exception as error:
            # PyTorch raises NotImplementedError too, say for a product of boolean matrices: only the stub's own counts
            if isinstance(error, NotImplementedError) and str(error) in ("", "your turn"):
                raise
            raise Mistake(where(error, answer)) from error


def where(error: Exception, answer: Callable) -> str:
    """An exception as one sentence, with the learner's line it came from."""
    code = getattr(answer, "__code__", None)
    lines = [
        f for f in traceback.extract_tb(error.__traceback__) if code is not None and f.filename == code.co_filename
    ]
    place = f" in line {lines[-1].lineno - code.co_firstlineno + 1} of your cell ({lines[-1].line})" if lines else ""
    reason = (str(error).strip().splitlines() or ["no message"])[0]  # PyTorch's reasons can run over many lines
    return f"your function stopped with {type(error).__name__}{place}: {reason}"


def describe(value: Any) -> str:
    """A short description of any value, for messages."""
    if type(value) in (Tensor, nn.Parameter):
        return f"a tensor of shape {tuple(value.shape)} and dtype {str(value.dtype).removeprefix('torch.')}"
    if value is None:
        return "None (is there a return?)"
    text = repr(value) if type(value) in (int, float, bool, str, list, tuple, dict) else ""
    return f"{type(value).__name__} {text}".strip() if len(text) < 60 else type(value).__name__


def expect(
    got: Any,
    right: Any,
    what: str,
    mistakes: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    tol: float = 1e-4,
) -> None:
    """Raise `Mistake` unless ``got`` is ``right``: the type first, then shape, dtype, NaN and values.

    ``right`` is a tensor, a number, a bool, a string, None, or a list, tuple or dict of these. Numbers may be Python's, or
    tensors of one element; lists and tuples are the same thing here. ``mistakes`` gives well-known wrong answers by the
    sentence that names the mistake; one that fits is said instead of "off by ...". Only exact types are looked at, so an
    object with an ``__eq__`` of its own proves nothing.
    """
    try:
        compare(got, right, what, tol)
    except Mistake:
        for sentence, wrong in mistakes.items() if isinstance(mistakes, Mapping) else mistakes:
            try:
                compare(got, wrong, what, tol)
            except Mistake:
                continue
            raise Mistake(f"{what}: {sentence}.") from None
        raise


def compare(got: Any, right: Any, what: str, tol: float) -> None:
    """`expect` without the list of mistakes."""
    if isinstance(right, Tensor):
        compare_tensors(got, right, what, tol)
    elif type(right) in (bool, int, float):
        compare_numbers(got, right, what, tol)
    elif type(right) in (list, tuple):
        if type(got) is Tensor and got.ndim > 0:
            got = list(got.unbind())
        if type(got) not in (list, tuple):
            raise Mistake(f"{what}: expected a {type(right).__name__} of {len(right)}, got {describe(got)}.")
        if len(got) != len(right):
            raise Mistake(f"{what}: expected {len(right)} entries, got {len(got)}.")
        for place, (one, other) in enumerate(zip(got, right, strict=True)):
            compare(one, other, f"{what}, entry {place}", tol)
    elif type(right) is dict:
        if type(got) is not dict:
            raise Mistake(f"{what}: expected a dict, got {describe(got)}.")
        if got.keys() != right.keys():
            raise Mistake(f"{what}: expected the keys {sorted(right, key=str)}, got {sorted(got, key=str)}.")
        for key in right:
            compare(got[key], right[key], f"{what}, {key}", tol)
    elif type(got) is not type(right) or got != right:
        raise Mistake(f"{what}: expected {right!r}, got {describe(got)}.")


def compare_tensors(got: Any, right: Tensor, what: str, tol: float) -> None:
    if type(got) not in (Tensor, nn.Parameter):
        raise Mistake(f"{what}: expected {describe(right)}, got {describe(got)}.")
    if got.shape != right.shape:
        raise Mistake(f"{what}: expected shape {tuple(right.shape)}, got {tuple(got.shape)}.")
    if got.dtype.is_floating_point != right.dtype.is_floating_point or (got.dtype == torch.bool) != (
        right.dtype == torch.bool
    ):
        raise Mistake(f"{what}: expected {describe(right)}, got {describe(got)}.")
    got, right = got.detach().double(), right.detach().double()
    if got.isnan().any() and not right.isnan().any():
        raise Mistake(f"{what}: {int(got.isnan().sum())} of {got.numel()} values are NaN.")
    if not torch.allclose(got, right, rtol=tol, atol=tol, equal_nan=True):
        off = (got - right).abs().nan_to_num(nan=math.inf)
        place = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape)) if off.ndim else ()
        raise Mistake(
            f"{what}: the shape is right, but {int((off > tol).sum())} of {off.numel()} values are off, the most at "
            f"{list(place)}: expected {float(right[place]):.4g}, got {float(got[place]):.4g}."
        )


def compare_numbers(got: Any, right: bool | int | float, what: str, tol: float) -> None:
    if type(got) in (Tensor, nn.Parameter) and got.numel() == 1:
        got = got.item()
    if type(got).__module__ == "numpy" and hasattr(got, "item") and getattr(got, "size", 1) == 1:
        got = got.item()
    if type(got) not in (bool, int, float):
        raise Mistake(f"{what}: expected {describe(right)}, got {describe(got)}.")
    if (type(right) is bool) != (type(got) is bool):
        raise Mistake(f"{what}: expected {describe(right)}, got {describe(got)}.")
    if math.isnan(got) and not math.isnan(right):
        raise Mistake(f"{what}: expected {right:.6g}, got NaN.")
    counted = type(got) is int and type(right) is int  # counts are right or wrong; only measurements have a tolerance
    if not (got == right or (not counted and math.isclose(got, right, rel_tol=tol, abs_tol=tol))):
        raise Mistake(f"{what}: expected {right:.6g}, got {got:.6g}.")


def unchanged(before: Tensor, after: Tensor, what: str) -> None:
    """Raise `Mistake` if a function has changed its input in place."""
    if not torch.equal(before, after):
        raise Mistake(f"{what} was changed in place: make a new tensor instead, the caller still needs the old one.")


def report(lesson: ModuleType) -> None:
    """Print how the exercises of a lesson module stand, and what to do about the open ones."""
    exercises = [value for value in vars(lesson).values() if isinstance(value, Exercise)]
    exercises.sort(key=lambda exercise: [int(part) for part in exercise.number.split(".")])
    for exercise in exercises:
        print(f"{exercise.number}  {exercise.state:9}  {exercise.title}")
    solved = sum(exercise.state == "solved" for exercise in exercises)
    print(f"{solved} of {len(exercises)} solved.")
