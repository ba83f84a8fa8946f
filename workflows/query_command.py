"""``rocksalt query``: calculations in a store, found in the field's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.command_parts import (
    FormatOption,
    OutputFormat,
    StoreOption,
    console,
    open_to_read,
    say,
)
from rocksalt.workflows.wording import counted

if TYPE_CHECKING:
    from rocksalt.stores.reading import Documents


def query(
    dopant: Annotated[str | None, typer.Option(help="Cation that must be there.")] = None,
    host: Annotated[str | None, typer.Option(help="A second cation that must be there.")] = None,
    fraction: Annotated[float | None, typer.Option(help="The dopant's share of cations.")] = None,
    role: Annotated[
        str | None, typer.Option(help="element, oxygen, end-member, mixture, ...")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine, for example chgnet.")] = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            help="Only this campaign's; of measurements, whose ranking evidence is about."
        ),
    ] = None,
    formula: Annotated[str | None, typer.Option(help="Reduced formula, e.g. MnO.")] = None,
    chemsys: Annotated[str | None, typer.Option(help="Chemical system, e.g. Mn-O-Ti.")] = None,
    state: Annotated[str | None, typer.Option(help="done|failed")] = None,
    stability: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="EV",
            help="Energy above the hull at most, eV per atom; needs the stage hull.",
        ),
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="MongoDB filter as JSON, instead of the words.")
    ] = None,
    properties: Annotated[
        str | None, typer.Option(help="Fields to print, separated by commas.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=10**9, help="At most this many; 0 for all.")] = 0,
    technique: Annotated[
        str | None, typer.Option(help="Measurements instead, of this technique, e.g. xanes.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Measurements instead, of the sample of this name.")
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.table,
) -> None:
    """Find calculations in a store, or with --technique or --sample the quantities of measurements.

    Example: rocksalt query --dopant Ti --host Mn --fraction 0.5 --engine chgnet
    """
    from rocksalt.stores.query import (
        DEFAULT_PROPERTIES,
        calculation_filter,
        check_filter,
        check_properties,
        parse_filter,
        query_calculations,
    )
    from rocksalt.stores.stability import ABOVE_HULL

    if technique is not None or sample is not None:
        others = {"fraction": fraction, "role": role, "engine": engine}
        others |= {"formula": formula, "chemsys": chemsys, "state": state, "stability": stability}
        others |= {"filter": filter_, "properties": properties}
        for word in (word for word, value in others.items() if value is not None):
            raise RocksaltError(
                f"--{word} asks for calculations, --technique and --sample for measurements: leave one "
                "out; measurements are found by --technique, --sample, --dopant and --host, and --campaign "
                "names the ranking of their evidence"
            )
        if technique is not None:
            from rocksalt.analysis.techniques import get_technique

            get_technique(technique)  # names the nearest one that there is
        from rocksalt.stores.experiment_query import COLUMNS, query_experiments

        documents = open_to_read(store)
        rows = query_experiments(
            documents, technique=technique, dopant=dopant, host=host, sample=sample, limit=limit
        )
        names = list(COLUMNS)
        evidence = _evidence(documents, campaign, rows)
        for row in rows:
            row["evidence"], row["evidence_why"] = evidence.get(row["key"], (None, None))
        if output is not OutputFormat.table:
            names += ["evidence", "evidence_why", "key"]
        elif evidence:
            names.append("evidence")
        _print(rows, names, counted(len(rows), "quantity", "quantities"), output)
        return
    if engine is not None:
        from rocksalt.workflows.engines import get_engine

        engine = get_engine(engine).name
    words = {
        "dopant": dopant,
        "host": host,
        "fraction": fraction,
        "role": role,
        "engine": engine,
        "formula": formula,
        "chemsys": chemsys,
        "state": state,
    }
    if filter_ is not None and any(v is not None for v in words.values()):
        raise RocksaltError("--filter goes alone: put everything into it, or use the words")
    criteria = parse_filter(filter_) if filter_ is not None else calculation_filter(**words)  # type: ignore[arg-type]  # a dict of mixed types
    check_filter(criteria)
    criteria.setdefault("metadata.kind", "calculation")
    names = list(DEFAULT_PROPERTIES) if properties is None else check_properties(properties)
    if stability is not None and properties is None:
        names.append(ABOVE_HULL)
    documents = open_to_read(store)
    rows = query_calculations(documents, criteria, names, campaign, limit, stability)
    _print(rows, names, counted(len(rows), "calculation"), output)


def _evidence(
    store: Documents, campaign: str | None, rows: list[dict[str, Any]]
) -> dict[str, tuple[str, str]]:
    """Return how the measurements of some rows stand to a ranking, and why, by their key.

    The ranking is that of the campaign, or of the only one in the store; of several, none is taken.

    Raises
    ------
    RocksaltError
        When a campaign was named that the store has no ranking of.
    """
    from rocksalt.stores.records import campaign_names, load_document, load_ranking
    from rocksalt.workflows.evidence import experiments_on, with_evidence

    if campaign is None:
        names = campaign_names(store)
        if len(names) != 1 or load_document(store, f"ranking-{names[0]}") is None:
            return {}
        campaign = names[0]
    ranking = load_ranking(store, campaign)
    dopants = {row["dopant"] for row in rows}
    candidates = [each for each in ranking.candidates if each.dopant in dopants]
    ranking = ranking.model_copy(update={"candidates": candidates})
    documents = experiments_on(store, [candidate.dopant for candidate in candidates])
    return {
        entry["key"]: (entry["relation"], entry["why"])
        for candidate in with_evidence(ranking, documents).candidates
        for entry in candidate.evidence
    }


def _print(rows: list[dict[str, Any]], names: list[str], found: str, output: OutputFormat) -> None:
    from rocksalt.workflows import tables

    if output is OutputFormat.json:
        print(json.dumps(rows, indent=2))
    elif output is OutputFormat.csv:
        print(tables.rows_csv(rows, names), end="")
    else:
        console().print(tables.rows_table(rows, names))
        say(console(stderr=True), found)
