"""Count what is lost under faults: ``python tests/faults.py [WORD ...]``, with words only counts whose names hold one.

Processes are killed, signalled or doubled at random moments, files are damaged, command lines are made up; all from one
seed, on models of a few hundred weights. Each count is a row: how often it was tried, and how often what must never
happen did. Exit code 1 if anything did. A quarter of an hour on one core; results of a run are in tests/README.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.sweep import Experiment, Job, run  # noqa: E402
from looped_lite import cli  # noqa: E402
from looped_lite.checkpoints import checksum, in_order, load_tensors, save  # noqa: E402
from looped_lite.paths import read_rows  # noqa: E402
from looped_lite.pretrained import load_pretrained, save_pretrained  # noqa: E402
from looped_lite.recipe import Recipe  # noqa: E402
from looped_lite.tasks.prefix_sums import PrefixSums  # noqa: E402
from looped_lite.training import train  # noqa: E402

TASK = PrefixSums(first_level=2, last_level=4, most_loops=2, last_loops=None)
SMALL = {"width": 8, "heads": 2, "batch": 4}
RECIPES = [
    Recipe(TASK, steps=12, **SMALL),
    Recipe(TASK, steps=10, pool=12, horizon=6, noise=0.3, norm="gru", seed=1, **SMALL),
]
SEED = 0
MEMORY = "/dev/shm"  # a file system in memory, where there is one: kills leave there what they leave on a disk
Counts = dict[str, Any]


# ---- processes


def begin(work: Callable[..., Any], *args: Any) -> int:
    """``work(*args)`` in a fork of this process, which has its imports behind it: the number of the process."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            work(*args)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(process: int) -> int:
    """Wait for a process: its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def struck(seconds: float, number: int, work: Callable[..., Any], *args: Any) -> int:
    """Begin ``work``, send it a signal after so many seconds, and wait for its end."""
    process, until = begin(work, *args), time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):  # it was done before
            break
        time.sleep(0.001)
    os.kill(process, number)
    return end(process)


def seconds_of(work: Callable[..., Any], *args: Any) -> float:
    began = time.monotonic()
    assert end(begin(work, *args)) == 0
    return time.monotonic() - began


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- training, models and sweeps that are struck


def training(path: Path, recipe: Recipe) -> None:
    train(recipe, checkpoint=path, save_every=2, progress=False)


def ended(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What a training left, but for the time that it took."""
    tensors, facts = load_tensors(path)
    facts["run"].pop("seconds")
    return tensors, facts


def struck_training(folder: Path, rng: random.Random, number: int, times: int) -> Counts:
    """Trainings that got a signal at a random moment, and then went on: to the same bits?"""
    wholes = []
    for recipe in RECIPES:
        seconds = seconds_of(training, folder / "whole", recipe)
        wholes.append((recipe, seconds, ended(folder / "whole")))
        (folder / "whole").unlink()
    counts = {"tried": 0, "steps done": [], "lost": 0, "other bits": 0, "left over": 0}
    while counts["tried"] < times:
        recipe, seconds, (tensors, facts) = wholes[counts["tried"] % 2]
        path = folder / f"{counts['tried']}.safetensors"
        code = struck(rng.uniform(0, seconds), number, training, path, recipe)
        if code == 0 and ended(path)[1]["run"]["finished"]:
            path.unlink()
            continue  # it was done before
        counts["tried"] += 1
        counts["steps done"].append(load_tensors(path)[1]["run"]["step"] if path.exists() else 0)
        # a signal that can be heard is answered by a save, unless it came before training began to listen
        counts["lost"] += number != signal.SIGKILL and code not in (0, -number)
        training(path, recipe)
        found, said = ended(path)
        counts["other bits"] += not equal(found, tensors) or said != facts
        counts["left over"] += os.listdir(folder) != [path.name]
        path.unlink()
    steps = counts.pop("steps done")
    return counts | {"saw": f"{sum(step > 0 for step in steps)} of them saved some steps before"}


def kills_of_training(folder: Path, rng: random.Random) -> Counts:
    return struck_training(folder, rng, signal.SIGKILL, 100)


def terms_of_training(folder: Path, rng: random.Random) -> Counts:
    return struck_training(folder, rng, signal.SIGTERM, 30)


def hangups_of_training(folder: Path, rng: random.Random) -> Counts:
    return struck_training(folder, rng, signal.SIGHUP, 30)


def two_models() -> dict[int, Any]:
    """Models of other weights and another window: half of one and half of the other would give other answers."""
    return {window: Recipe(PrefixSums(window=window), **SMALL).build() for window in (3, 7)}


