"""Impedance spectra: Kramers-Kronig test and distribution of relaxation times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.impedance import kramers_kronig, relaxation_times
from rocksalt.analysis.quantities import Analysis, Quantity
from rocksalt.analysis.readers.impedance import ImpedanceOptions, read_impedance
from rocksalt.analysis.sample import Sample


class Options(ImpedanceOptions):
    """What may be chosen; the windows are those of Sun et al. 2025."""

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
    def _windows_are_in_order(self) -> Options:
        if not self.charge_transfer_from_s < self.charge_transfer_to_s < self.diffusion_to_s:
            raise ValueError(
                "the windows must rise: charge_transfer_from_s < charge_transfer_to_s < diffusion_to_s"
            )
        return self


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
    except MeasurementError as error:
        raise MeasurementError(f"{file}: {error}") from None
    windows = {
        "charge_transfer_resistance": (
            options.charge_transfer_from_s,
            options.charge_transfer_to_s,
        ),
        "diffusion_resistance": (options.charge_transfer_to_s, options.diffusion_to_s),
        "polarisation_resistance": (0.0, np.inf),
    }
    doubts = np.sqrt(np.diag(found.covariance))
    result = Analysis(parameters=options.model_dump(mode="json"))
    result.values["ohmic_resistance"] = Quantity(found.ohmic, float(doubts[-3]), "ohm")
    result.values["inductance"] = Quantity(found.inductance_h, float(doubts[-2]), "H")
    for name, window in windows.items():
        result.values[name] = Quantity(*found.between(*window), "ohm")
    if sample.electrode_area_cm2 is not None:
        area = sample.electrode_area_cm2
        for name in ("ohmic_resistance", *windows):
            quantity = result.values[name]
            assert quantity.uncertainty is not None  # every resistance above has one
            result.values[f"{name}_of_area"] = Quantity(
                quantity.value * area, quantity.uncertainty * area, "ohm cm2"
            )
    result.values["kramers_kronig_residual"] = Quantity(test.root_mean_square, None, "1")
    misfit = float(np.sqrt(np.mean(np.abs(found.residuals) ** 2) / 2))
    result.values["relaxation_times_residual"] = Quantity(misfit, None, "1")
    result.values["regularisation"] = Quantity(found.regularisation, None, "1")
    result.arrays = {
        "frequency_hz": frequency,
        "impedance_real_ohm": impedance.real,
        "impedance_imaginary_ohm": impedance.imag,
        "kramers_kronig_residual_real": test.residuals.real,
        "kramers_kronig_residual_imaginary": test.residuals.imag,
        "relaxation_time_s": found.tau_s,
        "relaxation_density_ohm": found.density(),
    }
    if test.root_mean_square > options.most_residual:
        result.remarks.append(
            f"The spectrum departs from the Kramers-Kronig relations by {test.root_mean_square:.1%}: "
            "the cell changed while it was measured, or the amplitude was too large."
        )
    if misfit > 2 * test.root_mean_square:
        result.remarks.append(
            f"Relaxations, an inductance and a series capacitance leave {misfit:.2%}, a Kramers-Kronig "
            f"model {test.root_mean_square:.2%}: part of the spectrum is no relaxation."
        )
    slowest = 1 / (2 * np.pi * frequency.min())
    if slowest < options.diffusion_to_s:
        result.remarks.append(
            f"The lowest frequency sees times up to {slowest:.3g} s: the diffusion resistance to "
            f"{options.diffusion_to_s:g} s is in part extrapolated or missing."
        )
    return result
