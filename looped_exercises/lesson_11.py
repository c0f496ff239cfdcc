"""The exercises of lesson 11, beyond one block: more blocks, far horizons, shares of a batch, costs, scaling."""

from functools import partial

import torch
from torch import Tensor

from looped_lite.blocks import rms_norm
from looped_lite.fixed_points import lengths

from . import Case, Exercise, Mistake, Named

double = torch.float64


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=double)


# ---------------------------------------------------------------- 11.1 loop two blocks

MAPS = {"turn": lambda A: lambda z: torch.tanh(z @ A), "halve": lambda b: lambda z: 0.5 * z + b}


def blocks_cases(generator):
    def blocks(width, kinds):
        details = {"turn": lambda: draw(generator, width, width), "halve": lambda: draw(generator, width)}
        return [Named(kind, details[kind]()) for kind in kinds]

    return [
        Case("two blocks, 3 loops", blocks(2, ["turn", "halve"]), draw(generator, 4, 2), 3),
        Case("three blocks, 2 loops", blocks(3, ["halve", "turn", "turn"]), draw(generator, 2, 3), 2),
        Case("two blocks, 4 loops", blocks(2, ["halve", "turn"]), draw(generator, 3, 2), 4),
        Case("one block, 5 loops", blocks(2, ["turn"]), draw(generator, 1, 2), 5),
    ]


def in_turn(blocks, z, loops, order=lambda blocks: blocks, count=lambda loops, blocks: loops, keep=lambda z, new: new):
    """Right as it stands; each option is a mistake."""
    for _ in range(count(loops, blocks)):
        for block in order(blocks):
            z = keep(z, block(z))
    return z


def by_number(blocks, z, loops, total=lambda loops, blocks: loops * len(blocks)):
    """Right: application number i is that of block i mod the number of blocks."""
    for i in range(total(loops, blocks)):
        z = blocks[i % len(blocks)](z)
    return z


def one_after_another(blocks, z, loops):
    for block in blocks:
        for _ in range(loops):
            z = block(z)
    return z


def side_by_side(blocks, z, loops, join=sum):
    for _ in range(loops):
        z = join([block(z) for block in blocks])
    return z


