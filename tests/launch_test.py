"""The files of launch/, checked without a cluster, a cloud or a Docker daemon."""

import functools
import importlib
import operator
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.rglob("*.sbatch"), ROOT / ".ci" / "run"])
ENVIRONMENTS = sorted(LAUNCH.glob("env/*.env"))
TPU = LAUNCH / "tpu_vm"
# Fields and actions of jobset_types.go of JobSet (v1alpha2).
JOBSET_SPEC = {"failurePolicy", "coordinator", "replicatedJobs", "network", "successPolicy", "suspend"}
JOBSET_ACTIONS = {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"}


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)


def settings(path: pathlib.Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def executable(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}")
    path.chmod(0o755)
    return path


# Scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_are_bash(script):
    text = script.read_text()
    found = run("bash", "-n", script)
    assert found.returncode == 0, found.stderr
    # The other scripts are sourced.
    if text.startswith("#!"):
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert "set -euo pipefail" in text


def test_shellcheck_finds_nothing():
    tool = shutil.which("shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
    assert tool, "tests/requirements.txt brings shellcheck"
    # SC2329: a function that only a trap calls.
    found = run(tool, "--shell=bash", "-x", "-P", "SCRIPTDIR", "-P", ".", "-e", "SC2329", *SCRIPTS, cwd=ROOT)
    assert found.returncode == 0, found.stdout


def test_the_readme_names_every_file_and_no_other():
    text = (LAUNCH / "README.md").read_text()
    files = {str(path.relative_to(LAUNCH)) for path in LAUNCH.rglob("*") if path.is_file()}
    files -= {"README.md", "SCALING.md"}
    named = set(re.findall(r"[\w/]+\.(?:sh|sbatch|yaml|env)|docker/Dockerfile(?:\.dockerignore)?", text))
    named = {name.removeprefix("launch/") for name in named}
    assert not named - files
    assert {name for name in files if not name.endswith((".txt", ".dockerignore"))} <= named


def test_sbatch_lines_come_first_and_name_options_of_sbatch():
    """SLURM reads these lines up to the first command, and refuses a job with an unknown option."""
    known = {
        "job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "time", "signal", "requeue",
        "open-mode", "output",
    }  # fmt: skip
    for path in LAUNCH.rglob("*.sbatch"):
        lines = path.read_text().splitlines()
        directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
        commands = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
        assert directives and max(directives) < min(commands)
        for i in directives:
            assert re.fullmatch(r"#SBATCH --([a-z-]+)(=\S+)?", lines[i])[1] in known


@pytest.mark.parametrize("code", [0, 1, 75])
def test_a_slurm_job_that_saved_is_requeued(code, tmp_path):
    shutil.copytree(LAUNCH / "env", tmp_path / "launch" / "env")
    executable(tmp_path / ".venv/bin/python", f'echo "$@ $XLA_FLAGS" >{tmp_path}/called; exit {code}')
    executable(tmp_path / "bin/srun", 'shift; "$@"')
    executable(tmp_path / "bin/scontrol", f'echo "$@" >{tmp_path}/told')
    environment = {
        "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "17",
    }
    found = run("bash", LAUNCH / "slurm/train.sbatch", "--workdir=a b", env=environment, cwd=tmp_path.parent)
    assert found.returncode == code, found.stderr
    called = (tmp_path / "called").read_text()
    assert called.startswith("-m cc_jax.train --distributed --workdir=a b --xla_gpu")
    told = tmp_path / "told"
    assert (told.read_text() if told.exists() else "") == ("requeue 17\n" if code == 75 else "")


# Settings


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_settings_mean_the_same_to_every_reader(path):
    """bash, docker --env-file and kubectl --from-env-file treat quotes, spaces and dollars differently."""
    for line in path.read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Z_][A-Z0-9_]*=[^\s\"'$\\]+", line), line
    assert settings(path)["JAX_PLATFORMS"].split(",")[-1] == "cpu"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_jaxlib_knows_the_flags(path):
    """An unknown flag ends the process: `Unknown flag in XLA_FLAGS`."""
    flags = settings(path).get("XLA_FLAGS")
    if not flags:
        return
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    found = run(sys.executable, "-c", "import jax; jax.numpy.zeros(1)", env=environment)
    assert found.returncode == 0, found.stderr[-1000:]


def test_settings_are_defined_in_one_place():
    names = {name for path in ENVIRONMENTS for name in settings(path)} - {"XLA_FLAGS"}
    for path in LAUNCH.rglob("*"):
        if path.is_file() and path.suffix not in (".env", ".jpg", ".md"):
            assert not [name for name in names if name in path.read_text()], path


def test_variables_that_the_caller_has_set_are_kept():
    command = f'source {LAUNCH}/env/load.sh; load_env gpu; echo "$JAX_PLATFORMS|$XLA_FLAGS|"; env'
    found = run("bash", "-euc", command, env={"PATH": "/usr/bin:/bin", "XLA_FLAGS": ""})
    assert found.stdout.splitlines()[0] == "cuda,cpu||"
    expected = settings(LAUNCH / "env/gpu.env") | {"XLA_FLAGS": ""}
    assert {f"{name}={value}" for name, value in expected.items()} <= set(found.stdout.splitlines())
    found = run("bash", "-euc", f"source {LAUNCH}/env/load.sh; load_env gup", env={"PATH": "/usr/bin:/bin"})
    assert found.returncode == 2 and "gup.env does not exist" in found.stderr


# Docker


def test_the_image_is_not_root_and_has_settings_for_each_accelerator():
    text = (LAUNCH / "docker/Dockerfile").read_text()
    accelerators = set(re.findall(r"^ +(\w+)\) jax=", text, re.MULTILINE))
    assert accelerators == {path.stem for path in ENVIRONMENTS}
    assert re.search(r"^ARG ACCELERATOR=cpu$", text, re.MULTILINE)
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users == ["1000"] and "--uid 1000" in text
    entry = re.search(r'^ENTRYPOINT \["tini", "--", "/app/(.+)"\]$', text, re.MULTILINE)[1]
    assert (ROOT / entry).stat().st_mode & 0o111


def test_the_image_holds_what_running_needs_and_nothing_else():
    lines = (LAUNCH / "docker/Dockerfile.dockerignore").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines[0] == "*" and lines[-1] == "**/__pycache__"
    kept = {line.removeprefix("!") for line in lines[1:-1]}
    assert kept == {"requirements.txt", "cc_jax", "configs", "launch"}
    assert all((ROOT / name).exists() for name in kept)


def test_the_image_runs_every_program(tmp_path):
    executable(tmp_path / "python", 'printf "%s\\n" "$PWD" "$JAX_PLATFORMS" "$@"; exit 75')

    def entry(*arguments, **more):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **more}
        return run(LAUNCH / "docker/entrypoint.sh", *arguments, env=environment, cwd=tmp_path)

    found = entry("train", "--workdir=a b", "--config.x=('y',)", CC_JAX_ENV="tpu")
    assert found.returncode == 75
    said = found.stdout.splitlines()
    assert said == [str(ROOT), "tpu,cpu", "-m", "cc_jax.train", "--workdir=a b", "--config.x=('y',)"]
    for program in ("evaluate", "predict", "prepare", "tabulate", "tools.convert_weights", "tools.bench"):
        assert f"cc_jax.{program}" in entry(program).stdout
    for wrong in ((), ("trian",), ("--workdir=x",), ("tools",)):
        found = entry(*wrong)
        assert found.returncode == 2 and found.stderr.count("\n") == 1 and "predict" in found.stderr


