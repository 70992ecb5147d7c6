"""Is what a function returned what was expected? If not, one sentence: which name, what was expected, what found."""

import linecache
import traceback
from copy import deepcopy

import numpy as np


class NotRight(AssertionError):
    """A check that failed. A notebook shows its one sentence, without a traceback."""

    def _render_traceback_(self):
        return [f"not right yet: {self}"]


def _kind(found):
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of {len(found)}"
    if not isinstance(found, np.ndarray):
        return type(found).__name__
    short = found.ndim == 1 and found.size < 5
    return f"shape {found.shape}" + (f", {np.array2string(found, precision=6, separator=', ')}" if short else "")


def _apart_in_words(one, other):
    """Two numbers, with as many digits as tell them apart; or True and False."""
    if isinstance(one, np.bool_):
        return str(one), str(other)
    texts = [(f"{one + 0.0:.{digits}g}", f"{other + 0.0:.{digits}g}") for digits in (6, 10, 17)]  # -0 reads 0
    return next((pair for pair in texts if pair[0] != pair[1]), texts[-1])


def _how_many(wrong, at, expected, found, rtol):
    """The share that is wrong; or the factor, if it is one for all."""
    with np.errstate(all="ignore"):
        factor = found[at] / expected[at]
        if wrong.sum() > 1 and np.allclose(found, factor * expected, rtol=rtol, atol=0):
            return f"all are {factor:.3g} times that"
    return f"{wrong.mean():.0%} are wrong"


def equal(name, expected, found, rtol):
    """NotRight unless `found` is `expected`, up to rounding: an array, a number, or a tuple or dict of them."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            names = f"the names {', '.join(found)}" if isinstance(found, dict) else _kind(found)
            raise NotRight(f"{name}: expected a dict of {', '.join(expected)}, found {names}")
        for key in expected:
            equal(f"{name}[{key!r}]", expected[key], found[key], rtol)
        return
    if isinstance(expected, tuple):
        if not isinstance(found, tuple) or len(found) != len(expected):
            raise NotRight(f"{name}: expected a tuple of {len(expected)}, found {_kind(found)}")
        for part, (one, other) in enumerate(zip(expected, found, strict=True)):
            equal(f"{name}[{part}]", one, other, rtol)
        return
    if isinstance(found, tuple | list | dict) or np.shape(found) != np.shape(expected):
        wanted = f"shape {np.shape(expected)}" if np.shape(expected) else "one number"
        raise NotRight(f"{name}: expected {wanted}, found {_kind(found)}")
    if type(expected) is float and type(found) is not float:
        raise NotRight(f"{name}: expected a float, found {type(found).__name__}; float(...) makes it one")
    expected, found = np.asarray(expected), np.asarray(found)
    if found.dtype != expected.dtype:
        raise NotRight(f"{name}: expected dtype {expected.dtype}, found {found.dtype}")
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    # 1e-12: where all cancels, as in Eq. 1's db_2, only rounding is left, in another order in another's code.
    wrong = ~np.isclose(found, expected, rtol=rtol, atol=rtol * scale + 1e-12, equal_nan=True)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"{name}{list(at)}" if at else name
        share = f" ({_how_many(wrong, at, expected, found, rtol)})" if at else ""
        one, other = _apart_in_words(expected[at], found[at])
        raise NotRight(f"{where}: expected {one}, found {other}{share}")


def compare(label, names, expected, found, rtol):
    """NotRight unless both, a tuple of what `names` says or that one thing, agree name by name."""
    if len(names) == 1:
        expected, found = (expected,), (found,)
    if not isinstance(found, tuple) or len(found) != len(names):
        raise NotRight(f"{label}: expected {', '.join(names)}, found {_kind(found)}")
    for name, one, other in zip(names, expected, found, strict=True):
        if name != "cache":
            equal(f"{label}: {name}", one, other, rtol)


def unchanged(value, copy):
    """Is the copy still equal, array by array?"""
    if isinstance(value, dict):
        return value.keys() == copy.keys() and all(unchanged(value[name], copy[name]) for name in value)
    if isinstance(value, list | tuple):
        return len(value) == len(copy) and all(map(unchanged, value, copy))
    if isinstance(value, np.ndarray):
        return np.array_equal(value, copy, equal_nan=value.dtype.kind == "f")
    return True


def _attempt(answer, arguments, label):
    """answer(**arguments) -> what it returns; NotRight if it stops with an error: which, and at which of its lines."""
    try:
        return answer(**arguments)
    except Exception as error:
        code, line = getattr(answer, "__code__", None), ""
        for frame, number in traceback.walk_tb(error.__traceback__):
            if code and frame.f_code.co_filename == code.co_filename:
                line = linecache.getline(code.co_filename, number).strip()
        at = f" at `{line}`" if line else ""
        raise NotRight(f"{label} stops{at} with {type(error).__name__}: {error}") from error


def call(answer, arguments, label="", may_change=()):
    """_attempt with copies -> what it returns; NotRight if nothing yet, or if it wrote into an argument."""
    copies = deepcopy(arguments)
    found = _attempt(answer, copies, label or answer.__name__)
    for name, value in arguments.items():
        if name not in may_change and not unchanged(value, copies[name]):
            raise NotRight(f"{answer.__name__} writes into its argument {name}; work on a copy")
    if may_change:
        return copies
    if found is None or found is ...:
        raise NotRight(f"{answer.__name__} returns nothing yet; write it in the cell above")
    return found
