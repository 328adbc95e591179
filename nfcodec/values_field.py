"""What the fields of files have in common: most of them have values alone, and nothing quicker than those."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nfcodec.families import Box, Preview
    from nfcodec.signal import Floats, Ints, Mask
    from nfcodec.types import Positions


class ValuesField:
    """The answers to :class:`nfcodec.families.StoredField` of a field that is asked for values, whole chunks of them at
    its own size."""

    def render(self, chunk: int, positions: list[Positions]) -> Floats:
        """Values on the grid of native positions."""
        raise NotImplementedError

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:
        """The same: it has values everywhere."""
        return self.render(chunk, positions)

    def samples(self, chunk: int, positions: list[Positions]) -> tuple[Ints, Mask | None] | None:  # noqa: ARG002
        """There are values alone."""
        return None

    def written(self, values: Floats) -> Ints | None:  # noqa: ARG002
        """There are values alone."""
        return None

    def preview(self, step: int, box: Box, *, rough: bool) -> Preview | None:  # noqa: ARG002
        """There is none."""
        return None

    def piece(self, most: int, native: int) -> int:
        """At its own size a chunk of ``native`` samples is one piece, as it was for the encoder."""
        return max(most, native)

    def expect(self, chunk: int, rows: Callable[[], Positions]) -> None:
        """It makes nothing before it is asked for it."""
