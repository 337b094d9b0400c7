"""GCC (Wang et al., CVPR 2019): renders of crowds in Grand Theft Auto V, the synthetic source of the paper's tables.

Published totals: 15,212 images and 7,625,843 people, 0 to 3,995 in an image, from 400 cameras at 100 places. The random
split has 11,444 training images (5,760,680 people) and 3,768 test images (1,865,163 people).

Layout: `scene_XX_Y/jpgs` or `scene_XX_Y/pngs` holds the images and `scene_XX_Y/mats` holds `<id>.mat` with
`image_info.location` as (row, column). The lists `train_list.txt`, `test_list.txt`, `cross_camera_{train,test}_list.txt`
and `cross_location_{train,test}_list.txt` hold one image per line: `level hour weather /folder id count`. An id can occur
in several scenes, so the ids here are "scene_XX_Y/id".

Scene regularization (section 4.3 of the same paper, values from dataloader/setting.py of NLT): training uses only the
renders that resemble the target. `config.source.scenes` names the target.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing
from cc_jax.errors import ConfigError, InputError

# The largest number of people in a scene of level 0 to 8.
_LEVEL_MAX = (10, 25, 50, 100, 300, 600, 1000, 2000, 4000)


@dataclasses.dataclass(frozen=True)
class SceneFilter:
    """Bounds on the scenes that resemble a target. All bounds are inclusive, except that of `fill`.

    Attributes:
      levels: Lowest and highest level, which says how many people a scene can hold.
      hours: Earliest and latest hour of the day.
      weather: Allowed kinds of weather.
      count: Fewest and most people.
      fill: The scene must hold more than this share of the people that its level allows.
    """

    levels: tuple[int, int]
    hours: tuple[int, int]
    weather: tuple[int, ...]
    count: tuple[int, int]
    fill: float

    def accepts(self, level: int, hour: int, weather: int, count: int) -> bool:
        """Return whether a scene is within all bounds."""
        within = all(
            low <= value <= high
            for value, (low, high) in ((level, self.levels), (hour, self.hours), (count, self.count))
        )
        return within and weather in self.weather and count / _LEVEL_MAX[level] > self.fill


SCENE_FILTERS = {
    "shanghaitech/part_a": SceneFilter((4, 8), (6, 20), (0, 1, 3, 5, 6), (33, 4000), 0.5),
    "shanghaitech/part_b": SceneFilter((1, 5), (6, 20), (0, 1, 5, 6), (10, 600), 0.3),
    "ucf_qnrf": SceneFilter((4, 8), (5, 21), (0, 1, 5, 6), (400, 4000), 0.6),
    "ucf_cc_50": SceneFilter((5, 8), (8, 18), (0, 1, 5, 6), (400, 4000), 0.6),
    "worldexpo10": SceneFilter((2, 6), (6, 19), (0, 1, 5, 6), (0, 1000), 0.0),
}
_LIST_PREFIXES = {"random": "", "cross_camera": "cross_camera_", "cross_location": "cross_location_"}
_TOTALS = {
    "random": {"train": base.Total(11_444, 5_760_680), "test": base.Total(3_768, 1_865_163)},
    "cross_camera": {base.ALL: base.Total(15_212, 7_625_843)},
    "cross_location": {base.ALL: base.Total(15_212, 7_625_843)},
}


class Builder(base.CrowdDatasetBuilder):
    """GCC, split at random, by camera or by location."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Renders of crowds in Grand Theft Auto V: 400 cameras at 100 places, 0 to 3,995 people."
    CITATION = """@inproceedings{wang2019learning, title={Learning from synthetic data for crowd counting in the wild},
author={Wang, Qi and Gao, Junyu and Lin, Wei and Yuan, Yuan}, booktitle={CVPR}, year={2019}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds scene_00_0 and train_list.txt."
    SCENE_FIELDS = ("level", "hour", "weather", "count")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="random", description="Three quarters of all images are for training."),
        tfds.core.BuilderConfig(name="cross_camera", description="The test cameras are not in training."),
        tfds.core.BuilderConfig(name="cross_location", description="The test places are not in training."),
    ]

    def totals(self) -> dict[str, base.Total]:
        return _TOTALS[self.builder_config.name]

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        prefix = _LIST_PREFIXES[self.builder_config.name]
        lists = {split: f"{prefix}{split}_list.txt" for split in ("train", "test")}
        root = pairing.find_root(manual_dir, ["GCC", "txt_list"], list(lists.values()))
        scenes = root if any(root.glob("scene_*")) else manual_dir
        splits, remarks, problems = {}, [], []
        for split, name in lists.items():
            if not (root / name).is_file():
                remarks.append(notes.missing_split(root / name, split))
                continue
            splits[split], more_remarks, more_problems = _read_split(split, root / name, scenes)
            remarks += more_remarks
            problems += more_problems
        return base.Raw(splits, tuple(remarks), tuple(problems))

    @staticmethod
    def scenes_like(scenes: Sequence[Sequence[int]], target: str) -> list[int]:
        if target not in SCENE_FILTERS:
            raise ConfigError(f"config.source.scenes={target!r}: there are {', '.join(SCENE_FILTERS)}")
        return [i for i, scene in enumerate(scenes) if SCENE_FILTERS[target].accepts(*scene)]


def _read_split(
    split: str, list_file: pathlib.Path, scenes: pathlib.Path
) -> tuple[list[base.RawImage], list[str], list[str]]:
    """Return the images of a list, notes on what differs from the list, and a line per problem."""
    listed = _read_list(list_file)
    image_files, label_files = {}, {}
    for folder in sorted({id.split("/")[0] for id in listed}):
        for path in (*_list_scene(scenes / folder), *sorted((scenes / folder / "mats").glob("*.mat"))):
            found = label_files if path.suffix == ".mat" else image_files
            if f"{folder}/{path.stem}" in listed:
                found[f"{folder}/{path.stem}"] = path
    remarks = notes.missing_images(split, image_files, list(listed))

    def read(id: str, image_file: pathlib.Path, label_file: pathlib.Path) -> base.RawImage:
        points = labels.read_mat(label_file)[:, ::-1]  # stored as (row, column)
        if len(points) != listed[id][-1]:
            remarks.append(
                f"{label_file}: holds {len(points)} points, {list_file.name} says {listed[id][-1]}"
            )
        return base.RawImage(id, image_file, points, scene=listed[id])

    in_order = {id: image_files[id] for id in listed if id in image_files}
    raw_images, problems = pairing.pair(in_order, label_files, read)
    return raw_images, remarks, problems


def _list_scene(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the images of a scene. Some copies of the dataset hold `jpgs`, others `pngs`."""
    for name in ("jpgs", "pngs"):
        if (folder / name).is_dir():
            return images.list_images(folder / name)
    return []


def _read_list(path: pathlib.Path) -> dict[str, tuple[int, int, int, int]]:
    """Return {"scene_XX_Y/id": (level, hour, weather, count)} in the order of the list.

    Raises:
      InputError: Names the line that is wrong.
    """
    found = {}
    for number, words in enumerate(labels.read_rows(path), 1):
        try:
            level, hour, weather, folder, name, count = words
            scene = tuple(map(int, (level, hour, weather, count)))
        except ValueError as error:
            raise InputError(
                f"{path}: line {number} is {' '.join(words)[:60]!r}, not `level hour weather /folder id count`"
            ) from error
        if not 0 <= scene[0] < len(_LEVEL_MAX):
            raise InputError(f"{path}: line {number} has the level {scene[0]}; levels are 0 to 8")
        found[f"{pathlib.PurePosixPath(folder).name}/{name}"] = scene
    return found
