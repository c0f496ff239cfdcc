"""The exercises of lesson 12: what a maze's answer is, two loops that find it, and a claim as a number."""

import math
import statistics

import torch
from torch import Tensor

from experiments.mazes import END, FLOOR, START, WALL, Maze, beside, filling, steps_from, way
from looped_lite.intervals import t_interval, t_quantile

from . import Case, Exercise, Mistake, after


def some_mazes(generator: torch.Generator, size: int, side: int) -> Tensor:
    return Maze(side).draw(size, generator)


def open_mazes(generator: torch.Generator, size: int, side: int, walls: float = 0.3) -> Tensor:
    """Mazes with several ways, and such as have none: cells that are wall by chance, S and E anywhere."""
    mazes = (torch.rand(size, side, side, generator=generator) >= walls).long()
    for maze in mazes:
        start, end = torch.randperm(side * side, generator=generator)[:2].tolist()
        maze.view(-1)[start], maze.view(-1)[end] = START, END
    return mazes


# ---------------------------------------------------------------- 12.1 a flood


def flood_cases(generator):
    made = [some_mazes(generator, 5, 7), some_mazes(generator, 3, 9), open_mazes(generator, 4, 6)]
    return [
        Case(f"steps_from S in {len(m)} mazes of {m.shape[1]} by {m.shape[1]} cells", m == START, m == WALL)
        for m in made
    ]


SIDES = [(0, 1), (0, -1), (1, 0), (-1, 0)]
CORNERS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]


def shifts(marked, moves=SIDES, ring=False):
    """What lies beside ``marked`` (batch, side, side) bool, by some ``moves``, or round the edges."""
    padded = marked if ring else torch.nn.functional.pad(marked, (1, 1, 1, 1))
    near = torch.stack([padded.roll(move, (1, 2)) for move in moves]).any(0)
    return near if ring else near[:, 1:-1, 1:-1]


def flooding(first=0, far=-1, walls=True, again=False, most=10**9, **how):
    """Right, with the neighbours by shifts; each option is a mistake."""

    def answer(start, wall):
        wet, distance, loops = start.clone(), torch.where(start, first, far), 0
        while loops < min(most, wet[0].numel()):
            new = shifts(wet, **how) & ~wet
            new = new & ~wall if walls else new
            if walls is None:  # walls become wet, and water stops in them
                new = new & shifts(wet & ~wall, **how)
            loops += 1
            distance = torch.where(new, loops + first, distance)
            wet = wet | new
        return torch.where(wet & ~start, loops, distance) if again else distance

    return answer


def flooding_by_queue(start, wall):
    found = []
    for s, w in zip(start.tolist(), wall.tolist(), strict=True):
        side = len(s)
        steps = [[-1] * side for _ in s]
        edge = [(r, c) for r in range(side) for c in range(side) if s[r][c]]
        for r, c in edge:
            steps[r][c] = 0
        for r, c in edge:
            for a, b in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if 0 <= a < side and 0 <= b < side and not w[a][b] and steps[a][b] < 0:
                    steps[a][b] = steps[r][c] + 1
                    edge.append((a, b))
        found.append(steps)
    return found


def overwriting(start, wall, patient=True):
    """Wrong: what is wet already gets the number of each later loop, too."""
    wet, distance = start, torch.where(start, 0, -1)
    for t in range(1, start[0].numel()):
        new = shifts(wet) & ~wall
        if not (patient or (new & ~wet).any()):
            break
        distance, wet = torch.where(new, t, distance), wet | new
    return distance


