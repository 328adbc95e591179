"""The encoder's side of dyadic fields."""
