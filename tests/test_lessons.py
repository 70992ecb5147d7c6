"""Every lesson runs with the package's functions as answers, stops politely without them, and catches wrong ones."""

import inspect
import json
import pickle
import re
from copy import deepcopy
from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from exercises import NotRight, solution

from slowae import train
from slowae.data import patches, video, whitening
from tests.lessons import FOLDER, LESSONS, answer, cells, imported
from tests.planted import PLANTED

LESSON = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def once(function):
    """`function`, which gives what it gave before where it is asked the same again."""
    kept = {}

    def again(*args, **kwargs):
        key = pickle.dumps((args, kwargs))
        if key not in kept:
            kept[key] = function(*args, **kwargs)
        return deepcopy(kept[key])

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
        for module, name in ((video, "load_scenes"), (patches, "load_pairs"), (whitening, "principal_axes")):
            patch.setattr(module, name, once(getattr(module, name)))
        yield


def run(source, space, path):
    exec(compile(source, f"<{path.stem}>", "exec"), space)


def larger(out):
    """Everything in `out`, an array, a number or a dict of them, by a hundredth."""
    return {name: larger(value) for name, value in out.items()} if isinstance(out, dict) else out * 1.01


def arrays(value):
    """Every array in nested arguments."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from arrays(part)


def wrong_answers(function, run_check):
    """Functions that are `function` but for one thing, each with that thing's name."""
    outs, handed = [], []

    def recorded(*args, **kwargs):
        outs.append(function(*args, **kwargs))
        handed.append((args, kwargs))
        return outs[-1]

    run_check(recorded)
    if outs[0] is None:  # it works in place
        for i in range(len(list(arrays(handed[0])))):

            def overdone(*args, i=i, **kwargs):
                function(*args, **kwargs)
                array = list(arrays((args, kwargs)))[i]
                array[...] = 1.01 * array

            yield f"leaves array {i} of its arguments too large by a hundredth", overdone
        return
    parts = outs[0] if isinstance(outs[0], tuple) else (outs[0],)
    forward = function.__name__.endswith("_forward")
    for part in range(1 if forward else len(parts)):

        def scaled(*args, part=part, **kwargs):
            out = function(*args, **kwargs)
            if not isinstance(out, tuple):
                return larger(out)
            return tuple(larger(o) if i == part else o for i, o in enumerate(out))

        yield f"part {part} too large by a hundredth", scaled

    def spoiling(*args, **kwargs):
        out = function(*args, **kwargs)
        next(arrays((args, kwargs)))[...] = 0
        return out

    yield "writes into its argument", spoiling
    yield "returns a list", lambda *args, **kwargs: [function(*args, **kwargs)]
    yield "returns a tuple of one", lambda *args, **kwargs: (function(*args, **kwargs),)
    if forward:
        yield "keeps nothing for backward", lambda *args, **kwargs: (function(*args, **kwargs)[0], None)


@LESSON
def test_runs_solved_and_stops_at_what_is_unsolved_or_wrong(path, hurried, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("SLOWAE_STATIC", "1")
    space, sources = {"__name__": "__main__"}, cells(path)
    for source, following in zip(sources, [*sources[1:], ""], strict=True):
        function = answer(source)
        run(source, space, path)
        if not function:
            plt.close("all")
            continue
        name = function.__name__
        assert list(inspect.signature(space[name]).parameters.values()) == list(
            inspect.signature(function).parameters.values()
        ), f"{name} has another signature than the package's"
        with pytest.raises(NotRight, match=f"{name} (returns|changes) nothing yet"):
            run(following, space, path)

        def run_check(candidate, name=name, following=following):
            candidate.__name__, space[name] = name, candidate
            run(following, space, path)

        for what, wrong in wrong_answers(function, run_check):
            with pytest.raises(NotRight, match=name):
                run_check(wrong)
                pytest.fail(f"{path.stem}: {name}, {what}, passes its check")
        check_what_is_shown(function, following, space, path)
        run(imported(source), space, path)


def check_what_is_shown(function, following, space, path):
    """The solution runs where it is pasted, and the planted answers do not pass."""
    shown, name, pasted = solution(function).data, function.__name__, dict(space)
    run(shown, pasted, path)
    assert pasted[name] is not function
    run(following, pasted, path)
    for whose, right, wrong, told in PLANTED:
        if whose == f"{function.__module__}.{name}":
            assert right in shown, f"{whose}: the package no longer has {right}"
            run(shown.replace(right, wrong), pasted, path)
            with np.errstate(all="ignore"), pytest.raises(NotRight, match=f"{name}.*{told}"):
                run(following, pasted, path)


@LESSON
def test_is_fit_to_be_read_where_it_is_stored(path):
    assert path.stat().st_size < 1_000_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] or cell["execution_count"] for cell in code), "run python -m tests.lessons"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    figures = [o["data"] for o in outputs if "<Figure" in "".join(o.get("data", {}).get("text/plain", ""))]
    assert all("image/png" in data for data in figures), "a figure shows as text only"


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
