"""Which samples GradNCP selects, step by step: coarse shape first, then edges and texture.

Needs the θ0 of the table ``gradncp`` (its checkpoint in the work folder); the picture is the example of this project.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.domains import Domain, pictures
from benchmarks.seeds.gradncp import GAMMA, recipe_of, table
from benchmarks.seeds.learning import Params, expanded, learner_of, meta_train, stepped
from benchmarks.seeds.rows import RESULTS, Row, Rows
from nfcodec.modules.fit.inner import InnerLoop, select_context
from nfcodec.modules.kinds import field_kind

STEPS = (0, 1, 2, 4, 8, 16)
_METHOD = "GradNCP"
_PICTURE = Path(__file__).resolve().parents[2] / "examples" / "photo.png"


def run(context: Context) -> Path:
    """A strip of pictures (what the field says, and the samples that it selects next), and numbers of them."""
    domain, target = pictures(context.protocol, context.data), _example(context.protocol.side)
    recipe = recipe_of(context, "imagenette", _METHOD)
    seed = context.protocol.seeds[0]
    theta = meta_train(domain, recipe, seed, table(context).checkpoint("imagenette", _METHOD, seed))
    rows = Rows("selection", context.protocol, context.work, {"steps": STEPS, "recipe": recipe.to_dict()})
    shown, chosen = _steps(domain, theta, target, recipe.rate)
    _draw(domain, target, shown, chosen, RESULTS / f"seeds-selection-{context.protocol.name}.png")
    for step, mask in zip(STEPS, chosen, strict=True):
        rows.row({"step": step}, lambda mask=mask: _numbers(domain, target, mask, chosen[0]))
    return rows.write(picture=f"seeds-selection-{context.protocol.name}.png")


def _example(side: int) -> Tensor:
    """The example picture, reduced, as a target (1, N, 3)."""
    with Image.open(_PICTURE) as opened:
        image = opened.convert("RGB")
    factor = min(image.size) // side
    reduced = np.asarray(image.reduce(factor), np.float32)[:side, :side] / 255.0
    return torch.from_numpy(reduced.reshape(1, -1, 3) - 0.5)


def _steps(domain: Domain, theta: Params, target: Tensor, rate: float) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs (N, 3), and which samples (N,) are selected next, after each number of re-scaled steps."""
    params, learner = expanded(theta, 1), learner_of(domain.spec, theta, rate)
    loop, shown, chosen = InnerLoop(1, GAMMA, rescale=True), [], []
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            mask = torch.zeros(target.shape[1], dtype=torch.bool)
            mask[select_context(domain.spec, params, domain.coords, target, GAMMA)[0]] = True
            with torch.no_grad():
                shown.append(field_kind(domain.spec.kind).forward(domain.spec, params, domain.coords)[0])
            chosen.append(mask)
        params, _ = stepped(domain, params, target, loop, learner)
    return shown, chosen


def _numbers(domain: Domain, target: Tensor, mask: Tensor, first: Tensor) -> Row:
    """How connected the selection is (share of the neighbours of selected samples that are selected too; γ by chance),
    how much of the picture's detail lies in it (share of the squared Laplacian), how much of the first one it keeps."""
    side = domain.shape
    chosen = mask.reshape(side).numpy()
    beside = [(chosen[:, 1:] & chosen[:, :-1]).sum(), (chosen[1:] & chosen[:-1]).sum()]
    grey = target[0].mean(-1).reshape(side).numpy()
    padded = np.pad(grey, 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    return {
        "connected": round(float(sum(beside)) / (2.0 * chosen.sum()), 3),
        "detail": round(float((laplacian**2)[chosen].sum() / (laplacian**2).sum()), 3),
        "kept": round(float((mask & first).sum() / first.sum()), 3),
    }  # fmt: skip


def _draw(domain: Domain, target: Tensor, shown: list[Tensor], chosen: list[Tensor], path: Path) -> None:
    """Upper row: original, outputs; lower row: the original where a sample is selected, dark elsewhere."""
    h, w = domain.shape
    tiles = []
    for values, mask in zip(shown, chosen, strict=True):
        picked = (target[0] + 0.5) * mask[:, None]
        tiles.append(torch.cat([values + 0.5, picked]).reshape(2 * h, w, 3))
    original = torch.cat([target[0] + 0.5, torch.zeros_like(target[0])]).reshape(2 * h, w, 3)
    strip = torch.cat([original, *tiles], 1).clamp(0, 1).numpy()
    pixels = np.rint(strip * 255.0).astype(np.uint8)
    Image.fromarray(pixels).resize((2 * pixels.shape[1], 2 * pixels.shape[0]), Image.Resampling.NEAREST).save(path)
