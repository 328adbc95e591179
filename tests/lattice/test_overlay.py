"""Pictures of few colours, whole or in part: encoded, decoded, cropped, enlarged, damaged."""

import io

import numpy as np
import pytest
from helpers import (
    STAND_INS,
    decode_array,
    memory,
    opened,
    pack,
    painting,
    rewritten,
    save_picture,
    there_and_back,
    unpack,
    with_region,
)

from nfcodec import api
from nfcodec.container.layout import SectionType
from nfcodec.container.reader import Reader
from nfcodec.errors import CorruptError
from nfcodec.lattice.fit.palette_search import even_parts
from nfcodec.options import DecodeOptions
from nfcodec.signal import SignalInfo

KIND = "tiny-lattice"


def drawing(height=70, width=100, channels=3):
    """Flat boxes and stripes."""
    out = np.full((height, width, channels), 240, np.uint8)
    out[10:50, 20:60] = (200, 30, 60)[:channels]
    out[30:64, 40:90] = (20, 90, 180)[:channels]
    out[:8, ::3] = 10
    return out


def mixed():
    """A drawing with a painting in it."""
    out = drawing(96, 160)
    out[:, 96:] = painting(96, 64)
    return out


@pytest.fixture
def small_regions(monkeypatch):
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))


def overlays(data):
    return [e for e in Reader(io.BytesIO(data)).index() if e.type == SectionType.OVERLAY]


def picture(samples, **options):
    return pack(memory("image", samples), KIND, effort=1, **options)[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [20, 90])
def test_drawings_are_exact(tmp_path, channels, quality):
    source = save_picture(tmp_path / "a.png", drawing(channels=channels))
    result, back = there_and_back(source, KIND, tmp_path / "b.png", quality=quality, effort=1)
    np.testing.assert_array_equal(back, drawing(channels=channels))
    assert result.psnr == np.inf and result.bytes < 400


def test_two_levels_with_alpha(tmp_path):
    samples = drawing(channels=1) > 100
    source = save_picture(tmp_path / "a.png", samples)
    _, back = there_and_back(source, KIND, tmp_path / "b.png", effort=1)
    np.testing.assert_array_equal(back.astype(bool), samples)
    alpha = np.where(drawing(channels=1)[..., 0] > 100, 255, 7).astype(np.uint8)
    source = save_picture(tmp_path / "c.png", drawing(), alpha)
    _, back = there_and_back(source, KIND, tmp_path / "d.png", effort=1)
    np.testing.assert_array_equal(back, drawing())


def test_part_of_a_picture():
    data = picture(mixed(), quality=60)
    assert len(overlays(data)) == 1
    back = np.rint(np.clip(unpack(data, KIND), 0, 1) * 255)
    np.testing.assert_array_equal(back[:, :96], mixed()[:, :96])
    error = np.abs(back[:, 96:] - mixed()[:, 96:]).mean()
    assert 0 < error < 6


def test_paintings_have_none():
    assert not overlays(picture(painting(96, 96)))
    info = SignalInfo("image", (96, 96), 3, "u8")
    assert even_parts(painting(96, 96).astype(np.float32) / 255, info, effort=9) is None


def test_little_is_left_in_haste():
    samples = painting(160, 160)
    samples[:48, :48] = drawing()[:48, :48]
    values, info = samples.astype(np.float32) / 255, SignalInfo("image", (160, 160), 3, "u8")
    assert even_parts(values, info, effort=2) is None
    assert even_parts(values, info, effort=3) is not None


def test_other_samples_have_none():
    values = drawing().astype(np.float32) / 255
    assert even_parts(values, SignalInfo("image", (70, 100), 3, "u8"), effort=5) is not None
    assert even_parts(values, SignalInfo("image", (70, 100), 3, "u16"), effort=5) is None
    assert even_parts(values[..., :1], SignalInfo("array", (70, 100), 1, "u8"), effort=5) is None


def test_fewer_bytes_and_more_psnr_than_without(monkeypatch):
    _, encoded = pack(memory("image", mixed()), KIND, effort=2, quality=60)
    monkeypatch.setattr("nfcodec.lattice.fit.encode.even_parts", lambda values, info, effort: None)
    _, plain = pack(memory("image", mixed()), KIND, effort=2, quality=60)
    assert encoded.bytes < plain.bytes and encoded.psnr > plain.psnr


def test_same_digest_and_same_bytes(small_regions):
    data, encoded = pack(memory("image", mixed()), KIND, effort=1)
    assert len(overlays(data)) > 1
    assert opened(data, KIND).digest()[0] == encoded.digest
    assert data == picture(mixed())


