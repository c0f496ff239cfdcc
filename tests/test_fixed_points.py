"""The laboratory against closed forms, and against dense linear algebra."""

import math
import warnings

import numpy as np
import pytest
import torch

from looped_lite import fixed_points as fp
from looped_lite.model import LoopedTransformer

torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*numbers: float) -> torch.Tensor:
    """Scalar states: (batch, 1), in double precision."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def linear(A: torch.Tensor, b: torch.Tensor | float = 0.0):
    """z -> A z + b for states (batch, n)."""
    return lambda z: z @ A.mT + b


def with_spectrum(values, n: int, seed: int = 0, skew: float = 0.0) -> torch.Tensor:
    """A real (n, n) matrix with these eigenvalues and conjugates, the rest below 0.3; skew makes it non-normal."""
    g = seeded(seed)
    blocks, size = [], 0
    for value in values:
        value = complex(value)
        block = [[value.real, -value.imag], [value.imag, value.real]] if value.imag else [[value.real]]
        blocks.append(torch.tensor(block, dtype=torch.float64))
        size += len(block)
    blocks += [0.3 * (2 * torch.rand(1, 1, generator=g, dtype=torch.float64) - 1) for _ in range(n - size)]
    D = torch.block_diag(*blocks) + skew * torch.triu(torch.randn(n, n, generator=g, dtype=torch.float64), 2)
    Q = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0]
    return Q @ D @ Q.mT


def small_loop(seed: int, cells: int = 5, width: int = 16, recall: str = "internal", norm: str = "post"):
    """A small random transformer in double precision, weights larger than at birth: (model, f, h, x)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LoopedTransformer(3, 2, width=width, heads=2, recall=recall, norm=norm).double()
        with torch.no_grad():
            for p in model.parameters():
                if p.dim() == 2:
                    p += 0.5 * torch.randn_like(p) / p.shape[1] ** 0.5
        x = torch.randn(2, cells, 3, dtype=torch.float64)
    f = model.loop(x)
    h = f.h
    return model, f, h.detach(), x


# ---------------------------------------------------------------- residual and trajectory


def test_the_residual_of_cos_is_what_a_calculator_says():
    z = column(0.0, 1.0)
    moved = fp.residual(torch.cos, z)
    assert torch.allclose(moved, torch.tensor([1.0, 1 - math.cos(1)], dtype=torch.float64))
    relative = fp.residual(torch.cos, z, relative=True)
    assert torch.allclose(relative, torch.tensor([1.0, (1 - math.cos(1)) / math.cos(1)], dtype=torch.float64))
    assert fp.residual(torch.cos, torch.tensor([0.0])).shape == (1,)  # states may be plain numbers


def test_iterating_cos_ends_at_its_fixed_point_at_the_rate_of_its_slope():
    end = fp.iterate(torch.cos, column(1.0), 200, tol=1e-14, keep=True)
    star = 0.7390851332151607
    assert end.settled.all() and abs(end.z.item() - star) < 1e-13
    assert len(end.states) == len(end.steps) + 1 == int(end.loops) + 1
    assert end.steps[40] / end.steps[39] == pytest.approx(math.sin(star), rel=1e-6)


def test_every_instance_keeps_its_own_count_of_loops():
    end = fp.iterate(lambda z: z / 2, column(1.0, 1e-30) + column(0.0, 0.0), 50, tol=1e-3)
    assert not end.settled.any() and (end.loops == 50).all()  # the relative step is 1 for ever
    end = fp.iterate(lambda z: 1 + (z - 1) / 2, column(1.0, 3.0), 50, tol=1e-3)
    assert end.settled.all() and end.loops[0] == 1 and end.loops[1] > 5


def test_trivial_and_bad_input_of_iterate():
    z = column(0.3)
    nothing = fp.iterate(torch.cos, z, 0, keep=True)
    assert torch.equal(nothing.z, z) and nothing.steps.shape == (0, 1) and nothing.states.shape == (1, 1, 1)
    already = fp.iterate(lambda z: z, z, 10, tol=1e-9)
    assert already.loops.item() == 1 and already.settled.item()
    with pytest.raises(ValueError, match=r"loops must be a whole number from 0 to .*, got -1"):
        fp.iterate(torch.cos, z, -1)
    for tol in (-1e-3, float("nan")):
        with pytest.raises(ValueError, match="tol must not be negative"):
            fp.iterate(torch.cos, z, 5, tol=tol)


