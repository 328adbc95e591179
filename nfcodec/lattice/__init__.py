"""Signals on a lattice of cells: geometry, prior, rendering, and the field of a file.

``fit`` is the encoder's side, ``train`` that of meta-training.
"""
