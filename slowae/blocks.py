"""A batch in blocks on threads: all passes use every core and stay in its cache."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from slowae.backend import array_module, chosen, to_device, to_host


def keep_memory():
    """Let glibc keep 256 MB of freed memory, for arrays below 32 MB: page faults cost up to half the time of a step."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**28)
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**25)


@cache
def blas():
    """-> the BLAS libraries' controller, and the number of threads they are set to use."""
    controller = ThreadpoolController().select(user_api="blas")
    return controller, max((library["num_threads"] for library in controller.info()), default=1)


def frames_per_block(x, W):
    """As many frames as keep h and their spectra in 4 MB of cache on a CPU, h and the patches in 512 MB on a GPU."""
    if W.ndim == 2:
        return len(x)
    F, _, C, K = W.shape
    numbers, parts = (2**20, 2 * F * C) if array_module(x) is np else (2**27, 2 * F * F * C)
    return max(2, numbers // (x[0, ..., 0].size * (parts + K)))


def frame_blocks(x, W):
    """Frames, or patches, x (N, ...) and the filters W that they are convolved with -> slices of x, a block each."""
    step = frames_per_block(x, W)
    return [slice(i, i + step) for i in range(0, len(x), step)]


def map_blocks(function, blocks):
    """[function(block) for block in blocks], on as many threads as BLAS is set to use, each with one BLAS thread.

    Results keep their order: sums over them do not depend on the number of threads.
    """
    blocks = list(blocks)
    controller, count = blas()
    if count == 1 or len(blocks) == 1 or chosen() == "cupy":
        return list(map(function, blocks))
    with controller.limit(limits=1), ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, blocks))


def mean_over_blocks(sums, blocks, N):
    """sums(block) -> loss, gradients, both summed over the block -> both summed over all blocks, divided by N."""
    (loss, grads), *others = map_blocks(sums, blocks)
    for more, gradients in others:
        loss = loss + more
        for name in grads:
            grads[name] += gradients[name]
    for name in grads:
        grads[name] /= N  # in place: a pass over a large gradient takes as long as a product
    return loss / N, grads


def in_blocks(code, frames, block=1000):
    """code(frames on the chosen backend) -> codes there: applied to any number of frames, from host to host."""
    return np.concatenate([to_host(code(to_device(frames[i : i + block]))) for i in range(0, len(frames), block)])
