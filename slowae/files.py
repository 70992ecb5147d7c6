"""Reading and writing results so that nothing is lost: a temporary name first, then moved into place.

Arrays are .npz without pickles, everything else is JSON. What a cached file depends on is hashed into its name.
"""

import hashlib
import io
import json
import os
import re
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from slowae import __version__, processes
from slowae.backend import chosen

PART = re.compile(r"\..+\.[0-9a-f]{16}\.part")


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
        reason = error.strerror or error
        raise OSError(f"cannot write {path}: {reason}; what stood there before is untouched") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def claim(folder):
    """Make `folder`, see that it can be written to, and keep every other run out until this one ends or dies.

    ValueError if another run has it; OSError if it cannot be had.
    """
    import filelock

    folder = Path(folder)
    if not processes.leads():
        yield folder
        return
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        new = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(f"another run is at work in {folder}; wait for it, or give another --out") from None
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror or error}; give another --out") from error
    try:
        for path in (*folder.glob(".*.part"), *folder.glob("cache/.*.part")):  # of runs killed while they wrote
            if PART.fullmatch(path.name):
                path.unlink(missing_ok=True)
        yield folder
    finally:
        with suppress(OSError):
            if os.listdir(folder) == [".lock"]:  # a run that was refused leaves nothing
                (folder / ".lock").unlink()
                for place in new:
                    place.rmdir()
        lock.release()


def move_aside(path):
    """Rename a file that stands in the way to NAME.old, NAME.old2, ...: nothing is deleted."""
    path, count = Path(path), 1
    while (aside := path.with_name(f"{path.name}.old{count if count > 1 else ''}")).exists():
        count += 1
    path.rename(aside)


def write_arrays(path, arrays):
    """A dict of arrays -> .npz."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def _read(path):
    """The bytes of a file. An OSError is about the file system and says so: only what can be read can be damaged."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; train first, or check the path") from None
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}; the file itself may be sound") from error
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory; close other programs and try again") from None


def read_arrays(path):
    """.npz -> dict of arrays. ValueError if the file is damaged, FileNotFoundError if it is not there."""
    data = _read(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory; close other programs and try again") from None
    except Exception as error:  # damage shows in many ways: to the zip, to a header, to a checksum
        raise ValueError(f"{path} is damaged or not an .npz of arrays; delete it and start afresh") from error


@processes.leader_first()
def cached(path, make):
    """make() -> dict of arrays, or what it made before, under a name that holds the key of all that it depends on."""
    if not Path(path).exists():
        write_arrays(path, make())
    return read_arrays(path)


def read_json(path):
    """.json -> what it holds. ValueError if the file is damaged."""
    try:
        return json.loads(_read(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged; delete it and start afresh") from error


def write_json(path, value):
    """Anything JSON can hold -> an indented .json. ValueError for NaN and Inf, which it cannot."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with replacing(path) as file:
        file.write((text + "\n").encode())


def write_groups(path, groups):
    """{group: {name: array}}, for instance the parameters of several layers -> .npz with the names group/name."""
    write_arrays(path, {f"{group}/{name}": value for group, arrays in groups.items() for name, value in arrays.items()})


def read_groups(path):
    """The opposite. ValueError if the file is damaged, FileNotFoundError if it is not there."""
    groups = {}
    for key, value in read_arrays(path).items():
        group, _, name = key.rpartition("/")
        groups.setdefault(group, {})[name] = value
    return groups


def checksum(arrays):
    """An array, or a dict of them, on the host -> a text that another array does not have: of bytes, dtypes, shapes."""
    found = hashlib.sha256()
    for name, value in sorted(arrays.items()) if isinstance(arrays, dict) else [("", arrays)]:
        found.update(f"{name} {value.dtype} {value.shape} ".encode())
        found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()[:16]


def key(depends):
    """All that a cached file depends on (JSON), the program's version, what computes -> what its name is to hold."""
    where = [] if chosen() == "numpy" else [chosen(), os.environ.get("CUPY_TF32")]
    text = json.dumps(
        [__version__, depends, *where], sort_keys=True, allow_nan=False, default=lambda number: number.item()
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
