"""Integers to bits and back: tables, the coder, lossless planes, symbol ranking, the quantizer.

Nothing here knows fields, files or torch. From bytes to integers only integer arithmetic decides.
"""
