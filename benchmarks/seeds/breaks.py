"""The 48 invariants: breaks the code once for each and looks whether the numbered tests see it.

Invariants 1 to 48 are what a re-implementation of Meta-SparseINR, GradNCP and MCL-NF must hold; the test of number n is
called ``test_n_…``. Every break is one line changed in a copy of the package:

    python -m benchmarks.seeds breaks
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from results import plain_command, say, today, write_json

from benchmarks.seeds.context import Context

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "seeds-breaks.json"


@dataclass(frozen=True)
class Break:
    """``old`` becomes ``new`` in a file of the package; the tests of ``number`` in ``test`` must fail then."""

    number: int
    invariant: str
    test: str
    file: str
    old: str
    new: str


_M, _F, _T = "modules", "modules/fit", "modules/train"
_INNER, _MAML, _SPARSE = f"{_F}/inner.py", f"{_T}/maml.py", f"{_T}/sparse.py"
_TI, _TM, _TC = f"{_F}/test_inner.py", f"{_T}/test_maml.py", f"{_F}/test_context.py"
_TB, _TS, _TF = f"{_T}/test_bootstrap.py", f"{_T}/test_sparse.py", f"{_F}/test_fisher.py"
_TQ, _TE = f"{_F}/test_sequence.py", "test_encoder.py"

BREAKS = (
    Break(1, "K = 0 is the plain gradient", _TM, _MAML, "total = losses.mean()", "total = losses.sum()"),
    Break(2, "meta-gradient = finite differences", _TM, _INNER, "* grads[n] for n, p", "* grads[n].detach() for n, p"),
    Break(3, "closed form for a linear model", _TM, _INNER, "(rate[n] * mask[n]) * grads", "(2 * rate[n] * mask[n]) * grads"),
    Break(4, "first order is ∇L(θ_K)", _TM, _MAML, "start[n] + (p.detach() - start[n].detach())", "p + 0 * start[n]"),
    Break(5, "signals do not see each other", _TI, _INNER, "high) / (global_norm(full) + 1e-16)", "high).mean() / (global_norm(full) + 1e-16)"),
    Break(6, "every tensor has a meta-gradient", _TM, _INNER, "params if create_graph else", "params if not params else"),
    Break(7, "accumulated = joint", _TM, _MAML, "total * (len(part) / len(targets))", "total"),
    Break(8, "SIREN's initialization", f"{_M}/test_siren.py", f"{_T}/start.py", "return 1.0 / spec.axes", "return 2.0 / spec.axes"),
    Break(9, "w0 against weights", f"{_M}/test_siren.py", f"{_M}/siren.py", "sin(spec.w0 * _affine(params, i, h))", "sin(spec.w0 * _affine(params, i, h) + 0.1 * spec.w0)"),
    Break(10, "coordinates are sample centres", "test_coords.py", "coords.py", "start + (np.arange(n, dtype=np.float64) + 0.5)", "start + np.arange(n, dtype=np.float64)"),
    Break(11, "output offset", f"{_M}/test_siren.py", f"{_M}/values.py", "return outputs + 0.5", "return outputs"),
    Break(12, "counts after every round", _TS, _SPARSE, "count = int(fraction * int(flat_mask.sum()))", "count = int(fraction * flat_mask.numel())"),
    Break(13, "masks only shrink", _TS, _SPARSE, "alive = torch.nonzero(flat_mask).squeeze(1)", "alive = torch.nonzero(flat_mask | True).squeeze(1)\n    flat_mask[:] = True"),
    Break(14, "masked weights stay as they are", _TI, _INNER, "(rate[n] * mask[n]) * grads", "rate[n] * grads"),
    Break(15, "one threshold over all tensors", _TS, _SPARSE, "torch.argsort(flat_score[alive], stable=True)", "torch.argsort(-flat_score[alive], stable=True)"),
    Break(16, "biases are never pruned", _TS, _SPARSE, 'names = [t.name for t in specs if t.role == "weight"]', "names = [t.name for t in specs]"),
    Break(17, "random pruning is even", _TS, _SPARSE, "torch.rand(t.shape, generator=generator).to(t)", "torch.rand(t.shape, generator=generator).to(t) / t.shape[-1]"),
    Break(18, "pruning nothing changes nothing", _TS, _SPARSE, "flat_mask[alive[order[:count]]] = False", "flat_mask[alive[order[: max(1, count)]]] = False"),
    Break(19, "score = last layer's gradient norm", _TC, f"{_F}/context.py", "phi.square().sum(-1) + 1.0)", "phi.square().sum(-1))"),
    Break(20, "context of ⌊γN⌋ highest scores", _TC, f"{_F}/context.py", "max(1, int(gamma * samples))", "max(1, round(gamma * samples + 0.5))"),
    Break(21, "permuting samples permutes the context", _TC, f"{_F}/context.py", "return score.detach().topk(context_size(gamma, score.shape[1]), dim=1).indices", "return torch.arange(context_size(gamma, score.shape[1])).expand(len(score), -1)"),
    Break(22, "γ = 1 and λ = 0 is MAML", _TM, f"{_F}/context.py", "max(1, int(gamma * samples))", "max(1, int(gamma * samples) - 1)"),
    Break(23, "ranked anew in every step", _TC, _INNER, "spec, params, coords, targets), gamma)", "spec, {n: p * 0 for n, p in params.items()}, coords, targets), gamma)"),
    Break(24, "no gradient through the scorer", _TC, _INNER, "@torch.no_grad()\ndef context_scores", "def context_scores"),
    Break(25, "the target is a constant", _TB, _MAML, "return {n: p.detach() for n, p in current.items()}", "return {n: p.detach() + 0.5 * (params[n] - params[n].detach()) for n, p in current.items()}"),
    Break(26, "no NaN at distance 0", _TB, _MAML, "torch.where(zero, torch.ones_like(total), total).sqrt()", "total.sqrt()"),
    Break(27, "unsquared norm over all tensors", _TB, _MAML, "torch.where(zero, torch.ones_like(total), total).sqrt()", "total"),
    Break(28, "memory falls with γ", _TB, _INNER, "some, wanted = gather(coords, index), gather(targets, index)", "some, wanted = coords, targets"),
    Break(29, "re-scaled to the norm of the pruned gradient", _TI, _INNER, "global_norm(high) / (global_norm(full) + 1e-16)", "global_norm(full) / (global_norm(high) + 1e-16)"),
    Break(30, "γ = 1 is gradient descent", _TI, _INNER, "return {n: p - (rate[n]", "return {n: 0.999 * p - (rate[n]"),
    Break(31, "factor ≥ 1 on natural pictures", _TI, f"{_F}/context.py", "score.detach().topk(", "(-score.detach()).topk("),
    Break(32, "factors are per signal", _TI, _INNER, "(global_norm(full) + 1e-16)).detach()", "(global_norm(full) + 1e-16)).detach().mean().expand(len(next(iter(full.values()))))"),
    Break(33, "ρ = 0 is MSE; mean weight 1", _TF, f"{_F}/fisher.py", "(1.0 - rho) + rho * relative", "1.0 + rho * relative"),
    Break(34, "trace = squared gradient norm", _TF, f"{_F}/fisher.py", "scores(error, phi).square()", "scores(error, phi)"),
    Break(35, "½ΔᵀFΔ is the divergence", _TF, f"{_T}/rate_loss.py", "], 1).square().mean(0) / probes", "], 1).abs().mean(0) / probes"),
    Break(36, "nothing is forgotten", _TQ, f"{_F}/sequence.py", "self._modules.append({n: p.detach() for n, p in params.items()})", "self._modules = [{n: p.detach() for n, p in params.items()}] * (len(self._modules) + 1)"),
    Break(37, "all modules begin at θ0", _TQ, f"{_F}/sequence.py", "        return len(self._modules) - 1", "        self._theta0 = {n: p.detach()[0] for n, p in params.items()}\n        return len(self._modules) - 1"),
    Break(38, "modules cover all samples once", f"{_T}/test_continual.py", f"{_T}/continual.py", "index = torch.arange(math.prod(tile))", "index = torch.arange(math.prod(tile)).clamp_max(math.prod(tile) - 2)"),
    Break(39, "decoded = what the encoder saw", _TE, "modules/fit/encode.py", "self.symbols.update(q.astype", "self.symbols.update((q + 1).astype"),
    Break(40, "Δ = 0 is θ0", f"{_M}/test_init.py", f"{_M}/init.py", "flat[:, kept] += delta", "flat[:, kept] += delta + 1e-3"),
    Break(41, "length = the model's estimate", f"{_M}/test_deltas.py", f"{_M}/deltas.py", "return data + class_bits(model.classes, width)", "return 1.05 * data + class_bits(model.classes, width)"),
    Break(42, "zero is on every grid", _TE, "entropy/quantizer.py", "(q.astype(np.float64) * step_size(e))", "((q + 0.5) * step_size(e))"),
    Break(43, "pruned weights are θ0 after decoding", _TE, f"{_M}/init.py", "m = self.mask[t.name] != 0", "m = self.mask[t.name] >= 0"),
    Break(44, "rate and PSNR rise with quality", _TE, f"{_M}/init.py", "return (quality * 23) >> 6", "return -((quality * 23) >> 6)"),
    Break(45, "truncation is an error", "test_damage.py", "container/reader.py", "if total > end - position:", "if False:"),
    Break(46, "another θ0 is refused", "test_zoo.py", "zoo.py", "if init.sha256[:PREFIX] == prefix:", "if init.sha256:"),
    Break(47, "6 dB per bit", _TE, "entropy/quantizer.py", "np.ldexp(np.array(_EIGHTHS)[eighth], octave)", "np.ldexp(np.array(_EIGHTHS)[eighth], octave // 2)"),
    Break(48, "noise of a step costs ½·F", f"{_T}/test_rate_loss.py", f"{_T}/rate_loss.py", "out.shape, generator=generator).to(out) * 2 - 1", "out.shape, generator=generator).to(out)"),
)  # fmt: skip


@contextmanager
def broken(change: Break, copy: Path) -> Iterator[None]:
    """The copy of the package with a break in it, whole again afterwards."""
    path = copy / "nfcodec" / change.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(change.old) != 1:
        raise ValueError(f"break {change.number}: {change.old!r} stands {whole.count(change.old)} times")
    path.write_text(whole.replace(change.old, change.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")


def failed(copy: Path, change: Break) -> list[str]:
    """The numbered tests that fail in the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-x"]
    node = [f"tests/{change.test}", "-k", f"test_{change.number:02d}_"]
    ran = subprocess.run([*command, *node], cwd=copy, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"break {change.number}: {ran.stdout[-600:]}")
    lines = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [line.split("::")[1].split("[")[0].split(" ")[0] for line in lines]


def run(context: Context) -> Path:
    """Break everything once; the result names for each number the test that failed."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="nfc-breaks-") as folder:
        copy = Path(folder)
        for name in ("nfcodec", "tests", "models", "benchmarks"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy / name)
        for change in BREAKS:
            if context.wanted(number=change.number):
                with broken(change, copy):
                    seen = failed(copy, change)
                say(f"{change.number:2d} {change.invariant}: {', '.join(seen) or 'NOT SEEN'}")
                rows.append({"number": change.number, "invariant": change.invariant, "file": change.file,
                             "test": f"tests/{change.test}::{seen[0]}" if seen else None,
                             "old": change.old, "new": change.new})  # fmt: skip
    command = f"python -m benchmarks.seeds {plain_command(sys.argv[1:])}"
    write_json(RESULT, {"name": "breaks", "command": command, "date": today(), "rows": rows})
    return RESULT
