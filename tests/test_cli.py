"""The command line: the same names as in Python, errors in one line, exit code 2 for bad input."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looped_lite.cli import main
from looped_lite.pretrained import load_pretrained, save_pretrained
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku, load_puzzles
from looped_lite.tasks.sudoku_puzzles import show

KEYS = ["input", "answer", "loops", "residual", "settled"]
ROOT = Path(__file__).resolve().parent.parent


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
    return save_pretrained(Recipe(PrefixSums(), width=16, heads=2).build(), tmp_path / "m.safetensors", {})


def fails(result, *pieces):
    code, _, err = result
    assert code == 2 and err.startswith("looped-lite: ") and err.count("\n") == 1 and "Traceback" not in err
    assert all(piece in err for piece in pieces), err
    return True


# ---------------------------------------------------------------- solve


def test_solve_with_the_shipped_model(cli):
    code, out, err = cli("solve", "prefix-sums", "0110", "1", "--threads", "1")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out] == ["0100", "1"] and all("settled after" in line for line in out)


def test_solve_json_is_what_python_says(cli, model):
    code, out, err = cli("solve", "prefix-sums", "--json", "0110", "--model", model, "--loops", 9, "101")
    rows = [json.loads(line) for line in out]
    assert (code, err, len(rows)) == (0, "", 2) and all(list(row) == KEYS for row in rows)
    expected = load_pretrained(model).solve(["0110", "101"], loops=9)
    assert rows == [solution.as_dict() for solution in expected]
    assert [type(value) for value in rows[0].values()] == [str, str, int, float, bool]


def test_solve_a_file(cli, model, tmp_path):
    file = tmp_path / "in.txt"
    file.write_bytes(b"\xef\xbb\xbf0110\r\n101\r\n\n")  # a byte order mark, Windows line ends, a blank line at the end
    code, out, err = cli("solve", "prefix-sums", "--file", file, "--json", "--model", model)
    assert (code, err) == (0, "") and [json.loads(line)["input"] for line in out] == ["0110", "101"]


def test_bad_lines_of_a_file(cli, model, tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("01\n01x\n\n 11 \nhello\n")
    code, out, err = cli("solve", "prefix-sums", "--file", file, "--json", "--model", model)
    rows = [json.loads(line) for line in out]
    assert (code, err) == (2, "") and [row["input"] for row in rows] == ["01", "01x", "", "11", "hello"]
    bad = [row for row in rows if "error" in row]
    assert all(list(row) == ["input", "line", "error"] for row in bad) and [row["line"] for row in bad] == [2, 3, 5]
    assert bad[0]["error"] == "character 3 of '01x' is 'x': expected only 0 and 1"

    code, out, err = cli("solve", "prefix-sums", "--file", file, "--model", model)
    assert code == 2 and len(out) == 2 and err.count("\n") == 3
    assert err.startswith(f"looped-lite: {file}, line 2: character 3 of '01x' is 'x'")


def test_a_bad_instance_among_good_ones(cli, model):
    code, out, err = cli("solve", "prefix-sums", "01", "2", "10", "--model", model)
    assert code == 2 and len(out) == 2 and err == "looped-lite: character 1 of '2' is '2': expected only 0 and 1\n"


@pytest.mark.parametrize("loops", ["0", "-3", "two", "1.5", ""])
def test_bad_loops(cli, model, loops):
    result = cli("solve", "prefix-sums", "01", "--model", model, "--loops", loops)
    assert fails(result, f"argument --loops: expected a whole number of at least 1, got {loops!r}")


def test_bad_words(cli, model, tmp_path):
    assert fails(cli(), "arguments are required")
    assert fails(cli("juggle"), "invalid choice: 'juggle'")
    assert fails(cli("solve", "juggling", "01"), "unknown task 'juggling': expected one of prefix-sums, sudoku, chess")
    assert fails(cli("solve", "prefix-sums"), "solve needs instances, or --file")
    assert fails(cli("solve", "prefix-sums", "01", "--file", model), "and not both")
    assert fails(cli("solve", "prefix-sums", ""), "an empty string has no prefix sums")
    assert fails(cli("solve", "prefix-sums", "01", "--bogus"), "unrecognized arguments: --bogus")
    near = cli("solve", "prefix-sums", "01", "--model", "prefix-sums-internal-post")
    assert fails(
        near, "no pretrained model 'prefix-sums-internal-post'", "did you mean", "prefix-sums-internal-post-seed"
    )
    assert fails(cli("solve", "prefix-sums", "01", "--model", tmp_path / "x.safetensors"), "x.json is missing")


def test_bad_files(cli, model, tmp_path):
    assert fails(cli("solve", "prefix-sums", "--file", tmp_path / "nothing"), "cannot read", "No such file")
    assert fails(cli("solve", "prefix-sums", "--file", tmp_path), "cannot read", "Is a directory")
    for content, message in (
        (b"", "is empty: expected one instance a line"),
        (b"\n \n", "is empty"),
        (b"\xff\x00", "is not text"),
    ):
        (tmp_path / "f").write_bytes(content)
        assert fails(cli("solve", "prefix-sums", "--file", tmp_path / "f"), message)
    model.write_bytes(model.read_bytes()[:-5])
    assert fails(cli("solve", "prefix-sums", "01", "--model", model), "is not a whole safetensors checkpoint")


# ---------------------------------------------------------------- solve sudoku


def clueless(tmp_path, bias):
    """A 4x4 model whose logits are ``bias`` in every cell, whatever it is asked."""
    model = Sudoku((2, 2)).model(0, width=16, heads=4)
    with torch.no_grad():
        model.head[-1].weight.zero_()
        model.head[-1].bias.copy_(torch.tensor(bias))
    return save_pretrained(model, tmp_path / "clueless.safetensors", {})


def test_a_grid_that_breaks_a_rule_is_not_called_solved(cli, tmp_path):
    model = clueless(tmp_path, [0.0, 0.0, 9.0, 0.0])
    text = "1234" + "3412" + "2143" + "432."
    code, out, err = cli("solve", "sudoku", text, "--model", model, "--loops", 2, "--tries", 1)
    assert (code, err) == (0, "") and out[0].startswith("not solved; best state: 1234341221434323  (")
    code, out, _ = cli("solve", "sudoku", text, "--model", model, "--loops", 2, "--tries", 1, "--json")
    row = json.loads(out[0])
    assert list(row) == [*KEYS, "solved"] and row["solved"] is False and row["answer"] == text[:-1] + "3"


def test_a_grid_that_keeps_the_rules_is_called_solved(cli, tmp_path):
    model = clueless(tmp_path, [9.0, 0.0, 0.0, 0.0])
    text = "1234" + "3412" + "2143" + "432."
    assert cli("solve", "sudoku", text, "--model", model, "--loops", 2)[1][0].startswith(f"{text[:-1]}1  (")
    row = json.loads(cli("solve", "sudoku", text, "--model", model, "--loops", 2, "--json")[1][0])
    assert row["solved"] is True and row["answer"] == text[:-1] + "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("11" + "." * 14, "row 1 has two 1s: columns 1 and 2"),
        ("1" + "." * 15, "several solutions"),
        ("123........4....", "this puzzle has no solution"),
        ("1234", "a 4x4 sudoku has 16 characters, this one has 4"),
        ("5" + "." * 15, "5"),
        ("x" + "." * 15, "row 1, column 1: 'x' is neither a digit"),
    ],
)
def test_puzzles_that_are_none(cli, tmp_path, text, message):
    result = cli("solve", "sudoku", text, "--model", clueless(tmp_path, [0.0] * 4))
    assert fails(result, message) and result[1] == []


def test_a_puzzle_of_another_length_without_a_model(cli):
    assert fails(cli("solve", "sudoku", "12.."), "a puzzle of 4 characters: expected 36 (6x6) or 81 (9x9)")


@pytest.mark.parametrize("box", [(2, 3), (3, 3)])
def test_the_shipped_sudoku_models_solve(cli, box, tmp_path):
    puzzles, solutions, _ = load_puzzles(box, "test")
    file = tmp_path / "puzzles.txt"
    file.write_text("".join(show(puzzle) + "\n" for puzzle in puzzles[:6].tolist()))
    code, out, err = cli("solve", "sudoku", "--file", file, "--json")
    rows = [json.loads(line) for line in out]
    assert (code, err, len(rows)) == (0, "", 6) and sum(row["solved"] for row in rows) >= 5
    for row, puzzle, solution in zip(rows, puzzles.tolist(), solutions.tolist(), strict=False):
        assert row["input"] == show(puzzle) and row["solved"] == (row["answer"] == show(solution))


# ---------------------------------------------------------------- eval


def test_eval(cli, model):
    words = ("eval", model, "--lengths", 4, 6, "--loops", 3, 2, "--instances", 5)
    code, out, err = cli(*words, "--json")
    rows = [json.loads(line) for line in out]
    assert (code, err) == (0, "")
    assert [(row["set"], row["loops"], row["instances"]) for row in rows] == [
        ("4 bits", 2, 5),
        ("4 bits", 3, 5),
        ("6 bits", 2, 5),
        ("6 bits", 3, 5),
    ]
    assert all(0 <= row["exact"] <= 1 for row in rows)
    assert cli(*words, "--json")[1] == out
    code, out, _ = cli(*words)
    assert code == 0 and len(out) == 5 and "exact match" in out[0]


def test_eval_of_the_shipped_model(cli):
    name = "prefix-sums-internal-post-seed0"
    for start in ("input", "zeros", "noise"):
        code, out, _ = cli("eval", name, "--lengths", 48, "--loops", 96, "--instances", 8, "--start", start, "--json")
        assert code == 0 and json.loads(out[0])["exact"] == 1.0


def test_bad_evals(cli, model):
    assert fails(cli("eval"), "arguments are required: model")
    assert fails(cli("eval", "nobody"), "no pretrained model 'nobody'")
    assert fails(cli("eval", model, "--lengths", "0"), "a whole number of bits, at least 1, got 0")
    assert fails(cli("eval", model, "--lengths", "2.5"), "got 2.5")
    assert fails(cli("eval", model, "--lengths", "nan"))
    assert fails(cli("eval", model, "--lengths", "4", "--loops", "0"), "argument --loops")
    assert fails(cli("eval", model, "--lengths", "4", "--start", "nowhere"), "unknown start 'nowhere'")
    assert fails(cli("eval", model, "--instances", "-1"), "argument --instances")


# ---------------------------------------------------------------- train


def test_train_saves_what_load_pretrained_reads(cli, tmp_path):
    out = tmp_path / "mine"
    words = ("train", "prefix-sums", "--steps", 5, "--batch", 4, "--width", 16, "--norm", "sandwich", "--seed", 7)
    code, lines, _ = cli(*words, "--out", out, "--quiet")
    assert code == 0 and lines[0].startswith(f"{out}.safetensors: 5 steps in ")
    model = load_pretrained(f"{out}.safetensors")
    assert (model.card["seed"], model.card["steps"], model.card["threads"]) == (7, 5, torch.get_num_threads())
    assert model.blocks[0].norm_at == "sandwich" and model.card["command"].startswith("looped-lite train prefix-sums")
    assert sorted(os.listdir(tmp_path)) == ["mine.json", "mine.safetensors"]


def test_train_takes_settings_of_the_task_and_the_recipe(cli, tmp_path):
    words = ("train", "sudoku", "--setting", "box=[2,2]", "--setting", "most_loops=3", "--muon", 0.02, "--decay", 0.5)
    out = tmp_path / "small.safetensors"
    assert cli(*words, "--steps", 2, "--batch", 2, "--width", 16, "--out", out, "--quiet")[0] == 2, (
        "no 4x4 puzzles ship"
    )
    words = ("train", "sudoku", "--setting", "box=[2,3]", "--setting", "most_loops=3", "--muon", 0.02, "--decay", 0.5)
    assert cli(*words, "--steps", 2, "--batch", 2, "--width", 16, "--bfloat16", "--out", out, "--quiet")[0] == 0
    model = load_pretrained(out)
    assert model.card["bfloat16"] is True and (model.task.box, model.task.most_loops) == ((2, 3), 3)
    assert (model.card["muon"], model.card["decay"]) == (0.02, 0.5)


def test_train_goes_on_from_another_model_with_a_pool(cli, tmp_path):
    words = ("train", "prefix-sums", "--batch", 2, "--width", 16, "--quiet", "--lr", 1e-9)
    assert cli(*words, "--steps", 1, "--out", tmp_path / "a")[0] == 0
    begun = ("--from", tmp_path / "a.safetensors", "--pool", 4, "--horizon", 9)
    assert cli(*words, "--steps", 2, "--seed", 5, *begun, "--out", tmp_path / "b")[0] == 0
    a, b = (load_pretrained(tmp_path / f"{name}.safetensors") for name in "ab")
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)
    assert (b.card["pool"], b.card["horizon"]) == (4, 9) and "pool" not in a.card
    other = cli(*words, "--steps", 1, "--recall", "none", *begun, "--out", tmp_path / "c")
    assert fails(other, "a.safetensors is for another model")
    assert fails(cli(*words, "--steps", 1, *begun[:3], 1, "--out", tmp_path / "c"), "at least a batch of 2")


def test_train_compiled(cli, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr("looped_lite.blocks.Block.compile", lambda block, **options: compiled.append(options))
    words = ("train", "prefix-sums", "--steps", 1, "--batch", 2, "--width", 16, "--quiet", "--out", tmp_path / "m")
    assert cli(*words, "--compile")[0] == 0 and compiled == [{"dynamic": False}]


def test_train_has_a_default_name(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("train", "prefix-sums", "--steps", 1, "--batch", 2, "--width", 16, "--quiet")[0] == 0
    assert "prefix-sums-internal-post-seed0.safetensors" in os.listdir(tmp_path)


def test_train_stops_at_ctrl_c_and_goes_on(cli, tmp_path):
    """Stopped in a process of its own, as in a terminal, and gone on with here; the result is that of a run nobody stopped."""
    program = (
        "import os, signal, sys, torch, looped_lite.training as t, looped_lite.cli as c\n"
        "step = t.train_step\n"
        "def train_step(model, task, optimizers, run, *rest, **options):\n"
        "    if run.step == 5: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return step(model, task, optimizers, run, *rest, **options)\n"
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
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bad_trains(cli, tmp_path):
    train = lambda *words: cli(
        "train", "prefix-sums", "--quiet", "--steps", 3, "--batch", 2, "--out", tmp_path / "m", *words
    )
    assert fails(cli("train", "juggling"), "unknown task 'juggling'")
    assert fails(train("--recall", "all"), "unknown recall 'all': expected one of none, external, internal")
    assert fails(train("--norm", "all"), "unknown norm 'all': expected one of pre, peri, post, sandwich, gru")
    assert fails(train("--width", "63"), "width 63 must be divisible by heads 4")
    assert fails(train("--steps", "0"), "argument --steps: expected a whole number of at least 1, got '0'")
    assert fails(train("--lr", "-1"), "-1")
    assert fails(train("--setting", "box"), "--setting 'box': expected NAME=VALUE, such as box=[2,3]")
    assert fails(train("--setting", "colour=red"), "colour")
    assert fails(train("--lr", "1e30"), "the loss is nan at step", "try a smaller learning rate")
    assert fails(train("--out", tmp_path), "is a folder")
    (tmp_path / "file").write_text("")
    assert fails(train("--out", tmp_path / "file" / "m"), "cannot save")
    (tmp_path / "m.run.safetensors").write_bytes(b"something else")
    assert fails(train(), "is not a whole safetensors checkpoint")


def test_a_full_disk_keeps_the_model_that_was_there(cli, tmp_path, monkeypatch):
    words = ("train", "prefix-sums", "--quiet", "--steps", 3, "--batch", 2, "--width", 16, "--out", tmp_path / "m")
    assert cli(*words)[0] == 0
    before = (tmp_path / "m.safetensors").read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("looped_lite.checkpoints.os.fsync", full)
    assert fails(cli(*words, "--seed", 1), "cannot save", "No space left on device")
    assert (tmp_path / "m.safetensors").read_bytes() == before and load_pretrained(tmp_path / "m.safetensors")


# ---------------------------------------------------------------- as a program


def test_the_program_itself(tmp_path):
    run = lambda *words, **more: subprocess.run(
        [sys.executable, "-m", "looped_lite.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False, **more
    )
    helped = run("--help")
    assert helped.returncode == 0 and all(word in helped.stdout for word in ("train", "eval", "solve"))
    from_stdin = run("solve", "prefix-sums", "--file", "-", "--json", input="011\n")
    assert from_stdin.returncode == 0 and json.loads(from_stdin.stdout)["answer"] == "010"
    bad = run("solve", "prefix-sums", "2")
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.count("\n") == 1


def test_ctrl_c_while_solving_is_quiet(cli, monkeypatch, model):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("looped_lite.model.LoopedTransformer.solve", interrupt)
    before = signal.getsignal(signal.SIGINT)
    code, out, err = cli("solve", "prefix-sums", "01", "--model", model)
    assert (code, out, err) == (130, [], "looped-lite: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is before
