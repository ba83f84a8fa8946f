"""A campaign through a real Slurm, with the files of docs/clusters.md: FireWorks and jobflow-remote.

Slurm is installed and started on this machine by tests/slurm/start.sh, and ended afterwards. What it
and the managers said is in tests/slurm/logs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pymongo.uri_parser import parse_uri

CHECKOUT = Path(__file__).parents[2]
SLURM = CHECKOUT / "tests" / "slurm"
LOGS = SLURM / "logs"
CANNOT_START = 3
PATIENCE_S = 600
BIN = Path(sys.prefix) / "bin"
CAMPAIGN = {"dopants": ["Mg", "Ti", "Zn"], "hosts": ["Mn", "Ni"]}
N_CALCULATIONS = 46
QUICK = {"delay_checkout": 1, "delay_check_run_status": 1, "delay_advance_status": 1}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in.*MongoClient.__del__"),
    pytest.mark.filterwarnings("ignore:Unclosed MongoClient:ResourceWarning"),
]


def script(name):
    """Run a script of tests/slurm; its output goes to files, for daemons keep it open."""
    said = LOGS / f"{name}.log"
    with open(said, "w") as log:
        command = [SLURM / name, LOGS]
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    return code, said.read_text().strip()


def slurm_says(*command):
    """Return what a command of Slurm prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def slurm():
    """Start Slurm in an empty folder of logs; keep what it knows of its jobs, and end it."""
    if os.environ.get("ROCKSALT_TEST_SLURM") != "1":
        pytest.skip(
            "installs and starts Slurm: ask with ROCKSALT_TEST_SLURM=1, or 'make test-slurm'"
        )
    LOGS.mkdir(exist_ok=True)
    script("stop.sh")  # of a test that was killed
    shutil.rmtree(LOGS)
    LOGS.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(LOGS / "slurm.conf"))
        try:
            code, said = script("start.sh")
            if code == CANNOT_START:
                pytest.skip(said.splitlines()[-1])
            assert code == 0, said
            yield
            for name, command in {
                "jobs": ("scontrol", "--oneliner", "show", "jobs"),
                "nodes": ("scontrol", "--oneliner", "show", "nodes"),
                "sacct": ("sacct", "--completion", f"--file={LOGS / 'jobcomp.log'}"),
            }.items():
                (LOGS / f"{name}.txt").write_text(slurm_says(*command))
        finally:
            code, said = script("stop.sh")
            shutil.rmtree(LOGS / "run", ignore_errors=True)  # sockets, key, state
    assert code == 0, said


@pytest.fixture
def logs(slurm, request):
    """Return the test's folder for what managers and jobs say."""
    folder = LOGS / request.node.originalname.removeprefix("test_")
    folder.mkdir()
    return folder


def jobs_in(folder):
    """Return the states of Slurm's jobs that ran below a folder, by their number."""
    states = {}
    for line in slurm_says("scontrol", "--oneliner", "show", "jobs").splitlines():
        fields = dict(field.partition("=")[::2] for field in line.split())
        if "WorkDir" in fields and Path(fields["WorkDir"]).is_relative_to(folder):
            states[int(fields["JobId"])] = fields["JobState"]
    return states


def ended(folder):
    """Whether no job of Slurm below a folder is left."""
    return set(jobs_in(folder).values()).isdisjoint({"PENDING", "RUNNING", "COMPLETING"})


