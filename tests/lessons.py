"""Lessons as tests see them: their cells, the package's function for each exercise, and running them.

`python -m tests.lessons [NN ...]` runs lessons with the package's functions in place of the exercises and writes the
outputs into the notebooks, whose exercises stay unsolved.
"""

import importlib
import json
import os
import re
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "lessons"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
# The first line of an exercise cell, and the function of the package that answers it.
EXERCISE = re.compile(r"# Exercise \d+: slowae\.([\w.]+)\.(\w+)\n")


def cells(path, kind="code"):
    """The sources of the code cells, or of those of another kind."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def answer(source):
    """An exercise cell's source -> the package's function; None for any other cell."""
    match = EXERCISE.match(source)
    return match and getattr(importlib.import_module(f"slowae.{match[1]}"), match[2])


def imported(source):
    """An exercise cell's source -> the line that puts the package's function in its place."""
    match = EXERCISE.match(source)
    return f"from slowae.{match[1]} import {match[2]}"


def execute(path):
    """Run the lesson solved, in a kernel of its own, and write its outputs; prints duration and size."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["SLOWAE_STATIC"] = "1"
    notebook = nbformat.read(path, as_version=4)
    stubs = {i: cell.source for i, cell in enumerate(notebook.cells) if answer(cell.source)}
    for i, stub in stubs.items():
        notebook.cells[i].source = imported(stub)
    start = time.perf_counter()
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}, record_timing=False).execute()
    for i, stub in stubs.items():
        notebook.cells[i].source = stub
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        # Progress bars on stderr are for whoever runs the lesson.
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, path)
    print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    for lesson in LESSONS:
        if len(sys.argv) == 1 or lesson.name[:2] in sys.argv[1:]:
            execute(lesson)
