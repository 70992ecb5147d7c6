"""Results on disk: written under a temporary name, then moved into place. Arrays are .npz without pickles, or JSON."""

import hashlib
import io
import json
import os
import secrets
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path

import filelock
import numpy as np

from slowae import __version__, processes
from slowae.backend import chosen


@contextmanager
def replacing(path):
    """Open a temporary file beside `path` for writing; it takes the name only when whole. OSError names `path`."""
    if not processes.leads():
        yield io.BytesIO()
        return
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:  # x: never a file, or a link, that was there before
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; what stood there before is untouched") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def claim(folder):
    """Make `folder`, and keep every other run out of it until this one ends or dies.

    ValueError if another run works there; OSError if it cannot be written to.
    """
    if not processes.leads():
        yield
        return
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise ValueError(f"another run is at work in {folder}; wait for it, or give another --out") from None
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}; give another --out") from error
    with lock:
        part = f".*.{16 * '[0-9a-f]'}.part"  # of runs killed while they wrote
        for path in (*folder.glob(part), *folder.glob(f"cache/{part}")):
            path.unlink(missing_ok=True)
        yield


def move_aside(path):
    """Rename a file to NAME.old, NAME.old.old, ...: nothing is deleted."""
    aside = path.with_name(f"{path.name}.old")
    if aside.exists():
        move_aside(aside)
    path.rename(aside)


def write_arrays(path, arrays):
    """A dict of arrays -> .npz."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path):
    """.npz -> dict of arrays. ValueError if the file is damaged; OSError and MemoryError are about the machine."""
    data = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise
    except Exception as error:  # damage shows in many ways: to the zip, to a header, to a checksum
        raise ValueError(f"{path} is damaged or not an .npz of arrays; delete it and start afresh") from error


@processes.leader_first()
def cached(path, make, resume=True):
    """make() -> dict of arrays, or what it made before, under a name that holds the key of all that it depends on.

    Without `resume`, or if the file is damaged or was written under another name, it is moved aside and made again.
    """
    path = Path(path)
    if path.exists() and (resume or not processes.leads()):
        with suppress(ValueError):
            arrays = read_arrays(path)
            if str(arrays.pop("cached as", None)) == path.name:
                return arrays
        warnings.warn(f"{path} is damaged, or is not what its name says: moved aside and made again", stacklevel=3)
    if path.exists():
        move_aside(path)
    arrays = make()
    write_arrays(path, {**arrays, "cached as": np.array(path.name)})
    return arrays


def read_json(path):
    """.json -> what it holds."""
    return json.loads(Path(path).read_bytes())


def write_json(path, value):
    """Anything JSON can hold -> an indented .json. ValueError for NaN and Inf, which it cannot."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with replacing(path) as file:
        file.write((text + "\n").encode())


def read_groups(path):
    """.npz with the names group/name -> {group: {name: array}}. ValueError if the file is damaged."""
    groups = {}
    for key, value in read_arrays(path).items():
        group, _, name = key.rpartition("/")
        groups.setdefault(group, {})[name] = value
    return groups


def checksum(arrays):
    """An array, or a dict of them, on the host -> a text that another array does not have: of bytes, dtypes, shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()) if isinstance(arrays, dict) else [("", arrays)]:
        digest.update(f"{name} {value.dtype} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()[:16]


def key(depends):
    """All that a cached file depends on (JSON, dataclasses, numbers) -> a text for its name.

    Of the code it holds the program's version alone: after a change of a method give --no-resume, or another --out.
    """

    def plain(value):
        return asdict(value) if is_dataclass(value) else value.item()

    where = [] if chosen() == "numpy" else [chosen(), os.environ.get("CUPY_TF32")]
    where += ["plain"] if os.environ.get("SLOWAE_CONV") == "plain" else []  # it has other last bits
    text = json.dumps([__version__, depends, *where], sort_keys=True, allow_nan=False, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
