"""What each part of the moving field is worth: the same clips with one part taken out or replaced.

    python benchmarks/video_parts.py CLIP… --name video-parts [--frames 17] [--size 320x208] [--init video-moving]

Clips are cut to their first frames and to the middle of the picture, and encoded as one group. Rates are payloads of
pictures. Every variant is encoded at three qualities; how many bytes more or less it takes is read off the log rate of
the whole codec at the same PSNR of RGB, between five qualities. Nothing is trained again. Writes NAME.json to
benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import numpy as np
import torch
from machine import build_fingerprint, describe
from measure import rgb_frames
from results import plain_command, say, today, write_json
from sources import videos

from nfcodec import zoo
from nfcodec.entropy.adaptive import Counts
from nfcodec.lattice import steps
from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.synthesis import whole_to_values
from nfcodec.metrics import ErrorSum
from nfcodec.moving import prediction, residual
from nfcodec.moving.fit import choice, transform
from nfcodec.moving.fit import encode as encoder
from nfcodec.moving.fit.choice import Choice
from nfcodec.moving.fit.picture import PictureFit
from nfcodec.moving.fit.search import BlockSearch, Shown
from nfcodec.moving.fit.structure import STRIDE, anchors
from nfcodec.moving.fit.transform import Quantized
from nfcodec.moving.group import pictures
from nfcodec.moving.init import MovingInit
from nfcodec.moving.motion import CONTEXTS, Course, Past, standing
from nfcodec.moving.parts import QUARTERS
from nfcodec.moving.picture import Canvas
from nfcodec.moving.prediction import Reference

ROOT = Path(__file__).resolve().parents[1]
WHOLE, TRIED = (18, 30, 50, 70, 80), (30, 50, 70)
Samples = np.ndarray


def encoded(init: MovingInit, frames: Samples, quality: int, effort: int, stride: int) -> tuple[int, float]:
    """Bytes and PSNR of a clip uint8 (T, H, W, 3)."""
    canvas, made, total, size = Canvas(init, frames.shape[1:3], 3), {}, ErrorSum(), 0
    fit, chosen = PictureFit(canvas), anchors(len(frames), [], goes_on=False, stride=stride)
    for one in pictures(chosen, len(frames), goes_on=False):
        values = frames[one.at].astype(np.float32) / np.float32(255.0)
        planes = np.asarray(init.pictures.planes.to_planes(values, offset_of("video")), np.float32)
        easier = encoder._EASIER[0 if one.alone else 1 + min(one.depth, 1)]
        plan = Plan.of(encoder.falling(quality, one), max(1, effort - easier))
        past = Past.of(None if one.heir is None else made[one.heir][0].past)
        references = [made[r][1] for r in one.references]
        if references:
            fitted = fit.moved(planes, references, plan, past, one.distances)
        else:
            fitted = fit.alone(planes, plan, past)
        made[one.at] = fitted, Shown(Reference(fitted.planes))
        size += len(fitted.payload)
        shown = whole_to_values(fitted.planes.astype(np.float64) * 2.0**19, 3, 0.5)
        total.add(frames[one.at], np.clip(np.rint(255.0 * shown), 0, 255))
    return size, total.psnr(255)


def _without_d(level: Any, symbols: np.ndarray, quality: int, wanted: np.ndarray) -> np.ndarray:
    sizes = steps.step_sizes(level.log_step, quality).reshape(-1, 1)
    flat = symbols.reshape(-1, *symbols.shape[2:])[:, wanted].astype(np.float64)
    return np.asarray(steps.weights(flat, np.zeros(1), sizes))


def _standing(wanted: np.ndarray, references: list[Shown], *_: Any) -> Any:
    found = standing(references[0].shape)
    return replace(found, coded=np.ones_like(found.coded))


def _no_quarters(_: Any, modes: np.ndarray, *__: Any) -> np.ndarray:
    return np.zeros((len(modes), QUARTERS), np.uint8)


@contextmanager
def _patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(mock.patch.object(*change))
        yield


def _overlap(samples: int) -> Any:
    """Quarters have windows of 8 alone, so there are none."""
    spans = (prediction, "OVERLAP", samples), (prediction, "SPAN", 16 + samples)
    return _patched(*spans, (choice, "quarters", _no_quarters))


def _whole_samples() -> Any:
    def rounded(of: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda *given: (of(*given) + 2) >> 2 << 2

    finer, guess, tried = (BlockSearch, "_around"), (Course, "guess"), (Choice, "_tried")
    return _patched((*finer, lambda *_: None), *((*of, rounded(getattr(*of))) for of in (guess, tried)))


def _alone() -> Any:
    """Every block as it was searched."""
    return _patched((Choice, "_tried", _searched), (choice, "_PAIRS", ((0, 0),)))


def _searched(self: Choice, step: Any, reference: int, *_: Any) -> np.ndarray:
    return np.asarray(self.found[reference].vectors[step.at][:, None])


def _anew(heir: Past | None) -> Past:
    return Past(Counts.of(CONTEXTS), None if heir is None else heir.speeds)


@contextmanager
def _bilinear() -> Iterator[None]:
    """Two taps instead of eight."""
    short = {q: (0, 0, 0, 64 - 16 * q, 16 * q, 0, 0, 0) for q in (1, 2, 3)}
    prediction.filter_matrix.cache_clear()
    with mock.patch.object(prediction, "_TAPS", short):
        yield
    prediction.filter_matrix.cache_clear()


Variant = tuple[str, Callable[[], Any], dict[str, Any]]


def variants(init: MovingInit) -> list[Variant]:
    """Name, what is patched, and other arguments."""
    same = mock.patch.object
    plain = replace(init, residuals=replace(init.pictures.levels[0], offset=None))
    everything = property(lambda self: np.ones(self.bits.shape, bool))
    return [
        ("nothing moves", lambda: same(choice, "moved", _standing), {}),
        ("whole samples", _whole_samples, {}),
        ("two taps", _bilinear, {}),
        ("no overlap", lambda: _overlap(0), {}),
        ("overlap of 16", lambda: _overlap(16), {}),
        ("no quarters", lambda: same(choice, "quarters", _no_quarters), {}),
        ("blocks as searched", _alone, {}),
        ("nothing carried", lambda: same(Past, "after", lambda self, *_: Past(self.counts)), {}),
        ("P pictures alone", nullcontext, {"stride": 1}),
        ("one quality for all", lambda: same(encoder, "_FALLS", (0, 0, 0, 0)), {}),
        ("no zero map", lambda: same(Quantized, "worth", everything), {}),
        ("chances of motion anew", lambda: same(Past, "of", _anew), {}),
        ("all of chroma", lambda: same(transform, "_worth_fine", lambda *_: True), {}),
        ("no D in residuals", lambda: same(residual, "cell_layers", _without_d), {}),
        ("networks of pictures", nullcontext, {"init": plain}),
        ("effort 5", nullcontext, {"effort": 5}),
        ("effort 7", nullcontext, {"effort": 7}),
    ]  # fmt: skip


def main() -> int:
    """Measure all variants, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--size", default="320x208")
    parser.add_argument("--init", default="video-moving")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    init, rows, means = zoo.load(args.init), list[dict[str, Any]](), dict[str, float]()
    assert isinstance(init, MovingInit)
    width, height = map(int, args.size.split("x"))
    for path in args.clips:
        frames = _cut(path, args.frames, width, height)
        for row in _measured(init, path.name, frames):
            rows.append(row)
            means = _written(args, init, rows)
    for name, percent in means.items():
        say(f"{name:24} {percent:+.1f} %")
    return 0


