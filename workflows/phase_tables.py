"""Hulls, the lithium-deficient series and oxygen vacancies as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rocksalt.stores.documents import RankingDoc
from rocksalt.stores.phase_documents import SeriesDoc, SeriesPoint, StrainSlopeDoc, VacancyDoc

FEW_ENGINES = 2
"""With more, their names take several lines, and what each says in words is left to JSON."""


def hull_table(ranking: RankingDoc) -> list[RenderableType]:
    """Return a line per dopant and host: how far above the hull, and oxide or metal; none, no lines.

    Parameters
    ----------
    ranking
        Of any campaign.
    """
    rows = [
        (candidate, host, above, candidate.metal_in_host_window.get(host, {}))
        for candidate in ranking.candidates
        for host, above in candidate.above_hull_ev_per_atom.items()
    ]
    if not any(above or _states(window) or window.get("measured") for *_, above, window in rows):
        return []
    known = {engine for *_, above, _ in rows for engine in above.get("value", {})}
    engines = [engine for engine in ranking.engines if engine in known]
    table = _table("M", "in", "x")
    _add_engines(table, engines)
    table.add_column("M in\nwindow\ncomputed", no_wrap=True)
    table.add_column("measured", no_wrap=True)
    brief = len(engines) > FEW_ENGINES
    if not brief:
        table.add_column("falls apart into")
    for candidate, host, above, window in rows:
        values = above.get("value", {})
        states = _states(window) or ["–"]
        table.add_row(
            candidate.dopant,
            f"{host}O",
            f"{above['fraction']:g}" if above else "–",
            *(_milli(values.get(engine)) for engine in engines),
            "differ" if brief and len(states) > 1 else ", ".join(states),
            window.get("measured") or "–",
            *([] if brief else [_by_engine(above.get("decomposition", {}))]),
        )
    legend = (
        "Energy above the hull of M-H-O of the mixture M_xH_(1-x)O, by engine, meV per atom. Window: the "
        "oxygen potentials at which HO is stable; what M is there, computed and from measured enthalpies."
    )
    return [Text(""), table, Text(legend, style="dim")]


def _states(window: Mapping[str, Any]) -> list[str]:
    """Return what the engines say that M is in the host's window, each answer once."""
    return list(dict.fromkeys(filter(None, window.get("computed", {}).values())))


