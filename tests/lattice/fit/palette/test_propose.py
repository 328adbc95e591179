"""Overlays: exact in drawings, true costs, and no colours that nobody uses."""

import numpy as np

from nfcodec.lattice.fit.palette.propose import draft, final
from nfcodec.lattice.palette import decode_overlay


def drawing(size=48):
    picture = np.full((size, size, 3), (250, 250, 245), np.uint8)
    picture[8:20, 6:40] = (20, 40, 160)
    picture[26:40, 10:30] = (200, 30, 30)
    return picture


def speckled(size=48):
    """A drawing with lonely samples that are nearly one of its colours."""
    picture = drawing(size)
    picture[2::9, 3::9] = (248, 251, 244)
    return picture


def everywhere(picture):
    return np.ones(picture.shape[:2], bool)


def test_drawings_are_exact():
    found = draft(drawing(), everywhere(drawing()), 1.0)
    assert found.overlay.opaque.all() and np.array_equal(np.rint(found.overlay.values() * 255), drawing())


def test_the_payload_is_the_overlay():
    found = draft(drawing(), everywhere(drawing()), 1.0)
    again = decode_overlay(found.payload, (48, 48), 3)
    assert np.array_equal(again.indices, found.overlay.indices) and np.array_equal(again.palette, found.overlay.palette)


def test_what_is_not_in_the_mask_shows_the_lattice():
    mask = everywhere(drawing())
    mask[:, 24:] = False
    assert np.array_equal(draft(drawing(), mask, 1.0).overlay.opaque, mask)


def test_the_cost_is_that_of_the_payload():
    found = draft(speckled(), everywhere(speckled()), 1.0)
    assert abs(found.cost - 8 * len(found.payload)) < 0.25 * 8 * len(found.payload) + 200


def test_lonely_samples_go_under_where_errors_are_cheap():
    """And only there."""
    cheap, dear = (draft(speckled(), everywhere(speckled()), worth) for worth in (1e-4, 100.0))
    assert len(cheap.payload) < len(dear.payload)
    assert np.array_equal(np.rint(dear.overlay.values() * 255), speckled())


def test_several_palettes_are_never_worse_than_one():
    one, three = (draft(speckled(), everywhere(speckled()), 0.01, palettes=n) for n in (1, 3))
    assert three.cost <= one.cost


def test_a_smaller_mask_drops_colours_that_are_not_needed():
    whole = draft(drawing(), everywhere(drawing()), 1.0)
    mask = everywhere(drawing())
    mask[24:] = False  # the red square
    part = final(drawing(), mask, 1.0, whole)
    assert len(part.overlay.palette) == len(whole.overlay.palette) - 1
    assert np.array_equal(part.overlay.opaque, mask)
    assert np.array_equal(np.rint(part.overlay.values()[mask] * 255), drawing()[mask])
