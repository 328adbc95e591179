"""The encoder's side of the lattice: from the samples of a region to its symbols."""
