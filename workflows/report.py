"""One self-contained page about a ranking: style, figures and numbers in a single HTML file.

The page opens offline, prints, and needs no script: the little that it carries sorts the ranking
and opens folded parts before printing. Every text that comes from a document is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from html import escape
from importlib.resources import files
from typing import Any

from rocksalt.stores.documents import CandidateDoc, FormationEnergyDoc, MixingDoc, RankingDoc
from rocksalt.stores.electronic_documents import DensityOfStates, ElectronicStructureDoc
from rocksalt.stores.phase_documents import HullDoc, SeriesDoc, VacancyDoc
from rocksalt.stores.prediction_documents import PredictionDoc
from rocksalt.stores.triage_documents import TriageDoc
from rocksalt.workflows.curves import formation_energies, mixing_curves
from rocksalt.workflows.evidence import Measured
from rocksalt.workflows.figure_style import (
    NOT_COMPUTED,
    VERDICTS,
    fraction_text,
    host_limit_text,
    host_verdict,
    largest_mean_ev_per_cation,
    milli,
    signed,
)
from rocksalt.workflows.figures import intermixability_matrix, periodic_table_map
from rocksalt.workflows.html import (
    ABSENT,
    badge,
    bullet_list,
    figure_element,
    mark,
    plain_cell,
    range_text,
    signed_cell,
    slug,
    table,
    with_uncertainty,
)
from rocksalt.workflows.report_electronic import electronic_section, missing_densities
from rocksalt.workflows.report_evidence import evidence_sections
from rocksalt.workflows.report_phases import criteria_line, missing_phases, phase_sections
from rocksalt.workflows.report_triage import triage_section

UNFOLDED = 6
"""Up to this many dopants the mixing curves stand open; more are folded, one per dopant."""


def build_report(
    ranking: RankingDoc,
    mixings: Sequence[MixingDoc],
    formations: Sequence[FormationEnergyDoc],
    *,
    provenance: dict[str, str],
    hulls: Sequence[HullDoc] = (),
    series: Sequence[SeriesDoc] = (),
    vacancies: Sequence[VacancyDoc] = (),
    electronic: Sequence[ElectronicStructureDoc] = (),
    curves: Mapping[str, DensityOfStates] | None = None,
    triage: TriageDoc | None = None,
    predictions: Sequence[PredictionDoc] = (),
    measured: Sequence[Measured] = (),
) -> str:
    """Return the report of a campaign as one HTML page.

    Parameters
    ----------
    ranking
        Ranking of the campaign.
    mixings
        Mixing documents, any number of engines and hosts.
    formations
        Formation energies of the rock salts.
    provenance
        What else a reader must know, name and value: package versions, the store, a checksum.
    hulls, series, vacancies
        Documents of the stages beyond the rock salt; without them their sections are not there.
    electronic, curves
        Electronic structures, and the densities of states behind them by key.
    triage
        Who went to the engine that decides, in a campaign with a triage.
    predictions
        What to look for in samples with the first candidates.
    measured
        Measurements of candidates, with their curves.

    Returns
    -------
    str
        The page; write it as UTF-8.
    """
    candidates = sorted(ranking.candidates, key=lambda candidate: candidate.rank)
    place = {candidate.dopant: number for number, candidate in enumerate(candidates)}
    formations = sorted(formations, key=lambda each: place.get(each.cation, len(place)))
    sections = {
        "ranking": ("Ranking", _ranking_section(ranking, candidates)),
        **({"triage": ("Triage", triage_section(triage))} if triage else {}),
        "map": ("Periodic table", _map_section(ranking)),
        "matrix": ("Intermixability", _matrix_section(ranking)),
        "formation": ("Formation energies", _formation_section(ranking, formations)),
        "mixing": ("Mixing curves", _mixing_section(ranking, candidates, mixings)),
        **phase_sections(ranking, hulls, series, vacancies),
        **(
            {
                "electronic": (
                    "Electronic structure",
                    electronic_section(ranking, electronic, curves or {}),
                )
            }
            if electronic
            else {}
        ),
        **evidence_sections(ranking, predictions, measured),
        "rules": ("Rules of the verdict", _rules_section(ranking)),
        "provenance": (
            "Provenance",
            _provenance_section(
                ranking,
                mixings,
                formations,
                provenance,
                [*missing_phases(hulls, series, vacancies), *missing_densities(electronic)],
            ),
        ),
    }
    links = "".join(
        f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in sections.items()
    )
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="h-{name}">\n'
        f'<h2 id="h-{name}">{title}</h2>\n{content}\n</section>'
        for name, (title, content) in sections.items()
    )
    own = files("rocksalt.workflows")
    style = own.joinpath("report.css").read_text(encoding="utf-8")
    script = own.joinpath("report.js").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(ranking.campaign)}: dopants for the rock-salt surface</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_header(ranking, candidates)}\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n'
        f"<footer>Made with rocksalt from documents completed {_date(ranking)}.</footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def conclusion(ranking: RankingDoc) -> str:
    """Return the outcome of a ranking in one sentence of plain text.

    Parameters
    ----------
    ranking
        Ranking of the campaign.
    """
    candidates = sorted(ranking.candidates, key=lambda candidate: candidate.rank)
    if not candidates:
        return "The campaign has no candidates yet."
    named: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for candidate in candidates:
        named[candidate.verdict].append(candidate.dopant)

    def part(verdict: str, verbs: tuple[str, str]) -> str:
        names = named[verdict]
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        return f"{len(names) or 'none'} {verbs[len(names) > 1]}{f' ({shown})' if names else ''}"

    counted = ", ".join(
        (part("pass", ("passes", "pass")), part("undecided", ("is undecided", "are undecided")))
    )
    plural = "dopant" if len(candidates) == 1 else "dopants"
    sentence = f"Of {len(candidates)} {plural}, {counted} and {part('fail', ('fails', 'fail'))}"
    first = candidates[0]
    if first.score_ev_per_cation is None:
        return f"{sentence}."
    place = "comes first of those that fail" if first.verdict == "fail" else "ranks first"
    return (
        f"{sentence}; {first.dopant} {place}: its largest mean mixing enthalpy over hosts and "
        f"fractions is {with_uncertainty(first.score_ev_per_cation, first.uncertainty_ev)} meV "
        "per cation."
    )


def _date(ranking: RankingDoc) -> str:
    """Return when the ranking was made, in UTC."""
    moment = ranking.completed_at
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


# --------------------------------------------------------------------------- sections


def _header(ranking: RankingDoc, candidates: Sequence[CandidateDoc]) -> str:
    """Return the title, the facts, the sentence and the tally."""
    engines = len(ranking.engines)
    facts = " · ".join(
        (
            f"{ranking.temperature_k:g} K",
            "host rock salts " + ", ".join(f"{escape(host)}O" for host in ranking.hosts),
            f"{engines} engine{'' if engines == 1 else 's'}",
            _date(ranking),
        )
    )
    tally = "".join(
        f'<li class="{verdict}"><span class="glyph {verdict}" aria-hidden="true">{style.glyph}'
        f"</span><b>{sum(each.verdict == verdict for each in candidates)}</b> {verdict}</li>"
        for verdict, style in VERDICTS.items()
    )
    return (
        '<header>\n<p class="kicker">Dopants for the rock-salt surface of Li-rich cathodes</p>\n'
        f'<h1>{escape(ranking.campaign)}</h1>\n<p class="facts">{facts}</p>\n'
        f'<p class="conclusion">{escape(conclusion(ranking))}</p>\n{_reservations(ranking)}'
        f'<ul class="tally">{tally}</ul>\n</header>'
    )


def _reservations(ranking: RankingDoc) -> str:
    """Return why the numbers are not to be relied on, in paragraphs; nothing for a whole screen."""
    said = []
    if missing := ranking.counts.get("missing", 0):
        planned = ranking.counts.get("calculations", "?")
        said.append(
            f"Not final: {missing} of {planned} calculations are missing, and verdicts can change."
        )
    if "mock" in ranking.engines:
        said.append("Mock energies are for trying out: they say nothing of any dopant.")
    return "".join(f'<p class="reservation">{sentence}</p>\n' for sentence in said)


def _ranking_section(ranking: RankingDoc, candidates: Sequence[CandidateDoc]) -> str:
    """Return the table of the candidates."""
    if not candidates:
        return '<p class="lead">No candidate was ranked.</p>'
    headings = [
        ("Rank", "", True),
        ("Dopant", "", False),
        ("Verdict", "", True),
        ("Score", "meV per cation", True),
        *((f"In {escape(host)}O", "meV per cation", True) for host in ranking.hosts),
        ("Formation energy", "eV per formula unit", True),
        ("Reduced below Δμ<sub>O</sub>", "eV, 0 at O<sub>2</sub>", True),
    ]
    head = "".join(
        f'<th scope="col"{" data-sortable" if sortable else ""}>{name}'
        f"{f'<small>{unit}</small>' if unit else ''}</th>"
        for name, unit, sortable in headings
    )
    labels = [f"{name}{f' ({unit})' if unit else ''}" for name, unit, _ in headings]
    labels = [re.sub("<.*?>", "", label) for label in labels]
    bodies = "\n".join(_candidate_body(ranking, each, labels) for each in candidates)
    return (
        '<p class="lead">In the order of verdict, Pareto front and score: the largest mean mixing enthalpy '
        "over hosts and fractions; negative mixes. Under each host: the same for that host alone, "
        f"and the fraction of dopant that its rock salt dissolves at {ranking.temperature_k:g} K "
        f"(or its range over the engines). {NOT_COMPUTED} means not computed.</p>\n"
        '<div class="scroll" tabindex="0"><table class="ranking">'
        '<caption class="unseen">Candidates in order'
        f"</caption>\n<thead><tr>{head}</tr></thead>\n{bodies}</table></div>"
    )


def _candidate_body(ranking: RankingDoc, candidate: CandidateDoc, labels: Sequence[str]) -> str:
    """Return the rows of one candidate: its numbers, then its reasons."""
    symbol = escape(candidate.dopant)
    score = candidate.score_ev_per_cation
    order = list(VERDICTS).index(candidate.verdict)
    shown = ABSENT if score is None else with_uncertainty(score, candidate.uncertainty_ev)
    cells: list[tuple[str, float | None]] = [(shown, score)]
    for host in ranking.hosts:
        mean = largest_mean_ev_per_cation(candidate, host)
        limit = host_limit_text(candidate, host)
        if mean is None and limit == NOT_COMPUTED:
            text = "same oxide" if host == candidate.dopant else ABSENT
            cells.append((f"{mark(host_verdict(candidate, host))}{text}", None))
            continue
        text = (ABSENT if mean is None else milli(mean)) + f"<small>{escape(limit)}</small>"
        cells.append((f"{mark(host_verdict(candidate, host))}{text}", mean))
    cells.append(_formation_cell(candidate.rock_salt_formation_energy_ev_per_formula))
    reduction = [x for x in candidate.rock_salt_reduction_dmu_o_ev.values() if x is not None]
    cells.append((range_text(reduction, 2) or ABSENT, max(reduction, default=None)))
    numbers = "".join(
        f'<td data-label="{label}"{_sort_key(value)}>{cell}</td>'
        for label, (cell, value) in zip(labels[3:], cells, strict=True)
    )
    evidence = "".join(
        f'<li class="evidence">{escape(_evidence_words(each))}</li>' for each in candidate.evidence
    )
    reasons = "".join(
        f"<li>{escape(reason)}</li>" for reason in (*candidate.reasons, *_metal_words(candidate))
    )
    return (
        f'<tbody id="dopant-{slug(candidate.dopant)}"><tr>'
        f'<td class="place" data-label="Rank" data-sort="{candidate.rank}">{candidate.rank}</td>'
        f'<th scope="row"><a href="#curves-{slug(candidate.dopant)}">{symbol}</a></th>'
        f'<td class="verdict" data-label="Verdict" data-sort="{order}">{badge(candidate.verdict)}'
        f"</td>{numbers}</tr>\n"
        f'<tr><td></td><td class="reasons" colspan="{len(labels) - 1}">'
        f"{criteria_line(candidate)}<ul>{reasons}{evidence}</ul></td></tr>"
        "</tbody>"
    )


def _sort_key(value: float | None) -> str:
    """Return the attribute by which a column is sorted; a missing number has none."""
    return "" if value is None else f' data-sort="{value:.6g}"'


def _formation_cell(
    energies: Mapping[str, Mapping[str, float | None]],
) -> tuple[str, float | None]:
    """Return the ranges over the engines of both kinds of formation energy, never mixed."""
    corrected = range_text((each.get("corrected") for each in energies.values()), 2)
    raw = range_text((each.get("raw") for each in energies.values()), 2)
    values = [each.get("corrected") for each in energies.values()]
    if corrected is None:
        values = [each.get("raw") for each in energies.values()]
    known = [value for value in values if value is not None]
    if corrected is None and raw is None:
        return ABSENT, None
    parts = [] if corrected is None else [corrected]
    if raw is not None:
        parts.append(f"<small>uncorrected {raw}</small>")
    return "".join(parts), max(known)


def _metal_words(candidate: CandidateDoc) -> list[str]:
    """Return what the dopant is in the window where a host is 2+: one line per finding."""
    hosts: dict[str, list[str]] = {}
    for host, found in candidate.metal_in_host_window.items():
        words = [word for word in (found.get("computed") or {}).values() if word is not None]
        parts = [
            word if len(set(words)) == 1 else f"{word} ({words.count(word)} of {len(words)})"
            for word in dict.fromkeys(words)
        ]
        measured = found.get("measured")
        if words or measured:
            text = f"{' or '.join(parts) or NOT_COMPUTED} (computed)"
            hosts.setdefault(text + (f", {measured} (measured)" if measured else ""), []).append(
                host
            )
    return [
        f"{candidate.dopant} where {', '.join(names)} {'is' if len(names) == 1 else 'are'} 2+: {text}"
        for text, names in hosts.items()
    ]


def _evidence_words(entry: Mapping[str, Any]) -> str:
    """Return one entry of a candidate's evidence as a sentence."""
    if "why" not in entry:
        return f"Measured: {_words(entry)}"
    place = f"{entry['technique']}, {entry['sample']}"
    return f"Measured ({place}): {entry['relation']}: {entry['why']}"


