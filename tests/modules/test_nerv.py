import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from tiny import generator

from nfcodec.coords import module_coords
from nfcodec.errors import CorruptError
from nfcodec.modules import nerv
from nfcodec.modules.fit.inner import gradients
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.start import init_params

SPEC = FieldSpec("nerv", 3, 3, 32, 2, 3, 1, True, False, (3, 16, 24))
PAPER = FieldSpec("nerv", 3, 3, 512, 4, 40, 1, True, False, (16, 128, 128))


def random_modules(spec, count=2, seed=0):
    parts = [init_params(spec, generator(seed + i), torch.float64) for i in range(count)]
    return {n: torch.stack([p[n] for p in parts]) for n in parts[0]}


def native(spec):
    return torch.from_numpy(module_coords(spec.tile)).double()[None]


def own_frames(spec, params, times):
    """NeRV of one module by torch's own layers: times (T,) in [0, 1] to (T, C, H, W)."""
    angle = times[:, None] * math.pi * 1.25 ** torch.arange(spec.w0, dtype=torch.float64)
    h = torch.cat([angle.sin(), angle.cos()], 1)
    for i in range(2):
        h = functional.gelu(h @ params[f"{i}.weight"] + params[f"{i}.bias"], approximate="tanh")
    enlarge, units = nerv.strides(spec), nerv.channels(spec)
    rows, columns = (n // math.prod(enlarge) for n in spec.tile[1:])
    h = h.reshape(len(times), rows, columns, units[0]).permute(0, 3, 1, 2)
    for i, s in enumerate(enlarge, 2):
        c = units[i - 1]
        kernel = params[f"{i}.weight"].reshape(3, 3, h.shape[1], s * s, c).permute(4, 3, 2, 0, 1)
        bias = params[f"{i}.bias"].reshape(s * s, c).T.reshape(-1)
        h = functional.conv2d(h, kernel.reshape(c * s * s, -1, 3, 3), bias, padding=1)
        h = functional.gelu(functional.pixel_shuffle(h, s), approximate="tanh")
    last = spec.depth + 2
    return functional.conv2d(h, params[f"{last}.weight"].T[..., None, None], params[f"{last}.bias"])


def test_parameters_of_the_papers():
    assert sum(math.prod(t.shape) for t in nerv.tensors(PAPER)) == 1_302_115
    large = dataclasses.replace(PAPER, depth=5, tile=(32, 256, 256))
    assert sum(math.prod(t.shape) for t in nerv.tensors(large)) == 1_339_107
    assert nerv.strides(PAPER) == (4, 2, 2, 2) and nerv.channels(PAPER) == (32, 128, 64, 32, 32)


def test_frames_are_those_of_torchs_layers():
    params = random_modules(SPEC)
    found = nerv.forward(SPEC, params, native(SPEC)).reshape(2, *SPEC.tile, 3)
    times = (torch.arange(3, dtype=torch.float64) + 0.5) / 3
    for m in range(2):
        expected = own_frames(SPEC, {n: t[m] for n, t in params.items()}, times).permute(0, 2, 3, 1)
        torch.testing.assert_close(found[m], expected, atol=1e-6, rtol=1e-5)  # coordinates are float32


def test_any_samples_in_any_order_are_those_of_the_whole():
    params, coords = random_modules(SPEC), native(SPEC)
    whole = nerv.forward(SPEC, params, coords)
    order = torch.stack([torch.randperm(coords.shape[1], generator=generator(i))[:50] for i in range(2)])
    some = torch.cat([coords[:, i] for i in order])
    expected = torch.stack([whole[m, order[m]] for m in range(2)])
    torch.testing.assert_close(nerv.forward(SPEC, params, some), expected, atol=1e-7, rtol=0)


def test_between_samples_lie_their_means_and_beyond_them_the_border():
    params = random_modules(SPEC, 1)
    frame = nerv.forward(SPEC, params, native(SPEC)).reshape(*SPEC.tile, 3)
    time = float(native(SPEC)[0, 0, 0])
    middle = torch.tensor([[[time, (2 * 5 + 2) / 16 - 1, (2 * 7 + 2) / 24 - 1], [time, -1.0, 1.0]]]).double()
    between, corner = nerv.forward(SPEC, params, middle)[0]
    torch.testing.assert_close(between, frame[0, 5:7, 7:9].mean((0, 1)), atol=1e-6, rtol=0)
    torch.testing.assert_close(corner, frame[0, 0, -1], atol=1e-7, rtol=0)


def test_time_is_continuous():
    params = random_modules(SPEC, 1)
    points = torch.tensor([[[t, 0.1, 0.1] for t in (-0.5, -0.5 + 1e-6, 0.4)]]).double()
    a, near, far = nerv.forward(SPEC, params, points)[0]
    assert float((a - near).abs().max()) < 1e-4 < float((a - far).abs().max())


def test_numpy_and_torch_agree():
    params = {n: t.float() for n, t in random_modules(SPEC).items()}
    for coords in (native(SPEC).float(), native(SPEC).float()[:, ::7].expand(2, -1, -1) * 0.9):
        plain = nerv.forward(SPEC, {n: t.numpy() for n, t in params.items()}, coords.numpy())
        np.testing.assert_allclose(nerv.forward(SPEC, params, coords).numpy(), plain, atol=2e-6)


def test_modules_do_not_see_each_other_and_every_tensor_has_a_gradient():
    params = {n: t.requires_grad_() for n, t in random_modules(SPEC).items()}
    targets = torch.rand((2, math.prod(SPEC.tile), 3), generator=generator(9), dtype=torch.float64)
    grads = gradients(SPEC, params, native(SPEC), targets)
    assert all(float(g.abs().max()) > 0 for g in grads.values())
    alone = {n: t[:1].detach().requires_grad_() for n, t in params.items()}
    for name, g in gradients(SPEC, alone, native(SPEC), targets[:1]).items():
        torch.testing.assert_close(g[0], grads[name][0], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("change", [{"tile": (3, 15, 16)}, {"tile": (3, 4, 4)}, {"width": 24}, {"depth": 4}])
def test_frames_that_are_not_made_of_whole_steps_are_refused(change):
    with pytest.raises(CorruptError, match="NeRV"):
        nerv.tensors(dataclasses.replace(SPEC, **change))
