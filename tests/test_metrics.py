"""Retrieval by hand and by loop; the oracle and chance; filters alike after a shift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from slowae import metrics
from slowae.backend import to_device, to_host


@given(st.integers(2, 30), st.integers(1, 8), st.integers(1, 7), seeds)
def test_neighbours_equal_the_loop(G, D, block, seed):
    rng = np.random.default_rng(seed)
    # Few integers make many ties and some zero vectors; 2^-k scales keep the cosines of equals exactly equal.
    gallery = rng.integers(-1, 2, (G, D)).astype(float)
    queries = gallery[: max(1, G // 2)]
    k, exclude = min(5, G - 1), np.arange(len(queries))
    found = to_host(metrics.neighbours(to_device(queries), to_device(gallery), k, to_device(exclude), block))
    for q, row in enumerate(found):
        assert q not in row
        similarity = []
        for g in gallery:
            norm = np.linalg.norm(queries[q]) * np.linalg.norm(g)
            similarity.append(queries[q] @ g / norm if norm else 0.0)
        similarity = np.round(similarity, 9)
        others = [i for i in range(G) if i != q]
        expected = sorted(others, key=lambda i: -similarity[i])[:k]
        np.testing.assert_allclose(similarity[row], similarity[expected])


@given(st.integers(2, 60), st.integers(1, 6), st.integers(1, 70), st.booleans(), seeds)
def test_blocks_find_what_one_full_stable_sort_finds(G, D, block, leave_out, seed):
    rng = np.random.default_rng(seed)
    # Signed unit vectors, some scaled by two and some zero: all cosines are -1, 0 or 1 exactly, with many ties.
    gallery = np.eye(D)[rng.integers(D, size=G)] * rng.choice([-2.0, -1, 0, 1, 2], (G, 1))
    queries = gallery[rng.permutation(G)[: G // 2 + 1]] * 4
    exclude = rng.integers(G, size=len(queries)) if leave_out else None
    similarity = np.sign(queries) @ np.sign(gallery).T
    if leave_out:
        similarity[np.arange(len(queries)), exclude] = -np.inf
    k = int(rng.integers(1, G))
    device = [to_device(value) for value in (queries, gallery)]
    found = metrics.neighbours(*device, k, to_device(exclude) if leave_out else None, block)
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(to_host(found), expected)


def test_progress_sees_every_block_of_the_gallery():
    seen = []
    metrics.neighbours(
        *to_device({"q": np.eye(3), "g": np.eye(3)}).values(), 1, block=2, progress=lambda b: seen.extend(b) or b
    )
    assert seen == [0, 2]


def test_ties_go_to_the_lower_index_and_zero_vectors_are_orthogonal_to_all():
    gallery = np.array([[0.0, 0], [-1, 0], [2, 0], [1, 0], [0, 0]])
    found = metrics.neighbours(to_device(np.array([[1.0, 0]])), to_device(gallery), 5)
    assert to_host(found).tolist() == [[2, 3, 0, 4, 1]]


def test_auc_of_a_case_by_hand():
    """Two scenes of three frames, codes on a circle; middle frames are queries."""
    angle = np.radians([0, 10, 25, 30, 90, 95])
    codes, scene = np.stack([np.cos(angle), np.sin(angle)], 1), np.array([0, 0, 0, 1, 1, 1])
    retrieval = metrics.temporal_retrieval(codes, scene)
    # Query 1 (10 degrees): 0 (right), 2 (right), 3, 4, 5. Query 4 (90): 5 (right), 3 (right), 2, 1, 0.
    assert retrieval.found.tolist() == [[1, 2, 2, 2, 2], [1, 2, 2, 2, 2]]
    np.testing.assert_allclose(retrieval.precision, [1, 1, 2 / 3, 2 / 4, 2 / 5])
    np.testing.assert_allclose(retrieval.recall, [0.5, 1, 1, 1, 1])
    assert retrieval.auc == pytest.approx(0.5)

    angle[3] = np.radians(12)  # now frame 3 is the nearest to query 1, and after 2 in the order of query 4
    codes = np.stack([np.cos(angle), np.sin(angle)], 1)
    retrieval = metrics.temporal_retrieval(codes, scene)
    assert retrieval.found.tolist() == [[0, 1, 2, 2, 2], [1, 1, 2, 2, 2]]
    P, R = np.array([0.5, 0.5, 2 / 3, 0.5, 0.4]), np.array([0.25, 0.5, 1, 1, 1])
    np.testing.assert_allclose(retrieval.precision, P)
    np.testing.assert_allclose(retrieval.recall, R)
    by_hand = 0.25 * (0.5 + 0.5) / 2 + 0.5 * (0.5 + 2 / 3) / 2
    assert retrieval.auc == pytest.approx(by_hand)


@given(st.lists(st.integers(2, 9), min_size=2, max_size=8), seeds)
def test_one_hot_codes_reach_the_oracle(lengths, seed):
    scene = np.repeat(np.arange(len(lengths)), lengths)
    noise = 1e-3 * np.random.default_rng(seed).random((len(scene), len(lengths)))
    found = metrics.temporal_retrieval(np.eye(len(lengths))[scene] + noise, scene)
    oracle = metrics.oracle_retrieval(scene)
    np.testing.assert_array_equal(found.found, oracle.found)
    assert found.auc == pytest.approx(oracle.auc)


def test_class_retrieval_by_hand():
    """40 of 80 images on a quarter circle, nearest first; the right ones are every other. Recall is k / 40."""
    angle = np.linspace(0.1, 1.5, 80)
    gallery = np.stack([np.cos(angle), np.sin(angle)], 1)
    gallery_labels = np.arange(80) % 2
    queries = np.array([[1.0, 0], [0, 1.0]])  # finds 0, 1, 2, ...; finds 79, 78, ...
    right = metrics.class_retrieval(queries, np.array([0, 1]), gallery, gallery_labels)
    k = np.arange(1, 41)
    np.testing.assert_array_equal(right.found, np.tile((k + 1) // 2, (2, 1)))
    np.testing.assert_allclose(right.precision, (k + 1) // 2 / k)
    np.testing.assert_allclose(right.recall, k / 40)
    P = (k + 1) // 2 / k
    assert right.auc == pytest.approx(sum((P[i] + P[i + 1]) / 2 / 40 for i in range(39)))
    one = metrics.class_retrieval(queries, np.array([0, 0]), gallery, gallery_labels)
    assert one.auc < right.auc
    draws = one.bootstrap(draws=400)
    ends = [metrics.class_retrieval(queries[[i, i]], np.array([0, 0]), gallery, gallery_labels).auc for i in (0, 1)]
    # Two queries drawn twice: both the same a quarter of the time each, else one of each.
    assert draws.min() == pytest.approx(min(ends)) and draws.max() == pytest.approx(max(ends))
    assert draws.mean() == pytest.approx(one.auc, abs=0.1 * (max(ends) - min(ends)))


def test_chance_is_what_random_codes_get():
    scene = np.repeat(np.arange(40), 10)
    rng = np.random.default_rng(0)
    areas = [metrics.temporal_retrieval(rng.standard_normal((400, 64)), scene).auc for _ in range(50)]
    chance = metrics.chance_auc(scene)
    assert abs(np.mean(areas) - chance) < 4 * np.std(areas) / np.sqrt(50) + 0.1 * chance


def test_the_query_is_the_middle_frame():
    assert metrics.middle_frames(np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])).tolist() == [1, 3, 7]


def test_bootstrap_resamples_groups_and_pairs_up():
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(20), 6)
    group = scene // 4
    codes = np.eye(20)[scene] + rng.standard_normal((120, 20)) * 0.5
    one = metrics.temporal_retrieval(codes, scene, group)
    assert one.bootstrap(draws=200).std() > 0
    np.testing.assert_array_equal(one.bootstrap(seed=1, draws=50), one.bootstrap(seed=1, draws=50))
    alone = metrics.temporal_retrieval(codes, scene, np.zeros(120, int))
    np.testing.assert_allclose(alone.bootstrap(draws=20), alone.auc)  # one video: nothing to resample


def test_comparing_with_pixels_and_the_oracle():
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(24), 6)
    one_hot, video = np.eye(24)[scene], scene // 4
    retrievals = {
        "pixels": metrics.temporal_retrieval(one_hot + rng.standard_normal((144, 24)) * 0.8, scene, video),
        "good": metrics.temporal_retrieval(one_hot + rng.standard_normal((144, 24)) * 0.4, scene, video),
        "best": metrics.temporal_retrieval(one_hot, scene, video),
    }
    oracle = metrics.oracle_retrieval(scene, video)
    rows = metrics.compare(retrievals, oracle, draws=300)
    assert rows["pixels"]["ratio"] == 1 and rows["pixels"]["way"] == 0
    assert rows["pixels"]["ratio_95"] == [1, 1] and rows["pixels"]["way_95"] == [0, 0]
    # Zero noise is the oracle: all the way, whatever videos are drawn, though its AUC itself is uncertain.
    assert rows["best"]["way"] == pytest.approx(1)
    np.testing.assert_allclose(rows["best"]["way_95"], 1)
    start, good, end = (retrievals[name].auc for name in ("pixels", "good", "best"))
    assert rows["good"]["ratio"] == pytest.approx(good / start)
    assert rows["good"]["way"] == pytest.approx((good - start) / (end - start))
    low, high = rows["good"]["way_95"]
    assert 0 < low < rows["good"]["way"] < high < 1
    low, high = rows["good"]["above_95"]["pixels"]
    assert 0 < low < good - start < high
    np.testing.assert_allclose(rows["pixels"]["above_95"]["good"], [-high, -low])
    assert rows["good"]["above_95"]["good"] == [0, 0]
    # Where pixels are perfect there is no way to go, and nothing is divided by zero.
    perfect = metrics.compare({"pixels": retrievals["best"], "good": retrievals["good"]}, oracle, draws=50)
    assert perfect["good"]["way"] is None and perfect["good"]["way_95"] is None and perfect["good"]["ratio"] < 1


def test_colour_histogram_counts_and_ignores_places():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    histogram = metrics.colour_histogram(frames)
    assert histogram.shape == (3, 512)
    assert (histogram.sum(1) == 64).all()
    shuffled = frames.reshape(3, 64, 3)[:, rng.permutation(64)].reshape(frames.shape)
    np.testing.assert_array_equal(histogram, metrics.colour_histogram(shuffled))
    assert metrics.colour_histogram(np.full((1, 2, 2, 3), 255, np.uint8))[0, -1] == 4


def test_filters_alike_after_a_shift():
    rng = np.random.default_rng(0)
    pattern = np.zeros((9, 9, 3))
    pattern[2:5, 2:5] = rng.standard_normal((3, 3, 3))
    moved = np.roll(pattern, (3, 2), (0, 1))
    other = rng.standard_normal((9, 9, 3))
    similarity = metrics.filter_similarity(np.stack([pattern, 5 * moved, other, np.zeros_like(other)], -1))
    np.testing.assert_allclose(similarity[0, :2], 1)
    assert similarity[0, 2] < 0.8
    np.testing.assert_allclose(similarity[3], 0, atol=1e-12)


def test_group_similarity_tells_planted_groups_from_random_ones():
    rng = np.random.default_rng(0)
    leaders = rng.standard_normal((5, 5, 3, 4))
    within, between = metrics.group_similarity(np.repeat(leaders, 4, axis=-1), 4)
    assert within == pytest.approx(1)
    assert between < 0.6
    within, between = metrics.group_similarity(rng.standard_normal((5, 5, 3, 64)), 4)
    assert abs(within - between) < 0.03


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_with_nan_or_inf_are_refused(bad):
    codes = np.ones((4, 2))
    codes[1, 1] = bad
    with pytest.raises(ValueError, match="NaN or Inf"):
        metrics.temporal_retrieval(codes, np.array([0, 0, 1, 1]))


def test_too_many_neighbours_and_lone_frames_are_refused():
    with pytest.raises(ValueError, match="3 neighbours"):
        metrics.neighbours(np.ones((1, 2)), np.ones((2, 2)), 3)
    with pytest.raises(ValueError, match="two frames"):
        metrics.temporal_retrieval(np.eye(3), np.array([0, 0, 1]))
    with pytest.raises(ValueError, match="scene numbers"):
        metrics.temporal_retrieval(np.eye(3), np.array([0, 0]))
    with pytest.raises(ValueError, match="3 queries, but 2 labels"):
        metrics.class_retrieval(np.eye(3), np.zeros(2), np.eye(3), np.zeros(3))
    with pytest.raises(ValueError, match="gallery of 3, but 4 labels"):
        metrics.class_retrieval(np.eye(3), np.zeros(3), np.eye(3), np.zeros(4))
