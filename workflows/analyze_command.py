"""The command ``rocksalt analyze``: measured files in, quantities filed under a candidate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.command_parts import console, say
from rocksalt.workflows.report_command import FigureFormat

if TYPE_CHECKING:
    from jobflow import JobStore
    from rich.table import Table

    from rocksalt.stores.experiment_documents import ExperimentDoc
    from rocksalt.stores.prediction_documents import PredictionDoc


def analyze(
    experiment_file: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="Experiment file (YAML).")
    ],
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="PATH|mongodb://...|memory|jobflow", help="As for run."),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    figures: Annotated[
        Path | None, typer.Option(help="Also write a figure of each measurement into this folder.")
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option("--figure-format", help="Format of --figures.")
    ] = FigureFormat.pdf,
) -> None:
    """Analyse measured files and file the results under their candidate.

    For a sample with a dopant also what the screen tells to look for, and whether the measurements
    agree. A measurement that cannot be analysed is told, the others are kept; the exit code is 2 then.

    Example: rocksalt analyze experiment.yaml --figures figures --figure-format png
    """
    from rocksalt.stores.addresses import store_address
    from rocksalt.stores.opening import open_store
    from rocksalt.workflows.experiment import analyse, load_experiment, save, stored, task_of
    from rocksalt.workflows.settings import load_settings

    if output not in {"table", "json", "csv"}:
        raise RocksaltError(f"--format: {output!r}: give table, json or csv")
    experiment = load_experiment(experiment_file)
    address = store_address(store, experiment.store, load_settings().store)
    job_store = open_store(address, must_exist=False)
    found: list[_Compared] = []
    try:
        _refuse_unknown_candidate(job_store, experiment.sample.dopant, experiment_file)
        documents, failed = [], []
        for measurement in experiment.measurements:
            try:
                task = task_of(measurement, experiment.sample, experiment_file.parent)
                document = stored(job_store, task.key)
                if document is None:
                    document, analysis = analyse(task)
                    save(job_store, document, analysis)
                documents.append(document)
            except RocksaltError as error:
                failed.append(
                    {
                        "technique": measurement.technique,
                        "file": str(measurement.file),
                        "why": str(error),
                    }
                )
        found = _compare(job_store, experiment.sample.dopant, documents)
        if figures is not None:
            _write_figures(job_store, documents, figures, figure_format.value)
    finally:
        job_store.close()
    _print(experiment.sample.model_dump(mode="json"), documents, failed, found, output)
    if failed:
        raise typer.Exit(2)


def _refuse_unknown_candidate(job_store: Any, dopant: str | None, file: Path) -> None:
    from rocksalt.stores.records import campaign_names
    from rocksalt.workflows.stored import stored_campaign

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


class _Compared(NamedTuple):
    """What a campaign predicts of the sample's dopant, and how the measurements stand to it."""

    prediction: PredictionDoc
    evidence: list[dict[str, Any]]


def _compare(
    job_store: JobStore, dopant: str | None, documents: Sequence[ExperimentDoc]
) -> list[_Compared]:
    """Return the predictions of every ranked campaign with the dopant, stored where they are new."""
    if dopant is None:
        return []
    from rocksalt.stores.records import campaign_names, load_document, load_ranking
    from rocksalt.workflows.evidence import with_evidence
    from rocksalt.workflows.predictions import save_predictions, stored_predictions
    from rocksalt.workflows.stored import stored_campaign

    found = []
    for name in campaign_names(job_store):
        if load_document(job_store, f"ranking-{name}") is None:  # submitted, nothing computed yet
            continue
        ranking = with_evidence(load_ranking(job_store, name), documents)
        candidates = [each for each in ranking.candidates if each.dopant == dopant]
        predictions = stored_predictions(job_store, stored_campaign(job_store, name), candidates)
        save_predictions(job_store, predictions)
        found += [
            _Compared(prediction, candidate.evidence)
            for prediction, candidate in zip(predictions, candidates, strict=True)
        ]
    return found


def _write_figures(
    job_store: JobStore, documents: Sequence[ExperimentDoc], folder: Path, suffix: str
) -> None:
    """Write one figure of each measurement, named by technique and file."""
    from rocksalt.analysis.errors import MeasurementError
    from rocksalt.workflows.evidence import with_curves
    from rocksalt.workflows.figure_files import write_figures
    from rocksalt.workflows.measured_figures import draw_measurement

    messages = console(stderr=True)
    drawn = {}
    for document in documents:
        name = f"{document.technique}-{Path(document.file).stem}"
        if name in drawn:  # the same file with other options
            name = f"{name}-{document.key[:6]}"
        try:
            drawn[name] = draw_measurement(document, with_curves(job_store, document).arrays)
        except MeasurementError as error:
            say(messages, str(error))
    written = write_figures(folder, suffix, drawn)
    say(messages, f"wrote {len(written)} figures into {folder}")


def _print(
    sample: dict[str, Any],
    documents: list[Any],
    failed: list[Any],
    found: list[_Compared],
    output: str,
) -> None:
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
    messages = console(stderr=True)
    if output == "json":
        answer = {
            "sample": sample,
            "documents": [d.model_dump(mode="json", exclude={"arrays"}) for d in documents],
            "failed": failed,
            "predictions": [
                {
                    **each.prediction.model_dump(mode="json", exclude={"predicted_at"}),
                    "evidence": each.evidence,
                }
                for each in found
            ],
        }
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif output == "csv":
        columns = ("sample", "technique", "file", "quantity", "value", "uncertainty", "unit")
        print(rows_csv(rows, columns), end="")
    elif rows:
        console().print(_table(rows))
    if output == "table":
        _print_compared(found)
    for document in documents:
        for remark in document.remarks:
            say(messages, f"{document.file}: {remark}")
    for each in failed:
        say(messages, f"failed: {each['why']}")


def _print_compared(found: list[_Compared]) -> None:
    out = console()
    for prediction, evidence in found:
        out.print(
            f"\n{prediction.dopant} in campaign {prediction.campaign}: rank {prediction.rank}, "
            f"{prediction.verdict}"
        )
        for entry in evidence:
            out.print(f"measured ({entry['technique']}): {entry['relation']}: {entry['why']}")
        for line in [*prediction.statements, *prediction.missing]:
            out.print(f"look for: {line}")


def _table(rows: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    from rocksalt.workflows.quantity_text import number_text

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
            number_text(row["value"], row["uncertainty"]),
            row["unit"],
        )
    return table
