"""What is to be done, and everything that is refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import painting, save_picture

from nfcodec.batch.actions import DecodeAction, EncodeAction, action_of, says_media, stem_of
from nfcodec.batch.events import BatchItem, FoundFile, Refused, Skipped
from nfcodec.batch.plan import BatchPlan, collisions_of, in_shard, make_plan, parse_shard, plan_of, rename_hint
from nfcodec.errors import InputError, MediaReadError, NfcError, OptionError, OutputError
from nfcodec.options import DecodeOptions, EncodeOptions

from .conftest import fill
from .jobs import Copy


def plan(inputs: list[Path], output: Path, **options: object) -> BatchPlan:
    return make_plan(inputs, output, Copy(), **options)  # type: ignore[arg-type]


def targets(p: BatchPlan) -> list[str]:
    return [item.target for item in p.items]


def test_trees(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", {"a/x.in": b"", "y.in": b"", "z.txt": b"", "w.bad": b""})
    two = fill(tmp_path / "deep" / "two", {"a/x.in": b""})
    found = plan([one], tmp_path / "out")
    assert targets(found) == ["a/x.out", "y.out"]
    assert [r.path for r in found.refused] == ["w.bad"] and [s.path for s in found.skipped] == ["z.txt"]
    assert found.total == 4
    assert targets(plan([one, two], tmp_path / "out")) == ["one/a/x.out", "one/y.out", "two/a/x.out"]


def test_output_inside_of_the_input(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", {"x.in": b"", "out/x.out": b"", "out/y.in": b""})
    assert targets(plan([folder], folder / "out")) == ["x.out"]
    assert targets(plan([folder / "out"], folder / "out")) == ["x.out", "y.out"]


def test_inputs_that_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"a/set/x.in": b"", "b/SET/x.in": b"", "file": b""})
    with pytest.raises(InputError, match="would both be the folder SET of the output"):
        plan([tmp_path / "a" / "set", tmp_path / "b" / "SET"], tmp_path / "out")
    with pytest.raises(MediaReadError, match="no such folder"):
        plan([tmp_path / "missing"], tmp_path / "out")
    with pytest.raises(MediaReadError, match="is no folder"):
        plan([tmp_path / "file"], tmp_path / "out")


@pytest.mark.parametrize(
    "names",
    [
        ("a.in", "a.other"), ("A.in", "a.in"), ("x/a.in", "X/A.in"), ("e\u0301.in", "\u00e9.in"),
        ("Stra\u00dfe.in", "STRASSE.in"), ("a.in", "a.out/b.in"), ("A.in", "a.OUT/c/b.in"),
    ],
)  # fmt: skip
def test_names_that_collide(names: tuple[str, str]) -> None:
    items = [BatchItem(name, "", stem_of(name) + ".out") for name in names]
    found = collisions_of(items)
    assert set(found) == set(names)
    for message in found.values():
        assert "would both be written to" in message and names[0] in message and names[1] in message


def test_names_that_do_not_collide() -> None:
    assert not collisions_of([BatchItem(n, "", n + ".out") for n in ("a.in", "a.other", "x/a.in", "a/b", "ab")])


@pytest.mark.parametrize(
    ("action", "hint"),
    [
        (EncodeAction(), "--keep-suffix: photo.png becomes photo.png.nfc; with --keep-going only they fail"),
        (EncodeAction(keep_suffix=True), "rename one of them; with --keep-going"),
        (DecodeAction(), "rename one of them; with --keep-going"),
    ],
)
def test_hints_about_collisions_fit_the_options(action: EncodeAction | DecodeAction, hint: str) -> None:
    items = [BatchItem("a.x", "", "a.out"), BatchItem("A.x", "", "A.out")]
    with pytest.raises(OutputError) as caught:
        plan_of(items, (1, 1), hint=rename_hint(action), keep_going=False)
    assert str(caught.value.hint).endswith(hint) or hint in str(caught.value.hint)
    assert ("--keep-suffix" in str(caught.value.hint)) == ("--keep-suffix" in hint)


def test_collisions_stop_only_what_collides_when_asked(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", {"a.in": b"", "a.other": b"", "b.in": b"", "A.in": b""})
    with pytest.raises(OutputError):
        plan([folder], tmp_path / "out")
    made = plan([folder], tmp_path / "out", keep_going=True)
    assert targets(made) == ["b.out"]
    assert {r.path for r in made.refused} == {"a.in", "a.other", "A.in"}


def test_collisions_count_in_every_shard(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", {"a.in": b"", "a.other": b""})
    for shard in ((1, 2), (2, 2)):
        with pytest.raises(OutputError):
            plan([folder], tmp_path / "out", shard=shard)


def test_shards_share_everything(tmp_path: Path) -> None:
    names = {f"{i}.{'in' if i % 5 else 'txt' if i % 2 else 'bad'}": b"" for i in range(60)}
    folder = fill(tmp_path / "in", names)
    parts = [plan([folder], tmp_path / "out", shard=(i, 3)) for i in (1, 2, 3)]
    found = [x.path for p in parts for x in (*p.items, *p.refused, *p.skipped)]
    assert sorted(found) == sorted(names) and all(p.total > 8 for p in parts)


def test_a_shard_depends_on_the_path_alone() -> None:
    # Fixed for ever: machines with different versions share one job.
    assert [p for p in ("a.png", "b/c.png", "é.png", "photo.jpg", "x/y/z") if in_shard(p, (1, 2))] == [
        "a.png",
        "photo.jpg",
    ]
    assert in_shard("e\u0301.png", (1, 7)) == in_shard("\u00e9.png", (1, 7))
    assert in_shard("bad\udcff.png", (1, 1))


def test_parsing_shards() -> None:
    assert parse_shard("2/8") == (2, 8)
    for bad in ("0/4", "5/4", "1", "1/2/3", "a/b", "-1/2", "1/0", ""):
        with pytest.raises(OptionError):
            parse_shard(bad)


# -- what becomes of a file ------------------------------------------------------------------------------
def sorted_as(folder: Path, name: str, data: bytes, action: EncodeAction | DecodeAction | None = None) -> object:
    fill(folder, {name: data})
    return (action or EncodeAction()).sort(FoundFile(name, str(folder / name)))


def test_encoding_sorts_by_content(tmp_path: Path) -> None:
    save_picture(tmp_path / "photo.png", painting(20, 30))
    data = (tmp_path / "photo.png").read_bytes()
    found = sorted_as(tmp_path, "named.dat", data)
    assert isinstance(found, BatchItem) and found.target == "named.nfc" and found.cost == len(data) / 2
    found = sorted_as(tmp_path, "a.b.png", data, EncodeAction(keep_suffix=True))
    assert isinstance(found, BatchItem) and found.target == "a.b.png.nfc"
    for name, words in [
        ("broken.png", b"words"),
        ("empty.jpg", b""),
        ("x.HEIC", b"\0\0\0\x18ftypheic"),
        ("v.svg", b"<svg"),
    ]:
        found = sorted_as(tmp_path, name, words)
        assert isinstance(found, Refused) and name in found.message and str(tmp_path) not in found.message
    for name in ("README.md", "labels.csv", "Thumbs.db", "a.nfc", "nfc-batch.jsonl", "paper.pdf"):
        assert isinstance(sorted_as(tmp_path, name, b"words"), Skipped)
    found = sorted_as(tmp_path, "set.zip", b"PK\3\4")
    assert isinstance(found, Skipped) and found.reason == "is a zip archive, which nfc does not take"
    (tmp_path / "gone.png").symlink_to("nowhere")
    gone = FoundFile("gone.png", str(tmp_path / "gone.png"))
    assert isinstance(EncodeAction().sort(gone), BatchItem), "a worker has to try"


def test_decoding_sorts_by_suffix(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden"
    for name, suffix in (("rgb", "png"), ("stereo", "wav"), ("clip", "mp4"), ("table", "npy")):
        found = sorted_as(tmp_path, f"{name}.nfc", (golden / f"{name}.nfc").read_bytes(), DecodeAction())
        assert isinstance(found, BatchItem) and found.target == f"{name}.{suffix}" and found.cost > 1
    found = sorted_as(tmp_path, "rgb.nfc", (golden / "rgb.nfc").read_bytes(), DecodeAction(format="webp"))
    assert isinstance(found, BatchItem) and found.target == "rgb.webp"
    assert isinstance(sorted_as(tmp_path, "bad.nfc", b"words", DecodeAction()), Refused)
    assert isinstance(sorted_as(tmp_path, "photo.png", b"words", DecodeAction()), Skipped)


def test_names_that_claim_to_be_media() -> None:
    assert all(map(says_media, ("a.JPG", "b/c.heic", "x.npy", "y.mp3", "z.mp4", "q.svg", "r.webp", "s.dng")))
    assert not any(map(says_media, ("a.txt", "b", "c.pdf", "d.json", ".png", "e.nfc")))


@pytest.mark.parametrize(
    "action",
    [
        EncodeAction(EncodeOptions(quality=30, effort=2, strip=frozenset(("icc", "exif")), init="x"), keep_suffix=True),
        EncodeAction(EncodeOptions(bpp=0.5, max_time=3.0)),
        DecodeAction(DecodeOptions(size=(64, 0), crop=(0, 0, 8, 8), time=(1.0, None)), "webp", "y"),
    ],
)
def test_settings_make_the_action_again(action: EncodeAction | DecodeAction) -> None:
    import json

    assert action_of(action.name, json.loads(json.dumps(action.settings()))) == action


def test_keys_know_what_matters(tmp_path: Path) -> None:
    from helpers import init

    plain = EncodeAction(EncodeOptions(init=init("image"))).key()
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(init("image")).read_bytes())
    assert EncodeAction(EncodeOptions(init=str(copy))).key() == plain, "an init counts by its bytes"
    assert EncodeAction(EncodeOptions(init=init("image"), verify=False)).key() == plain
    others = [
        EncodeOptions(init=init("image"), quality=74), EncodeOptions(init=init("image"), strip=frozenset(("icc",))),
        EncodeOptions(init=init("masked")), EncodeOptions(),
    ]  # fmt: skip
    assert len({plain, *(EncodeAction(o).key() for o in others)}) == 5
    with pytest.raises(NfcError, match="cannot read init"):
        EncodeAction(EncodeOptions(init=str(tmp_path / "missing"))).key()
