"""What the checks of lessons 00 to 07 ask: each function asks `answer` and `solution`, the package's, the same."""

import numpy as np
from exercises import check, check_backward, check_loss

from slowae import conv, layers, model
from slowae.methods import drlim as siamese
from slowae.methods import slow_autoencoder


def relu_backward(answer, solution):
    by_hand = {"dh": np.array([[2.0, 5.0]]), "cache": np.array([[7.0, 0.0]])}
    check(answer, solution, "da", case="as by hand", **by_hand)
    a = np.random.default_rng(1).standard_normal((4, 5))
    check_backward(answer, solution, layers.relu_forward, a=a)


def linear_backward(answer, solution):
    by_hand = {"da": np.array([[2.0, 0.0]]), "cache": (np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [3.0, 0.5]]))}
    check(answer, solution, "dx dW db", case="as by hand", **by_hand)
    rng = np.random.default_rng(2)
    x, W, b = rng.standard_normal((6, 3)), rng.standard_normal((3, 4)), rng.standard_normal(4)
    check_backward(answer, solution, layers.linear_forward, x=x, W=W, b=b)


def small_network(rng):
    """-> params of Eq. 1's network, frames (6, 5)."""
    shapes = {"W_1": (5, 4), "b_1": (4,), "W_2": (4, 2), "b_2": (2,)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return params, rng.standard_normal((6, 5))


def embed(answer, solution):
    params, frames = small_network(np.random.default_rng(0))
    check(answer, solution, "z", params=params, x=frames)


def drlim(answer, solution):
    one = {"z": np.zeros((1, 2)), "z_other": np.array([[3.0, 4.0]])}  # the pair done by hand
    for case, near, margin in (("near", True, 8.0), ("far, m = 8", False, 8.0), ("far, m = 2", False, 2.0)):
        one |= {"near": np.array([near]), "margin": margin}
        check_loss(answer, solution, "loss dz dz_other", case=f"as by hand, {case}", **one)
    one["margin"] = 5.0  # just where a push ends, which finite differences cannot check
    check(answer, solution, "loss dz dz_other", case="as by hand, far, m = 5", **one)
    z, z_other = np.random.default_rng(1).standard_normal((2, 12, 2))
    z_other[:2] = z[:2]  # two pairs at distance 0, one near and one far
    pairs = {"z": z, "z_other": z_other, "near": np.arange(12) % 2 == 0, "margin": 1.5}
    check_loss(answer, solution, "loss dz dz_other", **pairs)
    check_loss(answer, solution, "loss dz dz_other", case="squared", **pairs, squared=True)


def equation_1(answer, solution):
    rng = np.random.default_rng(0)
    params, frames = small_network(rng)
    alone = frames, np.array([0, 2, 4]), np.array([1, 3, 5]), np.array([True, False, True])
    many = frames, *rng.integers(6, size=(2, 20)), rng.integers(2, size=20) == 1
    for batch, margin, squared in ((alone, 4.0, False), (many, 4.0, False), (many, 3.0, True)):
        seen = "one pair" if batch is alone else "several pairs"
        case = f"frames in {seen}, margin = {margin:g}, squared = {squared}"
        config = siamese.Config(margin=margin, squared=squared)
        check(answer, solution, "loss grads", case=case, params=params, batch=batch, config=config)
    print("largest db_2:", abs(answer(params, batch, config)[1]["b_2"]).max())


def linear_forward(answer, solution):
    rng = np.random.default_rng(1)
    x, W, b = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    check(answer, solution, "a cache", backward=layers.linear_backward, x=x, W=W, b=b)


def reconstruction(answer, solution):
    x_hat, x = np.random.default_rng(2).standard_normal((2, 5, 4))
    check_loss(answer, solution, "loss dx_hat", x_hat=x_hat, x=x)


def sparsity(answer, solution):
    rng = np.random.default_rng(0)
    h = rng.choice([-1, 0, 1], (3, 8)) * rng.uniform(0.1, 2, (3, 8))  # most h are 0, and the slope there is 0
    check_loss(answer, solution, "loss dh", h=h)


def l2_pool_forward(answer, solution):
    rng = np.random.default_rng(1)
    h, maps = np.maximum(0, rng.standard_normal((5, 12))), np.maximum(0, rng.standard_normal((2, 6, 12, 8)))
    by_hand = np.array([[3.0, 4, 0, 0, 1, 2, 2, 0]])
    both = {"returns": "z cache", "backward": layers.l2_pool_backward}
    check(answer, solution, **both, case="h by hand, group = 4, size = 1", h=by_hand, group=4)
    check(answer, solution, **both, case="silent groups, group = 4, size = 1", h=0 * by_hand, group=4)
    for group, size in ((3, 1), (4, 2), (2, 3)):
        example = {"h": maps if size > 1 else h, "group": group, "size": size}
        check(answer, solution, **both, case=f"group = {group}, size = {size}", **example)


def l2_pool_backward(answer, solution):
    rng = np.random.default_rng(2)
    h, maps = rng.uniform(0.1, 2, (5, 12)), rng.uniform(0.1, 2, (2, 6, 12, 8))
    maps[0, :2, :2, :4] = 0
    for group, size in ((3, 1), (4, 2), (2, 3)):
        example = {"h": maps if size > 1 else h, "group": group, "size": size}
        case = f"group = {group}, size = {size}{', some silent' * (size > 1)}"
        check_backward(answer, solution, layers.l2_pool_forward, case=case, **example)


def slowness(answer, solution):
    z = np.random.default_rng(0).uniform(0.1, 3, (6, 5))
    z[3, :2] = z[0, :2]  # two groups that hold still
    check_loss(answer, solution, "loss dz", z=z)


def circular_spread(answer, solution):
    angles = np.random.default_rng(2).uniform(0, 180, 12)
    for what, group, period in ((np.array([10.0, 170.0]), 2, 180.0), (angles, 4, 180.0), (angles, 3, 360.0)):
        case = f"{'10 and 170 degrees' if len(what) == 2 else 'random angles'}, group = {group}, period = {period:g}"
        check(answer, solution, "spread", case=case, angles=what, group=group, period=period)


FRAME = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)  # of lesson 05, by hand


