"""Maximum of a smooth function of a few numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

_MOST_STEPS = 200


def maximise(
    objective: Callable[[Tensor], Tensor],
    start: np.ndarray,
    bounds: list[tuple[float, float]],
    *,
    tolerance: float = 1e-5,
) -> tuple[np.ndarray, float]:
    """Maximise by L-BFGS within bounds (Byrd et al. 1995), with gradients of torch.

    Args:
        objective: float64 ``(P,)`` to a scalar.
        start: where to begin, ``(P,)``.
        bounds: lowest and highest value of each.
        tolerance: rise of the objective with which a step is the last.

    Returns:
        The place ``(P,)`` and the value there.
    """

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(np.ascontiguousarray(point)).requires_grad_()
        value = -objective(x)
        (slope,) = torch.autograd.grad(value, x)
        if not torch.isfinite(value) or not torch.isfinite(slope).all():
            return 1e12, np.zeros_like(point)
        return float(value.detach()), slope.numpy()

    first = np.clip(start, *np.array(bounds, dtype=np.float64).T)
    size = max(1.0, abs(negative(first)[0]))
    found = minimize(
        negative,
        first,
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": _MOST_STEPS, "ftol": tolerance / size, "gtol": 1e-4},
    )
    return found.x, -float(found.fun)
