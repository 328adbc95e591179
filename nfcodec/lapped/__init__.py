"""Lapped fields: a lattice in one axis whose cells have many functions, a lapped cosine basis of a trained window.

Frequency is an axis of its prior and of what restores its symbols: networks look at time × frequency and share their
weights along both.
"""
