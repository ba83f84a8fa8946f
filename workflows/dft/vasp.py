"""Relaxation with VASP: atomate2's flows with the sets of the Materials Project, custodian included."""

from __future__ import annotations

import shlex
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from rocksalt.screening.errors import CalculationError, RocksaltError
from rocksalt.workflows.dft.density_of_states import DensityOfStatesSettings, ElectronicStates
from rocksalt.workflows.dft.kpoints import k_mesh
from rocksalt.workflows.dft.magnetism import magnetic_starts, order_of, spin_warning
from rocksalt.workflows.dft.settings import materials_project_u_ev
from rocksalt.workflows.dft.task import DftTask
from rocksalt.workflows.relaxer import RelaxationResult, rattled

O2_MOMENT_MU_B = 2
"""The molecule's ground state is a triplet, whatever order is asked of the oxides."""

KBAR_IN_GPA = 0.1

STATES_WIDTH_EV = 0.05
"""Gaussian smearing of a field whose states are wanted."""

PROJECTION = (
    "projection on spherical harmonics inside the PAW spheres (LORBIT = 11), not normalised"
)

INCAR_KEPT = (
    "ALGO", "EDIFF", "EDIFFG", "ENCUT", "GGA", "IBRION", "ISIF", "ISMEAR", "ISPIN", "LASPH", "LDAU",
    "LDAUJ", "LDAUL", "LDAUTYPE", "LDAUU", "LMAXMIX", "LREAL", "MAGMOM", "NELM", "NSW", "NUPDOWN",
    "PREC", "SIGMA",
)  # fmt: skip
"""Of an INCAR in `method`: what an energy depends on."""


def relax_dft(task: DftTask, protocol: str) -> RelaxationResult:
    """Relax a structure with VASP, in each magnetic order that is asked, and keep the lowest.

    Two relaxations and a static calculation (`MPGGADoubleRelaxStaticMaker`), of which the last gives
    the energy. They run in this process, in folders of their own below the task's.

    Parameters
    ----------
    task
        Structure, settings and folder.
    protocol
        'mp', the Materials Project's sets, and nothing else.

    Raises
    ------
    RocksaltError
        When VASP or the folder of POTCARs is missing: then nothing can be computed.
    CalculationError
        When a run fails or does not converge; with VASP's last words and the folder.

    Notes
    -----
    With the Materials Project's own U (the default) U acts in oxides and fluorides alone, as there:
    MP2020 corrects for that. Any other U acts wherever its element is.
    """
    check_vasp()
    states = [
        _computed(task, order, start, vasp_maker(task, order))
        for order, start in _starts(task).items()
    ]
    lowest = min(states, key=lambda state: state.energy_ev_per_atom)
    return _result(task, protocol, lowest, states)


