"""nfc inside other programs: Pillow, PyTorch data sets, desktops and shells."""
