"""Arrays as dyadic interpolation: samples from coarse to fine, each predicted from those around it, within a bound.

The samples of a plane are coded level by level: first one in 2^k along each axis, then those half-way between what is
known, and so on down to every sample (interpolating wavelets: Donoho 1992; Deslauriers & Dubuc 1989). Each is predicted
by interpolation, shifted by a small integer network, and what is left is rounded to steps of at most twice the bound.
The network and the tables of :mod:`nfcodec.entropy.logistic` also say how likely each step is. Every number between
bytes and samples is whole, so samples are the same on every machine, and the bound holds on what is written.
"""
