"""One loop for every model: draw a batch, follow the gradient, project, log, save.

A run killed at any moment and started again ends with the same bits (NumPy, same machine, as many threads and
processes) as one left alone: its checkpoint holds all that the remaining steps depend on.
"""

import time
from dataclasses import dataclass

import numpy as np

from slowae import checkpoints, processes, progress, signals
from slowae.backend import array_module, to_device, to_host
from slowae.optim import OPTIMIZERS


@dataclass(frozen=True)
class Descent:
    """rate: constant for the first half of the steps, then falling linearly to zero. optimizer: sgd or adam.

    momentum: the share of the last step, or of Adam's first moment, that stays. bias_rate: biases learn so many times
    as fast as weights (optim). every: steps between two checkpoints. seed: of the first parameters and every batch.
    """

    steps: int
    rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    bias_rate: float = 1.0
    every: int = 50
    seed: int = 0


def fit(loss_and_gradients, init, draw, descent, *, project=None, watch=None, checkpoint=None):
    """Gradient descent -> params on the host, history (a list of dicts, one for each `every` steps and the last).

    loss_and_gradients(params, batch, done) -> loss, grads, where done, in [0, 1), is the share of the steps made;
    init(rng) -> params; draw(rng) -> batch on the chosen backend. project(params) in place; watch(params) -> dict to
    log. KeyboardInterrupt after saving on Ctrl-C, SIGTERM, SIGHUP; FloatingPointError for NaN and Inf.
    """
    rng, optimizer = np.random.default_rng(descent.seed), OPTIMIZERS[descent.optimizer]
    params = to_device({name: value.copy() for name, value in init(rng).items()})
    state = checkpoints.State(params, optimizer.init(params), rng)
    path, stopping = checkpoints.begin(checkpoint, descent, state), False
    title, began = checkpoint.name if checkpoint else "training", time.perf_counter() - state.seconds
    with signals.flag() as stop, progress.bar(total=descent.steps, initial=state.step, desc=title) as bar:
        while state.step < descent.steps and not stopping:
            loss, grads = loss_and_gradients(state.params, draw(rng), state.step / descent.steps)
            loss, grads, stopping = processes.mean(loss, grads, bool(stop))
            rate = descent.rate * min(1.0, 2 * (descent.steps - state.step) / descent.steps)
            optimizer.step(state.params, grads, state.moments, rate, descent.momentum, descent.bias_rate)
            if project:
                project(state.params)
            state.step += 1
            bar.update()
            due = state.step % descent.every == 0 or state.step == descent.steps
            if due or stopping:
                row = {"step": state.step, "loss": float(loss)} | (watch(state.params) if watch else {})
                _require_finite(row, state, descent)
                if due:
                    state.history.append(row)
                state.seconds = time.perf_counter() - began
                bar.set_postfix({name: f"{value:.3g}" for name, value in row.items() if isinstance(value, float)})
                if path:
                    checkpoints.save(path, state)
        if stopping or stop:
            where = f"saved in {path}; the same command goes on" if path else "nothing was saved"
            raise KeyboardInterrupt(f"stopped after step {state.step} of {descent.steps}: {where}")
    state.history[-1]["seconds"] = state.seconds
    return to_host(state.params), state.history


def _require_finite(row, state, descent):
    """FloatingPointError for NaN, Inf or absurd values in `row`, or NaN or Inf in what the step changed: only the next
    loss would show it."""
    changed = [*state.params.values(), *state.moments.values()]
    most = {"loss": np.inf}  # it is a sum; what is watched are shares and means
    bad = [n for n, value in row.items() if isinstance(value, float) and not abs(value) < most.get(n, 1e6)]
    if bad or not all(array_module(value).isfinite(value).all() for value in changed):
        name = bad[0] if bad else "loss"
        remedy = f"try a lower rate than {descent.rate:g}, or smaller weights of the loss"
        raise FloatingPointError(f"training diverged by step {state.step}, {name} {row[name]:g}: {remedy}")
