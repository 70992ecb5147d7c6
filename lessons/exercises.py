"""What a lesson's cells call: the checks of its exercises, the package's own answers, and sliders.

First finite differences, then the package's own function on the same arguments.
"""

import ast
import inspect
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
from answers import NotRight, agree, ask, call, compare, unchanged

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package lies beside the lessons
from slowae.backend import to_device
from slowae.gradcheck import check_gradients

FORM = 1e30  # the tolerance where only shape, dtype and NaN are looked at


def solution(function):
    """The package's source of a function, for a notebook to show; it runs where it is pasted.

    Before it stands the import of what it uses, after it the private functions that it calls.
    """
    from IPython.display import Code

    module, sources, imports = inspect.getmodule(function), {function.__name__: inspect.getsource(function)}, set()
    for source in (waiting := [*sources.values()]):
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        for name in sorted(used & vars(module).keys() - sources.keys()):
            if name.startswith("_"):
                sources[name] = inspect.getsource(vars(module)[name])
                waiting.append(sources[name])
            else:
                imports.add(name)
    line = [f"from {module.__name__} import {', '.join(sorted(imports))}\n"] if imports else []
    return Code("\n\n".join([*line, *sources.values()]), language="python")


def slider(draw, **choices):
    """draw() -> Figure is shown, and over it a slider for each {argument: values}, which draws it anew when moved.

    The figure is not drawn in a widget: so it is in the page that is stored, and a program that executes the lesson,
    whose replies to a widget can wait for one another, is never asked for one.
    """
    import matplotlib.pyplot as plt
    from IPython.display import DisplayHandle, display
    from ipywidgets import SelectionSlider

    picture, sliders = DisplayHandle(), {}

    def drawn(**chosen):
        figure = draw(**chosen)
        plt.close(figure)  # or it is shown once more below the cell
        return figure

    for name, values in choices.items():
        begin = inspect.signature(draw).parameters[name].default
        sliders[name] = SelectionSlider(options=values, value=begin, description=name, continuous_update=False)
        sliders[name].observe(lambda _: picture.update(drawn(**{n: s.value for n, s in sliders.items()})), "value")
    display(*sliders.values())
    picture.display(drawn())


def _label(answer, case):
    return f"{answer.__name__}, {case}" if case else answer.__name__


def _as_single(value):
    """Every float64 array in nested arguments as float32."""
    if isinstance(value, dict):
        return {name: _as_single(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_as_single, value))
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def _has_double(value):
    if isinstance(value, dict | list | tuple):
        return any(map(_has_double, value.values() if isinstance(value, dict) else value))
    return getattr(value, "dtype", None) == np.float64


def _check_single(label, answer, solution, names, arguments):
    """What is float32 stays float32, as in the package: float64 doubles the memory and the time of all that follows."""
    label, single = f"{label}, float32", _as_single(arguments)
    expected = solution(**single)
    if not _has_double(expected):
        compare(label, names, expected, ask(answer, single, label), FORM)


def _grade(label, names, expected, found, pair, arguments, arrays, rng):
    """First finite differences of a pair's forward, by the float64 `arrays`, against its backward; then the values."""
    forward, backward = pair
    fixed = {n: to_device(v) if isinstance(v, np.ndarray) else v for n, v in arguments.items() if n not in arrays}
    try:
        check_gradients(partial(forward, **fixed), backward, arrays, rng)
    except AssertionError as error:
        compare(f"{label}: {error}; for example", names, expected, found)
        raise NotRight(f"{label}: {error}") from None
    compare(label, names, expected, found)


