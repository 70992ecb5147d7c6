"""Ctrl-C, SIGTERM and SIGHUP: between the steps of a training a flag, elsewhere the end of the program."""

import signal
from contextlib import contextmanager


def _handle(names, handler):
    """-> {signal: former handler} of these that the platform has and that are not ignored, as nohup has it."""
    kinds = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return {k: signal.signal(k, handler) for k in kinds if signal.getsignal(k) not in (signal.SIG_IGN, None)}


@contextmanager
def flag():
    """-> a list, empty until Ctrl-C, SIGTERM or SIGHUP comes in this block, so that no step is ever half done."""
    came = []  # no threading.Event: a second signal would wait for ever for its lock
    former = _handle(("SIGINT", "SIGTERM", "SIGHUP"), lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for kind, handler in former.items():
            signal.signal(kind, handler)


def _stop(number, _):
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


def raise_keyboard_interrupt():
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt("stopped by SIGTERM"), ..., as Ctrl-C raises one."""
    _handle(("SIGTERM", "SIGHUP"), _stop)