def im2col(answer, solution):
    rng = np.random.default_rng(0)
    check(answer, solution, "cols", case="the frame by hand, F = 3", x=FRAME, F=3)
    for F in (1, 3, 5):
        check(answer, solution, "cols", case=f"F = {F}", x=rng.standard_normal((2, 4, 5, 3)), F=F)


def col2im(answer, solution):
    rng, example = np.random.default_rng(1), {"cols": conv.im2col(FRAME, 3), "shape": FRAME.shape, "F": 3}
    check(answer, solution, "x", case="the frame by hand, F = 3", **example)
    for F in (1, 3, 5):
        cols = rng.standard_normal((2 * 4 * 5, F * F * 2))
        check(answer, solution, "x", case=f"F = {F}", cols=cols, shape=(2, 4, 5, 2), F=F)


def conv_backward(answer, solution):
    rng = np.random.default_rng(2)
    x, b = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal(4)
    for F in (1, 3, 5):
        W = rng.standard_normal((F, F, 3, 4))
        check_backward(answer, solution, conv.conv_forward, case=f"F = {F}", x=x, W=W, b=b)


def decode_forward(answer, solution):
    rng = np.random.default_rng(3)
    for F in (1, 3, 5):
        example = {"h": rng.standard_normal((2, 4, 5, 4)), "W_d": rng.standard_normal((F, F, 3, 4))}
        check(answer, solution, "x_hat cache", backward=conv.decode_backward, case=f"F = {F}", **example)


def find_cuts(answer, solution):
    films = {
        "A, a spike": [200, 205, 165, 171],
        "B, a hill": [171, 201, 241, 206],
        "C, two jumps": [241, 206, 130, 60],
        "D, a small spike": [64, 64, 76, 76],
        "E, nearly a spike": [76, 89, 119, 133],
        "the first change": [20, 60, 62, 63],
        "the last change": [62, 63, 20],
        "exactly 60 grey levels": [10, 65, 125, 180],
        "exactly 13 grey levels": [50, 50, 63, 63],
        "exactly 1.2 times its neighbours": [76, 88, 118, 131],
        "halves change places": [[20, 220], [220, 20], [220, 20]],
    }
    for case, levels in films.items():
        halves = np.broadcast_to(np.reshape(levels, (len(levels), -1)), (len(levels), 2)).astype(np.uint8)
        film = halves[:, None, :, None].repeat(4, 1).repeat(2, 2).repeat(3, 3)  # (T, 4, 4, 3)
        check(answer, solution, "cuts", case=case, frames=film)


def colour_histogram(answer, solution):
    some = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
    for bins in (16, 5):
        check(answer, solution, "histogram", case=f"bins = {bins}", params={}, frames=some, bins=bins)


def decode_backward(answer, solution):
    rng = np.random.default_rng(0)
    for F in (1, 5, 3):
        h, W_d = rng.standard_normal((2, 4, 6, 4)), rng.standard_normal((F, F, 3, 4))
        check_backward(answer, solution, conv.decode_forward, h=h, W_d=W_d)


def equation_2(answer, solution):
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal((3, 3, 3, 4)) for name in ("W_e", "W_d")} | {"b_e": rng.standard_normal(4)}
    pair = rng.standard_normal((4, 4, 6, 3))
    weights = ((0, 0), (0.5, 0), (0, 2), (0.5, 2))
    cases = {f"alpha = {a:g}, beta = {b:g}": (model.Config(a, b, group=2), 1.0) for a, b in weights}
    cases["pools of four maps at one place"] = model.Config(0.5, 2, group=4, size=1), 1.0
    for done in (0.0, 0.125, 0.25, 0.6):
        cases[f"rise = 0.25, done = {done:g}"] = model.Config(0.5, 2, group=2, rise=0.25), done
    for case, (config, done) in cases.items():
        check(answer, solution, "loss grads", case=case, params=params, x=pair, config=config, done=done)


def silent(answer, solution):
    rng = np.random.default_rng(0)
    some = rng.integers(0, 256, (5, 8, 6, 2), np.uint8)
    row = {"mean": 100 * rng.random(96), "matrix": rng.standard_normal((96, 96)) / 100}
    row |= {name: rng.standard_normal((3, 3, 2, 8)) for name in ("W_e", "W_d")}
    strongest = conv.conv_forward(slow_autoencoder.seen(row, some), row["W_e"], np.zeros(8))[0].max((0, 1, 2))
    cases = {
        "far from 0": row | {"b_e": -strongest * [1.5, 1.5, 1.5, 0.5, 0.5, 0, 0, 0]},
        "some on at one place of one frame": row | {"b_e": -strongest * [1.1, 0.999, 0.9, 0.5, 0, 0, 1.1, 0.99]},
        "some hardly on": row | {"b_e": -strongest * (1 - 1e-10 * np.arange(1, 9))},
        "all exactly 0": row | {"W_e": 0 * row["W_e"], "b_e": np.zeros(8)},
    }
    for case, params in cases.items():
        check(answer, solution, "silent", case=case, params=params, frames=some)
