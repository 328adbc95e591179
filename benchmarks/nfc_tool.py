"""The installed ``nfc`` command, driven the way a user would drive it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import BenchmarkError, Child, checked, json_lines


@dataclass(frozen=True)
class NfcTool:
    """``command`` starts nfc; ``encode_args`` go to every encode, after effort and quality."""

    command: tuple[str, ...]
    effort: int
    encode_args: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        return " ".join((f"-e {self.effort}", *self.encode_args))

    def available(self) -> bool:
        return shutil.which(self.command[0]) is not None

    def encode_command(self, inputs: Sequence[Path], quality: int, *target: str | Path) -> list[str]:
        options = ["-q", str(quality), "-e", str(self.effort), *self.encode_args]
        return [*self.command, "encode", *map(str, inputs), *map(str, target), *options, "--json"]

    def decode_command(self, inputs: Sequence[Path], *target: str | Path) -> list[str]:
        return [*self.command, "decode", *map(str, inputs), *map(str, target), "--json"]

    def encode(self, inputs: Sequence[Path], folder: Path, quality: int) -> tuple[dict[Path, dict[str, Any]], Child]:
        """Encode all in one process; the results by input, "output" made a path."""
        _remove(folder / f"{path.stem}.nfc" for path in inputs)
        child = checked(self.encode_command(inputs, quality, "-d", folder))
        return _by_input(inputs, child), child

    def decode(self, inputs: Sequence[Path], folder: Path, suffix: str) -> tuple[dict[Path, dict[str, Any]], Child]:
        """Decode all in one process to files that end in ``suffix`` (one process each where -d would not)."""
        outputs = {path: folder / f"{path.stem}{suffix}" for path in inputs}
        _remove(outputs.values())
        if suffix in (".png", ".wav"):
            child = checked(self.decode_command(inputs, "-d", folder))
            results = _by_input(inputs, child)
        else:
            results = {}
            for path, output in outputs.items():
                child = checked(self.decode_command([path], "-o", output))
                results.update(_by_input([path], child))
        for path, result in results.items():
            if Path(result["output"]).suffix.lower() != suffix:
                raise BenchmarkError(f"nfc decoded {path.name} to {result['output'].name}, not to {suffix}")
        return results, child


def _remove(paths: Any) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _by_input(inputs: Sequence[Path], child: Child) -> dict[Path, dict[str, Any]]:
    results = {Path(line["input"]).name: line for line in json_lines(child.stdout) if "input" in line}
    missing = [path.name for path in inputs if path.name not in results]
    if missing:
        raise BenchmarkError(f"nfc gave no JSON line for {', '.join(missing)}")
    found = {path: results[path.name] for path in inputs}
    for line in found.values():
        line["output"] = Path(line["output"])
    return found


def claims(line: dict[str, Any], size: int, scores: dict[str, float]) -> list[str]:
    """What the encoder said that the files do not bear out."""
    wrong = []
    if line["bytes"] != size:
        wrong.append(f"bytes {line['bytes']}, on disk {size}")
    name = "snr" if "snr" in scores else "psnr"
    # JSON has no infinity: null says that there is no error.
    said = math.inf if line.get(name, math.nan) is None else float(line.get(name, math.nan))
    if said != scores[name] and not abs(said - scores[name]) <= 0.02:
        wrong.append(f"{name} {said:.3f}, measured {scores[name]:.3f}")
    return wrong
