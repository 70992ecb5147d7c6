"""Lessons as tests see them: their cells, the package's function for each exercise, and running them.

`python -m tests.lessons [NN ...]` runs lessons with the package's functions in place of the exercises and writes the
outputs into the notebooks, whose exercises stay unsolved.
"""

import importlib
import json
import re
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "lessons"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
# The first line of an exercise cell, and the function that answers it: of the package, or of a file beside the lessons.
EXERCISE = re.compile(r"# Exercise \d+: ([\w.]+)\.(\w+)\n")


def cells(path, kind="code"):
    """The sources of the code cells, or of those of another kind."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def answer(source):
    """An exercise cell's source -> the function that answers it; None for any other cell."""
    match = EXERCISE.match(source)
    return match and getattr(importlib.import_module(match[1]), match[2])


def imported(source):
    """An exercise cell's source -> the line that puts the answer in its place."""
    match = EXERCISE.match(source)
    return f"from {match[1]} import {match[2]}"


def solved(notebook, folder):
    """Run all cells, with the answers in place of the exercises, in a kernel of its own that works in `folder`."""
    from nbclient import NotebookClient

    stubs = {i: cell.source for i, cell in enumerate(notebook.cells) if answer(cell.source)}
    for i, stub in stubs.items():
        notebook.cells[i].source = imported(stub)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}, record_timing=False).execute()
    for i, stub in stubs.items():
        notebook.cells[i].source = stub


def is_read_by_all(output):
    """Progress bars on stderr, and sliders, are for whoever runs the lesson."""
    return output.get("name") != "stderr" and "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


def execute(path):
    """Run the lesson solved and write its outputs; prints duration and size."""
    import nbformat

    sys.path.insert(0, str(FOLDER))
    notebook, start = nbformat.read(path, as_version=4), time.perf_counter()
    solved(notebook, FOLDER)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs, cell.outputs = filter(is_read_by_all, cell.outputs), []
            for output in outputs:
                if cell.outputs and output.output_type == cell.outputs[-1].output_type == "stream":
                    cell.outputs[-1].text += output.text  # what a slow cell printed in parts
                else:
                    cell.outputs.append(output)
    nbformat.write(notebook, path)
    print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    for lesson in LESSONS:
        if len(sys.argv) == 1 or lesson.name[:2] in sys.argv[1:]:
            execute(lesson)
