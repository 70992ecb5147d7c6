"""Frames -> shots: where a film cuts, and which frames are blank."""

from itertools import pairwise

import numpy as np

BLANK = 4.0  # grey levels: a frame whose standard deviation is below, in every colour, shows nothing
# Mean absolute change between adjacent frames, in grey levels: CUT is one by itself; CUT_RELATIVE is one if it also
# exceeds the sum of its two neighbours by CUT_RATIO.
CUT, CUT_RELATIVE, CUT_RATIO = 60.0, 13.0, 1.2
UNLIKE, UNLIKE_RATIO = 0.4, 0.75  # 1 - correlation of the frames on both sides of a blank stretch; see _cut_across


def find_cuts(frames):
    """frames (T, H, W, 3) uint8 -> t such that a new shot begins at frame t, by the absolute and the relative rule."""
    # Frame by frame: the films of a command, in int16, would be its largest arrays.
    change = np.array([np.abs(np.subtract(a, b, dtype=np.int16)).mean() for a, b in pairwise(frames)])
    around = np.pad(change, 1)
    relative = change > CUT_RATIO * (around[:-2] + around[2:])
    return 1 + np.flatnonzero((change > CUT) | ((change > CUT_RELATIVE) & relative))


def _cut_across(before, last, first, after):
    """Is there a cut between the frames `last` and `first`, which stand on both sides of a blank stretch?

    `before` and `after` are as far from them again, and tell how fast the film moves. The cut rule decides. In a fade
    it sees dark frames only, so it is also a cut if the pictures differ whatever their brightness and contrast.
    """
    frames = [before, last, first, after]
    unlike = 1 - np.corrcoef([frame.ravel() for frame in frames])
    across, moves = unlike[1, 2], unlike[0, 1] + unlike[2, 3]
    return 2 in find_cuts(frames) or across > max(UNLIKE, UNLIKE_RATIO * moves)


def find_shots(frames, blank):
    """frames (T, H, W, 3), which of them are blank (T,) -> [the numbers of each shot's frames that are not blank].

    A shot goes on after a blank stretch, unless there is a cut across it.
    """
    shown = np.flatnonzero(~blank)
    pieces = []
    for stretch in np.split(shown, 1 + np.flatnonzero(np.diff(shown) > 1)):
        # A frame that is held neither moves nor stands out from its neighbours: cuts are sought among the others.
        new = [t for t in stretch if t == stretch[0] or not np.array_equal(frames[t], frames[t - 1])]
        cuts = [new[i] for i in find_cuts([frames[t] for t in new])]
        pieces += np.split(stretch, np.searchsorted(stretch, cuts))
    shots = pieces[:1]
    for piece in pieces[1:]:
        shot, last, first = shots[-1], shots[-1][-1], piece[0]
        gap = first - last
        before, after = shot[np.searchsorted(shot, last - gap)], min(first + gap, piece[-1])
        if gap > 1 and not _cut_across(frames[before], frames[last], frames[first], frames[after]):
            shots[-1] = np.concatenate([shot, piece])
        else:
            shots.append(piece)
    return shots
