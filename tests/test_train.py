"""The loop: what it minimises, what it logs, and that no interruption changes a single bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowae import backend, files, model, optim, train
from slowae.backend import array_module, to_device, to_host

CONFIG = model.Config(alpha=0.3, beta=0.5, size=1)


def bowl(params, batch):
    """|x - batch|^2 / 2, mean over the batch: its minimum is the batch's mean."""
    difference = params["x"] - batch
    return (difference * difference).sum() / (2 * len(batch)), {"x": difference.mean(0)}


def around(rng):
    return to_device(np.array([3.0, -2.0]) + 0.1 * rng.standard_normal((8, 2)))


def fit_bowl(start=(0.0, 0.0), **options):
    options = {"steps": 60, "rate": 0.1, "every": 10} | options
    return train.fit(bowl, {"x": np.array(start)}, around, np.random.default_rng(0), **options)


def fit_equation_2(checkpoint=None, resume=False, stop_after=None, **options):
    """A small Eq. 2 on random pairs -> params, history; `stop_after` dies there, as in a crash."""
    rng = np.random.default_rng(1)
    params = model.init_params(rng, (6, 8))
    steps = iter(range(10**6))

    def draw(rng):
        if next(steps) == stop_after:
            raise MemoryError
        return to_device(rng.standard_normal((12, 6), dtype=np.float32))

    options = {"steps": 40, "rate": 1e-2, "every": 7} | options
    return train.fit(
        lambda params, x: model.loss_and_gradients(params, x, CONFIG),
        params,
        draw,
        rng,
        project=optim.project,
        watch=lambda params: {"norm": float(to_host(params["W_e"] ** 2).sum())},
        checkpoint=checkpoint,
        resume=resume,
        **options,
    )


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes(), name


# Descent


def test_it_finds_the_bottom_of_a_bowl():
    params, history = fit_bowl(steps=300)
    np.testing.assert_allclose(params["x"], [3, -2], atol=0.03)
    assert isinstance(params["x"], np.ndarray)
    assert history[-1]["loss"] < 0.02 < 0.5 < history[0]["loss"]


def test_each_step_is_momentum_with_the_scheduled_rate_then_projection():
    seen = []

    def project(params):
        params["x"].clip(None, 0.5, out=params["x"])
        seen.append(to_host(params["x"]).copy())

    fit_bowl(steps=7, rate=0.2, momentum=0.6, project=project)
    rng, x, v = np.random.default_rng(0), np.zeros(2), np.zeros(2)
    for step, found in enumerate(seen):
        batch = np.array([3.0, -2.0]) + 0.1 * rng.standard_normal((8, 2))
        v = 0.6 * v - train.rate_at(step, 7, 0.2) * (x - batch.mean(0))
        x = np.minimum(x + v, 0.5)
        np.testing.assert_allclose(found, x, rtol=1e-12)
    assert len(seen) == 7


@given(st.integers(1, 500), st.floats(1e-6, 10))
def test_the_rate_is_constant_then_falls_in_a_line_towards_zero(steps, rate):
    rates = np.array([train.rate_at(step, steps, rate) for step in range(steps)])
    first = (steps + 1) // 2
    np.testing.assert_allclose(rates[:first], rate)
    np.testing.assert_allclose(rates[first:], rate * 2 * np.arange(steps - first, 0, -1) / steps)
    assert (rates > 0).all()
    assert train.rate_at(steps, steps, rate) == 0


def test_the_callers_parameters_and_settings_stay_as_they_were():
    start, settings = {"x": np.array([1.0, 1.0])}, {"name": "bowl"}
    train.fit(bowl, start, around, np.random.default_rng(0), steps=5, rate=0.1, settings=settings)
    assert start["x"].tolist() == [1, 1] and settings == {"name": "bowl"}


# History


def test_history_has_a_row_every_so_many_steps_and_one_at_the_end():
    watched = []

    def watch(params):
        watched.append(to_host(params["x"]).copy())
        return {"first": float(params["x"][0])}

    params, history = fit_bowl(steps=25, every=10, watch=watch)
    assert [row["step"] for row in history] == [10, 20, 25]
    assert [row["first"] for row in history] == [x[0] for x in watched]
    assert watched[-1].tolist() == params["x"].tolist()
    assert all(row.keys() == {"step", "loss", "first"} for row in history)
    assert json.loads(json.dumps(history)) == history


