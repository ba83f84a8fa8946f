"""What workers need, for the server that they are forked from: nothing else imports this."""

from __future__ import annotations

import gc
import os
import warnings
from contextlib import suppress
from importlib import import_module

from rocksalt.workflows import cli, executor
from rocksalt.workflows.worker_server import MODULES_VARIABLE

__all__ = ["cli", "executor"]

for _name in os.environ.get(MODULES_VARIABLE, "").split():
    # A worker that comes to use an engine that is broken says so.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module(_name)

gc.freeze()  # or a worker that collects garbage would copy all this memory
