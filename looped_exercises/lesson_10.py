"""The exercises of lesson 10, the whole grid: a claim as a number, a bootstrap, a verdict, a sweep, a correlation."""

import math
from functools import partial
from itertools import accumulate, takewhile

import numpy as np
import torch

from looped_lite.intervals import ranks, t_quantile

from . import Case, Exercise, Mistake, Named, after

RECALLS, NORMS = ("internal", "external", "none"), ("post", "pre", "peri")


def uniform(generator, count, low=0.0, high=1.0):
    return [round(low + (high - low) * float(part), 3) for part in torch.rand(count, generator=generator)]


def shuffled(generator, values):
    return [values[place] for place in torch.randperm(len(values), generator=generator).tolist()]


# ---------------------------------------------------------------- 10.1 one claim as a number


def claim_cases(generator):
    def rows(cells, seeds, missing=()):
        luck = uniform(generator, seeds, 0.0, 0.5)
        found = []
        for place, (recall, norm) in enumerate(cells):
            for seed in range(seeds):
                if (place, seed) not in missing:
                    right = 0.4 - 0.15 * place + luck[seed] + uniform(generator, 1, 0.0, 0.1)[0]
                    found.append({"recall": recall, "norm": norm, "seed": str(seed), "right": f"{right:.3f}"})
        return shuffled(generator, found)

    cells = [("internal", "post"), ("internal", "pre"), ("none", "post")]
    more = [("external", "post"), ("external", "peri"), ("internal", "post"), ("none", "pre")]
    return [
        Case("three seeds", rows(cells, 3), "right", cells[0], cells[1]),
        Case("five seeds", rows(more, 5), "right", more[0], more[1]),
        Case("six seeds, of which one cell lacks two and the other one", rows(cells, 6, {(0, 1), (2, 0), (2, 4)}),
             "right", cells[0], cells[2],
             hint="Only seeds that both cells have make a pair"),
        Case("a claim that fails", rows(cells, 4), "right", cells[2], cells[0]),
    ]  # fmt: skip


def by_seed(rows, column, cell):
    return {row["seed"]: float(row[column]) for row in rows if (row["recall"], row["norm"]) == tuple(cell)}


def pairs(a, b):
    return [a[seed] - b[seed] for seed in sorted(a) if seed in b]


def in_order(a, b):
    return [one - other for one, other in zip(a.values(), b.values(), strict=False)]


def claim(rows, column, better, worse, pair=pairs, t=lambda n: t_quantile(n - 1), ddof=1, root=math.sqrt, power=1,
          put=lambda mean, half: (mean, mean - half, mean + half), find=by_seed,
          count=lambda a, b, values: len(values)):  # fmt: skip
    """Mean difference over seeds with Student's interval; each option is a place for a mistake."""
    a, b = (find(rows, column, cell) for cell in (better, worse))
    values = np.array(pair(a, b))
    half = t(count(a, b, values)) * values.std(ddof=ddof) ** power / root(count(a, b, values))
    return tuple(float(part) for part in put(values.mean(), half))


def apart_spread(rows, column, better, worse):
    """As if the two cells had nothing to do with each other."""
    a, b = (np.array(list(by_seed(rows, column, cell).values())) for cell in (better, worse))
    mean, half = (
        a.mean() - b.mean(),
        t_quantile(len(a) - 1) * math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)),
    )
    return tuple(map(float, (mean, mean - half, mean + half)))


def plainly(rows, column, better, worse):
    """Right, and without NumPy."""
    a, b = by_seed(rows, column, better), by_seed(rows, column, worse)
    values = [a[seed] - b[seed] for seed in a if seed in b]
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = t_quantile(len(values) - 1) * spread / math.sqrt(len(values))
    return [mean, mean - half, mean + half]


