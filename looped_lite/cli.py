"""``looped-lite``: train, evaluate and use the course's models from a terminal. Errors are one line, and exit code 2."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from . import __version__

BAD = 2  # exit code for bad input
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD, f"looped-lite: {message} (see {self.prog} --help)\n")


def at_least_one(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return value


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and the parser of each command."""
    parser = Parser(prog="looped-lite", description="Looped transformers from scratch: train, evaluate, solve.")
    parser.add_argument("--version", action="version", version=f"looped-lite {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="train | eval | solve")

    train = commands.add_parser("train", help="train a model; Ctrl-C stops, the same command goes on from there")
    train.add_argument("task", help="prefix-sums, sudoku or chess")
    train.add_argument("--recall", default="internal", help="none, external or internal (default: %(default)s)")
    train.add_argument("--norm", default="post", help="pre, peri, post, sandwich or gru (default: %(default)s)")
    train.add_argument("--width", type=at_least_one, default=64, help="channels a cell (default: %(default)s)")
    train.add_argument("--steps", type=at_least_one, default=600, help="training steps (default: %(default)s)")
    train.add_argument("--batch", type=at_least_one, default=64, help="instances a step (default: %(default)s)")
    train.add_argument("--lr", type=float, default=3e-3, help="peak learning rate (default: %(default)s)")
    train.add_argument(
        "--decay", type=float, default=0.4, help="share of the steps, at the end, in which the rate falls to 0"
    )
    train.add_argument("--muon", type=float, help="rate of Muon for the matrices in the loop (default: AdamW for all)")
    train.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the task, e.g. box=[2,3] for 6x6 sudoku",
    )
    train.add_argument(
        "--compile", action="store_true", help="compile the block first: faster steps, but it needs a C++ compiler"
    )
    train.add_argument(
        "--from", dest="begin", metavar="MODEL", help="begin with the weights of a pretrained model or file"
    )
    train.add_argument(
        "--pool",
        type=at_least_one,
        help="train on so many instances that keep their states from step to step, instead of a curriculum",
    )
    train.add_argument(
        "--horizon", type=at_least_one, default=64, help="most loops of an instance of the pool (default: %(default)s)"
    )
    train.add_argument(
        "--bfloat16", action="store_true", help="matrix products in half precision: twice as fast on some processors"
    )
    train.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    train.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's own choice)")
    train.add_argument(
        "--out", type=Path, help="where to save the model (default: ./TASK-RECALL-NORM-seedSEED.safetensors)"
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser("eval", help="exact match of a model on unseen instances")
    evaluate.add_argument("model", help="the name of a pretrained model, or a .safetensors file")
    evaluate.add_argument(
        "--lengths", "--levels", dest="levels", type=float, nargs="+", help="e.g. bits (default: the task's usual ones)"
    )
    evaluate.add_argument("--loops", type=at_least_one, nargs="+", help="(default: what the task finds worth showing)")
    evaluate.add_argument("--instances", type=at_least_one, default=20, help="for each length (default: %(default)s)")
    evaluate.add_argument("--start", default="input", help="input, zeros or noise (default: %(default)s)")
    evaluate.add_argument("--seed", type=int, default=1000, help="for the instances (default: %(default)s)")
    evaluate.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's own choice)")
    evaluate.add_argument("--json", action="store_true", help="one object a line")
    evaluate.set_defaults(run=run_eval)

    solve = commands.add_parser("solve", help="solve instances: bits, a sudoku, a chess position (FEN)")
    solve.add_argument("task", help="prefix-sums, sudoku or chess")
    solve.add_argument("instances", nargs="*", metavar="INSTANCE", help="e.g. 0110")
    solve.add_argument("--file", metavar="F", help="read instances from F, one a line; - is the standard input")
    solve.add_argument(
        "--model", help="the name of a pretrained model, or a .safetensors file (default: the task's own)"
    )
    solve.add_argument("--loops", type=at_least_one, help="at most so many loops a try (default: the task's own limit)")
    solve.add_argument(
        "--tries",
        type=at_least_one,
        default=16,
        help="while the answer breaks the task's own rules (sudoku), all but the first from noise (default: %(default)s)",
    )
    solve.add_argument("--json", action="store_true", help="one object a line: input, answer, loops, residual, settled")
    solve.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's own choice)")
    solve.set_defaults(run=run_solve)
    return parser, {"train": train, "eval": evaluate, "solve": solve}


def run_train(args: argparse.Namespace) -> int:
    from .checkpoints import load_into
    from .pretrained import get_task, load_pretrained, save_pretrained
    from .training import train

    task = get_task(args.task, **dict(map(setting, args.setting)))
    settings = {"seed": args.seed, "recall": args.recall, "norm": args.norm, "width": args.width}
    model = task.model(**settings)
    if args.begin:
        load_into(model, load_pretrained(args.begin).state_dict(), args.begin)
    out = args.out or Path(f"{task.name}-{args.recall}-{args.norm}-seed{args.seed}.safetensors")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: expected the name of a .safetensors file")
    out = out if out.suffix == ".safetensors" else out.with_name(f"{out.name}.safetensors")
    unfinished = out.with_name(f"{out.stem}.run.safetensors")  # everything that it takes to go on after Ctrl-C
    if args.compile:
        for block in model.blocks:
            block.compile(dynamic=False)
    recipe = {"seed": args.seed, "batch": args.batch, "lr": args.lr, "decay": args.decay, "muon": args.muon}
    if args.pool:
        recipe |= {"pool": args.pool, "horizon": args.horizon}
    if args.bfloat16:
        recipe["bfloat16"] = True
    run = train(model, task, args.steps, **recipe, checkpoint=unfinished, progress=not args.quiet)
    if not run.finished:
        return INTERRUPTED
    card = {"model": settings, **recipe, "steps": run.step, "minutes": round(run.seconds / 60, 3)}
    card |= {"threads": threads_in_use(), "level": run.level, "command": f"looped-lite {' '.join(args.words)}"}
    save_pretrained(model, out, card)
    unfinished.unlink()
    print(f"{out}: {run.step} steps in {run.seconds:.0f} s, curriculum at level {run.level:g} of {task.last_level:g}")
    return 0


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``, where VALUE is JSON or else taken as a word: ("box", (2, 3)) from "box=[2,3]"."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign):
        raise ValueError(f"--setting {text!r}: expected NAME=VALUE, such as box=[2,3]")
    try:
        read = json.loads(value)
    except json.JSONDecodeError:
        read = value
    return name, tuple(read) if isinstance(read, list) else read


def run_eval(args: argparse.Namespace) -> int:
    import torch

    from .pretrained import load_pretrained
    from .training import accuracy_over_loops

    model = load_pretrained(args.model)
    if not hasattr(model.task, "test_sets"):
        raise ValueError(f"{args.model} cannot be evaluated: its task has no test_sets")
    generator = torch.Generator().manual_seed(args.seed)
    levels = args.levels and [int(level) if level == int(level) else level for level in args.levels]
    if not args.json:
        print(f"{'instances':>28}  {'loops':>6}  exact match")
    for name, x, y, usual in model.task.test_sets(args.instances, levels, generator):
        loops = sorted(set(args.loops or usual))
        right = accuracy_over_loops(model, x, y, loops, args.start, generator)
        for count in loops:
            share = float(right[count].float().mean())
            row = {"model": args.model, "set": name, "instances": len(x), "start": args.start, "loops": count}
            text = f"{f'{len(x)} of {name}':>28}  {count:>6}  {share:.3f}"
            print(json.dumps(row | {"exact": share}) if args.json else text, flush=True)
    return 0


def run_solve(args: argparse.Namespace) -> int:
    from .pretrained import get_task, load_pretrained

    if bool(args.instances) == bool(args.file):
        raise ValueError("solve needs instances, or --file, and not both")
    task = get_task(args.task)
    open_model = cache(load_pretrained)  # one default may not fit every instance: sudoku has a model for each size
    if args.model and type(open_model(args.model).task) is not type(task):
        raise ValueError(f"{args.model} solves {open_model(args.model).task.name}, expected a model for {args.task}")
    if not args.model and not hasattr(task, "default_model"):
        raise ValueError(f"{args.task} has no model of its own: expected --model NAME")
    bad = False
    for line, text in read_lines(args.file) if args.file else ((None, text) for text in args.instances):
        try:
            solution = open_model(args.model or task.default_model(text)).solve(text, args.loops, tries=args.tries)
        except ValueError as error:
            bad = True
            if args.json and line is not None:
                print(json.dumps({"input": text, "line": line, "error": one_line(error)}), flush=True)
            else:
                complain(one_line(error) if line is None else f"{args.file}, line {line}: {one_line(error)}")
            continue
        print(json.dumps(solution.as_dict()) if args.json else in_words(solution), flush=True)
    return BAD if bad else 0


def read_lines(name: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1, and the lines without the spaces around them; blank lines at the end do not count."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = data.decode("utf-8-sig").rstrip()
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not text: expected one instance a line in UTF-8") from error
    if not text:
        raise ValueError(f"{name} is empty: expected one instance a line")
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line.strip()


def in_words(solution: Any) -> str:
    how = "settled after" if solution.settled else "not settled after"
    facts = [f"{how} {solution.loops} loop{'s' * (solution.loops != 1)}", f"residual {solution.residual:.1e}"]
    facts += [f"{name} {value:.2f}" for name, value in solution.extra.items() if isinstance(value, float)]
    best = "not solved; best state: " if solution.extra.get("solved") is False else ""
    return f"{best}{solution.answer}  ({', '.join(facts)})"


def threads_in_use() -> int:
    import torch

    return torch.get_num_threads()


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def complain(message: str) -> int:
    """Print one line on the standard error, and return the exit code for bad input."""
    print(f"looped-lite: {message}", file=sys.stderr, flush=True)
    return BAD


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    parser, commands = make_parser()
    if words and words[0] in commands:  # intermixed: options may stand between the instances
        args = commands[words[0]].parse_intermixed_args(words[1:])
    else:
        args = parser.parse_args(words)
    args.words = words
    try:
        if args.threads:
            import torch

            torch.set_num_threads(args.threads)
        return args.run(args)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ArithmeticError, ImportError, RuntimeError) as error:
        return complain(one_line(error))
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
