"""What is wrong with a measurement or a file, in one line with the remedy."""

from __future__ import annotations

from rocksalt.screening.errors import RocksaltError


class MeasurementError(RocksaltError):
    """A measured file or its analysis cannot give the quantity asked for."""
