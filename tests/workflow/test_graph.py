import re
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from snakemake.exceptions import WorkflowError

from mfr.config.experiment import Execution, Params
from tests.support.project import clone, drift, dvc_jobs, edit, run, snakemake_jobs
from tests.support.small_project import SMOKE
from workflow import graph
from workflow.code import code_of, imports_of, units_of
from workflow.graph import PLANNED, parameters


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(clone(tmp_path))
    return tmp_path


def test_both_engines_describe_the_same_jobs(project: Path) -> None:
    jobs = snakemake_jobs()
    assert len(jobs) == 5 + 7 + 7 + 2 + 2 + 3 + 3
    assert drift(jobs, dvc_jobs()) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("workflow/dvc.yaml", "stages.prepare_recordings", "stages.prepare_recordings -v", "only one engine"),
        ("workflow/dvc.yaml", "      - stages/dump_activations.py\n", "", "inputs of python -m stages.dump_activations"),
        ("dvc.yaml", "        - mfr/mutual\n", "", "inputs of python -m stages.train"),
        (
            "workflow/dvc.yaml",
            "params: [language_model.text, language_model.dump_activations]",
            "params: [language_model.dump_activations]",
            "parameters of python -m stages.dump_activations",
        ),
        ("workflow/dvc.yaml", "- data/eeg/train.h5", "- data/eeg/vectors.h5", "outputs of python -m stages.pre"),
        # What a stage imports, directly or not, is a dependency.
        ("stages/train.py", "import argparse\n", "import argparse\n\nimport mfr.export\n", "inputs of python -m stages.train"),
        (
            "mfr/saes/files.py",
            "import torch\n",
            "import torch\n\nfrom mfr.denoising import noise\n",
            "inputs of python -m stages.evaluate",
        ),
    ],
)
def test_an_injected_drift_is_seen(project: Path, file: str, old: str, new: str, where: str) -> None:
    edit(project, file, old, new)
    imports_of.cache_clear()
    units_of.cache_clear()
    assert any(line.startswith(where) for line in drift(snakemake_jobs(), dvc_jobs()))


def test_every_output_of_dvc_stays_until_it_is_replaced(project: Path) -> None:
    """DVC would delete an output before its stage runs, and a failure would lose the earlier result."""
    outputs = [out for stage in Repo(".").index.stages for out in stage.outs]
    assert len(outputs) > 50 and all(out.persist for out in outputs)


def test_a_stage_that_chooses_a_device_asks_for_the_gpu(project: Path) -> None:
    rules = [rule for path in Path("workflow/rules").glob("*.smk") for rule in path.read_text().split("\nrule ")[1:]]
    asks = {re.findall(r"python -m stages\.(\w+)", rule)[0]: "gpu=gpus(experiment)" in rule for rule in rules}
    chooses = {stage: "resolve_device(" in Path(f"stages/{stage}.py").read_text() for stage in asks}
    assert asks == chooses and len(set(asks.values())) == 2


def test_the_profile_for_a_cluster_is_one_that_snakemake_reads(project: Path) -> None:
    plan = ["snakemake", "--dry-run", "--cores", "1", "--workflow-profile", "profiles/slurm"]
    edit(project, "profiles/slurm/config.yaml", "slurm-requeue: true\n", "")  # an option of the plugin, which is not installed
    assert "generate_synthetic" in run(project, *plan, "--executor", "local")
    edit(project, "profiles/slurm/config.yaml", "latency-wait", "latency-weight")
    assert "latency-weight" in run(project, *plan, "--executor", "local", fails=True)


def test_code_is_whole_packages_and_only_the_source_at_hand(project: Path) -> None:
    code = set(code_of("train", "eeg"))
    assert {"stages/train.py", "mfr/saes/ensemble.py", "mfr/compute/seeds.py", "mfr/sources/eeg/source.py"} <= code
    packages = {str(Path(path).parent) for path in code}
    assert not packages & {"mfr/runtime", "mfr/comparison", "mfr/sources/language_model", "mfr/sources/synthetic"}
    assert "stages/common.py" not in code


