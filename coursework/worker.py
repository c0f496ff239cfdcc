"""Runs one submission, in a process of its own that `sandbox` has locked up: cells first, then functions on cases.

    python worker.py REQUESTS REPLIES FOLDER LIMITS

REQUESTS and REPLIES are file descriptors, FOLDER holds the package as the graded assignment allows it, LIMITS is
JSON. Requests and replies are plain data, as `looped_exercises.plain` writes it: JSON and tensors, nothing pickled.
This process knows no expected answer and no mark: whatever a submission does to it, to PyTorch, or to the pipe, it
can only send values, and only right ones are right. So nothing here tries to watch the submission.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import json
import linecache
import os
import platform
import re
import resource
import struct
import sys
from collections.abc import Iterator
from typing import Any

# --- limits that this process puts on itself before it reads a line of the submission ---


def limit(memory: int, seconds: int, file_bytes: int) -> None:
    """No more than so many bytes of memory, CPU seconds in all, and bytes in a file; no core dumps, few open files."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


def allow_seconds(more: float) -> None:
    """Let this process use ``more`` seconds of CPU from now; then the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(hard, int(used.ru_utime + used.ru_stime + more) + 1), hard))


# System calls by machine. Never: those that make processes (fork vfork), reach others (ptrace process_vm_readv
# process_vm_writev tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal), open the network (socket
# connect), hold memory that no limit counts (shmget msgget semget memfd_create memfd_secret mq_open), or change the
# world around (io_uring_setup unshare setns mount umount2 pivot_root chroot bpf perf_event_open userfaultfd keyctl
# add_key request_key).
NEVER_X86 = (
    "57 58 101 310 311 200 129 297 434 424 41 42 29 68 64 319 447 240 425 272 308 "
    "165 166 155 161 321 298 323 250 248 249"
)
NEVER_ARM = (
    "117 270 271 130 138 240 434 424 198 203 194 186 190 279 447 180 425 97 268 40 39 41 51 280 241 282 219 217 218"
)
CALLS = {
    "x86_64": {"arch": 0xC000003E, "clone": 56, "clone3": 435, "kill": 62, "tgkill": 234, "never": NEVER_X86},
    "aarch64": {"arch": 0xC00000B7, "clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "never": NEVER_ARM},
}
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE, ABSENT = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
THREAD = 0x00010000  # CLONE_THREAD


def forbid_calls() -> bool:
    """Tell the kernel, for good, to refuse new processes, signals to others, sockets and their like. False if it
    cannot."""
    calls = CALLS.get(platform.machine())
    if calls is None or sys.platform != "linux":
        return False
    me = os.getpid()
    parts: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, calls["arch"]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),
    ]
    parts += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # a second table of calls on x86
    for number in map(int, calls["never"].split()):
        parts += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    parts += [
        (EQUAL, 0, 1, calls["clone3"]),
        (RETURN, 0, 0, ABSENT),
    ]  # its flags lie in memory: the C library then takes clone
    parts += [
        (EQUAL, 0, 3, calls["clone"]),
        (LOAD, 0, 0, 16),
        (ANY_BIT, 1, 0, THREAD),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, 0),
    ]
    for number in (calls["kill"], calls["tgkill"]):
        parts += [(EQUAL, 0, 3, number), (LOAD, 0, 0, 16), (EQUAL, 1, 0, me), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, 0)]
    parts += [(RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *part) for part in parts))
    program = struct.pack("HxxxxxxP", len(parts), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0


# --- the submission ---


def clean(source: str) -> str:
    """A cell without the lines that only Jupyter understands (% and !); line numbers stay."""
    return re.sub(r"^[ \t]*[%!?].*$", "", source, flags=re.MULTILINE)


def run_cell(source: str, whole: bool, place: str, names: dict[str, Any]) -> list[str]:
    """Run a cell statement by statement, each guarded; its errors as sentences, at most five.

    ``whole`` is for the cells of problems. From any other cell only imports, definitions and assignments are run: no
    experiment, no plot, no check.
    """
    text = clean(source)
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    try:
        statements = ast.parse(text, place).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [f"{place} cannot be read: {type(error).__name__} in line {getattr(error, 'lineno', 0) or 1}"]
    keep = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    errors = []
    for statement in statements:
        if whole or isinstance(statement, keep):
            try:
                exec(compile(ast.Module([statement], []), place, "exec", dont_inherit=True), names)
            except BaseException as error:
                errors.append(f"{place}, line {statement.lineno}, stopped with {in_words(error)}")
    return errors[:5]


def in_words(error: BaseException) -> str:
    """An exception by its type and the first line of its text, which may be of any kind."""
    try:
        text = (str(error).strip().splitlines() or [""])[0][:200]
    except BaseException:
        text = ""
    return f"{type(error).__name__[:60]}{text and ': '}{text}"


def answer(request: dict[str, Any], names: dict[str, Any]) -> Any:
    """What to reply: for cells their errors, for a function its outcomes on the cases, up to the first that stops
    it."""
    if request["do"] == "set":
        names.update(request["names"])
        return []
    if request["do"] == "run":
        return run_cell(request["source"], request["whole"], request["place"], names)
    function, outcomes = names.get(request["function"]), []
    if not callable(function):
        return "nothing" if request["function"] not in names else type(function).__name__[:60]
    for case in request["cases"]:
        try:
            outcomes.append(run(function, case, THINGS))
        except BaseException as error:  # sys.exit among them
            outcomes.append(
                Outcome(error=f"your function stopped with {in_words(error)}", stopped=type(error).__name__)
            )
        if outcomes[-1].stopped:
            break
    return outcomes


def frames(descriptor: int) -> Iterator[bytes]:
    """The messages that come through a pipe, each after its length in eight bytes."""
    with os.fdopen(descriptor, "rb") as pipe:
        while len(head := pipe.read(8)) == 8:
            yield pipe.read(int.from_bytes(head, "little"))


def send(descriptor: int, data: bytes) -> None:
    data = memoryview(len(data).to_bytes(8, "little") + data)
    while data:
        data = data[os.write(descriptor, data) :]


def main() -> None:
    requests, replies, folder, limits = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    global torch, THINGS, Outcome, run
    sys.path.insert(0, folder)
    import torch
    from things import THINGS

    from looped_exercises.plain import Outcome, dump, undump
    from looped_exercises.running import run

    torch.set_num_threads(1)
    with open(os.devnull, "r+b") as nothing:
        for standard in (0, 1, 2):
            os.dup2(nothing.fileno(), standard)
    limit(limits["memory"], limits["seconds_in_all"], limits["file_bytes"])
    if not forbid_calls():
        resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *things, **options: None}
    send(replies, dump("ready"))
    for message in frames(requests):
        allow_seconds(limits["seconds"])
        try:
            reply = dump(answer(undump(message), names))
        except BaseException as error:
            reply = dump([Outcome(error=f"the answer could not be sent: {in_words(error)}", stopped="sending")])
        send(replies, reply)


if __name__ == "__main__":
    main()
