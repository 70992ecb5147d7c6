"""What `bench` times, each with its data and with all who do the same work on them.

The steps are whole ones, optimizer and projection included, at rate 0: every repeat does the same work.
"""

from dataclasses import dataclass

import numpy as np

from slowae import embedding, metrics, model, optim
from slowae.backend import array_module, chosen, threads, to_device, to_host
from slowae.commands import bench_torch
from slowae.commands.bench_timing import OURS, Contender
from slowae.data import sources, video, whitening


@dataclass(frozen=True)
class Case:
    """contenders: {name: Contender}, ours among them; frames of one run, and flops.

    flops: of its matrix products, those of convolutions by patches; who convolves with fewer may pass the limit.
    """

    contenders: dict
    flops: float = 0.0
    frames: int = 0


def _step(loss_and_gradients, params, batch, config, optimizer, project=lambda params: None):
    """The whole of our training step, as a Contender."""
    params, batch = to_device(params), tuple(map(to_device, batch)) if isinstance(batch, tuple) else to_device(batch)
    state = optimizer.init(params)

    def step():
        loss, grads = loss_and_gradients(params, batch, config)
        optimizer.step(params, grads, state, 0.0)
        project(params)
        return loss, grads

    def read(result):
        loss, grads = result
        grads = {name: grad for name, grad in to_host(grads).items() if name != "b_2"}  # Eq. 1's is 0 but for rounding
        return {"loss": float(loss)} | {f"d{name}": grad for name, grad in grads.items()}

    return Contender(step, read)


def _eq_2(rng, shape, frames, config, rivals):
    params, x = model.init_params(rng, shape), rng.standard_normal(frames, dtype=np.float32)
    ours = _step(model.loss_and_gradients, params, x, config, optim.ADAM, optim.project)
    places = np.prod(frames[:-1])
    return Case({OURS: ours} | rivals(params, x, config), 5 * 2.0 * places * np.prod(shape), len(x))


def layer1_step(rng, pairs=32):
    return _eq_2(rng, model.FILTERS[0], (2 * pairs, 32, 32, 3), model.Config(), bench_torch.convolutional)


def layer2_step(rng, pairs=32):
    config = model.Config(group=1, size=4)
    return _eq_2(rng, model.FILTERS[1], (2 * pairs, 16, 16, 16), config, bench_torch.convolutional)


def fully_connected_step(rng, pairs=128):
    return _eq_2(rng, (400, 512), (2 * pairs, 400), model.Config(size=1), bench_torch.fully_connected)


def eq_1_step(rng, near=100, pixels=96 * 96):
    config = embedding.Config(near=near)
    views = np.arange(1000)
    frames, *pairs = embedding.draw_pairs(rng, np.column_stack([views[:-1], views[1:]]), config)
    batch = rng.standard_normal((len(views), pixels), dtype=np.float32)[frames], *pairs
    params = embedding.init_params(rng, pixels, config.hidden)
    ours = _step(embedding.loss_and_gradients, params, batch, config, optim.SGD)
    rivals = bench_torch.eq_1(params, batch, config)
    return Case({OURS: ours} | rivals, 2 * 2.0 * len(frames) * pixels * config.hidden, len(frames))


def retrieval(rng, queries=10_000, gallery=50_000, numbers=4096, k=metrics.K):
    queries, gallery = (np.abs(rng.standard_normal((n, numbers), dtype=np.float32)) for n in (queries, gallery))
    some = slice(100)

    def read(indices):  # the similarities found, for equal ones may change places
        unit, found = metrics.unit_rows(queries[some]), metrics.unit_rows(gallery[indices[some].ravel()])
        return {"similarity": np.einsum("qd,qkd->qk", unit, found.reshape(*indices[some].shape, -1))}

    on_device = to_device(queries), to_device(gallery)
    ours = Contender(lambda: metrics.neighbours(*on_device, k), lambda indices: read(to_host(indices)))
    rivals = bench_torch.neighbours if chosen() == "cupy" else _neighbours
    return Case({OURS: ours} | rivals(queries, gallery, k, read), 2.0 * numbers * len(queries) * len(gallery))


def _neighbours(queries, gallery, k, read):
    """faiss, else scikit-learn, where installed."""
    try:
        import faiss
    except ImportError:
        return _neighbours_scikit_learn(queries, gallery, k, read)
    faiss.omp_set_num_threads(threads())
    queries, gallery = queries.copy(), gallery.copy()  # normalised in place

    def search():
        faiss.normalize_L2(queries)
        faiss.normalize_L2(gallery)
        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery)
        return index.search(queries, k)[1]

    return {"faiss: IndexFlatIP": Contender(search, read)}


def _neighbours_scikit_learn(queries, gallery, k, read):
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        return {}
    brute = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    search = Contender(lambda: brute.fit(gallery).kneighbors(queries, return_distance=False), read)
    return {"scikit-learn: brute": search}


def whitening_fit(rng, count=10_000, side=32):
    frames = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    ours = Contender(lambda: whitening.fit_whitening(frames, 0.1), lambda whiten: {"matrix": whiten.matrix})
    return Case({OURS: ours} | bench_torch.whitening(frames, 0.1), frames=count)


def decoding(rng):
    """One of the clips that come along."""
    path = sources.find_videos()[0]
    ours = Contender(lambda: sum(1 for _ in video.decode(path, 32, 32)), lambda count: {"frames": count})
    return Case({OURS: ours}, frames=ours.run())


CASES = {
    "layer1_step": layer1_step,
    "layer2_step": layer2_step,
    "fully_connected_step": fully_connected_step,
    "eq_1_step": eq_1_step,
    "retrieval": retrieval,
    "whitening_fit": whitening_fit,
    "decoding": decoding,
}


def limits(rng, side=4096, copied=2**28):
    """{name: (function, how much it does)}: a large sgemm, in floating point operations, and a copy, in bytes."""
    a, b = (to_device(rng.standard_normal((side, side), dtype=np.float32)) for _ in range(2))
    source = array_module(a).zeros(copied // 4, np.float32)
    return {"sgemm": (lambda: a @ b, 2.0 * side**3), "copy": (source.copy, 2.0 * copied)}
