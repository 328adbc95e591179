"""Signals as independent small networks, the fields of the papers that this codec grew from.

``fit`` is the encoder's side (the inner loop), ``train`` that of meta-training.
"""
