"""``looped-lite``: train, evaluate and use the course's models from a terminal. Errors are one line, exit code 2."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

from . import __version__

UNSOLVED, BAD, INTERRUPTED = 1, 2, 130  # exit codes


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD, f"looped-lite: {shorten(one_line(message), 300)} (see {self.prog} --help)\n")


def number_of(kind: type) -> Callable[[str], Any]:
    """A reader of numbers for argparse that never echoes more than a line."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {what}, got {shorten(repr(text))}") from None

    return read


def at_least_one(text: str) -> int:
    value = number_of(int)(text)
    if not 1 <= value <= 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1,000,000,000, got {shorten(repr(text))}")
    return value


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and the parser of each command."""
    parser = Parser(prog="looped-lite", description="Looped transformers from scratch: train, evaluate, solve.")
    parser.add_argument("--version", action="version", version=f"looped-lite {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="train | eval | solve | card | export | doctor | progress | grade"
    )
    made = {name: add(commands) for name, add in COMMANDS.items()}
    for command in made.values():
        command.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's own choice)")
    return parser, made


def add_train(commands: Any) -> argparse.ArgumentParser:
    """The options of ``train`` are the settings of a `Recipe`."""
    from .recipe import Recipe, flag

    train = commands.add_parser("train", help="train a model; Ctrl-C stops, the same command goes on from there")
    train.add_argument("task", help="prefix-sums, sudoku, chess, or a task of your own as my_file:MyTask")
    train.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the task, e.g. box=[2,3] for 6x6 sudoku",
    )
    for setting in fields(Recipe)[1:]:
        help = setting.metadata["help"] + (
            "" if setting.default in (None, False, "") else f" (default: {setting.default})"
        )
        if setting.type == "bool":
            train.add_argument(flag(setting.name), action="store_true", help=help)
        else:
            kind = {"int": number_of(int), "float": number_of(float)}.get(setting.type.removesuffix(" | None"), str)
            train.add_argument(
                flag(setting.name),
                type=kind,
                default=setting.default,
                metavar="N" * (kind is not str) or "NAME",
                help=help,
            )
    train.add_argument(
        "--out", type=Path, help="where to save the model (default: ./TASK-RECALL-NORM-seedSEED.safetensors)"
    )
    train.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=run_train)
    return train


def add_eval(commands: Any) -> argparse.ArgumentParser:
    evaluate = commands.add_parser("eval", help="exact match of a model on unseen instances")
    evaluate.add_argument("model", help="the name of a pretrained model, or a .safetensors file")
    evaluate.add_argument(
        "--lengths",
        "--levels",
        dest="levels",
        type=number_of(float),
        nargs="+",
        help="e.g. bits (default: the task's usual ones)",
    )
    evaluate.add_argument("--loops", type=at_least_one, nargs="+", help="(default: what the task finds worth showing)")
    evaluate.add_argument("--instances", type=at_least_one, default=20, help="for each length (default: %(default)s)")
    evaluate.add_argument("--start", default="input", help="input, zeros or noise (default: %(default)s)")
    evaluate.add_argument("--seed", type=number_of(int), default=1000, help="for the instances (default: %(default)s)")
    evaluate.add_argument("--json", action="store_true", help="one object a line")
    evaluate.set_defaults(run=run_eval)
    return evaluate


def add_solve(commands: Any) -> argparse.ArgumentParser:
    solve = commands.add_parser("solve", help="solve instances: bits, a sudoku, a chess position (FEN)")
    solve.add_argument("task", help="prefix-sums, sudoku, chess, or a task of your own as my_file:MyTask")
    solve.add_argument("instances", nargs="*", metavar="INSTANCE", help="e.g. 0110")
    solve.add_argument(
        "--file",
        metavar="F",
        help="read instances from F, one a line (blank lines and # comments are skipped); - is the standard input",
    )
    solve.add_argument(
        "--model", help="the name of a pretrained model, or a .safetensors file (default: the task's own)"
    )
    solve.add_argument(
        "--loops",
        type=at_least_one,
        help="at most so many loops an instance, all tries together (default: the task's own limit)",
    )
    solve.add_argument(
        "--restart",
        type=at_least_one,
        help="where the task certifies answers: begin again from noise after so many loops without one",
    )
    solve.add_argument("--no-guess", action="store_true", help="let no try assume a digit, however many have failed")
    solve.add_argument(
        "--compiled",
        action="store_true",
        help="compile the model first, for long files: half a minute, then bits take about half the time;"
        " needs a C++ compiler",
    )
    solve.add_argument(
        "--json", action="store_true", help="one object a line: input, answer, status, loops, tries, residual"
    )
    solve.set_defaults(run=run_solve)
    return solve


def add_card(commands: Any) -> argparse.ArgumentParser:
    card = commands.add_parser(
        "card", help="the card of a model: its recipe, how it was trained, what it scored; no model: the names"
    )
    card.add_argument("model", nargs="?", help="the name of a pretrained model, or a .safetensors file")
    card.set_defaults(run=run_card)
    return card


def add_export(commands: Any) -> argparse.ArgumentParser:
    export = commands.add_parser("export", help="a model as two ONNX graphs, for onnxruntime and browsers")
    export.add_argument("model", help="the name of a pretrained model, or a .safetensors file")
    export.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder for encode.onnx, step.onnx and model.json",
    )
    export.set_defaults(run=run_export)
    return export


def run_export(args: argparse.Namespace) -> int:
    from .export import export
    from .pretrained import load_pretrained

    folder = export(load_pretrained(args.model), args.out)
    sizes = ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in sorted(folder.glob("*.onnx")))
    print(f"{folder}: {sizes}")
    return 0


def add_doctor(commands: Any) -> argparse.ArgumentParser:
    doctor = commands.add_parser(
        "doctor", help="what this machine has, how long each lesson takes on it, what is wrong"
    )
    doctor.set_defaults(run=run_doctor)
    return doctor


def run_doctor(args: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor()


# Commands that packages above this one bring along. Each is declared there, as an entry point of the group
# "looped_lite.commands"; here is only what the list of commands says of them.
BROUGHT = {
    "progress": "which exercises you have solved, by lesson",
    "grade": "for instructors: marks and feedback for a folder of submissions",
}


def add_brought(name: str) -> Callable[[Any], argparse.ArgumentParser]:
    return lambda commands: commands.add_parser(name, help=BROUGHT[name])


def run_brought(name: str, words: list[str]) -> int:
    """Run a command that another package of the course declares. ValueError if none that is installed does."""
    for point in entry_points(group="looped_lite.commands", name=name):
        try:
            run = point.load()
        except ModuleNotFoundError as error:
            if error.name != point.module.partition(".")[0]:
                raise
            break
        return run(words)
    home = {"progress": "looped_exercises.progress", "grade": "coursework"}[name]
    raise ValueError(
        f"{name} comes with another part of the course, which is not installed here: in a copy of the course that has"
        f" it, run make lab again, or python -m {home}"
    )


COMMANDS = {
    "train": add_train,
    "eval": add_eval,
    "solve": add_solve,
    "card": add_card,
    "export": add_export,
    "doctor": add_doctor,
}
COMMANDS |= {name: add_brought(name) for name in BROUGHT}


def run_train(args: argparse.Namespace) -> int:
    from .checkpoints import check_writable
    from .pretrained import save_pretrained
    from .recipe import Recipe, get_task
    from .training import train

    task = get_task(args.task, **dict(map(setting, args.setting)))
    recipe = Recipe(task, **{f.name: getattr(args, f.name) for f in fields(Recipe)[1:]})
    out = args.out or Path(f"{task.name}-{recipe.recall}-{recipe.norm}-seed{recipe.seed}.safetensors")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: expected the name of a .safetensors file")
    out = out if out.suffix == ".safetensors" else out.with_name(f"{out.name}.safetensors")
    check_writable(out)
    unfinished = out.with_name(f"{out.stem}.run.safetensors")  # everything that it takes to go on after Ctrl-C
    model, run = train(recipe, checkpoint=unfinished, progress=not args.quiet, device=args.device)
    if not run.finished:
        return INTERRUPTED
    facts = {"trained_on": args.device.upper(), "threads": threads_in_use(), "minutes": round(run.seconds / 60, 3)}
    save_pretrained(model, out, {**facts, "steps": run.step, "level": run.level})
    unfinished.unlink()
    print(f"{out}: {run.step} steps in {run.seconds:.0f} s, curriculum at level {run.level:g} of {task.last_level:g}")
    print(f"again: {recipe.command()}")
    return 0


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``, where VALUE is JSON or else taken as a word: ("box", (2, 3)) from "box=[2,3]"."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign):
        raise ValueError(f"--setting {shorten(repr(text))}: expected NAME=VALUE, such as box=[2,3]")
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = value
    return name, tuple(read) if isinstance(read, list) else read


def run_eval(args: argparse.Namespace) -> int:
    import torch

    from .checks import whole
    from .evaluation import accuracy_over_loops
    from .pretrained import load_pretrained

    model = load_pretrained(args.model)
    generator = torch.Generator().manual_seed(whole("seed", args.seed, 0, 2**63 - 1))
    levels = args.levels and [int(level) if level == level // 1 else level for level in args.levels]
    if not args.json:
        print(f"{'instances':>28}  {'loops':>6}  exact match")
    for name, x, y, usual in model.recipe.task.test_sets(args.instances, levels, generator):
        loops = sorted(set(args.loops or usual))
        right = accuracy_over_loops(model, x, y, loops, args.start, generator)
        for count in loops:
            share = float(right[count].float().mean())
            row = {"model": args.model, "set": name, "instances": len(x), "start": args.start, "loops": count}
            text = f"{f'{len(x)} of {name}':>28}  {count:>6}  {share:.3f}"
            print(json.dumps(row | {"exact": share}) if args.json else text, flush=True)
    return 0


def run_solve(args: argparse.Namespace) -> int:
    from .model import compile_blocks
    from .pretrained import load_pretrained
    from .recipe import get_task
    from .solving import AHEAD, solve

    if bool(args.instances) == bool(args.file):
        raise ValueError("solve needs instances, or --file, and not both")
    task = get_task(args.task)

    @cache  # one default may not fit every instance: sudoku has a model for each size
    def open_model(name: str) -> Any:
        model = load_pretrained(name)
        return compile_blocks(model, dynamic=True) if args.compiled else model

    if args.model and type(open_model(args.model).recipe.task) is not type(task):
        raise ValueError(
            f"{args.model} solves {open_model(args.model).recipe.task.name}, expected a model for {args.task}"
        )
    choose = lambda text: open_model(args.model or task.default_model(text))
    lines: list[int] = []
    texts = numbered(read_lines(args.file), lines) if args.file else iter(args.instances)
    typed = args.file == "-" and sys.stdin is not None and sys.stdin.isatty()
    ahead = 1 if typed else AHEAD  # a person at the keyboard wants each answer at once
    code = 0
    options = {"ahead": ahead, "strict": False, "guess": not args.no_guess}
    for place, solution in enumerate(solve(choose, texts, args.loops, args.restart, **options)):
        line = lines[place] if args.file else None
        code = max(code, report(solution, choose, line, args))
    return code


def report(solution: Any, choose: Callable[[str], Any], line: int | None, args: argparse.Namespace) -> int:
    """Print one solution; returns the exit code that it asks for."""
    if solution.status == "invalid":
        error = one_line(solution.extra["error"])
        if args.json and line is not None:
            print(json.dumps({"input": solution.input, "line": line, "error": error}), flush=True)
        else:
            complain(error if line is None else f"{args.file}, line {line}: {error}")
        return BAD
    if args.json:
        print(json.dumps(solution.as_dict()), flush=True)
    else:
        print(in_words(solution, choose(solution.input).recipe.task, sys.stdout.isatty()), flush=True)
    return UNSOLVED if solution.extra.get("solved") is False or solution.answer is None else 0


def numbered(lines: Iterator[tuple[int, str]], numbers: list[int]) -> Iterator[str]:
    """The texts of ``lines``; their numbers are appended to ``numbers`` on the way."""
    for number, text in lines:
        numbers.append(number)
        yield text


def read_lines(name: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and instances, one a line, stripped. Blank lines and comments (#) are skipped."""
    if name == "-" and sys.stdin is None:
        raise ValueError("the standard input is closed: expected one instance a line")
    found = False
    try:
        with sys.stdin.buffer if name == "-" else open(name, "rb") as file:
            for number, data in enumerate(file, start=1):
                text = data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text and not text.startswith("#"):
                    found = True
                    yield number, text
    except OSError as error:
        raise ValueError(f"cannot read {shorten(name)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{shorten(name)} is not text: expected one instance a line in UTF-8") from error
    if not found:
        raise ValueError(f"{shorten(name)} is empty: expected one instance a line")


