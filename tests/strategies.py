"""What hypothesis draws: shapes, groups and a seed. The values come from the seeded generator, off the kinks."""

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)


@st.composite
def pooled_shapes(draw):
    """-> (N, H, W, K), group, size that divide."""
    group, size = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2, 3]))
    N, rows, columns, groups = (draw(st.integers(1, 3)) for _ in range(4))
    return (N, rows * size, columns * size, groups * group), group, size


@st.composite
def conv_shapes(draw):
    """-> x shape (N, H, W, C) and filter shape (F, F, C, K)."""
    N, H, W, C, K = (draw(st.integers(1, n)) for n in (3, 6, 6, 3, 4))
    F = draw(st.sampled_from([1, 3, 5]))
    return (N, H, W, C), (F, F, C, K)


def off_zero(rng, shape, least=0.1):
    """Normal numbers pushed away from 0 by `least`, where |.|, max and the root have their kinks."""
    values = rng.standard_normal(shape)
    return values + least * np.sign(values)


def codes(rng, shape=(6, 4)):
    """Codes of 6 frames, three pairs or two triplets, off the kinks of |z|, |z_t - z_t'| and |z_t+1 - 2 z_t + z_t-1|.

    They are multiples of 0.1, moved by 0.02 + 0.003 i^2 in frame i, of which no such sum is a multiple of 0.1.
    """
    moved = 0.02 + 0.003 * np.arange(6.0) ** 2
    return np.round(rng.standard_normal(shape), 1) + moved.reshape(6, *[1] * (len(shape) - 1))
