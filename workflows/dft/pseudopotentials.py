"""Pseudopotential files of Quantum ESPRESSO: one per element from a folder, read and checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from rocksalt.screening.errors import CalculationError, RocksaltError

PBE_NAMES = ({"PBE"}, {"SLA", "PW", "PBX", "PBC"}, {"SLA", "PW", "PBE"})
"""Spellings of PBE in a UPF header; PBE for both gradient corrections is an old alias."""

_NUMBER = r"[-+]?[\d.]+(?:[EeDd][-+]?\d+)?"


@dataclass(frozen=True)
class Pseudopotential:
    """What a UPF file says of itself.

    Attributes
    ----------
    path
        The file.
    element, functional
        As in its header.
    valence
        Number of valence electrons.
    cutoff_ry
        Wavefunction cutoff that its author suggests, Ry; None if there is none.
    orbitals
        Atomic orbitals it holds, for example ('4s', '3d'): projectors of U are made of them.
    sha256
        Of the file.
    """

    path: Path
    element: str
    functional: str
    valence: float
    cutoff_ry: float | None
    orbitals: tuple[str, ...]
    sha256: str

    @property
    def d_orbital(self) -> str | None:
        """The d shell that U acts on ('3d'), the outermost one; None without any."""
        return max((name for name in self.orbitals if name.endswith("d")), default=None)


def pseudopotential(folder: Path, element: str) -> Pseudopotential:
    """Return the pseudopotential of an element from a folder that holds one per element.

    Parameters
    ----------
    folder
        Its UPF files begin with the element's symbol, in any case, as those of SSSP, PSlibrary, GBRV
        and PseudoDojo do.
    element
        Symbol.

    Raises
    ------
    CalculationError
        When there is none or more than one, or the one is of another element or functional.
    RocksaltError
        When the folder cannot be read.
    """
    named = re.compile(rf"{element}(?![a-z])", re.IGNORECASE)
    try:
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() == ".upf" and named.match(file.name)
        )
    except OSError as error:
        raise RocksaltError(
            f"{folder}: cannot be read: {error.strerror}: set espresso_pseudo_dir "
            "(ROCKSALT_ESPRESSO_PSEUDO_DIR) to a folder with one UPF file per element"
        ) from error
    if not files:
        raise CalculationError(
            f"{folder}: no pseudopotential of {element} (a file {element}*.UPF): put one for PBE there"
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise CalculationError(
            f"{folder}: {len(files)} pseudopotentials of {element} ({names}): keep one of them there"
        )
    found = read_upf(files[0])
    if found.element != element:
        raise CalculationError(
            f"{found.path}: its header says that it is of {found.element}, its name {element}: "
            "replace it"
        )
    if not _is_pbe(found.functional):
        raise CalculationError(
            f"{found.path}: made with the functional {found.functional!r}, not PBE: replace it by one "
            "for PBE"
        )
    return found


def read_upf(path: Path) -> Pseudopotential:
    """Read the header of a UPF file, of version 1 or 2.

    Raises
    ------
    CalculationError
        When it has none, or lacks element, functional or valence.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CalculationError(f"{path}: cannot be read: {error.strerror}") from error
    text = content.decode("utf-8", errors="replace")
    header = re.search(r"<PP_HEADER\b(.*?)(?:/>|</PP_HEADER>)", text, re.DOTALL)
    if header is None:
        raise CalculationError(f"{path}: no PP_HEADER in it: it is not a UPF file: replace it")
    body = header.group(1)
    fields = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', body)) or _fields_of_version_1(body)
    try:
        valence = _float(fields["z_valence"])
        element, functional = fields["element"].strip(), " ".join(fields["functional"].split())
    except (KeyError, ValueError) as error:
        raise CalculationError(
            f"{path}: its PP_HEADER lacks element, functional or valence: replace it"
        ) from error
    cutoff = _float(fields.get("wfc_cutoff") or "0")
    return Pseudopotential(
        path=path,
        element=element,
        functional=functional,
        valence=valence,
        cutoff_ry=cutoff if cutoff > 0 else None,
        orbitals=_orbitals(text),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _float(text: str) -> float:
    return float(text.strip().lower().replace("d", "e"))


def _fields_of_version_1(body: str) -> dict[str, str]:
    """Return the fields of a header whose lines are a value and what it is."""
    patterns = {
        "element": r"^\s*([A-Z][a-z]?)\s+Element",
        "functional": r"^\s*(.+?)\s+(?:\S+\s+)?Exchange-Corr",
        "z_valence": rf"^\s*({_NUMBER})\s+Z valence",
        "wfc_cutoff": rf"^\s*({_NUMBER})\s+{_NUMBER}\s+Suggested cutoff",
    }
    found = {key: re.search(pattern, body, re.MULTILINE) for key, pattern in patterns.items()}
    return {key: match.group(1) for key, match in found.items() if match}


def _orbitals(text: str) -> tuple[str, ...]:
    """Return the labels of the atomic wavefunctions; those with negative occupation are not bound."""
    section = re.search(r"<PP_PSWFC\b.*?</PP_PSWFC>", text, re.DOTALL)
    if section is None:
        return ()
    labels = []
    for tag in re.findall(r"<PP_CHI\b.*?>", section.group(), re.DOTALL):
        fields = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', tag))
        if _float(fields.get("occupation", "0")) >= 0:
            labels.append(fields.get("label", ""))
    if not labels:
        labels = re.findall(
            r"^\s*(\d[SPDFspdf])\s+\d\s+[\d.]+\s+Wavefunction", section.group(), re.MULTILINE
        )
    return tuple(label.strip().lower() for label in labels if label.strip())


def _is_pbe(functional: str) -> bool:
    return set(re.split(r"[\s+-]+", functional.upper().strip())) in PBE_NAMES
