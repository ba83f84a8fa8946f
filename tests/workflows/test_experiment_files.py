"""Files in a list of an option: found beside the experiment file, told apart by their content."""

import numpy as np

from rocksalt.analysis.sample import Sample
from rocksalt.workflows.experiment import Measurement, analyse, task_of

SAMPLE = Sample(name="cell")


def write(path, resistance):
    frequency = np.logspace(5, -1, 30)
    impedance = 2 + resistance / (1 + 2j * np.pi * frequency * 0.1)
    np.savetxt(path, np.column_stack([frequency, impedance.real, impedance.imag]))


def measurement(second="b.txt", potential_v=3.8):
    return Measurement(
        technique="geis",
        file="a.txt",
        imaginary="Z''",
        potentials_v=[3.6],
        spectra=[{"file": second, "potential_v": potential_v}],
    )


def test_identity_of_files_in_a_list_is_their_content(tmp_path):
    write(tmp_path / "a.txt", 10)
    write(tmp_path / "b.txt", 20)
    task = task_of(measurement(), SAMPLE, tmp_path)
    assert "b.txt" not in str(task.identity)
    (tmp_path / "b.txt").rename(tmp_path / "moved.txt")
    assert task_of(measurement("moved.txt"), SAMPLE, tmp_path).key == task.key
    assert task_of(measurement("moved.txt", 3.9), SAMPLE, tmp_path).key != task.key
    write(tmp_path / "moved.txt", 30)
    changed = task_of(measurement("moved.txt"), SAMPLE, tmp_path)
    assert changed.key != task.key
    document, _ = analyse(changed)
    assert document.values["spectra"].value == 2
