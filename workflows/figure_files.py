"""Write a campaign's figures as files, for talks and papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import MixingDoc, RankingDoc
from rocksalt.stores.electronic_documents import DensityOfStates, ElectronicStructureDoc
from rocksalt.stores.phase_documents import HullDoc, SeriesDoc, VacancyDoc
from rocksalt.workflows.curves import formation_energies, mixing_curves
from rocksalt.workflows.electronic_figures import density_panels, oxygen_shares
from rocksalt.workflows.figures import intermixability_matrix, periodic_table_map
from rocksalt.workflows.layered_figures import lithium_series, oxygen_retention, vacancy_strain
from rocksalt.workflows.ternary_figure import ternary_diagram
from rocksalt.workflows.window_figure import oxygen_window_bars

PIXELS_PER_INCH = 200


def save_figures(
    folder: Path,
    suffix: str,
    ranking: RankingDoc,
    mixings: Sequence[MixingDoc],
    *,
    hulls: Sequence[HullDoc] = (),
    series: Sequence[SeriesDoc] = (),
    vacancies: Sequence[VacancyDoc] = (),
    electronic: Sequence[ElectronicStructureDoc] = (),
    curves: Mapping[str, DensityOfStates] | None = None,
) -> list[Path]:
    """Write every figure of a campaign into a folder and return the files.

    Parameters
    ----------
    folder
        Made if it is not there.
    suffix
        'pdf', 'svg' or 'png'.
    ranking, mixings, hulls, series, vacancies
        What the figures show; those without documents are not drawn.
    electronic, curves
        Electronic structures, and the densities of states behind them by key.

    Raises
    ------
    RocksaltError
        When the folder cannot be written.
    """
    figures = {
        "periodic-table": periodic_table_map(ranking),
        "intermixability": intermixability_matrix(ranking),
        "formation-energies": formation_energies(ranking),
    }
    for candidate in ranking.candidates:
        mine = [mixing for mixing in mixings if mixing.dopant == candidate.dopant]
        if mine:
            figures[f"mixing-{candidate.dopant}"] = mixing_curves(
                candidate.dopant,
                mine,
                engines=list(ranking.engines),
                over_engines=candidate.hosts,
            )
    figures |= _phase_figures(ranking, hulls, series, vacancies)
    if electronic:
        figures["oxygen-shares"] = oxygen_shares(electronic, engines=list(ranking.engines))
    for each in electronic:
        if each.points:
            name = each.engine.replace(":", "-")
            figures[f"densities-of-states-{name}"] = density_panels(each, curves or {})
    return write_figures(folder, suffix, figures)


def write_figures(folder: Path, suffix: str, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures by name into a folder, which is made if it is not there, and return the files.

    Raises
    ------
    RocksaltError
        When the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            path = folder / f"{name}.{suffix}"
            figure.savefig(path, bbox_inches="tight", dpi=PIXELS_PER_INCH)
            written.append(path)
    except OSError as error:
        raise RocksaltError(f"{folder}: figures cannot be written: {error.strerror}") from error
    return written


def _phase_figures(
    ranking: RankingDoc,
    hulls: Sequence[HullDoc],
    series: Sequence[SeriesDoc],
    vacancies: Sequence[VacancyDoc],
) -> dict[str, Figure]:
    """Return the figures of the stages beyond the rock salt by name."""
    engines = list(ranking.engines)
    dopants = [c.dopant for c in sorted(ranking.candidates, key=lambda c: c.rank)]
    figures: dict[str, Figure] = {}
    by_system: dict[str, list[HullDoc]] = {}
    for hull in hulls:
        if hull.phases:
            if len(hull.cations) == 2:  # four elements make no triangle
                figures[f"hull-{hull.chemical_system}-{hull.engine}"] = ternary_diagram(hull)
            by_system.setdefault(hull.chemical_system, []).append(hull)
    for system, mine in by_system.items():
        figures[f"windows-{system}"] = oxygen_window_bars(mine, engines=engines)
    for engine in dict.fromkeys(each.engine for each in series):
        mine_ = [each for each in series if each.engine == engine]
        figures[f"lithium-deficient-{engine}"] = lithium_series(mine_, dopants=dopants)
    if any(point.strain_kind != "none" for each in vacancies for point in each.points):
        figures["vacancy-strain"] = vacancy_strain(vacancies, engines=engines)
    if any(each.dopant for each in vacancies):
        figures["oxygen-retention"] = oxygen_retention(vacancies, dopants=dopants, engines=engines)
    return figures