def test_a_name_reaches_no_shell_before_it_is_checked(project: Path) -> None:
    smoke = yaml.safe_load(SMOKE)
    names = ["a'; $(touch pwned); touch pwned; '", "a\ntouch pwned\n"]
    section = smoke["synthetic"] | {"methods": {key: {} for key in ["baseline", *names]}}
    params = {"seeds": [0], "sources": ["synthetic"], "synthetic": section}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    vectors = project / "data" / "synthetic" / "train.h5"
    vectors.parent.mkdir(parents=True)
    vectors.touch()
    # Not even if DVC is asked to run these jobs whatever fails.
    for command in (("dvc", "repro", "--single-item", "--keep-going", "train_synthetic"), ("snakemake", "--cores", "1")):
        output = run(project, *command, fails=True)
        assert output.count("params.yaml: synthetic.methods.a'; $(") and "Traceback" not in output
    assert not list(project.rglob("pwned*"))


@pytest.mark.parametrize("seeds", ['["; touch pwned"]', '[{"; touch pwned": 1}]', "[[1, 2]]", "[true]"])
def test_a_seed_reaches_no_shell_before_it_is_checked(project: Path, seeds: str) -> None:
    edit(project, "params.yaml", "seeds: [0]", f"seeds: {seeds}")
    run(project, "dvc", "repro", "--keep-going", "--single-item", "train_synthetic", fails=True)
    assert not list(project.rglob("pwned*"))


def test_mistakes_in_the_parameters_stop_snakemake_before_any_job(project: Path) -> None:
    edit(project, "params.yaml", "recordings: simulated", "recordins: simulated")
    output = run(project, "snakemake", "--cores", "1", fails=True)
    assert "params.yaml: eeg.prepare_recordings.recordins: unknown parameter; did you mean 'recordings'?" in output
    assert "Traceback" not in output and not (project / "data").exists()


def test_values_given_to_snakemake_are_refused_since_no_stage_would_see_them(project: Path) -> None:
    output = run(project, "snakemake", "--cores", "1", "--dry-run", "--config", "seeds=[3]", fails=True)
    assert "edit params.yaml instead" in output


def test_both_engines_read_numbers_alike(project: Path) -> None:
    # PyYAML, with which Snakemake would read the file, takes 1e-2 for text.
    edit(project, "params.yaml", "steps: 60\n    learning_rate: 0.01", "steps: 60\n    learning_rate: 1e-2")
    assert snakemake_jobs().keys() == dvc_jobs().keys()
    edit(project, "params.yaml", "seeds: [0]", "seeds: [010]")
    output = run(project, "snakemake", "--cores", "1", "--dry-run", fails=True)
    assert "params.yaml: seeds.0: 010 is 8 for some programs, but 10 for others; write 8 or 10 (line 3, column 9)" in output


def test_a_job_on_a_cluster_refuses_values_that_were_not_planned(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLANNED, raising=False)
    parameters({}, is_main_process=False)
    parameters({})
    edit(project, "params.yaml", "threads: 1", "threads: 2")
    parameters({}, is_main_process=False)
    edit(project, "params.yaml", "recovered_at: 0.9", "recovered_at: 0.8")
    with pytest.raises(WorkflowError, match="changed since this run was planned; run again"):
        parameters({}, is_main_process=False)


@pytest.mark.parametrize(
    ("folder", "why"),
    [("data/eeg/recordings/mine", "is inside"), ("data/eeg", "holds data/eeg/recordings")],
    ids=["in", "around"],
)
def test_recordings_in_or_around_an_output_are_refused_before_snakemake_deletes_them(
    project: Path, folder: str, why: str
) -> None:
    recording = project / "data" / "eeg" / "recordings" / "mine" / "first.edf"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"mine")
    edit(project, "params.yaml", "recordings: simulated", f"recordings: {folder}")
    output = run(project, "snakemake", "--cores", "1", "data/eeg/recordings", fails=True)
    assert f"prepare_recordings.recordings: {folder} {why}" in output and "Traceback" not in output
    assert recording.read_bytes() == b"mine"


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1)])
def test_only_a_device_that_may_be_a_gpu_asks_for_one(project: Path, device: str, gpus: int) -> None:
    edit(project, "params.yaml", "device: cpu", f"device: {device}")
    output = run(project, "snakemake", "--dry-run", "--cores", "1")
    asked = set(re.findall(r"gpu=(\d)", output.partition("Job stats")[2]))
    assert asked == {str(gpus)} and graph.gpus(Params.model_construct(execution=Execution(device="auto"))) == 1
