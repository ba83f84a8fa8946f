"""``rocksalt report``: one page with everything, and its figures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rocksalt.screening.errors import RocksaltError
from rocksalt.workflows.command_parts import (
    NameArgument,
    StoreOption,
    console,
    only_campaign,
    open_job_store,
    say,
)
from rocksalt.workflows.results_command import triage_in
from rocksalt.workflows.submit_command import take_in


class FigureFormat(StrEnum):
    """How figures are written."""

    pdf = "pdf"
    svg = "svg"
    png = "png"


def report(
    name: NameArgument = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "report.html"
    ),
    figures: Annotated[
        Path | None,
        typer.Option(help="Also write each figure into this folder, for talks and papers."),
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option("--figure-format", help="Format of --figures.")
    ] = FigureFormat.pdf,
    store: StoreOption = None,
) -> None:
    """Write one self-contained HTML page: ranking, maps, curves, provenance.

    Example: rocksalt report quickstart -o report.html --figures figures
    """
    from rocksalt.stores.records import load_density_of_states
    from rocksalt.workflows.evidence import measured_of
    from rocksalt.workflows.predictions import first_candidates, stored_predictions
    from rocksalt.workflows.provenance import provenance
    from rocksalt.workflows.report import build_report
    from rocksalt.workflows.stored import stored_results

    job_store = open_job_store(store, exists=True)
    take_in(job_store, console(stderr=True))
    campaign, derived = stored_results(job_store, only_campaign(job_store, name))
    engines = "; ".join(str(engine["version"]) for engine in derived.ranking.engines.values())
    curves = {
        point.key: found
        for document in derived.electronic
        for point in document.points
        if (found := load_density_of_states(job_store, point.key)) is not None
    }
    page = build_report(
        derived.ranking,
        derived.mixings,
        derived.formations,
        provenance={**provenance(campaign), "Engines": engines},
        hulls=derived.hulls,
        series=derived.series,
        vacancies=derived.vacancies,
        electronic=derived.electronic,
        curves=curves,
        triage=triage_in(job_store, campaign),
        predictions=stored_predictions(job_store, campaign, first_candidates(derived.ranking)),
        measured=measured_of(job_store, derived.ranking),
    )
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RocksaltError(f"{output}: cannot be written: {error.strerror}") from error
    say(console(), f"wrote {output} ({len(page.encode()) / 1e6:.1f} MB)")
    if figures is not None:
        from rocksalt.workflows.figure_files import save_figures

        names = save_figures(
            figures,
            figure_format.value,
            derived.ranking,
            derived.mixings,
            hulls=derived.hulls,
            series=derived.series,
            vacancies=derived.vacancies,
            electronic=derived.electronic,
            curves=curves,
        )
        say(console(), f"wrote {len(names)} figures into {figures}")
