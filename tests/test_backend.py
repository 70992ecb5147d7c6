"""NumPy or CuPy with one word; every name taken from the backend exists in both; what needs a GPU says so."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slowae
from slowae import backend, optim
from slowae.model import Config, init_params, loss_and_gradients

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
        found = cupy
        for part in name.split("."):
            found = getattr(found, part, None)
        assert found is not None, f"cupy has no {name}"


def test_only_the_backend_imports_cupy():
    importers = {path.name for path in PACKAGE.rglob("*.py") if "import cupy" in path.read_text()}
    assert importers == {"backend.py"}


def test_asking_for_a_gpu_that_is_not_there_is_a_sentence():
    if backend.gpu_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeError, match="cupy backend needs"):
        backend.use("cupy")
    with pytest.raises(ValueError, match="numpy or cupy"):
        backend.use("torch")


@settings(max_examples=10)
@given(st.lists(st.integers(-9, 9), max_size=20))
def test_map_blocks_keeps_the_order(values):
    assert backend.map_blocks(lambda v: v * v, values) == [v * v for v in values]


def test_map_blocks_passes_errors_on():
    with pytest.raises(ZeroDivisionError):
        backend.map_blocks(lambda v: 1 / v, [1, 0, 2])


@pytest.mark.gpu
def test_a_step_on_the_gpu_equals_a_step_on_the_host():
    rng = np.random.default_rng(0)
    params = init_params(rng, (9, 9, 3, 64))
    x = rng.standard_normal((8, 32, 32, 3), dtype=np.float32)
    import cupy

    loss, grads = loss_and_gradients(params, x, Config())
    on_gpu = {name: cupy.asarray(value) for name, value in params.items()}
    loss_gpu, grads_gpu = loss_and_gradients(on_gpu, cupy.asarray(x), Config())
    np.testing.assert_allclose(float(loss_gpu), float(loss), rtol=1e-4)
    for name, grad in grads.items():
        np.testing.assert_allclose(grads_gpu[name].get(), grad, rtol=1e-3, atol=1e-3 * np.abs(grad).max())


@pytest.mark.gpu
def test_a_hundred_steps_on_the_gpu_follow_those_on_the_host():
    import cupy

    rng = np.random.default_rng(0)
    start, x = init_params(rng, (9, 9, 3, 64)), rng.standard_normal((16, 32, 32, 3), dtype=np.float32)
    losses = []
    for move in (np.copy, cupy.asarray):
        params, frames = {name: move(value) for name, value in start.items()}, move(x)
        moments = optim.init_moments(params)
        for _ in range(100):
            loss, grads = loss_and_gradients(params, frames, Config())
            optim.adam(params, grads, moments, 1e-3)
            optim.project(params)
        losses.append(float(loss))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
