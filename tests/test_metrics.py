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
