rule prepare_recordings:
    input:
        code=code_of("prepare_recordings", "eeg"),
    output:
        recordings=directory(paths.RECORDINGS),
    log:
        "logs/eeg/prepare_recordings.log",
    benchmark:
        "logs/eeg/prepare_recordings.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        declared=declared(config, "prepare_recordings"),
        planned=planned(config, "prepare_recordings"),
    shell:
        "python -m stages.prepare_recordings --planned {params.planned} > {log} 2>&1"


rule preprocess_eeg:
    input:
        recordings=paths.RECORDINGS,
        code=code_of("preprocess_eeg", "eeg"),
    output:
        train=paths.vectors("eeg", "train"),
        validation=paths.vectors("eeg", "validation"),
        heldout=paths.vectors("eeg", "heldout"),
        table=paths.RECORDINGS_TABLE,
    log:
        "logs/eeg/preprocess_eeg.log",
    benchmark:
        "logs/eeg/preprocess_eeg.tsv"
    conda:
        "../envs/mfr.yaml"
    threads: experiment.execution.workers
    resources:
        mem_mb=1000 + 1000 * experiment.execution.workers,
    params:
        declared=declared(config, "preprocess_eeg"),
        planned=planned(config, "preprocess_eeg"),
    shell:
        "python -m stages.preprocess_eeg --planned {params.planned} > {log} 2>&1"


rule denoise:
    input:
        saes=paths.saes("eeg", "{method}", "{seed}"),
        card=paths.saes_card("eeg", "{method}", "{seed}"),
        train=paths.vectors("eeg", "train"),
        heldout=paths.vectors("eeg", "heldout"),
        code=code_of("denoise", "eeg"),
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
        gpu=gpus(experiment),
        mem_mb=4000,
    params:
        declared=declared(config, "denoise"),
        planned=planned(config, "denoise"),
    shell:
        "python -m stages.denoise --method {wildcards.method} --seed {wildcards.seed}"
        " --planned {params.planned} > {log} 2>&1"
