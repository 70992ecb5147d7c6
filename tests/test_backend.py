"""NumPy or CuPy with one word; every name taken from the backend exists in both; what needs a GPU says so."""

import ast
import threading
from pathlib import Path

import numpy as np
import pytest

import slowae
from slowae import backend, blocks, conv, conv_fourier, model, optim

PACKAGE = Path(slowae.__file__).parent


def names_from_the_backend(source):
    """Dotted names that follow `xp.` or `array_module(...).` in a module."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "array_module"
        if parts and (called or getattr(node, "id", "") == "xp"):
            names.add(".".join(reversed(parts)))
    return names


def test_names_from_the_backend_exist_in_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    names = set().union(*(names_from_the_backend(path.read_text()) for path in PACKAGE.rglob("*.py")))
    assert {"zeros_like", "sqrt", "sign", "lib.stride_tricks.sliding_window_view"} <= names
    for name in names:
        value = cupy
        for part in name.split("."):
            value = getattr(value, part, None)
        assert value is not None, f"cupy has no {name}"


def test_only_the_backend_imports_cupy():
    importers = {path.name for path in PACKAGE.rglob("*.py") if "import cupy" in path.read_text()}
    assert importers == {"backend.py"}


def test_an_empty_setting_is_none(monkeypatch):
    monkeypatch.setattr(backend, "_chosen", None)
    monkeypatch.setenv("SLOWAE_BACKEND", "")
    assert backend.chosen() == "numpy"


@pytest.mark.parametrize("count", [1, 2])
def test_blocks_keep_their_order_their_threads_and_their_errors(monkeypatch, count):
    monkeypatch.setattr(backend, "_chosen", "numpy")
    controller, _ = blocks.blas()
    monkeypatch.setattr(blocks, "blas", lambda: (controller, count))
    meet = threading.Barrier(count)  # a thread passes only when `count` of them wait
    assert blocks.map_blocks(lambda v: (v, meet.wait(60))[0], range(10)) == list(range(10))
    with pytest.raises(ZeroDivisionError):
        blocks.map_blocks(lambda v: 1 / v, [1, 0, 2])


@pytest.mark.gpu
@pytest.mark.parametrize("by", [conv, conv_fourier], ids=lambda module: module.__name__)
def test_a_hundred_steps_on_the_gpu_follow_those_on_the_host(by, monkeypatch):
    import cupy

    monkeypatch.setattr(model, "convolution", lambda x: by)
    rng = np.random.default_rng(0)
    start, x = model.init_params(rng, (9, 9, 3, 64)), rng.standard_normal((16, 32, 32, 3), dtype=np.float32)
    losses, first = [], []
    for move in (np.copy, cupy.asarray):
        params, frames = {name: move(value) for name, value in start.items()}, move(x)
        moments = optim.init_moments(params)
        for _ in range(100):
            loss, grads = model.loss_and_gradients(params, frames, model.Config())
            first += [backend.to_host(grads)] if not moments["steps"] else []
            optim.adam(params, grads, moments, 1e-3)
            optim.project(params)
        losses.append(float(loss))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, grad in first[0].items():
        np.testing.assert_allclose(first[1][name], grad, rtol=1e-3, atol=1e-3 * np.abs(grad).max())
