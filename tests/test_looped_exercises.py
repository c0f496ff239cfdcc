"""What every exercise of every lesson must do, derived from its declaration: see `looped_exercises.Exercise`."""

import ast
import importlib
import inspect
import linecache
import pkgutil
import random
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import looped_exercises
from looped_exercises import Case, Exercise, Mistake, Named, Outcome, exercises_of, report
from looped_exercises.plain import TENSORS, Other, dump, same, tidy, undump

LESSONS = [
    importlib.import_module(f"looped_exercises.{module.name}")
    for module in pkgutil.iter_modules(looped_exercises.__path__)
    if module.name.startswith("lesson_")
]
EXERCISES = [exercise for lesson in LESSONS for exercise in exercises_of(lesson)]
SEEDS = (0, 1)
BOARD = ("08.2", "08.3")  # about a chessboard, which has one size
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.number)


def verdict(exercise, answer, seed=0):
    """What an answer gets in another process: cases and outcomes both go through bytes."""
    cases = undump(dump(exercise.make_cases(seed)))
    return exercise.judge(cases, undump(dump([exercise.run(answer, case) for case in cases])))


def complaint(exercise, answer):
    found = exercise.check(answer)
    return "" if found.state == "solved" else found.sentence or found.state


class EqualsEverything:
    """Claims to be equal to anything, has every attribute and can be called."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


class Liar(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


def turn_over(value, change):
    """A plain value with each measured or counted part changed by ``change``."""
    if type(value) in (list, tuple):
        return type(value)(turn_over(part, change) for part in value)
    if type(value) is dict:
        return {key: turn_over(part, change) for key, part in value.items()}
    return change(value)


def spoil(value):
    """NaN in all tensors and measured numbers."""
    if type(value) in TENSORS:
        return value * float("nan") if value.is_floating_point() else value
    return float("nan") if type(value) is float else value


def as_lists(value):
    return value.tolist() if type(value) in TENSORS else value


def as_arrays(value):
    return (
        value.detach().numpy() if type(value) in TENSORS else np.array(value) if type(value) in (int, float) else value
    )


def as_tensors(value):
    return torch.tensor(value) if type(value) in (bool, int, float) else value


def sizes(case):
    """The shapes and lengths in the arguments of a case; a tuple of whole numbers is a size itself."""
    parts = [*case.arguments, *case.options.values()]
    parts += [detail for part in parts if type(part) is Named for detail in part.details]
    whole = lambda part: type(part) is tuple and all(type(number) is int for number in part)
    long = (list, tuple, str, dict)
    return tuple(
        tuple(p.shape) if type(p) in TENSORS else p if whole(p) else len(p)
        for p in parts
        if type(p) in (*TENSORS, *long)
    )


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__[-2:])
def test_a_lesson_has_exercises_numbered_from_1(lesson):
    numbers = [exercise.number for exercise in exercises_of(lesson)]
    assert numbers == [f"{lesson.__name__[-2:]}.{place + 1}" for place in range(len(numbers))] and numbers


# ---------------------------------------------------------------- each exercise: right and wrong answers


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_reference_and_styles_are_right_under_every_seed(exercise, seed):
    for answer in (exercise.reference, *exercise.styles):
        found = verdict(exercise, answer, seed)
        assert found.state == "solved", found.sentence
    assert len(exercise.styles) >= 1 and len(exercise.mistakes) >= 3


@pytest.mark.slow
@each
@pytest.mark.parametrize("seed", SEEDS)
def test_every_mistake_is_named_under_every_seed(exercise, seed):
    for mistake in exercise.mistakes:
        for function in mistake.functions[: None if seed == SEEDS[0] else 1]:  # of other seeds one a mistake is enough
            found = verdict(exercise, function, seed)
            assert found.state == "wrong" and mistake.sentence in found.sentence, (mistake.sentence, found)


@each
def test_cases_have_two_sizes_vary_with_the_seed_and_are_labelled(exercise):
    cases = exercise.make_cases()
    assert len({sizes(case) or case.arguments for case in cases}) > 1 or exercise.number in BOARD, (
        "all cases have one size"
    )
    assert same(*([[case.arguments, case.options] for case in exercise.make_cases(3)] for _ in range(2)))
    other = exercise.make_cases(1)
    assert dump(other) != dump(cases) or not cases[0].arguments, "another seed gives the same cases"
    assert all(case.label for case in cases) and not any(case.label.endswith(".") for case in cases)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__[-2:])
def test_arguments_have_the_names_that_the_learner_reads_in_the_stub(lesson):
    """A sentence about an argument says its name in the reference."""
    [source] = (Path(__file__).parents[1] / "lessons").glob(f"{lesson.__name__[-2:]}_*.py")
    code = "".join(line for line in source.read_text().splitlines(True) if not line.startswith(("%", "!")))
    for node in ast.walk(ast.parse(code)):
        for name in getattr(node, "decorator_list", []) if isinstance(node, ast.FunctionDef) else []:
            exercise = getattr(lesson, getattr(name, "attr", ""), None)
            if isinstance(exercise, Exercise):
                names = [argument.arg for argument in node.args.args]
                assert names == list(inspect.signature(exercise.reference).parameters)[: len(names)], exercise.number


# ---------------------------------------------------------------- each exercise: what a check does for all


@each
def test_stubs_and_what_is_no_answer(exercise, capsys):
    def stub(*arguments, **options):
        raise NotImplementedError("your turn")

    def stops(*arguments, **options):
        raise KeyError("gone")

    assert exercise(stub) is exercise.reference and exercise.state == "unsolved"
    assert exercise(lambda *a, **k: EqualsEverything()) is exercise.reference and exercise.state == "wrong"
    assert exercise(exercise.reference) is exercise.reference and exercise.state == "wrong"
    assert "the course's own function" in capsys.readouterr().out
    for nothing in (None, 3, torch.ones(2), object()):
        assert "expected a function" in complaint(exercise, nothing)
    assert complaint(exercise, EqualsEverything()) and complaint(exercise, lambda *a, **k: Liar(1))
    if not exercise.ask:
        assert "KeyError" in complaint(exercise, stops) and "(raise KeyError" in complaint(exercise, stops)
        assert "is there a return" in complaint(exercise, lambda *a, **k: None)
        assert "prints" in complaint(exercise, lambda *a, **k: print(1))
        assert "generator" in complaint(exercise, lambda *a, **k: (i for i in range(3)))
        assert not exercise.make_cases()[0].arguments or "your function takes ()" in complaint(exercise, lambda: 1)
        assert "your function takes" in complaint(exercise, lambda *, no_such_argument: 1)


@each
def test_arguments_changed_in_place_are_named(exercise):
    changeable = (*TENSORS, list, dict)
    found = [(c, i) for c in exercise.make_cases() for i, part in enumerate(c.arguments) if type(part) in changeable]
    if exercise.ask or not found:
        pytest.skip("nothing that can be changed is handed in")
    case, place = found[0]

    def changes(*arguments, **options):
        value = exercise.reference(*arguments, **options)
        part = arguments[place] if len(arguments) > place else None
        if type(part) in TENSORS:
            part.copy_(~part if part.dtype == torch.bool else part + 1)
        elif type(part) in (list, dict):
            part.clear()
        return tidy(value) if not isinstance(value, torch.Tensor) else value.clone()

    outcome = exercise.run(changes, case)
    assert place in outcome.changed
    said, _ = exercise.problem(case, outcome, exercise.run(exercise.reference, case))
    assert f"{exercise.parameter(place)} was changed in place" in said


@each
@pytest.mark.parametrize("change", [as_lists, as_arrays, as_tensors])
def test_other_kinds_of_value_are_turned_or_refused_with_a_word(exercise, change, capsys):
    def other(*arguments, **options):
        return turn_over(exercise.reference(*arguments, **options), change)

    found = exercise.check(other)
    assert found.state == "solved" or "expected" in found.sentence or found.mistake, found
    if found.turned:
        case, used = exercise.make_cases()[0], exercise(other)
        assert "the lesson turns it" in capsys.readouterr().out
        value, right = exercise.run(used, case).value, exercise.run(exercise.reference, case).value
        assert type(value) is type(right) and not exercise.differ(value, right, case)


@each
def test_nan_a_percent_and_a_missing_entry_are_noticed(exercise):
    cases = exercise.make_cases()
    rights = [exercise.run(exercise.reference, case) for case in cases]
    for change in (spoil, lambda value: value * 1.05 if type(value) is float or type(value) in TENSORS else value):
        changed = [Outcome(turn_over(right.value, change), calls=right.calls) for right in rights]
        if not all(same(right.value, other.value) for right, other in zip(rights, changed, strict=True)):
            assert exercise.judge(cases, changed).state == "wrong"
    value = rights[0].value
    if type(value) in (list, tuple, str) or (type(value) in TENSORS and value.ndim):
        assert exercise.judge(cases, [Outcome(right.value[:-1]) for right in rights]).state == "wrong"
    assert exercise.judge(cases, []).state == "wrong" and exercise.judge(cases, rights[:-1]).state == "wrong"


# ---------------------------------------------------------------- the mechanism, by an exercise of its own


def made(reference=lambda x, times=2: x * times, cases=None, **options):
    def usual(generator):
        return [Case(f"of {n} numbers", torch.randn(n, generator=generator)) for n in (4, 5)]

    return Exercise("99.1", "so many times", reference, cases or usual, **options)


def in_a_cell(source, name):
    """A function defined by ``source`` as by the cell of a notebook."""
    file, scope = f"<cell {len(linecache.cache)}>", {"torch": torch}
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), scope)
    return scope[name]


def test_a_right_answer_is_used_and_said_to_be_only_where_it_is(capsys):
    answer = lambda x, times=2: times * x
    assert made(seen="More.")(answer) is answer and made(uses=False)(answer) is answer
    said = capsys.readouterr().out
    assert "Exercise 99.1 (so many times): right. More.\n" in said and said.count("uses your version") == 1


def test_a_wrong_answer_gets_its_sentence_and_the_course_goes_on(capsys):
    one = made(mistakes=[Mistake("you squared it", lambda x: x**2), Mistake("unchanged", lambda x: x)])
    assert one(lambda x: x**2) is one.reference and one.state == "wrong"
    assert "not right yet.\n  of 4 numbers: you squared it." in capsys.readouterr().out
    assert "expected shape (4,), got (4, 1)" in complaint(one, lambda x: 2 * x[:, None])
    assert "dtype float32, got dtype int64" in complaint(one, lambda x: (2 * x).long())
    assert "values are off, the most at [0]" in complaint(one, lambda x: 2 * x + 9 * (torch.arange(len(x)) == 0))
    assert "but not their shape" in complaint(one, lambda x: 2 * x[:, None])
    assert "the first 1 of 4 are missing" in complaint(one, lambda x: 2 * x[1:])
    assert "is 3 times the right one" in complaint(one, lambda x: 6 * x)
    assert "would be right for -x" in complaint(one, lambda x: -2 * x)
    assert "times" not in complaint(one, lambda x: (6 if len(x) == 4 else 2 + x) * x), "not so in the second case"
    assert one.check(lambda x: x**2).mistake == "you squared it" and one.check(lambda x: x**2 + 1).mistake == ""
    one(lambda x: 2.0 * x)
    assert one.state == "solved"
    one(lambda x: x)
    assert one.state == "wrong"


def test_what_would_be_right_for_other_arguments_is_told():
    cases = lambda generator: [Case(f"{n} times", *torch.randn(2, n + 2, generator=generator), n) for n in (2, 3)]
    one = made(lambda x, y, n: x - n * y, cases)
    assert "right for n - 1" in complaint(one, lambda x, y, n: x - (n - 1) * y)
    assert "right for x and y exchanged" in complaint(one, lambda x, y, n: y - n * x)
    assert "right for y = 0" in complaint(one, lambda x, y, n: x)
    assert "right for" not in complaint(one, lambda x, y, n: x + y if n == 2 else x)


def test_what_is_made_of_single_numbers_is_seen_over_all_cases():
    numbers = lambda generator: [Case(f"{n:.1f}", float(n)) for n in 1 + torch.rand(4, generator=generator)]
    one = made(lambda n: (n, n * n), numbers, mistakes=[Mistake("n is doubled", lambda n: (2 * n, 7 * n))])
    assert "entry 1: these are the right values as one over each" in complaint(one, lambda n: (n, 1 / n**2))
    assert "n is doubled" in complaint(one, lambda n: (2 * n, 3 * n)), "though the other entry is wrong otherwise"


def test_gradients_left_on_the_callers_tensors_are_told():
    for leaves_on in (lambda x: 2 * x.requires_grad_(), lambda x: (2 * x.requires_grad_()).sum().backward() or 2 * x):
        assert "x comes back with gradients" in complaint(made(), leaves_on)


def test_another_default_is_told_where_something_is_wrong():
    assert "Where times is not given it should be 2: your function says 3." in complaint(
        made(), lambda x, times=3: x * times
    )
    assert made().check(lambda x, times=3: 2 * x).state == "solved"


def test_a_mistake_that_fits_once_by_chance_is_not_named():
    one = Exercise("99.2", "is it positive?", lambda n: n > 0, lambda g: [Case(f"{n}", n) for n in (1, -1, 2, -2)],
                   mistakes=[Mistake("it is never so", lambda n: False)])  # fmt: skip
    assert one.check(lambda n: False).mistake and not one.check(lambda n: n > 1).mistake


def test_an_exception_is_told_with_its_line_in_the_cell_and_a_missing_name_with_what_to_do():
    cell = "# a cell\n\ndef answer(x):\n    y = x[:2]\n    return {}\n"
    wrong = complaint(made(), in_a_cell(cell.format("x @ y"), "answer"))
    assert "stopped with RuntimeError in line 5 of your cell (return x @ y)" in wrong
    missing = complaint(made(), in_a_cell(cell.format("orbit(x, 3)"), "answer"))
    assert "line 5" in missing and "run the cells above again" in missing
    assert "is 'torch' meant?" in complaint(made(), in_a_cell(cell.format("troch.stack(x)"), "answer"))


def test_a_check_leaves_everything_as_it_was():
    def answer(x):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.rand(3), np.random.rand(), random.random()
        return 2 * x

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert made().check(answer).state == "solved"
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_calls_of_a_map_are_counted():
    square = {"square": lambda: lambda x: x**2}
    cases = lambda generator: [Case(f"{n}", Named("square"), torch.randn(n, generator=generator)) for n in (1, 2)]
    one = made(lambda f, x: f(x) * 2, cases, things=square, calls=["f"],
               mistakes=[Mistake("keep f(x)", lambda f, x: f(x) + f(x))])  # fmt: skip
    assert one.check(lambda f, x: 2 * f(x)).state == "solved"
    assert "keep f(x)" in complaint(one, lambda f, x: f(x) + f(x))
    assert "f was called 3 times, and 1 would do" in complaint(one, lambda f, x: f(x) + f(x) + 0 * f(x))


def test_properties_and_forms_judge_what_is_not_unique():
    falls = lambda value, x: None if (value.diff() <= 0).all() else "the largest comes first"
    assert (
        made(lambda x: x.sort(descending=True)[0], unique=False, properties=[falls])
        .check(lambda x: -x.sort()[0] * 0)
        .state
        == "solved"
    )
    one = made(lambda x: x.sort(descending=True)[0], unique=False, properties=[falls])
    assert "the largest comes first" in complaint(one, lambda x: x.sort()[0]) and "shape" in complaint(
        one, lambda x: x[:1]
    )
    either = made(lambda x: x, form=lambda x: x * x[0].sign())
    assert either.check(lambda x: -x).state == "solved" and "off" in complaint(either, lambda x: x.abs() + 1)


@pytest.mark.parametrize("value", [None, True, 3, -0.5, float("inf"), "a\nb", [], (1, [2.0, (None,)]),
    {"a": 1, 3: torch.ones(2, 0)}, torch.tensor(1.5), torch.tensor([1 + 2j]),
    torch.eye(3, dtype=torch.bool).T, Named("linear", torch.ones(2)),
    Case("x", 1, tol=2, hint="h"), Outcome([1], "e", "E", [0, "z"], True, {0: 3}), Other("an object")])  # fmt: skip
def test_plain_data_survives_the_way_to_another_process(value):
    assert same(value, undump(dump(value))) or value == undump(dump(value))


@pytest.mark.parametrize("data", [b"", b"{}", dump([1])[:-1], dump(1).replace(b"plain", b"plane"), b"\xff" * 40])
def test_bytes_that_are_no_plain_data_are_refused(data):
    with pytest.raises(ValueError, match="not plain data"):
        undump(data)
    with pytest.raises(ValueError, match="not plain data"):
        dump(object())


def test_values_lose_their_classes_before_they_are_compared():
    class Sure(list):
        def __eq__(self, other):
            return True

        def __iter__(self):
            return iter([1, 2])

    Pair = namedtuple("Pair", "a b")
    assert tidy(Sure([5])) == [5] and tidy(Pair(1, 2.0)) == (1, 2.0) and tidy({3, 1}) == [1, 3]
    assert tidy(np.eye(2)) == [[1, 0], [0, 1]] and tidy(np.float64(2)) == 2.0 and type(tidy(np.int64(2))) is int
    assert type(tidy(Liar(1))) is Other and type(tidy(EqualsEverything())) is Other and type(tidy(print)) is Other


def test_report_lists_the_exercises_in_order(capsys):
    lesson = ModuleType("lesson_99")
    for number in ("99.10", "99.2", "99.1"):
        setattr(lesson, number, made())
        getattr(lesson, number).number = number
    vars(lesson)["99.1"](lambda x: 2 * x)
    vars(lesson)["99.2"](lambda x: x)
    capsys.readouterr()
    report(lesson)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["99.1", "solved"], ["99.2", "wrong"]]
    assert "not tried" in lines[2] and lines[3] == "1 of 3 solved."
