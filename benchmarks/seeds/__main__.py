"""The command line of the tables; see the package."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from results import say

from benchmarks.seeds.context import Context
from benchmarks.seeds.protocol import PROTOCOLS

# Table → the module whose ``run(context)`` makes it. Nothing is imported before it is asked for.
TABLES = {
    "controls": "benchmarks.seeds.controls",
    "frames": "benchmarks.seeds.frames",
    "gradncp": "benchmarks.seeds.gradncp",
    "mcl": "benchmarks.seeds.mcl",
    "memory": "benchmarks.seeds.memory",
    "selection": "benchmarks.seeds.selection",
    "breaks": "benchmarks.seeds.breaks",
    "deltas": "benchmarks.seeds.deltas",
    "sets": "benchmarks.seeds.sets",
    "sparse": "benchmarks.seeds.sparse",
    "tickets": "benchmarks.seeds.tickets",
}


def main() -> int:
    """Run one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("table", nargs="?", choices=sorted(TABLES))
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="small")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("work-seeds"), help="checkpoints and rows of unfinished runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], metavar="KEY=VALUE", help="leave other rows out")
    parser.add_argument("--list", action="store_true", help="name the tables")
    args = parser.parse_args()
    if args.list or args.table is None:
        print("\n".join(f"{name:<16} {(import_module(m).__doc__ or '').splitlines()[0]}" for name, m in TABLES.items()))
        return 0
    import torch

    torch.set_num_threads(args.threads)
    only = dict(pair.split("=", 1) for pair in args.only)
    context = Context(PROTOCOLS[args.protocol], args.data, args.work, args.device, only)
    say(f"wrote {import_module(TABLES[args.table]).run(context).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