def _words(value: Any) -> str:
    """Return a value of unknown shape in one line."""
    if isinstance(value, Mapping) and "value" in value:
        error, unit = value.get("uncertainty"), value.get("unit")
        text = _words(value["value"]) + (f" ± {_words(error)}" if error is not None else "")
        return f"{text} {unit}" if unit else text
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(name).replace('_', ' ')} {_words(each)}" for name, each in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(_words(each) for each in value)
    if value is None:
        return NOT_COMPUTED
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _map_section(ranking: RankingDoc) -> str:
    """Return the periodic table."""
    label = "Periodic table with the dopants coloured by verdict: " + ", ".join(
        f"{each.dopant} {each.verdict}" for each in ranking.candidates
    )
    return figure_element(
        periodic_table_map(ranking),
        "map",
        label,
        "Every dopant of the campaign in its place. Colour and sign are the verdict; the number is "
        "the score, the largest mean mixing enthalpy over hosts and fractions, in meV per cation. "
        "Hosts are outlined; elements that the campaign did not screen are pale.",
    )


def _matrix_section(ranking: RankingDoc) -> str:
    """Return the matrix of dopants and hosts."""
    return figure_element(
        intermixability_matrix(ranking),
        "matrix",
        "Matrix of dopants and host rock salts; its numbers are in the ranking table",
        "Each cell: verdict (✓ mixes, ? undecided, ✗ separates), mixing enthalpy in meV per cation "
        "averaged over the engines at the fraction where it is largest, and the fraction x of "
        f"dopant that the host's rock salt dissolves at {ranking.temperature_k:g} K, as one limit "
        "or from the lowest to the highest engine. Colours saturate at the ends of the bar.",
        beside=True,
    )


