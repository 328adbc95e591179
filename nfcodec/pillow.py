"""``import nfcodec.pillow`` makes Pillow open and save .nfc files.

    import nfcodec.pillow
    from PIL import Image

    Image.open("photo.nfc").thumbnail((256, 256))
    Image.open("photo.png").save("photo.nfc", quality=60, effort=7)

:func:`register_pillow` does the same where it is called.
"""

from nfcodec.plugins.pillow import NfcImageFile, register_pillow

__all__ = ["NfcImageFile", "register_pillow"]

register_pillow()
