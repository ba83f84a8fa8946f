"""Tables, JSON and CSV of results, for a terminal of 80 columns and for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rocksalt.stores.documents import CandidateDoc, RankingDoc

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
    "solubility_limit",
    "critical_temperature_k",
    "mixing_verdict",
    "metal_in_host_window",
    "above_hull_fraction",
    "above_hull_ev_per_atom",
    "oxygen_retention_ev",
)


def ranking_json(ranking: RankingDoc) -> str:
    """Return the ranking as one JSON object; numbers by engine, null for what was not computed."""
    dumped = ranking.model_dump(mode="json")
    return json.dumps(
        {
            "campaign": dumped["campaign"],
            "engines": dumped["engines"],
            "counts": dumped["counts"],
            "temperature_k": dumped["temperature_k"],
            "hosts": dumped["hosts"],
            "rules": dumped["rules"],
            "candidates": [{k: c[k] for k in _CONTRACT} for c in dumped["candidates"]],
        },
        indent=2,
        ensure_ascii=False,
    )


def ranking_csv(ranking: RankingDoc) -> str:
    """Return one row per dopant, host and engine; means over engines have engine 'mean'."""
    rows = []
    for candidate in ranking.candidates:
        for host, pair in candidate.hosts.items():
            for engine, mixing in {**candidate.mixing[host], "mean": pair}.items():
                window = candidate.metal_in_host_window.get(host, {}).get("computed", {})
                above = candidate.above_hull_ev_per_atom.get(host) or {}
                formation = candidate.rock_salt_formation_energy_ev_per_formula.get(engine, {})
                for point in mixing["enthalpy_ev_per_cation"] or [{}]:
                    values = (
                        candidate.rank,
                        candidate.dopant,
                        candidate.verdict,
                        host,
                        engine,
                        formation.get("raw"),
                        formation.get("corrected"),
                        point.get("fraction"),
                        point.get("value"),
                        mixing["solubility_limit"],
                        mixing["critical_temperature_k"],
                        mixing["verdict"],
                        window.get(engine),
                        above.get("fraction"),
                        above.get("value", {}).get(engine),
                        candidate.oxygen_retention_ev.get(engine),
                    )
                    rows.append(dict(zip(_CSV_COLUMNS, values, strict=True)))
    return rows_csv(rows, _CSV_COLUMNS)


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
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
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
    if reasons:
        for candidate in ranking.candidates:
            parts.append(Text(f"\n{candidate.rank}. {candidate.dopant}: {candidate.verdict}"))
            parts += [Text(f"   - {reason}") for reason in candidate.reasons]
    return Group(*parts)


def _legend(ranking: RankingDoc) -> str:
    several = "mean of " + ", ".join(ranking.engines) if len(ranking.engines) > 1 else ""
    engine = several or next(iter(ranking.engines))
    counts = ranking.counts
    brief = len(ranking.hosts) > MANY_HOSTS
    dissolves = "" if brief else ", and the fraction of dopant that dissolves"
    text = (
        f"{ranking.campaign}, {ranking.temperature_k:g} K, {engine}. dHmix: largest over hosts and "
        "fractions, ± its uncertainty. In HO: ✓ mixes, ✗ separates, ? undecided"
        f"{dissolves}. {counts.get('done', '?')} of {counts.get('calculations', '?')} "
        "calculations done"
    )
    rejected = len(counts.get("rejected", []))
    text += f", {rejected} failed" if rejected else ""
    missing = counts.get("missing", 0)
    return text + (f", {missing} missing: the ranking is not final." if missing else ".")


def _mean_formation(candidate: CandidateDoc) -> str:
    values = [v for v in candidate.rock_salt_reduction_dmu_o_ev.values() if v is not None]
    return f"{sum(values) / len(values):.2f}" if values else "–"


def _mixing_number(candidate: CandidateDoc) -> str:
    if candidate.score_ev_per_cation is None:
        return "–"
    text = f"{1000 * candidate.score_ev_per_cation:.0f}"
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
    if candidate.reasons[0].startswith("leaves"):
        return "reduced to metal"
    of = {
        verdict: [f"{h}O" for h, pair in candidate.hosts.items() if pair["verdict"] == verdict]
        for verdict in ("separates", "undecided", None)
    }
    if of["separates"]:
        return f"leaves {', '.join(of['separates'])}"
    failed = [name for name, verdict in candidate.criteria.items() if verdict == "fail"]
    if failed:
        return f"not {', not '.join(failed)}"
    if of[None]:
        return f"not computed in {', '.join(of[None])}"
    if of["undecided"]:
        return f"{', '.join(of['undecided'])}: engines cannot tell"
    open_ = [name for name, verdict in candidate.criteria.items() if verdict == "undecided"]
    if open_ and open_ != ["stays oxidised"]:
        return f"not decided: {', '.join(open_)}"
    return "mixes, stays oxidised" if candidate.verdict == "pass" else "oxide or metal?"


def rows_table(rows: Iterable[Mapping[str, Any]], properties: Iterable[str]) -> Table:
    """Return rows of a query as a table; long values are cut."""
    names = list(properties)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in names:
        table.add_column(name.replace("_per_", "\n_per_"), overflow="ellipsis", max_width=36)
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
    return str(value)