of = lambda **options: partial(claim, **options)
first_cell = lambda rows, column, better, worse: claim(rows, column, better, worse, pair=lambda a, b: list(a.values()))
claim_as_number = Exercise(
    "10.1", "one claim as a number", claim, claim_cases, seen="A sentence can be argued with; a number can be wrong.",
    styles=[plainly],
    mistakes=[
        Mistake("rows come in any order: pair the two cells by seed", of(pair=in_order)),
        Mistake("seed by seed: the difference of each pair first, then its spread", apart_spread,
                of(pair=lambda a, b: [one - other for one in a.values() for other in b.values()])),
        Mistake("a difference has a sign: no absolute value",
                of(pair=lambda a, b: [abs(a[seed] - b[seed]) for seed in a if seed in b])),
        Mistake("the effect is the mean of the differences, not their median", *(
            lambda *given, shift=shift: (lambda median, mean, low, high: (
                median, low + shift * (median - mean), high + shift * (median - mean)))(
                    float(np.median(pairs(*(by_seed(*given[:2], cell) for cell in given[2:])))), *claim(*given))
            for shift in (0, 1))),
        Mistake("the difference is better less worse, not the other way round",
                lambda rows, column, better, worse: claim(rows, column, worse, better)),
        Mistake("1.96 is for hundreds of seeds; for a few take t_quantile(n - 1)", of(t=lambda n: 1.96),
                of(t=lambda n: 2)),
        Mistake("n differences have n - 1 degrees of freedom: t_quantile(n - 1)", of(t=t_quantile)),
        Mistake("the spread of a sample divides by n - 1: std(ddof=1)", of(ddof=0)),
        Mistake("this is the spread of single seeds; that of their mean is smaller by sqrt(n)", of(root=lambda n: 1)),
        Mistake("divide by sqrt(n), not by n", of(root=lambda n: n)),
        Mistake("divide by sqrt(n): the n - 1 is in the standard deviation already", of(root=lambda n: (n - 1) ** 0.5)),
        Mistake("this multiplies by the variance; s is its root", of(power=2)),
        Mistake("t s / sqrt(n) lies to each side, not half of it", of(t=lambda n: t_quantile(n - 1) / 2)),
        Mistake("n is the number of pairs, not of all seeds", of(count=lambda a, b, d: len(a)),
                of(count=lambda a, b, d: len(b)), of(count=lambda a, b, d: len({*a, *b})),
                lambda rows, *more: claim(rows, *more, root=lambda n: len(rows) ** 0.5)),
        Mistake("a seed that only one cell has makes no pair; here it counts as 0",
                of(pair=lambda a, b: [a.get(seed, 0) - b.get(seed, 0) for seed in {**a, **b}])),
        Mistake("the difference itself is asked for, not its share of the worse cell",
                *(of(pair=lambda a, b, one=one: [a[s] / b[s] - one for s in a if s in b]) for one in (0, 1))),
        Mistake("these are the smallest and the largest difference; the interval is Student's",
                lambda rows, column, *cells: (lambda d: (sum(d) / len(d), min(d), max(d)))(
                    pairs(*(by_seed(rows, column, cell) for cell in cells)))),
        Mistake("this is one standard error to either side, 68% where n is large; multiply by t", of(t=lambda n: 1)),
        Mistake("return (effect, low, high), the ends themselves, not half of their distance",
                of(put=lambda mean, half: (mean, half)), of(put=lambda mean, half: (mean, half, half)),
                of(put=lambda mean, half: (mean, -half, half))),
        Mistake("the effect itself is missing: return (effect, low, high)",
                of(put=lambda mean, half: (mean - half, mean + half))),
        Mistake("the order is effect, low, high", of(put=lambda mean, half: (mean - half, mean, mean + half)),
                of(put=lambda mean, half: (mean, mean + half, mean - half))),
        Mistake("this is the better cell alone: a claim compares two", first_cell),
        Mistake("a cell is a recall and a norm: both must match",
                of(find=lambda rows, column, cell: {row["seed"]: float(row[column]) for row in rows
                                                    if row["norm"] == cell[1]}),
                of(find=lambda rows, column, cell: {row["seed"]: float(row[column]) for row in rows
                                                    if row["recall"] == cell[0]})),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 10.2 bootstrap over seeds

ENOUGH = "each resample is as large as the sample, no larger and no smaller"
THINGS = {"generator": lambda seed: torch.Generator().manual_seed(seed)}


def bootstrap_cases(generator):
    seed = lambda: Named("generator", int(torch.randint(1000, (), generator=generator)))
    values = lambda count: [round(1 + value, 3) for value in uniform(generator, count)]
    skewed = [*uniform(generator, 10, 1.0, 1.2), *uniform(generator, 2, 1.9, 2.6)]
    return [
        Case("9 values", values(9), 10_000, seed()),
        Case("16 values", values(16), 10_000, seed()),
        Case("12 values, most of them small", skewed, 40_000, seed()),
        Case(
            "5 values, one resample alone", shuffled(generator, [6.0**i for i in range(5)]), 1, seed(), within=math.inf
        ),
    ]


def one_mean(value, values, resamples, generator):
    """About one resample alone, of powers of 6: the digits of its sum are how often each of them was drawn."""
    if resamples == 1 and not abs(value[0] - value[1]) < 1e-6:
        return "`resamples` is how many means there are: with one alone both ends are this mean"
    if resamples == 1 and sum(round(5 * value[0]) // int(power) % 6 for power in values) != 5:
        return ENOUGH


def boot(
    values,
    resamples,
    generator,
    draw=None,
    take=torch.mean,
    ends=(0.025, 0.975),
    put=lambda means, low, high: (low, high),
):
    """The middle 95% of the means of ``resamples`` draws with replacement; each option is a place for a mistake."""
    values = torch.tensor(values, dtype=torch.float64)
    draw = draw or (lambda n: torch.randint(n, (resamples, n), generator=generator))
    means = take(values[draw(len(values))], 1)
    means = means if isinstance(means, torch.Tensor) else means.values
    low, high = torch.quantile(means, torch.tensor(ends, dtype=torch.float64))
    return tuple(float(part) for part in put(means, low, high))


def one_after_another(values, resamples, generator):
    """Right, with a loop and a sorted list."""
    means = []
    for _ in range(resamples):
        places = torch.randint(len(values), (len(values),), generator=generator).tolist()
        means.append(sum(values[place] for place in places) / len(values))
    means.sort()
    return means[int(0.025 * resamples)], means[int(0.975 * resamples)]


boots = lambda **options: partial(boot, **options)
without = lambda values, resamples, generator: boot(
    values, resamples, generator, draw=lambda n: torch.stack([torch.randperm(n, generator=generator)] * 200)
)
sized = lambda size=lambda n: n, high=lambda n: n: (
    lambda values, resamples, generator: boot(
        values, resamples, generator, draw=lambda n: torch.randint(high(n), (resamples, size(n)), generator=generator)
    )
)
spread = lambda put: lambda values, resamples, generator: tuple(map(float, put(np.array(values))))
bootstrap = Exercise(
    "10.2", "bootstrap over seeds", boot, bootstrap_cases, things=THINGS, tol=0, atol=0.016,
    seen="Draw from what you have, as if it were all there is. With three seeds it nearly is not.",
    styles=[one_after_another], properties=[one_mean],
    mistakes=[
        Mistake("all means are nearly the same here: draw with replacement, and take the mean of each resample",
                without, boots(take=lambda drawn, _: drawn.mean(0))),
        Mistake("95% lie between the quantiles 0.025 and 0.975", boots(ends=(0.05, 0.95)), boots(ends=(0.25, 0.75)),
                boots(ends=(0.005, 0.995)), boots(ends=(0.25, 0.975)), boots(ends=(0.025, 0.75))),
        Mistake("every value may be drawn: randint(n) goes from 0 to n - 1", sized(high=lambda n: n - 1)),
        Mistake("the statistic is the mean, not the sum or the spread", boots(take=torch.sum), boots(take=torch.std)),
        Mistake("these ends are mirrored at the mean; take the quantiles themselves",
                boots(put=lambda means, low, high: (2 * means.mean() - high, 2 * means.mean() - low))),
        Mistake("take the quantiles of the means: these ends are those of a normal distribution",
                boots(put=lambda means, low, high: [means.mean() + z * (
                    (means - means.mean()).square().sum() / torch.tensor(len(means) - 1)).sqrt()
                    for z in (-1.96, 1.96)])),
        Mistake("all means lie between these; take the middle 95% of them", boots(ends=(0.0, 1.0))),
        Mistake("these are quantiles of single values; take those of the means of resamples as large as the sample",
                sized(lambda n: 1), spread(lambda v: np.quantile(v, [0.025, 0.975]))),
        Mistake("this is about the median: the statistic is the mean", boots(take=torch.median)),
        Mistake(ENOUGH,
                *(sized(size) for size in (lambda n: 2 * n, lambda n: 3, lambda n: 2)),
                sized(lambda n: 3, lambda n: 3)),
        Mistake("this is one standard deviation to either side; take the quantiles of the means",
                boots(put=lambda means, low, high: [means.mean() + z * means.std(correction=0) for z in (-1, 1)])),
        Mistake("the spread of the values is not that of their mean",
                spread(lambda v: (v.mean() - 1.96 * v.std(), v.mean() + 1.96 * v.std()))),
        Mistake("return the two ends alone: (low, high)", boots(put=lambda means, low, high: (means.mean(), low, high)),
                boots(put=lambda means, low, high: (low, means.mean(), high))),
        Mistake("low comes before high", boots(put=lambda means, low, high: (high, low))),
        Mistake("this is the distance from the mean; return the ends themselves",
                boots(put=lambda means, low, high: (low - means.mean(), high - means.mean()))),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 10.3 the verdict


def verdict_cases(generator):
    def interval(middle, half):
        return middle - half, middle + half

    width = lambda: uniform(generator, 1, 0.02, 0.05)[0]
    yes = lambda margin=0.0: interval(margin + 0.1, width())
    unsure = lambda margin=0.0: interval(margin + 0.01, width())
    doubtful = lambda margin=0.0: interval(margin - 0.01, width())
    no = lambda margin=0.0: interval(margin - 0.1, width())
    return [
        Case("three intervals above the margin", [yes(), yes(), yes()], 0.0),
        Case("two above, one of which nobody can tell", [yes(), unsure(), yes()], 0.0),
        Case("two above, two of which nobody can tell", [unsure(), yes(), yes(), unsure()], 0.0,
             hint="Exactly half is enough for an exception"),
        Case("one above, one that holds the margin, one below", [yes(), unsure(), no()], 0.0),
        Case("nobody can tell", [unsure(), doubtful(), doubtful()], 0.0),
        Case("both below", [no(), no()], 0.0),
        Case("a margin below zero: at most 0.05 behind", [(-0.02, 0.01 + width()), (-0.03, 0.03)], -0.05),
        Case("a margin above zero", [(0.01, 0.05), (0.02, 0.04), yes(0.1)], 0.1),
        Case("two zeros without any width, at the margin", [(0.0, 0.0), (0.0, 0.0)], 0.0,
             hint="What only reaches the margin is not above it"),
        Case("nothing was run", [], 0.0),
    ]  # fmt: skip


def judge(intervals, margin, says=lambda low, high, margin: low > margin, enough=lambda yes, n: 2 * yes >= n,
          empty="not run", whole=lambda yes, n: yes == n):  # fmt: skip
    """The rule of the table; each option is a place for a mistake."""
    yes = sum(bool(says(low, high, margin)) for low, high in intervals)
    if not intervals:
        return empty
    if whole(yes, len(intervals)):
        return "holds"
    return "holds with an exception" if enough(yes, len(intervals)) else "not seen here"


def by_share(intervals, margin):
    """Right, by the share of intervals that lie above the margin."""
    if len(intervals) == 0:
        return "not run"
    share = np.mean([low > margin for low, _ in intervals])
    return ["not seen here", "holds with an exception", "holds"][int(share >= 0.5) + int(share == 1)]


rule = lambda **options: partial(judge, **options)
verdict = Exercise(
    "10.3", "the verdict", judge, verdict_cases, seen="Whoever writes the rule down first cannot bend it later.",
    styles=[by_share],
    mistakes=[
        Mistake("the whole interval must lie above the margin, not its middle",
                rule(says=lambda low, high, m: low + high > 2 * m)),
        Mistake("an interval that only reaches above the margin says nothing",
                rule(says=lambda low, high, m: high > m)),
        Mistake("compare with the margin itself, which need not be 0: low > margin",
                rule(says=lambda low, high, m: low > 0)),
        Mistake("above the margin is asked for: these lie below it", rule(says=lambda low, high, m: high < m)),
        Mistake("compare the lower end with the margin, not the width",
                rule(says=lambda low, high, m: high - low > m)),
        Mistake("an end on the margin is not above it", rule(says=lambda low, high, m: low >= m)),
        Mistake("any interval off the margin counts here, also one below it: only those above are for the claim",
                rule(says=lambda low, high, m: low > m or high < m)),
        Mistake("exactly half is enough for an exception", rule(enough=lambda yes, n: 2 * yes > n)),
        Mistake("one of them is not enough for an exception: at least half", rule(enough=lambda yes, n: yes > 0)),
        Mistake("where some are unsure, the claim holds with an exception at best",
                rule(whole=lambda yes, n: 2 * yes >= n)),
        Mistake("where all lie above, the claim holds: ask for this first", rule(whole=lambda yes, n: False)),
        Mistake("all intervals count, not the first alone", lambda intervals, margin: judge(intervals[:1], margin)),
        Mistake("an exception is possible: at least half of the intervals above the margin",
                rule(enough=lambda yes, n: False)),
        Mistake("no interval at all is no evidence: not run", rule(empty="holds"), rule(empty="not seen here")),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 10.4 a correlation, and within groups


def correlation_cases(generator):
    def groups(sizes, slope, step, ties=False):
        x, y, names = [], [], []
        for group, size in enumerate(sizes):
            along = uniform(generator, size, 0, 1)
            noise = uniform(generator, size, 0, 0.3)
            x += [round(0.85 * group + part, 3) for part in along]
            y += [round(step * group + slope * part + other, 3) for part, other in zip(along, noise, strict=True)]
            names += [f"group {group}"] * size
        y = [round(value, 1 if ties else 3) for value in y]
        places = torch.randperm(len(x), generator=generator).tolist()
        return [x[i] for i in places], [y[i] for i in places], [names[i] for i in places]

    x, y, names = groups((4, 5, 5, 7), 0.8, -1.0)
    same = [[1.0 if name == group else value for value, name in zip(values, names, strict=True)]
            for values, group in ((x, "group 2"), (y, "group 1"))]  # fmt: skip
    return [
        Case("two groups of 8: rising within, falling over all", *groups((8, 8), 0.9, -1.5)),
        Case("four groups of 4 to 9, many equal values", *groups((9, 6, 5, 4), -0.7, 0.6, True),
             hint="Equal values share the mean of their places: `ranks` does that"),
        Case("four groups, in one of which everybody has the same x, in another the same y", *same, names,
             hint="A group in which x or y is constant has no order: leave it out of the mean"),
    ]  # fmt: skip


def pearson(x, y):
    with np.errstate(invalid="ignore"):  # a constant has none: nan
        return float(np.corrcoef(x, y)[0, 1])


def places(values):
    """Places without thought for equal values."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


def rank_correlation(x, y, place=ranks):
    return pearson(place(np.array(x)), place(np.array(y)))


def parts_of(x, y, groups):
    return {
        name: tuple(zip(*[(a, b) for a, b, group in zip(x, y, groups, strict=True) if group == name], strict=True))
        for name in sorted({*groups})
    }


def both_ways(x, y, groups, measure=rank_correlation, constant=lambda: [], mean=np.mean,
              put=lambda over, within: (over, within), within=None, times=lambda a: 1):  # fmt: skip
    """Spearman's correlation over all, and the mean of those within groups; each option is a place for a mistake."""
    found = []
    for a, b in parts_of(x, y, groups).values():
        found += [measure(a, b)] * times(a) if len(set(a)) > 1 and len(set(b)) > 1 else constant()
    return put(measure(x, y), float(within(x, y, groups) if within else mean(found)))


def by_torch(x, y, groups):
    """Right, with tensors, and ranks by counting."""

    def correlation(a, b):
        a, b = (
            (v[:, None] > v).double().sum(1) + ((v[:, None] == v).double().sum(1) - 1) / 2
            for v in map(torch.tensor, (a, b))
        )
        return torch.corrcoef(torch.stack([a, b]))[0, 1]

    inner = [correlation(a, b) for a, b in parts_of(x, y, groups).values() if min(len(set(a)), len(set(b))) > 1]
    return correlation(x, y).item(), (sum(inner) / len(inner)).item()


def of_means(x, y, groups):
    means = [(np.mean(a), np.mean(b)) for a, b in parts_of(x, y, groups).values()]
    return rank_correlation(*zip(*means, strict=True))


def about_means(x, y, groups):
    found = []
    for a, b in parts_of(x, y, groups).values():
        found += list(zip(np.array(a) - np.mean(a), np.array(b) - np.mean(b), strict=True))
    return rank_correlation(*zip(*found, strict=True))


def group_alone(place):
    return lambda x, y, groups: rank_correlation(*list(parts_of(x, y, groups).values())[place])


ways = lambda **options: partial(both_ways, **options)
two_correlations = Exercise(
    "10.4", "over all and within", both_ways, correlation_cases, tol=1e-3,
    seen="Two numbers from the same points, and they need not even have the same sign.",
    styles=[by_torch, after(both_ways, list)],
    mistakes=[
        Mistake("this is Pearson's correlation of the values; correlate their ranks", ways(measure=pearson)),
        Mistake("np.corrcoef makes a table: [0, 1] is x with y, [0, 0] is x with itself",
                ways(measure=lambda x, y: 1.0)),
        Mistake("equal values share the mean of their places: use ranks",
                ways(measure=partial(rank_correlation, place=places))),
        Mistake("a group in which x or y is constant has no order: leave it out", ways(constant=lambda: [0.0]),
                ways(constant=lambda: [math.nan]), ways(constant=lambda: [1.0])),
        Mistake("within means: correlate inside each group, then average; this correlates the groups' means",
                ways(within=of_means)),
        Mistake("ranks inside each group, then the mean of the correlations; not one correlation of what is left",
                ways(within=about_means)),
        Mistake("this is one group alone: average over groups", ways(within=group_alone(0)),
                ways(within=group_alone(-1))),
        Mistake("a sum over groups: divide by their number", ways(mean=np.sum)),
        Mistake("the mean over groups is asked for, not the median", ways(mean=np.median)),
        Mistake("each group counts once, however many points it has", ways(times=len)),
        Mistake("argsort gives who comes where, not the place of each: use ranks",
                ways(measure=partial(rank_correlation, place=np.argsort))),
        Mistake("rank inside each group anew, not once over all",
                lambda x, y, groups: both_ways(ranks(np.array(x)), ranks(np.array(y)), groups, measure=pearson)),
        Mistake("these are squares: a correlation has a sign",
                ways(measure=lambda a, b: rank_correlation(a, b) ** 2)),
        Mistake("these are absolute values: a correlation has a sign",
                after(both_ways, lambda pair: tuple(abs(part) for part in pair))),
        Mistake("the order is over all, within", ways(put=lambda over, within: (within, over))),
        Mistake("the first number is over all points, whatever their group",
                ways(put=lambda over, within: (within, within))),
        Mistake("rank both, x and y", ways(measure=lambda x, y: pearson(ranks(np.array(x)), y)),
                ways(measure=lambda x, y: pearson(x, ranks(np.array(y))))),
        Mistake("this is the covariance: divide by both standard deviations, as np.corrcoef does",
                ways(measure=lambda x, y: float(np.cov(ranks(np.array(x)), ranks(np.array(y)))[0, 1]))),
        Mistake("1 - 6 sum d^2 / (n (n^2 - 1)) holds only where no values are equal", ways(measure=lambda x, y: float(
            1 - 6 * ((ranks(np.array(x)) - ranks(np.array(y))) ** 2).sum() / (len(x) ** 3 - len(x))))),
        Mistake("the points of a group need not lie side by side: collect all with the name",
                lambda x, y, groups: both_ways(x, y, list(accumulate(
                    a != b for a, b in zip([groups[0], *groups], groups, strict=False))))),
        Mistake("both numbers are over all: the second is within groups",
                ways(within=lambda x, y, groups: rank_correlation(x, y))),
        Mistake("return both numbers", ways(put=lambda over, within: over), ways(put=lambda over, within: within)),
    ],
)  # fmt: skip

# ---------------------------------------------------------------- 10.5 what is left to run


def sweep_cases(generator):
    def job(recall, norm, seed, steps=200):
        return {"recall": recall, "norm": norm, "seed": seed, "steps": steps}

    def row(job, **more):
        return {"recipe": dict(shuffled(generator, list(job.items()))), "right": uniform(generator, 1)[0], **more}

    grid = [
        job(recall, norm, seed) for recall, norm in (("internal", "post"), ("external", "pre")) for seed in range(3)
    ]
    kept = int(torch.randint(1, 5, (), generator=generator))
    done = [row(one) for one in grid]
    longer = [job("internal", "post", seed, 400) for seed in range(3)]
    return [
        Case("a sweep that was killed", grid, shuffled(generator, [*done[:kept], *done[kept + 1 :][:1]])),
        Case("a cell more in the list, and a job that leaves the steps open",
             [*grid, job("none", "post", 0), job("none", "post", 1), {"recall": "internal", "norm": "post", "seed": 0}],
             shuffled(generator, done)),
        Case("the same cell with twice the steps", [*grid[:3], *longer], shuffled(generator, done[:3]),
             hint="A row is another row if any setting is another"),
        Case("a training that failed", grid, [*done[1:4], {"recipe": dict(grid[0]), "failed": "the loss is nan"}],
             hint="A failure is a result: run again it would fail again"),
        Case("a file that was torn", grid, [done[0], None, *done[2:4]],
             hint="None stands for a file that cannot be read"),
        Case("a job that stands twice in the list", [grid[0], grid[4], grid[1], *grid], done[1:3]),
        Case("nothing left", grid[:4], done),
    ]  # fmt: skip


def left(jobs, rows, known=lambda row: row is not None, same=lambda job: tuple(sorted(job.items())), once=True,
         order=lambda jobs: jobs):  # fmt: skip
    """What is left, in the order of the list, each once; each option is a place for a mistake."""
    done = {same(row["recipe"]) for row in rows if known(row)}
    found = []
    for job in order(jobs):
        if same(job) not in done:
            found.append(dict(job))
            done |= {same(job)} if once else set()
    return found


def by_lists(jobs, rows):
    """Right, with lists alone."""
    recipes = [row["recipe"] for row in rows if row]
    return [job for place, job in enumerate(jobs) if job not in recipes and job not in jobs[:place]]


leaves = lambda **options: partial(left, **options)
some = lambda *names: lambda job: tuple(job.get(name) for name in names)
to_do = Exercise(
    "10.5", "what is left to run", left, sweep_cases,
    seen="A sweep is a list of jobs and a folder of answers; the rest is asking what is missing.",
    styles=[by_lists],
    mistakes=[
        Mistake("a training that failed has a row: run again it would fail again",
                leaves(known=lambda row: row is not None and "failed" not in row)),
        Mistake("None is a file that could not be read: its job is not known to be done, and others still are",
                lambda jobs, rows: left(jobs, rows[: rows.index(None)] if None in rows else rows),
                lambda jobs, rows: [job for job in jobs if job not in [row["recipe"] for row in rows]]),
        Mistake("every setting counts, the number of steps too", leaves(same=some("recall", "norm", "seed"))),
        Mistake("all settings count, not the first alone", leaves(same=some("recall")), lambda jobs, rows: left(
                [job for job in jobs if job["recall"] not in [row["recipe"]["recall"] for row in rows if row]], [])),
        Mistake("a job that is done is done wherever it stands: take away all of its places", lambda jobs, rows: left([
            job for place, job in enumerate(jobs)
            if job in jobs[:place] or job not in [row["recipe"] for row in rows if row]], [])),
        Mistake("a job that stands twice is left once; here it is left out",
                lambda jobs, rows: [job for job in left(jobs, rows) if jobs.count(job) == 1]),
        Mistake("a job that failed is done, like the others",
                lambda jobs, rows: [row["recipe"] for row in rows if row and "failed" in row]),
        Mistake("every setting counts, the seed too", leaves(same=some("recall", "norm", "steps"))),
        Mistake("all settings count, not the seed alone", lambda jobs, rows: left(
                [job for job in jobs if job["seed"] not in [row["recipe"]["seed"] for row in rows if row]], [])),
        Mistake("the order of a dictionary's entries does not matter: compare dictionaries, not their text or values",
                leaves(same=str), leaves(same=lambda job: tuple(job.values()))),
        Mistake("a job whose settings are only some of a row's is another job", lambda jobs, rows: left(
                [job for job in jobs if not any(row and job.items() <= row["recipe"].items() for row in rows)], [])),
        Mistake("of a job that stands twice the first place counts", lambda jobs, rows: left(jobs[::-1], rows)[::-1]),
        Mistake("skip a job that is done and go on: jobs behind it may be left",
                lambda jobs, rows: left(list(takewhile(lambda job: job in left(jobs, rows), jobs)), [])),
        Mistake("rows lie in any order: counting them does not tell which jobs are done",
                lambda jobs, rows: jobs[len(rows):], lambda jobs, rows: jobs[sum(row is not None for row in rows):]),
        Mistake("a job that stands twice in the list is run once", leaves(once=False)),
        Mistake("keep the order of the list", leaves(order=lambda jobs: jobs[::-1]),
                after(left, lambda found: found[::-1]), after(left, lambda found: sorted(found, key=str))),
        Mistake("these are the jobs that are done", lambda jobs, rows: [
            job for job in jobs if job in [row["recipe"] for row in rows if row]],
            lambda jobs, rows: [job for place, job in enumerate(jobs) if job not in left(jobs, rows) + jobs[:place]],
            lambda jobs, rows: [row["recipe"] for row in rows if row]),
        Mistake("these are all jobs: leave out what has a row", lambda jobs, rows: jobs,
                lambda jobs, rows: list(jobs), lambda jobs, rows: left(jobs, [])),
        Mistake("return the jobs themselves, not how many or where they are", after(left, len),
                lambda jobs, rows: [jobs.index(job) for job in left(jobs, rows)]),
    ],
)  # fmt: skip
