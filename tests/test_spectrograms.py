"""Spectrograms: a tone is where it belongs and as loud as it is; pictures are written, of sound alone."""

import numpy as np
import pytest
import soundfile

from nfcodec import api
from nfcodec.errors import InputError, OptionError
from nfcodec.spectrograms import LOWEST, spectrogram


def tone(seconds=0.5, rate=8000, hertz=1000.0, size=0.5):
    t = np.arange(int(seconds * rate)) / rate
    return (size * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_a_tone_is_where_it_belongs():
    levels = spectrogram(tone(), 256, 64)
    inner = levels[5:-5]
    assert (inner.argmax(1) == 32).all()  # 1,000 Hz of 8,000 in windows of 256
    assert np.abs(inner.max(1) + 6.02).max() < 0.05  # half of full scale
    assert levels.min() == LOWEST and len(levels) == 4000 // 64 + 1


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    for name, hertz in (("a.wav", 1000.0), ("b.wav", 1010.0)):
        soundfile.write(tmp_path / name, np.stack([tone(hertz=hertz)] * 2, 1), 8000)
    found = api.compare(tmp_path / "a.wav", tmp_path / "b.wav", plot=tmp_path / "p.png")
    assert found.snr is not None and (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_plots_are_of_sound(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(OptionError, match="sound"):
        api.compare(tmp_path / "a.png", tmp_path / "a.png", plot=tmp_path / "p.png")
    soundfile.write(tmp_path / "a.wav", tone(), 8000)
    soundfile.write(tmp_path / "b.wav", tone(0.4), 8000)
    with pytest.raises(InputError):
        api.compare(tmp_path / "a.wav", tmp_path / "b.wav", plot=tmp_path / "p.png")
