"""NfcDataset: the samples, their randomness, and life in workers."""

from __future__ import annotations

import os
import pickle
import resource

import numpy as np
import pytest
import torch
from helpers import decode_array, init, memory, pack, painting, psnr_of, sound
from PIL import Image
from torch.utils.data import DataLoader

from nfcodec.decoder import Decoder
from nfcodec.errors import ChecksumError, MediaReadError, ModelNotFoundError, NotNfcError, OptionError
from nfcodec.lattice.code import decode_regions
from nfcodec.lattice.stored import LatticeField
from nfcodec.torch import NfcDataset

KINDS = ("image", "tiny-lattice")
SIZES = ((48, 60), (61, 90), (70, 50))


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, kind):
    """Three pictures in two classes, and files that are none."""
    root = tmp_path_factory.mktemp(kind)
    for i, shape in enumerate(SIZES):
        path = root / ("cats" if i < 2 else "dogs") / f"{i}.nfc"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pack(memory("image", painting(*shape, seed=i)), kind, effort=1, quality=70)[0])
    (root / "cats" / "notes.txt").write_text("no picture")
    (root / ".hidden.nfc").write_bytes(b"")
    return root


def label_of(path):
    return path.parent.name


def data(folder, kind, **options):
    return NfcDataset(folder, init=init(kind), **options)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def loaded(dataset, **options):
    return list(DataLoader(dataset, batch_size=None, **options))


# -- samples ---------------------------------------------------------------------------------------------
def test_whole_pictures_are_those_of_decode(folder, kind):
    found = data(folder, kind, dtype=torch.uint8)
    assert [p.name for p in found.files] == ["0.nfc", "1.nfc", "2.nfc"] and len(found) == 3
    for path, sample in zip(found.files, list(found), strict=True):
        assert sample.dtype == torch.uint8
        assert (sample.permute(1, 2, 0).numpy() == decode_array(path, kind)).all()
    values = data(folder, kind)[1]
    assert values.dtype == torch.float32 and torch.equal((values * 255).round().to(torch.uint8), found[1])


@pytest.mark.parametrize("size", [64, 20, 6, (30, 10), (200, 100)])
def test_sizes(folder, kind, size):
    found = data(folder, kind, size=size, dtype=torch.uint8, gap=2.0)
    width, height = size if isinstance(size, tuple) else (size, size)
    for path, sample in zip(found.files, list(found), strict=True):
        whole = Image.fromarray(decode_array(path, kind))
        exact = np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC))
        assert sample.shape == (3, height, width)
        assert psnr_of(sample.permute(1, 2, 0).numpy(), exact, 255) > 33


@pytest.mark.parametrize("gap", [1.0, 2.0])
def test_boxes(folder, kind, gap):
    box = (7, 5, 40, 40)
    found = data(folder, kind, crop=box, dtype=torch.uint8)
    reduced = data(folder, kind, crop=box, size=10, dtype=torch.uint8, gap=gap)
    for path, sample, small in zip(found.files, list(found), list(reduced), strict=True):
        exact = decode_array(path, kind)[5:45, 7:47]
        assert np.abs(sample.permute(1, 2, 0).numpy().astype(int) - exact).max() <= 1
        small_exact = np.asarray(Image.fromarray(exact).resize((10, 10), Image.Resampling.BICUBIC))
        assert psnr_of(small.permute(1, 2, 0).numpy(), small_exact, 255) > 28


def test_samples_of_half_the_size_do_without_the_last_layer(folder, kind, monkeypatch):
    """As long as the gap allows it."""
    asked, lowest = [], LatticeField.lowest
    monkeypatch.setattr(LatticeField, "lowest", lambda self, *args: asked.append(args[3]) or lowest(self, *args))
    for gap in (1.0, 1.5):
        _ = data(folder, kind, crop=(7, 5, 40, 40), size=20, gap=gap)[1]
    assert asked == ([] if kind == "image" else [2])


