"""Every error that nfc raises on purpose.

    NfcError                         exit code
      InputError                     1   an input cannot be used
        MediaReadError                   the file cannot be read as media
        UnsupportedMediaError            readable, but of a kind that nfc does not take
      OptionError                    2   an option has an impossible value (also a ValueError)
      FormatError                    4   the .nfc bytes are not good
        NotNfcError                      no nfc signature
        TruncatedError                   the bytes end too early
        ChecksumError                    a CRC does not match
        CorruptError                     checksums hold, the content does not
        UnsupportedVersionError          written by a later version of the format
        ManifestError                    a batch's manifest says what no batch writes
        UnsupportedFeatureError          needs a section or a field that this version lacks
      LimitError                     5   a resource limit was met
      ModelError                     1   an init cannot be used
        ModelNotFoundError               no init with that name or hash
        ModelHashError                   the init's bytes are not those that were pinned
      OutputError                    1   the output cannot be written
        OutputExistsError                refused to overwrite
      InternalError                  1   a bug in nfc; never caused by input bytes

The first line of every message says what is wrong, with the value; ``hint`` says what to do.
"""

from __future__ import annotations

from typing import ClassVar


class NfcError(Exception):
    """Base of every error raised by nfc.

    ``exit_code`` is what the command line returns; ``hint`` is the advice printed on a second line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(NfcError):
    """An input file or signal cannot be used."""


class MediaReadError(InputError):
    """The input is missing, unreadable, or damaged as media."""


class UnsupportedMediaError(InputError):
    """The input was understood, but nfc does not take this kind."""


class OptionError(NfcError, ValueError):
    """An option has a value that cannot work."""

    exit_code = 2


class FormatError(NfcError):
    """The bytes of an .nfc file are not good."""

    exit_code = 4


class NotNfcError(FormatError):
    """The bytes do not start with the nfc signature."""


class TruncatedError(FormatError):
    """The bytes end before the structure that they announce."""


class ChecksumError(FormatError):
    """A CRC-32 does not match: the bytes were changed."""


class CorruptError(FormatError):
    """Checksums hold but the content contradicts itself."""


class UnsupportedVersionError(FormatError):
    """The file was written in a later version of the format."""


class UnsupportedFeatureError(FormatError):
    """The file needs a section or field kind that this version does not know."""


class ManifestError(FormatError):
    """A line of a batch's manifest holds a value that nfc does not write, such as a path out of its folder."""


class LimitError(NfcError):
    """A resource limit of :class:`nfcodec.limits.Limits` was met."""

    exit_code = 5


class ModelError(NfcError):
    """A shipped or user-made init cannot be used."""


class ModelNotFoundError(ModelError):
    """No init has the requested name or hash."""


class ModelHashError(ModelError):
    """The bytes of an init are not the bytes that were pinned."""


class OutputError(NfcError):
    """The output cannot be written (disk full, no permission, unsupported format)."""


class OutputExistsError(OutputError):
    """The output exists and overwriting was not asked for."""


class InternalError(NfcError):
    """An invariant of nfc itself failed: a bug, never the fault of input bytes."""


_BUG_HINT = "this is a bug in nfc: please report it with what the same command prints with -v"
_MEMORY_HINT = "close other programs, or encode a smaller input"


def describe(error: Exception) -> tuple[str, str | None, int]:
    """Message, hint and exit code of any exception."""
    if isinstance(error, InternalError):
        return f"internal error: {error}", error.hint or _BUG_HINT, error.exit_code
    if isinstance(error, NfcError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, MemoryError):
        return "not enough memory", _MEMORY_HINT, 1
    return f"internal error: {type(error).__name__}: {error}", _BUG_HINT, 1
