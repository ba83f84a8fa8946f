"""Write a campaign's figures as files, for talks and papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.documents import MixingDoc, RankingDoc
from rocksalt.workflows.curves import formation_energies, mixing_curves
from rocksalt.workflows.figures import intermixability_matrix, periodic_table_map

PIXELS_PER_INCH = 200


def save_figures(
    folder: Path, suffix: str, ranking: RankingDoc, mixings: Sequence[MixingDoc]
) -> list[Path]:
    """Write every figure of a ranking into a folder and return the files.

    Parameters
    ----------
    folder
        Made if it is not there.
    suffix
        'pdf', 'svg' or 'png'.

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
