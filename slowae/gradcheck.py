"""Is a hand-written gradient right? Central differences against it, in random directions, in float64.

For f: R^n -> R^m with backward B, and random dout and d: <dout, (f(x + e d) - f(x - e d)) / 2e> = <B(dout), d>.
A random upstream gradient sees a transposed dout, which all-ones cannot.
"""

import numpy as np

from slowae.backend import to_device, to_host
from slowae.checks import require


def check_gradients(forward, backward, arrays, rng, *, step=1e-5, rtol=1e-6):
    """AssertionError that names the argument whose gradient is wrong, or hidden by rounding.

    forward(**arrays) -> (out, cache), out an array or a number; backward(dout, cache) -> the gradients, in the order of
    `arrays`: {name: float64 host array}, moved to the chosen backend, off the kinks of |.|, max and the root.
    """
    for name, value in arrays.items():
        require(value.dtype == np.float64, f"gradient checks need float64, and {name} is {value.dtype}")
    out, cache = forward(**to_device(arrays))
    dout = rng.standard_normal(np.shape(out))
    grads = backward(to_device(dout), cache)
    grads = to_host(dict(zip(arrays, grads if isinstance(grads, tuple) else (grads,), strict=True)))
    for name, value in arrays.items():
        if grads[name].shape != value.shape:
            raise AssertionError(f"d{name} has shape {grads[name].shape}, but {name} has {value.shape}")
        for _ in range(3):
            direction = rng.standard_normal(value.shape)
            direction /= np.linalg.norm(direction)
            moved = value + step * direction, value - step * direction
            ahead, behind = (to_host(forward(**to_device({**arrays, name: there}))[0]) for there in moved)
            expected, given = np.sum(dout * (ahead - behind)) / (2 * step), np.sum(grads[name] * direction)
            tolerance = rtol * max(np.linalg.norm(grads[name]), abs(expected))
            # The outputs are good to a few roundings, and so is their difference, which is divided by twice the step.
            noise = np.finfo(float).eps * np.linalg.norm(dout * (np.abs(ahead) + np.abs(behind))) / step
            if not abs(expected - given) <= tolerance + noise:
                raise AssertionError(
                    f"d{name} is wrong: along a random direction, finite differences give {expected:.10g}, "
                    f"the backward gives {given:.10g}"
                )
            if noise > tolerance:
                raise AssertionError(
                    f"d{name} cannot be checked: rounding of the outputs moves finite differences by {noise:.3g}, "
                    f"more than the {tolerance:.3g} allowed; take away what is large and constant in them"
                )
