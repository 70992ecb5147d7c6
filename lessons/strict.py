"""A stand-in for a GPU array on machines without one: an ndarray that refuses to meet a plain host array.

CuPy raises TypeError when a NumPy array enters its mathematics; so does this. It cannot see a host array that is
copied by np.asarray, nor anything about speed.
"""

from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import numpy as np

from slowae import backend


def _refuse_host(values):
    for value in values:
        if type(value) is np.ndarray:
            raise TypeError(f"a host array {value.shape} met the device's mathematics")
        if isinstance(value, tuple | list):
            _refuse_host(value)


def _plain(value):
    if isinstance(value, Strict):
        return value.view(np.ndarray)
    return type(value)(map(_plain, value)) if type(value) in (tuple, list) else value


def _strict(value):
    if isinstance(value, np.ndarray):
        return value.view(Strict)
    return tuple(map(_strict, value)) if isinstance(value, tuple | list) else value  # linalg's are named tuples


class Strict(np.ndarray):
    """Strict.of(host) moves to the device, .get() moves back, as CuPy's arrays do."""

    @classmethod
    def of(cls, value):
        if isinstance(value, dict):
            return {name: cls.of(item) for name, item in value.items()}
        if not isinstance(value, np.ndarray | np.generic):
            raise TypeError(f"a {type(value).__name__} is no array: CuPy would stack it, or refuse")
        return np.array(value).view(cls)

    def get(self):
        return np.array(self.view(np.ndarray))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        _refuse_host(inputs)
        _refuse_host(out or ())
        if out is not None:
            kwargs["out"] = _plain(out)
        result = getattr(ufunc, method)(*_plain(inputs), **kwargs)
        return out[0] if out is not None else _strict(result)

    def __array_function__(self, function, types, args, kwargs):
        if function is np.asarray:  # with like=: the one way up that CuPy's arrays know, too
            return _strict(function(*args, **kwargs))
        _refuse_host(args)
        _refuse_host(kwargs.values())
        return _strict(function(*_plain(args), **{name: _plain(value) for name, value in kwargs.items()}))

    def __getitem__(self, index):
        _refuse_host([index])
        return _strict(self.view(np.ndarray)[_plain(index)])

    def __setitem__(self, index, value):
        _refuse_host([index, value])
        self.view(np.ndarray)[_plain(index)] = _plain(value)


@contextmanager
def in_use():
    """The chosen backend is the stand-in: to_device moves to it, to_host from it."""
    device = SimpleNamespace(asarray=Strict.of, get_array_module=lambda x: np)
    patches = {"cupy": device, "_chosen": "cupy", "array_module": lambda x: device if isinstance(x, Strict) else np}
    with mock.patch.multiple(backend, **patches):
        yield