def check(answer, solution, returns, *, backward=None, case="", rtol=None, **arguments):
    """answer(**arguments) against the package's function `solution`. returns: the names of what it returns, "a cache".

    A `cache` is compared by what the package's `backward` makes of it. case: what this check looks at, in words. rtol:
    where rounding is more than usual.
    """
    label, names = _label(answer, case), returns.split()
    expected, found = solution(**arguments), ask(answer, arguments, label)
    compare(label, names, expected, found, rtol)
    if backward:
        dout = np.random.default_rng(0).standard_normal(expected[0].shape)
        try:
            grads = backward(dout, found[1])
        except Exception as error:
            raise NotRight(f"{label}: cache: {backward.__name__} cannot use it ({error})") from error
        compare(label, [f"cache, what {backward.__name__} makes of it"], backward(dout, expected[1]), grads)
    if rtol is None:
        _check_single(label, answer, solution, names, arguments)
    print(f"{label}: {', '.join(n for n in names if backward or n != 'cache')} right")


def check_in_place(answer, solution, changes, **arguments):
    """answer(**arguments) returns nothing and writes into the dicts of arrays that `changes` names, "params velocity",
    as the package's `solution` does, and into no others."""
    name, changes, expected, found = answer.__name__, changes.split(), deepcopy(arguments), deepcopy(arguments)
    handed = {f"{what}[{key!r}]": (what, key, array) for what in changes for key, array in found[what].items()}
    solution(**expected)
    call(answer, found, name, may_change=changes)
    for where, (what, key, array) in handed.items():
        if found[what].get(key) is not array:
            raise NotRight(
                f"{name}: {where} is another array now; {where}[...] = ... writes into the one that was there"
            )
    if all(unchanged(arguments[what], found[what]) for what in changes):
        same = f"{' and '.join(changes)} as before; v[...] = ... writes into an array, v = ... does not"
        raise NotRight(f"{name} changes nothing yet: {same}")
    agree(name, changes, [expected[what] for what in changes], [found[what] for what in changes])
    print(f"{name}: {', '.join(changes)} right")


def check_backward(answer, solution, forward, *, case="", seed=0, **arguments):
    """backward(dout, cache): first against finite differences of `forward`, then against the package's `solution`.

    forward(**arguments) -> (out, cache): the package's. Its float64 arrays are differentiated, the rest is fixed.
    """
    arrays = {n: v for n, v in arguments.items() if isinstance(v, np.ndarray) and v.dtype == np.float64}
    out, cache = forward(**arguments)
    rng = np.random.default_rng(seed)
    dout, names, label = rng.standard_normal(out.shape), [f"d{name}" for name in arrays], _label(answer, case)
    handed = dict(zip(inspect.signature(solution).parameters, (dout, cache), strict=True))
    expected, found = solution(**handed), ask(answer, handed, label)
    compare(label, names, expected, found, FORM)
    _grade(label, names, expected, found, (forward, answer), arguments, arrays, rng)
    _check_single(label, answer, solution, names, handed)
    print(f"{label}: {', '.join(names)} right")


def check_loss(answer, solution, returns, *, case="", seed=0, **arguments):
    """A loss that returns its value and its gradients, returns="loss dz": the value against `solution`, then finite
    differences of `solution` against the gradients, which belong to the arguments z, ... that `returns` names."""
    label, names = _label(answer, case), returns.split()
    expected, found = solution(**arguments), ask(answer, arguments, label)
    compare(label, names, expected, found, FORM)
    compare(label, names[:1], expected[0], found[0])
    arrays = {name.removeprefix("d"): arguments[name.removeprefix("d")] for name in names[1:]}

    def forward(**every):
        return solution(**every)[0], answer(**every)[1:]

    def backward(dout, grads):
        return tuple(dout * g for g in grads)

    _grade(label, names, expected, found, (forward, backward), arguments, arrays, np.random.default_rng(seed))
    _check_single(label, answer, solution, names, arguments)
    print(f"{label}: {', '.join(names)} right")


def check_network(loss_and_gradients, params, *arguments):
    """The gradients that loss_and_gradients(params, *arguments) returns, keyed as `params`, by finite differences."""

    def forward(**params):
        return loss_and_gradients(params, *arguments)

    def backward(dout, grads):
        return tuple(dout * grads[name] for name in params)

    check_gradients(forward, backward, params, np.random.default_rng(0))
    print(f"the gradients of {', '.join(params)} agree with finite differences")
