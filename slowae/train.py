"""One loop for every model: draw a batch, follow the gradient, project, log, save.

A run killed at any moment and started again ends with the same bits (NumPy, same machine, as many threads and
processes) as one left alone: the checkpoint holds the parameters, the optimizer's state, the generator's state and the
history, and its name holds a checksum of everything that they depend on.
"""

import json
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slowae import files, processes
from slowae.backend import array_module, to_device, to_host
from slowae.checks import require
from slowae.optim import OPTIMIZERS


@dataclass(frozen=True)
class Descent:
    """How to descend. rate: constant for the first half of the steps, then falling linearly to zero.

    momentum: the share of the last step, or of Adam's first moment, that is kept. bias_rate: how much slower biases
    learn (optim). every: steps between two looks and saves. seed: of the start and of every batch.
    """

    steps: int
    rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    bias_rate: float = 1.0
    every: int = 50
    seed: int = 0

    def __post_init__(self):
        whole = all(n >= 1 and n % 1 == 0 for n in (self.steps, self.every))
        require(whole, f"steps must be whole numbers, at least 1, not {self.steps}, {self.every}")
        require(1e-12 <= self.rate <= 1e6, f"the learning rate must lie between 1e-12 and 1e6, not {self.rate}")
        require(0 <= self.momentum < 1, f"the momentum must lie between 0 and 1, not {self.momentum}")
        require(0 <= self.bias_rate <= 1, f"the biases' rate must lie between 0 and 1, not {self.bias_rate}")
        require(self.optimizer in OPTIMIZERS, f"the optimizer must be sgd or adam, not {self.optimizer!r}")

    def rate_at(self, step):
        """The learning rate of a step, counted from 0."""
        return self.rate * min(1.0, 2 * (self.steps - step) / self.steps)

    def looks(self, step):
        """The steps after which history has a row: every so many up to `step`, and the last."""
        return [*range(self.every, step + 1, self.every), *[step] * (step == self.steps and step % self.every > 0)]


@dataclass(frozen=True)
class Checkpoint:
    """FOLDER/NAME-KEY.npz. settings: what the run depends on beside its descent and start, its data say (JSON).

    resume: go on from what is there; else it is moved aside.
    """

    folder: Path
    name: str
    settings: dict = field(default_factory=dict)
    resume: bool = True


