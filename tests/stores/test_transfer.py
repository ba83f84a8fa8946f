"""Export and import: nothing lost, nothing twice, nothing from a damaged file."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import tracemalloc
from datetime import datetime

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores import transfer
from rocksalt.stores.documents import SCHEMA_VERSION
from rocksalt.stores.records import campaign_names, load_document, save_many
from rocksalt.stores.transfer import export_records, import_records
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stored import stored_results

from .conftest import KINDS


@pytest.fixture(scope="module")
def exported(tmp_path_factory, finished_file):
    """Return the file with the small campaign, not compressed."""
    from rocksalt.stores.opening import close_store, open_store

    path = tmp_path_factory.mktemp("exported") / "all.jsonl"
    store = open_store(str(finished_file), must_exist=True)
    export_records(store, path)
    close_store(store)
    return path


def without_ids(store):
    found = store.docs_store.query({"metadata.kind": {"$ne": "run"}})
    return {r["uuid"]: {k: v for k, v in r.items() if k != "_id"} for r in found}


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_a_campaign_moves_between_any_two_stores(
    new_store, campaign_of, exported, tmp_path, first, second
):
    origin, target = new_store(first), new_store(second)
    import_records(origin, exported)
    file = tmp_path / "moved.jsonl.gz"
    written = export_records(origin, file)
    assert gzip.decompress(file.read_bytes()) == exported.read_bytes()
    read = import_records(target, file)
    assert (read.n_stored, read.n_records) == (written.n_records, written.n_records)
    assert without_ids(target) == without_ids(origin)
    assert run_campaign(campaign_of(), target).n_computed == 0
    rankings = [stored_results(store, "small")[1].ranking for store in (origin, target)]
    assert rankings[0].candidates == rankings[1].candidates


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_import_changes_nothing(new_store, exported, kind):
    store = new_store(kind)
    first = import_records(store, exported)
    before = list(store.docs_store.query({}, sort={"uuid": 1}))
    second = import_records(store, exported)
    assert first.n_stored == first.n_records > 24
    assert (second.n_stored, second.n_records) == (0, first.n_records)
    assert list(store.docs_store.query({}, sort={"uuid": 1})) == before


@pytest.mark.parametrize(("first", "second"), [("file", "server"), ("server", "file")])
def test_large_objects_move_too(new_store, tmp_path, first, second):
    origin, target = new_store(first), new_store(second)
    outputs = {name: {"data": [float(n)] * 50_000} for n, name in enumerate("ab")}
    for name, output in outputs.items():
        job = {"uuid": name, "index": 1, "output": output, "metadata": {}}
        origin.update(job, save={"data": ["data"]})
    file = tmp_path / "jobs.jsonl.gz"
    assert export_records(origin, file).n_blobs == 2
    assert import_records(target, file).n_stored == 4
    assert import_records(target, file).n_stored == 0
    for name, output in outputs.items():
        assert target.query_one({"uuid": name}, load=True)["output"] == output


def test_only_the_large_objects_of_the_campaigns_that_are_asked_for(new_store, tmp_path):
    store = new_store("file")
    for name in ("one", "two"):
        settings = {"name": name, "keys": {}, "settings": {}, "content_hash": name}
        output = {**settings, "n_merged": 0, "notes": [], "rocksalt_version": "0"}
        meta = {"kind": "campaign", "campaign": name}
        save_many(
            store, [{"uuid": f"campaign-{name}", "index": 1, "output": output, "metadata": meta}]
        )
        job = {"uuid": name, "index": 1, "output": {"data": [name]}, "metadata": {"campaign": name}}
        store.update(job, save={"data": ["data"]})
    done = export_records(store, tmp_path / "one.jsonl", ["one"])
    assert (done.n_records, done.n_blobs, done.campaigns) == (2, 1, ("one",))
    assert export_records(store, tmp_path / "all.jsonl").n_blobs == 2


def test_a_store_without_the_additional_store(new_store, tmp_path):
    origin, target = new_store("file"), new_store("memory")
    origin.update({"uuid": "a", "index": 1, "output": {"data": [1]}}, save={"data": ["data"]})
    export_records(origin, tmp_path / "a.jsonl")
    target.additional_stores.clear()
    with pytest.raises(RocksaltError, match="additional store data, which this store lacks"):
        import_records(target, tmp_path / "a.jsonl")
    assert target.docs_store.count() == 0


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=8)
    | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, fold=0)
    )
    | st.just(ObjectId("0123456789abcdef01234567")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b c", "é"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=VALUES)
@settings(max_examples=50)
def test_nothing_is_lost(tmp_path_factory, value):
    from rocksalt.stores.opening import open_store

    origin, target = open_store("memory"), open_store("memory")
    origin.docs_store.update({"uuid": "a", "index": 1, "output": value}, key=["uuid", "index"])
    path = tmp_path_factory.mktemp("values") / "a.jsonl"
    export_records(origin, path)
    import_records(target, path)
    wanted = origin.docs_store.query_one({"uuid": "a"})["output"]
    found = target.docs_store.query_one({"uuid": "a"})["output"]
    assert found == wanted
    assert repr(found) == repr(wanted)


def test_only_some_campaigns(new_store, campaign_of, tmp_path):
    origin, target = new_store("file"), new_store("memory")
    for name, dopant in (("one", "Mg"), ("two", "Ti")):
        run_campaign(campaign_of(name=name, dopants=[dopant], fractions=[0.5]), origin)
    done = export_records(origin, tmp_path / "one.jsonl", ["one", "one"])
    assert done.campaigns == ("one",)
    import_records(target, tmp_path / "one.jsonl")
    assert campaign_names(target) == ["one"]
    campaign = load_document(origin, "campaign-one")
    keys = {k for roles in campaign["keys"].values() for keys in roles.values() for k in keys}
    calculations = target.docs_store.query({"metadata.kind": "calculation"})
    assert {r["uuid"] for r in calculations} == keys
    with pytest.raises(RocksaltError, match="did you mean 'two'"):
        export_records(origin, tmp_path / "x.jsonl", ["tow"])
    assert not (tmp_path / "x.jsonl").exists()


def test_no_process_of_another_machine_comes_along(exported):
    assert b"run-small" not in exported.read_bytes()


@pytest.mark.parametrize("part", [0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_is_cut_off(new_store, exported, tmp_path, part, packed):
    whole = exported.read_bytes()
    whole = gzip.compress(whole) if packed else whole
    path = tmp_path / "cut.jsonl"
    path.write_bytes(whole[: int(part * len(whole))])
    store = new_store("memory")
    with pytest.raises(RocksaltError, match=r"cut\.jsonl: (is|was|lacks)") as error:
        import_records(store, path)
    assert "\n" not in str(error.value)
    assert store.docs_store.count() == 0


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), packed=st.booleans())
@settings(max_examples=40)
def test_a_file_with_one_wrong_bit(tmp_path_factory, exported, place, bit, packed):
    from rocksalt.stores.opening import open_store

    content = exported.read_bytes()
    content = bytearray(gzip.compress(content, 1, mtime=0) if packed else content)
    position = int(place * len(content))
    content[position] ^= 1 << bit
    path = tmp_path_factory.mktemp("bits") / "wrong.jsonl"
    path.write_bytes(content)
    store = open_store("memory")
    if packed and position < 10:  # flags and time of gzip's header change nothing
        return
    with pytest.raises(RocksaltError, match=r"wrong\.jsonl"):
        import_records(store, path)
    assert store.docs_store.count() == 0


@pytest.mark.parametrize("change", ["lacks a line", "one line twice", "lines behind the end"])
def test_lines_that_are_whole_but_not_those_that_were_written(
    new_store, exported, tmp_path, change
):
    lines = exported.read_bytes().splitlines(keepends=True)
    if change == "lacks a line":
        del lines[5]
    elif change == "one line twice":
        lines.insert(5, lines[5])
    else:
        lines.append(lines[5])
    path = tmp_path / "changed.jsonl"
    path.write_bytes(b"".join(lines))
    store = new_store("memory")
    with pytest.raises(RocksaltError, match="copy or export it again; nothing was stored"):
        import_records(store, path)
    assert store.docs_store.count() == 0


@pytest.mark.parametrize("what", ["schema_version", "format_version"])
def test_a_newer_file(new_store, exported, tmp_path, what):
    first, rest = exported.read_bytes().split(b"\n", 1)
    header = {**json.loads(first), what: 99, "rocksalt_version": "9.9"}
    path = tmp_path / "newer.jsonl"
    path.write_bytes(json.dumps(header).encode() + b"\n" + rest)
    with pytest.raises(RocksaltError, match=rf"rocksalt 9\.9 with {what} 99, known here: 1"):
        import_records(new_store("memory"), path)
    assert json.loads(first)["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"[]\n", b'{"format": "other"}\n', b"\x1f\x8bnot gzip", b"\xff\n"]
)
def test_a_file_of_something_else(cli, tmp_path, content):
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    answer = cli("import", path, "--store", "r.sqlite")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "other.jsonl: is " in answer.err
    assert not (tmp_path / "r.sqlite").exists()


def test_failed_calculations_and_newer_results_take_over(new_store, exported, tmp_path):
    origin, store = new_store("memory"), new_store("memory")
    import_records(origin, exported)
    import_records(store, exported)
    calculations = list(store.docs_store.query({"metadata.kind": "calculation"}, limit=2))
    for record, state in zip(calculations, ("failed", "done"), strict=True):
        record["output"] |= {"state": state, "label": "here"}
    ranking = store.docs_store.query_one({"uuid": "ranking-small"})
    ranking |= {"completed_at": "1999-01-01T00:00:00", "name": "old"}
    for record in [*calculations, ranking]:
        store.docs_store.update(record, key=["uuid", "index"])
    assert import_records(store, exported).n_stored == 2
    labels = [load_document(store, r["uuid"])["label"] for r in calculations]
    assert labels[0] != "here"
    assert labels[1] == "here"
    assert store.docs_store.query_one({"uuid": "ranking-small"})["name"] == "small"


def test_an_import_that_is_killed_is_finished_by_the_next(new_store, exported, monkeypatch):
    store, whole = new_store("file"), new_store("memory")
    import_records(whole, exported)
    plain = transfer.save_many
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "BATCH", 10)
        patched.setattr(transfer._batches, "__defaults__", (10,))
        left = iter([plain, plain])

        def killed(*arguments, **options):
            next(left, None)(*arguments, **options)  # the third call fails

        patched.setattr(transfer, "save_many", killed)
        with pytest.raises(TypeError):
            import_records(store, exported)
    assert store.docs_store.count() == 20
    import_records(store, exported)
    assert without_ids(store) == without_ids(whole)


def test_a_campaign_of_the_same_name_with_other_content(cli, campaign_file, exported, tmp_path):
    file = campaign_file(dopants=["Mg"], fractions=[0.5])
    assert cli("run", file, "--store", "r.sqlite").code == 0
    answer = cli("import", exported, "--store", "r.sqlite")
    assert answer.code == 2
    assert "another campaign named 'small': give --replace" in answer.err
    assert cli("import", exported, "--store", "r.sqlite", "--replace").code == 0
    answer = cli("results", "--store", "r.sqlite", "--format", "json")
    assert [c["dopant"] for c in json.loads(answer.out)["candidates"]] != ["Mg"]


def test_the_commands(cli, finished_file, tmp_path):
    store = shutil.copy(finished_file, tmp_path / "r.sqlite")
    answer = cli("export", "all.jsonl.gz", "--store", store)
    assert answer.code == 0
    assert answer.out.startswith("wrote all.jsonl.gz (0.")
    assert "campaign small, " in answer.out
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []
    answer = cli("export", "all.jsonl.gz", "--store", store)
    assert answer.code == 2
    assert "is there already" in answer.err
    assert cli("export", "all.jsonl.gz", "--force", "--store", store).code == 0
    assert cli("import", "all.jsonl.gz", "--store", "other.sqlite").code == 0
    ours = cli("query", "--format", "csv", "--store", "other.sqlite").out
    assert ours == cli("query", "--format", "csv", "--store", store).out
    assert cli("export", "no/such/folder.gz", "--store", store).code == 2
    assert "no.jsonl: cannot be read" in cli("import", "no.jsonl", "--store", store).err


def test_memory_is_bounded(open_store, tmp_path):
    n_records, text = 2000, "x" * 20_000
    origin, target = open_store(tmp_path / "a.sqlite"), open_store(tmp_path / "b.sqlite")
    for start in range(0, n_records, 50):
        numbers = range(start, start + 50)
        save_many(origin, [{"uuid": f"{n:04}", "index": 1, "output": text} for n in numbers])
    path = tmp_path / "large.jsonl"
    tracemalloc.start()
    export_records(origin, path)
    import_records(target, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert target.docs_store.count() == n_records
    assert peak < 8 * transfer.BATCH * len(text) < n_records * len(text)
