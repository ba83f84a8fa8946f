"""SevenNet calculators: loaded once per process, on a CPU.

Park et al., Journal of Chemical Theory and Computation 20, 4857 (2024).
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.threads import keep_freed_memory

if TYPE_CHECKING:
    from sevenn.calculator import SevenNetCalculator

# Models that come with the package sevenn, and the levels of theory of those that have several.
MODELS: dict[str, tuple[str, ...]] = {
    "7net-0": (),
    "7net-l3i5": (),
    "7net-mf-0": ("PBE", "R2SCAN"),
}


@lru_cache(maxsize=8)
def sevennet_calculator(model: str = "7net-0", modal: str | None = None) -> SevenNetCalculator:
    """Return the process's ASE calculator of a SevenNet model, made at the first call.

    Parameters
    ----------
    model
        "7net-0", "7net-l3i5" or "7net-mf-0".
    modal
        Level of theory of "7net-mf-0": "PBE" or "R2SCAN". None for the others.

    Raises
    ------
    RocksaltError
        Model and modal do not fit, or the package sevenn is missing.
    """
    if model not in MODELS:
        raise RocksaltError(f"SevenNet model '{model}': choose one of {', '.join(MODELS)}")
    choices = MODELS[model]
    if (modal is not None or choices) and modal not in choices:
        remedy = f"choose one of {', '.join(choices)}" if choices else "leave it out"
        raise RocksaltError(f"SevenNet model '{model}' has no modal '{modal}': {remedy}")
    keep_freed_memory()
    with warnings.catch_warnings():
        # Accelerators are for GPUs; the second comes from e3nn's use of TorchScript.
        warnings.filterwarnings("ignore", "No tensor product accelerator", UserWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.", DeprecationWarning)
        try:
            from sevenn.calculator import SevenNetCalculator
        except ImportError as error:
            raise RocksaltError(
                "engine 'sevennet' needs the package sevenn: pip install 'rocksalt[mlip]'"
            ) from error
        calculator = SevenNetCalculator(model, device="cpu", modal=modal)
    for weight in calculator.model.parameters():
        weight.requires_grad_(False)
    return calculator
