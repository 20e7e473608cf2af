"""Search all that is indexed: which video, and where in it.

The index of all snippets (store/nearest.py) names the videos that may answer; those are answered by the same fusion and
head as a single video, on their stored features, until no further one can be better than what is found. So the index
decides which videos are looked at, never what is said about them.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.errors import StoreError, VideoError
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration, calibrate, picture_scale
from rdmf_cli.pipeline.index import Indexed
from rdmf_cli.pipeline.library_answer import LibraryAnswer, LibraryHit, LibraryOptions, Twin
from rdmf_cli.pipeline.modes import PATTERN_MODE, Mode
from rdmf_cli.pipeline.parts import Lead, Part, best_of_videos, built_again, current_parts, empty_library, in_memory
from rdmf_cli.pipeline.query import Encoded, Query, encode_queries
from rdmf_cli.pipeline.ranking import Candidate, Ranked, rank
from rdmf_cli.pipeline.refresh import index_problem, prefix_of, refresh, sample_fps_of, spec_of
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.generations import Contents
from rdmf_cli.store.listing import Place, contents_of, places_of
from rdmf_cli.store.nearest import DamagedIndex, Segment

__all__ = ["Library", "LibraryAnswer", "LibraryHit", "LibraryOptions", "Twin", "index_problem", "refresh"]

_MORE_VIDEOS = 24  # candidates beyond what would fill the ranking
_ALIKE = 0.85  # of the way from unrelated pictures to equal ones, from which two show the same
# Videos that a mode with a relevance of its own answers, however short the ranking; up to 12 gave the same answers.
_LEAST_JUDGED = 4
_ROUNDING = 0.004  # by which half precision may change a cosine
_DOUBT = 0.02  # beyond that, the index has something else than the features
_NO_RATE = Fraction(25)


class Library:
    """Everything that one encoder has seen, open for queries. Not shared between threads."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        calibration: Calibration,
        parts: list[Part],
        mode: Mode,
        progress: Progress,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._calibration = calibration
        self.mode = mode
        self._parts = parts
        self._progress = progress
        self._spec = _spec(encoder)
        self._contents = Contents(*contents_of(store, prefix_of(self._spec)))
        self._infos: dict[Path, VideoInfo] = {}
        self._places: dict[str, list[Place]] | None = None
        self._alike: float | None = None

    @classmethod
    def open(cls, store: Store, encoder: Encoder, progress: Progress = SILENT, *, mode: Mode = PATTERN_MODE) -> Library:
        """Bring the index up to date and map it. Raises StoreError if the encoder has seen no video."""
        parts = current_parts(store, _spec(encoder), progress)
        if not any(counts.any() for _, counts in parts):
            raise empty_library(store, encoder)
        return cls(store, encoder, calibrate(encoder, store), parts, mode, progress)

    @property
    def num_videos(self) -> int:
        """Videos that can be found."""
        return sum(int(counts.sum()) for _, counts in self._parts)

    @property
    def num_snippets(self) -> int:
        """Their snippets."""
        return sum(int(np.diff(segment.first_row)[counts].sum()) for segment, counts in self._parts)

    def encode(self, queries: Iterable[str | Query]) -> Encoded:
        """Queries ready for `search`. Raises UsageError, VideoError for pictures that can't be read."""
        return encode_queries(list(queries), self._encoder, self._calibration, self._store)

    def search(self, encoded: Encoded, number: int, options: LibraryOptions) -> LibraryAnswer:
        """The answer to query `number` of `encoded`. An index found damaged is told and built again."""
        try:
            return self._search(encoded, number, options)
        except DamagedIndex as problem:
            self._progress.warn(f"the library's index is damaged ({problem}); it is built again")
        parts = [] if self._store.read_only else built_again(self._store, self._spec, self._progress)
        self._parts = parts + in_memory(self._store, self._spec, parts, self._progress)
        try:
            return self._search(encoded, number, options)
        except DamagedIndex as problem:
            raise StoreError(f"{self._store.folder}: the index can't be built: {problem}") from problem

    def catch_up(self) -> None:
        """See what others have indexed since; cheap if nothing has."""
        contents = Contents(*contents_of(self._store, prefix_of(self._spec)))
        if contents != self._contents:
            self._parts, self._places = current_parts(self._store, self._spec, self._progress), None
            self._contents = contents

    def _search(self, encoded: Encoded, number: int, options: LibraryOptions) -> LibraryAnswer:
        started = time.perf_counter()
        vector = encoded.vectors[number]
        allowed = [counts & self._passes(segment, options) for segment, counts in self._parts]
        leads = self._leads(vector, allowed, options)
        found_s = time.perf_counter()
        answers: dict[str, Answer] = {}
        candidates: list[Candidate] = []
        ranked: list[Ranked] = []
        best = Relevance(0.0, CUTOFF)
        waiting = self._by_relevance(leads, encoded, number)
        # The best moment of a video scores what its relevance is, and they come in that order: as many videos as the
        # ranking has places fill it, unless some are merged or left out. A mode that judges relevance itself may let
        # only later ones pass, so it sees a few more at first.
        least = _LEAST_JUDGED if self.mode.judges_relevance else 1
        while batch := list(islice(waiting, max(least, options.top - len(ranked)))):
            least = 1
            known = {video.video_id: relevance for video, relevance in batch}
            most, shown = self._judged([video for video, _ in batch], known, encoded, number, options)
            best = max(best, most, key=lambda relevance: relevance.score)
            if not shown:
                break
            for answer, features in shown:
                answers[answer.video_id] = answer
                candidates += _candidates(answer, features, known[answer.video_id].score, options)
            ranked = rank(candidates, options.top, options.per_video, self._alike_from(options))
            if len(ranked) == options.top:
                break
        return LibraryAnswer(
            query=encoded.queries[number],
            hits=tuple(self._hits(ranked, answers)),
            best=best,
            num_videos=sum(int(mask.sum()) for mask in allowed),
            num_snippets=self.num_snippets,
            nearest_s=found_s - started,
            total_s=time.perf_counter() - started,
        )

    def _judged(
        self,
        batch: list[Indexed],
        known: Mapping[str, Relevance],
        encoded: Encoded,
        number: int,
        options: LibraryOptions,
    ) -> tuple[Relevance, list[tuple[Answer, VideoFeatures]]]:
        """The best relevance of a few videos, and the answers of those that may be shown. known: the calibration's.

        A mode that judges relevance itself has to answer a video before anybody knows whether it may be shown; the
        calibration's relevance then says in which order videos come.
        """
        if self.mode.judges_relevance:
            found = self._answered(batch, encoded, number, options)
            most = max((answer.relevance for answer, _ in found), key=lambda relevance: relevance.score)
            return most, [pair for pair in found if pair[0].relevance.confident or options.show_all]
        wanted = [video for video in batch if known[video.video_id].confident or options.show_all]
        answers = self._answered(wanted, encoded, number, options) if wanted else []
        return known[batch[0].video_id], [
            (answer if answer.moments else as_a_whole(answer, known[answer.video_id]), features)
            for answer, features in answers
        ]

    def _leads(
        self, vector: NDArray[np.float32], allowed: list[NDArray[np.bool_]], options: LibraryOptions
    ) -> list[Lead]:
        """Videos with the best snippets, best first."""
        wanted = options.top + _MORE_VIDEOS
        leads: list[Lead] = []
        for (segment, _), mask in zip(self._parts, allowed, strict=True):
            leads += islice(best_of_videos(segment, vector, mask, wanted), wanted)
        return sorted(leads, key=lambda lead: -lead.cosine)[:wanted]

    def _by_relevance(self, leads: list[Lead], encoded: Encoded, number: int) -> Iterator[tuple[Indexed, Relevance]]:
        """The videos with their features, the most relevant first. Raises DamagedIndex.

        Only as many are read as it takes to know the order: none of those unread can be more relevant than if all its
        best snippets were as good as the best one, which the index knows.
        """
        known: list[tuple[float, Indexed]] = []
        for lead in leads:
            bound = self._relevance(np.array([[lead.cosine + _ROUNDING]], np.float32), encoded, number)
            while known and known[0][0] >= bound:
                yield self._taken(known)
            if indexed := self._read(lead, encoded.vectors[number]):
                rows, _ = snippets_of(indexed.features, indexed.sample_fps)
                cosines = (encoded.vectors[number] @ rows.T)[None]
                known.append((self._relevance(cosines, encoded, number), indexed))
                known.sort(key=lambda item: -item[0])
        while known:
            yield self._taken(known)

    @staticmethod
    def _taken(known: list[tuple[float, Indexed]]) -> tuple[Indexed, Relevance]:
        score, indexed = known.pop(0)
        return indexed, Relevance(score, CUTOFF)

    def _relevance(self, cosines: NDArray[np.float32], encoded: Encoded, number: int) -> float:
        """cosines (1, T) -> relevance in [0, 1]."""
        one = slice(number, number + 1)
        return float(self._calibration.relevance(cosines, encoded.reach[one])[0])

    def _read(self, lead: Lead, vector: NDArray[np.float32]) -> Indexed | None:
        """The features of a video; None if they are damaged or gone. Raises DamagedIndex if the index differs."""
        entry = lead.entry
        features = self._store.load(entry.video_id, spec_of(self._spec, entry.spec_key))
        if features is None:
            return None
        if len(features.features) == entry.num_rows:
            difference = abs(float(features.features[lead.row] @ vector) - lead.cosine)
            if difference > _DOUBT * max(1.0, float(np.linalg.norm(vector))):
                raise DamagedIndex("it does not fit the features")
        info = _unread(self._path_of(entry.video_id), features.duration_s)
        return Indexed(info, entry.video_id, sample_fps_of(entry.spec_key), features)

    def _answered(
        self, videos: list[Indexed], encoded: Encoded, number: int, options: LibraryOptions
    ) -> list[tuple[Answer, VideoFeatures]]:
        """The full answers of a few videos, at least one."""
        found = self.mode.answer(videos, encoded.only(number), self._calibration, explain=options.explain)
        return [(answer, indexed.features) for indexed, [answer] in zip(videos, found, strict=True)]

    def _hits(self, ranked: list[Ranked], answers: dict[str, Answer]) -> Iterator[LibraryHit]:
        """The ranking with everything that is shown about its videos, and with only its moments."""
        moments = {
            video_id: tuple(hit.candidate.moment for hit in ranked if hit.candidate.video_id == video_id)
            for video_id in dict.fromkeys(hit.candidate.video_id for hit in ranked)
        }
        shown = {
            video_id: self._described(replace(answers[video_id], moments=chosen))
            for video_id, chosen in moments.items()
        }
        for hit in ranked:
            video_id = hit.candidate.video_id
            answer = shown[video_id]
            also = tuple(
                Twin(c.video_id, self._path_of(c.video_id), c.moment.start_s, c.moment.end_s, c.score) for c in hit.also
            )
            copies = tuple(place.path for place in self._places_of(video_id) if place.path != answer.info.path)
            yield LibraryHit(answer, moments[video_id].index(hit.candidate.moment), hit.candidate.score, also, copies)

    def _described(self, answer: Answer) -> Answer:
        """With what the file itself says, if it is still there."""
        path = answer.info.path
        if path not in self._infos:
            try:
                self._infos[path] = probe(path)
            except VideoError as problem:
                missing = f"{path}: not there any more" if not path.exists() else str(problem)
                return replace(answer, warnings=(*answer.warnings, f"{missing}; the answer is from the library"))
        return replace(answer, info=self._infos[path])

    def _passes(self, segment: Segment, options: LibraryOptions) -> NDArray[np.bool_]:
        """(E,) which videos pass the filters."""
        passes = segment.lengths_s >= options.min_length_s
        if options.path_glob or options.since_s is not None:
            passes &= np.array([self._is_wanted(entry.video_id, options) for entry in segment.entries], dtype=bool)
        return np.asarray(passes)

    def _is_wanted(self, video_id: str, options: LibraryOptions) -> bool:
        """True if one path of the video passes all filters of paths."""
        if self._places is None:
            self._places = {}
            for place in places_of(self._store):
                self._places.setdefault(place.video_id, []).append(place)
        return any(passes(place, options) for place in self._places.get(video_id, []))

    def _places_of(self, video_id: str) -> list[Place]:
        return places_of(self._store, video_id) if self._places is None else self._places.get(video_id, [])

    def _path_of(self, video_id: str) -> Path:
        """Where the video lies: the first known path that exists, else the first known."""
        paths = [place.path for place in self._places_of(video_id)]
        return next((path for path in paths if path.exists()), paths[0] if paths else Path(video_id))

    def _alike_from(self, options: LibraryOptions) -> float:
        """Cosine from which two pictures are the same to this encoder."""
        if not options.merge:
            return 2.0
        if self._alike is None:
            unrelated = picture_scale(self._encoder, self._store).unrelated
            self._alike = unrelated + _ALIKE * (1 - unrelated)
        return self._alike


