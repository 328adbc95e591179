"""Peak memory: of an outer step against γ at 512² and 1024² samples, of the scorer and of a forward pass.

Every case runs in a process of its own (Linux): the peak of its address space, less what it held before. Where systems
take unused pages back, resident memory would be too little; with every tensor mapped on its own
(MALLOC_MMAP_THRESHOLD_) the address space is what is allocated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.seeds.context import Context
from benchmarks.seeds.rows import Row, Rows

SIDES = (512, 1024)
GAMMAS = (1.0, 0.5, 0.25, 0.125)
_STEPS = 2
# Width and depth: of outer steps by protocol, so that γ = 1 fits; the scorer's is the papers' own.
_NET = {"small": (16, 3), "medium": (64, 4), "full": (256, 4)}
_PAPERS = (256, 4)


def run(context: Context) -> Path:
    """All cases."""
    settings = {"net": _NET[context.protocol.name], "steps": _STEPS, "of": "address space"}
    rows = Rows("memory", context.protocol, context.work, settings)
    cases = [{"what": w, "side": 1024, "gamma": 0.25} for w in ("forward", "scores", "forward and scores")]
    cases += [{"what": "outer step", "side": s, "gamma": g} for s in SIDES for g in GAMMAS]
    for case in cases:
        if context.wanted(**case):
            net = _NET[context.protocol.name] if case["what"] == "outer step" else _PAPERS
            rows.row(case, lambda case=case, net=net: _apart({**case, "net": net}))
    return rows.write()


def _apart(case: Row) -> Row:
    command = [sys.executable, "-m", "benchmarks.seeds.memory", json.dumps(case)]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    result: Row = json.loads(found.stdout.splitlines()[-1])
    return result


def _status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak(case: Row) -> Row:
    """Megabytes that a case takes at its peak, beside coordinates, values and parameters."""
    import torch

    from benchmarks.seeds.learning import expanded, learner_of
    from nfcodec.coords import module_coords
    from nfcodec.modules.fit.inner import InnerLoop, context_scores
    from nfcodec.modules.siren import forward
    from nfcodec.modules.spec import FieldSpec
    from nfcodec.modules.train.maml import Bootstrap, outer_loss
    from nfcodec.modules.train.start import init_params

    torch.set_num_threads(1)
    side, (width, depth) = case["side"], case["net"]
    spec = FieldSpec("siren", 2, 3, width, depth, 30, 1, True, False, (side, side))
    theta = {n: t.requires_grad_() for n, t in init_params(spec, torch.Generator().manual_seed(0)).items()}
    learner, params = learner_of(spec, theta, 1e-2), expanded(theta, 1)
    coords = torch.from_numpy(module_coords(spec.tile)).unsqueeze(0)
    targets = torch.rand((1, side * side, 3)) - 0.5
    small = coords[:, :64], targets[:, :64]  # what libraries allocate once
    outer_loss(learner, *small, InnerLoop(1, 0.5), Bootstrap())[0].backward()  # type: ignore[no-untyped-call]
    before = _status("VmSize")
    if case["what"] == "outer step":
        loss, _ = outer_loss(learner, coords, targets, InnerLoop(_STEPS, case["gamma"]), Bootstrap())
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        with torch.no_grad():
            if case["what"] != "scores":
                forward(spec, params, coords)
            if case["what"] != "forward":
                context_scores(spec, params, coords, targets)
    return {"megabytes": round((_status("VmPeak") - before) / 1e6)}


if __name__ == "__main__":
    print(json.dumps(peak(json.loads(sys.argv[1]))))
