"""The loop: what it minimises, what it logs, and that no interruption changes a single bit."""

import json
import multiprocessing
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import _die_at, refuse

from slowae import files, model, optim, signals, train
from slowae.backend import array_module, to_device, to_host
from slowae.checkpoints import Checkpoint
from slowae.train import Descent

KINDS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
CONFIG = model.Config(alpha=0.3, beta=0.5, size=1, rise=0.5)


def bowl(params, batch, done):
    """|x - batch|^2 / 2, mean over the batch: its minimum is the batch's mean."""
    difference = params["x"] - batch
    return (difference * difference).sum() / (2 * len(batch)), {"x": difference.mean(0)}


def around(rng):
    return to_device(np.array([3.0, -2.0]) + 0.1 * rng.standard_normal((8, 2)))


def fit_bowl(loss_and_gradients=bowl, watch=None, folder=None, **descent):
    descent = Descent(**{"steps": 60, "rate": 0.1, "every": 10} | descent)
    start, place = {"x": np.zeros(2)}, folder and Checkpoint(folder, "bowl")
    return train.fit(loss_and_gradients, lambda rng: start, around, descent, watch=watch, checkpoint=place)


def fit_equation_2(folder=None, settings=(), shape=(6, 8), at=None, then=None, **descent):
    """A small Eq. 2 on random pairs -> params, history; `then()` happens while step number `at` is being made."""
    steps = iter(range(1, 10**6))

    def draw(rng):
        if next(steps) == at:
            then()
        return to_device(rng.standard_normal((12, shape[0]), dtype=np.float32))

    return train.fit(
        lambda params, x, done: model.loss_and_gradients(params, x, CONFIG, done),
        lambda rng: model.init_params(rng, shape),
        draw,
        Descent(**{"steps": 40, "rate": 1e-2, "every": 7, "optimizer": "adam"} | descent),
        project=optim.project,
        watch=lambda params: {"norm": float(to_host(params["W_e"] ** 2).sum())},
        checkpoint=folder and Checkpoint(folder, "eq2", dict(settings)),
    )


crash = refuse(MemoryError())


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes(), name


def assert_same_run(a, b):
    assert_same_bits(a[0], b[0])
    assert a[1][:-1] == b[1][:-1] and a[1][-1] | {"seconds": 0} == b[1][-1] | {"seconds": 0}


def only(folder):
    """The one file in a folder."""
    (path,) = folder.iterdir()
    return path


def state_of(path):
    return json.loads(str(files.read_arrays(path)["state"]))


def test_each_step_is_momentum_with_the_scheduled_rate_then_projection():
    start, seen = {"x": np.zeros(2)}, []

    def look(params, batch, done):
        assert array_module(params["x"]) is array_module(to_device(start["x"])) and done == len(seen) / 7
        return bowl(params, batch, done)

    def project(params):
        params["x"].clip(None, 0.5, out=params["x"])
        seen.append(to_host(params["x"]).copy())

    train.fit(look, lambda rng: start, around, Descent(7, 0.2, momentum=0.6, seed=3), project=project)
    rng, x, v = np.random.default_rng(3), np.zeros(2), np.zeros(2)
    for step, params in enumerate(seen):
        batch = np.array([3.0, -2.0]) + 0.1 * rng.standard_normal((8, 2))
        v = 0.6 * v - 0.2 * min(1, 2 * (7 - step) / 7) * (x - batch.mean(0))
        x = np.minimum(x + v, 0.5)
        np.testing.assert_allclose(params, x, rtol=1e-12)
    assert len(seen) == 7 and start["x"].tolist() == [0, 0]


def test_history_has_a_row_every_so_many_steps_and_one_at_the_end(tmp_path):
    watched = []

    def watch(params):
        watched.append(to_host(params["x"]).copy())
        return {"first": float(params["x"][0])}

    params, history = fit_bowl(steps=25, watch=watch, folder=tmp_path)
    assert [row["step"] for row in history] == [10, 20, 25]
    assert [row["first"] for row in history] == [x[0] for x in watched]
    assert watched[-1].tolist() == params["x"].tolist()
    assert json.loads(json.dumps(history)) == history and history[-1]["seconds"] > 0
    assert_same_bits(params, fit_bowl(steps=25, every=10**6)[0])  # watching and saving change nothing


@pytest.mark.parametrize("at", [1, 18])
def test_a_run_that_dies_ends_with_the_same_bits(tmp_path, at):
    whole = fit_equation_2(tmp_path / "whole")
    with pytest.raises(MemoryError):
        fit_equation_2(tmp_path / "died", at=at, then=crash)
    assert_same_run(fit_equation_2(tmp_path / "died"), whole)
    one, other = (files.read_arrays(only(tmp_path / name)) | {"state": np.array(0)} for name in ("whole", "died"))
    assert_same_bits(one, other)  # the moments, too
    assert_same_run(fit_equation_2(tmp_path / "died", at=1, then=crash), whole)  # at its end there is no step to make