X = PrefixSums().encode("0110100110")


def look(path: Path, models: dict[int, Any], counts: Counts) -> None:
    """Is one of the ``models`` at ``path``, whole?"""
    try:
        found = load_pretrained(path)
        model = models[found.card["n"]]
        counts["mixed"] += found.recipe != model.recipe or not torch.equal(found(X, 3), model(X, 3))
    except ValueError:
        counts["unloadable"] += 1


def overwrite(path: Path, models: dict[int, Any], times: int = 10**9) -> None:
    for _ in range(times):
        for number, model in models.items():
            save_pretrained(model, path, {"n": number})


def kills_of_overwriting(folder: Path, rng: random.Random) -> Counts:
    path, models = folder / "m.safetensors", two_models()
    counts = {"tried": 100, "unloadable": 0, "mixed": 0, "left over": 0}
    left = 0
    overwrite(path, models, 1)
    for _ in range(counts["tried"]):
        assert struck(rng.uniform(0, 0.2), signal.SIGKILL, overwrite, path, models) == -signal.SIGKILL
        left += len(os.listdir(folder)) > 1
        look(path, models, counts)
        overwrite(path, models, 1)
        counts["left over"] += len(os.listdir(folder)) > 1
    return counts | {"saw": f"{left} died with a temporary file open, cleared at the next save"}


def pairs_of_writers(folder: Path, rng: random.Random) -> Counts:
    """Two processes write one file, while a third, this one, reads it."""
    path, models = folder / "m.safetensors", two_models()
    counts = {"tried": 100, "unloadable": 0, "mixed": 0, "failed writers": 0, "left over": 0}
    overwrite(path, models, 1)
    reads = 0
    for _ in range(counts["tried"]):
        writers = [begin(overwrite, path, {number: model}, 10) for number, model in models.items()]
        while writers:
            look(path, models, counts)
            reads += 1
            done, status = os.waitpid(writers[0], os.WNOHANG)
            if done:
                counts["failed writers"] += status != 0
                writers.remove(done)
        counts["left over"] += len(os.listdir(folder)) > 1
    return counts | {"saw": f"{reads} reads meanwhile"}


def jobs(known: Any) -> list[Job]:
    return [Job(Recipe(TASK, seed=seed, steps=6, **SMALL)) for seed in range(3)]


def weights(model: Any, job: Job) -> dict[str, float]:
    return {"weights": float(sum(p.detach().sum() for p in model.parameters()))}


TRIAL = Experiment("trial", "three small models", jobs, weights, lambda job: {"seed": job.recipe.seed}, ("steps",))


def rows_of_trial(folder: Path) -> list[dict[str, str]]:
    with contextlib.redirect_stdout(io.StringIO()):
        run(TRIAL)
    rows = read_rows(TRIAL.table)
    shutil.rmtree(folder / "results")
    return rows


def kills_of_sweeps(folder: Path, rng: random.Random) -> Counts:
    """A sweep is killed at a random moment, begun again, and its table compared with that of one that nobody killed."""
    whole, counts, seen = rows_of_trial(folder), {"tried": 0, "lost or double": 0, "other rows": 0}, []
    seconds = seconds_of(run, TRIAL)
    shutil.rmtree(folder / "results")
    while counts["tried"] < 100:
        counts["tried"] += struck(rng.uniform(0, seconds), signal.SIGKILL, run, TRIAL) == -signal.SIGKILL
        seen.append(len(list(folder.glob("results/trial/*.json"))))
        rows = rows_of_trial(folder)
        counts["lost or double"] += [row["seed"] for row in rows] != [row["seed"] for row in whole]
        counts["other rows"] += rows != whole
    return counts | {"saw": f"rows done before: {', '.join(f'{n}: {seen.count(n)}' for n in sorted(set(seen)))}"}


def pairs_of_sweeps(folder: Path, rng: random.Random) -> Counts:
    """A sweep begun twice, one of the two killed at a random moment."""
    whole, counts = rows_of_trial(folder), {"tried": 30, "lost or double": 0, "other rows": 0}
    for _ in range(counts["tried"]):
        other = begin(run, TRIAL)
        struck(rng.uniform(0, 1), signal.SIGKILL, run, TRIAL)
        assert end(other) == 0
        rows = rows_of_trial(folder)
        counts["lost or double"] += [row["seed"] for row in rows] != [row["seed"] for row in whole]
        counts["other rows"] += rows != whole
    return counts


# ---- files that are damaged


