"""Search of everything indexed: the same answers as for a single video, in one honest ranking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.errors import StoreError
from rdmf_cli.moments import Relevance
from rdmf_cli.pipeline.answer import Answer, SearchOptions, answer_to_json
from rdmf_cli.pipeline.index import feature_spec, index_video
from rdmf_cli.pipeline.learned import LearnedMode
from rdmf_cli.pipeline.library import Library, LibraryAnswer, LibraryOptions, as_a_whole, passes
from rdmf_cli.pipeline.modes import PATTERN_MODE
from rdmf_cli.pipeline.parts import best_of_videos
from rdmf_cli.pipeline.query import Picture, Query
from rdmf_cli.pipeline.search import search_videos
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.generations import Generations
from rdmf_cli.store.listing import Place
from rdmf_cli.store.nearest import Entry, build
from tests import moment_folders
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import Ears
from tests.videos import folder, run_ffmpeg

Ask = Callable[..., LibraryAnswer]
SHOTS = {
    "one": (("gray", 4), ("red", 3), ("blue", 5)),
    "two": (("green", 5), ("yellow", 3)),
    "three": (("black", 4), ("magenta", 4), ("red", 2), ("white", 3)),
}


@pytest.fixture(scope="session")
def videos() -> dict[str, Path]:
    """Three videos of colours."""
    made = {}
    for name, shots in SHOTS.items():
        made[name] = folder() / f"library-{name}.mp4"
        parts = ";".join(f"color={c}:s=96x54:r=10:d={s}[{n}]" for n, (c, s) in enumerate(shots))
        joined = "".join(f"[{n}]" for n in range(len(shots)))
        run_ffmpeg(
            "-f", "lavfi", "-i", f"{parts};{joined}concat=n={len(shots)},format=yuv420p", "-c:v", "libx264", made[name]
        )
    return made


@pytest.fixture
def filled(store: Store, encoder: FakeEncoder, videos: dict[str, Path]) -> Store:
    for video in videos.values():
        index_video(video, encoder=encoder, store=store, options=SearchOptions())
    return store


@pytest.fixture
def ask(filled: Store, encoder: FakeEncoder, ears: Ears) -> Ask:
    """ask("red", per_video=1) -> the answer."""

    def one(query: str | Query, **options: Any) -> LibraryAnswer:
        library = Library.open(filled, encoder, ears)
        return library.search(library.encode([query]), 0, LibraryOptions(**options))

    return one


def names(answer: LibraryAnswer) -> list[str]:
    return [hit.answer.info.path.stem.removeprefix("library-") for hit in answer.hits]


def test_which_video_and_where(ask: Ask) -> None:
    answer = ask("something yellow")
    assert names(answer)[0] == "two"
    hit = answer.hits[0]
    moment = hit.answer.moments[hit.moment]
    assert (moment.start_s, moment.end_s) == pytest.approx((5, 8), abs=0.3)
    assert answer.best.confident
    assert answer.num_videos == 3
    assert hit.answer.info.width == 96


def test_the_answers_are_those_of_each_video_alone(
    ask: Ask, filled: Store, encoder: FakeEncoder, videos: dict[str, Path]
) -> None:
    alone = search_videos(list(videos.values()), ["red"], encoder=encoder, store=filled, options=SearchOptions())
    by_id = {answer.video_id: answer for answer in alone.answers}
    found = ask("red", per_video=0, top=50, show_all=True, merge=False)
    assert len(found.answers) == 3
    for answer in found.answers:
        expected = by_id[answer.video_id]
        assert answer.moments == expected.moments
        assert answer.relevance.score == pytest.approx(expected.relevance.score, abs=1e-6)
        np.testing.assert_array_equal(answer.saliency, expected.saliency)
    assert found.best.score == pytest.approx(max(a.relevance.score for a in alone.answers), abs=1e-6)
    assert len(found.hits) == sum(len(a.moments) for a in alone.answers)


def test_scores_fall_and_the_first_moment_of_a_video_scores_its_relevance(ask: Ask) -> None:
    found = ask("red", per_video=0, top=50, show_all=True, merge=False)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for answer in found.answers:
        best = max(hit.score for hit in found.hits if hit.answer is answer)
        assert best == pytest.approx(answer.relevance.score)


@pytest.mark.parametrize("top", [1, 2, 3, 50])
def test_a_short_ranking_is_the_start_of_the_long_one(ask: Ask, top: int) -> None:
    for query in ("red", "a white wall", "noise"):
        long = ask(query, top=50, show_all=True, per_video=1, merge=False)
        short = ask(query, top=top, show_all=True, per_video=1, merge=False)
        assert [h.score for h in short.hits] == pytest.approx([h.score for h in long.hits][:top])


def test_what_is_not_there_is_not_claimed(ask: Ask) -> None:
    answer = ask("nothing in particular")
    assert answer.hits == ()
    assert not answer.best.confident
    assert ask("nothing in particular", show_all=True).hits


def test_the_same_scene_in_two_videos_is_one_hit(ask: Ask) -> None:
    answer = ask("something red", show_all=True, top=2)
    assert len([hit for hit in answer.hits if hit.answer.moments[hit.moment].length_s < 4 and hit.also]) == 1
    [other] = answer.hits[0].also
    assert other.video_id != answer.hits[0].answer.video_id
    assert len({answer.hits[0].answer.info.path.stem, other.path.stem} & {"library-one", "library-three"}) == 2
    assert {"one", "three"} <= set(names(ask("something red", merge=False)))


def test_copies_of_a_file_are_one_hit(
    filled: Store, encoder: FakeEncoder, videos: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(videos["two"], copy)
    index_video(copy, encoder=encoder, store=filled, options=SearchOptions())
    library = Library.open(filled, encoder)
    assert library.num_videos == 3
    answer = library.search(library.encode(["yellow"]), 0, LibraryOptions(per_video=1))
    paths = {answer.hits[0].answer.info.path, *answer.hits[0].copies}
    assert {path.name for path in paths} == {"copy.mp4", videos["two"].name}


class Judge:
    """Pattern mode's moments with a relevance of its own, by the name of the video."""

    name, kind, judges_relevance = "judge", "learned", True

    def __init__(self, **scores: float) -> None:
        self.scores = scores
        self.num_answered = 0

    def answer(self, videos: Any, encoded: Any, calibration: Any, **options: Any) -> Any:
        self.num_answered += len(videos)
        found = PATTERN_MODE.answer(videos, encoded, calibration, **options)
        return [[self._judged(answer) for answer in answers] for answers in found]

    def _judged(self, answer: Answer) -> Answer:
        score = self.scores[answer.info.path.stem.removeprefix("library-")]
        judged = replace(answer, relevance=Relevance(score, 0.6))
        return judged if judged.moments else as_a_whole(judged, judged.relevance)


