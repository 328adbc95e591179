"""The few files of a batch with URLs that its report shows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nfcodec.batch.manifest import Record
from nfcodec.batch.places import Place, place_of
from nfcodec.batch.records import is_inner
from nfcodec.batch.remote_tree import Tree


@contextmanager
def fetched(records: Sequence[Record], runs: Sequence[Record], output: Place) -> Iterator[tuple[list[Record], Path]]:
    """Local copies of the inputs and outputs of ``records``: the runs with their inputs here, and the outputs.

    What cannot be fetched is not there; a report can do without.
    """
    with tempfile.TemporaryDirectory(prefix="nfc-") as temporary:
        here = Path(temporary)
        inputs = [place_of(text) for run in runs[-1:] for text in run["inputs"]]
        folders = []
        for i, place in enumerate(inputs):
            name = str(place).rpartition("/")[2]
            name = name if is_inner(name) else str(i)
            several = len(inputs) > 1
            names = [r["path"] for r in records if not several or r["path"].startswith(f"{name}/")]
            folders.append(_copies(place, [n.partition("/")[2] if several else n for n in names], here / str(i) / name))
        folder = _copies(output, [r["target"] for r in records if r["target"]], here / "out")
        last = [{**run, "inputs": [str(f) for f in folders]} for run in runs[-1:]]
        yield [*runs[:-1], *last], folder


def _copies(place: Place, names: Sequence[str], folder: Path) -> Path:
    if isinstance(place, Path):
        return place
    with suppress(Exception):
        tree = Tree(place)
        for name in names:
            with suppress(Exception):
                tree.get(name, folder / name)
    return folder
