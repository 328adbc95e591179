"""Whole data sets: encode or decode a tree of files, whatever happens to single files, workers or the machine.

:func:`nfcodec.batch.runner.run` does what a :class:`nfcodec.batch.request.BatchRequest` asks for. What is done stands
in the manifest of the output folder (:mod:`nfcodec.batch.manifest`), so a run that was killed goes on where it was.

Who calls whom: ``runner`` (from outside), ``plan`` or ``remote_plan`` (what there is to do), ``batch_run`` or
``remote_run`` (one run, and its lines in the manifest), ``loop`` (items through child processes, as ``schedule``
orders them), ``child_process`` (a child, as the parent sees it), ``child`` (what runs there), ``task`` (one file).
``events`` is what the parts tell each other.
"""
