"""python -m slowae [COMMAND] [OPTIONS]: the command line. Without a command: train."""

import argparse
import importlib
import sys
import warnings
from pathlib import Path

from slowae import backend
from slowae.commands import number

COMMANDS = {
    "train": "the first convolutional layer on real video, and the table of temporal coherence",
    "plane": "Eq. 1 unrolls the views of a turning toy plane (Figure 1)",
    "patches": "what Eq. 2 learns from movie patches, without and with sparsity (Figure 2)",
    "paper": "two layers, retrieval in video and in CIFAR-10 (Figures 3 to 7); hours",
    "bench": "how fast, beside PyTorch and faiss where installed, and beside the machine's limit",
    "fetch": "download the larger corpus of licence-clean video, checksums verified",
}
EXAMPLES = """examples:
  python -m slowae                               train on the clips that come along; about three minutes
  python -m slowae --video holiday/ --beta 2     on your own videos
  python -m slowae --resume                      go on after Ctrl-C, or after a crash
  python -m slowae --backend cupy                on a GPU
  python -m slowae plane                         Figure 1: two angles found from images alone
  python -m slowae patches --video films/        Figure 2: Fourier quadruples, and local edges
  python -m slowae paper                         Figures 3 to 7, stage by stage; after fetch
  python -m slowae bench                         how fast it is here
  python -m slowae fetch                         the larger corpus, about 93 MB
  python -m slowae train --help                  all options of a command
commands:
""" + "\n".join(f"  {name:<9}{text}" for name, text in COMMANDS.items())


class Parser(argparse.ArgumentParser):
    """Bad words end in one sentence, like all bad input."""

    def error(self, message):
        raise ValueError(f"{message}; see {self.prog} --help")


def parse(argv):
    """Command-line words -> the command's module and its arguments."""
    if argv[:1] in (["-h"], ["--help"]):
        parser = Parser(
            "python -m slowae",
            description=__doc__,
            epilog=EXAMPLES,
            formatter_class=argparse.RawTextHelpFormatter,
        )
        parser.add_argument("command", nargs="?", choices=COMMANDS, default="train")
        parser.parse_args(argv)
    name, words = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("train", argv)
    if name not in COMMANDS:
        raise ValueError(f"no command {name!r}; the commands are {', '.join(COMMANDS)}")
    command = importlib.import_module(f"slowae.commands.{name}")
    parser = Parser(f"python -m slowae {name}", description=command.__doc__)
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument("--seed", type=number(int, least=0), default=0, help="of every random choice (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs", name), help="folder for everything written (%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    command.add_arguments(parser)
    return command, parser.parse_args(words)


def main(argv=None):
    """-> exit code: 0, 1 if something failed, 2 for bad input, 130 after Ctrl-C."""
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        command, args = parse(sys.argv[1:] if argv is None else argv)
        if args.backend:
            backend.use(args.backend)
        backend.chosen()  # refuses a SLOWAE_BACKEND that cannot be had, before any work is done
        return command.run(args) or 0
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"slowae: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