def test_the_centre_has_the_shape_of_the_size(folder, kind):
    sample = data(folder, kind, crop="centre", size=48, dtype=torch.uint8)[0]
    exact = decode_array(data(folder, kind).files[0], kind)[:, 6:54]
    assert np.abs(sample.permute(1, 2, 0).numpy().astype(int) - exact).max() <= 1


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4)])
def test_modes_are_the_same_for_all_pictures(tmp_path, kind, mode, channels):
    grey = painting(30, 30, channels=1)
    grey[0, 0], grey[-1, -1] = 0, 255  # all of the range: of a part of it 16 bits are coded more finely
    deep = grey.astype(np.uint16) * 257
    from helpers import encode, save_picture

    for i, samples in enumerate((painting(30, 30), grey, deep)):
        encode(save_picture(tmp_path / f"{i}.png", samples), kind, effort=1)
    found = list(data(tmp_path, kind, mode=mode, dtype=torch.uint8))
    assert {s.shape for s in found} == {(channels, 30, 30)}
    if mode != "RGBA":
        assert (found[1].int() - found[2].int()).abs().max() <= 2  # 16 bits show the same grey as 8


def test_labels_and_transforms(folder, kind):
    found = data(folder, kind, size=8, transform=torch.neg, label=label_of)
    assert [label for _, label in found] == ["cats", "cats", "dogs"]
    assert torch.equal(found[0][0], -data(folder, kind, size=8)[0])


def test_paths_instead_of_a_folder(folder, kind):
    paths = [str(folder / "dogs" / "2.nfc"), folder / "cats" / "0.nfc"]
    found = data(paths, kind, size=8)
    assert torch.equal(found[-1], data(folder, kind, size=8)[0]) and len(found) == 2


