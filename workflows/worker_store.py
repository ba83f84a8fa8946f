"""The store of results as a queue carries it: where it is, but never its password."""

from __future__ import annotations

from typing import Any

from jobflow import JobStore
from maggma.stores import MemoryStore
from pymongo.errors import ConnectionFailure

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.addresses import HIDDEN, SCHEMES, hide_password, store_address
from rocksalt.stores.mongo import additional_stores
from rocksalt.stores.opening import open_store
from rocksalt.stores.records import load_document
from rocksalt.workflows.settings import load_settings

PATIENCE_S = 600.0
"""How long a worker waits for a server that was restarted: its result may have taken days."""

WHERE_IT_IS_SET = (
    "ROCKSALT_STORE, 'store' in ~/.rocksalt.yaml, or JOB_STORE in jobflow's configuration"
)


class WorkerStore(JobStore):
    """A store on a server that a worker opens when its job begins.

    Its address stands in the queue without the password. A worker takes the whole address from its
    own settings, and refuses a store that does not hold the job's campaign: no result goes
    elsewhere unseen.

    Parameters
    ----------
    address
        ``mongodb://...`` with or without ``***`` for a password, or 'jobflow' for the JOB_STORE of
        the worker's own jobflow configuration.
    campaign
        Name of the campaign that the job belongs to.
    """

    def __init__(self, address: str, campaign: str) -> None:
        self.address = hide_password(address)
        self.campaign = campaign
        super().__init__(MemoryStore())  # until it is connected

    @property
    def name(self) -> str:
        """Where it is, without the password."""
        return self.address

    def connect(self, force_reset: bool = False) -> None:
        """Open the store.

        Raises
        ------
        RocksaltError
            When the worker's settings name none, it cannot be opened, or it is another one.
        """
        try:
            address = self._own_address() if HIDDEN in self.address else self.address
            opened = open_store(address, wait_s=PATIENCE_S)
        except RocksaltError as error:  # all that is said goes into the queue, causes too
            raise RocksaltError(hide_password(f"this worker: {error}")) from None
        if load_document(opened, f"campaign-{self.campaign}") is None:
            there = hide_password(opened.docs_store.name)
            raise RocksaltError(
                f"this worker's store {there} does not hold campaign {self.campaign!r}: it is not the "
                f"one that the campaign was submitted with ({self.address}): correct {_setting(address)}"
            )
        super().__init__(opened.docs_store, additional_stores(opened))

    def _own_address(self) -> str:
        own = store_address(None, None, load_settings().store)
        if own != "jobflow" and not own.startswith(SCHEMES):
            raise RocksaltError(
                f"it does not know the password of store {self.address}: set {WHERE_IT_IS_SET} "
                "where it starts"
            )
        return own

    def update(self, docs: Any, key: Any = None, save: Any = None) -> None:
        """Write records; once more where the connection broke, for the same records do no harm."""
        try:
            super().update(docs, key=key, save=save)
        except ConnectionFailure:
            super().update(docs, key=key, save=save)


def _setting(address: str) -> str:
    return (
        "JOB_STORE in jobflow's configuration" if address == "jobflow" else "ROCKSALT_STORE there"
    )


def store_for_workers(address: str, store: JobStore, campaign: str) -> JobStore:
    """Return what a queue may carry of a store of results.

    Parameters
    ----------
    address
        As it was opened with. A password in it stays out.
    store
        The opened store; that of a file goes as it is.
    campaign
        Name of the campaign whose results go there.
    """
    if address == "jobflow" or address.startswith(SCHEMES):
        return WorkerStore(address, campaign)
    return store
