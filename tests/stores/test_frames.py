"""Results as tables."""

from __future__ import annotations

import pytest

from rocksalt import stores
from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.frames import COLUMNS, load_ranking_frame, load_results
from rocksalt.stores.query import calculation_filter, query_calculations
from rocksalt.workflows.run import run_campaign


def test_one_row_for_each_calculation(finished_file):
    table = load_results(finished_file)
    assert list(table.columns) == ["dopant", "host", "fraction", *COLUMNS]
    assert len(table) == 24
    assert (table.energy_ev / table.n_sites - table.energy_ev_per_atom).abs().max() < 1e-9
    assert table.dopant.isna().all()


def test_words_select_as_in_a_query(open_store, finished_file):
    store = open_store(finished_file, must_exist=True)
    words = {"dopant": "Ti", "host": "Mn", "role": "mixture"}
    table = load_results(store, **words)
    wanted = query_calculations(store, calculation_filter(**words), ["key"])
    assert list(table.key) == [row["key"] for row in wanted]
    assert set(table.dopant) == {"Ti"}
    assert set(table.host) == {"Mn"}
    assert sorted(table.fraction) == [0.25, 0.5, 0.75]
    assert list(load_results(store, fraction=0.75, **words).fraction) == [0.75]
    swapped = load_results(store, dopant="Mn", host="Ti", role="mixture")
    assert sorted(swapped.key) == sorted(table.key)
    by_formula = load_results(store, formula="MnO", engine="mock", state="done")
    assert set(by_formula.chemsys) == {"Mn-O"}
    assert list(load_results(store, chemsys="O-Mn").key) == list(
        load_results(store, chemsys="Mn-O").key
    )


def test_a_campaign_tells_dopant_from_host(finished_file):
    table = load_results(finished_file, "small", role="mixture")
    assert set(table.host) == {"Mn"}
    assert set(table.dopant) == {"Mg", "Ti"}
    elements = load_results(finished_file, "small", role="element").set_index("formula")
    assert set(elements.loc[["Mn"]].host) == {"Mn"}
    assert elements.loc[["Mn"]].dopant.isna().all()
    with pytest.raises(RocksaltError, match="did you mean 'small'"):
        load_results(finished_file, "smal")


@pytest.fixture
def with_lithium(campaign_of, open_store):
    """Give a store with MnO and Li0.5Mn0.5O as hosts, and lithium and aluminium as dopants."""
    store = open_store()
    campaign = campaign_of(
        name="lithium", dopants=["Al", "Li"], hosts=["Mn", "Li0.5Mn0.5"], fractions=[0.5]
    )
    run_campaign(campaign, store)
    return store


@pytest.mark.parametrize(
    ("dopant", "host", "atoms"),
    [
        ("Al", "Mn", {"Al", "Mn"}),
        ("Al", "Li0.5Mn0.5", {"Al", "Li", "Mn"}),
        ("Li", "Mn", {"Li", "Mn"}),
    ],
)
def test_a_host_with_lithium_is_another_host(with_lithium, dopant, host, atoms):
    words = {"dopant": dopant, "host": host, "role": "mixture"}
    table = load_results(with_lithium, **words)
    assert len(table) > 0
    assert set(table.dopant) == {dopant}
    assert set(table.host) == {host}
    assert set(table.fraction) == {0.5}
    found = query_calculations(with_lithium, calculation_filter(**words), ["cations"])
    assert all(set(row["cations"]) == atoms for row in found)
    whole = load_results(with_lithium, "lithium", role="mixture")
    mine = whole[(whole.dopant == dopant) & (whole.host == host)]
    assert sorted(mine.key) == sorted(table.key)


def test_every_mixture_of_a_campaign_has_its_host(with_lithium):
    table = load_results(with_lithium, "lithium", role="mixture")
    assert not table[["dopant", "host", "fraction"]].isna().any().any()
    ends = load_results(with_lithium, "lithium", role="end-member")
    assert {"Mn", "Li0.5Mn0.5"} <= set(ends[ends.dopant.isna()].host)


def test_nothing_found_is_a_table_without_rows(finished_file):
    assert list(load_results(finished_file, dopant="Ru").columns)[:2] == ["dopant", "host"]


def test_the_ranking(finished_file):
    table = load_ranking_frame(finished_file, "small")
    assert list(table["rank"]) == [1, 2]
    assert set(table.dopant) == {"Mg", "Ti"}
    assert "formation_energy_raw_ev_per_formula_mock" in table.columns


def test_the_package_gives_what_it_names():
    assert stores.load_results is load_results
    assert all(callable(getattr(stores, name)) for name in stores.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'wibble'"):
        stores.wibble  # noqa: B018  # asking is the test


def test_importing_the_package_loads_nothing(tmp_path):
    import subprocess
    import sys

    code = "import sys, rocksalt.stores; print({'pandas', 'jobflow', 'pymongo'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
