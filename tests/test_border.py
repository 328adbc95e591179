"""The border: whatever the tags of a file say, decoding writes its output and touches nothing else."""

from __future__ import annotations

import contextlib
import io
import random
from fractions import Fraction

import pytest
from helpers import init

from nfcodec import api, zoo
from nfcodec.container.layout import Header, SectionType, chunk_payload
from nfcodec.container.metadata import pack_metadata, pack_tags
from nfcodec.container.writer import Writer
from nfcodec.errors import UnsupportedMediaError
from nfcodec.tags import SOUND_TEXTS

INIT_OF = {"image": "image", "audio": "audio", "video": "video"}
SIGNALS = {
    "image": {"shape": (16, 16), "channels": 3, "sample_type": "u8", "chunk_rows": 99},
    "audio": {"shape": (256,), "channels": 2, "sample_type": "i16", "chunk_rows": 99, "rate": Fraction(8000)},
    "video": {"shape": (4, 16, 16), "channels": 3, "sample_type": "u8", "chunk_rows": 99, "rate": Fraction(10)},
}
OUTPUTS = {
    "image": ("png", "jpg", "webp", "tif", "bmp", "avif", "gif", "npy"),
    "audio": ("wav", "flac", "ogg", "npy"),
    "video": ("mp4", "mkv", "webm", "gif", "png", "webp", "npy"),
}
SINKS = [(kind, form) for kind, forms in OUTPUTS.items() for form in forms]


def hostile(kind, tags=(), sections=(), **header):
    """A file of its kind's mean signal: no deltas, whatever tags, and valid checksums."""
    values = {"modality": kind, "quality": 50, "init": zoo.load(init(INIT_OF[kind])).sha256[: zoo.PREFIX]}
    head = Header(**(values | SIGNALS[kind] | header))
    out = io.BytesIO()
    with Writer() as writer:
        if tags:
            writer.add(SectionType.METADATA, pack_metadata("tags", pack_tags(tags)))
        for section in sections:
            writer.add(*section)
        writer.add(SectionType.DELTA, chunk_payload(0, b""))
        writer.finish(head, out)
    return out.getvalue()