def series_tables(ranking: RankingDoc, series: Sequence[SeriesDoc]) -> list[RenderableType]:
    """Return a table per engine of the lowest arrangement at each composition, the pure series first.

    Parameters
    ----------
    ranking
        Gives the order of dopants.
    series
        Documents of one host.
    """
    order = [None, *(candidate.dopant for candidate in ranking.candidates)]
    parts: list[RenderableType] = []
    for engine in dict.fromkeys(document.engine for document in series):
        mine = [document for document in series if document.engine == engine]
        mine.sort(key=lambda document: order.index(document.dopant))
        table = _table("M", "formula")
        for heading in ("Li/O", "Li-O-Li\nper O", "above hull\nmeV/atom", "volume\n%"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("falls apart into")
        for document in mine:
            for point in lowest_arrangements(document.points):
                table.add_row(
                    document.dopant or "–",
                    point.formula,
                    f"{point.lithium_per_oxygen:.3f}",
                    f"{point.li_o_li_per_oxygen:.2f}",
                    _milli(point.e_above_hull_ev_per_atom),
                    _signed(point.volume_change_percent, 1),
                    " + ".join(share.formula for share in point.decomposition) or "–",
                )
        host = mine[0].host
        legend = (
            f"{engine}: lithium in the metal layers of Li2{host}O3 replaced by {host}, in the pure oxide and "
            f"with M for one {host}; the lowest arrangement of each composition. Straight Li-O-Li triplets; "
            "energy above the hull; change of the volume per oxygen from the first row of each M."
        )
        parts += [Text(""), table, Text(legend, style="dim"), *_missing(mine)]
    return parts


def vacancy_tables(ranking: RankingDoc, vacancies: Sequence[VacancyDoc]) -> list[RenderableType]:
    """Return what each dopant changes in the lowest vacancy energy, and that of the undoped cells.

    Parameters
    ----------
    ranking
        Gives the order of dopants and engines.
    vacancies
        Documents of one host.
    """
    parts: list[RenderableType] = []
    present = {document.engine for document in vacancies}
    engines = [engine for engine in ranking.engines if engine in present]
    doped = {(document.dopant, document.engine): document for document in vacancies}
    dopants = [c.dopant for c in ranking.candidates if any((c.dopant, e) in doped for e in engines)]
    if dopants:
        table = _table("M")
        _add_engines(table, engines)
        for dopant in dopants:
            mine = (doped.get((dopant, engine)) for engine in engines)
            table.add_row(dopant, *(_signed(d.retention_ev if d else None, 2) for d in mine))
        legend = (
            f"Change of the lowest oxygen-vacancy energy of Li2{vacancies[0].host}O3 beside M, by engine, eV; "
            "positive holds oxygen."
        )
        parts += [Text(""), table, Text(legend, style="dim")]
    pure = [document for document in vacancies if document.dopant is None]
    if pure:
        parts += _undoped_vacancies(pure)
    return [*parts, *_missing(vacancies)]


def _undoped_vacancies(documents: Sequence[VacancyDoc]) -> list[RenderableType]:
    kinds = list(dict.fromkeys(slope.strain_kind for d in documents for slope in d.slopes))
    table = _table("cell", "engine")
    for heading in ("lowest\neV", *(f"{kind}\nmeV per %" for kind in kinds)):
        table.add_column(heading, justify="right", no_wrap=True)
    for document in documents:
        lowest = document.lowest_formation_energy_ev
        slopes = {slope.strain_kind: slope for slope in document.slopes}
        table.add_row(
            document.cell,
            document.engine,
            "–" if lowest is None else f"{lowest:.2f}",
            *(_slope(slopes.get(kind)) for kind in kinds),
        )
    strained = ", and its slope with each kind of strain, ± standard error" if kinds else ""
    legend = f"Lowest oxygen-vacancy energy without M at the potential of O2{strained}."
    return [Text(""), table, Text(legend, style="dim")]


def lowest_arrangements(points: Iterable[SeriesPoint]) -> list[SeriesPoint]:
    """Return the lowest arrangement of each composition of a series, most lithium first."""
    found: dict[int, SeriesPoint] = {}
    for point in sorted(points, key=lambda p: (p.energy_ev_per_atom, p.key)):
        found.setdefault(point.n, point)
    return [found[n] for n in sorted(found)]


def _table(*words: str) -> Table:
    from rocksalt.workflows.tables import plain_table

    table = plain_table()
    for heading in words:
        table.add_column(heading, no_wrap=True)
    return table


def _add_engines(table: Table, engines: Sequence[str]) -> None:
    for engine in engines:
        name = engine.replace(":", ":\n")
        if len(engines) > FEW_ENGINES:
            name = name.replace("-", "-\n", 1)
        table.add_column(name, justify="right")


def _by_engine(texts: Mapping[str, str]) -> str:
    """Return what the engines say, each different answer once; who said it where they differ."""
    said: dict[str, list[str]] = {}
    for engine, text in texts.items():
        said.setdefault(text, []).append(engine)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{text} ({', '.join(engines)})" for text, engines in said.items()) or "–"


def _missing(documents: Iterable[SeriesDoc | VacancyDoc]) -> list[RenderableType]:
    reasons = dict.fromkeys(why for document in documents for why in document.missing)
    return [Text(f"not computed: {why}", style="dim") for why in reasons]


def _milli(value_ev: float | None) -> str:
    return "–" if value_ev is None else _number(1000 * value_ev, 0 if abs(value_ev) >= 0.01 else 1)


def _signed(value: float | None, digits: int) -> str:
    return "–" if value is None else _number(value, digits, "+")


def _number(value: float, digits: int, sign: str = "") -> str:
    """Return a number without a sign before a zero."""
    rounded = round(value, digits)
    return f"{rounded:{sign}.{digits}f}" if rounded else f"{0:.{digits}f}"


def _slope(slope: StrainSlopeDoc | None) -> str:
    if slope is None:
        return "–"
    text = _number(1000 * slope.ev_per_percent, 1)
    error = slope.standard_error_ev_per_percent
    return text if error is None else f"{text} ± {1000 * error:.1f}"
