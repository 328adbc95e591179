"""Y: samples by the document, whole and in parts, between the samples, and in init files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from helpers import STAND_INS, decode_array, init, memory, opened, pack, painting, unpack, with_region
from reference_heads import reference_heads
from safetensors.numpy import load_file

from nfcodec import zoo
from nfcodec.container.layout import SectionType
from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError, ModelError
from nfcodec.lattice.enlarge import detail, detail_shapes
from nfcodec.lattice.filtering import LARGEST_INPUT
from nfcodec.lattice.fit import encode
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.renderer import LatticeRenderer, LevelRenderer
from nfcodec.lattice.space import Box, Space
from nfcodec.signal import SignalInfo

from .test_reference_samples import by_the_document

KIND = "filtered-lattice"
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def filtered():
    return zoo.load(init(KIND)).tuned("psnr")


@pytest.fixture(scope="module")
def tensors():
    return {n: a.tolist() for n, a in load_file(init(KIND)).items() if a.dtype.kind in "iu"}


def picture(own, height, width, quality=50, filtered=True):
    """The renderer of a picture of random symbols and heads."""
    info = SignalInfo("image", (height, width), 3, "u8")
    level = own.levels[0]
    own = own if filtered else replace(own, levels=(replace(level, filter=None),))
    space = Space.of(info.shape, level.spec)
    rng = np.random.default_rng(height)
    spread = 3.0 / (1 + np.arange(64))[:, None, None]
    symbols = (rng.normal(size=(3, 64, *space.cells)) * spread).round().astype(np.int32)
    heads = rng.integers(0, 3, [-(-n // 4) for n in space.cells]).astype(np.uint8)
    return LatticeRenderer(own, [space], quality, info, lambda *_: symbols, lambda _: heads)


def chosen(shape, seed=0):
    """Heads of blocks or squares, all three of them where there is room."""
    return np.random.default_rng(seed).permutation(np.arange(1, 1 + np.prod(shape)) % 3).reshape(shape).astype(np.uint8)


def grid(*spans, step=1.0):
    return [np.arange(a, b, step) + 0.5 for a, b in spans]


@pytest.mark.parametrize(("spacing", "shape", "quality"), [(None, (21, 27), 60), (12, (37, 51), 40), (12, (30, 9), 0)])
def test_samples_by_the_document(tensors, spacing, shape, quality, tmp_path, monkeypatch):
    monkeypatch.setattr(LatticeEncoder, "_settle", lambda self, *_: self.use(spacing))
    data, _ = pack(memory("image", painting(*shape, 2)), KIND, quality=quality, effort=1, tune="psnr")
    (tmp_path / "a.nfc").write_bytes(data)
    np.testing.assert_array_equal(by_the_document(data, tensors, kind=KIND), decode_array(tmp_path / "a.nfc", KIND))


def test_regions_do_not_show(tensors, tmp_path, monkeypatch):
    """Of three rows of them, the second has no heads."""
    monkeypatch.setitem(STAND_INS, KIND, with_region(KIND, 4, 4))
    monkeypatch.setattr(encode, "chunk_heads", lambda *_: (chosen((1, 2)), None, chosen((1, 2), 1)))
    data, _ = pack(memory("image", painting(70, 37, 3)), KIND, quality=50, effort=1, tune="psnr")
    assert [e.first for e in opened(data, KIND).index if e.type == SectionType.HEADS] == [0, 2]
    (tmp_path / "a.nfc").write_bytes(data)
    np.testing.assert_array_equal(by_the_document(data, tensors, kind=KIND), decode_array(tmp_path / "a.nfc", KIND))


@pytest.mark.parametrize(("spacing", "shape"), [(None, (41, 35)), (12, (50, 23))])
def test_heads_by_the_document(tensors, spacing, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(LatticeEncoder, "_settle", lambda self, *_: self.use(spacing))
    monkeypatch.setattr(
        encode, "chunk_heads", lambda _, space: (chosen([-(-n // 4) for n in space.cells], 4),)
    )  # fmt: skip
    data, encoded = pack(memory("image", painting(*shape, 2)), KIND, quality=30, effort=1, tune="psnr")
    (tmp_path / "a.nfc").write_bytes(data)
    found = decode_array(tmp_path / "a.nfc", KIND)
    np.testing.assert_array_equal(by_the_document(data, tensors, kind=KIND), found)
    error = np.square(found.astype(float) - painting(*shape, 2)).mean()
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


def test_a_golden_file_by_the_document(tensors):
    data = (GOLDEN / "filtered.nfc").read_bytes()
    [payload] = [
        opened(data, KIND).reader.read(e).payload for e in opened(data, KIND).index if e.type == SectionType.HEADS
    ]
    assert set(reference_heads(payload[1:], 2, 3).values()) == {0, 1, 2}
    with np.load(GOLDEN / "samples.npz") as stored:
        np.testing.assert_array_equal(by_the_document(data, tensors, kind=KIND), stored["filtered"])


def test_it_changes_samples_and_the_reported_error_is_theirs(tmp_path):
    samples = painting(40, 56, 4)
    data, encoded = pack(memory("image", samples), KIND, quality=30, effort=1, tune="psnr")
    (tmp_path / "a.nfc").write_bytes(data)
    decoded = decode_array(tmp_path / "a.nfc", KIND).astype(float)
    error = np.square(decoded - samples).mean()
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


def test_the_perceptual_tune_has_none():
    both = zoo.load(init(KIND))
    assert both.tuned("psnr").levels[0].filter is not None
    assert both.tuned("perceptual").levels[0].filter is None
    assert both.tuned("psnr").at(12).levels[0].filter.spacing == 1


@pytest.mark.parametrize("spans", [((0, 40), (0, 56)), ((3, 4), (7, 9)), ((17, 39), (0, 56)), ((0, 5), (51, 56))])
def test_parts_are_those_of_the_whole(filtered, spans):
    found = picture(filtered, 40, 56)
    whole = found.render(grid((0, 40), (0, 56)))
    (a, b), (c, d) = spans
    np.testing.assert_array_equal(found.render(grid(*spans)), whole[a:b, c:d])


def test_scattered_samples_and_sparse_grids_are_those_of_the_whole(filtered):
    found = picture(filtered, 40, 300)
    whole = found.render(grid((0, 40), (0, 300)))
    np.testing.assert_array_equal(found.render(grid((0, 40), (0, 300), step=3)), whole[::3, ::3])
    at = np.random.default_rng(0).integers((40, 300), size=(50, 2))
    np.testing.assert_array_equal(found.sample(at + 0.5), whole[at[:, 0], at[:, 1]])
    assert found.sample(np.zeros((0, 2))).shape == (0, 3)


def test_bands_do_not_show(filtered, monkeypatch):
    whole = picture(filtered, 200, 40).render(grid((0, 200), (0, 40)))
    monkeypatch.setattr("nfcodec.lattice.renderer._BAND_SAMPLES", 64 * 40)
    np.testing.assert_array_equal(picture(filtered, 200, 40).render(grid((0, 200), (0, 40))), whole)


@pytest.mark.parametrize("size", [(2, 2), (2, 90), (74, 6), (46, 58)])
@pytest.mark.parametrize("tile", [(1, 1), (3, 2), (7, 50)])
def test_tiles_do_not_show(filtered, size, tile, monkeypatch):
    own = filtered.levels[0].filter
    planes = np.rint(np.random.default_rng(size[0]).normal(size=(3, *size)) * 2.0**30)
    heads = chosen((size[0] // 2, size[1] // 2))
    whole = own(planes, 40, heads)
    monkeypatch.setattr("nfcodec.lattice.filtering._TILE", tile)
    np.testing.assert_array_equal(own(planes, 40, heads), whole)


def alone(own, head):
    """Y with one of its heads."""
    rows = slice(own.channels * head, own.channels * (head + 1))
    networks = [
        replace(n, leave=Layer(n.leave.weight[rows], n.leave.bias[rows], n.leave.shift[rows])) for n in own.networks
    ]  # fmt: skip
    return replace(own, networks=tuple(networks), heads=1)


@pytest.mark.parametrize("views", [1, 2, 4])
@pytest.mark.parametrize("quality", [20, 80])
def test_every_square_has_what_its_head_alone_gives(filtered, views, quality):
    own = replace(filtered.levels[0].filter, views=views)
    planes = np.rint(np.random.default_rng(views).normal(size=(3, 46, 38)) * 2.0**30)
    apart = [alone(own, head)(planes, quality) for head in range(3)]
    np.testing.assert_array_equal(own(planes, quality), apart[0])
    for seed in range(3):
        heads = chosen((23, 19), seed)
        squares = heads.repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(own(planes, quality, heads), np.choose(squares, apart))


def test_what_is_added_to_a_tile(filtered):
    """By one of several heads or by the only one, in 256ths of the unit."""
    own = filtered.levels[0].filter
    planes = np.rint(np.random.default_rng(0).normal(size=(3, 46, 38)) * 2.0**28)
    for tile in (Box(-1, (0, 0), (23, 19)), Box(-1, (5, 2), (11, 19)), Box(-1, (22, 18), (23, 19))):
        part = (slice(None), *(slice(2 * a, 2 * b) for a, b in zip(tile.start, tile.stop, strict=True)))
        for head in range(3):
            found = own._added(own._seen(planes, 40, tile), 40, np.full((23, 19), head, np.uint8))
            single = alone(own, head)
            np.testing.assert_array_equal(single._added(single._seen(planes, 40, tile), 40, None), found)
            shown = (alone(own, head)(planes, 40) - planes)[part] * 2.0**-32
            # Rounded to 2^-20.
            np.testing.assert_allclose(found * own.scale(40), shown, atol=2.0**-19)


def lanczos(rows, at):
    """Rows (n, …), row i at i + ½, at a position: six of them by sinc(d) · sinc(d / 3), the border repeated."""
    near = [int(np.floor(at - 0.5)) + i for i in range(-2, 4)]
    weights = [np.sinc(at - 0.5 - i) * np.sinc((at - 0.5 - i) / 3) for i in near]
    return sum(w * rows[min(max(i, 0), len(rows) - 1)] for w, i in zip(weights, near, strict=True)) / sum(weights)


def transposed(planes):
    return planes.transpose(0, 2, 1)


def mirrored(planes):
    return planes[:, ::-1]


@pytest.mark.parametrize(("views", "turn", "alike"), [
    (1, transposed, False), (1, mirrored, False), (2, transposed, True), (2, mirrored, False), (4, mirrored, True),
])  # fmt: skip
def test_views_of_a_picture_are_filtered_alike(filtered, views, turn, alike):
    """The mean over views is the same for a picture and for what a view makes of it."""
    found = replace(filtered.levels[0].filter, views=views)
    planes = np.random.default_rng(views).normal(0, 2.0**28, (3, 22, 36))
    heads = chosen((11, 18))
    turned = found(turn(planes), 40, turn(heads[None])[0])
    assert np.array_equal(turn(turned), found(planes, 40, heads)) == alike


def test_between_the_samples_what_it_adds_is_interpolated(filtered, monkeypatch):
    """On grids, in parts of them and at points, which see tiles."""
    monkeypatch.setattr("nfcodec.lattice.filtered._TILE", 8)
    own, plain = picture(filtered, 24, 32), picture(filtered, 24, 32, filtered=False)
    added = own.planes(grid((0, 24), (0, 32))) - plain.planes(grid((0, 24), (0, 32)))
    assert np.abs(added).max() > 1e-3
    at = [np.array([0.0, 0.2, 3.25, 11.5, 13.9, 24.0]), np.array([0.25, 8.5, 15.7, 16.1, 31.75])]
    found = own.planes(at) - plain.planes(at)
    down = np.stack([lanczos(added.transpose(1, 2, 0), y) for y in at[0]])
    expected = np.stack([lanczos(down.transpose(1, 0, 2), x) for x in at[1]], 1).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    points = np.stack(np.meshgrid(*at, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(own.sample(points).reshape(6, 5, 3), own.render(at), atol=1e-5)
    part = [at[0][2:4], at[1][1:3]]
    np.testing.assert_allclose(own.render(part), own.render(at)[2:4, 1:3], atol=1e-5)


def test_the_field_has_no_jumps_at_the_samples(filtered):
    own, plain = picture(filtered, 24, 32), picture(filtered, 24, 32, filtered=False)
    at, near = ([np.array([11.5 + off]), np.array([13.5])] for off in (0.0, 1e-5))
    here, beside = (own.planes(p) - plain.planes(p) for p in (at, near))
    np.testing.assert_allclose(beside, here, atol=1e-5)


def test_x_sees_filtered_samples(filtered):
    """What it makes of them comes on top, on grids and at points."""
    rng, shapes = np.random.default_rng(0), detail_shapes(6, 1, 3, 1, 8)
    params = {n: (0.1 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}
    level = filtered.levels[0]
    both = replace(filtered, levels=(replace(level, detail=params),))
    own, plain = picture(both, 24, 32), picture(filtered, 24, 32)
    twice = [np.arange(n) / 2 + 0.25 for n in (48, 64)]
    added = own.render(twice) - plain.render(twice)
    seen = plain.planes(grid((0, 24), (0, 32)))
    luma = [detail(params, x[None], level.hats(50))[0] for x in (seen, seen.transpose(0, 2, 1))]
    luma = (luma[0] + luma[1].transpose(0, 2, 1)) / 2
    expected = plain.set.to_values(np.concatenate([luma, np.zeros((2, 48, 64), np.float32)]), 3, 0.0)
    assert np.abs(added).max() > 1e-3
    np.testing.assert_allclose(added, expected, atol=1e-5)
    points = np.stack(np.meshgrid(*twice, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(own.sample(points).reshape(48, 64, 3), own.render(twice), atol=1e-5)
    np.testing.assert_array_equal(own.render(grid((0, 24), (0, 32))), plain.render(grid((0, 24), (0, 32))))


@pytest.mark.parametrize("way", ["render", "planes", "render_dense", "sample"])
def test_products_of_rendering_use_one_thread_each(filtered, way, monkeypatch):
    """Threads of a library inside a single product would spin while other programs want to work."""
    found, seen = picture(filtered, 24, 32), []

    def spied(self, positions):
        seen.extend(c["num_threads"] for c in threadpoolctl.threadpool_info() if c["user_api"] == "blas")
        return np.zeros((3, 1) if way == "sample" else (3, 1, 1), np.float32)

    monkeypatch.setattr(LevelRenderer, "points" if way == "sample" else "planes", spied)
    with threadpoolctl.threadpool_limits(limits=3, user_api="blas"):
        getattr(found, way)(np.array([[3.25, 7.5]]) if way == "sample" else [np.array([3.25]), np.array([7.5])])
    assert set(seen) == {1}


def test_what_is_low_passed_is_filtered(filtered):
    own, plain = picture(filtered, 24, 32), picture(filtered, 24, 32, filtered=False)
    samples = grid((0, 24), (0, 32))
    np.testing.assert_allclose(own.render_dense(samples), own.render(samples), atol=2e-6)
    dense = [np.arange(0.25, n, 0.5) for n in (24, 32)]
    assert np.abs(own.render_dense(dense) - plain.render_dense(dense)).max() > 1e-3


def test_written_and_read_again(filtered, tmp_path):
    zoo.write_init(filtered, tmp_path / "a.safetensors")
    again = zoo.load(str(tmp_path / "a.safetensors")).levels[0].filter
    own = filtered.levels[0].filter
    np.testing.assert_array_equal(again.log_unit, own.log_unit)
    assert again.views == own.views == 4 and again.heads == own.heads == 3
    assert [len(n.blocks) for n in again.networks] == [2, 1]
    for one, two in zip(own.networks, again.networks, strict=True):
        for name, layer in one.layers.items():
            np.testing.assert_array_equal(two.layers[name].weight, layer.weight)
    assert filtered.parameters - replace(
        filtered, levels=(replace(filtered.levels[0], filter=None),)
    ).parameters == own.parameters  # fmt: skip


def test_the_largest_numbers_stay_exact(filtered):
    """Samples far out of range saturate, and nothing leaves the whole numbers."""
    own = filtered.levels[0].filter
    wild = np.where(np.indices((16, 16)).sum(0) % 2, 1.0, -1.0) * (2.0**47 - 1)
    found = own(np.stack([wild, -wild, wild]), 100)
    assert np.array_equal(found, np.rint(found)) and np.abs(found).max() < 2.0**48
    np.testing.assert_array_equal(found[:, 6:10, 6:10], found[:, 8:12, 8:12])


def cut(layer, rows):
    """A layer of some rows of another one, which are taken again where there are too few."""
    at = np.arange(rows) % len(layer.bias)
    return Layer(layer.weight[at], layer.bias[at], layer.shift[at])


@pytest.mark.parametrize(("change", "words"), [
    ("none", "Y has no network"), ("inputs", "Y, layer in"), ("outputs", "Y has 35 outputs for 36"),
    ("sums", "Y, layer in"), ("unit", "a unit of Y"), ("type", "unit of Y of int32"), ("views", "Y with 3 views"),
    ("no views", "Y with 0 views"), ("heads", "Y with 9 heads"), ("no heads", "Y with 0 heads"),
    ("other heads", "Y has 24 outputs for 36"), ("regions", r"blocks of Y's heads .* \(4, 6\)"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(filtered, change, words):
    own, level = filtered.levels[0].filter, filtered.levels[0]
    net, unit = own.networks[0], own.log_unit
    enter = net.enter

    def leaving(*rows):
        return tuple(replace(net, leave=cut(net.leave, n)) for n in rows)

    made = {
        "none": {"networks": ()},
        "inputs": {"networks": (net, replace(net, enter=replace(enter, weight=enter.weight[:, 1:])))},
        "outputs": {"networks": leaving(36, 35)},
        "sums": {"networks": (
            replace(net, enter=replace(enter, weight=np.full_like(enter.weight, 2**23 // LARGEST_INPUT // 100))),
        )},
        "unit": {"log_unit": np.full(8, 1, np.int16)},
        "type": {"log_unit": unit.astype(np.int32)},
        "views": {"views": 3},
        "no views": {"views": 0},
        "heads": {"networks": leaving(9 * 12), "heads": 9},
        "no heads": {"networks": leaving(11), "heads": 0},
        "other heads": {"networks": leaving(36, 24)},
        "regions": {},
    }[change]  # fmt: skip
    level = replace(level, filter=replace(own, **made))
    if change == "regions":
        spec = replace(level.spec, region=(4, 6))
        level = replace(level, spec=spec, prior=replace(level.prior, spec=spec))
    with pytest.raises(CorruptError, match=words):
        replace(filtered, levels=(level,)).validate()


@pytest.mark.parametrize(("rows", "words"), [
    ((36, 36), None), ((96, 96), None), ((12, 12), None), ((108, 108), "9 heads"), ((11, 12), "0 heads"),
    ((35, 36), "35 outputs for 24"), ((36, 24), "24 outputs for 36"),
])  # fmt: skip
def test_heads_of_an_init_file_are_counted_by_its_outputs(filtered, rows, words, tmp_path):
    own = filtered.levels[0].filter
    networks = [replace(n, leave=cut(n.leave, count)) for n, count in zip(own.networks, rows, strict=True)]
    found = replace(filtered, levels=(replace(filtered.levels[0], filter=replace(own, networks=tuple(networks))),))
    zoo.write_init(found, tmp_path / "a.safetensors")
    if words:
        with pytest.raises(ModelError, match=words):
            zoo.load(str(tmp_path / "a.safetensors"))
    else:
        assert zoo.load(str(tmp_path / "a.safetensors")).levels[0].filter.heads == rows[0] // 12


def test_a_crop_of_a_file(tmp_path):
    data, _ = pack(memory("image", painting(70, 90, 5)), KIND, quality=40, effort=1, tune="psnr")
    whole = unpack(data, KIND)
    part = unpack(data, KIND, crop=(13, 21, 30, 25))
    np.testing.assert_array_equal(part, whole[21:46, 13:43])
    assert opened(data, KIND).header.perceptual is False
