"""What a result was made with: versions of rocksalt and of the packages that decide numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from rocksalt.workflows.campaign import Campaign
from rocksalt.workflows.engines import get_engine

PACKAGES = ("rocksalt", "ase", "scipy", "spglib", "pymatgen", "jobflow", "torch")


def provenance(campaign: Campaign) -> dict[str, str]:
    """Return what made the numbers of a campaign, for people, by what it is."""
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    relaxation = campaign.relaxation
    cells = campaign.supercell
    return {
        "Packages": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Engines": "; ".join(get_engine(name).version for name in campaign.engines),
        "Relaxation": f"forces below {relaxation.fmax:g} eV/Å, start rattled by "
        f"{relaxation.rattle_angstrom:g} Å and {relaxation.rattle_strain:g} strain, "
        f"seed {campaign.seed}",
        "Cells": f"all distinct arrangements of {cells.enumerated} cations "
        f"({campaign.orderings} per fraction), quasi-random arrangement of {cells.sqs} cations",
        "Campaign hash": campaign.content_hash,
    }
