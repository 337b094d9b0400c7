"""GCC (Wang et al., CVPR 2019): 15,212 renders of crowds in a game, the synthetic source of the paper's tables.

Layout: `scene_XX_Y/jpgs` or `pngs` / `<id>.jpg`, `mats/<id>.mat` with `image_info.location` as (row, column), and the
lists `train_list.txt`, `test_list.txt`, `cross_camera_...`, `cross_location_...` with an image a line:
`level hour weather /folder id count`. An id occurs in two scenes, so ours are "scene_XX_Y/id".

Scene regularisation (the same paper, section 4.3; the values are those of NLT's dataloader/setting.py): only renders that
could be of the target's kind are trained on. `config.source.scenes` names the target.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels
from cc_jax.errors import ConfigError, InputError

_LEVEL_MOST = (10, 25, 50, 100, 300, 600, 1000, 2000, 4000)  # people that a scene of level 0 to 8 can hold


@dataclasses.dataclass(frozen=True)
class Kind:
    """Scenes like a target's: bounds are inclusive, `fill` is the least share of what the level can hold."""

    levels: tuple[int, int]
    hours: tuple[int, int]
    weather: tuple[int, ...]
    count: tuple[int, int]
    fill: float

    def holds(self, level: int, hour: int, weather: int, count: int) -> bool:
        """Whether a scene is of this kind."""
        within = all(
            low <= value <= high
            for value, (low, high) in ((level, self.levels), (hour, self.hours), (count, self.count))
        )
        return within and weather in self.weather and count / _LEVEL_MOST[level] > self.fill


KINDS = {
    "shanghaitech/part_a": Kind((4, 8), (6, 20), (0, 1, 3, 5, 6), (33, 4000), 0.5),
    "shanghaitech/part_b": Kind((1, 5), (6, 20), (0, 1, 5, 6), (10, 600), 0.3),
    "ucf_qnrf": Kind((4, 8), (5, 21), (0, 1, 5, 6), (400, 4000), 0.6),
    "ucf_cc_50": Kind((5, 8), (8, 18), (0, 1, 5, 6), (400, 4000), 0.6),
    "worldexpo10": Kind((2, 6), (6, 19), (0, 1, 5, 6), (0, 1000), 0.0),
}
_LISTS = {"random": "", "cross_camera": "cross_camera_", "cross_location": "cross_location_"}
_TOTALS = {
    "random": {"train": base.Total(11_444, 5_760_680), "test": base.Total(3_768, 1_865_163)},
    "cross_camera": {base.ALL: base.Total(15_212, 7_625_843)},
    "cross_location": {base.ALL: base.Total(15_212, 7_625_843)},
}


class Gcc(base.CrowdDatasetBuilder):
    """GCC with its three ways to split: random, by camera, by location."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Renders of crowds in Grand Theft Auto V: 400 cameras at 100 places, 0 to 3,995 people."
    CITATION = """@inproceedings{wang2019learning, title={Learning from synthetic data for crowd counting in the wild},
author={Wang, Qi and Gao, Junyu and Lin, Wei and Yuan, Yuan}, booktitle={CVPR}, year={2019}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds scene_00_0 and train_list.txt."
    SCENE = ("level", "hour", "weather", "count")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="random", description="Three quarters of all renders to train on."),
        tfds.core.BuilderConfig(name="cross_camera", description="Tested on cameras not trained on."),
        tfds.core.BuilderConfig(name="cross_location", description="Tested on places not trained on."),
    ]

    def totals(self) -> dict[str, base.Total]:
        return _TOTALS[self.builder_config.name]

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        prefix = _LISTS[self.builder_config.name]
        lists = {split: f"{prefix}{split}_list.txt" for split in ("train", "test")}
        root = base.folder_of(manual_dir, ["GCC", "txt_list"], list(lists.values()))
        scenes = root if any(root.glob("scene_*")) else manual_dir
        splits, notes, problems = {}, [], []
        for split, name in lists.items():
            if not (root / name).is_file():
                notes.append(base.absent(root / name, split))
                continue
            splits[split], remarks, wrong = _split(split, root / name, scenes)
            notes += remarks
            problems += wrong
        return base.Raw(splits, tuple(notes), tuple(problems))

    @staticmethod
    def of_kind(scenes: Sequence[Sequence[int]], target: str) -> list[int]:
        """Indices of the scenes that could be of the target's kind. Raises ConfigError for an unknown target."""
        if target not in KINDS:
            raise ConfigError(f"config.source.scenes={target!r}: there are {', '.join(KINDS)}")
        return [i for i, scene in enumerate(scenes) if KINDS[target].holds(*scene)]


def _split(
    split: str, listing: pathlib.Path, scenes: pathlib.Path
) -> tuple[list[base.RawImage], list[str], list[str]]:
    """The frames of a list, what differs from it, and what is wrong with the files."""
    known = _listed(listing)
    pictures, truths = {}, {}
    for folder in sorted({id.split("/")[0] for id in known}):
        for path in (*_pictures(scenes / folder), *sorted((scenes / folder / "mats").glob("*.mat"))):
            side = truths if path.suffix == ".mat" else pictures
            if f"{folder}/{path.stem}" in known:
                side[f"{folder}/{path.stem}"] = path
    notes = base.missing(split, pictures, list(known))

    def frame(id: str, picture: pathlib.Path, truth: pathlib.Path) -> base.RawImage:
        points = labels.read_mat(truth)[:, ::-1]  # the files say (row, column)
        if len(points) != known[id][-1]:
            notes.append(f"{truth}: holds {len(points)} points, {listing.name} says {known[id][-1]}")
        return base.RawImage(id, picture, points, scene=known[id])

    in_order = {id: pictures[id] for id in known if id in pictures}
    frames, problems = base.paired(in_order, truths, frame)
    return frames, notes, problems


def _pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """The images of a scene: some copies hold `jpgs`, some `pngs`."""
    for name in ("jpgs", "pngs"):
        if (folder / name).is_dir():
            return images.list_images(folder / name)
    return []


def _listed(path: pathlib.Path) -> dict[str, tuple[int, int, int, int]]:
    """{"scene_XX_Y/id": (level, hour, weather, count)} in the list's order. Raises InputError naming the line."""
    found = {}
    for number, words in enumerate(labels.read_rows(path), 1):
        try:
            level, hour, weather, folder, name, count = words
            scene = tuple(map(int, (level, hour, weather, count)))
        except ValueError as error:
            raise InputError(
                f"{path}: line {number} is {' '.join(words)[:60]!r}, not `level hour weather /folder id count`"
            ) from error
        if not 0 <= scene[0] < len(_LEVEL_MOST):
            raise InputError(f"{path}: line {number} has the level {scene[0]}; they go from 0 to 8")
        found[f"{pathlib.PurePosixPath(folder).name}/{name}"] = scene
    return found


Builder = Gcc