BROKEN = {
    "the map returned shape": lambda z: z[:, :1],
    "the map returned NaN": lambda z: torch.where(z > 0.2, float("nan"), z + 0.05),
    "expected a tensor": lambda z: z.tolist(),
    "the map returned torch.float64 on meta": lambda z: z.to("meta"),
    "the map returned torch.float32": lambda z: z.float(),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_map_is_named_by_every_function_that_runs_it(message):
    f, z = BROKEN[message], torch.full((2, 3), 0.1, dtype=torch.float64)
    runs = [
        lambda: fp.iterate(f, z, 60),
        lambda: fp.picard(f, z, 60, tol=1e-9),
        lambda: fp.anderson(f, z, 60, tol=1e-9),
        lambda: fp.classify_end(f, z, 60),
        lambda: fp.path_independence(f, torch.stack([z, z]), 60),
        lambda: fp.basins(f, z[0], z[0], z[1], 1.0, 4, 60),
    ]
    if "NaN" not in message:
        runs += [
            lambda: fp.residual(f, z),
            lambda: fp.newton_krylov(f, z, 60, tol=1e-9),
            lambda: fp.leading_eigenvalues(f, z),
            lambda: fp.spectral_norm(f, z),
            lambda: fp.unrolled_gradient(f, z, torch.sum, [z], 3),
            lambda: fp.implicit_gradient(f, z, torch.sum, [z]),
        ]
    else:
        runs += [lambda: fp.residual(f, 3 * z)]
    for run in runs:
        with pytest.raises(ValueError, match=message):
            run()


def test_overflow_is_a_result_and_not_an_error():
    end = fp.iterate(lambda z: z**3, column(2.0, 0.5), 20)
    assert end.z[0].isinf() and end.z[1] == 0
    assert [e.kind for e in fp.classify_end(lambda z: z - z**3, column(3.0, 0.5), 300)] == ["diverging", "fixed point"]


# ---------------------------------------------------------------- solvers

SOLVERS = [fp.picard, fp.anderson, fp.newton_krylov]


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_find_the_fixed_point_of_a_linear_map(solver):
    A = with_spectrum([0.9, 0.7 + 0.5j], 12, seed=1)
    b = torch.randn(1, 12, generator=seeded(2), dtype=torch.float64)
    star = torch.linalg.solve(torch.eye(12, dtype=torch.float64) - A, b[0])
    found = solver(linear(A, b), torch.zeros(3, 12, dtype=torch.float64), 500, tol=1e-10)
    assert found.settled.all() and torch.allclose(found.z, star.expand(3, 12), atol=1e-8)
    assert found.trace.shape == (len(found.spent), 3) and (found.residual <= 1e-10).all()
    assert (found.evaluations == found.spent[-1]).all()


def test_clever_solvers_pay_where_the_spectral_radius_is_near_one():
    A = with_spectrum([0.99, 0.97, 0.9 + 0.3j], 30, seed=3)
    b = torch.randn(1, 30, generator=seeded(4), dtype=torch.float64)
    z = torch.zeros(1, 30, dtype=torch.float64)
    spent = {solver.__name__: int(solver(linear(A, b), z, 4000, tol=1e-9).evaluations) for solver in SOLVERS}
    assert spent["anderson"] < spent["picard"] / 10 and spent["newton_krylov"] < spent["picard"] / 5, spent


def test_newton_finds_a_point_that_repels():
    two_cos = lambda z: 2 * torch.cos(z)  # slope -1.71 at its fixed point 1.0299
    assert not fp.picard(two_cos, column(1.0), 200).settled
    found = fp.newton_krylov(two_cos, column(1.0), 200, tol=1e-12)
    assert found.settled and abs(found.z.item() - 1.0298665293) < 1e-9


def test_anderson_can_wait_until_the_loop_is_nearly_linear():
    A = with_spectrum([0.95, 0.9, 0.8], 12, seed=1)
    b = torch.randn(1, 12, generator=seeded(2), dtype=torch.float64)
    z = torch.zeros(1, 12, dtype=torch.float64)
    never = fp.anderson(linear(A, b), z, 40, tol=1e-10, begin=0.0)
    plain = fp.picard(linear(A, b), z, 40, tol=1e-10)
    assert torch.equal(never.trace, plain.trace)
    waited = fp.anderson(linear(A, b), z, 400, tol=1e-10, begin=1e-1)
    assert waited.settled and waited.evaluations < fp.picard(linear(A, b), z, 4000, tol=1e-10).evaluations
    with pytest.raises(ValueError, match="memory must be a whole number from 1 to"):
        fp.anderson(torch.cos, z, 10, memory=0)
    with pytest.raises(ValueError, match="krylov must be a whole number from 1 to"):
        fp.newton_krylov(torch.cos, z, 10, krylov=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solver_input(solver):
    z = column(0.7390851332151607)
    assert solver(torch.cos, z, 50).evaluations.item() == 1  # already there
    assert solver(torch.cos, column(1.0), 1).settled.item() is False
    assert int(solver(torch.cos, column(1.0), 10, tol=1e-15).spent[-1]) <= 10 + 24
    for tol in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tol must be positive"):
            solver(torch.cos, z, 50, tol=tol)
    with pytest.raises(ValueError, match="evaluations must be a whole number from 1 to"):
        solver(torch.cos, z, 0)


# ---------------------------------------------------------------- the Jacobian


def test_jacobian_products_agree_with_finite_differences():
    _, f, h, _ = small_loop(0)
    v = fp.random_like(h, seeded(1))
    difference = (f(h + 1e-6 * v) - f(h - 1e-6 * v)) / 2e-6
    assert torch.allclose(fp.jacobian_product(f, h)(v), difference, atol=1e-7)
    J = fp.jacobian(f, h)
    u = fp.random_like(h, seeded(2))
    assert torch.allclose(
        torch.einsum("bij,bi->bj", J, u.flatten(1)), fp.adjoint_product(f, h)(u).flatten(1), atol=1e-10
    )


@pytest.mark.slow
def test_spectral_radius_within_one_percent_of_dense_eigenvalues_on_fifty_random_blocks(capsys):
    """All of Arnoldi, and power iteration where the third eigenvalue leaves it a chance. Both kinds occur."""
    worst, worst_power, kinds, gaps = 0.0, 0.0, {"real": 0, "complex": 0}, 0
    recalls, norms = ("internal", "external", "none"), ("post", "sandwich", "pre", "peri", "gru")
    for seed in range(25):  # two instances each
        recall, norm = recalls[seed % 3], norms[seed % 5]
        _, f, h, _ = small_loop(seed, cells=5, width=16, recall=recall, norm=norm)
        z = fp.iterate(f, h, 3).z
        dense = torch.linalg.eigvals(fp.jacobian(f, z))
        radius = dense.abs().max(1).values
        found = fp.leading_eigenvalues(f, z, count=4, size=40, tol=1e-4, exact=0)
        true = (found.radius / radius - 1).abs()
        assert found.known.any() and (true[found.known] <= 1e-4).all()
        worst = max(worst, float((found.radius / radius - 1).abs().max()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            powered = fp.power_iteration(f, z, 150)
        for b in range(2):
            values = dense[b][dense[b].abs().argsort(descending=True)]
            kinds["complex" if values[0].imag.abs() > 1e-9 else "real"] += 1
            if values[2].abs() < 0.96 * values[0].abs():
                gaps += 1
                worst_power = max(worst_power, float((powered[b].abs() / radius[b] - 1).abs()))
    with capsys.disabled():
        print(
            f"\nspectral radius, 50 blocks of 80 numbers {kinds}: worst relative error {worst:.1e} (Arnoldi), ", end=""
        )
        print(f"{worst_power:.1e} (power iteration, {gaps} blocks with a gap)")
    assert worst < 0.01 and worst_power < 0.01
    assert min(kinds.values()) >= 10 and gaps >= 25


@pytest.mark.parametrize("values", [[0.9, 0.5], [-0.9, 0.5], [0.6 + 0.7j], [0.95j], [1.3 + 0.2j, 0.4]])
def test_both_methods_on_matrices_with_known_spectra(values):
    A = with_spectrum(values, 60, seed=5, skew=0.02)
    z = torch.zeros(1, 60, dtype=torch.float64)
    expected = abs(complex(values[0]))
    for exact in (0, 512):
        assert fp.spectral_radius(linear(A), z, exact=exact).item() == pytest.approx(expected, rel=1e-3)
    leading = fp.power_iteration(linear(A), z, 150)[0]
    assert leading.abs().item() == pytest.approx(expected, rel=1e-3)
    assert leading.imag.item() == pytest.approx(complex(values[0]).imag, abs=1e-3)


def test_special_matrices():
    z = torch.randn(2, 50, generator=seeded(), dtype=torch.float64)
    for f, expected in [(lambda z: z.clone(), 1.0), (lambda z: 0 * z, 0.0), (lambda z: torch.ones_like(z), 0.0)]:
        for exact in (0, 512):
            assert fp.spectral_radius(f, z, exact=exact).tolist() == pytest.approx([expected] * 2, abs=1e-9)
        assert fp.spectral_norm(f, z).tolist() == pytest.approx([expected] * 2, abs=1e-9)
    nilpotent = torch.diag(torch.ones(2, dtype=torch.float64), 1) * 5
    assert fp.spectral_radius(linear(nilpotent), z[:, :3]).max() < 1e-4  # no eigenvalue but 0
    assert fp.spectral_norm(linear(nilpotent), z[:, :3]).tolist() == pytest.approx(
        [5.0] * 2
    )  # and it stretches all the same
    slope = -math.sin(0.7390851332151607)
    assert fp.leading_eigenvalues(torch.cos, column(0.7390851332151607)).values[0, 0].real.item() == pytest.approx(
        slope
    )
    assert fp.power_iteration(torch.cos, column(0.7390851332151607)).real.item() == pytest.approx(slope)


def test_spectral_norm_is_the_largest_singular_value():
    _, f, h, _ = small_loop(3)
    expected = torch.linalg.matrix_norm(fp.jacobian(f, h), 2)
    assert torch.allclose(fp.spectral_norm(f, h, 300), expected, rtol=1e-3)


def test_gmres_solves_and_says_when_it_does_not():
    A, b = (
        with_spectrum([0.9, -2.0, 0.5 + 1j], 30, seed=6),
        torch.randn(2, 30, generator=seeded(7), dtype=torch.float64),
    )
    x, left = fp.gmres(linear(A), b, size=30)
    assert (left < 1e-6).all() and torch.allclose(x @ A.mT, b, atol=1e-4)
    easy = torch.eye(30, dtype=torch.float64) + 0.3 * A
    x, left = fp.gmres(linear(easy), b, size=4, restarts=50, tol=1e-8)
    assert (left <= 1e-8).all() and torch.allclose(x @ easy.mT, b)
    x, left = fp.gmres(lambda v: 0 * v, b)
    assert torch.equal(x, torch.zeros_like(b)) and left.tolist() == [1, 1]


def test_bad_input_of_the_jacobian_functions():
    z = torch.zeros(1, 50)
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to"):
        fp.power_iteration(torch.cos, z, 0)
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to"):
        fp.spectral_norm(torch.cos, z, 0)
    with pytest.raises(ValueError, match="count must be a whole number from 1 to"):
        fp.leading_eigenvalues(torch.cos, z, count=0)
    with pytest.raises(ValueError, match="count must be less than size, got count 40 and size 40"):
        fp.leading_eigenvalues(torch.cos, z, count=40, size=40, exact=0)
    with pytest.raises(ValueError, match="batch dimension"):
        fp.spectral_radius(torch.cos, torch.tensor(1.0))


def test_full_attention_goes_through_forward_mode():
    """The fast CPU kernel of attention has no forward-mode rule; the functions choose the other one themselves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f = LoopedTransformer(3, 2, width=32, heads=2).loop(torch.randn(2, 9, 3))
        h = f.h
    assert fp.spectral_radius(f, h).shape == (2,)


def shift(n: int, value: float = 0.0) -> torch.Tensor:
    """One Jordan block of n numbers: no eigenvalue but ``value``."""
    return value * torch.eye(n, dtype=torch.float64) + torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)


def turned(A: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The same matrix in other coordinates: no entry is 0 any more."""
    Q = torch.linalg.qr(torch.randn(len(A), len(A), generator=seeded(seed), dtype=torch.float64))[0]
    return Q @ A @ Q.mT


def pairs(count: int, modulus: float = 0.9) -> list[complex]:
    return [modulus * complex(math.cos(a / count), math.sin(a / count)) for a in range(1, count + 1)]


KNOWN = {
    "shift": (shift(40), 0.0),
    "shift, 300": (shift(300).T, 0.0),
    "one Jordan block": (shift(40, 0.9), 0.9),
    "two numbers that are 0.9 twice": (turned(torch.block_diag(shift(2, 0.9), 0.5 * torch.eye(30).double())), 0.9),
    "circle": (torch.eye(60, dtype=torch.float64).roll(1, 0), 1.0),
    "plus and minus": (with_spectrum([0.9, -0.9, 0.5], 60), 0.9),
    "real and complex": (with_spectrum([0.9, *pairs(3), -0.9], 60), 0.9),
    "twelve pairs": (with_spectrum(pairs(12), 60), 0.9),
    "a turn of everything": (torch.linalg.qr(torch.randn(60, 60, generator=seeded()).double())[0], 1.0),
    "far from normal": (with_spectrum([0.9, 0.5], 60, 5, skew=0.5), 0.9),
}


@pytest.mark.parametrize("name", KNOWN)
def test_small_states_get_the_radius_of_the_whole_matrix_and_no_warning(name):
    A, expected = KNOWN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fp.spectral_radius(linear(A), torch.zeros(2, len(A), dtype=torch.float64))
    assert found.tolist() == pytest.approx([expected] * 2, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_double_eigenvalue_is_known_in_whatever_coordinates(seed):
    """Its two eigenvectors are parallel but for rounding, and how much is left of that is another matter each time."""
    A = turned(torch.block_diag(shift(2, 0.9), 0.5 * torch.eye(30).double()), seed)
    found = fp.leading_eigenvalues(linear(A), torch.zeros(1, len(A), dtype=torch.float64))
    assert found.known.all() and found.radius.tolist() == pytest.approx([0.9], abs=1e-4)


def test_what_rounding_decides_is_not_called_known():
    """A Jordan block in other coordinates: rounding of 1e-16 moves its eigenvalues by 1e-16 ** (1 / n)."""
    for A in (turned(shift(20)), turned(shift(20, 0.9)), turned(shift(300))):
        for exact in (0, 512):
            spectrum = fp.leading_eigenvalues(linear(A), torch.zeros(1, len(A), dtype=torch.float64), exact=exact)
            assert not spectrum.known.any() and (spectrum.errors[:, 0] > 1e-3).all()
    assert fp.leading_eigenvalues(linear(turned(shift(3, 0.9))), column(0, 0, 0).T).known.all()
    single = linear(turned(shift(3, 0.9)).float())  # with seven digits they move by more
    assert not fp.leading_eigenvalues(single, column(0, 0, 0).T.float()).known.any()


@pytest.mark.parametrize("n", [60, 600])
def test_arnoldi_is_right_or_says_that_it_is_not(n):
    """Each matrix that the whole one solves, by Arnoldi alone: within 1e-3, or not known and warned about."""
    hard = [shift(n), shift(n, 0.9), torch.eye(n, dtype=torch.float64).roll(1, 0), turned(shift(n))]
    easy = [with_spectrum(v, n, 3) for v in ([0.9, -0.9, 0.5], [0.9, *pairs(3), -0.9], pairs(12), [0.99, 0.5])]
    z = torch.zeros(1, n, dtype=torch.float64)
    for A in hard:
        with pytest.warns(RuntimeWarning, match=r"spectral_radius: 1 of 1 not known to 0.001"):
            fp.spectral_radius(linear(A), z, exact=0, restarts=4)
    for A, expected in zip(easy, (0.9, 0.9, 0.9, 0.99), strict=True):
        spectrum = fp.leading_eigenvalues(linear(A), z, exact=0)
        assert spectrum.known.all() and spectrum.radius.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_pseudo_eigenvector_does_not_fool_arnoldi():
    """J of a long shift moves (1, a, a^2, ...) almost along its own line. Its left partner gives it away."""
    spectrum = fp.leading_eigenvalues(linear(shift(300)), torch.zeros(1, 300).double(), exact=0, restarts=40, size=60)
    assert spectrum.radius > 0.9 and not spectrum.known.any()
    loose = fp.leading_eigenvalues(linear(shift(300)), torch.zeros(1, 300).double(), exact=0, size=150, tol=0.05)
    assert loose.radius > 0.9 and loose.errors[0, 0] > 0.05 and not loose.known.any()
    block = turned(torch.block_diag(shift(10, 0.9), 0.3 * torch.eye(50, dtype=torch.float64)))
    defective = fp.leading_eigenvalues(linear(block), torch.zeros(1, 60).double(), exact=0)
    assert (defective.radius - 0.9).abs() > 1e-3 and not defective.known.any()


def test_a_spectrum_without_gaps_is_known_after_some_restarts():
    A = torch.randn(600, 600, generator=seeded(), dtype=torch.float64) / 600**0.5
    found = fp.leading_eigenvalues(linear(A), torch.zeros(1, 600, dtype=torch.float64))
    assert found.known.all() and found.radius.item() == pytest.approx(torch.linalg.eigvals(A).abs().max().item(), 1e-3)
    once = fp.leading_eigenvalues(linear(A), torch.zeros(1, 600, dtype=torch.float64), restarts=1)
    assert not once.known.any() and once.errors[0, 0] > 1e-3


def test_power_iteration_warns_about_three_eigenvalues_of_one_modulus():
    z = torch.zeros(1, 30, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="power_iteration: 1 of 1 not known"):
        fp.power_iteration(linear(with_spectrum([0.9, 0.9j], 30)), z)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fp.power_iteration(linear(with_spectrum([0.9j], 30)), z)


# ---------------------------------------------------------------- where derivatives are switched off


def jacobian_runs(f, z):
    v = torch.ones_like(z)
    return {
        "jacobian": lambda: fp.jacobian(f, z),
        "product": lambda: fp.jacobian_product(f, z)(v),
        "adjoint": lambda: fp.adjoint_product(f, z)(v),
        "radius": lambda: fp.spectral_radius(f, z),
        "arnoldi": lambda: fp.leading_eigenvalues(f, z, 1, size=2, restarts=99, exact=0).radius,
        "power": lambda: fp.power_iteration(f, z).abs(),
        "norm": lambda: fp.spectral_norm(f, z),
        "input": lambda: fp.input_product(lambda z, x: f(x) + 0 * z, z, z, v),
        "newton": lambda: fp.newton_krylov(f, z, 60).z,
        "sensitivity": lambda: fp.input_sensitivity(lambda s, x: s + (f(x) - s) / 2, f(z), z, v),
        "unrolled": lambda: fp.unrolled_gradient(lambda s: LEARNED * f(s), z, torch.sum, [LEARNED], 3)[0],
    }


@pytest.mark.parametrize("name", jacobian_runs(torch.cos, column(0.3)))
def test_derivatives_are_the_same_under_no_grad_and_inference_mode(name):
    f = lambda z: torch.cos(z @ torch.tensor([[0.5, 0.2, 0.1], [0.1, 0.6, 0.0], [0.3, 0.0, 0.4]]).to(z))
    z = torch.tensor([[0.4, 0.2, -0.1]], dtype=torch.float64)
    expected = jacobian_runs(f, z)[name]()
    assert expected.abs().max() > 0.1
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            got = [jacobian_runs(f, start)[name]() for start in (z, z.clone())]
        assert all(torch.allclose(part, expected) for part in got)


def test_a_map_without_a_derivative_is_refused_and_a_constant_is_not():
    z = torch.randn(2, 3, generator=seeded(), dtype=torch.float64)
    with torch.inference_mode():
        W = torch.eye(3, dtype=torch.float64)
    w = torch.eye(3, dtype=torch.float64, requires_grad=True)
    cut = {
        "gives no derivative": [
            torch.no_grad()(torch.cos),
            torch.inference_mode()(torch.cos),
            lambda z: z.detach() @ w,
        ],
        "inference_mode": [lambda z: z @ W],
    }
    for message, maps in cut.items():
        for f in maps:
            for name, run in jacobian_runs(f, z).items():
                if name not in ("newton", "unrolled", "sensitivity"):
                    with pytest.raises(ValueError, match=message):
                        run()
    for f in (torch.ones_like, torch.round, torch.sign, lambda z: 0 * z, lambda z: w[:2]):
        assert fp.jacobian(f, z).eq(0).all() and fp.spectral_radius(f, z).tolist() == [0, 0]


# ---------------------------------------------------------------- ends


def turn(angle: float) -> torch.Tensor:
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)


def logistic(r):
    return lambda z: r * z * (1 - z)


def henon(z):
    return torch.stack([1 - 1.4 * z[:, 0] ** 2 + z[:, 1], 0.3 * z[:, 0]], dim=1)


def constant_drift(W, c):
    """As a peri-normalized block: an update of length c in a direction that depends on the direction of z alone."""
    unit = lambda u: u / u.norm(dim=1, keepdim=True)
    return lambda z: z + c * unit(unit(z) @ W.mT + 0.3)


def drift_and_turn(c, R):
    return lambda z: torch.cat([z[:, :2] @ R.mT, z[:, 2:] + c], dim=1)


def labelled_maps(seed: int = 11):
    """200 maps (kind, period or None, name, f, start), fifty of each end, with random parameters."""
    g = seeded(seed)
    draw = lambda low, high: low + (high - low) * float(torch.rand((), generator=g, dtype=torch.float64))
    normal = lambda n: torch.randn(1, n, generator=g, dtype=torch.float64)
    spiral = lambda size, i, skew=0.0: with_spectrum(
        [size * complex(math.cos(angle := draw(0.1, 3)), math.sin(angle))], 8, seed=seed + i, skew=skew
    )
    net = lambda i: with_spectrum([draw(0.5, 0.95)], 8, seed=seed + 50 + i)
    scaled = lambda a, g: lambda z: g(a * z)
    maps = []

    def add(kind, name, f, start, period=None):
        maps.append((kind, 1 if kind == "fixed point" else period, name, f, start))

    # fixed points: fast and slow, spiralling, non-normal, with a slope of exactly 1
    for i in range(10):
        add("fixed point", "cos", scaled(draw(0.3, 1.2), torch.cos), column(draw(-3, 3)))
        add("fixed point", "logistic", logistic(draw(1.2, 2.97)), column(draw(0.1, 0.9)))
        add("fixed point", "spiral", linear(spiral(draw(0.5, 0.99), i, skew=1.0), draw(-1, 1)), normal(8))
        add("fixed point", "tanh net", lambda z, W=net(i): torch.tanh(z @ W.mT + 0.5), normal(8))  # noqa: B008
    for _ in range(5):
        add("fixed point", "distance 1 / sqrt t", lambda z: z - z**3, column(draw(-0.9, 0.9)))
        add("fixed point", "distance 1 / t", lambda z: z - z**2, column(draw(0.1, 0.9)))
    # cycles
    for i in range(10):
        p, q = ((1, 2), (1, 3), (2, 5), (3, 7), (5, 12))[i % 5]
        add("cycle", "turn by a fraction", linear(turn(2 * math.pi * p / q)), normal(2), q)
        add("cycle", "logistic, 2", logistic(draw(3.05, 3.43)), column(draw(0.1, 0.9)), 2)
        add("cycle", "logistic, 4", logistic(draw(3.46, 3.54)), column(draw(0.1, 0.9)), 4)
        add("cycle", "tanh, 2", scaled(-draw(1.1, 3), torch.tanh), column(draw(0.2, 2)), 2)
    for _ in range(4):
        add("cycle", "logistic, 3", logistic(draw(3.831, 3.840)), column(draw(0.2, 0.8)), 3)
        add("cycle", "logistic, 8", logistic(draw(3.546, 3.562)), column(draw(0.2, 0.8)), 8)
    add("cycle", "1 - z", lambda z: 1 - z, column(0.2), 2)
    add("cycle", "shift of five cells", lambda z: z.roll(1, 1), normal(5), 5)
    # wandering: chaos, and turns by angles that are no fraction of a circle
    chaotic = (3.68, 3.7, 3.72, 3.75, 3.8, 3.9, 3.95, 3.97, 3.99, 4.0)
    for i in range(10):
        add("wandering", "logistic, chaos", logistic(chaotic[i]), column(draw(0.2, 0.8)))
        add("wandering", "Hénon", henon, column(draw(-0.1, 0.1), draw(-0.1, 0.1)).T)
        add("wandering", "turn", linear(turn(2 * math.pi * (5**0.5 - 1) / 2 * (-1) ** i)), normal(2))
        add("wandering", "two turns", linear(torch.block_diag(turn(2**0.5 + i / 7), turn(3**0.5))), normal(4))
        add(
            "wandering",
            "stretch and wrap",
            lambda z, c=0.1 + 0.08 * i: (3.7 * z + c).remainder(1.0),
            column(draw(0.2, 0.8)),
        )
    # diverging: exponentially, at a constant step, and ever more slowly
    for i in range(7):
        add("diverging", "spiral", linear(spiral(draw(1.002, 1.5), 80 + i)), normal(8))
        add("diverging", "logistic above 4", logistic(draw(4.2, 6)), column(draw(0.3, 0.7)))
        add("diverging", "drift", lambda z, c=0.01 + i: z + c, column(draw(-3, 3)))
        add("diverging", "drift, direction alone", constant_drift(net(30 + i), draw(0.5, 2)), normal(8))
        add("diverging", "drift and turn", drift_and_turn(draw(0.1, 2), turn(draw(0.1, 3))), normal(3))
        add("diverging", "sqrt t", lambda z, c=0.1 + 0.3 * i: z + c / z, column(draw(0.5, 3)))
        add("diverging", "log t", lambda z: z + torch.exp(-z), column(draw(-1, 1)))
    add("diverging", "cube", lambda z: z**3, column(1.01))
    return maps


@pytest.mark.slow
def test_the_classifier_is_right_on_two_hundred_labelled_maps(capsys):
    maps = labelled_maps()
    assert len(maps) == 200 and all(sum(kind == m[0] for m in maps) == 50 for kind in fp.ENDS)
    table, wrong = {(a, b): 0 for a in fp.ENDS for b in fp.ENDS}, []
    for kind, period, name, f, start in maps:
        end = fp.classify_end(f, start)[0]
        table[kind, end.kind] += 1
        if (end.kind, end.period) != (kind, period):
            wrong.append(f"{name}: {end}, expected {kind} {period}")
    with capsys.disabled():
        print("\n" + " " * 14 + "".join(f"{kind:>14}" for kind in fp.ENDS) + "   (columns: what classify_end says)")
        for kind in fp.ENDS:
            print(f"{kind:<14}" + "".join(f"{table[kind, said]:>14}" for said in fp.ENDS))
    assert not wrong, wrong


def test_a_relative_residual_is_no_witness():
    """Linear drift: the relative step falls below 1e-3, and the end is not a fixed point."""
    drift, z = (lambda z: z + 1), column(0.0)
    assert fp.iterate(drift, z, 2000, tol=1e-3).settled.item()
    assert str(fp.classify_end(drift, z)[0]) == "diverging"


def test_ends_of_a_batch_and_bad_input():
    z = column(0.2, 0.5, 0.0)
    ends = fp.classify_end(lambda z: 3.2 * z * (1 - z), z)
    assert [str(end) for end in ends] == ["cycle of period 2", "cycle of period 2", "fixed point"]
    around, start = (lambda z: z.roll(1, 1)), torch.randn(1, 16, generator=seeded())
    assert [str(fp.classify_end(around, start, longest_period=p)[0]) for p in (16, 15)] == [
        "cycle of period 16",
        "wandering",
    ]
    swells = lambda z: -(z + 0.3 * (1 - z.abs()).clamp_min(0) ** 3 * z.sign())  # towards 1 and -1, as 1 / sqrt t
    assert str(fp.classify_end(swells, column(0.3), 1000)[0]) == "cycle of period 2"
    with pytest.raises(ValueError, match="loops must be a whole number from 30 to"):
        fp.classify_end(torch.cos, z, 0)
    with pytest.raises(ValueError, match="longest_period"):
        fp.classify_end(torch.cos, z, 60, longest_period=30)


def test_basins_of_a_double_well():
    """z + 0.1 (z - z^3) on one axis, contraction on the other: left to -1, right to +1, the line between to 0."""
    f = lambda z: torch.stack([z[:, 0] + 0.1 * (z[:, 0] - z[:, 0] ** 3), 0.5 * z[:, 1] + 0.5], dim=1)
    axes = torch.eye(2, dtype=torch.float64)
    found = fp.basins(
        f, torch.zeros(2, dtype=torch.float64), axes[0], axes[1], 1.5, resolution=21, loops=600, chunk=100
    )
    a = found.points[..., 0]
    assert found.ends.shape == (3, 2) and found.ends[2, 0].abs() < 1e-3  # the line comes last
    assert (found.labels.flatten().bincount().diff() <= 0).all()
    for sign in (-1, 0, 1):
        labels = found.labels[(a.sign() == sign) & (a.abs() > 1e-9) if sign else a.abs() < 1e-9]
        assert labels.unique().numel() == 1
        assert found.ends[labels[0]][0].item() == pytest.approx(sign, abs=1e-3)
    assert (fp.basins(lambda z: -z, axes[0], axes[0], axes[1], 1.0, 4, 20).labels == -1).sum() >= 15
    with pytest.raises(ValueError, match="resolution"):
        fp.basins(f, axes[0], axes[0], axes[1], 1.0, 1)
    with pytest.raises(ValueError, match="one shape"):
        fp.basins(f, axes[0], axes[0], axes[1, :1], 1.0)


# ---------------------------------------------------------------- starts and inputs


def test_path_independence_scores():
    starts = torch.randn(6, 3, 4, generator=seeded(8)).double()
    one_end = fp.path_independence(lambda z: 0.5 * z + 1, starts, 100)
    assert one_end.score.tolist() == [1, 1, 1] and one_end.distance.max() < 1e-9 and one_end.settled.all()
    all_stay = fp.path_independence(lambda z: z.clone(), starts, 100)
    assert all_stay.score.tolist() == [0, 0, 0] and all_stay.settled.all()
    signs = fp.path_independence(lambda z: z / z.norm(dim=1, keepdim=True), starts[:, :, :1], 100)
    same = (starts[:, None, :, 0].sign() == starts[None, :, :, 0].sign()).float()
    expected = (same.sum((0, 1)) - 6) / 30  # pairs of starts with one sign
    assert torch.allclose(signs.score, expected)
    for bad in (starts[:1], starts[0, 0]):
        with pytest.raises(ValueError, match="starts must be"):
            fp.path_independence(torch.cos, bad, 10)
    with pytest.raises(ValueError, match="tol must be positive"):
        fp.path_independence(torch.cos, starts, 10, tol=0)
    assert not fp.path_independence(torch.cos, starts, 0).settled.any()


def test_input_sensitivity_of_a_linear_map_is_the_closed_form():
    A, B = with_spectrum([0.9, 0.3 + 0.6j], 10, seed=9), torch.randn(10, 4, generator=seeded(10)).double()
    f = lambda z, x: z @ A.mT + x @ B.mT
    x, dx = torch.randn(2, 2, 4, generator=seeded(11)).double()
    inverse = torch.linalg.inv(torch.eye(10, dtype=torch.float64) - A)
    star = x @ B.mT @ inverse.mT
    expected = dx @ B.mT @ inverse.mT
    assert torch.allclose(fp.input_sensitivity(f, star, x, dx, tol=1e-8), expected, rtol=1e-6)
    assert torch.allclose(fp.input_sensitivity_by_difference(f, star, x, dx, 600), expected, rtol=1e-6)
    assert torch.equal(
        fp.input_sensitivity(lambda z, x: z @ A.mT + 0 * x.sum(), 0 * star, x, dx), 0 * star
    )  # no recall
    with pytest.raises(ValueError, match="no fixed point"):
        fp.input_sensitivity(f, star + 1, x, dx)
    with pytest.raises(ValueError, match="dx has shape"):
        fp.input_sensitivity(f, star, x, dx[:, :2])
    with pytest.raises(ValueError, match="is 1 an eigenvalue"):
        fp.input_sensitivity(lambda z, x: z + 0 * z + (x - x.detach()), star[:, :4], x, dx)


def test_both_sensitivities_agree_on_a_transformer():
    model, _, h, x = small_loop(12, norm="post")
    with torch.no_grad():
        for p in model.blocks.parameters():
            p.mul_(0.6)  # calm enough to settle
    f = model.loop(x)  # a loop holds Wh h: make it after the weights have changed
    g, dh = lambda z, h: model.step(z, h), fp.random_like(h, seeded(1))
    end = fp.iterate(f, h, 2000, tol=1e-13)
    assert end.settled.all()
    implicit = fp.input_sensitivity(g, end.z, h, dh, tol=1e-9)
    assert torch.allclose(implicit, fp.input_sensitivity_by_difference(g, end.z, h, dh, 600, step=1e-4), atol=1e-5)


# ---------------------------------------------------------------- gradients


def test_gradients_of_a_scalar_loop_are_the_closed_form():
    """z = a z + b, loss z: z* = b / (1 - a); dz*/da = b / (1 - a)^2, dz*/db = 1 / (1 - a)."""
    a, b = torch.tensor([0.8, 3.0], dtype=torch.float64).requires_grad_().unbind()
    f, star = (lambda z: a * z + b), column(15.0)
    exact = [3 / 0.2**2, 1 / 0.2]
    for method in ("neumann", "gmres"):
        found = fp.implicit_gradient(f, star, torch.sum, (a, b), method=method, tol=1e-9)
        assert [float(part) for part in found] == pytest.approx(exact, rel=1e-6)
    for k in (1, 5, 30):  # k loops give the first k terms of the geometric series
        found = fp.unrolled_gradient(f, star, torch.sum, (a, b), 40, last=k)
        assert [float(part) for part in found] == pytest.approx([e * (1 - 0.8**k) for e in exact], rel=1e-6)
    found = fp.unrolled_gradient(f, column(0.0), torch.sum, (a, b), 5, last=2)  # z3 = 7.32 and z4 = 8.856
    assert [float(part) for part in found] == pytest.approx([8.856 + 0.8 * 7.32, 1.8])


@pytest.mark.parametrize("recall", ["internal", "external"])
def test_the_implicit_gradient_equals_long_backpropagation(recall, capsys):
    model, _, _, x = small_loop(12, recall=recall)
    with torch.no_grad():
        for p in model.blocks.parameters():
            p.mul_(0.6)
    f = model.loop(x)
    h = f.h  # with the graph through the embedding
    end = fp.iterate(f, h.detach(), 3000, tol=1e-13)
    assert end.settled.all()
    loss = lambda z: model.read_out(z)[..., 0].square().sum()
    inner = [p for name, p in model.named_parameters() if not name.startswith("head")]
    long = fp.unrolled_gradient(f, h.detach(), loss, inner, 400)
    errors = {}
    for method in ("neumann", "gmres"):
        implicit = fp.implicit_gradient(f, end.z, loss, inner, method=method, terms=600, tol=1e-8)
        errors[method], cosine = fp.gradient_error(implicit, long)
        assert cosine > 0.999999
    truncated = [fp.gradient_error(fp.unrolled_gradient(f, end.z, loss, inner, k, k), long)[0] for k in (1, 4, 16, 64)]
    with capsys.disabled():
        print(
            f"\nimplicit gradient against 400 loops of backpropagation ({recall}): {errors}; "
            f"truncated 1, 4, 16, 64: {truncated}"
        )
    assert max(errors.values()) < 1e-3
    assert truncated == sorted(truncated, reverse=True) and truncated[-1] < 0.05 < truncated[0]


def test_bad_input_of_the_gradients():
    a = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="spectral radius below 1"):
        fp.implicit_gradient(lambda z: a * z, column(0.0) + 1, torch.sum, [a])
    assert fp.implicit_gradient(lambda z: a * z - 1, column(2.0), torch.sum, [a], method="gmres")[
        0
    ].item() == pytest.approx(-4)
    with pytest.raises(ValueError, match="unknown method"):
        fp.implicit_gradient(lambda z: a * z, column(0.0), torch.sum, [a], method="magic")
    with pytest.raises(ValueError, match="1 <= last <= loops"):
        fp.unrolled_gradient(lambda z: a * z, column(0.0), torch.sum, [a], 3, last=4)
    with pytest.raises(ValueError, match="tol must be positive"):
        fp.implicit_gradient(lambda z: a * z, column(0.0), torch.sum, [a], tol=0)
    unused = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert fp.unrolled_gradient(lambda z: a * z, column(1.0), torch.sum, [a, unused], 2)[1].tolist() == [0, 0, 0]


# ---------------------------------------------------------------- the same three edges for every function that has them


def test_a_start_that_is_a_fixed_point_already():
    f, star = (lambda z: 0.5 * z + 1), column(2.0, 2.0)
    two = lambda z, x: 0.5 * z + x
    a = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    one = torch.ones(2, 1, dtype=torch.float64)
    assert fp.residual(f, star).tolist() == fp.residual(f, star, relative=True).tolist() == [0, 0]
    assert fp.residual(lambda z: 0 * z, 0 * star, relative=True).tolist() == [0, 0]  # a state of length 0 is no 0 / 0
    assert [str(end) for end in fp.classify_end(f, star)] == ["fixed point"] * 2
    assert [str(end) for end in fp.classify_end(lambda z: z.clone(), 0 * star)] == ["fixed point"] * 2
    ends = fp.path_independence(f, torch.stack([star, star]), 3)
    assert ends.score.tolist() == [1, 1] and ends.settled.all() and ends.distance.max() == 0
    still = fp.basins(lambda z: z.clone(), star[0], one[0], one[0], 0.1, 3, 10)
    assert (still.loops == 1).all() and (still.labels >= 0).all()
    assert torch.allclose(fp.input_sensitivity(two, star, one, one), 2 * one)
    assert torch.allclose(fp.input_sensitivity_by_difference(two, star, one, one, 60), 2 * one)
    scaled = lambda z: a * z + 1
    for method in ("neumann", "gmres"):
        assert float(fp.implicit_gradient(scaled, star, torch.sum, [a], method)[0]) == pytest.approx(8, rel=1e-5)
    assert fp.spectral_radius(f, star).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("tol", [0.0, -1e-3, float("nan")])
def test_a_tolerance_that_nothing_can_meet_is_refused(tol):
    z = column(0.3, 0.4)
    runs = [
        *(lambda solver=solver: solver(torch.cos, z, 10, tol=tol) for solver in SOLVERS),
        lambda: fp.path_independence(torch.cos, torch.stack([z, z]), 10, tol),
        lambda: fp.agreement(torch.stack([z, z]), tol),
        lambda: fp.basins(torch.cos, z[0], z[0], z[1], tol=tol),
        lambda: fp.implicit_gradient(torch.cos, z, torch.sum, [z], tol=tol),
        lambda: fp.input_sensitivity(lambda z, x: z + x, z, z, z, tol),
        lambda: fp.input_sensitivity_by_difference(lambda z, x: z + x, z, z, z, 10, step=tol),
    ]
    for run in runs:
        with pytest.raises(ValueError, match=r"(tol|step) must be positive"):
            run()
    if tol == 0:  # here, and only here, it has a meaning: run all loops
        assert fp.iterate(torch.cos, z, 7, tol=0).loops.tolist() == [7, 7]
    else:
        with pytest.raises(ValueError, match="tol must not be negative"):
            fp.iterate(torch.cos, z, 7, tol=tol)


def test_zero_loops_do_nothing_or_say_why_not():
    z = column(0.3, 0.4)
    nothing = fp.iterate(torch.cos, z, 0)
    assert torch.equal(nothing.z, z) and not nothing.settled.any() and nothing.loops.tolist() == [0, 0]
    apart = fp.path_independence(torch.cos, torch.stack([z, z + 1]), 0)
    assert torch.equal(apart.ends[1], z + 1) and apart.score.tolist() == [0, 0] and not apart.settled.any()
    assert (fp.basins(torch.cos, z[0], z[0], z[1], 1.0, 3, 0).labels == -1).all()
    assert torch.equal(fp.input_sensitivity_by_difference(lambda z, x: z + x, z, z, z, 0), 0 * z)
    for run in (
        lambda: fp.classify_end(torch.cos, z, 0),
        lambda: fp.unrolled_gradient(torch.cos, z, torch.sum, [z], 0),
        lambda: fp.power_iteration(torch.cos, z, 0),
        lambda: fp.spectral_norm(torch.cos, z, 0),
        *(lambda solver=solver: solver(torch.cos, z, 0) for solver in SOLVERS),
    ):
        with pytest.raises(ValueError, match=r"\b0$"):
            run()


# ---------------------------------------------------------------- overflow is no fixed point, for any function

ESCAPES = {"square": lambda z: z**2, "cube": lambda z: z - z**3, "exponential": torch.exp, "double": lambda z: 2 * z}


@pytest.mark.slow
@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_state_that_overflows_never_counts_as_settled(name, dtype):
    f, z = ESCAPES[name], torch.tensor([[9.0], [7.5]], dtype=dtype)
    for tol in (0.0, 1e-3, 0.3):
        run = fp.iterate(f, z, 1100, tol, keep=True)
        assert run.diverged.all() and not run.settled.any() and (run.loops < 1100).all()
        assert run.norms[-1].isinf().all() and run.steps[-1].isinf().all()
        assert torch.equal(run.states[-1], run.z) and torch.equal(run.states[int(run.loops.max())], run.z)
        assert (len(run.steps) == 1100) == (tol == 0)
        again = fp.iterate(f, run.z, 5, tol)  # what overflowed stays where it is
        assert torch.equal(again.z, run.z) and again.diverged.all() and again.loops.tolist() == [0, 0]
    assert [end.kind for end in fp.classify_end(f, z, 1100)] == ["diverging"] * 2
    for solver in (fp.picard, fp.anderson, *([fp.newton_krylov] if name == "cube" and dtype != torch.float16 else [])):
        if dtype != torch.float16 or solver is fp.picard:
            wide = fp.picard(f, z, 1100) if solver is fp.picard else solver(f, z * 100, 8)
            assert not (wide.residual.isinf() & wide.settled).any() and not wide.residual.isnan().any()
    assert not fp.picard(f, z, 1100).settled.any()
    many = fp.path_independence(f, torch.stack([z, z, z]), 1100)
    assert many.score.tolist() == [0, 0] and not many.settled.any() and many.distance.isinf().all()
    grid = fp.basins(f, z[0], z[0] / 9, z[0] / 9, 0.5, 4, 1100)
    assert (grid.labels == -1).all() and grid.diverged.all() and (grid.loops < 1100).all() and len(grid.ends) == 0


def test_one_that_overflows_leaves_the_others_alone():
    f, z = ESCAPES["square"], column(3.0, 0.5, 1.0)
    run = fp.iterate(f, z, 60, 1e-6)
    assert run.diverged.tolist() == [True, False, False] and run.settled.tolist() == [False, True, True]
    assert run.loops[0] < 12 and run.loops[2] == 1
    for solver in SOLVERS:
        alone, together = solver(f, z[1:], 40), solver(f, z, 40)
        assert solver is not fp.picard or not together.settled[0]  # the others can come back to the fixed point 1
        assert torch.equal(together.settled[1:], alone.settled)
        assert torch.allclose(together.z[1:], alone.z)
    assert fp.residual(f, column(1e200, 1.0), relative=True).tolist() == [math.inf, 0]
    score, distance = fp.agreement(torch.tensor([[[1.0], [math.inf]], [[1.0], [1.0]], [[1.0], [1.0]]]), 1e-3)
    assert score.tolist() == pytest.approx([1, 1 / 3]) and distance.tolist() == [0, math.inf]
    score, distance = fp.agreement(torch.tensor([[[1.0]], [[1.0015]], [[math.nan]]]), 1.6e-3)  # NaN came of an overflow
    assert score.tolist() == pytest.approx([1 / 3]) and distance.tolist() == [math.inf]
    jump = lambda z: torch.where(z < 0, -6 - z, torch.where(z < 2, 1.0009 * z, z**2))
    late = fp.iterate(jump, column(1.999, -1.0), 100, 1e-3)  # the first seems to settle, and escapes afterwards
    assert late.diverged.tolist() == [True, False] and not late.settled.any()
    leap = lambda z: torch.where(z > 100, z.exp(), z.cos())
    for solver in SOLVERS:
        found = solver(leap, column(1000.0, 0.5), 60)
        assert found.settled.tolist() == [False, True] and found.z[0] == 1000 and found.residual[0].isinf()


def test_long_states_are_no_overflow():
    z = torch.full((1, 16), 3e4, dtype=torch.float16)  # longer than the largest number of its type
    assert not fp.iterate(lambda z: 1 * z, z, 3).diverged.any() and fp.lengths(z).item() == pytest.approx(
        1.2e5, rel=1e-3
    )
    found = fp.anderson(lambda z: z / 1e50 + 1, column(1e200), 40)  # the squares of its steps overflow
    assert found.settled.all() and found.z.item() == 1


def test_newtons_method_falls_back_where_it_would_go_in_circles():
    flat_far_out = lambda z: 4 * torch.tanh(z) + 3  # from 13 of these starts Newton's steps alone never settle
    assert fp.newton_krylov(flat_far_out, torch.linspace(-4, 4, 41).double()[:, None], 300, tol=1e-10).settled.all()
    assert fp.newton_krylov(lambda z: 0.5 * z + 1, column(0.0), 50).spent.tolist() == [1, 6]  # 2 products, each for 2
    A = 0.5 * torch.eye(3, dtype=torch.float64)
    assert fp.newton_krylov(linear(A, 1.0), column(0, 0, 0).T, 50, krylov=2).spent.tolist() == [1, 8]


def test_basins_of_the_square_are_inside_the_circle_and_the_rest_escapes():
    def square(z):
        return torch.view_as_real(torch.view_as_complex(z.contiguous()) ** 2)

    axes = torch.eye(2, dtype=torch.float64)
    found = fp.basins(square, 0 * axes[0], axes[0], axes[1], 1.7, 18, 100)
    inside = found.points.norm(dim=-1) < 1
    assert torch.equal(found.diverged, ~inside) and torch.equal(found.labels == -1, ~inside)
    assert (found.labels[inside] == found.labels[inside][0]).all() and found.loops.max() < 100
    both = found.points.norm(dim=-1)
    assert (
        found.loops[both.argmax() // 18, both.argmax() % 18] == found.loops[~inside].min()
    )  # the farthest escapes first


# ---------------------------------------------------------------- every kind of bad input, for every function

Z = torch.tensor([[0.3, 0.4], [0.5, 0.6]], dtype=torch.float64)
PLUS = lambda z, x: 0.5 * z + x
LEARNED = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
TAKES = {  # name -> run(map, state, **settings), and its settings: whole numbers with their least, and positive numbers
    "residual": (lambda f, z: fp.residual(f, z), {}, ()),
    "iterate": (lambda f, z, loops=3, **k: fp.iterate(f, z, loops, **k), {"loops": 0}, ()),
    "classify_end": (lambda f, z, **k: fp.classify_end(f, z, **k), {"loops": 30, "longest_period": 1}, ()),
    "picard": (lambda f, z, evaluations=3, **k: fp.picard(f, z, evaluations, **k), {"evaluations": 1}, ("tol",)),
    "anderson": (
        lambda f, z, evaluations=3, **k: fp.anderson(f, z, evaluations, **k),
        {"evaluations": 1, "memory": 1},
        ("tol",),
    ),
    "newton_krylov": (
        lambda f, z, evaluations=3, **k: fp.newton_krylov(f, z, evaluations, **k),
        {"evaluations": 1, "krylov": 1},
        ("tol",),
    ),
    "jacobian": (lambda f, z: fp.jacobian(f, z), {}, ()),
    "jacobian_product": (lambda f, z: fp.jacobian_product(f, z)(z), {}, ()),
    "adjoint_product": (lambda f, z: fp.adjoint_product(f, z)(z), {}, ()),
    "leading_eigenvalues": (
        lambda f, z, **k: fp.leading_eigenvalues(f, z, **k),
        {"count": 1, "size": 1, "restarts": 1, "exact": 0},
        ("tol",),
    ),
    "spectral_radius": (lambda f, z, **k: fp.spectral_radius(f, z, **k), {"size": 1, "restarts": 1}, ("tol",)),
    "power_iteration": (lambda f, z, **k: fp.power_iteration(f, z, **k), {"steps": 1}, ()),
    "spectral_norm": (lambda f, z, **k: fp.spectral_norm(f, z, **k), {"steps": 1}, ()),
    "path_independence": (
        lambda f, z, loops=3, **k: fp.path_independence(
            f, z if not isinstance(z, torch.Tensor) else z[None].repeat(2, *[1] * z.dim()), loops, **k
        ),
        {"loops": 0},
        ("tol",),
    ),
    "basins": (
        lambda f, z, **k: fp.basins(
            f, z if not isinstance(z, torch.Tensor) or z.dim() < 2 else z[0], Z[0], Z[1], **{"resolution": 3, **k}
        ),
        {"loops": 0, "resolution": 2, "chunk": 1},
        ("tol", "extent"),
    ),
    "unrolled_gradient": (
        lambda f, z, loops=3, **k: fp.unrolled_gradient(lambda s: LEARNED * f(s), z, torch.sum, [LEARNED], loops, **k),
        {"loops": 1, "last": 1},
        (),
    ),
    "implicit_gradient": (
        lambda f, z, **k: fp.implicit_gradient(lambda s: LEARNED * f(s), z, torch.sum, [LEARNED], **k),
        {"terms": 1},
        ("tol",),
    ),
    "input_product": (lambda f, z: fp.input_product(PLUS, z, z, z), {}, ()),
    "input_sensitivity": (
        lambda f, z, **k: fp.input_sensitivity(lambda z, x: x + 0 * z, z, z, z, **k),
        {"size": 1},
        ("tol",),
    ),
    "by_difference": (
        lambda f, z, loops=3, **k: fp.input_sensitivity_by_difference(PLUS, z, z, z, loops, **k),
        {"loops": 0},
        ("step",),
    ),
    "gmres": (lambda f, z, **k: fp.gmres(lambda v: 2 * v, z, **k), {"size": 1, "restarts": 1}, ("tol",)),
    "random_like": (lambda f, z: fp.random_like(z), {}, ()),
}
DERIVES = ("jacobian", "jacobian_product", "leading_eigenvalues", "spectral_radius", "power_iteration", "spectral_norm")
DERIVES += ("unrolled_gradient", "implicit_gradient", "input_product", "basins", "adjoint_product")


@pytest.mark.parametrize("name", TAKES)
def test_settings_of_every_kind(name):
    run, counts, numbers = TAKES[name]
    run(torch.cos, Z)
    for setting, least in counts.items():
        for bad in (
            float("nan"),
            40.5,
            True,
            "40",
            None,
            [40],
            np.float64(40.5),
            torch.tensor(40.5),
            torch.tensor(True),
        ):
            if (setting, bad) != ("last", None):
                with pytest.raises(ValueError, match=f"{setting} must be a whole number from "):
                    run(torch.cos, Z, **{setting: bad})
        for bad in (least - 1, -(10**30)):
            with pytest.raises(ValueError, match=f"{setting} must be a whole number from {least} to .*, got {bad}$"):
                run(torch.cos, Z, **{setting: bad})
    if counts.get("loops", 99) <= 1:
        run(torch.cos, Z, loops=np.int64(3)), run(torch.cos, Z, loops=torch.tensor(3)), run(torch.cos, Z, loops=3.0)
    for setting in numbers:
        for bad in (float("nan"), 0, -1.0, True, "1e-3", None, [1e-3], torch.ones(2)):
            with pytest.raises(ValueError, match=f"{setting} must be positive, got "):
                run(torch.cos, Z, **{setting: bad})
        with pytest.raises(ValueError, match=f"{setting} must be finite, got inf"):
            run(torch.cos, Z, **{setting: float("inf")})
        assert run(torch.cos, Z, **{setting: np.float32(0.5)}) is not None


@pytest.mark.parametrize("name", TAKES)
def test_states_of_every_kind(name):
    run, nan, inf = TAKES[name][0], Z.clone(), Z.clone()
    nan[0, 1], inf[0, 1] = float("nan"), float("inf")
    bad = {
        "must be a tensor|starts must be|ends must be": [Z.numpy(), [[0.3]], 0.3, None, "z"],
        "floating-point numbers": [torch.ones(2, 2, dtype=torch.long), torch.ones(2, 2, dtype=torch.bool)],
        "holds NaN, at index": [nan],
    }
    if name not in ("gmres",):
        bad["without numbers"] = [Z[:, :0]] if name != "basins" else []
    if name in DERIVES:
        bad["must be finite"] = [inf]
    for message, states in bad.items():
        for z in states:
            with pytest.raises(ValueError, match=message):
                run(torch.cos, z)
    if name not in ("residual", "iterate", "classify_end", "path_independence", "basins", "by_difference"):
        with pytest.raises(ValueError, match="real floating-point"):
            run(torch.cos, Z * 1j)
    elif name != "by_difference":
        run(torch.cos, Z * 1j)
    if name not in ("basins", "path_independence", "implicit_gradient"):
        run(torch.cos, Z[:0])  # nobody there: nothing to do


@pytest.mark.parametrize("name", [n for n in TAKES if n[:5] not in ("input", "by_di", "gmres", "rando")])
def test_maps_of_every_kind(name):
    run = TAKES[name][0]

    def in_place(z):
        z.mul_(0.5)
        return z

    if "gradient" not in name:
        with pytest.raises(ValueError, match="a map must be a function of the state, got str"):
            run("cos", Z)
        with pytest.raises(ValueError, match="a map must be a function"):
            run(Z, Z)
    if name in ("residual", "iterate", "classify_end", "picard", "anderson", "path_independence", "basins"):
        with pytest.raises(ValueError, match="in place"):
            run(in_place, Z.clone())
    if name in DERIVES and name not in ("basins", "unrolled_gradient", "implicit_gradient"):
        for f in (lambda z: z / 0, lambda z: (z - z).sqrt() + z, lambda z: z + math.inf):
            with pytest.raises(ValueError, match="NaN or inf"):
                run(f, Z)


def test_what_exceeds_memory_is_refused_with_its_size():
    z = torch.zeros(10, 10**5)
    runs = [
        lambda: fp.jacobian(torch.cos, z),
        lambda: fp.leading_eigenvalues(torch.cos, z, size=10**5),
        lambda: fp.leading_eigenvalues(torch.cos, z, exact=10**7),
        lambda: fp.leading_eigenvalues(torch.cos, z, size=10**5 - 1),
        lambda: fp.iterate(torch.cos, z, 10**9),
        lambda: fp.iterate(torch.cos, z, 10**6, keep=True),
        lambda: fp.classify_end(torch.cos, z, 10**9),
        lambda: fp.basins(torch.cos, z[0], z[0], z[0], resolution=10**7),
    ]
    for run in runs:
        with pytest.raises(ValueError, match=r"would take [0-9,.]+ GiB, and there are [0-9,.]+ GiB of memory"):
            run()
    assert fp.iterate(lambda z: 0 * z, z[:1, :2], 10**9, tol=1e-3).loops.item() == 1  # a bound is no plan


def test_parameters_and_losses_of_every_kind():
    f, z, a = (lambda z: LEARNED * z + 1), column(2.0), LEARNED
    for run in (
        lambda loss, p: fp.unrolled_gradient(f, z, loss, p, 3),
        lambda loss, p: fp.implicit_gradient(f, z, loss, p),
    ):
        for parameters in (a, [], [torch.zeros(2)], [0.5]):
            with pytest.raises(ValueError, match="parameters must be a list"):
                run(torch.sum, parameters)
        for loss in (
            lambda z: z.sum().item(),
            lambda z: z.expand(2, 1),
            lambda z: torch.tensor(1.0),
            lambda z: z.sum() / 0,
        ):
            with pytest.raises(ValueError, match="the loss must be one finite number"):
                run(loss, [a])
        assert len(run(torch.sum, iter([a]))) == 1


def test_gauss_newton_finds_a_fixed_point_that_repels_and_says_where_there_is_none():
    A = torch.tensor([[3.0, 1.0], [0.0, -2.0]], dtype=torch.float64)  # repels in both directions
    end, gap = fp.gauss_newton(lambda z: z @ A.T + 1 - z, torch.ones(2, dtype=torch.float64))
    assert gap < 1e-10 and torch.allclose(end, torch.linalg.solve(torch.eye(2) - A, torch.ones(2).double()))
    _, gap = fp.gauss_newton(lambda z: torch.cat([z, z + 1]), torch.zeros(1, dtype=torch.float64))
    assert abs(gap - 0.5**0.5) < 1e-6, "no z with z = 0 and z = -1: the nearest is halfway"
