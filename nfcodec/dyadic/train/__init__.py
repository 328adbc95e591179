"""How the networks of dyadic inits are made: from drawn fields, in the loop that encodes them."""
