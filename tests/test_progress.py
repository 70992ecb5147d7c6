"""Progress bars: silent without a terminal, a widget in a live notebook, and silent where a program executes it."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from tqdm import notebook, std

from slowae import progress


class Widget(std.tqdm):
    """tqdm's bar for notebooks, without one."""


LIVE = {"content": {"allow_stdin": True}}


@pytest.mark.parametrize(
    ("request_", "widgets", "kind"),
    [(None, True, None), ({}, True, None), ({"content": {}}, True, None), (LIVE, True, Widget), (LIVE, None, std.tqdm)],
)
def test_only_a_live_notebook_shows_one(monkeypatch, capsys, request_, widgets, kind):
    """In a cell that was sent to a kernel in such a request; None: in a shell of IPython."""
    shell = request_ is not None and SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda: request_))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(notebook, "tqdm", Widget)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: widgets)
    bar = progress.bar([1, 2], desc="training")
    assert bar.disable == (kind is None) and type(bar) is (kind or std.tqdm) and list(bar) == [1, 2]
    assert ("training" in capsys.readouterr().err) == (kind is not None)
