"""Download the larger corpus: 56 licence-clean clips, about 93 MB, each part checked against its sha256."""

from slowae import processes
from slowae.commands import called
from slowae.data import sources


def add_arguments(parser):
    parser.add_argument(
        "--list", action="store_true", help="print each clip with its kind, licence and address; fetch nothing"
    )


def run(args):
    parts = sources.corpus()
    if args.list:
        for name, rows in parts.items():
            print(f"{name}\t{rows[0]['kind']}\t{rows[0]['licence']}\t{rows[0]['url']}")
        return 0
    if not processes.leads():
        return 0
    folder = sources.data_dir() / "video"
    failed = sources.fetch(folder)
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}")
    print(f"{len(parts) - len(failed)} of {len(parts)} clips are in {folder}")
    if failed:
        print(f"run {called()} fetch again for the rest; what is whole stays")
        return 1
    print(f"train on them: {called()} --video {folder}")
    return 0
