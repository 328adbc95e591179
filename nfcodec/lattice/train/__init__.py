"""How inits of lattices are made: crops, the model, its loop, X, and the export to whole numbers."""
