"""The exercises of lesson 02: the parts of one loop block, each against the package's own or PyTorch's."""

from functools import partial, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from looped_lite import blocks
from looped_lite.blocks import Block
from looped_lite.model import count_parameters, on_a_line

from . import Case, Exercise, Mistake, Named, after

double = torch.float64
draw = lambda generator, *shape: torch.randn(shape, generator=generator, dtype=double)
whole = lambda generator, low, high, *shape: torch.randint(low, high, shape, generator=generator)
same = lambda x, *others: x

# ---------------------------------------------------------------- 02.1 RMSNorm from its definition


def rms_norm_cases(generator):
    x, gain = 1 + 3 * draw(generator, 2, 5, 8), 1 + 0.5 * draw(generator, 8)
    return [
        Case("rms_norm of a (2, 5, 8) tensor", x, gain),
        Case("rms_norm of a single vector of 6 channels", draw(generator, 6), draw(generator, 6)),
        Case("rms_norm(x, 1.0), a plain number for the gain, as exercise 02.6 calls it", draw(generator, 3, 4), 1.0),
        Case("rms_norm of vectors of about 0.001, in which eps counts", 1e-3 * draw(generator, 2, 4, 8), gain),
        Case("rms_norm of zeros, for which eps is there", torch.zeros(3, 8, dtype=double), gain),
        Case("rms_norm with eps=0.5", draw(generator, 2, 4), 1.0, eps=0.5),
    ]


def over(size, gained=lambda unit, gain: unit * gain, before=same):
    """A norm: ``before(x, gain)`` divided by its ``size(x, eps)``, then ``gained``."""
    return lambda x, gain, eps=1e-6: gained((u := before(x, gain)) / size(u, eps), gain)


