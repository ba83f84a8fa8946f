"""Impedance spectra: Kramers-Kronig test and distribution of relaxation times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.impedance import (
    KramersKronig,
    RelaxationTimes,
    kramers_kronig,
    relaxation_times,
)
from rocksalt.analysis.quantities import Analysis, Array, Quantity
from rocksalt.analysis.readers.impedance import ImpedanceOptions, read_impedance
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.user_input import UserInput


class Windows(UserInput):
    """Windows of relaxation times, those of Sun et al. 2025, and when a spectrum is doubted."""

    charge_transfer_from_s: float = Field(1e-2, gt=0, description="fastest charge transfer")
    charge_transfer_to_s: float = Field(10.0, gt=0, description="slowest charge transfer")
    diffusion_to_s: float = Field(100.0, gt=0, description="slowest diffusion")
    most_residual: float = Field(
        0.01,
        gt=0,
        description="root mean square of the Kramers-Kronig residuals, as a share of the magnitude, "
        "above which the spectrum is remarked on as not stationary or not linear",
    )

    @model_validator(mode="after")
    def _windows_are_in_order(self) -> Windows:
        if not self.charge_transfer_from_s < self.charge_transfer_to_s < self.diffusion_to_s:
            raise ValueError(
                "the windows must rise: charge_transfer_from_s < charge_transfer_to_s < diffusion_to_s"
            )
        return self


class Options(Windows, ImpedanceOptions):
    """What may be chosen."""


def analyse(file: Path, sample: Sample, options: Options) -> Analysis:
    """Read a spectrum and return its resistances by relaxation time.

    Resistances are those of the cell; with `sample.electrode_area_cm2` also those of the area.

    Raises
    ------
    MeasurementError
        When the file or the options cannot give them.
    """
    frequency, impedance = read_impedance(file, options)
    try:
        test = kramers_kronig(frequency, impedance)
        found = relaxation_times(frequency, impedance)
        values = resistances(found, options)
    except MeasurementError as error:
        raise MeasurementError(f"{file}: {error}") from None
    misfit = float(np.sqrt(np.mean(np.abs(found.residuals) ** 2) / 2))
    fitted = impedance - found.residuals * np.abs(impedance)
    doubts = np.sqrt(np.diag(found.covariance))
    result = Analysis(parameters=options.model_dump(mode="json"), values=values)
    result.values["inductance"] = Quantity(found.inductance_h, float(doubts[-2]), "H")
    if sample.electrode_area_cm2 is not None:
        result.values |= {
            f"{name}_of_area": _of_area(quantity, sample.electrode_area_cm2)
            for name, quantity in values.items()
            if quantity.unit == "ohm"
        }
    result.values["kramers_kronig_residual"] = Quantity(test.root_mean_square, None, "1")
    result.values["relaxation_times_residual"] = Quantity(misfit, None, "1")
    result.values["regularisation"] = Quantity(found.regularisation, None, "1")
    result.arrays = {
        "frequency_hz": frequency,
        "impedance_real_ohm": impedance.real,
        "impedance_imaginary_ohm": impedance.imag,
        "fit_real_ohm": fitted.real,
        "fit_imaginary_ohm": fitted.imag,
        "kramers_kronig_residual_real": test.residuals.real,
        "kramers_kronig_residual_imaginary": test.residuals.imag,
        "relaxation_times_residual_real": found.residuals.real,
        "relaxation_times_residual_imaginary": found.residuals.imag,
        "relaxation_time_s": found.tau_s,
        "relaxation_density_ohm": found.density(),
    }
    result.remarks = doubts_of(frequency, test, found, options)
    return result


def resistances(found: RelaxationTimes, windows: Windows) -> dict[str, Quantity]:
    """Return R0 and the resistance of each window that the spectrum sees.

    Parameters
    ----------
    found
        Distribution of relaxation times.
    windows
        Where charge transfer and diffusion are.

    Raises
    ------
    MeasurementError
        When the spectrum sees nothing of the charge transfer.
    """
    doubt = float(np.sqrt(found.covariance[-3, -3]))
    values = {"ohmic_resistance": Quantity(found.ohmic, doubt, "ohm")}
    middle = windows.charge_transfer_to_s
    transfer = found.between(windows.charge_transfer_from_s, middle)
    values["charge_transfer_resistance"] = Quantity(*transfer, "ohm")
    if found.tau_s[-1] > middle:
        diffusion = found.between(middle, windows.diffusion_to_s)
        values["diffusion_resistance"] = Quantity(*diffusion, "ohm")
    values["polarisation_resistance"] = Quantity(*found.between(0.0, np.inf), "ohm")
    return values


def doubts_of(
    frequency_hz: Array,
    test: KramersKronig,
    found: RelaxationTimes,
    windows: Windows,
) -> list[str]:
    """Return what a reader of a spectrum's resistances must know, one sentence each."""
    remarks = []
    misfit = float(np.sqrt(np.mean(np.abs(found.residuals) ** 2) / 2))
    if test.root_mean_square > windows.most_residual:
        remarks.append(
            f"The spectrum departs from the Kramers-Kronig relations by {test.root_mean_square:.1%}: "
            "the cell changed while it was measured, or the amplitude was too large."
        )
    if misfit > 2 * test.root_mean_square:
        remarks.append(
            f"Relaxations, an inductance and a series capacitance leave {misfit:.2%}, a Kramers-Kronig "
            f"model {test.root_mean_square:.2%}: part of the spectrum is no relaxation."
        )
    slowest = 1 / (2 * np.pi * frequency_hz.min())
    if slowest < windows.diffusion_to_s:
        missing = found.tau_s[-1] <= windows.charge_transfer_to_s
        remarks.append(
            f"The lowest frequency sees times up to {slowest:.3g} s: the diffusion resistance to "
            f"{windows.diffusion_to_s:g} s is "
            + ("not known." if missing else "in part extrapolated or missing.")
        )
    return remarks


def _of_area(quantity: Quantity, area_cm2: float) -> Quantity:
    assert quantity.uncertainty is not None  # every resistance has one
    return Quantity(quantity.value * area_cm2, quantity.uncertainty * area_cm2, "ohm cm2")
