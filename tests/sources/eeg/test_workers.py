import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mfr.runtime.errors import UnusableError, UserError
from mfr.sources.eeg.workers import in_processes
from tests.conftest import ROOT
from tests.support.tasks import die, note, refuse


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once_here_or_elsewhere(tmp_path, workers):
    names = [str(number) for number in range(6)]
    assert len(list(in_processes(note, names, tmp_path, workers))) == 6
    found = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert sorted(found) == names and len(set(found.values())) <= workers
    assert (set(found.values()) == {os.getpid()}) == (workers == 1)


def test_what_a_task_raises_is_raised_and_a_killed_worker_is_reported(tmp_path):
    with pytest.raises(UnusableError, match=r"^[01]$"):
        list(in_processes(refuse, ["0", "1"], tmp_path, 2))
    with pytest.raises(UserError, match=r"execution.workers: one of 2 worker processes died.*lower it and run again"):
        list(in_processes(die, ["0", "1"], tmp_path, 2))


def test_workers_end_with_their_parent(tmp_path):
    program = (
        "from pathlib import Path; from mfr.sources.eeg.workers import in_processes; from tests.support.tasks import linger\n"
        f"if __name__ == '__main__': list(in_processes(linger, ['0', '1'], Path({str(tmp_path)!r}), 2))"
    )
    (tmp_path / "program.py").write_text(program)
    parent = subprocess.Popen([sys.executable, tmp_path / "program.py"], env={**os.environ, "PYTHONPATH": str(ROOT)})
    places = [tmp_path / "0", tmp_path / "1"]
    while not all(place.is_file() and place.read_text() for place in places):
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [psutil.Process(int(place.read_text())) for place in places]
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert len(gone) == 2 and not alive


STOPPED = """
import sys, time
from pathlib import Path
from mfr.runtime.command import status_of
from mfr.sources.eeg.workers import in_processes
from tests.support.tasks import linger, note

folder = Path(sys.argv[1])
if __name__ != "__main__":
    note(f"importing-{time.monotonic_ns()}", folder)
    time.sleep(0.5)

def work():
    for _ in in_processes(linger, ["0", "1"], folder, 2):
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
