"""Lesson 04's checks: wrong answers are rejected with a word about why, right ones are accepted however they are written."""

import torch
from mutants import *  # noqa: F403 - the tests, and the hook that deals out the answers
from mutants import exercises_of

from looped_lite.exercises import lesson_04 as ex
from looped_lite.fixed_points import unrolled_gradient

EXERCISES = exercises_of(ex)


# ---------------------------------------------------------------- 04.1


def progressive(
    model, x, n, k, no_grad=True, detach=False, encode_silent=False, swap=False, last_only=False, guard=True, off=0
):
    """One step of progressive loss, with a place for each thing that can go wrong."""
    if guard and k < 1:
        raise ValueError("k must be at least 1")
    with torch.set_grad_enabled(not encode_silent):
        f = model.loop(x)
        h = f.h
    z = h.detach() if detach else h
    first, second = (k, n) if swap else (n, k + off)
    with torch.set_grad_enabled(not no_grad):
        for _ in range(first):
            z = f(z)
    for i in range(second):
        z = f(z.detach() if last_only and i == second - 1 else z)
    return model.read_out(z)


def by_states(model, x, n, k):
    if not k:
        raise ValueError("k = 0")
    f = model.loop(x)
    z = f.h
    if n:
        with torch.no_grad():
            *_, z = model.states(x, n)
    while k:
        z, k = f(z), k - 1
    return model.head(z)


def detached_only_if_run(model, x, n, k):
    assert_k = [None][: k > 0]
    if not assert_k:
        raise ValueError(k)
    f = model.loop(x)
    h = f.h
    z = h
    for t in range(n + k):
        z = f(z)
        if t < n:
            z = z.detach()
    return model.read_out(z)


def in_place(model, x, n, k):
    logits = progressive(model, x, n, k)
    x.zero_()
    return logits


def gradients_left_off(model, x, n, k):
    logits = progressive(model, x, n, k)
    torch.set_grad_enabled(False)
    return logits


def silent_read_out(model, x, n, k):
    with torch.no_grad():
        return progressive(model, x, n, k).detach()


# ---------------------------------------------------------------- 04.2 and 04.5


def series(A, c, k, first=0, transpose=True, last_only=False):
    B = A.T if transpose else A
    terms = [torch.linalg.matrix_power(B, i) @ c for i in range(first, k)]
    return terms[-1] if last_only else sum(terms)


def series_in_place(A, c, k):
    term = c.clone()
    for _ in range(k - 1):
        term = A.T @ term
        c += term
    return c


def by_autograd(A, c, k):
    h = torch.zeros_like(c, requires_grad=True)
    return unrolled_gradient(lambda z: z @ A.T + h, torch.zeros(1, len(c)), lambda z: (z @ c).sum(), [h], k)[0]


def neumann(f, z, h, g, terms, off=0, whole=True, last_only=False, reach=True):
    z, h = z.clone().detach().requires_grad_(), h.clone().detach().requires_grad_()
    after = f(z, h)
    found = [g]
    for _ in range(terms - 1 + off):
        found.append(torch.autograd.grad(after, z, found[-1], retain_graph=True)[0])
    u = found[-1] if last_only else sum(found if whole else found[1:])
    return torch.autograd.grad(after, h, u)[0] if reach else u


def neumann_dense(f, z, h, g, terms):
    Jz, Jh = torch.autograd.functional.jacobian(f, (z.detach(), h.detach()))
    return Jh.T @ sum(torch.linalg.matrix_power(Jz.T, i) @ g for i in range(terms))


def neumann_forward(f, z, h, g, terms):
    Jz, Jh = torch.autograd.functional.jacobian(f, (z, h))
    return Jh.T @ sum(torch.linalg.matrix_power(Jz, i) @ g for i in range(terms))


# ---------------------------------------------------------------- 04.4