def electronic_states(
    task: DftTask, protocol: str, settings: DensityOfStatesSettings
) -> ElectronicStates:
    """Compute the states of a structure as it is, with VASP.

    Parameters
    ----------
    task
        What to compute. Nothing moves.
    protocol
        'mp', as for `relax_dft`.
    settings
        The density of the k-mesh, which is that of the self-consistent field too.

    Raises
    ------
    RocksaltError, CalculationError
        As `relax_dft` does.
    """
    from pymatgen.io.vasp import Vasprun

    check_vasp()
    found = [
        _computed(task, order, start, states_maker(task, order, start, settings))
        for order, start in _starts(task).items()
    ]
    lowest = min(found, key=lambda state: state.energy_ev_per_atom)
    relaxation = _result(task, protocol, lowest, found)
    folder = Path(relaxation.method["directory"])
    try:
        file = next(folder.glob("vasprun.xml*"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of POTCARs that are not beside it
            run = Vasprun(file, parse_projected_eigen=True, parse_potcar_file=False)
        # VASP's own may lie just below the highest occupied level.
        fermi_ev = float(run.calculate_efermi())
    except (StopIteration, ValueError, OSError, SyntaxError) as error:
        raise CalculationError(
            f"VASP left no vasprun.xml that can be read; log {folder}"
        ) from error
    levels, weights, projections = levels_of(run, lowest.end.output.structure)
    return ElectronicStates(
        relaxation,
        levels,
        weights,
        projections,
        fermi_ev,
        relaxation.method["k_mesh"],
        PROJECTION,
    )


def states_maker(
    task: DftTask, order: str, start: Structure, settings: DensityOfStatesSettings
) -> Any:
    """Return atomate2's maker of the states of a task, an `MPGGAStaticMaker` with its updates.

    Parameters
    ----------
    task
        Structure and settings.
    order
        'nonmagnetic' computes without spin.
    start
        Structure of that order, which may be a larger cell than the task's.
    settings
        Density of the k-mesh.
    """
    from atomate2.vasp.jobs.mp import MPGGAStaticMaker
    from atomate2.vasp.powerups import update_user_incar_settings, update_user_kpoints_settings
    from pymatgen.io.vasp import Kpoints

    mesh = k_mesh(start.lattice.matrix, settings.k_density)
    # Tetrahedra leave levels as they are but occupy them by energies between k-points.
    states = {"ISMEAR": 0, "SIGMA": STATES_WIDTH_EV, "LORBIT": 11, "LREAL": False}
    maker = update_user_incar_settings(MPGGAStaticMaker(), {**_everywhere(task, order), **states})
    return update_user_kpoints_settings(maker, Kpoints.gamma_automatic(mesh))


def levels_of(
    run: Any, structure: Structure
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return levels (spins, k-points, bands), weights of k-points, and orbitals in the levels.

    Parameters
    ----------
    run
        pymatgen's `Vasprun` with projected eigenvalues.
    structure
        Its sites in VASP's order.

    Raises
    ------
    CalculationError
        When there are no projections.
    """
    if not run.projected_eigenvalues:
        raise CalculationError("vasprun.xml holds no projections: LORBIT = 11 was not in force")
    spins = sorted(run.eigenvalues, key=lambda spin: -int(spin.value))  # up first
    levels = np.array([run.eigenvalues[spin][:, :, 0] for spin in spins])
    projected = np.array([run.projected_eigenvalues[spin] for spin in spins])
    found: dict[str, np.ndarray] = {}
    for index, site in enumerate(structure):
        for number, letter in enumerate("spdf"):
            orbitals = projected[..., index, number**2 : (number + 1) ** 2]
            if orbitals.shape[-1]:
                name = f"{site.specie.symbol}-{letter}"
                found[name] = found.get(name, np.zeros_like(levels)) + orbitals.sum(axis=-1)
    weights = np.array(run.actual_kpoints_weights, dtype=float)
    return levels, weights / weights.sum(), found


@dataclass(frozen=True)
class _State:
    """The end of one magnetic order: documents of all runs, the static one last."""

    order: str
    start: Structure
    documents: list[Any]

    @property
    def end(self) -> Any:
        return self.documents[-1]

    @property
    def energy_ev_per_atom(self) -> float:
        return float(self.end.output.energy) / len(self.end.output.structure)

    @property
    def outcar(self) -> dict[str, Any]:
        return dict(self.end.calcs_reversed[0].output.outcar or {})

    @property
    def moments(self) -> list[float] | None:
        """Of each site, mu_B; None without spin."""
        sites = self.outcar.get("magnetization") or []
        return [float(site["tot"]) for site in sites] or None


def check_vasp() -> None:
    """Raise when VASP or its POTCARs are missing.

    Raises
    ------
    RocksaltError
        Naming the settings of atomate2 and of pymatgen.
    """
    from atomate2 import SETTINGS
    from pymatgen.core import SETTINGS as PYMATGEN

    words = shlex.split(SETTINGS.VASP_CMD)
    if not words or shutil.which(words[0]) is None:
        raise RocksaltError(
            f"engine 'vasp' needs VASP: VASP_CMD is {SETTINGS.VASP_CMD!r}, which is not found: set "
            "ATOMATE2_VASP_CMD, or VASP_CMD in ~/.atomate2.yaml, to how VASP is started"
        )
    folder = PYMATGEN.get("PMG_VASP_PSP_DIR")
    if not folder or not Path(str(folder)).expanduser().is_dir():
        raise RocksaltError(
            f"engine 'vasp' needs POTCAR files: PMG_VASP_PSP_DIR is {folder or 'not set'}, no folder: "
            "set it in the environment or in ~/.config/.pmgrc.yaml to the folder of your POTCARs"
        )


def vasp_maker(task: DftTask, order: str) -> Any:
    """Return atomate2's maker of a task, an `MPGGADoubleRelaxStaticMaker` with its updates.

    Parameters
    ----------
    task
        Structure and settings.
    order
        'nonmagnetic' computes without spin.
    """
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from atomate2.vasp.jobs.mp import MPGGARelaxMaker
    from atomate2.vasp.powerups import update_user_incar_settings, update_user_kpoints_settings
    from pymatgen.io.vasp import Kpoints

    relaxation: dict[str, Any] = {"EDIFFG": -task.relaxation.fmax}
    if not task.relaxation.relax_cell:
        relaxation["ISIF"] = 2
    maker = update_user_incar_settings(MPGGADoubleRelaxStaticMaker(), _everywhere(task, order))
    maker = update_user_incar_settings(maker, relaxation, class_filter=MPGGARelaxMaker)
    if task.is_molecule:
        maker = update_user_kpoints_settings(maker, Kpoints.gamma_automatic((1, 1, 1)))
    return maker


def _everywhere(task: DftTask, order: str) -> dict[str, Any]:
    """Return the updates of the INCAR of every run of a task."""
    updates: dict[str, Any] = hubbard_updates(task)
    if task.is_molecule:
        updates |= {"ISMEAR": 0, "SIGMA": 0.01, "NUPDOWN": O2_MOMENT_MU_B}
    elif order == "nonmagnetic":
        updates["ISPIN"] = 1
    if task.safer:  # what custodian does not try by itself: slower mixing from the start
        updates |= {"ALGO": "Normal", "NELM": 200, "AMIX": 0.2, "BMIX": 1e-4}
        updates |= {"AMIX_MAG": 0.4, "BMIX_MAG": 1e-4}
    return updates


def hubbard_updates(task: DftTask) -> dict[str, Any]:
    """Return the INCAR's updates for U, none of them for the Materials Project's own."""
    table = dict(task.settings.hubbard_u_ev)
    if table == materials_project_u_ev():
        return {}
    if not any(site.specie.symbol in table for site in task.structure):
        return {"LDAU": False}
    # pymatgen looks under the most electronegative element first, then at the top level.
    anions = ("O", "F")

    def nested(values: dict[str, float]) -> dict[str, Any]:
        return {**values, **{anion: dict(values) for anion in anions}}

    return {
        "LDAU": True,
        "LDAUU": nested(table),
        "LDAUJ": nested(dict.fromkeys(table, 0)),
        "LDAUL": nested(dict.fromkeys(table, 2)),
    }


def _starts(task: DftTask) -> dict[str, Structure]:
    if task.is_molecule:
        start = task.structure.copy()
        start.add_site_property("magmom", [O2_MOMENT_MU_B / len(start)] * len(start))
        return {"ferromagnetic": start}
    return magnetic_starts(task.structure, task.settings)


def _computed(task: DftTask, order: str, start: Structure, maker: Any) -> _State:
    """Run the flow or the job of one order here."""
    from jobflow import Flow, JobStore, run_locally
    from maggma.stores import MemoryStore

    atoms = rattled(AseAtomsAdaptor.get_atoms(start), task.relaxation)
    moved = Structure(atoms.cell.array, start.species, atoms.get_scaled_positions(wrap=False))
    moved.add_site_property("magmom", start.site_properties["magmom"])
    root = task.directory / order
    root.mkdir(parents=True, exist_ok=True)
    made = maker.make(moved)
    flow = made if isinstance(made, Flow) else Flow([made])
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    with warnings.catch_warnings():
        # Of the sets, that ISMEAR -5 does not suit a metal: theirs since their beginning, and
        # custodian changes it where it matters. Of readers, what POTCARs are not known.
        warnings.simplefilter("ignore")
        try:
            found = run_locally(
                flow,
                log=False,
                store=store,
                create_folders=True,
                root_dir=root,
                ensure_success=True,
                raise_immediately=True,
            )
        except Exception as error:  # custodian, readers and the flow raise what they like
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise CalculationError(f"VASP failed: {cause}{last_words(root)}") from error
    documents = [found[uuid][max(found[uuid])].output for uuid in flow.job_uuids]
    for document in documents:
        if document.state != "successful":
            raise CalculationError(
                f"VASP did not converge in {document.task_label!r}{last_words(root)}"
            )
    return _State(order, moved, documents)


def last_words(root: Path) -> str:
    """Return how the newest output below a folder ends, and the folder it is in."""
    outputs = [*root.rglob("vasp.out"), *root.rglob("std_err.txt")]
    written = [file for file in outputs if file.stat().st_size]
    if not written:
        return f": it left no output; log {root}"
    newest = max(written, key=lambda file: file.stat().st_mtime)
    lines = [line for line in newest.read_text("utf-8", errors="replace").splitlines() if line]
    return f": {' / '.join(' '.join(line.split()) for line in lines[-3:])[-200:]}; log {newest}"


def _result(task: DftTask, protocol: str, lowest: _State, states: list[_State]) -> RelaxationResult:
    output = lowest.end.output
    structure, moments = output.structure, lowest.moments
    forces = np.array(output.forces, dtype=float)
    # VASP's is positive where a cell pushes outward.
    stress = None if output.stress is None else -KBAR_IN_GPA * np.array(output.stress, dtype=float)
    steps = [
        float(step.e_0_energy)
        for document in lowest.documents
        for step in document.calcs_reversed[0].output.ionic_steps or []
    ]
    bare = Structure(structure.lattice, structure.species, structure.frac_coords)
    atoms = AseAtomsAdaptor.get_atoms(bare)
    found: list[str] = []
    if moments is not None and not task.is_molecule:
        suspicious = spin_warning(bare, sorted_moments(lowest.start), moments)
        found += [suspicious] if suspicious else []
    all_documents = [document for state in states for document in state.documents]
    return RelaxationResult(
        atoms=atoms,
        energy_ev=float(output.energy),
        forces=forces,
        stress_gpa=stress,
        magmoms=None if moments is None else np.array(moments),
        energies_ev=[*steps[:-1], float(output.energy)],
        max_force=float(np.linalg.norm(forces, axis=1).max()),
        converged=True,
        n_evaluations=sum(
            len(document.calcs_reversed[0].output.ionic_steps or []) for document in all_documents
        ),
        n_fallbacks=0,
        optimizer="none",
        cpu_s=sum(cpu_seconds(document) for document in all_documents),
        method=_method(task, protocol, lowest, states),
        warnings=found,
    )


def sorted_moments(structure: Structure) -> list[float]:
    """Return the moments of a structure in the order in which a set writes its sites."""
    return list(structure.get_sorted_structure().site_properties["magmom"])


def cpu_seconds(document: Any) -> float:
    """Return the CPU seconds of a run on all its cores."""
    overall = (document.run_stats or {}).get("overall")
    return 0.0 if overall is None else float(overall.total_time or 0) * float(overall.cores or 1)


def _method(task: DftTask, protocol: str, lowest: _State, states: list[_State]) -> dict[str, Any]:
    given = lowest.end.input
    incar = dict(given.incar or {})
    kpoints = given.kpoints
    mesh = kpoints.as_dict() if hasattr(kpoints, "as_dict") else dict(kpoints or {})
    hubbard = {s: float(u) for s, u in (given.hubbards or {}).items() if u}
    symbols = [site.specie.symbol for site in lowest.end.output.structure]
    return {
        "code": "VASP",
        "version": lowest.end.vasp_version,
        "protocol": protocol,
        "functional": "PBE",
        "cutoff_ev": incar.get("ENCUT"),
        "k_mesh": [int(n) for n in (mesh.get("kpoints") or [[0, 0, 0]])[0]],
        "k_mesh_style": str(mesh.get("generation_style", "")),
        "smearing": {"kind": f"ISMEAR {incar.get('ISMEAR')}", "width_ev": incar.get("SIGMA")},
        "hubbard": hubbard,
        "hubbard_projectors": "PAW" if hubbard else None,
        "magnetic_order": order_of(lowest.moments, symbols) if lowest.moments else "nonmagnetic",
        "energies_ev_per_atom": {state.order: state.energy_ev_per_atom for state in states},
        "total_moment_mu_b": lowest.outcar.get("total_magnetization"),
        "incar": {key: incar[key] for key in INCAR_KEPT if key in incar},
        "files": {spec.titel: spec.hash for spec in given.potcar_spec or []},
        "directory": str(lowest.end.dir_name).partition(":")[2] or str(lowest.end.dir_name),
        "safer": task.safer,
    }
