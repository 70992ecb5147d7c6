"""Reading and writing results so that nothing is lost: a temporary name first, then moved into place.

Arrays are .npz without pickles, everything else is JSON.
"""

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np


@contextmanager
def replacing(path):
    """Open a temporary file beside `path` for writing; it takes the name only when whole. OSError names `path`."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
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


def write_arrays(path, arrays):
    """A dict of arrays -> .npz."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path):
    """.npz -> dict of arrays. ValueError if the file is damaged, FileNotFoundError if it is not there."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; train first, or check the path") from None
    except Exception as error:  # damage shows in many ways: to the zip, to a header, to a checksum
        raise ValueError(f"{path} is damaged or not an .npz of arrays; delete it and start afresh") from error


def read_json(path):
    """.json -> what it holds. ValueError if the file is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged; delete it and start afresh") from error


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


def write_json(path, value):
    """Anything JSON can hold -> an indented .json."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())