mean = lambda x, dim=-1: x.mean(dim, keepdim=True)
rms = lambda x, eps, dim=-1: (mean(x.square(), dim) + eps).sqrt()
centred = lambda x, gain=None: x - mean(x)
rms_norm = Exercise(
    "02.1", "RMSNorm from its definition", lambda x, gain, eps=1e-6: blocks.rms_norm(x, eps) * gain, rms_norm_cases,
    seen="With gains of 1 every vector now has length sqrt(width), whatever it was before.",
    styles=[over(rms), lambda x, g, eps=1e-6: x.double() * (x.pow(2).sum(-1, True) / x.shape[-1] + eps) ** -0.5 * g,
            lambda x, gain, eps=1e-6: gain * F.rms_norm(x, x.shape[-1:], eps=eps)],
    mistakes=[
        Mistake("you divided by the length, the root of the *sum* of squares; take the mean over the channels",
                over(lambda x, e: (x.square().sum(-1, True) + e).sqrt()), over(lambda x, e: x.norm(dim=-1)[..., None])),
        Mistake("you divided by the mean square; take its root first", over(lambda x, eps: mean(x.square()) + eps)),
        Mistake("square first, then take the mean", over(lambda x, eps: (mean(x).square() + eps).sqrt())),
        Mistake("there are x.shape[-1] channels", over(lambda x, eps: rms(x * (x.shape[-1] / 8) ** 0.5, eps))),
        Mistake("you multiplied by the root mean square; divide by it", over(lambda x, eps: 1 / rms(x, eps))),
        Mistake("this is the root mean square; divide x by it", over(lambda x, eps: 1, lambda x, gain: rms(x, 1e-6))),
        Mistake("you divided by the standard deviation: RMSNorm leaves the mean alone",
                over(lambda x, eps: rms(centred(x), eps)), over(lambda x, eps: x.std(-1, keepdim=True) + eps)),
        Mistake("this is LayerNorm: RMSNorm does not subtract the mean", over(rms, before=centred)),
        Mistake("you divided by the largest entry: the root of the mean square is meant",
                over(lambda x, eps: x.abs().amax(-1, True) + eps), over(lambda x, eps: x.amax(-1, True) + eps)),
        Mistake("the sum of squares is divided by the number of channels, not by one less or more",
                *(over(lambda x, eps, by=by: (x.square().sum(-1, True) / (x.shape[-1] + by) + eps).sqrt())
                  for by in (-1, 1))),
        Mistake("x itself is divided, neither its squares nor its absolute values",
                over(rms, lambda unit, gain: unit**2 * gain), over(rms, lambda unit, gain: unit.abs() * gain)),
        Mistake("you divided by the mean absolute value: squares, then a root", over(lambda x, e: mean(x.abs()) + e)),
        Mistake("the gain is missing", over(rms, same)),
        Mistake("the gain is added; it multiplies", over(rms, torch.add)),
        Mistake("the factor is the gain itself, not 1 + gain", over(rms, lambda unit, gain: unit * (1 + gain))),
        Mistake("you divided by the gain; it multiplies", over(rms, lambda unit, gain: unit / gain)),
        Mistake("the gain comes after the norm; here it is inside", over(rms, same, before=torch.mul)),
        Mistake("@ adds up the channels; the gain multiplies each: *", over(rms, lambda unit, gain: unit @ gain)),
        Mistake("the gain may be a plain number, too: multiply with *, which takes both",
                over(rms, partial(torch.einsum, "...d,d->...d")), over(rms, lambda unit, gain: unit @ gain.diag()),
                lambda x, gain, eps=1e-6: F.rms_norm(x, gain.shape, gain, eps)),
        Mistake("take one mean for each vector, over its channels (dim=-1)", over(lambda x, eps: rms(x, eps, None)),
                *(over(partial(rms, dim=dim)) for dim in (0, 1, -2, (0, 1)))),
        Mistake("eps stands outside the root; add it to the mean square, inside", over(lambda x, eps: rms(x, 0) + eps)),
        Mistake("eps counts for too little: add it as it is to the mean square", over(lambda x, eps: rms(x, eps**2))),
        Mistake("eps is missing: vectors of zeros are divided by 0", over(lambda x, eps: rms(x, 0))),
        Mistake("eps is an argument; you use a number of your own",
                *(over(lambda x, eps, own=own: rms(x, own)) for own in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.2 turn pairs of channels


def rotate_cases(generator):
    return [
        Case("rotate of a (2, 3, 5, 8) tensor by (5, 4) angles", draw(generator, 2, 3, 5, 8), draw(generator, 5, 4)),
        Case("rotate of a (4, 6) tensor by (4, 3) angles", draw(generator, 4, 6), 3 * draw(generator, 4, 3)),
    ]


side = partial(torch.cat, dim=-1)
plus, minus = lambda u, v: lambda a, b, cos, sin: a * u(cos, sin) + b * v(cos, sin), lambda cos, sin: -sin
cos, sin, turned_by = same, lambda cos, sin: sin, lambda change: lambda x, angles: blocks.rotate(x, change(angles))
top, bottom = plus(cos, minus), plus(sin, cos)  # a cos - b sin, a sin + b cos


def halves(first=top, second=bottom, join=side):
    """A rotation whose halves are ``first`` and ``second`` of (a, b, cos, sin)."""
    parts = lambda x, angles: (*x.chunk(2, dim=-1), angles.cos(), angles.sin())
    return lambda x, angles: join([first(*parts(x, angles)), second(*parts(x, angles))])


def in_order(order):
    """A rotation of other pairs: the channels are put in ``order``, turned and put back."""
    other = lambda x: order(torch.arange(x.shape[-1]))
    return lambda x, angles: blocks.rotate(x[..., other(x)], angles)[..., other(x).argsort()]


by_complex = lambda x, angles: torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
rotate = Exercise(
    "02.2", "turn pairs of channels", blocks.rotate, rotate_cases,
    seen="A vector keeps its length and changes its direction by where its cell stands.",
    styles=[halves(), after(by_complex, lambda turned: side([turned.real, turned.imag]))],
    mistakes=[
        Mistake("channel i is paired with channel i + head_width/2; you turned the pairs (0, 1), (2, 3), ...",
                in_order(lambda places: places.view(-1, 2).T.flatten())),
        Mistake("channel i is paired with channel i + head_width/2; you paired the first with the last",
                in_order(lambda places: side([(h := places.chunk(2))[0], h[1].flip(0)]))),
        Mistake("you turned the right pairs, but wrote them back interleaved; first all first halves, then all second",
                halves(join=lambda parts: torch.stack(parts, -1).flatten(-2))),
        Mistake("you turned by minus the angle: a cos - b sin, then a sin + b cos", turned_by(torch.neg)),
        Mistake("cosine and sine have changed places", turned_by(lambda angles: torch.pi / 2 - angles)),
        Mistake("the signs are wrong: of the four only that of the first sine is negative",
                halves(top, plus(minus, cos)), halves(top, plus(sin, lambda cos, sin: -cos))),
        Mistake("both sines have a plus; a rotation has a minus in its first line", halves(plus(cos, sin))),
        Mistake("in the second half cosine and sine have changed places", halves(top, plus(cos, sin))),
        Mistake("in the first half cosine and sine have changed places", halves(plus(sin, lambda cos, sin: -cos))),
        Mistake("the two halves have changed places", halves(bottom, top)),
        Mistake("the second half is turned from the new first half; keep the old one until both are done",
                halves(top, lambda *parts: bottom(top(*parts), *parts[1:]))),
        Mistake("the sines are missing", halves(lambda a, b, cos, sin: a * cos, lambda a, b, cos, sin: b * cos)),
        Mistake("this is one half; join both with torch.cat", *(halves(join=lambda p, i=i: p[i]) for i in (0, 1))),
        Mistake("join the halves along the last axis: torch.cat(..., dim=-1)", halves(join=tuple), *(halves(
                join=partial(how, dim=dim)) for how, dim in ((torch.cat, 0), (torch.cat, -2), (torch.stack, -1)))),
        Mistake("a half has x.shape[-1] / 2 channels",
                lambda x, a: side([part(x[..., :4], x[..., 4:], a.cos(), a.sin()) for part in (top, bottom)])),
        Mistake("you turned by twice the angle", turned_by(lambda angles: 2 * angles)),
        Mistake("each pair and cell has its own angle", turned_by(lambda a: a[:, :1]), turned_by(lambda a: a[:1])),
        Mistake("one half is left as it is; both turn", halves(second=lambda a, b, cos, sin: b),
                halves(lambda a, b, cos, sin: a)),
        Mistake("the angles are radians already", turned_by(torch.deg2rad)),
        Mistake("the halves are x[..., :half] and x[..., half:]; you took the even and the odd channels",
                lambda x, a: blocks.rotate(side([x[..., ::2], x[..., 1::2]]), a)),
        Mistake("this is complex; its real and imaginary part are the two halves", by_complex),
        Mistake("the channels are unchanged", same),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.3 angles for lines and boards


def angles_cases(generator):
    left = "2 cells with 3 axes, head width 8 (4 pairs, one for each axis, and one left over that turns by 0)"
    return [
        Case("6 cells on a line, head width 8", torch.arange(6)[:, None], 8),
        Case("4 cells on a board, head width 16", whole(generator, 0, 9, 4, 2) + torch.arange(2), 16),
        Case("3 cells of a line, from the middle of it", whole(generator, 4, 9) + torch.arange(3)[:, None], 8),
        Case(left, whole(generator, 1, 9, 2, 3), 8),
        Case("4 cells on a board, head width 16, base 100", whole(generator, 0, 9, 4, 2), 16, base=100.0),
    ]


def angles_of(exponent=lambda i, share, pairs: -i / share, lay=lambda table: table.flatten(1), power=pow):
    """Angles with frequencies power(base, exponent(i, share, pairs)), laid out from (cells, axes, share) by ``lay``."""

    def angles(positions, head_width, base=10_000.0):
        pairs, share = head_width // 2, head_width // 2 // positions.shape[1]
        laid = lay(positions[:, :, None] * power(base, exponent(torch.arange(share), share, pairs)))
        return F.pad(laid, (0, max(0, pairs - laid.shape[1])))

    return angles


placed = lambda change: lambda p, head_width, base=10_000.0: blocks.rotary_angles(change(p), head_width, base)
changed, shared = partial(after, placed(same)), lambda exponent: angles_of(lambda i, share, pairs: exponent(i, share))
run_on = lambda table: side([table[:, axis] * table.new_tensor(1e4) ** (-axis / table.shape[1]) for axis in range(
    table.shape[1])])  # fmt: skip
rotary_angles = Exercise(
    "02.3", "angles for lines and boards", blocks.rotary_angles, angles_cases,
    seen="It works for lines, boards and anything with more axes.",
    styles=[angles_of(), placed(Tensor.double), after(angles_of(), Tensor.tolist)],
    mistakes=[
        Mistake("the frequencies grow; they should fall from 1 down", shared(lambda i, share: i / share)),
        Mistake("the frequencies fall by the same factor each time, as powers of base: base ** (-i / share)",
                angles_of(power=lambda base, e: 1 + e), angles_of(power=lambda base, e: e.exp()),
                shared(lambda i, share: 1.0 * i), angles_of(lambda i, *_: i, power=lambda base, e: 1 / (1 + e))),
        Mistake("the frequencies are angles in radians already: no factor of pi",
                *(changed(lambda found, by=by: found * by * torch.pi) for by in (2, 1, 1 / 180))),
        Mistake("every pair turns at the same frequency", shared(lambda i, share: 0.0 * i)),
        Mistake("the frequencies fall too slowly: the exponent is -i / share, for i = 0 to share - 1",
                shared(lambda i, share: -i / share / 2), angles_of(lambda i, share, pairs: -i / pairs / 2)),
        Mistake("the frequencies fall too fast: the exponent is -i / share, for i = 0 to share - 1",
                shared(lambda i, share: -2 * i / share), shared(lambda i, share: -1.0 * i)),
        Mistake("you began with i = 1; the first pair turns at frequency 1", shared(lambda i, share: -(i + 1) / share)),
        Mistake("divide i by share, not by share - 1", shared(lambda i, share: -i / max(share - 1, 1))),
        Mistake("the slowest pair comes first; begin with 1", shared(lambda i, share: (i + 1 - share) / share)),
        Mistake("the exponent is -i / share with the share of *one* axis; you divide by all pairs",
                angles_of(lambda i, share, pairs: -i / pairs)),
        Mistake("each axis has all frequencies from 1 down, within its own share; yours run on from axis to axis",
                angles_of(lambda i, share, pairs: -i / pairs, run_on)),
        Mistake("the base is an argument; you use 10,000 always", lambda p, w, base=1e4: blocks.rotary_angles(p, w)),
        Mistake("the positions are counted from 1; use them as they are", placed(lambda p: p + 1)),
        Mistake("use the positions as they are given, not the cells' numbers",
                placed(lambda p: torch.arange(len(p))[:, None].expand(p.shape)), placed(lambda p: p - p.amin(0)),
                placed(lambda p: p / p.max())),
        Mistake("the axes are added up; each axis has pairs of its own", placed(lambda p: p.sum(1, keepdim=True)),
                angles_of(lay=lambda table: table.sum(1))),
        Mistake("for more than one axis: positions[:, :, None] * frequency", lambda p, w, base=1e4: (
                p * base ** -(torch.arange(n := w // 2 // p.shape[1]) / n) if p.shape[1] < 3 else p[:, :2] * p)),
        Mistake("the pairs are dealt out: each axis gets pairs // axes of them", lambda p, w, base=1e4: (
                p[:, :, None] * base ** -(torch.arange(w // 2) / (w // 2))).flatten(1)),
        Mistake("the axes take turns; first comes the share of axis 0, then that of axis 1",
                angles_of(lay=lambda table: table.mT.flatten(1))),
        Mistake("the axes are in the wrong order; axis 0 comes first", placed(lambda p: p.flip(1))),
        Mistake("only axis 0 turns; the next share of the pairs belongs to the next axis",
                angles_of(lay=lambda table: table[:, 0]), placed(lambda p: p[:, :1])),
        Mistake("the axes are still apart; lay them one after the other with .flatten(1)",
                lambda p, w, base=1e4: blocks.rotary_angles(p, w, base).view(len(p), p.shape[1], -1)),
        Mistake("pairs that are left over turn by 0: add zeros at the end",
                lambda p, w, base=1e4: blocks.rotary_angles(p, w, base)[:, : w // 2 // p.shape[1] * p.shape[1]]),
        Mistake("the zeros stand in front; the pairs that are left over come last", lambda p, w, base=1e4: F.pad(
                t := blocks.rotary_angles(p, w // 2 // p.shape[1] * 2 * p.shape[1], base), (w // 2 - t.shape[1], 0))),
        Mistake("the share is rounded down: the pairs that are left over do not turn", lambda p, w, base=1e4: (
                p[:, :, None] * base ** -(torch.arange(n := -(-w // 2 // p.shape[1])) / n)).flatten(1)[:, : w // 2]),
        Mistake("one angle for each *pair* of channels, head_width / 2 of them",
                changed(lambda t: side([t, t])), lambda p, w, base=1e4: blocks.rotary_angles(p, 2 * w, base),
                lambda p, w, base=1e4: blocks.rotary_angles(p, w // 2, base)),
        Mistake("these are cosines or sines; return the angles themselves", changed(torch.cos), changed(torch.sin)),
        Mistake("one row for each cell: this is transposed", changed(lambda found: found.T)),
        Mistake("these are the frequencies; each cell multiplies them by its position", placed(lambda p: p**0),
                lambda p, w, base=1e4: base ** -(torch.arange(n := w // 2 // p.shape[1]) / n)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.4 a window on the line


def window_cases(generator):
    more = int(whole(generator, 10, 16)), 2 * int(whole(generator, 1, 4)) + 1
    return [Case(f"window_mask({cells}, {window})", cells, window) for cells, window in ((9, 5), (4, 1), (3, 7), more)]


def where(seen):
    """A mask from ``seen(away, reach)``, with ``away`` from the cell that looks to the one looked at."""
    return lambda cells, window: seen(torch.arange(cells) - torch.arange(cells)[:, None], window // 2)


reaching = lambda reach: lambda cells, window: where(lambda away, _: away.abs() <= reach(window))(cells, window)
within = reaching(lambda window: window // 2)
sliced = lambda cells, window: torch.stack([torch.arange(cells)[i - window // 2 : i + window // 2 + 1, None].eq(
    torch.arange(cells)).any(0) for i in range(cells)])  # fmt: skip
aside = lambda seen: [where(lambda away, reach, sign=sign: seen(sign * away, reach)) for sign in (1, -1)]
window_mask = Exercise(
    "02.4", "a window on the line", within, window_cases,
    seen="A band along the diagonal: each cell sees itself and its neighbours.",
    styles=[lambda n, window: torch.tensor([[abs(i - j) <= (window - 1) / 2 for j in range(n)] for i in range(n)]),
            lambda cells, window: torch.ones(cells, cells).tril(window // 2).triu(-(window // 2)) > 0],
    mistakes=[
        Mistake("the window is the *whole* width, centred on the cell: it reaches window // 2 cells to each side",
                *map(reaching, (lambda w: w, lambda w: w - 1, lambda w: w // 2 + 1))),
        Mistake("a neighbour is missing on each side: is there a < where <= is meant?", reaching(lambda w: w // 2 - 1)),
        Mistake("the width of the window is an argument", *(reaching(lambda w, own=own: own) for own in (0, 1, 2, 3))),
        Mistake("a cell cannot see itself here, in the middle of its own window",
                where(lambda away, reach: (away.abs() <= reach) & (away != 0))),
        Mistake("this is the opposite: True should mean that a cell may look", after(within, torch.logical_not),
                where(lambda away, reach: away.abs() >= reach)),
        Mistake("one column for each cell", lambda cells, window: within(max(cells, window), window)[:cells, :window],
                lambda cells, window: torch.ones(cells, window) > 0),
        Mistake("cells see only to one side; the window is centred",
                *aside(lambda away, reach: (away >= 0) & (away <= reach)),
                *aside(lambda away, reach: (away >= 0) & (away <= 2 * reach))),
        Mistake("take the absolute value of the offset", *aside(lambda away, reach: away <= reach)),
        Mistake("the left and the right side differ; the window is centred",
                *aside(lambda away, reach: (away >= -reach) & (away < reach)),
                *aside(lambda away, reach: (away >= -reach) & (away <= reach + 1))),
        Mistake("the first cells see too little: a slice that begins below 0 counts from the end",
                sliced),
        Mistake("the line is no ring: the first cells do not see the last", lambda cells, window: (
                (torch.arange(cells) - torch.arange(cells)[:, None] + window // 2) % cells < window)),
        Mistake("each cell has a window of its own, around it; these are blocks", lambda cells, window: (
                torch.arange(cells)[:, None] // window == torch.arange(cells) // window)),
        Mistake("cells and window have changed places", lambda cells, window: within(window, cells)),
        Mistake("this is one row; return the table, a row for each cell", lambda n, window: within(n, window)[0],
                lambda n, window: within(n, window)[n // 2]),
        Mistake("take the difference of the two places, not their sum", lambda cells, window: (
                torch.arange(cells) + torch.arange(cells)[:, None] <= window // 2)),
        Mistake("these are the edges of the window alone", where(lambda away, reach: away.abs() == reach)),
        Mistake("every cell sees every other: the window is not used", reaching(lambda w: 999)),
        Mistake("return True and False: the comparison itself", after(within, Tensor.float), after(within, Tensor.long),
                after(within, lambda seen: seen.float().log()), after(within, lambda seen: -1e9 * (~seen).float())),
        Mistake("these are the offsets; compare their absolute values with window // 2",
                *aside(lambda away, reach: away), where(lambda away, reach: away.abs())),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.5 the light cone of a mask


def cone_cases(generator):
    eye = lambda n, *shifts: sum(torch.eye(n).roll(shift, 0) for shift in (0, *shifts)) > 0
    mask, wild = within(20, 5), (torch.rand(9, 9, generator=generator) < 0.15) | eye(9)
    return [
        Case("light_cone(mask, 1), which is the mask itself", mask, 1),
        Case("light_cone of window_mask(20, 5) and 4 loops", mask, 4, hint="Each loop adds one step of the mask"),
        Case("light_cone of a mask in which cells look to the left only, 2 loops", eye(5, 1).tril(), 2),
        Case("light_cone of a mask with gaps, 3 loops", eye(6, 3), 3, hint="The mask counts, not only its width"),
        Case("light_cone of a random mask, 2 loops", wild, 2),
        Case("light_cone(mask, 40), by when everybody has heard from everybody", mask, 40),
    ]


def ways(mask, loops, kind=double):
    """In how many ways news comes from j to i."""
    found = torch.eye(len(mask), dtype=kind)
    for _ in range(loops):
        found = mask.to(kind) @ found
    return found


after_loops = lambda change: lambda mask, loops: ways(mask, change(loops)) > 0
cone = after_loops(same)
light_cone = Exercise(
    "02.5", "the light cone of a mask", cone, cone_cases,
    seen="Now you can say before any training how many loops a problem needs at the very least.",
    styles=[lambda mask, loops: torch.linalg.matrix_power(mask.float(), loops) > 0,
            lambda mask, loops: reduce(lambda heard, _: (mask[:, :, None] & heard).any(1), range(loops - 1), mask)],
    mistakes=[
        Mistake("this is the mask, the cone of 1 loop; news travels on with every loop", same),
        Mistake("this is one loop too few", after_loops(lambda loops: loops - 1)),
        Mistake("this is one loop too many: after 1 loop the cone is the mask", after_loops(lambda loops: loops + 1)),
        Mistake("the number of loops is an argument, `loops`", after_loops(lambda _: 2), after_loops(lambda _: 4),
                lambda mask, loops: cone(mask, len(mask))),
        Mistake("nothing has moved: each loop multiplies what was heard by the mask", after_loops(lambda _: 0)),
        Mistake("the cone doubles here; each loop adds one step of the mask", after_loops(lambda loops: 2 * loops),
                after_loops(lambda loops: 2 ** min(loops - 1, 6)), after_loops(lambda loops: 2 ** min(loops, 6))),
        Mistake("these are the cells *outside* the cone", after(cone, torch.logical_not)),
        Mistake("every cell sees every other; news needs its time", lambda mask, loops: torch.ones_like(mask)),
        Mistake("these are counts of ways, not whether there is one: compare with 0",
                *(partial(ways, kind=kind) for kind in (double, torch.float, torch.long, torch.int))),
        Mistake("one way is enough, and many are, too: > 0", after(ways, lambda found: found > 1),
                after(ways, lambda found: found == 1), lambda mask, loops: reduce(
                    lambda heard, _: mask.double() @ heard.double() == 1, range(loops), torch.eye(len(mask)))),
        Mistake("it is enough that one of the cells it may look at has heard: any, and not all", lambda mask, n: reduce(
                lambda heard, _: (~mask[:, :, None] | heard).all(1), range(n), torch.eye(len(mask)) > 0)),
        Mistake("return True and False: the comparison with 0", after(cone, Tensor.float), after(cone, Tensor.long)),
        Mistake("the arrow points the wrong way: entry (i, j) says that i can hear from j", after(cone, lambda c: c.T)),
        Mistake("entry (i, j) says that i can hear from j, whatever j hears",
                after(cone, lambda c: c | c.T), after(cone, lambda c: c & c.T), lambda mask, n: cone(mask | mask.T, n)),
        Mistake("this goes by how far the mask reaches; it should work for every mask",
                lambda mask, loops: within(len(mask), 2 * (int(mask.sum(1).max()) // 2 * loops) + 1),
                lambda mask, loops: within(len(mask), 4 * loops + 1)),
        Mistake("so many ways are too many for this dtype: compare with 0 after each loop", *(after(partial(
                ways, kind=kind), lambda found: found > 0) for kind in (torch.long, torch.uint8, torch.half))),
        Mistake("these are the cells of the last loop alone; what was heard before counts, too",
                lambda mask, loops: cone(mask, loops) & ~cone(mask, loops - 1)),
        Mistake("nobody has heard of anything: begin with torch.eye, and compare with > 0",
                lambda mask, loops: torch.zeros_like(mask)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.6 attention with normalized queries and keys


def attend_cases(generator):
    def case(label, mask, *shape, times=2.0):
        temperature = 0.5 + 2 * torch.rand(shape[1], 1, 1, generator=generator, dtype=double)
        return Case(label, *(times * draw(generator, *shape) for _ in "qkv"), temperature, mask)

    return [
        case("attend with a window mask", within(7, 5), 2, 3, 7, 4),
        case("attend with a mask in which cells look to the left only", torch.ones(5, 5).tril() > 0, 1, 2, 5, 6),
        case("attend without a mask (mask=None: everybody sees everybody)", None, 2, 3, 7, 4),
        case("attend with a window mask, on states 100 times as long", within(6, 3), 1, 2, 6, 8, times=100.0),
    ]


def mixed(queries=blocks.rms_norm, keys=blocks.rms_norm, values=same, scale=lambda d: d**-0.5, heat=torch.mul,
          hide=lambda scores, mask: scores.masked_fill(~mask, -torch.inf), weigh=lambda scores: scores.softmax(-1),
          collect=lambda weights, v, mask: weights @ v, asks=True):  # fmt: skip
    """Attention with some of its parts replaced; ``asks`` whether there is a mask at all."""

    def attend(q, k, v, temperature, mask=None):
        scores = heat(queries(q) @ keys(k).mT * scale(q.shape[-1]), temperature)
        return collect(weigh(scores if asks and mask is None else hide(scores, mask)), values(v), mask)

    return attend


def by_pytorch(q, k, v, temperature, mask=None):
    return F.scaled_dot_product_attention(blocks.rms_norm(q) * temperature, blocks.rms_norm(k), v, attn_mask=mask)


unit = lambda x: F.normalize(x, dim=-1)
masked_weights = lambda weights, v, mask: (weights if mask is None else weights * mask) @ v
attend = Exercise(
    "02.6", "attention with normalized queries and keys", by_pytorch, attend_cases, tol=1e-3, atol=1e-4,
    seen="Your attention is PyTorch's, written out.",
    styles=[mixed(), mixed(unit, unit, scale=lambda d: d**0.5, weigh=lambda s: s.exp() / s.exp().sum(-1, True))],
    mistakes=[
        Mistake("q and k are not normalized", mixed(same, same)),
        Mistake("this is plain attention: normalize q and k, and mind the temperature", mixed(same, same, heat=same)),
        Mistake("k is not normalized", mixed(keys=same)),
        Mistake("q is not normalized", mixed(queries=same)),
        Mistake("v is normalized too; only q and k make scores", mixed(values=blocks.rms_norm)),
        Mistake("N gives q and k the length root(head_width), not 1", mixed(unit, unit)),
        Mistake("each query and key is normalized on its own (dim=-1)", mixed(*[lambda x: x / rms(x, 1e-6, -2)] * 2)),
        Mistake("the temperature is missing, or added to the scores, which changes nothing: it multiplies them",
                mixed(heat=same), mixed(heat=torch.add)),
        Mistake("the scores are divided by the temperature; multiply", mixed(heat=torch.div)),
        Mistake("each head has its own temperature", mixed(heat=lambda s, t: s * t[0]),
                mixed(heat=lambda s, t: s * t.mean())),
        Mistake("the temperature multiplies twice, say in q and in k", mixed(heat=lambda scores, t: scores * t * t)),
        Mistake("the temperature multiplies what is collected; it belongs to the scores, before the softmax",
                lambda q, k, v, t, mask=None: t * by_pytorch(q, k, v, 1.0, mask)),
        Mistake("the scores are not divided by the root of head_width", mixed(scale=lambda d: 1.0)),
        Mistake("a head is not always so wide: divide by the root of q.shape[-1]",
                *(mixed(scale=lambda d, own=own: own**-0.5) for own in (16, 8, 64))),
        Mistake("in all, the scores are divided by head_width; by its root is meant", mixed(scale=lambda d: 1 / d)),
        Mistake("divide by the root of head_width, not of the number of cells",
                mixed(scale=lambda d: 1, heat=lambda scores, t: t * scores / scores.shape[-1] ** 0.5)),
        Mistake("the scores are multiplied by the root of head_width; divide", mixed(scale=lambda d: d**0.5)),
        Mistake("for each query the weights of the *keys* add up to 1: the softmax runs over the last axis (dim=-1)",
                *(mixed(weigh=lambda s, dim=dim: s.softmax(dim)) for dim in (-2, 1, 0)), *(mixed(
                    hide=lambda s, m: s.masked_fill(~m, -1e9), weigh=lambda s, dim=dim: s.softmax(dim))
                    for dim in (1, 0))),
        Mistake("all the weight goes to the best score; a softmax shares it out",
                mixed(weigh=lambda s: (s == s.amax(-1, True)).to(s))),
        Mistake("collect the values, not queries or keys", *(lambda q, k, v, *rest, of=of: by_pytorch(
                q, k, of(q, k), *rest) for of in (lambda q, k: k, lambda q, k: q, lambda q, k: blocks.rms_norm(k),
                                                  lambda q, k: blocks.rms_norm(q)))),
        Mistake("the softmax is missing", mixed(hide=torch.mul, weigh=same), mixed(weigh=same),
                mixed(weigh=torch.sigmoid), mixed(weigh=lambda s: s / s.sum(-1, True))),
        Mistake("the weights do not add up to 1: divide the exponentials by their sum", mixed(weigh=torch.exp)),
        Mistake("the mask is not used", mixed(hide=same)),
        Mistake("the mask is upside down: True means that a cell may look",
                mixed(hide=lambda scores, mask: scores.masked_fill(mask, -torch.inf))),
        Mistake("the mask is on its side: row i says what cell i may look at",
                mixed(hide=lambda scores, mask: scores.masked_fill(~mask.T, -torch.inf))),
        Mistake("the mask comes after the softmax, and the weights do not add up to 1: put -inf into the scores before",
                mixed(hide=same, collect=masked_weights)),
        Mistake("masked scores are 0, which is a score like any other: put -inf there", mixed(hide=torch.mul)),
        Mistake("masked scores need -inf, to have no weight at all", *(mixed(
                hide=lambda s, mask, low=low: s.masked_fill(~mask, low)) for low in (-1.0, -10.0))),
        Mistake("a mask that is added to the scores adds 1 and 0: put -inf where it is False", mixed(hide=torch.add)),
        Mistake("masked scores are +inf; put -inf there", mixed(hide=lambda s, mask: s.masked_fill(~mask, torch.inf))),
        Mistake("with mask=None there is nothing to mask: test for None first", mixed(asks=False), mixed(
                asks=False, hide=lambda scores, mask: scores.masked_fill(mask.logical_not(), -torch.inf))),
        Mistake("the weights are mixed the wrong way round: weights @ v", mixed(collect=lambda w, v, mask: w.mT @ v)),
        Mistake("queries and keys have changed places: q @ k.mT", lambda q, k, *rest: by_pytorch(k, q, *rest)),
        Mistake("these are the weights; collect the values by them, weights @ v", mixed(collect=same)),
        Mistake("keep the heads apart, (batch, heads, cells, head_width)",
                after(mixed(), lambda t: t.transpose(1, 2)), after(mixed(), lambda t: t.transpose(1, 2).flatten(2))),
        Mistake("return what was collected alone, one tensor", mixed(collect=lambda w, v, mask: (w @ v, w))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.7 the block


def make_block(width, heads, window, seed, gains):
    torch.manual_seed(seed)
    block = Block(width, "none", "post", heads=heads, window=window).double().requires_grad_(False)
    for norm, gain in zip(block.norm_out, gains, strict=True):
        norm.gain.copy_(gain)
    return block


def block_cases(generator):
    def case(label, batch, cells, width, heads, window):
        seed, gains = int(whole(generator, 0, 1000)), 0.5 + torch.rand(2, width, generator=generator)
        z, angles = 2 * draw(generator, batch, cells, width), blocks.rotary_angles(on_a_line(cells), width // heads)
        return Case(label, z, angles, Named("block", width, heads, window, seed, gains))

    return [case("one loop of a block of width 16, with a window of 5", 2, 9, 16, 2, 5),
            case("one loop of a block of width 8, without a window", 3, 5, 8, 1, None)]  # fmt: skip


def loop(how):
    """One loop, written as ``how(z, A, M, N, K)``: attention, MLP and the two norms, as maps of one tensor."""
    return lambda z, angles, w: how(z, lambda u: w.attention(u, angles), w.mlp, *w.norm_out)


both = lambda add: loop(lambda z, A, M, N, K: add(add(z, A, N), M, K))  # add(z, F, N), one branch after the other


post = lambda z, F, N: N(z + F(z))
in_full = lambda z, A, M, N, K: post(post(z, A, N), M, K)
block = Exercise(
    "02.7", "the block", both(post), block_cases, things={"block": make_block},
    seen="This is the whole of what a looped transformer repeats.",
    styles=[lambda z, angles, w: w(z, None, angles), both(lambda z, F, N: blocks.rms_norm(z + F(z)) * N.gain)],
    mistakes=[
        Mistake("the MLP reads the state from before the attention; let it read the new one",
                loop(lambda z, A, M, N, K: K(N(z + A(z)) + M(z)))),
        Mistake("the MLP's output is added to the state from before the attention",
                loop(lambda z, A, M, N, K: K(z + M(N(z + A(z)))))),
        Mistake("both branches read the old state side by side; here the MLP comes after the attention",
                *(loop(lambda z, A, M, N, K, norm=norm: norm(z + A(z) + M(z), N, K)) for norm in (
                    lambda u, N, K: K(u), lambda u, N, K: N(u), lambda u, N, K: K(N(u)))),
                loop(lambda z, A, M, N, K: N(z + A(z)) + K(z + M(z)))),
        Mistake("the MLP branch is missing", loop(lambda z, A, M, N, K: N(z + A(z)))),
        Mistake("the attention branch is missing", loop(lambda z, A, M, N, K: K(z + M(z)))),
        Mistake("both branches are missing", both(lambda z, F, N: N(z)), loop(lambda z, A, M, N, K: N(z))),
        Mistake("the MLP came first; here attention does", loop(lambda z, A, M, N, K: post(post(z, M, K), A, N)),
                loop(lambda z, A, M, N, K: post(post(z, M, N), A, K))),
        Mistake("the old state is added a second time", loop(lambda z, A, M, N, K: K(
                z + (new := post(z, A, N)) + M(new))), loop(lambda z, *more: z + in_full(z, *more))),
        Mistake("attention comes first and the MLP second; one of them comes twice",
                loop(lambda z, A, M, N, K: post(post(z, A, N), A, K)),
                loop(lambda z, A, M, N, K: post(post(z, M, N), M, K))),
        Mistake("the MLP reads what the attention returns; it reads the sum, normalized", *(loop(
                lambda z, A, M, N, K, of=of: K(N(z + A(z)) + M(of(z, A, N)))) for of in (
                    lambda z, A, N: A(z), lambda z, A, N: N(A(z)), lambda z, A, N: z + A(z)))),
        Mistake("you subtract what a branch returns; add it", both(lambda z, F, N: N(z - F(z))),
                loop(lambda z, A, M, N, K: post(N(z - A(z)), M, K))),
        Mistake("the angles do not reach the attention", lambda z, angles, w: w(z, None, 0 * angles)),
        Mistake("these are two loops; one is asked for", loop(lambda *parts: in_full(in_full(*parts), *parts[1:]))),
        Mistake("the residual is missing: each branch is *added*, z + F(z)", both(lambda z, F, N: N(F(z)))),
        Mistake("the MLP's residual is missing: N(z + F(z))", loop(lambda z, A, M, N, K: K(M(N(z + A(z)))))),
        Mistake("the attention's residual is missing: N(z + F(z))", loop(lambda z, A, M, N, K: post(N(A(z)), M, K))),
        Mistake("the norms are missing", both(lambda z, F, N: z + F(z))),
        Mistake("the last norm is missing", loop(lambda z, A, M, N, K: post(post(z, A, N), M, same))),
        Mistake("the norm after the attention is missing", loop(lambda z, A, M, N, K: post(z + A(z), M, K))),
        Mistake("the norms sit inside the branches (that is pre-norm, lesson 03); here each comes after the sum",
                both(lambda z, F, N: z + F(N(z)))),
        Mistake("the branch is normalized before it is added (that is peri-norm, lesson 03); here the sum is",
                both(lambda z, F, N: z + N(F(z)))),
        Mistake("here the branch reads a normalized state (that is sandwich, lesson 03); it reads z as it is",
                both(lambda z, F, N: N(z + F(N(z)))), loop(lambda z, A, M, N, K: post(N(z + A(N(z))), M, K)),
                loop(lambda z, A, M, N, K: post(post(z, A, N), lambda u: M(K(u)), K))),
        Mistake("the state is normalized and the branch added; normalize the sum", both(lambda z, F, N: N(z) + F(z))),
        Mistake("both norms use the same gain", *(loop(how) for how in (
                lambda z, A, M, N, K: post(post(z, A, N), M, N), lambda z, A, M, N, K: post(post(z, A, K), M, K)))),
        Mistake("the two norms have changed places", loop(lambda z, A, M, N, K: post(post(z, A, K), M, N))),
        Mistake("the gains of the norms are missing", both(lambda z, F, N: blocks.rms_norm(z + F(z)))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 02.8 30 loops against 30 layers


def parameters_cases(generator):
    heads, layers = int(whole(generator, 3, 6)), int(whole(generator, 4, 9))
    return [
        Case("one block of width 64 with 4 heads", 64, 4, 1, True),
        Case("30 loops of one block", 64, 4, 30, True),
        Case("30 layers that share nothing", 64, 4, 30, False),
        Case(f"{layers} layers of width {12 * heads} with {heads} heads", 12 * heads, heads, layers, False),
        Case("2 layers of width 32 with mlp_ratio=2", 32, 2, 2, False, mlp_ratio=2),
    ]


def count(more=lambda d, heads, r: 0, times=lambda layers, shared: 1 if shared else layers, ratio=same):
    """A count of parameters with ``more`` (or fewer) of them in a block than there are."""
    one = lambda d, heads, r: 4 * d * d + heads + 2 * r * d * d + r * d + 3 * d + more(d, heads, r)
    return lambda width, heads, layers, shared, mlp_ratio=4: one(width, heads, ratio(mlp_ratio)) * times(layers, shared)


def once(part):
    """A count in which ``part(width, heads, mlp_ratio)`` of the block is the same for all layers."""
    return lambda d, heads, layers, shared, mlp_ratio=4: count()(d, heads, layers, shared, mlp_ratio) - (
        0 if shared else layers - 1) * part(d, heads, mlp_ratio)  # fmt: skip


parameters = Exercise(
    "02.8", "30 loops against 30 layers", count(), parameters_cases,
    seen="Compare it with what PyTorch counts, in the next cell.",
    styles=[after(count(), float), after(count(), torch.tensor), lambda d, heads, n, shared, mlp_ratio=4: (
        n, 1)[shared] * count_parameters(Block(d, "none", "post", heads=heads, mlp_ratio=mlp_ratio))],
    mistakes=[
        Mistake("the biases of the MLP are missing", count(lambda d, heads, r: -r * d - d)),
        Mistake("width numbers are missing: the bias of the MLP's second matrix, or the gains of one of the two norms",
                count(lambda d, heads, r: -d)),
        Mistake("the bias of the MLP's first matrix is missing: mlp_ratio * width", count(lambda d, heads, r: -r * d)),
        Mistake("a bias has one number for each channel that its matrix leads *to*",
                count(lambda d, heads, r: d - r * d), count(lambda d, heads, r: r * d - d)),
        Mistake("the temperatures are missing, one for each head", count(lambda d, heads, r: -heads)),
        Mistake("there is one temperature a head, not one a channel", count(lambda d, heads, r: d - heads)),
        Mistake("there is one temperature a head, not one for all", count(lambda d, heads, r: 1 - heads)),
        Mistake("the gains of the two norms are missing", count(lambda d, heads, r: -2 * d)),
        Mistake("these are the matrices alone, or nearly: add temperatures, biases and gains",
                *(count(more, ratio=ratio) for ratio in (same, lambda ratio: 4) for more in (
                    lambda d, heads, r: -heads - 3 * d - r * d, lambda d, heads, r: -3 * d - r * d,
                    lambda d, heads, r: -heads - d - r * d, lambda d, heads, r: -heads - 2 * d))),
        Mistake("a norm has one gain for each channel", count(lambda d, heads, r: 2 - 2 * d)),
        Mistake("queries, keys, values and the output need a matrix each",
                *(count(lambda d, heads, r, n=n: -n * d * d) for n in (1, 2, 3))),
        Mistake("the heads share the width among them: the four matrices do not depend on how many heads there are",
                *(count(lambda d, heads, r, n=n: n * (heads - 1) * d * d) for n in (3, 4)),
                count(lambda d, heads, r: 4 * (d * (d // heads) - d * d))),
        Mistake("each layer has all parts of its own: some are counted once for all of them", *map(once, (
                lambda d, heads, r: heads, lambda d, heads, r: 2 * d, lambda d, heads, r: r * d + d,
                lambda d, heads, r: heads + 2 * d, lambda d, heads, r: 4 * d * d, lambda d, heads, r: 2 * r * d * d))),
        Mistake("width numbers, or some times that, too many: two norms have a gain each, and only the MLP has biases",
                *(count(lambda d, heads, r, n=n: n * d) for n in (1, 2, 3, 4))),
        Mistake("the inner width is mlp_ratio * width, in one direction of each matrix",
                count(lambda d, heads, r: 2 * (r - 1) * r * d * d)),
        Mistake("the MLP has two matrices", count(lambda d, heads, r: -r * d * d)),
        Mistake("the MLP is mlp_ratio times wider inside", count(lambda d, heads, r: 2 * d * d - 2 * r * d * d)),
        Mistake("the MLP's width inside is an argument, mlp_ratio", count(ratio=lambda ratio: 4)),
        Mistake("a loop adds no parameters: all share the block's", count(times=lambda layers, shared: layers)),
        Mistake("each layer has parameters of its own, unless they are shared", count(times=lambda layers, shared: 1)),
        Mistake("it is the other way round: shared means one block for all",
                count(times=lambda layers, shared: layers if shared else 1)),
    ],
)  # fmt: skip
