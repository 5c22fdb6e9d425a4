rule prepare_model:
    input:
        lock="requirements.lock",
        code=code_of("prepare_model", "language_model"),
    output:
        model=directory(paths.MODEL),
    log:
        "logs/language_model/prepare_model.log",
    benchmark:
        "logs/language_model/prepare_model.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=declared(config, "prepare_model"),
        planned=planned(config, "prepare_model"),
    shell:
        "python -m stages.prepare_model --planned {params.planned} > {log} 2>&1"


rule dump_activations:
    input:
        model=paths.MODEL,
        lock="requirements.lock",
        code=code_of("dump_activations", "language_model"),
    output:
        train=paths.vectors("language_model", "train"),
        heldout=paths.vectors("language_model", "heldout"),
    log:
        "logs/language_model/dump_activations.log",
    benchmark:
        "logs/language_model/dump_activations.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=declared(config, "dump_activations"),
        planned=planned(config, "dump_activations"),
    shell:
        "python -m stages.dump_activations --planned {params.planned} > {log} 2>&1"
