"""One progress bar over several attempts, and rate control for encoders that read their source only once."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, BinaryIO, cast

from nfcodec.encoder.base import Encoded
from nfcodec.encoder.progress import SearchProgress
from nfcodec.encoder.targets import Attempt, Goal, Trial, find, goal_of
from nfcodec.errors import OptionError
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Source

Encode = Callable[[Source, BinaryIO, EncodeOptions, Progress | None], Encoded]
Result = tuple[IO[bytes], Encoded]
_NO_DRAFTS = 5  # up to this effort a draft costs nearly as much as the real thing
_IN_MEMORY = 1 << 22  # bytes of one attempt kept in memory before it goes to disk


class _Attempts:
    """Encodes whole files; every attempt opens the source anew."""

    def __init__(
        self, again: Callable[[], Source], encode: Encode, options: EncodeOptions, progress: SearchProgress,
        files: ExitStack, *, snr: bool,
    ) -> None:  # fmt: skip
        self.again, self.encode, self.options, self.progress, self.files = again, encode, options, progress, files
        self.snr = snr

    def __call__(self, trial: Trial) -> Attempt[Result]:
        """One attempt."""
        self.progress.begin(draft=trial.draft)
        left = None if trial.deadline is None else max(1e-3, trial.deadline - time.monotonic())
        options = replace(
            self.options, quality=trial.quality, effort=trial.effort, max_time=left,
            bpp=None, kbps=None, target_size=None, target_psnr=None, target_snr=None,
        )  # fmt: skip
        file = self.files.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 (closed by files)
        source = self.again()
        try:
            encoded = self.encode(source, cast(BinaryIO, file), options, self.progress)
        finally:
            source.close()
        self.progress.psnr = encoded.psnr
        level = encoded.snr if self.snr else encoded.psnr
        return Attempt(trial, encoded.bytes, level, (cast(IO[bytes], file), encoded))


def encode_streamed(
    source: Source, out: BinaryIO, init: str, encode: Encode, options: EncodeOptions, *,
    again: Callable[[], Source] | None, progress: Progress | None,
) -> Encoded:  # fmt: skip
    """Encode a source with ``encode`` (source, file, options, progress) while it is read; with a target, as often as it
    takes, from a source that is opened ``again``.

    ``init``: its id. Raises :class:`OptionError` where there is a target and no way to open the source again.
    """
    goal = goal_of(options, source.info)
    if goal is None:
        return encode(source, out, options, progress)
    if again is None:
        raise OptionError(f"{goal.name}: init {init} needs a source that can be opened again to meet a target")
    return encode_to_goal(again, encode, out, options, goal, source.info.samples, progress)


def encode_to_goal(
    again: Callable[[], Source], encode: Encode, out: BinaryIO, options: EncodeOptions, goal: Goal, samples: int,
    progress: Progress | None,
) -> Encoded:  # fmt: skip
    """Encode with ``encode`` (source, file, options, progress) at the whole quality that meets ``goal``, to ``out``.

    ``samples``: of the grid, the work of one attempt.
    """
    deadline = None if options.max_time is None else time.monotonic() + options.max_time
    with ExitStack() as files:
        bar = SearchProgress(progress, float(samples))
        attempts = _Attempts(again, encode, options, bar, files, snr=goal.snr)
        draft = 1 if options.effort > _NO_DRAFTS else options.effort
        found = find(attempts, goal, effort=options.effort, draft=draft, deadline=deadline, fine=False)
        file, encoded = found.attempt.result
        bar.psnr = encoded.psnr
        bar.finish()
        file.seek(0)
        shutil.copyfileobj(file, out)
    return replace(encoded, warnings=(*encoded.warnings, *((found.warning,) if found.warning else ())))