def passes(place: Place, options: LibraryOptions) -> bool:
    """True if a path has the name and the age that were asked for."""
    if options.since_s is not None and (place.changed_s is None or place.changed_s < options.since_s):
        return False
    path, name = str(place.path), place.path.name
    globs = options.path_glob
    return not globs or any(fnmatch.fnmatch(path, glob) or fnmatch.fnmatch(name, glob) for glob in globs)


def as_a_whole(answer: Answer, relevance: Relevance) -> Answer:
    """A video in which nothing stands out, a still picture say, but which answers: all of it is the moment."""
    peak_s = float(answer.times_s[int(answer.saliency.argmax())])
    whole = Moment(0.0, answer.duration_s, relevance.score, peak_s)
    return replace(answer, moments=(whole,), relevance=relevance)


def _spec(encoder: Encoder) -> FeatureSpec:
    return FeatureSpec(encoder.name, encoder.fingerprint, encoder.dim, "")


def _candidates(answer: Answer, features: VideoFeatures, relevance: float, options: LibraryOptions) -> list[Candidate]:
    """Its moments that may be shown. A ranking takes few of one video; the rest would only cost time.

    Videos are ordered by `relevance`, the calibration's in every mode: a learned one counts how much there is to be
    wrong in, which says whether a video answers, and not which of two does (docs/experiments.md).
    How strong a moment is says where in its video it ranks, not whether another video answers better: measured on the
    development videos, the strength itself puts the right video first less often (docs/library-search.md).
    """
    most = options.top if options.per_video == 0 else min(options.per_video, options.top)
    found = []
    for moment in answer.moments[:most]:
        if moment.score < options.min_score:
            continue
        score = relevance * moment.score / max(answer.moments[0].score, 1e-9)
        inside = (features.times_s >= moment.start_s) & (features.times_s < moment.end_s)
        found.append(Candidate(answer.video_id, moment, score, features.features[inside]))
    return found


def _unread(path: Path, duration_s: float) -> VideoInfo:
    """What stands for a file that nobody has looked into: no size and no rate."""
    return VideoInfo(
        path=path,
        stream_index=0,
        width=0,
        height=0,
        coded_width=0,
        coded_height=0,
        rotation=0,
        sample_aspect=Fraction(1),
        source_fps=_NO_RATE,
        time_base=1 / _NO_RATE,
        duration_s=duration_s,
        start_time_s=0.0,
        is_variable_rate=False,
        codec="",
        pixel_format="",
        container="",
        has_audio=False,
        num_frames_claimed=0,
    )