def _formation_section(ranking: RankingDoc, formations: Sequence[FormationEnergyDoc]) -> str:
    """Return the formation energies, drawn and as numbers."""
    drawn = formation_energies(formations or ranking, engines=list(ranking.engines))
    figure = figure_element(
        drawn,
        "formation",
        "Formation energy of each dopant's rock salt, one marker per engine",
        "Formation energy of the rock-salt oxide from its metal and O<sub>2</sub> at "
        "Δμ<sub>O</sub> = 0. Above zero the cation leaves as metal. Values on the Materials "
        "Project 2020 scale and values as the engine gives them are two scales: compare within one "
        "kind of marker.",
    )
    rows = [
        (
            f"{escape(each.cation)}O",
            escape(each.engine),
            signed_cell(each.raw_ev_per_formula, 3),
            signed_cell(each.corrected_ev_per_formula, 3),
            signed_cell(each.reduction_dmu_o_ev, 3),
            plain_cell(each.lattice_parameter_angstrom, 3),
            plain_cell(each.distortion_gain_ev_per_formula, 3),
            escape(each.metal.prototype) if each.metal else ABSENT,
            escape("; ".join(each.missing)),
        )
        for each in formations
    ]
    if not rows:
        return figure
    headings = (
        "Oxide",
        "Engine",
        "As it comes<small>eV per formula</small>",
        "Corrected<small>eV per formula</small>",
        "Reduced below Δμ<sub>O</sub><small>eV</small>",
        "Lattice parameter<small>Å</small>",
        "Gain by distortion<small>eV per formula</small>",
        "Metal",
        "Missing",
    )
    return (
        f'{figure}\n<details><summary>Numbers <span class="aside">{len(rows)} oxides and engines'
        f"</span></summary>\n{table('Rock-salt formation energies', headings, rows, numbers=range(2, 7))}"
        "</details>"
    )


