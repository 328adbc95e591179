"""The border: whatever the tags of a file say, decoding writes its output and touches nothing else."""

from __future__ import annotations

import io
from fractions import Fraction

import pytest
from helpers import init

from nfcodec import api, zoo
from nfcodec.container.layout import Header, SectionType, chunk_payload
from nfcodec.container.metadata import pack_metadata, pack_tags
from nfcodec.container.writer import Writer

INIT_OF = {"image": "image", "audio": "audio", "video": "video"}
SIGNALS = {
    "image": {"shape": (16, 16), "channels": 3, "sample_type": "u8", "chunk_rows": 1},
    "audio": {"shape": (256,), "channels": 2, "sample_type": "i16", "chunk_rows": 1, "rate": Fraction(8000)},
    "video": {"shape": (4, 16, 16), "channels": 3, "sample_type": "u8", "chunk_rows": 1, "rate": Fraction(10)},
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