def damage(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, an end cut off or grown, a block of zeros, two blocks exchanged, a byte lost."""
    changed, at = bytearray(data), rng.randrange(len(data))
    kind = rng.choice(["flip"] * 6 + ["cut", "grow", "zeros", "swap", "lose"])
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            # the header is where the sense is: half of the flips go there
            where = rng.randrange(8 + int.from_bytes(data[:8], "little")) if rng.random() < 0.5 else at
            changed[where] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "grow":
        changed += rng.randbytes(rng.randrange(1, 64))
    elif kind == "zeros":
        changed[at : at + 64] = bytes(len(changed[at : at + 64]))
    elif kind == "swap":
        other = rng.randrange(len(data))
        changed[at : at + 16], changed[other : other + 16] = changed[other : other + 16], changed[at : at + 16]
    else:
        del changed[at]
    return bytes(changed)


VALUES = [None, True, 0, -1, 3, 10**9, 2**70, 1e308, float("nan"), float("inf"), "", "x", "prefix-sums", [], [2, 3], {}]


def leaves(facts: Any, path: tuple = ()) -> Iterator[tuple]:
    """The place of every value in nested dicts and lists, those that hold others too."""
    if path:
        yield path
    for key in facts if isinstance(facts, dict) else range(len(facts)) if isinstance(facts, list) else ():
        yield from leaves(facts[key], (*path, key))


def altered(path: Path, rng: random.Random, honest: bool) -> bytes:
    """The file with one of its facts replaced or left out; if ``honest``, under a checksum that fits."""
    tensors, facts = load_tensors(path)
    old = checksum(tensors, facts)
    *way, last = rng.choice(list(leaves(facts)))
    inside = facts
    for key in way:
        inside = inside[key]
    if rng.random() < 0.15:
        del inside[last]
    else:
        inside[last] = rng.choice([value for value in VALUES if repr(value) != repr(inside[last])])
    kept = checksum(tensors, facts) if honest else old
    return in_order(save(tensors, metadata={"facts": json.dumps(facts), "sha256": kept}))


def judge(call: Callable[[], bool], counts: Counts) -> None:
    """``call`` says whether all is as it was; or it refuses the file with a ValueError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            counts["silent differences"] += not call()
            counts["as before"] += 1
    except ValueError as error:
        counts["refused"] += 1
        counts["long messages"] += len(str(error)) > 500 or "\n" in str(error)
    except Exception:
        counts["tracebacks"] += 1
        traceback.print_exc()


def fresh_counts(tried: int) -> Counts:
    never = {"tracebacks": 0, "silent differences": 0, "long messages": 0}
    return {"tried": tried, **never, "refused": 0, "as before": 0}


def told(counts: Counts) -> Counts:
    return counts | {"saw": f"{counts.pop('refused')} refused, {counts.pop('as before')} loaded as before"}


def damaged_models(folder: Path, rng: random.Random) -> Counts:
    path, model = folder / "m.safetensors", two_models()[7]
    save_pretrained(model, path, {"n": 0, "scores": {"exact_32": 0.5}})
    data, card, logits = path.read_bytes(), load_tensors(path)[1], model(X, 3)

    def same() -> bool:
        found = load_pretrained(path)
        return found.card == card and found.recipe == model.recipe and torch.equal(found(X, 3), logits)

    counts = fresh_counts(500)
    for _ in range(counts["tried"]):
        path.write_bytes(damage(data, rng))
        judge(same, counts)
    return told(counts)


def damaged_runs(folder: Path, rng: random.Random) -> Counts:
    """Files from which a training goes on, taken half-way."""
    path, counts = folder / "run.safetensors", fresh_counts(500)
    for recipe in RECIPES:
        path.unlink(missing_ok=True)
        training(path, recipe)
        whole = ended(path)
        path.unlink()
        train(recipe, checkpoint=path, progress=False, on_step=lambda run: run.step == 5 and stop())
        data = path.read_bytes()

        def same(recipe: Recipe = recipe, whole: Any = whole) -> bool:
            training(path, recipe)
            found = ended(path)
            return equal(found[0], whole[0]) and found[1] == whole[1]

        for number in range(counts["tried"] // 2):
            path.write_bytes(data)
            path.write_bytes(altered(path, rng, honest=False) if number % 5 == 0 else damage(data, rng))
            judge(same, counts)
    return told(counts)


def stop() -> None:
    """Ctrl-C: the training that is running ends its step and saves."""
    os.kill(os.getpid(), signal.SIGINT)


def altered_cards(folder: Path, rng: random.Random) -> Counts:
    """One value of the card altered under the old checksum: refused, always."""
    path, model = folder / "m.safetensors", two_models()[7]
    save_pretrained(model, path, {"n": 0, "scores": {"exact_32": 0.5}})
    data, counts = path.read_bytes(), fresh_counts(300)
    for _ in range(counts["tried"]):
        path.write_bytes(data)
        path.write_bytes(altered(path, rng, honest=False))
        judge(lambda: load_pretrained(path) is None, counts)
    return told(counts)


def forged_files(folder: Path, rng: random.Random) -> Counts:
    """One value of a card or of a run altered under a checksum made anew: refused, or a file that says what it does."""
    path, half, model = folder / "m.safetensors", folder / "run.safetensors", two_models()[7]
    save_pretrained(model, path, {"n": 0, "scores": {"exact_32": 0.5}})
    train(RECIPES[0], checkpoint=half, progress=False, on_step=lambda run: run.step == 5 and stop())
    data, run, counts = path.read_bytes(), half.read_bytes(), fresh_counts(400)

    def loads() -> bool:
        found = load_pretrained(path)
        return found(X, 3).shape == (1, 11, 2) and load_tensors(path)[1] == found.card

    for number in range(counts["tried"]):
        path.write_bytes(data)
        half.write_bytes(run)
        if number % 2:
            path.write_bytes(altered(path, rng, honest=True))
            judge(loads, counts)
        else:
            half.write_bytes(altered(half, rng, honest=True))
            judge(lambda: train(RECIPES[0], checkpoint=half, progress=False)[1].finished, counts)
    return told(counts)


# ---- command lines


ODD = ["", " ", "0", "-1", "1", "2", "7", "1.5", "nan", "inf", "-inf", "1e999", "9" * 81, "9" * 5000, str(2**63), "½"]
ODD += [
    "１２",
    "0x10",
    "1_000",
    "[",
    "[2,3]",
    "{}",
    "null",
    "true",
    "\x00",
    "\udcff",
    "🧩",
    "x" * 300,
    "--",
    "-",
    "a\nb",
]
TASKS = ["prefix-sums"] * 20 + ["sudoku", "chess", "juggling", "json:loads", "no_such:X", ":", "a:b:c", "maze:Maze"]
PATHS = [
    "m",
    "m.safetensors",
    "a/b/c",
    "..",
    ".",
    "/",
    "/proc/x",
    "broken.safetensors",
    "lines.txt",
    "bytes.bin",
    "empty",
]
INSTANCES = [
    "0110",
    "1",
    "0" * 40,
    "1" * 9,
    "0b1",
    "1 0",
    "1_0",
    "012",
    "53..7....",
    "." * 81,
    "1" * 36,
    "8/8/8/8/8/8/8/8 w - - 0 1",
    "４",
    "0 1 1",
]


NUMBERS = ["1", "0.5", "2"]
NUMERIC = ["steps", "batch", "lr", "width", "heads", "blocks", "mlp-ratio", "decay", "settle", "weight-decay", "beta2"]
NUMERIC += ["muon", "clip", "advance", "pool", "horizon", "noise", "seed"]
# of each command: its usual words, and its options with the usual values of each of their words
USUAL: dict[str, tuple[list[list[str]], list[tuple]]] = {
    "train": (
        [TASKS],
        [
            *((f"--{name}", NUMBERS) for name in NUMERIC),
            *[("--setting", ["window=7", "box=[2,3]", "first_level=0", "last_level=9", "uniform=2", "depths=[1]"])] * 4,
            ("--recall", ["none", "external"]),
            ("--norm", ["pre", "gru"]),
            ("--device", ["cpu", "cuda"]),
            ("--out", ["m"]),
            ("--begin", ["m.safetensors", "broken.safetensors"]),
            ("--bfloat16",),
        ],
    ),
    "eval": (
        [["m.safetensors"]],
        [
            ("--loops", ["1", "3"], ["2"]),
            ("--lengths", ["4", "8"]),
            ("--start", ["zeros", "noise"]),
            ("--seed", NUMBERS),
            ("--instances", ["1", "3"]),
            ("--json",),
        ],
    ),
    "solve": (
        [TASKS, INSTANCES],
        [
            *[("--file", [*PATHS, "-"]), ("--model", ["m.safetensors", "broken.safetensors"])] * 2,
            ("--loops", ["3", "50"]),
            ("--restart", ["2"]),
            ("--json",),
        ],
    ),
    "card": ([["m.safetensors", "prefix-sums-internal-post"]], [("--x",)]),
    "doctor": ([], [("--x",)]),
    "": ([], [("--version",), ("--help",)]),
}
FIRST = {
    "train": ["--quiet", "--width", "8", "--heads", "2", "--batch", "2", "--steps", "2"],
    "eval": ["--instances", "2", "--lengths", "8", "--loops", "3"],
    "solve": ["--loops", "40"],
}


def made_up(rng: random.Random) -> list[str]:
    """A command line of the right words with odd values among them, or of the wrong words."""
    one_of = lambda usual, odd: rng.choice([*ODD, *PATHS, *INSTANCES] if rng.random() < odd else usual)
    command = rng.choices(list(USUAL), [40, 25, 40, 10, 0.3, 3])[0]
    places, options = USUAL[command]
    words = [command, *(one_of(usual, 0.05) for usual in places for _ in range(rng.choices([0, 1, 2], [1, 20, 1])[0]))]
    words += FIRST.get(command, [])
    for name, *usual in rng.choices([*options, ("--threads", ["1", "2"])], k=rng.choice([0, 1, 1, 1, 2])):
        words += [name, *(one_of(each, 0.25) for each in usual)]
    if rng.random() < 0.05:
        rng.shuffle(words)
    return words


def on_alarm(*_: Any) -> None:
    raise KeyboardInterrupt


def answer(words: list[str], text: bytes) -> tuple[Any, str, str]:
    """Exit code, standard output and standard error of a command line, which is interrupted after two seconds."""
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(text))
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(words)
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        code = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        torch.set_num_threads(1)
    return code, out.getvalue(), err.getvalue()


def made_up_lines(folder: Path, rng: random.Random) -> Counts:
    signal.signal(signal.SIGALRM, on_alarm)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # what asks for much memory is refused, not granted
    os.chdir(folder)
    counts, seen = {"tried": 3000, "tracebacks": 0, "more than a line": 0, "other codes": 0, "half-written": 0}, []
    for _ in range(counts["tried"]):
        for path in list(Path().iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        save_pretrained(two_models()[7], Path("m.safetensors"))
        Path("broken.safetensors").write_bytes(damage(Path("m.safetensors").read_bytes(), rng))
        Path("lines.txt").write_text("# a comment\n0110\n\n012\n1\n")
        Path("bytes.bin").write_bytes(rng.randbytes(99))
        Path("empty").write_text("")
        words = made_up(rng)
        code, _out, err = answer(words, rng.choice([b"", b"0110\n", b"\xff\xfe", b"1\n" * 40]))
        wrong = [("tracebacks", isinstance(code, str) or "Traceback" in err)]
        wrong.append(("other codes", not isinstance(code, str) and code not in (0, 1, 2, 130)))
        most = 1 if code == 2 and words[0] != "solve" else len(words) + 40  # solve complains of each instance
        short = all(line.startswith("looped-lite: ") and len(line) < 600 for line in err.splitlines())
        wrong.append(("more than a line", not short or err.count("\n") > most))
        wrong.append(("half-written", any(path.suffix == ".tmp" for path in Path().rglob("*"))))
        for name, is_wrong in wrong:
            counts[name] += is_wrong
            if is_wrong:
                print(f"{name}: {[word[:99] for word in words]} -> {code} {err[:2000]!r}", flush=True)
        seen.append("traceback" if isinstance(code, str) else code)
    found = ", ".join(f"{code}: {seen.count(code)}" for code in sorted(set(seen), key=str))
    return counts | {"saw": f"exit codes {found}"}


# ----

FAULTS: dict[str, Callable[[Path, random.Random], Counts]] = {
    "kill -9 of training, then on": kills_of_training,
    "SIGTERM of training, then on": terms_of_training,
    "SIGHUP of training, then on": hangups_of_training,
    "kill -9 of overwriting a model": kills_of_overwriting,
    "kill -9 of a sweep, then again": kills_of_sweeps,
    "two writers of one model": pairs_of_writers,
    "two sweeps at once, one killed": pairs_of_sweeps,
    "damaged model files": damaged_models,
    "damaged files to resume from": damaged_runs,
    "altered cards": altered_cards,
    "altered cards and runs, checksum made anew": forged_files,
    "made-up command lines": made_up_lines,
}


def main(words: list[str]) -> int:
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is shared by forks: one that is killed while it holds it stops them all
    failed = False
    print("| fault | times | what must not happen | what was seen |\n|---|---|---|---|", flush=True)
    for name, fault in FAULTS.items():
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as folder:
            os.environ["LOOPED_LITE_DATA"] = folder if "sweep" in name else str(ROOT / "data")
            counts = fault(Path(folder), random.Random(SEED))
            os.chdir(ROOT)
        tried, saw = counts.pop("tried"), counts.pop("saw", "")
        failed |= any(counts.values())
        never = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"| {name} | {tried:,} | {never} | {saw} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
