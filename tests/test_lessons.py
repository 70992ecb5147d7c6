"""Every lesson runs with the package's functions as answers, stops politely without them, and catches wrong ones."""

import importlib
import inspect
import json
import pickle
import re
import shutil
from copy import deepcopy
from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from exercises import NotRight, solution

from slowae import train
from slowae.data import film_patches, video, whitening
from tests.lessons import FOLDER, LESSONS, answer, cells, imported, solved
from tests.planted import PLANTED, planted

LESSON = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
FOLLOW_THE_DTYPE = "slowae.layers", "slowae.losses", "slowae.conv", "slowae.model"


def once(function):
    """`function`, which gives what it gave before where it is asked the same again."""
    cache = {}

    def again(*args, **kwargs):
        key = pickle.dumps((args, kwargs))
        if key not in cache:
            cache[key] = function(*args, **kwargs)
        return deepcopy(cache[key])

    return again


@pytest.fixture(scope="module")
def hurried():
    """Lessons that begin with the same film decode and whiten it once, and all train a twentieth of their steps.

    `python -m tests.lessons` takes them all and writes what a lesson shows; here it is enough that each cell runs.
    """
    fit = train.fit

    def fit_shorter(loss_and_gradients, init, draw, descent, **more):
        return fit(loss_and_gradients, init, draw, replace(descent, steps=-(-descent.steps // 20)), **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "fit", fit_shorter)
        for module, name in ((video, "load_scenes"), (film_patches, "load_pairs"), (whitening, "principal_axes")):
            patch.setattr(module, name, once(getattr(module, name)))
        yield


def run(source, space, path):
    exec(compile(source, f"<{path.stem}>", "exec"), space)


def each(change, out):
    """`out`, an array, a number, or a dict or tuple of them, each changed."""
    if isinstance(out, dict):
        return {name: each(change, value) for name, value in out.items()}
    return tuple(each(change, value) for value in out) if isinstance(out, tuple) else change(out)


def larger(out):
    return each(lambda value: 1.01 * value, out)


def doubled(out):
    return each(lambda value: np.float64(value) if getattr(value, "dtype", None) == np.float32 else value, out)


def arrays(value):
    """Every array in nested arguments."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from arrays(part)


def wrong_in_place(function, count):
    """Functions that do in place what `function` does, but for one thing."""
    for i in range(count):

        def overdone(*args, i=i, **kwargs):
            function(*args, **kwargs)
            array = list(arrays((args, kwargs)))[i]
            array[...] = 1.01 * array

        yield f"leaves array {i} of its arguments too large by a hundredth", overdone

    def rebinding(*args, **kwargs):
        function(*args, **kwargs)
        for argument in filter(lambda value: isinstance(value, dict), (*args, *kwargs.values())):
            argument.update({name: value.copy() for name, value in argument.items()})

    yield "puts new arrays into its arguments", rebinding


def wrong_answers(function, run_check):
    """Functions that are `function` but for one thing, each with that thing's name."""
    outs, handed = [], []

    def recorded(*args, **kwargs):
        outs.append(function(*args, **kwargs))
        handed.append((args, kwargs))
        return outs[-1]

    run_check(recorded)
    if outs[0] is None:
        yield from wrong_in_place(function, len(list(arrays(handed[0]))))
        return
    parts, forward = outs[0] if isinstance(outs[0], tuple) else (outs[0],), function.__name__.endswith("_forward")
    for part in range(1 if forward else len(parts)):

        def scaled(*args, part=part, **kwargs):
            out = function(*args, **kwargs)
            if not isinstance(out, tuple):
                return larger(out)
            return tuple(larger(o) if i == part else o for i, o in enumerate(out))

        yield f"part {part} too large by a hundredth", scaled
    single = any(array.dtype == np.float32 for array in arrays(outs))
    assert single or function.__module__ not in FOLLOW_THE_DTYPE, f"{function.__name__} is not checked with float32"
    if single:
        yield "always float64", lambda *args, **kwargs: doubled(function(*args, **kwargs))

    def spoiling(*args, **kwargs):
        out = function(*args, **kwargs)
        next(arrays((args, kwargs)))[...] = 0
        return out

    yield "writes into its argument", spoiling
    yield "returns a list", lambda *args, **kwargs: [function(*args, **kwargs)]
    yield "returns a tuple of one", lambda *args, **kwargs: (function(*args, **kwargs),)
    if forward:
        yield "keeps nothing for backward", lambda *args, **kwargs: (function(*args, **kwargs)[0], None)


def check_the_check(source, following, space, path):
    """Unsolved, the cell that follows says so; it refuses what is wrong, and takes the solution where it is pasted."""
    function = answer(source)
    name, signature = function.__name__, inspect.signature(function).parameters
    assert list(inspect.signature(space[name]).parameters.values()) == list(signature.values()), name
    with pytest.raises(NotRight, match=f"{name} (returns|changes) nothing yet"):
        run(following, space, path)

    def run_check(candidate):
        candidate.__name__, space[name] = name, candidate
        run(following, space, path)

    for what, wrong in wrong_answers(function, run_check):
        with pytest.raises(NotRight, match=name):
            run_check(wrong)
            pytest.fail(f"{path.stem}: {name}, {what}, passes its check")
    pasted, own = space | {"right": function, "replace": replace}, solution(function).data
    asked = f"right({', '.join(f'{n}={n}' for n in signature)})"
    for *mistake, message in PLANTED[f"{function.__module__}.{name}"]:
        run(planted(source, asked, own, *mistake), pasted, path)
        with np.errstate(all="ignore"), pytest.raises(NotRight, match=f"{name}.*{message}"):
            run(following, pasted, path)
            pytest.fail(f"{path.stem}: {name} passes its check with {mistake}")
    run(own, pasted, path)
    assert pasted[name] is not function
    run(following, pasted, path)
    run(imported(source), space, path)


@LESSON
def test_runs_solved_and_stops_at_what_is_unsolved_or_wrong(path, hurried, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(FOLDER)
    space, sources = {"__name__": "__main__"}, cells(path)
    with plt.rc_context({"image.origin": "lower"}):  # a user's own
        for source, following in zip(sources, [*sources[1:], ""], strict=True):
            run(source, space, path)
            if answer(source):
                check_the_check(source, following, space, path)
            plt.close("all")
        assert plt.rcParams["image.origin"] == "upper"


def test_lessons_run_in_another_folder_beside_an_installed_package(tmp_path, monkeypatch):
    """By a kernel, which is asked for sliders and their pictures, and without what the package does not bring."""
    nbformat = pytest.importorskip("nbformat")
    course, site = tmp_path / "course", tmp_path / "site"
    shutil.copytree(FOLDER, course)
    site.mkdir()
    (site / "slowae").symlink_to(FOLDER.parent / "slowae")
    for name in ("pytest", "tests"):
        (site / f"{name}.py").write_text("raise ImportError('not for who learns')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)  # what a kernel's own packages do is theirs
    for lesson in ("03_sparsity_and_pooling", "12_gpu_and_processes"):
        notebook = nbformat.read(course / f"{lesson}.ipynb", as_version=4)
        notebook.cells = notebook.cells[:18]  # all exercises, and sliders; no training
        solved(notebook, course)


@LESSON
def test_can_be_read_where_it_is_stored(path):
    assert path.stat().st_size < 1_000_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] or cell["execution_count"] for cell in code), "run python -m tests.lessons"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o for o in outputs if "widget" in "".join(o.get("data", {}))], "a slider shows as text only"
    figures = [o["data"] for o in outputs if "<Figure" in "".join(o.get("data", {}).get("text/plain", ""))]
    assert all("image/png" in data for data in figures), "a figure shows as text only"
    assert " at 0x" not in path.read_text(encoding="utf-8"), "an object shows as its address: end the cell with ;"
    for cell in code:
        if shown := re.fullmatch(r"exercises\.solution\((\w+)\.(\w+)\)", "".join(cell["source"])):
            function = getattr(importlib.import_module(f"slowae.{shown[1]}"), shown[2])
            stored = "".join(cell["outputs"][0]["data"]["text/plain"])
            assert stored == solution(function).data.rstrip(), "run python -m tests.lessons"


@LESSON
def test_links_and_pictures_exist(path):
    for target in re.findall(r"\]\(([^)#]+)", "".join(cells(path, "markdown"))):
        assert target.startswith("https://") or (FOLDER / target).exists(), target


@LESSON
def test_each_exercise_has_its_check_and_its_solution(path):
    sources = cells(path)
    solutions = [answer(source) for source in sources]
    assert 1 <= len(list(filter(None, solutions))) <= 4
    for i, function in enumerate(solutions):
        if function:
            assert re.search(rf"\(\s*{function.__name__},", sources[i + 1])
            show, go_on = sources[i + 2].splitlines()
            assert re.match(rf"# exercises\.solution\((\w+\.)*{function.__name__}\)  #", show)
            assert go_on.startswith(f"# {imported(sources[i])}  #")
