"""Did the plane's two angles come out? A linear map from the code z to the angles, judged on views held out."""

import numpy as np

from slowae.checks import require


def linear_map(z, angles, fit, on):
    """Best linear map z (N, 2) -> angles (N, 2), fitted on the views `fit` and judged `on` others.

    fit, on (N,) bool -> R2 of each angle (2,); the degrees between the two angles' gradients in z.
    """
    require((np.ptp(angles[on], axis=0) > 0).all(), "too few views to judge an angle by: hold out more of them")
    inputs = np.column_stack([z, np.ones(len(z))]).astype(float)
    weights = np.linalg.lstsq(inputs[fit], angles[fit], rcond=None)[0]
    error = angles[on] - inputs[on] @ weights
    r2 = 1 - (error**2).sum(0) / ((angles[on] - angles[on].mean(0)) ** 2).sum(0)
    gradients = weights[:2] / np.linalg.norm(weights[:2], axis=0)
    return r2, np.degrees(np.arccos(np.clip(gradients[:, 0] @ gradients[:, 1], -1, 1)))


def trustworthiness(reference, space, on, k=12):
    """Are the k neighbours in `space` neighbours in `reference` too? Both (N, D); 1 is perfect, chance .5.

    1 - 2 / (n k (2N - 3k - 1)) sum over n views and their k neighbours of max(0, rank in reference - k),
    Venna and Kaski (2001); with the two spaces exchanged, their continuity. The n views are about 1,000 of
    those `on` (N,) bool, evenly spaced. A tie takes the better rank.
    """
    N = len(space)
    require(0 < k < N / 2, f"k must lie between 1 and half of the {N} views, not {k}")
    require(np.isfinite(space).all() and np.isfinite(reference).all(), "the points hold NaN or Inf")
    queries = np.flatnonzero(on)
    queries = queries[:: max(1, len(queries) // 1000)]
    excess = 0
    for i in queries:
        distance, true_distance = (np.linalg.norm(points - points[i], axis=1) for points in (space, reference))
        distance[i] = true_distance[i] = np.inf
        true_of_neighbours = true_distance[np.argpartition(distance, k)[:k]]
        rank = 1 + (true_distance < true_of_neighbours[:, None]).sum(1)
        excess += (rank - k).clip(0).sum()
    return 1 - 2 * excess / (len(queries) * k * (2 * N - 3 * k - 1))


def judge(z, angles, training):
    """z and angles (N, 2), training (N,) bool -> every number, on all views and on those held out."""
    report = {}
    for name, on in (("all", np.ones_like(training)), ("held_out", ~training)):
        r2, between = linear_map(z, angles, training, on)
        report[name] = {
            "views": int(on.sum()),
            "r2_yaw": float(r2[0]),
            "r2_roll": float(r2[1]),
            "trustworthiness": float(trustworthiness(angles, z, on)),
            "continuity": float(trustworthiness(z, angles, on)),
        }
    return report | {"degrees_between_gradients": float(between)}
