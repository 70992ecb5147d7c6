"""The losses, each as its value and its gradient: drlim is the mean over pairs, the others are sums."""

from slowae.backend import array_module
from slowae.checks import require, require_alike


def drlim(z, z_other, near, margin, squared=False):
    """Eq. 1: |dz| for a near pair, max(0, m - |dz|) for a far one, dz = z - z_other, mean over pairs.

    z, z_other (N, D), near (N,) bool, margin m in the units of z -> loss, dz, dz_other (N, D).
    `squared` gives Hadsell's (2006) form: 1/2 |dz|^2 and 1/2 max(0, m - |dz|)^2. Subgradients: 0 at dz = 0, |dz| = m.
    """
    require_alike(z=z, z_other=z_other)
    require(near.shape == z.shape[:1], f"near {near.shape} must have one entry for each of {len(z)} pairs")
    xp, margin = array_module(z), float(margin)  # a float64 of NumPy would make float64 of float32
    difference = z - z_other
    distance = xp.sqrt((difference**2).sum(1))
    shortfall = (margin - distance).clip(0)
    if squared:
        loss = xp.where(near, distance**2, shortfall**2).sum() / 2
        slope = xp.where(near, distance, -shortfall)
    else:
        loss = xp.where(near, distance, shortfall).sum()
        slope = xp.where(near, xp.ones_like(distance), -xp.sign(shortfall))
    # d|dz| = dz / |dz|; adding the bool avoids only the 0/0, where dz = 0 makes the product 0.
    dz = (slope / (distance + (distance == 0)) / len(z))[:, None] * difference
    return loss / len(z), dz, -dz


def reconstruction(x_hat, x):
    """sum |x_hat - x|^2, any equal shapes -> value, dx_hat."""
    require_alike(x_hat=x_hat, x=x)
    r = x_hat - x
    return (r * r).sum(), 2 * r


def sparsity(h):
    """sum |h|_1, any shape -> value, dh = sign(h)."""
    xp = array_module(h)
    return xp.abs(h).sum(), xp.sign(h)


def slowness(z):
    """sum_i |z_t,i - z_t',i|, z (2N, ...) with t in the first half, t' in the second -> value, dz (2N, ...)."""
    require(len(z) % 2 == 0, f"slowness needs pairs: all z_t, then all z_t', not {len(z)} codes")
    xp = array_module(z)
    N = len(z) // 2
    difference = z[:N] - z[N:]
    s = xp.sign(difference)
    return xp.abs(difference).sum(), xp.concatenate([s, -s])


def acceleration(z):
    """sum_i |z_t+1,i - 2 z_t,i + z_t-1,i|, z (3N, ...): all z_t-1, then all z_t, then all z_t+1 -> value, dz (3N, ...).

    What moves at constant speed costs nothing (Section 6).
    """
    require(len(z) % 3 == 0, f"acceleration needs triplets: all z_t-1, z_t, then z_t+1, not {len(z)} codes")
    xp, N = array_module(z), len(z) // 3
    second = z[2 * N :] - 2 * z[N : 2 * N] + z[:N]
    s = xp.sign(second)
    return xp.abs(second).sum(), xp.concatenate([s, -2 * s, s])


def cross_entropy(logits, labels):
    """sum_n -log softmax(logits_n)[label_n], logits (N, classes), labels (N,) int -> value, dlogits (N, classes)."""
    require(labels.shape == logits.shape[:1], f"labels {labels.shape} must be one for each row of {logits.shape}")
    xp = array_module(logits)
    right = labels[:, None] == xp.ones_like(logits).cumsum(1) - 1  # one hot
    shifted = logits - logits.max(1, keepdims=True)  # softmax does not change, and exp cannot overflow
    p = xp.exp(shifted)
    total = p.sum(1, keepdims=True)
    loss = (xp.log(total)[:, 0] - (shifted * right).sum(1)).sum()
    return loss, p / total - right
