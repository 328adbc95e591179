"""How a recording is to be read: in which parts, what its header promises, and what lies beside the sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from nfcodec.media.chunks import FORMS, Chunked, read_chunks
from nfcodec.media.sound_readers import FfmpegReader, Opener, SndfileReader, packet_length, summarize, track_rate
from nfcodec.media.sound_tags import Pairs, read_ffmetadata, sort_tags
from nfcodec.media.speakers import apple_layout
from nfcodec.media.window import Stretch
from nfcodec.media.xiph import Streams, id3_size, read_flac, read_ogg

# Names of chunks that hold more than sound and its texts, as a person would call them.
_LOSSES = {
    b"bext": "broadcast data (bext)", b"cue ": "cue points (cue)", b"smpl": "loop points (smpl)",
    b"inst": "instrument data (inst)", b"INST": "instrument data and loops (INST)", b"MARK": "markers (MARK)",
    b"mark": "markers (mark)", b"iXML": "production data (iXML)", b"axml": "audio definition model (axml)",
    b"chna": "audio definition model (chna)", b"cart": "radio data (cart)", b"_PMX": "XMP (_PMX)",
    b"acid": "tempo and loops (acid)", b"MIDI": "MIDI data (MIDI)", b"midi": "MIDI data (midi)",
    b"APPL": "application data (APPL)", b"regn": "regions (regn)", b"plst": "a play list (plst)",
    b"basc": "tempo and loops (basc)", b"edct": "edits (edct)", b"uuid": "application data (uuid)",
    b"umid": "an identifier (umid)", b"COMT": "comments (COMT)", b"strg": "labels (strg)",
}  # fmt: skip
# libsndfile reads these as texts.
_INFO = (b"INAM", b"IART", b"IPRD", b"ICMT", b"ICOP", b"ICRD", b"IGNR", b"ITRK")
_PLAIN_WAVE = (1, 3, 6, 7)  # PCM, float, A-law, µ-law: blocks are single samples
# The end of the subformats of B-format, whose channels are no loudspeakers.
_AMBISONIC = bytes.fromhex("2107d3118644c8c1ca000000")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one recording.

    ``openers``: of its parts, in order. ``announced``: samples that its header promises, None where it leaves that
    open. ``slack``: samples by which that may be off without meaning anything. ``cut``: whether its end is missing
    where no number tells. ``tags`` and ``lost``: what lies beside the sound; ``unknown``: names of tags with no place.
    ``asked``: whether ffmpeg is the reader already.
    """

    openers: tuple[Opener, ...]
    announced: int | None = None
    slack: int = 0
    cut: bool = False
    tags: Pairs = ()
    lost: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    asked: bool = False


def make_plan(path: Path, demuxer: str) -> Plan:
    """The plan for a recording; ``demuxer``: ffmpeg's name of the container, "" to let it look.

    Raises ``OSError``, and ``ValueError`` where neither libsndfile nor ffmpeg finds sound.
    """
    with path.open("rb") as file:
        front = file.read(12)
        file.seek(id3_size(front))
        magic = file.read(4)
    if front[:4] in FORMS:
        return _chunked_plan(path, demuxer)
    if magic == b"fLaC":
        return _stream_plan(path, read_flac(path))
    if front.startswith(b"OggS"):
        return _stream_plan(path, read_ogg(path))
    if front.startswith(b".snd"):
        return _au_plan(path)
    # MP3 among others: libsndfile's decoder of it prints to standard error, and stops at the first of joined files.
    return ffmpeg_plan(path, "" if front.startswith(b"ID3") and magic[:1] != b"\xff" else demuxer)


# -- ffmpeg ----------------------------------------------------------------------------------------------
def ffmpeg_plan(path: Path, demuxer: str) -> Plan:
    """The plan to read all with ffmpeg."""
    summary = summarize(path, demuxer)
    tags, unknown = sort_tags(read_ffmetadata(summary.tags))
    lost = ["the cover picture"] if any(s.cover for s in summary.streams) else []
    more = sum(s.kind == "audio" for s in summary.streams) - 1
    lost += [f"{more} more sound track{'s' if more > 1 else ''}"] if more > 0 else []
    lost += ["chapters"] if summary.chapters else []
    rate = track_rate(summary)
    announced = round(summary.seconds * rate) if summary.seconds else None
    length = announced or packet_length(path, demuxer, rate)
    # Lengths are in hundredths of a second, and some count the samples that a decoder drops at both ends.
    slack = rate // 20 + 4608
    opener = partial(FfmpegReader, path, demuxer, summary, max(1, length))
    return Plan((opener,), announced, slack, False, tags, tuple(lost), unknown, True)


# -- FLAC and Ogg ----------------------------------------------------------------------------------------
def _stream_plan(path: Path, streams: Streams) -> Plan:
    size = path.stat().st_size
    mask = next((v for k, v in streams.comments if k.lower() == "waveformatextensible_channel_mask"), "")
    known = _hexadecimal(mask)
    codec = streams.codec if streams.ordered else ""
    as_is = streams.stretches in ((), (Stretch(0, size),))
    parts = (None,) if as_is else streams.stretches
    openers = tuple(partial(SndfileReader, path, part, codec, known) for part in parts)
    tags, unknown = sort_tags(streams.comments)
    return Plan(openers, streams.announced, 0, not streams.whole, tags, streams.lost, unknown)


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