def test_watching_and_saving_change_nothing(tmp_path):
    plain, _ = fit_bowl(every=10**6)
    watched, _ = fit_bowl(every=1, watch=lambda params: {"a": 1.0}, checkpoint=tmp_path / "a.npz")
    assert_same_bits(plain, watched)


# Resuming


@pytest.mark.parametrize("stop_after", [3, 7, 20, 39])
def test_a_run_that_dies_and_is_resumed_ends_with_the_same_bits(tmp_path, stop_after):
    whole, whole_history = fit_equation_2(tmp_path / "whole.npz")
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(MemoryError):
        fit_equation_2(path, stop_after=stop_after)
    assert path.exists() == (stop_after >= 7)
    params, history = fit_equation_2(path, resume=True)
    assert_same_bits(params, whole)
    assert history == whole_history
    # The checkpoints agree in everything, the momentum included.
    assert_same_bits(files.read_arrays(path), files.read_arrays(tmp_path / "whole.npz"))


def test_a_finished_run_resumes_to_its_end_at_once(tmp_path):
    whole, history = fit_equation_2(tmp_path / "a.npz")
    again, history_again = fit_equation_2(tmp_path / "a.npz", resume=True, stop_after=0)
    assert_same_bits(again, whole)
    assert history_again == history


def test_without_resume_a_run_starts_afresh(tmp_path):
    whole, _ = fit_equation_2()
    fit_equation_2(tmp_path / "a.npz", steps=14)
    again, history = fit_equation_2(tmp_path / "a.npz")
    assert_same_bits(again, whole)
    assert history[0]["step"] == 7


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
import numpy as np
from slowae import backend, train
backend.use({backend!r})
import test_train
fit, checkpoint = test_train.fit_equation_2, Path(sys.argv[1])
slow = train.optim.sgd
def sgd(*args):
    time.sleep(0.01)  # so that the signal finds the run under way
    slow(*args)
train.optim.sgd = sgd
try:
    params, _ = fit(checkpoint, resume="--resume" in sys.argv, steps=70)
except KeyboardInterrupt as stop:
    print(stop)
    sys.exit(130)
