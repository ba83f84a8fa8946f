"""Regular solutions in closed form; subregular ones by chemical potentials and a brute-force hull."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.spatial import ConvexHull

from rocksalt.screening.errors import ScaleError
from rocksalt.screening.mixing import (
    KB_EV_PER_K,
    SubregularSolution,
    dissolves,
    fit_regular,
    fit_subregular,
    mixing_enthalpy_ev_per_cation,
)
from rocksalt.screening.scales import Energy

EXACT = 1e-12
SOLVER = 1e-8  # of fractions and of potentials over kT
GRID = 40_001

l0s = st.floats(-0.3, 0.6)
l1s = st.floats(-0.4, 0.4)
temperatures = st.floats(150, 2500)


def potentials(solution, x, temperature_k):
    """Return the tangent's ends at x = 0 and x = 1 over kT, by a derivative of our own."""
    kt = KB_EV_PER_K * temperature_k
    slope = solution.l0 * (1 - 2 * x) + solution.l1 * (1 - 6 * x + 6 * x**2)
    enthalpy = x * (1 - x) * (solution.l0 + solution.l1 * (1 - 2 * x))
    g = enthalpy / kt + x * math.log(x) + (1 - x) * math.log1p(-x)
    dg = slope / kt + math.log(x) - math.log1p(-x)
    return g - x * dg, g + (1 - x) * dg


