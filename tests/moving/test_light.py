"""References in another light: fades cost little, and what is written is what is read."""

import io

import numpy as np
import pytest
from helpers import memory

from moving.small import panning, small_init
from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.errors import CorruptError
from nfcodec.moving.fit import picture as fitting
from nfcodec.moving.light import LARGEST_OFFSET, Light, lit
from nfcodec.moving.prediction import LARGEST_SAMPLE, Reference
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.zoo import write_init


@pytest.mark.parametrize("light", [Light(), Light(0, -LARGEST_OFFSET), Light(255, LARGEST_OFFSET), Light(100, 7)])
def test_there_and_back(light):
    assert Light.unpack(light.pack()) == light


def test_an_offset_beyond_the_format():
    with pytest.raises(CorruptError):
        Light.unpack(b"\x80\xff\x0f")


def test_what_a_light_does():
    planes = np.array([-8191, -65, 0, 1, 64, 8191], np.int16).reshape(1, 1, 6).repeat(2, 0)
    found = Light(64, 2).on(Reference(planes)).planes
    halves = [(v * 64 + 64) >> 7 for v in planes[0, 0].tolist()]
    assert found[1, 0].tolist() == halves and found[0, 0].tolist() == [h + 32 for h in halves]
    assert np.abs(Light(255, LARGEST_OFFSET).on(Reference(planes)).planes).max() == LARGEST_SAMPLE
    reference = Reference(planes)
    assert lit([reference], ()) == [reference] == lit([reference], [Light()])


def test_a_fade(tmp_path, monkeypatch):
    init = str(tmp_path / "small.safetensors")
    write_init(small_init(), init)
    still = panning(1, 64, 80)[0].astype(float)
    clip = np.rint(still * np.linspace(0.1, 1.0, 8)[:, None, None, None]).astype(np.uint8)

    def size():
        out = io.BytesIO()
        encoded = encode_signal(memory("video", clip), out, EncodeOptions(init=init, quality=60, effort=1))
        decoder = Decoder(io.BytesIO(out.getvalue()), inits=(init,))
        found = np.concatenate([b.values for b in decoder.blocks(DecodeOptions())])
        error = ((np.rint(found.clip(0, 1) * 255).astype(float) - clip) ** 2).mean()
        assert 10 * np.log10(255**2 / error) == pytest.approx(encoded.psnr, abs=1e-6)
        return len(out.getvalue()), encoded.psnr

    lighted = size()
    monkeypatch.setattr(fitting, "lights_of", lambda *_: ())
    plain = size()
    assert lighted[0] < 0.85 * plain[0] and lighted[1] > plain[1] - 0.5