def _mixing_section(
    ranking: RankingDoc, candidates: Sequence[CandidateDoc], mixings: Sequence[MixingDoc]
) -> str:
    """Return the curves of every dopant, folded when there are many."""
    by_name = {candidate.dopant: candidate for candidate in candidates}
    dopants = list(dict.fromkeys([*by_name, *(mixing.dopant for mixing in mixings)]))
    lead = (
        '<p class="lead">Small points are single cation arrangements, large points the random '
        "alloy, thin lines the fit x(1−x)[L<sub>0</sub> + L<sub>1</sub>(1−2x)] of each engine and "
        "the black line their mean. Filled triangles mark the fraction that the host dissolves, "
        "open ones the dopant-rich end of the gap. Under the dotted line ideal entropy outweighs "
        "the enthalpy.</p>"
    )
    parts = [lead]
    for dopant in dopants:
        own = [mixing for mixing in mixings if mixing.dopant == dopant]
        candidate = by_name.get(dopant)
        content = _dopant_curves(ranking, dopant, candidate, own)
        name, target = escape(dopant), f"curves-{slug(dopant)}"
        sign = badge(candidate.verdict) if candidate else ""
        if len(dopants) > UNFOLDED:
            reason = candidate.reasons[0] if candidate and candidate.reasons else ""
            parts.append(
                f'<details id="{target}"{" open" * (dopant == dopants[0])}><summary>{name} {sign} <span class="aside">'
                f"{escape(reason)}</span></summary>\n{content}</details>"
            )
        else:
            parts.append(f'<div id="{target}"><h3>{name} {sign}</h3>\n{content}</div>')
    return "\n".join(parts)


