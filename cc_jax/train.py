"""Train and adapt a counter, evaluate it, and write its report. The same command again resumes.

usage: python -m cc_jax.train --config=configs/demo.py[:ARG] --workdir=DIR [--config.field=value ...]
"""

import pathlib

from absl import flags

from cc_jax import app

_CONFIG = app.define_config(
    "Config file, or the name of a shipped config: PATH[:ARG] or NAME[:ARG]. configs/default.py explains the fields."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for checkpoints, logs and results; made if it does not exist."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "This process is one of several of a run, on several hosts or one per GPU. SLURM, Open MPI, Kubernetes or a TPU tell it "
    "which one it is, or the flags --coordinator, --processes and --process do.",
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of the first process.")
_PROCESSES = flags.DEFINE_integer("processes", None, "Number of processes.")
_PROCESS = flags.DEFINE_integer("process", None, "Which process this is, counted from 0.")
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat", 60, "Seconds after which a process that does not answer ends all others."
)
_PROFILE = flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST, the steps to profile, into the folder `profile` of the workdir."
)


def main(args: list[str]) -> None:
    """Run the config, or each run of its sweep."""
    del args
    config = app.config_of(_CONFIG)
    workdir = pathlib.Path(app.required(_WORKDIR))
    if _PROFILE.value:
        config.profile_steps = _PROFILE.value
    # Imported here, so that a wrong flag is reported before JAX starts.
    import jax

    from cc_jax.distributed import processes
    from cc_jax.training import sweep

    app.compile_cache()
    if _DISTRIBUTED.value:
        processes.connect(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _HEARTBEAT.value)
        if jax.process_index() > 0:
            app.mute_stdout()
    with processes.translate_peer_errors():
        sweep.run(config, workdir)


if __name__ == "__main__":
    app.run(main)
