"""What a row may learn from."""

from dataclasses import dataclass, replace

import numpy as np

from slowae import files
from slowae.checks import require
from slowae.data.whitening import Whitening


@dataclass(frozen=True, eq=False)
class Data:
    """The training part of one fold.

    frames (N, 32, 32, 3) uint8; windows (P, T), indices of T frames each one step apart, T = 2 or more; whiten: fitted
    on frames; validation: scenes that settings are chosen on and training is watched on; labelled: the training images
    (M, 32, 32, 3) uint8 and labels (M,) of CIFAR-10, or None.
    """

    frames: np.ndarray
    windows: np.ndarray
    whiten: Whitening
    validation: list = ()
    labelled: tuple | None = None

    @property
    def pairs(self):
        """Every two frames that follow one another in a window (P, 2). ValueError for windows of other frames."""
        pairs = np.unique(np.stack([self.windows[:, :-1].ravel(), self.windows[:, 1:].ravel()], 1), axis=0)
        good = len(pairs) > 0 and 0 <= pairs.min() and pairs.max() < len(self.frames)
        require(good, f"windows must be (P, T) indices of {len(self.frames)} frames, one or more, T = 2 or more")
        return pairs

    @property
    def triplets(self):
        """Every three frames that follow one another (P, 3), chained from pairs. ValueError where there are none."""
        pairs, after = self.pairs, np.full(len(self.frames), -1)
        after[pairs[:, 0]] = pairs[:, 1]
        third = after[pairs[:, 1]]
        require((third >= 0).any(), "no three frames follow one another: give longer videos, or more frames a second")
        return np.column_stack([pairs, third])[third >= 0]

    def images(self):
        """labelled; ValueError where there are none."""
        require(self.labelled is not None, "this row learns from labelled images, and none were given")
        return self.labelled

    @property
    def checksum(self):
        """Of everything above."""
        held = {"frames": self.frames, "windows": self.windows}
        held |= {"mean": self.whiten.mean, f"matrix, epsilon {self.whiten.epsilon}": self.whiten.matrix}
        for i, scene in enumerate(self.validation):
            held[f"validation {i}: {scene.video} {scene.shot} {scene.step} {scene.start}"] = scene.frames
        if self.labelled is not None:
            held |= dict(zip(("images", "labels"), self.labelled, strict=True))
        return files.checksum(held)

    def only(self, uses):
        """What a row that uses these is handed: labels, or none; the film, or no more than its whitening's epsilon."""
        labelled = self.labelled if "labels" in uses else None
        if "film" in uses:
            return replace(self, labelled=labelled)
        nothing = replace(self.whiten, mean=self.whiten.mean[:0], matrix=self.whiten.matrix[:0])
        return Data(self.frames[:0], self.windows[:0], nothing, labelled=labelled)