def test_a_mode_that_judges_relevance_decides_what_is_shown_and_the_calibration_in_which_order(
    filled: Store, encoder: FakeEncoder
) -> None:
    def found(judge: Judge, **options: Any) -> LibraryAnswer:
        library = Library.open(filled, encoder, mode=judge)
        return library.search(library.encode(["something yellow"]), 0, LibraryOptions(merge=False, **options))

    judge = Judge(one=0.7, two=0.65, three=0.9)
    assert list(dict.fromkeys(names(found(judge)))) == ["two", "one", "three"]
    assert names(found(judge, top=1)) == ["two"]
    assert found(judge).best == Relevance(0.9, 0.6)
    doubting = found(Judge(one=0.1, two=0.2, three=0.3))
    assert (doubting.hits, doubting.best) == ((), Relevance(0.3, 0.6))
    assert names(found(Judge(one=0.1, two=0.2, three=0.3), show_all=True))[0] == "two"
    assert set(names(found(Judge(one=0.1, two=0.3, three=0.7)))) == {"three"}
    assert set(names(found(Judge(one=0.1, two=0.3, three=0.7), top=1))) == {"three"}  # the last to be asked


def test_a_learned_mode_searches_the_library(filled: Store, encoder: FakeEncoder) -> None:
    mode = LearnedMode("small", moment_folders.network_of())
    library = Library.open(filled, encoder, mode=mode)
    answer = library.search(library.encode(["red"]), 0, LibraryOptions(explain=True))
    assert answer.best.confident
    assert answer.hits
    for hit in answer.hits:
        assert hit.answer.trace is not None
        assert 0 <= hit.score <= 1


