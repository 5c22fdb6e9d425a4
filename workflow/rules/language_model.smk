rule prepare_model:
    input:
        lock="requirements.lock",
        code=code_of("stages.prepare_model"),
    output:
        model=directory(paths.MODEL),
    log:
        "logs/prepare_model.log",
    benchmark:
        "logs/prepare_model.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=declared(config, "language_model.prepare_model", "language_model.text"),
    shell:
        "python -m stages.prepare_model > {log} 2>&1"


rule dump_activations:
    input:
        model=paths.MODEL,
        lock="requirements.lock",
        code=code_of("stages.dump_activations"),
    output:
        train=paths.vectors("language_model", "train"),
        heldout=paths.vectors("language_model", "heldout"),
    log:
        "logs/dump_activations.log",
    benchmark:
        "logs/dump_activations.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=declared(
            config, "language_model.text", "language_model.dump_activations"
        ),
    shell:
        "python -m stages.dump_activations > {log} 2>&1"


rule compare_language_model:
    input:
        **runs_of("language_model", config),
        code=code_of("stages.compare"),
    output:
        metrics=paths.metrics("language_model"),
        tables=[
            paths.result("language_model", f"{name}.csv")
            for name in (
                "summary",
                "values",
                "contests",
                "consistency",
                "table1",
                "table2",
                "claims",
                "learning_curves",
            )
        ],
        learning_curves=report(
            paths.result("language_model", "learning_curves.png"),
            caption="../report/learning_curves.rst",
            category="language_model",
        ),
        reconstruction=report(
            paths.result("language_model", "reconstruction.png"),
            caption="../report/reconstruction.rst",
            category="language_model",
        ),
        density=report(
            paths.result("language_model", "density.png"),
            caption="../report/density.rst",
            category="language_model",
        ),
        loss_recovered=report(
            paths.result("language_model", "loss_recovered.png"),
            caption="../report/loss_recovered.rst",
            category="language_model",
        ),
    log:
        "logs/compare_language_model.log",
    benchmark:
        "logs/compare_language_model.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        mem_mb=4000,
    params:
        declared=declared(
            config, "seeds", "language_model.methods", "language_model.compare"
        ),
    shell:
        "python -m stages.compare --source language_model > {log} 2>&1"
