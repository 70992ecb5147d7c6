"""The checks of the lessons say which name is wrong, and let nothing wrong through."""

import numpy as np
import pytest
from strict import Strict

from slowae import embedding, exercises, gradcheck, layers, losses, model, optim
from slowae.exercises import NotRight, check, check_backward, check_in_place, check_loss, solution

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


def test_a_wrong_value_names_the_place_and_both_numbers():
    wrong = lambda a: (np.where(a > 1, a + 1, a.clip(0)), None)  # noqa: E731
    a = np.array([[0.5, 2.0]])
    with pytest.raises(NotRight, match=r"h\[0, 1\]: expected 2, found 3 \(50% are wrong\)"):
        check(wrong, layers.relu_forward, "h cache", a=a)


def test_rounding_that_is_left_where_all_cancels_is_not_wrong():
    """Eq. 1 sees only differences of codes, so its db_2 is 0, up to the order of the sum."""
    data = np.random.default_rng(0)
    shapes = {"W_1": (5, 4), "b_1": (4,), "W_2": (4, 2), "b_2": (2,)}
    params = {name: data.standard_normal(shape) for name, shape in shapes.items()}
    first, second = data.integers(6, size=(2, 20))
    batch = data.standard_normal((6, 5)), first, second, data.integers(2, size=20) == 1

    def in_another_order(params, batch, config):
        x, first, second, near = batch
        return embedding.loss_and_gradients(params, (x, first[::-1], second[::-1], near[::-1]), config)

    arguments = {"params": params, "batch": batch, "config": embedding.Config(margin=4.0)}
    check(in_another_order, embedding.loss_and_gradients, "loss grads", **arguments)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda a: (a.clip(0).T, None), "expected shape"),
        (lambda a: (a.clip(0).astype(np.float32), None), "expected dtype float64, found float32"),
        (lambda a: a.clip(0), "expected h cache, found shape"),
        (lambda a: (a.clip(0, out=a), None), "writes into its argument a"),
    ],
)
def test_shape_dtype_count_and_spoiled_arguments(wrong, what):
    with pytest.raises(NotRight, match=what):
        check(wrong, layers.relu_forward, "h cache", a=Z)


def test_one_thing_expected_and_two_found():
    with pytest.raises(NotRight, match=r"dz: expected shape \(6, 3\), found tuple"):
        check(lambda dh, cache: (dh, None), layers.relu_backward, "dz", dh=Z, cache=Z)


def _rescaled_in_place(params, z):
    standardised = model.standardise(params, z)
    params["W_d"] *= 2
    return standardised


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (
            lambda params, z: model.standardise(params, z)["mean"],
            r"expected a dict of W_e, b_e, W_d, mean, found shape",
        ),
        (lambda params, z: params, r"expected a dict of W_e, b_e, W_d, mean, found the names W_e, b_e, W_d"),
        (
            lambda params, z: model.standardise(params, z) | {"b_e": params["b_e"] + 1},
            r"layer\['b_e'\]\[0\]: expected 0, found 1",
        ),
        (_rescaled_in_place, "writes into its argument params"),
    ],
)
def test_parameters_come_and_go_as_dicts(wrong, what):
    params = model.init_params(RNG, (3, 4))
    check(model.standardise, model.standardise, "layer", params=params, z=Z)
    with pytest.raises(NotRight, match=what):
        check(wrong, model.standardise, "layer", params=params, z=Z)


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


def test_writing_into_a_layer_of_a_stack_is_seen():
    def spoiling(layers, x):
        code = model.encode_stack(layers, x)
        layers[0][0]["b_e"] += 1
        return code

    layers = [({n: v.astype(float) for n, v in model.init_params(RNG, (3, 4)).items()}, model.Config(group=2, size=1))]
    check(model.encode_stack, model.encode_stack, "z", layers=layers, x=Z)
    with pytest.raises(NotRight, match="writes into its argument layers"):
        check(spoiling, model.encode_stack, "z", layers=layers, x=Z)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda dz, cache: 2 * layers.l2_pool_backward(dz, cache), "dh is wrong: along a random direction"),
        (lambda dz, cache: layers.l2_pool_backward(dz, cache)[:1], "dh has shape"),
        (lambda dz, cache: (layers.l2_pool_backward(dz, cache), dz), "expected dh, found 2"),
        (
            lambda dz, cache: layers.l2_pool_backward(dz, cache) + dz.clip(0, 0, out=dz).sum(),
            "writes into its argument",
        ),
    ],
)
def test_a_wrong_backward_is_caught(wrong, what):
    with pytest.raises(NotRight, match=what):
        check_backward(wrong, layers.l2_pool_backward, layers.l2_pool_forward, h=H, group=4, size=2)


def test_a_wrong_gradient_of_a_loss_is_caught():
    with pytest.raises(NotRight, match="dz is wrong"):
        check_loss(lambda z: (losses.slowness(z)[0], -losses.slowness(z)[1]), losses.slowness, "loss dz", z=Z)
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


def test_infinity_and_nan_hide_nothing():
    expected = np.array([np.inf, np.nan, 1.0])
    check(lambda a: expected.copy(), lambda a: expected, "h", a=Z)
    with pytest.raises(NotRight, match=r"h\[2\]: expected 1, found 2"):
        check(lambda a: np.array([np.inf, np.nan, 2.0]), lambda a: expected, "h", a=Z)


def test_solution_is_the_source_of_the_package():
    assert "def relu_forward(a):" in solution(layers.relu_forward).data
