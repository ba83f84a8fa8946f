"""Oxide prototypes as facts of crystallography: space group, lattice, Wyckoff positions, source.

Lattices have the lengths of the compound in the reference; only their shape is used. Where two
cations take turns on the positions of one in the reference, the cell is an ordering of it.
"""

from __future__ import annotations

from dataclasses import dataclass

Position = tuple[float, float, float]
Site = tuple[str, str, Position]
"""Role, Wyckoff position, and fractional coordinates of one of its points."""


@dataclass(frozen=True)
class Prototype:
    """One oxide prototype.

    Attributes
    ----------
    name
        Unique together with `formula`.
    aflow_label
        Label by the rules of the AFLOW encyclopedia, for the compound in the reference. An ordering
        has the label that these rules give it.
    space_group
        Hermann-Mauguin symbol as pymatgen reads it; ':2' is the second origin choice.
    lattice
        Conventional cell: a, b, c in angstrom, alpha, beta, gamma in degrees.
    sites
        Role ('A', 'B', 'Li' or 'O'), Wyckoff position and fractional coordinates of each orbit.
    formula
        In roles: 'A2BO4'.
    reference
        Where lattice and positions come from.
    interchangeable
        Whether A and B can be exchanged without changing the topology.
    """

    name: str
    aflow_label: str
    space_group: str
    lattice: tuple[float, float, float, float, float, float]
    sites: tuple[Site, ...]
    formula: str
    reference: str
    interchangeable: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """The cation roles, in the order Li, A, B."""
        held = {role for role, _, _ in self.sites}
        return tuple(role for role in ("Li", "A", "B") if role in held)


_Cell = tuple[float, float, float, float, float, float]


def _cubic(a: float) -> _Cell:
    return (a, a, a, 90, 90, 90)


def _tetragonal(a: float, c: float) -> _Cell:
    return (a, a, c, 90, 90, 90)


def _hexagonal(a: float, c: float) -> _Cell:
    return (a, a, c, 90, 90, 120)


def _orthorhombic(a: float, b: float, c: float) -> _Cell:
    return (a, b, c, 90, 90, 90)


def _monoclinic(a: float, b: float, c: float, beta: float) -> _Cell:
    return (a, b, c, 90, beta, 90)


