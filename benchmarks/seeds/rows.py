"""Rows of a table: measured once, kept at once, written with what made them.

A row is known by its key, by the protocol and by the settings that the table names; a run that was cut off finds its
rows in the work folder and goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from machine import describe
from results import plain_command, say, today, write_json

from benchmarks.seeds.protocol import Protocol

Row = dict[str, Any]
RESULTS = Path(__file__).resolve().parents[1] / "results"


class Rows:
    """The rows of one table under one protocol. ``settings``: every other number that decides them."""

    def __init__(self, table: str, protocol: Protocol, work: Path, settings: Row | None = None) -> None:
        self.table, self.protocol, self.settings = table, protocol, settings or {}
        text = json.dumps([protocol.to_dict(), self.settings], sort_keys=True, default=str)
        self.identity = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.folder = work / f"{table}-{protocol.name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = self.folder / "rows.jsonl"
        self.rows: list[Row] = []
        self._done: dict[str, Row] = {}
        for line in self._log.read_text().splitlines() if self._log.exists() else ():
            try:
                stored = json.loads(line)
            except json.JSONDecodeError:  # the last line of a run that was cut off
                continue
            if stored.pop("identity", None) == self.identity:
                self._done[stored.pop("key")] = stored

    def checkpoint(self, *parts: object) -> Path:
        """A file name of the work folder for a long training, one per protocol and settings."""
        return self.folder / f"{'-'.join(map(str, parts))}-{self.identity}.ckpt"

    def has(self, key: Row) -> bool:
        """Whether the row of ``key`` is measured already."""
        return json.dumps(key, sort_keys=True) in self._done

    def row(self, key: Row, measure: Callable[[], Row]) -> Row:
        """The row of ``key`` (data, method, seed, …): the stored one, or ``key`` with what ``measure`` returns."""
        name = json.dumps(key, sort_keys=True)
        if name not in self._done:
            began = time.process_time()
            found = {**key, **measure()}
            found["cpu_seconds"] = round(time.process_time() - began, 1)
            self._done[name] = found
            with self._log.open("a") as file:
                file.write(json.dumps({"identity": self.identity, "key": name, **found}) + "\n")
            say(f"{self.table}: " + " ".join(f"{k}={v}" for k, v in found.items() if not isinstance(v, list)))
        self.rows.append(self._done[name])
        return self._done[name]

    def write(self, means: list[Row] | None = None, **notes: Any) -> Path:
        """The result file: rows, ``means`` over them, command, time and machine."""
        path = RESULTS / f"seeds-{self.table}-{self.protocol.name}.json"
        content = {
            "name": self.table, "command": f"python -m benchmarks.seeds {plain_command(sys.argv[1:])}", "date": today(),
            "machine": describe(), "protocol": self.protocol.to_dict(), "settings": self.settings, **notes,
            "means": means or [], "rows": self.rows,
        }  # fmt: skip
        write_json(path, content)
        return path


def averaged(rows: Iterable[Row], keys: tuple[str, ...], values: tuple[str, ...]) -> list[Row]:
    """Mean and spread (sample standard deviation over seeds) of rows that agree in ``keys``; no spread of one."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(k) for k in keys), []).append(row)
    out = []
    for names, group in groups.items():
        mean: Row = dict(zip(keys, names, strict=True)) | {"seeds": len(group)}
        for value in values:
            numbers = [r[value] for r in group if r.get(value) is not None]
            mean[value] = round(fmean(numbers), 3) if numbers else None
            mean[f"{value}_sd"] = round(stdev(numbers), 3) if len(numbers) > 1 else None
        out.append(mean)
    return out
