"""The tables of the papers behind nfc, beside ours: one command per table.

    python -m benchmarks.seeds TABLE --protocol small --data DIR [--work work-seeds] [--only KEY=VALUE …]
    python -m benchmarks.seeds --list

DIR holds the data sets as named in :mod:`benchmarks.seeds.datasets`; text and shapes are drawn. A run that was cut off
goes on where it stopped. The result is benchmarks/results/seeds-TABLE-PROTOCOL.json; docs/seeds.md shows them all.
"""

import sys
from pathlib import Path

# The other benchmarks are plain scripts that import each other by bare names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