def test_filters(ask: Ask, videos: dict[str, Path]) -> None:
    everything = {"show_all": True, "top": 50, "merge": False}
    assert set(names(ask("red", path_glob=("*two*",), **everything))) == {"two"}
    assert set(names(ask("red", path_glob=("*two.mp4", f"{videos['one'].parent}/*one*"), **everything))) == {
        "one",
        "two",
    }
    assert set(names(ask("red", min_length_s=11.5, **everything))) == {"one", "three"}
    os.utime(videos["one"], (1_000_000_000, 1_000_000_000))
    none = ask("red", path_glob=("nowhere*",), **everything)
    assert (none.hits, none.num_videos) == ((), 0)


def test_filter_of_time() -> None:
    place = Place("a", Path("/x/y.mp4"), 500.0)
    assert passes(place, LibraryOptions(since_s=500.0))
    assert not passes(place, LibraryOptions(since_s=501.0))
    assert not passes(Place("a", Path("/x/y.mp4"), None), LibraryOptions(since_s=1.0))


def test_a_video_that_has_gone_is_still_an_answer(
    filled: Store, encoder: FakeEncoder, videos: dict[str, Path], tmp_path: Path
) -> None:
    alone = tmp_path / "orange.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=orange:s=96x54:r=10:d=3", "-c:v", "libx264", alone)
    index_video(alone, encoder=encoder, store=filled, options=SearchOptions())
    alone.unlink()
    library = Library.open(filled, encoder)
    answer = library.search(library.encode(["orange"]), 0, LibraryOptions(show_all=True, top=1))
    assert answer.hits[0].answer.info.path == alone
    assert any("not there" in warning for warning in answer.hits[0].answer.warnings)
    described = answer_to_json(answer.hits[0].answer)["video"]
    assert (described["width"], described["height"], described["source_fps"]) == (None, None, None)


def test_pictures_and_negatives(ask: Ask, videos: dict[str, Path]) -> None:
    frame = Query(picture=Picture(videos["two"], 6.0))
    assert names(ask(frame, show_all=True))[0] == "two"
    plain = ask("red or white", show_all=True, top=50, per_video=0, merge=False)
    without = ask(Query("red or white", negatives=("red",)), show_all=True, top=50, per_video=0, merge=False)

    def best(answer: LibraryAnswer, name: str) -> float:
        return max(a.relevance.score for a in answer.answers if name in a.info.path.name)

    assert best(without, "one") < best(plain, "one")  # it has red and no white
    assert without.answers[0].info.path.name == "library-three.mp4"


def test_an_empty_library(store: Store, encoder: FakeEncoder) -> None:
    with pytest.raises(StoreError, match="empty") as caught:
        Library.open(store, encoder)
    assert "rdmf index" in caught.value.hint


def test_a_library_of_another_encoder(filled: Store) -> None:
    with pytest.raises(StoreError, match="no video is indexed with the encoder other") as caught:
        Library.open(filled, FakeEncoder("other", seed=7))
    assert "3 with fake" in str(caught.value)
    assert "rdmf index" in caught.value.hint


def _segment_file(store: Store, encoder: FakeEncoder) -> Path:
    [file] = Generations(store, encoder.fingerprint, encoder.dim).folder.glob("*.faiss")
    return file