def _written(args: argparse.Namespace, init: MovingInit, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Write what there is; the means of the variants."""
    names = list(dict.fromkeys(r["variant"] for r in rows))
    means = {n: round(fmean(r["percent"] for r in rows if r["variant"] == n), 2) for n in names}
    content = {
        "name": args.name, "command": plain_command(["video_parts.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "init": init.id, "percent_of_bytes": means,
        "rows": rows,
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    return means


def _cut(path: Path, frames: int, width: int, height: int) -> Samples:
    work = ROOT / "work-video-parts"
    work.mkdir(exist_ok=True)
    [source] = [s for s in videos(path.parent, work, None, frames, None, 24.0) if s.name == path.name]
    whole = np.stack(list(rgb_frames(source.path, source.size)))
    top, left = ((n - m) // 2 for n, m in zip(whole.shape[1:3], (height, width), strict=True))
    return np.ascontiguousarray(whole[:, top : top + height, left : left + width])


def _measured(init: MovingInit, name: str, frames: Samples) -> Iterator[dict[str, Any]]:
    """One row for every variant and quality of a clip."""
    usual: dict[str, Any] = {"init": init, "effort": 1, "stride": STRIDE}
    curve = sorted((psnr, np.log(size)) for size, psnr in (encoded(frames=frames, quality=q, **usual) for q in WHOLE))
    for variant, patched, more in variants(init):
        for quality in TRIED:
            began = time.process_time()
            with patched():
                size, psnr = encoded(frames=frames, quality=quality, **{**usual, **more})
            expected = np.interp(psnr, [p for p, _ in curve], [r for _, r in curve])
            percent = float(100 * (size / np.exp(expected) - 1))
            say(f"{name} {variant} {quality}: {size} bytes, {psnr:.2f} dB, {percent:+.1f} %")
            yield {
                "clip": name, "variant": variant, "quality": quality, "bytes": size, "psnr": round(psnr, 3),
                "percent": round(percent, 2), "cpu_seconds": round(time.process_time() - began, 1),
            }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
