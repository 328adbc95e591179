"""Training of Y: the network that learns is the one that decodes, and it learns what is lost."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from helpers import decode_array, init, memory, pack, painting
from safetensors.numpy import load_file
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from nfcodec import zoo
from nfcodec.decoder.decoder import Decoder
from nfcodec.errors import CorruptError, OptionError
from nfcodec.lattice import filtering
from nfcodec.lattice.filtering import SIDE, SampleFilter
from nfcodec.lattice.train.export import with_wider
from nfcodec.lattice.train.filtering import (
    PLANE_BITS,
    CodedPicture,
    FilterConfig,
    FilterTrainer,
    coded,
    inputs_of,
    shown,
    whole_filter,
    with_filter,
)

CONFIG = FilterConfig(width=6, blocks=1, heads=3, steps=60, batch=4, crop=40, lr=1e-2)
UNIT = np.rint(256 * np.array(CONFIG.log_unit)).astype(np.int16)


@pytest.fixture(scope="module")
def tiny():
    return zoo.load(init("filtered-lattice")).tuned("psnr")


def of_file(samples, quality, kind="filtered-lattice"):
    data, _ = pack(memory("image", samples), kind, quality=quality, effort=1, tune="psnr")
    return coded(Decoder(BytesIO(data), inits=(init(kind),)).field, samples, (12,))


@pytest.fixture(scope="module")
def pictures():
    return [of_file(painting(48, 40, seed), quality) for seed in range(4) for quality in (20, 60)]


def test_pictures_are_as_they_decode_without_it(pictures, tmp_path):
    coarse, fine = pictures[:2]
    assert coarse.quality == 20 and coarse.decoded.shape == (3, 48, 40) and {coarse.spacing, fine.spacing} <= {0, 1}
    assert coarse.error > fine.error > 0.0
    samples = painting(48, 40, 0)
    data, _ = pack(memory("image", samples), "tiny-lattice", quality=60, effort=1)
    plain = coded(Decoder(BytesIO(data), inits=(init("tiny-lattice"),)).field, samples, ())
    (tmp_path / "a.nfc").write_bytes(data)
    shown = decode_array(tmp_path / "a.nfc", "tiny-lattice") / 255.0
    assert plain.error == pytest.approx(np.square(samples / 255.0 - shown).mean(), rel=0.02)
    noise = np.random.default_rng(0).integers(0, 2, (48, 40, 1), np.uint8)
    assert of_file(np.repeat(255 * noise, 3, 2), 60) is None


def test_a_network_learns_from_its_part_of_the_range(tiny, pictures):
    trainer = FilterTrainer(tiny, pictures, replace(CONFIG, qualities=(50, 70)))
    assert {p.quality for p in trainer.pictures} == {60}


def test_one_begins_where_another_is(tiny, pictures, tmp_path):
    first = FilterTrainer(tiny, pictures, CONFIG)
    first.run(until=3)
    first.save(tmp_path / "a")
    second = FilterTrainer(tiny, pictures, replace(CONFIG, qualities=(50, 70)))
    second.begin(tmp_path / "a")
    for name, value in first.average.items():
        torch.testing.assert_close(second.params[name].detach(), value)
        torch.testing.assert_close(second.average[name], value)
    assert second.at == 0
    with pytest.raises(CorruptError, match="another Y"):
        FilterTrainer(tiny, pictures, replace(CONFIG, width=4)).begin(tmp_path / "a")


def test_a_narrower_network_grows_into_one_that_shows_the_same(tiny, pictures, tmp_path):
    first = FilterTrainer(tiny, pictures, CONFIG)
    first.step()
    first.save(tmp_path / "a")
    wider = FilterTrainer(tiny, pictures, replace(CONFIG, width=CONFIG.width + 3))
    wider.begin(tmp_path / "a")
    planes = np.random.default_rng(0).normal(0, 2.0**29, (3, 20, 30))
    np.testing.assert_array_equal(wider.trained()(planes, 50), first.trained()(planes, 50))
    assert all(wider.params[f"d.{n}.weight"][CONFIG.width :].any() for n in ("in", 0))
    before = wider.params["d.out.weight"].detach().clone()
    wider.step()
    assert (wider.params["d.out.weight"] - before)[:, CONFIG.width :].any()


def test_a_single_head_parts_into_several_of_which_blocks_choose(tiny, pictures, tmp_path):
    """What is left with the best head of each block falls; the first one is most like the single one."""
    single = FilterTrainer(tiny, pictures, replace(CONFIG, heads=1))
    single.run(until=20)
    single.save(tmp_path / "a")
    parted = FilterTrainer(tiny, pictures, CONFIG)
    parted.begin(tmp_path / "a")
    assert parted.params["d.out.bias"].shape == (3 * 12,)
    with torch.no_grad():
        inputs, told, missing, *_ = parted.batch(0)
        wanted = pixel_unshuffle(missing, SIDE)[:, None, :, :16, :16]
        before, after = (
            (shown(whole_filter(t.params, 3), inputs, told)[..., :16, :16] - wanted).square().mean((2, 3, 4))
            for t in (single, parted)
        )
    assert after.amin(1).mean() < 0.99 * before.mean()
    heads = parted.params["d.out.weight"].detach().reshape(3, 12, -1)
    far = (heads - single.average["d.out.weight"]).square().sum((1, 2))
    assert far.argmin() == 0


def test_what_learns_is_what_decodes(tiny, pictures):
    """The same whole inputs, and but for sums in another order the same outputs."""
    trainer = FilterTrainer(tiny, pictures, CONFIG)
    torch.manual_seed(0)
    trainer.use({n: p + 0.1 * torch.randn_like(p) for n, p in trainer.params.items()})
    network = whole_filter(trainer.params, 3)
    arrays = SampleFilter((trainer.whole(trainer.params),), UNIT, heads=3)
    arrays.validate("x", 3, 1)
    planes, quality = pictures[2].decoded.astype(np.float64) * 2.0 ** (32 - PLANE_BITS), 20
    samples = filtering.samples(np.floor(planes * 2.0**-12 + 0.5), arrays.exponent(quality))
    inputs = inputs_of(torch.from_numpy(samples)[None])
    np.testing.assert_array_equal(inputs[0].numpy(), filtering.inputs(samples))
    told = torch.from_numpy(filtering.told(quality, 0, 1))[None]
    with torch.no_grad():
        added = pixel_shuffle(shown(network, inputs, told)[0], SIDE).numpy() * filtering.unit(UNIT, quality)
    for head, own in enumerate(added):
        chosen = np.full((planes.shape[1] // SIDE, planes.shape[2] // SIDE), head, np.uint8)
        expected = (arrays(planes, quality, chosen) - planes) * 2.0**-32
        assert np.abs(expected).max() > 4 * 2.0**-20
        np.testing.assert_allclose(own, expected, atol=2.0**-20 + filtering.unit(UNIT, quality) / 256)


def blurred(picture):
    """As if coding had lost what is fine."""
    wide = np.pad(picture.original, [(0, 0), (1, 1), (1, 1)], mode="edge").astype(np.int32)
    soft = sum(np.roll(wide, (y, x), (1, 2)) for y in (-1, 0, 1) for x in (-1, 0, 1))[:, 1:-1, 1:-1] // 9
    return replace(picture, decoded=soft.astype(np.int16))


def test_it_learns_and_goes_on_where_it_was(tiny, pictures, tmp_path):
    pictures = [blurred(p) for p in pictures]
    trainer = FilterTrainer(tiny, pictures, CONFIG)
    trainer.run(until=30)
    trainer.save(tmp_path / "a")
    trainer.run()
    again = FilterTrainer(tiny, pictures, CONFIG)
    again.resume(tmp_path / "a")
    again.run()
    for name, value in trainer.average.items():
        torch.testing.assert_close(again.average[name], value)
    made = trainer.made()
    left, before = 0.0, 0.0
    for picture in pictures:
        own = replace(made.levels[-1].filter, spacing=picture.spacing)
        planes = picture.decoded.astype(np.float64) * 2.0 ** (32 - PLANE_BITS)
        missing = picture.original * 2.0**-PLANE_BITS - own(planes, picture.quality) * 2.0**-32
        left, before = left + np.square(missing).mean(), before + picture.error
    assert left < 0.9 * before
    with pytest.raises(OptionError):
        FilterTrainer(tiny, pictures, replace(CONFIG, batch=3)).resume(tmp_path / "a")


def test_a_checkpoint_of_another_network(tiny, pictures, tmp_path):
    trainer = FilterTrainer(tiny, pictures, CONFIG)
    del trainer.params["d.0.bias"]
    trainer.save(tmp_path / "a")
    with pytest.raises(CorruptError, match="another Y"):
        FilterTrainer(tiny, pictures, CONFIG).resume(tmp_path / "a")


def test_parts_begin_where_squares_do(pictures):
    """A part is found again in the picture, turned and mirrored, at even places."""
    whole = np.arange(3 * 12 * 16, dtype=np.int16).reshape(3, 12, 16)
    one = CodedPicture(whole, np.zeros_like(whole), 50, 0)
    random = np.random.default_rng(0)
    corners = set()
    for _ in range(60):
        decoded, missing = one.part(random, 8)
        assert decoded.shape == missing.shape == (3, 8, 8)
        smallest = int(missing[0].min())
        assert smallest // 16 % SIDE == 0 and smallest % 16 % SIDE == 0
        corners.add(int(np.argmin(missing[0])))
    assert corners == {0, 7, 56, 63}


def test_a_filter_goes_with_the_spacings_it_is_told_of(tiny):
    assert with_wider(tiny, (12,)).levels[0].filter is tiny.levels[0].filter
    assert with_wider(tiny, (16,)).levels[0].filter is None


def test_both_tunes_have_it_stored_once(tiny, tmp_path):
    both = with_filter(zoo.load(init("filtered-lattice")), tiny.levels[0].filter)
    zoo.write_init(both, tmp_path / "a.safetensors")
    again = zoo.load(str(tmp_path / "a.safetensors"))
    assert again.tuned("perceptual").levels[0].filter is not None
    assert not any(n.startswith("perceptual/0/filter") for n in load_file(tmp_path / "a.safetensors"))
    assert with_filter(both, None).tuned("perceptual").levels[0].filter is None
