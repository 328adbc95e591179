"""Fisher sample weights: a loss that dwells on the samples which say the most about the parameters.

For a Gaussian model y ~ N(f_θ(x), σ²I) the empirical Fisher matrix of one sample is F_i = s_i s_iᵀ with the score
s_i = ∇_θ log p = J_iᵀ e_i / σ², so tr F_i = ‖∇_θ ½‖e_i‖²‖² / σ⁴. Woo et al. (2025) weight samples by their Fisher
information; their formula is not given in what is published without charge, so this one is ours: the trace, of the last
layer alone, which factorises as GradNCP's score does, and mixed with 1 so that the mean weight is one.
"""

from __future__ import annotations

from torch import Tensor

from nfcodec.modules.fit.context import scores


def information(error: Tensor, phi: Tensor) -> Tensor:
    """t (M, N) = ‖e‖²·(‖φ‖² + 1): the trace of each sample's empirical Fisher matrix of the last layer, times σ⁴, from
    errors (M, N, C) and penultimate features (M, N, K). It is the square of the score of GradNCP."""
    return scores(error, phi).square()


def sample_weights(trace: Tensor, rho: float) -> Tensor:
    """w (M, N) = (1 − ρ) + ρ·t / mean t of each module, constants for autograd.

    Their mean is 1 for every ρ, so that step sizes keep their meaning; ρ = 0 gives ones, hence the plain squared error.
    Where all traces are 0 there is nothing to weigh, and all weights are 1.
    """
    t = trace.detach()
    mean = t.mean(-1, keepdim=True)
    known = mean > 0
    relative = (t / mean.where(known, mean.new_ones(()))).where(known, t.new_ones(()))
    return (1.0 - rho) + rho * relative
