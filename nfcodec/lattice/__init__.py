"""Pictures on a lattice of cells: the init, the regions, and the way from symbols to last layers."""
