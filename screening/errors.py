"""The errors that rocksalt raises for what a user can put right."""


class RocksaltError(Exception):
    """One line: what is wrong, where (file, key, value), and the remedy.

    The command line prints it without a traceback and exits with 2.
    """


class ScaleError(RocksaltError):
    """Energies of two scales met in one sum, difference or hull."""


class CalculationError(RocksaltError):
    """One calculation failed (it exploded, did not converge, or its engine refused it).

    The campaign goes on: the calculation is stored as failed with this message.
    """
