"""python -m slowae [COMMAND] [OPTIONS]: the command line. Without a command: compare, the main job."""

import argparse
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
    "paper": "two layers, retrieval in video and in CIFAR-10 (Figures 3 to 7); hours",
    "fetch": "download the larger corpus of licence-clean video, checksums verified",
}
OLDEST = (3, 11)  # Python; as requires-python in pyproject.toml, which nothing reads in a clone
EXAMPLES = """examples:
  python -m slowae                               train on the clips that come along; a minute and a half
  python -m slowae --video holiday/ --beta 2     on your own videos
  python -m slowae --methods pixels zca layer1   these rows alone
  python -m slowae                               again after Ctrl-C, or a crash: it goes on
  python -m slowae --backend cupy                on a GPU
  python -m slowae plane                         Figure 1: two angles found from images alone
  python -m slowae patches --video films/        Figure 2: Fourier quadruples, and local edges
  python -m slowae paper                         Figures 3 to 7, stage by stage; after fetch
  python -m slowae fetch                         the larger corpus, about 93 MB
  python -m slowae compare --help                all options of a command
commands:
""" + "\n".join(f"  {name:<9}{text}" for name, text in COMMANDS.items())


class Parser(argparse.ArgumentParser):
    """Bad words end in one sentence, like all bad input."""

    def error(self, message):
        raise ValueError(f"{message}; see {self.prog} --help")


def parse(argv):
    """Command-line words -> the command's module and its arguments."""
    from slowae.commands import add_options, called

    prog = called()
    if argv[:1] in (["-h"], ["--help"]):
        parser = Parser(
            prog,
            description=__doc__.replace("python -m slowae", prog),
            epilog=EXAMPLES.replace("python -m slowae", prog),
            formatter_class=argparse.RawTextHelpFormatter,
        )
        parser.add_argument("command", nargs="?", choices=COMMANDS, default="compare")
        parser.parse_args(argv)
    name, words = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("compare", argv)
    if name not in COMMANDS:
        raise ValueError(f"no command {name!r}; the commands are {', '.join(COMMANDS)}")
    command = importlib.import_module(f"slowae.commands.{name}")
    parser = Parser(f"{prog} {name}", description=command.__doc__)
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs", name), help="folder for everything written (%(default)s)"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from trainings that the same settings left in --out (default); --no-resume moves them aside",
    )
    add_options(parser, "seed")
    command.add_arguments(parser)
    args = parser.parse_args(words)
    args.out = args.out.expanduser()  # as --video: no shell does it behind a =
    return command, args


def main(argv=None):
    """-> exit code: 0, 1 if something failed, 2 for bad input, 130 after Ctrl-C."""
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            if sys.version_info < OLDEST:
                found, needed = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
                raise RuntimeError(f"Python {needed} or newer is needed, and this is {found}; use a newer one")
            # Imports here: Ctrl-C is quiet while they go on, too.
            from slowae import backend, blocks, processes

            processes.start()
            blocks.keep_memory()
            command, args = parse(sys.argv[1:] if argv is None else argv)
            if args.backend:
                backend.use(args.backend)
            backend.chosen()  # refuses a SLOWAE_BACKEND that cannot be had, before any work is done
            return command.run(args) or 0
        except KeyboardInterrupt as stop:
            _complain(f"\n{str(stop) or 'stopped'}")
            return 130
        except MemoryError as error:
            _complain(f"slowae: {str(error) or 'not enough memory'}; give less data, or a smaller --batch")
            return 2
        except (ValueError, OSError, RuntimeError, FloatingPointError, OverflowError) as error:
            _complain(f"slowae: {error}")
            return 2


def _note(message, category, *_):
    if not issubclass(category, RuntimeWarning):  # NumPy's: what is not finite in the end is told in a sentence
        _complain(f"note: {message}")


def _complain(text):
    with suppress(OSError):  # a stream that is full, or gone
        print(text, file=sys.stderr, flush=True)


def _steady_streams():
    """A lost output stream must not lose a run: closed ones lead nowhere, and any name can be printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        getattr(sys, name).reconfigure(errors="backslashreplace")


def program():
    """main() as a process."""
    _steady_streams()
    try:
        code = main()
    except Exception:  # a defect; the other processes must hear of it, too
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # or Python would try again at exit, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code and "slowae.processes" in sys.modules:  # else Ctrl-C came before
        sys.modules["slowae.processes"].abort(code)
    sys.exit(code)


if __name__ == "__main__":
    program()
