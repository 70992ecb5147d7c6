"""The checks of the lessons say which name is wrong, and let nothing wrong through."""

import sys
from dataclasses import replace

import exercises
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


def test_what_is_right_passes(capsys):
    check(layers.relu_forward, layers.relu_forward, "h cache", a=Z)
    check_backward(layers.l2_pool_backward, layers.l2_pool_backward, layers.l2_pool_forward, h=H, group=4, size=2)
    check_loss(losses.slowness, losses.slowness, "loss dz", z=Z)
    assert capsys.readouterr().out.splitlines() == [
        "relu_forward: h right",
        "l2_pool_backward: dh right",
        "slowness: loss, dz right",
    ]


def test_unsolved_says_so_in_one_sentence():
    for run in (
        lambda: check(stub, layers.relu_forward, "h cache", a=Z),
        lambda: check_backward(stub, layers.relu_backward, layers.relu_forward, a=Z),
        lambda: check_loss(stub, losses.slowness, "loss dz", z=Z),
    ):
        with pytest.raises(NotRight, match="stub returns nothing yet") as caught:
            run()
        assert len(caught.value._render_traceback_()) == 1


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (stub, "stub changes nothing yet"),
        (
            lambda params, grads, velocity, rate: params["p"].__isub__(rate * grads["p"]),
            r"params\['p'\]\[0\]: expected",
        ),
        (
            lambda params, grads, velocity, rate: (optim.sgd(params, grads, velocity, rate), velocity["p"].fill(0)),
            r"velocity\['p'\]\[0\]: expected 0.8, found 0",
        ),
        (
            lambda params, grads, velocity, rate: (optim.sgd(params, grads, velocity, rate), grads["p"].fill(0)),
            "writes into its argument grads",
        ),
    ],
)
def test_a_change_in_place_is_held_against_the_package(wrong, what):
    arguments = {"params": {"p": Z[0]}, "grads": {"p": np.ones(3)}, "velocity": {"p": np.ones(3)}, "rate": 0.1}
    check_in_place(optim.sgd, optim.sgd, "params velocity", **arguments)
    with pytest.raises(NotRight, match=what):
        check_in_place(wrong, optim.sgd, "params velocity", **arguments)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda dz, cache: 2 * layers.l2_pool_backward(dz, cache), "dh is wrong: along a random direction"),
        (lambda dz, cache: (1 + 1e-8) * layers.l2_pool_backward(dz, cache), r"dh\[.*\]: expected .*, found"),
        (
            lambda dz, cache: layers.l2_pool_backward(dz, cache)[:1],
            r"dh: expected shape .*, found shape \(1, 4, 4, 8\)",
        ),
        (lambda dz, cache: (layers.l2_pool_backward(dz, cache), dz), "dh: expected shape .*, found a tuple of 2"),
        (lambda dz, cache: (layers.l2_pool_backward(dz, cache),), "dh: expected shape .*, found a tuple of 1"),
        (lambda dz, cache: layers.l2_pool_backward(dz, cache).tolist(), "dh: expected shape .*, found a list of 2"),
        (
            lambda dz, cache: layers.l2_pool_backward(dz, cache) + dz.clip(0, 0, out=dz).sum(),
            "writes into its argument dz",
        ),
        (
            lambda dz, cache: layers.l2_pool_backward(dz, cache) * cache[0].clip(1, 1, out=cache[0])[0, 0, 0, 0],
            "writes into its argument cache",
        ),
    ],
)
def test_a_wrong_backward_is_caught(wrong, what):
    with pytest.raises(NotRight, match=what):
        check_backward(wrong, layers.l2_pool_backward, layers.l2_pool_forward, h=H, group=4, size=2)


def test_a_wrong_gradient_of_a_loss_is_caught():
    with pytest.raises(NotRight, match="dz is wrong"):
        check_loss(lambda z: (losses.slowness(z)[0], -losses.slowness(z)[1]), losses.slowness, "loss dz", z=Z)
    with pytest.raises(NotRight, match="expected loss, dz, found a list of 2"):
        check_loss(lambda z: list(losses.slowness(z)), losses.slowness, "loss dz", z=Z)
    with pytest.raises(NotRight, match=r"dz: expected shape .*, found float64"):
        check_loss(lambda z: (losses.slowness(z)[0], z.sum()), losses.slowness, "loss dz", z=Z)
    with pytest.raises(NotRight, match="loss: expected"):
        check_loss(lambda z: (2 * losses.slowness(z)[0], losses.slowness(z)[1]), losses.slowness, "loss dz", z=Z)


def test_a_kink_is_held_against_the_package():
    """Finite differences do not see the value chosen at a kink."""
    quiet = H.copy()
    quiet[0, :2, :2, :4] = 0

    def leaky(dz, cache):
        dh = layers.l2_pool_backward(dz, cache)
        dh[0, :2, :2, :4] = 1
        return dh

    with pytest.raises(NotRight, match="dh"):
        check_backward(leaky, layers.l2_pool_backward, layers.l2_pool_forward, h=quiet, group=4, size=2)


