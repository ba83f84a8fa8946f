"""The command ``rocksalt analyze``: measured files in, quantities filed under a candidate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from rocksalt.screening.errors import RocksaltError


def analyze(
    experiment_file: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="Experiment file (YAML).")
    ],
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="PATH|mongodb://...|memory|jobflow", help="As for run."),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
) -> None:
    """Analyse measured files and file the results under their candidate.

    A measurement that cannot be analysed is told, the others are kept; the exit code is 2 then.

    Example: rocksalt analyze examples/experiment/experiment.yaml
    """
    from rocksalt.stores.opening import open_store, store_address
    from rocksalt.workflows.experiment import analyse, load_experiment, save, stored, task_of
    from rocksalt.workflows.settings import load_settings

    if output not in {"table", "json", "csv"}:
        raise RocksaltError(f"--format: {output!r}: give table, json or csv")
    experiment = load_experiment(experiment_file)
    address = store_address(store, experiment.store, load_settings().store)
    job_store = open_store(address, must_exist=False)
    try:
        _refuse_unknown_candidate(job_store, experiment.sample.dopant, experiment_file)
        documents, failed = [], []
        for measurement in experiment.measurements:
            try:
                task = task_of(measurement, experiment.sample, experiment_file.parent)
                document = stored(job_store, task.key)
                if document is None:
                    document, found = analyse(task)
                    save(job_store, document, found)
                documents.append(document)
            except RocksaltError as error:
                failed.append(
                    {
                        "technique": measurement.technique,
                        "file": str(measurement.file),
                        "why": str(error),
                    }
                )
    finally:
        job_store.close()
    _print(experiment.sample.model_dump(mode="json"), documents, failed, output)
    if failed:
        raise typer.Exit(2)


def _refuse_unknown_candidate(job_store: Any, dopant: str | None, file: Path) -> None:
    from rocksalt.stores.records import campaign_names
    from rocksalt.workflows.run import stored_campaign

    if dopant is None:
        return
    names = campaign_names(job_store)
    known = sorted({d for name in names for d in stored_campaign(job_store, name).screened})
    if dopant not in known:
        screened = f"it knows {', '.join(known)}" if known else "it holds no campaign yet"
        raise RocksaltError(
            f"{file}: sample.dopant: the store knows no candidate {dopant!r} ({screened}): run a "
            "campaign that screens it first, or leave 'dopant' out"
        )


def _print(sample: dict[str, Any], documents: list[Any], failed: list[Any], output: str) -> None:
    from rocksalt.workflows.tables import rows_csv

    rows = [
        {
            "sample": sample["name"],
            "technique": document.technique,
            "file": document.file,
            "quantity": name,
            "value": quantity.value,
            "uncertainty": quantity.uncertainty,
            "unit": quantity.unit,
        }
        for document in documents
        for name, quantity in document.values.items()
    ]
    messages = Console(stderr=True, highlight=False, markup=False)
    if output == "json":
        found = [document.model_dump(mode="json", exclude={"arrays"}) for document in documents]
        answer = {"sample": sample, "documents": found, "failed": failed}
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif output == "csv":
        columns = ("sample", "technique", "file", "quantity", "value", "uncertainty", "unit")
        print(rows_csv(rows, columns), end="")
    elif rows:
        Console(highlight=False, markup=False).print(_table(rows))
    for document in documents:
        for remark in document.remarks:
            messages.print(f"{document.file}: {remark}", soft_wrap=True)
    for each in failed:
        messages.print(f"failed: {each['why']}", soft_wrap=True)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("technique", "file", "quantity"):
        table.add_column(heading, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    before: tuple[str, str] | None = None
    for row in rows:
        place = (row["technique"], row["file"])
        shown = place if place != before else ("", "")
        before = place
        table.add_row(
            *shown,
            row["quantity"].replace("_", " "),
            _number(row["value"], row["uncertainty"]),
            row["unit"],
        )
    return table


def _number(value: float, uncertainty: float | None) -> str:
    """Return a value with its uncertainty, both to the uncertainty's second figure."""
    if not uncertainty:
        return f"{value:.5g}"
    from math import floor, log10

    decimals = 1 - floor(log10(uncertainty))
    if -5 < decimals < 7:
        digits = max(decimals, 0)
        return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"
    return f"{value:.3e} ± {uncertainty:.1e}"
