"""Trains and adapts a counter, evaluates it and writes its report. The same command again resumes.

usage: python -m cc_jax.train --config=configs/demo.py[:ARG] --workdir=DIR [--config.field=value ...]
"""

import pathlib

from absl import flags

from cc_jax import app

_CONFIG = app.define_config("Config file, or the name of a shipped config: PATH[:ARG] or NAME[:ARG].")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, logs and results; made if absent.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "This is one of several processes of one run: on several hosts, or one a GPU. SLURM, Open MPI, Kubernetes or the TPU "
    "say which, or the three flags that follow.",
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of the first process.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are.")
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat", 60, "Seconds after which a process that no longer answers ends all others."
)
_PROFILE = flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST, steps to write a profile of, to the workdir's folder `profile`."
)


def main(args: list[str]) -> None:
    """One run, or, where the config has a sweep, one run a method and seed below the workdir."""
    del args
    config = app.config_of(_CONFIG)
    app.require(workdir=_WORKDIR.value)
    if _PROFILE.value:
        config.profile_steps = _PROFILE.value
    # Imported here: a wrong flag is reported before JAX has started.
    import jax

    from cc_jax.distributed import processes
    from cc_jax.training import sweep

    app.compile_cache()
    if _DISTRIBUTED.value:
        processes.connect(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _HEARTBEAT.value)
        if jax.process_index() > 0:
            app.mute_stdout()
    with processes.translate_peer_errors():
        sweep.run(config, pathlib.Path(_WORKDIR.value))


if __name__ == "__main__":
    app.run(main)
