"""The recipe: all that makes a model, in one place; what is derived from it, and what it refuses."""

import dataclasses
import json
import math
import shlex
import sys

import numpy as np
import pytest
import torch

from looped_lite import recipe as recipes
from looped_lite.cli import main
from looped_lite.model import count_parameters
from looped_lite.paths import data_path
from looped_lite.pretrained import load_pretrained
from looped_lite.recipe import Recipe, get_task, kind_of, settings_of, variants
from looped_lite.tasks import Task
from looped_lite.tasks.chess import Chess
from looped_lite.tasks.prefix_sums import PrefixSums
from looped_lite.tasks.sudoku import Sudoku
from looped_lite.training import train

TASK = PrefixSums()
NEXT = recipes.VERSION + 1
TINY = {"width": 8, "heads": 2, "steps": 4, "batch": 4}
# every setting with a value other than its default
OTHERS = {
    "recall": "external", "norm": "gru", "width": 32, "heads": 2, "mlp_ratio": 2, "blocks": 2, "steps": 700,
    "batch": 9, "lr": 1e-4,
    "decay": 0.25, "settle": 7, "weight_decay": 0.0, "beta2": 0.95, "muon": 0.02, "clip": 2.5, "advance": 0.5,
    "still": 0.1, "pool": 80, "horizon": 5,
    "noise": 0.5, "bfloat16": True, "compiled": True, "begin": "some model", "seed": 2**63 - 1,
}  # fmt: skip


def other(**settings):
    return Recipe(TASK, **settings)


@dataclasses.dataclass(frozen=True)
class Ones(PrefixSums):
    """A learner's own task."""

    shape: tuple = (1, 2)
    shade: float = dataclasses.field(default_factory=lambda: 0.5)

    name = "ones"

    def __post_init__(self):
        super().__post_init__()
        assert len(self.shape)  # a TypeError for what has none


def test_a_recipe_is_everything_and_comes_back():
    assert OTHERS.keys() == {field.name for field in dataclasses.fields(Recipe)[1:]}, "a setting is not tested here"
    for name, value in OTHERS.items():
        recipe = Recipe(Ones(window=7, shape=(3, 4)), **{name: value})
        assert getattr(recipe, name) == value != getattr(other(), name)
        facts = json.loads(json.dumps(recipe.to_dict()))
        assert Recipe.from_dict(facts) == recipe and facts[name] == value
        assert facts["task"]["kind"] == f"{__name__}:Ones" and facts["task"]["shape"] == [3, 4]
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 3


def test_no_two_recipes_have_one_digest():
    """A rate, a label, a setting of the task: each makes another run. The digest is the same everywhere and forever."""
    every = [other(), *(other(**{name: value}) for name, value in OTHERS.items())]
    every += [Recipe(PrefixSums(window=7)), Recipe(PrefixSums(biased=0.2)), Recipe(Sudoku((2, 3))), Recipe(Sudoku())]
    digests = [recipe.digest for recipe in every]
    assert len(set(digests)) == len(every) and all(len(digest) == 12 for digest in digests)
    assert other(lr=np.float64(3e-3), steps=np.int64(600), seed=torch.tensor(0)).digest == other().digest
    assert Recipe(PrefixSums()).digest == other().digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 0}, "decay must be a number from 1e-09 to 1.0, got 0"),
        ({"decay": -1}, "decay must be"),
        ({"decay": math.nan}, "decay must be a number from 1e-09 to 1.0, got nan"),
        ({"lr": math.inf}, "lr must be"),
        ({"lr": "fast"}, "lr must be a number from 1e-12 to 1,000.0, got 'fast'"),
        ({"seed": 2**63}, "seed must be a whole number from 0 to 9,223,372,036,854,775,807, got 9223372036854775808"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 10**5000}, "got a int"),
        ({"steps": 0}, "steps must be a whole number from 1 to"),
        ({"steps": True}, "steps must be"),
        ({"steps": 2.5}, "steps must be a whole number from 1 to 1,000,000,000, got 2.5"),
        ({"batch": 0}, "batch must be"),
        ({"width": -1}, "width must be"),
        ({"width": 10**9}, "width must be"),
        ({"width": 63}, "width 63 must be divisible by heads 4 into an even number of channels"),
        ({"width": 12}, "width 12 must be divisible by heads 4 into an even number"),
        ({"blocks": 10**9}, "blocks must be a whole number from 1 to 1,000, got 1000000000"),
        ({"beta2": 1.0}, "beta2 must be"),
        ({"recall": "inside"}, "unknown recall 'inside': expected one of none, external, internal"),
        ({"norm": ["post"]}, "unknown norm ['post']: expected one of pre, peri, post, sandwich, gru"),
        ({"bfloat16": 1}, "bfloat16 must be true or false, got 1"),
        ({"begin": 3}, "begin must be a string, got 3"),
        ({"settle": 0}, "settle must be"),
        ({"settle": 601}, "settle must be at most steps = 600, got 601"),
        ({"pool": 64, "settle": 5}, "settle waits for a curriculum, and a pool has none: leave one of the two out"),
        ({"pool": 63}, "pool must hold at least a batch of 64 instances, got 63"),
    ],
)
def test_a_setting_that_no_model_can_be_trained_with(settings, message):
    with pytest.raises(ValueError) as caught:
        other(**settings)
    assert message in str(caught.value) and len(str(caught.value)) < 200


