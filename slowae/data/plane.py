"""Figure 1a's data: a toy plane of a few solids, turned by yaw and by roll in small steps, and ray-cast.

No symmetry may fold the two angles together: so there is a fin above, a dark tip to the port wing only, light
from one side, and a camera that looks down.
"""

import zlib
from pathlib import Path

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from tqdm import tqdm

from slowae import files
from slowae.backend import require
from slowae.data.sources import data_dir

SIZE = 96  # pixels a side
SPAN = 90  # degrees turned about each axis
SAMPLES = 2  # rays a side of each pixel
YAW_START, ROLL_START, PITCH = -45.0, -15.0, 30.0  # degrees; PITCH is how far the camera looks down
LIGHT = np.array([-0.5, -0.6, 0.9])  # towards the light, in the camera's axes: right, away, up
AMBIENT = 0.25


def _slab(outline, thickness):
    """A flat part: its outline (P, 2) in the plane of x and y, extruded along z and centred there."""
    n = len(outline)
    vertices = np.array([[x, y, z] for z in (-thickness / 2, thickness / 2) for x, y in outline])
    fan = np.array([[0, i, i + 1] for i in range(1, n - 1)])
    sides = [[i, (i + 1) % n, n + i] for i in range(n)] + [[(i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    mesh = trimesh.Trimesh(vertices, np.concatenate([fan[:, ::-1], fan + n, sides]))
    mesh.fix_normals()
    return mesh


def _lathe(profile):
    """A round part about the x axis from its profile (P, 2): x and radius."""
    mesh = trimesh.creation.revolve(np.array([[radius, x] for x, radius in profile[::-1]]), sections=96)
    return mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))


def build():
    """The plane: nose along +x, port wing +y, fin +z, in a ball of radius .95 -> mesh, albedo (faces,)."""

    def wing(side, root, tip, start, end, thickness):
        """A swept panel; root and tip: where along x it begins and ends; start and end: where along y."""
        corners = [(root[1], start), (root[0], start), (tip[0], end), (tip[1], end)]
        return _slab([(x, side * y) for x, y in corners], thickness)

    s = np.linspace(0, 1, 24)
    body = [(0.9 - 0.35 * u, 0.13 * np.sqrt(1 - (1 - u) ** 2)) for u in s]  # the nose, rounded
    body += [(0.55 - 0.85 * u, 0.13) for u in s[1:]] + [(-0.3 - 0.6 * u, 0.13 - 0.1 * u**1.5) for u in s[1:]]
    body += [(-0.9, 0.0)]
    engine = _lathe([(0.16, 0.0), (0.16, 0.07), (0.0, 0.075), (-0.2, 0.05), (-0.2, 0.0)])
    cockpit = trimesh.creation.icosphere(4).apply_scale([0.17, 0.08, 0.08]).apply_translation([0.5, 0, 0.1])
    fin = wing(1, (-0.62, -0.85), (-0.8, -0.93), 0.08, 0.42, 0.03)
    fin.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    parts = [
        (_lathe(body), 0.95),
        (cockpit, 0.3),
        (wing(1, (0.25, -0.15), (0.0, -0.2), 0.1, 0.7, 0.04), 0.7),
        (wing(1, (0.0, -0.2), (-0.09, -0.22), 0.7, 0.9, 0.04), 0.2),  # the dark tip to port
        (wing(-1, (0.25, -0.15), (-0.09, -0.22), 0.1, 0.9, 0.04), 0.7),
        (wing(1, (-0.65, -0.83), (-0.75, -0.86), 0.03, 0.36, 0.03), 0.6),
        (wing(-1, (-0.65, -0.83), (-0.75, -0.86), 0.03, 0.36, 0.03), 0.6),
        (fin, 0.45),
        (engine.copy().apply_translation([0.12, 0.38, -0.09]), 0.5),
        (engine.copy().apply_translation([0.12, -0.38, -0.09]), 0.5),
    ]
    albedo = np.concatenate([np.full(len(part.faces), value) for part, value in parts])
    mesh = trimesh.util.concatenate([part for part, _ in parts])
    return mesh.apply_scale(0.95 / np.linalg.norm(mesh.vertices, axis=1).max()), albedo


def _turn(degrees, axis):
    return trimesh.transformations.rotation_matrix(np.radians(degrees), axis)[:3, :3]


def render(yaw, roll):
    """Angles in degrees, each (N,) -> views (N, 96, 96) uint8, black behind; parallel projection.

    The plane rolls about its nose-tail axis, then yaws about the vertical. Embree casts the rays.
    """
    require(
        np.shape(yaw) == np.shape(roll) and np.ndim(yaw) == 1,
        "yaw and roll must be two lists of equal length",
    )
    mesh, albedo = build()
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.triangles.astype(np.float32))
    fine = SIZE * SAMPLES
    place = (np.arange(fine) + 0.5) / fine * 2 - 1
    light = LIGHT / np.linalg.norm(LIGHT)
    views = np.empty((len(yaw), SIZE, SIZE), np.uint8)
    for view, one_yaw, one_roll in zip(views, tqdm(yaw, desc="rendering", dynamic_ncols=True), roll, strict=True):
        turn = _turn(PITCH, [1, 0, 0]) @ _turn(one_yaw, [0, 0, 1]) @ _turn(one_roll, [1, 0, 0])
        # The camera looks along +y. Turning the rays back, and not the mesh, leaves embree's tree as it is.
        x, _, z = turn @ mesh.vertices.T
        columns, rows = (slice(*np.searchsorted(place, (v.min(), v.max()))) for v in (x, -z))
        right, down = np.meshgrid(place[columns], place[rows])
        rays = np.stack([right, np.full_like(right, -2), -down], -1).reshape(-1, 3) @ turn
        ahead = np.tile(turn[1].astype(np.float32), (len(rays), 1))
        face = scene.run(rays.astype(np.float32), ahead).reshape(right.shape)
        shade = albedo * (AMBIENT + (1 - AMBIENT) * (mesh.face_normals @ (turn.T @ light)).clip(0))
        rays_seen = np.zeros((fine, fine))
        rays_seen[rows, columns] = np.append(shade, 0.0)[face]  # a miss is face -1: the black at the end
        pixels = sum(rays_seen[i::SAMPLES, j::SAMPLES] for i, j in np.ndindex(SAMPLES, SAMPLES)) / SAMPLES**2
        view[:] = 255 * pixels + 0.5
    return views