@contextmanager
def _interrupts():
    """Ctrl-C, SIGTERM and SIGHUP set a flag that the loop reads between steps, so no step is ever half done."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ignored = signal.SIG_IGN, None  # as nohup has it, or a program that is not Python
    heard = {kind: handler for kind in kinds if (handler := signal.getsignal(kind)) not in ignored}
    try:
        for kind in heard:
            signal.signal(kind, lambda *_: stop.set())
        yield stop
    finally:
        for kind, handler in heard.items():
            signal.signal(kind, handler)


@dataclass
class _State:
    """What a step changes."""

    params: dict
    moments: dict
    rng: np.random.Generator
    step: int = 0
    seconds: float = 0.0
    history: list = field(default_factory=list)

    def save(self, path):
        state = {"step": self.step, "seconds": self.seconds, "history": self.history}
        state["rng"] = self.rng.bit_generator.state
        arrays = {f"params/{name}": value for name, value in to_host(self.params).items()}
        arrays |= {f"moments/{name}": value for name, value in to_host(self.moments).items()}
        files.write_arrays(path, arrays | {"state": np.array(json.dumps(state))})

    def load(self, path, descent):
        """ValueError, and nothing changed, unless `path` is a checkpoint of such a run."""
        arrays = files.read_arrays(path)
        try:
            state = json.loads(str(arrays["state"]))
            loaded = [
                {name: arrays[f"{kind}/{name}"] for name in like}
                for kind, like in (("params", self.params), ("moments", self.moments))
            ]
            for found, like in zip(loaded, (self.params, self.moments), strict=True):
                for name, value in like.items():
                    require(found[name].shape == value.shape and found[name].dtype == value.dtype, f"another {name}")
                    require(np.isfinite(found[name]).all(), f"{name} is not finite")
            require(0 < state["step"] <= descent.steps, "no such step")
            require([row["step"] for row in state["history"]] == descent.looks(state["step"]), "another history")
            self.seconds = float(state["seconds"])
            self.rng.bit_generator.state = state["rng"]
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} is not a checkpoint of this program; delete it and start afresh") from error
        (self.params, self.moments), self.step = map(to_device, loaded), state["step"]
        self.history = state["history"]


def fit(loss_and_gradients, init, draw, descent, *, project=None, watch=None, checkpoint=None):
    """Gradient descent -> params on the host, history (a list of dicts, one for each `every` steps).

    loss_and_gradients(params, batch, done) -> loss, grads, where done, in [0, 1), is the share of the steps made;
    init(rng) -> params; draw(rng) -> batch on the chosen backend. project(params) in place; watch(params) -> dict of
    floats to log. KeyboardInterrupt after saving on Ctrl-C, SIGTERM, SIGHUP; FloatingPointError if the loss, a
    parameter or what is watched stops being finite.
    """
    rng, optimizer = np.random.default_rng(descent.seed), OPTIMIZERS[descent.optimizer]
    params = to_device({name: value.copy() for name, value in init(rng).items()})
    state, path = _State(params, optimizer.init(params), rng), None
    if checkpoint:
        depends = asdict(descent), files.checksum(to_host(params)), checkpoint.settings
        path = Path(checkpoint.folder) / f"{checkpoint.name}-{files.key(depends)}.npz"
        with processes.leader_first():
            if path.exists() and checkpoint.resume:
                state.load(path, descent)
            elif path.exists():
                files.move_aside(path)
    processes.require_agreement(f"{path} after {state.step} steps")
    began = time.perf_counter() - state.seconds
    title = checkpoint.name if checkpoint else "training"
    bar = tqdm(total=descent.steps, initial=state.step, desc=title, dynamic_ncols=True, disable=None)
    with _interrupts() as stop, bar:
        while state.step < descent.steps:
            loss, grads = loss_and_gradients(state.params, draw(rng), state.step / descent.steps)
            loss, grads, stopping = processes.mean(loss, grads, stop.is_set())
            rate = descent.rate_at(state.step)
            optimizer.step(state.params, grads, state.moments, rate, descent.momentum, descent.bias_rate)
            if project:
                project(state.params)
            state.step += 1
            bar.update()
            last = state.step == descent.steps
            if state.step % descent.every and not last and not stopping:
                continue
            _require_finite({"loss": float(loss)}, state, descent)
            if state.step in descent.looks(state.step):
                row = {"step": state.step, "loss": float(loss), **(watch(state.params) if watch else {})}
                numbers = {name: value for name, value in row.items() if isinstance(value, float)}
                _require_finite(numbers, state, descent)
                state.history.append(row)
                bar.set_postfix({name: f"{value:.3g}" for name, value in numbers.items()})
            state.seconds = time.perf_counter() - began
            if path:
                with processes.leader_first():
                    state.save(path)
            if stopping or (last and stop.is_set()):
                where = f"saved in {path}; the same command goes on" if path else "nothing was saved"
                raise KeyboardInterrupt(f"stopped after step {state.step} of {descent.steps}: {where}")
    if state.history:
        state.history[-1]["seconds"] = state.seconds
    return to_host(state.params), state.history


def _require_finite(numbers, state, descent):
    """What the step changed, too: it may have been ruined, and only the next loss would tell."""
    changed = [*state.params.values(), *state.moments.values()]
    finite = [bool(array_module(value).isfinite(value).all()) for value in changed]
    bad = [name for name, value in numbers.items() if not np.isfinite(value)]
    if bad or not all(finite):
        name = bad[0] if bad else "loss"
        raise FloatingPointError(
            f"training diverged by step {state.step}, {name} {numbers[name]:g}: try a lower rate than "
            f"{descent.rate:g}, or smaller weights of the loss"
        )