def test_bounds_themselves_are_in():
    assert (
        other(settle=600).settle == 600 and other(pool=64).pool == 64 and other(steps=1, decay=1, seed=0).decay == 1.0
    )


def change(**changes):
    """The dictionary of a recipe with some entries changed, or left out where the value is ``...``."""
    facts = other().to_dict()
    for name, value in changes.items():
        place = facts["task"] if name.startswith("task_") else facts
        place[name.removeprefix("task_")] = value
    facts["task"] = {k: v for k, v in facts["task"].items() if v is not ...}
    return {k: v for k, v in facts.items() if v is not ...}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "a recipe must be an object with a task, got []"),
        ({"task": []}, "a recipe must be an object with a task"),
        (change(version=...), f"version None: expected a number from 1 to {recipes.VERSION}"),
        (change(version=NEXT), f"version {NEXT}"),
        (change(version=True), "version True"),
        (change(version=0), "version 0"),
        (change(lr=...), "the recipe lacks lr"),
        (change(norm=..., seed=...), "the recipe lacks norm, seed"),
        (change(learning=3), "unknown setting 'learning'"),
        (change(weight_decya=0.1), "unknown setting 'weight_decya': did you mean weight_decay"),
        (change(width="64"), "width must be a whole number from 1 to 65,536, got '64'"),
        (change(steps=None), "steps must be"),
        (change(width=[64]), "width must be"),
        (change(task_window=...), "the recipe lacks window"),
        (change(task_windows=3), "unknown setting 'windows': did you mean window"),
        (change(task_window=4), "window must be an odd number of cells, got 4"),
        (change(task_window=[[3]]), "window must be a whole number"),
        (change(task_kind=...), "the task of a recipe needs a kind, such as prefix-sums, got None"),
        (change(task_kind=3), "needs a kind"),
        (change(task_kind="prefix-sum"), "unknown task 'prefix-sum': did you mean prefix-sums?"),
        (change(task_kind="juggling"), "unknown task 'juggling': expected prefix-sums, sudoku, chess, or module:Class"),
        (change(task_kind="no_such_file:Task"), "no task 'no_such_file:Task': No module named 'no_such_file'"),
        (change(task_kind="math:Maze"), "no task 'math:Maze'"),
        (change(task_kind=".math:Maze"), "no task '.math:Maze'"),
        (change(task_kind="fractions:Fraction"), "is not a task: expected a class derived from looped_lite.tasks.Task"),
    ],
)
def test_a_recipe_from_a_file_names_what_is_wrong_with_it(facts, message):
    with pytest.raises(ValueError) as caught:
        Recipe.from_dict(facts)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_setting_that_came_later_has_the_value_of_its_time(monkeypatch):
    """A file of version 1 gets what was so then for what version 2 brought; a file of version 2 must have it."""
    old = other().to_dict()
    del old["clip"], old["task"]["biased"]
    monkeypatch.setattr(recipes, "VERSION", NEXT)
    monkeypatch.setattr(recipes, "ADDED", {"clip": (NEXT, 5.0), "task.biased": (NEXT, 0.0)})
    assert Recipe.from_dict(old) == Recipe(PrefixSums(biased=0.0), clip=5.0)
    with pytest.raises(ValueError, match="the recipe lacks biased"):
        Recipe.from_dict({**old, "version": NEXT})
    with pytest.raises(ValueError, match="the recipe lacks clip"):
        Recipe.from_dict({**old, "version": NEXT, "task": other().to_dict()["task"]})


