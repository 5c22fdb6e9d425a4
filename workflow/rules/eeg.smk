rule prepare_recordings:
    input:
        code=code_of("stages.prepare_recordings"),
    output:
        recordings=directory(paths.RECORDINGS),
    log:
        "logs/prepare_recordings.log",
    benchmark:
        "logs/prepare_recordings.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        declared=declared(config, "eeg.prepare_recordings"),
    shell:
        "python -m stages.prepare_recordings > {log} 2>&1"


rule preprocess_eeg:
    input:
        recordings=paths.RECORDINGS,
        code=code_of("stages.preprocess_eeg"),
    output:
        train=paths.vectors("eeg", "train"),
        validation=paths.vectors("eeg", "validation"),
        heldout=paths.vectors("eeg", "heldout"),
        table=paths.RECORDINGS_TABLE,
    log:
        "logs/preprocess_eeg.log",
    benchmark:
        "logs/preprocess_eeg.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.workers
    resources:
        mem_mb=1000 + 1000 * experiment.execution.workers,
    params:
        declared=declared(config, "eeg.preprocess_eeg"),
    shell:
        "python -m stages.preprocess_eeg > {log} 2>&1"


rule denoise:
    input:
        saes=paths.saes("eeg", "{method}", "{seed}"),
        card=paths.saes_card("eeg", "{method}", "{seed}"),
        train=paths.vectors("eeg", "train"),
        heldout=paths.vectors("eeg", "heldout"),
        code=code_of("stages.denoise"),
    output:
        denoising=paths.denoising("{method}", "{seed}"),
    log:
        "logs/eeg/{method}/{seed}/denoise.log",
    benchmark:
        "logs/eeg/{method}/{seed}/denoise.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        gpu=1,
        mem_mb=4000,
    params:
        declared=declared(config, "eeg.denoise"),
    shell:
        "python -m stages.denoise --method {wildcards.method} --seed {wildcards.seed} > {log} 2>&1"


rule compare_eeg:
    input:
        **runs_of("eeg", config),
        recordings=paths.RECORDINGS_TABLE,
        heldout=paths.vectors("eeg", "heldout"),
        code=code_of("stages.compare"),
    output:
        metrics=paths.metrics("eeg"),
        tables=[
            paths.result("eeg", f"{name}.csv")
            for name in (
                "summary",
                "values",
                "contests",
                "consistency",
                "learning_curves",
                "table3",
                "claims",
                "denoising",
            )
        ],
        recordings_table=paths.result("eeg", "recordings.csv"),
        learning_curves=report(
            paths.result("eeg", "learning_curves.png"),
            caption="../report/learning_curves.rst",
            category="eeg",
        ),
        reconstruction=report(
            paths.result("eeg", "reconstruction.png"),
            caption="../report/reconstruction.rst",
            category="eeg",
        ),
        density=report(
            paths.result("eeg", "density.png"),
            caption="../report/density.rst",
            category="eeg",
        ),
        decoder_distances=report(
            paths.result("eeg", "decoder_distances.png"),
            caption="../report/decoder_distances.rst",
            category="eeg",
        ),
        denoising=report(
            paths.result("eeg", "denoising.png"),
            caption="../report/denoising.rst",
            category="eeg",
        ),
        traces=report(
            paths.result("eeg", "traces.png"),
            caption="../report/traces.rst",
            category="eeg",
        ),
        spectra=report(
            paths.result("eeg", "spectra.png"),
            caption="../report/spectra.rst",
            category="eeg",
        ),
        patterns=report(
            paths.result("eeg", "patterns.png"),
            caption="../report/patterns.rst",
            category="eeg",
        ),
        scalps=report(
            paths.result("eeg", "scalps.png"),
            caption="../report/scalps.rst",
            category="eeg",
        ),
    log:
        "logs/compare_eeg.log",
    benchmark:
        "logs/compare_eeg.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.threads
    resources:
        mem_mb=4000,
    params:
        declared=declared(config, "seeds", "eeg.methods", "eeg.compare"),
    shell:
        "python -m stages.compare --source eeg > {log} 2>&1"
