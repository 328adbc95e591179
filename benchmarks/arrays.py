"""Gridded arrays within a bound on the error: nfc against SZ3 and zfp, bytes of files on disk.

    python benchmarks/arrays.py FILE.npy … --name arrays [--wrap-width 480] [--shares 0.01,0.001,0.0001] [--plots]

Every plane of an array is a case of its own, but for arrays whose planes are small (under 100 samples along a side):
those are one case, whole. A bound is a share of the range of values of the case. nfc as it comes (``nfc``), with its
last axis wrapped where that has ``--wrap-width`` samples (``nfc wrap``), and with the native steps of packed data not
looked for (``nfc plain``); SZ3 (pysz): the smallest of its three algorithms; zfp (zfpy): the largest tolerance that
keeps to the bound, the middle of the range subtracted. All errors are measured on decoded samples. Seconds are of one
thread of the processor. Writes NAME.json to benchmarks/results and, with ``--plots``, NAME-….svg and .png there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import build_fingerprint, describe
from results import Row, plain_command, say, table, today, write_json

from nfcodec import api
from nfcodec.options import EncodeOptions

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
Array = npt.NDArray[Any]
_SMALL = 100
_ZFP_TRIES = 12


def cases(paths: list[Path]) -> Iterator[tuple[str, Array]]:
    """Names and arrays."""
    for path in paths:
        array = np.load(path)
        if array.ndim < 3 or min(array.shape[-2:]) < _SMALL:
            yield path.stem, array
            continue
        planes = array.reshape(-1, *array.shape[-2:])
        yield from ((f"{path.stem} {i}", np.ascontiguousarray(plane)) for i, plane in enumerate(planes))


def _scores(array: Array, decoded: Array, size: int, bound: float) -> Row:
    error = array.astype(np.float64) - decoded.astype(np.float64)
    span = float(np.ptp(array.astype(np.float64)))
    rms = float(np.sqrt((error**2).mean()))
    worst = float(np.abs(error).max())
    psnr = float("inf") if rms == 0 else 20 * np.log10(span / rms)
    return {"bytes": size, "psnr": round(psnr, 2), "error": worst / span, "held": bool(worst <= bound)}


def nfc(array: Array, bound: float, folder: Path, **options: Any) -> tuple[Row, Array]:
    """A file on disk, decoded from there."""
    name = folder / "case.nfc"
    chosen = EncodeOptions(max_error=repr(bound), verify=False, **options)
    began = time.process_time()
    api.encode(array, name, options=chosen, force=True)
    middle = time.process_time()
    decoded = api.decode_array(name)
    seconds = {"encode": round(middle - began, 3), "decode": round(time.process_time() - middle, 3)}
    return {**_scores(array, decoded, name.stat().st_size, bound), **seconds}, decoded


def sz3(array: Array, bound: float) -> tuple[Row, Array]:
    """The smallest of the algorithms of SZ3."""
    from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

    best: tuple[Row, Array] | None = None
    for algorithm in ("INTERP", "INTERP_LORENZO", "LORENZO_REG"):
        config = szConfig()
        config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, bound
        config.cmprAlgo = getattr(szAlgorithm, algorithm)
        began = time.process_time()
        data = sz.compress(array, config)[0]
        middle = time.process_time()
        decoded = sz.decompress(data, array.dtype, array.shape)[0]
        seconds = {"encode": round(middle - began, 3), "decode": round(time.process_time() - middle, 3)}
        row = {**_scores(array, decoded, len(data), bound), **seconds, "algorithm": algorithm}
        if best is None or (row["held"], -row["bytes"]) > (best[0]["held"], -best[0]["bytes"]):
            best = row, decoded
    assert best is not None
    return best


def zfp(array: Array, bound: float) -> tuple[Row, Array]:
    """The largest tolerance whose error keeps to the bound. zfp counts from zero, so the middle of the range is
    subtracted."""
    import zfpy

    middle = (float(array.min()) + float(array.max())) / 2
    centred = (array.astype(np.float64) - middle).astype(array.dtype)
    tolerance, found = bound, None
    for _ in range(_ZFP_TRIES):
        data = zfpy.compress_numpy(centred, tolerance=tolerance)
        decoded = zfpy.decompress_numpy(data).astype(np.float64) + middle
        row = _scores(array, decoded, len(data), bound)
        if not row["held"]:
            break
        found, tolerance = (row, decoded), tolerance * 2
    assert found is not None
    return found


def measured(name: str, array: Array, share: float, wrap_width: int, folder: Path) -> Iterator[Row]:
    """All codecs on one case at one bound."""
    bound = share * float(np.ptp(array.astype(np.float64)))
    kinds: dict[str, Any] = {"nfc": {}}
    if array.shape[-1] == wrap_width:
        kinds["nfc wrap"] = {"wrap": (-1,)}
    for codec, options in kinds.items():
        yield {"case": name, "share": share, "codec": codec, **nfc(array, bound, folder, **options)[0]}
    yield {"case": name, "share": share, "codec": "nfc plain", **_plain(array, bound, folder)}
    yield {"case": name, "share": share, "codec": "sz3", **sz3(array, bound)[0]}
    yield {"case": name, "share": share, "codec": "zfp", **zfp(array, bound)[0]}


def _plain(array: Array, bound: float, folder: Path) -> Row:
    """Without looking for native steps."""
    from nfcodec.dyadic.fit import measure

    kept = measure._grid
    measure._grid = lambda *_: None
    try:
        return nfc(array, bound, folder)[0]
    finally:
        measure._grid = kept


def ratios(rows: list[Row]) -> list[Row]:
    """Bytes against SZ3: geometric means over cases, the worst, and whether all bounds held."""
    theirs = {(r["case"], r["share"]): r["bytes"] for r in rows if r["codec"] == "sz3"}
    found = []
    for share in dict.fromkeys(r["share"] for r in rows):
        for codec in dict.fromkeys(r["codec"] for r in rows):
            mine = [r for r in rows if (r["share"], r["codec"]) == (share, codec)]
            if codec == "nfc wrap":  # the others as they are
                cases_of = {r["case"] for r in mine}
                mine += [r for r in rows if (r["share"], r["codec"]) == (share, "nfc") and r["case"] not in cases_of]
            each = [r["bytes"] / theirs[r["case"], share] for r in mine]
            mean = float(np.exp(np.log(each).mean()))
            found.append({
                "share": share, "codec": codec, "ratio": round(mean, 3), "worst": round(max(each), 3),
                "held": all(r["held"] for r in mine), "psnr": round(float(np.mean([r["psnr"] for r in mine])), 1),
            })  # fmt: skip
    return found


def main() -> None:
    """Run everything, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--name", default="arrays")
    parser.add_argument("--wrap-width", type=int, default=0)
    parser.add_argument("--shares", default="0.01,0.001,0.0001")
    parser.add_argument("--plots", action="store_true")
    chosen = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        api.encode(np.zeros((9, 9), np.float32), Path(folder) / "start.nfc")  # everything is loaded
        for name, array in cases(chosen.files):
            for share in map(float, chosen.shares.split(",")):
                rows += measured(name, array, share, chosen.wrap_width, Path(folder))
                here = [f"{r['codec']} {r['bytes']}" for r in rows if (r["case"], r["share"]) == (name, share)]
                say(f"{name} {share}: {', '.join(here)}")
    content = {
        "command": plain_command(sys.argv), "date": today(), "machine": describe(), "build": build_fingerprint(),
        "note": "seconds of processor time on a machine that was shared", "ratios": ratios(rows), "rows": rows,
    }  # fmt: skip
    write_json(RESULTS / f"{chosen.name}.json", content)
    header = ("share", "codec", "ratio", "worst", "held", "psnr")
    print(table(header, ([r[h] for h in header] for r in content["ratios"])))
    if chosen.plots:
        from array_plots import draw_all

        plane = next(array for _, array in cases(chosen.files) if array.ndim == 2)
        with tempfile.TemporaryDirectory() as folder:
            coders = {"nfc": lambda a, b: nfc(a, b, Path(folder))[1], "sz3": lambda a, b: sz3(a, b)[1]}
            draw_all(plane, coders, content, RESULTS / chosen.name)


if __name__ == "__main__":
    main()
