"""The exercise of lesson 00: right answers written in other ways pass, wrong ones are told what is wrong."""

import itertools

import pytest
import torch

from looped_lite.exercises import Mistake
from looped_lite.exercises import lesson_00 as ex


def by_xor(bits):
    parity, answer = 0, []
    for bit in bits:
        parity ^= bit
        answer.append(parity)
    return answer


RIGHT = [
    by_xor,
    lambda bits: [sum(bits[: i + 1]) % 2 for i in range(len(bits))],
    lambda bits: tuple(itertools.accumulate(bits, lambda a, b: a ^ b)),
    lambda bits: torch.tensor(bits).cumsum(0) % 2,
]


def in_place(bits):
    for i in range(1, len(bits)):
        bits[i] ^= bits[i - 1]
    return bits


WRONG = {
    "modulo 2": lambda bits: list(itertools.accumulate(bits)),
    "i included": lambda bits: [sum(bits[:i]) % 2 for i in range(len(bits))],
    "whole string": lambda bits: [sum(bits) % 2] * len(bits),
    "neighbours only": lambda bits: [a ^ b for a, b in zip([0, *bits], bits, strict=False)],
    "where the count is even": lambda bits: [1 - p for p in by_xor(bits)],
    "unchanged": list,
    "afterwards": in_place,
    "6 entries, got 5": lambda bits: by_xor(bits)[1:],
    "None": lambda bits: None,
    "entry 0": lambda bits: [str(bit) for bit in by_xor(bits)],
    "stopped with": lambda bits: bits[99],
}


@pytest.mark.parametrize("answer", RIGHT)
def test_right_answers_pass(answer):
    ex.running_parity.verify(answer)


@pytest.mark.parametrize("message", WRONG)
def test_wrong_answers_hear_why(message):
    with pytest.raises(Mistake, match=message):
        ex.running_parity.verify(WRONG[message])


def test_an_open_exercise_goes_on_with_the_courses_version(capsys):
    def stub(bits):
        raise NotImplementedError("your turn")

    assert ex.running_parity(stub)([1, 1]) == [1, 0]
    assert "not solved yet" in capsys.readouterr().out


def test_what_equals_everything_proves_nothing():
    class Anything(list):
        def __eq__(self, other):
            return True

    with pytest.raises(Mistake):
        ex.running_parity.verify(lambda bits: Anything(bits))