# -- chunks ----------------------------------------------------------------------------------------------
def _chunked_plan(path: Path, demuxer: str) -> Plan:
    found = read_chunks(path)
    if not found:
        return Plan((partial(SndfileReader, path),))
    size = path.stat().st_size
    mask, order = _speakers(found[0])
    as_is = len(found) == 1 and _honest(found[0], size)
    openers = tuple(partial(SndfileReader, path, None if as_is else one.stretch, "", mask, order) for one in found)
    tags, lost, unknown = _beside(path, demuxer, found[0])
    return Plan(openers, _announced(found), 0, False, tags, lost, unknown)


def _honest(one: Chunked, size: int) -> bool:
    return one.announced == one.room and one.stretch.stop == size and one.magic != b"BW64"


def _announced(found: list[Chunked]) -> int | None:
    """Samples that the headers of all parts promise, None if one leaves that open."""
    total = 0
    for one in found:
        frame = _frame_bytes(one)
        fact = one.payload(b"fact")
        # Compressed sound comes in blocks, of which the last may be filled up; only the number of bytes can be wrong.
        if one.announced is None or (not frame and (one.announced == one.room or len(fact) < 4)):
            return None
        total += one.announced // frame if frame else int.from_bytes(fact[:4], FORMS[one.magic].order)
    return total


def _frame_bytes(one: Chunked) -> int:
    """Bytes of one sample of all channels, 0 where the sound is compressed."""
    form, common, description = one.payload(b"fmt "), one.payload(b"COMM"), one.payload(b"desc")
    if len(form) >= 16:
        kind, _, _, _, block = struct.unpack_from(("<" if FORMS[one.magic].order == "little" else ">") + "HHIIH", form)
        if kind == 0xFFFE and len(form) >= 26:
            kind = int.from_bytes(form[24:26], "little")
        return block if kind in _PLAIN_WAVE else 0
    if len(common) >= 8:
        channels, _, bits = struct.unpack_from(">HIH", common)
        return channels * -(-bits // 8) if common[18:22] not in (b"ima4", b"GSM ", b"MAC3", b"MAC6") else 0
    if len(description) >= 32:
        size, frames = struct.unpack_from(">II", description, 16)
        return size if frames == 1 else 0
    return 0


def _speakers(one: Chunked) -> tuple[int | None, tuple[int, ...] | None]:
    """Channel mask, and where each channel lies in its order; None where that is not known, or nothing to do."""
    form, layout = one.payload(b"fmt "), one.payload(b"chan", b"CHAN")
    if len(form) >= 40 and form[:2] in (b"\xfe\xff", b"\xff\xfe") and form[28:40] != _AMBISONIC:
        return int.from_bytes(form[20:24], FORMS[one.magic].order), None
    return (apple_layout(layout) if layout else None) or (None, None)


def _beside(path: Path, demuxer: str, one: Chunked) -> tuple[Pairs, tuple[str, ...], tuple[str, ...]]:
    """Tags that libsndfile does not read, losses, and names of tags with no place."""
    lost = [_LOSSES[c.name] for c in one.chunks if c.name in _LOSSES]
    info = [pair for c in one.chunks if c.name in (b"LIST", b"list") for pair in _info(c.head)]
    if any(c.name in (b"LIST", b"list") and c.head[:4] == b"adtl" for c in one.chunks):
        lost.append("labels of cue points (adtl)")
    if any(c.name in (b"id3 ", b"ID3 ") for c in one.chunks):
        summary = summarize(path, demuxer)
        info += read_ffmetadata(summary.tags)
        lost += ["the cover picture"] if any(s.cover for s in summary.streams) else []
        # What ffmpeg makes of other chunks is named above.
        info = [(k, v) for k, v in info if k not in _FROM_BEXT] if one.payload(b"bext") else info
    tags, unknown = sort_tags(info)
    return tags, tuple(lost), unknown


_FROM_BEXT = ("description", "originator", "originator_reference", "origination_date", "origination_time",
              "time_reference", "umid", "coding_history")  # fmt: skip


def _info(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of a LIST chunk of type INFO that libsndfile passes over."""
    at = 4 if data.startswith(b"INFO") else len(data)
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name not in _INFO:
            text = data[at + 8 : at + 8 + size].split(b"\0")[0]
            yield name.decode("ascii", "replace"), text.decode("utf-8", "replace")
        at += 8 + size + size % 2


def _au_plan(path: Path) -> Plan:
    """Sun's format has one header: where the samples start, how many bytes they have, encoding, rate, channels."""
    size, start, parts, announced = path.stat().st_size, 0, [], 0  # type: int, int, list[Stretch], int | None
    with path.open("rb") as file:
        while len(front := _at(file, start, 24)) == 24 and front.startswith(b".snd"):
            head, told, kind, _, channels = struct.unpack_from(">IIIII", front, 4)
            end = start + head + told
            if told in (0, 0xFFFFFFFF) or end >= size or not _at(file, end, 24).startswith(b".snd"):
                end = size
            width = _AU_WIDTHS.get(kind, 0) * channels
            known = announced is not None and width and told not in (0, 0xFFFFFFFF)
            announced = announced + told // width if announced is not None and known else None
            parts.append(Stretch(start, end, ((start + 8, b"\xff" * 4),)))
            start = end
    return Plan(tuple(partial(SndfileReader, path, part) for part in parts), announced)


_AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # bytes of one sample by encoding


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
