"""From the bytes of a file to a field, and from the field to samples on any grid.

Symbols are decoded by integer arithmetic; only rendering uses floats. Nothing here reaches the fitting or
training side of a family.
"""

from nfcodec.decoder.decoder import Decoder
from nfcodec.decoder.output import AxisGrid, output_grid, signal_of

__all__ = ["AxisGrid", "Decoder", "output_grid", "signal_of"]