def _dopant_curves(
    ranking: RankingDoc,
    dopant: str,
    candidate: CandidateDoc | None,
    mixings: Sequence[MixingDoc],
) -> str:
    """Return one dopant's figure, the rule of each host and the numbers of each engine."""
    if not mixings:
        return '<p class="lead">Mixing was not computed for this dopant.</p>'
    hosts = [*ranking.hosts, *(mixing.host for mixing in mixings)]
    mixings = sorted(mixings, key=lambda mixing: hosts.index(mixing.host))
    curves = mixing_curves(
        dopant,
        mixings,
        engines=list(ranking.engines),
        over_engines=candidate.hosts if candidate else None,
    )
    names = ", ".join(dict.fromkeys(f"{mixing.host}O" for mixing in mixings))
    figure = figure_element(
        curves,
        f"mixing-{slug(dopant)}",
        f"Mixing enthalpy of {dopant}O with {names} against the fraction of {dopant}",
        f"Mixing enthalpy of {escape(dopant)}O with {escape(names)}.",
    )
    rules = [
        f"{host}O: {found['rule']}"
        for host, found in (candidate.hosts.items() if candidate else ())
        if found.get("rule")
    ]
    unit = "<small>meV per cation</small>"
    rows = []
    for mixing in mixings:
        fit = mixing.interaction_ev_per_cation or []
        l0, l1 = (*fit, None, None)[:2]
        rows.append(
            (
                f"{escape(mixing.host)}O",
                escape(mixing.engine),
                mark(
                    {"mixes": "pass", "separates": "fail"}.get(str(mixing.verdict), mixing.verdict)
                )
                + escape(mixing.verdict or NOT_COMPUTED),
                signed_cell(l0, 1, 1000),
                signed_cell(l1, 1, 1000),
                plain_cell(_scaled(mixing.fit_rms_ev_per_cation), 1),
                plain_cell(_scaled(mixing.uncertainty_ev_per_cation), 1),
                *_gap(mixing),
                _critical(mixing.critical_temperature_k),
            )
        )
    headings = (
        "Host",
        "Engine",
        "Verdict",
        f"L<sub>0</sub>{unit}",
        f"L<sub>1</sub>{unit}",
        f"Residual{unit}",
        f"Uncertainty{unit}",
        f"Solubility<small>fraction at {ranking.temperature_k:g} K</small>",
        "Dopant-rich end<small>fraction</small>",
        "Critical temperature<small>K</small>",
    )
    numbers_table = table(
        f"Mixing of {escape(dopant)}O", headings, rows, numbers=range(3, 10), tight=True
    )
    return (
        f'{figure}\n<div class="rules">{bullet_list(rules) if rules else ""}</div>\n'
        f"<details><summary>Numbers of each engine</summary>\n{numbers_table}</details>"
    )


