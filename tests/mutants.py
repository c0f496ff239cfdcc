"""What every lesson's exercises must pass. ``test_exercises_NN.py`` imports these tests and gives ``EXERCISES``, and for each of them right
answers, ``RIGHT``, and wrong ones with a piece of the message that they must get, ``WRONG`` (a piece that is None may be any)."""

import pytest
import torch

from looped_lite.exercises import Exercise, Mistake


def exercises_of(lesson):
    """The exercises of a lesson's module, by number."""
    return {exercise.number: exercise for exercise in vars(lesson).values() if isinstance(exercise, Exercise)}


class EqualsEverything:
    """Claims to be equal to anything, has every attribute and can be called."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


def stub(*args, **kwargs):
    raise NotImplementedError("your turn")


def pytest_generate_tests(metafunc):
    """``exercise`` is each of them; ``right`` and ``wrong`` are each with one of its answers."""
    module, names = metafunc.module, metafunc.fixturenames
    if "right" in names or "wrong" in names:
        name, answers = ("right", module.RIGHT) if "right" in names else ("wrong", module.WRONG)
        pairs = [(key, place) for key in answers for place in range(len(answers[key]))]
        found = [(module.EXERCISES[key], answers[key][place]) for key, place in pairs]
        metafunc.parametrize(name, found, ids=[f"{key}-{place}" for key, place in pairs])
    elif "exercise" in names:
        metafunc.parametrize("exercise", module.EXERCISES.values(), ids=module.EXERCISES)


def test_every_exercise_has_right_and_wrong_answers(request):
    exercises, right, wrong = (getattr(request.module, name) for name in ("EXERCISES", "RIGHT", "WRONG"))
    assert set(exercises) == set(right) == set(wrong)
    assert all(len(answers) >= 2 for answers in right.values()) and all(len(answers) >= 3 for answers in wrong.values())


def test_right_answers_pass_however_they_are_written(right, capsys):
    exercise, answer = right
    assert exercise(answer) is answer, capsys.readouterr().out
    assert exercise.state == "solved"


def test_wrong_answers_are_told_what_is_wrong(wrong):
    exercise, (answer, piece) = wrong
    with pytest.raises(Mistake) as mistake:
        exercise.verify(answer)
    assert piece is None or piece in str(mistake.value), mistake.value
    assert torch.is_grad_enabled(), "a check leaves gradients as it found them"


def test_unsolved_and_cheating(exercise, capsys):
    assert exercise(stub) is exercise.reference and exercise.state == "unsolved"
    assert exercise(lambda *args, **kwargs: EqualsEverything()) is exercise.reference and exercise.state == "wrong"
    assert exercise(exercise.reference) is exercise.reference and exercise.state == "solved", capsys.readouterr().out
