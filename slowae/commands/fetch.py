"""Download the corpus of films: 162 clips, 160 MB, freely licensed, each part checked by its sha256."""

from slowae import processes
from slowae.commands import called, say
from slowae.data import sources


def add_arguments(parser):
    parser.set_defaults(out=sources.data_dir() / "video")
    parser.add_argument("--list", action="store_true", help="print each clip, kind, licence, address; fetch nothing")


def run(args):
    parts, folder = sources.corpus(), args.out
    if args.list:
        for name, (first, *_) in parts.items():
            print(name, first["kind"], first["licence"], first["url"], sep="\t", flush=True)  # or a closed pipe is late
        return 0
    failed = sources.fetch(folder) if processes.leads() else {}
    after = f"run {called()} fetch again for the rest" if failed else f"train on them: {called()} --video {folder}"
    said = [f"failed: {name}: {reason}" for name, reason in failed.items()]
    say(*said, f"{len(parts) - len(failed)} of {len(parts)} clips are in {folder}", after)
    return 1 if failed else 0
