"""Sections of the report beyond the rock salt, and the verdict of each criterion.

Hulls with oxygen windows, the lithium-deficient series, oxygen vacancies. A section is there only
when there are documents for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.stores.phase_documents import (
    HullDoc,
    HullPhase,
    OxygenWindow,
    SeriesDoc,
    Share,
    VacancyDoc,
)
from rocksalt.workflows.derive_phases import MEASURED
from rocksalt.workflows.figure_style import MINUS, NOT_COMPUTED, VERDICTS, engine_order, signed
from rocksalt.workflows.formulas import formula_html, phases_html
from rocksalt.workflows.html import (
    ABSENT,
    figure_element,
    plain_cell,
    signed_cell,
    slug,
    table,
)
from rocksalt.workflows.layered_figures import (
    STRAINS,
    lithium_series,
    oxygen_retention,
    slope_text,
    vacancy_strain,
)
from rocksalt.workflows.ternary_figure import WITHIN_EV_PER_ATOM, ternary_diagram
from rocksalt.workflows.window_figure import oxygen_window_bars

UNFOLDED_PAIRS = 2
"""Up to this many pairs of a dopant and a host stand open; more are folded but for the first."""


def phase_sections(
    ranking: RankingDoc,
    hulls: Sequence[HullDoc],
    series: Sequence[SeriesDoc],
    vacancies: Sequence[VacancyDoc],
) -> dict[str, tuple[str, str]]:
    """Return id, title and HTML of each section that there are documents for.

    Parameters
    ----------
    ranking
        Gives the order of dopants, hosts and engines.
    hulls, series, vacancies
        Documents of any dopants and engines.
    """
    candidates = sorted(ranking.candidates, key=lambda candidate: candidate.rank)
    dopants = [candidate.dopant for candidate in candidates]
    sections = {}
    if hulls:
        sections["hulls"] = ("Phases", _hull_section(ranking, dopants, hulls))
    if series:
        sections["series"] = ("Lithium-deficient series", _series_section(ranking, dopants, series))
    if vacancies:
        title = "Oxygen vacancies"
        sections["vacancies"] = (title, _vacancy_section(ranking, dopants, vacancies))
    return sections


def criteria_line(candidate: CandidateDoc) -> str:
    """Return the verdict of each criterion and the Pareto front in one row of marks.

    Parameters
    ----------
    candidate
        The dopant's line of a ranking; without criteria the row is empty.
    """
    items = []
    for name, verdict in candidate.criteria.items():
        if verdict is None:
            glyph = f'<span class="glyph absent" title="not computed">{NOT_COMPUTED}</span>'
            said = "not computed"
        else:
            glyph = f'<span class="glyph {verdict}">{VERDICTS[verdict].glyph}</span>'
            said = verdict
        items.append(
            f'<li><span aria-hidden="true">{glyph}</span> {escape(name)}'
            f'<span class="unseen">: {said}</span></li>'
        )
    if items and candidate.front is not None:
        items.append(f'<li class="front">Pareto front {candidate.front}</li>')
    return f'<ul class="criteria">{"".join(items)}</ul>' if items else ""


def missing_phases(
    hulls: Sequence[HullDoc], series: Sequence[SeriesDoc], vacancies: Sequence[VacancyDoc]
) -> list[tuple[str, str]]:
    """Return what the documents say was not computed, and why."""
    return [
        *((f"hull {h.chemical_system}, {h.engine}", why) for h in hulls for why in h.missing),
        *(
            (f"series of {s.host}{f' with {s.dopant}' if s.dopant else ''}, {s.engine}", why)
            for s in series
            for why in s.missing
        ),
        *((f"vacancies of {v.cell}, {v.engine}", why) for v in vacancies for why in v.missing),
    ]


# --------------------------------------------------------------------------- hulls


def _hull_section(ranking: RankingDoc, dopants: Sequence[str], hulls: Sequence[HullDoc]) -> str:
    """Return the hulls by pair: windows, Gibbs triangles and tables."""
    by_pair: dict[tuple[str, str], list[HullDoc]] = {}
    for hull in hulls:
        by_pair.setdefault((hull.dopant or "", hull.host or ""), []).append(hull)
    hosts = list(ranking.hosts)
    pairs = sorted(by_pair, key=lambda pair: (_place(pair[0], dopants), _place(pair[1], hosts)))
    engines = engine_order((h.engine for h in hulls if h.engine != MEASURED), list(ranking.engines))
    order = [*engines, MEASURED]
    lead = (
        '<p class="lead">Convex hulls of dopant, host and oxygen at 0 K, one per engine, and one of '
        "measured formation enthalpies on a scale of its own. The windows say which phases are "
        "stable at one dopant per host atom while the oxygen potential rises from reducing to "
        "oxidising; the energy scales differ, so compare the phases rather than the last tenth of "
        "an eV.</p>"
    )
    parts = [lead]
    for pair in pairs:
        mine = sorted(by_pair[pair], key=lambda hull: _place(hull.engine, order))
        title = (
            f"{escape(pair[0])} with {escape(pair[1])}O"
            if all(pair)
            else ", ".join(escape(hull.chemical_system) for hull in mine[:1])
        )
        aside = f'<span class="aside">{escape(_host_window_words(mine))}</span>'
        target = f"hull-{slug('-'.join(pair))}"
        content = _pair(mine, order, target)
        if len(pairs) > UNFOLDED_PAIRS:
            opened = " open" * (pair == pairs[0])
            parts.append(
                f'<details id="{target}"{opened}><summary>{title} {aside}</summary>\n{content}'
                "</details>"
            )
        else:
            parts.append(f'<div id="{target}"><h3>{title}</h3>\n<p>{aside}</p>{content}</div>')
    return "\n".join(parts)


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _host_window_words(hulls: Sequence[HullDoc]) -> str:
    """Return what the dopant is where the host's rock salt is stable, by source."""
    first = hulls[0]
    if not first.dopant or not first.host:
        return ""
    words = ", ".join(f"{h.dopant_in_host_window or NOT_COMPUTED} ({h.engine})" for h in hulls)
    return f"where {first.host}O is stable: {words}"


