"""README.md and docs/: every command and every Python snippet is run, every link and figure leads somewhere.

A fenced block is run as it stands, with the substitutions below. A comment before it says otherwise, with a reason:
`<!-- flags only: REASON -->` checks flags and config of its commands, `<!-- not run: REASON -->` skips it.
"""

import ast
import csv
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import unicodedata

import cv2
import pytest
import yaml
from conftest import ROOT
from kept_scenes import drawn

from cc_jax import cli
from cc_jax.workdir import config as workdir_config

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted([*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")])]
GENERATED = ("reference/commands.md", "reference/config.md", "reference/counter.md")

# Without the parts of the network and the optimizer that take longest to compile, on small images.
_SMOKE = (
    "configs/demo.py:smoke --config.model.tiny.spatial_kernel_size=0 --config.optimizer.name=adamw "
    "--config.resize.max_side=128"
)
# What the pages say, and what is run in its place: the same jobs, tiny. In this order.
SUBSTITUTIONS = (
    # ShanghaiTech is not at hand, and one of the two methods is enough: the demo's run has both.
    (
        "configs/shb_to_sha.py:cpu",
        _SMOKE,
    ),
    ("--config.sweep.methods=\"('no_adapt','ours')\"", "--config.sweep.methods=\"('no_adapt',)\""),
    ("./launch/demo.sh", "cc-jax train --config=configs/demo.py:3seeds --workdir=runs/demo"),
    ("runs/demo3", "runs/demo"),
    ("ours-seed0", "ours"),
    ("runs/ours", "runs/demo/ours"),
    (
        "configs/demo.py:3seeds",
        f"{_SMOKE} --config.sweep.methods=\"('no_adapt','ours')\"",
    ),
    (
        "configs/demo.py --config.",
        f"{_SMOKE} --config.",
    ),
    ("configs/demo.py ", "configs/demo.py:smoke "),
    ("folder/station ", "folder/station --config.target.split=train --config.target.test_split=test "),
    # Sets that are not drawn yet, and more images than a test needs.
    ("--dataset=synthetic/validation --split=test", "--dataset=synthetic/target --split=train[:4]"),
    ("synthetic/validation:test", "synthetic/target:train[4:16]"),
    ("inspect --dataset=synthetic/target", "inspect --dataset=folder/station"),
)
# Words that begin a command which is not ours, and why it is not run.
FOREIGN = {
    "python3": "makes an environment",
    "source": "activates an environment",
    "pip": "installs: the names are checked",
    ".venv/bin/pip": "installs: the names are checked",
}
# Scripts that hand their arguments on to the training program, whose flags are checked.
SCRIPTS = ("./launch/local.sh", "launch/slurm/train.sbatch", "launch/tpu_vm/babysit.sh")
# Blocks that are not run, and those of which only the flags are checked. Keep both few.
NOT_RUN, FLAGS_ONLY = 5, 24


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page; `how`: "run", "flags only" or "not run"."""

    page: str
    line: int
    language: str
    text: str
    how: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Job:
    """A command or snippet for run_documented.py, and the block that it is of."""

    block: Block
    says: str
    task: str  # JSON

    def __str__(self) -> str:
        return f"{self.block}: {self.says.splitlines()[0]}"


def text_of(page: pathlib.Path) -> str:
    """The Markdown of a page. That of a notebook has its code in fenced blocks, and no outputs."""
    text = page.read_text()
    if page.suffix != ".ipynb":
        return text
    cells = [("".join(cell["source"]), cell["cell_type"]) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{said}\n```" if kind == "code" else said for said, kind in cells) + "\n"


def blocks_of(page: pathlib.Path) -> list[Block]:
    """The fenced blocks of a page."""
    found, before, inside = [], "", None
    for number, line in enumerate(text_of(page).splitlines(), 1):
        if inside is None and line.startswith("```"):
            inside, body = (number, line.removeprefix("```").strip()), []
        elif inside is not None and line.startswith("```"):
            marker = re.fullmatch(r"<!-- (flags only|not run): *(.*?) *-->", before)
            how, reason = marker.groups() if marker else ("run", "")
            name = page.relative_to(ROOT).as_posix()
            found.append(Block(name, *inside, "\n".join(body), how, reason))
            inside, before = None, ""
        elif inside is not None:
            body.append(line)
        elif line.strip():
            before = line
    assert inside is None, f"{page}: the block of line {inside} has no end"
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(block: Block) -> list[str]:
    """The commands of a shell block, one a line or several joined by a backslash or &&."""
    lines = block.text.replace("\\\n", " ").splitlines()
    code = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [command.strip() for line in code if line for command in line.split("&&")]


def substituted(command: str) -> str:
    for says, runs in SUBSTITUTIONS:
        if says == "folder/station " and "--config" not in command:
            continue
        command = f"{command} ".replace(says, runs).strip()
    return command


def job_of(block: Block, says: str) -> Job | None:
    """The job of a command; None for one that is not ours. Fails for a command that nobody knows."""
    words = shlex.split(substituted(says) if block.how == "run" else says)
    env = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, env[name] = words.pop(0).partition("=")
    if words[0] in FOREIGN and words[:2] != ["python3", "-m cc_jax"]:
        return None
    script = next((word for word in words if word in SCRIPTS), None)
    if script is not None:
        assert block.how == "flags only", f"{block}: {script} would start a long run"
        words = ["cc-jax", "train", *[w for w in words[words.index(script) + 1 :] if w.startswith("--")]]
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    assert words[0] == "cc-jax" or words[0].startswith("cc_jax"), f"{block}: what is {says!r}?"
    kind = "run" if block.how == "run" else "flags"
    return Job(block, says, json.dumps({"kind": kind, "argv": words, "env": env}))


def inline_commands(page: pathlib.Path) -> list[Job]:
    """Commands in running text, of which the flags are checked."""
    text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    block = Block(page.relative_to(ROOT).as_posix(), 0, "bash", "", "flags only", "in running text")
    spans = re.findall(r"`((?:cc-jax|python -m cc_jax\.)[^`]+)`", text)
    real = [span for span in spans if not re.search(r"cc-jax (NAME|COMMAND)|-m cc_jax\.NAME", span)]
    return [job for job in (job_of(block, span) for span in real) if job]


def jobs() -> list[Job]:
    """All jobs in the order of the pages; README first, whose counter the others use."""
    found = []
    for block in BLOCKS:
        if block.how == "not run":
            continue
        if block.language == "bash":
            found += [job for says in commands_of(block) if (job := job_of(block, says))]
        elif block.language == "python" and block.how == "run":
            task = {"kind": "python", "code": block.text, "page": block.page}
            task["optimized"] = block.page.endswith(".ipynb")  # counts many images
            found.append(Job(block, block.text, json.dumps(task)))
    return found + [job for page in PAGES for job in inline_commands(page)]


JOBS = jobs()


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> pathlib.Path:
    """A folder like a clone, with the photographs that the pages speak of."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("configs", "launch"):
        (folder / name).symlink_to(ROOT / name)
    rows = []
    for seed, split, number in ((1000, "train", 12), (1001, "test", 2)):
        (folder / "photos" / split).mkdir(parents=True)
        for i, scene in enumerate(drawn(number, seed, look="target", height=128, width=192)):
            name = f"{split}/{i}.jpg"
            cv2.imwrite(str(folder / "photos" / name), scene.image[..., ::-1])
            rows += [(name, *map(float, point)) for point in scene.points] if split == "test" else []
    write_csv(folder / "photos" / "labels.csv", [("image", "x", "y"), *rows])
    counted = [(f"photos/train/{i}.jpg", 40 + i) for i in range(12)]
    write_csv(folder / "counted.csv", [("image", "count"), *counted])
    shutil.copy(folder / "photos" / "test" / "0.jpg", folder / "photo.jpg")
    return folder


def write_csv(path: pathlib.Path, rows: list) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="session")
def results(desk, environment) -> dict[str, dict]:
    """{task: {"code", "output"}} of all jobs, run once each in one process."""
    # The datasets of the tests outlive a run, and another run has had photographs of its own.
    shutil.rmtree(pathlib.Path(environment["TFDS_DATA_DIR"], "folder", "station"), ignore_errors=True)
    tasks = list(dict.fromkeys([*(job.task for job in JOBS), json.dumps({"kind": "pages"})]))
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_documented.py", desk / "results.jsonl"],
        input=json.dumps([json.loads(task) for task in tasks]),
        cwd=desk, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    lines = (desk / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(tasks), f"{tasks[len(lines)]} ended the process:\n{done.stderr[-3000:]}"
    return dict(zip(tasks, map(json.loads, lines), strict=True))


@pytest.fixture(scope="session")
def generated(results) -> dict[str, str]:
    """{path below docs/: text} of the pages that are made when the site is built."""
    made = results[json.dumps({"kind": "pages"})]
    assert made["code"] == 0, made["output"]
    return json.loads(made["output"])


# Commands and snippets


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS, ids=str)
def test_it_runs_as_documented(job, results):
    found = results[job.task]
    assert found["code"] == 0, found["output"][-3000:]


def test_blocks_that_are_not_run_say_why():
    excepted = [block for block in BLOCKS if block.how != "run"]
    assert all(len(block.reason) > 10 for block in excepted), list(map(str, excepted))
    assert sum(block.how == "not run" for block in BLOCKS) == NOT_RUN
    assert sum(block.how == "flags only" for block in BLOCKS) == FLAGS_ONLY
    assert {block.language for block in BLOCKS} == {"bash", "python", "text", "bibtex"}


def test_substitutions_are_all_needed():
    """A page that has changed leaves no substitution behind."""
    said = [
        says
        for block in BLOCKS
        if block.how == "run" and block.language == "bash"
        for says in commands_of(block)
    ]
    for i, (says, _) in enumerate(SUBSTITUTIONS):
        before = [
            functools.reduce(lambda text, pair: text.replace(*pair), SUBSTITUTIONS[:i], f"{c} ") for c in said
        ]
        assert any(says in command for command in before), f"no page says {says!r}"


def test_installation_commands_name_what_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = [c for block in BLOCKS if block.language == "bash" for c in commands_of(block)]
    installs = [c for c in commands if re.match(r"\S*pip install", c)] + [
        "pip install -r docs/requirements.txt"
    ]
    assert len(installs) >= 3
    for command in installs:
        words = shlex.split(command)[2:]
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word == "-r":
                assert (ROOT / following).is_file(), command
            extra = re.fullmatch(r"\.\[(.*)\]", word)
            assert extra is None or set(extra[1].split(",")) <= set(project["optional-dependencies"]), command


def test_the_list_of_commands_in_the_readme_is_complete():
    listed = re.search(r"^cc-jax --help +# (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert listed is not None and listed[1].split(", ") == list(cli.COMMANDS)


# Links and figures


def slug(heading: str) -> str:
    """The anchor that mkdocs gives to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("\\", "")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    body = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", body, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page, generated):
    links = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", without_code(text_of(page)))
    for link in links:
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        name = os.path.relpath(path, DOCS)
        assert path.is_file() or name in generated, f"{link}: no such file"
        assert page.is_relative_to(DOCS) or name not in generated, f"{link}: exists in the built site alone"
        if anchor:
            text = generated[name] if name in generated else text_of(path)
            assert anchor in anchors(text), f"{link}: there are {sorted(anchors(text))}"


def test_links_of_generated_pages_lead_somewhere(generated):
    for name, text in generated.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
            assert (DOCS / name).parent.joinpath(link.partition("#")[0]).resolve().is_file(), (
                f"{name}: {link}"
            )


def test_every_page_is_in_the_navigation(generated):
    def paths(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        values = entry if isinstance(entry, list) else entry.values()
        return [path for value in values for path in paths(value)]

    nav = paths(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = [page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)]
    assert sorted(nav) == sorted([*pages, *generated])
    assert set(generated) == set(GENERATED)


def test_images_are_small_and_used():
    text = "".join(page.read_text() for page in (*PAGES, DOCS / "generate.py"))
    for image in (DOCS / "images").iterdir():
        assert image.stat().st_size < 300_000 and f"images/{image.name}" in text
    assert cv2.imread(str(DOCS / "images" / "demo.jpg")) is not None


def test_the_readme_is_short_and_its_figures_are_those_of_the_results():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 130
    results = "".join(page.read_text() for page in (DOCS / "results").glob("*.md"))
    figures = re.findall(r"\d+\.\d ± \d+\.\d", text)
    assert len(figures) >= 4 and all(figure in results for figure in figures)


# Reference pages


def test_every_flag_of_every_program_is_described(generated):
    page = generated["reference/commands.md"]
    for name in cli.COMMANDS:
        section = re.search(rf"^## cc-jax {name}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        listed = set(re.findall(r"^\| `--(\w+)` \|", section[1], re.MULTILINE))
        assert listed == set(cli.flag_names(name)) - {"help", "debug"}
    rows = re.findall(r"^\| `--\w+` \| .*? \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 40 and all(len(meaning) > 5 for meaning in rows)


def test_every_config_field_is_described(generated):
    from configs import default

    rows = re.findall(
        r"^\| `([\w.]+)` \| `(.*?)` \| (.*) \|$", generated["reference/config.md"], re.MULTILINE
    )
    found = {name: (value, meaning) for name, value, meaning in rows}
    fields = dict(leaves(default.get_config().to_dict()))
    assert set(found) == set(fields)
    assert all(found[name][0] == repr(value) for name, value in fields.items())
    assert not [name for name, (_, meaning) in found.items() if len(meaning) < 5]


def leaves(tree: dict, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_quoted_messages_are_those_of_the_program():
    """Each piece of a message that a page quotes, between its ellipses, stands in the code."""
    strings = []
    for path in (ROOT / "cc_jax").rglob("*.py"):
        literals = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        strings += [node.value for node in literals if isinstance(node.value, str)]
    rows = re.findall(r"^\| `(.*?)`.* \|$", (DOCS / "how_to" / "resume.md").read_text(), re.MULTILINE)
    quoted = [piece.strip(" ();") for row in rows for piece in row.split("...")]
    quoted += ["does not look like those that the intervals were calibrated on"]
    missing = [piece for piece in quoted if piece and not any(piece in string for string in strings)]
    assert len(rows) > 4 and not missing


def test_fields_that_may_change_are_listed():
    page = (DOCS / "how_to" / "resume.md").read_text()
    paragraph = next(text for text in page.split("\n\n") if text.startswith("`data_dir`"))
    assert set(re.findall(r"`([\w.]+)`", paragraph)) == workdir_config.FREE


def test_every_field_of_the_files_is_described(results, desk):
    assert results  # the files are those of the documented commands
    page = (DOCS / "reference" / "file_formats.md").read_text()
    run = desk / "runs" / "demo" / "ours"
    counts = json.loads((desk / "counts" / "counts.json").read_text())
    written = {
        "results.json": set().union(*json.loads((run / "results.json").read_text())),
        "log.jsonl": set().union(*map(json.loads, (run / "log.jsonl").read_text().splitlines())),
        "uncertainty.json": set().union(*json.loads((run / "uncertainty.json").read_text()).values()),
        "predictions.csv": set((run / "predictions.csv").read_text().splitlines()[0].split(",")),
        "counts.csv": set((desk / "counts" / "counts.csv").read_text().splitlines()[0].split(",")),
        "counts.json": {*counts, *counts["counts"][0]},
    }
    for name, fields in written.items():
        assert not [field for field in fields if f"`{field}`" not in page], name
    files = {path.relative_to(run).parts[0] for path in run.rglob("*") if path.is_file()}
    assert not [name for name in files if name not in page]


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed (docs/requirements.txt)"
)
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    loaded = [
        page
        for page in (tmp_path / "site").rglob("*.html")
        if re.search(r'(src|rel="stylesheet" href)="https?:', page.read_text())
    ]
    assert not loaded, "pages load something from another host"
