"""Names of the files of a run.

::

    RUN/config.yaml           complete settings
    RUN/dataset.sha256        fingerprint of the dataset
    RUN/metrics.jsonl         a record for every step or epoch
    RUN/checkpoint/           states to resume from, and in the end model.safetensors, the weights,
                              and pose-head.safetensors, of a head that infers poses
    RUN/*.mrc                 volumes and masks of methods that have some
    RUN/predicted.star        linear: latents at frame numbers that a movie lacks
    RUN/run.json              grid and units of the volumes, findings
    RUN/frames.star           latent and pose of every frame; written last
    RUN/evaluation.json, .npz what temporem evaluate measured
    RUN/validation/           what temporem validate found, and its half sets
    RUN/kinetics/             what temporem kinetics found
"""

CONFIG = "config.yaml"
FINGERPRINT = "dataset.sha256"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint"
MODEL = f"{CHECKPOINT}/model.safetensors"
HEAD = f"{CHECKPOINT}/pose-head.safetensors"
FACTS = "run.json"
FRAMES = "frames.star"
PREDICTED = "predicted.star"
VALIDATION = "validation"
KINETICS = "kinetics"

IDENTITY = (FACTS, FRAMES, MODEL)
"""Files of a run that determine its volumes."""


def state_file(part: str) -> str:
    """The file of the state of a part of a run: ``poses``, ``linear`` or ``network``."""
    return f"{CHECKPOINT}/{part}.safetensors"
