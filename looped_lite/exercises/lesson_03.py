"""The exercises of lesson 03: where the input comes back, where the norm sits, and what both do to the state."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..blocks import RMSNorm
from . import Exercise, Mistake, describe, expect, unchanged


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- 03.1


def mix(z: Tensor, h: Tensor, Wz: Tensor, Wh: Tensor) -> Tensor:
    """``Wz z + Wh h`` for every cell: ``z``, ``h`` (batch, cells, width), the matrices (width, width) as in ``nn.Linear``."""
    return z @ Wz.T + h @ Wh.T


def check_external(f: Callable) -> None:
    z, h, Wz, Wh = random(2, 5, 6), random(2, 5, 6, seed=1), random(6, 6, seed=2), random(6, 6, seed=3)
    kept = z.clone()
    expect(
        f(z, h, Wz, Wh),
        mix(kept, h, Wz, Wh),
        "external for a (2, 5, 6) state",
        mistakes={
            "a cell's vector is a row here, so a matrix acts as z @ Wz.T, as nn.Linear does it": z @ Wz + h @ Wh,
            "Wz.T is right; h needs Wh.T in the same way": z @ Wz.T + h @ Wh,
            "Wh.T is right; z needs Wz.T in the same way": z @ Wz + h @ Wh.T,
            "the two matrices have changed places": z @ Wh.T + h @ Wz.T,
            "the input h is missing": z @ Wz.T,
            "the state z is missing": h @ Wh.T,
            "the matrices are missing": z + h,
            "h is added as it is; it goes through Wh first": z @ Wz.T + h,
            "z is added as it is; it goes through Wz first": z + h @ Wh.T,
            "Wz acts on the sum; each of the two has a matrix of its own": (z + h) @ Wz.T,
            "the mixture is added to z; it takes the place of z": z + mix(z, h, Wz, Wh),
        },
    )
    unchanged(kept, z, "z")


# ---------------------------------------------------------------- 03.2


def mixed_branch(branch: Callable[[Tensor], Tensor], h: Tensor, Wz: Tensor, Wh: Tensor) -> Callable[[Tensor], Tensor]:
    """The branch that mixes ``h`` into whatever it is given, and then does what ``branch`` does."""
    return lambda u: branch(mix(u, h, Wz, Wh))


def check_internal(f: Callable) -> None:
    u, h, Wz, Wh = random(2, 5, 6), random(2, 5, 6, seed=1), random(6, 6, seed=2), random(6, 6, seed=3)
    calls: list[Tensor] = []

    def branch(v: Tensor) -> Tensor:
        calls.append(v)
        return v.tanh() * torch.arange(1.0, 7.0)

    new = f(branch, h, Wz, Wh)
    if isinstance(new, Tensor):
        raise Mistake(
            "internal should return a new branch, a function of u, and not a tensor: write a lambda or a def."
        )
    if not callable(new):
        raise Mistake(f"internal should return a new branch, a function of u; got {describe(new)}.")
    expect(
        new(u),
        branch(mix(u, h, Wz, Wh)),
        "what your new branch returns for a (2, 5, 6) tensor",
        mistakes={
            "this is the old branch: h is not in it": branch(u),
            "the mixture comes after the branch; mix first, so that the branch reads it": mix(branch(u), h, Wz, Wh),
            "h is added to what the branch returns; the branch should read it": branch(u @ Wz.T) + h @ Wh.T,
            "this is the mixture, but the old branch never reads it": mix(u, h, Wz, Wh),
            "the old branch's result is added to the mixture; the residual is not its business": mix(u, h, Wz, Wh)
            + branch(mix(u, h, Wz, Wh)),
            "the old branch's result is added to u; the residual is not its business": u + branch(mix(u, h, Wz, Wh)),
            "a cell's vector is a row here, so a matrix acts as u @ Wz.T": branch(u @ Wz + h @ Wh),
            "the two matrices have changed places": branch(mix(u, h, Wh, Wz)),
            "the matrices are missing": branch(u + h),
            "the state is missing": branch(h @ Wh.T),
        },
    )
    other = random(2, 5, 6, seed=4)
    expect(new(other), branch(mix(other, h, Wz, Wh)), "your new branch, called a second time with another tensor")


# ---------------------------------------------------------------- 03.3


def add_branch(z: Tensor, branch: Callable, norm_in: Callable, norm_out: Callable, where: str) -> Tensor:
    """``z`` after one residual branch, with the norms where ``where`` says: pre, peri, post or sandwich."""
    if where == "pre":
        return z + branch(norm_in(z))
    if where == "peri":
        return z + norm_out(branch(norm_in(z)))
    if where == "post":
        return norm_out(z + branch(z))
    if where == "sandwich":
        return norm_out(z + branch(norm_in(z)))
    raise ValueError(f"unknown norm {where!r}: expected pre, peri, post or sandwich")


@torch.no_grad()
def check_place_norm(f: Callable) -> None:
    z, W = 3 * random(2, 5, 6), random(6, 6, seed=1)
    norm_in, norm_out = RMSNorm(6), RMSNorm(6)
    norm_in.gain.copy_(torch.linspace(0.5, 1.5, 6))
    norm_out.gain.copy_(torch.linspace(2.0, 1.0, 6))

    def branch(u: Tensor) -> Tensor:
        return (u @ W).tanh()

    a, b = norm_in, norm_out
    known = {where: add_branch(z, branch, a, b, where) for where in ("pre", "peri", "post", "sandwich")}
    for where, right in known.items():
        expect(
            f(z.clone(), branch, a, b, where),
            right,
            f'place_norm with where="{where}"',
            mistakes={f"this is {name}": other for name, other in known.items() if name != where}
            | {
                "the residual is missing: z is added to what the branch makes of it": {
                    "pre": branch(a(z)),
                    "peri": b(branch(a(z))),
                    "post": b(branch(z)),
                    "sandwich": b(branch(a(z))),
                }[where],
                "the normalized state is added; the stream itself is, unnormalized": {
                    "pre": a(z) + branch(a(z)),
                    "peri": a(z) + b(branch(a(z))),
                    "post": b(b(z) + branch(z)),
                    "sandwich": b(a(z) + branch(a(z))),
                }[where],
                "the two norms have changed places": add_branch(z, branch, b, a, where),
                "no norm is used": z + branch(z),
                "here the norm comes after the branch, and nothing is normalized before it": z + b(branch(z)),
                "the branch itself is missing": {"pre": z + a(z), "peri": z + b(a(z)), "post": b(z), "sandwich": b(z)}[
                    where
                ],
            },
        )


# ---------------------------------------------------------------- 03.4


def bounded(norms: Tensor, slack: float = 0.01) -> bool:
    """Is the largest norm of the last quarter at most ``slack`` above the largest of the quarter before it?"""
    quarter = len(norms) // 4
    before, last = norms[-2 * quarter : -quarter], norms[-quarter:]
    return bool(last.max() <= (1 + slack) * before.max())


def check_stays_bounded(f: Callable) -> None:
    t = torch.arange(1.0, 401.0)
    cases = {
        "a state that stays at length 8": (8 + 0 * t, True, ""),
        "a state that grows by 14 a loop": (14 * t, False, "growth at a constant step goes on for ever"),
        "a state of length 100,000 that stays": (1e5 + 0 * t, True, "long is not the same as growing"),
        "a state that grows like log t": (t.log(), False, "slow growth is growth, too: the last quarter still adds 5%"),
        "a state that grows at first and then stays": (
            50 * (1 - (-t / 20).exp()),
            True,
            "compare the last quarter with the quarter before it, not with the start",
        ),
        "a state that swings between 5 and 9": (7 + 2 * (t / 3).sin(), True, "swinging is not growing: compare the largest norms"),
        "a state that shrinks from 1,000 to 0.1": (1000 * (-t / 40).exp() + 0.1, True, "a state that shrinks is bounded"),
        "a state that grows slowly from 1,000, by 0.5 a loop": (
            1000 + 0.5 * t,
            False,
            "in the last quarter it still grows by more than 1%",
        ),
        "a state that has dropped once, from 9,000, and grows ever since": (
            torch.cat([torch.tensor([9000.0]), t[1:]]),
            False,
            "an old maximum hides the growth: look at the last two quarters only",
        ),
    }  # fmt: skip
    for name, (norms, right, why) in cases.items():
        expect(f(norms.clone()), right, name, mistakes={why: not right} if why else {})
    expect(f(8 + 0 * t[:40]), True, "40 loops instead of 400, at length 8")
    expect(f(14 * t[:40]), False, "40 loops instead of 400, growing by 14 a loop")


# ---------------------------------------------------------------- 03.5


def lengthened(f: Callable[[Tensor], Tensor], z: Tensor, factor: float) -> Tensor:
    """How much what a loop adds, ``f(z) - z``, changes if ``z`` is made ``factor`` times longer: relative, a number."""
    added = f(z) - z
    return (f(factor * z) - factor * z - added).norm() / added.norm()


def check_change_on_lengthening(f: Callable) -> None:
    z, b, W = random(3, 4, 6), random(6, seed=1), 0.3 * random(6, 6, seed=2)

    def shift(u: Tensor) -> Tensor:
        return u + b

    def turn(u: Tensor) -> Tensor:
        return u + (u @ W) + b

    def direction(u: Tensor) -> Tensor:
        return u + ((u / u.norm(dim=-1, keepdim=True)) @ W + b).tanh()

    expect(
        f(shift, z, 3.0),
        0.0,
        "a map that adds the same vector to every state",
        mistakes={
            "you compare f(factor * z) with f(z); subtract from each what went in": float(
                2 * z.norm() / b.expand(3, 4, 6).norm()
            ),
            "you compare f(factor * z) with f(z), relative to f(z); look at what is *added*, f(z) - z": float(
                2 * z.norm() / shift(z).norm()
            ),
        },
    )
    added = turn(z) - z
    change = turn(3 * z) - 3 * z - added
    expect(
        f(turn, z, 3.0),
        float(change.norm() / added.norm()),
        "a map z + Wz + b, with a state made 3 times longer",
        mistakes={
            "the change is not divided by the size of what was added": float(change.norm()),
            "the change is divided by the length of the state; divide by the length of what was added": float(
                change.norm() / z.norm()
            ),
            "the change is divided by what is added to the longer state; divide by what is added to z": float(
                change.norm() / (turn(3 * z) - 3 * z).norm()
            ),
            "this is the difference of two lengths; take the length of the difference": float(
                ((turn(3 * z) - 3 * z).norm() - added.norm()).abs() / added.norm()
            ),
            "you took the mean over cells of ratios; take one length over the whole state": float(
                (change.norm(dim=-1) / added.norm(dim=-1)).mean()
            ),
            "this is the square": float((change.norm() / added.norm()) ** 2),
            "you compare f(factor * z) with f(z); subtract from each what went in": float(
                (turn(3 * z) - turn(z)).norm() / added.norm()
            ),
        },
    )
    expect(f(direction, z, 10.0), 0.0, "a map that looks at the direction of the state alone", tol=1e-3)
    expect(f(lambda u: u + u @ W, z, 1.5), 0.5, "a linear map, with a state made 1.5 times longer")
    if not math.isfinite(float(f(shift, 1e3 * z, 2.0))):
        raise Mistake("for a long state the result is not finite")


external = Exercise(
    "03.1",
    "external recall",
    mix,
    check_external,
    seen="The input is back in the loop, in front of the block.",
)
internal = Exercise(
    "03.2",
    "internal recall",
    mixed_branch,
    check_internal,
    seen="The input is back inside the branch, and the stream is left alone.",
)
place_norm = Exercise(
    "03.3",
    "move one norm",
    add_branch,
    check_place_norm,
    seen="Four architectures, and nothing but the place of a norm between them.",
)
stays_bounded = Exercise(
    "03.4",
    "does the state stay bounded?",
    bounded,
    check_stays_bounded,
    seen="It tells growth from length, and slow growth from none.",
)
change_on_lengthening = Exercise(
    "03.5",
    "does the loop hear how long the state is?",
    lengthened,
    check_change_on_lengthening,
    seen="0 means that the length of the state is not heard at all.",
)