def hull_gap(solution, temperature_k):
    """Return the widest edge of the lower convex hull of dGmix on a grid (Andrew's chain)."""
    x = np.linspace(0, 1, 4001)
    g = solution.free_energy(x, temperature_k)
    hull = []
    for i in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (g[b] - g[a]) * (x[i] - x[a]) < (g[i] - g[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    edges = [(x[b] - x[a], x[a], x[b]) for a, b in pairwise(hull)]
    return max(edges)[1:]


# The regular solution ----------------------------------------------------------------------------


@pytest.mark.parametrize("l0", [0.01, 0.1, 0.4, 2.0])
def test_regular_critical_point(l0):
    temperature, x = SubregularSolution(l0).critical_point()
    assert temperature == pytest.approx(l0 / (2 * KB_EV_PER_K), rel=EXACT)
    assert x == 0.5


@pytest.mark.parametrize("l0", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("reduced", [0.05, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_regular_binodal(l0, reduced):
    solution = SubregularSolution(l0)
    temperature = reduced * l0 / (2 * KB_EV_PER_K)
    gap = solution.gap(temperature)
    x = gap.host_rich
    assert gap.dopant_rich == pytest.approx(1 - x, abs=SOLVER)
    # ln(x / (1-x)) = (l0 / kT)(2x - 1), by bisection in m = 1 - 2x
    if reduced > 0.1:
        m = brentq(lambda m: 2 * math.atanh(m) - 2 * m / reduced, 1e-6, 1 - 1e-15, xtol=1e-16)
        assert x == pytest.approx((1 - m) / 2, rel=1e-6)
    logit = math.log(x) - math.log1p(-x)
    assert logit == pytest.approx((2 * x - 1) * 2 / reduced, rel=SOLVER)


def test_half_of_the_critical_temperature_by_number():
    # m = tanh(2m) has the root 0.9575040240772687.
    gap = SubregularSolution(0.4).gap(0.5 * 0.4 / (2 * KB_EV_PER_K))
    assert gap.host_rich == pytest.approx((1 - 0.9575040240772687) / 2, rel=SOLVER)


@pytest.mark.parametrize("l0", [-1.0, -0.01, 0.0])
@pytest.mark.parametrize("temperature", [1, 300, 3000])
def test_attraction_mixes_at_any_temperature(l0, temperature):
    solution = SubregularSolution(l0)
    assert solution.critical_point()[0] == 0
    assert math.isnan(solution.critical_point()[1])
    assert solution.gap(temperature) is None


def test_complete_miscibility_needs_half_kt_at_one_half():
    temperature = 900.0
    border = KB_EV_PER_K * temperature / 2
    for factor, mixes in ((0.999, True), (1.001, False)):
        solution, _ = fit_subregular([0.5], [factor * border])
        assert (solution.gap(temperature) is None) == mixes


# The subregular solution -------------------------------------------------------------------------


@given(l0=l0s, l1=l1s)
def test_critical_point_is_the_top_of_the_spinodal(l0, l1):
    x = np.linspace(0, 1, GRID)
    spinodal = x * (1 - x) * (2 * l0 + 6 * l1 * (1 - 2 * x)) / KB_EV_PER_K
    temperature, top = SubregularSolution(l0, l1).critical_point()
    assert temperature == pytest.approx(max(0.0, spinodal.max()), rel=1e-6, abs=1e-6)
    if spinodal.max() > 1:
        assert top == pytest.approx(x[spinodal.argmax()], abs=1e-3)


def test_critical_point_of_next_to_nothing():
    assert SubregularSolution(0.0, 1e-250).critical_point()[0] == pytest.approx(0)
    assert SubregularSolution(0.0, 1e-250).gap(1.0) is None


def test_critical_point_of_pure_asymmetry():
    temperature, x = SubregularSolution(0.0, 0.3).critical_point()
    assert x == pytest.approx((1 - 1 / math.sqrt(3)) / 2)
    assert temperature == pytest.approx(0.3 / math.sqrt(3) / KB_EV_PER_K)


@settings(deadline=None, max_examples=60)
@given(l0=l0s, l1=l1s, temperature=temperatures)
def test_tangent_by_chemical_potentials_and_brute_force_hull(l0, l1, temperature):
    solution = SubregularSolution(l0, l1)
    critical = solution.critical_point()[0]
    gap = solution.gap(temperature)
    if critical <= temperature:
        assert gap is None
    if gap is None:
        low, high = hull_gap(solution, temperature)
        assert high - low < 0.05  # a grid sees the flat curve above the critical point as edges
        return
    assert 0 < gap.host_rich < gap.dopant_rich <= 1
    # Nearer to the ends 1 - x has too few digits left for a logarithm.
    if gap.host_rich > 1e-9 and gap.dopant_rich < 1 - 1e-9:
        host, dopant = potentials(solution, gap.host_rich, temperature)
        other_host, other_dopant = potentials(solution, gap.dopant_rich, temperature)
        assert host == pytest.approx(other_host, abs=1e-6)
        assert dopant == pytest.approx(other_dopant, abs=1e-6)
    if temperature < 0.99 * critical:
        assert hull_gap(solution, temperature) == pytest.approx(
            (gap.host_rich, gap.dopant_rich), abs=1e-3
        )


@settings(deadline=None, max_examples=40)
@given(l0=l0s, l1=l1s, temperature=temperatures)
def test_names_of_the_components_do_not_matter(l0, l1, temperature):
    one, other = SubregularSolution(l0, l1), SubregularSolution(l0, -l1)
    assert one.critical_point()[0] == pytest.approx(other.critical_point()[0], abs=1e-9)
    gap, mirrored = one.gap(temperature), other.gap(temperature)
    assert (gap is None) == (mirrored is None)
    if gap:
        assert gap.host_rich == pytest.approx(1 - mirrored.dopant_rich, abs=SOLVER)
        assert gap.dopant_rich == pytest.approx(1 - mirrored.host_rich, abs=SOLVER)


@settings(deadline=None, max_examples=30)
@given(l0=l0s, l1=l1s)
def test_gap_narrows_until_it_closes(l0, l1):
    solution = SubregularSolution(l0, l1)
    critical = solution.critical_point()[0]
    if critical < 150:
        return
    gaps = [solution.gap(reduced * critical) for reduced in (0.2, 0.4, 0.6, 0.8, 0.95, 0.999)]
    limits = [(gap.host_rich, gap.dopant_rich) for gap in gaps]
    for (low, high), (next_low, next_high) in pairwise(limits):
        assert next_low > low
        assert next_high < high
    assert solution.gap(1.001 * critical) is None
    assert limits[-1][1] - limits[-1][0] < 0.1


@pytest.mark.parametrize("l1", [-0.1, 0.0, 0.1])
def test_dilute_limit_is_the_boltzmann_factor(l1):
    # Little dissolves: x = exp(-(l0 + l1) / kT), the enthalpy of one dopant in the host.
    l0, temperature = 0.6, 300.0
    gap = SubregularSolution(l0, l1).gap(temperature)
    kt = KB_EV_PER_K * temperature
    assert gap.host_rich == pytest.approx(math.exp(-(l0 + l1) / kt), rel=1e-4)
    assert 1 - gap.dopant_rich == pytest.approx(math.exp(-(l0 - l1) / kt), rel=1e-4)


@pytest.mark.parametrize(("l0", "l1"), [(0.2, 0.0), (0.2, 0.05), (-0.1, 0.5), (0.05, -0.2)])
def test_near_the_critical_point(l0, l1):
    solution = SubregularSolution(l0, l1)
    critical, x = solution.critical_point()
    gap = solution.gap(0.999 * critical)
    assert gap.host_rich < x < gap.dopant_rich
    # Landau: the binodal is sqrt(3) times as wide as the spinodal.
    u = np.linspace(-1, 1, 2_000_001)
    unstable = (1 - u * u) * (2 * l0 + 6 * l1 * u) / 4 > KB_EV_PER_K * 0.999 * critical
    spinodal_width = (u[unstable].max() - u[unstable].min()) / 2
    assert gap.dopant_rich - gap.host_rich == pytest.approx(math.sqrt(3) * spinodal_width, rel=0.02)


@pytest.mark.parametrize(("l0", "temperature"), [(5.0, 50.0), (1.0, 10.0), (20.0, 300.0)])
def test_nothing_dissolves(l0, temperature):
    gap = SubregularSolution(l0).gap(temperature)
    assert gap.host_rich == pytest.approx(0, abs=EXACT)
    assert gap.dopant_rich == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("distance", [1e-5, 1e-6, 1e-8])
def test_a_hair_below_the_critical_point(distance):
    solution = SubregularSolution(0.2)
    gap = solution.gap((1 - distance) * solution.critical_point()[0])
    width = math.sqrt(3 * distance)
    assert gap.dopant_rich - gap.host_rich == pytest.approx(width, rel=0.05)


def reduced_potentials(solution, x, y, kt):
    """Return both potentials over kT from x and y = 1 - x."""
    host = x * x * (solution.l0 + solution.l1 * (3 * y - x)) / kt + np.log(y)
    dopant = y * y * (solution.l0 + solution.l1 * (y - 3 * x)) / kt + np.log(x)
    return np.array([host, dopant])


def lower_hull_edge(solution, kt, low, high):
    """Return the widest edge of the lower hull of dGmix on a grid between two compositions."""
    x = np.linspace(low, high, 601)
    g = solution.enthalpy(x) / kt + x * np.log(x) + (1 - x) * np.log1p(-x)
    g -= g[0] + (g[-1] - g[0]) * (x - low) / (high - low)
    hull = ConvexHull(np.column_stack([(x - low) / (high - low), g / np.abs(g).max()]))
    below = x[hull.simplices[hull.equations[:, 1] < 0]]
    return np.sort(below[np.argmax(np.ptp(below, axis=1))])


def near_critical(n):
    """Yield asymmetric solutions and temperatures from 1e-5 to 1e-1 below their critical one."""
    yield SubregularSolution(-1.5013738619191113, 0.6553593467038269), 300.0  # critical at 300.1 K
    rng = np.random.default_rng(11)
    for l0, l1, distance in zip(
        rng.uniform(-3, 0.5, n), rng.uniform(-2, 2, n), 10 ** rng.uniform(-5, -1, n), strict=True
    ):
        solution = SubregularSolution(l0, l1)
        critical = solution.critical_point()[0]
        if critical > 50:
            yield solution, critical * (1 - distance)


def test_every_gap_near_a_critical_point_is_found():
    cases = list(near_critical(2700))
    assert len(cases) > 2000
    for solution, temperature in cases:
        gap = solution.gap(temperature)
        ends = np.array([gap.host_rich, gap.dopant_rich])
        assert 0 < ends[0] < solution.critical_point()[1] < ends[1] < 1
        kt = KB_EV_PER_K * temperature
        potentials_over_kt = reduced_potentials(solution, ends, 1 - ends, kt)
        assert np.ptp(potentials_over_kt, axis=1).max() < 1e-9
        width = ends[1] - ends[0]
        low, high = max(ends[0] - width, 1e-12), min(ends[1] + width, 1 - 1e-12)
        found = lower_hull_edge(solution, kt, low, high)
        assert np.abs(found - ends).max() < 0.02 * width


# Whether a host dissolves a fraction -------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.6])
@pytest.mark.parametrize("temperature", [300, 1200])
def test_dissolves_as_the_gap_says(fraction, temperature):
    rng = np.random.default_rng(3)
    l0, l1 = rng.uniform(-1, 0.6, 300), rng.uniform(-0.8, 0.8, 300)
    gaps = [SubregularSolution(a, b).gap(temperature) for a, b in zip(l0, l1, strict=True)]
    expected = [gap is None or gap.host_rich >= fraction for gap in gaps]
    assert dissolves(l0, l1, fraction, temperature).tolist() == expected
    assert 30 < sum(expected) < 270


def test_dissolves_at_the_border():
    kt = KB_EV_PER_K * 600
    border = kt * math.log(3) / 0.5  # a regular solution's binodal is at 1/4
    found = dissolves(border * np.array([0.999, 1.001]), np.zeros(2), 0.25, 600)
    assert found.tolist() == [True, False]


def test_what_is_rich_in_dopant_is_not_dissolved_by_the_host():
    solution = SubregularSolution(0.2)
    gap = solution.gap(600)
    for fraction, dissolved in ((0.5 * gap.host_rich, True), ((1 + gap.dopant_rich) / 2, False)):
        assert dissolves(0.2, 0.0, fraction, 600) == dissolved


@pytest.mark.parametrize("temperature", [0.0, -300.0, math.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="must be positive"):
        SubregularSolution(0.1).gap(temperature)


# Enthalpy and free energy ------------------------------------------------------------------------


def test_end_members_have_no_enthalpy_and_no_entropy():
    solution = SubregularSolution(0.3, -0.1)
    assert solution.enthalpy([0, 1]).tolist() == [0, 0]
    assert solution.free_energy([0, 1], 1000).tolist() == [0, 0]


def test_free_energy_by_hand():
    found = SubregularSolution(0.3, 0.1).free_energy(0.25, 1000)
    enthalpy = 0.25 * 0.75 * (0.3 + 0.1 * 0.5)
    entropy = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    assert float(found) == pytest.approx(enthalpy + 8.617333262e-5 * 1000 * entropy, rel=1e-9)


def test_ideal_solution_at_one_half():
    assert float(SubregularSolution(0.0).free_energy(0.5, 300)) == pytest.approx(
        -KB_EV_PER_K * 300 * math.log(2), rel=EXACT
    )


# The fit -----------------------------------------------------------------------------------------


@given(l0=l0s, l1=l1s, fractions=st.sets(st.sampled_from(np.arange(1, 16) / 16), min_size=2))
def test_fit_recovers_the_parameters(l0, l1, fractions):
    x = sorted(fractions)
    solution, rms = fit_subregular(x, SubregularSolution(l0, l1).enthalpy(x))
    assert solution.l0 == pytest.approx(l0, abs=1e-9)
    assert solution.l1 == pytest.approx(l1, abs=1e-9)
    assert rms == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("x", [0.125, 0.5, 0.9])
def test_one_fraction_gives_a_regular_solution(x):
    solution, rms = fit_subregular([x, x], [0.02, 0.04])
    assert solution.l1 == 0
    assert solution.l0 == pytest.approx(0.03 / (x * (1 - x)))
    assert rms == pytest.approx(0.01)


def test_regular_fit_ignores_the_asymmetry():
    # At symmetric fractions the two terms do not mix.
    x = [0.25, 0.5, 0.75]
    solution, rms = fit_regular(x, SubregularSolution(0.2, 0.1).enthalpy(x))
    assert (solution.l0, solution.l1) == (pytest.approx(0.2), 0)
    assert rms == pytest.approx(0.1 * 0.25 * 0.75 * 0.5 * math.sqrt(2 / 3))


def test_residual_of_what_is_not_subregular():
    x = np.array([0.25, 0.5, 0.75])
    solution, rms = fit_subregular(x, [0.1, 0.2, 0.1])
    # By symmetry l1 = 0, and l0 = sum(h x y) / sum((x y)^2).
    weight = x * (1 - x)
    l0 = (weight @ [0.1, 0.2, 0.1]) / (weight @ weight)
    assert solution.l0 == pytest.approx(l0)
    assert solution.l1 == pytest.approx(0, abs=1e-9)
    assert rms == pytest.approx(np.sqrt(np.mean(([0.1, 0.2, 0.1] - l0 * weight) ** 2)))


@pytest.mark.parametrize(("x", "h"), [([], []), ([0.5], []), ([0.5], [0.1, 0.2])])
def test_fit_needs_data(x, h):
    with pytest.raises(ValueError, match="as many fractions"):
        fit_subregular(x, h)


@pytest.mark.parametrize("x", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_fit_needs_mixtures(x):
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_subregular([0.5, x], [0.1, 0.1])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_fit_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="finite"):
        fit_subregular([0.25, 0.5], [0.1, value])


# The mixing enthalpy -----------------------------------------------------------------------------


def energy(ev, scale="a"):
    return Energy(ev, scale)


def test_mixing_enthalpy_by_hand():
    # 0.25 of MO at -12 and 0.75 of HO at -16 make -15 per cation.
    found = mixing_enthalpy_ev_per_cation(energy(-14.9), energy(-12.0), energy(-16.0), 0.25)
    assert found == pytest.approx(0.1, abs=EXACT)


@given(x=st.floats(0, 1), dopant=st.floats(-30, 0), host=st.floats(-30, 0))
def test_a_mechanical_mixture_has_no_enthalpy(x, dopant, host):
    mixture = energy(x * dopant + (1 - x) * host)
    found = mixing_enthalpy_ev_per_cation(mixture, energy(dopant), energy(host), x)
    assert found == pytest.approx(0, abs=EXACT)


def test_two_scales_are_refused():
    with pytest.raises(ScaleError):
        mixing_enthalpy_ev_per_cation(energy(-1.0), energy(-1.0), energy(-1.0, "b"), 0.5)
