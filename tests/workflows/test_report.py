"""The report: one page that is whole, safe and open about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from matplotlib.figure import Figure

from rocksalt.stores.documents import (
    ArrangementEnergy,
    CandidateDoc,
    FormationEnergyDoc,
    MixingDoc,
    MixingPoint,
    RankingDoc,
    Verdict,
)
from rocksalt.workflows.html import inline_svg
from rocksalt.workflows.report import build_report, conclusion

VOID = {"meta", "link", "br", "img", "hr", "input"}
ENGINES = ("chgnet", "sevennet-0")
HOSTS = ("Mn", "Ni")
INTERACTIONS = {"Mg": 0.04, "V": 0.12, "Pd": 0.9}


class Page(HTMLParser):
    """Collect what a test asks of a page, and check that its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens and closes in one."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Check that what closes is what opened last."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        if not {"style", "script"} & set(self.open[-1:]):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees, in one line."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def values(self, name: str) -> list[str]:
        """Return every value of one attribute."""
        return [str(attributes[name]) for _, attributes in self.tags if name in attributes]


def mixing(dopant: str, host: str, engine: str) -> MixingDoc:
    l0 = INTERACTIONS.get(dopant)
    points = [
        MixingPoint(
            fraction=x,
            value=x * (1 - x) * l0,
            spread=0.004,
            lowest=x * (1 - x) * l0 - 0.004,
            sqs=None,
            uncertainty=0.003,
            arrangements=[
                ArrangementEnergy(
                    key="k",
                    label="enumerated 1 of 1",
                    kind="enumerated",
                    multiplicity=1,
                    enthalpy_ev_per_cation=x * (1 - x) * l0 - 0.004,
                )
            ],
        )
        for x in (0.25, 0.5)
        if l0 is not None
    ]
    far = l0 is not None and l0 > 0.1
    return MixingDoc(
        dopant=dopant,
        host=host,
        engine=engine,
        energy_scale="raw PBE",
        points=points,
        interaction_ev_per_cation=None if l0 is None else [l0, 0.01],
        fit_rms_ev_per_cation=None if l0 is None else 0.001,
        temperature_k=300,
        solubility_limit=None if l0 is None else (0.02 if far else 1.0),
        dopant_rich_limit=0.98 if far else None,
        critical_temperature_k=None if l0 is None else 5802.3 * l0,
        uncertainty_ev_per_cation=None,
        verdict=None if l0 is None else ("separates" if far else "mixes"),
        rule="",
        calculation_keys=[],
        missing=[] if l0 is not None else [f"{dopant}O did not converge in 500 steps"],
    )


def candidate(rank: int, dopant: str, verdict: Verdict, engines: tuple[str, ...]) -> CandidateDoc:
    l0 = INTERACTIONS.get(dopant)
    words = {"pass": "mixes", "undecided": "undecided", "fail": "separates"}
    numbers: dict[str, Any] = {}
    if l0 is not None:
        numbers = {
            "enthalpy_ev_per_cation": [{"fraction": 0.5, "value": l0 / 4, "spread": 0.004}],
            "solubility_limit": 0.02 if l0 > 0.1 else 1.0,
        }
    return CandidateDoc(
        rank=rank,
        dopant=dopant,
        verdict=verdict,
        reasons=[f"{dopant}O: the reason of {dopant} & its threshold"],
        rock_salt_formation_energy_ev_per_formula={
            engine: {
                "raw": None if l0 is None or engine == "chgnet" else -4.1,
                "corrected": None if l0 is None else -4.8,
            }
            for engine in engines
        },
        rock_salt_reduction_dmu_o_ev=dict.fromkeys(engines, None if l0 is None else -4.8),
        metal_in_host_window={
            "Mn": {"computed": dict.fromkeys(engines, "metal"), "measured": "oxide"}
        }
        if dopant == "Pd"
        else {},
        mixing={host: dict.fromkeys(engines, numbers) for host in HOSTS} if numbers else {},
        hosts={
            host: {"verdict": words[verdict], "rule": f"limit of {dopant} against 0.25"}
            for host in HOSTS
        }
        if numbers
        else {},
        score_ev_per_cation=None if l0 is None else l0 / 4,
        uncertainty_ev=None if l0 is None else 0.015,
        evidence=[{"technique": "xanes", "mean_valence": {"value": 2.1, "uncertainty": 0.1}}]
        if dopant == "Mg"
        else [],
    )


