"""An answer that is not right is refused in one sentence, which names what is wrong, what was expected, what found."""

import numpy as np
import pytest
from exercises import NotRight, check, check_backward

from slowae import layers, measures, retrieval
from slowae.methods import drlim, slow_autoencoder

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((6, 3))


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
        return drlim.loss_and_gradients(params, (x, first[::-1], second[::-1], near[::-1]), config)

    arguments = {"params": params, "batch": batch, "config": drlim.Config(margin=4.0)}
    check(in_another_order, drlim.loss_and_gradients, "loss grads", **arguments)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda a: (a.clip(0).T, None), "expected shape"),
        (lambda a: (a.clip(0).astype(np.float32), None), "expected dtype float64, found float32"),
        (lambda a: (a.clip(0) + np.nan, None), r"h\[0, 0\]: expected [0-9.]+, found nan"),
        (lambda a: a.clip(0), "expected h, cache, found shape"),
        (lambda a: [a.clip(0), None], "expected h, cache, found a list of 2"),
        (lambda a: (a.clip(0, out=a), None), "writes into its argument a"),
    ],
)
def test_shape_dtype_count_and_spoiled_arguments(wrong, what):
    with pytest.raises(NotRight, match=what):
        check(wrong, layers.relu_forward, "h cache", a=Z)


def test_one_thing_expected_and_two_found():
    with pytest.raises(NotRight, match=r"dz: expected shape \(6, 3\), found a tuple of 2"):
        check(lambda dh, cache: (dh, None), layers.relu_backward, "dz", dh=Z, cache=Z)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda scene: retrieval.chance(scene)["auc"], "expected a dict of auc, map, found shape"),
        (lambda scene: {"auc": retrieval.chance(scene)["auc"]}, "expected a dict of auc, map, found the names auc"),
        (
            lambda scene: retrieval.chance(scene) | {"map": retrieval.chance(scene)["auc"] + 1},
            r"expected\['map'\]\[0\]: expected 0.4",
        ),
    ],
)
def test_what_comes_as_a_dict_is_compared_by_name(wrong, what):
    scene = np.repeat(np.arange(3), 4)
    check(retrieval.chance, retrieval.chance, "expected", scene=scene)
    with pytest.raises(NotRight, match=what):
        check(wrong, retrieval.chance, "expected", scene=scene)


def test_writing_into_a_dict_of_arguments_is_seen():
    def spoiling(params, frames):
        x = slow_autoencoder.seen(params, frames)
        params["mean"] += 1
        return x

    arguments = {"params": {"mean": np.ones(12), "matrix": np.eye(12)}, "frames": np.ones((5, 2, 2, 3), np.uint8)}
    check(slow_autoencoder.seen, slow_autoencoder.seen, "x", **arguments)
    with pytest.raises(NotRight, match="writes into its argument params"):
        check(spoiling, slow_autoencoder.seen, "x", **arguments)


def test_infinity_and_nan_hide_nothing():
    expected = np.array([np.inf, np.nan, 1.0])
    check(lambda a: expected.copy(), lambda a: expected, "h", a=Z)
    with pytest.raises(NotRight, match=r"h\[2\]: expected 1, found 2"):
        check(lambda a: np.array([np.inf, np.nan, 2.0]), lambda a: expected, "h", a=Z)


def test_a_numpy_scalar_is_no_float():
    W = RNG.standard_normal((3, 3, 1, 4))
    wrong = lambda W, group: tuple(map(np.float64, measures.group_similarity(W, group)))  # noqa: E731
    with pytest.raises(NotRight, match=r"within: expected a float, found float64; float\(...\)"):
        check(wrong, measures.group_similarity, "within between", W=W, group=2)


def forgetful(da, cache):
    x, W = cache
    return da @ W, x.T @ da, da.sum(0)


def test_an_error_in_the_answer_is_told_with_its_line():
    arguments = {"x": Z, "W": RNG.standard_normal((3, 4)), "b": np.zeros(4)}
    told = r"forgetful stops at `return da @ W, x.T @ da, da.sum\(0\)` with ValueError: matmul"
    with pytest.raises(NotRight, match=told):
        check_backward(forgetful, layers.linear_backward, layers.linear_forward, **arguments)


def test_numbers_that_differ_late_are_told_apart():
    with pytest.raises(NotRight, match=r"value: expected 0\.918599, found 0\.91859901"):
        check(lambda z: z + 1e-8, lambda z: z, "value", rtol=1e-12, z=np.array(0.918599))


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda x, W, b: (x @ W + b, (W, x)), r"cache, what linear_backward makes of it\[0\]\[0, 0\]: expected"),
        (lambda x, W, b: (x @ W + b, None), "cache: linear_backward cannot use it"),
        (lambda x, W, b: (x @ W + b, (x,)), "cache: linear_backward cannot use it"),
        (lambda x, W, b: (x @ W + b, (x, 2 * W)), r"cache, what linear_backward makes of it\[0\]\[0, 0\]: expected"),
    ],
)
def test_a_cache_is_judged_by_what_backward_makes_of_it(wrong, what):
    arguments = {"x": Z[:3], "W": Z[3:], "b": Z[0]}  # square, so that swapped ones fit
    check(layers.linear_forward, layers.linear_forward, "a cache", backward=layers.linear_backward, **arguments)
    with pytest.raises(NotRight, match=what):
        check(wrong, layers.linear_forward, "a cache", backward=layers.linear_backward, **arguments)