def _pair(hulls: Sequence[HullDoc], order: Sequence[str], target: str) -> str:
    """Return the windows of one pair, and folded its triangles and tables."""
    known = [hull for hull in hulls if hull.phases]
    if not known:
        why = "; ".join(f"{h.engine}: {', '.join(h.missing) or NOT_COMPUTED}" for h in hulls)
        return f'<p class="lead">Not computed. {escape(why)}</p>'
    first = known[0]
    names = [hull.engine for hull in known]
    windows = figure_element(
        oxygen_window_bars(known, engines=order),
        f"windows-{target}",
        f"Stable phases of {first.chemical_system} against the oxygen chemical potential, one row "
        f"for each of {', '.join(names)}; the numbers are in the table of windows",
        f"Stable phases at {_ratio(first)}. Each segment is a window of the oxygen potential; the "
        "axes above are the temperature of O<sub>2</sub> gas at two pressures.",
    )
    triangles = "\n".join(
        figure_element(
            ternary_diagram(hull),
            f"triangle-{target}-{slug(hull.engine)}",
            f"Gibbs triangle of {hull.chemical_system}, {hull.engine}. Stable: "
            + ", ".join(_stable_formulas(hull)),
            f"{escape(hull.engine)}: {len(hull.stable)} stable phases.",
        )
        for hull in known
        if len(first.cations) == 2
    )
    n_rejected = sum(len(hull.rejected) for hull in known)
    return "\n".join(
        (
            windows,
            _details("Numbers of the windows", "", _window_table(known)),
            _details(
                "Gibbs triangles",
                "hollow: above the hull by at most "
                f"{1000 * WITHIN_EV_PER_ATOM:.0f} meV per atom; squares: the screen's mixtures",
                f'<div class="triangles">{triangles}</div>',
            )
            if triangles  # four elements make no triangle
            else "",
            _details("Phases", _counts_words(known), _phase_table(known) + _references(known)),
            _details(
                "Left out of the hulls",
                str(n_rejected),
                table(
                    "What was left out, and why",
                    ("What", "Source", "Why"),
                    [
                        (escape(r["what"]), escape(hull.engine), escape(r["why"]))
                        for hull in known
                        for r in hull.rejected
                    ],
                ),
            )
            if n_rejected
            else "",
        )
    )


def _details(title: str, aside: str, content: str) -> str:
    note = f' <span class="aside">{escape(aside)}</span>' if aside else ""
    return f"<details><summary>{title}{note}</summary>\n{content}</details>"


def _ratio(hull: HullDoc) -> str:
    """Return the ratio of the cations along which windows are given, in words."""
    names = ":".join(escape(element) for element in hull.cations)
    return f"{names} = {':'.join(f'{amount:g}' for amount in hull.cations.values())}"


def _stable_formulas(hull: HullDoc) -> list[str]:
    return [phase.formula for phase in hull.phases if phase.entry_id in set(hull.stable)]


def _counts_words(hulls: Sequence[HullDoc]) -> str:
    return "; ".join(
        f"{h.engine}: {h.counts['entries']} tried, {h.counts['in_hull']} in the hull, "
        f"{h.counts['on_hull']} on it"
        for h in hulls
    )


