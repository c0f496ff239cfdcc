"""Starts `worker` where it can do no harm and see no answer, and speaks with it in plain data.

Three ways, the best that the system offers:

- ``bubblewrap``: own namespaces for everything, so no network and no other process; of the disk only the system,
  Python, and the package as the assignment allows it, all read-only; an empty folder of a few megabytes; no
  environment.
- ``namespaces``: the same with the kernel's user namespaces and util-linux alone.
- ``limits``: only limits on time, memory, files, and system calls (no new process, no signal to another, no network).
  Files that you can read, a submission can read, the course's answers and other submissions among them, and files
  that you can change it can change. For your own tests of an assignment; never for a class.

Within each the worker limits its own memory, CPU time, file size, and system calls before it reads the submission.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from looped_exercises.plain import dump, undump

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
WAYS = ("bubblewrap", "namespaces", "limits")
PROTECTION = {
    "bubblewrap": "Submissions ran under bubblewrap: no network, no other process, and of the disk only Python and the "
    "package without "
    "its answers.",
    "namespaces": "Submissions ran in user namespaces: no network, no other process, and of the disk only Python and "
    "the package without "
    "its answers.",
    "limits": "Submissions ran under limits on time, memory, files and system calls only. Not protected: files of the "
    "person who graded, "
    "the course's answers and other submissions among them, could be read and changed.",
}
INSIDE = "/course"  # where the package lies in the worker's world
COVERED = ("looped_lite", "looped_exercises", "coursework")  # installed copies that the worker must not see


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Seconds are of CPU; ``wait`` is the longest that anybody waits for one step, asleep
    or not."""

    seconds: int = 10  # one cell, or one function on all its cases
    seconds_in_all: int = 60
    wait: int = 40
    memory: int = 3 << 30
    file_bytes: int = 1 << 20
    folder_bytes: int = 16 << 20
    reply_bytes: int = 16 << 20


