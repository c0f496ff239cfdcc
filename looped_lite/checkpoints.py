"""Files that hold tensors: written whole or not at all, read without pickle, refused with a reason when they are damaged."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


def write_together(files: dict[Path, bytes]) -> None:
    """Write ``files`` so that a crash, a full disk or a read-only folder leaves the old ones as they were.

    All bytes are on the disk under temporary names before the first file gets its own. Raises OSError, naming the file,
    when one cannot be written.
    """
    temporary: dict[Path, str] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                temporary[path] = file.name
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary[path], 0o644)
        for path in files:
            os.replace(temporary[path], path)
    except OSError as error:
        raise OSError(
            f"cannot save {path}: {error.strerror or error} (the file there, if any, is unchanged)"
        ) from error
    finally:
        for name in temporary.values():  # after a failure or a Ctrl-C; nothing is left of them after a success
            if os.path.exists(name):
                os.unlink(name)


def write_atomic(path: str | Path, data: bytes) -> None:
    """`write_together` for one file."""
    write_together({Path(path): data})


def pack(tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> bytes:
    """Named tensors, and ``facts`` (anything JSON can hold) in the header, as the bytes of one safetensors file."""
    tensors = {name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}
    return save(tensors, metadata={"facts": json.dumps(facts or {})})


def save_tensors(path: str | Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """Save what `pack` packs at ``path``, whole or not at all."""
    write_atomic(path, pack(tensors, facts))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: ``(tensors, facts)``.

    Raises FileNotFoundError for a missing file, ValueError for one that is truncated, damaged or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads((file.metadata() or {}).get("facts", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a whole safetensors checkpoint ({error}): expected one saved here") from error


def load_into(module: Any, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Copy ``tensors`` into ``module``; ValueError names the first parameter that is missing, unexpected or of another shape."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(f"{path} is for another model: it lacks {name} {tuple(own[name].shape)}")
        if name not in own:
            raise ValueError(f"{path} is for another model: this one has no {name} {tuple(tensors[name].shape)}")
        if own[name].shape != tensors[name].shape:
            raise ValueError(
                f"{path} is for another model: {name} is {tuple(tensors[name].shape)} there, {tuple(own[name].shape)} here"
            )
    module.load_state_dict(tensors)
