# From training to results: the same for every source.


rule train:
    input:
        vectors=paths.vectors("{source}", "train"),
        code=lambda wildcards: code_of("train", wildcards.source),
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
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(config, "train", wildcards),
        planned=lambda wildcards: planned(config, "train", wildcards),
    shell:
        "python -m stages.train --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed}"
        " --planned {params.planned} > {log} 2>&1"


rule evaluate:
    input:
        saes=rules.train.output.saes,
        card=rules.train.output.card,
        vectors=paths.vectors("{source}", "heldout"),
        prepared=lambda wildcards: source(wildcards.source).read_with_vectors,
        code=lambda wildcards: code_of("evaluate", wildcards.source),
    output:
        evaluation=paths.evaluation("{source}", "{method}", "{seed}"),
        latents=paths.features("{source}", "{method}", "{seed}"),
        activity=paths.activity("{source}", "{method}", "{seed}"),
    log:
        "logs/{source}/{method}/{seed}/evaluate.log",
    benchmark:
        "logs/{source}/{method}/{seed}/evaluate.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(config, "evaluate", wildcards),
        planned=lambda wildcards: planned(config, "evaluate", wildcards),
    shell:
        "python -m stages.evaluate --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed}"
        " --planned {params.planned} > {log} 2>&1"


rule export:
    input:
        saes=rules.train.output.saes,
        card=rules.train.output.card,
        vectors=paths.vectors("{source}", "heldout"),
        code=lambda wildcards: code_of("export", wildcards.source),
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
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(config, "export", wildcards),
        planned=lambda wildcards: planned(config, "export", wildcards),
    shell:
        "python -m stages.export --source {wildcards.source} --method {wildcards.method} --seed {wildcards.seed}"
        " --planned {params.planned} > {log} 2>&1"


rule describe:
    input:
        unpack(lambda wildcards: runs_of(wildcards.source, config)),
        vectors=paths.vectors("{source}", "heldout"),
        prepared=lambda wildcards: source(wildcards.source).read_with_vectors,
        code=lambda wildcards: code_of("describe", wildcards.source),
    output:
        latents=directory(paths.descriptions("{source}")),
    log:
        "logs/{source}/describe.log",
    benchmark:
        "logs/{source}/describe.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(config, "describe", wildcards),
        planned=lambda wildcards: planned(config, "describe", wildcards),
    shell:
        "python -m stages.describe --source {wildcards.source} --planned {params.planned} > {log} 2>&1"


rule compare:
    input:
        unpack(lambda wildcards: runs_of(wildcards.source, config)),
        vectors=paths.vectors("{source}", "heldout"),
        prepared=lambda wildcards: source(wildcards.source).read_by_compare,
        code=lambda wildcards: code_of("compare", wildcards.source),
    output:
        metrics=paths.metrics("{source}"),
        results=report(
            directory(paths.results("{source}")),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category="{source}",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/{source}/compare.log",
    benchmark:
        "logs/{source}/compare.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        mem_mb=4000,
    params:
        declared=lambda wildcards: declared(config, "compare", wildcards),
        planned=lambda wildcards: planned(config, "compare", wildcards),
    shell:
        "python -m stages.compare --source {wildcards.source} --planned {params.planned} > {log} 2>&1"
