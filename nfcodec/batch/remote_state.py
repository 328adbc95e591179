"""The manifests of a remote batch: written here, copied beside the outputs, and taken from there."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from nfcodec.batch.manifest import NAME, SUFFIX, Manifest, is_open, manifests
from nfcodec.batch.places import Url, make_folder, state_folder
from nfcodec.batch.remote_tree import Tree, unreadable
from nfcodec.errors import OutputError

_COPIES = re.compile(re.escape(NAME) + r".*" + re.escape(SUFFIX))


def pulled(url: Url) -> list[Path]:
    """The manifests of a batch by the URL of its output, with what their remote copies know.

    A local one without a remote copy is of a batch that was removed, unless a run has just begun it.
    """
    state = state_folder(url)
    names = pull(Tree(url), state)
    return [p for p in manifests(state) if p.name in names or is_open(p)]


def pull(tree: Tree, state: Path) -> list[str]:
    """Take what remote copies know into the manifests of ``state``; returns the names of the copies.

    Those that a run here is writing are newer than their copies. Raises
    :class:`~nfcodec.errors.MediaReadError` for a tree that cannot be reached.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
            names = tree.beside(_COPIES)
            for name in names:
                tree.get(name, Path(folder) / name)
                _merge(state / name, (Path(folder) / name).read_bytes())
            return names
    except OutputError:
        raise
    except Exception as error:
        raise unreadable(tree.url, error) from error


def _merge(path: Path, copy: bytes) -> None:
    if is_open(path):
        return
    make_folder(path.parent)
    with Manifest(path) as manifest:
        manifest.merge(copy)