def test_a_digest_outlives_settings_that_come_later(monkeypatch):
    """Rows and cards are named by digests: a recipe that version 1 could say has the digest of then."""
    of_then = {"d63b72c19b08": other(), "dffca0b8eba8": Recipe(Sudoku((2, 3)), norm="pre", blocks=2, seed=7)}
    assert all(recipe.digest == digest for digest, recipe in of_then.items())
    later = {**recipes.ADDED, "clip": (NEXT, 1.0), "task.biased": (NEXT, 0.3), "task.box": (NEXT, [3, 3])}
    monkeypatch.setattr(recipes, "ADDED", later)
    monkeypatch.setattr(recipes, "VERSION", NEXT)
    some = [other(), other(still=0.1), Recipe(PrefixSums(biased=0.2))]
    forms = [recipes.oldest_form(recipe.to_dict()) for recipe in some]
    assert [form["version"] for form in forms] == [1, 2, NEXT]
    present = [("still" in form, "clip" in form, "biased" in form["task"]) for form in forms]
    assert present == [(False,) * 3, (True, False, False), (True,) * 3]
    assert [Recipe.from_dict(form) for form in forms] == some


def test_digests_of_the_rows_that_are_kept():
    """Files of data/results are still named by the recipes in them."""
    for path in sorted(data_path("results").glob("*/*.json"))[::7]:
        facts = json.loads(path.read_text(encoding="utf-8"))["recipe"]
        assert path.stem.startswith(Recipe.from_dict(facts).digest), path


# ---------------------------------------------------------------- models


def test_the_seed_decides_the_weights_and_nothing_else_moves():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    a, b, c = (other(seed=seed).build() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.embed.weight, c.embed.weight) and a.recipe == other() and c.recipe.seed == 1


def test_every_setting_of_the_model_arrives():
    small, other_model = other(width=16, heads=2).build(), other(width=32, heads=8, mlp_ratio=3, blocks=2).build()
    assert (small.embed.out_features, small.blocks[0].attention.heads, len(small.blocks)) == (16, 2, 1)
    assert other_model.blocks[1].mlp.up.weight.shape == (96, 32) and other_model.blocks[0].attention.heads == 8
    assert Recipe(PrefixSums(window=7)).build().blocks[0].attention.window == 7
    grid = Recipe(Sudoku((2, 3)), heads=8).build()
    assert grid.positions(36).shape == (36, 2) and grid.blocks[0].attention.mask.shape == (1, 8, 36, 36)
    assert len(variants(TASK)) == 15 and len({recipe.digest for recipe in variants(TASK, norms=["pre"], seed=3)}) == 3


def test_a_model_beyond_memory_is_refused_with_its_size(monkeypatch):
    needed = 16 * count_parameters(other().build())
    monkeypatch.setattr(recipes, "memory", lambda: needed)
    other().build()
    monkeypatch.setattr(recipes, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=r"a model of this recipe takes 0 GB to train, this machine has 0"):
        other().build()
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"takes [\d,]+ GB to train"):
        other(width=65536, blocks=3).build()


# ---------------------------------------------------------------- tasks


def test_tasks_by_name_and_back():
    for task in (PrefixSums(window=3), Sudoku((2, 3), attention="full"), Chess(depths=(1, 2)), Ones(shape=(5, 6))):
        assert (
            get_task(kind_of(task), **{k: tuple(v) if isinstance(v, list) else v for k, v in settings_of(task).items()})
            == task
        )
    assert kind_of(PrefixSums()) == "prefix-sums"
    with pytest.raises(ValueError, match="task prefix-sums has no setting 'colour': expected some of first_level, "):
        get_task("prefix-sums", colour=3)
    with pytest.raises(ValueError, match=r"box must be rows and columns of one box, such as \(3, 3\), got 3"):
        get_task("sudoku", box=3)


