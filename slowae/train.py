"""One loop for every model: draw a batch, follow the gradient, project, log, save.

A run killed at any moment and resumed ends with the same bits (on NumPy) as one left alone: the checkpoint holds
the parameters, the optimizer's state, the generator's state and the settings that must not change.
"""

import json
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slowae import files, optim
from slowae.backend import array_module, require, to_device, to_host


def rate_at(step, steps, rate):
    """The learning rate: constant for the first half of the run, then falling linearly to zero."""
    return rate * min(1.0, 2 * (steps - step) / steps)


@contextmanager
def _interrupts():
    """Ctrl-C sets a flag that the loop reads between steps, so no step is ever half done."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _save(path, settings, step, params, moments, rng, history):
    state = {"settings": settings, "step": step, "rng": rng.bit_generator.state, "history": history}
    arrays = {f"params/{name}": value for name, value in to_host(params).items()}
    arrays |= {f"moments/{name}": value for name, value in to_host(moments).items()}
    files.write_arrays(path, arrays | {"state": np.array(json.dumps(state))})


def _load(path, settings, rng):
    arrays = files.read_arrays(path)
    try:
        state = json.loads(str(arrays.pop("state")))
        params, moments = (
            {name.removeprefix(kind): value for name, value in arrays.items() if name.startswith(kind)}
            for kind in ("params/", "moments/")
        )
        saved, step, history = state["settings"], state["step"], state["history"]
        rng.bit_generator.state = state["rng"]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a checkpoint of this program; delete it and start afresh") from error
    changed = [name for name in settings | saved if settings.get(name) != saved.get(name)]
    require(
        not changed,
        f"{path} was saved with another {', '.join(changed)}; repeat those settings or start afresh",
    )
    return step, params, moments, history


def fit(
    loss_and_gradients,
    params,
    draw,
    rng,
    *,
    steps,
    rate,
    optimizer=optim.SGD,
    momentum=0.9,
    project=None,
    watch=None,
    every=50,
    checkpoint=None,
    resume=False,
    settings=None,
    title="training",
):
    """Gradient descent -> params on the host, history (a list of dicts, one each `every` steps).

    loss_and_gradients(params, batch) -> loss, grads; draw(rng) -> batch, both on the chosen backend.
    optimizer: optim.SGD or optim.ADAM; momentum: the share of the last step (or of the first moment) that is kept.
    project(params) in place; watch(params) -> dict of floats to log. settings (JSON): more that a resumed run repeats.
    KeyboardInterrupt after saving on Ctrl-C; FloatingPointError if the loss or a parameter stops being finite.
    """
    shape = {name: value.shape for name, value in params.items()}
    settings = {
        "steps": steps,
        "rate": rate,
        "momentum": momentum,
        "optimizer": optimizer.step.__name__,
        "shape": shape,
        **(settings or {}),
    }
    settings = json.loads(json.dumps(settings))
    step, history, moments = 0, [], None
    if resume and checkpoint and Path(checkpoint).exists():
        step, params, moments, history = _load(checkpoint, settings, rng)
    params = to_device({name: value.copy() for name, value in params.items()})
    moments = optimizer.init(params) if moments is None else to_device(moments)

    with _interrupts() as stop, tqdm(total=steps, initial=step, desc=title, dynamic_ncols=True) as bar:
        while step < steps:
            loss, grads = loss_and_gradients(params, draw(rng))
            optimizer.step(params, grads, moments, rate_at(step, steps, rate), momentum)
            if project:
                project(params)
            step += 1
            bar.update()
            if step % every and step < steps and not stop.is_set():
                continue
            # The parameters too: this step may have ruined them, and only the next loss would tell.
            finite = [bool(array_module(value).isfinite(value).all()) for value in params.values()]
            if not (np.isfinite(float(loss)) and all(finite)):
                raise FloatingPointError(
                    f"training diverged by step {step}, loss {float(loss):g}: try a lower rate than {rate:g}"
                )
            if step % every == 0 or step == steps:
                history.append({"step": step, "loss": float(loss), **(watch(params) if watch else {})})
                bar.set_postfix({name: f"{value:.3g}" for name, value in history[-1].items() if name != "step"})
            if checkpoint:
                _save(checkpoint, settings, step, params, moments, rng, history)
            if stop.is_set():
                where = f"saved in {checkpoint}; add --resume to go on" if checkpoint else "nothing was saved"
                raise KeyboardInterrupt(f"stopped after step {step} of {steps}: {where}")
    return to_host(params), history
