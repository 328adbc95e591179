"""What each part of the field for sound is worth: one thing changed at a time, the init as it was trained.

    python benchmarks/sound_ablation.py DIR [--init speech-lapped] [--count 8] [--name sound-ablation]

Takes stretches of 5 s from the middle of COUNT recordings of DIR (training data: nothing is tuned on what is measured
elsewhere), and for each setting codes them at four qualities: bytes of the streams, SNR, Zimtohrli's distance and, at
16 kHz, PESQ-WB. BD-rates are against the shipped setting, by SNR with even steps and by ear with the perceptual law.
The prior was trained with the shipped laws, so that other laws are at a disadvantage of some per cent; parts of the
prior are not changed here, since each needs a training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from bjontegaard import bd_rate
from sound import heard

from nfcodec import zoo
from nfcodec.lapped.code import ChunkSymbols, encode_chunk
from nfcodec.lapped.fit.analysis import analyse
from nfcodec.lapped.fit.gains import choose_gains
from nfcodec.lapped.fit.quantize import quantize
from nfcodec.lapped.fit.splits import choose_splits
from nfcodec.lapped.init import PERCEPTUAL, PSNR, LappedInit
from nfcodec.lapped.stored import step_exponents, weights_of
from nfcodec.lapped.synthesis import SAMPLE_BITS, synthesized

SECONDS = 5
QUALITIES = (20, 35, 50, 65)


@dataclass(frozen=True)
class Setting:
    """One way to code: ``law`` 0 or 1, whether frames are ``split``, how many ``rounds`` of prices, and what is done to
    the init."""

    name: str
    law: int = PERCEPTUAL
    split: bool = True
    rounds: int = 2
    changed: Callable[[LappedInit], LappedInit] = lambda init: init


def with_law(**change: Any) -> Callable[[LappedInit], LappedInit]:
    """The init with another perceptual law."""
    return lambda init: replace(init, laws=(init.laws[PSNR], replace(init.laws[PERCEPTUAL], **change)))


def without(column: slice) -> Callable[[LappedInit], LappedInit]:
    """The init without some corrections: of zeros (noise) or of other symbols."""

    def changed(init: LappedInit) -> LappedInit:
        corrections = init.corrections.copy()
        corrections[..., column] = 0
        return replace(init, corrections=corrections)

    return changed


SETTINGS = (
    Setting("shipped, even steps", law=PSNR),
    Setting("even steps: frames never split", law=PSNR, split=False),
    Setting("even steps: one round of prices", law=PSNR, rounds=1),
    Setting("even steps: six rounds", law=PSNR, rounds=6),
    Setting("even steps: no prices, only a dead zone", law=PSNR, rounds=0),
    Setting("even steps: no corrections", law=PSNR, changed=without(slice(1, None))),
    Setting("shipped, perceptual"),
    Setting("perceptual: no noise", changed=without(slice(0, 1))),
    Setting("perceptual: steps follow nothing", changed=with_law(follow=0.0, shape=0.0, tilt=0.0)),
    Setting("perceptual: steps follow frames alone", changed=with_law(shape=0.0, tilt=0.0)),
    Setting("perceptual: no tilt", changed=with_law(tilt=0.0)),
    Setting("perceptual: twice the tilt", changed=with_law(tilt=2.0)),
    Setting("perceptual: bands follow by 0.5", changed=with_law(shape=0.5)),
    Setting("perceptual: plain magnitudes", changed=with_law(power=6)),
    Setting("perceptual: square roots", changed=with_law(power=3)),
    Setting("perceptual: frames never split", split=False),
)


def stretches(folder: Path, count: int, spacing_of: Callable[[int], int]) -> list[tuple[np.ndarray, int]]:
    """Whole frames (n,) from the middle of recordings, first channel, with their rates."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".flac", ".wav"))
    found = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        start = max(0, (len(x) - SECONDS * rate) // 2)
        part = x[start : start + SECONDS * rate, 0]
        found.append((part[: len(part) // spacing_of(rate) * spacing_of(rate)], rate))
    return found


def coded(init: LappedInit, setting: Setting, quality: int, x: np.ndarray, spacing: int) -> tuple[int, np.ndarray]:
    """Bytes of a stretch as one chunk, and what a decoder makes of it."""
    law = init.laws[setting.law]
    splits = np.zeros(len(x) // spacing, np.uint8)
    if setting.split:
        splits = choose_splits(x[None], spacing, init.spec.splits, law.step(quality))
    bins = analyse(x[None], splits, spacing)
    gains = choose_gains(bins, init.spec.bands_of(spacing), law)
    front = ChunkSymbols(np.zeros(bins.shape, np.int32), splits, setting.law, gains)
    sizes = law.compressed(bins, step_exponents(init, quality, front))
    found = encode_chunk(init, quality, quantize(init, quality, front, sizes, bins < 0, setting.rounds))
    return len(found.payload), synthesized(weights_of(init, quality, found.decoded), splits)[0] * 2.0**-SAMPLE_BITS


def scored(x: np.ndarray, y: np.ndarray, rate: int) -> tuple[float, float, float | None]:
    """SNR, Zimtohrli's distance and PESQ-WB of 16-bit samples."""
    import pesq
    import zimtohrli

    y = np.rint(np.clip(y, -1, 1 - 2.0**-15) * 32768) / 32768
    distance = float(zimtohrli.Pyohrli().distance(heard(x, rate), heard(y, rate)))
    snr = 10.0 * np.log10(float((x**2).sum()) / max(float(((x - y) ** 2).sum()), 1e-20))
    return snr, distance, float(pesq.pesq(rate, x, y, "wb")) if rate == 16_000 else None


def measured(init: LappedInit, setting: Setting, sounds: list[tuple[np.ndarray, int]]) -> list[dict[str, Any]]:
    """Means over all stretches at each quality."""
    used, out = setting.changed(init), []
    for quality in QUALITIES:
        total, scores = 0, []
        for x, rate in sounds:
            size, y = coded(used, setting, quality, x, used.spec.spacing_at(rate))
            total += size
            scores.append(scored(x, y, rate))
        seconds = sum(len(x) / rate for x, rate in sounds)
        snr, distance, pesq = (None if None in c else float(np.mean(c)) for c in zip(*scores, strict=True))
        row = {"kbps": total * 0.008 / seconds, "snr": snr, "zimtohrli": distance, "pesq": pesq}
        out.append({"setting": setting.name, "quality": quality} | row)
    return out


def against(shipped: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, float | None]:
    """BD-rates in per cent."""
    found: dict[str, float | None] = {}
    for name in ("snr", "zimtohrli", "pesq"):
        curves = [
            ([r["kbps"] for r in rows], [-10 * np.log10(r[name]) if name == "zimtohrli" else r[name] for r in rows])
            for rows in (shipped, other) if rows[0][name] is not None
        ]  # fmt: skip
        try:
            found[name] = float(bd_rate(*curves[0], *curves[1])) if len(curves) == 2 else None
        except Exception:  # noqa: BLE001 (a curve that does not rise has no BD-rate)
            found[name] = None
    return found


def main() -> int:
    """Run all settings, print their BD-rates and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--init", default="speech-lapped")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--name", default="sound-ablation")
    args = parser.parse_args()
    init = zoo.load(args.init)
    assert isinstance(init, LappedInit)
    sounds = stretches(args.folder, args.count, init.spec.spacing_at)
    rows, deltas, base = [], [], {}
    for setting in SETTINGS:
        found = measured(init, setting, sounds)
        rows += found
        delta = against(base.setdefault(setting.law, found), found)
        deltas.append({"setting": setting.name} | delta)
        print(deltas[-1], flush=True)
        result = {
            "name": args.name, "command": " ".join(["sound_ablation.py", *map(str, sys.argv[1:])]),
            "init": init.id, "sha256": init.sha256.hex(), "deltas": deltas, "rows": rows,
        }  # fmt: skip
        target = Path(__file__).parent / "results" / f"{args.name}.json"
        target.write_text(json.dumps(result).replace('}, {"setting"', '},\n {"setting"') + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
