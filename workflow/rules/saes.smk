# Training, evaluation, export and the description of latents are the same for every source.


rule train:
    input:
        vectors=paths.vectors("{source}", "train"),
        code=code_of("stages.train"),
    output:
        saes=paths.saes("{source}", "{method}", "{seed}"),
        card=paths.saes_card("{source}", "{method}", "{seed}"),
        curves=paths.curves("{source}", "{method}", "{seed}"),
    log:
        "logs/{source}/{method}/{seed}/train.log",
    benchmark:
        "logs/{source}/{method}/{seed}/train.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(
            config,
            f"{wildcards.source}.train",
            f"{wildcards.source}.methods.{wildcards.method}",
        ),
    shell:
        "python -m stages.train --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"


rule evaluate:
    input:
        saes=rules.train.output.saes,
        card=rules.train.output.card,
        vectors=paths.vectors("{source}", "heldout"),
        model=lambda wildcards: (
            [paths.MODEL] if wildcards.source == "language_model" else []
        ),
        code=code_of("stages.evaluate"),
    output:
        evaluation=paths.evaluation("{source}", "{method}", "{seed}"),
        features=paths.features("{source}", "{method}", "{seed}"),
    log:
        "logs/{source}/{method}/{seed}/evaluate.log",
    benchmark:
        "logs/{source}/{method}/{seed}/evaluate.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=lambda wildcards: (
            declared(config, f"{wildcards.source}.evaluate")
            if "evaluate" in config[wildcards.source]
            else {}
        ),
    shell:
        "python -m stages.evaluate --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"


rule export:
    input:
        saes=rules.train.output.saes,
        card=rules.train.output.card,
        vectors=paths.vectors("{source}", "heldout"),
        code=code_of("stages.export"),
    output:
        folder=directory(paths.export("{source}", "{method}", "{seed}")),
    log:
        "logs/{source}/{method}/{seed}/export.log",
    benchmark:
        "logs/{source}/{method}/{seed}/export.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared={},
    shell:
        "python -m stages.export --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"


rule describe:
    input:
        unpack(lambda wildcards: runs_of(wildcards.source, config)),
        vectors=paths.vectors("{source}", "heldout"),
        model=lambda wildcards: (
            [paths.MODEL] if wildcards.source == "language_model" else []
        ),
        code=code_of("stages.describe"),
    output:
        features=directory(paths.descriptions("{source}")),
    log:
        "logs/{source}/describe.log",
    benchmark:
        "logs/{source}/describe.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(
            config, "seeds", f"{wildcards.source}.methods"
        ),
    shell:
        "python -m stages.describe --source {wildcards.source} > {log} 2>&1"
