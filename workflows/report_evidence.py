"""The report's sections on what to look for in a sample, and on what was measured, with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rocksalt.analysis.errors import MeasurementError
from rocksalt.stores.documents import CandidateDoc, RankingDoc
from rocksalt.stores.prediction_documents import PredictionDoc
from rocksalt.workflows.evidence import Measured
from rocksalt.workflows.html import badge, bullet_list, figure_element, slug, table
from rocksalt.workflows.measured_figures import draw_measurement
from rocksalt.workflows.prediction_figure import powder_patterns
from rocksalt.workflows.quantity_text import quantity_text


def evidence_sections(
    ranking: RankingDoc, predictions: Sequence[PredictionDoc], measured: Sequence[Measured]
) -> dict[str, tuple[str, str]]:
    """Return title and HTML of the sections by id; those without documents are not there.

    Parameters
    ----------
    ranking
        Whose candidates name what was measured of them.
    predictions
        Of its first candidates.
    measured
        Of any of its candidates, with curves.
    """
    sections = {}
    if predictions:
        sections["predictions"] = ("What to look for", _predictions(predictions))
    if measured:
        sections["measured"] = ("Measured evidence", _measured(ranking, measured))
    return sections


def _predictions(predictions: Sequence[PredictionDoc]) -> str:
    lead = (
        '<p class="lead">What the screen tells an experiment to look for in samples with its first '
        "candidates. Measurements are compared with the ranking's criteria, not with these lines.</p>"
    )
    parts = [lead]
    for each in predictions:
        name = escape(each.dopant)
        parts.append(f'<h3 id="prediction-{slug(each.dopant)}">{name} {badge(each.verdict)}</h3>')
        if each.layered is not None or each.rock_salts:
            parts.append(
                figure_element(
                    powder_patterns(each),
                    f"powder-{slug(each.dopant)}",
                    f"Powder patterns that are expected with {each.dopant}",
                    f"Lines at {each.wavelength_angstrom:.5g} Å, and I(003)/I(104) against the share of "
                    "lithium sites that metal takes.",
                )
            )
        parts.append(f'<div class="rules">{bullet_list([*each.statements, *each.missing])}</div>')
    assumed = list(dict.fromkeys(line for each in predictions for line in each.assumptions))
    parts.append(f"<details><summary>What is assumed</summary>\n{bullet_list(assumed)}</details>")
    return "\n".join(parts)


def _measured(ranking: RankingDoc, measured: Sequence[Measured]) -> str:
    lead = (
        '<p class="lead">What was measured of the candidates, by rank. A measurement changes no computed '
        "number.</p>"
    )
    parts = [lead]
    for candidate in sorted(ranking.candidates, key=lambda each: each.rank):
        mine = [each for each in measured if each.document.dopant == candidate.dopant]
        if not mine:
            continue
        name = escape(candidate.dopant)
        parts.append(
            f'<h3 id="measured-{slug(candidate.dopant)}">{name} {badge(candidate.verdict)}</h3>'
        )
        parts += [_measurement(candidate, each) for each in mine]
    return "\n".join(parts)


def _measurement(candidate: CandidateDoc, each: Measured) -> str:
    """Return one measurement: its relation, its figure and its quantities."""
    document = each.document
    said: Mapping[str, Any] = next(
        (entry for entry in candidate.evidence if entry.get("key") == document.key), {}
    )
    relation = f"{said['relation']}: {said['why']}" if said else ""
    head = f"{document.technique} of {document.sample['name']}, {document.file}"
    try:
        drawn = figure_element(
            draw_measurement(document, each.arrays),
            f"measured-{document.key[:12]}",
            head,
            escape(" ".join(document.remarks)),
        )
    except MeasurementError as error:
        drawn = f"<p>{escape(str(error))}</p>"
    rows = [
        (escape(name.replace("_", " ")), escape(quantity_text(quantity)))
        for name, quantity in document.values.items()
    ]
    numbers = table(escape(head), ("Quantity", "Value"), rows)
    return (
        f"<h4>{escape(head)}</h4>\n<p>{escape(relation)}</p>\n{drawn}\n"
        f"<details><summary>Quantities</summary>\n{numbers}</details>"
    )
