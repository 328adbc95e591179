"""One progress bar over attempts whose number is not known beforehand."""

from __future__ import annotations

from nfcodec.options import Progress, ProgressEvent

# Of what is left of the bar.
_DRAFT, _FULL = 0.1, 0.4


class SearchProgress:
    """Passes the events of each attempt on as those of one search, which never goes back and never passes 100 %.

    ``total``: the work units of the bar. ``psnr`` is that of the last attempt. Where nobody listens (None), nothing
    happens.
    """

    def __init__(self, listener: Progress | None, total: float) -> None:
        self.psnr: float | None = None
        self._listener, self._total = listener, total
        self._before, self._share = 0.0, 0.0

    def begin(self, *, draft: bool) -> None:
        """A new attempt begins; a draft is a short one."""
        self._before += self._share
        self._share = (1.0 - self._before) * (_DRAFT if draft else _FULL)

    def __call__(self, event: ProgressEvent) -> None:
        """An event of the attempt."""
        self._tell(self._before + self._share * min(1.0, event.done / event.total))

    def finish(self) -> None:
        """The search is over."""
        self._tell(1.0)

    def _tell(self, share: float) -> None:
        if self._listener:
            self._listener(ProgressEvent("search", share * self._total, self._total, self.psnr))
