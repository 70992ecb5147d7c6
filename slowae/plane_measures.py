"""Did the plane's two angles come out? A linear map from the code z to the angles, judged on views held out."""

import numpy as np

from slowae.checks import require


def linear_map(z, angles, fit, on):
    """Best linear map z (N, 2) -> angles (N, 2), fitted on the views `fit` and judged `on` others, both (N,) bool.

    -> R2 of each angle (2,); the degrees between the two angles' gradients in z.
    """
    require((np.ptp(angles[on], axis=0) > 0).all(), "too few views to judge an angle by: hold out more of them")
    inputs = np.column_stack([z, np.ones(len(z))]).astype(float)
    weights = np.linalg.lstsq(inputs[fit], angles[fit], rcond=None)[0]
    error = angles[on] - inputs[on] @ weights
    r2 = 1 - (error**2).sum(0) / ((angles[on] - angles[on].mean(0)) ** 2).sum(0)
    gradients = weights[:2] / np.linalg.norm(weights[:2], axis=0)
    return r2, np.degrees(np.arccos(np.clip(gradients[:, 0] @ gradients[:, 1], -1, 1)))


def judge(z, angles, training):
    """z and angles (N, 2), training (N,) bool -> R2 of each angle on the views held out; the degrees."""
    r2, between = linear_map(z, angles, training, ~training)
    held_out = {"views": int((~training).sum()), "r2_yaw": float(r2[0]), "r2_roll": float(r2[1])}
    return {"held_out": held_out, "degrees_between_gradients": float(between)}