def _references(hulls: Sequence[HullDoc]) -> str:
    """Return which phase of each element is the zero of a computed hull."""
    items = [
        f"{escape(h.engine)} ({escape(h.energy_scale)}): "
        + ", ".join(f"{escape(e)} {escape(name)}" for e, name in h.references.items())
        for h in hulls
        if h.engine != MEASURED
    ]
    return f'<p class="lead">References of the elements: {"; ".join(items)}.</p>' if items else ""


def _window_table(hulls: Sequence[HullDoc]) -> str:
    elements = list(dict.fromkeys(element for hull in hulls for element in hull.cations))
    rows = []
    for hull in hulls:
        for window in hull.windows:
            start = window.from_dmu_o_ev
            rows.append(
                (
                    escape(hull.engine),
                    f"{MINUS}∞" if start is None else signed(start, 3),
                    signed(window.to_dmu_o_ev, 3),
                    phases_html(window.phases),
                    *(_state(window, element) for element in elements),
                )
            )
    headings = (
        "Source",
        "From<small>Δμ<sub>O</sub>, eV</small>",
        "To<small>Δμ<sub>O</sub>, eV</small>",
        "Phases",
        *(f"State of {escape(element)}<small>formal mean</small>" for element in elements),
    )
    numbers = {1, 2, *range(4, 4 + len(elements))}
    return table("Windows of the oxygen potential", headings, rows, numbers=numbers, tight=True)


def _state(window: OxygenWindow, element: str) -> str:
    """Return a formal oxidation state without useless decimals."""
    state = window.oxidation_states.get(element)
    if state is None:
        return ABSENT
    return signed(state, 0 if abs(state - round(state)) < 0.005 else 2)


def _phase_table(hulls: Sequence[HullDoc]) -> str:
    """Return every phase with its distance from the hull and its products, by source."""
    found: dict[tuple[str, str], dict[str, HullPhase]] = {}
    for hull in hulls:
        for phase in sorted(hull.phases, key=lambda p: p.e_above_hull_ev_per_atom):
            found.setdefault((phase.formula, phase.prototype), {}).setdefault(hull.engine, phase)
    stable = {hull.engine: set(hull.stable) for hull in hulls}

    def distance(key: tuple[str, str]) -> tuple[bool, float]:
        phases = found[key]
        nowhere = not any(phase.entry_id in stable[engine] for engine, phase in phases.items())
        return nowhere, min(phase.e_above_hull_ev_per_atom for phase in phases.values())

    rows = [
        (
            formula_html(formula),
            escape(prototype),
            *(
                _above_cell(found[formula, prototype].get(hull.engine), stable[hull.engine])
                for hull in hulls
            ),
        )
        for formula, prototype in sorted(found, key=lambda key: (*distance(key), key))
    ]
    headings = (
        "Phase",
        "Prototype",
        *(f"{escape(h.engine)}<small>meV per atom above the hull</small>" for h in hulls),
    )
    return table("Phases, the stable ones first; beside a number the products", headings, rows)


def _above_cell(phase: HullPhase | None, stable: set[str]) -> str:
    if phase is None:
        return ""
    if phase.entry_id in stable:
        return "stable"
    above = 1000 * phase.e_above_hull_ev_per_atom
    number = f"{above:.{1 if above < 9.95 else 0}f}"
    if [share.formula for share in phase.decomposition] == [phase.formula]:
        return number
    return f'{number} <span class="aside">{phases_html(phase.decomposition)}</span>'


# --------------------------------------------------------------------------- layered oxide


def _engines_of(ranking: RankingDoc, documents: Sequence[SeriesDoc | VacancyDoc]) -> list[str]:
    present = {document.engine for document in documents}
    order = engine_order((document.engine for document in documents), list(ranking.engines))
    return [engine for engine in order if engine in present]


def _series_section(
    ranking: RankingDoc, dopants: Sequence[str], series: Sequence[SeriesDoc]
) -> str:
    """Return the series: a figure per engine and the numbers."""
    host = escape(series[0].host)
    lead = (
        f'<p class="lead">In Li<sub>2</sub>{host}O<sub>3</sub> the lithium of the metal layer is '
        f"replaced by {host} step by step, while oxygen stays: the way from the layered oxide "
        "towards a surface poor in lithium. Lines join the lowest arrangements; with a dopant one "
        "host atom of the cell is replaced. Straight Li–O–Li triplets are where oxygen can lose "
        "electrons most easily.</p>"
    )
    parts = [lead]
    for engine in _engines_of(ranking, series):
        mine = [each for each in series if each.engine == engine]
        mine.sort(key=lambda each: _place(each.dopant or "", ["", *dopants]))
        parts.append(
            figure_element(
                lithium_series(mine, dopants=dopants),
                f"series-{slug(engine)}",
                "Energy above the hull, straight Li-O-Li triplets and change of volume against "
                f"lithium per oxygen, {engine}; the numbers are in the table",
                f"Lithium-deficient series with {escape(engine)}.",
            )
        )
        parts.append(_details("Numbers", engine, _series_table(mine)))
    return "\n".join(parts)


