"""Every resource limit, in one place.

A limit is checked before the resource is used. The message of a :class:`~nfcodec.errors.LimitError`
names the limit, the value that met it, and the option that raises it.
"""

from __future__ import annotations

from dataclasses import dataclass

from nfcodec.errors import LimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one file.

    ``max_pixels``: samples of one image or video frame, before channels (Pillow's own threshold).
    ``max_dimension``: samples along one spatial axis.
    ``max_frames``: frames of one video (12 hours at 60 per second).
    ``max_samples``: samples per channel of one recording.
    ``max_array``: elements of one array.
    ``max_channels``: audio channels.
    ``max_parameters``: parameters of one field module.
    ``max_symbols``: coded integers of one section.
    ``max_section``: bytes of one section as stored.
    ``max_metadata``: bytes of all metadata after inflation.
    """

    max_pixels: int = 178_956_970
    max_dimension: int = 65_535
    max_frames: int = 2_592_000
    max_samples: int = 2**31
    max_array: int = 2**30
    max_channels: int = 64
    max_parameters: int = 2**22
    max_symbols: int = 2**28
    max_section: int = 2**30
    max_metadata: int = 16 * 2**20

    def check(self, name: str, value: int, what: str) -> None:
        """Raise :class:`LimitError` when ``value`` is over the limit called ``name``.

        ``what`` describes the value in the message, for example ``"image of 70000×10 pixels"``.
        """
        bound: int = getattr(self, name)
        if value > bound:
            message = f"{what}: {value} is over the limit {name} = {bound}"
            raise LimitError(message, hint=f"pass Limits({name}=…) from Python to allow it")


DEFAULT_LIMITS = Limits()
