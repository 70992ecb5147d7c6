"""Checkpoints of a training: all that the rest of it depends on, in a file whose name holds the key of the run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from slowae import files, processes
from slowae.backend import to_device, to_host
from slowae.checks import require


@dataclass(frozen=True)
class Checkpoint:
    """FOLDER/NAME-KEY.npz. settings: all that the run depends on beside its descent and its start (JSON).

    resume: go on from what is there; else it is moved aside.
    """

    folder: Path
    name: str
    settings: dict = field(default_factory=dict)
    resume: bool = True

    def path(self, descent, params):
        """Of the run that begins with params, on the host."""
        depends = asdict(descent), files.checksum(params), self.settings
        return Path(self.folder) / f"{self.name}-{files.key(depends)}.npz"


@dataclass
class State:
    """What a step changes."""

    params: dict
    moments: dict
    rng: np.random.Generator
    step: int = 0
    seconds: float = 0.0
    history: list = field(default_factory=list)


def begin(checkpoint, descent, state):
    """Load into `state` what this run has saved, if anything -> the path to save to; None without a checkpoint."""
    if not checkpoint:
        return None
    path = checkpoint.path(descent, to_host(state.params))
    with processes.leader_first():
        if path.exists() and checkpoint.resume:
            load(path, state)
        elif path.exists():
            files.move_aside(path)
    processes.require_agreement("checkpoint", [f"{path} after {state.step} steps"])
    return path


def save(path, state):
    """state -> an .npz, moved into place when it is whole."""
    rest = {"run": path.stem, "step": state.step, "seconds": state.seconds, "history": state.history}
    rest["rng"] = state.rng.bit_generator.state
    arrays = {f"params/{name}": value for name, value in to_host(state.params).items()}
    arrays |= {f"moments/{name}": value for name, value in to_host(state.moments).items()}
    with processes.leader_first():
        files.write_arrays(path, arrays | {"state": np.array(json.dumps(rest))})


def load(path, state):
    """The opposite. ValueError, and nothing changed, if `path` is damaged or of another run than its name says."""
    arrays = files.read_arrays(path)
    try:
        rest = json.loads(str(arrays["state"]))
        params = {name: arrays[f"params/{name}"] for name in state.params}
        moments = {name: arrays[f"moments/{name}"] for name in state.moments}
        run, step, seconds, history, rng = (rest[name] for name in ("run", "step", "seconds", "history", "rng"))
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a checkpoint of this program; delete it and start afresh") from error
    remedy = f"rename it to {run}.npz, or delete it and start afresh"
    require(run == path.stem, f"{path} holds another run, {run}: {remedy}")
    state.params, state.moments, state.rng.bit_generator.state = to_device(params), to_device(moments), rng
    state.step, state.seconds, state.history = step, seconds, history
