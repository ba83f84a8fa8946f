"""Outputs of pw.x: a recorded one of antiferromagnetic MnO with U, and ways in which runs end."""

from pathlib import Path

import numpy as np
import pytest

from rocksalt.screening.errors import CalculationError
from rocksalt.workflows.dft.espresso_output import (
    cpu_seconds,
    read_relaxation,
    site_moments,
    why_it_failed,
)

# pw.x 6.7, PSlibrary PAW, 40 Ry, 3 x 3 x 2 points, a = 4.44 angstrom, U 3.9 eV, one self-consistent
# field of a relaxation in which symmetry leaves no force. Matrices of occupations were cut out.
RECORDED = (Path(__file__).parent / "reference" / "mno_afm_qe67.pwo").read_text("utf-8")

STOPPED = """     Program PWSCF v.6.7MaX starts on 21Nov2026
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%
     Error in routine set_hubbard_l (1):
     pseudopotential not yet inserted
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%

     stopping ...
"""


def test_the_recorded_run_is_read():
    result = read_relaxation(RECORDED)
    assert result.energies_ev == [pytest.approx(-656.13547172 * 13.605693, abs=0.01)]
    assert list(result.atoms.symbols) == ["Mn", "Mn", "O", "O"]
    assert result.atoms.get_volume() == pytest.approx(4.44**3 / 2, rel=1e-5)
    assert result.magmoms == pytest.approx([4.2219, -4.2219, 0.0, 0.0], abs=2e-3)
    assert result.total_moment_mu_b == pytest.approx(0.0, abs=0.01)
    assert np.abs(result.forces).max() < 1e-3
    # 528 kbar inward at this low cutoff; the sign is that of tension.
    assert np.trace(result.stress_gpa) / 3 == pytest.approx(52.8, abs=0.5)
    assert result.cpu_s == pytest.approx(21.4, abs=0.1)


def test_site_moments_of_old_and_new_versions():
    old = "     atom:    1    charge:   12.1000    magn:    4.2882    constr:    0.0000\n"
    old += "     atom:    2    charge:    5.1000    magn:   -0.1500    constr:    0.0000\n"
    new = "     atom   1 (R=0.357)  charge= 12.1000  magn=  4.2882\n"
    new += "     atom   2 (R=0.357)  charge=  5.1000  magn= -0.1500\n"
    for text in (old, new):
        earlier = text.replace("4.2882", "1.0000")
        assert site_moments(earlier + text, 2) == pytest.approx([4.2882, -0.15])
    assert site_moments("no spin", 2) is None
    assert site_moments(old.splitlines()[0], 2) is None


def test_a_good_run_has_no_reason_to_fail():
    assert why_it_failed(RECORDED) is None


@pytest.mark.parametrize(
    ("text", "exit_code", "reason"),
    [
        (STOPPED, 1, "pw.x stopped: Error in routine set_hubbard_l (1): pseudopotential not yet"),
        (
            RECORDED.replace(
                "convergence has been achieved in",
                "convergence NOT achieved after 100 iterations: stopping",
            ),
            2,
            "the self-consistent field did not converge: convergence NOT achieved after 100 it",
        ),
        (RECORDED[: len(RECORDED) // 2], 0, "the output of pw.x is cut short: "),
        (RECORDED[: len(RECORDED) // 2], -9, "pw.x was killed by signal 9: "),
        (RECORDED[: len(RECORDED) // 2], 137, "pw.x was killed by signal 9: "),
        ("", 0, "the output of pw.x is cut short: it wrote nothing"),
        (RECORDED, 1, "pw.x ended with exit code 1: "),
        (
            RECORDED + "\n     The maximum number of steps has been reached.\n",
            3,
            "the relaxation did not converge: The maximum number of steps has been reached.",
        ),
        (
            RECORDED
            + "\n     bfgs failed after  50 scf cycles and  49 bfgs steps, history reset\n",
            3,
            "the relaxation did not converge: bfgs failed after 50 scf cycles",
        ),
        (
            RECORDED[:9000] + "\n     Maximum CPU time exceeded\n",
            0,
            "pw.x was stopped before its end: Maximum CPU time exceeded",
        ),
    ],
)
def test_why_a_run_failed_is_said_in_its_own_words(text, exit_code, reason):
    said = why_it_failed(text, exit_code=exit_code)
    assert said.startswith(reason)
    assert "\n" not in said


def test_the_error_stream_goes_first_and_an_error_block_in_it_counts():
    assert "libfoo.so: cannot open" in why_it_failed("", "pw.x: libfoo.so: cannot open\n", 127)
    assert "set_hubbard_l" in why_it_failed("", STOPPED, 1)


def test_an_accuracy_that_was_left_is_said():
    text = "     estimated scf accuracy    <       0.00532771 Ry\n"
    text += "     convergence NOT achieved after 100 iterations: stopping\n"
    assert "(accuracy 0.00532771 Ry)" in why_it_failed(text, exit_code=2)


def test_an_output_that_cannot_be_read_is_one_line():
    text = RECORDED.replace("Forces acting on atoms", "Forces upon atoms")
    with pytest.raises(CalculationError, match="cannot be read") as error:
        read_relaxation(text)
    assert "\n" not in str(error.value)


def test_cpu_seconds_of_all_processes():
    line = "     PWSCF        :     1h 2m CPU      1h 3m WALL\n"
    assert cpu_seconds(line) == 3720
    assert cpu_seconds(line.replace("1h 2m", "1m 2.50s")) == 62.5
    assert cpu_seconds("     Number of MPI processes:   4\n" + line) == 4 * 3720
    assert cpu_seconds("cut short") == 0
