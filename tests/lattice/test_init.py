"""A lattice init as a file: what comes back, and what is refused."""

import json

import numpy as np
import pytest
import torch
from helpers import init as path_of
from safetensors.torch import load, save

from nfcodec import zoo
from nfcodec.errors import ModelError
from nfcodec.lattice import order
from nfcodec.lattice.init import LatticeInit

PATH = path_of("tiny-lattice")


@pytest.fixture(scope="module")
def stored():
    """Tensors and metadata of the tiny init."""
    with open(PATH, "rb") as file:
        data = file.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), json.loads(header["__metadata__"]["init"])


def loaded(folder, tensors, meta):
    """The init of changed contents."""
    path = folder / "changed.safetensors"
    path.write_bytes(save({n: t.contiguous() for n, t in tensors.items()}, {"init": json.dumps(meta)}))
    return zoo.read_init(path)


def test_what_it_says_of_itself(stored):
    init, about = zoo.load(PATH), zoo.describe(PATH)
    assert isinstance(init, LatticeInit) and (init.id, init.kind, init.modality) == ("test-lattice", "lattice", "image")
    assert (about.field, about.kept, about.sha256) == ("lattice", 192, init.sha256.hex())
    shared = [t for n, t in stored[0].items() if n.split("/")[1] in ("trunk", "restore", "first_step", "detail")]
    weights = sum(t.numel() for t in shared if t.dtype != torch.uint8)  # shifts are no parameters
    assert about.parameters == init.parameters == weights


def test_written_and_read_again(tmp_path):
    init = zoo.load(PATH)
    digest = zoo.write_init(init, tmp_path / "again.safetensors")
    assert digest == zoo.write_init(zoo.read_init(tmp_path / "again.safetensors"), tmp_path / "twice.safetensors")
    again = zoo.read_init(tmp_path / "again.safetensors")
    [ours], [theirs] = init.levels, again.levels
    for name in ("table", "log_step"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    for group in ("trunk", "first_step", "detail"):
        assert set(getattr(theirs, group)) == set(getattr(ours, group))
        for name, array in getattr(ours, group).items():
            np.testing.assert_array_equal(getattr(theirs, group)[name], array)
    for a, b in zip(layers_of(ours), layers_of(theirs), strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.bias, b.bias)
        np.testing.assert_array_equal(a.shift, b.shift)


def layers_of(level):
    networks = (*level.prior.groups, *level.prior.means)
    return [*level.restore.layers.values(), *(layer for n in networks for layer in n.layers)]


def test_steps_follow_the_quality():
    """Powers of two of the anchors, linear between them in the whole numbers of the format."""
    [level] = zoo.load(PATH).levels
    for quality in (0, 50, 100, 7, 93):
        hats = order.quality_features(quality)
        assert level.hats(quality).sum() == 1 and hats.sum() == 16
        wanted = 2.0 ** sum(int(h) / 4096 * level.log_step[i].astype(np.float64) for i, h in enumerate(hats))
        np.testing.assert_allclose(level.steps(quality), wanted, rtol=2e-3)
    np.testing.assert_allclose(level.steps(0), np.exp2(level.log_step[0] / 256), rtol=1e-5)
    np.testing.assert_allclose(level.steps(100), np.exp2(level.log_step[7] / 256), rtol=1e-5)


def test_trade_off_falls_by_its_ratio():
    init = zoo.load(PATH)
    assert init.trade_off(0) == init.trade[0] and init.trade_off(100) == pytest.approx(init.trade[0] * init.trade[1])


# -- refusals --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "trunk/trunk.1.bias", "restore/0.weight", "restore/in.bias", "restore/out.shift", "first_step/log_gain",
        "first_step/e.out.bias", "first_step/analysis.0", "log_step", "table", "prior/group.12.2.shift",
        "prior/mean.5.0.weight",
    ],
)  # fmt: skip
def test_a_tensor_is_missing_or_wrong(stored, tmp_path, name):
    tensors, meta = stored
    name = f"0/{name}"
    with pytest.raises(ModelError):
        loaded(tmp_path, {n: t for n, t in tensors.items() if n != name}, meta)
    for wrong in (tensors[name][..., :-1], tensors[name].unsqueeze(0), tensors[name].reshape(-1)[0]):
        with pytest.raises(ModelError):
            loaded(tmp_path, {**tensors, name: wrong}, meta)
    if tensors[name].is_floating_point():
        for bad in (torch.nan, torch.inf):
            changed = tensors[name].clone()
            changed.view(-1)[0] = bad
            with pytest.raises(ModelError, match="finite"):
                loaded(tmp_path, {**tensors, name: changed}, meta)
    else:
        with pytest.raises(ModelError, match="integers|log_step|table"):
            loaded(tmp_path, {**tensors, name: tensors[name].float()}, meta)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2"), ({"format": None}, "format"), ({"kind": "lettuce"}, "lettuce"),
        ({"levels": [{}]}, "spec"), ({"levels": [3]}, "spec"), ({"levels": []}, "no levels"),
        ({"levels": 3}, "int"), ({"trade": [1.0]}, "values"), ({"trade": [0.0, 1.0]}, "trade"),
        ({"trade": [float("nan"), 1.0]}, "trade"), ({"trade": ["a", 1.0]}, "float"), ({"trade": [1e9, 0.1]}, "trade"),
    ],
)  # fmt: skip
def test_metadata_that_is_wrong(stored, tmp_path, change, words):
    tensors, meta = stored
    with pytest.raises(ModelError, match=words):
        loaded(tmp_path, tensors, {**meta, **change})
    for key in ("format", "id", "modality", "levels", "trade"):
        with pytest.raises(ModelError):
            loaded(tmp_path, tensors, {k: v for k, v in meta.items() if k != key})


