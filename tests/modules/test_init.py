import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import PICTURE, SPEC, make_init

from nfcodec.errors import CorruptError, LimitError, UnsupportedFeatureError
from nfcodec.modules.init import QUALITY_ANCHORS, quality_offset
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec


def test_quality_offsets_never_fall():
    offsets = [quality_offset(q) for q in range(101)]
    assert offsets[0] == 0 and offsets[-1] == 35
    assert all(0 <= b - a <= 1 for a, b in zip(offsets, offsets[1:], strict=False))


def test_steps_shrink_with_quality():
    init = make_init()
    for q in range(100):
        assert (init.steps_at(q + 1) <= init.steps_at(q)).all()
    assert (init.steps_at(0) == init.step).all() and init.steps_at(0).dtype == np.int32


def test_scales_hit_the_anchors_and_run_straight_between():
    init = make_init()
    init.scale[:] = np.random.default_rng(0).integers(0, 48, init.scale.shape)
    for row, q in zip(init.scale, QUALITY_ANCHORS, strict=True):
        assert (init.scales_at(q) == row).all()
    for q in range(101):
        exact = [np.interp(q, QUALITY_ANCHORS, column) for column in init.scale.T]
        assert np.abs(init.scales_at(q) - exact).max() <= 0.5


def test_kept_positions():
    init = make_init()
    flat_mask = np.concatenate([init.mask[t.name].reshape(-1) for t in init.tensors])
    assert (init.kept(3) == np.flatnonzero(flat_mask)).all()
    names = np.repeat([t.name for t in init.tensors], [int(np.prod(t.shape)) for t in init.tensors])
    assert ([init.tensors[i].name for i in init.tensor_of] == names).all()
    grey, colour = set(init.kept(1).tolist()), set(init.kept(3).tolist())
    assert grey < colour
    column = np.concatenate([np.zeros(24 + 72, int), np.tile(np.arange(3), 8), np.arange(3)])  # output of each entry
    assert all(column[p] > 0 and p >= 96 for p in colour - grey)
    assert all(p < 96 or column[p] == 0 for p in grey)


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_params_put_deltas_where_they_belong(modules, seed):
    init = make_init()
    kept = init.kept(3)
    delta = np.random.default_rng(seed).standard_normal((modules, len(kept))).astype(np.float32)
    params = init.params(delta, kept)
    assert [p.shape for p in params.values()] == [(modules, *t.shape) for t in init.tensors]
    back = np.concatenate([p.reshape(modules, -1) for p in params.values()], 1) - init.theta0_flat
    np.testing.assert_allclose(back[:, kept], delta, rtol=0, atol=1e-6)
    off = np.setdiff1d(np.arange(len(init.theta0_flat)), kept)
    assert (back[:, off] == 0).all()
    again = init.unflatten(np.concatenate([p.reshape(modules, -1) for p in params.values()], 1))
    assert all((again[n] == params[n]).all() for n in params)


def test_tensors_become_tensors_and_give_the_same():
    """Fitting puts its own deltas in, which may be of double precision."""
    init = make_init()
    kept = init.kept(3)
    delta = np.random.default_rng(1).standard_normal((3, len(kept)))
    for n, p in init.params(torch.from_numpy(delta), kept).items():
        assert p.dtype == torch.float64
        np.testing.assert_allclose(p.numpy(), init.params(delta, kept)[n], rtol=0, atol=1e-12)


def test_40_no_delta_is_theta0():
    init = make_init()
    kept = init.kept(3)
    for n, p in init.params(np.zeros((2, len(kept)), np.float32), kept).items():
        assert (p[1] == init.theta0[n]).all()


def wrong_inits():
    init = make_init()
    yield "missing", dataclasses.replace(init, theta0={n: t for n, t in init.theta0.items() if n != "1.bias"})
    yield "shape", dataclasses.replace(init, log_rate={**init.log_rate, "1.bias": np.zeros(9)})
    yield "nan", dataclasses.replace(init, theta0={**init.theta0, "1.bias": np.full(8, np.nan)})
    yield "mask", dataclasses.replace(init, mask={**init.mask, "1.bias": np.full(8, 2.0)})
    yield "steps", dataclasses.replace(init, step=init.step[:-1])
    yield "step range", dataclasses.replace(init, step=init.step + np.int32(-(2**31) + 8))
    yield "scale range", dataclasses.replace(init, scale=init.scale + np.int32(2**30))
    yield "anchors", dataclasses.replace(init, scale=init.scale[:-1])
    yield "loop", dataclasses.replace(init, inner_steps=-1)
    yield "gamma", dataclasses.replace(init, gamma=float("nan"))
    yield "unit", dataclasses.replace(init, coarsest=0.0)


@pytest.mark.parametrize("case", range(11))
def test_validate_refuses(case):
    with pytest.raises(CorruptError):
        list(wrong_inits())[case][1].validate()


@pytest.mark.parametrize("spec", [SPEC, PICTURE])
def test_spec_round_trip(spec):
    assert FieldSpec.from_dict(spec.to_dict()) == spec
    assert FieldSpec.from_dict({**spec.to_dict(), "tile": [6, 6]}) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0}, {"depth": 17}, {"axes": 4}, {"tile": [6]}, {"tile": [6, 0]}, {"tile": 6}, {"width": "8"},
        {"width": 8.5}, {"w0": True}, {"offset": 1}, {"extra": 1}, {"tile": [6.5, 6]}, {"tile": []},
    ],
)  # fmt: skip
def test_spec_refuses(change):
    with pytest.raises(CorruptError):
        FieldSpec.from_dict({**SPEC.to_dict(), **change})


def test_spec_refuses_what_is_missing_or_too_large():
    with pytest.raises(CorruptError):
        FieldSpec.from_dict({k: v for k, v in SPEC.to_dict().items() if k != "w0"})
    with pytest.raises(LimitError):
        FieldSpec.from_dict({**SPEC.to_dict(), "width": 100_000})


def test_unknown_field_kind():
    with pytest.raises(UnsupportedFeatureError, match="mlp.*siren"):
        field_kind("mlp")
