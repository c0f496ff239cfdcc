"""The exercises of lesson 03: where the input comes back, where the norm sits, and what both do to the state."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from looped_lite.blocks import rms_norm

from . import Case, Exercise, Mistake, Named, after

double = torch.float64
draw = lambda generator, *shape: torch.randn(shape, generator=generator, dtype=double)

# ---------------------------------------------------------------- 03.1 external recall


def external_cases(generator):
    given = lambda batch, cells, width: (*(draw(generator, batch, cells, width) for _ in "zh"),
                                         *(draw(generator, width, width) for _ in "zh"))  # fmt: skip
    return [Case(f"external for a {shape} state", *given(*shape)) for shape in ((2, 4, 4), (3, 5, 6))]


def mix(z, h, Wz, Wh):
    return z @ Wz.T + h @ Wh.T


external = Exercise(
    "03.1", "external recall", mix, external_cases, seen="The input is back in the loop, in front of the block.",
    styles=[lambda z, h, Wz, Wh: F.linear(z, Wz) + F.linear(h, Wh),
            lambda z, h, Wz, Wh: torch.einsum("oi,bci->bco", Wz, z) + (Wh @ h.mT).mT],
    mistakes=[
        Mistake("a cell's vector is a row here, so a matrix acts as z @ Wz.T, as nn.Linear does it",
                lambda z, h, Wz, Wh: z @ Wz + h @ Wh, lambda z, h, Wz, Wh: Wz @ z + Wh @ h,
                lambda z, h, Wz, Wh: Wz.T @ z + Wh.T @ h),
        Mistake("Wz.T is right; h needs Wh.T in the same way", lambda z, h, Wz, Wh: z @ Wz.T + h @ Wh),
        Mistake("Wh.T is right; z needs Wz.T in the same way", lambda z, h, Wz, Wh: z @ Wz + h @ Wh.T),
        Mistake("the two matrices have changed places", lambda z, h, Wz, Wh: mix(z, h, Wh, Wz),
                lambda z, h, Wz, Wh: z @ Wh + h @ Wz),
        Mistake("the input h is missing", lambda z, h, Wz, Wh: z @ Wz.T, lambda z, h, Wz, Wh: mix(z, z, Wz, Wh)),
        Mistake("the state z is missing", lambda z, h, Wz, Wh: h @ Wh.T, lambda z, h, Wz, Wh: mix(h, h, Wz, Wh)),
        Mistake("the matrices are missing", lambda z, h, Wz, Wh: z + h),
        Mistake("h is added as it is; it goes through Wh first", lambda z, h, Wz, Wh: z @ Wz.T + h),
        Mistake("z is added as it is; it goes through Wz first", lambda z, h, Wz, Wh: z + h @ Wh.T),
        Mistake("one matrix acts on the sum; z and h have a matrix each",
                lambda z, h, Wz, Wh: (z + h) @ Wz.T, lambda z, h, Wz, Wh: (z + h) @ Wh.T,
                lambda z, h, Wz, Wh: (z + h) @ (Wz + Wh).T, lambda z, h, Wz, Wh: (z @ Wz.T + h) @ Wh.T,
                lambda z, h, Wz, Wh: (z + h @ Wh.T) @ Wz.T),
        Mistake("the matrices are inverted; they act as they are", *(lambda z, h, Wz, Wh, t=t: z @ t(Wz.inverse())
                + h @ t(Wh.inverse()) for t in (lambda W: W, lambda W: W.T))),
        Mistake("each cell is mixed on its own; these are sums or means over the cells",
                *(lambda z, h, Wz, Wh, t=t: mix(t(z, 1, True), h, Wz, Wh) for t in (torch.sum, torch.mean))),
        Mistake("the mixture is added to z; it takes the place of z", lambda z, h, Wz, Wh: z + mix(z, h, Wz, Wh)),
        Mistake("one of the two is subtracted; add both", lambda z, h, Wz, Wh: mix(z, -h, Wz, Wh),
                lambda z, h, Wz, Wh: mix(-z, h, Wz, Wh)),
        Mistake("this is the mean of both; their sum is meant", lambda z, h, Wz, Wh: mix(z, h, Wz, Wh) / 2),
        Mistake("* multiplies entry by entry; a matrix acts by @", lambda z, h, Wz, Wh: z * Wz + h * Wh,
                lambda z, h, Wz, Wh: z * Wz.diag() + h * Wh.diag()),
        Mistake("the two parts are multiplied; add them up", lambda z, h, Wz, Wh: (z @ Wz.T) * (h @ Wh.T)),
        Mistake("the result is on its side, with cells and width exchanged", lambda z, h, Wz, Wh: mix(z, h, Wz, Wh).mT),
        Mistake("both stand side by side; add them up", lambda z, h, Wz, Wh: torch.cat([z @ Wz.T, h @ Wh.T], -1),
                lambda z, h, Wz, Wh: torch.stack([z @ Wz.T, h @ Wh.T]), lambda z, h, Wz, Wh: (z @ Wz.T, h @ Wh.T)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 03.2 internal recall


def internal_cases(generator):
    return [Case(f"your new branch for tensors of shape {shape}", Named("branch", draw(generator, shape[-1])),
                 *[part for name, part in zip("hzw", (draw(generator, *shape), *(draw(generator, shape[-1], shape[-1])
                                                      for _ in "zh")), strict=True)],
                 u=[draw(generator, *shape), draw(generator, *shape)])
            for shape in ((2, 5, 6), (3, 2, 4))]  # fmt: skip


def try_out(answer, branch, h, Wz, Wh, u):
    """What the new branch makes of two tensors, one after the other."""
    new = answer(branch, h, Wz, Wh)
    return [new(one) for one in u] if callable(new) else "a tensor" if isinstance(new, Tensor) else new


def remembering(branch, h, Wz, Wh):
    first = []
    return lambda u: (first.append(u), branch(mix(first[0], h, Wz, Wh)))[1]


def joined(branch, h, Wz, Wh):
    def new(u):
        return branch(torch.cat([u, h], dim=-1) @ torch.cat([Wz, Wh], dim=1).T)

    return new


def reads(how):
    """An answer whose new branch returns ``how(F, u, h, Wz, Wh)``, with F the old branch."""
    return lambda branch, h, Wz, Wh: lambda u, *rest: how(branch, u, h, Wz, Wh)


internal = Exercise(
    "03.2", "internal recall", reads(lambda F, *parts: F(mix(*parts))), internal_cases, ask=try_out,
    things={"branch": lambda gain: lambda v: v.tanh() * gain},
    seen="The input is back inside the branch, and the stream is left alone.",
    styles=[joined, reads(lambda F, u, h, Wz, Wh: F(u @ Wz.T + h @ Wh.mT))],
    mistakes=[
        Mistake("return the new branch, a function of u, neither a tensor nor None: a lambda, or the name of a def",
                lambda F, h, Wz, Wh: F(mix(h, h, Wz, Wh)), lambda F, h, Wz, Wh: None),
        Mistake("h is mixed in twice", reads(lambda F, u, h, *W: F(mix(mix(u, h, *W), h, *W)))),
        Mistake("this is the old branch: h is not in it", lambda F, h, Wz, Wh: F),
        Mistake("this mixes h with itself; mix it with u, whatever the new branch is given",
                reads(lambda F, u, h, Wz, Wh: F(mix(h, h, Wz, Wh)))),
        Mistake("asked a second time, with another tensor, it answers for the first: mix each u anew", remembering),
        Mistake("the mixture comes after the branch; mix first, so that the branch reads it",
                reads(lambda F, u, *more: mix(F(u), *more)), reads(lambda F, u, h, *W: mix(F(u), F(h), *W))),
        Mistake("h is added to what the branch returns; the branch should read it",
                reads(lambda F, u, h, Wz, Wh: F(u @ Wz.T) + h @ Wh.T), reads(lambda F, u, h, Wz, Wh: F(u) + h @ Wh.T),
                reads(lambda F, u, h, Wz, Wh: F(u) + h)),
        Mistake("the branch works on u and h apart; it should read their mixture",
                reads(lambda F, u, h, Wz, Wh: F(u @ Wz.T) + F(h @ Wh.T)),
                reads(lambda F, u, h, Wz, Wh: F(u) + F(h @ Wh.T)), reads(lambda F, u, h, Wz, Wh: F(u) + F(h))),
        Mistake("h is subtracted; add it", reads(lambda F, u, h, *W: F(mix(u, -h, *W)))),
        Mistake("this is the mixture, but the old branch never reads it", reads(lambda F, *parts: mix(*parts))),
        Mistake("the branch's result is added to something, or something subtracted; the residual is not its business",
                reads(lambda F, u, *more: F(mix(u, *more)) - u),
                reads(lambda F, u, *more: u + F(mix(u, *more))), reads(lambda F, *parts: mix(*parts) + F(mix(*parts))),
                reads(lambda F, u, *more: F(u) + mix(u, *more)), reads(lambda F, u, h, *W: F(mix(u, h, *W)) + h)),
        Mistake("the branch is applied twice", reads(lambda F, *parts: F(F(mix(*parts)))),
                reads(lambda F, u, *more: F(mix(F(u), *more)))),
        Mistake("a cell's vector is a row here, so a matrix acts as u @ Wz.T",
                reads(lambda F, u, h, Wz, Wh: F(u @ Wz + h @ Wh))),
        Mistake("the two matrices have changed places", reads(lambda F, u, h, Wz, Wh: F(mix(u, h, Wh, Wz)))),
        Mistake("the matrices are missing", reads(lambda F, u, h, Wz, Wh: F(u + h))),
        Mistake("h goes through Wh, and u through Wz", reads(lambda F, u, h, Wz, Wh: F(u @ Wz.T + h)),
                reads(lambda F, u, h, Wz, Wh: F(u + h @ Wh.T)), reads(lambda F, u, h, Wz, Wh: F((u + h) @ Wz.T))),
        Mistake("u is missing from the mixture", reads(lambda F, u, h, Wz, Wh: F(h @ Wh.T))),
        Mistake("h is missing from the mixture", reads(lambda F, u, h, Wz, Wh: F(u @ Wz.T)),
                reads(lambda F, u, h, Wz, Wh: F(mix(u, u, Wz, Wh)))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 03.3 move one norm


def norm_cases(generator):
    def case(where, *shape):
        one, two = 0.5 + torch.rand(2, shape[-1], generator=generator)
        maps = Named("branch", draw(generator, shape[-1], shape[-1])), Named("norm", one), Named("norm", 1 + two)
        return Case(f'place_norm with where="{where}"', 3 * draw(generator, *shape), *maps, where)

    return [*(case(where, 2, 5, 6) for where in PLACES), case("peri", 3, 4), case("sandwich", 3, 4)]


def placed(before, between, behind, stream=lambda z, N, K: z, branch=lambda F, u: F(u)):
    """``z`` after a branch, with norms before it, between it and the sum, and behind the sum, or not."""

    def formula(z, F, N, K):
        update = branch(F, N(z) if before else z)
        z = stream(z, N, K) + (K(update) if between else update)
        return K(z) if behind else z

    return formula


PLACES = {"pre": (1, 0, 0), "peri": (1, 1, 0), "post": (0, 0, 1), "sandwich": (1, 0, 1)}
FORMULAS = {where: placed(*norms) for where, norms in PLACES.items()}


def chosen(formulas):
    return lambda z, branch, norm_in, norm_out, where: formulas[where](z, branch, norm_in, norm_out)


def instead(formula, wheres=PLACES):
    """Answers with the wrong ``formula(where)`` for all of ``wheres``, and for only one of them."""
    wrong = {where: formula(where) for where in wheres}
    return [chosen(FORMULAS | some) for some in (wrong, *({where: wrong[where]} for where in wheres))]


def other(*norms):
    """Answers with ``norms`` for all places, or for one, where that is wrong; also with the two exchanged."""
    wheres, formula = [where for where in PLACES if PLACES[where] != norms], placed(*norms)
    return [*instead(lambda _: formula, wheres), *instead(lambda _: lambda z, F, N, K: formula(z, F, K, N), wheres)]


def everywhere(**change):
    return instead(lambda where: placed(*PLACES[where], **change))


def by_table(z, branch, norm_in, norm_out, where):
    update = branch(z if where == "post" else norm_in(z))
    update = norm_out(update) if where == "peri" else update
    return norm_out(z + update) if where in ("post", "sandwich") else z + update


place_norm = Exercise(
    "03.3", "move one norm", chosen(FORMULAS), norm_cases,
    things={"branch": lambda W: lambda u: (u @ W).tanh(), "norm": lambda gain: lambda u: rms_norm(u) * gain},
    seen="Four architectures, and nothing but the place of a norm between them.",
    styles=[by_table, after(by_table, Tensor.float)],
    mistakes=[
        *(Mistake(f"what you wrote is {where}", *other(*norms)) for where, norms in PLACES.items()),
        Mistake("you use no norm at all", *instead(lambda _: placed(0, 0, 0))),
        Mistake("you normalize z by itself, which is neither what the branch reads nor the sum",
                *instead(lambda _: lambda z, F, N, K: N(z) + F(z)), *instead(lambda _: lambda z, F, N, K: K(z) + F(z))),
        Mistake("you normalize what the branch returns alone: neither what it reads nor the sum", *other(0, 1, 0)),
        Mistake("you normalize both what the branch returns and the sum", *other(1, 1, 1), *other(0, 1, 1)),
        Mistake("your residual is missing: z is added to what the branch makes of it",
                *everywhere(stream=lambda z, N, K: 0)),
        Mistake("you add the normalized state; the stream itself is added, as it is",
                *everywhere(stream=lambda z, N, K: N(z)), *everywhere(stream=lambda z, N, K: K(z))),
        Mistake("your two norms have changed places: norm_in stands before the branch, norm_out after it",
                *instead(lambda where: lambda z, F, N, K: FORMULAS[where](z, F, K, N))),
        Mistake("you use one norm in both places", *instead(
                lambda where: lambda z, F, N, K: FORMULAS[where](z, F, N, N), ["peri", "sandwich"]), *instead(
                lambda where: lambda z, F, N, K: FORMULAS[where](z, F, K, K), ["peri", "sandwich"])),
        Mistake("two of the names have changed places: this belongs under the other", *(chosen(
                FORMULAS | {a: FORMULAS[b], b: FORMULAS[a]}) for a in PLACES for b in PLACES if a < b)),
        Mistake("both norms stand in front of the branch", *instead(lambda _: lambda z, F, N, K: z + F(K(N(z)))),
                *instead(lambda _: lambda z, F, N, K: z + F(N(K(z))))),
        Mistake("your branch is missing", *everywhere(branch=lambda F, u: u)),
        Mistake("your branch is applied twice", *everywhere(branch=lambda F, u: F(F(u)))),
        Mistake("you subtract what the branch returns; add it", *everywhere(branch=lambda F, u: -F(u))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 03.4 does the state stay bounded?


def bounded_cases(generator):
    t, size = torch.arange(1.0, 401.0), 5 + 5 * float(torch.rand((), generator=generator))
    own, until = "1% of *its* length is allowed", lambda loop: 1 + t.clamp_max(loop) / 40
    return [
        Case("a state that stays at one length", size + 0 * t),
        Case("a state that grows at a constant step", 2 * size * t, hint="That goes on for ever"),
        Case("a state that stays at length 100,000", 1e5 + 0 * t, hint="Long is not the same as growing"),
        Case("a state that grows like log t", size * t.log(), hint="Slow growth is growth: the last quarter adds 5%"),
        Case("a state that grows for 150 of 400 loops, and then stays", until(150), hint="The last two quarters count"),
        Case("a state that grows for 290 of 400 loops, and then stays", until(290), hint="The last two quarters count"),
        Case("a state that grows for 310 of 400 loops, and then stays", until(310), hint="The last two quarters count"),
        Case("a state that grows for 340 of 400 loops, and then stays", until(340), hint="The last two quarters count"),
        Case("a state that swings", size + 2 * (t / 3).sin(), hint="To swing is not to grow: take the largest norms"),
        Case("a state that jumps once, at loop 350", size + 5 * (t == 350), hint="*Nowhere* more than 1% is the rule"),
        Case("a state that shrinks from 1,000 to 0.1", 1000 * (-t / 40).exp() + 0.1, hint="That is bounded"),
        Case("a state that grows slowly from 1,000, by 0.5 a loop", 1000 + 0.5 * t, hint="That is more than 1%"),
        Case("a state that drops from 90,000 at loop 100 and then grows", torch.cat([9e4 + 0 * t[:100], t[100:]]),
             hint="An old maximum hides the growth: look at the last two quarters only"),
        Case("a short state that grows, from 0.001 to 0.002", 1e-3 * (1 + t / 400), hint=own),
        Case("a long state that grows by 0.1% in a quarter, from 100,000", 1e5 + t, hint=own),
        Case("40 loops at one length", size + 0 * t[:40]),
        Case("40 loops that grow at a constant step", size * t[:40]),
        Case("40 loops that grow slowly, with slack=0.5", 1000 + 10 * t[:40], slack=0.5, hint="The slack is given"),
        Case("30 loops at 2, then 10 at 3, with slack=0.5", 2.0 + (t[:40] > 30), slack=0.5, hint="*At most* 50%"),
    ]  # fmt: skip


def rule(holds=lambda before, last, slack: last.max() <= (1 + slack) * before.max(), parts=4, against=-2):
    """The verdict ``holds(before, last, slack)`` on the last of so many parts and one before it."""

    def verdict(norms, slack=0.01):
        pieces = norms[len(norms) % parts :].chunk(parts)
        return bool(holds(pieces[against], pieces[-1], slack))

    return verdict


def with_lists(norms, slack=0.01):
    numbers = [float(value) for value in norms]
    quarter = len(numbers) // 4
    return max(numbers[3 * quarter :]) <= max(numbers[2 * quarter : 3 * quarter]) * (1 + slack)


on_all = lambda holds: lambda norms, slack=0.01: bool(holds(norms, slack))
most = lambda holds: rule(lambda before, last, slack: holds(before.max(), last.max(), slack))
each = lambda how: rule(lambda before, last, slack: how(last) <= (1 + slack) * how(before))
bounded = rule()
stays_bounded = Exercise(
    "03.4", "does the state stay bounded?", bounded, bounded_cases,
    seen="It tells growth from length, and slow growth from none.",
    styles=[with_lists, after(bounded, torch.tensor), most(lambda before, last, slack: last / before - 1 <= slack)],
    mistakes=[
        Mistake("you ask how long the state is; ask whether it still grows",
                *(on_all(lambda norms, s, long=long: norms.max() < long) for long in (10, 100, 1e3, 1e4))),
        Mistake("you compare with the start; compare the last quarter with the quarter before it", rule(against=0),
                on_all(lambda n, s: rule(parts=2)(n[: len(n) // 2], s)),
                *(on_all(lambda norms, s, last=last: last(norms) <= (1 + s) * norms[0]) for last in (
                    Tensor.max, lambda norms: norms[-1]))),
        Mistake("you compare with all that came before; an old maximum hides the growth",
                on_all(lambda n, s: n[-(len(n) // 4) :].max() <= (1 + s) * n[: -(len(n) // 4)].max())),
        Mistake("you look at the last step; many small steps are growth, too",
                *(on_all(lambda n, s, step=step: n[-1] - n[-2] <= step) for step in (1, 0.1, 0.01, 1e-3, 0)),
                on_all(lambda norms, s: norms[-1] - norms[-2] <= s), on_all(lambda n, s: n[-1] <= (1 + s) * n[-2])),
        Mistake("at most 1% longer is bounded: <= and not <", most(lambda b, last, slack: last < (1 + slack) * b)),
        Mistake("the slack is a share of the length", most(lambda before, last, s: last <= before + s)),
        Mistake("the slack is a share, 0.01 for 1%", most(lambda before, last, s: last <= (1 + s / 100) * before)),
        Mistake("there is no slack: 1% longer is still bounded", most(lambda before, last, s: last <= before)),
        Mistake("the slack stands on the wrong side", most(lambda before, last, s: (1 + s) * last <= before)),
        Mistake("the slack is an argument, 0.01 unless it is given",
                *(lambda n, slack=0.01, own=own: bounded(n, own) for own in (0.001, 0.01, 0.02, 0.045, 0.05, 0.1))),
        Mistake("shrinking is bounded: no absolute value", most(lambda b, last, s: (last - b).abs() <= s * b)),
        Mistake("compare the *largest* norm of each quarter", *map(each, (Tensor.mean, Tensor.min, Tensor.median,
                lambda part: part[-1], lambda part: part[0])), rule(lambda b, last, s: (last <= (1 + s) * b).all()),
                rule(lambda b, last, s: last[-1] <= (1 + s) * b.max()),
                rule(lambda b, last, s: last.max() <= (1 + s) * b[-1]),
                rule(lambda b, last, s: (last <= (1 + s) * b.max()).any())),
        Mistake("to swing is not to grow: not every step has to go down", on_all(lambda n, s: (n.diff() <= 0).all())),
        Mistake("compare the last quarter of the loops with the quarter just before it: here it is another part",
                rule(against=-3), *(rule(parts=parts) for parts in (2, 3, 5, 6, 8, 10, 20))),
        Mistake("compare with the quarter before; this looks at the last one alone",
                *(rule(lambda b, last, s, of=of: last.max() <= (1 + s) * of(last)) for of in (
                    Tensor.min, Tensor.mean, lambda last: last[-1]))),
        Mistake("a quarter of the loops, however many there are, is no fixed number",
                on_all(lambda n, s: n[300:].max() <= (1 + s) * n[200:300].max()),
                *(on_all(lambda n, s, k=k: n[-k:].max() <= (1 + s) * n[-2 * k : -k].max()) for k in (100, 250))),
        Mistake("this is the other way round: True means bounded", after(bounded, lambda found: not found)),
        Mistake("the two quarters have changed places", most(lambda before, last, s: before <= (1 + s) * last)),
        Mistake("this says yes to everything: is the last norm among those it is compared with?",
                on_all(lambda *_: True), on_all(lambda norms, s: norms[-1] <= (1 + s) * norms.max())),
        Mistake("this says no to everything", on_all(lambda *_: False)),
        Mistake("one verdict, True or False", lambda norms, slack=0.01: float(norms.max()),
                lambda n, slack=0.01: n[-(len(n) // 4) :] <= (1 + slack) * n.chunk(4)[2].max(), *(
                lambda norms, slack=0.01, how=how: how(*[part.max() for part in norms.chunk(4)[:1:-1]]) for how in (
                    torch.sub, torch.div, lambda last, before: -(last - before), lambda last, before: before / last))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 03.5 does the loop hear how long the state is?


def lengthening_cases(generator):
    z, b, W = draw(generator, 3, 4, 6), draw(generator, 6), 0.3 * draw(generator, 6, 6)
    long, turn = 1e3 * draw(generator, 2, 5), 0.3 * draw(generator, 4, 4)
    return [
        Case("a map z + Wz + b, with a state made 3 times longer", Named("affine", W, b), z, 3.0),
        Case("a map z + Wz + b, with a long state of another shape, made twice as long",
             Named("affine", 0.3 * draw(generator, 5, 5), draw(generator, 5)), long, 2.0),
        Case("a map that adds the same vector to every state", Named("affine", 0 * W, b), z, 3.0),
        Case("a map that looks at the direction of the state alone", Named("direction", W, b), z, 10.0),
        Case("a linear map, with a state made 1.5 times longer", Named("affine", turn, 0.0), draw(generator, 4), 1.5),
    ]  # fmt: skip


added = lambda f, z: f(z) - z
change = lambda f, z, c: added(f, c * z) - added(f, z)


def share(what, of=lambda f, z, c: added(f, z), size=Tensor.norm):
    """The size of ``what(f, z, factor)`` as a share of the size of ``of(f, z, factor)``."""
    return lambda f, z, factor: size(what(f, z, factor)) / size(of(f, z, factor))


lengthened = after(share(change), float)
change_on_lengthening = Exercise(
    "03.5", "does the loop hear how long the state is?", lengthened, lengthening_cases,
    seen="0 means that the length of the state is not heard at all.",
    things={"affine": lambda W, b: lambda u: u + u @ W + b,
            "direction": lambda W, b: lambda u: u + (u / u.norm(dim=-1, keepdim=True) @ W + b).tanh()},
    styles=[lambda f, z, factor: torch.dist(added(f, factor * z), added(f, z)) / torch.linalg.vector_norm(added(f, z)),
            share(change, size=lambda part: part.square().sum().sqrt()), share(change)],
    mistakes=[
        Mistake("subtract from f(factor * z) what went in, factor * z, and from f(z) its z",
                share(lambda f, z, c: f(c * z) - f(z))),
        Mistake("look at what is *added*, f(z) - z, not at f(z)",
                share(lambda f, z, c: f(c * z) - f(z), lambda f, z, c: f(z)), share(change, lambda f, z, c: f(z)),
                share(change, lambda f, z, c: f(c * z))),
        Mistake("mind the signs: subtract f(z) - z as a whole", share(lambda f, z, c: added(f, c * z) - f(z) - z)),
        Mistake("what f adds is f(z) - z: subtract what went in, do not add it", share(
                lambda f, z, c: f(c * z) + c * z - f(z) - z, lambda f, z, c: f(z) + z)),
        Mistake("make z `factor` times as long as it is, not of the length `factor`",
                share(lambda f, z, c: added(f, c * z / z.norm()) - added(f, z)),
                share(lambda f, z, c: added(f, c * z / z.norm(dim=-1, keepdim=True)) - added(f, z))),
        Mistake("f itself must get the longer state; you made longer what it adds", share(
                lambda f, z, c: c * added(f, z) - added(f, z))),
        Mistake("multiply z by the factor; you add it", share(lambda f, z, c: added(f, z + c) - added(f, z))),
        Mistake("z is not to be multiplied back: compare what is added as it is",
                share(lambda f, z, c: added(f, c * z) / c - added(f, z)), share(lambda f, z, c: f(c * z) - c * f(z))),
        Mistake("this is what is added to the longer state; subtract what was added before",
                share(lambda f, z, c: added(f, c * z))),
        Mistake("the change is not divided by the size of what was added", lambda f, z, c: change(f, z, c).norm()),
        Mistake("the change is divided by the length of the state; divide by the length of what was added",
                *(share(change, lambda f, z, c, n=n: n(c) * z) for n in (lambda c: 1, lambda c: c, lambda c: c - 1))),
        Mistake("the change is divided by what is added to the longer state; divide by what is added to z",
                share(change, lambda f, z, c: added(f, c * z))),
        Mistake("this is the difference of two lengths; take the length of the difference", lambda f, z, c: (
                (added(f, c * z).norm() - added(f, z).norm()) / added(f, z).norm()), lambda f, z, c: (
                (added(f, c * z).norm() - added(f, z).norm()).abs() / added(f, z).norm())),
        Mistake("both lengths run over the whole tensor, one number each, and only then is one divided by the other",
                *(after(share(change, size=partial(
                Tensor.norm, dim=-1)), how) for how in (lambda t: t, Tensor.mean, Tensor.max)), share(change, size=(
                each_one := lambda part: part.reshape(len(part), -1).norm(dim=1))), after(
                    share(change, size=each_one), Tensor.mean), lambda f, z, c: (
                change(f, z, c) / added(f, z)).abs().mean(), lambda f, z, c: (change(f, z, c) / added(f, z)).norm()),
        Mistake("this is the square; take the root", lambda f, z, c: lengthened(f, z, c) ** 2),
        Mistake("a length is the root of the sum of squares", *(share(change, size=size) for size in (
                Tensor.mean, Tensor.sum, lambda part: part.abs().sum(), lambda part: part.abs().max()))),
        Mistake("the ratio is upside down", after(share(change), torch.reciprocal)),
        Mistake("a share is meant, not percent", after(lengthened, lambda part: 100 * part)),
        Mistake("do not divide by the factor", lambda f, z, c: lengthened(f, z, c) / c),
        Mistake("use the factor as it is given",
                *(lambda f, z, c, own=own: lengthened(f, z, own) for own in (2.0, 3.0, 10.0))),
        Mistake("this says 0 for every map", lambda f, z, c: torch.tensor(0.0), lambda f, z, c: 0.0),
    ],
)  # fmt: skip