def curriculum(
    task,
    level,
    running,
    drawn,
    loops,
    accuracy,
    rate=0.3,
    bar=0.9,
    share=0.8,
    of=None,
    same=True,
    deep=True,
    fresh=True,
    cap=True,
):
    most = task.loops(level) if of is None else of(level)
    if (not same or drawn == level) and (not deep or loops >= share * most):
        running = running + rate * (accuracy - running)
        if running > bar and (not cap or level != 32):
            return min(level + max(2, level // 4), 32), 0.0 if fresh else running
    return level, running


def curriculum_early_returns(task, level, running, drawn, loops, accuracy):
    if drawn != level or 5 * loops < 4 * task.loops(level):
        return [level, running]
    running = 0.7 * running + 0.3 * accuracy
    if running <= 0.9 or level == task.last_level:
        return [level, torch.tensor(running)]
    return [task.harder(level), 0]


# ---------------------------------------------------------------- 04.3


def differences(model, x, loops, other=-1, start=False, square=False):
    with torch.no_grad():
        f = model.loop(x)
        z = f.h
        rows = [z] if start else []
        while len(rows) < loops:
            z = f(z)
            rows.append(z)
        apart = torch.cat(rows) - torch.cat(rows)[:, other].unsqueeze(1)
        return apart.square().sum(-1) if square else apart.square().sum(-1).sqrt()


def differences_with_gradient(model, x, loops):
    return torch.stack(
        [
            torch.cdist(z[0], z[0, -1:], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
            for z in model.states(x, loops)
        ]
    )


RIGHT = {
    "04.1": [progressive, by_states, detached_only_if_run],
    "04.2": [series, by_autograd],
    "04.3": [differences, differences_with_gradient],
    "04.4": [curriculum, curriculum_early_returns],
    "04.5": [neumann, neumann_dense],
}


def but(answer, **changes):
    return lambda *arguments: answer(*arguments, **changes)


WRONG = {
    "04.1": [
        (but(progressive, no_grad=False), "through all n + k loops"),
        (but(progressive, detach=True), "you detach it"),
        (but(progressive, encode_silent=True), "embedding gets no gradient"),
        (but(progressive, swap=True), "passes through n loops"),
        (but(progressive, last_only=True), "last loop only"),
        (but(progressive, guard=False), "k = 0 went through"),
        (but(progressive, off=-1), "one loop is missing"),
        (but(progressive, off=1), "one loop too many"),
        (lambda model, x, n, k: model(x, k), "run n loops first"),
        (lambda model, x, n, k: list(model.states(x, n + k))[-1], "model.read_out"),
        (silent_read_out, "no gradient at all"),
        (gradients_left_off, "switched off"),
        (in_place, "changed in place"),
        (lambda model, x, n, k: None, "got None"),
    ],
    "04.2": [
        (but(series, transpose=False), "A.T"),
        (but(series, first=1), "begins with i = 0"),
        (but(series, last_only=True), "add up"),
        (lambda A, c, k: series(A, c, k + 1), "one term too many"),
        (lambda A, c, k: series(A, c, k - 1), "one term is missing"),
        (series_in_place, "changed in place"),
        (lambda A, c, k: torch.linalg.matrix_power(A.T, k) @ c, "terms add up"),
    ],
    "04.3": [
        (but(differences, other=0), "first cell"),
        (but(differences, start=True), "start state"),
        (but(differences, square=True), "take the root"),
        (lambda model, x, loops: differences(model, x, loops).T, "swapped"),
        (lambda model, x, loops: differences(model, x, loops)[:, None], "batch axis"),
        (lambda model, x, loops: differences(model, x, loops + 1), "expected shape (4, 6)"),
        (lambda model, x, loops: torch.cat([z.norm(dim=-1) for z in model.states(x, loops)]), "subtract the last"),
    ],
    "04.4": [
        (but(curriculum, rate=0.7), "0.3 of the way"),
        (but(curriculum, rate=1.0), "one batch"),
        (but(curriculum, deep=False), "shallow batch must not count"),
        (but(curriculum, share=0.7), "too shallow"),
        (but(curriculum, bar=0.8), "too early to move on"),
        (but(curriculum, bar=0.95), "above 0.9: move"),
        (but(curriculum, of=lambda level: level), "compare with N"),
        (but(curriculum, same=False), "easier level"),
        (but(curriculum, fresh=False), "start at 0 again"),
        (but(curriculum, cap=False), "last level is the last"),
        (lambda *a: (a[1], a[2]), "must count"),
        (lambda *a: curriculum(*a)[0], "expected a tuple of 2"),
    ],
    "04.5": [
        (but(neumann, off=1), "one term too many"),
        (but(neumann, off=-1), "one term is missing"),
        (but(neumann, last_only=True), "last term alone"),
        (but(neumann, whole=False, off=1), "begins with g itself"),
        (but(neumann, reach=False), "this is u"),
        (neumann_forward, "multiplies by J"),
        (lambda f, z, h, g, terms: neumann(f, z, h, g, 1), "only the first term"),
    ],
}
