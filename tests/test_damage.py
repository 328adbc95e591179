"""Tests 45 and 46: damaged files, files with mended checksums, and wrong inits."""

from __future__ import annotations

import contextlib
import io
import random
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from helpers import MemorySource, decode, init, memory, moving, pack, painting, repaired, sound

from nfcodec import api, zoo
from nfcodec.container.layout import SectionType, crc_bytes
from nfcodec.container.reader import Reader
from nfcodec.errors import (
    ChecksumError,
    FormatError,
    InternalError,
    ModelError,
    ModelHashError,
    ModelNotFoundError,
    NfcError,
    TruncatedError,
)
from nfcodec.lattice.fit import coded
from nfcodec.limits import Limits
from nfcodec.signal import Metadata

# Nothing that a small mutated file announces may cost much: that, too, is what limits are for.
TIGHT = Limits(max_pixels=1 << 14, max_dimension=1 << 12, max_frames=64, max_samples=1 << 16, max_array=1 << 16,
               max_symbols=1 << 21, max_channels=8)  # fmt: skip
# All formats, in turn; those that start a program for each file come once.
FORMATS = {
    "image": ("png", "jpg", "webp", "tif", "bmp", "gif", "npy", "avif"), "audio": ("wav", "flac", "ogg", "npy"),
    "video": ("gif", "png", "webp", "npy", "mp4", "gif", "png", "webp", "npy", "mkv", "webm"),
}  # fmt: skip
KINDS = ("image", "audio", "video", "tiny-lattice")


def small(kind):
    """A file of 100 to 250 bytes; the pictures have alpha and metadata."""
    if kind == "audio":
        source = replace(memory("audio", sound(150, 2)), metadata=Metadata(tags=(("title", "ä"), ("date", "2024"))))
        return pack(source, kind, quality=85, effort=3)[0]
    if kind == "video":
        tags = (("sar", "4:3"), ("loop", "3"), ("durations", "10,20,30,40,50"))
        source = replace(memory("video", moving(5, 9, 17)), metadata=Metadata(tags=tags))
        return pack(source, kind, quality=95, effort=1)[0]
    width, noise = (27, 12) if kind == "tiny-lattice" else (18, 0)
    texture = np.random.default_rng(0).normal(0, noise, (12, width, 1))
    samples = np.clip(painting(12, width) + texture, 0, 255).astype(np.uint8)
    if kind == "tiny-lattice":  # stripes, which become an overlay
        samples[:, :16], samples[:, 3:16:4] = 30, 220
    source = memory("image", samples)
    alpha = 255 - (np.indices((12, width)).sum(0) % 5 == 0).astype(np.uint8) * 55
    metadata = Metadata(xmp=b"<x/>", tags=(("title", "ä"), ("dpi", "300,300")))
    source = MemorySource(replace(source.info, alpha=True), source.values, alpha, metadata)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coded, "SPLIT_FROM", 0)  # one section for every layer
        return pack(source, kind, quality=85 if kind == "tiny-lattice" else 40, effort=1)[0]


@pytest.fixture(scope="module")
def files():
    found = {kind: small(kind) for kind in KINDS}
    assert all(80 < len(data) < 330 for data in found.values()), {k: len(d) for k, d in found.items()}
    return found


class Checker:
    """Writes mutated bytes to one path and verifies or decodes them, to every format in turn."""

    def __init__(self, folder, kind):
        self.path, self.out, self.kind = folder / "damaged.nfc", folder / "out", kind
        self.turn = cycle(FORMATS.get(kind, FORMATS["image"]))

    def verify(self, data):
        self.path.write_bytes(data)
        return api.verify(self.path, init=init(self.kind), limits=TIGHT)

    def decode(self, data):
        self.path.write_bytes(data)
        target = self.out.with_suffix("." + next(self.turn))
        try:
            return decode(self.path, self.kind, target, limits=TIGHT)
        finally:
            target.unlink(missing_ok=True)
            assert [p.name for p in target.parent.iterdir()] == [self.path.name]


