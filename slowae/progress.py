"""A progress bar in a terminal and in a live notebook, and nowhere else."""

import importlib.util
import sys

from tqdm import tqdm


def live_notebook():
    """True in a notebook that a person runs; False in one that a program executes, where a widget would hang."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    # Only a front end that a person uses says that it can be asked for input.
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin"))


def bar(*arguments, **options):
    """tqdm(*arguments, **options): a widget in a live notebook, silent where there is no terminal."""
    if not live_notebook():
        return tqdm(*arguments, dynamic_ncols=True, disable=None, **options)
    if importlib.util.find_spec("ipywidgets") is None:
        return tqdm(*arguments, **options)
    from tqdm.notebook import tqdm as widget

    return widget(*arguments, **options)