def load(step=1):
    """The grid of yaw x roll every `step` degrees, rendered once and kept in data_dir().

    -> views (N, 96, 96) uint8, yaw (N,), roll (N,) in degrees from the first; N = (90 / step)^2.
    """
    require(1 <= step <= 18 and SPAN % step == 0, f"the step must divide {SPAN} and be at most 18, not {step}")
    # The name holds a checksum of this file, so another plane or camera is never read from an old cache.
    path = data_dir() / f"plane-{step}deg-{zlib.crc32(Path(__file__).read_bytes()):08x}.npz"
    if not path.exists():
        yaw, roll = (angle.ravel() for angle in np.meshgrid(*[np.arange(0.0, SPAN, step)] * 2, indexing="ij"))
        views = render(YAW_START + yaw, ROLL_START + roll)
        files.write_arrays(path, {"views": views, "yaw": yaw, "roll": roll})
    arrays = files.read_arrays(path)
    return arrays["views"], arrays["yaw"], arrays["roll"]


def neighbours(step=1):
    """Views one step apart in time, in the sequences along yaw and those along roll -> indices (P, 2)."""
    index = np.arange((SPAN // step) ** 2).reshape(SPAN // step, -1)
    along_yaw = np.stack([index[:-1], index[1:]], -1).reshape(-1, 2)
    along_roll = np.stack([index[:, :-1], index[:, 1:]], -1).reshape(-1, 2)
    return np.concatenate([along_yaw, along_roll])


def split(rng, step, share, patch=1):
    """Hold out a random `share` of the grid, in squares of `patch` x `patch` views.

    -> training (N,) bool, neighbours (P, 2) among those: no pair holds a held-out view.
    """
    side = SPAN // step
    require(side % patch == 0, f"patches of {patch} views do not divide the {side} views a side")
    require(0 < share < 1, f"the share held out must lie between 0 and 1, not {share}")
    coarse = np.arange((side // patch) ** 2) < share * (side // patch) ** 2
    held_out = rng.permutation(coarse).reshape(side // patch, -1).repeat(patch, 0).repeat(patch, 1).ravel()
    pairs = neighbours(step)
    return ~held_out, pairs[~held_out[pairs].any(1)]
