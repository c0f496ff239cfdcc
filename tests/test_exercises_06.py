"""Lesson 06's checks: wrong answers are rejected with a word about why, right ones are accepted however they are written."""

import itertools

import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite import fixed_points as fp
from looped_lite.exercises import lesson_06 as ex

EXERCISES = exercises_of(ex)


def pair_score(ends, tol=1e-2, relative=True, pairs=None, whole=False):
    ends = ends.flatten(2)
    unit = ends.norm(dim=2).mean(0) if relative else 1.0
    pairs = list(itertools.combinations(range(len(ends)), 2)) if pairs is None else pairs(len(ends))
    agree = torch.stack([(ends[i] - ends[j]).norm(dim=1) <= tol * unit for i, j in pairs])
    return agree.all(0).float() if whole else agree.float().mean(0)


def cdist_score(ends, tol=1e-2):
    """Right, written differently: all distances at once, the diagonal taken out."""
    flat = ends.flatten(2).transpose(0, 1)
    near = torch.cdist(flat, flat) <= tol * flat.norm(dim=2).mean(1)[:, None, None]
    n = len(ends)
    return (near.sum((1, 2)) - n) / (n * (n - 1))


def find_period(states, longest=8, tol=1e-3, order=1, whole=True, relative=False):
    found = []
    for b in range(states.shape[1]):
        path, answer = states[:, b].flatten(1), 0
        for p in list(range(1, longest + 1))[::order]:
            count = p if whole else 1
            gap = max(float((path[-1 - i] - path[-1 - i - p]).norm()) for i in range(count))
            if gap <= tol * (float(path[-1].norm()) if relative else 1):
                answer = p
                break
        found.append(answer)
    return found


def period_as_tensor(states, longest=8, tol=1e-3):
    answer = torch.zeros(states.shape[1], dtype=torch.long)
    for p in range(longest, 0, -1):
        gap = (states[-p:] - states[-2 * p : -p]).flatten(2).norm(dim=2).amax(0)
        answer[gap <= tol] = p
    return answer


def difference(f, z, x, dx, loops, step=1e-2, sides=(1, -1), scale=2.0):
    ends = []
    for sign in sides:
        state = z
        for _ in range(loops):
            state = f(state, x + sign * step * dx)
        ends.append(state)
    return (ends[0] - ends[1]) / (scale * step)


def series(product, push, terms):
    """Right, written differently: Horner's rule, push + J (push + J (push + ...))."""
    total = push
    for _ in range(terms - 1):
        total = push + product(total)
    return total


def series_of_list(product, push, terms):
    parts = [push]
    while len(parts) < terms:
        parts.append(product(parts[-1]))
    return torch.stack(parts).sum(0)


def series_in_place(product, push, terms):
    term = push
    for _ in range(terms - 1):
        term = product(term)
        push += term
    return push


def series_of_sums(product, push, terms):
    total = push
    for _ in range(terms - 1):
        total = total + product(total)
    return total


def plane_by_covariance(states):
    """Right, written differently: eigenvectors of the covariance, the largest first."""
    points = states.flatten(0, 1).flatten(1)
    centre = points.mean(0)
    _, vectors = torch.linalg.eigh((points - centre).T @ (points - centre))
    return centre, vectors.flip(1)[:, :2].T


def plane(states, center=True, rows=slice(0, 2), last=False, transpose=False, scale=1.0):
    points = (states[-1:] if last else states).flatten(0, 1).flatten(1)
    centre = points.mean(0)
    axes = torch.linalg.svd(points - centre if center else points, full_matrices=False)[2][rows] * scale
    return centre, axes.T if transpose else axes


RIGHT = {
    "06.1": [pair_score, cdist_score, lambda ends, tol=1e-2: fp.agreement(ends, tol)[0]],
    "06.2": [find_period, period_as_tensor],
    "06.4": [difference, fp.input_sensitivity_by_difference],
    "06.5": [series, series_of_list],
    "06.3": [plane, plane_by_covariance, lambda states: (plane(states)[0], -plane(states)[1])],
}

WRONG = {
    "06.1": [
        (
            lambda e, tol=1e-2: pair_score(e, tol, pairs=lambda n: list(itertools.product(range(n), repeat=2))),
            "agreeing with itself",
        ),
        (lambda e, tol=1e-2: pair_score(e, tol, pairs=lambda n: [(0, i) for i in range(1, n)]), "first start only"),
        (lambda e, tol=1e-2: pair_score(e, tol, relative=False), "relative"),
        (lambda e, tol=1e-2: pair_score(e, tol, whole=True), "all or nothing"),
        (lambda e, tol=1e-2: 1 - pair_score(e, tol), "differ"),
        (lambda e, tol=1e-2: pair_score(e, tol).mean(), "one number for the whole batch"),
        (lambda e, tol=1e-2: pair_score(e, tol).tolist(), "expected a tensor"),
    ],
    "06.2": [
        (lambda s, longest=8, tol=1e-3: find_period(s, longest, tol, order=-1), "return the smallest"),
        (lambda s, longest=8, tol=1e-3: find_period(s, longest, tol, whole=False), "one close pair is no cycle"),
        (lambda s, longest=8, tol=1e-3: find_period(s, longest, tol=0.1, relative=True), "never repeats"),
        (lambda s, longest=8, tol=1e-3: [1] * s.shape[1], "its period is not 1"),
        (lambda s, longest=8, tol=1e-3: find_period(s, longest, tol)[0], "one period for each instance"),
        (lambda s, longest=8, tol=1e-3: find_period(s, 8, tol), "longest=4"),
        (lambda s, longest=8, tol=1e-3: find_period(s, 20, tol), "never repeats"),
    ],
    "06.4": [
        (lambda *a: difference(*a, scale=1.0), "divide by 2"),
        (lambda *a: 2 * a[-1] * difference(*a), "difference of the two ends"),
        (lambda *a: difference(*a, sides=(1, 0), scale=1.0), "to one side"),
        (lambda *a: difference(*a, sides=(-1, 1)), "sign is wrong"),
        (
            lambda f, z, x, dx, loops, step=1e-2: difference(f, z, x, dx / dx.norm(dim=1, keepdim=True), loops, step),
            "rescale dx",
        ),
        (lambda f, z, x, dx, loops, step=1e-2: difference(f, z, x, dx, 1, step), "not one"),
    ],
    "06.5": [
        (lambda product, push, terms: product(series(product, push, terms)), "is missing"),
        (lambda product, push, terms: series(product, push, terms + 1), "too many"),
        (lambda product, push, terms: series(product, push, terms - 1), "too few"),
        (
            lambda product, push, terms: series_of_list(product, push, terms) - series(product, push, terms - 1),
            "last term only",
        ),
        (lambda product, push, terms: push + (terms - 1) * product(push), "multiply again"),
        (series_of_sums, "not J times the sum"),
        (series_in_place, "changed in place"),
    ],
    "06.3": [
        (lambda s: plane(s, center=False), "subtract the centre"),
        (lambda s: plane(s, rows=slice(-2, None)), "least variance"),
        (lambda s: plane(s, rows=[1, 0]), "wrong order"),
        (lambda s: (plane(s)[0], plane(s, rows=slice(None))[1][:, :2].T), "directions are its rows"),
        (lambda s: plane(s, last=True), "last loop only"),
        (lambda s: plane(s, transpose=True), "one axis in each row"),
        (lambda s: plane(s, rows=slice(None)), "keep the first two"),
        (lambda s: plane(s, scale=2.0), "length 1"),
        (lambda s: plane(s)[1], "expected two tensors"),
    ],
}
