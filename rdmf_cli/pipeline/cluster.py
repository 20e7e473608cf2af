"""`rdmf index --engine ray`: the same work on many machines. Tasks over files, never over frames.

This process, the driver, decides what has to be done and keeps the catalogue. An actor per lane holds one encoder; it
decodes and encodes a video where it runs, writes the feature file into the store's folder, which all machines must
see under the same path, as the videos, and gives back the file's checksum. The driver reads the file, checks it and
enters it. Pictures never travel. An actor that dies is replaced and its video tried again.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import ModelError, RdmfError, StoreError, UsageError, VideoError
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.engines import ChangedMeanwhile, Made, encode_work, made_of
from rdmf_cli.pipeline.planning import Work
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

MAX_TRIES = 3  # a video that has ended so many workers is at fault itself
_ERRORS = {kind.__name__: kind for kind in (ChangedMeanwhile, VideoError, ModelError, StoreError, UsageError)}


@dataclass(frozen=True)
class EncoderSource:
    """How a worker opens the encoder. It travels, so it is plain data; tests put their own `open` in place."""

    name: str
    models: Path
    device: str
    batch_size: int
    fingerprint: str  # of the driver's; a worker with other weights must not add to this store

    def open(self) -> Encoder:
        """The encoder. Raises ModelError."""
        return open_encoder(
            self.name, models_folder=self.models, device=self.device, batch_size=self.batch_size, offline=True
        )


@dataclass(frozen=True)
class Parcel:
    """What a worker gives back."""

    checksum: str = ""
    made: Made | None = None
    error: str = ""  # name of one of _ERRORS; "" if all went well
    message: str = ""
    hint: str = ""


class Worker:
    """Lives in an actor: one encoder, one video at a time."""

    def __init__(self, source: EncoderSource, folder: Path, how: SearchOptions) -> None:
        self._how, self._problem = how, Parcel()
        self._encoder: Encoder | None = None
        try:
            self._store = Store.open(folder)
            self._encoder = source.open()
            if self._encoder.fingerprint != source.fingerprint:
                raise ModelError(
                    f"{source.name}: a worker has other weights than this machine", hint="install the same"
                )
        except RdmfError as error:
            self._problem = _parcel_of(error)

    def problem(self) -> Parcel:
        """Why this worker can't work; an empty parcel if it can."""
        return self._problem

    def make(self, work: Work) -> Parcel:
        """Decode, encode, write the feature file. Problems are given back and not raised: Ray would wrap them."""
        if self._problem.error or self._encoder is None:
            return self._problem
        try:
            began = time.perf_counter()
            info, features, num_encoded = encode_work(work, self._encoder, self._how, SILENT)
            checksum = self._store.stage(work.video_id, work.spec, features)
            return Parcel(checksum, made_of(features, info, num_encoded, time.perf_counter() - began))
        except RdmfError as error:
            return _parcel_of(error)


class RayEngine:
    """An Engine over the actors of a Ray cluster; see there. Joins the cluster at `address`, or starts one here."""

    def __init__(
        self, source: EncoderSource, store: Store, how: SearchOptions, lanes: int | None, *, address: str | None = None
    ) -> None:
        self._ray, self._is_ours = _ray(address, lanes)
        there = self._ray.cluster_resources()
        self._gpus = 1 if there.get("GPU", 0) >= 1 and source.device != "cpu" else 0
        # More actors than the cluster has room for would wait for ever.
        room = max(1, int(there.get("GPU" if self._gpus else "CPU", 1)))
        self.lanes = min(lanes or room, room)
        self._store, self._arguments = store, (source, store.folder, how)
        self._actors: dict[int, Any] = {}
        self._lock = threading.Lock()

    def make(self, lane: int, work: Work, progress: Progress) -> Made:
        """See Engine."""
        progress.start(f"encoding {work.path.name}", None, "")
        try:
            for _ in range(MAX_TRIES):
                progress.advance(0)  # here a job that should end is ended
                parcel = self._ask(lane, work, progress)
                if parcel is not None and self._taken(work, parcel):
                    assert parcel.made is not None
                    return parcel.made
        finally:
            progress.finish()
        raise VideoError(f"{work.path}: {MAX_TRIES} workers in turn ended over it", hint="look at it on its own")

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        with self._lock:
            for actor in self._actors.values():
                self._ray.kill(actor)
            self._actors.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _ask(self, lane: int, work: Work, progress: Progress) -> Parcel | None:
        """Send a video to the lane's actor; None if the actor died."""
        try:
            return self._awaited(self._actor(lane, progress).make.remote(work), progress)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.WorkerCrashedError):
            progress.warn(f"a worker ended while it read {work.path}; trying again")
            with self._lock:
                self._actors.pop(lane, None)
            return None

    def _awaited(self, answer: Any, progress: Progress) -> Parcel:
        """What an actor answers, in time; a job that should end is ended meanwhile."""
        while not self._ray.wait([answer], timeout=1.0)[0]:
            progress.advance(0)
        parcel: Parcel = self._ray.get(answer)
        return parcel

    def _actor(self, lane: int, progress: Progress) -> Any:
        """The lane's actor, started if there is none. Raises ModelError if it can't be: no video is at fault then."""
        with self._lock:
            actor = self._actors.get(lane)
        for attempt in range(MAX_TRIES):
            if actor is not None:
                break
            actor = self._started()
            try:
                parcel = self._awaited(actor.problem.remote(), progress)
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.WorkerCrashedError) as error:
                actor = None
                if attempt == MAX_TRIES - 1:
                    reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
                    raise ModelError(f"workers can't start: {reason.strip()}", hint="look at Ray's logs") from error
                continue
            if parcel.error:
                raise _error_of(parcel)
            with self._lock:
                self._actors[lane] = actor
        return actor

    def _started(self) -> Any:
        # As many threads as here: sums in another order could differ in their last bit.
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        remote = self._ray.remote(
            num_cpus=1,
            num_gpus=self._gpus,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}},
        )(Worker)
        return remote.remote(*self._arguments)

    def _taken(self, work: Work, parcel: Parcel) -> bool:
        """Enter what a worker made; False if its file is not whole. Raises what the worker met."""
        if parcel.error:
            raise _error_of(parcel)
        if not self._store.enter(work.video_id, work.spec, parcel.checksum, work.path):
            return False
        assert parcel.made is not None
        self._store.remember_duration(work.video_id, parcel.made.duration_s)
        self._store.remember_place(work.state, work.video_id)
        return True


def _ray(address: str | None, lanes: int | None) -> tuple[Any, bool]:
    """The ray module, connected, and whether the cluster is ours to end. Raises UsageError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of ours tells anybody anything
    try:
        ray: Any = importlib.import_module("ray")  # not by a statement: types are checked without it, too
        importlib.import_module("ray.exceptions")
    except ImportError as error:
        raise UsageError("--engine ray needs the package ray", hint="pip install 'rdmf-cli[ray]'") from error
    if ray.is_initialized():
        return ray, False
    try:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(num_cpus=lanes, include_dashboard=False, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise UsageError(f"no Ray cluster at {address or 'this machine'}: {line}", hint="ray status") from error
    return ray, True


def _knock(address: str) -> None:
    """Ray itself would try for minutes to reach a machine that is not there. Raises OSError, ValueError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:  # else a word such as "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _error_of(parcel: Parcel) -> RdmfError:
    return _ERRORS.get(parcel.error, StoreError)(parcel.message, hint=parcel.hint)


def _parcel_of(error: RdmfError) -> Parcel:
    return Parcel(error=type(error).__name__, message=str(error), hint=error.hint)
