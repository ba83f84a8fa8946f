"""Powder patterns that a layered oxide and a rock salt would give: reflections and I(003)/I(104).

Kinematic intensities of pymatgen's XRDCalculator: form factors of neutral atoms, Lorentz and
polarisation factors of an unpolarised beam without monochromator; no texture, no absorption, no
anomalous dispersion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from pymatgen.analysis.diffraction.xrd import WAVELENGTHS, XRDCalculator
from pymatgen.core import Lattice, Structure

from rocksalt.analysis.errors import MeasurementError
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.lithium import layer_lithium

TWO_THETA_DEGREES = (10.0, 80.0)
"""Angles of the patterns that are listed; a ratio is computed wherever its reflections lie."""

LEAST_INTENSITY = 1.0
"""Reflections below this share of the strongest, in percent, are not listed."""


@dataclass(frozen=True)
class LayeredLattice:
    """The R-3m cell (hexagonal setting) that a layered oxide has on average.

    Attributes
    ----------
    a_angstrom, c_angstrom
        Edges; c spans three layers of metal.
    oxygen_height
        Distance of oxygen from the nearest metal layer over the distance of metal layers: 0.25 where
        it lies midway to the lithium layer.
    """

    a_angstrom: float
    c_angstrom: float
    oxygen_height: float


@dataclass(frozen=True)
class Reflection:
    """A reflection: Miller indices, 2 theta in degrees, spacing in angstrom, intensity in percent."""

    hkl: str
    two_theta_degrees: float
    spacing_angstrom: float
    intensity: float


def wavelength_angstrom(given: str | float) -> float:
    """Return a wavelength from a number in angstrom or a name as 'CuKa', 'MoKa1'.

    'CuKa' is the mean of the two lines by their intensities, 1.54184 angstrom.

    Raises
    ------
    MeasurementError
        For a name that is not known, or a number that is no wavelength.
    """
    if isinstance(given, str):
        if given not in WAVELENGTHS:
            raise MeasurementError(
                f"wavelength {given!r} is not known: give angstrom, or one of {', '.join(WAVELENGTHS)}"
            )
        return float(WAVELENGTHS[given])
    if not 0.05 < given < 5:
        raise MeasurementError(
            f"a wavelength of {given:g} angstrom is none of X-rays: give angstrom"
        )
    return float(given)


def is_tube_line(wavelength: float) -> bool:
    """Return whether a wavelength in angstrom is a line of an X-ray tube, within 0.05 percent."""
    return any(abs(wavelength / line - 1) < 5e-4 for line in WAVELENGTHS.values())


def layered_lattice(structure: Structure) -> LayeredLattice:
    """Return the average R-3m cell of a layered oxide whose layers lie in the a-b plane.

    a is the edge of the triangular net with as many sites as a layer has (half of its oxygen), c
    three times the distance of layers; ordering in the layers, and shifts along them, are averaged.

    Parameters
    ----------
    structure
        Li2MO3 or a doped one, relaxed or not, as `rocksalt.screening.lithium.layered_cell` sets it.

    Raises
    ------
    RocksaltError
        When there are no layers of metal with layers of lithium between.
    """
    layer_lithium(structure)  # refuses what has no layers
    a, b, c = structure.lattice.matrix
    normal = np.cross(a, b)
    area = float(np.linalg.norm(normal))
    normal /= area
    period = float(c @ normal)
    symbols = np.array([site.specie.symbol for site in structure])
    share = (structure.cart_coords @ normal) / period
    oxygen, metal = share[symbols == "O"], share[~np.isin(symbols, ["Li", "O"])]
    # the heights of metal are those of equidistant layers: the number whose phase they share best
    n_layers = max(
        range(1, max(2, round(period / 3.0))),
        key=lambda n: (round(abs(np.exp(2j * np.pi * n * metal).mean()), 3), -n),
    )
    phase = np.angle(np.exp(2j * np.pi * n_layers * metal).mean()) / (2 * np.pi)
    height = n_layers * oxygen - phase
    height = np.abs(height - np.round(height))
    sites = len(oxygen) / 2 / n_layers
    return LayeredLattice(
        float(np.sqrt(2 * area / (np.sqrt(3) * sites))),
        3 * period / n_layers,
        float(height.mean()),
    )


def layered_structure(
    lattice: LayeredLattice,
    metals: Mapping[str, float],
    on_lithium_sites: Mapping[str, float] | None = None,
) -> Structure:
    """Return Li[Li(1/3) M(2/3)]O2 in R-3m, with as much metal on lithium sites as is asked for.

    Parameters
    ----------
    lattice
        The cell.
    metals
        Share of each metal among the metals; the shares sum to 1.
    on_lithium_sites
        Share of the sites of the lithium layer that each metal takes. The lithium that was there
        takes its place in the metal layer.

    Raises
    ------
    RocksaltError
        When a layer does not hold so much of a metal.
    """
    moved = dict(on_lithium_sites or {})
    layer = {symbol: 2 / 3 * share - moved.get(symbol, 0.0) for symbol, share in metals.items()}
    for symbol, left in layer.items():
        if left < -1e-9:
            raise RocksaltError(
                f"{moved[symbol]:.1%} of the lithium sites need more {symbol} than the metal layer holds"
            )
    taken = sum(moved.values())
    lithium_layer = _occupied({"Li": 1 - taken, **moved})
    metal_layer = _occupied({"Li": 1 / 3 + taken, **layer})
    z = 1 / 3 - lattice.oxygen_height / 3
    heights = [0.5, 0.0, z, -z]
    contents = [lithium_layer, metal_layer, {"O": 1.0}, {"O": 1.0}]
    return Structure(
        Lattice.hexagonal(lattice.a_angstrom, lattice.c_angstrom),
        [content for content in contents for _ in _OBVERSE],
        [(x, y, height + up) for height in heights for x, y, up in _OBVERSE],
    )


_OBVERSE = ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))
"""Centring of a rhombohedral lattice in its hexagonal cell."""


def rock_salt_structure(a_angstrom: float, cations: Mapping[str, float]) -> Structure:
    """Return the cubic cell of a rock salt whose cations share one site in these fractions."""
    faces = np.array([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
    return Structure(
        Lattice.cubic(a_angstrom),
        [_occupied(cations)] * 4 + [{"O": 1.0}] * 4,
        [*faces, *(faces + 0.5)],
    )


def _occupied(shares: Mapping[str, float]) -> dict[str, float]:
    return {symbol: share for symbol, share in shares.items() if share > 1e-9}


def reflections(structure: Structure, wavelength: float) -> list[Reflection]:
    """Return the reflections of a powder between `TWO_THETA_DEGREES`, by angle.

    Parameters
    ----------
    structure
        In its conventional cell; sites may be shared.
    wavelength
        In angstrom.
    """
    return _pattern(structure, wavelength, TWO_THETA_DEGREES, LEAST_INTENSITY)


def intensity_ratio_003_104(structure: Structure, wavelength: float) -> float:
    """Return I(003)/I(104) of a layered oxide in R-3m, integrated intensities.

    Raises
    ------
    MeasurementError
        When the wavelength is too long to reach 104.
    """
    found = {r.hkl: r.intensity for r in _pattern(structure, wavelength, (0.0, 179.0), 0.0)}
    for hkl in ("003", "104"):
        if not found.get(hkl):
            raise MeasurementError(
                f"no reflection {hkl} at a wavelength of {wavelength:g} angstrom"
            )
    return found["003"] / found["104"]


def _pattern(
    structure: Structure, wavelength: float, angles: tuple[float, float], least: float
) -> list[Reflection]:
    found = _calculator(wavelength).get_pattern(structure, two_theta_range=angles)
    listed = zip(found.x, found.y, found.hkls, found.d_hkls, strict=True)
    return [
        Reflection(
            " and ".join(hkl_text(family["hkl"]) for family in families),
            float(angle),
            float(spacing),
            float(intensity),
        )
        for angle, intensity, families, spacing in listed
        if intensity >= least
    ]


@cache
def _calculator(wavelength: float) -> XRDCalculator:
    return XRDCalculator(wavelength=wavelength)


def hkl_text(indices: tuple[int, ...]) -> str:
    """Return Miller indices as papers write them: three digits, apart where one has two.

    Four indices are those of a rhombohedral lattice in its obverse hexagonal cell: of h0l and 0hl the
    one with -h + k + l = 3n is meant.
    """
    h, k, last = indices[0], indices[1], indices[-1]
    if len(indices) == 4:
        # of h, k and i = -h - k two have one sign: they name an equivalent reflection without minus
        pairs = [(p, q) for p, q in combinations(indices[:3], 2) if p * q >= 0]
        h, k = sorted((abs(index) for index in pairs[0]), reverse=True)
        if (-h + k + last) % 3:
            h, k = k, h
    apart = "" if all(0 <= index < 10 for index in (h, k, last)) else " "
    return apart.join(str(index) for index in (h, k, last))
