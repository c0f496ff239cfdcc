"""The mechanism of the exercises: what a learner sees for a right, a wrong, a missing and a dishonest answer."""

import re
from types import ModuleType

import numpy as np
import pytest
import torch

from looped_lite.exercises import Exercise, Mistake, describe, expect, report, unchanged


def double(x):
    return 2 * x


def check_double(f):
    x = torch.arange(4.0)
    kept = x.clone()
    mistakes = {"you squared it": x**2, "you returned it unchanged": x}
    expect(f(x), 2 * kept, "double([0, 1, 2, 3])", mistakes=mistakes)
    unchanged(kept, x, "x")


def exercise():
    return Exercise("99.1", "twice as much", double, check_double, seen="Everything is twice as much.")


def complaint(answer, of=None):
    """The message that an answer gets, '' if it is right."""
    try:
        (of or exercise()).verify(answer)
    except Mistake as mistake:
        return str(mistake)
    return ""


class EqualsEverything:
    """Claims to be equal to anything, close to anything, and of any shape."""

    shape, dtype, ndim = torch.Size([4]), torch.float32, 1

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __sub__(self, other):
        return 0

    def __len__(self):
        return 4

    def __iter__(self):
        return iter([self] * 4)


class Liar(torch.Tensor):
    """A tensor that answers every question about itself with yes."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True


# ---------------------------------------------------------------- the verdict, and what the lesson goes on with


def test_a_right_answer_is_used(capsys):
    mine, one = lambda x: x + x, exercise()
    assert one(mine) is mine and one.state == "solved"
    said = capsys.readouterr().out
    assert "Exercise 99.1 (twice as much): right. Everything is twice as much." in said
    assert "uses your version" in said


def test_an_unsolved_exercise_says_so_and_the_course_carries_on(capsys):
    one = exercise()

    def stub(x):
        raise NotImplementedError("your turn")

    assert one(stub) is double and one.state == "unsolved"
    said = capsys.readouterr().out
    assert "not solved yet" in said and "the course's own version" in said


def test_a_wrong_answer_is_told_why_and_the_course_carries_on(capsys):
    one = exercise()
    assert one(lambda x: x**2) is double and one.state == "wrong"
    said = capsys.readouterr().out
    assert "not right yet" in said and "double([0, 1, 2, 3]): you squared it." in said
    assert "the course's own version" in said


def test_a_solved_exercise_that_is_broken_again_is_wrong_again():
    one = exercise()
    one(double)
    one(lambda x: x)
    assert one.state == "wrong"


@pytest.mark.parametrize("answer", [None, 3, "double", torch.ones(4), EqualsEverything()])
def test_something_that_is_no_function(answer):
    assert "expected a function" in complaint(answer)


def test_the_check_leaves_the_random_numbers_of_the_lesson_alone():
    def check(f):
        expect(f(), torch.rand(2), "two random numbers")

    seeded = Exercise("99.2", "random", double, check)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    seeded(lambda: torch.rand(2))
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- answers that only claim to be right


@pytest.mark.parametrize("returned", [EqualsEverything(), [EqualsEverything()] * 4, Liar([0.0, 2.0, 4.0, 6.0])])
def test_an_object_that_equals_everything_is_not_right(returned):
    message = complaint(lambda x: returned)
    assert "expected a tensor of shape (4,)" in message and "got" in message


@pytest.mark.parametrize("right", [3, 2.5, True, "a word", [1, 2], (1.0, 2.0), {"a": 1}, None, torch.ones(2)])
def test_equality_alone_convinces_for_no_kind_of_answer(right):
    for fake in (EqualsEverything(), [EqualsEverything()] * 2, {"a": EqualsEverything()}):
        with pytest.raises(Mistake):
            expect(fake, right, "it")


def test_a_function_that_equals_everything_when_called():
    class Answer(EqualsEverything):
        def __call__(self, *arguments):
            return self

        def __getattr__(self, name):
            return self

    assert complaint(Answer())


def test_subclasses_of_plain_types_are_not_those_types():
    class Seven(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    with pytest.raises(Mistake):
        expect(Seven(7), 8, "it")


# ---------------------------------------------------------------- tensors


def test_messages_about_tensors_name_what_differs():
    assert "expected shape (4,), got (4, 1)" in complaint(lambda x: 2 * x[:, None])
    assert "dtype float32, got a tensor of shape (4,) and dtype int64" in complaint(lambda x: (2 * x).long())
    assert "got None (is there a return?)" in complaint(lambda x: None)
    assert "got list [0.0, 2.0, 4.0, 6.0]" in complaint(lambda x: (2 * x).tolist())
    assert "1 of 4 values are NaN" in complaint(lambda x: torch.tensor([0, float("nan"), 4, 6]))
    wrong = complaint(lambda x: 2 * x + torch.tensor([0, 0, 1, 0]))
    assert "1 of 4 values are off" in wrong and "at [2]: expected 4, got 5" in wrong


def test_other_floating_types_parameters_and_gradients_do_no_harm():
    assert complaint(lambda x: 2 * x.double()) == ""
    assert complaint(lambda x: torch.nn.Parameter(2 * x)) == ""
    assert complaint(lambda x: (2 * x).requires_grad_()) == ""
    assert complaint(lambda x: (2 * x[None].expand(3, 4))[1]) == ""


def test_infinity_is_off_and_bool_is_not_a_number():
    assert "values are off" in complaint(lambda x: 2 * x + torch.tensor([0, 0, float("inf"), 0]))
    with pytest.raises(Mistake, match="dtype bool"):
        expect(torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.long), "it")
    with pytest.raises(Mistake, match="dtype int64"):
        expect(torch.ones(2, dtype=torch.long), torch.ones(2, dtype=torch.bool), "it")


def test_tensors_changed_in_place_are_noticed():
    def answer(x):
        x *= 2
        return x.clone()

    assert "x was changed in place" in complaint(answer)


def test_nan_is_right_where_nan_is_asked_for():
    expect(torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]), "it")


# ---------------------------------------------------------------- numbers, sequences, dicts


@pytest.mark.parametrize("got", [3, 3.0, torch.tensor(3), torch.tensor([3.0]), np.float64(3), np.int32(3), np.array(3)])
def test_a_number_may_come_in_many_types(got):
    expect(got, 3, "it")


def test_messages_about_numbers():
    for got, said in (
        (4, "expected 3, got 4"),
        (True, "got bool True"),
        ("3", "got str '3'"),
        (None, "is there a ret"),
    ):
        with pytest.raises(Mistake, match=re.escape(said)):
            expect(got, 3, "it")
    with pytest.raises(Mistake, match="got NaN"):
        expect(float("nan"), 3.0, "it")
    with pytest.raises(Mistake, match="got int 1"):
        expect(1, True, "it")
    expect(torch.tensor(True), True, "it")


def test_lists_tuples_and_tensors_of_numbers_are_the_same_sequence():
    for got in ([1, 2, 3], (1, 2, 3), torch.tensor([1, 2, 3]), [torch.tensor(1), 2.0, 3]):
        expect(got, [1, 2, 3], "it")
        expect(got, (1, 2, 3), "it")
    with pytest.raises(Mistake, match="expected 3 entries, got 2"):
        expect([1, 2], [1, 2, 3], "it")
    with pytest.raises(Mistake, match="entry 1: expected 2, got 5"):
        expect([1, 5, 3], [1, 2, 3], "it")
    with pytest.raises(Mistake, match="expected a list of 3, got int 3"):
        expect(3, [1, 2, 3], "it")


def test_dicts_and_strings():
    expect({"a": 1, "b": [2]}, {"b": (2,), "a": 1.0}, "it")
    with pytest.raises(Mistake, match="expected the keys"):
        expect({"a": 1}, {"a": 1, "b": 2}, "it")
    with pytest.raises(Mistake, match="it, a: expected 1, got 2"):
        expect({"a": 2}, {"a": 1}, "it")
    with pytest.raises(Mistake, match="expected 'post', got str 'pre'"):
        expect("pre", "post", "it")


def test_a_known_mistake_is_named_and_an_unknown_one_is_located():
    known = {"this is the sum": 6, "this is the mean": 2}
    with pytest.raises(Mistake, match="it: this is the mean"):
        expect(2, 5, "it", mistakes=known)
    with pytest.raises(Mistake, match="expected 5, got 4"):
        expect(4, 5, "it", mistakes=known)
    expect(5, 5, "it", mistakes={"never said of a right answer": 5})


# ---------------------------------------------------------------- code that stops


def test_an_exception_is_reported_with_the_learners_line():
    def answer(x):
        y = x[:2]
        return x @ y

    message = complaint(answer)
    assert "stopped with RuntimeError in line 3 of your cell (return x @ y)" in message


def test_the_deepest_line_of_the_learner_is_named_not_the_librarys():
    def helper(x):
        return torch.cat([x, 3])

    def answer(x):
        return helper(x)

    assert "(return torch.cat([x, 3]))" in complaint(answer)


def test_wrong_arguments_recursion_and_missing_names():
    assert "TypeError" in complaint(lambda: 1)
    assert "NameError" in complaint(lambda x: no_such_name + x)  # noqa: F821

    def forever(x):
        return forever(x)

    assert "RecursionError" in complaint(forever)


def test_a_class_without_code_of_its_own_can_still_be_wrong():
    class Answer:
        def __init__(self, x):
            raise ValueError("no")

    assert "stopped with ValueError" in complaint(Answer)


def test_a_not_implemented_error_of_pytorch_is_a_mistake_and_only_the_stubs_own_means_unsolved():
    for stub in (NotImplementedError, NotImplementedError("your turn")):

        def answer(x, stub=stub):
            raise stub

        with pytest.raises(NotImplementedError):
            exercise().verify(answer)

    def unlucky(x):
        raise NotImplementedError("no kernel for Bool\nand much more to read")

    message = complaint(unlucky)
    assert message.endswith(
        '(raise NotImplementedError("no kernel for Bool\\nand much more to read")): no kernel for Bool'
    )


def test_interrupting_is_not_an_answer():
    def answer(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercise()(answer)


# ---------------------------------------------------------------- the report


def test_report_lists_the_exercises_in_order(capsys):
    lesson = ModuleType("lesson_99")
    for number, name in (("99.10", "tenth"), ("99.2", "second"), ("99.1", "first")):
        setattr(lesson, name, Exercise(number, name, double, check_double))
    lesson.first(double)
    lesson.second(lambda x: x)
    capsys.readouterr()
    report(lesson)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["99.1", "99.2", "99.10"]
    assert "solved" in lines[0] and "wrong" in lines[1] and "not tried" in lines[2]
    assert lines[3] == "1 of 3 solved."


def test_describe_is_short_and_never_fails():
    assert describe(None) == "None (is there a return?)"
    assert describe([0] * 1000) == "list"
    assert describe(torch.ones(2, 3)) == "a tensor of shape (2, 3) and dtype float32"
    assert describe(EqualsEverything()) == "EqualsEverything"
    assert describe(double) == "function"