class Stopped(Exception):
    """The worker is gone: ``reason`` is "time", "output", "ended", "signal" or "garbled"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- the package as the assignment allows it ---


def prepare(folder: Path, closed: tuple[str, ...]) -> None:
    """Copy `looped_lite` into ``folder`` without the functions named in ``closed``, and without exercises and data;
    and the worker.

    The body of a closed function is replaced in the copy's source by a line that raises: its code is nowhere in the
    worker's world. ValueError if the package has no function of that name.
    """
    missing = set(closed)
    for path in sorted((CHECKOUT / "looped_lite").rglob("*.py")):
        inner = path.relative_to(CHECKOUT)
        if "exercises" in inner.parts:
            continue
        target = folder / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in closed]
        for node in found:
            node.body = ast.parse(
                f"raise RuntimeError('{node.name} of the course is not there while you are graded: write it yourself')"
            ).body
        missing -= {node.name for node in found}
        target.write_text(ast.unparse(tree) if found else path.read_text(encoding="utf-8"), encoding="utf-8")
    if missing:
        raise ValueError(f"looped_lite has no function {', '.join(sorted(missing))}: expected one to close")
    inner = folder / "looped_exercises"  # how cases and answers travel, and how an answer is called; no exercise
    inner.mkdir()
    (inner / "__init__.py").touch()
    for name in ("plain.py", "running.py"):
        shutil.copyfile(CHECKOUT / "looped_exercises" / name, inner / name)
    for name in ("worker.py", "things.py"):
        shutil.copyfile(HERE / name, folder / name)


# --- ways to lock the worker up ---


@cache
def available(way: str) -> bool:
    """Does this way work here? Tried once, with a program that does nothing."""
    if sys.platform != "linux":
        return way == "limits" and os.name == "posix"
    if way == "bubblewrap":
        return shutil.which("bwrap") is not None and succeeds([*bubblewrap({}, Limits()), "/usr/bin/env", "true"])
    if way == "namespaces":
        tools = all(shutil.which(tool) for tool in ("unshare", "setpriv", "mount", "pivot_root"))
        return tools and succeeds(["unshare", *UNSHARE, "sh", "-c", "mount -t tmpfs none /mnt"])
    return True


def succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def choose(wanted: str = "auto") -> str:
    """The best way that works here, or the wanted one. ValueError says what to do where neither of the safe ones
    works."""
    if wanted not in ("auto", *WAYS):
        raise ValueError(f"no isolation is called {wanted!r}: expected auto, {', '.join(WAYS)}")
    ways = WAYS[:2] if wanted == "auto" else (wanted,)
    for way in ways:
        if available(way):
            if way == "limits" and hasattr(os, "geteuid") and os.geteuid() == 0:
                raise ValueError("isolation 'limits' as the system's root protects nothing: expected another user")
            return way
    raise ValueError(
        f"isolation {wanted!r} does not work here: install bubblewrap, or grade in the container of INSTRUCTORS.md "
        "(--isolation limits would let a submission read your files)"
    )


def folders() -> list[Path]:
    """What Python needs of the disk, besides the system's /usr: its installation, its environment, and PyTorch's
    folder."""
    import numpy
    import safetensors
    import torch

    wanted = [sys.base_prefix, sys.prefix, *(Path(m.__file__).parents[1] for m in (torch, numpy, safetensors))]
    found: list[Path] = []
    for path in sorted({Path(p).resolve() for p in wanted}, key=lambda p: len(p.parts)):
        if not any(path.is_relative_to(other) for other in [Path("/usr"), *found]):
            found.append(path)
    return found


def hidden(extra: tuple[Path, ...] = ()) -> list[Path]:
    """Folders below those of `folders` or /usr that the worker must not see: this checkout, installed copies, and
    ``extra``."""
    places = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")} | {p for p in sys.path if "-packages" in p}
    copies = [Path(place) / name for place in places for name in COVERED]
    roots = [Path("/usr"), *folders()]
    wanted = {p.resolve() for p in (CHECKOUT, *copies, *extra) if p.is_dir()}
    return sorted(p for p in wanted if any(p.is_relative_to(root) for root in roots))


def bubblewrap(shown: dict[str, str], limits: Limits, covered: tuple[Path, ...] = ()) -> list[str]:
    """The command before the worker's own. ``shown``: folders here to where they appear."""
    size = ["--size", str(limits.folder_bytes)]
    command = [
        "bwrap",
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--hostname", "worker"]
    # before the folders that are shown: one of them may lie in /tmp
    command += [*size, "--tmpfs", "/tmp", "--dir", "/tmp/empty"]
    binds = {Path("/usr"): ["--ro-bind", "/usr", "/usr"]}
    binds |= {path: ["--ro-bind", str(path), str(path)] for path in folders()}
    binds |= {path: ["--size", "4096", "--tmpfs", str(path)] for path in covered}
    for path in sorted(binds, key=lambda p: len(p.parts)):
        command += binds[path]
    for name in ("bin", "sbin", "lib", "lib64", "lib32"):
        path = Path("/", name)
        command += ["--symlink", os.readlink(path), str(path)] if path.is_symlink() else []
        command += ["--ro-bind", str(path), str(path)] if path.is_dir() and not path.is_symlink() else []
    for name in ("/etc/ld.so.cache", "/etc/alternatives"):
        command += ["--ro-bind-try", name, name]
    command += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--chdir",
        "/tmp/empty",
    ]
    command += ["--size", "4096", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    for here, there in shown.items():
        command += ["--ro-bind", here, there]
    for name, value in environment("/tmp/empty").items():
        command += ["--setenv", name, value]
    return [*command, "--remount-ro", "/", "--"]


def environment(home: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
    }


UNSHARE = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
# $1: an empty folder that becomes the root, $2: bytes for it; then pairs of folders (an empty first one: cover the
# second); then --
NAMESPACES = r"""
set -e
root=$1; size=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o "size=$size,mode=755" none "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    if [ -n "$1" ]; then mount --rbind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"
    else mount -t tmpfs -o size=4096,ro none "$root$2"; fi
    shift 2
done
shift
for name in bin sbin lib lib64 lib32; do [ -L "/$name" ] && cp -P "/$name" "$root/$name"; done
mkdir -p "$root/proc" "$root/dev" "$root/tmp/empty" "$root/old"
mount -t proc proc "$root/proc"
for name in null zero urandom random; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
cd "$root"
pivot_root . old
umount -l /old
cd /tmp/empty
exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs "$@"
"""


def namespaces(shown: dict[str, str], limits: Limits, root: str, covered: tuple[Path, ...] = ()) -> list[str]:
    """What `bubblewrap` does, by util-linux."""
    binds = {Path("/usr"): "/usr"} | {path: str(path) for path in folders()} | {path: "" for path in covered}
    binds |= {Path("/", name): f"/{name}" for name in ("bin", "sbin", "lib", "lib64") if real_folder(f"/{name}")}
    pairs = [text for path in sorted(binds, key=lambda p: len(p.parts)) for text in (binds[path], str(path))]
    pairs += [text for here, there in shown.items() for text in (here, there)]
    clean = ["env", "-i", *(f"{name}={value}" for name, value in environment("/tmp/empty").items())]
    script = ["sh", "-c", NAMESPACES, "sh", root, str(limits.folder_bytes)]
    return ["unshare", *UNSHARE, *script, *pairs, "--", *clean]


def real_folder(name: str) -> bool:
    return os.path.isdir(name) and not os.path.islink(name)


# --- speaking with it ---


class Sandbox:
    """A worker that runs; ``ask`` sends it a request and returns its reply. Use it as a context manager."""

    def __init__(self, way: str, package: Path, limits: Limits, covered: tuple[Path, ...] = ()) -> None:
        self.limits = limits
        self.scratch = tempfile.mkdtemp(prefix="worker-")
        shown = {str(package): INSIDE}
        inside = str(package) if way == "limits" else INSIDE
        theirs_in, self.to = os.pipe()
        self.source, theirs_out = os.pipe()
        worker = [
            sys.executable,
            "-I",
            "-B",
            "-X",
            "utf8",
            f"{inside}/worker.py",
            str(theirs_in),
            str(theirs_out),
            inside,
        ]
        worker.append(json.dumps(asdict(limits)))
        before: list[str] = []
        if way == "bubblewrap":
            before = bubblewrap(shown, limits, covered)
        elif way == "namespaces":
            before = namespaces(shown, limits, self.scratch, covered)
        try:
            self.process = subprocess.Popen(
                [*before, *worker],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs_in, theirs_out),
                cwd=self.scratch,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")} if before else environment(self.scratch),
                start_new_session=True,
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        os.set_blocking(self.source, False)
        os.set_blocking(self.to, False)
        try:
            self.reply(time.monotonic() + max(60, limits.wait))
        except Stopped as stopped:
            self.close()
            raise RuntimeError(f"the worker did not start ({way}, {stopped.reason})") from None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, **request: Any) -> Any:
        """The reply to a request, plain data. Raises `Stopped`; the worker is gone then."""
        data = dump(request)
        data = memoryview(len(data).to_bytes(8, "little") + data)
        deadline = time.monotonic() + self.limits.wait
        while data:
            if not select.select([], [self.to], [], max(0.0, deadline - time.monotonic()))[1]:
                self.stop("time")
            try:
                data = data[os.write(self.to, data) :]
            except OSError:
                self.stop("")
        return self.reply(deadline)

    def reply(self, deadline: float) -> Any:
        size = int.from_bytes(self.take(8, deadline), "little")
        if size > self.limits.reply_bytes:
            self.stop("output")
        data = self.take(size, deadline)
        try:
            return undump(data)
        except ValueError:
            self.stop("garbled")

    def take(self, size: int, deadline: float) -> bytes:
        """The next ``size`` bytes that the worker sends."""
        pieces = []
        while size:
            if not select.select([self.source], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.stop("time")
            pieces.append(os.read(self.source, min(size, 1 << 16)))
            size -= len(pieces[-1])
            if not pieces[-1]:
                self.stop("")
        return b"".join(pieces)

    def stop(self, reason: str) -> NoReturn:
        """End the worker and raise `Stopped`; without a reason, with the one that its exit status tells."""
        if not reason:
            try:
                code = self.process.wait(2)
            except subprocess.TimeoutExpired:
                code = 0
            number = -code if code < 0 else code - 128
            if number in (signal.SIGXCPU, signal.SIGKILL):
                reason = "time"
            else:
                reason = "signal" if number > 0 else "ended"
        self.close()
        raise Stopped(reason)

    def close(self) -> None:
        """End the worker and all that it may have started."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for end in (self.to, self.source):
            with contextlib.suppress(OSError):
                os.close(end)
        self.to = self.source = -1
        shutil.rmtree(self.scratch, ignore_errors=True)
