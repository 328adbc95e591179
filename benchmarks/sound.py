"""Sound against its peers, by error and by ear: real files, every codec in the same run.

    python benchmarks/sound.py DIR --name sound-speech --anchor speech
    python benchmarks/sound.py DIR --name sound-music --anchor music --psnr 0,15,30 --opus 32,64,96 --mp3 48,64,96,128

For every file and setting: bytes on disk, SNR over all samples, Zimtohrli's distance (smaller is better; the worst
channel counts), of speech at 16 kHz PESQ-WB and STOI, and with --visqol ViSQOL's audio score of the channels' mean.
Needs zimtohrli, pesq, pystoi and visqol-python (pip install 'nfcodec[ear]'), lame and opusenc; AAC is ffmpeg's own, as
it comes with imageio-ffmpeg. The MDCT curve is a plain transform codec with static contexts, as ideal code lengths
without headers: measured once, on these evaluation sets (anchors below); no file format.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from bjontegaard import bd_rate
from measure import find_lag, shifted
from peers import audio_peers
from scipy.signal import resample_poly

from nfcodec import api
from nfcodec.options import EncodeOptions

# kbit/s, dB: means over speech-eval (hop 256) and music-eval (hop 2048).
ANCHORS = {
    "speech": [[2.8, 12.3], [4.6, 15.1], [7.2, 18.1], [10.5, 21.3], [15.1, 24.8], [20.3, 28.2], [26.4, 31.6]],
    "music": [[11.9, 11.4], [14.9, 14.8], [23.1, 18.5], [37.1, 22.7], [59.4, 27.2], [93.2, 32.2]],
}
EAR_RATE = 48_000


@dataclass(frozen=True)
class Row:
    """One file at one setting. ``seconds`` of the sound; ``cpu``: processor seconds of encoding and of decoding."""

    codec: str
    quality: int
    file: str
    bytes: int
    seconds: float
    snr: float
    zimtohrli: float
    pesq: float | None
    stoi: float | None
    visqol: float | None
    cpu: tuple[float, float]


Coder = Callable[[Path, Path, Path, int], tuple[int, tuple[float, float]]]


def nfc(tune: Any, effort: int) -> Coder:
    """nfc in this process."""

    def code(source: Path, folder: Path, decoded: Path, quality: int) -> tuple[int, tuple[float, float]]:
        coded = folder / "a.nfc"
        began = time.process_time()
        api.encode(source, coded, options=EncodeOptions(quality=quality, tune=tune, effort=effort), force=True)
        between = time.process_time()
        api.decode(coded, decoded, force=True)
        return coded.stat().st_size, (between - began, time.process_time() - between)

    return code


def other(peer: Any) -> Coder:
    """A codec of the command line."""

    def code(source: Path, folder: Path, decoded: Path, quality: int) -> tuple[int, tuple[float, float]]:
        coded = folder / f"a{peer.suffix}"
        seconds = peer.encode(source, coded, quality), peer.decode(coded, decoded)[1]
        return coded.stat().st_size, seconds

    return code


def heard(x: np.ndarray, rate: int) -> np.ndarray:
    """One channel at 48 kHz."""
    g = math.gcd(rate, EAR_RATE)
    up = resample_poly(x, EAR_RATE // g, rate // g) if rate != EAR_RATE else x
    return np.ascontiguousarray(up, np.float32)


@lru_cache(maxsize=1)
def _visqol() -> Any:
    import visqol

    api = visqol.VisqolApi()
    api.create(mode="audio")
    return api


def scores(source: Path, decoded: Path, aligns: bool, visqol: bool) -> dict[str, float | None]:
    """SNR, Zimtohrli, PESQ, STOI and ViSQOL of two files."""
    import zimtohrli

    a, rate = soundfile.read(source, dtype="int16", always_2d=True)
    b, _ = soundfile.read(decoded, dtype="int16", always_2d=True)
    if aligns:
        b = shifted(b, find_lag(a, b), len(a))
    x, y = a / 32768.0, b[: len(a)] / 32768.0
    y = np.pad(y, ((0, len(x) - len(y)), (0, 0)))
    ear = zimtohrli.Pyohrli()
    found: dict[str, float | None] = {
        "snr": 10.0 * math.log10((x**2).sum() / max(((x - y) ** 2).sum(), 1e-20)),
        "zimtohrli": max(float(ear.distance(heard(p, rate), heard(q, rate))) for p, q in zip(x.T, y.T, strict=True)),
        "pesq": None, "stoi": None, "visqol": None,
    }  # fmt: skip
    if visqol:
        both = (np.asarray(heard(part.mean(1), rate), np.float64) for part in (x, y))
        found["visqol"] = float(_visqol().measure_from_arrays(*both, EAR_RATE).moslqo)
    if rate == 16_000 and x.shape[1] == 1:
        import pesq
        import pystoi

        found["pesq"] = float(pesq.pesq(rate, x[:, 0], y[:, 0], "wb"))
        found["stoi"] = float(pystoi.stoi(x[:, 0], y[:, 0], rate))
    return found


# A codec, whether it shifts what it codes (which the other codecs do), and its settings.
Job = tuple[str, Coder, bool, tuple[int, ...]]


def rows(files: list[Path], jobs: list[Job], visqol: bool) -> Iterator[Row]:
    """Every file at every setting of every codec."""
    with tempfile.TemporaryDirectory(prefix="nfc-bench-") as name:
        folder = Path(name)
        waves = []
        for path in files:
            data, rate = soundfile.read(path, dtype="int16")
            waves.append(folder / f"{path.stem}.wav")
            soundfile.write(waves[-1], data, rate, subtype="PCM_16")
        for codec, code, aligns, qualities in jobs:
            for quality in qualities:
                for wave in waves:
                    decoded = folder / "decoded.wav"
                    size, cpu = code(wave, folder, decoded, quality)
                    seconds = soundfile.info(wave).duration
                    found: dict[str, Any] = scores(wave, decoded, aligns, visqol)
                    yield Row(codec, quality, wave.stem, size, seconds, cpu=cpu, **found)


def earlier(path: Path | None, files: list[Path], jobs: list[Job]) -> list[Row]:
    """Rows of other codecs from an earlier result, of the same recordings at the settings that ``jobs`` ask for."""
    if path is None:
        return []
    result, stems = json.loads(path.read_text()), {f.stem for f in files}
    wanted = {(codec, quality) for codec, _, aligns, qualities in jobs if aligns for quality in qualities}
    rows = [Row(**({"visqol": None} | r)) for r in result["rows"] if (r["codec"], r["quality"]) in wanted]
    have = {key: {r.file for r in rows if (r.codec, r.quality) == key} for key in wanted}
    return [r for r in rows if have[r.codec, r.quality] == stems]


def means(found: list[Row]) -> list[dict[str, Any]]:
    """Per codec and setting: kbit/s of all bytes over all seconds, means of the scores over files."""
    out = []
    for key in dict.fromkeys((r.codec, r.quality) for r in found):
        some = [r for r in found if (r.codec, r.quality) == key]
        seconds = sum(r.seconds for r in some)
        kbps = sum(r.bytes for r in some) * 0.008 / seconds
        mean: dict[str, Any] = {"codec": key[0], "quality": key[1], "kbps": kbps}
        for name in ("snr", "zimtohrli", "pesq", "stoi", "visqol"):
            values = [getattr(r, name) for r in some]
            mean[name] = None if None in values else float(np.mean(values))
        mean["encode_cpu"], mean["decode_cpu"] = (sum(r.cpu[i] for r in some) for i in (0, 1))
        out.append(mean)
    return out


def _curve(found: list[dict[str, Any]], codec: str, name: str) -> tuple[list[float], list[float]]:
    some = [m for m in found if m["codec"] == codec and m[name] is not None]
    # Zimtohrli's distance falls: its logarithm, turned round, is nearly straight over the logarithm of the rate.
    rises = [-10.0 * math.log10(m[name]) if name == "zimtohrli" else m[name] for m in some]
    # A setting that costs more and is worse (Opus at 32 kbit/s changes its mode) is left out.
    best = [i for i, value in enumerate(rises) if value > max(rises[:i], default=-math.inf)]
    return [some[i]["kbps"] for i in best], [rises[i] for i in best]


def deltas(found: list[dict[str, Any]], anchor: str | None) -> list[dict[str, Any]]:
    """BD-rates of nfc, in per cent: by SNR against the MDCT curve and the peers, by ear against the peers."""
    pairs = [("nfc-psnr", "mdct", "snr")] if anchor else []
    pairs += [("nfc", peer, name) for peer in ("opus", "mp3", "aac") for name in ("zimtohrli", "pesq", "visqol")]
    out = []
    for codec, peer, name in pairs:
        if peer != "mdct" and not _curve(found, peer, name)[0]:
            continue
        theirs = _curve(found, peer, name) if peer != "mdct" else tuple(zip(*ANCHORS[str(anchor)], strict=True))
        ours = _curve(found, codec, name)
        try:
            delta, reason = bd_rate(*theirs, *ours), None
        except Exception as error:  # noqa: BLE001 (a curve that does not rise has none, and the file says so)
            delta, reason = None, str(error)
        both = ours[1] and theirs[1]
        span = [max(min(theirs[1]), min(ours[1])), min(max(theirs[1]), max(ours[1]))] if both else None
        row = {"codec": codec, "against": peer, "by": name, "bd_rate_percent": delta, "range": span}
        out.append(row | {"reason": reason})
    return out


def numbers(text: str) -> tuple[int, ...]:
    """A list of whole numbers with commas."""
    return tuple(int(part) for part in text.split(",") if part)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--anchor", choices=sorted(ANCHORS))
    parser.add_argument("--psnr", type=numbers, default=(6, 24, 42, 60), help="qualities with --tune psnr")
    parser.add_argument("--ear", type=numbers, default=(10, 28, 45, 60, 75), help="qualities with --tune perceptual")
    parser.add_argument("--opus", type=numbers, default=(6, 8, 12, 16, 24, 32))
    parser.add_argument("--mp3", type=numbers, default=(16, 24, 32, 48))
    parser.add_argument("--aac", type=numbers, default=())
    parser.add_argument("--visqol", action="store_true", help="slow: some seconds for every file")
    parser.add_argument("--peers-from", type=Path, help="an earlier result, whose rows of other codecs are taken")
    parser.add_argument("--effort", type=int, default=5)
    args = parser.parse_args(argv)
    files = sorted(p for p in args.folder.iterdir() if p.suffix in (".flac", ".wav"))
    peers = {p.name: p for p in audio_peers(low_rate=args.anchor == "speech")}
    jobs: list[Job] = [(name, other(peers[name]), True, getattr(args, name)) for name in ("opus", "mp3", "aac")]
    jobs += [("nfc", nfc("perceptual", args.effort), False, args.ear)]
    jobs += [("nfc-psnr", nfc("psnr", args.effort), False, args.psnr)]
    found = earlier(args.peers_from, files, jobs)
    known = {(r.codec, r.quality) for r in found}
    jobs = [(*job[:3], tuple(q for q in job[3] if (job[0], q) not in known)) for job in jobs]
    for row in rows(files, jobs, args.visqol):
        found.append(row)
        if row.file == files[-1].stem:
            some = [r for r in found if (r.codec, r.quality) == (row.codec, row.quality)]
            print(json.dumps(means(some)[0]), flush=True)
            write(args, files, found)
    for delta in deltas(means(found), args.anchor):
        print(delta)
    return 0


def command(args: argparse.Namespace) -> str:
    """What this run was started with."""
    given = {k: v for k, v in vars(args).items() if k != "folder" and v not in (None, (), False)}
    told = {k.replace("_", "-"): ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in given.items()}
    parts = [f"--{k}" if v == "True" else f"--{k} {v}" for k, v in told.items()]
    return " ".join(["sound.py", args.folder.name, *parts])


def write(args: argparse.Namespace, files: list[Path], found: list[Row]) -> None:
    """Keep what is known so far in benchmarks/results."""
    mean = means(found)
    result = {
        "name": args.name, "command": command(args),
        "files": [f.name for f in files], "anchor": ANCHORS.get(args.anchor or ""),
        "peers_from": None if args.peers_from is None else args.peers_from.name,
        "note": "one thread, the machine shared with other work; cpu of opus, mp3 and aac is wall time",
        "deltas": deltas(mean, args.anchor), "means": mean, "rows": [asdict(r) for r in found],
    }  # fmt: skip
    target = Path(__file__).parent / "results" / f"{args.name}.json"
    target.write_text(json.dumps(result).replace('}, {"codec"', '},\n {"codec"') + "\n")


if __name__ == "__main__":
    sys.exit(main())
