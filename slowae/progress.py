"""A progress bar in a terminal and in a live notebook, and nowhere else."""

import importlib.util
import sys

from tqdm import tqdm


def bar(*arguments, **options):
    """tqdm(*arguments, **options): a widget in a notebook that a person runs, silent where there is no terminal."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    # Only a person's front end says that it can be asked for input; where a program executes it, a widget would hang.
    if not kernel or not kernel.get_parent().get("content", {}).get("allow_stdin"):
        return tqdm(*arguments, dynamic_ncols=True, disable=None, **options)
    if importlib.util.find_spec("ipywidgets") is None:
        return tqdm(*arguments, **options)
    from tqdm.notebook import tqdm as widget

    return widget(*arguments, **options)
