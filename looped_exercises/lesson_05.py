"""The exercises of lesson 05, thinking longer than trained: scores, curves, other starts, loops against length."""

from collections import namedtuple
from functools import partial

import numpy as np
import torch
from torch import Tensor

from looped_lite.evaluation import accuracy_over_loops
from looped_lite.model import Loop, LoopedTransformer
from looped_lite.recipe import Recipe
from looped_lite.tasks import IGNORE, correct_cells, exact_match
from looped_lite.tasks.prefix_sums import PrefixSums, one_hot, random_bits

from . import Case, Exercise, Mistake, Named, after

but = lambda answer, **changes: lambda *arguments: answer(*arguments, **changes)  # some of its steps done otherwise
swapped = lambda pair: pair[::-1]

# ---------------------------------------------------------------- 05.1 exact match and bits


def scores_cases(generator):
    def case(text, cells, classes, wrong, ignored):
        """One instance for each number in ``wrong``: so many scored cells are answered wrongly."""
        targets = torch.randint(classes, (len(wrong), cells), generator=generator)
        answers = targets.clone()
        for row, (count, unscored) in enumerate(zip(wrong, ignored, strict=True)):
            places = 1 + torch.randperm(cells - 1, generator=generator)
            off = torch.cat([torch.zeros(1, dtype=torch.long), places[:unscored], places[unscored : unscored + count]])
            answers[row, off] = (answers[row, off] + 1) % classes
            targets[row, off[: 1 + unscored]] = IGNORE
        noise = torch.rand(*answers.shape, classes, generator=generator)
        return Case(text, 3.0 * torch.nn.functional.one_hot(answers, classes) + noise - 2, targets)

    return [
        case(
            "12 instances of 8 cells, with cells that are not scored",
            8,
            2,
            [0, 1, 0, 3, 2, 1, 4, 0, 1, 5, 6, 2],
            [1, 0, 3, 2, 0, 4, 1, 0, 2, 1, 0, 1],
        ),
        case("4 instances of 6 cells, with cells that are not scored", 6, 2, [0, 1, 0, 3], [1, 0, 3, 2]),
        case("3 instances of 9 cells and 3 classes", 9, 3, [2, 0, 6], [1, 4, 0]),
        case("2 instances, both right", 5, 2, [0, 0], [0, 2]),
        case("one string of 512 bits with one wrong", 513, 2, [1], [0]),
    ]


def scores_of(logits, targets, exact=lambda right, scored: (right | ~scored).all(-1),
              cells=lambda right, scored: right[scored], mean=lambda found: float(found.float().mean())):  # fmt: skip
    """The share of instances right in every scored cell, and the share of scored cells that are right."""
    right, scored = logits.argmax(-1) == targets, targets != IGNORE
    return mean(exact(right, scored)), mean(cells(right, scored))


def by_rows(logits, targets):
    exact = cells = scored = 0
    for answer, target in zip(logits.argmax(-1).tolist(), targets.tolist(), strict=True):
        row = [a == t for a, t in zip(answer, target, strict=True) if t != -100]
        exact, cells, scored = exact + all(row), cells + sum(row), scored + len(row)
    return [exact / len(logits), cells / scored]


def by_package(logits, targets):
    """Right, with the package's functions and one tensor of two shares."""
    bits = correct_cells(logits, targets)[targets != IGNORE].float().mean()
    return torch.stack([exact_match(logits, targets).float().mean(), bits])