def run_and_die(folder, at):
    if not at:
        _die_at(3)
    fit_equation_2(folder, at=at, then=lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize("at", [18, None], ids=["in a step", "while a file is moved into place"])
def test_a_killed_process_loses_nothing_that_was_saved(tmp_path, at):
    process = multiprocessing.get_context("spawn").Process(target=run_and_die, args=(tmp_path, at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (path,) = tmp_path.glob("eq2-*.npz")
    assert state_of(path)["step"] == 14
    assert_same_run(fit_equation_2(tmp_path), fit_equation_2())
    assert [other.name for other in tmp_path.glob("eq2*")] == [path.name]


@pytest.fixture
def handle():
    """handle(kind, handler), as signal.signal, until the end of the test."""
    before = {kind: signal.getsignal(kind) for kind in KINDS}
    yield signal.signal
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize("at", [4, 14, 40])  # the very last one too: what comes after must not start
@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, handle, kind, at):
    def interrupt():
        os.kill(os.getpid(), kind)

    handle(kind, signal.default_int_handler)
    message = rf"after step {at} of 40: saved in .*eq2-.*.npz; the same command goes"
    with pytest.raises(KeyboardInterrupt, match=message):
        fit_equation_2(tmp_path, at=at, then=interrupt)
    assert signal.getsignal(kind) is signal.default_int_handler
    assert state_of(only(tmp_path))["step"] == at
    assert_same_run(fit_equation_2(tmp_path), fit_equation_2())
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        fit_equation_2(at=at, then=interrupt)


def test_seconds_are_those_of_all_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=iter(range(99)).__next__))
    with pytest.raises(MemoryError):
        fit_equation_2(tmp_path, at=19, then=crash)
    _, history = fit_equation_2(tmp_path)
    assert history[-1]["seconds"] == 2 + 4  # saves, of which each asks the clock once


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_that_was_to_be_ignored_is(handle, kind):
    """As nohup, or a shell that starts a job in the background, has it."""
    handle(kind, signal.SIG_IGN)
    fit_equation_2(at=5, then=lambda: os.kill(os.getpid(), kind))
    signals.raise_keyboard_interrupt()
    os.kill(os.getpid(), kind)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_outside_of_training_a_signal_ends_the_program_with_a_sentence(handle, kind):
    handle(kind, signal.SIG_DFL)
    signals.raise_keyboard_interrupt()
    with pytest.raises(KeyboardInterrupt, match=f"^stopped by {kind.name}$"):
        signal.raise_signal(kind)


@pytest.mark.parametrize(
    "change", [{"every": 8}, {"bias_rate": 0.5}, {"shape": (6, 4)}, {"settings": {"a": 2}}], ids=str
)
def test_another_setting_or_start_has_another_file_and_leaves_the_first(tmp_path, change):
    fit_equation_2(tmp_path, {"a": 1})
    path = only(tmp_path)
    before = path.read_bytes()
    fit_equation_2(tmp_path, **{"settings": {"a": 1}} | change)
    assert len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == before


@pytest.mark.parametrize(("of_loss", "of_gradient"), [(1, np.nan), (np.inf, 1), (1, 1e200)])  # the last: its square
@pytest.mark.parametrize("steps", [20, 10])
def test_divergence_is_said_and_leaves_the_last_good_checkpoint(tmp_path, of_loss, of_gradient, steps):
    """Also where the loss of step 10 is finite, but its gradient is not: only the loss of step 11 would show it."""

    def cliff(params, batch, done):
        loss, grads = bowl(params, batch, done)
        return (loss * of_loss, {"x": grads["x"] * of_gradient}) if done == 9 / steps else (loss, grads)

    message = r"diverged by step 10, loss .*: try a lower rate than 0.1, or smaller weights of the loss"
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=message):
        fit_bowl(cliff, steps=steps, every=5, folder=tmp_path, optimizer="adam")
    arrays = files.read_arrays(only(tmp_path))
    assert json.loads(str(arrays.pop("state")))["step"] == 5
    assert all(np.isfinite(value).all() for value in arrays.values())


@pytest.mark.parametrize("value", [np.inf, 2e6])
def test_what_is_watched_must_be_finite_and_no_absurdity_too(tmp_path, value):
    seen = iter([1.0, value])
    with pytest.raises(FloatingPointError, match=r"diverged by step 20, active \S+: try a lower rate than 0\.1"):
        fit_bowl(watch=lambda params: {"active": next(seen)}, folder=tmp_path)
    assert [row["active"] for row in state_of(only(tmp_path))["history"]] == [1]


def test_a_damaged_checkpoint_is_named_and_left_where_it_is(tmp_path):
    with pytest.raises(MemoryError):
        fit_equation_2(tmp_path, at=19, then=crash)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"^[^\n]*eq2-.* is damaged.*delete it and start afresh$"):
        fit_equation_2(tmp_path)
    files.write_arrays(path, {"state of another program": np.zeros(3)})
    with pytest.raises(
        ValueError, match=r"^[^\n]*eq2-.* is not a checkpoint of this program; delete it and start afresh$"
    ):
        fit_equation_2(tmp_path)
    assert only(tmp_path) == path


def test_a_checkpoint_under_the_name_of_another_run_is_not_taken(tmp_path):
    """Two files of one seed each: shapes, steps and history are alike."""
    fit_equation_2(tmp_path / "first", seed=1)
    fit_equation_2(tmp_path / "second", seed=2)
    first, second = only(tmp_path / "first"), only(tmp_path / "second")
    second.replace(first)
    with pytest.raises(ValueError, match=f"{first.name} holds another run: rename it to {second.name}, or"):
        fit_equation_2(tmp_path / "first", seed=1)
