"""What every function here asks of states, maps and settings. Each check fails with one sentence (ValueError)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks import memory

Map = Callable[[Tensor], Tensor]


def flat(z: Tensor) -> Tensor:
    """Each state as one vector: (batch, ...) -> (batch, numbers)."""
    if z.dim() == 0:
        raise ValueError("a state must have a batch dimension: expected (batch, ...), got a single number")
    return z.flatten(1) if z.dim() > 1 else z[:, None]


def lengths(z: Tensor) -> Tensor:
    """Euclidean length of each state of a batch: (batch, ...) -> (batch,). At least in single precision."""
    return flat(z).norm(dim=1, dtype=torch.promote_types(z.dtype, torch.float32))


def check_tensor(z: Any, name: str = "z", real: bool = False, finite: bool = False) -> None:
    """A tensor of floating-point numbers without NaN; if asked, neither complex nor infinite."""
    if not isinstance(z, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(z).__name__}: torch.as_tensor makes one of numbers")
    if not (z.is_floating_point() or (z.is_complex() and not real)):
        raise ValueError(f"{name} must hold {'real ' if real else ''}floating-point numbers, got {z.dtype}")
    if z.isnan().any():
        raise ValueError(f"{name} holds NaN, at index {z.isnan().nonzero()[0].tolist()}")
    if finite and not z.isfinite().all():
        raise ValueError(f"{name} must be finite, got infinity at index {(~z.isfinite()).nonzero()[0].tolist()}")


def check_state(z: Any, name: str = "z", real: bool = False, finite: bool = False) -> None:
    """As `check_tensor`, and (batch, ...) with one number or more in each state. The batch may be empty."""
    check_tensor(z, name, real, finite)
    if z.dim() == 0 or 0 in z.shape[1:]:
        what = "a single number" if z.dim() == 0 else f"shape {tuple(z.shape)}, a state without numbers"
        raise ValueError(f"{name} must have a batch dimension and numbers: expected (batch, ...), got {what}")


def check_number(value: Any, name: str, zero: bool = False) -> float:
    """A positive and finite number (with ``zero`` also 0), as a Python float."""
    try:
        number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = math.nan
    if not (number > 0 or (zero and number == 0)):
        raise ValueError(f"{name} must {'not be negative' if zero else 'be positive'}, got {value!s:.60}")
    if number == math.inf:
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def check_memory(numbers: int, like: Tensor, what: str) -> None:
    """ValueError with the size that ``numbers`` numbers of the type of ``like`` take, if the device has less memory."""
    there = torch.cuda.mem_get_info(like.device)[1] if like.is_cuda else memory()
    if (size := numbers * like.element_size()) > there:
        raise ValueError(f"{what} would take {size / 2**30:,.1f} GiB, and there are {there / 2**30:,.1f} GiB of memory")


def apply(f: Map, z: Tensor) -> Tensor:
    """``f(z)``, once it is sure that ``f`` gave back a tensor like ``z`` and left ``z`` as it was."""
    if not callable(f):
        raise ValueError(f"a map must be a function of the state, got {type(f).__name__}")
    version = None if z.is_inference() else z._version
    after = f(z)
    if not isinstance(after, Tensor):
        raise ValueError(f"the map returned {type(after).__name__}, expected a tensor of shape {tuple(z.shape)}")
    if after.shape != z.shape:
        raise ValueError(f"the map returned shape {tuple(after.shape)} for a state of shape {tuple(z.shape)}")
    if after.device != z.device or after.dtype != z.dtype:
        raise ValueError(
            f"the map returned {after.dtype} on {after.device} for a state in {z.dtype} on {z.device}: must be equal"
        )
    if version is not None and z._version != version:
        raise ValueError("the map changed its state in place: expected a new tensor")
    return after


def refuse_nan(norms: Tensor, first: Tensor) -> None:
    """ValueError if a finite state (length in ``first`` or ``norms``) was mapped to NaN. Overflow is no error."""
    broke = norms.isnan() & torch.cat([first[None], norms[:-1]]).isfinite()
    if broke.any():
        loop, instance = broke.nonzero()[0].tolist()
        raise ValueError(f"the map returned NaN for a finite state at loop {loop + 1} (instance {instance})")
