rule generate_synthetic:
    input:
        code=code_of("stages.generate_synthetic"),
    output:
        train=update(paths.vectors("synthetic", "train")),
        heldout=update(paths.vectors("synthetic", "heldout")),
    log:
        "logs/generate_synthetic.log",
    benchmark:
        "logs/generate_synthetic.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        declared=declared(config, "synthetic.generate_synthetic"),
    shell:
        "python -m stages.generate_synthetic > {log} 2>&1"


rule compare_synthetic:
    input:
        **runs_of("synthetic", config),
        code=code_of("stages.compare"),
    output:
        metrics=update(paths.metrics("synthetic")),
        summary=update(paths.result("synthetic", "summary.csv")),
        curves_table=update(paths.result("synthetic", "learning_curves.csv")),
        learning_curves=report(
            update(paths.result("synthetic", "learning_curves.png")),
            caption="../report/learning_curves.rst",
            category="synthetic",
        ),
        reconstruction=report(
            update(paths.result("synthetic", "reconstruction.png")),
            caption="../report/reconstruction.rst",
            category="synthetic",
        ),
        similarity=report(
            update(paths.result("synthetic", "similarity.png")),
            caption="../report/similarity.rst",
            category="synthetic",
        ),
    log:
        "logs/compare_synthetic.log",
    benchmark:
        "logs/compare_synthetic.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        declared=declared(config, "seeds", "synthetic.methods"),
    shell:
        "python -m stages.compare --source synthetic > {log} 2>&1"
