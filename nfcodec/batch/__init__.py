"""Whole data sets: encode or decode a tree of files, whatever happens to single files, workers or the machine.

:func:`nfcodec.batch.runner.run` does a :class:`nfcodec.batch.job.Job`. What is done stands in the manifest of the
output folder (:mod:`nfcodec.batch.manifest`), so a run that was killed goes on where it was.
"""
