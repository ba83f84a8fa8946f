"""A FireWorks LaunchPad as the queue of a campaign."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jobflow import Flow, JobStore
from pymongo.errors import OperationFailure

from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest
from rocksalt.stores.addresses import hide_password, place_of
from rocksalt.workflows.queues import BATCH_KIND, JobState, QueuedJob, SubmissionDoc

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
_FIELDS = (
    *("fw_id", "name", "state", "updated_on", "spec.stage", "spec.engine", "spec.keys"),
    "spec._exception_details._stacktrace",
)
_ASSIGNER = {"next_fw_id", "next_launch_id"}
_IS_IT_UP = "is the server up, and are host, port, TLS and user right?"
_REMEDIES = {
    13: "its user may not do that: ask for the role readWrite on its database",
    18: "the server refuses this user with this password: correct username, password and authsource",
}
"""By MongoDB's error code."""


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
            raise RocksaltError(
                f"the configuration of FireWorks (FW_config.yaml): {reason}"
            ) from error
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


@dataclass(frozen=True)
class OpenLaunchpad:
    """A connected LaunchPad and the file that says where it is."""

    file: Path
    launchpad: LaunchPad


def open_launchpad(given: Path | None = None, *, to_write: bool = False) -> OpenLaunchpad:
    """Connect to a LaunchPad and check that it can be used.

    Parameters
    ----------
    given
        The LaunchPad file; the one that FireWorks is configured with when not given.
    to_write
        Also check that its user may change it.

    Raises
    ------
    RocksaltError
        One line: the file is missing or wrong, the server does not answer, or the database is not
        a LaunchPad of this FireWorks.
    """
    file = launchpad_file(given)
    settings = _read(file)
    options = dict(settings.get("mongoclient_kwargs") or {})
    options.setdefault("serverSelectionTimeoutMS", int(ANSWER_S * 1000))
    options.setdefault("journal", True)  # what was submitted outlives a killed server
    # FireWorks' log lines would stand between the results on stdout.
    settings |= {"mongoclient_kwargs": options, "strm_lvl": "CRITICAL"}
    from fireworks import LaunchPad

    try:
        launchpad = LaunchPad.from_dict(settings)
    except Exception as error:  # FireWorks' and pymongo's, about whichever key is wrong
        what, remedy = f"LaunchPad file {file}", "correct it; 'lpad init' writes one"
        raise _in_one_line(error, what, remedy) from error
    try:
        _check_usable(launchpad, file)
        if to_write:
            with launchpad_errors(file):  # deletes nothing
                launchpad.workflows.delete_many({"nodes": "rocksalt: never stored"})
    except BaseException:  # whatever it is, a Ctrl-C too, leaves no connection open
        launchpad.connection.close()
        raise
    return OpenLaunchpad(file, launchpad)


def _check_usable(launchpad: LaunchPad, file: Path) -> None:
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


