from __future__ import annotations

from pathlib import Path

from rdmf_cli.export.sources import located
from rdmf_cli.media.probe import fingerprint
from tests.export.documents import answer, answers_of


def test_still_there(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"content")
    answers = answers_of(answer(video, id=fingerprint(video)))
    found, missing, changed = located(answers, None)
    assert (found, missing, changed) == (answers, [], [])


def test_beside_the_document(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"content")
    found, missing, changed = located(answers_of(answer("a.mp4", id=fingerprint(video))), tmp_path)
    assert [result.video.path for result in found.results] == [video]
    assert (missing, changed) == ([], [])


def test_moved_or_changed(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"other content")
    answers = answers_of(answer(video), answer(tmp_path / "gone.mp4"), answer("x" * 5000), answer("gone2.mp4"))
    found, missing, changed = located(answers, tmp_path)
    assert [result.video.path for result in found.results] == answers.paths
    assert missing == [tmp_path / "gone.mp4", Path("x" * 5000), Path("gone2.mp4")]
    assert len(changed) == 1
    assert "a.mp4: another file than the one that was searched" in changed[0]