np.savez(sys.argv[2], **params)
"""


def start(tmp_path, *more):
    program = SCRIPT.format(tests=str(Path(__file__).parent), backend=backend.chosen())
    words = [
        sys.executable,
        "-c",
        program,
        str(tmp_path / "checkpoint.npz"),
        str(tmp_path / "end.npz"),
        *more,
    ]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    limit = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_a_process_that_is_stopped_and_resumed_ends_with_the_same_bits(tmp_path, kind):
    whole, _ = fit_equation_2(steps=70)
    path = tmp_path / "checkpoint.npz"
    process = start(tmp_path)
    wait_for(path, process)
    os.kill(process.pid, getattr(signal, kind))
    said, _ = process.communicate(timeout=60)
    step = json.loads(str(files.read_arrays(path)["state"]))["step"]
    assert 7 <= step < 70 and not (tmp_path / "end.npz").exists()
    if kind == "SIGKILL":
        assert process.returncode == -signal.SIGKILL and step % 7 == 0
    else:
        assert process.returncode == 130
        assert said == f"stopped after step {step} of 70: saved in {path}; add --resume to go on\n"
    process = start(tmp_path, "--resume")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert_same_bits(files.read_arrays(tmp_path / "end.npz"), whole)


def interrupt_at(step):
    """A `draw` that presses Ctrl-C while step number `step` is being made."""
    steps = iter(range(1, 10**6))

    def draw(rng):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return around(rng)

    return draw


@pytest.mark.parametrize("step", [1, 4, 10, 20])  # the very last one too: what comes after must not start
def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, step):
    path = tmp_path / "bowl.npz"

    def fit(draw, **options):
        rng = np.random.default_rng(0)
        return train.fit(bowl, {"x": np.zeros(2)}, draw, rng, steps=20, rate=0.1, every=10, **options)

    whole, whole_history = fit(around)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=rf"stopped after step {step} of 20: saved in .*bowl.npz; add --resume"):
        fit(interrupt_at(step), checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is handler
    params, history = fit(around, checkpoint=path, resume=True)
    assert_same_bits(params, whole)
    assert history == whole_history
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        fit(interrupt_at(step))


# Divergence


def test_divergence_is_said_and_leaves_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "bowl.npz"
    saved = []

    def watch(params):
        saved.append(path.read_bytes() if path.exists() else b"")
        return {}

    with pytest.raises(FloatingPointError, match=r"training diverged by step \d+, loss .*: try a lower rate than 50"):
        with np.errstate(over="ignore", invalid="ignore"):
            fit_bowl(steps=4000, rate=50.0, checkpoint=path, watch=watch)
    arrays = files.read_arrays(path)
    assert len(saved) > 1 and path.read_bytes() != saved[-1]  # it was saved after the last look that was good
    assert all(np.isfinite(arrays[name]).all() for name in ("params/x", "moments/x"))


@pytest.mark.parametrize("gradient", [np.inf, np.nan])
def test_a_step_that_ruins_the_parameters_is_never_saved(tmp_path, gradient):
    """The loss of step 10 is finite, but its gradient is not: only the loss of step 11 would tell."""
    path = tmp_path / "bowl.npz"
    calls = iter(range(1, 100))

    def cliff(params, batch):
        loss, grads = bowl(params, batch)
        return loss, {"x": grads["x"] * gradient} if next(calls) == 10 else grads

    def fit(loss_and_gradients, steps):
        rng = np.random.default_rng(0)
        return train.fit(
            loss_and_gradients,
            {"x": np.zeros(2)},
            around,
            rng,
            steps=steps,
            rate=0.1,
            every=5,
            checkpoint=path,
        )

    for steps in (20, 10):
        calls = iter(range(1, 100))
        with (
            np.errstate(invalid="ignore"),
            pytest.raises(FloatingPointError, match=r"by step 10, loss .*: try a lower rate"),
        ):
            fit(cliff, steps)
        assert np.isfinite(files.read_arrays(path)["params/x"]).all()
        assert json.loads(str(files.read_arrays(path)["state"]))["step"] == 5


# Checkpoints that do not fit


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"steps": 41}, "steps"),
        ({"rate": 2e-2}, "rate"),
        ({"momentum": 0.5}, "momentum"),
        ({"settings": {"seed": 2, "beta": 1.0}}, "seed"),
        ({"settings": {"seed": 1}}, "beta"),
        ({"settings": {"seed": 1, "beta": 1.0, "group": 4}}, "group"),
        ({"rate": 2e-2, "settings": {"seed": 2, "beta": 1.0}}, "rate, seed"),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path, changed, named):
    path = tmp_path / "a.npz"
    settings = {"seed": 1, "beta": 1.0}
    fit_equation_2(path, settings=settings)
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=rf"a.npz was saved with another {named}; repeat those settings or start afresh"
    ):
        fit_equation_2(path, resume=True, **{"settings": settings} | changed)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    fit_equation_2(path, steps=60, rate=0.1, every=10)
    with pytest.raises(ValueError, match=r"a.npz was saved with another shape"):
        fit_bowl(steps=60, rate=0.1, checkpoint=path, resume=True)


def test_tuples_and_lists_are_the_same_setting(tmp_path):
    fit_equation_2(tmp_path / "a.npz", settings={"bands": (6, 8)})
    fit_equation_2(tmp_path / "a.npz", resume=True, settings={"bands": [6, 8]})


@pytest.mark.parametrize("damage", ["cut", "text", "no state", "state is no JSON", "state of something else", "a list"])
def test_a_damaged_checkpoint_is_named_and_left_where_it_is(tmp_path, damage):
    path = tmp_path / "a.npz"
    fit_equation_2(path)
    arrays = files.read_arrays(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "no state":
        files.write_arrays(path, {name: value for name, value in arrays.items() if name != "state"})
    else:
        state = {"state is no JSON": "{", "state of something else": '{"step": 3}', "a list": "[1]"}[damage]
        files.write_arrays(path, arrays | {"state": np.array(state)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a.npz is (damaged|not a checkpoint of this program).*delete it and start"):
        fit_equation_2(path, resume=True)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    with pytest.raises(MemoryError):
        fit_equation_2(path, stop_after=10)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot write .*a.npz: No space left on device"):
            fit_equation_2(path, resume=True)
    assert path.read_bytes() == before
    whole, _ = fit_equation_2()
    assert_same_bits(fit_equation_2(path, resume=True)[0], whole)


def test_the_model_lives_on_the_chosen_backend():
    modules = []

    def look(params, batch):
        modules.append((array_module(params["x"]), array_module(batch)))
        return bowl(params, batch)

    train.fit(look, {"x": np.zeros(2)}, around, np.random.default_rng(0), steps=3, rate=0.1)
    expected = array_module(to_device(np.zeros(1)))
    assert modules == [(expected, expected)] * 3
