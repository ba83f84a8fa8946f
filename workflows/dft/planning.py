"""What of a plan a DFT engine computes: symmetric starts, one prototype per element."""

from __future__ import annotations

from collections.abc import Iterable

from rocksalt.workflows.calculation import Calculation
from rocksalt.workflows.dft.settings import DftSettings

KEEP_SYMMETRY = {"element", "oxygen", "end-member", "competing-phase"}
"""Roles that start without a rattle: symmetry saves k-points, and their state is that of the moments."""


def dft_calculations(
    structures: Iterable[Calculation], engine: str, settings: DftSettings
) -> tuple[list[Calculation], list[str]]:
    """Return what of a plan is computed with a DFT engine, and what is left out, in words.

    Parameters
    ----------
    structures
        The plan's calculations, with any engine.
    engine
        The DFT engine.
    settings
        Its own.

    Notes
    -----
    O2 is the molecule in a box. An element is taken in its ground state as measured, and in
    the prototypes that compete with it only where that cell is too large. A second start volume of a
    rock salt is not needed: its volume is found by E(V).
    """
    kept: list[Calculation] = []
    too_large: list[str] = []
    elements: set[tuple[str, ...]] = set()
    without_ground_state: set[tuple[str, ...]] = set()
    for calculation in structures:
        cations = tuple(sorted(calculation.cation_fractions))
        if settings.max_atoms is not None and len(calculation.structure) > settings.max_atoms:
            too_large.append(f"{calculation.label} ({len(calculation.structure)})")
            if calculation.role == "element" and cations not in elements:
                without_ground_state.add(cations)
            continue
        if calculation.role == "oxygen" and calculation.relaxation.relax_cell:
            continue
        if calculation.prototype == "rock-salt large":
            continue
        if calculation.role == "element":
            if cations in elements and cations not in without_ground_state:
                continue
            elements.add(cations)
        kept.append(_as_dft(calculation, engine, settings))
    notes = []
    if too_large:
        shown = ", ".join(too_large[:4]) + (" ..." if len(too_large) > 4 else "")
        notes.append(
            f"{len(too_large)} cells of more than {settings.max_atoms} atoms are left out with "
            f"{engine}: {shown}"
        )
    return kept, notes


def _as_dft(calculation: Calculation, engine: str, settings: DftSettings) -> Calculation:
    own = calculation.with_engine(engine, settings)
    if calculation.role not in KEEP_SYMMETRY:
        return own
    still = own.relaxation.model_copy(update={"rattle_angstrom": 0.0, "rattle_strain": 0.0})
    return own.model_copy(update={"relaxation": still})
