"""Sound to listen to and to look at: recordings as nfc, Opus and MP3 make them, at about the same bytes.

    python benchmarks/sound_examples.py FILE… OUT --qualities 20,45,75 [--low-rate]

For every recording and quality, OUT gets what nfc decodes, what Opus and MP3 make of the same bit rate (their nearest
that is not below), and one picture of all spectrograms; OUT/index.md lists bytes and scores. Needs what sound.py needs,
and matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.figure import Figure
from peers import Peer, audio_peers
from sound import numbers, scores

from nfcodec import api
from nfcodec.options import EncodeOptions
from nfcodec.spectrograms import LOWEST, spectrogram

WINDOW, COLUMNS = 1024, 700


@dataclass(frozen=True)
class Example:
    """One recording as one codec makes it: the ``wave`` it decodes to, ``kbps`` on disk and scores."""

    name: str
    wave: Path
    kbps: float
    zimtohrli: float
    snr: float

    def line(self, recording: str) -> str:
        """A line of the list."""
        return f"| {recording} | {self.name} | {self.kbps:.1f} | {self.zimtohrli:.4f} | {self.snr:.1f} |"


def _made(name: str, source: Path, wave: Path, size: int, aligns: bool) -> Example:
    found: dict[str, Any] = scores(source, wave, aligns, visqol=False)
    kbps = size * 0.008 / soundfile.info(source).duration
    return Example(name, wave, kbps, found["zimtohrli"], found["snr"])


def by_nfc(source: Path, folder: Path, quality: int) -> Example:
    """The recording at a quality of nfc."""
    coded, wave = folder / f"{source.stem}-nfc-{quality}.nfc", folder / f"{source.stem}-nfc-{quality}.wav"
    api.encode(source, coded, options=EncodeOptions(quality=quality), force=True)
    api.decode(coded, wave, force=True)
    return _made(f"nfc -q {quality}", source, wave, coded.stat().st_size, aligns=False)


def by_peer(peer: Peer, source: Path, folder: Path, kbps: float) -> Example:
    """The recording at the peer's setting that is nearest to a rate, above it where it has one."""
    setting = min(peer.qualities, key=lambda q: (q < 0.95 * kbps, abs(q - kbps)))
    coded, wave = (folder / f"{source.stem}-{peer.name}-{setting}{suffix}" for suffix in (peer.suffix, ".wav"))
    peer.encode(source, coded, setting)
    peer.decode(coded, wave)
    return _made(f"{peer.name} {setting}", source, wave, coded.stat().st_size, aligns=True)


def sheet(source: Path, rows: list[list[Example]], target: Path) -> None:
    """One picture: the original above, and a row of codecs for every rate."""
    columns = max(map(len, rows))
    figure = Figure(figsize=(5 * columns, 2.6 * (1 + len(rows))), layout="constrained")
    axes = figure.subplots(1 + len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes[0, 1:]:
        axis.set_visible(False)
    _panel(axes[0, 0], source, "original")
    for line, row in zip(axes[1:], rows, strict=True):
        for axis, e in zip(line, row, strict=False):
            _panel(axis, e.wave, f"{e.name}: {e.kbps:.1f} kbit/s, Zimtohrli {e.zimtohrli:.4f}, SNR {e.snr:.1f} dB")
    figure.savefig(target, dpi=80)


def _panel(axis: Any, wave: Path, title: str) -> None:
    x, rate = soundfile.read(wave, dtype="float32", always_2d=True)
    levels = spectrogram(x.mean(1), WINDOW, max(WINDOW // 4, len(x) // COLUMNS))
    extent = (0.0, len(x) / rate, 0.0, rate / 2000.0)
    axis.imshow(levels.T, extent=extent, origin="lower", aspect="auto", cmap="magma", vmin=LOWEST, vmax=0.0)
    axis.set_title(title, fontsize=9)


def examples_of(source: Path, folder: Path, qualities: tuple[int, ...], peers: tuple[Peer, ...]) -> list[list[Example]]:
    """A row of codecs for every quality."""
    rows = []
    for quality in qualities:
        first = by_nfc(source, folder, quality)
        rows.append([first, *(by_peer(p, source, folder, first.kbps) for p in peers)])
    return rows


def main() -> int:
    """Make all examples, their pictures and the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--qualities", type=numbers, default=(20, 45, 75))
    parser.add_argument("--low-rate", action="store_true", help="the peers' settings for speech")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    peers = tuple(p for p in audio_peers(low_rate=args.low_rate) if p.name in ("opus", "mp3"))
    lines = ["| file | codec | kbit/s | Zimtohrli | SNR |", "|---|---|---|---|---|"]
    for path in args.files:
        data, rate = soundfile.read(path, dtype="int16")
        source = args.out / f"{path.stem}.wav"
        soundfile.write(source, np.asarray(data), rate, subtype="PCM_16")
        rows = examples_of(source, args.out, args.qualities, peers)
        sheet(source, rows, args.out / f"{path.stem}.png")
        lines += [e.line(path.stem) for row in rows for e in row]
    (args.out / "index.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
