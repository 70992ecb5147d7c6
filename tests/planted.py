"""Answers that a student might give: for each exercise what stands in place of `return ...`, and what the check says.

`right` is the function that answers the exercise, ANSWER what it says to the exercise's own arguments. Two texts are an
edit of the package's own source. Whatever `test_lessons.wrong_answers` makes of every answer by itself is not here.
"""


def planted(stub, right, own, *mistake):
    """The exercise's cell, how its function is asked, the package's own source -> a wrong answer's source."""
    if len(mistake) == 1:
        return stub.replace("return ...", mistake[0].replace("ANSWER", right))
    assert mistake[0] in own
    return own.replace(*mistake)


PLANTED = {}
PLANTED["slowae.layers.relu_backward"] = [
    ("return dh", r"as by hand: da\[0, 1\]: expected 0, found 5 "),
    ("return dh * cache", r"as by hand: da\[0, 0\]: expected 2, found 14 "),
]
PLANTED["slowae.layers.linear_backward"] = [
    ("x, W = cache; return da @ W, x.T @ da, da.sum(0)", r"as by hand: dx\[0, 1\]: expected 6, found -2 "),
    ("dx, dW, db = ANSWER; return dx, dW, db / len(da)", "db is wrong.* wrong: db; right: dx, dW"),
]
PLANTED["slowae.methods.drlim.embed"] = [("return x @ params['W_1'] @ params['W_2'] + params['b_2']", r"z\[.*expected")]
PLANTED["slowae.losses.drlim"] = [
    ("return right(z, z_other, near, margin + 1e-13, squared)", r"far, m = 5: dz\[0, 0\]: expected 0, found 0.6 "),
    ("return right(z, z_other, near, margin)", "squared: loss: expected"),
    ("loss, dz, _ = ANSWER; d = abs(z - z_other); return loss, d / d * dz, -dz", "dz.*: expected 0, found nan"),
]
PLANTED["slowae.methods.drlim.loss_and_gradients"] = [
    (
        "loss, dz = over_pairs(z, *pairs, config.margin, config.squared)",
        "loss, *d = losses.drlim(z[pairs[0]], z[pairs[1]], pairs[2], config.margin, config.squared)\n"
        "    dz = np.zeros_like(z); dz[pairs[0]] += d[0]; dz[pairs[1]] += d[1]",
        r"frames in several pairs.*grads\['W_1'\]",
    ),
    ("return right(params, batch, siamese.Config(margin=4.0, squared=config.squared))", "margin = 3.*: loss: expected"),
]
PLANTED["slowae.layers.linear_forward"] = [("return x @ W, (x, W)", r"a\[0, 0\]: expected")]
PLANTED["slowae.losses.reconstruction"] = [("2 * r", "r", "dx_hat is wrong.*all are 0.5 times that")]
PLANTED["slowae.losses.sparsity"] = [
    ("return h.sum(), np.sign(h)", "loss: expected"),
    ("return np.abs(h).sum(), np.where(h >= 0, 1.0, -1.0)", "dh is wrong"),
    ("return np.abs(h).sum(), h / np.abs(h)", "dh.*: expected 0, found nan"),
]
PLANTED["slowae.layers.l2_pool_forward"] = [
    ("z, cache = ANSWER; return np.sqrt(z * z + 1e-12), cache", "silent groups.*expected 0, found 1e-06"),
    ("return right(h, group)", "group = 4, size = 2: z: expected shape"),
    ("z, (h, _, *pool) = ANSWER; return z, (h * h, z, *pool)", "cache, what l2_pool_backward makes of it"),
]
PLANTED["slowae.layers.l2_pool_backward"] = [
    ("h, z, group, _ = cache; return np.repeat(dz / z, group, -1) * h", "size = 2, some silent stops"),
    ("h, z, *pool = cache; return right(dz, (h, z + 1e-8, *pool))", r"dh\[.*: expected (\S+), found (?!\1 )"),
]
PLANTED["slowae.losses.slowness"] = [("xp.sign(difference)", "difference / xp.abs(difference)", "dz.*nan")]
PLANTED["slowae.measures.circular_spread"] = [
    ("return angles.reshape(-1, group).std(1)", "10 and 170 degrees.*: expected 9.9.*, found 80"),
    ("return right(angles, 180.0, group)", r"period = 360: spread\[0\]: expected"),
]
PLANTED["slowae.conv.im2col"] = [
    ("return right(x, 3)", "F = 1: cols: expected shape"),
    ("return right(x.swapaxes(1, 2), F)", r"by hand, F = 3: cols\[0, 5\]: expected 2, found 3"),
]
PLANTED["slowae.conv.col2im"] = [
    ("+=", "=", r"by hand, F = 3: x\[0, 0, 0, 0\]: expected 4, found 1 "),
    ("p : p + W]", "p:-p]", r"F = 1: x: .*found shape \(2, 4, 0, 2\)"),
]
PLANTED["slowae.conv.conv_backward"] = [
    ("dx, dW, db = ANSWER; return dx, dW[::-1, ::-1], db", "F = 3: dW is wrong.* wrong: dW; right: dx, db"),
    ("x, W, cols = cache; return right(da, (x, W[::-1, ::-1], cols))", "F = 3: dx is wrong"),
]
PLANTED["slowae.conv.decode_forward"] = [("return right(h, W_d[::-1, ::-1])", r"F = 3: x_hat\[")]
PLANTED["slowae.data.shots.find_cuts"] = [
    ("1 + np.flatnonzero", "np.flatnonzero", r"A, a spike: cuts\[0\]: expected 2, found 1"),
    ("> CUT)", ">= CUT)", "exactly 60 grey levels: cuts"),
    ("> CUT_RELATIVE)", ">= CUT_RELATIVE)", "exactly 13 grey levels: cuts"),
    ("> CUT_RATIO *", ">= CUT_RATIO *", "exactly 1.2 times its neighbours: cuts"),
    ("np.pad(change, 1)", "np.pad(change, 1, 'edge')", "the first change: cuts"),
]
PLANTED["slowae.methods.controls.colour_histogram"] = [
    ("return right(params, frames)", "bins = 5: histogram: expected shape")
]
PLANTED["slowae.conv.decode_backward"] = [("@ W_d", "@ W_d[::-1]", "dh is wrong.* wrong: dh; right: dW_d")]
PLANTED["slowae.model.loss_and_gradients"] = [
    ("min(1.0, float(done) / config.rise)", "float(done) / config.rise", "rise = 0.25, done = 0.6: loss: expected"),
    ("return right(params, x, replace(config, size=2), done)", "pools of four maps at one place: loss"),
    ("return ANSWER[0], right(params, x, replace(config, alpha=0.0), done)[1]", r"0.5, beta = 0: .*; right: .*W_d"),
]
PLANTED["slowae.methods.slow_autoencoder.silent"] = [
    (
        "return ANSWER & (params['b_e'] != 0)",
        r"all exactly 0: silent\[0\]: expected True, found False \(100% are wrong\)",
    ),
    ("return right(params, frames[:1])", "one place of one frame: silent"),
]
PLANTED["slowae.methods.slow_autoencoder.moments"] = [("z - centre", "z - z.mean()", "means: scale.*; right: centre")]
PLANTED["slowae.retrieval.neighbours"] = [
    ("return right(queries, gallery, k=k)", "some excluded: indices"),
    ("unit_rows(codes[i : i + few])", "codes[i : i + few].reshape(-1, codes[0].size)", "cosines apart: indices"),
]
PLANTED["slowae.scores.area"] = [
    ("return right(recall, precision)", "six frames: AUC: expected 0.416667"),
    ("return (np.diff(recall) * precision[..., 1:]).sum(-1)", "AUC"),
    ("return ANSWER + recall[..., 0] * precision[..., 0]", "AUC"),
]
PLANTED["slowae.retrieval.chance"] = [("return right(scene)", r"100 distractors: measures\['auc'\]")]
PLANTED["slowae.losses.cross_entropy"] = [("- logits.max(1, keepdims=True)", "", "one row: loss: .*, found inf")]
PLANTED["slowae.methods.convnet.backward"] = [("return right(dlogits, cache)", r"another loss on h_3: gradients\[")]
PLANTED["slowae.conv_fourier.waves"] = [
    ("half & (r > 0) & (2 * r < L)", "half & (r > 0)", r"n = 4, F = 1, half = True: back.*; right: there, taps"),
    ("return right(n, F, True)", "half = False: there: expected shape"),
    ("there, back, taps = ANSWER; return there, back, taps[:, :, ::-1]", "F = 3, .* wrong: taps; right: there"),
]
PLANTED["rows.convolve_rows"] = [
    ("return np.array([np.convolve(row, w)[len(w) // 2 :][: len(row)] for row in x])", r"as by hand: a\["),
    ("return right(np.roll(x, 1, axis=1), w)", r"as by hand: a\["),
]
PLANTED["rows.convolve_rows_transposed"] = [
    ("return convolve_rows(da, w)", r"2 places, F = 3: dx\["),
    ("return ANSWER[::-1]", r"2 places, F = 3: dx\["),
]
PLANTED["slowae.blocks.mean_over_blocks"] = [
    ("return right(sums, blocks, len(blocks))", "loss: expected 3, found 4.5"),
    ("return ANSWER[0], right(sums, blocks[:1], N)[1]", r"grads\['W_e'\].*; wrong: grads.*; right: loss"),
]
PLANTED["slowae.optim.sgd"] = [("bias_rate) *", "1) *", r"wrong: velocity\['b_e'\], params\['b_e'\]; right: .*W_e")]
PLANTED["slowae.optim.adam"] = [
    ("right(params, grads, moments, rate, momentum, 1.0, decay, epsilon)", r"wrong: params\['b_e'\]; right: .*W_e"),
    ("right(params, grads, moments, rate, momentum, bias_rate, decay)", r"wrong: params\['W_e'\]"),
]
PLANTED["slowae.measures.delta"] = [
    ("return ANSWER * z.var(0) / z.var()", r"five entries: delta\[0\]"),
    ("return right(z.reshape(-1, 2, len(z[0])).swapaxes(0, 1).reshape(z.shape))", r"delta\[0\]: expected"),
]
PLANTED["slowae.methods.sfa.learn"] = [("config.axes", "32", r"axes = 2.*params\['axes'\]")]
PLANTED["slowae.methods.subspace.loss_and_gradients"] = [
    ("return right(params, x, subspace.Config(decorrelation=1.0))", "0.0: loss: expected"),
    ("return ANSWER[0], right(params, x, subspace.Config(decorrelation=0.0))[1]", r"0.5: grads\['W'\].*; right: loss"),
]
PLANTED["slowae.methods.unitary.project"] = [("params['U'][...] = np.linalg.qr(params['U'])[0]", r"params\['U'\]\[")]
PLANTED["slowae.methods.drlim_convolutional.backward"] = [
    ("return {name: grad for name, grad in ANSWER.items() if '1' in name}", "layers: 2: .* a dict of .*W_2")
]
PLANTED["slowae.methods.wavelets.morlet"] = [
    ("(size - 1) / 2", "size // 2", r"size 8, .*psi\["),
    ("wave - (wave * envelope).sum() / envelope.sum()", "wave", r"psi\["),
]
PLANTED["slowae.losses.acceleration"] = [
    ("-2 * s, s]", "-s, s]", "dz is wrong"),
    ("xp.sign(second)", "second / xp.abs(second)", "dz.*nan"),
]
PLANTED["slowae.layers.unpool_forward"] = [
    ("return right(z, np.log(np.exp(a)), group, size)", r"large a: h\[.*found nan"),
    ("return right(z, a, group)", "group = 2, size = 2"),
    ("h, (z, q, *pool) = ANSWER; return h, (z, q * q, *pool)", "cache, what unpool_backward"),
]
PLANTED["slowae.layers.unpool_backward"] = [("return right(dh, (*cache[:3], 1))", "size = 2")]