def _series_table(series: Sequence[SeriesDoc]) -> str:
    rows = [
        (
            formula_html(point.formula),
            escape(document.dopant or "none"),
            escape(point.arrangement),
            f"{point.lithium_per_oxygen:.3f}",
            f"{point.li_o_li_per_oxygen:.2f}",
            _milli_cell(point.e_above_hull_ev_per_atom) + _products(point.decomposition),
            plain_cell(point.volume_angstrom3_per_oxygen, 2),
            signed_cell(point.volume_change_percent, 2),
        )
        for document in series
        for point in sorted(document.points, key=lambda p: (p.n, p.energy_ev_per_atom))
    ]
    headings = (
        "Formula",
        "Dopant",
        "Arrangement",
        "Li per O",
        "Li–O–Li per O",
        "Above the hull<small>meV per atom</small>",
        "Volume<small>Å<sup>3</sup> per O</small>",
        "Volume change<small>%</small>",
    )
    caption = "Lithium-deficient series, lowest arrangement of each composition first"
    return table(caption, headings, rows, numbers=range(3, 8))


def _milli_cell(value_ev: float | None) -> str:
    """Return a distance from the hull in meV; below zero it would be a new stable phase."""
    return ABSENT if value_ev is None else signed(1000 * value_ev, 1)


def _products(phases: Sequence[Share]) -> str:
    return f' <span class="aside">{phases_html(phases)}</span>' if phases else ""


def _vacancy_section(
    ranking: RankingDoc, dopants: Sequence[str], vacancies: Sequence[VacancyDoc]
) -> str:
    """Return the vacancies: against strain, with each dopant, and the numbers."""
    engines = _engines_of(ranking, vacancies)
    order = sorted(
        vacancies,
        key=lambda v: (
            _place(v.dopant or "", ["", *dopants]),
            _place(v.engine, engines),
        ),
    )
    lead = (
        '<p class="lead">Energy to take one oxygen out of the layered oxide, at Δμ<sub>O</sub> = 0; '
        "a higher one holds oxygen better. Each kind of oxygen is tried, the lowest counts; with a "
        "dopant those nearest to it and farthest from it.</p>"
    )
    parts = [lead]
    if any(document.dopant for document in vacancies):
        parts.append(
            figure_element(
                oxygen_retention(order, dopants=dopants, engines=list(ranking.engines)),
                "retention",
                "Change of the lowest oxygen-vacancy energy with each dopant, one marker per engine",
                "Oxygen retention: lowest vacancy energy with the dopant minus that of the undoped "
                "cell.",
                beside=True,
            )
        )
    if any(point.strain_kind != "none" for document in vacancies for point in document.points):
        parts.append(
            figure_element(
                vacancy_strain(vacancies, engines=engines),
                "vacancy-strain",
                "Lowest vacancy formation energy against strain, a panel per cell and engine; the "
                "slopes are in the table",
                "Lowest vacancy energy in the strained cells, and its slope with each kind of strain.",
            )
        )
    parts.append(_details("Numbers", f"{len(order)} cells and engines", _vacancy_table(order)))
    return "\n".join(parts)


def _vacancy_table(vacancies: Sequence[VacancyDoc]) -> str:
    rows = []
    for document in vacancies:
        slopes = {slope.strain_kind: slope for slope in document.slopes}
        unstrained = [point for point in document.points if point.strain_kind == "none"]
        lowest = min(unstrained, key=lambda p: p.formation_energy_ev, default=None)
        rows.append(
            (
                formula_html(document.cell),
                escape(document.engine),
                signed_cell(document.lowest_formation_energy_ev, 3),
                escape(lowest.site_name) if lowest else ABSENT,
                signed_cell(document.retention_ev, 3) if document.dopant else "",
                *(slope_text(slopes[kind]) if kind in slopes else "" for kind in STRAINS),
            )
        )
    headings = (
        "Cell",
        "Engine",
        "Lowest<small>eV per vacancy</small>",
        "Site",
        "Retention<small>eV</small>",
        *(f"Slope, {kind}<small>meV per %</small>" for kind in STRAINS),
    )
    return table("Oxygen vacancies", headings, rows, numbers={2, 4, 5, 6, 7}, tight=True)
