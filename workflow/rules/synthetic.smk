rule generate_synthetic:
    input:
        code=code_of("stages.generate_synthetic"),
    output:
        train=paths.vectors("synthetic", "train"),
        heldout=paths.vectors("synthetic", "heldout"),
    log:
        "logs/generate_synthetic.log",
    benchmark:
        "logs/generate_synthetic.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
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
        metrics=paths.metrics("synthetic"),
        tables=[
            paths.result("synthetic", f"{name}.csv")
            for name in (
                "summary",
                "values",
                "contests",
                "consistency",
                "learning_curves",
                "claims",
                "latents",
                "curves",
            )
        ],
        learning_curves=report(
            paths.result("synthetic", "learning_curves.png"),
            caption="../report/learning_curves.rst",
            category="synthetic",
        ),
        reconstruction=report(
            paths.result("synthetic", "reconstruction.png"),
            caption="../report/reconstruction.rst",
            category="synthetic",
        ),
        density=report(
            paths.result("synthetic", "density.png"),
            caption="../report/density.rst",
            category="synthetic",
        ),
        similarity=report(
            paths.result("synthetic", "similarity.png"),
            caption="../report/similarity.rst",
            category="synthetic",
        ),
        activity=report(
            paths.result("synthetic", "activity.png"),
            caption="../report/activity.rst",
            category="synthetic",
        ),
        unevenness=report(
            paths.result("synthetic", "unevenness.png"),
            caption="../report/unevenness.rst",
            category="synthetic",
        ),
        truth=report(
            paths.result("synthetic", "truth.png"),
            caption="../report/truth.rst",
            category="synthetic",
        ),
    log:
        "logs/compare_synthetic.log",
    benchmark:
        "logs/compare_synthetic.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        mem_mb=4000,
    params:
        declared=declared(
            config,
            "seeds",
            "synthetic.methods",
            "synthetic.compare",
            "synthetic.evaluate",
        ),
    shell:
        "python -m stages.compare --source synthetic > {log} 2>&1"
