"""The maps that hidden cases name: the worker has this file and nothing else of the assignments, so it holds no
answer to any of them."""

import torch

THINGS = {
    "affine": lambda factor, shift: lambda z: factor * z + shift,
    "cosine": lambda gain: lambda z: gain * torch.cos(z),
    "logistic": lambda r: lambda z: r * z * (1 - z),
    "linear": lambda A: lambda z: z @ A.T,
    "affine matrix": lambda A, b: lambda z: z @ A.T + b,
    "tanh": lambda A, b: lambda z: torch.tanh(z @ A.T + b),
    "driven": lambda A: lambda z, x: torch.tanh(z @ A.T + x),
    "mixed": lambda A: lambda z, x: z @ A.T + x,
    "product": lambda A: lambda v: A @ v,
}
