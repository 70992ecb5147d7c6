"""What a lesson says about an exercise: right, or which name is wrong, what was expected and what was found.

First finite differences, then the package's own function on the same arguments; `solution` shows that function.
"""

import inspect
from copy import deepcopy
from functools import partial

import numpy as np

from slowae.backend import to_device
from slowae.gradcheck import check_gradients


class NotRight(AssertionError):
    """A check that failed. A notebook shows its one sentence, without a traceback."""

    def _render_traceback_(self):
        return [f"not right yet: {self}"]


def solution(function):
    """The package's source of a function, for a notebook to show."""
    from IPython.display import Code

    return Code(inspect.getsource(function), language="python")


def _equal(name, expected, found, rtol):
    """NotRight unless `found` is `expected`, up to rounding: an array, a number, or a tuple or dict of them."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            names = f"the names {', '.join(found)}" if isinstance(found, dict) else _kind(found)
            raise NotRight(f"{name}: expected a dict of {', '.join(expected)}, found {names}")
        for key in expected:
            _equal(f"{name}[{key!r}]", expected[key], found[key], rtol)
        return
    if isinstance(expected, tuple):
        if not isinstance(found, tuple) or len(found) != len(expected):
            raise NotRight(f"{name}: expected {len(expected)} things, found {_kind(found)}")
        for part, (one, other) in enumerate(zip(expected, found, strict=True)):
            _equal(f"{name}[{part}]", one, other, rtol)
        return
    if isinstance(found, tuple | list | dict) or np.shape(found) != np.shape(expected):
        raise NotRight(f"{name}: expected shape {np.shape(expected)}, found {_kind(found)}")
    expected, found = np.asarray(expected), np.asarray(found)
    if found.dtype != expected.dtype:
        raise NotRight(f"{name}: expected dtype {expected.dtype}, found {found.dtype}")
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    # 1e-12: where all cancels, as in Eq. 1's db_2, only rounding is left, in another order in another's code.
    wrong = ~np.isclose(found, expected, rtol=rtol, atol=rtol * scale + 1e-12, equal_nan=True)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"{name}{list(at)}" if at else name
        share = f" ({wrong.mean():.0%} are wrong)" if at else ""
        raise NotRight(f"{where}: expected {expected[at]:.6g}, found {found[at]:.6g}{share}")


def _kind(found):
    return f"shape {np.shape(found)}" if isinstance(found, np.ndarray) else type(found).__name__


def _unchanged(value, copy):
    """Is the copy still equal, array by array?"""
    if isinstance(value, dict):
        return value.keys() == copy.keys() and all(_unchanged(value[name], copy[name]) for name in value)
    if isinstance(value, list | tuple):
        return len(value) == len(copy) and all(map(_unchanged, value, copy))
    if isinstance(value, np.ndarray):
        return np.array_equal(value, copy, equal_nan=value.dtype.kind == "f")
    return True


def _returned(answer, found):
    """NotRight if the answer returned nothing yet."""
    if found is None or found is ...:
        raise NotRight(f"{answer.__name__} returns nothing yet; write it in the cell above")
    return found


def _call(answer, arguments):
    """answer(**copies of arguments) -> what it returns; NotRight if nothing yet, or if it wrote into an argument."""
    copies = deepcopy(arguments)
    found = _returned(answer, answer(**copies))
    for name, value in arguments.items():
        if not _unchanged(value, copies[name]):
            raise NotRight(f"{answer.__name__} writes into its argument {name}; work on a copy")
    return found


def _apart(arguments, arrays):
    """The arguments that are not differentiated, on the chosen backend, to which check_gradients moves the others."""
    rest = {n: v for n, v in arguments.items() if n not in arrays}
    return {n: to_device(v) if isinstance(v, np.ndarray) else v for n, v in rest.items()}


def _require_gradients(answer, forward, backward, arrays, rng):
    """NotRight, in the words of check_gradients, unless finite differences of forward agree with backward."""
    try:
        check_gradients(forward, backward, arrays, rng)
    except AssertionError as error:
        raise NotRight(f"{answer.__name__}: {error}") from None


def _compare(answer, names, expected, found, rtol):
    """NotRight unless the tuples agree name by name, else a line that says so."""
    for name, one, other in zip(names, expected, found, strict=True):
        _equal(f"{answer.__name__}: {name}", one, other, rtol)
    print(f"{answer.__name__}: {', '.join(names)} right")


def check(answer, solution, returns, *, rtol=1e-6, **arguments):
    """answer(**arguments) against the package's function `solution`. returns: the names of what it returns, "a cache".

    A name `cache` is what forward keeps for backward: free to differ, so it is not compared.
    """
    expected, found, names = solution(**arguments), _call(answer, arguments), returns.split()
    if len(names) == 1:
        expected, found = (expected,), (found,)
    if not isinstance(found, tuple) or len(found) != len(names):
        raise NotRight(f"{answer.__name__}: expected {returns}, found {_kind(found)}")
    kept = [i for i, name in enumerate(names) if name != "cache"]
    _compare(answer, *([values[i] for i in kept] for values in (names, expected, found)), rtol)


def check_in_place(answer, solution, changes, *, rtol=1e-6, **arguments):
    """answer(**arguments) returns nothing and changes the arguments that `changes` names, "params velocity", as the
    package's `solution` does, and no others."""
    expected, found, changes = deepcopy(arguments), deepcopy(arguments), changes.split()
    solution(**expected)
    answer(**found)
    if all(_unchanged(arguments[name], found[name]) for name in changes):
        raise NotRight(f"{answer.__name__} changes nothing yet; write it in the cell above")
    for name in changes:
        _equal(f"{answer.__name__}: {name}", expected[name], found[name], rtol)
    for name, value in arguments.items():
        if name not in changes and not _unchanged(value, found[name]):
            raise NotRight(f"{answer.__name__} writes into its argument {name}; work on a copy")
    print(f"{answer.__name__}: {', '.join(changes)} right")