shares = partial(but, scores_of)
each_mean = lambda right, scored: (right & scored).sum(-1) / scored.sum(-1)
first_left_out = dict(exact=lambda right, scored: right[:, 1:].all(-1), cells=lambda right, scored: right[:, 1:])
scores = Exercise(
    "05.1", "exact match and bits", scores_of, scores_cases, atol=1e-5,
    seen="One wrong bit of 512: 0.998 of the bits, and not solved.",
    styles=[by_rows, by_package, shares(mean=lambda found: found.double().mean())],
    mistakes=[
        Mistake("the order is exact match first, then cells", after(scores_of, swapped)),
        Mistake("the BOS cell and others with the target IGNORE are not scored: leave them out of both shares",
                shares(exact=lambda right, scored: right.all(-1), cells=lambda right, scored: right)),
        Mistake("cells with the target IGNORE must not make an instance wrong",
                shares(exact=lambda right, _: right.all(1))),
        Mistake("cells with the target IGNORE must not count: divide by the scored ones",
                shares(cells=lambda right, _: right)),
        Mistake("cells with the target IGNORE must not count as right",
                shares(cells=lambda right, which: right | ~which)),
        Mistake("what has the target IGNORE is not always just the first cell", shares(**first_left_out),
                shares(cells=first_left_out["cells"]), shares(exact=first_left_out["exact"])),
        Mistake("the second share is one over all cells, not the mean of the instances' shares",
                shares(cells=each_mean)),
        Mistake("these are counts: divide by the number of instances, and of scored cells",
                shares(mean=lambda found: int(found.sum())), shares(mean=lambda found: float(found.sum()))),
        Mistake("IGNORE is no class: a cell with this target must not be compared at all",
                lambda logits, targets: scores_of(logits, targets.clamp(0))),
        Mistake("an instance is right if all its scored cells are: this is a power of the share of cells",
                lambda logits, targets: ((bits := scores_of(logits, targets)[1]) ** targets.shape[1], bits)),
        Mistake("this is one of the two shares, twice",
                *(after(scores_of, lambda pair, i=i: (pair[i],) * 2) for i in (0, 1))),
        Mistake("a cell is right or not: count those, and do not add up probabilities", lambda logits, y: (
                scores_of(logits, y)[0],
                float(logits.softmax(-1).gather(-1, y.clamp(0)[..., None])[..., 0][y != IGNORE].mean()))),
        Mistake("the second share is one of the scored cells: divide by how many there are", *(
                shares(cells=lambda right, s, by=by: (right & s).sum() / by(s)) for by in (len, lambda s: s.shape[1]))),
        Mistake("an instance is right if all scored cells are; this asks one cell alone",
                *(shares(exact=lambda right, scored, i=i: (right | ~scored)[:, i]) for i in (-1, 1)),
                shares(exact=lambda right, scored: right[:, -1])),
        Mistake("an instance is right if all scored cells are, not if any is",
                shares(exact=lambda right, _: right.any(-1))),
        Mistake("an instance is right if all scored cells are, not if most are",
                shares(exact=lambda right, scored: each_mean(right, scored) > 0.5)),
        Mistake("this asks of each cell whether all instances are right: all(-1) goes along the cells",
                shares(exact=lambda right, scored: (right | ~scored).all(0))),
        Mistake("every instance has a verdict of its own, all(-1)",
                shares(exact=lambda right, scored: (right | ~scored).all())),
        Mistake("these are the shares that are wrong", shares(mean=lambda found: 1 - float(found.float().mean()))),
        Mistake("these are percentages: a share is at most 1", shares(mean=lambda found: 100 * found.float().mean())),
        Mistake("the class is the largest logit, argmax(-1)", lambda logits, targets: scores_of(-logits, targets),
                lambda logits, targets: scores_of(logits[..., 1:2] * torch.tensor([-1, 1]), targets)),
        Mistake("return both shares, (exact match, cells)", after(scores_of, min), after(scores_of, max)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 05.2 the schoop curve for one model


class Clock(Loop):
    """The loop of a `StandIn`."""

    def __call__(self, z: Tensor) -> Tensor:
        return self.model.step(z, self.h)


class StandIn(LoopedTransformer):
    """A model whose answers are known: inputs (batch, cells, 3) hold the answer, and from which loop to which it is
    given; before and after that half of the cells are wrong. ``calls`` counts passes, that is first loops. A state that
    is not read out looks always right."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            super().__init__(3, 2, width=8, heads=2, recall="none")
        self.calls = 0

    def encode(self, x: Tensor) -> Tensor:
        wrong, right = 99 * (1 - x[..., :1]), 99 * x[..., :1]
        return torch.nn.functional.pad(torch.cat([wrong, right, x[..., 1:]], -1), (0, 4))  # channel 4 counts loops

    def loop(self, x: Tensor) -> Loop:
        return Clock(self, self.encode(x), [])

    def step(self, z: Tensor, h: Tensor) -> Tensor:
        self.calls += int(z[0, 0, 4] == 0)
        return z + torch.eye(8)[4]

    def read_out(self, z: Tensor) -> Tensor:
        _, answer, first, last, loops = z[..., :5].unbind(-1)
        spared = (torch.arange(z.shape[1]) + torch.arange(len(z))[:, None]) % 2 == 0  # no cell tells of all strings
        told = ((first <= loops) & (loops <= last)) | spared
        return torch.stack([told != answer.bool(), told == answer.bool()], -1).float()


def schoop_cases(generator):
    def case(text, first, last, cells, loops):
        """Strings that are right from one loop to another: two with these ends, two with others between them."""
        drawn = lambda ends: torch.cat([torch.tensor(ends), torch.randint(*ends, (len(ends),), generator=generator)])
        first, last = drawn(first), drawn(last)
        answers = torch.randint(2, (len(first), cells), generator=generator)
        x = torch.stack([answers, *(part[:, None].expand(-1, cells) for part in (first, last))], -1).float()
        answers[:, 0] = IGNORE
        return Case(text.format(loops), Named("stand-in"), x, answers, loops)

    rises = "the curve at loops {} of 4 strings, which are right only for a while"
    mixed = "the curve at loops {}, not in order"
    return [case(rises, [1, 6], [3, 12], 7, [1, 2, 4, 7, 10]), case(mixed, [1, 3], [3, 6], 4, [9, 3, 2])]


def curve(model, x, targets, loops, by=0, of=exact_match, passed=1, most=max, seen=lambda t, share, past: share,
          key=lambda t: t, kept=lambda t, loops: t in loops):  # fmt: skip
    """`one_pass`, with a place for each thing that can be done otherwise."""
    f, found, past = model.loop(x), {}, []
    z = f.h
    for t in range(most(loops) + 1):
        past.append(of(model.read_out(z), targets))
        if kept(t - by, loops):
            found[key(t - by)] = float(seen(t, past[-1], torch.stack(past)).float().mean()) * passed
        z = f(z)
    return found


def one_pass(model, x, targets, loops):
    """Exact match after each number of ``loops``: {loops: share of the batch}."""
    states = enumerate(model.states(x, max(loops)), start=1)
    return {t: float(exact_match(model.read_out(z), targets).float().mean()) for t, z in states if t in loops}


def by_evaluation(model, x, targets, loops):
    return {t: right.double().mean().item() for t, right in accuracy_over_loops(model, x, targets, loops).items()}


def each_run(model, x, targets, loops):
    return {t: float(exact_match(model(x, t), targets).float().mean()) for t in loops}


def each_further(model, x, targets, loops):
    ends = dict(zip(torch.tensor(loops).cumsum(0).tolist(), loops, strict=True))
    return {ends[t]: share for t, share in curve(model, x, targets, list(ends)).items()}


curves = partial(but, curve)
ever = lambda t, now, past: past[1:].any(0) if t else now
schoop = Exercise(
    "05.2", "the schoop curve", one_pass, schoop_cases, things={"stand-in": StandIn}, calls=["model"],
    seen="One pass gives the whole curve, however many points it has.",
    styles=[curve, by_evaluation, after(one_pass, lambda found: {t: torch.tensor(s) for t, s in found.items()})],
    mistakes=[
        Mistake("this begins again for each number of loops: go once through model.states(x, max(loops))", each_run),
        Mistake("you are one loop early: the first state of model.states is after 1 loop", curves(by=-1)),
        Mistake("you are one loop late: count from 1, enumerate(..., start=1)",
                curves(by=1, most=lambda loops: max(loops) + 1), curves(by=1)),
        Mistake("every number of loops counts from the start, not from where the one before it ended", each_further),
        Mistake("right once and wrong again does not count: the curve may fall", curves(seen=ever),
                curves(seen=lambda t, now, past: now | past[1:].all(1).any())),
        Mistake("this is a mean over the loops so far: each number of loops has a share of its own",
                curves(seen=lambda t, now, past: past[1:].float().mean() if t else now.float())),
        Mistake("a share counts the whole batch: this is one of its strings alone",
                *(curves(seen=lambda t, now, past, i=i: now[i]) for i in (0, -1))),
        Mistake("an instance is right if all its cells are; this asks one cell alone", *(curves(
                of=lambda logits, y, i=i: (logits.argmax(-1) == y)[:, i]) for i in (-1, 1))),
        Mistake("the best share so far is kept, which hides overthinking: the curve may fall",
                curves(seen=lambda t, now, past: past[1:].float().mean(1).max() if t else now)),
        Mistake("this is the share of cells; count an instance only if all its cells are right",
                curves(of=lambda logits, y: (logits.argmax(-1) == y)[:, 1:]), curves(of=correct_cells),
                curves(of=lambda logits, y: logits.argmax(-1) == y)),
        Mistake("no string is ever right here: a run starts at the embedded input, and the BOS cell, with the target "
                "IGNORE, is not scored (exact_match knows)",
                curves(of=lambda logits, y: (logits.argmax(-1) == y).all(-1))),
        Mistake("this looks at the state itself: read it out first, exact_match(model.read_out(z), targets)",
                lambda model, x, y, loops: {t: float(exact_match(z, y).float().mean()) for t, z in enumerate(
                    model.states(x, max(loops)), start=1) if t in loops}),
        Mistake("this stops at the first number of loops: is the return inside the loop? It belongs below it",
                after(one_pass, lambda found: dict(list(found.items())[:1]))),
        Mistake("the run ends too early: the largest number of loops is max(loops)", curves(most=len),
                curves(most=lambda loops: max(loops) - 1)),
        Mistake("these are counts: divide by the number of instances", curves(passed=4)),
        Mistake("these are percentages: a share is at most 1", curves(passed=100)),
        Mistake("these are the shares that are wrong", curves(seen=lambda t, now, past: ~now)),
        Mistake("one verdict for the whole batch: a share is the mean of the instances' verdicts",
                curves(seen=lambda t, now, past: now.all()), curves(seen=lambda t, now, past: now.any())),
        Mistake("this is a verdict for each instance: a share is their mean", accuracy_over_loops,
                after(accuracy_over_loops, lambda found: {t: right.float() for t, right in found.items()})),
        Mistake("keep only the numbers of loops that were asked for", curves(kept=lambda t, loops: t > 0),
                curves(kept=lambda t, loops: True)),
        Mistake("the last number of loops is not always the largest", curves(most=lambda loops: loops[-1])),
        Mistake("the numbers of loops need not be in order: look each state's up by its own number",
                lambda *a: dict(zip(a[3], dict(sorted(curve(*a).items())).values(), strict=True))),
        Mistake("these are the shares after 1, 2, 3, ... loops, in the places of the numbers of loops asked for",
                lambda model, x, y, loops: dict(zip(loops, one_pass(
                    model, x, y, range(1, len(loops) + 1)).values(), strict=True))),
        Mistake("a dictionary {loops: share} is meant: each share with its number of loops",
                after(curve, lambda found: list(found.values())), after(curve, lambda found: list(found.items())),
                after(curve, lambda found: torch.tensor(list(found.values())))),
        Mistake("the keys are the numbers of loops themselves, whole numbers", curves(key=str),
                after(curve, lambda found: dict(enumerate(found.values())))),
        Mistake("this is the share at the end for all: read out each state on the way",
                lambda model, x, y, loops: dict.fromkeys(loops, curve(model, x, y, loops)[max(loops)])),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 05.3 start from noise

THINGS = {
    "model": lambda recall, seed: Recipe(PrefixSums(), recall=recall, width=16, heads=2, seed=seed).build(),
    "generator": lambda seed: torch.Generator().manual_seed(seed),
}


def noise_cases(generator):
    number = lambda: int(torch.randint(1000, (), generator=generator))
    case = lambda text, recall, batch, bits, loops, scale: Case(
        f"{loops} loops from noise of scale {scale}{text}, {recall} recall", Named("model", recall, number()),
        one_hot(random_bits(batch, bits, generator)), loops, scale, Named("generator", 1000 + number()))  # fmt: skip
    return [case("", "internal", 2, 5, 2, 3.0), case("", "none", 3, 4, 3, 0.5), case("", "external", 2, 7, 1, 2.0),
            case(" (a start from zeros)", "internal", 2, 6, 2, 0.0)]  # fmt: skip


def noisy(model, x, loops, scale, generator, draw=torch.randn, start=lambda noise, scale, h: scale * noise, own=False,
          shape=lambda h: h.shape, read=None):  # fmt: skip
    """Logits after ``loops`` loops from ``scale`` times unit noise instead of the embedded input."""
    f = model.loop(x)
    z = start(draw(shape(f.h), **({} if own else {"generator": generator})), scale, f.h)
    for _ in range(loops):
        z = f(z)
    return (read or model.read_out)(z)


def in_place(model, x, loops, scale, generator):
    h = model.encode(x)
    return model(x, loops, torch.empty_like(h).normal_(generator=generator).mul_(scale))


starts = partial(but, noisy)
from_zero = lambda shape, generator: torch.rand(shape, generator=generator)
even = lambda shape, generator: torch.rand(shape, generator=generator) * 2 - 1
reseeded = lambda seed: lambda shape, generator: torch.randn(shape, generator=generator.manual_seed(seed))
more = lambda by: lambda model, x, loops, scale, generator: noisy(model, x, loops + by, scale, generator)
from_noise = Exercise(
    "05.3", "start from noise", noisy, noise_cases, things=THINGS, atol=1e-5,
    seen="Only recall can tell the loop now what the question was.",
    styles=[in_place, lambda model, x, loops, scale, generator: model(
        x, loops, torch.randn(*x.shape[:2], 16, generator=generator) * scale)],
    mistakes=[
        Mistake("this starts from unit noise: multiply it by scale", starts(start=lambda noise, scale, h: noise)),
        Mistake("the noise is added to the embedded input: the start must hold nothing of the question",
                starts(start=lambda noise, scale, h: h + scale * noise)),
        Mistake("this starts from the embedded input", starts(start=lambda noise, scale, h: h),
                starts(start=lambda noise, scale, h: scale * h)),
        Mistake("this starts from zeros", starts(start=lambda noise, scale, h: 0 * h)),
        Mistake("the noise multiplies the embedded input: the start must hold nothing of the question",
                starts(start=lambda noise, scale, h: h * scale * noise)),
        Mistake("draw the noise with generator=generator: torch.randn_like takes none", starts(own=True)),
        Mistake("the generator is seeded by the caller, not by you", *(starts(draw=reseeded(n)) for n in (0, 1, 42))),
        Mistake("this noise is uniform: torch.randn draws Gaussian noise", starts(draw=from_zero), starts(draw=even),
                starts(draw=torch.rand, own=True)),
        Mistake("scale * noise is meant: no square, root, quotient or sum", *(
                    starts(start=lambda noise, scale, h, change=change: change(noise, scale)) for change in (
                        lambda noise, s: s**2 * noise, lambda noise, s: s**0.5 * noise, torch.div, torch.add))),
        Mistake("the noise is as large as the embedded input is: unit noise times scale, without that",
                starts(start=lambda noise, scale, h: scale * h.std() * noise)),
        Mistake("unit noise has variance 1 in each number: do not bring it to length 1",
                *(starts(start=lambda noise, scale, h, of=of: scale * noise / of(noise)) for of in (
                    torch.norm, lambda noise: noise.norm(dim=-1, keepdim=True)))),
        Mistake("unit noise has both signs and no bounds: take it as it is drawn", *(starts(
                start=lambda noise, scale, h, cut=cut: cut(scale, noise)) for cut in (
                    lambda scale, noise: scale * noise.abs(), lambda scale, noise: (scale * noise).clamp(-1, 1),
                    lambda scale, noise: scale * noise.clamp(-1, 1), lambda scale, noise: scale * noise.sign(),
                    lambda scale, noise: (scale * noise).tanh()))),
        Mistake("draw once: this is the second draw of the generator", starts(
                draw=lambda shape, generator: [torch.randn(shape, generator=generator) for _ in "12"][1])),
        Mistake("scale 0 is a start from zeros, no special case",
                *(starts(start=lambda z, scale, h, e=e: scale * z if scale else (z, h)[e]) for e in (0, 1))),
        Mistake("every instance and every cell has noise of its own: draw the shape of h = model.encode(x)",
                *(starts(shape=lambda h, part=part: h[part].shape, start=lambda z, scale, h: 0 * h + scale * z)
                  for part in (np.s_[:1], np.s_[:, :1], np.s_[..., :1]))),
        Mistake("the number of loops is an argument, `loops`",
                lambda model, x, loops, scale, generator: noisy(model, x, 20, scale, generator)),
        Mistake("the noise stands in the place of the inputs: it belongs into the start state, model(x, loops, start)",
                lambda model, x, loops, scale, generator: model(
                    scale * torch.randn(x.shape, generator=generator), loops)),
        Mistake("one loop too many", more(1)),
        Mistake("one loop is missing", more(-1)),
        Mistake("this is the state: read it out", starts(read=lambda z: z)),
        Mistake("these are probabilities or answers: return the logits", after(noisy, lambda y: y.softmax(-1)),
                after(noisy, lambda y: y.log_softmax(-1)), after(noisy, lambda y: y.argmax(-1))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 05.4 right for good


def good_cases(generator):
    table = lambda columns: torch.tensor([[letter == "1" for letter in column] for column in columns]).T.contiguous()
    columns = ["0011111", "1111111", "0000000", "0100111", "0111110", "0000001", "1101011"]
    columns = [columns[place] for place in torch.randperm(7, generator=generator)]
    others = ["".join(map(str, torch.randint(2, (5,), generator=generator).tolist())) for _ in range(3)]
    parts = columns, [*others, "00110", "01011"], ["1"]
    return [Case(f"the columns {', '.join(part)}", table(part)) for part in parts]


def unbroken(right):
    """(loops, batch) bool -> (batch,) the first loop, from 1, from which it stays right; loops + 1 if never."""
    return len(right) + 1 - right.flip(0).long().cumprod(0).sum(0)


def by_columns(right):
    found = []
    for column in right.T.tolist():
        loop = len(column) + 1
        while loop > 1 and column[loop - 2]:
            loop -= 1
        found.append(loop)
    return found


def by_last_wrong(right):
    wrong = (~right).numpy()
    return np.array([int(np.flatnonzero(column)[-1]) + 2 if column.any() else 1 for column in wrong.T])


def streak(right):
    """Wrong: where the longest run of right answers begins, wherever that is."""
    runs = right.long()
    for t in range(1, len(right)):
        runs[t] *= 1 + runs[t - 1]
    return torch.where(right.any(0), runs.argmax(0) + 2 - runs.amax(0), len(right) + 1)


first = lambda right: right.long().argmax(0) + 1
right_for_good = Exercise(
    "05.4", "right for good", unbroken, good_cases, seen="A lucky moment on the way does not count.",
    styles=[by_columns, by_last_wrong, after(unbroken, Tensor.int)],
    mistakes=[
        Mistake("this is the first loop at which it is right; some are wrong again later", first,
                lambda right: torch.where(right.any(0), first(right), len(right) + 1),
                lambda right: torch.where(right[-1], first(right), len(right) + 1)),
        Mistake("this is the last loop at which it is right: from which loop on is it right to the end?",
                *(lambda right, n=n: torch.where(right.any(0), len(right) - right.flip(0).long().argmax(0), len(
                    right) * n + n) for n in (0, 1))),
        Mistake("right for a while is not right for good: only what lasts to the end counts", streak,
                *(lambda right, n=n: torch.tensor([next((t + 1 for t in range(len(c) - n + 1) if all(c[t : t + n])),
                                                        len(c) + 1) for c in right.T.tolist()]) for n in (2, 3))),
        Mistake("count loops from 1: row 0 is after one loop, and wrong at the end gives loops + 1",
                after(unbroken, lambda found: found - 1),
                lambda right: torch.where(right[-1], unbroken(right) - 1, len(right) + 1)),
        Mistake("wrong at the end must give loops + 1", lambda right: unbroken(right).clamp(max=len(right)),
                *(lambda right, never=never: torch.where(right[-1], unbroken(right), never)
                  for never in (0, -1, float("inf"), float("nan")))),
        Mistake("what is right from the first loop on gives 1",
                lambda right: torch.where(right.all(0), 0, unbroken(right)),
                lambda right: len(right) + 1 - right.flip(0).long().argmin(0)),
        Mistake("this is the number of loops at which it is right; since which loop is it?",
                lambda right: right.sum(0)),
        Mistake("only loops without a break up to the end count", lambda right: len(right) + 1 - right.sum(0)),
        Mistake("this is for how many loops it has been right; since which loop?",
                lambda right: len(right) + 1 - unbroken(right)),
        Mistake("look from the end: flip(0) comes before cumprod(0)",
                lambda right: len(right) + 1 - right.long().cumprod(0).sum(0),
                lambda right: len(right) + 1 - right.flip(1).long().cumprod(0).sum(0),
                lambda right: right.long().cumprod(0).sum(0), lambda right: right.long().cumprod(0).sum(0) + 1),
        Mistake("cumsum goes on counting after a wrong answer: cumprod(0) stays 0 from there on",
                lambda right: len(right) + 1 - right.flip(0).long().cumsum(0).sum(0)),
        Mistake("this is the last loop of the run, if it is right: stop at the first from which it stays right",
                lambda right: torch.where(right[-1], len(right), len(right) + 1)),
        Mistake("after flip(0) places count from the end", lambda right: (~right).flip(0).long().argmax(0) + 1,
                lambda right: right.flip(0).long().argmax(0) + 1),
        Mistake("one loop too late", after(unbroken, lambda found: found + 1)),
        Mistake("the number of loops is len(right)", lambda right: 8 - right.flip(0).long().cumprod(0).sum(0)),
        Mistake("loops run along dimension 0, the batch along 1", lambda right: unbroken(right.T),
                lambda right: right.shape[1] + 1 - right.flip(1).long().cumprod(1).sum(1)),
        Mistake("one number for each string, not one for the batch", after(unbroken, Tensor.max),
                lambda right: int(unbroken(right.all(1, keepdim=True))),
                lambda right: unbroken(right.all(1, keepdim=True).expand_as(right))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 05.5 loops against length


def line_cases(generator):
    draw = lambda size: torch.randn(size, generator=generator, dtype=torch.float64)
    case = lambda text, x, y: Case(f"the line through {text}", x, y)
    bits, ramp = [32, 64, 128], [1.0, 2.0, 4.0, 9.0]
    slope = round(0.4 + float(draw(1).abs()), 2)
    rounded = lambda values: [round(float(value), 2) for value in values]
    falls = [rounded(torch.arange(6) + 0.2 * draw(6)), rounded(9 - 3.0 * torch.arange(6) + draw(6))]
    return [
        case(f"4 points near one of slope {slope}", ramp, rounded(slope * torch.tensor(ramp) + 2 + draw(4))),
        case(f"3 points at x = {bits}", bits, rounded(0.5 * torch.tensor(bits) + 4 + 3 * draw(3))),
        case("6 points that fall", *falls),
    ]


def line(x, y, mean=torch.mean, over=lambda dx, x: (dx * dx).sum(), top=lambda dx, y: (dx * y).sum(), end=None):
    """Least squares: ``(slope, intercept)`` of the line through the points, with a place for what can be otherwise."""
    x, y = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    slope = top(x - mean(x), y) / over(x - mean(x), x)
    return float(slope), float(end(x, y, slope) if end else y.mean() - slope * x.mean())


def by_lstsq(x, y):
    """Right: solves for both numbers at once."""
    A = torch.tensor([[a, 1.0] for a in x])
    return torch.linalg.lstsq(A, torch.tensor(y, dtype=torch.float32)[:, None]).solution[:, 0]


def chord(x, y):
    """The line through the first and the last point."""
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    return slope, y[0] - slope * x[0]


fits, Line = partial(but, line), namedtuple("Line", "slope intercept")
middle = lambda slopes: lambda x, y: (float(slope := slopes(x, y)), float(np.mean(y) - slope * np.mean(x)))
fit_line = Exercise(
    "05.5", "loops against length", line, line_cases, tol=1e-3, atol=1e-3, seen="Loops per bit is the slope.",
    styles=[by_lstsq, lambda x, y: np.polyfit(x, y, 1), lambda x, y: Line(*np.polyfit(x, y, 1))],
    mistakes=[
        Mistake("the order is slope, intercept", after(line, swapped)),
        Mistake("x and y are exchanged", lambda x, y: line(y, x)),
        Mistake("the line need not go through the origin: subtract the means first",
                fits(mean=lambda x: 0), fits(mean=lambda x: 0, end=lambda x, y, slope: 0.0)),
        Mistake("the mean is subtracted above and not below", fits(over=lambda dx, x: (x * x).sum())),
        Mistake("this joins the first and the last point; least squares uses all of them",
                chord, middle(lambda x, y: chord(x, y)[0])),
        Mistake("this is the mean of the slopes between neighbours; least squares weighs them",
                middle(lambda x, y: np.mean(np.diff(y) / np.diff(x)))),
        Mistake("the slope is right; the intercept is mean(y) - slope * mean(x)", *(fits(end=end) for end in (
                    lambda x, y, a: x.mean() - a * y.mean(),
                lambda x, y, a: y.mean() + a * x.mean(), lambda x, y, a: a * x.mean() - y.mean(),
                lambda x, y, a: 0.0,
                    lambda x, y, a: y.mean() - a, lambda x, y, a: y.mean() - x.mean(),
                    lambda x, y, a: y[-1] - a * x[-1],
                    lambda x, y, a: y[0] - a * x[0], lambda x, y, a: y[0], lambda x, y, a: y.mean()))),
        Mistake("this is the correlation: divide by the sum of dx squared alone",
                lambda x, y: (float(r := np.corrcoef(x, y)[0, 1]), float(np.mean(y) - r * np.mean(x)))),
        Mistake("below stands the sum of (x - mean)^2, over all points", fits(over=lambda dx, x: (dx * dx).mean()),
                middle(lambda x, y: np.cov(x, y)[0, 1] / np.var(y, ddof=1)),
                fits(over=lambda dx, x: dx.norm()), fits(over=lambda dx, x: dx.abs().sum()),
                *(fits(over=lambda dx, x, of=of: dx.std(correction=of) * (len(x) - of)) for of in (0, 1))),
        Mistake("above stands the sum of the products (x - mean)(y - mean): a product of sums is 0",
                fits(top=lambda dx, y: 0 * y.sum())),
        Mistake("a line has degree 1: np.polyfit(x, y, 1)", lambda x, y: tuple(np.polyfit(x, y, 2)[:2].tolist()),
                lambda x, y: tuple(np.polyfit(x, y, 2)[1:].tolist()), lambda x, y: np.polyfit(x, y, 2).tolist()),
        Mistake("above and below stand sums over all points: one is divided by their number and the other by one less",
                fits(over=lambda dx, x: (dx * dx).sum() * (len(x) - 1) / len(x)),
                fits(over=lambda dx, x: dx.var() * len(x))),
        Mistake("the slope is sum dx dy / sum dx^2: no ratio of spreads, and no median of slopes",
                middle(lambda x, y: np.std(y) / np.std(x)), middle(lambda x, y: np.ptp(y) / np.ptp(x)), middle(
                    lambda x, y: np.median([(y[j] - y[i]) / (x[j] - x[i]) for i in range(len(x)) for j in range(i)]))),
        Mistake("fit x and y themselves, not their logarithms", *(lambda x, y, f=f, g=g: line(
                f(x).tolist(), g(y).tolist()) for f in (np.log, np.array) for g in (np.log, np.array) if f != g or f
                == np.log)),
        Mistake("the slope has a sign: this line falls", after(line, lambda pair: (abs(pair[0]), pair[1]))),
        Mistake("return both, (slope, intercept)", after(line, min), after(line, max)),
    ],
)  # fmt: skip
