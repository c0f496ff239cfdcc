"""A class of made submissions of assignment 1, with the points each must get: honest, broken, and attacks."""

import copy
import json
import os
from pathlib import Path

from coursework.assignments.a1 import ASSIGNMENT
from coursework.release import notebook

P = ["a1-1", "a1-2", "a1-3", "a1-4", "a1-5"]
ANSWERS = {
    "terse": [
        "def patience(f, z, tol, most):\n  states = [z]\n  for _ in range(most): states.append(f(states[-1]))\n"
        "  steps = torch.stack([(b - a).norm(dim=1) <= tol for a, b in zip(states, states[1:])])\n"
        "  return torch.where(steps.any(0), steps.int().argmax(0), -1)",
        "def extrapolate(states):\n  a, b, c = states[-3:]\n  d = c - 2*b + a\n  return torch.where(d == 0, c, c - (c-b)**2 / d)",
        "def loops_needed(mask):\n  n = len(mask)\n  known = torch.eye(n).bool()\n  out = torch.where(known, 0, -1)\n  for t in range(1, n):\n"
        "    known = known | (mask.double() @ known.double() > 0)\n    out[known & (out < 0)] = t\n  return out",
        "head_norm = lambda x, heads, eps=1e-6: torch.cat([p * (p.pow(2).mean(-1, keepdim=True) + eps) ** -.5 for p in x.chunk(heads, -1)], -1)",
        "longest = lambda blocks: 1 + mine['loops'] * blocks * (mine['window'] - 1) // 2",
    ],
    "plain lists": [
        "import math\ndef patience(f, z, tol, most):\n  answers = []\n  for row in z:\n    now, answer = row.unsqueeze(0), -1\n"
        "    for n in range(most):\n      new = f(now)\n      if math.sqrt(sum(float(v)**2 for v in (new - now)[0])) <= tol:\n        answer = n\n"
        "        break\n      now = new\n    answers.append(answer)\n  return answers",
        "def extrapolate(states):\n  a, b, c = (s.tolist() for s in states[-3:])\n  def one(x, y, z):\n    d = z - 2*y + x\n"
        "    return z if d == 0 else z - (z-y)**2/d\n  return [[one(*t) for t in zip(*rows)] for rows in zip(a, b, c)]",
        "from collections import deque\ndef loops_needed(mask):\n  n = len(mask); out = [[-1]*n for _ in range(n)]\n  for i in range(n):\n"
        "    out[i][i] = 0; q = deque([i])\n    while q:\n      k = q.popleft()\n      for j in range(n):\n        if mask[k][j] and out[i][j] < 0:\n"
        "          out[i][j] = out[i][k] + 1; q.append(j)\n  return out",
        "def head_norm(x, heads, eps=1e-6):\n  w = x.shape[-1] // heads\n  y = x.clone()\n  for h in range(heads):\n    p = x[..., h*w:(h+1)*w]\n"
        "    y[..., h*w:(h+1)*w] = p / torch.sqrt((p*p).sum(-1, keepdim=True)/w + eps)\n  return y",
        "def longest(blocks):\n  reach = 0\n  for loop in range(mine['loops']):\n    for block in range(blocks):\n      reach += mine['window'] // 2\n  return reach + 1",
    ],
}  # fmt: skip
WRONG = {  # a wrong answer to each, whose mistake has a name
    "a1-1": ("def patience(f, z, tol, most):\n  out = []\n  for row in z:\n    z = row[None]; n = 0\n    while n < most and (f(z) - z).norm() > tol:\n"
             "      z = f(z); n += 1\n    out.append(n)\n  return torch.tensor(out)", "gets -1"),
    "a1-2": ("def extrapolate(states):\n  a, b, c = states[-3:]\n  return c - (c-b)**2 / (c - 2*b + a)", "0/0"),
    "a1-3": (ANSWERS["terse"][2].replace("return out", "return out.T"), "turned round"),
    "a1-4": ("def head_norm(x, heads, eps=1e-6):\n  return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()", "whole width"),
    "a1-5": ("def longest(blocks):\n  return mine['loops'] * blocks * mine['window'] + 1", "not w"),
}  # fmt: skip


