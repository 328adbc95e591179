"""Put X, what is shown between the samples, of one lattice init into another; all else stays as it is.

    python benchmarks/take_detail.py WITH_X INTO -o NEW

WITH_X and INTO are ids of shipped inits or paths. X sees nothing but decoded samples, filtered by Y where there is one,
so one that was trained for an init also serves a later one of the same planes whose prior, D or steps were trained on,
but not one with another Y; each tune takes its own.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from machine import BenchmarkError
from results import say

from nfcodec import zoo
from nfcodec.errors import NfcError
from nfcodec.lattice.enlarge import detail_size
from nfcodec.lattice.init import LatticeInit


def lattice(name: str) -> LatticeInit:
    """The lattice init of a name."""
    init = zoo.load(name)
    if not isinstance(init, LatticeInit):
        raise BenchmarkError(f"{name} is no lattice init")
    return init


def taken(source: LatticeInit, into: LatticeInit) -> LatticeInit:
    """``into`` with the X of ``source``, tune by tune."""
    made = _one(source, into)
    if into.perceptual is not None:
        made = replace(made, perceptual=_one(source.tuned("perceptual"), into.perceptual))
    made.validate()
    return made


def _one(source: LatticeInit, into: LatticeInit) -> LatticeInit:
    detail, last = source.levels[-1].detail, into.levels[-1]
    if not detail:
        raise BenchmarkError(f"{source.id} has no X")
    if max(detail_size(detail)[2:]) > len(into.planes.names):
        raise BenchmarkError(f"X of {source.id} is of more planes than {into.id} has")
    return replace(into, levels=(*into.levels[:-1], replace(last, detail=detail)))


def main() -> int:
    """Take X and write the init."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="WITH_X")
    parser.add_argument("into", metavar="INTO")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    digest = zoo.write_init(taken(lattice(args.source), lattice(args.into)), args.output)
    print(f"{digest.hex()}  {args.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchmarkError, NfcError) as error:
        say(f"take_detail.py: {error}")
        sys.exit(1)