def fault(call, data):
    """The FormatError that bytes raise; anything else, or none, fails the test."""
    with pytest.raises(FormatError) as caught:
        call(data)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value) and str(caught.value)
    assert not isinstance(caught.value, InternalError)
    return caught.value


def test_the_lattice_has_all_kinds_of_sections(files):
    found = {s.type for s in Reader(io.BytesIO(files["tiny-lattice"])).sections()}
    assert found == {SectionType.OVERLAY, SectionType.CELLS, SectionType.ALPHA, SectionType.METADATA}


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged(files, tmp_path, kind):
    checker = Checker(tmp_path, kind)
    assert checker.verify(files[kind]).symbols > 0
    assert checker.decode(files[kind]).bytes > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_found(files, tmp_path, kind):
    checker, data = Checker(tmp_path, kind), files[kind]
    for bit in range(len(data) * 8):
        mutated = bytearray(data)
        mutated[bit // 8] ^= 1 << bit % 8
        fault(checker.verify, bytes(mutated))
        if bit % 37 == 0:
            fault(checker.decode, bytes(mutated))


@pytest.mark.parametrize("kind", KINDS)
def test_45_every_truncation_is_found(files, tmp_path, kind):
    checker, data = Checker(tmp_path, kind), files[kind]
    for length in range(len(data)):
        error = fault(checker.verify, data[:length])
        assert length < 1 or isinstance(error, TruncatedError | ChecksumError), length
        if length % 7 == 0:
            fault(checker.decode, data[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_changed_added_and_doubled(files, tmp_path, kind):
    checker, data, rng = Checker(tmp_path, kind), files[kind], random.Random(1)
    for _ in range(150):
        at, other = rng.randrange(len(data)), rng.randrange(len(data))
        for mutated in (
            data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :],
            data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:],
            data[:at] + data[min(at, other) : max(at, other) + 1] + data[at:],
        ):
            if mutated != data:
                fault(checker.verify, mutated)
    fault(checker.verify, data + b"\0")
    fault(checker.verify, data + data)


@pytest.mark.parametrize("kind", KINDS)
def test_mended_checksums(files, tmp_path, kind):
    """With correct CRCs a mutation may go unnoticed or fail, but only in ways that nfc has names for."""
    checker, data, rng = Checker(tmp_path, kind), files[kind], random.Random(2)
    outcomes = {"fine": 0, "refused": 0}
    for trial in range(700):
        mutated = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(4, len(mutated))
            how = rng.random()
            if how < 0.7:
                mutated[at] = rng.choice((rng.randrange(256), 0, 0xFF, mutated[at] ^ 1 << rng.randrange(8)))
            elif how < 0.85:
                del mutated[at : at + rng.randrange(1, 4)]
            else:
                mutated[at:at] = rng.randbytes(rng.randrange(1, 4))
        fixed = repaired(bytes(mutated))
        call = checker.decode if trial % 4 == 0 else checker.verify
        try:
            call(fixed)
            outcomes["fine"] += 1
        except InternalError:
            raise
        except NfcError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_every_header_byte_with_a_mended_checksum(files, tmp_path, kind):
    checker, data = Checker(tmp_path, kind), files[kind]
    for at in range(4, 6 + data[5]):
        for value in (0, 1, 2, 3, 7, 0x10, 0x40, 0x7F, 0x80, 0xFE, 0xFF, data[at] ^ 1, data[at] ^ 0x20):
            mutated = bytearray(data)
            mutated[at] = value
            with contextlib.suppress(NfcError):
                checker.decode(repaired(bytes(mutated)))


def test_mending_makes_valid_checksums(files):
    """The mutator's own test: without it the CRC would hide everything behind it."""
    mutated = bytearray(files["image"])
    mutated[-6] ^= 1
    reader = Reader(io.BytesIO(repaired(bytes(mutated))))
    assert len(list(reader.sections())) == reader.header.sections
    front = repaired(bytes(mutated[:10]) + bytes(200))
    assert front[6 + front[5] : 10 + front[5]] == crc_bytes(front[: 6 + front[5]])


def test_a_changed_symbol_is_seen(files, tmp_path):
    """A payload byte with a mended CRC: either the stream is refused or the digest tells."""
    checker, data = Checker(tmp_path, "video"), files["video"]
    digest, told = checker.verify(data).digest, 0
    with io.BytesIO(data) as file:
        (entry,) = [e for e in Reader(file).index() if e.type == SectionType.DELTA]
    for at in range(entry.offset + entry.size - 40, entry.offset + entry.size - 4):
        mutated = bytearray(data)
        mutated[at] ^= 0x10
        try:
            assert checker.verify(repaired(bytes(mutated))).digest != digest
            told += 1
        except FormatError:
            continue
    assert told > 0


def test_every_changed_byte_of_a_layer_is_seen(files, tmp_path):
    """Each list of symbols has one stream only, so a mended CRC hides nothing."""
    checker, data = Checker(tmp_path, "tiny-lattice"), files["tiny-lattice"]
    digest = checker.verify(data).digest
    with io.BytesIO(data) as file:
        cells = [e for e in Reader(file).index() if e.type == SectionType.CELLS]
    assert len(cells) == 3
    for entry in cells:
        for at in range(entry.offset + 3, entry.offset + entry.size - 4):
            mutated = bytearray(data)
            mutated[at] ^= 0x10
            with contextlib.suppress(FormatError):
                assert checker.verify(repaired(bytes(mutated))).digest != digest


def test_empty_and_foreign_files(tmp_path):
    checker = Checker(tmp_path, "image")
    for data in (b"", b"\xb1", b"\x89PNG\r\n\x1a\n" + bytes(50), b"hello", bytes(1000), b"\xb1nf\n"):
        fault(checker.verify, data)
        fault(checker.decode, data)


# -- 46: inits -------------------------------------------------------------------------------------------
def test_46_the_wrong_init_is_refused(files, tmp_path):
    path = tmp_path / "a.nfc"
    path.write_bytes(files["image"])
    with pytest.raises(ModelNotFoundError, match=r"missing\.safetensors"):
        api.decode(path, tmp_path / "a.png", init=str(tmp_path / "missing.safetensors"))
    for wrong in (init("masked"), init("audio"), None):
        with pytest.raises(ModelNotFoundError, match=zoo.load(init("image")).sha256[:8].hex()):
            api.decode(path, tmp_path / "a.png", init=wrong)
        with pytest.raises(ModelNotFoundError):
            api.verify(path, init=wrong)
    assert api.info(path).init == zoo.load(init("image")).sha256[:8].hex()


def test_an_init_with_one_bit_changed_is_another_init(files, tmp_path):
    path = tmp_path / "a.nfc"
    path.write_bytes(files["image"])
    data = bytearray((tmp_path / init("image")).read_bytes())
    data[-1] ^= 1
    (tmp_path / "near.safetensors").write_bytes(data)
    with pytest.raises(ModelNotFoundError, match="needs the init"):
        api.verify(path, init=str(tmp_path / "near.safetensors"))
    (tmp_path / "near.safetensors").write_bytes(data[:-9])
    with pytest.raises(ModelError, match="is not an init"):
        api.verify(path, init=str(tmp_path / "near.safetensors"))


def test_a_shipped_init_must_have_its_pinned_hash(tmp_path, monkeypatch):
    """An index that promises other bytes than the folder holds."""
    real = zoo.load(init("image")).sha256
    (tmp_path / "tiny.safetensors").write_bytes((tmp_path / init("image")).read_bytes())
    monkeypatch.setattr(zoo, "models_folder", lambda: tmp_path)
    monkeypatch.setattr(zoo, "index", lambda: {"inits": {"tiny": real.hex()}, "defaults": {"image": "tiny"}})
    data, _ = pack(memory("image", painting(9, 9)), "image")
    (tmp_path / "a.nfc").write_bytes(data)
    assert api.verify(tmp_path / "a.nfc").symbols > 0 and api.info(tmp_path / "a.nfc").init == "tiny"
    promised = real[:8].hex() + "00" * 24
    monkeypatch.setattr(zoo, "index", lambda: {"inits": {"tiny": promised}, "defaults": {"image": "tiny"}})
    with pytest.raises(ModelHashError, match="pinned"):
        api.verify(tmp_path / "a.nfc")
