"""What can be done with a batch: run it, retry what failed, look at the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nfcodec.batch.batch_run import BatchRun, refuse_second
from nfcodec.batch.manifest import BatchState, Manifest, Record, manifest_path, manifests, read_state
from nfcodec.batch.permanent import changed_since, is_permanent
from nfcodec.batch.places import Place, make_folder, shown
from nfcodec.batch.plan import BatchPlan, in_shard, make_plan
from nfcodec.batch.request import BatchRequest, Listener, RunOptions, Summary, request_of
from nfcodec.errors import InputError


def run(request: BatchRequest, options: RunOptions | None = None, *, listener: Listener | None = None) -> Summary:
    """Do what is asked; every file gets its line in the manifest of the output folder.

    Raises :class:`~nfcodec.errors.NfcError` for what stops the whole (folders that cannot be read, names that
    collide, outputs in the way, a full disk), never for a single file. After any exception, KeyboardInterrupt
    included, and after a crash, the same request with ``RunOptions(resume=True)`` goes on.
    """
    options = options or RunOptions()
    inputs, output = local_folders(request)
    if output is None:
        from nfcodec.batch.remote_run import run_remote

        return run_remote(request, options, listener=listener)
    plan = make_plan(
        inputs, output, request.action, shard=request.shard, only=options.only, keep_going=options.keep_going
    )  # fmt: skip
    make_folder(output)
    path = manifest_path(output, request.shard)
    with Manifest(path) as manifest:
        refuse_second(read_state([path]), request, options)
        return BatchRun(request, options, plan, manifest, listener, output).run(read_state(manifests(output)))


def local_folders(request: BatchRequest) -> tuple[tuple[Path, ...], Path | None]:
    """The inputs and the output of a request without URLs; an output of None for one with URLs."""
    if request.local and isinstance(request.output, Path):
        return tuple(p for p in request.inputs if isinstance(p, Path)), request.output
    return (), None


def retry(output: Place, options: RunOptions | None = None, *, listener: Listener | None = None) -> list[Summary]:
    """Do what failed in a batch once more, with its own settings; one summary for each shard with such failures.

    What would fail again, whatever the machine was doing, is left alone: see :func:`left_alone`.
    """
    state = read_state(existing_manifests(output))
    alone = frozenset(r["path"] for r in _left_alone(state, output))
    how = replace(options or RunOptions(), resume=True, keep_going=True)
    return [
        run(request, replace(how, only=failed - alone), listener=listener)
        for request, failed in _failed_of(state, output)
        if failed - alone
    ]


def left_alone(output: Place) -> list[Record]:
    """The failures of a batch that lie in the bytes of their inputs, which have not changed since."""
    return _left_alone(read_state(existing_manifests(output)), output)


def _left_alone(state: BatchState, output: Place) -> list[Record]:
    failures = {r["path"]: r for r in state.of("failed")}
    return [
        failures[path]
        for request, failed in _failed_of(state, output)
        for path in sorted(failed)
        if is_permanent(failures[path]) and not changed_since(request.inputs, path, float(failures[path]["time"]))
    ]


def failed_of(output: Place) -> Iterator[tuple[BatchRequest, frozenset[str]]]:
    """The requests of a batch with their paths that failed.

    Raises :class:`~nfcodec.errors.InputError` without a batch.
    """
    return _failed_of(read_state(existing_manifests(output)), output)


def _failed_of(state: BatchState, output: Place) -> Iterator[tuple[BatchRequest, frozenset[str]]]:
    failed = frozenset(r["path"] for r in state.of("failed"))
    for record in sorted(state.runs, key=lambda r: -float(r["time"])):
        request = request_of(record, output)
        mine = frozenset(p for p in failed if in_shard(p, request.shard))
        if mine:
            yield request, mine
        failed -= mine


def existing_manifests(output: Place) -> list[Path]:
    """The manifests of a batch; of a remote one they are fetched first.

    Raises :class:`~nfcodec.errors.InputError` when there is none.
    """
    if isinstance(output, Path):
        found = manifests(output)
    else:
        from nfcodec.batch.remote_state import pulled

        found = pulled(output)
    if not found:
        raise InputError(f"{shown(output)} holds no batch", hint="nfc batch DIR -d OUT begins one")
    return found


def preview(request: BatchRequest, options: RunOptions | None = None) -> BatchPlan:
    """The plan alone; nothing is written."""
    options = options or RunOptions()
    only, keep_going = options.only, options.keep_going
    inputs, output = local_folders(request)
    if output is None:
        from nfcodec.batch.remote_plan import preview_remote

        return preview_remote(request, only, keep_going=keep_going)
    return make_plan(inputs, output, request.action, shard=request.shard, only=only, keep_going=keep_going)