def formation(cation: str, engine: str) -> FormationEnergyDoc:
    known = cation in INTERACTIONS
    return FormationEnergyDoc(
        cation=cation,
        engine=engine,
        energy_scale="raw PBE",
        raw_ev_per_formula=-4.1 if known and engine != "chgnet" else None,
        corrected_ev_per_formula=-4.8 if known else None,
        corrections_ev_per_formula={} if engine == "chgnet" or not known else {"O": -0.687},
        reduction_dmu_o_ev=-4.8 if known else None,
        lattice_parameter_angstrom=4.21 if known else None,
        distortion_gain_ev_per_formula=None,
        rock_salt=None,
        metal=None,
        oxygen=None,
        missing=[] if known else ["rock salt exploded"],
    )


Documents = tuple[RankingDoc, list[MixingDoc], list[FormationEnergyDoc]]


def documents(engines: tuple[str, ...] = ENGINES) -> Documents:
    dopants = ("Mg", "V", "Pd", "Ir")
    verdicts: tuple[Verdict, ...] = ("pass", "undecided", "fail", "undecided")
    order = (1, 2, 4, 3)
    ranking = RankingDoc(
        campaign="<script>alert('x')</script> & co",
        engines={engine: {"version": "0.3.0 <b>", "energy_scale": "raw PBE"} for engine in engines},
        counts={
            "calculations": 321,
            "reused": 45,
            "rejected": [{"what": "IrO <rock salt>", "why": "its volume grew by 80 %"}],
            "failed": [{"what": "Ir0.5Mn0.5O", "why": "forces above 50 eV/angstrom"}],
        },
        candidates=[
            candidate(rank, dopant, verdict, engines)
            for rank, dopant, verdict in zip(order, dopants, verdicts, strict=True)
        ],
        rules=["Pass: dissolves more than 0.25 in every host."],
        temperature_k=300,
        hosts=list(HOSTS),
    )
    mixings = [mixing(d, host, engine) for d in dopants for host in HOSTS for engine in engines]
    return ranking, mixings, [formation(d, engine) for d in dopants for engine in engines]


@pytest.fixture(scope="module")
def html() -> str:
    return build_report(*documents(), provenance={"pymatgen": "2025.1", "Store": "a<b>.sqlite"})


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def row(html: str, dopant: str) -> str:
    """Return the text of a candidate's line in the ranking table."""
    body = html[html.index(f'<tbody id="dopant-{dopant}"') :]
    return Page(body[: body.index("</tbody>") + len("</tbody>")]).text