BINARY: tuple[Prototype, ...] = (
    Prototype(
        "cuprite",
        "A2B_cP6_224_b_a",
        "Pn-3m",
        _cubic(4.267),
        (("A", "4b", (1 / 4, 1 / 4, 1 / 4)), ("O", "2a", (0, 0, 0))),
        "A2O",
        "Cu2O: Kirfel and Eichhorn, Acta Cryst. A 46, 271 (1990)",
    ),
    Prototype(
        "anti-fluorite",
        "A2B_cF12_225_c_a",
        "Fm-3m",
        _cubic(4.619),
        (("A", "8c", (1 / 4, 1 / 4, 1 / 4)), ("O", "4a", (0, 0, 0))),
        "A2O",
        "Li2O: Zintl, Harder and Dauth, Z. Elektrochem. 40, 588 (1934)",
    ),
    Prototype(
        "anti-CdCl2",
        "A2B_hR3_166_c_a",
        "R-3m",
        _hexagonal(4.256, 18.99),
        (("A", "6c", (0, 0, 0.256)), ("O", "3a", (0, 0, 0))),
        "A2O",
        "Cs2O: Tsai, Harris and Lassettre, J. Phys. Chem. 60, 338 (1956)",
    ),
    Prototype(
        "wurtzite",
        "AB_hP4_186_b_b",
        "P6_3mc",
        _hexagonal(3.8227, 6.2607),
        (("A", "2b", (1 / 3, 2 / 3, 0)), ("O", "2b", (1 / 3, 2 / 3, 0.3748))),
        "AO",
        "ZnS: Kisi and Elcombe, Acta Cryst. C 45, 1867 (1989)",
    ),
    Prototype(
        "zincblende",
        "AB_cF8_216_c_a",
        "F-43m",
        _cubic(5.4093),
        (("A", "4a", (0, 0, 0)), ("O", "4c", (1 / 4, 1 / 4, 1 / 4))),
        "AO",
        "ZnS: Skinner, Am. Mineral. 46, 1399 (1961)",
    ),
    Prototype(
        "NiAs",
        "AB_hP4_194_c_a",
        "P6_3/mmc",
        _hexagonal(3.619, 5.044),
        (("A", "2a", (0, 0, 0)), ("O", "2c", (1 / 3, 2 / 3, 1 / 4))),
        "AO",
        "NiAs: Brand and Briest, Z. anorg. allg. Chem. 337, 209 (1965)",
    ),
    Prototype(
        "tenorite",
        "AB_mC8_15_c_e",
        "C2/c",
        _monoclinic(4.6837, 3.4226, 5.1288, 99.54),
        (("A", "4c", (1 / 4, 1 / 4, 0)), ("O", "4e", (0, 0.4184, 1 / 4))),
        "AO",
        "CuO: Asbrink and Norrby, Acta Cryst. B 26, 8 (1970)",
    ),
    Prototype(
        "litharge",
        "AB_tP4_129_a_c",
        "P4/nmm",
        _tetragonal(3.9645, 4.9956),
        (("A", "2c", (0, 1 / 2, 0.2368)), ("O", "2a", (0, 0, 0))),
        "AO",
        "PbO: Boher et al., J. Solid State Chem. 57, 343 (1985), as in AFLOW AB_tP4_129_a_c",
    ),
    Prototype(
        "PdO",
        "AB_tP4_131_e_c",
        "P4_2/mmc",
        _tetragonal(3.03, 5.33),
        (("A", "2c", (0, 1 / 2, 0)), ("O", "2e", (0, 0, 1 / 4))),
        "AO",
        "PdO: Waser, Levy and Peterson, Acta Cryst. 6, 661 (1953)",
    ),
    Prototype(
        "NbO",
        "AB_cP6_221_c_d",
        "Pm-3m",
        _cubic(4.2101),
        (("A", "3c", (0, 1 / 2, 1 / 2)), ("O", "3d", (1 / 2, 0, 0))),
        "AO",
        "NbO: Bowman, Wallace, Yarnell and Wenzel, Acta Cryst. 21, 843 (1966)",
    ),
    Prototype(
        "spinel",
        "A3B4_cF56_227_ad_e",
        "Fd-3m:2",
        _cubic(8.0835),
        (
            ("A", "8a", (1 / 8, 1 / 8, 1 / 8)),
            ("A", "16d", (1 / 2, 1 / 2, 1 / 2)),
            ("O", "32e", (0.2642, 0.2642, 0.2642)),
        ),
        "A3O4",
        "Co3O4: Knop, Reid, Sutarno and Nakagawa, Can. J. Chem. 46, 3463 (1968)",
    ),
    Prototype(
        "hausmannite",
        "A3B4_tI28_141_ad_h",
        "I4_1/amd",
        _tetragonal(5.765, 9.442),
        (
            ("A", "4a", (0, 0, 0)),
            ("A", "8d", (0, 3 / 4, 5 / 8)),
            ("O", "16h", (0, 0.7778, 0.3839)),
        ),
        "A3O4",
        "Mn3O4: Jarosch, Mineral. Petrol. 37, 15 (1987)",
    ),
    Prototype(
        "corundum",
        "A2B3_hR10_167_c_e",
        "R-3c",
        _hexagonal(4.7607, 12.9947),
        (("A", "12c", (0, 0, 0.35216)), ("O", "18e", (0.3061, 0, 1 / 4))),
        "A2O3",
        "Al2O3: Finger and Hazen, J. Appl. Phys. 49, 5823 (1978)",
    ),
    Prototype(
        "bixbyite",
        "A2B3_cI80_206_bd_e",
        "Ia-3",
        _cubic(9.4),
        (
            ("A", "8b", (1 / 4, 1 / 4, 1 / 4)),
            ("A", "24d", (-0.0344, 0, 1 / 4)),
            ("O", "48e", (0.338, 0.1, 0.125)),
        ),
        "A2O3",
        "(Mn,Fe)2O3: Dachs, Z. Kristallogr. 107, 370 (1956)",
    ),
    Prototype(
        "La2O3",
        "A2B3_hP5_164_d_ad",
        "P-3m1",
        _hexagonal(3.9381, 6.1361),
        (
            ("A", "2d", (1 / 3, 2 / 3, 0.24543)),
            ("O", "1a", (0, 0, 0)),
            ("O", "2d", (1 / 3, 2 / 3, 0.6471)),
        ),
        "A2O3",
        "La2O3: Aldebert and Traverse, Materials Research Bulletin 14, 303 (1979)",
    ),
    Prototype(
        "rutile",
        "A2B_tP6_136_f_a",
        "P4_2/mnm",
        _tetragonal(4.5922, 2.9574),
        (("A", "2a", (0, 0, 0)), ("O", "4f", (0.30496, 0.30496, 0))),
        "AO2",
        "TiO2: Swope, Smyth and Larson, Am. Mineral. 80, 448 (1995)",
    ),
    Prototype(
        "anatase",
        "A2B_tI12_141_e_a",
        "I4_1/amd",
        _tetragonal(3.785, 9.514),
        (("A", "4a", (0, 0, 0)), ("O", "8e", (0, 0, 0.20806))),
        "AO2",
        "TiO2: Howard, Sabine and Dickson, Acta Cryst. B 47, 462 (1991)",
    ),
    Prototype(
        "brookite",
        "A2B_oP24_61_2c_c",
        "Pbca",
        _orthorhombic(9.174, 5.449, 5.138),
        (
            ("A", "8c", (0.1289, 0.0972, 0.8628)),
            ("O", "8c", (0.0095, 0.1491, 0.1835)),
            ("O", "8c", (0.2314, 0.1110, 0.5366)),
        ),
        "AO2",
        "TiO2: Meagher and Lager, Can. Mineral. 17, 77 (1979)",
    ),
    Prototype(
        "alpha-PbO2",
        "A2B_oP12_60_d_c",
        "Pbcn",
        _orthorhombic(4.9898, 5.9474, 5.4656),
        (("A", "4c", (0, 0.1779, 1 / 4)), ("O", "8d", (0.2685, 0.401, 0.4248))),
        "AO2",
        "PbO2: Hill, Materials Research Bulletin 17, 769 (1982)",
    ),
    Prototype(
        "ramsdellite",
        "A2B_oP12_62_2c_c",
        "Pnma",
        _orthorhombic(9.27, 2.866, 4.533),
        (
            ("A", "4c", (0.636, 1 / 4, 0.478)),
            ("O", "4c", (0.27, 1 / 4, 0.33)),
            ("O", "4c", (0.467, 1 / 4, 0.71)),
        ),
        "AO2",
        "MnO2: Bystrom, Acta Chem. Scand. 3, 163 (1949), from the setting Pbnm",
    ),
    Prototype(
        "hollandite",
        "A2B_tI24_87_2h_h",
        "I4/m",
        _tetragonal(9.96, 2.86),
        (
            ("A", "8h", (0.348, 0.167, 0)),
            ("O", "8h", (0.153, 0.18, 0)),
            ("O", "8h", (0.542, 0.167, 0)),
        ),
        "AO2",
        "MnO2 frame of hollandite: Bystrom and Bystrom, Acta Cryst. 3, 146 (1950)",
    ),
    Prototype(
        "fluorite",
        "AB2_cF12_225_a_c",
        "Fm-3m",
        _cubic(5.4631),
        (("A", "4a", (0, 0, 0)), ("O", "8c", (1 / 4, 1 / 4, 1 / 4))),
        "AO2",
        "CaF2: Speziale and Duffy, Phys. Chem. Miner. 29, 465 (2002)",
    ),
    Prototype(
        "baddeleyite",
        "A2B_mP12_14_2e_e",
        "P2_1/c",
        _monoclinic(5.1505, 5.2116, 5.3173, 99.23),
        (
            ("A", "4e", (0.2754, 0.0395, 0.2083)),
            ("O", "4e", (0.07, 0.3317, 0.3447)),
            ("O", "4e", (0.4496, 0.7569, 0.4792)),
        ),
        "AO2",
        "ZrO2: Howard, Hill and Reichert, Acta Cryst. B 44, 116 (1988)",
    ),
    Prototype(
        "CdI2",
        "AB2_hP3_164_a_d",
        "P-3m1",
        _hexagonal(4.24, 6.84),
        (("A", "1a", (0, 0, 0)), ("O", "2d", (1 / 3, 2 / 3, 0.252))),
        "AO2",
        "CdI2: Bozorth, J. Am. Chem. Soc. 44, 2232 (1922)",
    ),
    Prototype(
        "quartz",
        "A2B_hP9_152_c_a",
        "P3_121",
        _hexagonal(4.914, 5.406),
        (("A", "3a", (0.4699, 0, 1 / 3)), ("O", "6c", (0.413, 0.2668, 0.214))),
        "AO2",
        "SiO2: alpha quartz as in AFLOW A2B_hP9_152_c_a",
    ),
    Prototype(
        "V2O5",
        "A5B2_oP14_59_a2f_f",
        "Pmmn:2",
        _orthorhombic(11.512, 3.564, 4.368),
        (
            ("A", "4f", (0.10118, 1 / 4, 0.891)),
            ("O", "2a", (1 / 4, 1 / 4, 0.001)),
            ("O", "4f", (0.1043, 1 / 4, 0.531)),
            ("O", "4f", (-0.0689, 1 / 4, 0.003)),
        ),
        "A2O5",
        "V2O5: Enjalbert and Galy, Acta Cryst. C 42, 1467 (1986)",
    ),
    Prototype(
        "beta-Ta2O5",
        "A5B2_oP14_49_dehq_ab",
        "Pccm",
        _orthorhombic(3.67054, 6.22299, 7.80151),
        (
            ("A", "2a", (0, 0, 0)),
            ("A", "2b", (1 / 2, 1 / 2, 0)),
            ("O", "2d", (1 / 2, 0, 0)),
            ("O", "2e", (0, 0, 1 / 4)),
            ("O", "2h", (1 / 2, 1 / 2, 1 / 4)),
            ("O", "4q", (0.002, 0.681, 0)),
        ),
        "A2O5",
        "Ta2O5: Aleshina and Loginova, Crystallogr. Rep. 47, 415 (2002)",
    ),
    Prototype(
        "ReO3",
        "A3B_cP4_221_d_a",
        "Pm-3m",
        _cubic(3.734),
        (("A", "1a", (0, 0, 0)), ("O", "3d", (1 / 2, 0, 0))),
        "AO3",
        "ReO3: Meisel, Z. anorg. allg. Chem. 207, 121 (1932)",
    ),
    Prototype(
        "MoO3",
        "AB3_oP16_62_c_3c",
        "Pnma",
        _orthorhombic(13.855, 3.6964, 3.9628),
        (
            ("A", "4c", (0.398, 1 / 4, 0.425)),
            ("O", "4c", (0.074, 1 / 4, -0.026)),
            ("O", "4c", (0.414, 1 / 4, -0.066)),
            ("O", "4c", (0.276, 1 / 4, 0.49)),
        ),
        "AO3",
        "MoO3: Sitepu, O'Connor and Li, J. Appl. Cryst. 38, 158 (2005)",
    ),
)
"""Oxides of one cation. Rock salt is the screen's own end member."""

