"""An answer that is not right is refused in one sentence, which names what is wrong, what was expected, what found."""

import numpy as np
import pytest
from answers import NotRight, compare

H = np.array([[0.5, 2.0]])
TRUTHS, ENDLESS = np.array([True, True, False]), np.array([np.inf, np.nan, 1.0])
BOTH = {"auc": np.array([0.5, 0.2]), "map": 0.5}


@pytest.mark.parametrize(
    ("expected", "found", "sentence"),
    [
        (H, np.array([[0.5, 3.0]]), r"h\[0, 1\]: expected 2, found 3 \(50% are wrong\)"),
        (H, H.T, r"h: expected shape \(1, 2\), found shape \(2, 1\)"),
        (H[0], H, r"h: expected shape \(2,\), \[0\.5, 2\. \], found shape \(1, 2\)"),
        (H, H.astype(np.float32), "h: expected dtype float64, found float32"),
        (H, H + np.nan, r"h\[0, 0\]: expected 0\.5, found nan \(100% are wrong\)"),
        (H, [0.5, 2.0], r"h: expected shape \(1, 2\), found a list of 2"),
        (H, 2 * H, r"h\[0, 0\]: expected 0\.5, found 1 \(all are 2 times that\)"),
        (H, H + 1e-8, r"h\[0, 0\]: expected 0\.5, found 0\.50000001 \(100% are wrong\)"),
        (0 * H, 0 * H + 1e-9, r"h\[0, 0\]: expected 0, found 1e-09 \(100% are wrong\)"),
        (np.array([4.0]), np.array([-4.0]), r"h\[0\]: expected 4, found -4 \(-1 times that\)"),
        (4.0, np.float64(4), r"h: expected a float, found float64; float\(\.\.\.\) makes it one"),
        (TRUTHS, ~TRUTHS, r"h\[0\]: expected True, found False \(100% are wrong\)"),
        (ENDLESS, np.array([np.inf, np.nan, 2.0]), r"h\[2\]: expected 1, found 2 \(33% are wrong\)"),
        (BOTH, {"auc": 0.5}, "h: expected a dict of auc, map, found the names auc"),
        (BOTH, BOTH | {"map": 1.0}, r"h\['map'\]: .* \(2 times that\); wrong: h\['map'\]; right: h\['auc'\]"),
        ((H, H), (H, 2 * H), r"h\[1\]\[0, 0\]: .*; wrong: h\[1\]; right: h\[0\]"),
    ],
)
def test_the_sentence_of_what_is_wrong(expected, found, sentence):
    compare("f", ["h"], expected, expected)
    with pytest.raises(NotRight, match=f"^f: {sentence}$") as caught:
        compare("f", ["h"], expected, found)
    assert caught.value._render_traceback_() == [f"not right yet: {caught.value}"]


def test_all_that_is_right_and_wrong_is_named():
    expected = 1.5, {"W_e": H, "b_e": H[0], "W_d": H}
    with pytest.raises(
        NotRight, match=r"^f: grads\['W_e'\].*; wrong: grads\['W_e'\], grads\['W_d'\]; right: loss, grads"
    ):
        compare("f", ["loss", "grads"], expected, (1.5, {"W_e": 2 * H, "b_e": H[0], "W_d": -H}))
    with pytest.raises(NotRight, match="expected loss, grads, found a list of 2"):
        compare("f", ["loss", "grads"], expected, list(expected))


def test_rounding_is_not_wrong():
    """Where all cancels, as in Eq. 1's db_2, only rounding is left, in another order in another's code."""
    compare("f", ["a", "b"], (H, np.array([1e-17, 0])), (H * (1 + 1e-12), np.array([0, -1e-16])))
    compare("f", ["a"], H.astype(np.float32), H.astype(np.float32) * np.float32(1 + 1e-6))
