"""Claims on calculations: one owner each, and none for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocksalt.stores import claims as module
from rocksalt.stores.claims import EXPIRE_S, RENEW_S, claims_in
from rocksalt.stores.processes import process_lives

KEYS = [f"key-{n}" for n in range(20)]


@pytest.fixture(params=["file", "server"])
def store(request, new_store):
    return new_store(request.param)


@pytest.fixture
def two(store):
    return claims_in(store), claims_in(store)


def owned_by(claims, host=None, pid=None, since=None):
    """Let claims be those of another process."""
    mine = claims.owner.split("/")
    theirs = [host or mine[0], str(pid or mine[1]), str(since or mine[2]), mine[3]]
    claims.owner = "/".join(theirs)
    return claims


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_calculation_has_one_owner_until_it_is_released(two):
    first, second = two
    assert first.take(KEYS[:3]) == set(KEYS[:3])
    assert second.take(KEYS[1:5]) == set(KEYS[3:5])
    assert first.take(KEYS[:5]) == set(KEYS[:3])  # what one has, one may take again
    first.release(KEYS[:2])
    second.release(KEYS[:3])  # not its own
    assert second.take(KEYS[:5]) == {*KEYS[:2], *KEYS[3:5]}
    first.release()
    assert second.take(KEYS[:5]) == set(KEYS[:5])


def test_a_claim_that_is_not_renewed_expires(two, monkeypatch):
    first, second = two
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now)
    first.take(KEYS[:2])
    now += EXPIRE_S - 1
    assert second.take(KEYS[:2]) == set()
    first.renew()
    now += EXPIRE_S - 1
    assert second.take(KEYS[:2]) == set()
    now += 2
    assert second.take(KEYS[:1]) == set(KEYS[:1])
    first.renew()  # it was suspended: what is no longer its own stays with the other
    first.release(KEYS[:1])
    assert first.take(KEYS[:2]) == {KEYS[1]}


def test_claims_of_a_dead_process_of_this_machine_are_free_at_once(two, other_process):
    first, second = two
    owned_by(first, pid=other_process.pid).take(KEYS[:1])
    assert second.take(KEYS[:1]) == set()
    other_process.kill()
    other_process.wait()
    assert second.take(KEYS[:1]) == set(KEYS[:1])


def test_claims_of_another_machine_are_free_only_when_they_expire(two, other_process, monkeypatch):
    first, second = two
    other_process.kill()
    other_process.wait()
    owned_by(first, host="elsewhere", pid=other_process.pid).take(KEYS[:1])
    assert second.take(KEYS[:1]) == set()
    now = time.time() + EXPIRE_S + 1
    monkeypatch.setattr(module.time, "time", lambda: now)
    assert second.take(KEYS[:1]) == set(KEYS[:1])


def test_a_process_number_that_went_to_another_process(other_process):
    assert process_lives(other_process.pid, time.time())
    assert not process_lives(other_process.pid, time.time() - 3600)
    assert process_lives(os.getpid(), time.time())


@pytest.mark.parametrize("expired", [False, True])
def test_many_owners_at_once_share_without_overlap(store, expired):
    owners = [claims_in(store) for _ in range(6)]
    if expired:  # all of them see the same dead owner
        dead = owned_by(claims_in(store), pid=2**22 + 1, host=socket.gethostname())
        assert dead.take(KEYS) == set(KEYS)
    start = threading.Barrier(len(owners))

    def take_all(claims):
        start.wait()
        return [key for n in range(0, len(KEYS), 2) for key in claims.take(KEYS[n : n + 2])]

    with ThreadPoolExecutor(len(owners)) as pool:
        taken = [key for keys in pool.map(take_all, owners) for key in keys]
    assert sorted(taken) == sorted(KEYS)


def test_claims_are_renewed_while_they_are_kept_and_then_released(two, monkeypatch):
    first, second = two
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    renewed = threading.Event()
    monkeypatch.setattr(first, "renew", renewed.set)
    with first.kept():
        first.take(KEYS[:1])
        assert renewed.wait(30)
        assert second.take(KEYS[:1]) == set()
    assert second.take(KEYS[:1]) == set(KEYS[:1])


def test_a_store_that_fails_for_a_moment_does_not_end_the_renewal(two, monkeypatch):
    first, _ = two
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    calls, again = [], threading.Event()

    def renew():
        calls.append(1)
        if len(calls) == 1:
            raise module.RocksaltError("the disk is full")
        again.set()

    monkeypatch.setattr(first, "renew", renew)
    with first.kept():
        assert again.wait(30)


def test_they_are_renewed_several_times_before_they_expire():
    assert EXPIRE_S / RENEW_S >= 3


def test_memory_is_seen_by_one_process_and_needs_none(new_store):
    first, second = (claims_in(new_store("memory")) for _ in range(2))
    assert not first.shared
    assert first.take(KEYS) == second.take(KEYS) == set(KEYS)
    with first.kept():
        first.renew()