_SPINEL = "MgAl2O4: Hill, Craig and Gibbs, Phys. Chem. Miner. 4, 317 (1979)"
_OXYGEN_OF_SPINEL: Site = ("O", "32e", (0.2624, 0.2624, 0.2624))

TERNARY: tuple[Prototype, ...] = (
    Prototype(
        "spinel",
        "A2BC4_cF56_227_d_a_e",
        "Fd-3m:2",
        _cubic(8.0832),
        (("A", "8a", (1 / 8,) * 3), ("B", "16d", (1 / 2,) * 3), _OXYGEN_OF_SPINEL),
        "AB2O4",
        _SPINEL,
    ),
    Prototype(
        "inverse spinel",
        "AB2C4_oI28_74_b_ce_hi",
        "Imma",
        _orthorhombic(5.7157, 5.7157, 8.0832),
        (
            ("A", "4b", (0, 0, 1 / 2)),
            ("B", "4e", (0, 1 / 4, 0.875)),
            ("B", "4c", (1 / 4, 1 / 4, 1 / 4)),
            ("O", "8h", (0, 0.5248, 0.7376)),
            ("O", "8i", (0.7252, 1 / 4, 0.0124)),
        ),
        "AB2O4",
        f"{_SPINEL}, with A and half of B in chains on the octahedral positions",
    ),
    Prototype(
        "ilmenite",
        "AB3C_hR10_148_c_f_c",
        "R-3",
        _hexagonal(5.0884, 14.0855),
        (
            ("A", "6c", (0, 0, 0.35537)),
            ("B", "6c", (0, 0, 0.1464)),
            ("O", "18f", (-0.02332, 0.29411, 0.24506)),
        ),
        "ABO3",
        "FeTiO3: Wechsler and Prewitt, Am. Mineral. 69, 176 (1984)",
        interchangeable=True,
    ),
    Prototype(
        "LiNbO3",
        "ABC3_hR10_161_a_a_b",
        "R3c",
        _hexagonal(5.2542, 13.8759),
        (
            ("A", "6a", (0, 0, 0.2875)),
            ("B", "6a", (0, 0, 0.0128)),
            ("O", "18b", (0.6631, 0.7207, 0.08333)),
        ),
        "ABO3",
        "LiNbO3: Boysen and Altorfer, Acta Cryst. B 50, 405 (1994)",
        interchangeable=True,
    ),
    Prototype(
        "cubic perovskite",
        "AB3C_cP5_221_a_c_b",
        "Pm-3m",
        _cubic(3.795),
        (
            ("A", "1a", (0, 0, 0)),
            ("B", "1b", (1 / 2, 1 / 2, 1 / 2)),
            ("O", "3c", (0, 1 / 2, 1 / 2)),
        ),
        "ABO3",
        "CaTiO3: Barth, Norsk Geol. Tidsskr. 8, 14 (1925)",
    ),
    Prototype(
        "orthorhombic perovskite",
        "AB3C_oP20_62_c_cd_a",
        "Pnma",
        _orthorhombic(5.4224, 7.651, 5.4043),
        (
            ("A", "4c", (0.4877, 1 / 4, -0.0084)),
            ("B", "4a", (0, 0, 0)),
            ("O", "4c", (0.0313, 1 / 4, 0.0586)),
            ("O", "8d", (0.288, 0.537, 0.213)),
        ),
        "ABO3",
        "CaTiO3: Yamanaka, Hirai and Komatsu, Am. Mineral. 87, 1183 (2002)",
    ),
    Prototype(
        "delafossite",
        "ABC2_hP8_194_a_c_f",
        "P6_3/mmc",
        _hexagonal(2.863, 11.314),
        (
            ("A", "2c", (1 / 3, 2 / 3, 1 / 4)),
            ("B", "2a", (0, 0, 0)),
            ("O", "4f", (1 / 3, 2 / 3, 0.0851)),
        ),
        "ABO2",
        "CuAlO2: Koehler and Jansen, Z. anorg. allg. Chem. 543, 73 (1986)",
    ),
    Prototype(
        "ordered rutile",
        "ABC4_oC12_65_a_c_gj",
        "Cmmm",
        _orthorhombic(6.49435, 6.49435, 2.9574),
        (
            ("A", "2a", (0, 0, 0)),
            ("B", "2c", (1 / 2, 0, 1 / 2)),
            ("O", "4g", (0.30496, 0, 0)),
            ("O", "4j", (0, 0.19504, 1 / 2)),
        ),
        "ABO4",
        "TiO2: Swope, Smyth and Larson, Am. Mineral. 80, 448 (1995), with A and B in chains",
        interchangeable=True,
    ),
    Prototype(
        "wolframite",
        "AB4C_mP12_13_f_2g_e",
        "P2/c",
        _monoclinic(4.68, 5.66, 4.92, 90.33333),
        (
            ("A", "2f", (1 / 2, 0.6592, 1 / 4)),
            ("B", "2e", (0, 0.1818, 1 / 4)),
            ("O", "4g", (0.221, 0.101, -0.07)),
            ("O", "4g", (0.266, 0.384, 0.391)),
        ),
        "ABO4",
        "MgWO4: Kravchenko, J. Struct. Chem. 10, 139 (1969)",
        interchangeable=True,
    ),
    Prototype(
        "scheelite",
        "AB4C_tI24_88_b_f_a",
        "I4_1/a",
        _tetragonal(5.243, 11.376),
        (
            ("A", "4b", (0, 0, 1 / 2)),
            ("B", "4a", (0, 0, 0)),
            ("O", "16f", (0.2413, 0.1511, 0.0861)),
        ),
        "ABO4",
        "CaWO4: Zalkin and Templeton, J. Chem. Phys. 40, 501 (1964)",
    ),
    Prototype(
        "zircon",
        "A4BC_tI24_141_h_b_a",
        "I4_1/amd",
        _tetragonal(6.6042, 5.9796),
        (("A", "4a", (0, 0, 0)), ("B", "4b", (0, 0, 1 / 2)), ("O", "16h", (0, 0.8161, 0.3203))),
        "ABO4",
        "ZrSiO4: Hazen and Finger, Am. Mineral. 64, 196 (1979)",
    ),
    Prototype(
        "K2NiF4",
        "AB2C4_tI14_139_a_e_ce",
        "I4/mmm",
        _tetragonal(3.7817, 13.2487),
        (
            ("A", "4e", (0, 0, 0.36075)),
            ("B", "2a", (0, 0, 0)),
            ("O", "4c", (0, 1 / 2, 0)),
            ("O", "4e", (0, 0, 0.1824)),
        ),
        "A2BO4",
        "(La,Ba)2CuO4: Jorgensen et al., Phys. Rev. Lett. 58, 1024 (1987)",
    ),
    Prototype(
        "olivine",
        "A2B4C_oP28_62_ac_2cd_c",
        "Pnma",
        _orthorhombic(10.20141, 5.98348, 4.75534),
        (
            ("A", "4a", (0, 0, 0)),
            ("A", "4c", (0.2772, 1 / 4, 0.9914)),
            ("B", "4c", (0.0937, 1 / 4, 0.426)),
            ("O", "4c", (0.0909, 1 / 4, 0.7627)),
            ("O", "4c", (0.4494, 1 / 4, 0.2204)),
            ("O", "8d", (0.1615, 0.0366, 0.2782)),
        ),
        "A2BO4",
        "Mg2SiO4: Yamazaki and Toraya, J. Appl. Cryst. 32, 51 (1999)",
    ),
    Prototype(
        "pseudobrookite",
        "A2B5C_oC32_63_f_c2f_c",
        "Cmcm",
        _orthorhombic(3.7318, 9.7933, 9.9786),
        (
            ("A", "8f", (0, 0.1367, 0.5649)),
            ("B", "4c", (0, 0.18848, 1 / 4)),
            ("O", "4c", (0, 0.7617, 1 / 4)),
            ("O", "8f", (0, 0.048, 0.1167)),
            ("O", "8f", (0, 0.3108, 0.0709)),
        ),
        "A2BO5",
        "Fe2TiO5: Guo, Malus, Ryan and Altounian, J. Phys. Condens. Matter 11, 6337 (1999)",
    ),
    Prototype(
        "columbite",
        "AB2C6_oP36_60_c_d_3d",
        "Pbcn",
        _orthorhombic(14.2661, 5.7334, 5.0495),
        (
            ("A", "4c", (0, 0.3311, 1 / 4)),
            ("B", "8d", (0.3389, 0.3191, 0.2506)),
            ("O", "8d", (0.0963, 0.1041, 0.0727)),
            ("O", "8d", (0.4189, 0.1163, 0.099)),
            ("O", "8d", (0.756, 0.1236, 0.0793)),
        ),
        "AB2O6",
        "FeNb2O6: Bordet, McHale, Santoro and Roth, J. Solid State Chem. 64, 30 (1986)",
    ),
    Prototype(
        "trirutile",
        "A6B2C_tP18_136_fj_e_a",
        "P4_2/mnm",
        _tetragonal(4.66, 9.24),
        (
            ("A", "2a", (0, 0, 0)),
            ("B", "4e", (0, 0, 1 / 3)),
            ("O", "4f", (0.305, 0.305, 0)),
            ("O", "8j", (0.305, 0.305, 1 / 3)),
        ),
        "AB2O6",
        "ZnSb2O6: Bystrom, Hok and Mason, Ark. Kemi Mineral. Geol. 15B, 1 (1941); "
        "positions those of three cells of rutile",
    ),
    Prototype(
        "pyrochlore",
        "A2B2C7_cF88_227_c_d_af",
        "Fd-3m:2",
        _cubic(10.2663),
        (
            ("A", "16c", (0, 0, 0)),
            ("B", "16d", (1 / 2, 1 / 2, 1 / 2)),
            ("O", "8a", (1 / 8, 1 / 8, 1 / 8)),
            ("O", "48f", (0.4157, 1 / 8, 1 / 8)),
        ),
        "A2B2O7",
        "Eu2Ir2O7: Sagayama et al., Phys. Rev. B 87, 100403 (2013)",
    ),
    Prototype(
        "Mg6MnO8",
        "A6BC8_cF60_225_d_a_ce",
        "Fm-3m",
        _cubic(8.381),
        (
            ("A", "24d", (0, 1 / 4, 1 / 4)),
            ("B", "4a", (0, 0, 0)),
            ("O", "8c", (1 / 4, 1 / 4, 1 / 4)),
            ("O", "24e", (0.23, 0, 0)),
        ),
        "A6BO8",
        "Mg6MnO8: Kasper and Prener, Acta Cryst. 7, 246 (1954)",
    ),
)
"""Oxides of two cations, A and B."""

