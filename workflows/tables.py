"""Tables, JSON and CSV of results, for a terminal of 80 columns and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.stores.electronic_documents import ElectronicStructureDoc
from rocksalt.stores.phase_documents import SeriesDoc, VacancyDoc
from rocksalt.stores.triage_documents import TriageDoc
from rocksalt.workflows.phase_tables import lowest_arrangements

MARKS = {"mixes": "✓", "separates": "✗", "undecided": "?", None: "–"}
MANY_HOSTS = 3
STYLES = {"pass": "green", "fail": "red", "undecided": "yellow"}
_CONTRACT = (
    "rank",
    "dopant",
    "verdict",
    "reasons",
    "rock_salt_formation_energy_ev_per_formula",
    "rock_salt_reduction_dmu_o_ev",
    "metal_in_host_window",
    "mixing",
    "above_hull_ev_per_atom",
    "oxygen_retention_ev",
    "criteria",
    "front",
    "uncertainty_ev",
    "evidence",
    "hosts",
    "score_ev_per_cation",
)

_CSV_COLUMNS = (
    "rank",
    "dopant",
    "verdict",
    "host",
    "engine",
    "rock_salt_formation_energy_raw_ev_per_formula",
    "rock_salt_formation_energy_corrected_ev_per_formula",
    "fraction",
    "mixing_enthalpy_ev_per_cation",
    "mixing_enthalpy_uncertainty_ev_per_cation",
    "solubility_limit",
    "critical_temperature_k",
    "mixing_verdict",
    "metal_in_host_window",
    "above_hull_fraction",
    "above_hull_ev_per_atom",
    "oxygen_retention_ev",
)
_CSV_SERIES_COLUMNS = (
    "series_lithium_per_oxygen",
    "series_above_hull_ev_per_atom",
    "series_volume_change_percent",
)


def ranking_json(
    ranking: RankingDoc,
    triage: TriageDoc | None = None,
    electronic: Sequence[ElectronicStructureDoc] = (),
    series: Sequence[SeriesDoc] = (),
    vacancies: Sequence[VacancyDoc] = (),
) -> str:
    """Return the ranking as one JSON object; numbers by engine, null for what was not computed.

    Parameters
    ----------
    triage
        Of a campaign that has one: who went to the engine that decides, under the key 'triage'.
    electronic
        Of a campaign with that stage, under the key 'electronic_structure'.
    series, vacancies
        Likewise under 'lithium_deficient_series' and 'oxygen_vacancies'.
    """
    dumped = ranking.model_dump(mode="json")
    stages = {
        "lithium_deficient_series": series,
        "oxygen_vacancies": vacancies,
        "electronic_structure": electronic,
    }
    return json.dumps(
        {
            "campaign": dumped["campaign"],
            "engines": dumped["engines"],
            "counts": dumped["counts"],
            "temperature_k": dumped["temperature_k"],
            "hosts": dumped["hosts"],
            "rules": dumped["rules"],
            "candidates": [{k: c[k] for k in _CONTRACT} for c in dumped["candidates"]],
            **({"triage": triage.model_dump(mode="json")} if triage else {}),
            **{
                name: [document.model_dump(mode="json") for document in documents]
                for name, documents in stages.items()
                if documents
            },
        },
        indent=2,
        ensure_ascii=False,
    )


def ranking_csv(ranking: RankingDoc, series: Sequence[SeriesDoc] = ()) -> str:
    """Return one row per dopant, host and engine; means over engines have engine 'mean'.

    Parameters
    ----------
    series
        Of a campaign with that stage: columns of the cell with the dopant that is poorest in lithium.
    """
    rows = []
    poorest = {(s.dopant, s.engine): _poorest_in_lithium(s) for s in series}
    columns = (*_CSV_COLUMNS, *(_CSV_SERIES_COLUMNS if series else ()))
    for candidate in ranking.candidates:
        for host, pair in candidate.hosts.items():
            for engine, mixing in {**candidate.mixing[host], "mean": pair}.items():
                window = candidate.metal_in_host_window.get(host, {}).get("computed", {})
                above = candidate.above_hull_ev_per_atom.get(host) or {}
                formation = candidate.rock_salt_formation_energy_ev_per_formula.get(engine, {})
                for point in mixing["enthalpy_ev_per_cation"] or [{}]:
                    values: tuple[Any, ...] = (
                        candidate.rank,
                        candidate.dopant,
                        candidate.verdict,
                        host,
                        engine,
                        formation.get("raw"),
                        formation.get("corrected"),
                        point.get("fraction"),
                        point.get("value"),
                        _uncertainty_at(point, mixing.get("uncertainty_ev_per_cation")),
                        mixing["solubility_limit"],
                        mixing["critical_temperature_k"],
                        mixing["verdict"],
                        window.get(engine),
                        above.get("fraction"),
                        above.get("value", {}).get(engine),
                        candidate.oxygen_retention_ev.get(engine),
                    )
                    if series:
                        values += poorest.get((candidate.dopant, engine), (None, None, None))
                    rows.append(dict(zip(columns, values, strict=True)))
    return rows_csv(rows, columns)


def _poorest_in_lithium(series: SeriesDoc) -> tuple[float | None, ...]:
    """Return what `_CSV_SERIES_COLUMNS` say of the lowest arrangement with the least lithium."""
    points = lowest_arrangements(series.points)
    if not points:
        return (None, None, None)
    last = points[-1]
    return (last.lithium_per_oxygen, last.e_above_hull_ev_per_atom, last.volume_change_percent)


def _uncertainty_at(point: Mapping[str, Any], at_half: float | None) -> float | None:
    """Return the standard uncertainty of dHmix at a point: its own, or what the curve's is there."""
    if not point:
        return None
    x = point["fraction"]
    return max(point["uncertainty"], 4 * x * (1 - x) * (at_half or 0.0))


