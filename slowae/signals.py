"""Ctrl-C, SIGTERM and SIGHUP: between the steps of a training a flag, elsewhere the end of the program."""

import signal
from contextlib import contextmanager


class Flag:
    """is_set() says whether a signal has come. (A second one would wait for ever for threading.Event's lock.)"""

    def __init__(self):
        self.raised = False

    def is_set(self):
        return self.raised


def _heard(names):
    """{signal: handler} of those that this platform has and that are not ignored, as nohup has it."""
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {kind: signal.getsignal(kind) for kind in kinds}
    return {kind: handler for kind, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}


@contextmanager
def flag():
    """-> a Flag that Ctrl-C, SIGTERM and SIGHUP raise in this block, so that no step is ever half done."""
    raised, before = Flag(), _heard(("SIGINT", "SIGTERM", "SIGHUP"))

    def handler(*_):
        raised.raised = True

    try:
        for kind in before:
            signal.signal(kind, handler)
        yield raised
    finally:
        for kind, former in before.items():
            signal.signal(kind, former)


def raise_keyboard_interrupt():
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt("stopped by ..."), as Ctrl-C does without its name."""

    def handler(number, _):
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    for kind in _heard(("SIGTERM", "SIGHUP")):
        signal.signal(kind, handler)