def in_words(solution: Any, task: Any, terminal: bool) -> str:
    """A solution for people: the answer, drawn if there is a terminal, and what is known about it."""
    loops = f"{solution.loops} loop{'s' * (solution.loops != 1)}"
    how = {
        "solved": f"solved, checked by the rules, try {solution.tries}, {loops}",
        "settled": f"settled after {loops}",
        "cycling": f"not settled: it goes in a circle, seen after {loops}",
        "ran out": f"not settled after {loops}",
        "diverged": f"no answer: the state overflowed after {loops}",
    }[solution.status]
    if solution.answer is None:
        return how
    facts = [how, *([] if solution.status == "solved" else [f"residual {solution.residual:.1e}"])]
    facts += task.in_words(solution.input, solution.answer, solution.extra)
    best = f"not solved in {solution.tries} tries; best state: " if solution.extra.get("solved") is False else ""
    answer = task.drawn(solution.answer) if terminal else solution.answer
    return f"{best}{answer}\n({', '.join(facts)})" if "\n" in answer else f"{best}{answer}  ({', '.join(facts)})"


def run_card(args: argparse.Namespace) -> int:
    from .checkpoints import load_tensors
    from .paths import model_path
    from .pretrained import load_pretrained, pretrained_names

    if args.model is None:
        print("\n".join(pretrained_names()))
        return 0
    if not os.path.isfile(model_path(args.model)):
        load_pretrained(args.model)  # says that there is none, and what there is
    print(json.dumps(load_tensors(model_path(args.model))[1], indent=2, ensure_ascii=False))
    return 0


def threads_in_use() -> int:
    import torch

    return torch.get_num_threads()


def one_line(error: BaseException | str) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def shorten(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def complain(message: str) -> int:
    """Print one line on the standard error, if there is one, and return the exit code for bad input."""
    if sys.stderr is not None:
        print(f"looped-lite: {shorten(message, 500)}", file=sys.stderr, flush=True)
    return BAD


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    # a puzzle may begin with - for an empty cell, which argparse would take for an option
    words = [f" {word}" if re.fullmatch(r"-[-.\d_*|+=:\s]{15,}", word) else word for word in words]
    sys.path.append("")  # a task of your own lies in the folder where you are
    try:
        if words and words[0] in BROUGHT:
            return run_brought(words[0], words[1:])
        parser, commands = make_parser()
        if words and words[0] in commands:  # intermixed: options may stand between the instances
            args = commands[words[0]].parse_intermixed_args(words[1:])
        else:
            args = parser.parse_args(words)
        if args.threads:
            import torch

            torch.set_num_threads(min(args.threads, 4 * (os.cpu_count() or 1)))
        return args.run(args)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ArithmeticError, ImportError, RuntimeError, MemoryError, NotImplementedError) as error:
        return complain(one_line(error))
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