def test_page_is_whole(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert [tag for tag, _ in page.tags].count("html") == 1
    headings = [tag for tag, _ in page.tags if tag == "h2"]
    assert len(headings) == 7


def test_nothing_is_loaded_from_outside(html: str, page: Page) -> None:
    assert not [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object"}]
    assert not page.values("src")
    links = page.values("href") + page.values("xlink:href")
    assert links
    assert all(link.startswith("#") for link in links)
    assert "://" not in html
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", html))


def test_ids_are_unique_and_every_reference_has_its_target(html: str, page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    referred = {link[1:] for link in page.values("href")}
    referred |= set(re.findall(r"url\(#([^)]*)\)", html)) | set(page.values("aria-labelledby"))
    assert referred <= set(ids)


def test_every_text_of_a_document_is_escaped(html: str, page: Page) -> None:
    assert "<script>alert" not in html
    assert html.count("<script>") == 1
    assert "<script>alert('x')</script> & co" in page.text
    assert "IrO <rock salt>" in page.text
    assert "0.3.0 <b>" in page.text
    assert "a<b>.sqlite" in page.text


def test_page_names_every_candidate_with_reasons_and_units(html: str, page: Page) -> None:
    for dopant, verdict in (("Mg", "pass"), ("V", "undecided"), ("Pd", "fail")):
        assert verdict in row(html, dopant)
        assert f"the reason of {dopant} & its threshold" in row(html, dopant)
        assert f'id="curves-{dopant}"' in html
        assert f"MnO: limit of {dopant} against 0.25" in page.text
    for unit in ("meV per cation", "eV per formula unit", "300 K"):
        assert unit in page.text
    assert "+10 ± 15" in row(html, "Mg")
    assert "+225 ± 15" in row(html, "Pd")
    assert "x ≤ 0.02" in row(html, "Pd")
    assert "uncorrected −4.10" in row(html, "Pd")
    assert "Pd where Mn is 2+: metal (computed), oxide (measured)" in row(html, "Pd")
    assert "Measured: technique xanes, mean valence 2.1 ± 0.1" in row(html, "Mg")


def test_candidates_stand_in_rank_order(html: str) -> None:
    assert re.findall(r'<tbody id="dopant-(\w+)"', html) == ["Mg", "V", "Ir", "Pd"]


def test_what_was_not_computed_is_a_dash_and_never_zero(html: str, page: Page) -> None:
    numbers = row(html, "Ir").split("Ir", 1)[1].split("the reason")[0]
    assert numbers.count("—") == 5
    assert "0" not in numbers
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    assert not {"0", "0.0", "0.00", "0.000", "+0", "None", "nan"} & set(cells)
    assert "None" not in page.text
    assert "nan" not in page.text.split()
    assert "IrO did not converge in 500 steps" in page.text
    assert "rock salt exploded" in page.text


def test_provenance_accounts_for_everything(page: Page) -> None:
    for words in (
        "321",
        "45",
        "its volume grew by 80 %",
        "forces above 50 eV/angstrom",
        "pymatgen",
        "2025.1",
        "raw PBE",
        "O −0.687",
        "none added",
        "Pass: dissolves more than 0.25 in every host.",
    ):
        assert words in page.text


def test_tables_and_figures_are_accessible(page: Page) -> None:
    assert all(a.get("scope") in {"col", "row"} for tag, a in page.tags if tag == "th")
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 3 + 4
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawings)
    assert [tag for tag, _ in page.tags].count("figcaption") == len(drawings)
    tables = [tag for tag, _ in page.tags].count("table")
    assert [tag for tag, _ in page.tags].count("caption") == tables
    assert ("html", {"lang": "en"}) in page.tags


def test_many_dopants_are_folded() -> None:
    ranking, mixings, _ = documents(("chgnet",))
    plain = ranking.candidates[0]
    for number, symbol in enumerate(("Sc", "Zn", "Al"), start=5):
        ranking.candidates.append(
            plain.model_copy(update={"dopant": symbol, "rank": number, "mixing": {}, "hosts": {}})
        )
    page = Page(build_report(ranking, mixings[:1], [], provenance={}))
    folded = [a for tag, a in page.tags if tag == "details" and "id" in a]
    assert [each["id"] for each in folded] == [
        f"curves-{dopant}" for dopant in ("Mg", "V", "Ir", "Pd", "Sc", "Zn", "Al")
    ]
    assert ["open" in each for each in folded] == [True, *[False] * 6]
    assert "Mixing was not computed for this dopant." in page.text


def test_page_of_one_engine_is_the_same_every_time() -> None:
    ranking, mixings, formations = documents(("chgnet",))
    first = build_report(ranking, mixings[:2], formations, provenance={})
    assert "1 engine" in Page(first).text
    assert first == build_report(ranking, mixings[:2], formations, provenance={})


def test_page_of_an_empty_campaign() -> None:
    ranking, _, _ = documents()
    ranking.candidates, ranking.counts, ranking.rules = [], {}, []
    page = Page(build_report(ranking, [], [], provenance={}))
    assert "no candidates yet" in page.text
    assert "Rejected —" in page.text


def test_conclusion_in_one_sentence() -> None:
    ranking, _, _ = documents()
    assert conclusion(ranking) == (
        "Of 4 dopants, 1 passes (Mg), 2 are undecided (V, Ir) and 1 fails (Pd); Mg ranks first: "
        "its largest mean mixing enthalpy over hosts and fractions is +10 ± 15 meV per cation."
    )
    ranking.candidates = [each for each in ranking.candidates if each.dopant in {"Ir"}]
    assert conclusion(ranking) == "Of 1 dopant, none passes, 1 is undecided (Ir) and none fails."


def test_two_drawings_of_one_figure_share_no_id() -> None:
    figure = Figure()
    figure.add_subplot().plot([0, 1], [0, 1], marker="o")
    drawings = [inline_svg(figure, prefix, 'a "label"') for prefix in ("one", "two")]
    ids = [set(Page(drawing).values("id")) for drawing in drawings]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "<?xml" not in drawings[0]
    assert 'a "label"' in Page(drawings[0]).values("aria-label")
