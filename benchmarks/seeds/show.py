"""A result as Markdown: python -m benchmarks.seeds.show FILE ROW COLUMN VALUE [KEY=VALUE …]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from results import table

Row = dict[str, Any]


def pivot(means: list[Row], row: str, column: str, value: str) -> str:
    """Means as a table: ``value`` by ``row`` and ``column``, with its spread where there is one."""
    columns = list(dict.fromkeys(m[column] for m in means))
    cells: dict[Any, dict[Any, str]] = {}
    for m in means:
        spread = m.get(f"{value}_sd")
        shown = None if m.get(value) is None else f"{m[value]:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
        cells.setdefault(m[row], {})[m[column]] = shown or "–"
    return table([row, *map(str, columns)], [[name, *(found.get(c) for c in columns)] for name, found in cells.items()])


def main() -> None:
    """Print one table."""
    path, row, column, value, *only = sys.argv[1:]
    means = json.loads(Path(path).read_text(encoding="utf-8"))["means"]
    wanted = [pair.split("=", 1) for pair in only]
    print(pivot([m for m in means if all(str(m.get(k)) == v for k, v in wanted)], row, column, value))


if __name__ == "__main__":
    main()
