"""How the residuals' networks of an init for moving pictures are trained."""
