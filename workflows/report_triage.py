"""The report's section on a triage: who went to the engine that decides, and what came of it."""

from __future__ import annotations

from html import escape

from rocksalt.stores.triage_documents import EngineAgreement, TriageChoice, TriageDoc
from rocksalt.workflows.html import badge, plain_cell, signed_cell, table

WAITS = "not computed yet"


def triage_section(triage: TriageDoc) -> str:
    """Return who went to the engine that decides and why, its cost, and the engines' agreement.

    Parameters
    ----------
    triage
        Of the campaign.
    """
    decide = escape(triage.decide)
    budget = (
        f"of {triage.budget_cpu_hours:g} allowed"
        if triage.budget_cpu_hours is not None
        else "without a budget"
    )
    changed = [c for c in triage.chosen if c.verdict_after not in {None, c.verdict_before}]
    said = (
        ", ".join(f"{c.dopant} ({c.verdict_before} to {c.verdict_after})" for c in changed)
        or "none"
    )
    parts = [
        (
            f'<p class="lead">Potentials screened every dopant; {decide} computed those whose verdict they '
            "left open, first the one whose rank could change most. Verdicts that it changed: "
            f"{escape(said)}. CPU time: {triage.spent_cpu_hours:.2f} h {budget}.</p>"
        ),
        table(
            f"Decided by {decide}",
            (
                "Dopant",
                "Why",
                "Mixtures with",
                "Estimate<small>CPU h</small>",
                "Before",
                "After",
            ),
            [_choice_row(choice) for choice in triage.chosen],
            numbers={3},
        )
        if triage.chosen
        else f"<p>Nobody went to {decide}.</p>",
    ]
    if triage.passed_over:
        parts.append(
            table(
                "Passed over",
                ("Dopant", "Why"),
                [(escape(p["dopant"]), escape(p["why"])) for p in triage.passed_over],
            )
        )
    if triage.agreement:
        parts.append(
            table(
                f"Agreement of the potentials with {decide}, on what both computed: value of the "
                "potential less that of the other. Errors of dEf(MO) hold the difference of the "
                "energy scales, corrections included.",
                (
                    "Engine",
                    "Quantity",
                    "Values",
                    "Mean error",
                    "Mean absolute error",
                    "Largest error",
                    "Rank correlation<small>Spearman</small>",
                ),
                [_agreement_row(each) for each in triage.agreement],
                numbers={2, 3, 4, 5, 6},
            )
        )
    return "\n".join(parts)


def _choice_row(choice: TriageChoice) -> tuple[str, ...]:
    return (
        escape(choice.dopant),
        escape(choice.reason),
        escape(", ".join(f"{h}O" for h in choice.hosts) or "MO alone"),
        plain_cell(choice.estimated_cpu_hours, 2),
        badge(choice.verdict_before),
        badge(choice.verdict_after) if choice.verdict_after else WAITS,
    )


def _agreement_row(found: EngineAgreement) -> tuple[str, ...]:
    per_formula = found.quantity == "dEf(MO)"
    decimals, unit = (2, 1.0) if per_formula else (0, 1000.0)
    shown = found.unit if per_formula else found.unit.replace("eV", "meV")
    return (
        escape(found.engine),
        f"{escape(found.quantity)}<small>{escape(shown)}</small>",
        str(found.n),
        signed_cell(found.mean_error, decimals, unit),
        signed_cell(found.mean_absolute_error, decimals, unit).lstrip("+"),
        signed_cell(found.largest_error, decimals, unit),
        plain_cell(found.rank_correlation, 2),
    )
