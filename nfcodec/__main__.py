"""``python -m nfcodec`` is the command ``nfc``."""

from nfcodec.cli.app import main

if __name__ == "__main__":
    main()
