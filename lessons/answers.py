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


def _what_is_wrong(wrong, at, expected, found, rtol):
    """The factor, if it is one for all; else the share that is wrong. A single number has any factor: only a simple one
    is worth a word."""
    if expected.dtype != bool and expected[at] != 0 and found[at] != 0 and np.isfinite(found[at]):
        factor = found[at] / expected[at]
        simple = any(abs(f - np.rint(f.real)) < 1e-6 for f in (factor, 1 / factor))
        if (simple or wrong.sum() > 1) and np.allclose(found, factor * expected, rtol=rtol, atol=0):
            return f" ({'all are ' if expected.size > 1 else ''}{factor:.3g} times that)"
    return f" ({wrong.mean():.0%} are wrong)" if expected.size > 1 else ""


def _fault(name, expected, found, rtol):
    """None if `found`, an array or a number, is `expected` up to rounding; else the sentence that says what is not."""
    if isinstance(found, tuple | list | dict) or np.shape(found) != np.shape(expected):
        wanted = _kind(expected) if np.shape(expected) else "one number"
        return f"{name}: expected {wanted}, found {_kind(found)}"
    if type(expected) is float and type(found) is not float:
        return f"{name}: expected a float, found {type(found).__name__}; float(...) makes it one"
    expected, found = np.asarray(expected), np.asarray(found)
    if found.dtype != expected.dtype:
        return f"{name}: expected dtype {expected.dtype}, found {found.dtype}"
    rtol = rtol or (1e-5 if expected.dtype in (np.float32, np.complex64) else 1e-9)
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    # 1e-12: where all cancels, as in Eq. 1's db_2, only rounding is left, in another order in another's code.
    wrong = ~np.isclose(found, expected, rtol=0, atol=rtol * scale + 1e-12, equal_nan=True)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = f"{name}{list(at)}" if at else name
    one, other = _apart_in_words(expected[at], found[at])
    return f"{where}: expected {one}, found {other}{_what_is_wrong(wrong, at, expected, found, rtol)}"


def _parts(name, expected, found):
    """`expected`, a value or a tuple or dict of them, and what was found -> (name, expected, found) of each value."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            names = f"the names {', '.join(found)}" if isinstance(found, dict) else _kind(found)
            raise NotRight(f"{name}: expected a dict of {', '.join(expected)}, found {names}")
        for key in expected:
            yield from _parts(f"{name}[{key!r}]", expected[key], found[key])
    elif isinstance(expected, tuple):
        if not isinstance(found, tuple) or len(found) != len(expected):
            raise NotRight(f"{name}: expected a tuple of {len(expected)}, found {_kind(found)}")
        for i, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _parts(f"{name}[{i}]", one, other)
    else:
        yield name, expected, found


def agree(label, names, expected, found, rtol=None):
    """NotRight unless both, tuples of what `names` says, agree: what is wrong with the first value that does not, and
    the names of all that do and do not, so that one sees where the fault lies."""
    wrong, right = {}, []
    for name, one, other in zip(names, expected, found, strict=True):
        for part, value, answer in _parts(f"{label}: {name}", one, other):
            sentence, short = _fault(part, value, answer, rtol), part.removeprefix(f"{label}: ")
            if sentence:
                wrong[short] = sentence
            else:
                right.append(short)
    if wrong:
        all_parts = f"; wrong: {', '.join(wrong)}; right: {', '.join(right) or 'none'}"
        raise NotRight(next(iter(wrong.values())) + (all_parts if len(wrong) + len(right) > 1 else ""))


def compare(label, names, expected, found, rtol=None):
    """agree, where both are a tuple of what `names` says, or that one thing; a "cache" may be whatever it likes."""
    if len(names) == 1:
        expected, found = (expected,), (found,)
    if not isinstance(found, tuple) or len(found) != len(names):
        raise NotRight(f"{label}: expected {', '.join(names)}, found {_kind(found)}")
    count = names.index("cache") if "cache" in names else len(names)
    agree(label, names[:count], expected[:count], found[:count], rtol)


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


def call(answer, arguments, label, may_change=()):
    """answer(**arguments) -> what it returns; NotRight if it writes into an argument, unless `may_change` names it."""
    before = deepcopy(arguments)
    found = _attempt(answer, arguments, label)
    for name, value in before.items():
        if name not in may_change and not unchanged(value, arguments[name]):
            raise NotRight(f"{answer.__name__} writes into its argument {name}; work on a copy")
    return found


def ask(answer, arguments, label):
    """`call` with copies -> what it returns; NotRight if that is nothing yet."""
    found = call(answer, deepcopy(arguments), label)
    if found is None or found is ...:
        raise NotRight(f"{answer.__name__} returns nothing yet; write it in the cell above")
    return found