_LAYERED = "LiCoO2: Orman and Wiseman, Acta Cryst. C 40, 12 (1984)"
_HONEYCOMB = "Li2MnO3: Strobel and Lambert-Andron, J. Solid State Chem. 75, 90 (1988)"

LITHIUM: tuple[Prototype, ...] = (
    Prototype(
        "layered",
        "ABC2_hR4_166_a_b_c",
        "R-3m",
        _hexagonal(2.816, 14.08),
        (("Li", "3b", (0, 0, 1 / 2)), ("A", "3a", (0, 0, 0)), ("O", "6c", (0, 0, 0.26))),
        "LiAO2",
        _LAYERED,
    ),
    Prototype(
        "orthorhombic LiMnO2",
        "ABC2_oP8_59_a_a_2b",
        "Pmmn:2",
        _orthorhombic(2.805, 4.572, 5.757),
        (
            ("Li", "2a", (1 / 4, 1 / 4, 0.126)),
            ("A", "2a", (1 / 4, 1 / 4, 0.634)),
            ("O", "2b", (1 / 4, 3 / 4, 0.144)),
            ("O", "2b", (1 / 4, 3 / 4, 0.602)),
        ),
        "LiAO2",
        "LiMnO2: Hoppe, Brachtel and Jansen, Z. anorg. allg. Chem. 417, 1 (1975)",
    ),
    Prototype(
        "gamma-LiFeO2",
        "ABC2_tI16_141_a_b_e",
        "I4_1/amd",
        _tetragonal(4.047, 8.746),
        (("Li", "4b", (0, 0, 1 / 2)), ("A", "4a", (0, 0, 0)), ("O", "8e", (0, 0, 1 / 4))),
        "LiAO2",
        "LiFeO2: Barre and Catti, J. Solid State Chem. 182, 2549 (2009); oxygen as in rock salt",
    ),
    Prototype(
        "LiGaO2",
        "ABC2_oP16_33_a_a_2a",
        "Pna2_1",
        _orthorhombic(5.402, 6.372, 5.007),
        (
            ("Li", "4a", (0.4207, 0.1267, 0.4936)),
            ("A", "4a", (0.0821, 0.1263, 0)),
            ("O", "4a", (0.4066, 0.1388, 0.8972)),
            ("O", "4a", (0.0697, 0.1121, 0.3708)),
        ),
        "LiAO2",
        "LiGaO2: Marezio, Acta Cryst. 18, 481 (1965)",
    ),
    Prototype(
        "spinel",
        "AB2C4_cF56_227_a_d_e",
        "Fd-3m:2",
        _cubic(8.0832),
        (("Li", "8a", (1 / 8,) * 3), ("A", "16d", (1 / 2,) * 3), _OXYGEN_OF_SPINEL),
        "LiA2O4",
        _SPINEL,
    ),
    Prototype(
        "Li2MnO3",
        "A2BC3_mC24_12_bch_g_ij",
        "C2/m",
        _monoclinic(4.937, 8.532, 5.030, 109.46),
        (
            ("Li", "2b", (0, 1 / 2, 0)),
            ("Li", "2c", (0, 0, 1 / 2)),
            ("Li", "4h", (0, 0.6606, 1 / 2)),
            ("A", "4g", (0, 0.16708, 0)),
            ("O", "4i", (0.21894, 0, 0.22732)),
            ("O", "8j", (0.25404, 0.32119, 0.22332)),
        ),
        "Li2AO3",
        _HONEYCOMB,
    ),
    Prototype(
        "LiNbO3",
        "ABC3_hR10_161_a_a_b",
        "R3c",
        _hexagonal(5.2542, 13.8759),
        (
            ("Li", "6a", (0, 0, 0.2875)),
            ("A", "6a", (0, 0, 0.0128)),
            ("O", "18b", (0.6631, 0.7207, 0.08333)),
        ),
        "LiAO3",
        "LiNbO3: Boysen and Altorfer, Acta Cryst. B 50, 405 (1994)",
    ),
)
"""Oxides of lithium and one other cation, A."""

