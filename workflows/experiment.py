"""The experiment file, and its measurements from files to documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from jobflow import JobStore
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rocksalt.analysis.errors import MeasurementError
from rocksalt.analysis.quantities import Analysis
from rocksalt.analysis.readers.columns import file_sha256
from rocksalt.analysis.sample import Sample
from rocksalt.analysis.techniques import get_technique
from rocksalt.screening.errors import RocksaltError
from rocksalt.screening.identity import digest
from rocksalt.stores.documents import SCHEMA_VERSION
from rocksalt.stores.experiment_documents import ExperimentDoc, MeasuredQuantity
from rocksalt.stores.mongo import additional_stores
from rocksalt.stores.records import load_document, record

PACKAGES = ("rocksalt", "numpy", "scipy", "lmfit", "galvani", "NewareNDA", "rosettasciio")


class Measurement(BaseModel):
    """One measurement: technique and file, and whatever else its technique may be told."""

    model_config = ConfigDict(frozen=True, extra="allow")

    technique: str
    file: Path


class ExperimentFile(BaseModel):
    """A sample and what was measured of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: Sample
    measurements: list[Measurement] = Field(min_length=1)
    store: str | None = None


@dataclass(frozen=True)
class Task:
    """A measurement that is ready to be analysed.

    Attributes
    ----------
    technique, sample
        What, of what.
    file
        The measured file, as it is found from here.
    options
        The technique's, validated; files in them as they are found from here.
    identity
        The options that were given, other files by their SHA-256.
    key
        Hash of technique, the file's content, options and sample.
    """

    technique: str
    sample: Sample
    file: Path
    options: BaseModel
    identity: dict[str, Any]
    key: str


def load_experiment(path: str | Path) -> ExperimentFile:
    """Read and validate an experiment file; the measured files are not looked at.

    Raises
    ------
    RocksaltError
        One line with file, key and remedy.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RocksaltError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RocksaltError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RocksaltError(f"{path}: give 'sample' and 'measurements'")
    try:
        return ExperimentFile(**data)
    except (ValidationError, TypeError) as error:
        raise RocksaltError(f"{path}: {_first_fault(error)}") from error


def task_of(measurement: Measurement, sample: Sample, folder: Path) -> Task:
    """Return a measurement as a task; files are taken from the folder of the experiment file.

    Raises
    ------
    RocksaltError
        For an unknown technique, a wrong option or a file that cannot be read.
    """
    given = dict(measurement.model_extra or {})
    module = get_technique(measurement.technique)
    file = folder / measurement.file
    try:
        options = module.Options(**given)
    except ValidationError as error:
        known = ", ".join(module.Options.model_fields)
        raise MeasurementError(
            f"{file}: {measurement.technique}: {_first_fault(error)}; options: {known}"
        ) from error
    given_names = sorted(options.model_fields_set)  # a technique may treat its defaults otherwise
    found = {name: _from(folder, getattr(options, name)) for name in given_names}
    options = options.model_copy(update=found)
    identity = {name: _by_content(found[name]) for name in given_names}
    sha = file_sha256(file)
    key = digest([measurement.technique, sha, identity, sample.model_dump(mode="json")])
    return Task(measurement.technique, sample, file, options, identity, key)


def analyse(task: Task) -> tuple[ExperimentDoc, Analysis]:
    """Return the document of a task, without its curves, and the analysis with them.

    Raises
    ------
    MeasurementError
        When the file does not give what its technique asks for.
    """
    module = get_technique(task.technique)
    try:
        found = module.analyse(task.file, task.sample, task.options)
        document = _document(task, found)
    except MeasurementError as error:
        said = str(error)
        where = "" if str(task.file) in said else f"{task.file}: "
        raise MeasurementError(f"{where}{task.technique}: {said}" if where else said) from error
    except RocksaltError as error:
        raise MeasurementError(f"{task.file}: {task.technique}: {error}") from error
    except Exception as error:  # whatever an analysis stumbles over, the others are to be done
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MeasurementError(f"{task.file}: {task.technique}: unexpected {reason}") from error
    return document, found


def _document(task: Task, found: Analysis) -> ExperimentDoc:
    """Return what is stored of an analysis, but for its curves."""
    return ExperimentDoc(
        key=task.key,
        technique=task.technique,
        sample=task.sample.model_dump(mode="json"),
        dopant=task.sample.dopant,
        host=task.sample.host,
        file=task.file.name,
        file_sha256=file_sha256(task.file),
        options=task.identity,
        parameters=dict(found.parameters),
        values={
            name: MeasuredQuantity(value=q.value, uncertainty=q.uncertainty, unit=q.unit)
            for name, q in found.values.items()
        },
        remarks=found.remarks,
        versions=dict(_versions()),
    )


def stored(store: JobStore, key: str) -> ExperimentDoc | None:
    """Return an analysed measurement that the store has, without its curves."""
    output = load_document(store, key)
    if output is None or output.get("schema_version") != SCHEMA_VERSION:
        return None
    return ExperimentDoc.model_validate({**output, "arrays": None})


def save(store: JobStore, document: ExperimentDoc, analysis: Analysis) -> None:
    """Store a measurement; its curves go to the additional store ``data`` where there is one."""
    name = f"{document.technique} {document.sample['name']}"
    metadata = {"sample": document.sample["name"], "technique": document.technique}
    entry = record(document.key, "experiment", document, name, **metadata)
    entry["output"]["arrays"] = {key: array.tolist() for key, array in analysis.arrays.items()}
    kept_apart: dict[str, Any] = {"data": ["arrays"]} if "data" in additional_stores(store) else {}
    store.update([entry], key=["uuid", "index"], save=kept_apart)


def _from(folder: Path, value: Any) -> Any:
    """Return an option with its files as they are found from here."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, dict):
        return {key: _from(folder, each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_from(folder, each) for each in value)
    if isinstance(value, BaseModel):  # a technique's own, as of a list of files
        return value.model_copy(update=_from(folder, dict(value)))
    return value


def _by_content(value: Any) -> Any:
    """Return an option as it enters an identity: a file by what it holds, wherever it lies."""
    if isinstance(value, Path):
        return file_sha256(value)
    if isinstance(value, dict):
        return {str(key): _by_content(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_by_content(each) for each in value]
    if isinstance(value, BaseModel):
        return _by_content(dict(value))
    return value


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _first_fault(error: ValidationError | TypeError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    if first["type"] == "missing":
        return f"{place}: is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"
