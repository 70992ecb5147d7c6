"""Answers that a student might give: for each exercise what stands in place of `return ...`, and what the check says.

`right` is the function that answers the exercise, ANSWER what it says to the exercise's own arguments.
"""


def but(right, old, new):
    """An answer with one mistake."""
    assert old in right
    return right.replace(old, new)


EQ_1 = """x, first, second, near = batch
    a, cache_1 = layers.linear_forward(x, params["W_1"], params["b_1"])
    h, cache_h = layers.relu_forward(a)
    z, cache_2 = layers.linear_forward(h, params["W_2"], params["b_2"])
    loss, dz_first, dz_second = losses.drlim(z[first], z[second], near, config.margin, config.squared)
    dz = np.zeros_like(z)
    dz[first] += dz_first
    dz[second] += dz_second
    dh, dW_2, db_2 = layers.linear_backward(dz, cache_2)
    _, dW_1, db_1 = layers.linear_backward(layers.relu_backward(dh, cache_h), cache_1)
    return loss, {"W_1": dW_1, "b_1": db_1, "W_2": dW_2, "b_2": db_2}"""
COL2IM = """(N, H, W, C), p = shape, F // 2
    padded = np.zeros((N, H + 2 * p, W + 2 * p, C), cols.dtype)
    patches = cols.reshape(N, H, W, F, F, C)
    for i, j in np.ndindex(F, F):
        padded[:, i : i + H, j : j + W] += patches[:, :, :, i, j]
    return padded[:, p : p + H, p : p + W]"""
CUTS = """change = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    around = np.pad(change, 1)
    spike = change > shots.CUT_RATIO * (around[:-2] + around[2:])
    return 1 + np.flatnonzero((change > shots.CUT) | (change > shots.CUT_RELATIVE) & spike)"""
MORLET = """y, x = np.mgrid[:size, :size] - (size - 1) / 2
    wave = np.exp(2j * np.pi / wavelength * (np.cos(angle) * x + np.sin(angle) * y))
    envelope = np.exp(-(x * x + y * y) / (2 * (0.3 * wavelength) ** 2))
    psi = (wave - (wave * envelope).sum() / envelope.sum()) * envelope
    return psi.real / np.linalg.norm(psi.real) + 1j * psi.imag / np.linalg.norm(psi.imag)"""
SLOWNESS = """N = len(z) // 2
    difference = z[:N] - z[N:]
    s = np.sign(difference)
    return np.abs(difference).sum(), np.concatenate([s, -s])"""
ACCELERATION = """N = len(z) // 3
    second = z[2 * N :] - 2 * z[N : 2 * N] + z[:N]
    s = np.sign(second)
    return np.abs(second).sum(), np.concatenate([s, -2 * s, s])"""
CROSS_ENTROPY = """N, e = len(labels), np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss, dlogits = -np.log(p[np.arange(N), labels]).sum(), p.copy()
    dlogits[np.arange(N), labels] -= 1
    return loss, dlogits"""
SGD = """for name in params:
        speed = bias_rate if name.startswith("b_") else 1
        velocity[name] = momentum * velocity[name] - rate * speed * grads[name]
        params[name] = params[name] + velocity[name]"""
SILENT = """x = slow_autoencoder.seen(params, frames)
    return conv.conv_forward(x, params["W_e"], params["b_e"])[0].max((0, 1, 2)) < 0"""
NEIGHBOURS = """queries, gallery = (codes.reshape(len(codes), -1) for codes in (queries, gallery))
    return np.argsort(-queries @ gallery.T, axis=1, kind="stable")[:, :k]"""

