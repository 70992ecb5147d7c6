"""Checks of arguments: a ValueError of one sentence, where data enters and where arrays would silently broadcast."""


def require(condition, message):
    """ValueError with `message` unless `condition`."""
    if not condition:
        raise ValueError(message)


def require_alike(**arrays):
    """ValueError that names the arrays unless all have the same shape: NumPy would silently broadcast others."""
    shapes = {name: value.shape for name, value in arrays.items()}
    if len(set(shapes.values())) > 1:  # before the text, whose making is slow
        raise ValueError(" and ".join(f"{name} {shape}" for name, shape in shapes.items()) + " must have one shape")
