"""From the bytes of a file to a field, and from the field to samples on any grid.

Symbols are decoded by integer arithmetic; only rendering uses floats. Nothing here reaches ``adapt`` or ``meta``.
"""

from nfcodec.decoder.decoder import Decoder
from nfcodec.decoder.grid import AxisGrid, output_grid, signal_of

__all__ = ["AxisGrid", "Decoder", "output_grid", "signal_of"]
