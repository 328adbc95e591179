"""The encoder of lapped fields: transform, choice of splits, quantization."""