def _read(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RocksaltError(f"LaunchPad file {file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError):
        settings = None  # what the error quotes could be the password
    if not isinstance(settings, dict) or "host" not in settings:
        raise RocksaltError(
            f"LaunchPad file {file}: is not YAML with a key 'host': 'lpad init' writes such a file"
        )
    return settings


def _in_one_line(error: Exception, what: str, remedy: str) -> RocksaltError:
    text = hide_password(" ".join(str(error).split()))
    reason = text.partition(" (configured timeouts")[0][:200]
    return RocksaltError(f"{what}: {type(error).__name__}: {reason}: {remedy}")


@contextmanager
def launchpad_errors(file: Path) -> Iterator[None]:
    """Turn what pymongo raises into one line."""
    try:
        yield
    except OperationFailure as error:
        remedy = _REMEDIES.get(error.code or 0)
        if remedy is None:
            raise _in_one_line(error, f"LaunchPad {file}", _IS_IT_UP) from error
        raise RocksaltError(f"LaunchPad {file}: {remedy}") from error
    except RocksaltError:
        raise
    except Exception as error:  # pymongo and FireWorks have many
        raise _in_one_line(error, f"LaunchPad {file}", _IS_IT_UP) from error


class FireworksQueue:
    """Jobs in a LaunchPad whose results go into one store.

    Parameters
    ----------
    opened
        The LaunchPad.
    store
        Where results go.
    carried
        What the LaunchPad holds of that store (see `store_for_workers`); not needed to look.
    category, worker
        By engine, or under ``None`` for all: FireWorks' ``_category`` and ``_fworker``.
    lost_after_s
        Silence after which a running job counts as lost. FireWorks' own setting when not given.
    """

    def __init__(
        self,
        opened: OpenLaunchpad,
        store: JobStore,
        *,
        carried: JobStore | None = None,
        category: Mapping[str | None, str] | None = None,
        worker: Mapping[str | None, str] | None = None,
        lost_after_s: float | None = None,
    ) -> None:
        self.file = opened.file
        self.launchpad = opened.launchpad
        self.carried = carried
        docs = store.docs_store  # the same for every way to write its address
        self.store_id = digest(f"{place_of(docs.name)} {getattr(docs, 'collection_name', '')}")
        self.options = {"_category": category or {}, "_fworker": worker or {}}
        if lost_after_s is None:
            from fireworks.fw_config import RUN_EXPIRATION_SECS

            lost_after_s = RUN_EXPIRATION_SECS
        self.lost_after_s = float(lost_after_s)

    @property
    def label(self) -> str:
        """What and where it is."""
        return f"FireWorks LaunchPad {self.file}"

    @property
    def worker_command(self) -> str:
        """What starts a worker."""
        return f"rlaunch -l {self.file} rapidfire"

    def where(self, campaign: str) -> SubmissionDoc:
        """Return what finds this LaunchPad again."""
        return SubmissionDoc(campaign=campaign, manager="fireworks", launchpad=str(self.file))

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
            lost = self._lost(found)
            causes = self._causes([f for f in found if f["state"] == "FIZZLED"])
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

    def _lost(self, found: Sequence[Mapping[str, Any]]) -> set[int]:
        """Return which fireworks a worker left when it died: at work, or while it took them."""
        running = [f["fw_id"] for f in found if f["state"] == "RUNNING"]
        lost = set(self._detect_lost(running))
        taken = [f for f in found if f["state"] == "RESERVED" and self._is_silent(f["updated_on"])]
        if taken:
            criteria = {"fw_id": {"$in": [f["fw_id"] for f in taken]}, "state": "RESERVED"}
            waiting = {each["fw_id"] for each in self.launchpad.launches.find(criteria)}
            lost |= {f["fw_id"] for f in taken} - waiting  # those are in a batch system
        return lost

    def _is_silent(self, since: datetime | str) -> bool:
        moment = datetime.fromisoformat(since) if isinstance(since, str) else since
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (datetime.now(UTC) - moment).total_seconds() >= self.lost_after_s

    def _detect_lost(self, numbers: Sequence[int], **actions: bool) -> list[int]:
        """Return which running fireworks are silent, or contradict their launches."""
        if not numbers:
            return []
        _, lost, inconsistent = self.launchpad.detect_lostruns(
            expiration_secs=self.lost_after_s, query={"fw_id": {"$in": list(numbers)}}, **actions
        )
        return [*lost, *inconsistent]

    def _causes(self, failed: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """Return why fireworks failed: from the last launch, or from the worker's try to read it."""
        if not failed:
            return {}
        found = self.launchpad.launches.find(
            {"fw_id": {"$in": [f["fw_id"] for f in failed]}, "state": "FIZZLED"},
            {"fw_id": 1, "launch_id": 1, "host": 1, "action.stored_data._exception": 1},
        )
        unread = {
            f["fw_id"]: last_line(f["spec"]["_exception_details"].get("_stacktrace") or "")
            for f in failed
            if "_exception_details" in f["spec"]
        }
        launches = sorted(found, key=lambda launch: launch["launch_id"])
        return unread | {launch["fw_id"]: failure_cause(launch) for launch in launches}

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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some jobs are not connected", UserWarning)
            workflow = flow_to_workflow(flow, self.carried)  # type: ignore[arg-type]  # None will do
        with launchpad_errors(self.file), open(os.devnull, "w") as nowhere:
            self.launchpad.fireworks.create_index("spec.campaign")
            # Stores workflows before fireworks, so that no worker finds one without the other.
            with redirect_stderr(nowhere):  # its progress bar
                self.launchpad.bulk_add_wfs([workflow])

    def requeue(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Make failed and lost jobs ready again; return those that could not be, and why."""

        def requeue_one(job: QueuedJob) -> None:
            if job.state == "lost":
                self._detect_lost([int(job.number)], fizzle=True, refresh=True)
            self.launchpad.rerun_fw(int(job.number))

        return self._unless_locked(jobs, requeue_one)

    def complete(self, jobs: Sequence[QueuedJob]) -> list[tuple[QueuedJob, str]]:
        """Do for lost jobs whose results are stored what their workers did not come to."""
        from fireworks import FWAction

        def complete_one(job: QueuedJob) -> None:
            criteria = {"fw_id": int(job.number), "state": "RUNNING"}
            for launch in list(self.launchpad.launches.find(criteria, {"launch_id": 1})):
                self.launchpad.complete_launch(launch["launch_id"], FWAction())
            self._detect_lost([int(job.number)], refresh=True)

        return self._unless_locked(jobs, complete_one)

    def _unless_locked(
        self, jobs: Sequence[QueuedJob], action: Callable[[QueuedJob], None]
    ) -> list[tuple[QueuedJob, str]]:
        refused = []
        with launchpad_errors(self.file):
            for job in jobs:
                if self._stays_locked(int(job.number)):
                    remedy = f"lpad -l {self.file} admin unlock -i {job.number}"
                    refused.append((job, f"a worker that died locked its workflow: '{remedy}'"))
                else:
                    action(job)
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
    if not exception.get("_stacktrace"):
        return f"its worker on {launch.get('host') or 'an unknown host'} died without a word"
    return last_line(exception["_stacktrace"])


def last_line(stacktrace: str) -> str:
    """Return the last line of a traceback, without the module of the exception and passwords."""
    lines = stacktrace.strip().splitlines() or ["no reason given"]
    kind, colon, rest = lines[-1].partition(": ")
    if " " not in kind:
        kind = kind.rpartition(".")[2]
    return hide_password(kind + colon + rest)
