"""The campaign file: YAML in, a validated campaign or one clear line out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rocksalt.screening.density_of_states import EdgeReference
from rocksalt.screening.elements import ELEMENT_SETS, check_cation, host_cations
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest
from rocksalt.screening.lithium import LAYERED_CELLS, layered_cell
from rocksalt.screening.mixtures import CATION_CELLS, count_of
from rocksalt.screening.scales import EnergyScale, scale_at_u
from rocksalt.screening.verdicts import Thresholds
from rocksalt.stores.addresses import has_password
from rocksalt.workflows.dft.density_of_states import DEFAULT_K_DENSITY, DensityOfStatesSettings
from rocksalt.workflows.dft.settings import (
    DEFAULT_SETTINGS,
    DftSettings,
    materials_project_u_ev,
    settings_of,
)
from rocksalt.workflows.engines import expand_engines, get_engine
from rocksalt.workflows.relaxer import RelaxationSettings
from rocksalt.workflows.stages import STAGES

MATERIALS_PROJECT = "materials-project"
"""In the place of a file of entries."""

LARGEST_STRAIN_PERCENT = 10.0
MAX_ARRANGEMENTS = 40_000
"""As many ways to place the dopant in the enumerated cell are sorted out in half a minute."""
LAYERED_STAGES = {"lithium-deficient", "oxygen-vacancy", "electronic-structure"}
"""With the layered oxide of the first host."""

LATER_STAGES = ("migration", "dynamics", "adsorption")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any) -> Any:
        """Refuse yes and no, which nothing here is, and which would count as 1 and 0."""
        if any(isinstance(each, bool) for each in (value if isinstance(value, list) else [value])):
            raise ValueError(
                "true or false (yes or no): give a number or a name, in quotes if need be"
            )
        return value


class Supercell(_Section):
    """Sizes of the cells in which cations are arranged, in cations."""

    enumerated: int = Field(8, description="all symmetry-distinct arrangements; 0 for none")
    sqs: int = Field(16, description="one special quasi-random arrangement; 0 for none")
    layered: int = Field(
        8, description="Li of the metal layer in the lithium-deficient cells: 8 are 96 atoms"
    )
    vacancy: int = Field(4, description="the same in the cells that lose an oxygen: 4 are 48 atoms")

    @field_validator("layered", "vacancy")
    @classmethod
    def _has_a_layered_cell(cls, value: int) -> int:
        if value not in LAYERED_CELLS:
            raise ValueError(
                f"{value} Li in the metal layer: choose one of {sorted(LAYERED_CELLS)}"
            )
        return value

    @field_validator("vacancy")
    @classmethod
    def _has_half_its_lithium(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} Li in the metal layer cannot be halved: choose 2 or more")
        return value

    @field_validator("enumerated", "sqs")
    @classmethod
    def _has_a_cell(cls, value: int) -> int:
        if value and value not in CATION_CELLS:
            raise ValueError(f"{value} cations: choose 0 or one of {sorted(CATION_CELLS)}")
        return value


class Relaxation(_Section):
    """When a relaxation counts as done, and how it starts."""

    fmax: float = Field(0.02, gt=0, le=1, description="largest force left, eV/angstrom")
    max_evaluations: int = Field(500, ge=1, description="energy and force evaluations at most")
    rattle_angstrom: float = Field(0.02, ge=0, le=0.2, description="random displacement at start")
    rattle_strain: float = Field(0.005, ge=0, le=0.05, description="random strain at start")


class ElectronicStructure(_Section):
    """Cells and engines of the densities of states, and how these are made."""

    engines: list[str] = Field(
        [], description="that compute the states; when empty those of the campaign that can"
    )
    cell: int = Field(1, description="Li of the metal layer in the cells: 1 are 12 atoms, 8 are 96")
    geometry: str | None = Field(
        None,
        description="engine that relaxes the cells before; when null the campaign's first potential, "
        "without one the engine itself",
    )
    window_ev: float = Field(1.0, gt=0, le=20, description="depth of the window below the edge")
    reference: EdgeReference | None = Field(
        None,
        description="the edge; when null highest-occupied, and fermi-level where there is no gap",
    )
    width_ev: float = Field(0.05, gt=0, le=1, description="Gaussian that stands for each level")
    k_density: float = Field(
        DEFAULT_K_DENSITY, gt=0, le=20, description="k-points per reciprocal angstrom of the states"
    )

    @field_validator("engines", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("engines")
    @classmethod
    def _give_states(cls, value: list[str]) -> list[str]:
        try:
            engines = expand_engines(value)
            lacking = [name for name in engines if get_engine(name).electronic_states is None]
        except RocksaltError as error:
            raise ValueError(str(error)) from error
        if lacking:
            raise ValueError(f"engine {lacking[0]!r} gives no density of states: use gpaw or vasp")
        return engines

    @field_validator("geometry")
    @classmethod
    def _relaxes(cls, value: str | None) -> str | None:
        try:
            return None if value is None else expand_engines([value])[0]
        except RocksaltError as error:
            raise ValueError(str(error)) from error

    @field_validator("cell")
    @classmethod
    def _has_a_layered_cell(cls, value: int) -> int:
        if value not in LAYERED_CELLS:
            raise ValueError(
                f"{value} Li in the metal layer: choose one of {sorted(LAYERED_CELLS)}"
            )
        return value


class Triage(_Section):
    """Potentials screen every dopant, and one engine decides about those that they leave open."""

    decide: str = Field(description="the engine that decides, a DFT code as a rule")
    budget_cpu_hours: float | None = Field(
        None, gt=0, description="CPU hours that it may take, by estimate; no limit when left out"
    )


class Campaign(_Section):
    """What to screen and how. Only ``name`` and ``dopants`` are required."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=80,
        description="names the campaign in the store",
    )
    dopants: list[str] = Field(description="symbols, or sets: " + ", ".join(ELEMENT_SETS))
    hosts: list[str] = Field(
        ["Mn", "Ni", "Co"],
        description="cations whose rock salts must take the dopants in, Li0.5Mn0.5 for the disordered "
        "one with lithium; the first is also the metal of the layered oxide",
    )
    fractions: list[float] = Field(
        [0.25, 0.5, 0.75],
        description="shares of the dopant among the cations; [] for no mixtures",
    )
    orderings: Literal["all"] | int = Field(
        "all", description="arrangements per fraction in the enumerated cell, or a number"
    )
    supercell: Supercell = Field(Supercell(), description="number of cations in the cells of")
    engines: list[str] = Field(
        ["chgnet"],
        description="one or several; committee stands for all potentials that pip brings",
    )
    triage: Triage | None = Field(
        None, description="written as engines: {triage: [chgnet, sevennet-0], decide: gpaw}"
    )
    dft: dict[str, DftSettings] = Field(
        {}, description="by DFT code: hubbard_u_ev, magnetic_order, initial_moments_mu_b, max_atoms"
    )
    stages: list[str] = Field(
        ["rock-salt"], description="what to compute: rock-salt always; " + ", ".join(STAGES[1:])
    )
    strains_percent: list[float] = Field(
        [-2.0, 0.0, 2.0, 4.0], description="of the cells that lose an oxygen; 0 is always there"
    )
    electronic_structure: ElectronicStructure = Field(
        ElectronicStructure(), description="densities of states of the layered oxide"
    )
    entries: str | None = Field(
        None,
        description="phases of your own for the hulls: pymatgen entries (JSON), a folder of CIF or "
        "POSCAR files to compute, or materials-project",
    )
    temperature: float = Field(300.0, gt=0, le=5000, description="K, of mixing and solubility")
    relaxation: Relaxation = Field(Relaxation(), description="of every cell")
    thresholds: Thresholds = Field(Thresholds(), description="of the verdict")
    seed: int = Field(
        0, ge=0, lt=2**63, description="of the quasi-random search and of the start rattle"
    )
    store: str | None = Field(None, description="where results go, unless --store says otherwise")

    @model_validator(mode="before")
    @classmethod
    def _with_triage(cls, data: Any) -> Any:
        """Take ``engines: {triage: ..., decide: ..., budget_cpu_hours: ...}`` apart."""
        engines = data.get("engines") if isinstance(data, dict) else None
        if not isinstance(engines, dict):
            return data
        given = dict(engines)
        first = given.pop("triage", None)
        if not first or "decide" not in given:
            raise ValueError(
                "engines: give a list, or {triage: [engines that screen], decide: engine}"
            )
        first = [first] if isinstance(first, str) else list(first)
        return {**data, "engines": [*first, given["decide"]], "triage": given}

    @field_validator("dft", mode="before")
    @classmethod
    def _by_code(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for code in value:
            if code not in DEFAULT_SETTINGS:
                raise ValueError(f"{code!r} is not a DFT code{_nearest(code, DEFAULT_SETTINGS)}")
        return {
            code: own if isinstance(own, DftSettings) else settings_of(code, own)
            for code, own in value.items()
        }

    @field_validator(
        *("dopants", "hosts", "engines", "stages", "fractions", "strains_percent"), mode="before"
    )
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | float | int) else value

    @field_validator("dopants")
    @classmethod
    def _expand_sets(cls, value: list[str]) -> list[str]:
        return _expanded(value, check_cation)

    @field_validator("hosts")
    @classmethod
    def _expand_hosts(cls, value: list[str]) -> list[str]:
        return _expanded(value, host_cations)

    @field_validator("fractions")
    @classmethod
    def _inside(cls, value: list[float]) -> list[float]:
        for fraction in value:
            if not 0 < fraction < 1:
                percent = f"; for {fraction:g} % write {fraction / 100:g}"
                raise ValueError(
                    f"{fraction:g} is outside (0, 1): the ends are always computed"
                    + (percent if 1 < fraction < 100 else "")
                )
        return sorted(set(value))

    @field_validator("orderings")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{value} arrangements: give 1 or more, or 'all'")
        return value

    @field_validator("engines")
    @classmethod
    def _known_engines(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("the list is empty: give at least one engine")
        try:
            return expand_engines([name.strip() for name in value])
        except RocksaltError as error:
            raise ValueError(str(error)) from error

    @field_validator("thresholds")
    @classmethod
    def _finite(cls, value: Thresholds) -> Thresholds:
        for name, number in value.model_dump().items():
            if not math.isfinite(number):
                raise ValueError(f"{name}: {number:g} is not a finite number")
        return value

    @field_validator("stages")
    @classmethod
    def _known_stages(cls, value: list[str]) -> list[str]:
        for stage in value:
            if stage in LATER_STAGES:
                raise ValueError(f"{stage!r} is not in this version: use {', '.join(STAGES)}")
            if stage not in STAGES:
                raise ValueError(f"{stage!r} is not a stage{_nearest(stage, STAGES)}")
        return [stage for stage in STAGES if stage == STAGES[0] or stage in value]

    @field_validator("strains_percent")
    @classmethod
    def _small_strains(cls, value: list[float]) -> list[float]:
        for strain in value:
            if not abs(strain) <= LARGEST_STRAIN_PERCENT:
                raise ValueError(
                    f"{strain:g} percent: give strains from -{LARGEST_STRAIN_PERCENT:g} "
                    f"to {LARGEST_STRAIN_PERCENT:g}"
                )
        return sorted({0.0, *value})

    @model_validator(mode="after")
    def _decides_with_another_engine(self) -> Campaign:
        if self.triage is not None:
            (decide,) = expand_engines([self.triage.decide])
            if self.engines[-1] != decide or len(self.engines) < 2:
                raise ValueError(
                    f"engines: {decide!r} decides: give at least one other engine in triage"
                )
        codes = {get_engine(e).code for e in [*self.engines, *self.electronic_engines]}
        unused = [c for c in self.dft if c not in codes]
        if unused:
            raise ValueError(f"dft: {unused[0]!r} is not among the engines: add it, or remove it")
        return self

    @model_validator(mode="after")
    def _has_electrons(self) -> Campaign:
        if "electronic-structure" not in self.stages:
            return self
        if not self.electronic_engines:
            raise ValueError(
                "stages: 'electronic-structure' needs an engine that gives a density of states, and "
                f"{', '.join(self.engines)} give{'s' if len(self.engines) == 1 else ''} none: add "
                "gpaw or vasp to engines, or name one under electronic_structure.engines"
            )
        geometry = self.electronic_structure.geometry
        if geometry and get_engine(geometry).is_dft and self.electronic_engines != [geometry]:
            raise ValueError(
                f"electronic_structure.geometry: {geometry!r} is another DFT code: name a potential, "
                "or the engine that computes the states"
            )
        return self

    @model_validator(mode="after")
    def _has_a_use_for_entries(self) -> Campaign:
        if self.entries and not {"hull", "lithium-deficient"} & set(self.stages):
            raise ValueError("entries: no hull is made of them: add 'hull' to stages")
        return self

    @model_validator(mode="after")
    def _holds_together(self) -> Campaign:
        self._check_lithiated()
        if LAYERED_STAGES & set(self.stages):
            try:
                layered_cell(self.layered_host, min(LAYERED_CELLS))
            except RocksaltError as error:
                raise ValueError(f"hosts: {error}; put another metal first") from error
        for fraction in self.fractions:
            sizes = [n for n in (self.supercell.enumerated, self.supercell.sqs) if n]
            if not any(count_of(fraction, n) for n in sizes):
                possible = sorted({k / n for n in sizes for k in range(1, n)})
                nearest = min(possible, key=lambda x: abs(x - fraction), default=None)
                hint = f"; the nearest that does is {nearest:g}" if nearest else ""
                raise ValueError(
                    f"fractions: {fraction:g} does not fit in supercells of "
                    f"{' or '.join(map(str, sizes)) or 'no'} cations{hint}"
                )
        self._check_enumeration()
        if not self.pairs:
            raise ValueError(
                f"dopants: {', '.join(self.dopants)} leaves nothing but the host itself: "
                "add a dopant that is not a host"
            )
        return self

    def _check_lithiated(self) -> None:
        size = self.lithiated_size
        for host in (h for h in self.hosts if len(host_cations(h)) > 1):
            for fraction in [0.0, *self.fractions]:
                if not math.isclose((1 - fraction) * size / 2 % 1, 0, abs_tol=1e-6):
                    raise ValueError(
                        f"fractions: {fraction:g} of a dopant in {host}O leaves no whole number of Li "
                        f"in {size} cations: change supercell.sqs or the fraction"
                    )

    def _check_enumeration(self) -> None:
        size = self.supercell.enumerated
        for fraction in self.fractions:
            count = count_of(fraction, size) if size else None
            if count and math.comb(size, count) > MAX_ARRANGEMENTS:
                raise ValueError(
                    f"supercell.enumerated: {size} cations can be arranged in "
                    f"{math.comb(size, count)} ways at fraction {fraction:g}: enumerate 8, and "
                    f"give {size} to supercell.sqs"
                )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (dopant, host) that is mixed; a dopant in itself is left out."""
        return [(d, h) for d in self.dopants for h in self.hosts if d not in host_cations(h)]

    @property
    def screened(self) -> list[str]:
        """The dopants that have at least one host other than themselves; all if nothing is mixed."""
        if not self.fractions:
            return self.dopants
        return list(dict.fromkeys(d for d, _ in self.pairs))

    @property
    def screening_engines(self) -> list[str]:
        """The engines that compute every dopant: all, or with a triage those that screen."""
        return self.engines[:-1] if self.triage else self.engines

    def energy_scale(self, engine: str) -> EnergyScale:
        """Return the scale of an engine's energies; that of a DFT code depends on its U."""
        scale, dft = get_engine(engine).scale, self.dft_settings(engine)
        if dft is None:
            return scale
        project_u_ev = materials_project_u_ev() if scale.correction else {}
        return scale_at_u(scale, dft.hubbard_u_ev, project_u_ev)

    def dft_settings(self, engine: str) -> DftSettings | None:
        """Return magnetism and U of an engine that is a DFT code, None of a potential."""
        found = get_engine(engine)
        if not found.is_dft:
            return None
        return self.dft.get(found.code) or settings_of(found.code, None)

    @property
    def electronic_engines(self) -> list[str]:
        """The engines of the densities of states; none without that stage."""
        if "electronic-structure" not in self.stages:
            return []
        able = [name for name in self.engines if get_engine(name).electronic_states is not None]
        return self.electronic_structure.engines or able

    def density_of_states_settings(self, engine: str) -> DensityOfStatesSettings:
        """Return the settings of the densities of states with one engine."""
        own = self.electronic_structure
        potentials = [name for name in self.screening_engines if not get_engine(name).is_dft]
        geometry = own.geometry or next(iter(potentials), engine)
        return DensityOfStatesSettings(
            **own.model_dump(include={"window_ev", "reference", "width_ev", "k_density"}),
            geometry=geometry,
            geometry_version=get_engine(geometry).model_version,
        )

    @property
    def cations(self) -> list[str]:
        """Hosts of one cation and screened dopants, each once."""
        elements = [h for h in self.hosts if len(host_cations(h)) == 1]
        return list(dict.fromkeys([*elements, *self.screened]))

    @property
    def lithiated_size(self) -> int:
        """Number of cations in the cells of a host with lithium, which are quasi-random."""
        return self.supercell.sqs or self.supercell.enumerated

    @property
    def layered_host(self) -> str:
        """The metal of the layered oxide Li2HO3: that of the first host."""
        return host_cations(self.hosts[0])[-1]

    @property
    def notes(self) -> list[str]:
        """What the plan leaves out, in words."""
        decides = (
            [f"{self.engines[-1]} decides afterwards about the dopants that the others leave open"]
            if self.triage
            else []
        )
        return decides + [
            f"{d} in {h}O is left out: dopant and host are the same"
            for d in self.dopants
            for h in self.hosts
            if d in host_cations(h)
        ]

    @property
    def content_hash(self) -> str:
        """Hash of everything that decides the results; the store's place does not.

        Nor does the section of a stage that is not asked for, which may be younger than a campaign.
        """
        left_out = {"store"}
        if "electronic-structure" not in self.stages:
            left_out.add("electronic_structure")
        return digest(self.model_dump(mode="json", exclude=left_out))

    def relaxation_settings(self, *, relax_cell: bool = True) -> RelaxationSettings:
        """Return the relaxer's settings."""
        return RelaxationSettings(
            **self.relaxation.model_dump(), seed=self.seed, relax_cell=relax_cell
        )


def _expanded(words: list[str], check: Callable[[str], object]) -> list[str]:
    """Write out named sets, each member once; raise for what ``check`` does not know."""
    if not words:
        raise ValueError("the list is empty: give at least one element or set")
    symbols = [symbol for word in words for symbol in ELEMENT_SETS.get(word, (word,))]
    for symbol in symbols:
        _known(symbol, check)
    return list(dict.fromkeys(symbols))


def _known(symbol: str, check: Callable[[str], object]) -> None:
    try:
        check(symbol)
    except RocksaltError as error:
        raise ValueError(f"{error}{_nearest(symbol, ELEMENT_SETS)}") from error


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def load_campaign(path: str | Path) -> Campaign:
    """Read and validate a campaign file.

    Raises
    ------
    RocksaltError
        One line with file, key, value and remedy.
    """
    path = Path(path)
    if has_password(str(path)):  # an address, where the file was to stand
        raise RocksaltError(
            "the campaign is a file: give its path, and the address of a store with --store"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RocksaltError(
            f"{path}: no such file: write one with 'rocksalt init {path}'"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RocksaltError(f"{path}: cannot be read: {_one_line(error)}") from error
    try:
        data = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise RocksaltError(
            f"{path}{_yaml_place(error)}: not valid YAML: {_yaml_problem(error)}"
        ) from error
    except (ValueError, AttributeError, RecursionError) as error:  # a date such as 2024-13-45
        raise RocksaltError(f"{path}: a value cannot be read: {_one_line(error)}") from error
    if not isinstance(data, dict):
        raise RocksaltError(
            f"{path}: a campaign is a list of 'key: value' lines; see 'rocksalt init'"
        )
    entries = data.get("entries")
    if isinstance(entries, str) and entries != MATERIALS_PROJECT:
        place = path.parent / Path(entries).expanduser()
        if not place.exists():
            raise RocksaltError(
                f"{path}: entries: {entries}: no such file or folder: give one relative to the "
                f"campaign file, or {MATERIALS_PROJECT}"
            )
        data["entries"] = str(place.resolve())
    return campaign_from_dict(data, str(path))


def campaign_from_dict(data: dict[str, Any], source: str = "campaign") -> Campaign:
    """Validate a campaign given as a dictionary; ``source`` is named in errors.

    Raises
    ------
    RocksaltError
        One line with source, key, value and remedy.
    """
    try:
        return Campaign.model_validate(data)
    except ValidationError as error:
        raise RocksaltError(f"{source}: {_explain(error, Campaign)}") from error


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Turn the first of pydantic's complaints into one line; unknown keys come first."""
    problems = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"] if part != "literal['all']")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _keys_beside(first["loc"], model)
        hint = _nearest(str(first["loc"][-1]), known) or f"; known: {', '.join(known)}"
        return f"{place}: unknown key{hint}{more}"
    if kind == "missing":
        return f"{place}: this key is required{more}"
    if kind == "value_error":
        message = str(first["ctx"]["error"])
        return f"{place}: {message}{more}" if place else f"{message}{more}"
    if place == "name" and kind == "string_pattern_mismatch":
        return (
            f"name: {first['input']!r} must start with a letter or digit and hold only letters, "
            f"digits, '.', '_' and '-'{more}"
        )
    if place.split(".")[0] == "orderings" and kind != "value_error":
        return f"orderings: give a whole number or 'all', not {first['input']!r}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}: {message}, not {first['input']!r}{more}"


def _keys_beside(location: tuple[Any, ...], model: type[BaseModel]) -> list[str]:
    for part in location[:-1]:
        if part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of, such as those of a dictionary's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _yaml_place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _yaml_problem(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def commented_template(name: str = "my-screen") -> str:
    """Return a campaign file with every key, its default and what it means."""
    lines = [
        "# A rocksalt campaign. Only name and dopants are required; the rest shows its defaults.",
        "# Check it with 'rocksalt check FILE', run it with 'rocksalt run FILE'.",
        "",
        f"name: {_yaml_value(name)}",
        f"dopants: [Mg, Ti, Zn]  # {Campaign.model_fields['dopants'].description}",
    ]
    for key, field in Campaign.model_fields.items():
        if key in {"name", "dopants"}:
            continue
        default = field.get_default()
        if isinstance(default, BaseModel):
            lines.append(f"{key}:  # {field.description}")
            for inner, inner_field in type(default).model_fields.items():
                value = _yaml_value(getattr(default, inner))
                lines.append(f"  {inner}: {value}  # {inner_field.description}")
        elif key in {"store", "entries"}:
            example = {"store": "results.sqlite", "entries": "my_entries.json"}[key]
            lines.append(f"# {key}: {example}  # {field.description}")
        else:
            lines.append(f"{key}: {_yaml_value(default)}  # {field.description}")
    return "\n".join(lines) + "\n"


def _yaml_value(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()