def documented(heading, replacements):
    """Return the first YAML block under a heading of docs/clusters.md, with its names replaced."""
    page = (CHECKOUT / "docs" / "clusters.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {heading}\n")[2].partition("```yaml\n")[2].partition("```")[0]
    for name, here in replacements.items():
        assert name in text, f"{heading}: {name}"
        text = text.replace(name, str(here))
    assert "/path/to" not in text
    return text


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, settings_of):
    """Return the ranking of 'rocksalt run' on this machine, as JSON."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "small.yaml").write_text(yaml.safe_dump(settings_of(**CAMPAIGN)))
    done = subprocess.run(
        [BIN / "rocksalt", "run", "small.yaml", "--format", "json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def same_ranking(answer, wanted):
    """Compare rankings that were printed: all but the counts, which say where it was computed."""
    assert answer.code == 0, answer.err
    ranking = json.loads(answer.out)
    assert ranking["counts"]["done"] == ranking["counts"]["calculations"] == N_CALCULATIONS
    assert [c["dopant"] for c in ranking["candidates"]] == [
        c["dopant"] for c in wanted["candidates"]
    ]
    assert {**ranking, "counts": None} == {**wanted, "counts": None}


# --- FireWorks ---------------------------------------------------------------------------------


class Launcher:
    """A LaunchPad, a campaign that is submitted to it, and qlaunch."""

    def __init__(self, folder, file, launchpad, replacements=None):
        self.folder = folder
        self.launchpad = launchpad
        names = {
            "/path/to/my_launchpad.yaml": file,
            "/path/to/logs": folder,
            "/path/to/venv": sys.prefix,
        }
        self.adapter = folder / "my_qadapter.yaml"
        self.adapter.write_text(documented("Slurm with FireWorks", names | (replacements or {})))
        (folder / "FW_config.yaml").write_text("QUEUE_UPDATE_INTERVAL: 1\nPRINT_FW_JSON: false\n")
        self.command = [BIN / "qlaunch", "-q", self.adapter, "-l", file]

    def __call__(self, *arguments):
        """Run qlaunch to its end."""
        environment = {**os.environ, "FW_CONFIG_FILE": str(self.folder / "FW_config.yaml")}
        with open(self.folder / "qlaunch.log", "a") as log:
            subprocess.run(
                [*self.command, *map(str, arguments)],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                check=True,
                timeout=PATIENCE_S,
            )

    def states(self):
        """Count fireworks by state."""
        return Counter(f["state"] for f in self.launchpad.fireworks.find({}, {"state": 1}))

    def folders(self):
        """Return where fireworks were run."""
        return [Path(done["launch_dir"]) for done in self.launchpad.launches.find()]


@pytest.fixture
def submitted(logs, cli, campaign_file, database, make_launchpad):
    """Return the options of a submitted campaign, its LaunchPad file and its LaunchPad."""
    file, launchpad = make_launchpad(logs, database())
    options = ("--manager", "fireworks", "--launchpad", file, "--store", database())
    answer = cli("submit", campaign_file(**CAMPAIGN), *options, "--batch", "5")
    assert answer.code == 0, answer.err
    assert f"{N_CALCULATIONS} submitted as 10 jobs in 1 workflow" in answer.out
    yield options, file, launchpad
    launchpad.connection.close()


def test_fireworks(logs, submitted, cli, patiently, wanted):
    (*_, address), file, launchpad = submitted
    qlaunch = Launcher(logs, file, launchpad)
    qlaunch("rapidfire", "-m", 20, "--sleep", 1)
    patiently(lambda: ended(logs), "the end of Slurm's jobs", PATIENCE_S)
    assert qlaunch.states() == {"COMPLETED": 10}
    assert set(jobs_in(logs).values()) == {"COMPLETED"}
    assert all(
        folder.is_relative_to(logs) and "block_" in str(folder) for folder in qlaunch.folders()
    )
    same_ranking(cli("results", "small", "--store", address, "--format", "json"), wanted)
    status = cli("status", "small", "--store", address)
    assert "rock-salt mock 10 0 0 0 10" in " ".join(status.out.split())


@contextmanager
def drained():
    """Let Slurm take jobs but start none."""
    update = ["scontrol", "update", f"NodeName={slurm_says('sinfo', '-hNo', '%N').strip()}"]
    subprocess.run([*update, "State=DRAIN", "Reason=test"], check=True)
    try:
        yield
    finally:
        subprocess.run([*update, "State=RESUME"], check=True)


def test_fireworks_with_reservations(logs, submitted, cli, patiently, wanted):
    """One job of Slurm per firework, of which one is cancelled while it waits."""
    (*_, address), file, launchpad = submitted
    single = {"rapidfire --timeout 80000": "singleshot"}
    qlaunch = Launcher(logs, file, launchpad, single)
    with drained():
        qlaunch("--reserve", "rapidfire", "-m", 20, "--sleep", 1)
        assert len(jobs_in(logs)) == 10
        status = cli("status", "small", "--store", address)
        assert "rock-salt mock 10 0 10 0 0 0" in " ".join(status.out.split())
        subprocess.run(["scancel", str(min(jobs_in(logs)))], check=True)
    patiently(lambda: ended(logs), "the end of Slurm's jobs", PATIENCE_S)
    assert Counter(jobs_in(logs).values()) == {"COMPLETED": 9, "CANCELLED": 1}
    assert qlaunch.states() == {"COMPLETED": 9, "RESERVED": 1}
    ranking = cli("results", "small", "--store", address, "--format", "json")
    assert json.loads(ranking.out)["counts"]["done"] == N_CALCULATIONS - 5

    # The LaunchPad does not learn of a cancelled job, so it needs to be told.
    command = [BIN / "lpad", "-l", file, "detect_unreserved", "--time", "0", "--rerun"]
    subprocess.run(command, cwd=logs, stdout=subprocess.DEVNULL, check=True)
    qlaunch("--reserve", "rapidfire", "-m", 20, "--sleep", 1)
    patiently(lambda: ended(logs), "the end of Slurm's jobs", PATIENCE_S)
    assert qlaunch.states() == {"COMPLETED": 10}
    same_ranking(cli("results", "small", "--store", address, "--format", "json"), wanted)


# --- jobflow-remote ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def remote_bin(slurm):
    """Return the bin folder of an environment with jobflow-remote, which is kept."""
    given = os.environ.get("ROCKSALT_TEST_REMOTE", "1")
    if given != "1":
        return Path(given) / "bin"
    folder = SLURM / ".venv"
    installed = folder / ".installed"
    sources = [CHECKOUT / "pyproject.toml", CHECKOUT / "constraints.txt"]
    if not installed.exists() or any(
        source.stat().st_mtime > installed.stat().st_mtime for source in sources
    ):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [folder / "bin" / "pip", "install", "--quiet", "--constraint", sources[1]]
        subprocess.run([*install, "--editable", f"{CHECKOUT}[remote]"], check=True)
        installed.touch()
    return folder / "bin"


class Project:
    """A project of jobflow-remote with a worker in Slurm, and a command line beside it."""

    def __init__(self, folder, environment, address):
        place = parse_uri(address)
        host, port = place["nodelist"][0]
        (folder / "work").mkdir()
        (folder / "projects").mkdir()
        names = {
            "host: host": f"host: {host}, port: {port}",
            "database: screen": f"database: {place['database']}",
            "/path/to/work": folder / "work",
            "/path/to/venv": environment.parent,
        }
        settings = yaml.safe_load(documented("jobflow-remote", names))
        settings |= {"base_dir": str(folder / "base"), "runner": QUICK}
        (folder / "projects" / "screen.yaml").write_text(yaml.safe_dump(settings))
        self.folder = folder
        self.bin = environment
        self.environment = {
            **os.environ,
            "JFREMOTE_PROJECTS_FOLDER": str(folder / "projects"),
            "COLUMNS": "200",
        }

    def __call__(self, command, *arguments, **options):
        """Run a command to its end and return what it says."""
        done = subprocess.run(
            [self.bin / command, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self):
        """Have a runner at work."""
        with open(self.folder / "runner.log", "ab") as log:
            runner = subprocess.Popen(
                [self.bin / "jf", "-p", "screen", "runner", "run"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            runner.terminate()
            runner.wait()


def test_jobflow_remote(
    logs, remote_bin, database, cli, campaign_file, open_store, patiently, wanted
):
    """One job of Slurm per job, of which one is cancelled while it waits."""
    address = database()
    project = Project(logs, remote_bin, address)
    project("jf", "admin", "reset", input="y\n")
    submit = ("submit", campaign_file(**CAMPAIGN), "--manager", "jobflow-remote")
    submit += ("--project", "screen", "--store", address, "--batch", "5")
    assert f"{N_CALCULATIONS} submitted as 10 jobs" in project("rocksalt", *submit)
    queue = open_store(address).docs_store._collection.database["jobs"]

    def states():
        return Counter(job["state"] for job in queue.find({}, {"state": 1}))

    with project.running():
        with drained():
            patiently(lambda: states() == {"SUBMITTED": 10}, "jobs in Slurm", PATIENCE_S)
            status = project("rocksalt", "status", "small", "--store", address)
            assert "rock-salt mock 10 0 10 0 0 0" in " ".join(status.split())
            subprocess.run(["scancel", str(min(jobs_in(logs)))], check=True)
        patiently(lambda: states() == {"COMPLETED": 9, "FAILED": 1}, "all ends", PATIENCE_S)
        status = project("rocksalt", "status", "small", "--store", address)
        assert "rock-salt mock 10 0 0 1 9" in " ".join(status.split())
        assert "failed: 1 job 1 (rock-salt mock): its batch job ended before" in status
        retried = project("rocksalt", *submit, "--retry-failed")
        assert "run again: 1 job (1)" in retried
        patiently(lambda: states() == {"COMPLETED": 10}, "the end of all jobs", PATIENCE_S)
    patiently(lambda: ended(logs), "the end of Slurm's jobs", PATIENCE_S)
    assert Counter(jobs_in(logs).values()) == {"COMPLETED": 10, "CANCELLED": 1}
    same_ranking(cli("results", "small", "--store", address, "--format", "json"), wanted)
