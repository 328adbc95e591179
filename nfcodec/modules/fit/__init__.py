"""The encoder's inner loop: from θ0 to quantized deltas, many modules at once."""
