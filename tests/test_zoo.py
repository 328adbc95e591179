import dataclasses
import hashlib
import io
import json
import math
import pickle
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from tiny import PICTURE, make_init

from nfcodec import zoo
from nfcodec.errors import ModelError, ModelHashError, ModelNotFoundError, NfcError, OutputError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.safetensors"
    zoo.write_init(make_init(), path)
    return path


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped inits with one init in it, pinned."""
    digest = zoo.write_init(make_init(), tmp_path / "tiny.safetensors")
    table = {"inits": {"tiny": digest.hex()}, "defaults": {"image": "tiny", "array2": "tiny", "speech": "tiny"}}
    (tmp_path / "index.json").write_text(json.dumps(table))
    monkeypatch.setattr(zoo, "models_folder", lambda: tmp_path)
    zoo.index.cache_clear()
    yield tmp_path
    zoo.index.cache_clear()


def same(a, b):
    groups = all(
        torch.equal(getattr(a, g)[n], getattr(b, g)[n]) for g in ("theta0", "mask", "log_rate") for n in a.theta0
    )
    plain = ("id", "modality", "spec", "inner_steps", "gamma", "coarsest")
    return (
        groups
        and (a.step == b.step).all()
        and (a.scale == b.scale).all()
        and all(getattr(a, n) == getattr(b, n) for n in plain)
    )


def test_round_trip(tmp_path):
    init = make_init()
    path = tmp_path / "i.safetensors"
    digest = zoo.write_init(init, path)
    back = zoo.read_init(path)
    assert same(init, back)
    assert digest == hashlib.sha256(path.read_bytes()).digest() == back.sha256
    assert back.step.dtype == back.scale.dtype == np.int32
    assert zoo.write_init(back, tmp_path / "again.safetensors") == digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "i.safetensors"]


def test_tensors_come_back_in_coded_order(tmp_path):
    """safetensors sorts by name: with eleven layers "10.bias" stands before "2.bias" in the file."""
    deep = dataclasses.replace(PICTURE, depth=11)
    init = make_init(deep)
    shuffled = dataclasses.replace(
        init, **{g: dict(sorted(getattr(init, g).items())) for g in ("theta0", "mask", "log_rate")}
    )
    path = tmp_path / "i.safetensors"
    zoo.write_init(shuffled, path)
    back = zoo.read_init(path)
    coded = [f"{i}.{k}" for i in range(12) for k in ("weight", "bias")]
    assert list(load_tensors(path.read_bytes())) != coded
    for group in (back.theta0, back.mask, back.log_rate):
        assert list(group) == coded
    assert torch.equal(back.theta0_flat, torch.cat([init.theta0[n].reshape(-1) for n in coded]))
    assert torch.equal(torch.cat([t.reshape(-1) for t in back.theta0.values()]), back.theta0_flat)
    assert (back.kept(3) == init.kept(3)).all()


def test_crash_while_writing_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OutputError, match="disk full"):
        zoo.write_init(make_init(seed=3), path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def no_inits(good):
    tensors = load_tensors(good)
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    meta = json.loads(header["__metadata__"]["init"])

    def rebuilt(change=None, **info):
        return save({**tensors, **(change or {})}, {"init": json.dumps({**meta, **info})})

    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    yield "pickle", pickle.dumps(tensors)
    yield "torch.save", buffer.getvalue()
    yield "text", b"#!/bin/sh\n" + b"echo no init\n" * 9
    yield "zeros", bytes(4096)
    yield "ones", b"\xff" * 4096
    yield "short", good[:15]
    yield "half", good[: len(good) // 2]
    yield "one byte less", good[:-1]
    yield "one byte more", good + b"\0"
    yield "no metadata", save(tensors)
    yield "no init", save(tensors, {"other": "{}"})
    yield "no JSON", save(tensors, {"init": "init"})
    yield "a list", save(tensors, {"init": "[1, 2]"})
    yield "deep", save(tensors, {"init": "[" * 100_000})
    yield "format", rebuilt(format=2)
    yield "kind", rebuilt(spec={**meta["spec"], "kind": "nerv"})
    yield "width", rebuilt(spec={**meta["spec"], "width": 9})
    yield "huge", rebuilt(spec={**meta["spec"], "width": 10**9})
    yield "spec", rebuilt(spec=[1, 2])
    yield "steps of the loop", rebuilt(inner_steps=float("inf"))
    yield "gamma", rebuilt(gamma=math.nan)
    yield "missing", save({k: v for k, v in tensors.items() if k != "theta0/0.bias"}, {"init": json.dumps(meta)})
    yield "nan", rebuilt({"theta0/0.bias": torch.full((8,), math.nan)})
    yield "mask", rebuilt({"mask/0.bias": torch.full((8,), 3, dtype=torch.uint8)})
    yield "shape", rebuilt({"log_rate/0.bias": torch.zeros(2, 4)})
    yield "float steps", rebuilt({"step": torch.full((tensors["step"].numel(),), math.nan)})
    yield "large steps", rebuilt({"step": tensors["step"] + 2**31 - 2**20})
    yield "fewer scales", rebuilt({"scale": tensors["scale"][:4]})


def test_no_inits_are_refused(path):
    for name, data in no_inits(path.read_bytes()):
        other = path.with_name(f"{name}.safetensors")
        other.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            zoo.read_init(other)
        assert str(other) in str(caught.value), name


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(ModelError):
        zoo.read_init(tmp_path)
    with pytest.raises(ModelNotFoundError):
        zoo.read_init(tmp_path / "none.safetensors")


def test_bit_flips_never_raise_anything_else(path):
    """An own init has no pinned hash: a flip in a weight is another init, a flip in the structure is an error."""
    good = path.read_bytes()
    head = 8 + int.from_bytes(good[:8], "little")
    init, draw = zoo.read_init(path), random.Random(1)
    refused = 0
    places = [*range(64), *(draw.randrange(64, 8 * head) for _ in range(500))]
    places += [draw.randrange(8 * head, 8 * len(good)) for _ in range(100)]
    for at in places:
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        other = path.with_name("flipped.safetensors")
        other.write_bytes(data)
        zoo._read_cached.cache_clear()
        try:
            assert zoo.read_init(other).sha256 != init.sha256
        except ModelError:
            refused += 1
    assert refused > 300


def test_bit_flips_in_a_shipped_init_are_all_caught(shipped):
    path = shipped / "tiny.safetensors"
    good, draw = path.read_bytes(), random.Random(2)
    assert zoo.load("tiny").id == "tiny"
    for _ in range(150):
        at = draw.randrange(8 * len(good))
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        zoo._read_cached.cache_clear()
        with pytest.raises(ModelError):
            zoo.load("tiny")


def test_another_init_under_a_shipped_name_is_refused(shipped):
    zoo.write_init(make_init(seed=9), shipped / "tiny.safetensors")
    with pytest.raises(ModelHashError, match="tiny.*pinned"):
        zoo.load("tiny")
    with pytest.raises(ModelHashError):
        zoo.list_models()


def test_replaced_file_is_read_again(path):
    first = zoo.read_init(path)
    zoo.write_init(make_init(seed=4, keep=0.5), path)
    assert zoo.read_init(path).sha256 != first.sha256


def test_unknown_names(shipped):
    with pytest.raises(ModelNotFoundError, match="'nobody'.*tiny"):
        zoo.load("nobody")
    (shipped / "tiny.safetensors").unlink()
    with pytest.raises(ModelNotFoundError):
        zoo.load("tiny")


def test_load_by_path(shipped, tmp_path_factory):
    other = tmp_path_factory.mktemp("own") / "own.safetensors"
    digest = zoo.write_init(make_init(seed=5), other)
    assert zoo.load(str(other)).sha256 == digest


def test_46_by_prefix(shipped, tmp_path_factory):
    digest = zoo.load("tiny").sha256
    assert zoo.load_prefix(digest[:4]).sha256 == digest
    assert zoo.name_of_prefix(digest[:4]) == "tiny"
    other = tmp_path_factory.mktemp("own") / "own.safetensors"
    own = zoo.write_init(make_init(seed=5), other)
    assert zoo.load_prefix(own[:4], (str(other),)).sha256 == own
    assert zoo.name_of_prefix(own[:4]) == own[:4].hex()
    with pytest.raises(ModelNotFoundError, match=own[:4].hex()):
        zoo.load_prefix(own[:4])
    with pytest.raises(ModelNotFoundError):
        zoo.load_prefix(b"\0\1\2\3", (str(other),))


def test_defaults(shipped):
    assert zoo.default_id("image", 2, None) == "tiny"
    assert zoo.default_id("array", 2, None) == "tiny"
    assert zoo.default_id("audio", 1, 16_000) == zoo.default_id("audio", 1, 24_000) == "tiny"
    for modality, axes, rate in (("audio", 1, 44_100.0), ("audio", 1, None), ("video", 3, None), ("array", 1, None)):
        with pytest.raises(ModelNotFoundError, match="no init is shipped"):
            zoo.default_id(modality, axes, rate)


def test_description(shipped):
    (info,) = zoo.list_models()
    init = make_init()
    assert info == zoo.describe("tiny")
    assert (info.id, info.modality, info.field, info.default) == ("tiny", "image", "siren", True)
    assert (
        info.parameters == 123
        and info.kept == len(init.kept(3))
        and info.bytes == (shipped / "tiny.safetensors").stat().st_size
    )
    assert info.sha256 == hashlib.sha256((shipped / "tiny.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("text", ["", "[", "\xff"])
def test_unreadable_index(shipped, text):
    (shipped / "index.json").write_bytes(text.encode("latin-1"))
    zoo.index.cache_clear()
    with pytest.raises(NfcError, match="list of shipped inits"):
        zoo.load("tiny")


def test_every_shipped_init_is_what_is_pinned():
    for name, pinned in zoo.index()["inits"].items():
        assert zoo.load(name).sha256.hex() == pinned
    assert set(zoo.index()["defaults"].values()) <= set(zoo.index()["inits"])
    prefixes = [p[:8] for p in zoo.index()["inits"].values()]
    assert len(set(prefixes)) == len(prefixes)
