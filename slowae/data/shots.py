"""Frames -> shots: where a film cuts, which frames are blank, and how many frames are one step."""

from itertools import pairwise

import numpy as np

BLANK = 4.0  # grey levels: a frame whose standard deviation is below, in every colour, shows nothing
# Mean absolute change between adjacent frames, in grey levels: above CUT it is a cut; above CUT_RELATIVE, if it also
# exceeds CUT_RATIO times the sum of its two neighbours.
CUT, CUT_RELATIVE, CUT_RATIO = 60.0, 13.0, 1.2
UNLIKE = 0.4  # 1 - correlation of frames on both sides of a blank stretch; at least this, if they are of two shots


def find_cuts(frames):
    """frames (T, H, W, 3) uint8 -> t such that a new shot begins at frame t, by the absolute and the relative rule."""
    # Frame by frame: the films of a command, in int16, would be its largest arrays.
    change = np.array([np.abs(np.subtract(a, b, dtype=np.int16)).mean() for a, b in pairwise(frames)])
    around = np.pad(change, 1)
    relative = change > CUT_RATIO * (around[:-2] + around[2:])
    return 1 + np.flatnonzero((change > CUT) | ((change > CUT_RELATIVE) & relative))


def _cut_across(frames, shown, edge, step):
    """Is there a cut across the blank stretch between the frames shown[edge - 1] and shown[edge]?

    These, and then the frames one step away, are compared with two as far from them again: by the cut rule, and by
    correlation, which the brightness of a fade does not change.
    """
    for away in (0, step):
        last, first = shown[max(0, edge - 1 - away)], shown[min(len(shown) - 1, edge + away)]
        gap = first - last
        if away and not shown[0] <= last - gap < first + gap <= shown[-1]:
            continue  # there is no frame to measure by how fast the film moves
        before, after = shown[np.searchsorted(shown, [last - gap, first + gap]).clip(max=len(shown) - 1)]
        four = frames[[before, last, first, after]]
        apart = 1 - np.corrcoef(four.reshape(4, -1))
        if 2 in find_cuts(four) or apart[1, 2] > max(UNLIKE, apart[0, 1] + apart[2, 3]):
            return True
    return False


def find_shots(frames, blank, step):
    """frames (T, H, W, 3), which of them are blank (T,) -> [the numbers of each shot's frames that are not blank].

    A shot goes on after a blank stretch, unless there is a cut across it; `step` native frames are one step.
    """
    shown = np.flatnonzero(~blank)
    edges = 1 + np.flatnonzero(np.diff(shown) > 1)
    cuts = [edge for edge in edges if _cut_across(frames, shown, edge, step)]
    for stretch in np.split(np.arange(len(shown)), edges):
        # A frame that is held neither moves nor stands out from its neighbours: cuts are sought among the others.
        new = [i for i in stretch if i == stretch[0] or not np.array_equal(frames[shown[i]], frames[shown[i - 1]])]
        cuts += [new[i] for i in find_cuts([frames[shown[i]] for i in new])]
    return np.split(shown, sorted(cuts))


def native_step(rate, fps):
    """Native frames that make one step of about 1 / `fps` s; at least 1."""
    return max(1, round(rate / fps))