LITHIUM_TERNARY: tuple[Prototype, ...] = (
    Prototype(
        "layered",
        "ABC2D4_mC16_12_a_d_i_2i",
        "C2/m",
        _monoclinic(9.5264, 2.816, 4.8775, 99.8264),
        (
            ("Li", "4i", (1 / 4, 0, 3 / 4)),
            ("A", "2a", (0, 0, 0)),
            ("B", "2d", (0, 1 / 2, 1 / 2)),
            ("O", "4i", (0.11, 0, 0.37)),
            ("O", "4i", (0.61, 0, 0.87)),
        ),
        "Li2ABO4",
        f"{_LAYERED}, with A and B in rows",
        interchangeable=True,
    ),
    Prototype(
        "Li2MnO3",
        "ABC4D6_mC24_5_a_a_a3b_3c",
        "C2",
        _monoclinic(4.937, 8.532, 5.030, 109.46),
        (
            ("Li", "2a", (0, 1 / 2, 0)),
            ("Li", "2b", (0, 0, 1 / 2)),
            ("Li", "2b", (0, 0.3394, 1 / 2)),
            ("Li", "2b", (0, 0.6606, 1 / 2)),
            ("A", "2a", (0, 0.16708, 0)),
            ("B", "2a", (0, 0.83292, 0)),
            ("O", "4c", (0.21894, 0, 0.22732)),
            ("O", "4c", (0.25404, 0.32119, 0.22332)),
            ("O", "4c", (0.25404, 0.67881, 0.22332)),
        ),
        "Li4ABO6",
        f"{_HONEYCOMB}, with A and B in turn on the honeycomb",
        interchangeable=True,
    ),
    Prototype(
        "spinel",
        "ABCD4_oI28_74_b_c_e_hi",
        "Imma",
        _orthorhombic(5.7157, 5.7157, 8.0832),
        (
            ("Li", "4e", (0, 1 / 4, 0.875)),
            ("A", "4b", (0, 0, 1 / 2)),
            ("B", "4c", (1 / 4, 1 / 4, 1 / 4)),
            ("O", "8h", (0, 0.5248, 0.7376)),
            ("O", "8i", (0.7252, 1 / 4, 0.0124)),
        ),
        "LiABO4",
        f"{_SPINEL}, with A and B in chains on the octahedral positions",
        interchangeable=True,
    ),
)
"""Oxides of lithium and two other cations: orderings of A and B in oxides of one."""

PROTOTYPES: tuple[Prototype, ...] = BINARY + TERNARY + LITHIUM + LITHIUM_TERNARY