def rows_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Return rows as CSV with a heading; None is an empty cell, lists and dictionaries are JSON."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
        )
    return out.getvalue()


def ranking_table(ranking: RankingDoc, *, reasons: bool = False) -> RenderableType:
    """Return the ranking as a table of at most 80 columns (of up to eight hosts), with its legend.

    With more than `MANY_HOSTS` hosts, their columns hold marks alone, and the last one is left out.

    Parameters
    ----------
    reasons
        Write every reason under the table.
    """
    table = plain_table()
    table.add_column("#", justify="right")
    table.add_column("M", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("dEf(MO)\neV/f.u.", justify="right", no_wrap=True)
    table.add_column("dHmix meV\nper cation", justify="right", no_wrap=True)
    for host in ranking.hosts:
        table.add_column(f"in\n{host}O", justify="left", no_wrap=True)
    brief = len(ranking.hosts) > MANY_HOSTS
    if not brief:
        table.add_column("why", overflow="fold")
    for candidate in ranking.candidates:
        table.add_row(
            str(candidate.rank),
            candidate.dopant,
            Text(candidate.verdict, style=STYLES[candidate.verdict]),
            _mean_formation(candidate),
            _mixing_number(candidate),
            *(_host_cell(candidate, host, brief=brief) for host in ranking.hosts),
            *([] if brief else [short_reason(candidate)]),
        )
    parts: list[RenderableType] = [table, Text(_legend(ranking), style="dim")]
    return Group(*parts, *_remarks(ranking, reasons=reasons))


def plain_table() -> Table:
    """Return an empty table with a rule under its headings and nothing around it."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def formation_table(ranking: RankingDoc, *, reasons: bool = False) -> RenderableType:
    """Return the formation energies of the rock salts by engine, for a campaign without mixtures.

    Each on the engine's own scale: corrected where a correction applies, raw where none does.

    Parameters
    ----------
    reasons
        Write every reason under the table.
    """
    table = plain_table()
    table.add_column("#", justify="right")
    table.add_column("M", no_wrap=True)
    table.add_column("stays\noxidised", no_wrap=True)
    for engine in ranking.engines:
        table.add_column(engine.replace(":", ":\n"), justify="right", overflow="fold")
    for candidate in ranking.candidates:
        values = candidate.rock_salt_reduction_dmu_o_ev
        oxidised = candidate.criteria.get("stays oxidised") or "–"
        table.add_row(
            str(candidate.rank),
            candidate.dopant,
            Text(oxidised, style=STYLES.get(oxidised, "")),
            *("–" if values.get(e) is None else f"{values[e]:.2f}" for e in ranking.engines),
        )
    scales: dict[str, list[str]] = {}
    for engine, about in ranking.engines.items():
        corrected = about["correction"] is not None
        scales.setdefault("MP2020" if corrected else about["energy_scale"], []).append(engine)
    said = "; ".join(f"{', '.join(engines)}: {scale}" for scale, engines in scales.items())
    text = (
        f"{ranking.campaign}: formation energy of rock-salt MO from metal and O2, eV per formula "
        f"unit, by engine. Scales: {said}. {_progress(ranking)}"
    )
    return Group(table, Text(text, style="dim"), *_remarks(ranking, reasons=reasons))


def _remarks(ranking: RankingDoc, *, reasons: bool) -> list[RenderableType]:
    """Return what stands under a table: that mock numbers mean nothing, and the reasons if asked for."""
    parts: list[RenderableType] = []
    if "mock" in ranking.engines:
        parts.append(Text("mock energies are for trying out: they say nothing of any dopant."))
    if reasons:
        for candidate in ranking.candidates:
            parts.append(Text(f"\n{candidate.rank}. {candidate.dopant}: {candidate.verdict}"))
            measured = [
                f"measured ({e['technique']}, {e['sample']}): {e['relation']}: {e['why']}"
                for e in candidate.evidence
            ]
            for reason in (*candidate.reasons, *measured):
                hanging = Table.grid(padding=(0, 1, 0, 0))
                hanging.add_row("  -", Text(reason))
                parts.append(hanging)
    return parts


def _legend(ranking: RankingDoc) -> str:
    engine = _mean_of(ranking)
    brief = len(ranking.hosts) > MANY_HOSTS
    dissolves = "" if brief else ", and the fraction of dopant that dissolves"
    return (
        f"{ranking.campaign}, {ranking.temperature_k:g} K, {engine}. dHmix: largest over hosts and "
        "fractions, ± its uncertainty. In HO: ✓ mixes, ✗ separates, ? undecided"
        f"{dissolves}. {_progress(ranking)}"
    )


def _mean_of(ranking: RankingDoc) -> str:
    """Return which engines dHmix is a mean of; in a triage, of which dopants it is of others."""
    by_engines: dict[tuple[str, ...], list[str]] = {}
    for candidate in ranking.candidates:
        deciding = {e for pair in candidate.hosts.values() for e in pair.get("engines", ())}
        engines = tuple(e for e in ranking.engines if e in deciding) or tuple(ranking.engines)
        by_engines.setdefault(engines, []).append(candidate.dopant)
    groups = sorted(by_engines.items(), key=lambda group: -len(group[1]))
    words = [
        ("mean of " if len(engines) > 1 else "") + ", ".join(engines)
        for engines, _ in groups or [(tuple(ranking.engines), [])]
    ]
    others = [
        f"; dHmix of {', '.join(dopants)}: {word}"
        for word, (_, dopants) in zip(words[1:], groups[1:], strict=True)
    ]
    return words[0] + "".join(others)


def _progress(ranking: RankingDoc) -> str:
    """Return how many calculations the numbers are made of, as a sentence."""
    counts = ranking.counts
    text = f"{counts.get('done', '?')} of {counts.get('calculations', '?')} calculations done"
    rejected = len(counts.get("rejected", []))
    text += f", {rejected} failed or left out" if rejected else ""
    missing = counts.get("missing", 0)
    return text + (f", {missing} missing: the ranking is not final." if missing else ".")


def _mean_formation(candidate: CandidateDoc) -> str:
    values = candidate.deciding_reduction_dmu_o_ev.values()
    return f"{sum(values) / len(values):.2f}" if values else "–"


def _mixing_number(candidate: CandidateDoc) -> str:
    if candidate.score_ev_per_cation is None:
        return "–"
    text = str(round(1000 * candidate.score_ev_per_cation))  # no sign before a zero
    if candidate.uncertainty_ev is not None:
        text += f" ± {1000 * candidate.uncertainty_ev:.0f}"
    return text


def _host_cell(candidate: CandidateDoc, host: str, *, brief: bool) -> str:
    pair = candidate.hosts.get(host)
    if pair is None:
        return ""
    limit = None if brief else pair["solubility_limit"]
    return MARKS[pair["verdict"]] + ("" if limit is None else f" {share_text(limit)}")


def share_text(fraction: float) -> str:
    """Return a solubility in a few characters: 'all', '0.31', '<0.01'."""
    if fraction >= 1:
        return "all"
    return f"{fraction:.2f}" if fraction >= 0.005 else "<0.01"


def short_reason(candidate: CandidateDoc) -> str:
    """Return in a few words what decided the verdict."""
    of = {
        verdict: [f"{h}O" for h, pair in candidate.hosts.items() if pair["verdict"] == verdict]
        for verdict in ("separates", "undecided", None)
    }
    failed = ["reduced to metal"] if candidate.reasons[0].startswith("leaves") else []
    if of["separates"]:
        failed.append(f"leaves {', '.join(of['separates'])}")
    said = {"stays oxidised", *(f"mixes with {host}O" for host in candidate.hosts)}
    failed += [
        f"not {name}"
        for name, verdict in candidate.criteria.items()
        if verdict == "fail" and name not in said
    ]
    if failed:
        return "; ".join(failed)
    if of[None]:
        return f"not computed in {', '.join(of[None])}"
    if of["undecided"]:
        return f"{', '.join(of['undecided'])}: not decided"
    open_ = [name for name, verdict in candidate.criteria.items() if verdict == "undecided"]
    if open_ and open_ != ["stays oxidised"]:
        return f"not decided: {', '.join(open_)}"
    return "mixes, stays oxidised" if candidate.verdict == "pass" else "oxide or metal?"


def triage_table(triage: TriageDoc) -> RenderableType:
    """Return who went to the engine that decides, who did not, and the engines' agreement."""
    table = plain_table()
    table.add_column("M", no_wrap=True)
    table.add_column("before", no_wrap=True)
    table.add_column("after", no_wrap=True)
    table.add_column("est.\nCPU h", justify="right", no_wrap=True)
    table.add_column(f"why {triage.decide} was asked", overflow="fold")
    for choice in triage.chosen:
        after = choice.verdict_after or "–"
        table.add_row(
            choice.dopant,
            Text(choice.verdict_before, style=STYLES[choice.verdict_before]),
            Text(after, style=STYLES.get(after, "")),
            f"{choice.estimated_cpu_hours:.2f}",
            choice.reason,
        )
    for passed in triage.passed_over:
        table.add_row(passed["dopant"], "", "", "", f"not asked: {passed['why']}")
    budget = "" if triage.budget_cpu_hours is None else f" of {triage.budget_cpu_hours:g} allowed"
    parts: list[RenderableType] = [
        Text(""),
        table,
        Text(f"{triage.decide} has taken {triage.spent_cpu_hours:.2f} CPU h{budget}.", style="dim"),
    ]
    if triage.agreement:
        errors = plain_table()
        errors.add_column(f"against\n{triage.decide}", no_wrap=True)
        errors.add_column("quantity", no_wrap=True)
        for heading in ("values", "mean\nerror", "mean\nabsolute", "largest", "rank\ncorr."):
            errors.add_column(heading, justify="right", no_wrap=True)
        for found in triage.agreement:
            numbers = (found.mean_error, found.mean_absolute_error, found.largest_error)
            errors.add_row(
                found.engine,
                f"{found.quantity}, {found.unit}",
                str(found.n),
                *("–" if n is None else f"{n:.3f}" for n in numbers),
                "–" if found.rank_correlation is None else f"{found.rank_correlation:.2f}",
            )
        parts += [Text(""), errors]
    return Group(*parts)


def rows_table(rows: Iterable[Mapping[str, Any]], properties: Iterable[str]) -> Table:
    """Return rows of a query as a table."""
    names = list(properties)
    rows = list(rows)
    table = plain_table()
    for name in names:
        number = all(isinstance(row[name], int | float | None) for row in rows)
        table.add_column(
            name.replace("_per_", "\n_per_"),
            justify="right" if number else "left",
            no_wrap=number,
        )
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | dict):
        return json.dumps(value)
    return " ".join(str(value).split())