loop_blocks = Exercise(
    "11.1", "loop two blocks", lambda blocks, z, loops: in_turn(blocks, z, loops), blocks_cases, things=MAPS,
    seen="A stack of blocks that is repeated is a loop like any other: all of lesson 06 applies to it.",
    styles=[lambda blocks, z, loops: by_number(blocks, z, loops)],
    mistakes=[
        Mistake("each block runs all its loops before the next has a turn: one loop is all blocks, one after another",
                one_after_another),
        Mistake("the blocks are in the wrong order: the first of the list comes first",
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: blocks[::-1]),
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: [blocks[1], blocks[0]])),
        Mistake("only one of the blocks counts here: each must read what the one before it wrote",
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: blocks[:1]),
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: blocks[-1:])),
        Mistake("a loop is all blocks of the list, however many: here one is left out",
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: blocks[:2]),
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: [blocks[0], blocks[1]]),
                lambda blocks, z, loops: in_turn(blocks, z, loops, order=lambda blocks: blocks[:-1]),
                lambda blocks, z, loops: in_turn(blocks[1:], blocks[0](z), loops),
                lambda blocks, z, loops: in_turn(blocks[-1:], in_turn(blocks[:-1], z, 1), loops)),
        Mistake("every loop takes the blocks in the order of the list, not forwards and backwards by turns",
                lambda blocks, z, loops: in_turn([*blocks, *blocks[::-1]], z, loops // 2) if loops % 2 == 0 else
                in_turn(blocks, in_turn([*blocks, *blocks[::-1]], z, loops // 2), 1)),
        Mistake("it returns after the first block: return when all loops are done",
                lambda blocks, z, loops: blocks[0](z)),
        Mistake("loops counts runs of the whole stack, not of single blocks",
                lambda blocks, z, loops: by_number(blocks, z, loops, lambda loops, blocks: loops)),
        Mistake("the stack ran once: repeat it",
                lambda blocks, z, loops: in_turn(blocks, z, 1)),
        Mistake("that is one loop too many", lambda blocks, z, loops: in_turn(blocks, z, loops + 1)),
        Mistake("that is one loop too few", lambda blocks, z, loops: in_turn(blocks, z, loops - 1)),
        Mistake("a block reads what the block before it wrote, not the state at the beginning of the loop",
                lambda blocks, z, loops: side_by_side(blocks, z, loops),
                lambda blocks, z, loops: side_by_side(blocks, z, loops, lambda new: sum(new) / len(new))),
        Mistake("a block returns the next state, residual and all: do not add the old one again",
                lambda blocks, z, loops: in_turn(blocks, z, loops, keep=lambda z, new: z + new)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 11.3 far without running far

FAR_MAPS = {
    "count down": lambda: lambda z: (z - 1).clamp_min(0),
    "creep": lambda step: lambda z: z + step,
    "halve": lambda: lambda z: (z / 2).floor(),
    "turn": lambda: lambda z: z.roll(1, -1),
}


def far_cases(generator):
    def whole(*shape):
        return torch.randint(5, 40, shape, generator=generator).double()

    return [
        Case("4 states that come to rest, 300 loops", Named("count down"),
             torch.tensor([1, 6, 6, 0])[:, None] + whole(4, 1) * torch.tensor([0, 1, 1, 0])[:, None], 300),
        Case("2 larger states that come to rest, 500 loops", Named("halve"), whole(2, 3), 500),
        Case("states that are still in motion at the end, 4 loops", Named("count down"), whole(2, 2), 4),
        Case("states that move by 1e-9 a loop, 50 loops", Named("creep", 1e-9), draw(generator, 3, 2), 50,
             hint="They never repeat, however little they move"),
        Case("tiny states that move by 1e-30 a loop, 20 loops", Named("creep", 1e-30), 1e-28 * draw(generator, 2, 2),
             20, hint="They never repeat, however little they move"),
        Case("states that turn in a circle, 7 loops", Named("turn"), whole(2, 3), 7,
             hint="What comes back later was not at rest"),
        Case("states that go to and fro, 5 loops", Named("turn"), torch.tensor([[1.0, 2.0], [5.0, 3.0]]), 5,
             hint="What comes back later was not at rest"),
    ]  # fmt: skip


def far(f, z, loops, rest=torch.equal, count=lambda t: t, most=lambda loops: loops, put=lambda z, t: (z, t)):
    """Right as it stands; each option is a mistake."""
    for t in range(1, most(loops) + 1):
        before, z = z, f(z)
        if rest(before, z):
            return put(z, count(t))
    return put(z, most(loops))


def far_by_while(f, z, loops):
    """Right, written as a while."""
    done, moving = 0, True
    while moving and done < loops:
        new = f(z)
        moving, z, done = not bool((new == z).all()), new, done + 1
    return z, done


def recurring(f, z, loops):
    """Wrong: it also stops at a state that it met two loops ago."""
    seen = [z]
    while len(seen) <= loops and not any(torch.equal(seen[-1], old) for old in seen[-3:-1]):
        seen.append(f(seen[-1]))
    return seen[-1], len(seen) - 1


run_far = Exercise(
    "11.3", "a horizon of 10,000 loops, without running them all", lambda f, z, loops: far(f, z, loops), far_cases,
    things=FAR_MAPS, calls=["f"],
    seen="Equal bits give equal bits: what follows a repetition is known.",
    styles=[far_by_while, lambda f, z, loops: list(far(f, z, loops))],
    mistakes=[
        Mistake("a small step is not rest: only states that are equal in every bit stay equal",
                *(lambda f, z, loops, tol=tol: far(f, z, loops, lambda a, b: bool((a - b).abs().max() <= tol))
                  for tol in (1e-6, 1e-8, 1e-9, 1e-12))),
        Mistake("compare with the state just before, not with the one at the start",
                lambda f, z, loops: far(f, z, loops, lambda _, new: torch.equal(new, z))),
        Mistake("what comes back after two loops goes round: at rest is what the last loop left as it was", recurring),
        Mistake("these are the loops that are left; say how many were run",
                lambda f, z, loops: far(f, z, loops, count=lambda t: loops - t),
                lambda f, z, loops: far(f, z, loops, put=lambda z, t: (z, loops - t))),
        Mistake("return the state after the last loop, not the one before it",
                lambda f, z, loops: (far(f, z, far(f, z, loops)[1] - 1)[0], far(f, z, loops)[1])),
        Mistake("where nothing comes to rest, all `loops` were run: say so", *(
                lambda f, z, loops, said=said: far(f, z, loops, put=lambda end, t: (
                    end, t if torch.equal(f(end), end) else said)) for said in (None, -1, 0))),
        Mistake("it stops after the first loop: keep the state from before it, and compare the two",
                lambda f, z, loops: far(f, z, loops, rest=lambda a, b: True)),
        Mistake("it runs one loop too many: at most `loops` of them",
                lambda f, z, loops: far(f, z, loops + 1),
                lambda f, z, loops: (lambda end, t: (end, min(t, loops)))(*far(f, z, loops + 1))),
        Mistake("it stops as soon as one number rests: all of them must",
                *(lambda f, z, loops, rest=rest: far(f, z, loops, rest) for rest in (
                    lambda a, b: bool((a == b).any()), lambda a, b: torch.equal(a[0], b[0]),
                    lambda a, b: torch.equal(a[-1], b[-1])))),
        Mistake("the loop that changed nothing has been run, too: it counts",
                lambda f, z, loops: far(f, z, loops, count=lambda t: t - 1)),
        Mistake("it stops one loop early: `loops` of them may be run",
                lambda f, z, loops: far(f, z, loops, most=lambda loops: loops - 1)),
        Mistake("these are the loops asked for: stop where nothing changes any more, and say how many were run",
                lambda f, z, loops: far(f, z, loops, rest=lambda a, b: False),
                lambda f, z, loops: far(f, z, loops, put=lambda z, t: (z, loops))),
        Mistake("all numbers must be the same; their sum or their length is no proof",
                lambda f, z, loops: far(f, z, loops, lambda a, b: bool((b - a).sum() == 0)),
                lambda f, z, loops: far(f, z, loops, lambda a, b: bool(a.norm() == b.norm()))),
        Mistake("this counts one loop too many", lambda f, z, loops: far(f, z, loops, count=lambda t: t + 1),
                lambda f, z, loops: (far(f, z, loops)[0], far(f, z, loops + 1)[1])),
        Mistake("the order is state, loops", lambda f, z, loops: far(f, z, loops, put=lambda z, t: (t, z))),
        Mistake("return both, (state, loops)", lambda f, z, loops: far(f, z, loops, put=lambda z, t: z),
                lambda f, z, loops: far(f, z, loops, put=lambda z, t: t)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 11.4 shares of a batch

SLOPES = {"slope": lambda w: lambda x, y: ((x @ w - y)[:, None] * x).mean(0)}


def shares_cases(generator):
    def case(rows, width, count):
        x, y = draw(generator, rows, width), draw(generator, rows)
        return Case(f"{rows} rows for {count} processes", Named("slope", draw(generator, width)), x, y, count)

    return [case(10, 3, 3), case(8, 2, 2), case(11, 4, 2), case(7, 3, 1)]


def parts_by_stride(rows, count):
    return [slice(rank, None, count) for rank in range(count)]


def parts_by_chunk(rows, count):
    return [place for place in torch.arange(rows).tensor_split(count)]


def sharing(gradient, x, y, count, parts=parts_by_stride, weight=lambda n, rows, count: count * n / rows,
            put=torch.stack):  # fmt: skip
    """Right as it stands; each option is a mistake."""
    found = []
    for part in parts(len(x), count):
        found.append(weight(len(x[part]), len(x), count) * gradient(x[part], y[part]))
    return put(found)


def by_rows(gradient, x, y, count):
    """Right: the sum over each share, row by row, and divided at the end."""
    found = [torch.zeros_like(x[0]) for _ in range(count)]
    for i in range(len(x)):
        found[i % count] += gradient(x[i : i + 1], y[i : i + 1])
    return torch.stack(found) * count / len(x)


take = lambda **options: lambda gradient, x, y, count: sharing(gradient, x, y, count, **options)
share_gradient = Exercise(
    "11.4", "a batch for two processes, and the same gradient", take(), shares_cases, things=SLOPES,
    seen="The mean of these rows is the gradient of the whole batch: all that a process has to send is one such row.",
    styles=[by_rows, take(put=lambda found: torch.stack(found) + 0.0)],
    mistakes=[
        Mistake("shares of unequal size need weights: the mean of their means is not the mean over all rows",
                take(weight=lambda n, rows, count: 1.0)),
        Mistake("these add up to the gradient; all-reduce takes their mean, so each is `count` times as large",
                take(weight=lambda n, rows, count: n / rows)),
        Mistake("these are sums over the rows of a share: divide by the rows of the whole batch, times count",
                take(weight=lambda n, rows, count: float(n))),
        Mistake("the weight is the wrong way up: a larger share counts more",
                take(weight=lambda n, rows, count: rows / n / count)),
        Mistake("the weight is the share's rows over all rows, times count, not over those of the largest share",
                take(weight=lambda n, rows, count: n / -(-rows // count))),
        Mistake("each process takes other rows, from its own number on: here all take the same",
                *(take(parts=lambda rows, count: [slice(None, None, count)] * count, **weigh)
                  for weigh in ({}, {"weight": lambda n, rows, count: 1.0}))),
        Mistake("all-reduce divides by count: multiply by it, do not divide once more",
                take(weight=lambda n, rows, count: n / rows / count)),
        Mistake("// drops the fraction: shares of a batch that does not divide evenly need count * n / rows",
                take(weight=lambda n, rows, count: count * n // rows),
                take(weight=lambda n, rows, count: n / (rows // count))),
        Mistake("the rows that are left over count, too: the batch need not divide evenly",
                take(parts=lambda rows, count: [slice(r, rows // count * count, count) for r in range(count)],
                     weight=lambda n, rows, count: 1.0)),
        Mistake("process r takes every count-th row, not one alone", take(weight=lambda n, rows, count: 1.0,
                parts=lambda rows, count: [slice(r, r + 1) for r in range(count)])),
        Mistake("process r takes rows r, r + count, r + 2 count, ...: these are neighbouring rows",
                take(parts=parts_by_chunk), take(parts=lambda rows, count: torch.arange(rows).chunk(count)),
                take(parts=lambda rows, count: torch.arange(rows).split(rows // count)[:count])),
        Mistake("x[r:count] ends at row `count`: the step is the third, x[r::count]",
                *(take(parts=lambda rows, count: [slice(r, count) for r in range(count)], **weigh)
                  for weigh in ({}, {"weight": lambda n, rows, count: 1.0}))),
        Mistake("each process works on the whole batch here: nothing is shared",
                take(parts=lambda rows, count: [slice(None)] * count),
                lambda gradient, x, y, count: torch.stack([gradient(x, y)] * count)),
        Mistake("the shares are numbered from 0, so that the first begins with row 0",
                take(parts=lambda rows, count: [slice(r, None, count) for r in range(1, count + 1)]),
                take(parts=lambda rows, count: [*parts_by_stride(rows, count)[1:], slice(0, 0)],
                     weight=lambda n, rows, count: count * n / rows if n else 0.0)),
        Mistake("return one row for each process, not their mean",
                take(put=lambda found: torch.stack(found).mean(0)), take(put=sum)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 11.5 what a run costs


def cost_cases(generator):
    def number(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    def case(most, steps):
        return Case(f"N = {most}, {steps} steps", number(10, 1000) * 10**6, number(10, 100) * 10**6, most, steps)

    return [case(1, 1), case(2, 10), case(30, number(100, 4000)), case(16, number(100, 600))]


def enumerate_depths(most, without=1.0, within=3.0, first=lambda most: range(most), left=lambda most, n: most - n):
    """The mean over n and k of what the loops of a step cost, in loops."""
    total = 0.0
    for n in first(most):
        ks = range(1, max(left(most, n), 1) + 1)
        total += sum(without * n + within * k for k in ks) / len(ks)
    return total / len(first(most))


def cost(loop, rest, most, steps, depths=enumerate_depths, times=3.0):
    return steps * (depths(most) * loop + times * rest)


by_formula = lambda most: (most - 1) / 2 + 3 * (most + 3) / 4
training_flops = Exercise(
    "11.5", "what a run costs", lambda loop, rest, most, steps: cost(loop, rest, most, steps, by_formula), cost_cases,
    tol=1e-6, seen="One number for a loop, counted once, prices every run before it begins.",
    styles=[lambda loop, rest, most, steps: cost(loop, rest, most, steps),
            lambda loop, rest, most, steps: sum([cost(loop, rest, most, 1, by_formula)] * steps)],
    mistakes=[
        Mistake("the loops without gradient cost something, too: a forward pass each",
                lambda *given: cost(*given, depths=partial(enumerate_depths, without=0.0))),
        Mistake("loops without gradient have no backward pass: they cost one forward pass, not three",
                lambda *given: cost(*given, depths=partial(enumerate_depths, without=3.0))),
        Mistake("a loop with gradient costs three forward passes: itself, and a backward pass at twice its price",
                *(lambda *given, w=w, t=t: cost(*given, depths=partial(enumerate_depths, within=w), times=t)
                  for w, t in ((1.0, 3.0), (2.0, 3.0), (1.0, 1.0), (2.0, 2.0)))),
        Mistake("exchanged: loops with gradient cost three forward passes, those without it one",
                lambda *given: cost(*given, depths=partial(enumerate_depths, without=3.0, within=1.0))),
        Mistake("N is an argument", *(lambda *given, n=n: cost(*given, depths=lambda most: by_formula(n))
                                      for n in (20, 30))),
        Mistake("// drops the fraction: a mean need not be whole",
                *(lambda *given, f=f: cost(*given, depths=f) for f in (
                    lambda most: (most - 1) // 2 + 3 * ((most + 3) // 4),
                    lambda most: (most - 1) // 2 + 3 * (most + 3) // 4,
                    lambda most: (most - 1) // 2 + 3 * (most + 3) / 4,
                    lambda most: (most - 1) / 2 + 3 * ((most + 3) // 4)))),
        Mistake("this is the dearest step: n and k are drawn, so take their mean",
                lambda *given: cost(*given, depths=lambda most: 3.0 * most)),
        Mistake("k is drawn from 1 to N - n: given n its mean is (N - n + 1)/2, and n has a mean, too",
                lambda *given: cost(*given, depths=partial(enumerate_depths, left=lambda most, n: most))),
        Mistake("k is drawn from 1 to N - n, not from 0", lambda *given: cost(*given, depths=lambda most:
                by_formula(most) - 1.5)),
        Mistake("n is drawn from 0 to N - 1: its mean is (N - 1)/2",
                *(lambda *given, by=by: cost(*given, depths=lambda most: by_formula(most) + by) for by in (0.5, 1.0)),
                lambda *given: cost(*given, depths=partial(enumerate_depths, first=lambda most: range(1, most + 1)))),
        Mistake("encoding and read-out are trained as well: forward and backward, three times `rest`",
                lambda *given: cost(*given, times=1.0), lambda *given: cost(*given, times=2.0),
                lambda *given: cost(*given, times=0.0)),
        Mistake("loops and rest are exchanged", lambda loop, rest, *more: cost(rest, loop, *more)),
        Mistake("encoding and read-out happen once a step: three times `rest`, whatever n is",
                lambda *given: cost(*given, times=4.0), lambda *given: cost(*given, times=6.0)),
        Mistake("encoding and read-out happen once a step, not at every loop",
                lambda loop, rest, most, steps: cost(loop + rest, 0, most, steps)),
        Mistake("encoding and read-out happen in every step, not once a run",
                lambda loop, rest, most, steps: cost(loop, rest / steps, most, steps)),
        Mistake("this is one step", lambda loop, rest, most, steps: cost(loop, rest, most, 1)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 11.2 a scaled residual

BRANCHES = {"branch": lambda A, h: lambda u: torch.tanh(u @ A) + h}


def scaled_cases(generator):
    def case(text, batch, width, a, loops):
        branch = Named("branch", 0.3 * draw(generator, width, width), draw(generator, batch, width))
        return Case(text, branch, 3 * draw(generator, batch, width), a, loops)

    return [
        case("1 loop, a = 0.5", 3, 4, 0.5, 1),
        case("3 loops, a = 0.9", 2, 6, 0.9, 3),
        case("400 loops, a = 0.8", 3, 4, 0.8, 400),
        case("2 loops, a = 0 (no residual at all)", 2, 3, 0.0, 2),
    ]


def scaled(branch, z, a, loops, keep=lambda a, z, F: a * z + F, read=rms_norm, rest=lambda a: 1 - a,
           share=lambda gap, z, F: lengths(gap) / lengths(F), end=lambda branch, z: branch(rms_norm(z)),
           put=lambda z, gap: (z, gap)):  # fmt: skip
    """Right as it stands; each option is a mistake."""
    for _ in range(loops):
        z = keep(a, z, branch(read(z)))
    F = end(branch, z)
    return put(z, share(rest(a) * z - F, z, F))


def scaled_by_hand(branch, z, a, loops):
    """Right, with the norm written out."""
    direction = lambda z: z / (z.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    for _ in range(loops):
        z = branch(direction(z)) + a * z
    F = branch(direction(z))
    return z, ((1 - a) * z - F).norm(dim=-1) / F.norm(dim=-1)


def stale(branch, z, a, loops):
    """The gap of the last state with what the branch said of the one before."""
    before, _ = scaled(branch, z, a, loops - 1)
    z, F = scaled(branch, z, a, loops)[0], branch(rms_norm(before))
    return z, lengths((1 - a) * z - F) / lengths(F)


unit = lambda z: torch.nn.functional.normalize(z, dim=-1)
how = lambda **options: lambda branch, z, a, loops: scaled(branch, z, a, loops, **options)
scaled_residual = Exercise(
    "11.2", "a scaled residual and where it rests", how(), scaled_cases, things=BRANCHES, tol=1e-5, atol=1e-9,
    seen="With a < 1 a state can rest: where it is F/(1 - a), the branch puts back what the residual takes away.",
    styles=[scaled_by_hand, how(put=lambda z, gap: [z, gap])],
    mistakes=[
        Mistake("the branch reads the normalized state, F(N(z))",
                how(read=lambda z: z), how(read=lambda z: z, end=lambda branch, z: branch(z)),
                how(end=lambda branch, z: branch(z))),
        Mistake("the norm is inside: branch(rms_norm(z)), not rms_norm(branch(z))",
                how(read=lambda z: z, keep=lambda a, z, F: a * z + rms_norm(F),
                    end=lambda branch, z: rms_norm(branch(z)))),
        Mistake("rms_norm leaves a length of sqrt(width); this divides by the whole length",
                how(read=unit), how(read=unit, end=lambda branch, z: branch(unit(z)))),
        Mistake("only what the branch reads is normalized; the state itself keeps its length",
                how(keep=lambda a, z, F: a * rms_norm(z) + F), how(keep=lambda a, z, F: rms_norm(a * z + F)),
                how(put=lambda z, gap: (rms_norm(z), gap))),
        Mistake("the loop scales the state by a; 1 - a belongs to the gap",
                how(keep=lambda a, z, F: (1 - a) * z + F)),
        Mistake("the gap is a difference, (1 - a) z - F", how(rest=lambda a: a - 1)),
        Mistake("the gap is a length over a length: norm both in the same way",
                how(share=lambda gap, z, F: gap.square().mean(-1).sqrt() / lengths(F)),
                how(share=lambda gap, z, F: lengths(gap) / F.square().mean(-1).sqrt())),
        Mistake("the gap needs F at the last state: compute it once more after the last loop", stale),
        Mistake("the gap is asked for at the last state, not at the first",
                lambda branch, z, a, loops: (scaled(branch, z, a, loops)[0], scaled(branch, z, a, 0)[1])),
        Mistake("`loops` loops: not one more or less", *(
                lambda branch, z, a, loops, s=s, g=g: (scaled(branch, z, a, loops + s)[0],
                                                       scaled(branch, z, a, loops + g)[1])
                for s, g in ((1, 1), (1, 0), (0, 1), (-1, -1)))),
        Mistake("these are squares: the gap is a length over a length",
                how(share=lambda gap, z, F: (lengths(gap) / lengths(F)) ** 2)),
        Mistake("the gap is a length over a length, not a mean of quotients",
                how(share=lambda gap, z, F: (gap / F).abs().mean(-1))),
        Mistake("a scales the state, not the branch", how(keep=lambda a, z, F: z + a * F)),
        Mistake("this is a mean of state and branch, a z + (1 - a) F: the branch comes in whole",
                how(keep=lambda a, z, F: a * z + (1 - a) * F)),
        Mistake("a scales the state alone: a z + F, not a (z + F)", how(keep=lambda a, z, F: a * (z + F))),
        Mistake("this is the plain residual z + F: where is a?", how(keep=lambda a, z, F: z + F)),
        Mistake("the gap compares (1 - a) z with F: at rest, z = a z + F",
                how(rest=lambda a: 1.0), how(rest=lambda a: a)),
        Mistake("the gap is relative: divide by the length of F", how(share=lambda gap, z, F: lengths(gap))),
        Mistake("divide by the length of F, not by that of the state",
                how(share=lambda gap, z, F: lengths(gap) / lengths(z))),
        Mistake("one gap for each instance, a length: not one for each number",
                how(share=lambda gap, z, F: gap / lengths(F)[:, None])),
        Mistake("one gap for each instance: this is one for the whole batch",
                how(share=lambda gap, z, F: gap.norm() / F.norm())),
        Mistake("a length goes over the numbers of an instance, the last dimension",
                how(share=lambda gap, z, F: gap.norm(dim=0) / F.norm(dim=0))),
        Mistake("first the difference, then its length: two vectors of equal length can be far apart",
                *(how(share=lambda gap, z, F, turn=turn: turn(lengths(gap + F) - lengths(F)) / lengths(F))
                  for turn in (torch.abs, torch.neg, torch.clone))),
        Mistake("the order is state, gap", how(put=lambda z, gap: (gap, z))),
        Mistake("return both, (state, gap)", how(put=lambda z, gap: z), how(put=lambda z, gap: gap)),
    ],
)  # fmt: skip
