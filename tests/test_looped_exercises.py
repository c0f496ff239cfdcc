"""What every exercise of every lesson must do, derived from its declaration: see `looped_exercises.Exercise`."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch

import looped_exercises
from looped_exercises import Exercise, Named, Outcome, exercises_of, report
from looped_exercises.plain import TENSORS, dump, same, tidy, undump

LESSONS = [
    importlib.import_module(f"looped_exercises.{module.name}")
    for module in pkgutil.iter_modules(looped_exercises.__path__)
    if module.name.startswith("lesson_")
]
EXERCISES = [exercise for lesson in LESSONS for exercise in exercises_of(lesson)]
SEEDS = (0, 1, 2)
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


def measured(value):
    """Every number of a plain value, one after the other."""
    if type(value) in TENSORS:
        return value.flatten().tolist()
    parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else None
    return [value] if parts is None else [number for part in parts for number in measured(part)]


def sizes(case):
    """The shapes and lengths in the arguments of a case."""
    parts = [*case.arguments, *case.options.values()]
    parts += [detail for part in parts if type(part) is Named for detail in part.details]
    return tuple(
        tuple(p.shape) if type(p) in TENSORS else len(p) for p in parts if type(p) in (*TENSORS, list, tuple, str)
    )


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__[-2:])
def test_a_lesson_has_exercises_numbered_from_1(lesson):
    numbers = [exercise.number for exercise in exercises_of(lesson)]
    assert numbers == [f"{lesson.__name__[-2:]}.{place + 1}" for place in range(len(numbers))] and numbers


# ---------------------------------------------------------------- each exercise: right and wrong answers, under several seeds


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_reference_and_styles_are_right_under_every_seed(exercise, seed):
    for answer in (exercise.reference, *exercise.styles):
        found = verdict(exercise, answer, seed)
        assert found.state == "solved", found.sentence
    assert len(exercise.styles) >= 1 and len(exercise.mistakes) >= 3


@each
@pytest.mark.parametrize("seed", SEEDS)
def test_every_mistake_is_named_under_every_seed(exercise, seed):
    for mistake in exercise.mistakes:
        for function in mistake.functions:
            found = verdict(exercise, function, seed)
            assert found.state == "wrong" and mistake.sentence in found.sentence, (mistake.sentence, found)


@each
def test_cases_have_two_sizes_vary_with_the_seed_and_are_labelled(exercise):
    cases = exercise.make_cases()
    assert len({sizes(case) for case in cases}) > 1, "all cases have one size"
    assert same(*([[case.arguments, case.options] for case in exercise.make_cases(3)] for _ in range(2)))
    other = exercise.make_cases(1)
    assert dump(other) != dump(cases), "another seed gives the same cases"
    assert all(case.label for case in cases) and not any(case.label.endswith(".") for case in cases)


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
        assert "your function takes ()" in complaint(exercise, lambda: 1)
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
    assert (
        f"{exercise.parameter(place)} was changed in place"
        in exercise.problem(case, outcome, exercise.run(exercise.reference, case))[0]
    )


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
    for change in (
        spoil,
        lambda value: value * 1.05 if type(spoil(value)) is float or type(value) in TENSORS else value,
    ):
        changed = [Outcome(turn_over(right.value, change), calls=right.calls) for right in rights]
        if not all(same(right.value, other.value) for right, other in zip(rights, changed, strict=True)):
            assert exercise.judge(cases, changed).state == "wrong"
    value = rights[0].value
    if type(value) in (list, tuple, str) or (type(value) in TENSORS and value.ndim):
        assert exercise.judge(cases, [Outcome(right.value[:-1]) for right in rights]).state == "wrong"
    assert exercise.judge(cases, []).state == "wrong" and exercise.judge(cases, rights[:-1]).state == "wrong"
