"""Train SAEs side by side on sources of vectors, with and without Mutual Feature Regularization, and compare them."""

from snakemake.utils import min_version

from mfr.runtime import paths
from mfr.sources.source import source
from workflow.code import code_of
from workflow.graph import declared, gpus, made_of, parameters, planned, runs_of

min_version("9.0")


report: "workflow/report/workflow.rst"


config, experiment = parameters(config, workflow.is_main_process)


wildcard_constraints:
    source="|".join(experiment.sources),
    method="[a-z][a-z0-9_]*",
    seed="[0-9]+",


include: "workflow/rules/saes.smk"


for name in experiment.sources:

    include: f"workflow/rules/{name}.smk"


rule all:
    default_target: True
    input:
        [made_of(name, config) for name in experiment.sources],


for name in experiment.sources:

    rule:
        name:
            name
        input:
            made_of(name, config),


onsuccess:
    shell("python -m workflow.results")
