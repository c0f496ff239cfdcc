"""The exercises of the course as programs: each is a reference, cases, and wrong answers that have a name.

A lesson decorates the learner's function with an exercise of its module, say ``@ex.rms_norm``. The check runs at once
and prints what it found. A right answer is what the lesson goes on with; for a wrong or missing one it goes on with the
course's own version, and says so. That it is solved is noted in a file of the learner's own (`progress`); nothing is
sent, and no file name matters.

From the same declaration come the learner's check, the tests of the check, and hidden cases (`Exercise.make_cases` with
another seed), whose answers may come from another process: `Exercise.judge` looks at outcomes alone.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import torch

from . import progress
from .comparing import differs, in_columns, is_measured, is_number, is_wide, leaves, like, no_such_word
from .otherwise import otherwise
from .plain import Case, Named, Outcome, dump, make, same, tidy
from .running import STUB, run

__all__ = ["Case", "Exercise", "Mistake", "Named", "Outcome", "Verdict", "after", "exercises_of", "report"]


PATIENCE = 80  # runs of an exercise in which a reason is searched for: not seconds, so that each machine says the same


class Mistake:
    """A well-known wrong answer: the sentence that names it, and functions that make it (also such as take wrong
    arguments or stop)."""

    def __init__(self, sentence: str, *functions: Callable) -> None:
        self.sentence, self.functions = sentence, functions


def after(answer: Callable, change: Callable) -> Callable:
    """``answer``, and its value then changed: for wrong answers that are a right one spoilt at the end."""
    return functools.wraps(answer)(lambda *arguments, **options: change(answer(*arguments, **options)))


@dataclass(frozen=True)
class Verdict:
    """``state`` is "solved", "wrong" or "unsolved"; ``sentence`` says why, with ``mistake``, the declared sentence, in
    it if one fits. ``turned`` is a word about a value that the lesson turns into what it needs."""

    state: str
    sentence: str = ""
    mistake: str = ""
    turned: str = ""


@dataclass(eq=False)
class Exercise:
    """One exercise. As a decorator it checks the learner's function, and returns it if it is right, else ``reference``.

    - ``cases(generator)``: the calls that are compared, at two sizes at least; ``things`` makes what they name.
    - ``mistakes``: wrong answers, told apart by what they return; ``styles``: right ones, written differently.
    - ``unique=False``: the reference's value is one of many, and only its kind and shape count.
      ``properties``, functions of (value, *arguments), return a sentence about what is wrong, or None.
    - ``form(value)``: the form in which values are compared (a sign, an order).
    - ``ask(answer, *arguments)``: how an answer is asked that is not simply called.
    - ``calls``: the maps that may not be called more often than by the reference.
    - ``elsewhere=False``: the reference may run for ever where arguments have other values than those of a case.
    - ``uses``: does the rest of the lesson use the learner's version?
    """

    number: str
    title: str
    reference: Callable
    cases: Callable[[torch.Generator], list[Case]]
    mistakes: Sequence[Mistake] = ()
    styles: Sequence[Callable] = ()
    properties: Sequence[Callable[..., str | None]] = ()
    things: dict[str, Callable] = field(default_factory=dict)
    form: Callable[[Any], Any] | None = None
    ask: Callable | None = None
    unique: bool = True
    calls: Sequence[str] = ()
    tol: float = 1e-4
    atol: float = 1e-6
    seen: str = ""
    elsewhere: bool = True
    uses: bool = True
    state: str = "not tried"
    known: dict = field(default_factory=dict, repr=False)

    def __call__(self, answer: Callable) -> Callable:
        name, verdict = f"Exercise {self.number} ({self.title})", self.check(answer)
        self.state = verdict.state
        if verdict.state == "unsolved":
            print(f"{name}: not solved yet. The lesson goes on with the course's own version.")
            return self.reference
        if verdict.state == "wrong":
            print(f"{name}: not right yet.\n  {verdict.sentence}")
            print("Until it is, the lesson goes on with the course's own version.")
            return self.reference
        print(f"{name}: right. {self.seen}".rstrip())
        if verdict.turned:
            print(f"It returns {verdict.turned}; the lesson turns it into one.")
        if self.uses:
            print("The rest of the lesson uses your version.")
        tell_once(progress.note(self.number))
        return self.turning(answer) if verdict.turned else answer

    def make_cases(self, seed: int = 0) -> list[Case]:
        """The cases of one seed, each call with the same one giving the same."""
        return self.cases(torch.Generator().manual_seed(seed))

    def run(self, answer: Callable, case: Case) -> Outcome:
        return run(answer, case, self.things, self.ask)

    def given(self, function: Callable, case: Case) -> Outcome:
        """What the reference or a mistake gives on a case, kept: many answers are judged on the same cases."""
        if not hasattr(case, "bytes"):  # they are asked for once for each mistake
            case.bytes = dump(case)
        key = (function, case.bytes)
        if key not in self.known:
            self.known[key] = self.run(function, case)
        return self.known[key]

    def check(self, answer: Callable, seed: int = 0) -> Verdict:
        """Run an answer on the cases of ``seed``, up to the first that stops it, and judge what came of it."""
        if not callable(answer):
            return Verdict("wrong", f"expected a function, got an object of type {type(answer).__name__}.")
        if answer is self.reference:
            return Verdict("wrong", "this is the course's own function: the exercise is to write yours.")
        cases, outcomes = self.make_cases(seed), []
        for case in cases:
            outcomes.append(self.run(answer, case))
            if outcomes[-1].stopped:
                break
        verdict = self.judge(cases, outcomes)
        tried = cases[: len(outcomes)]
        unnamed = verdict.state == "wrong" and not verdict.mistake and self.is_like(outcomes[-1], tried[-1])
        other = (self.other_default(answer) or self.unheeded(answer, tried)) if unnamed else ""
        return replace(verdict, sentence=f"{verdict.sentence} {other}") if other else verdict

    def is_like(self, outcome: Outcome, case: Case) -> bool:
        """Did an answer return the kind of thing that is meant?"""
        if outcome.stopped:
            return False
        right = self.given(self.reference, case).value
        return type(like(outcome.value, right)[0]) is type(right)

    def unheeded(self, answer: Callable, cases: Sequence[Case]) -> str:
        """A sentence about an argument to which the answer gives no heed: with other values of it, of other cases or
        smaller and larger, the right value becomes another, and the answer's never does."""
        runs = 0
        for place, first in enumerate(cases[0].arguments):
            moved = []
            for case in cases if is_number(first) or type(first) is torch.Tensor else ():
                old, others = case.arguments[place], [other.arguments[place] for other in cases]
                before, right = self.run(answer, case).value, self.given(self.reference, case).value
                for new in [
                    *others,
                    *([2 * old + 1, type(old)(old / 4), type(old)(old / 32)] if is_number(old) else []),
                ]:
                    runs += 3
                    if runs > PATIENCE:
                        return ""
                    there = Case("", *case.arguments[:place], new, *case.arguments[place + 1 :], **case.options)
                    meant = self.run(self.reference, there)
                    if not meant.stopped and self.differ(meant.value, right, case):
                        moved.append(not same(self.run(answer, there).value, before))
            if len(moved) > 1 and not any(moved):
                return f"Whatever {self.parameter(place)} is, your answer stays the same: use it."
        return ""

    def other_default(self, answer: Callable) -> str:
        """A sentence about an argument that has another value than was meant where none is given, if there is one."""
        with contextlib.suppress(ValueError, TypeError):  # without a signature
            theirs = inspect.signature(answer).parameters
            for name, meant in inspect.signature(self.reference).parameters.items():
                found = theirs[name].default if name in theirs else meant.empty
                if meant.empty not in (found, meant.default) and found != meant.default:
                    return f"Where {name} is not given it should be {meant.default!r}: your function says {found!r}."
        return ""

    def judge(self, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Verdict:
        """What the outcomes of an answer say about it. Calls the reference and the mistakes, never the answer."""
        words = []
        for place, case in enumerate(cases):
            if place >= len(outcomes):
                return Verdict("wrong", f"{case.label}: no answer came.")
            outcome, right = outcomes[place], self.given(self.reference, case)
            if outcome.error == STUB:
                return Verdict("unsolved")
            problem, word = self.problem(case, outcome, right)
            words.append(word)
            if problem:
                named = "" if outcome.changed or outcome.graded else self.name_any(cases, outcomes, place)
                because = f" ({problem})" if named and outcome.stopped else ""
                plain = not (named or outcome.stopped or outcome.changed or outcome.graded)
                hint = f". {case.hint}" if case.hint and plain else ""
                reason = self.reason(cases, outcomes, place) if plain else ""
                said = f"{case.label}: {named or problem}{because}{reason}{hint}"
                return Verdict("wrong", said if said.endswith(("?", ".")) else f"{said}.", named)
        return Verdict("solved", turned=next((word for word in words if word), ""))

    def problem(self, case: Case, outcome: Outcome, right: Outcome) -> tuple[str, str]:
        """What is wrong with one outcome ('' if nothing), and the word about what its value had to be turned into."""
        if touched := [self.parameter(place) for place in outcome.graded if place not in right.graded]:
            what = "comes back with gradients switched on, off or filled in: leave the caller's own alone and work on"
            return f"{' and '.join(touched)} {what} a copy, .detach().requires_grad_(), with autograd.grad", ""
        if outcome.error:
            return outcome.error, ""
        if outcome.changed:
            names = ", ".join(map(self.parameter, outcome.changed))
            return f"{names} was changed in place: make a new one instead, the caller still needs the old", ""
        if outcome.value is None and right.value is not None and outcome.printed:
            return "your function prints and returns None: return the answer instead", ""
        value, word = like(outcome.value, right.value)
        text = self.differ(outcome.value, right.value, case)
        kinds = text and differs(value, right.value, math.inf, math.inf)
        for holds in () if kinds else self.properties:
            text = holds(value, *make(case.arguments, self.things), **make(case.options, self.things)) or text
        for name, enough in self.counts(right).items():
            if not text and (count := self.counts(outcome)[name]) > enough:
                text = f"the answer is right, but {name} was called {count} times, and {enough} would do"
        for place, count in right.calls.items():
            if not text and count and not outcome.calls.get(place) and self.parameter(place) not in self.calls:
                text = f"the answer looks right, but {self.parameter(place)} was not used"
        return text, word

    def differ(self, value: Any, right: Any, case: Case, why: bool = False) -> str:
        """How a value differs from a right one, as `differs` says it, after both have been brought into one form."""
        value, _ = like(value, right)
        tol = (self.tol if case.within is None else case.within) if self.unique else math.inf
        return differs(self.formed(value), self.formed(right), tol, self.atol, why)

    def reason(self, cases: Sequence[Case], outcomes: Sequence[Outcome], first: int) -> str:
        """What makes the first value of the right one, or of other arguments, if it does on most cases that differ."""
        rights = [self.given(self.reference, case).value for case in cases]
        if text := no_such_word(outcomes[first].value, rights, first) or self.times(cases, outcomes, rights):
            return text
        cases, outcomes = cases[first:], outcomes[first:]
        if self.is_like(outcomes[0], cases[0]) and (words := self.right_for(cases, outcomes)):
            return f"; this would be right for {words}"
        reasons, pairs = [], []
        for case, outcome in zip(cases, outcomes, strict=False):
            pair = outcome.value, self.given(self.reference, case).value
            pairs.append((like(*pair)[0], pair[1]))
            if not outcome.stopped and (text := self.differ(*pair, case)):
                reasons.append(self.differ(*pair, case, why=True).removeprefix(text))
        kinds = [re.sub(r"[\d.e+-]+", "", text) for text in reasons]
        if reasons and reasons[0] and 2 * kinds.count(kinds[0]) > len(kinds):
            return reasons[0]
        return in_columns(pairs, self.tol, self.atol)

    def right_for(self, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str:
        """For which other arguments the wrong answers are right, in words, if there are such; the first is wrong."""
        if self.ask or not self.unique or not self.elsewhere:
            return ""
        ways, runs = [dict(otherwise(case, self.parameter)) for case in cases], 0
        for words in ways[0]:
            proofs = 0
            for case, outcome, way in zip(cases, outcomes, ways, strict=False):
                if self.agree(outcome, self.given(self.reference, case), case):
                    continue
                runs += 1
                made = self.run(self.reference, way.get(words, case))
                if made.stopped or not self.agree(outcome, made, case):
                    break
                proofs += 3 if is_measured(made.value) or is_wide(made.value) else 1
            else:
                if proofs > 2:
                    return words
            if runs >= PATIENCE:
                break
        return ""

    def times(self, cases: Sequence[Case], outcomes: Sequence[Outcome], rights: Sequence[Any]) -> str:
        """Is the first number that is off, in all cases, the right one times or divided by the size of an argument?"""
        factors: dict[str, list] = {}
        for case, outcome, right in zip(cases, outcomes, rights, strict=False):
            pairs = zip(leaves(like(outcome.value, right)[0]), leaves(right), strict=False)
            off = [
                a / b for a, b in pairs if is_number(a) and is_number(b) and b and not math.isclose(a, b, rel_tol=1e-3)
            ]
            for place, argument in enumerate(case.arguments if off else ()):
                sized = type(argument) in (list, tuple, dict) or (type(argument) is torch.Tensor and argument.ndim)
                size = len(argument) if sized else argument if is_number(argument) else 0
                name = f"len({self.parameter(place)})" if sized else self.parameter(place)
                for word, factor in (
                    (f"{name} times the right one", size),
                    (f"the right one divided by {name}", size and 1 / size),
                ):
                    factors.setdefault(word, []).append(
                        factor not in (0, 1) and math.isclose(off[0], factor, rel_tol=1e-3)
                    )
        return next((f"; this is {word}" for word, hits in factors.items() if all(hits) and len(hits) > 1), "")

    def formed(self, value: Any) -> Any:
        try:
            return self.form(value) if self.form else value
        except Exception:  # not even the kind of thing that has this form
            return value

    def parameter(self, place: int | str) -> str:
        """The name of an argument, by its place or its name."""
        return place if type(place) is str else list(inspect.signature(self.reference).parameters)[place]

    def counts(self, outcome: Outcome) -> dict[str, int]:
        """How often an answer called each of the maps that count."""
        counts = {self.parameter(place): count for place, count in outcome.calls.items()}
        return {name: counts.get(name, 0) for name in self.calls}

    # ------------------------------------------------------------ naming a mistake

    def name_any(self, cases: Sequence[Case], outcomes: Sequence[Outcome], first: int) -> str:
        """The sentence of the mistake that gives what the answer gave; or one of its entries, where it is a tuple."""
        right, value = self.given(self.reference, cases[first]).value, outcomes[first].value
        entries = range(len(right)) if type(right) is tuple and self.unique and not self.form else ()
        if (sentence := self.name(cases, outcomes, first)) or type(value) is not tuple or len(value) != len(entries):
            return sentence
        for entry in entries:
            if self.differ(value[entry], right[entry], cases[first]):
                pick = lambda found, entry=entry: replace(found, value=found.value[entry]) if (
                    type(found.value) is tuple and entry < len(found.value)) else found  # fmt: skip
                return self.name(cases, outcomes, first, pick)
        return ""

    def name(self, cases: Sequence[Case], outcomes: Sequence[Outcome], first: int,
             pick: Callable[[Outcome], Outcome] | None = None) -> str:  # fmt: skip
        """The sentence of the mistake that gives what the answer gave: on all cases, if there is one, else on most,
        or on all where the answer is wrong, with the ``first`` of these among them (where only measured numbers are
        proof enough). Cases on which both are right tell nothing."""
        best, sentence, whole, pick = 0.0, "", pick is None, pick or (lambda outcome: outcome)
        outcomes, right = [pick(outcome) for outcome in outcomes], pick(self.given(self.reference, cases[first]))
        for mistake in self.mistakes:
            for function in mistake.functions:
                made = pick(self.given(function, cases[first]))
                if not self.agree(outcomes[first], made, cases[first]) or self.agree(made, right, cases[first]):
                    continue
                hits, wrong = [], []
                for case, outcome in zip(cases, outcomes, strict=False):
                    here, meant = pick(self.given(function, case)), pick(self.given(self.reference, case))
                    if not self.agree(outcome, meant, case):
                        wrong.append(self.agree(outcome, here, case))
                    if not (self.agree(outcome, meant, case) and self.agree(here, meant, case)):
                        hits.append(self.agree(outcome, here, case))
                if all(hits):
                    return mistake.sentence
                share = max(sum(hits) / len(hits), 0.51 * all(wrong))
                if whole and share > max(best, 0.5) and is_measured(made.value):
                    best, sentence = share, mistake.sentence
        return sentence

    def agree(self, one: Outcome, other: Outcome, case: Case) -> bool:
        """Did two answers do the same on a case: stop alike, or return the same value, if right after as many calls?"""
        if one.stopped or other.stopped:
            return one.stopped == other.stopped
        if self.differ(one.value, other.value, case):
            return False
        right = self.given(self.reference, case).value
        return self.counts(one) == self.counts(other) or bool(self.differ(one.value, right, case))

    def turning(self, answer: Callable) -> Callable:
        """``answer`` with its values turned into the kind of thing that the lesson needs."""
        meant = self.run(self.reference, self.make_cases()[0]).value

        @functools.wraps(answer)
        def turned(*arguments: Any, **options: Any) -> Any:
            return like(tidy(answer(*arguments, **options)), meant)[0]

        return turned


def exercises_of(lesson: ModuleType) -> list[Exercise]:
    """The exercises of a lesson's module, by number."""
    found = [value for value in vars(lesson).values() if isinstance(value, Exercise)]
    return sorted(found, key=lambda exercise: [int(part) for part in exercise.number.split(".")])


TOLD: set[str] = set()


def tell_once(word: str) -> None:
    """Print a word about the file of what is solved, once until the kernel starts anew."""
    if word and word not in TOLD:
        TOLD.add(word)
        print(f"(What you have solved could not be noted as usual: {word}. The lesson does not need it.)")


def report(lesson: ModuleType) -> None:
    """Print how the exercises of a lesson's module stand: now, and in the learner's own file of earlier days."""
    exercises, (earlier, _) = exercises_of(lesson), progress.read(progress.place())
    for exercise in exercises:
        before = earlier.get(exercise.number, "") if exercise.state != "solved" else ""
        print(f"{exercise.number}  {exercise.state:9}  {exercise.title}" + (before and f"  (solved on {before})"))
    print(f"{sum(exercise.state == 'solved' for exercise in exercises)} of {len(exercises)} solved.")
    if earlier:
        by_lesson = Counter(number[:2] for number in earlier)
        print("On all days: " + ", ".join(f"lesson {n}: {count}" for n, count in sorted(by_lesson.items())) + ".")