def _scaled(value_ev: float | None) -> float | None:
    """Return eV as meV."""
    return None if value_ev is None else 1000 * value_ev


def _gap(mixing: MixingDoc) -> tuple[str, str]:
    """Return both ends of the miscibility gap; where all x dissolve there is none."""
    if mixing.solubility_limit is not None and mixing.solubility_limit >= 1:
        return "all x", "no gap"
    limits = (mixing.solubility_limit, mixing.dopant_rich_limit)
    low, high = (ABSENT if x is None else escape(fraction_text(x)) for x in limits)
    return low, high


def _critical(temperature_k: float | None) -> str:
    """Return a critical temperature; a gap that never opens has none."""
    if temperature_k is None:
        return ABSENT
    return "no gap" if temperature_k == 0 else f"{temperature_k:.0f}"


def _rules_section(ranking: RankingDoc) -> str:
    """Return the rules in words."""
    if not ranking.rules:
        return '<p class="lead">The ranking names no rules.</p>'
    items = "".join(f"<li>{escape(rule)}</li>" for rule in ranking.rules)
    return f'<ol class="rules">{items}</ol>'


# --------------------------------------------------------------------------- provenance


def _provenance_section(
    ranking: RankingDoc,
    mixings: Sequence[MixingDoc],
    formations: Sequence[FormationEnergyDoc],
    provenance: Mapping[str, str],
    missing_elsewhere: Sequence[tuple[str, str]],
) -> str:
    """Return where the numbers come from and what is missing."""
    counts = dict(ranking.counts)
    lists = {name: _entries(counts.pop(name, None)) for name in ("rejected", "failed")}
    facts = {
        "Completed": _date(ranking),
        **{name.replace("_", " ").capitalize(): _words(value) for name, value in counts.items()},
    }
    for name, (count, _) in lists.items():
        facts[name.capitalize()] = NOT_COMPUTED if count is None else str(count)
    facts |= provenance
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()
    )
    parts = [f"<dl>{pairs}</dl>", "<h3>Engines</h3>", _engine_table(ranking, formations)]
    for name, (count, entries) in lists.items():
        if entries or name == "rejected":
            parts += [f"<h3>{name.capitalize()}</h3>", _reasons_table(name, entries, count)]
    missing = [
        *(
            (f"{each.cation}O formation energy, {each.engine}", why)
            for each in formations
            for why in each.missing
        ),
        *(
            (f"{each.dopant} in {each.host}O, {each.engine}", why)
            for each in mixings
            for why in each.missing
        ),
        *missing_elsewhere,
    ]
    if missing:
        parts += ["<h3>Not computed</h3>", _reasons_table("not computed", missing, len(missing))]
    return "\n".join(parts)


