"""Claims: one holder, void when it ends or expires."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from rdmf_cli.store import Store, claims
from rdmf_cli.store.claims import Claims


def held(store: Store) -> int:
    return len(store.catalogue.rows("SELECT * FROM claim"))


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        mine, theirs = Claims(store.catalogue), Claims(other.catalogue)
        assert mine.take("video", "spec")
        assert not theirs.take("video", "spec")
        assert not mine.take("video", "spec")  # another thread of ours
        assert theirs.take("video", "other spec")
        theirs.give_back("video", "spec")  # not theirs: nothing happens
        assert not theirs.take("video", "spec")
        mine.give_back("video", "spec")
        assert theirs.take("video", "spec")


def test_claims_expire_unless_they_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(claims.time, "time", lambda: clock[0])
    with Store.open(tmp_path) as store:
        mine, theirs = Claims(store.catalogue), Claims(store.catalogue)
        assert mine.take("video", "spec")
        clock[0] += claims.LIFE_S - 1
        mine.renew()
        clock[0] += claims.LIFE_S - 1
        assert not theirs.take("video", "spec")
        clock[0] += 2
        assert theirs.take("video", "spec")
        clock[0] -= 10 * claims.LIFE_S  # somebody sets the clock back: a claim from the future is void
        assert mine.take("video", "spec")


def test_a_claim_that_was_taken_while_we_waited_for_the_lock_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(claims.time, "time", lambda: clock[0])
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        mine, theirs = Claims(store.catalogue), Claims(other.catalogue)
        writing = other.catalogue.writing

        def after_a_wait():
            monkeypatch.setattr(other.catalogue, "writing", writing)
            clock[0] += 5
            assert mine.take("video", "spec")
            return writing()

        monkeypatch.setattr(other.catalogue, "writing", after_a_wait)
        assert not theirs.take("video", "spec")


def test_kept_renews_and_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LIFE_S", 0.2)
    with Store.open(tmp_path) as store:
        mine, theirs = Claims(store.catalogue), Claims(store.catalogue)
        with mine.kept():
            assert mine.take("video", "spec")
            [(first,)] = store.catalogue.rows("SELECT expires_s FROM claim")
            deadline = time.monotonic() + 30
            while store.catalogue.rows("SELECT expires_s FROM claim") == [(first,)]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert held(store) == 0
        assert theirs.take("video", "spec")


def test_the_claim_of_a_killed_process_is_void_at_once(tmp_path: Path, start) -> None:
    code = """
from rdmf_cli.store.claims import Claims
store = Store.open(Path(sys.argv[1]))
print(Claims(store.catalogue).take("video", "spec"), flush=True)
signal.pause()
"""
    with Store.open(tmp_path) as store, start(code, tmp_path) as process:
        assert process.stdout.readline() == "True\n"
        assert not Claims(store.catalogue).take("video", "spec")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Claims(store.catalogue).take("video", "spec")


def test_what_a_killed_process_left_is_swept(tmp_path: Path, start) -> None:
    code = """
from rdmf_cli.store.claims import Claims
with Store.open(Path(sys.argv[1])) as store:
    assert Claims(store.catalogue).take("video", "spec")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with start(code, tmp_path) as process:
        process.communicate()
    with Store.open(tmp_path) as store:
        mine = Claims(store.catalogue)
        assert mine.take("another", "spec")
        assert held(store) == 2
        Claims(store.catalogue).sweep()
        assert held(store) == 1
        assert not Claims(store.catalogue).take("another", "spec")


def test_a_number_that_was_given_to_another_process_is_not_the_owner() -> None:
    me = Claims(None)._owner  # type: ignore[arg-type]
    assert not claims._is_gone(me)
    machine, pid, started, own = me.split("|")
    if started:  # Linux tells
        assert claims._is_gone("|".join([machine, pid, "1", own]))
    assert not claims._is_gone("|".join(["elsewhere", pid, "1", own]))
    assert not claims._is_gone("nonsense")
