"""The report's sections beyond the rock salt, from a campaign with every stage."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from rocksalt.screening.verdicts import Verdict
from rocksalt.stores.opening import open_store
from rocksalt.workflows.derive import Derived
from rocksalt.workflows.figure_style import signed
from rocksalt.workflows.report import build_report
from rocksalt.workflows.report_phases import criteria_line, missing_phases
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stored import stored_results

STAGES = ["rock-salt", "hull", "lithium-deficient", "oxygen-vacancy"]
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Collect tags, headings and text; elements must nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
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
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)
        if not {"style", "script"} & set(self.open[-1:]):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees, in one line."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def values(self, name: str) -> list[str]:
        """Return every value of one attribute."""
        return [str(attributes[name]) for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="session")
def derived(campaign_of) -> Derived:
    campaign = campaign_of(
        name="stages",
        dopants=["Ti"],
        stages=STAGES,
        supercell={"enumerated": 4, "sqs": 0, "layered": 2, "vacancy": 2},
        orderings=1,
        fractions=[0.5],
        strains_percent=[-2, 0, 2],
        relaxation={"fmax": 0.5},
    )
    store = open_store("memory")
    run_campaign(campaign, store)
    _, derived = stored_results(store, "stages")
    store.close()
    return derived


def page_of(derived: Derived, **documents) -> str:
    return build_report(
        derived.ranking, derived.mixings, derived.formations, provenance={}, **documents
    )


@pytest.fixture(scope="module")
def html(derived: Derived) -> str:
    return page_of(derived, hulls=derived.hulls, series=derived.series, vacancies=derived.vacancies)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def rows(html: str, caption: str) -> list[list[str]]:
    """Return the cells of a table's rows as text."""
    (table,) = (t for t in re.findall(r"<table.*?</table>", html, re.DOTALL) if caption in t)
    body = table[table.index("<tbody>") :]
    return [
        [Page(cell).text.strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def test_sections_of_all_stages(page: Page) -> None:
    new = ["Phases", "Lithium-deficient series", "Oxygen vacancies"]
    place = page.headings.index("Mixing curves") + 1
    assert page.headings[place : place + 3] == new


@pytest.mark.parametrize("kind", ["hulls", "series", "vacancies"])
def test_section_is_there_only_with_documents(derived: Derived, kind: str) -> None:
    titles = {
        "hulls": "Phases",
        "series": "Lithium-deficient series",
        "vacancies": "Oxygen vacancies",
    }
    alone = Page(page_of(derived, **{kind: getattr(derived, kind)})).headings
    assert titles[kind] in alone
    assert not {title for other, title in titles.items() if other != kind} & set(alone)
    assert not set(titles.values()) & set(Page(page_of(derived)).headings)


def test_page_stays_one_accessible_file(html: str, page: Page) -> None:
    assert not [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object"}]
    assert not page.values("src")
    assert "://" not in html
    links = page.values("href")
    assert all(link.startswith("#") for link in links)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    referred = {link[1:] for link in links} | set(re.findall(r"url\(#([^)]*)\)", html))
    assert referred <= set(ids)
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawings)
    assert [tag for tag, _ in page.tags].count("figcaption") == len(drawings)
    assert all(a.get("scope") in {"col", "row"} for tag, a in page.tags if tag == "th")
    tables = [tag for tag, _ in page.tags].count("table")
    assert [tag for tag, _ in page.tags].count("caption") == tables
    assert "None" not in page.text
    assert "nan" not in page.text.split()
    assert len(html.encode()) < 700_000


def test_window_table_says_every_window(derived: Derived, html: str) -> None:
    expected = [
        [
            hull.engine,
            "−∞" if window.from_dmu_o_ev is None else signed(window.from_dmu_o_ev, 3),
            signed(window.to_dmu_o_ev, 3),
        ]
        for hull in derived.hulls
        for window in hull.windows
    ]
    found = rows(html, "Windows of the oxygen potential")
    assert [row[:3] for row in found] == expected
    assert {hull.engine for hull in derived.hulls} == {"mock", "measured"}
    last = found[-1]
    assert last[3].replace(" ", "") in {"MnO2+TiO2", "TiO2+MnO2"}
    assert last[4:] == ["+4", "+4"]


def test_phase_table_says_how_far_each_phase_lies_above_the_hull(
    derived: Derived, html: str
) -> None:
    found = rows(html, "Phases, the stable ones first")
    computed, measured = derived.hulls
    stable = [row for row in found if "stable" in row[2:]]
    assert len(stable) == len(computed.stable) + len(measured.stable)
    assert found[: len(stable)] == stable
    highest = max(computed.phases, key=lambda p: p.e_above_hull_ev_per_atom)
    said = next(
        row
        for row in found
        if row[0].replace(" ", "") == highest.formula and row[1] == highest.prototype
    )
    assert said[2].startswith(f"{1000 * highest.e_above_hull_ev_per_atom:.0f} ")
    for share in highest.decomposition:
        assert share.formula in said[2].replace(" ", "")
    assert said[3] == ""


def test_rejected_phases_counts_and_references(derived: Derived, page: Page, html: str) -> None:
    computed, measured = derived.hulls
    found = rows(html, "What was left out, and why")
    assert len(found) == len(computed.rejected) + len(measured.rejected)
    assert [found[0][0], found[0][2]] == [computed.rejected[0]["what"], computed.rejected[0]["why"]]
    for hull in (computed, measured):
        assert f"{hull.engine}: {hull.counts['entries']} tried" in page.text
        assert f"{hull.counts['on_hull']} on it" in page.text
    assert f"Ti {computed.references['Ti']}" in page.text


def test_series_and_vacancies_in_numbers(derived: Derived, html: str, page: Page) -> None:
    found = rows(html, "Lithium-deficient series, lowest")
    assert len(found) == sum(len(document.points) for document in derived.series)
    assert found[0][3] == "0.667"
    cells = rows(html, "Oxygen vacancies")
    assert len(cells) == len(derived.vacancies)
    by_cell = {row[0].replace(" ", ""): row for row in cells}
    for document in derived.vacancies:
        row = by_cell[document.cell.replace(" ", "")]
        assert row[2] == signed(document.lowest_formation_energy_ev, 3)
        if document.dopant:
            assert row[4] == signed(document.retention_ev, 3)
        if document.slopes:
            assert row[5].startswith(signed(1000 * document.slopes[0].ev_per_percent, 1))
    for unit in ("meV per atom", "eV per vacancy", "meV per %", "Δμ"):
        assert unit in page.text


def test_alt_texts_name_what_is_stable(derived: Derived, page: Page) -> None:
    labels = [label for label in page.values("aria-label") if label.startswith("Gibbs triangle")]
    assert len(labels) == 2
    measured = derived.hulls[1]
    formulas = {p.formula for p in measured.phases if p.entry_id in set(measured.stable)}
    assert all(formula in labels[1] for formula in formulas)


def test_criteria_stand_in_one_row_with_the_front(derived: Derived, html: str) -> None:
    (candidate,) = derived.ranking.candidates
    line = criteria_line(candidate)
    assert line in html
    text = Page(line).text
    for name, verdict in candidate.criteria.items():
        assert f"{name} : {verdict or 'not computed'}" in text
    assert "Pareto front 1" in text
    changed: dict[str, Verdict | None] = {"stays oxidised": None, "near <hull>": "fail"}
    said = criteria_line(candidate.model_copy(update={"criteria": changed}))
    assert "— stays oxidised : not computed" in Page(said).text
    assert "✗ near <hull> : fail" in Page(said).text
    assert criteria_line(candidate.model_copy(update={"criteria": {}})) == ""


def test_what_is_missing_is_said(derived: Derived) -> None:
    hull = derived.hulls[0].model_copy(
        update={"phases": [], "windows": [], "stable": [], "missing": ["no O2 <yet>"]}
    )
    html = page_of(derived, hulls=[hull])
    assert "Not computed. mock: no O2 &lt;yet&gt;" in html
    assert missing_phases([hull], [], []) == [("hull Mn-O-Ti, mock", "no O2 <yet>")]
    assert "hull Mn-O-Ti, mock" in Page(html).text


def test_many_pairs_are_folded(derived: Derived) -> None:
    many = [
        hull.model_copy(update={"dopant": dopant, "phases": [], "missing": ["nothing"]})
        for dopant in ("Ti", "V", "Cr")
        for hull in derived.hulls
    ]
    page = Page(page_of(derived, hulls=many))
    folded = [a for tag, a in page.tags if tag == "details" and "hull-" in str(a.get("id"))]
    assert [each["id"] for each in folded] == ["hull-Ti-Mn", "hull-V-Mn", "hull-Cr-Mn"]
    assert ["open" in each for each in folded] == [True, False, False]
