"""Moving pictures: a prediction that moves along coded vectors, and what it misses on a lattice of cells.

Part of what decoders share: nothing here may import ``fit`` or ``train``, or torch.
"""
