"""Long signals pass through in chunks: one at a time, in bounded memory, with a length known only at the end."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from helpers import decode, encode, init, moving, opened, save_frames, save_sound, sound, unpack

from nfcodec import api
from nfcodec.decoder import decoder as decoder_module
from nfcodec.encoder import encode_signal
from nfcodec.errors import MediaReadError
from nfcodec.media import video
from nfcodec.media.timing import Timing
from nfcodec.modules.fit import encode as encoder
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.signal import Block, Metadata, SignalInfo

MB = 1 << 20


@dataclass
class Tape:
    """A recording that is made while it is read, and counts the blocks that somebody still holds."""

    info: SignalInfo
    total: int
    metadata: Metadata = field(default_factory=Metadata)
    warnings: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    held: int = 0
    most: int = 0

    def blocks(self, rows):
        import weakref

        for start in range(0, self.total, rows):
            n = min(rows, self.total - start)
            self.asked.append(n)
            t = np.arange(start, start + n, dtype=np.float64)[:, None] / 8000
            values = (0.3 * np.sin(2 * np.pi * 200 * t) * np.sin(t)).astype(np.float32).repeat(self.info.channels, 1)
            self.held += 1
            self.most = max(self.most, self.held)
            weakref.finalize(values, self._dropped)
            yield Block(values)
            del values

    def _dropped(self):
        self.held -= 1

    def sidecar(self):
        return b""

    def close(self):
        pass


def tape(seconds, announced=None):
    total = int(seconds * 8000)
    return Tape(SignalInfo("audio", (announced or total,), 2, "i16", rate=Fraction(8000)), total)


FAST = EncodeOptions(init=init("audio"), quality=10, effort=1)


def peak_of(call):
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_chunks_are_taken_one_at_a_time():
    source = tape(60)
    encoded = encode_signal(source, io.BytesIO(), FAST)
    rows = 64 * (encoder.CHUNK_MODULES // 2)
    assert source.asked == [rows] * 3 + [480_000 - 3 * rows]
    assert source.most <= 2  # the one in work, and the one that the generator is just making
    assert encoded.info.shape == (480_000,) and encoded.psnr > 25


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Two and five chunks, the same peak: for encoding as for decoding."""
    peaks = {}
    for seconds in (34, 85):
        out = tmp_path / f"{seconds}.nfc"

        def write(out=out, seconds=seconds):
            with out.open("wb") as file:
                return encode_signal(tape(seconds), file, FAST)

        def read(out=out):
            with out.open("rb") as file:
                decoder = opened(file.read(), "audio")
            return sum(len(b.values) for b in decoder.blocks(DecodeOptions()))

        encoded, writing = peak_of(write)
        length, reading = peak_of(read)
        assert length == encoded.info.shape[0] == seconds * 8000
        peaks[seconds] = writing, reading
    for short, long in zip(peaks[34], peaks[85], strict=True):
        assert long < 1.1 * short + MB, peaks


def test_decoding_does_not_lay_out_all_positions(monkeypatch):
    """An hour at 48 kHz is 170 million samples; asking for the first block must not cost 16 bytes for each."""
    monkeypatch.setattr(decoder_module, "PIECE_SAMPLES", 1 << 18)
    data = io.BytesIO()
    encode_signal(tape(2), data, FAST)
    long, options = opened(data.getvalue(), "audio"), DecodeOptions(rate=500_000_000)
    assert long.output_info(options).shape[0] == 1_000_000_000
    length, peak = peak_of(lambda: len(next(long.blocks(options)).values))
    # A piece takes some 200 bytes a sample on its way through the networks; all positions would be 16 GB.
    assert length == 1 << 18 and peak < 80 * MB


@pytest.mark.parametrize("announced", [1, 700, 2_000_000])
def test_an_estimated_length_is_corrected(announced):
    """The header gets the true length; estimates above and below it decode to the same samples."""
    out, exact = io.BytesIO(), io.BytesIO()
    encoded = encode_signal(tape(0.5, announced), out, FAST)
    encode_signal(tape(0.5), exact, FAST)
    decoder = opened(out.getvalue(), "audio")
    assert encoded.info.shape == decoder.info.shape == (4000,)
    assert decoder.digest()[0] == encoded.digest
    values, wanted = (unpack(data.getvalue(), "audio") for data in (out, exact))
    # Zeros of the recording at the border of a block may be kept as the beginning of a silence.
    heard = np.rint(np.concatenate([b.values for b in tape(0.5).blocks(4000)]) * 32768) != 0
    np.testing.assert_allclose(values[heard], wanted[heard], atol=2e-5)


def test_a_clip_of_unknown_length(tmp_path, monkeypatch):
    """A container that announces a wrong number of frames."""
    path = save_frames(tmp_path / "a.mkv", moving(9, 16, 24))
    real = video.scan
    for wrong in (1, 5, 40):
        lie = Timing(wrong, Fraction(25))
        monkeypatch.setattr(video, "scan", lambda *a, lie=lie: replace(real(*a), timing=lie))
        events = []
        options = EncodeOptions(init=init("video"), effort=1)
        result = api.encode(path, tmp_path / f"{wrong}.nfc", options=options, progress=events.append)
        about = api.info(tmp_path / f"{wrong}.nfc")
        assert about.shape == (9, 16, 24) and about.sample_rate == 10 and about.rate == pytest.approx(result.rate)
        assert all(e.done <= e.total * (1 + 1e-9) for e in events)
        assert decode(tmp_path / f"{wrong}.nfc", "video", tmp_path / "b.mkv").shape == (9, 16, 24)
        digests = {api.verify(tmp_path / f"{n}.nfc", init=init("video")).digest for n in (1, wrong)}
        assert len(digests) == 1


def test_a_source_that_breaks_in_the_middle(tmp_path):
    class Torn(Tape):
        def blocks(self, rows):
            for number, block in enumerate(super().blocks(rows)):
                if number == 1:
                    raise MediaReadError("the tape is torn")
                yield block

    good = tape(60)
    out = io.BytesIO()
    with pytest.raises(MediaReadError, match="torn"):
        encode_signal(Torn(good.info, good.total), out, FAST)
    assert out.getvalue() == b""  # nothing is written before everything is known


def test_parts_of_long_files_read_only_their_chunks(tmp_path, monkeypatch):
    path = save_sound(tmp_path / "a.wav", sound(20_000, 1))
    monkeypatch.setattr(encoder, "CHUNK_MODULES", 16)
    encode(path, "audio", effort=1, quality=10)
    decoder = opened((tmp_path / "a.nfc").read_bytes(), "audio")
    assert decoder.chunks == 20
    read = []
    real = type(decoder.field)._decoded
    monkeypatch.setattr(type(decoder.field), "_decoded", lambda f, chunk: read.append(chunk) or real(f, chunk))
    list(decoder.blocks(DecodeOptions(time=(1024 * 5 / 8000, 1024 * 7 / 8000))))
    assert read == [5, 6]
    read.clear()
    list(decoder.blocks(DecodeOptions(rate=1500)))
    assert read == list(range(20))
