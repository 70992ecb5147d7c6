"""A progress bar in the house's way: in a terminal, in a live notebook, and nowhere else."""

import importlib.util
import sys

from tqdm import tqdm


def live_notebook():
    """True in a notebook that a person runs; False in one that a program executes, where no widget would be seen."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    # Only a front end with somebody before it says that it can be asked for input.
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin"))


def bar(*arguments, **options):
    """tqdm(*arguments, **options): silent where nobody looks, as fits the notebook in a live one."""
    if not live_notebook():
        return tqdm(*arguments, dynamic_ncols=True, disable=None, **options)
    if importlib.util.find_spec("ipywidgets") is None:
        return tqdm(*arguments, **options)
    from tqdm.notebook import tqdm as widget

    return widget(*arguments, **options)
