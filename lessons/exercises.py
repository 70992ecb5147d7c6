"""What a lesson's cells call: the checks of its exercises, the package's own answers, and sliders.

First finite differences, then the package's own function on the same arguments.
"""

import ast
import inspect
import os
from copy import deepcopy
from functools import partial

import numpy as np
from answers import NotRight, call, compare, equal, unchanged

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
    """A slider for each {argument: values}, which calls draw(**chosen) when moved; it begins with draw's defaults.

    Where SLOWAE_STATIC is set, as it is for programs that execute lessons, draw() once and no widget: for a picture
    drawn in one, nbclient sends on the socket on which it awaits a reply, and may not notice that until its timeout.
    """
    if os.environ.get("SLOWAE_STATIC"):
        draw()
        return
    from ipywidgets import SelectionSlider, interact

    defaults = {name: parameter.default for name, parameter in inspect.signature(draw).parameters.items()}
    interact(draw, **{n: SelectionSlider(options=v, value=defaults[n], description=n) for n, v in choices.items()})


def _label(answer, case):
    return f"{answer.__name__}, {case}" if case else answer.__name__


def _grade(label, names, expected, found, pair, arguments, arrays, rng):
    """First finite differences of a pair's forward, by the float64 `arrays`, against its backward; then the values."""
    forward, backward = pair
    fixed = {n: to_device(v) if isinstance(v, np.ndarray) else v for n, v in arguments.items() if n not in arrays}
    try:
        check_gradients(partial(forward, **fixed), backward, arrays, rng)
    except AssertionError as error:
        compare(f"{label}: {error}; for example", names, expected, found, 1e-9)
        raise NotRight(f"{label}: {error}") from None
    compare(label, names, expected, found, 1e-9)
    print(f"{label}: {', '.join(names)} right")


def check(answer, solution, returns, *, backward=None, case="", rtol=1e-6, **arguments):
    """answer(**arguments) against the package's function `solution`. returns: the names of what it returns, "a cache".

    A `cache` is compared by what the package's `backward` makes of it. case: what this check looks at, in words.
    """
    label, names = _label(answer, case), returns.split()
    expected, found = solution(**arguments), call(answer, arguments, label)
    compare(label, names, expected, found, rtol)
    if backward:
        dout = np.random.default_rng(0).standard_normal(expected[0].shape)
        try:
            grads = backward(dout, found[1])
        except Exception as error:
            raise NotRight(f"{label}: cache: {backward.__name__} cannot use it ({error})") from error
        equal(f"{label}: cache, what {backward.__name__} makes of it", backward(dout, expected[1]), grads, rtol)
    print(f"{label}: {', '.join(n for n in names if backward or n != 'cache')} right")


def check_in_place(answer, solution, changes, *, rtol=1e-6, **arguments):
    """answer(**arguments) returns nothing and changes the arguments that `changes` names, "params velocity", as the
    package's `solution` does, and no others."""
    changes, expected = changes.split(), deepcopy(arguments)
    solution(**expected)
    found = call(answer, arguments, may_change=changes)
    if all(unchanged(arguments[name], found[name]) for name in changes):
        same = f"{' and '.join(changes)} as before; v[...] = ... writes into an array, v = ... does not"
        raise NotRight(f"{answer.__name__} changes nothing yet: {same}")
    for name in changes:
        equal(f"{answer.__name__}: {name}", expected[name], found[name], rtol)
    print(f"{answer.__name__}: {', '.join(changes)} right")


def check_backward(answer, solution, forward, *, case="", seed=0, **arguments):
    """backward(dout, cache): first against finite differences of `forward`, then against the package's `solution`.

    forward(**arguments) -> (out, cache): the package's. Its float64 arrays are differentiated, the rest is fixed.
    """
    arrays = {n: v for n, v in arguments.items() if isinstance(v, np.ndarray) and v.dtype == np.float64}
    out, cache = forward(**arguments)
    rng = np.random.default_rng(seed)
    dout, names, label = rng.standard_normal(out.shape), [f"d{name}" for name in arrays], _label(answer, case)
    expected = solution(dout, cache)
    found = call(answer, dict(zip(inspect.signature(solution).parameters, (dout, cache), strict=True)), label)
    compare(label, names, expected, found, FORM)
    _grade(label, names, expected, found, (forward, answer), arguments, arrays, rng)


def check_loss(answer, solution, returns, *, case="", seed=0, **arguments):
    """A loss that returns its value and its gradients, returns="loss dz": the value against `solution`, then finite
    differences of `solution` against the gradients, which belong to the arguments z, ... that `returns` names."""
    label, names = _label(answer, case), returns.split()
    expected, found = solution(**arguments), call(answer, arguments, label)
    compare(label, names, expected, found, FORM)
    equal(f"{label}: {names[0]}", expected[0], found[0], 1e-9)
    arrays = {name.removeprefix("d"): arguments[name.removeprefix("d")] for name in names[1:]}

    def forward(**every):
        return solution(**every)[0], answer(**every)[1:]

    def backward(dout, grads):
        return tuple(dout * g for g in grads)

    _grade(label, names, expected, found, (forward, backward), arguments, arrays, np.random.default_rng(seed))
