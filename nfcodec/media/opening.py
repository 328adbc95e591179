"""What opening a still picture, an animation and a video have in common: limits of size, and how Pillow is heard."""

from __future__ import annotations

import threading
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nfcodec.errors import LimitError, MediaReadError, NfcError, UnsupportedMediaError
from nfcodec.limits import Limits
from nfcodec.media.reading import named, one_line, reason
from nfcodec.media.unsupported import unsupported

# catch_warnings exchanges the filters of the whole process. Of two threads that overlap in it, the later one to leave
# would put back the filters of the other, for ever; so nfc's threads take turns. (Not across a yield of a source: the
# caller may never come back.)
_hearing = threading.RLock()


@contextmanager
def pillow(path: Path, form: str, notes: list[str]) -> Iterator[None]:
    """Tell Pillow's errors as ours, and collect its warnings in ``notes`` instead of letting them out.

    Raises :class:`MediaReadError` and :class:`~nfcodec.errors.LimitError`. One thread at a time gets in.
    """
    with _hearing, python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        try:
            yield
        except NfcError:
            raise
        except Exception as error:
            raise _translated(path, form, error) from error
    for item in caught:
        # Size is what Limits is for; Pillow's own threshold for a warning is not ours.
        if item.category.__name__ != "DecompressionBombWarning":
            line = f"{form}: {one_line(str(item.message))}"
            if line not in notes:
                notes.append(line)


def _translated(path: Path, form: str, error: Exception) -> Exception:
    name = type(error).__name__
    kind = unsupported(path, form) if name == "UnidentifiedImageError" or form == "JPEG" else None
    if kind is None and (name == "NotImplementedError" or str(error).startswith("Unsupported")):
        kind = f"{unsupported(path, form) or form} ({reason(error)})"
    if kind:
        return UnsupportedMediaError(f"{named(path)} is not supported: {kind}")
    if name == "DecompressionBombError":
        return LimitError(f"cannot read {named(path)}: {reason(error)}", hint="Pillow refuses pictures of this size")
    if name == "UnidentifiedImageError":
        return MediaReadError(f"cannot read {named(path)}: not a valid {form} file")
    return MediaReadError(f"cannot read {named(path)} as {form}: {reason(error)}")


def check_size(size: tuple[int, int], limits: Limits) -> None:
    """Refuse pictures (width, height) over ``max_dimension`` or ``max_pixels``, and those without pixels.

    Raises :class:`~nfcodec.errors.LimitError` and :class:`MediaReadError`.
    """
    width, height = size
    if width < 1 or height < 1:
        raise MediaReadError(f"picture of {width}×{height} pixels has no content")
    what = f"picture of {width}×{height} pixels"
    limits.check("max_dimension", max(size), what)
    limits.check("max_pixels", width * height, what)
