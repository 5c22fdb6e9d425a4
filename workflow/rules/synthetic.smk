rule generate_synthetic:
    input:
        code=code_of("generate_synthetic", "synthetic"),
    output:
        train=paths.vectors("synthetic", "train"),
        heldout=paths.vectors("synthetic", "heldout"),
    log:
        "logs/synthetic/generate_synthetic.log",
    benchmark:
        "logs/synthetic/generate_synthetic.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        mem_mb=2000,
    params:
        declared=declared(config, "generate_synthetic"),
        planned=planned(config, "generate_synthetic"),
    shell:
        "python -m stages.generate_synthetic --planned {params.planned} > {log} 2>&1"