def _entries(value: Any) -> tuple[int | None, list[tuple[str, str]]]:
    """Return the number and the (what, why) of a count that may be a number or a list."""
    if value is None:
        return None, []
    if isinstance(value, int | float):
        return int(value), []
    pairs = [
        (str(each.get("what", NOT_COMPUTED)), str(each.get("why", NOT_COMPUTED)))
        if isinstance(each, Mapping)
        else (str(each), "")
        for each in value
    ]
    return len(pairs), pairs


def _reasons_table(name: str, pairs: Sequence[tuple[str, str]], count: int | None) -> str:
    """Return what and why; folded when it is long."""
    if not pairs:
        return "<p>Nothing was rejected.</p>" if count == 0 else f"<p>{ABSENT}</p>"
    rows = [(escape(what), escape(why)) for what, why in pairs]
    listed = table(f"What was {name}, and why", ("What", "Why"), rows)
    if len(pairs) <= 12:
        return listed
    return f"<details><summary>{len(pairs)} entries</summary>\n{listed}</details>"


def _engine_table(ranking: RankingDoc, formations: Sequence[FormationEnergyDoc]) -> str:
    """Return the engines with version, energy scale and the corrections that were added."""
    known = ("version", "energy_scale")
    others = list(
        dict.fromkeys(
            name for each in ranking.engines.values() for name in each if name not in known
        )
    )
    rows = []
    for engine, facts in ranking.engines.items():
        own = [each for each in formations if each.engine == engine]
        rows.append(
            (
                escape(engine),
                *(escape(_words(facts.get(name))) for name in (*known, *others)),
                escape(_corrections(own)),
            )
        )
    headings = (
        *("Engine", "Version", "Energy scale"),
        *(escape(name.replace("_", " ").capitalize()) for name in others),
        "Corrections of the formation energy<small>eV per formula, by element</small>",
    )
    return table("Engines, in the order of the figures", headings, rows)


def _corrections(formations: Sequence[FormationEnergyDoc]) -> str:
    """Return the distinct correction terms of one engine, by element."""
    if not formations:
        return NOT_COMPUTED
    terms: dict[str, set[float]] = {}
    for each in formations:
        for element, value in each.corrections_ev_per_formula.items():
            terms.setdefault(element, set()).add(round(value, 4))
    order = sorted(terms, key=lambda element: (element != "O", element))
    texts = (
        f"{element} {' or '.join(signed(value, 3) for value in sorted(terms[element]))}"
        for element in order
    )
    return "; ".join(texts) or "none added"