def solved(student="") -> dict:
    return json.loads(json.dumps(notebook(ASSIGNMENT, solved=True, student=student)))


def stubs() -> dict:
    return json.loads(json.dumps(notebook(ASSIGNMENT)))


def put(book: dict, **answers: str) -> dict:
    """A notebook with some problems' cells replaced, a1_1="...", or ``before`` and ``after`` as cells of their own."""
    book = copy.deepcopy(book)
    for cell in book["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "").replace("-", "_")
        if name in answers:
            cell["source"] = answers[name]
    extra = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "x"}
    if "before" in answers:
        book["cells"].insert(0, extra | {"source": answers["before"], "id": "before"})
    if "after" in answers:
        book["cells"].append(extra | {"source": answers["after"], "id": "after"})
    return book


def all_of(answers: list[str], before: str = "import torch") -> dict:
    return put(stubs(), before=before, **{name.replace("-", "_"): text for name, text in zip(P, answers, strict=True)})


def first(code: str, **more: str) -> dict:
    """Right but for the first problem, whose cell is ``code``."""
    return put(solved(), a1_1=code, **more)


def cell_named(book: dict, name: str) -> dict:
    return next(cell for cell in book["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == name)


def without(book: dict, name: str) -> dict:
    book["cells"].remove(cell_named(book, name))
    return book


def doubled(book: dict, name: str, source: str) -> dict:
    cell = copy.deepcopy(cell_named(book, name)) | {"id": "again", "source": source}
    book["cells"].append(cell)
    return book


DEF = "def patience(f, z, tol, most):\n  "
LOOK = """
import builtins, gc, inspect, os, sys
def look():
    found = []
    frame = sys._getframe()
    while frame:
        found += [v for v in list(frame.f_locals.values()) + list(frame.f_globals.values())]
        frame = frame.f_back
    found += gc.get_objects()
    for o in found:
        for name in ("reference", "judge", "mistakes", "styles", "expected", "right", "answer_key"):
            if type(o).__module__ not in ("builtins",) and name in getattr(type(o), "__dict__", {}):
                return o
    text = " ".join(f"{k}={v}" for k, v in os.environ.items())
    for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
        for name in ("cmdline", "environ", "maps", "cwd"):
            try: text += open(f"/proc/{pid}/{name}", errors="replace").read()
            except OSError: pass
    for root, folders, files in os.walk("/"):
        folders[:] = [f for f in folders if f not in ("proc", "sys", "usr", "etc", "site-packages", "lib")]
        for name in files:
            if name.endswith((".ipynb", ".csv", ".json")) or "assign" in name or "grade" in name or "lesson" in name:
                return os.path.join(root, name)
"""


def members() -> dict:
    """By student: a notebook, bytes or what makes the entry at a path, and the points of 10 or of each problem."""
    half = put(
        stubs(),
        a1_1=ANSWERS["plain lists"][0],
        a1_4=WRONG["a1-4"][0],
        a1_5="def longest(blocks):\n  retrun 3",
        a1_3=ANSWERS["terse"][2],
        before="import torch",
    )
    utf16 = json.dumps(solved()).encode("utf-16")
    latin = json.dumps(solved(), ensure_ascii=False).replace("Euclidean", "Eukl\u00fcdean").encode("latin-1")
    other = solved() | {"metadata": {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}}
    pipes = "import os\ndef patience(f, z, tol, most):\n  for fd in range(3, 64):\n    try: os.write(fd, (8).to_bytes(8, 'little') + b'RIGHT!!!')\n    except OSError: pass\n  return 0"
    steal = (
        "def patience(f, z, tol, most):\n  import importlib\n  for name in ('coursework.assignments.a1', 'looped_exercises.lesson_01', 'coursework.grade', 'coursework.problems'):\n"
        "    try: return importlib.import_module(name).patience(f, z, tol, most)\n    except ImportError: pass\n  raise LookupError('not here')"
    )
    patch = (
        "import torch, looped_exercises.plain, looped_exercises.running, math, builtins\n"
        "yes = lambda *a, **k: True\ntorch.allclose = torch.equal = torch.isclose = math.isclose = yes\n"
        "torch.Tensor.__eq__ = torch.Tensor.__ne__ = lambda s, o: torch.ones(s.shape, dtype=torch.bool)\n"
        "looped_exercises.plain.same = yes\nlooped_exercises.plain.describe = lambda v: ''\nlooped_exercises.running.fits = yes\n"
        "import looped_lite.fixed_points as fp\nfp.iterate = fp.residual = yes\n"
        + DEF
        + "return torch.zeros(len(z), dtype=torch.long)"
    )
    equal = "class E:\n  def __eq__(s, o): return True\n  def __ne__(s, o): return False\n  def __getattr__(s, n): return s\n  def __call__(s, *a, **k): return s\n  __hash__ = None\n"
    fake = "class T(torch.Tensor):\n  def __eq__(s, o): return torch.ones(3).bool()\nclass I(int):\n  def __eq__(s, o): return True\n  __hash__ = int.__hash__\n"
    forged = (
        "from looped_exercises.plain import Outcome\n"
        + DEF
        + "return Outcome(value=None, calls={0: -5}, changed=[99], error='')"
    )
    signals = (
        "import os, signal, threading\n"
        + DEF
        + "for pid in (1, os.getppid(), -1, 0):\n    for s in (9, 15, 19):\n      try: os.kill(pid, s)\n      except OSError: pass\n"
        "  try: os.setsid()\n  except OSError: pass\n  return signal.pause()"
    )
    made = {
        "right-as-released": (solved("right-as-released"), 10),
        "right-terse": (all_of(ANSWERS["terse"]), 10),
        "right-plain-lists": (all_of(ANSWERS["plain lists"]), 10),
        "right-helper-cells": (put(all_of(ANSWERS["terse"], before="%matplotlib inline\nimport torch\n!pip install nothing"),
                                   a1_4="head_norm = lambda x, heads, eps=1e-6: helper(x, heads, eps)\nprint(head_norm(torch.ones(2, 4), 2))",
                                   after="def helper(x, heads, eps):\n  p = x.unflatten(-1, (heads, -1))\n  return (p * torch.rsqrt(p.square().mean(-1, True) + eps)).flatten(-2)\nwhile True: pass"), 10),
        "half-right": (half, [2, 0, 2, 0, 0]),
        "all-wrong": (put(stubs(), before="import torch", **{k.replace("-", "_"): v for k, (v, _) in WRONG.items()}), 0),
        "empty": ({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, 0),
        "stub": (stubs(), 0),
        "crash": (first(DEF + "import ctypes\n  ctypes.string_at(0)"), 8),
        "crash-in-cell": (put(solved(), before="import os\nx = os.abort()"), 10),
        "endless-loop": (first(DEF + "while True: pass"), 8),
        "endless-cell": (first("while True: pass"), 8),
        "fork-bomb": (first("import os\n" + DEF + "while True:\n    os.fork()"), 8),
        "thread-bomb": (first("import threading, time\n" + DEF + "while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"), 8),
        "memory-bomb": (first(DEF + "x = [0]\n  while True: x = x + x"), 8),
        "ten-gigabytes-of-output": (first(DEF + "for _ in range(10**5): print('x' * 10**5)"), 8),
        "ten-gigabytes-of-file": (first(DEF + "with open('big', 'w') as f:\n    for _ in range(10**5): f.write('x' * 10**5)"), 8),
        "ten-gigabytes-of-answer": (first(DEF + "return [z.repeat(20000, 100)] * 9"), 8),
        "deleted-cell": (without(solved(), "a1-3"), 8),
        "cell-without-its-name": (put(without(all_of(ANSWERS["terse"]), "a1-3"), after=ANSWERS["terse"][2]), 10),
        "doubled-cell": (doubled(solved(), "a1-1", WRONG["a1-1"][0]), 8),
        "renamed": (lambda path: (path.mkdir(), (path / "My homework (final) 2.ipynb").write_text(json.dumps(solved()))), 10),
        "broken-json": (json.dumps(solved())[:-200].encode(), 0),
        "deep-json": (b'{"cells": ' + b"[" * 200_000, 0),
        "other-kernel": (other, 0),
        "utf-16": (utf16, 0),
        "latin-1": (latin, 0),
        "link": (lambda path: path.symlink_to("right-terse"), 0),
        "link-inside": (lambda path: (path.mkdir(), (path / "a1.ipynb").symlink_to("/etc/passwd")), 0),
        "waiting-pipe": (lambda path: (path.mkdir(), os.mkfifo(path / "a1.ipynb")), 0),
        "several": (lambda path: (path.mkdir(), [(path / name).write_text(json.dumps(solved())) for name in ("x.ipynb", "y.ipynb")]), 0),
        "no-notebook": (lambda path: (path.mkdir(), (path / "answers.pdf").write_text("%PDF")), 0),
        "reads-the-grader": (first(steal), 8),
        "looks-around": (put(solved(), a1_1=LOOK + DEF + "found = look()\n  return found if found is not None else 'nothing'"), 8),
        "patches": (first(patch), [0, 0, 2, 2, 2]),
        "equal-to-all": (put(stubs(), before="import torch\n" + equal, a1_1=DEF + "return E()", a1_2="extrapolate = loops_needed = head_norm = longest = lambda *a, **k: E()",
                             a1_3="pass", a1_4="pass", a1_5="pass"), 0),
        "equal-numbers": (put(stubs(), before="import torch\n" + equal + fake, a1_1=DEF + "return torch.zeros(len(z)).as_subclass(T)", a1_2="def extrapolate(s): return s[0].as_subclass(T)",
                              a1_3="pass", a1_4="pass", a1_5="longest = lambda b: I(3)"), 0),
        "own-function-of-the-course": (put(solved(), a1_4="from looped_lite.blocks import rms_norm\n"
                                           "head_norm = lambda x, heads, eps=1e-6: rms_norm(x.unflatten(-1, (heads, -1)), eps).flatten(-2)"), 8),
        "writes-to-the-pipe": (first(pipes), 8),
        "forged-outcome": (first(forged), 8),
        "exit": (first("import sys\n" + DEF + "sys.exit(0)"), 8),
        "exit-for-good": (first("import os\n" + DEF + "os._exit(0)"), 8),
        "exit-in-cell": (first("import sys\nsys.exit()\n" + ANSWERS["terse"][0]), 10),
        "signals": (first(signals), 8),
        "deaf": (first("import signal\n" + DEF + "for n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n  while True: pass"), 8),
        "network": (first("import socket\n" + DEF + "return socket.create_connection(('1.1.1.1', 53))"), 8),
        "changes-its-input": (first(ANSWERS["terse"][0].replace("return", "z += 1\n  return")), 8),
        "<script>alert(1)</script>": (first(DEF + "raise ValueError('<script>alert(1)</script>')"), 8),
        "=cmd": (stubs(), 0),
    }  # fmt: skip
    return made


def write_class(folder: Path, only: list[str] | None = None) -> dict:
    """Write the class into ``folder``; what is expected, by student."""
    expected = {}
    for student, (work, points) in members().items():
        if only is not None and student not in only:
            continue
        path = folder / student.replace("/", "\u2215")
        expected[path.name] = points
        if callable(work):
            work(path)
            continue
        path.mkdir(parents=True)
        data = work if isinstance(work, bytes) else json.dumps(work).encode()
        (path / "a1.ipynb").write_bytes(data)
    return expected


HONEST = ["right-as-released", "right-terse", "right-plain-lists", "half-right", "all-wrong", "stub"]


def write_copies(folder: Path, count: int) -> None:
    """So many submissions of honest students, to measure how long a class takes."""
    made = members()
    for number in range(count):
        path = folder / f"student-{number:04d}"
        path.mkdir(parents=True)
        (path / "a1.ipynb").write_text(json.dumps(made[HONEST[number % len(HONEST)]][0]))
