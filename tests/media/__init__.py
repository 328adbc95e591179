"""Tests of nfcodec.media; every input is generated here."""
