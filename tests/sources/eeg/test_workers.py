import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mfr.runtime.errors import UnusableError, UserError
from mfr.sources.eeg.workers import Workers
from tests.conftest import ROOT
from tests.support.tasks import do, note

FAILURES = {
    "refuse": "no recording: refused",
    "crash": "crashes its reader: the process ended with SIGSEGV",
    "exit": "crashes its reader: the process ended with status 3",
    "bug": "crashes its reader: the process ended with status 1",
    "hang": "takes too long: not read within 2 s",
    "memory": "needs too much memory: more than 0.1 GiB",
}


def test_a_few_processes_serve_many_items(tmp_path):
    files = [tmp_path / str(number) for number in range(8)]
    with Workers(2) as workers:
        first = dict(workers.map(note, files, [0] * 8))
        again = dict(workers.map(note, files[:3], [0] * 3))
    assert sorted(first) == list(range(8)) and len(set(first.values())) <= 2 and set(again.values()) <= set(first.values())
    assert os.getpid() not in first.values() and not any(psutil.pid_exists(number) for number in first.values())


@pytest.mark.parametrize("count", [1, 3])
def test_what_happens_to_one_item_concerns_no_other(count):
    items = ["a", *FAILURES, "b", "refuse", "crash", "c"]
    with Workers(count, seconds=2, memory=1 << 27) as workers:
        found = {items[index]: result for index, result in workers.map(do, items, [0] * len(items))}
        assert dict(workers.map(do, ["d"], [0])) == {0: "D"}
    assert {name: found[name] for name in "abc"} == {"a": "A", "b": "B", "c": "C"}
    for name, reason in FAILURES.items():
        assert isinstance(found[name], UnusableError) and str(found[name]) == reason


def test_a_large_file_has_larger_limits():
    with Workers(1, seconds=0, memory=1 << 27) as workers:
        assert dict(workers.map(do, ["memory"], [1 << 25])) == {0: str(1 << 28)}


def test_a_full_disk_and_a_process_that_the_system_kills_end_the_stage():
    with Workers(2) as workers, pytest.raises(OSError, match="no space"):
        list(workers.map(do, ["a", "full"], [0, 0]))
    message = r"execution.workers: the system ended the worker process that read killed \(SIGKILL\).*lower it and run again"
    with Workers(2) as workers, pytest.raises(UserError, match=message):
        list(workers.map(do, ["a", "killed"], [0, 0]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_parent(tmp_path, number):
    program = (
        "from pathlib import Path; from mfr.sources.eeg.workers import Workers; from tests.support.tasks import linger\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as workers: list(workers.map(linger, [folder / '0', folder / '1'], [0, 0]))"
    )
    (tmp_path / "program.py").write_text(program)
    parent = subprocess.Popen([sys.executable, tmp_path / "program.py"], env={**os.environ, "PYTHONPATH": str(ROOT)})
    places = [tmp_path / "0", tmp_path / "1"]
    while not all(place.is_file() and place.read_text() for place in places):
        assert parent.poll() is None
        time.sleep(0.05)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert {int(place.read_text()) for place in places} <= {process.pid for process in family}
    parent.send_signal(number)
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


STOPPED = """
import sys, time
from pathlib import Path
from mfr.runtime.command import status_of
from mfr.sources.eeg.workers import Workers
from tests.support.tasks import linger, note

folder = Path(sys.argv[1])
if __name__ != "__main__":
    note(folder / f"importing-{time.monotonic_ns()}")
    time.sleep(0.5)

def work():
    with Workers(2) as workers:
        for _ in workers.map(linger, [folder / "0", folder / "1"], [0, 0]):
            pass

if __name__ == "__main__":
    sys.exit(status_of(work))
"""


@pytest.mark.parametrize(
    ("number", "moment", "group"),
    [(signal.SIGINT, "importing-*", True), (signal.SIGINT, "[01]", True), (signal.SIGTERM, "[01]", False)],
)
def test_a_signal_ends_parent_and_workers_in_one_line(tmp_path, number, moment, group):
    (tmp_path / "program.py").write_text(STOPPED)
    command = [sys.executable, tmp_path / "program.py", tmp_path]
    parent = psutil.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len([path for path in tmp_path.glob(moment) if path.read_text()]) < 2:
        assert parent.poll() is None
        time.sleep(0.02)
    workers = parent.children(recursive=True)
    os.killpg(parent.pid, number) if group else parent.send_signal(number)
    _, told = parent.communicate(timeout=30)
    assert parent.returncode == 128 + number
    assert told == f"stopped by {signal.Signals(number).name}: run again\n"
    assert len(psutil.wait_procs(workers, timeout=10)[0]) == len(workers) >= 2
