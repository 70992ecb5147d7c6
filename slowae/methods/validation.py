"""What settings are chosen by: retrieval on validation scenes, and among training images."""

from slowae import retrieval
from slowae.data import scenes


def validate(encode, data):
    """encode(frames) -> what settings are chosen by: on the validation scenes, and among the labelled images, if any.

    Of the images the first fifth is the gallery, and the last fiftieth asks.
    """
    frames, scene = scenes.retrieval_frames(data.validation)
    found = {"temporal": retrieval.temporal_retrieval(encode(frames), scene)}
    if data.labelled:
        images, labels = data.labelled
        part, asked = len(images) // 5, len(images) - len(images) // 50
        found["class"] = retrieval.class_retrieval(
            encode(images[asked:]), labels[asked:], encode(images[:part]), labels[:part]
        )
    return {f"{task}_{name}": float(r.measure(name)) for task, r in found.items() for name in ("auc", "map")}
