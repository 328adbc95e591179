import pytest
import torch

from nfcodec.lattice.restore import apply_net, compand, input_count, inputs, net_shapes

K, Q, WIDTH, OUT, BLOCKS = 5, 4, 6, 7, 2
C = input_count(3, K, 2, Q)


def random_net(seed=0, blocks=BLOCKS):
    g = torch.Generator().manual_seed(seed)
    return {n: 0.3 * torch.randn(s, generator=g) for n, s in net_shapes(C, WIDTH, OUT, blocks, "d").items()}


def random_symbols(n=2, h=6, w=7, planes=3, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(-9, 10, (n, planes, K, h, w), generator=g).float()


HATS = torch.tensor([[0.0, 0.25, 0.75, 0.0], [1.0, 0.0, 0.0, 0.0]])


def test_shape_of_the_output():
    out = apply_net(random_net(), "d", BLOCKS, inputs(random_symbols(), HATS))
    assert out.shape == (2, OUT, 6, 7)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 5), (3, 1)])
def test_smallest_lattices(h, w):
    out = apply_net(random_net(), "d", BLOCKS, inputs(random_symbols(h=h, w=w), HATS))
    assert out.shape == (2, OUT, h, w) and bool(out.isfinite().all())


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_count_of_the_inputs(planes):
    assert inputs(random_symbols(planes=planes), HATS).shape[1] == input_count(planes, K, 2, Q)


def test_shapes_name_every_tensor_that_is_used():
    params = random_net()
    x = inputs(random_symbols(), HATS)
    out = apply_net(params, "d", BLOCKS, x)
    for name in params:
        changed = {**params, name: params[name] + 0.5}
        assert not torch.equal(apply_net(changed, "d", BLOCKS, x), out), name


def test_zero_output_layer_gives_zeros():
    params = random_net()
    params |= {n: torch.zeros_like(p) for n, p in params.items() if n.startswith("d.out")}
    assert not apply_net(params, "d", BLOCKS, inputs(random_symbols(), HATS)).any()


def test_network_by_hand():
    """One cell of one block, with plain loops; the border repeats."""
    p, x = random_net(blocks=1), inputs(random_symbols(h=3, w=3), HATS)
    leaky = lambda v: torch.where(v > 0, v, 0.1 * v)  # noqa: E731

    def first(y, x_):
        at = x[0, :, min(max(y, 0), 2), min(max(x_, 0), 2)]
        return p["d.in.weight"] @ at + p["d.in.bias"]

    out = apply_net(p, "d", 1, x)
    for cy, cx in [(0, 0), (1, 1), (2, 0)]:
        h = first(cy, cx) + p["d.0.bias"]
        for dy in range(3):
            for dx in range(3):
                h = h + p["d.0.weight"][:, :, dy, dx] @ leaky(first(cy + dy - 1, cx + dx - 1))
        wanted = p["d.out.weight"] @ leaky(h) + p["d.out.bias"]
        torch.testing.assert_close(out[0, :, cy, cx], wanted, rtol=1e-5, atol=1e-5)


def test_border_repeats():
    """A lattice that repeats its border cells gives the same inside: constant symbols know no border."""
    symbols = random_symbols(1, 1, 1).expand(-1, -1, -1, 5, 4)
    out = apply_net(random_net(), "d", BLOCKS, inputs(symbols, HATS[:1]))
    torch.testing.assert_close(out, out[:, :, :1, :1].expand_as(out), rtol=1e-5, atol=1e-5)


def test_a_shift_of_the_symbols_shifts_the_output_inside():
    symbols = random_symbols(1, 12, 13)
    net, hats = random_net(), HATS[:1]
    whole = apply_net(net, "d", BLOCKS, inputs(symbols, hats))
    part = apply_net(net, "d", BLOCKS, inputs(symbols[..., 1:, 2:], hats))
    reach = BLOCKS + 1  # one cell for every 3 × 3 layer, one for the differences of the means
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    torch.testing.assert_close(part[inside], whole[..., 1:, 2:][inside], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(part[..., 0, :], whole[..., 1, 2:], atol=1e-3)


def test_hats_are_the_last_inputs_of_every_cell():
    x = inputs(random_symbols(), HATS)
    assert torch.equal(x[:, -Q:], HATS[:, :, None, None].expand(-1, -1, 6, 7))


def test_inputs_see_differences_of_the_means_only():
    symbols = random_symbols()
    brighter = symbols.clone()
    brighter[:, :, 0] += 100.0
    assert torch.equal(inputs(brighter, HATS), inputs(symbols, HATS))


def test_inputs_by_hand():
    symbols = random_symbols()
    x = inputs(symbols, HATS)
    for plane in range(3):
        for k in range(1, K):
            channel = x[:, plane * (K - 1) + k - 1]
            torch.testing.assert_close(channel, compand(symbols[:, plane, k]))
    offsets = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    for i, (dy, dx) in enumerate(offsets):
        for plane in range(3):
            channel = x[:, 3 * (K - 1) + 3 * i + plane]
            for y, z in [(0, 0), (2, 3), (5, 6)]:
                near = symbols[:, plane, 0, min(max(y + dy, 0), 5), min(max(z + dx, 0), 6)]
                torch.testing.assert_close(channel[:, y, z], compand(near - symbols[:, plane, 0, y, z]))


def test_compand():
    x = torch.tensor([-7.0, -1.0, 0.0, 1.0, 3.0])
    assert compand(x).tolist() == [-3.0, -1.0, 0.0, 1.0, 2.0]