def check_backward(answer, solution, forward, *, seed=0, **arguments):
    """backward(dout, cache): first against finite differences of `forward`, then against the package's `solution`.

    forward(**arguments) -> (out, cache): the package's. Its float64 arrays are differentiated, the rest is fixed.
    """
    arrays = {n: v for n, v in arguments.items() if isinstance(v, np.ndarray) and v.dtype == np.float64}
    fixed = _apart(arguments, arrays)
    out, cache = forward(**arguments)
    rng = np.random.default_rng(seed)
    dout = rng.standard_normal(out.shape)
    before = dout.copy()
    found = _returned(answer, answer(dout, cache))
    if not np.array_equal(dout, before):
        raise NotRight(f"{answer.__name__} writes into its argument; work on a copy")
    count = len(found) if isinstance(found, tuple) else 1
    if count != len(arrays):
        raise NotRight(f"{answer.__name__}: expected {' '.join(f'd{n}' for n in arrays)}, found {count} of them")
    _require_gradients(answer, partial(forward, **fixed), answer, arrays, rng)
    expected = solution(dout, cache)
    expected, found = (v if isinstance(v, tuple) else (v,) for v in (expected, found))
    _compare(answer, [f"d{name}" for name in arrays], expected, found, 1e-9)


def check_loss(answer, solution, returns, *, seed=0, **arguments):
    """A loss that returns its value and its gradients, returns="loss dz": the value against `solution`, then finite
    differences of `solution` against the gradients, which belong to the arguments z, ... that `returns` names."""
    names = returns.split()
    expected, found = solution(**arguments), _call(answer, arguments)
    if not isinstance(found, tuple) or len(found) != len(names):
        raise NotRight(f"{answer.__name__}: expected {returns}, found {_kind(found)}")
    _equal(f"{answer.__name__}: {names[0]}", expected[0], found[0], 1e-9)
    arrays = {name.removeprefix("d"): arguments[name.removeprefix("d")] for name in names[1:]}
    fixed = _apart(arguments, arrays)

    def forward(**arrays):
        return solution(**fixed, **arrays)[0], tuple(answer(**fixed, **arrays)[1:])

    def backward(dout, grads):
        return tuple(dout * g for g in grads)

    _require_gradients(answer, forward, backward, arrays, np.random.default_rng(seed))
    _compare(answer, names, expected, found, 1e-9)
