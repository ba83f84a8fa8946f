"""A FireWorks LaunchPad as the queue of a campaign."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jobflow import Flow, JobStore

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest
from rocksalt.stores.opening import hide_password
from rocksalt.workflows.batches import BATCH_KIND
from rocksalt.workflows.queues import JobState, QueuedJob

if TYPE_CHECKING:
    from fireworks import LaunchPad

ANSWER_S = 5.0
"""A server that has not answered by then is said to be down."""

LOCK_S = 5.0
"""A workflow that stays locked for longer was locked by a worker that died."""

_STATES: dict[str, JobState] = {
    "WAITING": "ready",
    "READY": "ready",
    "RESERVED": "reserved",
    "RUNNING": "running",
    "FIZZLED": "failed",
    "PAUSED": "paused",
    "DEFUSED": "paused",
    "COMPLETED": "completed",
}
_OVER = ["COMPLETED", "ARCHIVED"]
_FIELDS = ("fw_id", "name", "state", "spec.stage", "spec.engine", "spec.keys")
_ASSIGNER = {"next_fw_id", "next_launch_id"}


def check_installed() -> None:
    """Raise when FireWorks is missing.

    Raises
    ------
    RocksaltError
        Naming the extra that brings it.
    """
    if find_spec("fireworks") is None:
        raise RocksaltError(
            "--manager fireworks needs the package fireworks: pip install 'rocksalt[cluster]'"
        )


def launchpad_file(given: Path | None) -> Path:
    """Return the LaunchPad file: the given one, or the one that FireWorks is configured with.

    Raises
    ------
    RocksaltError
        When there is none.
    """
    check_installed()
    if given is None:
        try:
            from fireworks.fw_config import LAUNCHPAD_LOC
        except Exception as error:  # a broken FW_config.yaml
            reason = " ".join(str(error).split())
            raise RocksaltError(f"the configuration of FireWorks (FW_config.yaml): {reason}") from error
        if LAUNCHPAD_LOC is None:
            raise RocksaltError(
                "no LaunchPad file: give --launchpad my_launchpad.yaml, or set LAUNCHPAD_LOC in "
                "FireWorks' FW_config.yaml; 'lpad init' writes such a file"
            )
        given = Path(LAUNCHPAD_LOC)
    if not given.is_file():
        raise RocksaltError(
            f"LaunchPad file {given}: no such file: 'lpad init' writes one, --launchpad names it"
        )
    return given.absolute()


def open_launchpad(file: Path) -> LaunchPad:
    """Connect to the LaunchPad of a file and check that it can be used.

    Raises
    ------
    RocksaltError
        One line: the file is wrong, the server does not answer, or the database is not a
        LaunchPad of this FireWorks.
    """
    check_installed()
    settings = _read(file)
    options = dict(settings.get("mongoclient_kwargs") or {})
    options.setdefault("serverSelectionTimeoutMS", int(ANSWER_S * 1000))
    # FireWorks' log lines would stand between the results on stdout.
    settings |= {"mongoclient_kwargs": options, "strm_lvl": "CRITICAL"}
    with _one_line(f"LaunchPad file {file}", "correct it; 'lpad init' writes one"):
        from fireworks import LaunchPad

        launchpad = LaunchPad.from_dict(settings)
    with launchpad_errors(file):
        assigner = launchpad.fw_id_assigner.find_one()
    if assigner is None:
        raise RocksaltError(
            f"LaunchPad {file}: database {launchpad.name!r} is not a LaunchPad yet: make it one with "
            f"'lpad -l {file} reset', or correct 'name' in the file"
        )
    if not assigner.keys() >= _ASSIGNER:
        from fireworks import __version__

        raise RocksaltError(
            f"LaunchPad {file}: database {launchpad.name!r} was made by another version of FireWorks "
            f"than {__version__}: install that version, or give another 'name' in the file"
        )
    return launchpad


def _read(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # A line of the file could hold a password.
        raise RocksaltError(f"LaunchPad file {file}: {type(error).__name__}: not YAML") from None
    if not isinstance(settings, dict) or "host" not in settings:
        raise RocksaltError(
            f"LaunchPad file {file}: has no key 'host': 'lpad init' writes such a file"
        )
    return settings


@contextmanager
def _one_line(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except RocksaltError:
        raise
    except Exception as error:  # pymongo and FireWorks have many
        reason = hide_password(" ".join(str(error).split()))[:200]
        raise RocksaltError(f"{what}: {type(error).__name__}: {reason}: {remedy}") from error


@contextmanager
def launchpad_errors(file: Path) -> Iterator[None]:
    """Turn what pymongo raises into one line."""
    with _one_line(f"LaunchPad {file}", "is the server up, and are host, port and user right?"):
        yield


class FireworksQueue:
    """Jobs in a LaunchPad whose results go into one store.

    Parameters
    ----------
    file
        The LaunchPad file.
    store
        Where results go.
    own_store
        Whether workers open the JOB_STORE of their own jobflow configuration instead of getting
        the address of ``store`` from the LaunchPad.
    category, worker
        By engine, or under ``None`` for all: FireWorks' ``_category`` and ``_fworker``.
    lost_after_s
        Silence after which a running job counts as lost. FireWorks' own setting when not given.
    """

    def __init__(
        self,
        file: Path,
        store: JobStore,
        *,
        own_store: bool = False,
        category: Mapping[str | None, str] | None = None,
        worker: Mapping[str | None, str] | None = None,
        lost_after_s: float | None = None,
    ) -> None:
        self.file = file
        self.launchpad = open_launchpad(file)
        self.store = None if own_store else store
        self.store_id = digest(hide_password(store.docs_store.name))
        self.options = {"_category": category or {}, "_fworker": worker or {}}
        self.lost_after_s = lost_after_s

    @property
    def label(self) -> str:
        """What and where it is."""
        return f"FireWorks LaunchPad {self.file}"

    @property
    def _ours(self) -> dict[str, Any]:
        return {"spec.kind": BATCH_KIND, "spec.results": self.store_id}

    def held_keys(self) -> set[str]:
        """Return the calculations of all jobs that are neither completed nor archived."""
        with launchpad_errors(self.file):
            found = self.launchpad.fireworks.find(
                {**self._ours, "state": {"$nin": _OVER}}, {"spec.keys": 1}
            )
            return {key for firework in found for key in firework["spec"]["keys"]}

    def jobs(self, campaign: str) -> list[QueuedJob]:
        """Return the jobs of a campaign, archived ones left out."""
        criteria = {**self._ours, "spec.campaign": campaign, "state": {"$ne": "ARCHIVED"}}
        with launchpad_errors(self.file):
            found = list(self.launchpad.fireworks.find(criteria, dict.fromkeys(_FIELDS, 1)))
            running = [f["fw_id"] for f in found if f["state"] == "RUNNING"]
            lost = set(self._detect_lost(running))
            failed = [f["fw_id"] for f in found if f["state"] == "FIZZLED"]
            causes = self._causes(failed)
        return [
            QueuedJob(
                number=str(firework["fw_id"]),
                name=firework["name"],
                state="lost" if firework["fw_id"] in lost else _STATES[firework["state"]],
                stage=firework["spec"]["stage"],
                engine=firework["spec"]["engine"],
                keys=firework["spec"]["keys"],
                cause=causes.get(firework["fw_id"]),
            )
            for firework in sorted(found, key=lambda f: f["fw_id"])
        ]

    def _detect_lost(self, numbers: Sequence[int], **actions: bool) -> list[int]:
        """Return which of these are lost: silent, or left half finished by a worker that died."""
        if not numbers:
            return []
        options: dict[str, Any] = {"query": {"fw_id": {"$in": list(numbers)}}, **actions}
        if self.lost_after_s is not None:
            options["expiration_secs"] = self.lost_after_s
        _, lost, _ = self.launchpad.detect_lostruns(**options)
        return list(lost)

    def _causes(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return why jobs failed, from the last launch of each."""
        if not numbers:
            return {}
        found = self.launchpad.launches.find(
            {"fw_id": {"$in": list(numbers)}, "state": "FIZZLED"},
            {"fw_id": 1, "launch_id": 1, "host": 1, "action.stored_data._exception": 1},
        )
        launches = sorted(found, key=lambda launch: launch["launch_id"])
        return {launch["fw_id"]: failure_cause(launch) for launch in launches}

    def add(self, flow: Flow) -> None:
        """Put the jobs of a flow into the LaunchPad as one workflow of independent fireworks."""
        from jobflow.managers.fireworks import flow_to_workflow

        for job in flow.jobs:
            engine = job.metadata["engine"]
            spec: dict[str, Any] = {"results": self.store_id}
            for option, by_engine in self.options.items():
                chosen = by_engine.get(engine, by_engine.get(None))
                if chosen is not None:
                    spec[option] = chosen
            job.update_config({"manager_config": spec})
        workflow = flow_to_workflow(flow, store=self.store)
        with launchpad_errors(self.file), open(os.devnull, "w") as nowhere:
            self.launchpad.fireworks.create_index("spec.campaign")
            # Stores workflows before fireworks, so that no worker finds one without the other.
            with redirect_stderr(nowhere):  # its progress bar
                self.launchpad.bulk_add_wfs([workflow])

    def requeue(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Make failed and lost jobs ready again; return those that could not be, and why."""
        refused = []
        with launchpad_errors(self.file):
            for job in jobs:
                number = int(job.number)
                if self._stays_locked(number):
                    remedy = f"lpad -l {self.file} admin unlock -i {number}"
                    refused.append((job, f"its workflow is locked by a worker that died: '{remedy}'"))
                    continue
                if job.state == "lost":
                    self._detect_lost([number], fizzle=True, refresh=True)
                self.launchpad.rerun_fw(number)
        return refused

    def _stays_locked(self, number: int) -> bool:
        """Whether a workflow is locked for longer than a living worker needs."""
        end = time.monotonic() + LOCK_S
        while self.launchpad.workflows.find_one({"nodes": number, "locked": True}, {"_id": 1}):
            if time.monotonic() > end:
                return True
            time.sleep(0.2)
        return False

    def close(self) -> None:
        """Close the connection."""
        self.launchpad.connection.close()


def failure_cause(launch: Mapping[str, Any]) -> str:
    """Return the last line of the exception of a failed launch."""
    action = launch.get("action") or {}
    exception = (action.get("stored_data") or {}).get("_exception") or {}
    lines = str(exception.get("_stacktrace") or "").strip().splitlines()
    if not lines:
        return f"its worker on {launch.get('host') or 'an unknown host'} died without a word"
    kind, colon, rest = lines[-1].partition(": ")
    return hide_password(kind.rpartition(".")[2] + colon + rest)
