"""Measure how a map behaves when it is repeated. Every function takes a map ``f`` and a point ``z``.

``f`` maps a batch of states ``(batch, ...)`` to states of the same shape. It may be a cosine, a 2 x 2 matrix or a
trained loop (`LoopedTransformer.loop` gives its ``f``). Nothing here knows about transformers.

Where you ask how the end depends on the input, ``f`` takes two arguments, ``(z, x)`` (`LoopedTransformer.step` is one).
"""

from ._checks import Map, lengths
from ._ends import ENDS, Basins, End, basins, classify_end
from ._gradients import gradient_error, implicit_gradient, unrolled_gradient
from ._inputs import (
    PathIndependence,
    agreement,
    input_product,
    input_sensitivity,
    input_sensitivity_by_difference,
    path_independence,
)
from ._iterate import Trajectory, iterate, residual
from ._jacobian import (
    Spectrum,
    adjoint_product,
    arnoldi,
    gmres,
    jacobian,
    jacobian_product,
    leading_eigenvalues,
    power_iteration,
    random_like,
    spectral_norm,
    spectral_radius,
)
from ._solvers import Solved, anderson, gauss_newton, newton_krylov, picard