steps_and = lambda change: lambda start, wall: change(steps_from(start, wall), start, wall)
flood = Exercise(
    "12.1", "a flood", steps_from, flood_cases,
    seen="A map that is applied until it rests, and that reads the walls in every loop: recall, in a program that you "
    "wrote by hand.",
    styles=[flooding(), flooding_by_queue, after(flooding(), Tensor.float)],
    mistakes=[
        Mistake("walls stay dry: what is new must be no wall", flooding(walls=False), flooding(walls=None)),
        Mistake("steps go up, down, left and right; cells that touch at a corner are not beside each other",
                flooding(moves=SIDES + CORNERS)),
        Mistake("a cell has four sides; here one is forgotten",
                *(flooding(moves=[move for move in SIDES if move != side]) for side in SIDES)),
        Mistake("this goes along rows or columns alone; both count", flooding(moves=SIDES[:2]),
                flooding(moves=SIDES[2:])),
        Mistake("a cell has four sides; here two are forgotten",
                *(flooding(moves=[one, other]) for one in SIDES[:2] for other in SIDES[2:])),
        Mistake("rows and columns end at the edge of the maze: `roll` brings what leaves on one side back on the other",
                flooding(ring=True)),
        Mistake("S itself is 0 steps away", flooding(first=1)),
        Mistake("where no way leads the answer is -1", flooding(far=0), flooding(far=10**6), flooding(far=math.inf),
                steps_and(lambda steps, start, _: torch.where(steps < 0, start[0].numel(), steps))),
        Mistake("this stops too early: go on until nothing new becomes wet", *(flooding(most=n) for n in (1, 2, 3, 4)),
                *(lambda start, wall, n=n: flooding(most=n * start.shape[1])(start, wall) for n in (1, 2))),
        Mistake("S has 0, and the numbers grow with the way: these count back from the far end",
                steps_and(lambda steps, *_: torch.where(steps < 0, -1, steps.amax((1, 2), keepdim=True) - steps))),
        Mistake("a maze of the batch that is done must not stop the others",
                steps_and(lambda steps, *_: torch.where(steps > steps.amax((1, 2)).min(), -1, steps))),
        Mistake("the cells beside S are 1 step away: here all but S are one off",
                *(steps_and(lambda steps, *_, by=by: steps + by * (steps > 0)) for by in (1, -1))),
        Mistake("this is where the water gets to; after how many loops is asked for",
                after(steps_from, lambda steps: steps >= 0), after(steps_from, lambda steps: (steps >= 0).long())),
        Mistake("a cell that is wet keeps the number of the loop in which it became so", flooding(again=True),
                overwriting, lambda start, wall: overwriting(start, wall, patient=False),
                steps_and(lambda steps, start, _: torch.where(steps >= 0, start[0].numel(), -1))),
        Mistake("this counts the distance as the crow flies; walls are in the way",
                lambda start, wall: as_the_crow_flies(start).masked_fill(wall, -1)),
    ],
)  # fmt: skip


