"""How the inits of lapped fields are trained."""
