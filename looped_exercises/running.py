"""Call an answer on a case, in the learner's notebook or in a worker that holds no reference answers."""

from __future__ import annotations

import builtins
import contextlib
import difflib
import inspect
import io
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from .plain import TENSORS, Case, Outcome, make, same, tidy

STUB = "your turn"
SEED = 27_182  # no seed that an answer would use itself


def run(answer: Callable, case: Case, things: Mapping[str, Callable] = {}, ask: Callable | None = None) -> Outcome:
    """Call ``answer`` with copies of the case's arguments, or hand both to ``ask``; what came of it is plain data.

    Random numbers begin the same for every call and are afterwards as they were, like the gradient mode and the
    default dtype.
    """
    arguments, options = make(case.arguments, things), make(case.options, things)
    given = {**dict(enumerate(arguments)), **options}
    before = {**dict(enumerate(case.arguments)), **case.options}
    states = {name: thing.get_state() for name, thing in given.items() if isinstance(thing, torch.Generator)}
    gradients, outcome, said = {name: graded(thing) for name, thing in given.items()}, Outcome(), io.StringIO()
    with as_it_was(), contextlib.redirect_stdout(said):
        try:
            if not ask and not fits(answer, arguments, options):
                words = [f"{len(arguments)} arguments", *(f"{name}=..." for name in options)]
                takes = f"your function takes {inspect.signature(answer)}, and is called with {', '.join(words)}"
                return Outcome(error=takes, stopped="signature")
            value = ask(answer, *arguments, **options) if ask else answer(*arguments, **options)
            outcome.value = cut(tidy(value))
        except Exception as error:
            # PyTorch raises NotImplementedError too, say for a product of boolean matrices: only the stub's own counts
            stub = isinstance(error, NotImplementedError) and str(error) in ("", STUB)
            outcome.error, outcome.stopped = STUB if stub else stopped(error, answer), type(error).__name__
    outcome.changed = [name for name in before if not same(before[name], given[name])]
    outcome.graded = [name for name, thing in given.items() if graded(thing) != gradients[name]]
    outcome.calls = {name: thing.calls for name, thing in given.items() if type(getattr(thing, "calls", None)) is int}
    outcome.calls |= {name: int(not torch.equal(state, given[name].get_state())) for name, state in states.items()}
    outcome.printed = bool(said.getvalue())
    print(said.getvalue()[:2000], end="")  # a learner who looks for a mistake prints
    return outcome


def graded(thing: Any) -> list:
    """Whether gradients are switched on and filled in, for a tensor or the parameters of a model."""
    parts = [thing] if type(thing) in TENSORS else thing.parameters() if isinstance(thing, torch.nn.Module) else ()
    return [(part.requires_grad, part.grad is None) for part in parts]


def cut(value: Any) -> Any:
    """Plain data without its gradients: a copy, so that what happens to the original later does not matter."""
    return make(value, {})


def fits(answer: Callable, arguments: tuple, options: dict) -> bool:
    """Can ``answer`` be called like this, as far as can be told before?"""
    try:
        inspect.signature(answer).bind(*arguments, **options)
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Seeded random numbers inside; afterwards they, the gradient mode and the default dtype are what they were."""
    grad, dtype, states = torch.is_grad_enabled(), torch.get_default_dtype(), (random.getstate(), np.random.get_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        random.seed(SEED)
        np.random.seed(SEED)
        try:
            yield
        finally:
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            random.setstate(states[0])
            np.random.set_state(states[1])


def stopped(error: Exception, answer: Callable) -> str:
    """An exception as a sentence, with the learner's line it came from, its number counted in the cell."""
    code = getattr(answer, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    place = f" in line {lines[-1].lineno} of your cell ({lines[-1].line})" if lines else ""
    reason = (str(error).strip().splitlines() or ["no message"])[0]  # PyTorch's reasons can run over many lines
    if type(error) is NameError and code is not None and lines:
        known = [*code.co_varnames, *dir(builtins), *getattr(answer, "__globals__", {})]
        close = difflib.get_close_matches(str(error.name), known, 1, 0.8)
        if close:
            return f"there is no {error.name!r}{place}: is {close[0]!r} meant?"
        return (
            f"nothing has the name {error.name!r} yet{place}: if a cell above makes it, run the cells above again, "
            "since a restarted kernel has forgotten them"
        )
    return f"your function stopped with {type(error).__name__}{place}: {reason}"
