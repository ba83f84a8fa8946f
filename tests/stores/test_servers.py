"""One suite over memory, a file and a MongoDB server; then what only a server has."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from pymongo.errors import BulkWriteError

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.mongo import SERVER_WAIT_S, explained_server_error
from rocksalt.stores.opening import open_store as open_address
from rocksalt.stores.query import calculation_filter, query_calculations
from rocksalt.stores.records import (
    IDENTITY,
    INDEXED_FIELDS,
    campaign_names,
    ensure_indexes,
    load_document,
    load_states,
    load_summaries,
    save_many,
)
from rocksalt.workflows.run import run_campaign
from rocksalt.workflows.stored import stored_results

from .conftest import KINDS, PASSWORD, secantus

WORDS = [
    {},
    {"dopant": "Ti"},
    {"dopant": "Ti", "host": "Mn", "role": "mixture"},
    {"dopant": "Ti", "fraction": 0.25},
    {"dopant": "Mn", "host": "Ti", "fraction": 0.75},
    {"role": "element", "engine": "mock", "state": "done"},
    {"formula": "MnO"},
    {"chemsys": "O-Ti-Mn"},
    {"state": "failed"},
]


@pytest.fixture(scope="module")
def finished_memory(campaign_of):
    store = open_address("memory")
    run_campaign(campaign_of(), store)
    return store


@pytest.fixture(params=KINDS)
def finished(request, open_store, finished_file, finished_memory):
    """Return a store of each kind with the small campaign."""
    if request.param == "file":
        return open_store(finished_file, must_exist=True)
    if request.param == "server":
        return open_store(request.getfixturevalue("finished_database"), must_exist=True)
    return finished_memory


@pytest.fixture
def by_file(open_store, finished_file):
    return open_store(finished_file, must_exist=True)


def test_the_same_documents_as_in_a_file(finished, by_file, content_of):
    assert content_of(finished) == content_of(by_file)
    assert len(content_of(finished)) > 24


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_the_same_answers_in_the_same_order(finished, by_file, words):
    criteria = calculation_filter(**words)
    names = ["label", "key", "energy_ev_per_atom", "cation_fractions.Ti", "settings.fmax"]
    for limit in (0, 3):
        wanted = query_calculations(by_file, criteria, names, limit=limit)
        assert query_calculations(finished, criteria, names, limit=limit) == wanted
    wanted = query_calculations(by_file, criteria, ["key"], "small")
    assert query_calculations(finished, criteria, ["key"], "small") == wanted


@pytest.mark.parametrize(
    "criteria",
    [
        {"output.energy_ev_per_atom": {"$lt": -8}},
        {"output.cations": {"$in": ["Ti"]}, "output.nsites": {"$gte": 4}},
        {"$or": [{"output.role": "oxygen"}, {"output.label": {"$regex": "^Ti"}}]},
        {"output.error": None, "output.elements": {"$size": 2}},
        {"output.symmetry.number": {"$exists": True}},
        {"output.cation_fractions.Ti": {"$nin": [0.25, 0.5]}, "output.converged": True},
        {"output.energies_ev": {"$elemMatch": {"$lt": -30}}},
    ],
    ids=str,
)
def test_the_same_answers_to_filters(finished, by_file, criteria):
    criteria = {"metadata.kind": "calculation", **criteria}
    assert query_calculations(finished, criteria, ["key"]) == query_calculations(
        by_file, criteria, ["key"]
    )
    assert finished.docs_store.count(criteria) == by_file.docs_store.count(criteria)


def test_the_same_summaries_states_and_ranking(finished, by_file):
    keys = [row["key"] for row in query_calculations(by_file, calculation_filter(), ["key"])]
    ours, theirs = (load_summaries(store, [*keys, "not there"]) for store in (finished, by_file))
    assert list(ours) == list(theirs) == keys
    times = {"completed_at", "cpu_s"}
    assert [s.model_dump(exclude=times) for s in ours.values()] == [
        s.model_dump(exclude=times) for s in theirs.values()
    ]
    assert load_states(finished, keys) == load_states(by_file, keys)
    assert campaign_names(finished) == ["small"]
    rankings = [stored_results(store, "small")[1].ranking for store in (finished, by_file)]
    assert rankings[0].candidates == rankings[1].candidates


def test_a_wrong_filter_is_refused_in_one_line(finished):
    with pytest.raises(RocksaltError, match="--filter is not understood"):
        query_calculations(finished, {"output.role": {"$foo": 1}})


@pytest.mark.parametrize("kind", KINDS)
def test_large_data_goes_into_the_additional_store(new_store, kind):
    store = new_store(kind)
    output = {"small": 1, "data": [float(n) for n in range(200_000)]}
    job = {"uuid": "a", "index": 1, "output": output}
    store.update(job, save={"data": ["data"]})
    assert len(str(store.query_one({"uuid": "a"}))) < 1000
    assert store.query_one({"uuid": "a"}, load=True)["output"] == output
    store.update(job, save={"data": ["data"]})
    assert store.docs_store.count() == 1


def test_indexes_are_made_once(open_store, new_database, monkeypatch):
    store = open_store(new_database())
    there = store.docs_store._collection.index_information()
    fields = {spec["key"][0][0] for spec in there.values() if len(spec["key"]) == 1}
    assert fields == {"_id", *INDEXED_FIELDS}
    (together,) = (spec for spec in there.values() if len(spec["key"]) > 1)
    assert (tuple(name for name, _ in together["key"]), together["unique"]) == (IDENTITY, True)
    files = store.additional_stores["data"]._files_store._collection
    assert "metadata.blob_uuid" in str(files.index_information())
    with monkeypatch.context() as patched:
        patched.setattr(type(files), "create_index", None)
        patched.setattr(type(files), "create_indexes", None)
        ensure_indexes(store)


def test_two_writers_store_a_record_once(open_store, new_database):
    address = new_database()
    stores = [open_store(address) for _ in range(2)]

    def write(store):
        for number in range(30):
            records = [{"uuid": f"u{number}", "index": 1, "output": {"n": number}}]
            store.docs_store.update(records, key=list(IDENTITY))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].docs_store.count({"output.n": {"$exists": True}}) == 30


def test_two_imports_store_a_record_once(open_store, new_database):
    address = new_database()
    stores = [open_store(address) for _ in range(2)]
    together = threading.Barrier(2)

    def write(store):
        for start in range(0, 60, 10):
            together.wait(timeout=60)  # so that both insert the same records at the same moment
            save_many(
                store, of_numbers(range(start, start + 10), store is stores[0]), mostly_new=True
            )

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(stores[0].docs_store.query({"output.n": {"$exists": True}}))
    assert sorted(r["output"]["n"] for r in found) == list(range(60))


def of_numbers(numbers, mark):
    return [{"uuid": f"u{n}", "index": 1, "output": {"n": n, "mark": mark}} for n in numbers]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unique", [True, False])
def test_what_is_there_is_replaced_by_what_is_thought_new(new_store, kind, unique):
    store = new_store(kind)
    if kind == "server" and not unique:  # as in a jobflow store of other programs
        store.docs_store._collection.drop_index([(name, 1) for name in IDENTITY])
    save_many(store, of_numbers(range(0, 20, 3), "old"))
    given = [*of_numbers(range(10), "new"), *of_numbers([4], "newest")]
    save_many(store, given, mostly_new=True)
    found = list(store.docs_store.query({}, sort={"output.n": 1}))
    marks = {r["output"]["n"]: r["output"]["mark"] for r in found}
    assert marks == dict.fromkeys((12, 15, 18), "old") | dict.fromkeys(range(10), "new") | {
        4: "newest"
    }
    assert len(found) == len(marks)
    assert all("_id" not in record for record in given)


def test_an_error_that_is_no_duplicate_is_raised(new_store):
    store = new_store("server")
    collection = store.docs_store._collection
    collection.database.command(
        "collMod", collection.name, validator={"output.n": {"$lt": 3}}, validationLevel="strict"
    )
    with pytest.raises(BulkWriteError, match="validation"):
        save_many(store, of_numbers(range(5), "new"), mostly_new=True)
    assert store.docs_store.count() == 3


@pytest.mark.parametrize(
    ("options", "concern"),
    [
        ("", {"j": True}),
        ("?w=majority", {"j": True, "w": "majority"}),
        ("?journal=false", {"j": False}),
    ],
)
def test_a_write_waits_for_the_journal_unless_told_otherwise(
    new_database, open_store, options, concern
):
    store = open_store(new_database() + options)
    files = store.additional_stores["data"]._files_store._collection
    for collection in (store.docs_store._collection, files):
        assert collection.write_concern.document == concern


def test_writes_that_nobody_acknowledges_are_refused(new_database, cli):
    assert_one_line(cli("status", "--store", f"{new_database()}?w=0"), "w=0")


# Every command


def arguments_of(file):
    return {
        "check": ["check", file],
        "run": ["run", file],
        "status": ["status"],
        "results": ["results", "small", "--format", "json"],
        "query": ["query", "--dopant", "Ti", "--format", "json"],
        "report": ["report", "small"],
        "export": ["export", "all.jsonl", "--force"],
    }


def test_every_command_says_the_same_as_with_a_file(cli, campaign_file, new_database, tmp_path):
    file = campaign_file()
    answers = {"file": {}, "server": {}}
    for kind, address in (("file", "r.sqlite"), ("server", new_database())):
        for name in ("check", "run", "check", "status", "results", "query", "report"):
            answer = cli(*arguments_of(file)[name], "--store", address)
            assert answer.code == 0, answer.err
            out = answer.out.replace(address, "STORE")
            answers[kind][name] = [line for line in out.splitlines() if "cpu_s" not in line]
        answers[kind]["page"] = len((tmp_path / "report.html").read_bytes()) // 1000
    assert answers["server"] == answers["file"]


def test_a_jobflow_store_on_a_server(cli, campaign_file, new_database, monkeypatch, server):
    from jobflow import SETTINGS, JobStore
    from maggma.stores import MongoStore
    from maggma.stores.gridfs import GridFSStore

    host, _, port = server.place.rpartition("@")[2].partition(":")
    place = {"host": host, "port": int(port or 27017), "database": new_database().split("/")[-1]}
    job_store = JobStore(
        MongoStore(collection_name="outputs", **place),
        additional_stores={"data": GridFSStore(collection_name="blobs", **place)},
    )
    monkeypatch.setattr(SETTINGS, "JOB_STORE", job_store)
    for name in ("check", "run", "status", "results", "query", "report", "export"):
        answer = cli(*arguments_of(campaign_file())[name], "--store", "jobflow")
        assert answer.code == 0, answer.err


# What goes wrong


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def assert_one_line(answer, *fragments):
    assert answer.code == 2, answer
    assert answer.err.startswith("rocksalt: store ")
    assert answer.err.count("\n") == 1, answer.err
    assert len(answer.err) < 500, answer.err
    for fragment in fragments:
        assert fragment in answer.err, answer.err
    assert not_shown(answer.out + answer.err)


def not_shown(text):
    return not any(part in text for part in ("s3cr3t", "%2F%40", ":/@%", "pass@"))


def test_no_server(cli, campaign_file):
    address = f"mongodb://me:{PASSWORD[:6]}@127.0.0.1:{free_port()}/db"
    begun = time.monotonic()
    answer = cli("run", campaign_file(), "--store", address)
    assert_one_line(answer, "no server answers: start it", "refused")
    assert time.monotonic() - begun < SERVER_WAIT_S + 5  # it also makes the plan


def test_the_address_may_say_how_long_to_wait(open_store):
    begun = time.monotonic()
    with pytest.raises(RocksaltError, match="no server answers"):
        open_store(f"mongodb://127.0.0.1:{free_port()}/db?serverSelectionTimeoutMS=100")
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("address", "fragments"),
    [
        ("mongodb://me:s3cr3t@host", ["name the database", "mongodb://me:***@host/rocksalt"]),
        ("mongodb://me:s3cr3t@host/?tls=true", ["name the database", "***@host/rocksalt?tls"]),
        ("mongodb+srv://me:s3cr3t@host.example.org", ["name the database"]),
        ("mongodb://me:s3cr3t/x@host/db", ["not a valid address", "%2F for /"]),
        ("mongodb://me:s3cr3t@x@host/db", ["not a valid address", "%40 for @"]),
        ("mongodb+srv://me:s3cr3t/x@host/db", ["not a valid address"]),
        ("mongodb://me:s3cr3t@host:port/db", ["not a valid address"]),
        ("mongodb://host/db?wibble=1", ["wibble", "correct what follows '?'"]),
        ("mongodb://me:s3cr3t@host/db?tls=maybe", ["tls", "correct what follows '?'"]),
        ("mongodb://me:s3cr3t %@host/db", ["not a valid address"]),
    ],
)
def test_malformed_addresses(cli, address, fragments):
    assert_one_line(cli("status", "--store", address), *fragments)


def test_users_and_what_they_may_do(cli, guarded, campaign_file):
    file = campaign_file()
    writer, reader = (guarded.address("mine", user) for user in ("writer", "reader"))
    assert cli("run", file, "--store", writer).code == 0
    for name in ("check", "status", "results", "query", "report"):
        answer = cli(*arguments_of(file)[name], "--store", reader)
        assert answer.code == 0, answer.err
        assert not_shown(answer.out + answer.err)
    assert_one_line(cli("run", file, "--store", reader), "not permitted", "readWrite")
    assert_one_line(
        cli("status", "--store", guarded.address("mine", "writer", "s3cr3t-not-it")),
        "refuses this user",
        "mongodb://writer:***@",
    )
    assert_one_line(cli("status", "--store", guarded.address("mine")), "wants a user and a pass")
    answer = cli("status", "--store", guarded.address("theirs", "reader", "s3cr3t"))
    assert_one_line(answer, "refuses this user", "authSource")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Return a server with TLS and the file with its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no certificate without openssl")
    options = {"tls_cert_file": str(certificate), "tls_key_file": str(key)}
    with secantus(folder / "data", **options) as server:
        yield server, certificate


def test_tls(cli, encrypted, server):
    running, certificate = encrypted
    short = "&serverSelectionTimeoutMS=1500"
    right = running.address("db", options=f"?tls=true&tlsCAFile={certificate}{short}")
    answer = cli("status", "--store", right)
    assert "holds no campaign" in answer.err
    answer = cli("status", "--store", running.address("db", options=f"?tls=true{short}"))
    assert_one_line(answer, "certificate is not trusted", "tlsCAFile")
    answer = cli("status", "--store", running.address("db", options=f"?{short[1:]}"))
    assert_one_line(answer, "add ?tls=true")
    if not server.real:
        plain = server.address("db", options=f"?tls=true{short}")
        assert_one_line(cli("status", "--store", plain), "no server answers with TLS: leave")


def test_the_certificate_is_checked_at_all(encrypted):
    running, certificate = encrypted
    assert ssl.create_default_context(cafile=str(certificate))
    with pytest.raises(RocksaltError, match="not trusted"):
        open_address(running.address("db", options="?tls=true&serverSelectionTimeoutMS=1500"))


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (0, "an older")])
@pytest.mark.parametrize("kind", ["file", "server"])
def test_a_store_of_another_schema_version(cli, request, tmp_path, kind, version, age):
    address = (
        str(tmp_path / "r.sqlite") if kind == "file" else request.getfixturevalue("new_database")()
    )
    store = open_address(address)
    output = {"name": "x", "schema_version": version}
    metadata = {"kind": "campaign", "campaign": "x"}
    record = {"uuid": "campaign-x", "index": 1, "output": output, "metadata": metadata}
    store.docs_store.update(record, key=list(IDENTITY))
    store.close()
    for command in ("status", "results", "query", "report"):
        answer = cli(command, "--store", address)
        assert_one_line(answer, f"written by {age} rocksalt", f"version {version}", "another store")


def test_a_server_that_goes_away_in_the_middle(tmp_path, campaign_of, cli, campaign_file):
    from rocksalt.stores import query

    with secantus(tmp_path / "data") as server:
        address = server.address("db", options="?serverSelectionTimeoutMS=500")
        store = open_address(address)
        run_campaign(campaign_of(dopants=["Mg"], fractions=[0.5]), store)
    with pytest.raises(Exception, match=r"refused|closed|reset") as error:
        query.query_calculations(store, calculation_filter())
    explained = explained_server_error(error.value)
    assert "no server answers" in str(explained) or "closes the connection" in str(explained)
    assert explained_server_error(ValueError("x")) is None
    store.close()


def test_a_killed_run_on_a_server(
    new_database, campaign_file, finished_file, tmp_path, cli, open_store, calculations_in
):
    address = new_database()
    file = campaign_file()
    command = [sys.executable, "-m", "rocksalt.workflows.cli", "run", str(file)]
    process = subprocess.Popen(
        [*command, "--store", address],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    store = open_store(address)
    calculations = {"metadata.kind": "calculation"}
    end = time.monotonic() + 60
    while store.docs_store.count(calculations) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    kept = calculations_in(store, times=True)
    assert len(kept) >= 2
    assert cli("run", file, "--store", address).code == 0
    after = calculations_in(store, times=True)
    assert {key: after[key] for key in kept} == kept
    assert calculations_in(store) == calculations_in(open_store(finished_file, must_exist=True))
    assert load_document(store, "ranking-small")["counts"]["done"] == len(after)


# Indexes


def narrowing(criteria):
    """Return the conditions of a filter on fields that have an index."""
    return {name: value for name, value in criteria.items() if name in INDEXED_FIELDS}


def stages(plan):
    yield plan["stage"]
    for inner in [plan.get("inputStage"), *plan.get("inputStages", [])]:
        if inner:
            yield from stages(inner)


@pytest.fixture(scope="module")
def asked(tmp_path_factory, campaign_of, finished_file):
    """Return every filter that the commands give to a store."""
    from rocksalt.workflows import cli as commands

    filters = []
    folder = tmp_path_factory.mktemp("asked")
    file = folder / "small.yaml"
    file.write_text("name: small\ndopants: [Mg]\nhosts: [Mn]\nengines: [mock]\n")
    with pytest.MonkeyPatch.context() as patched:
        from rocksalt.stores.sqlite import SQLiteStore
        from rocksalt.stores.sqlite_documents import SQLiteDocuments

        for owner, name in [
            *((SQLiteDocuments, name) for name in ("query", "count", "texts")),
            (SQLiteStore, "remove_docs"),
        ]:
            plain = getattr(owner, name)

            def noted(self, criteria=None, *rest, _plain=plain, **options):
                if self.collection_name == "docs" and criteria:  # to export all reads all
                    filters.append(criteria)
                return _plain(self, criteria, *rest, **options)

            patched.setattr(owner, name, noted)
        patched.chdir(folder)
        settings = ["--store", "r.sqlite"]
        for arguments in [
            *arguments_of(str(file)).values(),
            ["run", str(file), "--retry-failed"],
            ["export", "one.jsonl", "small"],
            ["import", "all.jsonl"],
            ["query", "--dopant", "Mg", "--host", "Mn", "--fraction", "0.5"],
            *(["query", f"--{k}", str(v)] for words in WORDS[5:] for k, v in words.items()),
        ]:
            with pytest.raises(SystemExit) as ended:
                commands.main([*arguments, *settings])
            assert not ended.value.code, arguments
    return filters


def test_every_query_of_the_commands_hits_an_index_of_the_file(asked, finished_file, open_store):
    from rocksalt.stores.sqlite_index import candidates

    store = open_store(finished_file, must_exist=True).docs_store
    assert len(asked) > 20
    for criteria in asked:
        with store._file.reading() as con:
            found = candidates(con, criteria, store._indexes(con))
        assert found is not None, criteria


def test_every_query_of_the_commands_hits_an_index_of_the_server(
    asked, finished_database, open_store, server
):
    collection = open_store(finished_database, must_exist=True).docs_store._collection
    for criteria in asked:
        assert narrowing(criteria), criteria
        if server.real:
            plans = [collection.find(criteria).explain()]
        else:  # SecantusDB explains an index only where the whole filter is one condition
            plans = [collection.find({k: v}).explain() for k, v in narrowing(criteria).items()]
        used = {stage for plan in plans for stage in stages(plan["queryPlanner"]["winningPlan"])}
        assert "IXSCAN" in used, criteria
