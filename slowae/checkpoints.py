"""Checkpoints of a training: all that its remaining steps depend on, in a file whose name holds the run's key."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from slowae import files, processes
from slowae.backend import to_device, to_host
from slowae.checks import require


@dataclass(frozen=True)
class Checkpoint:
    """FOLDER/NAME-KEY.npz. settings (JSON): what the run depends on beside its Descent and first parameters."""

    folder: Path
    name: str
    settings: dict = field(default_factory=dict)
    resume: bool = True


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
    """Load into `state` what this run has saved, if anything -> the path to save to; None without `checkpoint`."""
    if not checkpoint:
        return None
    key = files.key((asdict(descent), files.checksum(to_host(state.params)), checkpoint.settings))
    path = Path(checkpoint.folder) / f"{checkpoint.name}-{key}.npz"
    with processes.leader_first():
        if path.exists() and checkpoint.resume:
            load(path, state)
        elif path.exists():
            files.move_aside(path)
    processes.require_agreement("checkpoint", [f"{path} after {state.step} steps"])
    return path


def save(path, state):
    """state -> an .npz, moved into place when it is whole."""
    rest = {name: getattr(state, name) for name in ("step", "seconds", "history")}
    rest |= {"run": path.stem, "rng": state.rng.bit_generator.state}
    arrays = {f"params/{name}": value for name, value in to_host(state.params).items()}
    arrays |= {f"moments/{name}": value for name, value in to_host(state.moments).items()}
    with processes.leader_first():
        files.write_arrays(path, arrays | {"state": np.array(json.dumps(rest))})


def load(path, state):
    """The opposite. ValueError if `path` is damaged or of another run than its name says."""
    arrays = files.read_arrays(path)
    require("state" in arrays, f"{path} is not a checkpoint of this program; delete it and start afresh")
    rest = json.loads(str(arrays["state"]))
    run = rest["run"]
    require(run == path.stem, f"{path} holds another run: rename it to {run}.npz, or delete it and start afresh")
    state.params = to_device({name: arrays[f"params/{name}"] for name in state.params})
    state.moments = to_device({name: arrays[f"moments/{name}"] for name in state.moments})
    state.rng.bit_generator.state = rest["rng"]
    state.step, state.seconds, state.history = rest["step"], rest["seconds"], rest["history"]
