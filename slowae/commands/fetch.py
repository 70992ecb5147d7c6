from slowae import processes
from slowae.commands import called, say
from slowae.data import sources

__doc__ = f"Download the corpus of films: {sources.size_of_corpus()}, freely licensed, each part checked by its sha256."


def add_arguments(parser):
    parser.add_argument(
        "--list", action="store_true", help="print each clip with its kind, licence and address; fetch nothing"
    )


def run(args):
    parts = sources.corpus()
    if args.list:
        lines = []
        for name, (first, *_) in parts.items():
            lines.append(f"{name}\t{first['kind']}\t{first['licence']}\t{first['url']}")
        print(*lines, sep="\n", flush=True)  # a closed pipe ends this command
        return 0
    if not processes.leads():
        return 0
    folder = sources.data_dir() / "video"
    failed = sources.fetch(folder)
    lines = [f"failed: {name}: {reason}" for name, reason in failed.items()]
    lines.append(f"{len(parts) - len(failed)} of {len(parts)} clips are in {folder}")
    if failed:
        lines.append(f"run {called()} fetch again for the rest; whole files stay")
    else:
        lines.append(f"train on them: {called()} --video {folder}")
    say(*lines)
    return 1 if failed else 0