@pytest.mark.parametrize(
    "change",
    [{"spacing": [16, 16]}, {"spacing": [8]}, {"spacing": [8, 8, 8]}, {"bases": 32}, {"planes": 2}, {"planes": 1},
     {"width": 10**9}, {"width": -1}, {"extra": 5}, {"extra": -1}, {"w0": 0.0}, {"w0": 3}, {"spacing": [8, 8.0]}],
)  # fmt: skip
def test_specs_of_other_lattices(stored, tmp_path, change):
    tensors, meta = stored
    with pytest.raises(ModelError):
        loaded(tmp_path, tensors, {**meta, "levels": [{**meta["levels"][0], **change}]})


def test_steps_out_of_range(stored, tmp_path):
    tensors, meta = stored
    for bad in (2048, -6145):
        changed = tensors["0/log_step"].clone()
        changed[3, 1, 5] = bad
        with pytest.raises(ModelError, match="step size"):
            loaded(tmp_path, {**tensors, "0/log_step": changed}, meta)


def test_a_table_that_could_be_inexact(stored, tmp_path):
    tensors, meta = stored
    changed = tensors["0/table"].to(torch.int32)
    changed[70, 9] = 1 << 22
    with pytest.raises(ModelError, match="exact"):
        loaded(tmp_path, {**tensors, "0/table": changed}, meta)


@pytest.mark.parametrize("name", ["0/prior/group.4.1.bias", "0/restore/0.bias"])
def test_networks_that_could_be_inexact(stored, tmp_path, name):
    tensors, meta = stored
    changed = tensors[name].clone()
    changed[0] = 1 << 24
    with pytest.raises(ModelError, match="exact"):
        loaded(tmp_path, {**tensors, name: changed}, meta)


def test_tensors_that_nobody_knows_are_let_be(stored, tmp_path):
    """A later version may add some."""
    tensors, meta = stored
    init = loaded(tmp_path, {**tensors, "future/thing": torch.zeros(3)}, {**meta, "note": "hello"})
    assert init.id == "test-lattice"
