"""Finds parts of a picture that are made of few colours, and what colours to keep."""

from nfcodec.lattice.fit.palette.blocks import BLOCK, blocky, even_blocks, grown, per_block
from nfcodec.lattice.fit.palette.propose import Draft, draft, final

__all__ = ["BLOCK", "Draft", "blocky", "draft", "even_blocks", "final", "grown", "per_block"]