def test_the_digest_sees_indices_and_palette(small_regions):
    def digest(palette=None, indices=None):
        decoder = opened(data, KIND)
        kept = decoder.field.overlay.chunk(0)
        if palette is not None:
            kept.palette[0] ^= palette
        if indices is not None:
            kept.indices[kept.opaque] = indices
        return decoder.digest()[0]

    data = picture(mixed())
    assert len({digest(), digest(palette=1), digest(indices=1)}) == 3


# -- rendering -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("crop", [(0, 0, 160, 96), (90, 20, 20, 30), (5, 31, 7, 2), (159, 95, 1, 1)])
def test_crop_is_the_crop_of_the_whole(crop, small_regions):
    data = picture(mixed())
    x, y, w, h = crop
    part, whole = unpack(data, KIND, crop=crop), unpack(data, KIND)[y : y + h, x : x + w]
    np.testing.assert_allclose(part, whole, rtol=0, atol=2e-6)


def test_a_crop_of_a_scale(small_regions):
    data = picture(mixed())
    whole = unpack(data, KIND, scale=2.0)
    part = unpack(data, KIND, scale=2.0, crop=(80, 20, 40, 30))
    np.testing.assert_allclose(part, whole[40:100, 160:240], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [2.0, 3.0, 0.5, 0.37, 1.3])
def test_scales(scale, small_regions):
    out = unpack(picture(mixed()), KIND, scale=scale)
    assert out.shape[:2] == tuple(max(1, round(n * scale)) for n in (96, 160))
    inside = slice(int(12 * scale) + 1, int(28 * scale) - 1), slice(int(24 * scale) + 1, int(36 * scale) - 1)
    if scale > 1:  # an even area stays even, away from edges
        box = out[int(18 * scale) : int(24 * scale), int(27 * scale) : int(33 * scale)]
        np.testing.assert_allclose(box * 255, np.broadcast_to((200, 30, 60), box.shape), atol=3)
    assert np.isfinite(out[inside]).all()


def test_sampling_at_the_grid_is_rendering(tmp_path, small_regions):
    path = tmp_path / "a.nfc"
    path.write_bytes(picture(mixed()))
    from helpers import init

    with api.open(path, init=init(KIND)) as field:
        grid = field.render()
        y, x = np.mgrid[:96:7, :160:5]
        points = np.stack([(2 * y + 1 - 96) / 160, (2 * x + 1 - 160) / 160], -1).reshape(-1, 2)
        found = field.sample(points).reshape(*y.shape, 3)
    np.testing.assert_allclose(found, grid[y, x], atol=1e-5)


def test_thumbnails(tmp_path):
    from nfcodec.decoder.reduced import reduced

    decoder = opened(picture(drawing(64, 96)), KIND)
    block = reduced(decoder, 4).block
    expected = drawing(64, 96).reshape(16, 4, 24, 4, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(block.values, expected, atol=1e-5)


# -- damage ----------------------------------------------------------------------------------------------
def test_a_missing_overlay_shows_the_lattice():
    data = rewritten(picture(mixed()), lambda sections: [s for s in sections if s[0] != SectionType.OVERLAY])
    assert unpack(data, KIND).shape == (96, 160, 3)


def test_chunks_that_do_not_exist():
    def change(sections):
        return [(k, b"\x05" + p[1:] if k == SectionType.OVERLAY else p) for k, p in sections]

    with pytest.raises(CorruptError, match="OVERLAY section 5"):
        opened(rewritten(picture(mixed()), change), KIND)


def test_truncated_files_keep_the_overlay(tmp_path):
    data = picture(mixed())
    path = tmp_path / "a.nfc"
    path.write_bytes(data[:-40])
    out = decode_array(path, KIND, partial=True)
    np.testing.assert_array_equal(out[:, :90], mixed()[:, :90])


def test_targets(tmp_path):
    source = save_picture(tmp_path / "a.png", mixed())
    result, _ = there_and_back(source, KIND, tmp_path / "b.png", effort=1, target_psnr=30.0)
    assert result.psnr >= 30.0
    result, _ = there_and_back(source, KIND, tmp_path / "b.png", effort=1, target_size=3000)
    assert result.bytes <= 3000
    source = save_picture(tmp_path / "c.png", drawing())
    result, _ = there_and_back(source, KIND, tmp_path / "d.png", effort=1, target_psnr=80.0)
    assert result.psnr >= 80.0
    assert not result.warnings


def test_blocks_of_the_whole_reader_are_read_once(small_regions, monkeypatch):
    data = picture(mixed())
    decoder, read = opened(data, KIND), []
    real = Reader.read
    log = read.append
    monkeypatch.setattr(Reader, "read", lambda reader, entry: log((entry.type, entry.first)) or real(reader, entry))
    list(decoder.blocks(DecodeOptions()))
    assert len(read) == len(set(read))