# Kubernetes


def documents() -> list[tuple[str, dict]]:
    return [(path.name, one) for path in LAUNCH.glob("gke/*.yaml") for one in yaml.safe_load_all(path.open())]


def jobs() -> list[tuple[str, dict]]:
    """All batch/v1 Jobs, including those that a JobSet creates."""
    found = []
    for name, document in documents():
        if document["kind"] == "Job":
            found.append((name, document))
        for job in document["spec"]["replicatedJobs"] if document["kind"] == "JobSet" else ():
            made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "made"}, **job["template"]}
            found.append((name, made))
    return found


JOBS = pytest.mark.parametrize("job", [job for _, job in jobs()], ids=[name for name, _ in jobs()])
JOBSETS = pytest.mark.parametrize("name", ["gpu.yaml", "tpu.yaml"])


def jobset(name: str) -> dict:
    (found,) = [document for of, document in documents() if of == name]
    return found


def pod(job: dict) -> dict:
    return job["spec"]["template"]["spec"]


def container(job: dict) -> dict:
    (found,) = pod(job)["containers"]
    return found


@pytest.mark.parametrize("version", ["1.31", "1.35"])
def test_kubernetes_knows_every_field(version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")  # tests/requirements-extra.txt
    plain = [document for _, document in documents() if document["kind"] != "JobSet"]
    assert len(plain) == 3 and len(jobs()) == 3
    for document in plain + [job for _, job in jobs()]:
        kubernetes_validate.validate(document, version, strict=True)


@JOBSETS
def test_jobset_knows_every_field(name):
    found = jobset(name)
    assert (found["apiVersion"], found["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec"} and found["metadata"]["name"]
    spec = found["spec"]
    assert spec.keys() <= JOBSET_SPEC
    (job,) = spec["replicatedJobs"]
    assert job.keys() == {"name", "replicas", "template"}
    assert (
        spec["failurePolicy"].keys() == {"maxRestarts", "rules"} and spec["failurePolicy"]["maxRestarts"] > 0
    )
    for rule in spec["failurePolicy"]["rules"]:
        assert rule.keys() == {"name", "action", "onJobFailureReasons"} and rule["action"] in JOBSET_ACTIONS
    if "coordinator" in spec:
        assert spec["coordinator"] == {"replicatedJob": job["name"], "jobIndex": 0, "podIndex": 0}


def fate(name: str, exit_code: int, *conditions: str) -> str:
    """The action of a JobSet when a pod ends this way, by the rules of Kubernetes' job controller and of JobSet."""
    spec = jobset(name)["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    reason = "BackoffLimitExceeded"
    assert job["backoffLimit"] == 0 and job["template"]["spec"]["restartPolicy"] == "Never"
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes", {"operator": "In", "values": []})
        assert codes["operator"] == "In" and codes.get("containerName", "train") == "train"
        wanted = [one["type"] for one in rule.get("onPodConditions", ()) if one["status"] == "True"]
        if exit_code in codes["values"] or set(wanted) & set(conditions):
            assert rule["action"] in ("FailJob", "Count")
            reason = "PodFailurePolicy" if rule["action"] == "FailJob" else reason
            break
    for rule in spec["failurePolicy"]["rules"]:
        if reason in rule["onJobFailureReasons"]:
            return rule["action"]
    return "RestartJobSet"


@JOBSETS
def test_a_saved_run_is_restarted_and_an_error_ends_it(name):
    assert fate(name, 75) == "RestartJobSet"
    for exit_code in (1, 2, 3, 4):
        assert fate(name, exit_code) == "FailJobSet"
    for exit_code in (1, 75, 137, 143):
        assert fate(name, exit_code, "DisruptionTarget") == "RestartJobSet"
    assert fate(name, 134) == "RestartJobSet"


@JOBSETS
def test_pods_have_enough_time_to_save(name):
    (job,) = [job for of, job in jobs() if of == name]
    (seconds,) = re.findall(r"--signal=TERM@(\d+)", (LAUNCH / "slurm/train.sbatch").read_text())
    assert pod(job)["terminationGracePeriodSeconds"] >= int(seconds)


@JOBSETS
def test_each_host_is_one_process(name):
    (job,) = [job for of, job in jobs() if of == name]
    spec, args = job["spec"], container(job)["args"]
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] == spec["completions"] > 1
    assert "--distributed" in args
    limits = container(job)["resources"]["limits"]
    assert list(limits) == ["nvidia.com/gpu" if name == "gpu.yaml" else "google.com/tpu"]
    # The hosts of a TPU slice find each other without flags.
    if name == "tpu.yaml":
        across, down = map(int, pod(job)["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
        assert across * down == spec["parallelism"] * limits["google.com/tpu"]
        assert not [arg for arg in args if arg.startswith(("--coordinator", "--process"))]
        return
    assert f"--processes={spec['parallelism']}" in args
    environment = {one["name"]: one for one in container(job)["env"]}
    for flag, variable, key in (
        ("--process=$(PROCESS)", "PROCESS", "batch.kubernetes.io/job-completion-index"),
        ("--coordinator=$(COORDINATOR):8476", "COORDINATOR", "jobset.sigs.k8s.io/coordinator"),
    ):
        assert flag in args
        field = environment[variable]["valueFrom"]["fieldRef"]["fieldPath"]
        assert field == f"metadata.annotations['{key}']"
    assert "coordinator" in jobset(name)["spec"]


@JOBS
def test_pods_share_one_file_system_and_are_not_root(job):
    (claim,) = [one for _, one in documents() if one["kind"] == "PersistentVolumeClaim"]
    (account,) = [one for _, one in documents() if one["kind"] == "ServiceAccount"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert pod(job)["serviceAccountName"] == account["metadata"]["name"]
    volumes = {volume["name"]: volume for volume in pod(job)["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(job)["volumeMounts"]}
    assert volumes.keys() == mounts.keys() and mounts["shared"] == "/shared"
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert pod(job)["securityContext"]["runAsNonRoot"] and pod(job)["securityContext"]["runAsUser"] == 1000
    if "csi" in str(volumes):
        assert job["spec"]["template"]["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}


@JOBS
def test_every_flag_of_a_pod_exists(job):
    program, *args = container(job)["args"]
    found = run(sys.executable, "-m", f"cc_jax.{program}", "--help", cwd=ROOT)
    flags = set(re.findall(r"^  --(\w+):", found.stdout, re.MULTILINE))
    given = dict(re.fullmatch(r"--([\w.]+)=?(.*)", arg).groups() for arg in args)
    assert {name for name in given if "." not in name} <= flags
    paths = [value for value in given.values() if value.startswith("/")]
    assert paths and all(path.startswith(("/shared/", "/raw")) for path in paths)
    if "config" in given:
        path, _, arg = given["config"].partition(":")
        config = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(arg)
        for name in (name for name in given if name.startswith("config.")):
            # Raises if the field does not exist.
            functools.reduce(operator.getitem, name.split(".")[1:], config)


# TPU VMs: a substitute for gcloud keeps a TPU with two workers in a folder and runs the commands there

# The flags are those that `gcloud compute tpus ... --help` lists.
GCLOUD = r"""
cd "$FAKE"
echo "$3 $4 $5" >>calls
[ "$1 $2" = "compute tpus" ] || exit 2
case "$3 $4" in
  "tpu-vm create") known=accelerator-type,version,spot ;;
  "tpu-vm describe" | "queued-resources describe") known=format ;;
  "tpu-vm delete") known= ;;
  "tpu-vm ssh") known=worker,command ;;
  "tpu-vm scp") known=worker ;;
  "queued-resources create") known=accelerator-type,runtime-version,node-id,spot,async ;;
  "queued-resources delete") known=force ;;
  *) echo "ERROR: Invalid choice: '$4'" >&2; exit 2 ;;
esac
names=()
for argument in "${@:5}"; do
  case $argument in
    --*) name=${argument%%=*}; [[ ,$known,zone,quiet,project, == *",${name#--},"* ]] || exit 2 ;;
    *) names+=("$argument") ;;
  esac
  case $argument in
    --command=*) command=${argument#*=} ;;
    --zone=*) zone=${argument#*=} ;;
    --quiet) quiet=1 ;;
  esac
done
[ "$zone" = here-a ] && [ -n "$quiet" ] || exit 2
fail() { echo "ERROR: (gcloud.compute.tpus.$3.$4) $1" >&2; exit 1; }
[ -f broken ] && fail "$(cat broken)"
case "$3 $4" in
  "tpu-vm describe") cat state 2>/dev/null || fail "NOT_FOUND: Resource 'projects/p/nodes/${names[0]}' was not found" ;;
  "queued-resources describe") cat queue 2>/dev/null || fail "NOT_FOUND: Resource was not found" ;;
  *create)
    if [ -s refusals ]; then said=$(head -n 1 refusals); sed -i 1d refusals; fail "$said"; fi
    for i in 0 1; do mkdir -p w$i/cc_jax/.venv/bin; cp python w$i/cc_jax/.venv/bin/; done
    echo READY >state
    [ "$3" = tpu-vm ] || echo ACTIVE >queue ;;
  *delete)
    if [ "$3" = queued-resources ] && [ -f state ] && [[ $* != *--force* ]]; then fail "it has nodes"; fi
    rm -rf w0 w1 state queue ;;
  "tpu-vm scp") for i in 0 1; do cp "${names[0]}" "w$i/${names[1]#*:}"; done ;;
  "tpu-vm ssh")
    [ -f deaf ] && exit 255
    for i in 0 1; do (cd "w$i" && HOME=$PWD WORKER=$i sh -c "$command") || exit; done ;;
esac
"""

# The Python of a worker. The file `plan` has a line for each run with a word for each worker.
PYTHON = r"""
case "$1 $2" in
  "-m pip") exit ;;
  "-m cc_jax.train") ;;
  *) exec REAL "$@" ;;
esac
shift 2
cd "$FAKE"
echo run >>"runs$WORKER"
number=$(grep -c . "runs$WORKER")
[ "$WORKER" = 1 ] || printf '%s\n' "$JAX_PLATFORMS" "$TFDS_DATA_DIR" "$@" >>arguments
echo "run $number of worker $WORKER"
word=$(sed -n "${number}p" plan | cut -d ' ' -f $((WORKER + 1)))
case $word in
  preempted) sleep 0.1; echo PREEMPTED >state; exit 75 ;;
  killed) kill -9 $PPID $$ ;;
  hangs) for i in {1..100}; do [ -f stop ] && exit; sleep 0.1; done ;;
  *) exit "$word" ;;
esac
"""


class Cloud:
    """A substitute for gcloud on the PATH, and the plan it follows."""

    def __init__(self, folder: pathlib.Path, *plan: str):
        self.folder = folder
        executable(folder / "bin/gcloud", GCLOUD)
        executable(folder / "bin/mountpoint", f"[ ! -f {folder}/unmounted ]")
        executable(
            folder / "bin/sudo",
            f'echo "$*" >>{folder}/sudo; [ "$1" = mount ] && rm {folder}/unmounted; exit 0',
        )
        executable(folder / "python", PYTHON.replace("REAL", sys.executable))
        self.write("plan", *plan)

    def write(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def read(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def calls(self) -> list[str]:
        """The calls that changed something: "tpu-vm create", ..."""
        verbs = [" ".join(call.split()[:2]) for call in self.read("calls")]
        return [verb for verb in verbs if verb.endswith(("create", "delete", "scp"))]

    def call(self, script: str, *arguments: str, **more: str):
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin", "FAKE": str(self.folder), "TPU_NAME": "crowd",
            "TPU_ZONE": "here-a", "TPU_TYPE": "v5litepod-16", "TPU_RUNTIME": "v2-alpha-tpuv5-lite",
            "TPU_NFS": "10.0.0.2:/share", "TPU_POLL": "0.1",
        }  # fmt: skip
        environment = {name: value for name, value in {**environment, **more}.items() if value}
        return run(TPU / script, *arguments, env=environment)


ARGUMENTS = (
    "--config=configs/demo.py:smoke",
    "--config.source.extra_datasets=((\"it's\", 'train', 0.5),)",
    "--workdir=/a b",
)


def test_babysitting_ends_when_training_does(tmp_path):
    """At first there is no TPU. Then it is preempted, the run is stopped, a worker's process dies, and training ends."""
    cloud = Cloud(tmp_path, "preempted preempted", "75 75", "killed 134", "0 0")
    found = cloud.call("babysit.sh", *ARGUMENTS)
    assert found.returncode == 0, found.stderr
    assert "finished" in found.stderr.splitlines()[-1]
    start = ["tpu-vm scp"]
    first = ["tpu-vm create", *start, "tpu-vm delete"]
    assert cloud.calls() == [*first, "tpu-vm create", *start, *start, *start]
    assert cloud.read("arguments") == ["tpu,cpu", "/mnt/shared/data", "--distributed", *ARGUMENTS] * 4
    assert len(cloud.read("runs1")) == 4


@pytest.mark.parametrize(
    ("words", "code"), [("2 2", 2), ("134 1", 1), ("75 3", 3), ("0 4", 4), ("134 75", 134)]
)
def test_babysitting_ends_with_the_error_of_a_run_that_failed(words, code, tmp_path):
    cloud = Cloud(tmp_path, "75 75", words)
    found = cloud.call("babysit.sh", *ARGUMENTS)
    assert found.returncode == code
    assert (
        "run 2 of worker 0" in found.stdout + found.stderr and f"code {code}" in found.stderr.splitlines()[-1]
    )
    assert "tpu-vm delete" not in cloud.calls()


def test_babysitting_waits_for_capacity_but_not_for_a_quota(tmp_path):
    cloud = Cloud(tmp_path, "0 0")
    full = 'There is no more capacity in the zone "here-a"'
    cloud.write("refusals", full, full)
    assert cloud.call("babysit.sh", *ARGUMENTS, TPU_SPOT="1").returncode == 0
    assert cloud.calls() == ["tpu-vm create"] * 3 + ["tpu-vm scp"]
    cloud = Cloud(tmp_path / "quota", "0 0")
    cloud.write("refusals", "RESOURCE_EXHAUSTED: Quota limit 'TPUS' has been exceeded")
    found = cloud.call("babysit.sh", *ARGUMENTS)
    assert found.returncode == 1 and "Quota limit" in found.stderr and cloud.calls() == ["tpu-vm create"]


@pytest.mark.parametrize(("file", "said"), [("broken", "PERMISSION_DENIED"), ("deaf", "does not answer")])
def test_babysitting_gives_up_if_the_state_stays_unknown(file, said, tmp_path):
    cloud = Cloud(tmp_path, "0 0")
    assert cloud.call("create.sh").returncode == 0
    cloud.write(file, "PERMISSION_DENIED: no")
    found = cloud.call("babysit.sh", *ARGUMENTS, TPU_POLL="0")
    assert found.returncode == 1 and said in found.stderr and "10 times in a row" in found.stderr


def test_a_queued_request_is_created_and_deleted_with_its_tpu(tmp_path):
    cloud = Cloud(tmp_path, "75 75", "0 0")
    # The request of a TPU that was preempted.
    cloud.write("queue", "SUSPENDED")
    found = cloud.call("babysit.sh", *ARGUMENTS, TPU_QUEUED="1", TPU_SPOT="1")
    assert found.returncode == 0, found.stderr
    made = ["queued-resources delete", "queued-resources create"]
    assert cloud.calls() == [*made, "tpu-vm scp", "tpu-vm scp"]
    assert cloud.call("delete.sh", TPU_QUEUED="1").returncode == 0
    assert not cloud.read("queue") and not cloud.read("state")
    cloud.write("queue", "WAITING_FOR_RESOURCES")
    assert "exists already" in cloud.call("create.sh", TPU_QUEUED="1").stderr
    assert cloud.call("delete.sh", TPU_QUEUED="1").returncode == 0
    assert not cloud.read("queue")


def test_an_existing_tpu_is_not_created_and_a_missing_one_not_deleted(tmp_path):
    cloud = Cloud(tmp_path)
    for script, said in (
        ("delete.sh", "crowd does not exist"),
        ("create.sh", ""),
        ("create.sh", "crowd exists already"),
    ):
        found = cloud.call(script)
        assert found.returncode == 0 and said in found.stderr
    assert cloud.calls() == ["tpu-vm create"]
    cloud.write("state", "PREEMPTED")
    found = cloud.call("create.sh")
    assert found.returncode == 1 and "delete.sh" in found.stderr
    assert cloud.call("delete.sh").returncode == 0 and cloud.calls()[1:] == ["tpu-vm delete"]


def test_a_running_run_is_left_alone(tmp_path):
    cloud = Cloud(tmp_path, "hangs hangs", "0 0")
    cloud.call("create.sh")
    cloud.write("unmounted")
    assert cloud.call("run.sh", *ARGUMENTS).returncode == 0
    assert "mount -t nfs 10.0.0.2:/share /mnt/shared" in cloud.read("sudo")
    again = cloud.call("run.sh", *ARGUMENTS)
    assert again.returncode == 0 and again.stderr.count("running already") == 2
    assert len(cloud.read("runs0")) == len(cloud.read("runs1")) == 1
    cloud.write("stop")
    found = cloud.call("babysit.sh", *ARGUMENTS)
    assert found.returncode == 0 and len(cloud.read("runs0")) == 1


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("create.sh", ("TPU_NAME", "TPU_ZONE", "TPU_TYPE", "TPU_RUNTIME")),
        ("run.sh", ("TPU_NAME", "TPU_ZONE")),
        ("delete.sh", ("TPU_NAME", "TPU_ZONE")),
        ("babysit.sh", ("TPU_NAME", "TPU_ZONE", "TPU_TYPE", "TPU_RUNTIME", "TPU_NFS")),
    ],
)  # fmt: skip
def test_a_missing_setting_is_one_line(script, names, tmp_path):
    cloud = Cloud(tmp_path)
    for name in names:
        found = cloud.call(script, *ARGUMENTS, **{name: ""})
        assert found.returncode == 2 and found.stderr.count("\n") == 1
        assert found.stderr.startswith(f"{script}: {name} is not set")
    if script in ("run.sh", "babysit.sh"):
        found = cloud.call(script)
        assert found.returncode == 2 and found.stderr.count("\n") == 1 and "--workdir" in found.stderr
    assert not cloud.read("calls")