def test_on_the_device_no_argument_stays_behind(monkeypatch):
    for module in (exercises, gradcheck):
        monkeypatch.setattr(module, "to_device", Strict.of)
    monkeypatch.setattr(
        gradcheck, "to_host", lambda x: {n: v.get() for n, v in x.items()} if isinstance(x, dict) else x
    )
    pairs = {"z": Z, "z_other": Z[::-1] + 1, "near": np.arange(6) % 2 == 0, "margin": 3.0}
    check_loss(losses.drlim, losses.drlim, "loss dz dz_other", **pairs)


def test_booleans_read_true_and_false():
    with pytest.raises(NotRight, match=r"silent\[1\]: expected True, found False \(33% are wrong\)"):
        check(lambda z: z < 0, lambda z: z <= 0, "silent", z=np.array([-1.0, 0.0, 1.0]))


def test_a_wrong_gradient_is_shown_at_one_of_its_entries():
    with pytest.raises(NotRight, match=r"dh is wrong: .*; for example: dh\[1\]: expected 1, found 2 \(67% are wrong\)"):
        check_loss(lambda h: (abs(h).sum(), h), losses.sparsity, "loss dh", h=np.array([-1.0, 2.0, 3.0]))


def test_a_sign_made_by_dividing_is_nan_at_0():
    def divided(h):
        with np.errstate(invalid="ignore"):
            return abs(h).sum(), h / abs(h)

    with pytest.raises(NotRight, match=r"divided: dh\[1\]: expected 0, found nan \(33% are wrong\)"):
        check_loss(divided, losses.sparsity, "loss dh", h=np.array([-1.0, 0.0, 2.0]))


def _weighted(reconstruction=1, sparsity=1, slowness=1):
    """Eq. 2 with its loss right, and these factors at the terms of its gradients."""

    def wrong(params, x, config, done=1.0):
        loss, _ = model.loss_and_gradients(params, x, config)
        none, sparse, slow = (
            model.loss_and_gradients(params, x, replace(config, **weights))[1]
            for weights in ({"alpha": 0.0, "beta": 0.0}, {"beta": 0.0}, {"alpha": 0.0})
        )
        return loss, {
            n: reconstruction * none[n] + sparsity * (sparse[n] - none[n]) + slowness * (slow[n] - none[n])
            for n in none
        }

    return wrong


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (_weighted(reconstruction=2), r"alpha = 0, beta = 0: grads\['W_e'\]"),
        (_weighted(sparsity=0), r"alpha = 0.5, beta = 0: grads\['W_e'\]"),
        (_weighted(slowness=0), r"alpha = 0, beta = 2: grads\['W_e'\]"),
        (_weighted(slowness=-1), r"alpha = 0, beta = 2: grads\['W_e'\]"),
    ],
)
def test_eq_2_is_graded_term_by_term(wrong, what):
    params = {n: RNG.standard_normal((3, 3, 2, 4)) for n in ("W_e", "W_d")} | {"b_e": RNG.standard_normal(4)}
    x = RNG.standard_normal((4, 4, 4, 2))

    def graded(answer):
        for alpha, beta in ((0.0, 0.0), (0.5, 0.0), (0.0, 2.0), (0.5, 2.0)):
            case, config = f"alpha = {alpha:g}, beta = {beta:g}", model.Config(alpha, beta, 2, 2)
            check(answer, model.loss_and_gradients, "loss grads", case=case, params=params, x=x, config=config)

    graded(model.loss_and_gradients)
    with pytest.raises(NotRight, match=what):
        graded(wrong)


def test_a_solution_runs_where_nothing_is_imported():
    """With what it imports, and with the private functions that it calls."""
    params, space = {n: RNG.standard_normal((6, 4)) for n in ("W_e", "W_d")} | {"b_e": np.zeros(4)}, {}
    exec(solution(model.loss_and_gradients).data, space)
    arguments = params, RNG.standard_normal((4, 6)), model.Config(size=1)
    assert space["loss_and_gradients"](*arguments)[0] == model.loss_and_gradients(*arguments)[0]


def test_sliders_draw_once_with_the_defaults_and_no_widget_where_lessons_are_executed(monkeypatch):
    drawn = []
    monkeypatch.setenv("SLOWAE_STATIC", "1")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # not to be had
    slider(lambda beta=4: drawn.append(beta), beta=[0, 4, 8])
    assert drawn == [4]


def test_sliders_begin_with_the_defaults(monkeypatch):
    drawn = []
    monkeypatch.delenv("SLOWAE_STATIC", raising=False)
    slider(lambda beta=4: drawn.append(beta), beta=[0, 4, 8])
    assert drawn == [4]