PLANTED = {}
PLANTED["slowae.layers.relu_backward"] = [
    ("return dh", r"as by hand: da\[0, 1\]: expected 0, found 5 "),
    ("return dh * cache", r"as by hand: da\[0, 0\]: expected 2, found 14 "),
    ("dh[cache == 0] = 0; return dh", "writes into its argument dh"),
]
PLANTED["slowae.layers.linear_backward"] = [
    ("x, W = cache; return da @ W, x.T @ da, da.sum(0)", r"as by hand: dx\[0, 1\]: expected 6, found -2 "),
    ("dx, dW, db = ANSWER; return dx, dW.T, db", r"dW\[0, 1\]: .* found 4 .*; wrong: dW; right: dx, db"),
    ("dx, dW, db = ANSWER; return dx, dW, db / len(da)", "db is wrong.* wrong: db; right: dx, dW"),
]
PLANTED["slowae.methods.drlim.embed"] = [
    ("return layers.linear_forward(x, params['W_1'], params['b_1'])", "z: expected shape .* found a tuple of 2"),
    ("return x @ params['W_1'] @ params['W_2'] + params['b_2']", r"z\[.*: expected"),
    ("return layers.linear_forward(x, params['W_2'], params['b_2'])[0]", "stops with ValueError: matmul"),
]
PLANTED["slowae.losses.drlim"] = [
    ("return right(z, z_other, near, margin + 1e-13, squared)", r"far, m = 5: dz\[0, 0\]: expected 0, found 0.6 "),
    ("return right(z, z_other, near, margin)", "squared: loss: expected"),
    ("loss, dz, _ = ANSWER; d = abs(z - z_other); return loss, d / d * dz, -dz", "dz.*: expected 0, found nan"),
]
PLANTED["slowae.methods.drlim.loss_and_gradients"] = [
    (EQ_1, r"frames in several pairs.*grads\['W_1'\]"),
    ("return right(params, batch, siamese.Config(margin=4.0, squared=config.squared))", "margin = 3.*: loss: expected"),
    ("loss, grads = ANSWER; grads['W_1'] *= -1; return loss, grads", r"all are -1 times.*; right: loss"),
]
PLANTED["slowae.layers.linear_forward"] = [
    ("return x @ W, (x, W)", r"a\[0, 0\]: expected"),
    ("return x @ W + b, (W, x)", "cache: .* cannot use it"),
    ("return x @ W + b", "expected a, cache, found shape"),
]
PLANTED["slowae.losses.reconstruction"] = [
    ("r = x_hat - x; return (r * r).sum(), r", "dx_hat is wrong.*all are 0.5 times that"),
    ("r = x_hat - x; return (r * r).mean(), 2 * r", r"loss: expected .* \(0.05 times that\)"),
    ("r = x - x_hat; return (r * r).sum(), 2 * r", "dx_hat is wrong.*all are -1 times that"),
]
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
    ("return right(dz, cache) / 2", "dh is wrong.*all are 0.5 times that"),
]
PLANTED["slowae.losses.slowness"] = [
    (but(SLOWNESS, "[s, -s]", "[-s, s]"), "dz is wrong.*all are -1 times that"),
    (but(SLOWNESS, "np.concatenate([s, -s])", "s"), r"dz: expected shape \(6, 5\), found shape \(3, 5\)"),
    (but(SLOWNESS, "np.sign(difference)", "difference / np.abs(difference)"), "dz.*nan"),
]
PLANTED["slowae.measures.circular_spread"] = [
    ("return angles.reshape(-1, group).std(1)", "10 and 170 degrees.*: expected 9.9.*, found 80"),
    ("return right(angles, 180.0, group)", r"period = 360: spread\[0\]: expected"),
]
PLANTED["slowae.conv.im2col"] = [
    ("return right(x, 3)", "F = 1: cols: expected shape"),
    ("return right(x.swapaxes(1, 2), F)", r"by hand, F = 3: cols\[0, 5\]: expected 2, found 3"),
    ("return ANSWER.astype(float)", "float32: cols: expected dtype float32, found float64"),
]
PLANTED["slowae.conv.col2im"] = [
    (but(COL2IM, "+=", "="), r"by hand, F = 3: x\[0, 0, 0, 0\]: expected 4, found 1 "),
    (but(COL2IM, "p : p + H, p : p + W]", "p:-p, p:-p]"), r"F = 1: x: .*found shape \(2, 0, 0, 2\)"),
    (but(COL2IM, ", cols.dtype", ""), "float32: x: expected dtype float32, found float64"),
]
PLANTED["slowae.conv.conv_backward"] = [
    ("dx, dW, db = ANSWER; return dx, dW[::-1, ::-1], db", "F = 3: dW is wrong.* wrong: dW; right: dx, db"),
    ("x, W, cols = cache; return right(da, (x, W[::-1, ::-1], cols))", "F = 3: dx is wrong"),
    ("x, W, _ = cache; return (da @ W.reshape(-1, W.shape[-1]).T, *ANSWER[1:])", "F = 3: dx: expected shape"),
]
PLANTED["slowae.conv.decode_forward"] = [
    ("return ANSWER[0], (W_d, h)", "cache: .* cannot use it"),
    ("return right(h, W_d[::-1, ::-1])", r"F = 3: x_hat\["),
    ("return ANSWER[0]", "expected x_hat, cache, found shape"),
]
PLANTED["slowae.data.shots.find_cuts"] = [
    (but(CUTS, "1 + np.flatnonzero", "np.flatnonzero"), r"A, a spike: cuts\[0\]: expected 2, found 1"),
    (but(CUTS, "> shots.CUT)", ">= shots.CUT)"), "exactly 60 grey levels: cuts"),
    (but(CUTS, "> shots.CUT_RELATIVE)", ">= shots.CUT_RELATIVE)"), "exactly 13 grey levels: cuts"),
    (but(CUTS, "> shots.CUT_RATIO *", ">= shots.CUT_RATIO *"), "exactly 1.2 times its neighbours: cuts"),
    (but(CUTS, "np.pad(change, 1)", "np.pad(change, 1, 'edge')"), "the first change: cuts"),
]
PLANTED["slowae.methods.controls.colour_histogram"] = [
    ("return right(params, frames)", r"bins = 5: histogram: expected shape \(3, 125\), found shape \(3, 512\)"),
    ("return ANSWER.astype(float)", "histogram: expected dtype float32, found float64"),
    ("return ANSWER / np.float32(20)", "histogram.*all are 0.05 times that"),
]
PLANTED["slowae.conv.decode_backward"] = [
    ("dh, dW_d = ANSWER; return dh, dW_d / len(dh)", "dW_d is wrong.* wrong: dW_d; right: dh"),
    ("h, W_d = cache; return right(dx_hat, (h, W_d[::-1, ::-1]))", "dh is wrong.* wrong: dh; right: dW_d"),
    ("return ANSWER[0]", "expected dh, dW_d, found shape"),
]
PLANTED["slowae.model.loss_and_gradients"] = [
    (
        "b = config.beta * done / (config.rise or done); return right(params, x, replace(config, beta=b, rise=0.0))",
        "rise = 0.25, done = 0.6: loss: expected",
    ),
    ("return right(params, x, replace(config, size=2), done)", "pools of four maps at one place: loss"),
    ("return ANSWER[0], right(params, x, replace(config, alpha=0.0), done)[1]", r"0.5, beta = 0: .*; right: .*W_d"),
]
PLANTED["slowae.methods.slow_autoencoder.silent"] = [
    (SILENT, r"all exactly 0: silent\[0\]: expected True, found False \(100% are wrong\)"),
    ("return right(params, frames[:1])", "one place of one frame: silent"),
    ("return np.flatnonzero(right(params, frames))", "silent: expected shape"),
]
PLANTED["slowae.methods.slow_autoencoder.moments"] = [
    ("return z.mean(), z.std()", r"one map: centre: expected shape \(1,\), .* found float64"),
    ("return z.mean((0, 1, 2)), z.std()", "different means: scale.*; wrong: scale; right: centre"),
    ("return z.mean((0, 1, 2)), z.std((0, 1, 2))", "one map: scale: expected one number"),
]
PLANTED["slowae.retrieval.neighbours"] = [
    ("return right(queries, gallery, k=k)", "some excluded: indices"),
    ("return right(queries, gallery, k=k, exclude=exclude)[:, ::-1]", "indices"),
    (NEIGHBOURS, "cosines apart: indices"),
]
PLANTED["slowae.scores.area"] = [
    ("return right(recall, precision)", "six frames: AUC: expected 0.416667"),
    ("return (np.diff(recall) * precision[..., 1:]).sum(-1)", "AUC"),
    ("return ANSWER + recall[..., 0] * precision[..., 0]", "AUC"),
]
PLANTED["slowae.retrieval.chance"] = [
    ("return right(scene)", r"100 distractors: measures\['auc'\]"),
    ("return ANSWER['auc']", "expected a dict of auc, map, found shape"),
    ("both = ANSWER; return both | {'map': both['map'].mean()}", r"\['map'\]: expected shape"),
]
PLANTED["slowae.losses.cross_entropy"] = [
    (but(CROSS_ENTROPY, " - logits.max(1, keepdims=True)", ""), "one row: loss: expected .*, found nan"),
    (but(CROSS_ENTROPY, "p.copy()", "p / N"), "dlogits is wrong"),
    (but(CROSS_ENTROPY, "labels]).sum()", "labels]).mean()"), r"loss: expected .* \(0.2 times that\)"),
]
PLANTED["slowae.methods.convnet.backward"] = [
    ("return right(dlogits, cache)", r"another loss on h_3: gradients\["),
    ("grads = ANSWER; grads['b_1'] /= 4; return grads", r"0.25 times that\); wrong: gradients\['b_1'\]; right: .*W_1"),
    ("grads = ANSWER; del grads['W_4']; return grads", "gradients: expected a dict of .*W_4"),
]
PLANTED["slowae.conv_fourier.waves"] = [
    (
        "a, b, f = ANSWER; b[:, half:] = a[:, half:] * (1 + half) / (n + F // 2); return a, b, f",
        r"n = 4, F = 1, half = True: back.*; wrong: back; right: there, taps",
    ),
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
    ("return right(sums, blocks, 1)", r"loss: expected 3, found 9 \(3 times that\)"),
    ("return ANSWER[0], right(sums, blocks[:1], N)[1]", r"grads\['W_e'\].*; wrong: grads.*; right: loss"),
]
PLANTED["slowae.optim.sgd"] = [
    (SGD, r"velocity\['W_e'\] is another array now"),
    ("right(params, grads, velocity, rate, momentum)", r"wrong: velocity\['b_e'\], params\['b_e'\]; right: .*W_e"),
    ("ANSWER; grads['b_e'] *= 0", "writes into its argument grads"),
]
PLANTED["slowae.optim.adam"] = [
    ("ANSWER; params.update({name: value.copy() for name, value in params.items()})", "is another array now"),
    ("right(params, grads, moments, rate, momentum, 1.0, decay, epsilon)", r"wrong: params\['b_e'\]; right: .*W_e"),
    ("right(params, grads, moments, rate, momentum, bias_rate, decay)", r"wrong: params\['W_e'\]"),
]
PLANTED["slowae.measures.delta"] = [
    ("return ANSWER * z.var(0) / z.var()", r"five entries: delta\[0\]"),
    ("return ANSWER * (len(z) // 2)", r"by hand: delta\[0\]: expected 0.727\d+, found 1.4\d+ \(2 times that\)"),
    ("return right(z.reshape(-1, 2, len(z[0])).swapaxes(0, 1).reshape(z.shape))", r"delta\[0\]: expected"),
]
PLANTED["slowae.methods.sfa.learn"] = [
    ("return right(x, pairs, sfa.Config(features=config.features))", r"axes = 2.*params\['axes'\]"),
    ("learned = ANSWER; learned['weights'] *= -1; return learned", r"all are -1 times that.*; right: .*slowness"),
    ("learned = ANSWER; learned['slowness'] *= 2; return learned", r"\['slowness'\]\[0\]"),
]
PLANTED["slowae.methods.subspace.loss_and_gradients"] = [
    ("return right(params, x, subspace.Config(decorrelation=1.0))", "0.0: loss: expected"),
    ("return ANSWER[0], right(params, x, subspace.Config(decorrelation=0.0))[1]", r"0.5: grads\['W'\].*; right: loss"),
    ("loss, grads = ANSWER; return loss, {'W': grads['W'] / 2}", "all are 0.5 times that"),
]
PLANTED["slowae.methods.unitary.project"] = [
    ("P, s, Q = np.linalg.svd(params['U']); params['U'] = P @ Q", r"params\['U'\] is another array now"),
    ("P, s, Q = np.linalg.svd(params['U']); U = P @ Q", "params as before; v.* writes into an array"),
    ("params['U'][...] = np.linalg.qr(params['U'])[0]", r"params\['U'\]\["),
]
PLANTED["slowae.methods.drlim_convolutional.backward"] = [
    ("return {name: grad for name, grad in ANSWER.items() if '1' in name}", "layers: 2: .* a dict of .*W_2"),
    ("grads = ANSWER; grads['W_1'] *= -1; return grads", r"layers: 1: .* -1 times.*; right: grads\['b_1'\]"),
    ("return right(dz, cache[::-1])", "layers: 2 stops"),
]
PLANTED["slowae.methods.wavelets.morlet"] = [
    (but(MORLET, "(size - 1) / 2", "size // 2"), r"size 8, .*psi\["),
    (but(MORLET, "wave - (wave * envelope).sum() / envelope.sum()", "wave"), r"psi\["),
    (but(MORLET, " + 1j * psi.imag / np.linalg.norm(psi.imag)", ""), "psi: expected dtype complex128, found float64"),
]
PLANTED["slowae.losses.acceleration"] = [
    (but(ACCELERATION, "-2 * s, s]", "-s, s]"), "dz is wrong"),
    (but(ACCELERATION, "np.sign(second)", "second / np.abs(second)"), "dz.*nan"),
    (but(ACCELERATION, "np.concatenate(", "np.stack("), r"dz: expected shape \(9, 5\), found shape \(3, 3, 5\)"),
]
PLANTED["slowae.layers.unpool_forward"] = [
    ("return right(z, np.log(np.exp(a)), group, size)", r"large a: h\[.*found nan"),
    ("return right(z, a, group)", "group = 2, size = 2"),
    ("h, (z, q, *pool) = ANSWER; return h, (z, q * q, *pool)", "cache, what unpool_backward"),
]
PLANTED["slowae.layers.unpool_backward"] = [
    ("dz, da = ANSWER; return dz, 2 * da", "da is wrong.*all are 2 times that.* wrong: da; right: dz"),
    ("dz, da = ANSWER; return 0 * dz, da", "dz is wrong.* wrong: dz; right: da"),
    ("return right(dh, (*cache[:3], 1))", "size = 2"),
]
