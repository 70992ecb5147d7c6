"""What filters look like and how slow their codes are: do pooled filters belong together?

For Figure 2 a unit is taken as a wave under an envelope, read off its zero-padded spectrum rather than fitted: no fit
can fail, and a unit that is noise gets numbers too, which scatter within its group and so count against it.
"""

import numpy as np

from slowae.checks import require, require_floats

PADDED = 128  # the spectrum is sampled every 1 / PADDED cycles per pixel


def _peak(power):
    """power (n, PADDED, PADDED / 2) -> the indices (y, x) of each one's largest entry."""
    return np.unravel_index(power.reshape(len(power), -1).argmax(1), power.shape[1:])


def measure(W, group=4):
    """Units W (S, S, K), none of them zero, pooled in groups of `group` -> dict of arrays (K,); centre is (K, 2).

    frequency: of the spectrum's peak, cycles per pixel.
    orientation: of its wave vector, radians in [0, pi), from the x axis towards larger y; period pi.
    blob: the peak lies below half a cycle per patch, where orientation and phase mean nothing: leave those out.
    phase: at the patch's centre, radians, period 2 pi, of the wave that the whole group shares (the peak of its summed
    power), so that the phases of one group have one sign and one origin and can be compared.
    area: (sum e)^2 / sum e^2 in pixels, e = squared modulus of the analytic signal (the spectrum's half plane about the
    peak): S^2 for a wave over the whole patch, 4 pi s^2 where e is a Gaussian of standard deviation s.
    centre: the mean place (y, x) under e, pixels.
    """
    require(W.ndim == 3 and W.shape[0] == W.shape[1], f"units must be (S, S, K), not {W.shape}")
    require(W.shape[2] % group == 0, f"{W.shape[2]} units do not divide into groups of {group}")
    S, _, K = W.shape
    spectrum = np.fft.fft2(W.transpose(2, 0, 1).astype(np.float32), (PADDED, PADDED))
    power = np.abs(spectrum[:, :, : PADDED // 2]) ** 2
    f = np.fft.fftfreq(PADDED)
    y, x = _peak(power)
    frequency = np.hypot(f[y], f[x])

    side = f[y][:, None, None] * f[:, None] + f[x][:, None, None] * f
    e = np.abs(np.fft.ifft2(spectrum * (1 + np.sign(side)).astype(np.float32))[:, :S, :S]) ** 2
    total, places = e.sum((1, 2)), np.arange(S)

    shared_y, shared_x = (i.repeat(group) for i in _peak(power.reshape(-1, group, *power.shape[1:]).sum(1)))
    to_centre = np.exp(1j * np.pi * (f[shared_y] + f[shared_x]) * (S - 1))
    return {
        "frequency": frequency,
        "orientation": np.arctan2(f[y], f[x]) % np.pi,
        "blob": frequency < 0.5 / S,
        "phase": np.angle(spectrum[np.arange(K), shared_y, shared_x] * to_centre),
        "area": total**2 / (e * e).sum((1, 2)),
        "centre": np.stack([e.sum(2) @ places, e.sum(1) @ places], axis=1) / total[:, None],
    }


def spread(values, group=4):
    """Standard deviation of values (K,) within each group, (K / group,)."""
    return values.reshape(-1, group).std(1)


def circular_spread(angles, period, group=4):
    """Angular deviation of angles (K,) of `period` within each group, in their units, (K / group,).

    sqrt(2 (1 - R)) period / 2 pi, R = |mean exp(2 pi i angle / period)|: the standard deviation where it is small. A
    NaN is left out; a group of fewer than two angles is NaN.
    """
    phasors = np.exp(2j * np.pi * angles / period).reshape(-1, group)
    count = np.isfinite(phasors).sum(1)
    R = np.abs(np.nansum(phasors, 1)) / count.clip(1)
    return np.where(count > 1, np.sqrt(2 * (1 - R).clip(0)) * period / (2 * np.pi), np.nan)


def coherence(units, rng, group=4, draws=200):
    """What `measure` found -> {quantity: {within, regrouped, ratio}}: mean spread within the groups, and the same for
    the same units in random groups (mean of `draws`); ratio is 0 for copies, 1 where groups mean nothing.

    phase has ratio above 1 where phases keep apart; quadrature is the spread of phases with period pi, which only a
    group that holds both sines and cosines has: large in quadrature, 0 for a wave and its negative.
    """

    def oriented(angles):
        return np.where(units["blob"], np.nan, angles)

    quantities = {
        "frequency": (units["frequency"], lambda v: spread(v, group)),
        "orientation": (oriented(units["orientation"]), lambda v: circular_spread(v, np.pi, group)),
        "phase": (oriented(units["phase"]), lambda v: circular_spread(v, 2 * np.pi, group)),
        "quadrature": (oriented(units["phase"]), lambda v: circular_spread(v, np.pi, group)),
    }
    found = {}
    for name, (values, spread_of) in quantities.items():
        spreads = spread_of(values)
        waves = bool(np.isfinite(spreads).any())
        require(waves, f"no group holds two waves, and so no spread of {name}: train longer, or nearer the defaults")
        within = float(np.nanmean(spreads))
        regrouped = float(np.mean([np.nanmean(spread_of(rng.permutation(values))) for _ in range(draws)]))
        found[name] = {"within": within, "regrouped": regrouped, "ratio": within / regrouped if regrouped else 1.0}
    return found


def filter_similarity(W):
    """W (F, F, C, K) -> (K, K): the cosine of each two filters after the best shift, colours together."""
    F = W.shape[0]
    require(W.ndim == 4 and W.shape[1] == F, f"filters must be (F, F, C, K), not {W.shape}")
    spectrum = np.fft.rfft2(W, (2 * F - 1, 2 * F - 1), axes=(0, 1))
    cross = np.einsum("yxci,yxcj->yxij", spectrum, spectrum.conj())
    best = np.fft.irfft2(cross, (2 * F - 1, 2 * F - 1), axes=(0, 1)).max((0, 1))
    norm = np.sqrt(np.diag(best))
    norm = norm + (norm == 0)
    return best / norm / norm[:, None]


def group_similarity(W, group):
    """Mean filter_similarity of filters pooled together, and of filters that are not (what regrouping would give)."""
    K = W.shape[-1]
    require(1 < group < K and K % group == 0, f"{K} filters do not divide into two groups or more of {group}, above 1")
    similarity, member = filter_similarity(W), np.arange(K) // group
    same = member == member[:, None]
    return float(similarity[same & ~np.eye(len(same), dtype=bool)].mean()), float(similarity[~same].mean())


def group_slowness(z):
    """z (2N, K), all z_t, then all z_t' -> mean |z_t - z_t'| / mean z of each entry (K,), scale-free; inf if silent."""
    require(len(z) and len(z) % 2 == 0, f"slowness needs pairs: all z_t, then all z_t', not {len(z)} codes")
    require_floats(z=z)
    change, mean = np.abs(z[: len(z) // 2] - z[len(z) // 2 :]).mean(0), z.mean(0)
    return np.divide(change, mean, out=np.full_like(change, np.inf), where=mean > 0)


def delta(z):
    """z (2N, K), all z_t, then all z_t' -> <(z_t - z_t')^2> / var z of each entry (K,); 2 where t tells nothing of t'.

    Of Wiskott and Sejnowski (2002): no scale and no offset matters, so codes of any kind compare; inf if constant.
    """
    require(len(z) and len(z) % 2 == 0, f"slowness needs pairs: all z_t, then all z_t', not {len(z)} codes")
    change, variance = ((z[: len(z) // 2] - z[len(z) // 2 :]) ** 2).mean(0), z.var(0)
    return np.divide(change, variance, out=np.full_like(change, np.inf), where=variance > 0)


def curvature(z):
    """z (3N, ...), all z_t-1, then all z_t, then all z_t+1 -> the angle between its two steps (N,), degrees.

    0 where the code moves straight on, 120 on average where each frame's is independent; NaN where it stands still.
    """
    require(len(z) and len(z) % 3 == 0, f"curvature needs triplets: all z_t-1, z_t, then z_t+1, not {len(z)} codes")
    require_floats(z=z)
    one, two = np.diff(z.reshape(3, len(z) // 3, -1), axis=0)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosine = np.divide((one * two).sum(1), lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))