class Cage:
    """A folder with a precious file, where one hostile file is decoded to one output."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.victim = folder, folder / "victim.txt"
        self.victim.write_text("precious")
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("TMPDIR", str(self.temporary))
        monkeypatch.setattr("tempfile.tempdir", str(self.temporary))

    def decode(self, data, kind, form):
        """Decode; afterwards only the output is new, and it is removed again. Returns the warnings."""
        source, target = self.folder / "evil.nfc", self.folder / f"out.{form}"
        source.write_bytes(data)
        try:
            assert api.verify(source, init=init(INIT_OF[kind])).bytes == len(data)
            return api.decode(source, target, init=init(INIT_OF[kind])).warnings
        finally:
            target.unlink(missing_ok=True)
            assert {p.name for p in self.folder.iterdir()} == {"victim.txt", "evil.nfc", "tmp"}
            assert not list(self.temporary.iterdir()) and self.victim.read_text() == "precious"


@pytest.fixture
def cage(tmp_path, monkeypatch):
    return Cage(tmp_path, monkeypatch)


# Filters of ffmpeg that write a file, write elsewhere, and read a file into the picture.
ATTACKS = (
    "1,split[a][b];[a][b]psnr=stats_file=victim.txt",
    "1,split[a][b];[a][b]psnr=stats_file={victim}",
    "1,metadata=print:file={victim}",
    "1,drawtext=textfile={victim}",
    "1[x];movie={victim}[y];[x][y]overlay",
    "4/3,null",
    "1:1,null",
    "16:9\n,null",
)


@pytest.mark.parametrize("form", OUTPUTS["video"])
def test_a_tag_is_no_filter(cage, form):
    for attack in ATTACKS:
        tags = (("sar", attack.format(victim=cage.victim)),)
        told = cage.decode(hostile("video", tags), "video", form)
        assert any(w.startswith("the tag sar is left out: ") for w in told)
        assert all("\n" not in w for w in told)


# -- every tag, every sink -------------------------------------------------------------------------------
KEYS = ("sar", "dpi", "loop", "durations", "source", *SOUND_TEXTS, "unknown", "-y", "", "a\0b")
VALUES = (
    "", " ", "abc", "-1", "0", "1", "1e999", "nan", "inf", "-inf", "9" * 5000, "1" + "0" * 30, "1/0", "0:0", "1:0",
    "99999:1", "1,2,3", "1", ",", ",,,", "1,1", "0,0", "1e6,1e6", "999999,999999", "0.3,0.3", "-1,-1", "70000,70000",
    "10,20,30,40", "999999999,1,1,1", "999999999,999999999,999999999,999999999", "nan,nan,nan,nan", "1,,2,3",
    "4294967295", "4294967296", "65536", "١٢", "𝟙,𝟚", "a\0b", "a\nb\r\nc", "\ud800", "é" * 9000, "x" * 300_000,
    "-y", "--", "@victim.txt", "%n%s", "{0.__class__}", "'; cat victim.txt", "$(touch evil)", "../victim.txt",
    "[0:v]", "file:victim.txt", "concat:victim.txt", "\u202e\u2028\x85\x1b[31m",
)  # fmt: skip


@pytest.mark.parametrize(("kind", "form"), SINKS, ids=["-".join(s) for s in SINKS])
def test_hostile_values_of_every_tag(cage, kind, form):
    """Each value is given to all tags at once, so that each sink meets each of them."""
    quick = form not in ("mp4", "mkv", "webm", "avif")
    for value in VALUES if quick else VALUES[::4]:
        cage.decode(hostile(kind, tuple((key, value) for key in KEYS)), kind, form)


def grammar(rng):
    """A tag of any shape: lists, ratios, filters and paths of numbers, words and signs."""
    atoms = ("1", "0", "-0", "1e9", "99999999999", "nan", "victim.txt", "psnr", "movie", "é", "\0", "\ud800", "x" * 100)
    signs = (",", ":", ";", "/", "=", "[a]", "'", "\\", "\n", "|", " ", "%", "@", "")
    parts = [rng.choice(atoms) + rng.choice(signs) for _ in range(rng.choice((1, 2, 2, 4, 9)))]
    return rng.choice(KEYS), "".join(parts)


@pytest.mark.parametrize(("kind", "form"), SINKS, ids=["-".join(s) for s in SINKS])
def test_tags_out_of_a_grammar(cage, kind, form):
    rng = random.Random(f"{kind} {form}")
    for _ in range(4 if form in ("mp4", "mkv", "webm", "avif") else 25):
        tags = tuple(grammar(rng) for _ in range(rng.choice((1, 3, 30))))
        cage.decode(hostile(kind, tags), kind, form)


# -- the rest of the metadata, and the header ------------------------------------------------------------
EXIF_LOOP = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0"
STORAGE = b"II*\0\x08\0\0\0\x02\0\x11\x01\x04\0\x01\0\0\0\xff\xff\xff\x7f\0\x01\x04\0\x01\0\0\0\xff\xff\0\0\0\0\0\0"
PAYLOADS = (
    b"", b"\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(64), EXIF_LOOP, STORAGE,
    b"Exif\0\0II*\0", bytes(70_000), b"\xff" * 300, b"<x:xmpmeta " + b"<a>" * 1000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "form"), [s for s in SINKS if s[0] != "audio"], ids=["-".join(s) for s in SINKS if s[0] != "audio"]
)
def test_hostile_payloads(cage, kind, form):
    for payload in PAYLOADS if form not in ("mp4", "mkv", "webm") else PAYLOADS[-1:]:
        metadata = [(SectionType.METADATA, pack_metadata(name, payload)) for name in ("icc", "exif", "xmp")]
        cage.decode(hostile(kind, sections=metadata), kind, form)


@pytest.mark.parametrize("form", ["mp4", "mkv", "webm"])
def test_a_hostile_sound_track_is_dropped(cage, form):
    for sound in (b"\0", b"not matroska", b"\x1a\x45\xdf\xa3" + bytes(50), b"#EXTM3U\nvictim.txt\n", b"ffconcat"):
        told = cage.decode(hostile("video", sections=[(SectionType.SOUND, sound)]), "video", form)
        assert any(w.startswith("sound dropped: ") for w in told) and not any("/" in w for w in told)


MOST = 2**31 - 1
RATES = (Fraction(1, MOST), Fraction(MOST), Fraction(MOST, MOST - 1), Fraction(1, 1000), Fraction(90_001))


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize(("kind", "form"), [s for s in SINKS if s[0] != "image"])
def test_hostile_rates(cage, kind, form, rate):
    over = rate > {"flac": 65_535, "ogg": 200_000}.get(form, MOST)
    with pytest.raises(UnsupportedMediaError, match="Hz is over its") if over else contextlib.nullcontext():
        cage.decode(hostile(kind, rate=rate), kind, form)


def test_wide_rates_are_told(cage):
    assert cage.decode(hostile("video", rate=Fraction(1, 10**6)), "video", "mp4") == (
        "the frame rate 1e-06/s is written as 0.001/s",
    )
