"""A folder of .nfc files as a data set of fields: classify pictures from what their files hold, without rendering them.

    python examples/functa.py [FOLDER]

FOLDER has one sub-folder of .nfc files of equal size per class. Without it a small set is drawn (digits in three sizes
and any place, on noise) and encoded. One linear classifier learns from the deltas of each file, one from its pixels,
both from the same three quarters of the files; the accuracy is that on the rest. After Dupont et al. (2022), "From data
to functa", where a data point is the modulation of a network; here it is the sparse change of a shipped one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.utils.data import Dataset

import nfcodec
from nfcodec import EncodeOptions
from nfcodec.plugins.dataset import NfcDataset

SIDE, CLASSES = 32, "02468"


def draw(rng: np.random.Generator, digit: str) -> Image.Image:
    """A light digit on dark noise."""
    noise = rng.normal(40.0, 12.0, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise).convert("RGB")
    size = float(rng.uniform(20, 26))
    where = float(rng.uniform(4, 12)), float(rng.uniform(-1, 5))
    shade = int(rng.integers(150, 256))
    ImageDraw.Draw(image).text(where, digit, font=ImageFont.load_default(size), fill=(shade,) * 3)
    return image


def make_files(folder: Path, per_class: int, options: EncodeOptions) -> None:
    """Drawn pictures, encoded: one sub-folder per class."""
    rng = np.random.default_rng(0)
    for digit in CLASSES:
        (folder / digit).mkdir()
        for i in range(per_class):
            picture = folder / "picture.png"
            draw(rng, digit).save(picture)
            nfcodec.encode(picture, folder / digit / f"{i:03}.nfc", options=options)


def gathered(data: Dataset[tuple[object, str]], read: Callable[[object], Tensor]) -> tuple[Tensor, list[str]]:
    """All samples as rows (n, features), and their classes."""
    samples = [data[i] for i in range(len(data))]  # type: ignore[arg-type]
    return torch.stack([read(sample).reshape(-1).float() for sample, _ in samples]), [name for _, name in samples]


def from_deltas(sample: object) -> Tensor:
    """The deltas of a file in units of their steps: every one then matters about equally to the picture."""
    return sample["symbols"].float()  # type: ignore[index]


def accuracy(features: Tensor, names: list[str], *, seed: int = 0, steps: int = 300) -> float:
    """Of a linear softmax classifier on a quarter of the rows, after learning from the others."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    test, train = order[: len(order) // 4], order[len(order) // 4 :]
    known = sorted(set(names))
    labels = torch.tensor([known.index(n) for n in names])
    spread = features[train].std(0)
    used = spread > 0
    x = (features - features[train].mean(0))[:, used] / (spread[used] + spread[used].mean()) / used.sum().sqrt()
    weight = torch.zeros(x.shape[1], len(known), requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.05, weight_decay=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(x[train] @ weight, labels[train]).backward()
        optimizer.step()
    return float(((x[test] @ weight).argmax(1) == labels[test]).float().mean())


def compare(folder: Path) -> dict[str, float]:
    """The accuracy from deltas and from pixels of the same files."""
    label = lambda path: path.parent.name  # noqa: E731
    deltas = gathered(NfcDataset(folder, fields=True, label=label), from_deltas)
    pixels = gathered(NfcDataset(folder, label=label), lambda sample: sample)  # type: ignore[arg-type,return-value]
    return {name: float(np.mean([accuracy(*data, seed=s) for s in range(4)]))
            for name, data in (("deltas", deltas), ("pixels", pixels))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--field", default="siren", help="of the drawn set")
    parser.add_argument("--quality", type=int, default=60, help="of the drawn set")
    parser.add_argument("--per-class", type=int, default=60, help="files of each class of the drawn set")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        if args.folder is None:
            options = EncodeOptions(quality=args.quality, effort=1, field=args.field)
            make_files(folder, args.per_class, options)
        files = list(folder.rglob("*.nfc"))
        classes = len({p.parent for p in files})
        print(f"{len(files)} files of {np.mean([p.stat().st_size for p in files]):.0f} bytes in {classes} classes")
        for name, share in compare(folder).items():
            print(f"{name}: {100 * share:.1f} % right")


if __name__ == "__main__":
    main()
