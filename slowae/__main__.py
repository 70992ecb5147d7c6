"""python -m slowae [COMMAND] [OPTIONS]: the command line. Without a command: compare, the main job."""

import argparse
import errno
import importlib
import os
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

COMMANDS = {
    "compare": "representations of real video, trained where they learn, in one table; the main job",
    "plane": "Eq. 1 unrolls the views of a turning toy plane (Figure 1)",
    "patches": "what Eq. 2, SFA, subspaces and unitary pairs learn from movie patches (Figure 2)",
    "paper": "two layers, retrieval in video and in CIFAR-10 (Figures 4 to 7); hours",
    "fetch": "download the larger corpus of licence-clean video, checksums verified",
}
OLDEST = (3, 11)  # Python; as requires-python in pyproject.toml, which nothing reads in a clone
EXAMPLES = """examples:
  python -m slowae                             train on the clips that come along; after Ctrl-C it goes on
  python -m slowae --video holiday/ --beta 2   on your own videos
  python -m slowae compare --help              all options of a command
commands:
""" + "\n".join(f"  {name:<9}{text}" for name, text in COMMANDS.items())


class Parser(argparse.ArgumentParser):
    """Wrong arguments raise ValueError, and help into a closed pipe BrokenPipeError."""

    def error(self, message):
        raise ValueError(f"{message}; see {self.prog} --help")

    def print_help(self, file=None):
        print(self.format_help(), end="", file=file, flush=True)


def parse(argv):
    """Command-line words -> the command's module and its arguments."""
    from slowae.commands import called, path

    prog = called()
    if argv[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\n\n{EXAMPLES}".replace("python -m slowae", prog), flush=True)
        sys.exit()
    name, *words = argv if argv and not argv[0].startswith("-") else ["compare", *argv]
    if name not in COMMANDS:
        raise ValueError(f"no command {name!r}; the commands are {', '.join(COMMANDS)}")
    command = importlib.import_module(f"slowae.commands.{name}")
    parser = Parser(f"{prog} {name}", description=command.__doc__)
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument("--out", type=path, default=Path("runs", name), help="folder for all results (%(default)s)")
    resume = "go on from trainings that the same settings left in --out (default); --no-resume moves them aside"
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help=resume)
    command.add_arguments(parser)
    return command, parser.parse_args(words)


def main(argv=None):
    """-> exit code: 0; 1 if something failed; 2 for bad input; 130 if stopped by a signal; 141 for a closed pipe."""
    with warnings.catch_warnings():
        warnings.showwarning = _note
        warnings.simplefilter("default", UserWarning)  # the program's own, whatever python -W says
        try:
            if sys.version_info < OLDEST:
                this, needed = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
                raise RuntimeError(f"Python {needed} or newer is needed, and this is {this}; use a newer one")
            # Imports here: Ctrl-C during them ends in one sentence, too.
            from slowae import backend, blocks, processes

            processes.start()
            blocks.keep_memory()
            command, args = parse(sys.argv[1:] if argv is None else argv)
            backend.use(args.backend or backend.chosen())  # refuses what cannot be had, before any work is done
            return command.run(args) or 0
        except BrokenPipeError:  # the code of a program that SIGPIPE ends
            return 141
        except KeyboardInterrupt as stop:
            _complain(f"\n{str(stop) or 'stopped'}")
            return 130
        except (MemoryError, ValueError, OSError, RuntimeError, FloatingPointError, OverflowError) as error:
            _complain(f"slowae: {_sentence(error)}")
            return 2


def _sentence(error):
    """What went wrong and, where memory or threads are lacking, the remedy."""
    if isinstance(error, MemoryError):
        return f"{str(error) or 'not enough memory'}; give less data, or a smaller --batch"
    if getattr(error, "errno", None) == errno.EAGAIN or "start new thread" in str(error):
        return f"{error}: the system gives no more threads or processes; close other programs, or raise ulimit -u"
    return str(error)


def _note(message, category, *_):
    if issubclass(category, UserWarning):  # others are for the authors of packages
        _complain(f"note: {message}")


def _complain(text):
    with suppress(OSError):  # a stream that is full, or gone
        print(text, file=sys.stderr, flush=True)


def program():
    """main() as a process: no run is lost by its streams, signals and settings."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it is closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        getattr(sys, name).reconfigure(errors="backslashreplace")  # any name can be printed
    os.environ["MPLBACKEND"] = "agg"  # no window is ever opened
    warnings.simplefilter("ignore")  # of other packages, which python -W error would turn into errors
    try:
        from slowae import signals

        signals.raise_keyboard_interrupt()
        code = main()
    except Exception:  # a defect, which must end the other processes, too
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # else Python would try again at exit, and print an error
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code and "slowae.processes" in sys.modules:  # else Ctrl-C came before it was imported
        sys.modules["slowae.processes"].abort(code)
    sys.exit(code)


if __name__ == "__main__":
    program()
