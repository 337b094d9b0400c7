"""`inspect_dataset`: duplicates, grey images and heads outside the ROI in a small folder, and the page."""

import cv2
import numpy as np
import programs
import pytest
from raw_trees import SPOT, worldexpo10

from cc_jax.data import images, preparation, sources, survey
from cc_jax.data.scenes import crowds
from cc_jax.report import dataset_page


@pytest.fixture
def doubled(tmp_path):
    """Six training and six test images. Of the test images, one is a copy, one a smaller and darker copy, one grey.

    Of the scenes of this seed, none is grey.
    """
    pictures = [crowds.render(11, i, look="source", height=128, width=192).image for i in range(10)]
    grey = cv2.cvtColor(pictures[9], cv2.COLOR_RGB2GRAY)
    near = cv2.resize(pictures[1], (150, 100), interpolation=cv2.INTER_AREA)
    test = [pictures[0], (near * 0.8).astype(np.uint8), *pictures[6:9]]
    for split, some in (("train", pictures[:6]), ("test", test)):
        for i, image in enumerate(some):
            images.write_image(tmp_path / f"raw/{split}/{i}.png", image)
    cv2.imwrite(str(tmp_path / "raw/test/grey.png"), grey)
    (tmp_path / "raw/labels.csv").write_text(
        "image,x,y\ntrain/0.png,10,20\ntrain/0.png,30,40\ntest/1.png,,\n"
    )
    preparation.prepare("folder/doubled", tmp_path / "raw", tmp_path / "data")
    return tmp_path


def looks_of(dataset, data_dir):
    return [
        one
        for split in sources.splits(dataset, data_dir)
        for one in survey.look_at(split, sources.open_source(dataset, split, data_dir))
    ]


def test_duplicates_are_found_exact_ones_first(doubled):
    found = survey.find_twins(looks_of("folder/doubled", doubled / "data"))
    assert [(pair.one.id, pair.other.id, pair.exact, pair.leak) for pair in found] == [
        ("train_0", "test_0", True, True),
        ("train_1", "test_1", False, True),
    ]


def test_facts_of_each_image(doubled):
    looks = {one.id: one for one in looks_of("folder/doubled", doubled / "data")}
    assert [(one.id, one.channels) for one in looks.values() if one.looks_grey] == [("test_grey", 1)]
    assert (looks["train_0"].people, looks["train_0"].labelled) == (2, True)
    assert (looks["test_1"].people, looks["test_1"].labelled) == (0, True)
    assert not looks["train_3"].labelled
    assert (looks["test_1"].height, looks["test_1"].width) == (100, 150)


def test_heads_outside_the_region_are_counted(tmp_path):
    raw = worldexpo10(
        tmp_path / "raw", {"test": {"104207/1": [(70, 12), (20, 50)]}}, [(0, 0), (50, 0), (50, 60), (0, 60)]
    )
    preparation.prepare("worldexpo10", raw, tmp_path / "data")
    (one,) = looks_of("worldexpo10", tmp_path / "data")
    assert (one.people, one.outside) == (2, 1)


def test_a_head_is_marked_where_it_is():
    image = np.zeros((480, 960, 3), np.uint8)  # four times the size on the sheet
    small = survey.marked(image, np.float32([[800, 100]]))
    assert small.shape == (120, 240, 3)
    red = np.argwhere(small[..., 0] > SPOT)
    assert np.abs(red.mean(0) - (25, 200)).max() <= 1


def test_the_sheet_shows_the_emptiest_and_the_fullest(doubled):
    looks = looks_of("folder/doubled", doubled / "data")
    many = [
        survey.dataclasses.replace(one, people=n, id=f"{n}", small=np.full((90, 160, 3), n % 250, np.uint8))
        for one in looks
        for n in range(60)
    ]
    sheet = dataset_page.contact_sheet(many)
    assert sheet.shape == (8 * 180, 6 * 240, 3)
    assert sheet[100, 120].max() == 0 and sheet[-80, -120].max() == 59


def test_the_binary_writes_a_page_that_loads_nothing(doubled):
    command = ["-m", "cc_jax.tools.inspect_dataset", "--dataset=folder/doubled"]
    command += [f"--data_dir={doubled / 'data'}", f"--output={doubled / 'page'}"]
    result = programs.run(command)
    assert result.returncode == 0, result.stderr
    assert "2 pairs of images show the same, 2 of them across splits" in result.stdout
    page = (doubled / "page/index.html").read_text()
    assert "train_0" in page and "http" not in page.replace("http-equiv", "") and "<script" not in page
    for split in ("train", "test"):
        assert images.read_image(doubled / f"page/{split}.png").shape[2] == 3


@pytest.mark.slow
def test_shanghaitech_a_has_20_grey_images_and_8_photographs_twice(real_data, tmp_path):
    preparation.prepare("shanghaitech/part_a", real_data / "shanghaitech", tmp_path)
    looks = looks_of("shanghaitech/part_a", tmp_path)
    assert sum(one.channels == 1 for one in looks) == 20
    found = survey.find_twins(looks)
    assert len(found) == 8 and sum(pair.leak for pair in found) == 6