def as_the_crow_flies(start):
    row, column = torch.arange(start.shape[1])[:, None], torch.arange(start.shape[2])
    places = start.flatten(1).long().argmax(1)
    r, c = (places // start.shape[2])[:, None, None], (places % start.shape[2])[:, None, None]
    return (row - r).abs() + (column - c).abs()


# ---------------------------------------------------------------- 12.2 the way, from two floods


def way_cases(generator):
    made = [some_mazes(generator, 4, 7), open_mazes(generator, 6, 5, 0.2), open_mazes(generator, 5, 6, 0.45)]
    names = ["perfect mazes", "mazes with several ways", "mazes of which some have no way"]
    return [Case(f"the way in {len(m)} {name}", m) for name, m in zip(names, made, strict=True)]


def floods(mazes):
    return [steps_from(mazes == kind, mazes == WALL) for kind in (START, END)]


def lengths_of(mazes):
    """The length of the way of each maze, (batch, 1, 1); -1 where there is none."""
    return floods(mazes)[0].masked_fill(mazes != END, -1).amax((1, 2), keepdim=True)


def way_with(rule, none=True):
    """The cells for which ``rule(there, back, length)`` holds."""

    def answer(mazes):
        there, back = floods(mazes)
        length = lengths_of(mazes)
        found = rule(there, back, length)
        return found & (length >= 0) & (there >= 0) if none else found

    return answer


def way_backwards(mazes):
    """Right: from E, step by step to every neighbour that is one step nearer to S."""
    there = floods(mazes)[0]
    found = (mazes == END) & (there >= 0)
    for _ in range(mazes[0].numel()):
        for row, column in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            moved = torch.nn.functional.pad(torch.where(found, there, -9), (1, 1, 1, 1), value=-9)
            moved = moved.roll((row, column), (1, 2))[:, 1:-1, 1:-1]
            found = found | ((there >= 0) & (moved - 1 == there))
    return found


def one_of_several(value, mazes):
    """Is ``value`` in each maze one shortest way where there are several?"""
    right, lengths = way(mazes), lengths_of(mazes).flatten()
    if not (value & ~right).any() and (value.sum((1, 2)) == lengths + 1).all() and (value != right).any():
        return "where there are several shortest ways, all of their cells count"


ends = lambda mazes: (mazes == START) | (mazes == END)
the_way = Exercise(
    "12.2", "the way, from two floods", way, way_cases,
    seen="That is the target of a training instance, and it took no search: two floods, one addition.",
    styles=[way_with(lambda there, back, length: there + back == length), way_backwards, after(way, Tensor.tolist)],
    properties=[one_of_several],
    mistakes=[
        Mistake("these are all cells that can be reached; on a shortest way the two numbers add up to its length",
                way_with(lambda there, back, length: there >= 0), lambda mazes: floods(mazes)[0] >= 0,
                lambda mazes: (floods(mazes)[0] >= 0) | (floods(mazes)[1] >= 0)),
        Mistake("this allows detours: the sum must be the length itself, not one or two more",
                way_with(lambda there, back, length: there + back <= length + 2)),
        Mistake("these are the cells nearer to S than E is; most of them lead elsewhere",
                way_with(lambda there, back, length: there <= length)),
        Mistake("these are the cells half way; all of the way is asked for",
                way_with(lambda there, back, length: there == back)),
        Mistake("these are all open cells; on a shortest way the two numbers add up to its length",
                lambda mazes: mazes != WALL),
        Mistake("on the way the two numbers add up to its length; their difference says something else",
                way_with(lambda there, back, length: (there - back).abs() == length)),
        Mistake("say True or False for each cell, not where they are", after(way, Tensor.nonzero)),
        Mistake("the second flood begins at E; here both numbers are from the first",
                way_with(lambda there, back, length: there + there == length)),
        Mistake("no cell is marked here: on a way the two numbers add up to the length exactly",
                lambda mazes: torch.zeros_like(mazes, dtype=torch.bool)),
        Mistake("walls are in the way of the floods", lambda mazes: way(mazes.clamp(min=FLOOR))),
        Mistake("this leaves no dead end, but on the way are only cells whose two numbers add up to its length",
                lambda mazes: filling(mazes)[0]),
        Mistake("S and E lie on the way, too", lambda mazes: way(mazes) & ~ends(mazes)),
        Mistake("one of S and E is missing", lambda mazes: way(mazes) & (mazes != START),
                lambda mazes: way(mazes) & (mazes != END)),
        Mistake("where there is no way no cell is on it, not even S and E: there 0 and -1 add up to a length of -1",
                lambda mazes: way(mazes) | ends(mazes),
                lambda mazes: way(mazes) | ((lengths_of(mazes) < 0) & (floods(mazes)[0] >= 0)),
                way_with(lambda there, back, length: there + back == length, none=False)),
        Mistake("these are numbers of steps; which cells is asked for",
                lambda mazes: floods(mazes)[0] + floods(mazes)[1],
                *(lambda mazes, off=off: torch.where(way(mazes), floods(mazes)[0], off) for off in (-1, 0))),
        Mistake("this takes one length for all mazes; each has a way of its own",
                lambda mazes: (floods(mazes)[0] >= 0) & (sum(floods(mazes)) == lengths_of(mazes).max()),
                way_with(lambda there, back, length: there + back == length[:1]),
                way_with(lambda there, back, length: there + back == length[length >= 0].min())),
        Mistake("the length of the way is what the flood from S says at E, not its largest number",
                way_with(lambda there, back, length: there + back == there.amax((1, 2), keepdim=True))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 12.3 closing dead ends


def fill_cases(generator):
    corridor = torch.tensor([[[START, END, *[FLOOR] * 5], *[[WALL] * 7] * 6]])
    ring = torch.tensor([[[FLOOR] * 3, [FLOOR, WALL, FLOOR], [FLOOR, START, END]]])
    return [
        Case("filling of 5 mazes of 7 by 7 cells", some_mazes(generator, 5, 7)),
        Case("filling of 3 mazes of 11 by 11 cells", some_mazes(generator, 3, 11)),
        Case("filling of a corridor behind E", corridor),
        Case("filling of a ring, which has no dead end", ring),
        Case("filling of 6 open mazes", open_mazes(generator, 6, 6, 0.4)),
    ]


def filling_with(kept=ends, most_open=1, at_once=True, shift=0, most=10**9, together=False, near=beside, least=0,
                 opened=lambda mazes: mazes != WALL, all_move=False):  # fmt: skip
    """Right, with a count of rounds of its own; each option is a mistake."""

    def answer(mazes):
        is_open, rounds = opened(mazes), torch.zeros(len(mazes), dtype=torch.long)
        number = 0
        while number < min(most, mazes[0].numel()):
            dead = is_open & ~kept(mazes) & (near(is_open) <= most_open) & (near(is_open) >= least)
            if not at_once:
                first = dead.flatten(1).long().argmax(1)
                dead = dead & (torch.arange(dead[0].numel()) == first[:, None]).view(dead.shape)
            if not dead.any() or (all_move and not dead.flatten(1).any(1).all()):
                break
            number += 1
            rounds = rounds + (dead.any() if together else dead.any(2).any(1))
            is_open = is_open & ~dead
        return is_open, rounds + shift

    return answer


def filling_by_lists(mazes, at_once=True):
    """Right, maze by maze, in plain Python; or each cell of a round looks at what the ones before it left."""
    kept_open, rounds = [], []
    for maze in mazes.tolist():
        side, number = len(maze), 0
        is_open = {(r, c) for r in range(side) for c in range(side) if maze[r][c] != WALL}
        while True:
            near = {(r, c): [(r, c + 1), (r, c - 1), (r + 1, c), (r - 1, c)] for r, c in is_open if maze[r][c] == FLOOR}
            dead = set()
            for cell, around in sorted(near.items()):
                dead |= {cell} if len((is_open if at_once else is_open - dead).intersection(around)) <= 1 else set()
            if not dead:
                break
            is_open, number = is_open - dead, number + 1
        kept_open.append([[(r, c) in is_open for c in range(side)] for r in range(side)])
        rounds.append(number)
    return torch.tensor(kept_open), torch.tensor(rounds)


fill = Exercise(
    "12.3", "closing dead ends", filling, fill_cases,
    seen="Two loops with one fixed point on perfect mazes, and quite different numbers of rounds: that can be told "
    "apart by counting.",
    styles=[filling_with(), filling_by_lists, after(filling, lambda pair: [pair[0], pair[1].float()])],
    mistakes=[
        Mistake("S and E are no dead ends, even where they have one neighbour",
                filling_with(kept=lambda mazes: mazes < 0)),
        Mistake("both S and E are to be kept", filling_with(kept=lambda mazes: mazes == START),
                filling_with(kept=lambda mazes: mazes == END)),
        Mistake("S and E are open cells, too", lambda mazes: (filling(mazes)[0] & ~ends(mazes), filling(mazes)[1]),
                filling_with(opened=lambda mazes: mazes == FLOOR),
                filling_with(opened=lambda mazes: mazes == FLOOR, kept=lambda mazes: mazes < 0)),
        Mistake("a corridor has two open neighbours and is no dead end: at most one", filling_with(most_open=2)),
        Mistake("a dead end has one open neighbour; this closes only cells that have none", filling_with(most_open=0)),
        Mistake("a cell without any open neighbour is a dead end, too: at most one", filling_with(least=1)),
        Mistake("all dead ends of a maze are closed at once in one round; this counts the cells that were closed",
                filling_with(at_once=False)),
        Mistake("all dead ends of a round are closed at once: here a cell sees what the same round closed before it",
                lambda mazes: filling_by_lists(mazes, at_once=False)),
        Mistake("this is one round: go on, and count anew what lies beside, until there is no dead end any more",
                filling_with(most=1)),
        Mistake("this stops too early; go on until there is no dead end any more", filling_with(most=2),
                filling_with(most=3), lambda mazes: filling_with(most=mazes.shape[1])(mazes)),
        Mistake("return the rounds of each maze, (batch,), not of all together",
                *(after(filling, lambda pair, of=of: (pair[0], of(pair[1]))) for of in (torch.sum, torch.amax))),
        Mistake("what stays open is a True or False for each cell, no maze",
                lambda mazes: (torch.where(filling(mazes)[0], mazes, WALL), filling(mazes)[1]),
                after(filling, lambda pair: (pair[0].long(), pair[1]))),
        Mistake("this is the shortest way; what is no dead end stays open, too, such as a ring",
                lambda mazes: (way(mazes), filling(mazes)[1])),
        Mistake("a maze that is done must not stop the others", filling_with(all_move=True)),
        Mistake("the last look, which finds nothing, is no round", filling_with(shift=1)),
        Mistake("this counts one round too few", filling_with(shift=-1)),
        Mistake("a maze that is done counts no rounds while others go on", filling_with(together=True)),
        Mistake("return two things, what stays open and in how many rounds", after(filling, lambda pair: pair[0]),
                after(filling, lambda pair: pair[1])),
        Mistake("what stays open comes first, then the rounds", after(filling, lambda pair: pair[::-1])),
        Mistake("True means open: this is what was closed, or wall", after(filling, lambda pair: (~pair[0], pair[1])),
                lambda mazes: ((mazes != WALL) & ~filling(mazes)[0], filling(mazes)[1])),
        Mistake("outside of the maze nothing is open: a cell at its edge has fewer neighbours",
                filling_with(near=lambda is_open: 4 - beside(~is_open))),
        Mistake("cells that touch at a corner are not beside each other", filling_with(near=lambda is_open: sum(
                shifts(is_open, [move]).long() for move in SIDES + CORNERS))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 12.4 which loop is it?


def slopes_by_lstsq(loops, length, rounds):
    """Three (n,) -> two floats: loops for one step more of the way, and for one round more, by least squares, with a
    constant.
    """
    loops, length, rounds = (part.double() for part in (loops, length, rounds))
    table = torch.stack([length, rounds, torch.ones_like(length)], 1)
    a, b, _ = torch.linalg.lstsq(table, loops[:, None]).solution[:, 0].tolist()
    return a, b


def centred(*parts):
    return [part.double() - part.double().mean() for part in parts]


def slopes_by_moments(loops, length, rounds):
    y, a, b = centred(loops, length, rounds)
    aa, bb, ab, ay, by = a @ a, b @ b, a @ b, a @ y, b @ y
    below = aa * bb - ab**2
    return float((ay * bb - by * ab) / below), float((by * aa - ay * ab) / below)


def alone(loops, length, rounds):
    """Each slope by itself, as if the other number were not there."""
    y, a, b = centred(loops, length, rounds)
    return float(a @ y / (a @ a)), float(b @ y / (b @ b))


def without_constant(loops, length, rounds):
    table = torch.stack([length, rounds], 1).double()
    return tuple(torch.linalg.lstsq(table, loops.double()[:, None]).solution[:, 0].tolist())


def with_product(loops, *both):
    table = torch.stack([*both, both[0] * both[1], torch.ones_like(both[0])], 1).double()
    return tuple(torch.linalg.lstsq(table, loops.double()[:, None]).solution[:2, 0].tolist())


def standardized(loops, length, rounds):
    a, b = slopes_by_moments(loops, length, rounds)
    y, x, z = (part.double().std() for part in (loops, length, rounds))
    return float(a * x / y), float(b * z / y)


def correlations(loops, length, rounds):
    y, a, b = centred(loops, length, rounds)
    return float(a @ y / (a.norm() * y.norm())), float(b @ y / (b.norm() * y.norm()))


def turned(loops, length, rounds):
    """The slopes of the ways and rounds in the loops: the regression the wrong way round."""
    y, a, b = centred(loops, length, rounds)
    return float(a @ y / (y @ y)), float(b @ y / (y @ y))


def slopes_cases(generator):
    cases = []
    for n, a, b in ((200, 0.1, 0.9), (80, 1.1, -0.2), (40, 0.5, 0.5)):
        length = torch.randint(2, 30, (n,), generator=generator)
        rounds = (30 - length + torch.randint(0, 12, (n,), generator=generator)).clamp(min=0)
        loops = (a * length + b * rounds + 6 + 2 * torch.randn(n, generator=generator)).round().long()
        cases.append(Case(f"slopes over {n} mazes", loops, length, rounds))
    return cases


def constant(loops, length, rounds):
    a, b = slopes_by_lstsq(loops, length, rounds)
    return float((loops - a * length - b * rounds).mean())


def rest_alone(loops, length, rounds):
    """The slope in the rounds of what the slope in the length alone leaves."""
    return alone(loops - alone(loops, length, rounds)[0] * length, length, rounds)[1]


pair = lambda change: after(slopes_by_lstsq, change)
slopes = Exercise(
    "12.4", "which of the two loops is it?", slopes_by_lstsq, slopes_cases, tol=1e-3,
    seen="Two numbers with a unit, loops a step and loops a round: a claim about them can be wrong.",
    styles=[slopes_by_moments, pair(torch.tensor), pair(list)],
    mistakes=[
        Mistake("each slope alone takes over what belongs to the other: long ways have few dead ends. Fit both at once",
                alone, lambda *given: (alone(*given)[0], rest_alone(*given)),
                lambda y, a, b: (rest_alone(y, b, a), alone(y, a, b)[1])),
        Mistake("the constant is missing: add a column of ones", without_constant,
                lambda loops, *both: without_constant(loops - loops.double().mean(), *both),
                lambda loops, length, rounds: without_constant(loops, *centred(length), rounds),
                lambda loops, length, rounds: without_constant(loops, length, *centred(rounds))),
        Mistake("length and rounds, and no product of them: the table has three columns", with_product),
        Mistake("this is in standard deviations; loops a step and loops a round are asked for", standardized),
        Mistake("these are correlations; slopes are asked for", correlations),
        Mistake("this predicts ways and rounds from loops; loops are to be predicted", turned),
        Mistake("the first slope is that of the length, the second that of the rounds", pair(lambda two: two[::-1])),
        Mistake("the constant is no slope: return two numbers", lambda *given: (*slopes_by_lstsq(*given),
                constant(*given)), lambda *given: (constant(*given), *slopes_by_lstsq(*given))),
        Mistake("one of these is the constant: return the two slopes",
                lambda *given: (constant(*given), slopes_by_lstsq(*given)[0]),
                lambda *given: (slopes_by_lstsq(*given)[1], constant(*given))),
        Mistake("this is the ratio of means; a slope is what one more of it changes", lambda loops, *both: tuple(
                float(loops.double().mean() / part.double().mean()) for part in both)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 12.5 what may be said


def ruling(values, bar):
    """One value a seed, a bar -> (mean, low, high, word): the mean, Student's 95% interval, and above, below
    or open.
    """
    low, high = t_interval(values)
    return (
        float(torch.tensor(values).double().mean()),
        low,
        high,
        "above" if low > bar else "below" if high < bar else "open",
    )


def ruling_with(factor=None, spread=1, word=None, root=True, freedom=1):
    """The same by hand; each option is a mistake."""

    def answer(values, bar):
        n, mean = len(values), sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (n - spread)
        times = t_quantile(n - freedom) if factor is None else factor
        half = times * math.sqrt(variance) / (math.sqrt(n) if root else 1)
        low, high = mean - half, mean + half
        said = "above" if low > bar else "below" if high < bar else "open"
        return mean, low, high, word(mean, low, high, bar, values) if word else said

    return answer


def ruling_cases(generator):
    cases, noise = [], lambda n: torch.randn(n, generator=generator).double()
    for n, centre, wide in ((3, 0.9, 0.02), (3, 0.62, 0.1), (5, 0.2, 0.05), (4, 0.45, 0.1), (8, 0.56, 0.05)):
        draw = noise(n)
        draw = (draw - draw.mean()) / draw.std()
        cases.append(Case(f"{n} seeds", (centre + wide * draw).tolist(), 0.5))
    return [*cases, Case("3 seeds that agree, and lie on the bar", [0.5] * 3, 0.5)]


verdict = Exercise(
    "12.5", "what may be said", ruling, ruling_cases, tol=1e-3,
    seen="Open is a finding, too: it says how many seeds the question still costs.",
    styles=[ruling_with(), after(ruling_with(), list)],
    mistakes=[
        Mistake("1.96 is for many values; with n seeds the factor is Student's, for n - 1 degrees of freedom",
                ruling_with(factor=1.96), ruling_with(factor=2)),
        Mistake("n seeds have n - 1 degrees of freedom: t_quantile(n - 1)", ruling_with(freedom=0)),
        Mistake("the spread of seeds is divided by n - 1, not by n", ruling_with(spread=0)),
        Mistake("this is the spread of single seeds; the mean of n is surer by the root of n", ruling_with(root=False)),
        Mistake("the word goes by the interval, not by the mean: where the bar lies inside, it is open",
                ruling_with(word=lambda mean, low, high, bar, _: "above" if mean > bar else "below"),
                ruling_with(word=lambda mean, low, high, bar, _: "above" if mean >= bar else "below")),
        Mistake("above is an interval of which all lies above the bar, so low > bar; below, high < bar",
                *(ruling_with(word=lambda mean, low, high, bar, _, f=f: f(low, high, bar)) for f in (
                    lambda low, high, bar: "above" if high > bar else "below" if low < bar else "open",
                    lambda low, high, bar: "below" if low < bar else "above" if high > bar else "open",
                    lambda low, high, bar: "above" if low > bar else "below" if low < bar else "open",
                    lambda low, high, bar: "above" if high > bar else "below" if high < bar else "open",
                    lambda low, high, bar: "below" if high < bar else "open"))),
        Mistake("above and below are two words: a distance from the bar has a sign", *(
            ruling_with(word=lambda mean, low, _, bar, __, word=word: word if abs(mean - bar) > mean - low else "open")
            for word in ("above", "below"))),
        Mistake("the first number is the mean of all, not the middle of the smallest and the largest",
                lambda values, bar: ((min(values) + max(values)) / 2, *ruling(values, bar)[1:])),
        Mistake("an interval that only touches the bar is neither above nor below it: open",
                ruling_with(word=lambda mean, low, high, bar, _: (
                    "above" if low >= bar else "below" if high <= bar else "open"))),
        Mistake("the interval is compared with the bar, which need not be 0",
                lambda values, bar: (*ruling(values, bar)[:3], ruling(values, 0.0)[3])),
        Mistake("the bar is for the word alone: mean, low and high are those of the values",
                lambda values, bar: (*ruling([v - bar for v in values], 0.0)[:3], ruling(values, bar)[3]),
                lambda values, bar: (ruling(values, bar)[0] - bar, *ruling(values, bar)[1:]),
                lambda values, bar: (ruling(values, bar)[0], *ruling([v - bar for v in values], 0.0)[1:])),
        Mistake("the first number is the mean, not the median",
                lambda values, bar: (statistics.median(values), *ruling(values, bar)[1:])),
        Mistake("a mean is the sum divided by the number of values", *(
                lambda values, bar, n=n: (sum(values) / n(values), *ruling(values, bar)[1:])
                for n in (lambda v: len(v) - 1, lambda v: 3, lambda v: 1))),
        Mistake("a value is left out: the mean is that of all", *(
                lambda values, bar, part=part: (statistics.mean(values[part]), *ruling(values, bar)[1:])
                for part in (slice(-1), slice(1, None)))),
        Mistake("the order is mean, low, high", after(ruling, lambda four: (four[0], four[2], four[1], four[3])),
                after(ruling, lambda four: (four[1], four[0], *four[2:]))),
        Mistake("all seeds on one side is no interval: go by low and high",
                ruling_with(word=lambda mean, low, high, bar, values: (
                    "above" if min(values) > bar else "below" if max(values) < bar else "open"))),
        Mistake("above and below are exchanged", ruling_with(word=lambda mean, low, high, bar, _: (
                "below" if low > bar else "above" if high < bar else "open"))),
        Mistake("this is the range of the seeds; the interval is Student's",
                lambda values, bar: (sum(values) / len(values), min(values), max(values),
                                     "above" if min(values) > bar else "below" if max(values) < bar else "open")),
        Mistake("four things: the mean, low, high, and the word", after(ruling, lambda four: four[:3]),
                after(ruling, lambda four: four[3]), after(ruling, lambda four: four[1:])),
    ],
)  # fmt: skip
