"""The decoder against one that was written from FORMAT.md, sample by sample."""

import numpy as np
import pytest
from reference_arrays import Planes, log

from nfcodec import zoo
from nfcodec.dyadic.code import Scheme
from nfcodec.dyadic.features import log8
from nfcodec.dyadic.fit.giver import Giver
from nfcodec.dyadic.volume import decode_planes
from nfcodec.entropy.coder import SymbolDecoder, SymbolEncoder

CASES = [
    ((1, 13, 18), Scheme(40, 1), None),
    ((1, 12, 16), Scheme(7, 2, wrap=(True, True)), "holes"),
    ((1, 1, 90), Scheme(3000, 0), None),
    ((5, 6, 7), Scheme(300, 3), "holes"),
    ((1, 14, 11), Scheme(900, 0, whole=True, wrap=(False, True)), None),
    ((1, 64, 66), Scheme(200, 0), "tuned"),
    ((3, 46, 50), Scheme(200, 0, whole=True), "tuned"),
]


@pytest.mark.parametrize(("shape", "scheme", "kind"), CASES)
def test_as_the_document_says(shape, scheme, kind):
    init = zoo.load("array-dyadic")
    r = np.random.default_rng(sum(shape))
    y, x = np.mgrid[: shape[1], : shape[2]] / 9.0
    i = np.arange(shape[0])[:, None, None]
    field = np.sin(y + 0.2 * i) * np.cos(x - 0.1 * i) + 0.1 * r.normal(size=shape)
    if kind == "tuned":  # columns that differ, of which the networks know nothing
        field += r.normal(size=(1, 1, shape[2]))
    planes = (field - field.min()) / np.ptp(field) * scheme.steps * 256
    planes = np.rint(planes / 256) * 256 if scheme.whole else planes
    coded = r.random(shape) < 0.8 if kind == "holes" else np.ones(shape, bool)
    encoder = SymbolEncoder()
    found = decode_planes(init, scheme, coded, lambda i: Giver(planes[i], encoder))
    decoder = SymbolDecoder(encoder.finish())
    reference = Planes(
        init.networks, decoder, shape, scheme.steps, scheme.series, scheme.whole, scheme.wrap, coded.tolist()
    )
    np.testing.assert_array_equal(reference.decode(), found)
    decoder.finish()


def test_logarithms():
    for x in [*range(3000), 2**20 - 1, 2**20, 2**41 + 12345]:
        assert log8(np.array([float(x)]))[0] == log(x)
