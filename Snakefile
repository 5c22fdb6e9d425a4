"""Train SAEs side by side on three sources of vectors, with and without Mutual Feature Regularization, and compare them."""

from snakemake.utils import min_version

from mfr import paths
from mfr.params import SOURCES
from workflow.graph import checked, code_of, declared, made_of, runs_of

min_version("9.0")


configfile: "params.yaml"


report: "workflow/report/workflow.rst"


experiment = checked(config)


wildcard_constraints:
    source="|".join(SOURCES),
    method="[a-z][a-z0-9_]*",
    seed="[0-9]+",


include: "workflow/rules/synthetic.smk"
include: "workflow/rules/language_model.smk"
include: "workflow/rules/eeg.smk"
include: "workflow/rules/saes.smk"


rule all:
    default_target: True
    input:
        [made_of(source, config) for source in SOURCES],


rule synthetic:
    input:
        made_of("synthetic", config),


rule language_model:
    input:
        made_of("language_model", config),


rule eeg:
    input:
        made_of("eeg", config),


onsuccess:
    shell("python -m workflow.results")