def test_whole_numbers_arrive_whole():
    """A JSON file or another program may write 3 as 3.0: a float must not reach what counts with it."""
    task = Sudoku((np.int64(2), 3.0), most_loops=np.int64(8))
    assert task == Sudoku((2, 3), most_loops=8) and {type(side) for side in task.box} == {int}
    assert json.dumps(settings_of(task)) and Recipe(task).digest == Recipe(Sudoku((2, 3), most_loops=8)).digest
    assert type(PrefixSums(window=5.0).window) is int and type(PrefixSums(last_loops=np.int64(9)).last_loops) is int
    assert Recipe(PrefixSums(uniform=0, biased=1)).digest == Recipe(PrefixSums(uniform=0.0, biased=1.0)).digest
    assert [type(depth) for depth in Chess(depths=[1.0, 2], most_loops=4.0).depths] == [int, int]


def test_a_minimal_task_has_defaults_for_the_rest():
    class Bare(Task):
        name, features, classes = "bare", 2, 3

    recipe, generator = Recipe(Bare()), torch.Generator()
    task, x = recipe.task, torch.zeros(2, 4, 2)
    model = recipe.build()
    assert model(x, 2).shape == (2, 4, 3) and recipe.to_dict()["task"] == {"kind": kind_of(task)}
    assert task.certify(x, x) is None and task.draw_level(3, generator) == 3 and task.harder(0) == task.last_level == 0
    image, back = task.image(x, generator)
    assert image is x and back(x) is x and task.loops(0) == task.most_loops and task.max_loops(x) == 8 * task.most_loops
    assert task.drawn("01") == "01" and task.in_words("", "", {"odds": 0.5, "n": 3}) == ["odds 0.50"]
    for call, message in (
        (lambda: task.batch(1, 0, generator), r"a task needs batch\(size, level, generator\): Bare has none"),
        (lambda: task.encode(""), "needs encode"),
        (lambda: task.decode("", x), "needs decode"),
    ):
        with pytest.raises(NotImplementedError, match=message):
            call()
    with pytest.raises(ValueError, match="bare has no model of its own: name one"):
        task.default_model("")


@pytest.mark.parametrize("text", ["1 / 0", "raise KeyError('x')", "x = (", "raise Exception", "import nothing_at_all"])
def test_a_broken_task_file_is_one_line(tmp_path, monkeypatch, text):
    (tmp_path / "broken_task.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_task", raising=False)
    with pytest.raises(ValueError, match=r"no task 'broken_task:Task': ."):
        get_task("broken_task:Task")


# ---------------------------------------------------------------- the printed line


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(
            PrefixSums(window=3, last_loops=None),
            recall="external",
            norm="gru",
            lr=1.5e-3,
            clip=0.5,
            weight_decay=0,
            seed=2**40,
            **TINY,
        ),
        Recipe(
            Sudoku((2, 3), attention="full", most_loops=4), muon=0.02, bfloat16=True, beta2=0.95, decay=0.25, **TINY
        ),
        Recipe(Chess((1, 2), ("random",), most_loops=3), pool=6, horizon=5, noise=0.5, **{**TINY, "heads": 4}),
    ],
    ids=lambda recipe: recipe.task.name,
)
def test_the_printed_line_retrains_to_the_same_bits(recipe, tmp_path, monkeypatch, capsys):
    """What training printed, and nothing else, makes the same recipe and the same weights."""
    monkeypatch.chdir(tmp_path)
    model, run = train(recipe, progress=False)
    program, *words = shlex.split(recipe.command())
    assert program == "looped-lite" and main([*words, "--quiet", "--out", "again"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"again: {recipe.command()}"
    again = load_pretrained("again.safetensors")
    assert again.recipe == recipe and again.card["command"] == recipe.command() and again.card["steps"] == run.step
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
