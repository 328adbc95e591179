"""The report of a batch as files: one HTML page and one of JSON, in a folder here or behind a URL."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from nfcodec.batch.manifest import NAME
from nfcodec.batch.places import Place, Url, make_folder, place_of, shown
from nfcodec.batch.report_content import report_of
from nfcodec.errors import OutputError
from nfcodec.media.atomic import atomic_output
from nfcodec.media.reading import reason


def write_report(output: Place, folder: Place) -> tuple[dict[str, Any], tuple[Place, Place]]:
    """Write the report of a batch as HTML and as JSON; returns its content and where the two are.

    Raises :class:`~nfcodec.errors.NfcError`.
    """
    from nfcodec.batch.html import page

    content = report_of(output)
    texts = {
        f"{NAME}-report.html": page(content, _pictures(content, output)),
        f"{NAME}-report.json": json.dumps(content, indent=1),
    }
    if isinstance(folder, Path):
        _write_texts(folder, texts)
    else:
        _send_texts(folder, texts)
    html, values = (folder / n if isinstance(folder, Path) else Url(f"{folder}/{n}") for n in texts)
    return content, (html, values)


def _pictures(content: dict[str, Any], output: Place) -> dict[str, tuple[bytes, bytes]]:
    from nfcodec.batch.thumbnails import thumbnails

    runs = content["runs"]
    if isinstance(output, Path) and not any(isinstance(place_of(i), Url) for run in runs[-1:] for i in run["inputs"]):
        return thumbnails(content["worst"], runs, output)
    from nfcodec.batch.remote_report import fetched

    with fetched(content["worst"], runs, output) as (here, folder):
        return thumbnails(content["worst"], here, folder)


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    """Write files of these names into a folder. Raises :class:`~nfcodec.errors.OutputError`."""
    make_folder(folder)
    for name, text in texts.items():
        with atomic_output(folder / name, force=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _send_texts(url: Url, texts: dict[str, str]) -> None:
    """Write files of these names to a remote folder. Raises :class:`~nfcodec.errors.OutputError`."""
    from nfcodec.batch.remote_tree import Tree

    tree = Tree(url)
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        _write_texts(Path(folder), texts)
        try:
            for name in texts:
                tree.put(Path(folder) / name, name)
        except Exception as error:
            raise OutputError(f"cannot write the report to {shown(url)}: {reason(error)}") from error
