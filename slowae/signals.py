"""Ctrl-C, SIGTERM and SIGHUP: between the steps of a training a flag, elsewhere the end of the program."""

import signal
from contextlib import contextmanager


def _handle(names, handler):
    """-> {signal: former handler} of those that the platform has and that are not ignored, as under nohup."""
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return {k: signal.signal(k, handler) for k in kinds if signal.getsignal(k) not in (signal.SIG_IGN, None)}


@contextmanager
def flag():
    """-> a list, empty until Ctrl-C, SIGTERM or SIGHUP comes in this block, so that no step is left half done."""
    came = []  # no threading.Event: a second signal would wait for ever for its lock
    former = _handle(("SIGINT", "SIGTERM", "SIGHUP"), lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for kind, handler in former.items():
            signal.signal(kind, handler)


def raise_keyboard_interrupt():
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt("stopped by SIGTERM"), ..., as Ctrl-C raises it."""

    def stop(number, _):
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    _handle(("SIGTERM", "SIGHUP"), stop)
