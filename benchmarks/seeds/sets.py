"""Meta-SparseINR against its baselines on other data and with Fourier features, and across domains (Fig. 2, App. B).

The experiment of the table ``sparse``; in the small protocol with half of its outer steps and of their samples, which
makes three seeds of its first set affordable. Nets of SIRENs are also tried on the tests of all other sets.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.seeds.context import Context
from benchmarks.seeds.rows import Rows
from benchmarks.seeds.sparse import FIRST, SIZES, Experiment, written

SETS = (FIRST, ("imagenette", "fourier"), ("photos", "siren"), ("text", "siren"), ("sdf", "siren"))
OUTER = {"small": 300}  # dense outer steps, where they are fewer than those of the protocol


def run(context: Context) -> Path:
    """The table."""
    protocol = replace(context.protocol, outer=OUTER.get(context.protocol.name, context.protocol.outer))
    sizes = SIZES[protocol.name]
    if protocol.name == "small":
        sizes = replace(sizes, rounds=(11, 14), retrain=60, samples=512, test=6)
    context = replace(context, protocol=protocol)
    rows = Rows("sets", protocol, context.work, asdict(sizes))
    for data, field in SETS:
        for seed in protocol.seeds if (data, field) == FIRST else protocol.other_seeds:
            Experiment(context, sizes, rows, data, field, seed).run(sizes.rounds)
            path = written(rows)
    return path