@pytest.mark.parametrize("damage", ["missing", "cut", "codes"])
def test_a_damaged_index_is_built_again_with_one_line(
    filled: Store, encoder: FakeEncoder, ears: Ears, damage: str
) -> None:
    Library.open(filled, encoder)
    file = _segment_file(filled, encoder)
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(bytes(data[:-20]))
    else:
        data[len(data) // 2] ^= 0x40
        file.write_bytes(bytes(data))
    library = Library.open(filled, encoder, ears)
    answer = library.search(library.encode(["yellow"]), 0, LibraryOptions())
    assert names(answer)[0] == "two"
    assert len(ears.warnings) == 1
    assert "built again" in ears.warnings[0]
    again = Library.open(filled, encoder, ears)
    again.search(again.encode(["yellow"]), 0, LibraryOptions())
    assert len(ears.warnings) == 1


def test_an_index_that_lies_is_found_out(filled: Store, encoder: FakeEncoder, ears: Ears) -> None:
    library = Library.open(filled, encoder, ears)
    segment, counts = library._parts[0]
    wrong = {e.video_id: np.roll(np.eye(e.num_rows, encoder.dim, dtype=np.float32), 3, axis=1) for e in segment.entries}
    lying = build(segment.entries, lambda e: (wrong[e.video_id], 5.0), encoder.dim)
    library._parts = [(lying, counts)]
    assert names(library.search(library.encode(["yellow"]), 0, LibraryOptions()))[0] == "two"
    assert len(ears.warnings) == 1


def test_a_store_that_can_not_be_written(
    filled: Store, encoder: FakeEncoder, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(filled), "read_only", property(lambda self: True))
    library = Library.open(filled, encoder, ears)
    assert names(library.search(library.encode(["yellow"]), 0, LibraryOptions()))[0] == "two"
    assert not (filled.folder / "library").exists()
    assert ears.warnings == []


def test_a_full_disk_costs_a_warning(
    filled: Store, encoder: FakeEncoder, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generations, "publish", lambda *a, **o: _raise(StoreError("no space left")))
    library = Library.open(filled, encoder, ears)
    assert names(library.search(library.encode(["yellow"]), 0, LibraryOptions()))[0] == "two"
    assert len(ears.warnings) == 1


def _raise(error: BaseException) -> Any:
    raise error


def test_a_video_in_which_nothing_stands_out_is_a_hit_as_a_whole(
    filled: Store, encoder: FakeEncoder, tmp_path: Path
) -> None:
    still = tmp_path / "still.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=cyan:s=96x54:r=10:d=3", "-c:v", "libx264", still)
    index_video(still, encoder=encoder, store=filled, options=SearchOptions())
    library = Library.open(filled, encoder)
    hit = library.search(library.encode(["cyan"]), 0, LibraryOptions()).hits[0]
    [moment] = hit.answer.moments
    assert hit.answer.info.path == still
    assert (moment.start_s, moment.end_s) == pytest.approx((0, 3), abs=0.11)


def test_what_others_index_meanwhile(filled: Store, encoder: FakeEncoder, tmp_path: Path) -> None:
    library = Library.open(filled, encoder)
    late = tmp_path / "late.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=cyan:s=96x54:r=10:d=3", "-c:v", "libx264", late)
    with Store.open(filled.folder) as other:
        index_video(late, encoder=encoder, store=other, options=SearchOptions())
    library.catch_up()
    assert library.num_videos == 4
    found = library.search(library.encode(["cyan"]), 0, LibraryOptions(show_all=True, top=1))
    assert found.hits[0].answer.info.path == late


def test_a_long_video_full_of_matches_hides_no_other(store: Store, encoder: FakeEncoder) -> None:
    [red] = encoder.encode_texts(["red"])
    rng = np.random.default_rng(0)
    spec = feature_spec(encoder, 2.0, "ffmpeg")
    for number, (rows, noise) in enumerate([(3000, 0.05), (20, 0.3), (20, 0.4), (20, 0.5)]):
        values = red + noise * rng.standard_normal((rows, encoder.dim)).astype(np.float32) / encoder.dim**0.5
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        times_s = np.arange(rows) / 2
        features = VideoFeatures(values, times_s, np.zeros(rows, np.float32), times_s, rows / 2)
        store.save(f"{number:032x}", spec, features, Path(f"/v/{number}.mp4"))
    library = Library.open(store, encoder)
    [(segment, counts)] = library._parts
    leads = list(best_of_videos(segment, red, counts, 4))
    assert [int(lead.entry.video_id, 16) for lead in leads] == [0, 1, 2, 3]
    answer = library.search(library.encode(["red"]), 0, LibraryOptions(top=8, per_video=2, show_all=True, merge=False))
    assert {int(hit.answer.video_id, 16) for hit in answer.hits} == {0, 1, 2, 3}


def test_leads_have_the_best_snippet_of_each_video() -> None:
    rng = np.random.default_rng(1)
    rows = {f"{n:032x}": rng.standard_normal((9, 16)).astype(np.float32) for n in range(5)}
    rows = {k: v / np.linalg.norm(v, axis=1, keepdims=True) for k, v in rows.items()}
    segment = build([Entry(k, "k", "c", 9) for k in rows], lambda e: (rows[e.video_id], 4.5), 16)
    query = rows[f"{2:032x}"][3]
    for lead in best_of_videos(segment, query, np.ones(5, bool), 5):
        cosines = rows[lead.entry.video_id] @ query
        assert lead.row == int(cosines.argmax())
        assert lead.cosine == pytest.approx(float(cosines.max()), abs=2e-3)
