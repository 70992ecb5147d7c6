"""What a row may learn from, and what its settings are chosen by."""

from dataclasses import dataclass, replace

import numpy as np

from slowae import files, retrieval
from slowae.checks import require
from slowae.data import scenes
from slowae.data.whitening import Whitening


@dataclass(frozen=True, eq=False)
class Data:
    """The training part of one fold.

    frames (N, 32, 32, 3) uint8; pairs (P, 2), indices of frames that follow one another, each first frame once;
    whiten: fitted on frames; validation: scenes that settings are chosen on and training is watched on; labelled: the
    training images (M, 32, 32, 3) uint8 and labels (M,) of CIFAR-10, or None.
    """

    frames: np.ndarray
    pairs: np.ndarray
    whiten: Whitening
    validation: list = ()
    labelled: tuple | None = None

    @property
    def triplets(self):
        """Every three frames that follow one another (P, 3), chained from pairs. ValueError where there are none."""
        after = np.full(len(self.frames), -1)
        after[self.pairs[:, 0]] = self.pairs[:, 1]
        third = after[self.pairs[:, 1]]
        require((third >= 0).any(), "no three frames follow one another: give longer videos, or more frames a second")
        return np.column_stack([self.pairs, third])[third >= 0]

    def images(self):
        """labelled; ValueError if there are none."""
        require(self.labelled is not None, "this row learns from labelled images, and none were given")
        return self.labelled

    def validate(self, encode):
        """encode(frames) -> its scores among the validation scenes, all of them and the moving third, and among the
        labelled images, if any.

        Of the images the last fiftieth are the queries, and the first fifth is the gallery.
        """
        frames, scene = scenes.retrieval_frames(self.validation)
        results = {"temporal": retrieval.temporal_retrieval(encode(frames), scene)}
        moving = scenes.moving_third([scenes.motion(s) for s in self.validation])
        results["moving"] = results["temporal"].only(moving)
        if self.labelled:
            images, labels = self.labelled
            part, asked = len(images) // 5, len(images) - len(images) // 50
            gallery, queries = encode(images[:part]), encode(images[asked:])
            results["class"] = retrieval.class_retrieval(queries, labels[asked:], gallery, labels[:part])
        return {f"{task}_{name}": float(r.measure(name)) for task, r in results.items() for name in ("auc", "map")}

    @property
    def checksum(self):
        """Of everything above."""
        held = self.whiten.arrays | {"epsilon": np.array(self.whiten.epsilon)}
        held |= {"frames": self.frames, "pairs": self.pairs}
        for i, scene in enumerate(self.validation):
            held[f"validation {i}: {scene.video} {scene.shot} {scene.step} {scene.start}"] = scene.frames
        if self.labelled is not None:
            held |= dict(zip(("images", "labels"), self.labelled, strict=True))
        return files.checksum(held)

    def only(self, uses):
        """The part that a row with these `uses` is given; without film, of its whitening the epsilon."""
        labelled = self.labelled if "labels" in uses else None
        if "film" in uses:
            return replace(self, labelled=labelled)
        nothing = replace(self.whiten, mean=self.whiten.mean[:0], matrix=self.whiten.matrix[:0])
        return Data(self.frames[:0], self.pairs[:0], nothing, labelled=labelled)
