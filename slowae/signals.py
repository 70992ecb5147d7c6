"""Ctrl-C, SIGTERM and SIGHUP: between the steps of a training a flag, elsewhere the end of the program."""

import signal
from contextlib import contextmanager


class Flag:
    """is_set() says whether a signal has come. (A second one would wait for ever for the lock of threading.Event.)"""

    def __init__(self):
        self.came = False

    def is_set(self):
        return self.came

    def set(self, *_):
        self.came = True


def _replace_handlers(names, handler):
    """-> {signal: former handler} of these that the platform has and that are not ignored, as nohup has it."""
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    former = {kind: signal.getsignal(kind) for kind in kinds}
    former = {kind: old for kind, old in former.items() if old not in (signal.SIG_IGN, None)}
    for kind in former:
        signal.signal(kind, handler)
    return former


@contextmanager
def flag():
    """-> a Flag that Ctrl-C, SIGTERM and SIGHUP set in this block, so that no step is ever half done."""
    stop = Flag()
    former = _replace_handlers(("SIGINT", "SIGTERM", "SIGHUP"), stop.set)
    try:
        yield stop
    finally:
        for kind, handler in former.items():
            signal.signal(kind, handler)


def _stop(number, _):
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


def raise_keyboard_interrupt():
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt("stopped by SIGTERM"), ..., as Ctrl-C raises one."""
    _replace_handlers(("SIGTERM", "SIGHUP"), _stop)
