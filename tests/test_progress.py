"""Progress bars: silent where nobody looks, the notebook's own in a live one, and none where a program executes it."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from tqdm import notebook, std

from slowae import progress


class Widget(std.tqdm):
    """tqdm's bar for notebooks, without one."""


def in_kernel(monkeypatch, content):
    """As if this were a cell that was sent to a kernel in a request with such a content."""
    kernel = SimpleNamespace(get_parent=lambda: {"content": content} if content is not None else {})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel)))
    monkeypatch.setattr(notebook, "tqdm", Widget)


@pytest.mark.parametrize("content", [None, {}, {"allow_stdin": False}])
def test_a_notebook_that_a_program_executes_shows_none(monkeypatch, content):
    in_kernel(monkeypatch, content)
    bar = progress.bar([1, 2], desc="training")
    assert bar.disable and list(bar) == [1, 2]


@pytest.mark.parametrize(("widgets", "kind"), [(True, Widget), (None, std.tqdm)])
def test_a_live_notebook_shows_its_own_or_one_of_text(monkeypatch, capsys, widgets, kind):
    in_kernel(monkeypatch, {"allow_stdin": True})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: widgets)
    bar = progress.bar(total=2, desc="training")
    bar.close()
    assert type(bar) is kind and "training" in capsys.readouterr().err


def test_plain_python_and_a_shell_of_ipython_are_no_notebooks(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not progress.live_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not progress.live_notebook() and progress.bar([1]).disable
