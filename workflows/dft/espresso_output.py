"""Output files of pw.x: energies, forces, moments, and why a run ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO

import numpy as np
from ase import Atoms
from ase.io.espresso import read_espresso_out
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa, Ry
from numpy.typing import NDArray

from rocksalt.screening.errors import CalculationError

LAST_WORDS = 200  # characters of a program's last lines that a message quotes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PwResult:
    """What a relaxation with pw.x ended with.

    Attributes
    ----------
    atoms
        Relaxed, without calculator.
    energies_ev
        Of each self-consistent field, in order, eV; the last is the result.
    forces
        (n_atoms, 3) eV/angstrom.
    stress_gpa
        (3, 3) GPa, positive under tension; None if it was not computed.
    total_moment_mu_b
        Of the cell; None without spin.
    magmoms
        (n_atoms,) mu_B inside a sphere around each nucleus; None without spin.
    cpu_s
        CPU seconds of all processes.
    """

    atoms: Atoms
    energies_ev: list[float]
    forces: Array
    stress_gpa: Array | None
    total_moment_mu_b: float | None
    magmoms: Array | None
    cpu_s: float


def read_relaxation(text: str) -> PwResult:
    """Return the end of a relaxation from the output of pw.x.

    Raises
    ------
    CalculationError
        When the run did not end well (`why_it_failed`) or a result is missing.
    """
    reason = why_it_failed(text)
    if reason is not None:
        raise CalculationError(reason)
    try:
        end = list(read_espresso_out(StringIO(text), index=slice(-1, None)))[-1]
        results = end.calc.results
        forces = np.array(results["forces"], dtype=float)
    except Exception as error:  # ASE's reader raises whatever a cut file makes it stumble over
        raise CalculationError(
            f"the output of pw.x cannot be read: {type(error).__name__}: {error}"
        ) from error
    stress = results.get("stress")
    totals = re.findall(r"total magnetization\s*=\s*(\S+)\s+Bohr mag/cell", text)
    return PwResult(
        atoms=Atoms(numbers=end.numbers, positions=end.positions, cell=end.cell.array, pbc=True),
        energies_ev=[
            float(e) * Ry
            for e in re.findall(r"^!\s+total energy\s+=\s+(\S+) Ry", text, re.MULTILINE)
        ],
        forces=forces,
        stress_gpa=None if stress is None else voigt_6_to_full_3x3_stress(stress) / GPa,
        total_moment_mu_b=float(totals[-1]) if totals else None,
        magmoms=site_moments(text, len(end)),
        cpu_s=cpu_seconds(text),
    )


def site_moments(text: str, n_atoms: int) -> Array | None:
    """Return the moments of the last block of an output, mu_B; None if it has none.

    Versions before 7 write 'atom:    1    charge:   12.1    magn:    4.2', later ones
    'atom   1 (R=0.36)  charge= 12.1  magn= 4.2'. (ASE reads only the latter.)
    """
    found = re.findall(r"^\s*atom:?\s*(\d+)\b.*?\bmagn[:=]\s*(-?\d+\.\d+)", text, re.MULTILINE)
    if len(found) < n_atoms:
        return None
    last = found[-n_atoms:]
    if [int(i) for i, _ in last] != list(range(1, n_atoms + 1)):
        return None
    return np.array([float(moment) for _, moment in last])


def why_it_failed(text: str, errors: str = "", exit_code: int = 0) -> str | None:
    """Return what went wrong in a run of pw.x, in its own words; None if nothing did.

    Parameters
    ----------
    text
        Its output.
    errors
        What it wrote to the error stream.
    exit_code
        Negative, or 128 and more, for a signal.
    """
    block = re.search(r"%{20,}\s*\n(.*?)\n\s*%{20,}", text + "\n" + errors, re.DOTALL)
    if block is not None:
        return f"pw.x stopped: {_one_line(block.group(1))}"
    stuck = re.search(r"convergence NOT achieved.*", text)
    if stuck is not None:
        accuracy = re.findall(r"estimated scf accuracy\s+<\s+(\S+ Ry)", text)
        left = f" (accuracy {accuracy[-1]})" if accuracy else ""
        return f"the self-consistent field did not converge: {_one_line(stuck.group())}{left}"
    limit = re.search(r"Maximum CPU time exceeded|Program stopped by user request", text)
    if limit is not None:
        return f"pw.x was stopped before its end: {limit.group()}"
    signal = -exit_code if exit_code < 0 else exit_code - 128
    if signal > 0:
        return f"pw.x was killed by signal {signal}: {last_words(text, errors)}"
    if "JOB DONE" not in text:
        return f"the output of pw.x is cut short: {last_words(text, errors)}"
    if re.search(r"bfgs failed after|The maximum number of steps has been reached", text):
        steps = re.findall(r"(?:bfgs failed|The maximum number).*", text)
        return f"the relaxation did not converge: {_one_line(steps[-1])}"
    if exit_code:
        return f"pw.x ended with exit code {exit_code}: {last_words(text, errors)}"
    return None


def last_words(text: str, errors: str = "") -> str:
    """Return the end of what a program wrote, its error stream first, on one line."""
    for stream in (errors, text):
        lines = [line.strip() for line in stream.splitlines() if line.strip()]
        if lines:
            return _one_line(" / ".join(lines[-3:]))[-LAST_WORDS:]
    return "it wrote nothing"


def cpu_seconds(text: str) -> float:
    """Return the CPU seconds of all processes of a run, from the line 'PWSCF : 1m 2.34s CPU'."""
    found = re.findall(r"^\s*PWSCF\s*:\s*(.*?)\s*CPU", text, re.MULTILINE)
    if not found:
        return 0.0
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    seconds = sum(
        float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)\s*([dhms])", found[-1])
    )
    processes = re.search(r"Number of MPI processes:\s*(\d+)", text)
    return seconds * (int(processes.group(1)) if processes else 1)


def _one_line(text: str) -> str:
    return " ".join(text.split())
