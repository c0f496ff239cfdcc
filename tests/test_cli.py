"""The command line: the same names as in Python, errors in one line, exit code 2 for bad input."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from looped_lite.checkpoints import load_tensors
from looped_lite.cli import main
from looped_lite.pretrained import load_pretrained, pretrained_names, save_pretrained
from looped_lite.recipe import Recipe
from looped_lite.solving import solve
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import show

KEYS = ["input", "answer", "status", "loops", "tries", "residual"]
ROOT = Path(__file__).resolve().parent.parent
TINY = ("--steps", 2, "--batch", 2, "--width", 16, "--quiet")


@pytest.fixture
def cli(capsys):
    """Run the command line here; returns exit code, lines of standard output, standard error."""

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


@pytest.fixture
def model(tmp_path):
    """An untrained model in a file, quick to run."""
    return save_pretrained(Recipe(PrefixSums(), width=16, heads=2).build(), tmp_path / "m.safetensors")


def fails(result, *pieces):
    code, _, err = result
    assert code == 2 and err.startswith("looped-lite: ") and err.count("\n") == 1 and "Traceback" not in err
    assert len(err) < 600 and all(piece in err for piece in pieces), err
    return True


# ---------------------------------------------------------------- solve


def test_solve_with_the_shipped_model(cli):
    code, out, err = cli("solve", "prefix-sums", "0110", "1", "--threads", torch.get_num_threads())
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out] == ["0100", "1"] and all("settled after" in line for line in out)


def test_solve_json_is_what_python_says(cli, model):
    code, out, err = cli("solve", "prefix-sums", "--json", "0110", "--model", model, "--loops", 9, "101")
    rows = [json.loads(line) for line in out]
    assert (code, err, len(rows)) == (0, "", 2) and all(list(row) == KEYS for row in rows)
    assert rows == [solution.as_dict() for solution in solve(load_pretrained(model), ["0110", "101"], loops=9)]
    assert [type(value) for value in rows[0].values()] == [str, str, str, int, int, float]


def test_solve_a_file(cli, model, tmp_path):
    file = tmp_path / "in.txt"  # a byte order mark, Windows line ends, a comment, a blank line at the end
    file.write_bytes(b"\xef\xbb\xbf0110\r\n# more\r\n101\r\n\n")
    code, out, err = cli("solve", "prefix-sums", "--file", file, "--json", "--model", model)
    assert (code, err) == (0, "") and [json.loads(line)["input"] for line in out] == ["0110", "101"]


def test_bad_lines_of_a_file(cli, model, tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("01\n01x\n\n 11 \nhello\n")
    code, out, err = cli("solve", "prefix-sums", "--file", file, "--json", "--model", model)
    rows = [json.loads(line) for line in out]
    assert (code, err) == (2, "") and [row["input"] for row in rows] == ["01", "01x", "11", "hello"]
    bad = [row for row in rows if "error" in row]
    assert all(list(row) == ["input", "line", "error"] for row in bad) and [row["line"] for row in bad] == [2, 5]
    assert bad[0]["error"] == "character 3 of '01x' is 'x': expected only 0 and 1"

    code, out, err = cli("solve", "prefix-sums", "--file", file, "--model", model)
    assert code == 2 and len(out) == 2 and err.count("\n") == 2
    assert err.startswith(f"looped-lite: {file}, line 2: character 3 of '01x' is 'x'")


def test_a_bad_instance_among_good_ones(cli, model):
    code, out, err = cli("solve", "prefix-sums", "01", "2", "10", "--model", model)
    assert code == 2 and len(out) == 2 and err == "looped-lite: character 1 of '2' is '2': expected only 0 and 1\n"
    code, out, err = cli("solve", "prefix-sums", "01" * 10**5 + "x", "--model", model)
    assert fails((code, out, err), "character 200001 of '0101")


@pytest.mark.parametrize("option", ["--loops", "--restart", "--threads"])
@pytest.mark.parametrize("value", ["0", "-3", "two", "1.5", "", "9" * 5000])
def test_bad_whole_numbers(cli, model, option, value):
    result = cli("solve", "prefix-sums", "01", "--model", model, option, value)
    assert fails(result, f"argument {option}: expected a")


def test_bad_words(cli, model, tmp_path):
    assert fails(cli(), "arguments are required")
    assert fails(cli("juggle"), "invalid choice: 'juggle'")
    unknown = "unknown task 'juggling': expected prefix-sums, sudoku, chess, or module:Class"
    assert fails(cli("solve", "juggling", "01"), unknown)
    assert fails(cli("solve", "prefix-sums"), "solve needs instances, or --file")
    assert fails(cli("solve", "prefix-sums", "01", "--file", model), "and not both")
    assert fails(cli("solve", "prefix-sums", ""), "an empty string has no prefix sums")
    assert fails(cli("solve", "prefix-sums", "01", "--bogus"), "unrecognized arguments: --bogus")
    near = cli("solve", "prefix-sums", "01", "--model", "prefix-sums-internal-post")
    assert fails(near, "no pretrained model 'prefix-sums-internal-post'", "did you mean", "internal-post-seed")
    assert fails(cli("solve", "prefix-sums", "01", "--model", tmp_path / "x.safetensors"), "x.safetensors' is missing")
    assert fails(cli("solve", "prefix-sums", "01", "--model", "sudoku-6x6"), "expected a model for prefix-sums")


def test_bad_files(cli, model, tmp_path):
    assert fails(cli("solve", "prefix-sums", "--file", tmp_path / "nothing"), "cannot read", "No such file")
    assert fails(cli("solve", "prefix-sums", "--file", tmp_path), "cannot read", "Is a directory")
    for content, message in (
        (b"", "is empty: expected one instance a line"),
        (b"\n \n# nothing\n", "is empty"),
        (b"\xff\x00", "is not text"),
    ):
        (tmp_path / "f").write_bytes(content)
        assert fails(cli("solve", "prefix-sums", "--file", tmp_path / "f"), message)
    model.write_bytes(model.read_bytes()[:-5])
    assert fails(cli("solve", "prefix-sums", "01", "--model", model), "is not a whole safetensors file")


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
def test_a_compiled_model_gives_the_same_answers(cli, tmp_path, fresh_compiler):
    """One translation for all lengths, in threads side by side, and the same loops but for the last bits."""
    random.seed(0)
    texts = ["".join(random.choices("01", k=length)) for length in (8, 20, 1, 33, 20, 64, 2) for _ in range(2)]
    (file := tmp_path / "f").write_text("\n".join(texts))
    plain, compiled = (
        [json.loads(line) for line in cli("solve", "prefix-sums", "--file", file, "--json", *more)[1]]
        for more in ((), ("--compiled",))
    )
    counters = torch._dynamo.utils.counters["stats"]
    assert 1 <= counters["unique_graphs"] <= 4, "not one for each length"
    assert [row["answer"] for row in compiled] == [row["answer"] for row in plain]
    assert all(abs(a["loops"] - b["loops"]) <= 1 for a, b in zip(compiled, plain, strict=True))


@pytest.fixture
def fresh_compiler():
    torch._dynamo.utils.counters.clear()
    yield
    torch.compiler.reset()


def test_without_a_compiler_it_says_what_it_needs(cli, model, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert fails(cli("solve", "prefix-sums", "01", "--model", model, "--compiled"), "the C++ compiler no-such-compiler")
    assert fails(cli("train", "prefix-sums", *TINY, "--compiled"), "compiled blocks need", "expected it on the PATH")


# ---------------------------------------------------------------- solve sudoku


def clueless(tmp_path, bias):
    """A 4x4 model whose logits are ``bias`` in every cell, whatever it is asked."""
    model = Recipe(Sudoku((2, 2)), width=16).build()
    with torch.no_grad():
        model.head[-1].weight.zero_()
        model.head[-1].bias.copy_(torch.tensor(bias))
    return save_pretrained(model, tmp_path / "clueless.safetensors")


def test_a_grid_that_breaks_a_rule_is_not_called_solved(cli, tmp_path):
    words = ("solve", "sudoku", "12343412214343..", "--model", clueless(tmp_path, [0.0, 0.0, 9.0, 0.0]))
    code, out, err = cli(*words, "--loops", 2)
    assert (code, err) == (1, "") and out[0].startswith("not solved in 1 tries; best state: 1234341221434333  (")
    code, out, _ = cli(*words, "--loops", 6, "--restart", 2, "--json")
    row = json.loads(out[0])
    assert (
        code == 1 and list(row) == [*KEYS, "solved"] and row["solved"] is False and row["answer"][:-2] == words[2][:-2]
    )
    assert (row["tries"], row["loops"]) == (3, 6) and row["status"] != "solved"


def test_a_grid_that_keeps_the_rules_is_called_solved(cli, tmp_path):
    words = ("solve", "sudoku", text := "123434122143432.", "--model", clueless(tmp_path, [9.0, 0.0, 0.0, 0.0]))
    code, out, _ = cli(*words, "--loops", 2)
    assert code == 0 and out[0] == f"{text[:-1]}1  (solved, checked by the rules, try 1, 2 loops)"
    row = json.loads(cli(*words, "--loops", 2, "--json")[1][0])
    assert (row["solved"], row["status"], row["answer"]) == (True, "solved", text[:-1] + "1")


def test_a_state_that_overflows_is_no_answer(cli, tmp_path):
    model = Recipe(PrefixSums(), width=16, heads=2, norm="pre").build()
    model.blocks[0].mlp.down.weight.data *= 1e30
    path = save_pretrained(model, tmp_path / "wild.safetensors")
    code, out, _ = cli("solve", "prefix-sums", "0110", "--model", path)
    assert code == 1 and out[0].startswith("no answer: the state overflowed after ")
    code, out, _ = cli("solve", "prefix-sums", "0110", "--model", path, "--json")
    row = json.loads(out[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert code == 1 and (row["status"], row["answer"], row["residual"]) == ("diverged", None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("11" + "." * 14, "row 1 has two 1s: columns 1 and 2"),
        ("1" + "." * 15, "several solutions"),
        ("123........4....", "this puzzle has no solution"),
        ("5" + "." * 15, "5"),
        ("x" + "." * 15, "row 1, column 1: 'x' is neither a digit"),
    ],
)
def test_puzzles_that_are_none(cli, tmp_path, text, message):
    result = cli("solve", "sudoku", text, "--model", clueless(tmp_path, [0.0] * 4))
    assert fails(result, message) and result[1] == []


@pytest.mark.parametrize("box", [(2, 3), (3, 3)])
def test_the_shipped_sudoku_models_solve(cli, box, tmp_path):
    puzzles, solutions, _ = load_puzzles(box, "test")
    file = tmp_path / "puzzles.txt"
    file.write_text("".join(show(puzzle) + "\n" for puzzle in puzzles[:6].tolist()))
    code, out, err = cli("solve", "sudoku", "--file", file, "--json")
    rows = [json.loads(line) for line in out]
    assert (code, err, len(rows)) == (0, "", 6)
    for row, puzzle, solution in zip(rows, puzzles.tolist(), solutions.tolist(), strict=False):
        assert (row["input"], row["answer"], row["solved"]) == (show(puzzle), show(solution), True)
    assert fails(cli("solve", "sudoku", "12.."), "a puzzle of 4 characters")


# ---------------------------------------------------------------- eval and card


def test_eval(cli, model):
    words = ("eval", model, "--lengths", 4, 6, "--loops", 3, 2, "--instances", 5)
    code, out, err = cli(*words, "--json")
    rows = [json.loads(line) for line in out]
    assert (code, err) == (0, "")
    assert [(row["set"], row["loops"], row["instances"]) for row in rows] == [
        *(("4 bits", loops, 5) for loops in (2, 3)),
        *(("6 bits", loops, 5) for loops in (2, 3)),
    ]
    assert all(0 <= row["exact"] <= 1 for row in rows)
    assert cli(*words, "--json")[1] == out
    code, out, _ = cli(*words)
    assert code == 0 and len(out) == 5 and "exact match" in out[0]


def test_eval_of_the_shipped_model(cli):
    for start in ("input", "zeros", "noise"):
        words = ("--lengths", 48, "--loops", 96, "--instances", 8, "--start", start, "--json")
        code, out, _ = cli("eval", "prefix-sums-internal-post-seed0", *words)
        assert code == 0 and json.loads(out[0])["exact"] == 1.0


def test_bad_evals(cli, model):
    assert fails(cli("eval"), "arguments are required: model")
    assert fails(cli("eval", "nobody"), "no pretrained model 'nobody'")
    for length in ("0", "2.5", "nan", "inf", "1e300", "-1"):
        assert fails(cli("eval", model, f"--lengths={length}"))
    assert fails(cli("eval", model, "--lengths", "4", "--loops", "0"), "argument --loops")
    assert fails(cli("eval", model, "--lengths", "4", "--start", "nowhere"), "unknown start 'nowhere'")
    assert fails(cli("eval", model, "--instances", "-1"), "argument --instances")
    assert fails(cli("eval", model, "--seed", 2**63), "seed must be")
    assert fails(cli("eval", model, "--seed", -1), "seed must be")


def test_cards(cli, model, tmp_path):
    code, out, err = cli("card", model)
    assert (code, err) == (0, "") and json.loads("\n".join(out)) == load_tensors(model)[1]
    assert cli("card")[1] == pretrained_names()
    assert fails(cli("card", "nobody"), "no pretrained model 'nobody'")
    assert fails(cli("card", "n" * 5000), "no pretrained model")
    (tmp_path / "x.safetensors").write_text("hello")
    assert fails(cli("card", tmp_path / "x.safetensors"), "is not a whole safetensors file")


# ---------------------------------------------------------------- train


def test_train_saves_what_load_pretrained_reads(cli, tmp_path):
    out = tmp_path / "mine"
    code, lines, _ = cli("train", "prefix-sums", *TINY, "--norm", "sandwich", "--seed", 7, "--out", out)
    assert code == 0 and lines[0].startswith(f"{out}.safetensors: 2 steps in ")
    model = load_pretrained(f"{out}.safetensors")
    assert model.recipe == Recipe(PrefixSums(), norm="sandwich", seed=7, width=16, steps=2, batch=2)
    assert (model.card["steps"], model.card["threads"], model.card["level"]) == (2, torch.get_num_threads(), 4)
    assert (
        lines[1] == f"again: {model.card['command']}"
        and model.card["trained_on"] == "CPU"
        and model.card["minutes"] >= 0
    )
    assert os.listdir(tmp_path) == ["mine.safetensors"]


def test_every_setting_of_a_recipe_is_an_option(cli, tmp_path):
    helped = cli("train", "--help")
    assert helped[0] == 0 and all(
        f"--{field.name.replace('_', '-')}" in "\n".join(helped[1]) for field in fields(Recipe)[1:]
    )
    words = (
        "--setting",
        "box=[2,3]",
        "--setting",
        "most_loops=3",
        "--setting",
        'attention="full"',
        "--decay",
        0.5,
        "--bfloat16",
    )
    assert cli("train", "sudoku", *words, *TINY, "--mlp-ratio", 2, "--out", tmp_path / "m")[0] == 0
    recipe = load_pretrained(tmp_path / "m.safetensors").recipe
    task = Sudoku((2, 3), attention="full", most_loops=3)
    assert recipe == Recipe(task, decay=0.5, bfloat16=True, mlp_ratio=2, width=16, steps=2, batch=2)
    words = ("--setting", "attention=full", "--setting", "box=[2,2]")
    assert fails(cli("train", "sudoku", *words, *TINY, "--out", tmp_path / "m"), "no shipped puzzles")


def test_train_goes_on_from_another_model_with_a_pool(cli, tmp_path):
    words = ("train", "prefix-sums", *TINY, "--lr", 1e-9)
    assert cli(*words, "--out", tmp_path / "a")[0] == 0
    begun = ("--begin", tmp_path / "a.safetensors", "--pool", 4, "--horizon", 9)
    assert cli(*words, "--seed", 5, *begun, "--out", tmp_path / "b")[0] == 0
    a, b = (load_pretrained(tmp_path / f"{name}.safetensors") for name in "ab")
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)
    assert (b.recipe.pool, b.recipe.horizon, a.recipe.pool) == (4, 9, None)
    assert fails(cli(*words, "--recall", "none", *begun, "--out", tmp_path / "c"), "a.safetensors is for another model")


def test_train_has_a_default_name(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("train", "prefix-sums", *TINY)[0] == 0
    assert os.listdir(tmp_path) == ["prefix-sums-internal-post-seed0.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_train_stops_at_a_signal_and_goes_on(cli, tmp_path, name):
    """Stopped in a process of its own, gone on with here: the weights are those of a run nobody stopped."""
    program = (
        "import os, signal, sys, looped_lite.training as t, looped_lite.cli as c\n"
        "step = t.train_step\n"
        "def train_step(state):\n"
        f"    if state.run.step == 5: os.kill(os.getpid(), signal.{name})\n"
        "    return step(state)\n"
        "t.train_step = train_step\n"
        "sys.exit(c.main())\n"
    )
    words = lambda out: [
        *("train", "prefix-sums", "--steps", "12", "--batch", "4", "--width", "16", "--quiet"),
        *("--threads", str(torch.get_num_threads()), "--out", str(tmp_path / out)),
    ]
    command = [sys.executable, "-c", program, *words("a")]
    stopped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert stopped.returncode == 130 and "Interrupted after step 6 of 12" in stopped.stdout and not stopped.stderr
    assert os.listdir(tmp_path) == ["a.run.safetensors"]
    assert cli(*words("a"))[0] == 0 and cli(*words("b"))[0] == 0
    (a, _), (b, _) = (load_tensors(tmp_path / f"{letter}.safetensors") for letter in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_bad_trains(cli, tmp_path):
    train = lambda *words: cli("train", "prefix-sums", *TINY, "--out", tmp_path / "m", *words)
    assert fails(cli("train", "juggling"), "unknown task 'juggling'")
    assert fails(train("--recall", "all"), "unknown recall 'all': expected one of none, external, internal")
    assert fails(train("--norm", "all"), "unknown norm 'all': expected one of pre, peri, post, sandwich, gru")
    assert fails(train("--width", "63"), "width 63 must be divisible by heads 4")
    assert fails(train("--width", 10**9), "width must be")
    assert fails(train("--width", 65536, "--blocks", 1000), "GB to train, this machine has")
    assert fails(train("--steps", "0"), "steps must be a whole number from 1 to")
    assert fails(train("--batch", "9" * 81), "batch must be")
    assert fails(train("--batch", "9" * 5000), "--batch")
    assert fails(train("--lr", "-1"), "-1")
    assert fails(train("--decay", "nan"), "decay must be")
    assert fails(train("--pool", 8, "--settle", 2), "settle waits for a curriculum, and a pool has none")
    assert fails(train("--setting", "box"), "--setting 'box': expected NAME=VALUE, such as box=[2,3]")
    assert fails(train("--setting", "colour=red"), "task prefix-sums has no setting 'colour'")
    assert fails(train("--setting", "window=" + "[" * 5000), "window must be")
    for device in ("moon", "meta", "", *["cuda"] * (not torch.cuda.is_available())):
        assert fails(train("--device", device), f"no device {device!r}: expected cpu, or cuda where there is one")
    assert fails(train("--lr", "1e3", "--steps", 30), "is nan at step", "try a smaller learning rate")
    assert os.listdir(tmp_path) == [], "nothing half-written"
    assert fails(train("--out", tmp_path), "is a folder")
    (tmp_path / "file").write_text("")
    assert fails(train("--out", tmp_path / "file" / "m"), "cannot save")
    (tmp_path / "m.run.safetensors").write_bytes(b"something else")
    assert fails(train(), "is not a whole safetensors file")


def test_a_full_disk_keeps_the_model_that_was_there(cli, tmp_path, monkeypatch):
    words = ("train", "prefix-sums", *TINY, "--out", tmp_path / "m")
    assert cli(*words)[0] == 0
    before = (tmp_path / "m.safetensors").read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("looped_lite.checkpoints.os.fsync", full)
    assert fails(cli(*words, "--seed", 1), "cannot save", "No space left on device")
    assert (tmp_path / "m.safetensors").read_bytes() == before and load_pretrained(tmp_path / "m.safetensors")


# ---------------------------------------------------------------- as a program


def program(*words, shell="", **more):
    command = [sys.executable, "-m", "looped_lite", *words]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)


@pytest.mark.slow
def test_the_program_itself(model):
    helped = program("--help")
    assert helped.returncode == 0 and all(word in helped.stdout for word in ("train", "eval", "solve", "card"))
    from_stdin = program("solve", "prefix-sums", "--file", "-", "--json", input="011\n")
    assert from_stdin.returncode == 0 and json.loads(from_stdin.stdout)["answer"] == "010"
    bad = program("solve", "prefix-sums", "2")
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.count("\n") == 1


@pytest.mark.slow
def test_closed_streams(model):
    """Nobody at either end is no reason for a traceback."""
    no_input = program("solve", "prefix-sums", "--file", "-", "--model", str(model), shell="<&-")
    assert (
        no_input.returncode == 2
        and no_input.stderr == "looped-lite: the standard input is closed: expected one instance a line\n"
    )
    no_error = program("solve", "prefix-sums", "2", "--model", str(model), shell="2>&-")
    assert no_error.returncode == 2 and no_error.stdout == ""
    head = program("card", shell="| head -n 1", env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert head.stdout.count("\n") == 1 and head.stderr == ""


def test_ctrl_c_while_solving_is_quiet(cli, monkeypatch, model):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("looped_lite.solving.Pool.step", interrupt)
    before = signal.getsignal(signal.SIGINT)
    code, out, err = cli("solve", "prefix-sums", "01", "--model", model)
    assert (code, out, err) == (130, [], "looped-lite: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is before
