"""The checks of the lessons ask in every way that finds a mistake, and let nothing wrong through."""

from types import SimpleNamespace

import exercises
import IPython.display
import matplotlib.pyplot as plt
import numpy as np
import pytest
from exercises import NotRight, check, check_backward, check_in_place, check_loss, slider, solution
from strict import Strict

from slowae import gradcheck, layers, losses, model, optim

RNG = np.random.default_rng(0)
H = abs(RNG.standard_normal((2, 4, 4, 8))) + 0.1
Z = RNG.standard_normal((6, 3))


def stub(*args, **kwargs):
    return ...


def pooled(answer):
    check_backward(answer, layers.l2_pool_backward, layers.l2_pool_forward, h=H, group=4, size=2)


def test_what_is_right_passes(capsys):
    check(layers.relu_forward, layers.relu_forward, "h cache", a=Z)
    pooled(layers.l2_pool_backward)
    check_loss(losses.slowness, losses.slowness, "loss dz", z=Z)
    right = ["relu_forward: h right", "l2_pool_backward: dh right", "slowness: loss, dz right"]
    assert capsys.readouterr().out.splitlines() == right


def test_a_wrong_backward_is_refused_by_finite_differences_then_by_value():
    for factor, sentence in ((2, "dh is wrong: along a random .*; for example: dh"), (1 + 1e-8, r"dh\[.*\]: expected")):
        with pytest.raises(NotRight, match=sentence):
            pooled(lambda dz, cache, factor=factor: factor * layers.l2_pool_backward(dz, cache))


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda params, grads, velocity: params["p"].fill(0), r"params\['p'\]\[0\]: expected"),
        (lambda params, grads, velocity: velocity["p"].fill(0), r"velocity\['p'\]\[0\]: .*; right: params\['p'\]"),
        (lambda params, grads, velocity: grads["p"].fill(0), "writes into its argument grads"),
        (lambda params, grads, velocity: params.update(p=1 * params["p"]), r"params\['p'\] is another array now"),
    ],
)
def test_a_change_in_place_is_compared_with_the_package(mistake, sentence):
    def wrong(params, grads, velocity, rate):
        optim.sgd(params, grads, velocity, rate)
        mistake(params, grads, velocity)

    arguments = {"params": {"p": Z[0]}, "grads": {"p": np.ones(3)}, "velocity": {"p": np.ones(3)}, "rate": 0.1}
    check_in_place(optim.sgd, optim.sgd, "params velocity", **arguments)
    with pytest.raises(NotRight, match="stub changes nothing yet"):
        check_in_place(stub, optim.sgd, "params velocity", **arguments)
    with pytest.raises(NotRight, match=sentence):
        check_in_place(wrong, optim.sgd, "params velocity", **arguments)


def test_on_the_device_no_argument_stays_behind(monkeypatch):
    for module in (exercises, gradcheck):
        monkeypatch.setattr(module, "to_device", Strict.of)
    monkeypatch.setattr(
        gradcheck, "to_host", lambda x: {n: v.get() for n, v in x.items()} if isinstance(x, dict) else x
    )
    pairs = {"z": Z, "z_other": Z[::-1] + 1, "near": np.arange(6) % 2 == 0, "margin": 3.0}
    check_loss(losses.drlim, losses.drlim, "loss dz dz_other", **pairs)


def forgetful(da, cache):
    x, W = cache
    return da @ W, x.T @ da, da.sum(0)


def test_an_error_in_the_answer_is_shown_with_its_line():
    arguments = {"x": Z, "W": RNG.standard_normal((3, 4)), "b": np.zeros(4)}
    with pytest.raises(
        NotRight, match=r"forgetful stops at `return da @ W, x.T @ da, da.sum\(0\)` with ValueError: mat"
    ):
        check_backward(forgetful, layers.linear_backward, layers.linear_forward, **arguments)


def test_a_solution_runs_where_nothing_is_imported():
    """With what it imports, and with the private functions that it calls."""
    params, space = {n: RNG.standard_normal((6, 4)) for n in ("W_e", "W_d")} | {"b_e": np.zeros(4)}, {}
    exec(solution(model.loss_and_gradients).data, space)
    arguments = params, RNG.standard_normal((4, 6)), model.Config(size=1)
    assert space["loss_and_gradients"](*arguments)[0] == model.loss_and_gradients(*arguments)[0]


def test_a_slider_shows_the_defaults_and_draws_anew_when_moved(monkeypatch):
    shown, widgets = [], []
    handle = SimpleNamespace(display=shown.append, update=shown.append)
    monkeypatch.setattr(IPython.display, "DisplayHandle", lambda: handle)
    monkeypatch.setattr(IPython.display, "display", lambda *parts: widgets.extend(parts))
    slider(lambda beta=4: plt.figure(label=f"beta = {beta}"), beta=[0, 4, 8])
    widgets[0].value = 8
    assert [figure.get_label() for figure in shown] == ["beta = 4", "beta = 8"]
    assert not plt.get_fignums()  # or they are shown once more below the cell
