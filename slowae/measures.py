"""What filters look like, whether pooled filters belong together, and how slow codes are.

For Figure 2 a unit is a wave under an envelope, read off its zero-padded spectrum: unlike a fit this cannot fail, and
the numbers of noise scatter within its group.
"""

import numpy as np

from slowae.checks import require

PADDED = 128  # the spectrum is sampled every 1 / PADDED cycles per pixel


def _peak(power):
    """power (n, PADDED, PADDED / 2) -> the indices (y, x) of each one's largest entry."""
    return np.unravel_index(power.reshape(len(power), -1).argmax(1), power.shape[1:])


def measure(W, group=4):
    """Units W (S, S, K), none of them zero, pooled in groups of `group` -> dict of arrays (K,).

    frequency: of the spectrum's peak, cycles per pixel.
    orientation: of its wave vector, radians in [0, pi), from the x axis towards larger y.
    blob: the peak lies below half a cycle per patch, where orientation and phase mean nothing.
    phase: at the patch's centre, radians, of the wave at the peak of the group's summed power.
    area: (sum e)^2 / sum e^2 in pixels, e = squared modulus of the analytic signal (the spectrum's half plane about the
    peak): S^2 for a wave over the whole patch, 4 pi s^2 where e is a Gaussian of standard deviation s.
    """
    S, _, K = W.shape
    spectrum = np.fft.fft2(W.transpose(2, 0, 1).astype(np.float32), (PADDED, PADDED))
    power = np.abs(spectrum[:, :, : PADDED // 2]) ** 2
    f = np.fft.fftfreq(PADDED)
    y, x = _peak(power)
    frequency = np.hypot(f[y], f[x])
    side = f[y][:, None, None] * f[:, None] + f[x][:, None, None] * f
    e = np.abs(np.fft.ifft2(spectrum * (1 + np.sign(side)).astype(np.float32))[:, :S, :S]) ** 2
    shared_y, shared_x = (i.repeat(group) for i in _peak(power.reshape(-1, group, *power.shape[1:]).sum(1)))
    to_centre = np.exp(1j * np.pi * (f[shared_y] + f[shared_x]) * (S - 1))
    return {
        "frequency": frequency,
        "orientation": np.arctan2(f[y], f[x]) % np.pi,
        "blob": frequency < 0.5 / S,
        "phase": np.angle(spectrum[np.arange(K), shared_y, shared_x] * to_centre),
        "area": e.sum((1, 2)) ** 2 / (e * e).sum((1, 2)),
    }


def circular_spread(angles, period, group=4):
    """Angular deviation of angles (K,) of `period` within each group, in their units, (K / group,).

    sqrt(2 (1 - R)) period / 2 pi, R = |mean exp(2 pi i angle / period)|: the standard deviation where it is small.
    Without NaN; a group of fewer than two angles is NaN.
    """
    phasors = np.exp(2j * np.pi * angles / period).reshape(-1, group)
    count = np.isfinite(phasors).sum(1)
    R = np.abs(np.nansum(phasors, 1)) / count.clip(1)
    return np.where(count > 1, np.sqrt(2 * (1 - R).clip(0)) * period / (2 * np.pi), np.nan)


def coherence(units, rng, group=4, draws=200):
    """What `measure` returns -> {quantity: {within, regrouped, ratio}}: the mean spread within groups.

    regrouped: within random groups of the same units, mean of `draws`. ratio: 0 for copies, 1 for random groups, above
    1 where phases keep apart. quadrature: the spread of phases with period pi, which a group has if it holds both sines
    and cosines. ValueError if no group holds two waves.
    """
    orientation, phase = (np.where(units["blob"], np.nan, units[name]) for name in ("orientation", "phase"))
    quantities = ("orientation", orientation, np.pi), ("phase", phase, 2 * np.pi), ("quadrature", phase, np.pi)
    results = {}
    for name, values, period in (("frequency", units["frequency"], None), *quantities):
        spreads = []
        for some in [values, *(rng.permutation(values) for _ in range(draws))]:
            each = circular_spread(some, period, group) if period else some.reshape(-1, group).std(1)
            require(np.isfinite(each).any(), "no group holds two waves: train longer, or nearer the defaults")
            spreads.append(np.nanmean(each))
        within, regrouped = float(spreads[0]), float(np.mean(spreads[1:]))
        results[name] = {"within": within, "regrouped": regrouped, "ratio": within / regrouped if regrouped else 1.0}
    return results


def filter_similarity(W):
    """W (F, F, C, K) -> (K, K): the cosine of each two filters after the best shift, colours together."""
    shape = 2 * len(W) - 1, 2 * len(W) - 1
    spectrum = np.fft.rfft2(W, shape, axes=(0, 1))
    cross = np.einsum("yxci,yxcj->yxij", spectrum, spectrum.conj())
    best = np.fft.irfft2(cross, shape, axes=(0, 1)).max((0, 1))
    norm = np.sqrt(np.diag(best)).clip(np.finfo(best.dtype).tiny)
    return best / norm / norm[:, None]


def group_similarity(W, group):
    """Mean filter_similarity of filters pooled together, and of filters that are not."""
    K = W.shape[-1]
    require(1 < group < K and K % group == 0, f"{K} filters do not divide into two groups or more of {group}, above 1")
    similarity, member = filter_similarity(W), np.arange(K) // group
    same = member == member[:, None]
    return float(similarity[same & ~np.eye(K, dtype=bool)].mean()), float(similarity[~same].mean())


def group_slowness(z):
    """z (2N, K), all z_t, then all z_t' -> mean |z_t - z_t'| / mean z of each entry (K,), scale-free; inf if silent."""
    before, after = np.split(z, 2)
    change, mean = np.abs(before - after).mean(0), z.mean(0)
    return np.divide(change, mean, out=np.full_like(change, np.inf), where=mean > 0)


def delta(z):
    """z (2N, K), all z_t, then all z_t' -> <(z_t - z_t')^2> / var z of each entry (K,); 2 if z_t' is independent.

    Of Wiskott and Sejnowski (2002): independent of scale and offset, so codes of any kind compare; inf if constant.
    """
    before, after = np.split(z, 2)
    change, variance = ((before - after) ** 2).mean(0), z.var(0)
    return np.divide(change, variance, out=np.full_like(change, np.inf), where=variance > 0)
