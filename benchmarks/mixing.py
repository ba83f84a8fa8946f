"""Computed mixing enthalpies of rock-salt oxides at x = 1/2 against measured ones.

Each pair is relaxed by the calculations that a campaign makes of it: a quasi-random cell of 16
cations, and the end members in the primitive cell and in that one. What is in the store already is
not computed again, so that a run that was stopped goes on. Computed energies are of cells at rest,
without spin order; the measurements, calorimetry apart, were made at 800 to 1600 K.

    python benchmarks/mixing.py --store mixing.sqlite
    python benchmarks/mixing.py --store mixing.sqlite --engine chgnet --engine sevennet-0
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from ase.units import kJ, mol

from rocksalt.stores.opening import open_store
from rocksalt.stores.records import calculation_record, load_summaries, save_many
from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.derive_rock_salt import mixing
from rocksalt.workflows.engines import engine_names
from rocksalt.workflows.executor import compute
from rocksalt.workflows.plan import Plan, cation_calculations, pair_calculations
from rocksalt.workflows.results import Results
from rocksalt.workflows.run import missing_calculations
from rocksalt.workflows.threads import limit_threads


@dataclass(frozen=True)
class Measured:
    """A measured mixing enthalpy at x = 1/2.

    Attributes
    ----------
    pair
        Dopant and host; at one half it does not matter which is which.
    enthalpy_kj_per_mol, uncertainty_kj_per_mol
        Per mole of cations. None where the source gives no uncertainty.
    kind
        'H' for an enthalpy; 'G' for an excess Gibbs energy at high temperature, which is the
        enthalpy as far as the excess entropy is small.
    source
        Method and reference.
    """

    pair: tuple[str, str]
    enthalpy_kj_per_mol: float
    uncertainty_kj_per_mol: float | None
    kind: str
    source: str


# All numbers are from the sources' abstracts. A regular solution, W x(1-x), has W/4 at one half; a
# subregular one, x(1-x) [W1 x + W2 (1-x)], has (W1 + W2)/8. FeO is left out: it is never
# stoichiometric, and for FeO-MgO sources give 1.4 (Contrib. Mineral. Petrol. 146, 308, 2003) and
# 5.3 kJ/mol (J. Geophys. Res. 96, 2157, 1991).
MEASURED = (
    Measured(
        ("Mg", "Co"), 5.1 / 4, 0.3 / 4, "H", "calorimetry, J. Chem. Thermodyn. 35, 1151 (2003)"
    ),
    # W of the enthalpy; with that of the entropy, 0.77 J/mol/K, it gives the W of the activities.
    Measured(
        ("Co", "Mn"), 4.558 / 4, 0.09 / 4, "H", "emf, Contrib. Mineral. Petrol. 140, 28 (2000)"
    ),
    # The largest heat of mixing, 850 ± 150 cal/mol.
    Measured(("Ni", "Mn"), 3.56, 0.63, "H", "emf, Metall. Trans., doi:10.1007/BF03038393"),
    # W = 19.9 on the side of Mn and 8.2 to 13.7 on that of Mg; 1023 to 1573 K.
    Measured(
        ("Mn", "Mg"),
        30.85 / 8,
        2.75 / 8,
        "G",
        "activity, Contrib. Mineral. Petrol. 115, 438 (1994)",
    ),
    # At 1373 K.
    Measured(("Co", "Ni"), 2.87 / 4, None, "G", "emf, Bulletin of Materials Science 8, 71 (1986)"),
    # 'near-ideal behavior' at 1073 to 1473 K
    Measured(("Mg", "Ni"), 0.0, None, "G", "emf, Metall. Trans. B 24, 1023 (1993)"),
    # 'near ideal behaviour', in agreement with 'near zero enthalpies of mixing'
    Measured(("Cd", "Ca"), 0.0, None, "H", "emf, Thermochim. Acta 228, 291 (1993)"),
    # Enthalpies fitted, with excess entropies, to the two branches of a miscibility gap.
    Measured(("Ca", "Sr"), 51.955 / 8, None, "H", "gap, J. Am. Ceram. Soc. 81, 1065 (1998)"),
    Measured(("Sr", "Ba"), 62.73 / 8, None, "H", "gap, J. Materials Chemistry 5, 1059 (1995)"),
)
MEV_PER_KJ_PER_MOL = 1000 * kJ / mol


def campaign_of(engines: list[str]) -> Campaign:
    """Return the settings of all pairs; its list of pairs holds more than are measured."""
    return Campaign(
        name="measured-pairs",
        dopants=list(dict.fromkeys(m.pair[0] for m in MEASURED)),
        hosts=list(dict.fromkeys(m.pair[1] for m in MEASURED)),
        fractions=[0.5],
        supercell={"enumerated": 0, "sqs": 16},
        engines=engines,
    )


def plan_of(campaign: Campaign) -> Plan:
    """Return end members and mixtures of the measured pairs, without elements and oxygen."""
    plan = Plan()
    for engine in campaign.engines:
        for cation in dict.fromkeys(c for m in MEASURED for c in m.pair):
            for calculation in cation_calculations(campaign, engine, cation):
                if calculation.role == "end-member":
                    plan.add(calculation)
        for measured in MEASURED:
            for calculation in pair_calculations(campaign, engine, *measured.pair):
                plan.add(calculation)
    return plan


def computed_mev_per_cation(
    campaign: Campaign, store_address: str, n_workers: int
) -> dict[str, np.ndarray]:
    """Return dHmix(1/2) by engine, meV per cation, in the order of `MEASURED`; nan for failures."""
    store = open_store(store_address)
    plan = plan_of(campaign)
    todo = missing_calculations(plan, store)
    print(f"{len(plan.calculations)} relaxations, {len(todo)} of them to do", flush=True)
    with closing(compute(todo, n_workers)) as documents:
        for document in documents:
            save_many(store, [calculation_record(document)])
    results = Results(load_summaries(store, list(plan.calculations)).values())
    for summary in results.failed:
        print(f"failed: {summary.label} with {summary.engine}: {summary.error}")
    table = {}
    for engine in campaign.engines:
        points = [mixing(campaign, results, engine, *m.pair).points for m in MEASURED]
        table[engine] = 1000 * np.array([p[0].value if p else math.nan for p in points])
    store.close()
    return table


def report(computed: dict[str, np.ndarray]) -> None:
    """Print measured and computed values, the errors, and the errors of means of engines."""
    measured = MEV_PER_KJ_PER_MOL * np.array([m.enthalpy_kj_per_mol for m in MEASURED])
    print("\nMeasured at x = 1/2, meV per cation (H enthalpy, G excess Gibbs energy)")
    for m, value in zip(MEASURED, measured, strict=True):
        uncertainty = m.uncertainty_kj_per_mol
        known = "" if uncertainty is None else f"± {MEV_PER_KJ_PER_MOL * uncertainty:.1f}"
        print(f"{_name(m):6}{value:6.1f} {known:6} {m.kind}  {m.source}")

    print("\nComputed, meV per cation; mean absolute errors of all, and of those with Mn, Co, Ni")
    print(f"{'':20}" + "".join(f"{_name(m):>6}" for m in MEASURED) + f"{'all':>6}{'3d':>6}")
    values = np.array(list(computed.values()))
    mean = values.mean(axis=0)
    rows = {"measured": measured, **computed, f"mean of {len(values)}": mean}
    for name, row in rows.items():
        error = "" if name == "measured" else _errors(row - measured)
        print(f"{name:20}" + "".join(f"{value:6.0f}" for value in row) + error)
    for size in range(2, len(values)):
        means = [np.mean(c, axis=0) for c in combinations(values, size)]
        print(f"{f'any {size}, on average':74}" + _errors(np.array(means) - measured))

    inside = ((values.min(axis=0) <= measured) & (measured <= values.max(axis=0))).sum()
    spread = np.ptp(values, axis=0)
    print(f"\nEngines differ by {spread.min():.0f} to {spread.max():.0f} meV per cation on a pair;")
    print(f"{inside} of {len(measured)} measured values lie between the lowest and the highest.")
    print(f"Mean signed error of the mean over engines: {(mean - measured).mean():+.1f}.")


def _errors(errors: np.ndarray) -> str:
    """Return the mean absolute error over all pairs and over those with a 3d metal."""
    with_3d = [not {"Mn", "Co", "Ni"}.isdisjoint(m.pair) for m in MEASURED]
    return "".join(f"{np.abs(e).mean():6.1f}" for e in (errors, errors[..., with_3d]))


def _name(measured: Measured) -> str:
    return "-".join(measured.pair)


def main(argv: Sequence[str] | None = None) -> None:
    """Compute what the store lacks and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--engine", action="append", choices=engine_names(), help="repeatable; default: committee"
    )
    parser.add_argument("--store", default="memory", help="a file that keeps the relaxations")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    chosen = parser.parse_args(argv)

    limit_threads()
    warnings.simplefilter("ignore")
    campaign = campaign_of(chosen.engine or ["committee"])
    report(computed_mev_per_cation(campaign, chosen.store, chosen.workers))


if __name__ == "__main__":
    main()
