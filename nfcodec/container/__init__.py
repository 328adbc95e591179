"""Sections to ``.nfc`` bytes and back. Knows no torch and no numpy; ``FORMAT.md`` beside it is normative."""