# -- fields ----------------------------------------------------------------------------------------------
def test_fields_are_what_the_file_holds(folder, kind):
    found = data(folder, kind, fields=True)
    for path, sample in zip(found.files, list(found), strict=True):
        with path.open("rb") as file:
            decoder = Decoder(file, inits=(init(kind),))
            symbols = np.concatenate([decoder.symbols(c).ravel() for c in range(decoder.chunks)])
            shape, start = decoder.info.shape, decoder.init
        assert sample["symbols"].dtype == torch.int32 and sample["quality"] == 70 and sample["shape"] == shape
        assert (sample["symbols"].numpy().ravel() == symbols).all()
        if kind == "tiny-lattice":
            cells = tuple(-(-n // 8) for n in shape)
            assert sample["symbols"].shape == (3, 64, *cells)
            assert (sample["steps"].numpy() == start.levels[0].steps(70)).all()
        else:
            assert sample["symbols"].shape[1:] == sample["steps"].shape


def test_the_fields_of_several_regions_are_one_lattice(tmp_path):
    path = tmp_path / "wide.nfc"
    path.write_bytes(pack(memory("image", painting(24, 1100)), "tiny-lattice", effort=1)[0])
    symbols = NfcDataset([path], fields=True, init=init("tiny-lattice"))[0]["symbols"]
    with path.open("rb") as file:
        field = Decoder(file, inits=(init("tiny-lattice"),)).field
        assert field.space.row_size == 2
        assert (symbols[:, :, :, 128:].numpy() == field._decoded(1, 0)).all()


def test_deltas_of_modules_make_the_picture(folder):
    """Symbols times steps are what is added to the init's parameters."""
    from nfcodec.modules.stored import dequantized

    path = pack(memory("image", painting(20, 20)), "image", effort=1)[0]
    file = folder.parent / "modules.nfc"
    file.write_bytes(path)
    sample = NfcDataset([file], fields=True, init=init("image"))[0]
    with file.open("rb") as opened:
        decoder = Decoder(opened, inits=(init("image"),))
        symbols = decoder.field.deltas().symbols
        exact = dequantized(decoder.init, sample["quality"], decoder.field.kept, symbols)
    assert torch.allclose(sample["symbols"] * sample["steps"], torch.from_numpy(exact), rtol=1e-6)


# -- randomness ------------------------------------------------------------------------------------------
RANDOM = {"size": 12, "crop": "random", "mirror": True}


def test_an_epoch_is_the_same_whenever_it_is_read(folder, kind):
    first, second = data(folder, kind, **RANDOM), data(folder, kind, **RANDOM)
    assert same(first, second)
    for epoch in (1, 2):
        second.set_epoch(epoch)
        assert not same(first, second) and second.epoch == epoch
    second.set_epoch(0)
    assert same(first, reversed([second[i] for i in (2, 1, 0)]))


def test_seeds_and_generators(folder, kind):
    first = list(data(folder, kind, **RANDOM, seed=0))
    assert not same(first, data(folder, kind, **RANDOM, seed=1))
    drawn = [data(folder, kind, **RANDOM, generator=torch.Generator().manual_seed(n)) for n in (3, 3, 4)]
    assert same(drawn[0], drawn[1]) and not same(drawn[0], drawn[2])


def test_random_regions_cover_the_picture(folder, kind):
    found = data(folder, kind, **RANDOM)
    draw = np.random.default_rng(0)
    parts = [found.regions.choose((90, 61), draw) for _ in range(300)]
    areas = [w * h / (90 * 61) for _, _, w, h in (p.box for p in parts)]
    assert all(min(x, y) >= 0 and x + w <= 90 and y + h <= 61 for x, y, w, h in (p.box for p in parts))
    assert 0.06 < min(areas) < 0.12 and 0.8 < max(areas) <= 1 and 0.35 < sum(p.mirrored for p in parts) / 300 < 0.65
    assert {p.box[0] == 0 for p in parts} == {True, False} and max(p.box[0] + p.box[2] for p in parts) == 90


def test_mirrored_samples_are_mirrored(folder, kind):
    plain, mirrored = data(folder, kind, size=16), data(folder, kind, size=16, mirror=True)
    seen = set()
    for epoch in range(6):
        mirrored.set_epoch(epoch)
        for a, b in zip(plain, mirrored, strict=True):
            seen.add(torch.equal(a, b))
            assert torch.equal(a, b) or torch.equal(a, b.flip(-1))
    assert seen == {True, False}


# -- workers ---------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    ("workers", "context"), [(0, None), (1, "spawn"), (2, "fork"), (2, "spawn")], ids=["none", "1s", "2f", "2s"]
)
def test_workers_give_the_same_samples(folder, kind, workers, context):
    if kind == "image" and context == "spawn":
        pytest.skip("starting processes takes seconds, and one kind of field shows it")
    found = data(folder, kind, **RANDOM, label=label_of)
    keep = workers > 0
    loader = DataLoader(found, batch_size=3, num_workers=workers, multiprocessing_context=context,
                        persistent_workers=keep)  # fmt: skip
    for epoch in (0, 1):
        found.set_epoch(epoch)
        ((samples, labels),) = loader
        alone = data(folder, kind, **RANDOM)
        alone.set_epoch(epoch)
        assert same(samples, alone) and list(labels) == ["cats", "cats", "dogs"]
    del loader


def test_samples_of_a_batch_are_decoded_together(folder, kind, monkeypatch):
    regions = []
    monkeypatch.setattr(
        "nfcodec.lattice.together.decode_regions", lambda p, r: regions.append(len(r)) or decode_regions(p, r)
    )
    found = data(folder, kind, **RANDOM, transform=lambda t: t + 1, label=label_of)
    for (sample, label), i in zip(found.__getitems__([2, 0, -1]), (2, 0, -1), strict=True):
        assert torch.equal(sample, found[i][0]) and label == found[i][1]
    assert regions == ([3] if kind == "tiny-lattice" else [])
    with pytest.raises(IndexError):
        found.__getitems__([0, 99])
    again = pickle.loads(pickle.dumps(data(folder, kind, **RANDOM)))
    assert all(torch.equal(a, b) for a, b in zip(again.__getitems__([0, 1]), (again[0], again[1]), strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_batches_after_a_fork(folder, kind):
    found = data(folder, kind, **RANDOM)
    wanted = found.__getitems__([0, 1])
    loader = DataLoader(found, batch_size=2, num_workers=1, multiprocessing_context="fork", timeout=60)
    assert torch.equal(next(iter(loader)), torch.stack(wanted))


def test_pinned_memory_is_only_a_warning_without_an_accelerator(folder, kind):
    loader = DataLoader(data(folder, kind, size=8), batch_size=3, pin_memory=torch.cuda.is_available())
    assert next(iter(loader)).shape == (3, 3, 8, 8)


def test_pickles(folder, kind):
    found = data(folder, kind, **RANDOM)
    found.set_epoch(5)
    again = pickle.loads(pickle.dumps(found))
    assert again.epoch == 5 and same(found, again)


def test_files_are_closed_and_memory_stays(folder, kind):
    found = data(folder, kind, **RANDOM)

    def some(n):
        for i in range(n):
            found.set_epoch(i)
            assert found[i % 3].shape == (3, 12, 12)

    some(30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some(120)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000  # KiB


# -- wrong uses ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": -3}, {"size": (4,)}, {"size": 4.5}, {"size": "big"}, {"crop": "middle"}, {"crop": (1, 2)},
     {"crop": (0, 0, 0, 4)}, {"crop": (-1, 0, 4, 4)}, {"area": (0, 1)}, {"area": (0.5, 0.2)}, {"area": (0.5, 1.5)},
     {"ratio": (2, 1)}, {"ratio": 1.0}, {"mode": "CMYK"}, {"dtype": torch.int32}, {"gap": 0.5}, {"gap": float("nan")},
     {"fields": True, "size": 8}, {"fields": True, "crop": "random"}, {"fields": True, "mirror": True}],
)  # fmt: skip
def test_impossible_options(folder, kind, options):
    with pytest.raises(OptionError):
        data(folder, kind, **options)


@pytest.mark.parametrize("epoch", [-1, 1.5, "next"])
def test_impossible_epochs(folder, kind, epoch):
    with pytest.raises(OptionError, match="epoch"):
        data(folder, kind).set_epoch(epoch)


def test_no_files(tmp_path, kind):
    for wrong in (tmp_path, tmp_path / "nowhere", []):
        with pytest.raises(MediaReadError):
            data(wrong, kind)
    (tmp_path / "x.nfc").write_bytes(b"")
    with pytest.raises(MediaReadError, match="not a folder"):
        data(tmp_path / "x.nfc", kind)


def test_indices_outside(folder, kind):
    for wrong in (3, -4, 1000):
        with pytest.raises(IndexError):
            data(folder, kind)[wrong]


def test_bad_files_are_named(folder, kind, tmp_path):
    good = (folder / "cats" / "0.nfc").read_bytes()
    damaged = bytearray(good)
    damaged[-20] ^= 1
    cases = {
        "gone": None,
        "text": b"hello",
        "damaged": bytes(damaged),
        "sound": pack(memory("audio", sound(500, 1)), "audio", effort=1)[0],
    }
    for name, content in cases.items():
        if content is not None:
            (tmp_path / f"{name}.nfc").write_bytes(content)
    expected = {"gone": MediaReadError, "text": NotNfcError, "damaged": ChecksumError, "sound": ModelNotFoundError}
    for name, error in expected.items():
        with pytest.raises(error, match=f"{name}.nfc"):
            data([tmp_path / f"{name}.nfc"], kind)[0]
    with pytest.raises(OptionError, match="audio"):
        NfcDataset([tmp_path / "sound.nfc"], init=init("audio"))[0]
    with pytest.raises(OptionError, match="reaches outside"):
        data(folder, kind, crop=(0, 0, 55, 48))[2]


def test_errors_of_workers_arrive(folder, kind, tmp_path):
    (tmp_path / "text.nfc").write_bytes(b"hello")
    loader = DataLoader(data(tmp_path, kind), num_workers=1, multiprocessing_context="fork")
    with pytest.raises(NotNfcError, match=r"text\.nfc"):
        next(iter(loader))
