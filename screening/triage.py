"""Whom a costlier engine should look at: candidates that it could move in the ranking."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rocksalt.screening.verdicts import VERDICT_ORDER, Verdict


@dataclass(frozen=True)
class Standing:
    """What a triage asks of a candidate.

    Attributes
    ----------
    dopant
        Symbol.
    verdict
        Of the engines that screen.
    criteria
        Verdict of each criterion; None where it was not computed.
    score_ev_per_cation, uncertainty_ev_per_cation
        The order within a verdict, lowest first, and its standard uncertainty; None where not
        computed.
    """

    dopant: str
    verdict: Verdict
    criteria: Mapping[str, Verdict | None]
    score_ev_per_cation: float | None = None
    uncertainty_ev_per_cation: float | None = None

    @property
    def open_criteria(self) -> tuple[str, ...]:
        """Criteria that are not decided: within the uncertainty, engines disagree, or missing."""
        return tuple(n for n, v in self.criteria.items() if v not in {"pass", "fail"})

    @property
    def is_open(self) -> bool:
        """Whether the verdict can change: something is open, and nothing else fails already."""
        return bool(self.open_criteria) and "fail" not in self.criteria.values()


@dataclass(frozen=True)
class Choice:
    """A candidate that goes to the engine that decides.

    Attributes
    ----------
    dopant
        Symbol.
    rank_span
        Places between the best and the worst rank that it can still take.
    open_criteria
        What is to be decided.
    """

    dopant: str
    rank_span: int
    open_criteria: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it goes, in words."""
        places = "place" if self.rank_span == 1 else "places"
        return (
            f"not decided: {', '.join(self.open_criteria)}; "
            f"by verdict and dHmix it can move by {self.rank_span} {places}"
        )


def triage(standings: Sequence[Standing]) -> tuple[list[Choice], dict[str, str]]:
    """Return who goes to the deciding engine, in order, and why each of the others does not.

    A candidate goes when its verdict can still change. First goes the one whose rank can change most:
    from that with everything open decided in its favour and its score lowered by the uncertainty, to
    that with all of it decided against it and the score raised, the others staying where they are.

    Parameters
    ----------
    standings
        All candidates.
    """
    chosen = []
    others: dict[str, str] = {}
    for standing in standings:
        if standing.is_open:
            span = _rank_span(standing, [s for s in standings if s is not standing])
            chosen.append(Choice(standing.dopant, span, standing.open_criteria))
        elif "fail" in standing.criteria.values():
            failed = [n for n, v in standing.criteria.items() if v == "fail"]
            others[standing.dopant] = f"fails in any case: not {', not '.join(failed)}"
        else:
            others[standing.dopant] = "decided: every criterion passes"
    return sorted(chosen, key=lambda c: (-c.rank_span, c.dopant)), others


def _rank_span(standing: Standing, others: Iterable[Standing]) -> int:
    keys = sorted((VERDICT_ORDER[o.verdict], _score(o)) for o in others)
    shift = standing.uncertainty_ev_per_cation or 0.0
    best = (VERDICT_ORDER["pass"], _score(standing) - shift)
    worst = (VERDICT_ORDER["fail"], _score(standing) + shift)
    return bisect_left(keys, worst) - bisect_left(keys, best)


def _score(standing: Standing) -> float:
    known = standing.score_ev_per_cation is not None
    return standing.score_ev_per_cation or 0.0 if known else float("inf")
