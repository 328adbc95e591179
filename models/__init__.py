"""The shipped inits, as package data."""
