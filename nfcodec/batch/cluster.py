"""A batch on a Ray cluster: Ray hands out shards, never items, and the shards' manifests stay the truth.

A node that dies loses nothing: Ray gives its shard to another one, which goes on from the shard's manifest. Inputs and
the output folder must have the same names on all nodes (a shared file system), and nfcodec must be installed there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nfcodec.batch.manifest import BatchState, Record, is_open, manifest_path, manifests, read_state
from nfcodec.batch.plan import WHOLE
from nfcodec.batch.request import BatchRequest, Counts, Listener, RunOptions, Summary
from nfcodec.batch.runner import local_folders, preview, run
from nfcodec.errors import NfcError, OptionError, OutputExistsError
from nfcodec.media.reading import named

_POLL = 1.0  # seconds
_MOST_LOSSES = 5  # of the process that works on one shard
_LOCK_PATIENCE = 30.0  # seconds until a lost process has let go of its shard's manifest


def run_on_ray(
    request: BatchRequest, options: RunOptions | None = None, *, listener: Listener | None = None
) -> Summary:  # fmt: skip
    """As :func:`nfcodec.batch.runner.run`, on the cluster that RAY_ADDRESS names, or else on a local one.

    ``how.workers``: number of shards, None for one on each CPU of the cluster. Raises
    :class:`~nfcodec.errors.OptionError` without the package ray, and what the runner raises.
    """
    options = options or RunOptions()
    inputs, output = local_folders(request)
    if output is None:
        raise OptionError("--engine ray takes folders that all nodes see, no URLs", hint="--shard I/N takes URLs")
    output = Path(os.path.abspath(output))
    request = replace(request, inputs=tuple(Path(os.path.abspath(p)) for p in inputs), output=output)
    _check(request, output, options)
    total = preview(request).total
    with _cluster() as ray:
        count = options.workers or int(ray.cluster_resources().get("CPU", 1))
        remote = ray.remote(num_cpus=1, max_retries=_MOST_LOSSES)(_shard)
        mine = replace(options, workers=1, resume=True, max_failures=None)
        tasks = [remote.remote(replace(request, shard=(i, count)), mine) for i in range(1, count + 1)]
        watch = _Watch(output, total, options.max_failures.of(total) if options.max_failures else total, listener)
        try:
            parts = _gather(ray, tasks, watch)
        finally:
            for task in tasks:
                ray.cancel(task, force=True)
    watch.look()
    if parts is None:
        return Summary(request, watch.counts, watch.failures, stopped=True)
    return Summary(request, _sum([p.counts for p in parts]), tuple(r for p in parts for r in p.failures))


def _check(request: BatchRequest, output: Path, options: RunOptions) -> None:
    if request.shard != WHOLE:
        raise OptionError("Ray makes shards of its own: leave --shard out")
    if options.force:
        raise OptionError("-f cannot be told from going on after a loss: with Ray, begin in an empty folder")
    if manifests(output) and not (options.resume or options.skip_existing):
        raise OutputExistsError(f"{named(output)} holds a batch already", hint="--resume goes on with it")


def _shard(request: BatchRequest, options: RunOptions) -> Summary:
    """Do one shard; runs on a node. The process before, if it was lost, may take a moment to vanish."""
    path, limit = manifest_path(Path(str(request.output)), request.shard), time.monotonic() + _LOCK_PATIENCE
    while is_open(path) and time.monotonic() < limit:
        time.sleep(0.2)
    return run(request, options)


@contextmanager
def _cluster() -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise OptionError("--engine ray needs the package ray", hint="pip install 'nfcodec[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _gather(ray: Any, tasks: list[Any], watch: _Watch) -> list[Summary] | None:
    """The summaries of all shards; None when too many files failed."""
    waiting, parts = tasks, list[Summary]()
    while waiting:
        over, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL)
        parts += [_result(ray, task) for task in over]
        if watch.look():
            return None
    return parts


def _result(ray: Any, task: Any) -> Summary:
    try:
        summary: Summary = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, NfcError) else error) from None
    except ray.exceptions.RayError as error:
        raise NfcError(f"a shard was lost {_MOST_LOSSES} times: {error}", hint="--resume goes on") from error
    return summary


class _Watch:
    """Tells the listener of new lines in the manifests of all shards."""

    def __init__(self, output: Path, total: int, bound: int, listener: Listener | None) -> None:
        self._output, self._bound, self._listener = output, bound, listener
        self._began, self._seen = time.time(), BatchState()
        self.counts = Counts(total=total)
        self.failures: tuple[Record, ...] = ()

    def look(self) -> bool:
        """Read what is new; returns whether too many failed."""
        state = read_state(manifests(self._output))
        for path, record in state.last.items():
            if record["time"] >= self._began and self._seen.last.get(path) != record:
                self.counts.add(record["type"], record)
                self.counts.seconds = time.time() - self._began
                if self._listener is not None:
                    self._listener(record["type"], record, self.counts)
        self._seen = state
        self.failures = tuple(state.of("failed"))
        return self.counts.failed > self._bound


def _sum(parts: list[Counts]) -> Counts:
    """The counts of all shards; the time is that of the slowest, the PSNR the mean over all files."""
    names = [f.name for f in fields(Counts) if f.name not in ("psnr", "seconds")]
    total = Counts(**{name: sum(getattr(p, name) for p in parts) for name in names})
    total.seconds = max(p.seconds for p in parts)
    total.psnr = sum(p.psnr * p.measured for p in parts) / max(1, total.measured)
    return total
