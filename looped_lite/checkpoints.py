"""Files that hold tensors and what must be known about them: written whole or not at all, read without pickle, checked,
refused with a reason.

A file is safetensors. Its header holds ``facts`` (JSON: the card of a model, the state of a training run) and a
checksum over facts and tensors together, so that no half of it can be damaged or replaced without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write ``data`` so that a crash, a full disk or a read-only folder leaves the old file as it was.

    All bytes are on the disk under a temporary name before the file gets its own; temporary files that a killed writer
    left behind are cleared. Raises OSError, naming the file, when it cannot be written.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_left_over(path)
        with temporary_file(path, delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"cannot save {path}: {error.strerror or error} (the file there, if any, is unchanged)"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):  # after a failure or a Ctrl-C; nothing is left after a success
            os.unlink(temporary)


def temporary_file(path: Path, delete: bool) -> Any:
    """An open file beside ``path`` whose name says for whom it is and who writes it, should the writer be killed."""
    prefix = f".{path.name}.{os.getpid()}."
    return tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=".tmp", delete=delete)


def clear_left_over(path: Path) -> None:
    """Remove the temporary files of ``path`` whose writers are no longer alive."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        writer = re.fullmatch(r"\.(\d+)\..*\.tmp", left.name[len(path.name) + 1 :])
        if writer and not alive(int(writer[1])):
            left.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Is there a process with this number?"""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def check_writable(path: str | Path) -> None:
    """OSError, before any work is done for it, if nothing can be written at ``path``."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder, expected the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path, delete=True):
            pass
    except OSError as error:
        raise OSError(f"cannot save {path}: {error.strerror or error}") from error


def checksum(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    """SHA-256 over facts and tensors: names, dtypes, shapes and every bit."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tensors(path: str | Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """Save named ``tensors``, and ``facts`` (anything JSON holds) in the header, at ``path``, whole or not at all."""
    tensors = {name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()}
    facts = json.loads(json.dumps(facts or {}), parse_constant=lambda name: None)  # JSON has no nan: null
    data = save(tensors, metadata={"facts": json.dumps(facts), "sha256": checksum(tensors, facts)})
    write_atomic(path, in_order(data))


def in_order(data: bytes) -> bytes:
    """The same file with its header sorted: the library's order varies, and equal content is to be an equal file."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + data[end:]


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: ``(tensors, facts)``.

    Raises FileNotFoundError for a missing file, ValueError for one that is truncated, damaged, changed or of another
    format.
    """
    path = Path(path)
    if not os.path.isfile(path):  # False, too, for a name that no file can have
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        facts, saved = json.loads(header["facts"]), header["sha256"]
        if not isinstance(facts, dict):
            raise TypeError(f"facts are {type(facts).__name__}, expected an object")
        found = checksum(tensors, facts)
    except KeyError as error:
        raise ValueError(f"{path} lacks {error} in its header: expected a file saved by looped_lite") from error
    except (SafetensorError, ValueError, TypeError, RecursionError, OSError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"{path} is not a whole safetensors file ({reason}): expected one saved here") from error
    if found != saved:
        raise ValueError(f"{path} does not match its own checksum: it was damaged or changed after it was saved")
    return tensors, facts


def load_into(module: Any, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Copy ``tensors`` into ``module``. ValueError names one that is missing, unexpected, misshapen or not finite."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(f"{path} is for another model: it lacks {name} {tuple(own[name].shape)}")
        if name not in own:
            raise ValueError(f"{path} is for another model: this one has no {name} {tuple(tensors[name].shape)}")
        if own[name].shape != tensors[name].shape:
            raise ValueError(
                f"{path} is for another model: {name} is {tuple(tensors[name].shape)} there, {tuple(own[name].shape)} "
                "here"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"{path}: {name} holds values that are not finite, expected trained weights")
    module.load_state_dict(tensors)
