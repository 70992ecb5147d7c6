"""Figure 1a's data: a toy plane of a few solids, turned by yaw and by roll in small steps, and drawn with a z-buffer.

No symmetry may let two pairs of angles look alike: hence the fin, the dark tip of one wing, light from one side, and a
camera that looks down.
"""

import zlib
from pathlib import Path

import numpy as np

from slowae import files
from slowae.checks import require
from slowae.data.sources import data_dir, require_writable
from slowae.progress import bar

SIZE = 96  # pixels a side
SPAN = 90  # degrees turned about each axis
SAMPLES = 2  # samples a side of each pixel
YAW_START, ROLL_START, PITCH = -45.0, -15.0, 30.0  # degrees; PITCH is how far the camera looks down
LIGHT = np.array([-0.5, -0.6, 0.9])  # towards the light, in the camera's axes: right, away, up
AMBIENT = 0.25


def _turn(degrees, axis):
    """The rotation about axis 0 (x), 1 (y) or 2 (z) -> (3, 3)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.roll([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], axis, (0, 1))


def _normals(triangles):
    """(M, 3, 3) -> outward normals (M, 3), as long as twice the area."""
    a, b, c = triangles.swapaxes(0, 1)
    return np.cross(b - a, c - a)


def _skin(rings):
    """Rings of points (R, P, 3), anticlockwise as seen from the last, each joined to the next -> triangles (M, 3, 3).

    The corners of each are anticlockwise as seen from outside. The first and the last ring are P times one point.
    """
    ring, after = rings[:-1], rings[1:]
    ring_next, after_next = np.roll(ring, -1, 1), np.roll(after, -1, 1)
    halves = [(ring, ring_next, after), (after, ring_next, after_next)]
    triangles = np.concatenate([np.stack(half, 2).reshape(-1, 3, 3) for half in halves])
    return triangles[_normals(triangles).any(1)]  # half of those at the end points have no area


def _lathe(profile):
    """A round part about the x axis from its profile (P, 2), nose first: x and radius."""
    x, radius = np.array(profile)[::-1].T[..., None]
    around = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    return _skin(np.stack(np.broadcast_arrays(x, radius * np.sin(around), -radius * np.cos(around)), -1))


def _wing(side, root, tip, start, end, thickness):
    """A swept panel to port, 1, or starboard, -1; root and tip: its two ends along x; start, end: along y."""
    outline = np.array([(root[1], start), (root[0], start), (tip[0], end), (tip[1], end)])[::side] * [1, side]
    middle = outline.mean(0)
    profile = [(0, -thickness / 2), (1, -thickness / 2), (1, thickness / 2), (0, thickness / 2)]
    return _skin(np.array([np.insert(middle + size * (outline - middle), 2, z, axis=1) for size, z in profile]))


def build():
    """The plane: nose along +x, port wing +y, fin +z, in a ball of radius .95 -> triangles (M, 3, 3), albedo (M,)."""
    s = np.linspace(0, 1, 24)
    body = [(0.9 - 0.35 * u, 0.13 * np.sqrt(1 - (1 - u) ** 2)) for u in s]  # the nose, rounded
    body += [(0.55 - 0.85 * u, 0.13) for u in s[1:]] + [(-0.3 - 0.6 * u, 0.13 - 0.1 * u**1.5) for u in s[1:]]
    body += [(-0.9, 0.0)]
    cockpit = _lathe([(0.17 * u, 0.08 * np.sqrt(1 - u**2)) for u in np.cos(np.pi * s)])
    engine = _lathe([(0.16, 0.0), (0.16, 0.07), (0.0, 0.075), (-0.2, 0.05), (-0.2, 0.0)])
    parts = [
        (_lathe(body), 0.95),
        (np.add(cockpit, [0.5, 0, 0.1]), 0.3),
        (_wing(1, (0.25, -0.15), (0.0, -0.2), 0.1, 0.7, 0.04), 0.7),
        (_wing(1, (0.0, -0.2), (-0.09, -0.22), 0.7, 0.9, 0.04), 0.2),  # the dark tip to port
        (_wing(-1, (0.25, -0.15), (-0.09, -0.22), 0.1, 0.9, 0.04), 0.7),
        *[(_wing(side, (-0.65, -0.83), (-0.75, -0.86), 0.03, 0.36, 0.03), 0.6) for side in (1, -1)],
        (_wing(1, (-0.62, -0.85), (-0.8, -0.93), 0.08, 0.42, 0.03) @ _turn(90, 0).T, 0.45),  # the fin
        *[(np.add(engine, [0.12, side * 0.38, -0.09]), 0.5) for side in (1, -1)],
    ]
    triangles = np.concatenate([part for part, _ in parts])
    albedo = np.concatenate([np.full(len(part), value) for part, value in parts])
    return triangles * (0.95 / np.linalg.norm(triangles, axis=-1).max()), albedo


def z_buffer(triangles):
    """Which triangle is nearest at each sample: corners (M, 3, 3) in the camera's axes -> (192, 192), -1 for none.

    The axes point right, away and up; row 0 is at the top. A triangle is a + u (b - a) + v (c - a) with u, v >= 0 and
    u + v <= 1; in parallel projection u, v and the depth are linear over the picture. None may stand edge-on.
    """
    side = SIZE * SAMPLES
    right, depth, up = triangles.T  # each (3, M)
    column, row = ((1 + right) * side - 1) / 2, ((1 - up) * side - 1) / 2  # whole numbers at the samples
    # Candidates: every sample (i, j) in the box about its triangle `which`, for all triangles in one long list.
    left, top = (np.ceil(place.min(0)).clip(0).astype(int) for place in (column, row))
    end, bottom = (np.floor(place.max(0)).clip(max=side - 1).astype(int) for place in (column, row))
    width, height = (end + 1 - left).clip(0), (bottom + 1 - top).clip(0)
    count = width * height
    which = np.repeat(np.arange(len(triangles)), count)
    i, j = np.divmod(np.arange(len(which)) - np.repeat(count.cumsum() - count, count), width[which])
    i, j = i + top[which], j + left[which]
    # Cramer's rule, with x and y from corner a to the sample.
    (bx, cx), (by, cy), (bz, cz) = (place[1:] - place[0] for place in (column, row, depth))
    area = bx * cy - by * cx
    x, y = j - column[0, which], i - row[0, which]
    u = (cy / area)[which] * x - (cx / area)[which] * y
    v = (bx / area)[which] * y - (by / area)[which] * x
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    sample, which, u, v = (i * side + j)[inside], which[inside], u[inside], v[inside]
    away = depth[0, which] + u * bz[which] + v * cz[which]
    # The buffer keeps the smallest depth at each sample; the triangle at that depth is the one seen.
    buffer = np.full(side * side, np.inf)
    np.minimum.at(buffer, sample, away)
    front = away == buffer[sample]
    nearest = np.full(side * side, -1)
    nearest[sample[front]] = which[front]
    return nearest.reshape(side, side)


def render(yaw, roll):
    """Angles in degrees, each (N,) -> views (N, 96, 96) uint8; parallel projection, flat shading, a black background.

    The plane rolls about its nose-tail axis, then yaws about the vertical. The camera looks along +y.
    """
    triangles, albedo = build()
    normals = _normals(triangles)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = LIGHT / np.linalg.norm(LIGHT)
    views = np.empty((len(yaw), SIZE, SIZE), np.uint8)
    for view, one_yaw, one_roll in zip(views, bar(yaw, "rendering"), roll, strict=True):
        turn = _turn(PITCH, 0) @ _turn(one_yaw, 2) @ _turn(one_roll, 0)
        facing = normals @ turn[1] < -1e-9  # the far side of a closed solid is hidden
        shade = albedo * (AMBIENT + (1 - AMBIENT) * (normals @ (turn.T @ light)).clip(0))
        nearest = z_buffer(np.tensordot(turn, triangles[facing].T, 1).T)
        samples = np.append(shade[facing], 0.0)[nearest]  # no triangle is -1: the black at the end
        view[:] = 255 * samples.reshape(SIZE, SAMPLES, SIZE, SAMPLES).mean(1).mean(2) + 0.5
    return views


def load(step=1):
    """The grid of yaw x roll every `step` degrees, rendered once and cached in data_dir().

    -> views (N, 96, 96) uint8, yaw (N,), roll (N,) in degrees from the first; N = (90 / step)^2.
    """
    require(step in range(1, 19) and SPAN % step == 0, f"the step must divide {SPAN} and be at most 18, not {step}")
    # The name holds a checksum of this file, so another plane or camera is never read from an old cache.
    path = data_dir() / f"plane-{step}deg-{zlib.crc32(Path(__file__).read_bytes()):08x}.npz"
    if not path.exists():
        require_writable(path.parent)
    yaw, roll = (angle.ravel() for angle in np.meshgrid(*[np.arange(0.0, SPAN, step)] * 2, indexing="ij"))
    views = files.cached(path, lambda: {"views": render(YAW_START + yaw, ROLL_START + roll)})["views"]
    return views, yaw, roll


def neighbours(step=1):
    """Views one step apart, along yaw or along roll -> indices (P, 2)."""
    index = np.arange((SPAN // step) ** 2).reshape(SPAN // step, -1)
    along = (index[:-1], index[1:]), (index[:, :-1], index[:, 1:])
    return np.concatenate([np.stack(two, -1).reshape(-1, 2) for two in along])


def split(rng, step, share):
    """Hold out a random `share` of the views -> training (N,) bool, neighbours (P, 2) among those.

    ValueError if that leaves no pair, or nothing held out.
    """
    views = (SPAN // step) ** 2
    held_out = rng.permutation(np.arange(views) + 0.5 < share * views)
    pairs = neighbours(step)
    pairs = pairs[~held_out[pairs].any(1)]
    possible = held_out.any() and len(pairs)
    require(possible, f"a share of {share} of {views} views holds out none, or leaves no neighbours: choose another")
    return ~held_out, pairs
