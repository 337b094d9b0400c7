"""Dataset plug-ins: published layouts are read, coordinates are right, wrong files are named before anything is written."""

import hashlib
import pickle
import shutil
import textwrap

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from raw_trees import (
    SIZE,
    gcc,
    jhu,
    nwpu,
    picture,
    save_mat,
    save_new_mat,
    save_picture,
    shanghaitech,
    spot_at,
    ucf_cc_50,
    ucf_qnrf,
    unity,
    worldexpo10,
)

from cc_jax import registry
from cc_jax.data import (
    density,
    examples,
    images,
    pipeline,
    preparation,
    resizing,
    sources,
    storage,
    transforms,
    twins,
)
from cc_jax.data.builders import base, checks, folder, labels, synthetic, unity_crowd
from cc_jax.data.builders import gcc as gcc_builder
from cc_jax.data.builders import ucf_cc_50 as ucf_cc_50_builder
from cc_jax.data.scenes import crowds
from cc_jax.errors import ConfigError, InputError

POINTS = {1: [(70.0, 12.0), (20.0, 50.0)], 2: [(90.0, 40.0)], 4: []}


def checked(dataset, raw, tmp_path):
    return sources.make_builder(dataset, tmp_path / "unused").checked(raw)


def frames_of(raw: base.Raw) -> dict[str, base.RawImage]:
    return {frame.id: frame for frames in raw.splits.values() for frame in frames}


def assert_points_are_where_the_heads_are(frames):
    for frame in frames:
        image = images.read_image(frame.image)
        assert image.shape[:2] == (frame.height, frame.width)
        assert all(spot_at(image, point) for point in frame.points)


# ShanghaiTech


@pytest.mark.parametrize("part", ["part_A_final", "part_A"])
@pytest.mark.parametrize("truth", ["ground_truth", "ground-truth"])
def test_shanghaitech_in_every_spelling(tmp_path, part, truth):
    raw = shanghaitech(tmp_path, {"train": POINTS, "test": {7: [(99, 59)]}}, part, truth)
    found = checked("shanghaitech/part_a", raw, tmp_path)
    assert {split: len(frames) for split, frames in found.splits.items()} == {"train": 3, "test": 1}
    assert_points_are_where_the_heads_are(frames_of(found).values())
    np.testing.assert_array_equal(frames_of(found)["train_IMG_1"].points, np.float32(POINTS[1]))


def test_swapped_coordinates_would_be_noticed(tmp_path):
    """The check above can fail: with x and y swapped, the heads are elsewhere or outside."""
    swapped = np.array(POINTS[1])[:, ::-1]
    image = picture(POINTS[1])
    assert not any(spot_at(image, point) for point in checks.clamp_points(swapped, *SIZE)[0])


def test_shanghaitech_without_test_images_builds_the_rest_and_says_so(tmp_path):
    raw = shanghaitech(tmp_path, {"train": POINTS}, part="part_B")
    found = checked("shanghaitech/part_b", raw, tmp_path)
    assert set(found.splits) == {"train"}
    assert any("test_data does not exist" in note and "'test' is left out" in note for note in found.notes)


def test_missing_images_are_named(tmp_path):
    raw = shanghaitech(tmp_path, {"train": POINTS}, part="part_B")
    found = checked("shanghaitech/part_b", raw, tmp_path)
    assert "train: 397 of 400 images are missing: IMG_3, IMG_5 - IMG_400" in found.notes


def test_a_stated_number_that_is_not_the_points_is_named(tmp_path):
    raw = shanghaitech(tmp_path, {"train": POINTS})
    mat = raw / "part_A_final/train_data/ground_truth/GT_IMG_2.mat"
    save_mat(mat, POINTS[2], number=3)
    found = checked("shanghaitech/part_a", raw, tmp_path)
    assert any("GT_IMG_2.mat: states 3 people but holds 1 points" in note for note in found.notes)


def test_matlab_7_3_labels_equal_older_ones(tmp_path):
    raw = shanghaitech(tmp_path, {"train": POINTS})
    for number, points in POINTS.items():
        info = {
            "image_info": [{"location": np.reshape(points, (-1, 2)), "number": np.array([[len(points)]])}]
        }
        save_new_mat(raw / f"part_A_final/train_data/ground_truth/GT_IMG_{number}.mat", info)
    found = checked("shanghaitech/part_a", raw, tmp_path)
    assert_points_are_where_the_heads_are(frames_of(found).values())
    assert {id: len(frame.points) for id, frame in frames_of(found).items()} == {
        "train_IMG_1": 2, "train_IMG_2": 1, "train_IMG_4": 0,
    }  # fmt: skip
    assert not any("states" in note for note in found.notes)


def link_out(file, secret):
    file["annPoints"] = h5py.ExternalLink(str(secret), "annPoints")


def link_soft(file, secret):
    file["elsewhere"] = np.zeros((2, 2))
    file["annPoints"] = h5py.SoftLink("/elsewhere")


def store_out(file, secret):
    file.create_dataset("annPoints", (2, 2), "f8", external=[(str(secret), 0, 32)])


def map_out(file, secret):
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "annPoints", (2, 2))
    file.create_virtual_dataset("annPoints", layout)


def go_round(file, secret):
    cell = file.create_dataset("annPoints", (1, 1), h5py.ref_dtype)
    cell[0, 0] = cell.ref


def claim_much(file, secret):
    file.create_dataset("annPoints", (2**28, 2**20), "f8", chunks=(1, 2**10))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (link_out, "annPoints is a link; links are not followed"),
        (link_soft, "annPoints is a link; links are not followed"),
        (store_out, "annPoints is stored in another file"),
        (map_out, "annPoints is stored in another file"),
        (go_round, "cells are nested more than 8 deep"),
        (claim_much, "annPoints is larger than 268,435,456 bytes"),
    ],
)
def test_an_hdf5_label_cannot_read_other_files_or_fill_the_memory(tmp_path, harm, said):
    with h5py.File(tmp_path / "secret.mat", "w") as file:
        file["annPoints"] = np.ones((2, 2))
    with h5py.File(tmp_path / "label.mat", "w") as file:
        harm(file, tmp_path / "secret.mat")
    with pytest.raises(InputError, match=said) as caught:
        labels.read_mat(tmp_path / "label.mat")
    assert "label.mat" in str(caught.value) and "\n" not in str(caught.value)


def break_mat(root):
    (root / "train_data/ground_truth/GT_IMG_2.mat").unlink()


def cut_mat(root):
    path = root / "train_data/ground_truth/GT_IMG_2.mat"
    path.write_bytes(path.read_bytes()[:200])


def garble_mat(root):
    (root / "train_data/ground_truth/GT_IMG_2.mat").write_bytes(b"no mat at all" * 40)


def new_mat(root):
    (root / "train_data/ground_truth/GT_IMG_2.mat").write_bytes(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 60
    )


def other_mat(root):
    scipy.io.savemat(root / "train_data/ground_truth/GT_IMG_2.mat", {"heads": np.zeros((3, 2))})


def nan_mat(root):
    save_mat(root / "train_data/ground_truth/GT_IMG_2.mat", [(1, 2), (np.nan, 3)])


def wide_mat(root):
    scipy.io.savemat(root / "train_data/ground_truth/GT_IMG_2.mat", {"points": np.zeros((4, 3))})


def lose_image(root):
    (root / "train_data/images/IMG_2.jpg").unlink()


def cut_image(root):
    path = root / "train_data/images/IMG_2.jpg"
    path.write_bytes(path.read_bytes()[:-300])


def odd_image(root):
    (root / "train_data/images/IMG_2.jpg").write_text("<html>404</html>")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_mat, "IMG_2.jpg: has no label file"),
        (cut_mat, "GT_IMG_2.mat: is not a .mat file, or is damaged"),
        (garble_mat, "GT_IMG_2.mat: is not a .mat file, or is damaged"),
        (new_mat, "GT_IMG_2.mat: is not a .mat file, or is damaged"),
        (other_mat, "GT_IMG_2.mat: contains no image_info, annPoints or points; it contains heads"),
        (nan_mat, "GT_IMG_2.mat: point 2 is not a finite number"),
        (wide_mat, r"GT_IMG_2.mat: its points have the shape \[4, 3\]"),
        (lose_image, "GT_IMG_2.mat: has no image"),
        (cut_image, "IMG_2.jpg"),
        (odd_image, "IMG_2.jpg"),
    ],
)
def test_a_bad_file_is_named_in_one_line_and_nothing_is_written(tmp_path, harm, said):
    raw = shanghaitech(tmp_path / "raw", {"train": POINTS})
    harm(raw / "part_A_final")
    with pytest.raises(InputError, match=said) as caught:
        preparation.prepare("shanghaitech/part_a", raw, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_every_bad_file_is_named_at_once(tmp_path):
    raw = shanghaitech(tmp_path / "raw", {"train": POINTS, "test": {7: [(99, 59)]}})
    cut_image(raw / "part_A_final")
    garble = raw / "part_A_final/train_data/ground_truth/GT_IMG_1.mat"
    garble.write_bytes(b"no mat")
    (raw / "part_A_final/test_data/images/IMG_7.jpg").unlink()
    with pytest.raises(InputError, match="nothing was written") as caught:
        checked("shanghaitech/part_a", raw, tmp_path)
    assert all(name in str(caught.value) for name in ("IMG_2.jpg", "GT_IMG_1.mat", "GT_IMG_7.mat"))


def test_an_error_names_at_most_twenty_files(tmp_path):
    raw = shanghaitech(tmp_path / "raw", {"train": {n: [] for n in range(1, 31)}})
    for path in (raw / "part_A_final/train_data/images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="IMG_20.jpg.* and 10 more; nothing was written") as caught:
        checked("shanghaitech/part_a", raw, tmp_path)
    assert "IMG_21.jpg" not in str(caught.value)


def published(monkeypatch, points):
    rows = [
        ["part_a", "train", f"IMG_{n}", labels.digest(np.float32(p).reshape(-1, 2))]
        for n, p in points.items()
    ]
    monkeypatch.setattr(labels, "read_rows", lambda path: rows)


def test_a_label_of_another_image_is_named(tmp_path, monkeypatch):
    published(monkeypatch, POINTS)
    raw = shanghaitech(tmp_path, {"train": {**POINTS, 2: POINTS[1]}})
    with pytest.raises(
        InputError, match=r"GT_IMG_2.mat: its points differ from the published ones; does it belong"
    ):
        checked("shanghaitech/part_a", raw, tmp_path)


def test_other_labels_are_used_with_a_note(tmp_path, monkeypatch):
    published(monkeypatch, {1: [(1, 1)], 2: [(2, 2)], 4: []})
    found = checked("shanghaitech/part_a", shanghaitech(tmp_path, {"train": POINTS}), tmp_path)
    assert "train: 2 of 3 labels differ from the published ones; they are used as they are" in found.notes


def test_a_missing_part_is_a_config_error(tmp_path):
    raw = shanghaitech(tmp_path, {"train": POINTS}, part="part_A")
    with pytest.raises(ConfigError, match="part_B_final or part_B"):
        checked("shanghaitech/part_b", raw, tmp_path)


# Unity


def test_unity_measures_y_from_the_bottom(tmp_path):
    points = {n: [(70.0 + n, 8.0), (20.0, 50.0 - n)] for n in range(1, 7)}
    frames = frames_of(checked("unity_crowd", unity(tmp_path / "raw", points), tmp_path))
    assert_points_are_where_the_heads_are(frames.values())
    np.testing.assert_allclose(frames["IMG_3"].points, points[3])


def test_unity_labels_of_another_shape_are_named(tmp_path):
    raw = unity(tmp_path, {n: [(n, n)] for n in range(1, 4)})
    (raw / "ground_truth_txt/IMG_2.txt").write_text("1 2\n3 4 5\n")
    with pytest.raises(InputError, match=r"IMG_2.txt: line 2 is '3 4 5', not 2 numbers"):
        checked("unity_crowd", raw, tmp_path)


def test_near_duplicates_go_to_the_same_side(tmp_path):
    """Twelve scenes with four copies each, which differ in noise and brightness."""
    frames, rng = [], np.random.default_rng(0)
    for scene in range(12):
        image = crowds.render(11, scene, look="source", height=120, width=160).image
        for copy in range(4):
            noisy = np.clip(image * rng.uniform(0.8, 1.1) + rng.normal(0, 6, image.shape), 0, 255).astype(
                np.uint8
            )
            frames.append(
                base.RawImage(f"{scene}_{copy}", images.encode_image(noisy), np.zeros((0, 2), np.float32))
            )
    rng.shuffle(frames)
    sides = unity_crowd.split(frames)
    scenes_of = {side: {frame.id.split("_")[0] for frame in members} for side, members in sides.items()}
    assert not scenes_of["train"] & scenes_of["test"]
    assert 0 < len(sides["test"]) <= round(0.2 * len(frames))


def test_images_that_differ_are_split_by_their_names():
    """Unrelated images are groups of their own, so the test split is those with the smallest digests of their ids."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (40, 40, 3), np.uint8) for _ in range(10)]
    frames = [
        base.RawImage(f"IMG_{n}", images.encode_image(image, ".png"), labels.NO_POINTS)
        for n, image in enumerate(noise)
    ]
    expected = sorted((frame.id for frame in frames), key=lambda id: hashlib.sha256(id.encode()).hexdigest())[
        :2
    ]
    assert {frame.id for frame in unity_crowd.split(frames)["test"]} == set(expected)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.just(8))), st.integers(0, 4))
def test_groups_are_the_connected_components(hashes, near):
    """Compares with a graph search that visits one node at a time."""
    linked = [[int((a != b).sum()) <= near for b in hashes] for a in hashes]
    expected = [-1] * len(hashes)
    for start in range(len(hashes)):
        queue = [start] if expected[start] < 0 else []
        while queue:
            node = queue.pop()
            if expected[node] < 0:
                expected[node] = start
                queue += [other for other in range(len(hashes)) if linked[node][other]]
    assert twins.link(hashes, near) == expected


# The other published datasets


SIDES = {"train": POINTS, "test": {1: [(99.0, 2.0), (3.0, 30.0)]}}
HALF = [(0, 0), (50, 0), (50, 60), (0, 60)]  # the left half of the image


def tree(name: str, root):
    """Return the folder of a small copy of the dataset, and {id: points}."""
    if name == "ucf_cc_50":
        frames = {1: [(70.0, 12.0)], 11: [(20.0, 50.0)], 50: []}
        return ucf_cc_50(root, frames), {str(n): points for n, points in frames.items()}
    if name == "ucf_qnrf":
        return ucf_qnrf(root, SIDES), {f"{s}_img_{n:04d}": p for s, f in SIDES.items() for n, p in f.items()}
    if name == "jhu":
        return jhu(root, SIDES), {f"{s}/{n:04d}": p for s, f in SIDES.items() for n, p in f.items()}
    if name == "nwpu":
        frames = {"train": POINTS, "val": {7: [(99.0, 2.0)]}, "test": {5109: []}}
        return nwpu(root, frames), {f"{n:04d}": p for f in frames.values() for n, p in f.items()}
    if name == "worldexpo10":
        frames = {
            "train": {"100001/100001_C09-05-S-20100717-0001": POINTS[1], "104242/104242-1-0001": []},
            "test": {"104207/200100-01": [(70.0, 12.0), (20.0, 50.0)], "500717/200100-01": []},
        }
        return worldexpo10(root, frames, HALF), {i: p for f in frames.values() for i, p in f.items()}
    frames = {
        "train_list.txt": {"scene_00_0/0123456789": POINTS[1], "scene_71_3/0123456789": POINTS[2]},
        "test_list.txt": {"scene_00_0/0000000001": []},
    }
    return gcc(root, frames, new={"scene_71_3/0123456789"}), {
        i: p for f in frames.values() for i, p in f.items()
    }


PUBLISHED_SETS = ["ucf_cc_50", "ucf_qnrf", "jhu", "nwpu", "worldexpo10", "gcc/random"]


@pytest.mark.parametrize("dataset", PUBLISHED_SETS)
def test_raw_tree_to_batch(tmp_path, dataset):
    """Prepares, reads and batches each dataset. With x and y swapped, the heads would not be on the red spots."""
    raw, expected = tree(dataset.split("/")[0], tmp_path / "raw")
    preparation.prepare(dataset, raw, tmp_path / "data")
    found = {}
    for split in storage.read_summary(sources.make_builder(dataset, tmp_path / "data"))["splits"]:
        source = sources.open_source(dataset, split, tmp_path / "data")
        for record in (source[i] for i in range(len(source))):
            image = images.read_image(record["image"], name="")
            assert all(spot_at(image, point) for point in record["points"])
            found[record["id"]] = record["points"]
    assert {id: points.tolist() for id, points in found.items()} == {
        id: [list(p) for p in points] for id, points in expected.items()
    }
    split = "fold_1" if dataset == "ucf_cc_50" else "train"
    records = sources.open_source(dataset, split, tmp_path / "data")
    augment = transforms.Augment(crop=56, flip=True)
    batches = pipeline.train_dataset(
        examples.Examples(records), augment=augment, density=density.Density("fixed", 4.0, 15), seed=0
    )
    batch = pipeline.batch_at(batches, 0, batch_size=4)
    assert batch["image"].shape == (4, 56, 56, 3) and batch["density"].shape == (4, 7, 7, 1)


def test_ucf_cc_50_has_five_folds_of_ten():
    folds = [ucf_cc_50_builder.fold_of(number) for number in range(1, 51)]
    assert [folds.count(fold) for fold in range(1, 6)] == [10] * 5 and folds == sorted(folds)


@pytest.mark.parametrize("form", ["jsons", "mats"])
def test_nwpus_test_images_are_unlabelled(tmp_path, form):
    frames = {"train": POINTS, "test": {5109: []}}
    raw = nwpu(tmp_path, frames, folder="images_part5", form=form)
    found = checked("nwpu", raw, tmp_path)
    assert [frame.labelled for frame in found.splits["test"]] == [False]
    assert all(frame.labelled for frame in found.splits["train"]) and len(found.splits["train"]) == 3
    assert any("val.txt does not exist" in note for note in found.notes)


def test_only_people_in_the_roi_count(tmp_path):
    raw, _ = tree("worldexpo10", tmp_path / "raw")
    preparation.prepare("worldexpo10", raw, tmp_path / "data")
    source = sources.open_source("worldexpo10", "test", tmp_path / "data")
    heads = {
        example["id"]: example["points"].tolist()
        for example in (resizing.decode(source[i]) for i in range(len(source)))
    }
    assert heads == {
        "104207/200100-01": [[20.0, 50.0]],
        "500717/200100-01": [],
    }  # the frame without anybody in the ROI is kept


@pytest.mark.parametrize("corners", [HALF[:2], [(0, 0), (1, np.nan), (3, 3)]])
def test_an_invalid_roi_is_named(tmp_path, corners):
    raw = worldexpo10(tmp_path, {"test": {"104207/1": []}}, corners)
    with pytest.raises(InputError, match="104207/roi.mat"):
        checked("worldexpo10", raw, tmp_path)


def test_gcc_with_pngs_and_a_list_that_differs(tmp_path):
    raw = gcc(tmp_path, {"train_list.txt": {"scene_00_0/01": POINTS[1]}}, folder="pngs")
    text = (raw / "train_list.txt").read_text()
    (raw / "train_list.txt").write_text(text.replace("01 2\n", "01 7\n") + "4 12 1 /lite/scene_09_1 02 5\n")
    found = checked("gcc/random", raw, tmp_path)
    assert any("01.mat: holds 2 points, train_list.txt says 7" in note for note in found.notes)
    assert "train: 1 of 2 images are missing: scene_09_1/02" in found.notes


def test_scene_regularization_keeps_scenes_like_the_target(tmp_path):
    """Compares with the published table, worked out by hand for 8 scenes."""
    rows = {  # id: (level, hour, weather, count), targets that keep it
        "scene_00_0/1": ((4, 12, 0, 200), {"shanghaitech/part_a", "shanghaitech/part_b", "worldexpo10"}),
        "scene_00_0/2": ((4, 12, 3, 200), {"shanghaitech/part_a"}),
        "scene_00_0/3": (
            (4, 12, 0, 150),
            {"shanghaitech/part_b", "worldexpo10"},
        ),  # 150 / 300 is not above 0.5
        "scene_00_0/4": ((4, 21, 0, 200), set()),
        "scene_00_0/5": ((1, 6, 6, 20), {"shanghaitech/part_b"}),
        "scene_00_0/6": ((2, 6, 6, 1), {"worldexpo10"}),
        "scene_00_0/7": ((7, 12, 0, 1500), {"shanghaitech/part_a", "ucf_qnrf", "ucf_cc_50"}),
        "scene_00_0/8": ((7, 5, 0, 1500), {"ucf_qnrf"}),
    }
    raw = gcc(tmp_path / "raw", {"train_list.txt": dict.fromkeys(rows, [])})
    lines = [f"{lv} {h} {w} /lite/{id.replace('/', ' ')} {n}\n" for id, ((lv, h, w, n), _) in rows.items()]
    (raw / "train_list.txt").write_text("".join(lines))
    preparation.prepare("gcc/random", raw, tmp_path / "data")
    for target in gcc_builder.SCENE_FILTERS:
        source = sources.open_source("gcc/random", "train", tmp_path / "data", target)
        kept = [id for id, (_, targets) in rows.items() if target in targets]
        assert [source[i]["id"] for i in range(len(source))] == kept
    part = pickle.loads(
        pickle.dumps(sources.open_source("gcc/random", "train[4:]", tmp_path / "data", "ucf_qnrf"))
    )
    assert [part[i]["id"] for i in range(len(part))] == ["scene_00_0/7", "scene_00_0/8"]
    with pytest.raises(ConfigError, match="scenes='part_a': there are shanghaitech/part_a"):
        sources.open_source("gcc/random", "train", tmp_path / "data", "part_a")
    with pytest.raises(ConfigError, match=r"train\[:1\] resembles that target"):
        sources.open_source("gcc/random", "train[:1]", tmp_path / "data", "ucf_qnrf")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("4 12 1 /lite/scene_00_0 01", "line 2 is '4 12 1"),
        ("9 12 1 /lite/scene_00_0 01 3", "line 2 has the level 9"),
    ],
)
def test_an_invalid_gcc_list_is_named(tmp_path, line, said):
    raw = gcc(tmp_path, {"train_list.txt": {"scene_00_0/01": POINTS[1]}})
    with open(raw / "train_list.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=f"train_list.txt: {said}"):
        checked("gcc/random", raw, tmp_path)


# Folders of a user


def test_a_folder_without_labels_is_one_unlabelled_split(tmp_path):
    save_picture(tmp_path / "raw/b.jpg", [(1, 1)])
    save_picture(tmp_path / "raw/sub/a.png", [])
    (tmp_path / "raw/notes.md").write_text("no image")
    raw = checked("folder/mine", tmp_path / "raw", tmp_path)
    assert [frame.id for frame in raw.splits["train"]] == ["b", "sub_a"] and set(raw.splits) == {"train"}
    assert not any(frame.labelled for frame in raw.splits["train"])


@pytest.mark.parametrize("form", ["csv", "json", "json_dict", "txt", "mat"])
def test_a_folders_labels_in_every_form(tmp_path, form):
    points = [(70.0, 12.0), (20.5, 50.0)]
    save_picture(tmp_path / "raw/test/one.jpg", points)
    save_picture(tmp_path / "raw/train/two.jpg", [])
    beside = tmp_path / "raw/test/one"
    if form == "csv":
        rows = "".join(f"test/one.jpg,{x},{y}\n" for x, y in points)
        (tmp_path / "raw/labels.csv").write_text("image,x,y\n" + rows)
    elif form == "txt":
        beside.with_suffix(".txt").write_text("70 12\n\n20.5, 50\n")
    elif form == "mat":
        scipy.io.savemat(beside.with_suffix(".mat"), {"annPoints": np.array(points)})
    else:
        text = '{"points": [[70, 12], [20.5, 50]]}' if form == "json_dict" else "[[70, 12], [20.5, 50]]"
        beside.with_suffix(".json").write_text(text)
    raw = checked("folder/mine", tmp_path / "raw", tmp_path)
    (one,), (two,) = raw.splits["test"], raw.splits["train"]
    assert one.labelled and not two.labelled
    np.testing.assert_array_equal(one.points, np.float32(points))
    assert_points_are_where_the_heads_are([one])


def test_an_empty_label_states_that_nobody_is_there(tmp_path):
    save_picture(tmp_path / "raw/empty.jpg", [])
    (tmp_path / "raw/labels.csv").write_text("image,x,y\nempty.jpg,,\n")
    (frame,) = checked("folder", tmp_path / "raw", tmp_path).splits["train"]
    assert frame.labelled and frame.points.shape == (0, 2)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"labels.csv": "image,x,y\nother.jpg,1,2\n"}, "names images that are not in the folder: other.jpg"),
        ({"labels.csv": "name,x,y\na.jpg,1,2\n"}, "must name the columns image,x,y"),
        ({"labels.csv": "image,x,y\na.jpg,1,two\n"}, "line 2: x and y must be numbers"),
        ({"labels.csv": "image,x,y\na.jpg,1\n"}, "line 2: x and y must be numbers"),
        ({"labels.csv": "image,x,y\na.jpg,1,2\n", "a.txt": "1 2\n"}, "labelled more than once"),
        ({"a.json": '{"heads": []}'}, "contains no list of points"),
        ({"a.json": "[[1, 2], [3]]"}, "not rows of two numbers"),
        ({"a.json": "[[1,"}, "is not valid JSON"),
        ({"a.txt": "1 2\nx y\n"}, "line 2 is 'x y'"),
        ({"a.txt": "1 nan\n"}, "point 1 is not a finite number"),
    ],
)
def test_a_folders_wrong_labels_are_named(tmp_path, files, said):
    save_picture(tmp_path / "raw/a.jpg", [])
    for name, text in files.items():
        (tmp_path / "raw" / name).write_text(text)
    with pytest.raises(InputError, match=said):
        checked("folder", tmp_path / "raw", tmp_path)


def test_names_that_would_collide_are_refused(tmp_path):
    save_picture(tmp_path / "raw/a.jpg", [])
    save_picture(tmp_path / "raw/a.png", [])
    with pytest.raises(InputError, match="the id 'a' is taken by another image"):
        checked("folder", tmp_path / "raw", tmp_path)


def test_an_empty_folder_is_a_config_error(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(ConfigError, match="contains no image"):
        checked("folder", tmp_path / "raw", tmp_path)


def test_folders_have_distinct_names(tmp_path):
    names = [folder.name_of(tmp_path / name) for name in ("a/Cam 1", "b/Cam 1", "a/Cam 1")]
    assert names[0] == names[2] != names[1] and names[0].startswith("cam_1-")
    sources.make_builder(f"folder/{names[0]}", tmp_path)  # a valid dataset name


def test_images_of_rare_formats_are_stored_as_png(tmp_path):
    save_picture(tmp_path / "a.png", [(30, 20)])
    import cv2

    cv2.imwrite(str(tmp_path / "raw.tif"), cv2.imread(str(tmp_path / "a.png")))
    stored = base.to_record(
        checks.check_image(base.RawImage("a", tmp_path / "raw.tif", np.zeros((0, 2), np.float32)))
    )["image"]
    assert stored.startswith(b"\x89PNG")
    np.testing.assert_array_equal(images.read_image(stored), picture([(30, 20)]))


# What the plug-ins share


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(-50, 150, width=32)),
    st.integers(1, 90),
    st.integers(1, 90),
)
def test_points_over_the_border_are_moved_and_counted(points, height, width):
    inside, moved = checks.clamp_points(points, height, width)
    assert len(inside) == len(points)  # no point is dropped
    assert (inside >= 0).all() and (inside < (width, height)).all()
    kept = [0 <= x < width and 0 <= y < height for x, y in points.tolist()]
    assert moved == len(points) - sum(kept)
    np.testing.assert_array_equal(inside[kept], points[kept])


def test_moved_points_are_reported(tmp_path):
    raw = shanghaitech(tmp_path / "raw", {"train": {1: [(100, 60), (-3, 5), (50, 30)]}})
    lines = preparation.prepare("shanghaitech/part_a", raw, tmp_path / "data")
    assert "1 images, 3 people" in lines[1] and "2 points outside the image were moved" in lines[1]
    record = sources.open_source("shanghaitech/part_a", "train", tmp_path / "data")[0]
    np.testing.assert_array_equal(record["points"], np.float32([(99, 59), (0, 5), (50, 30)]))


def test_the_builders_are_the_plug_ins_of_their_folder():
    """Helpers in the folder are not listed, and every dataset has the name of its file."""
    expected = [
        "folder", "gcc", "jhu", "nwpu", "shanghaitech", "synthetic", "ucf_cc_50", "ucf_qnrf", "unity_crowd",
        "worldexpo10",
    ]  # fmt: skip
    assert registry.names("data.builders") == expected
    assert [registry.load("data.builders", name).Builder.name for name in expected] == expected


def test_the_plug_in_in_the_docs_works(tmp_path, monkeypatch):
    """The example in base.py, saved to a folder of plug-ins: prepared and read by its name."""
    start = base.__doc__.index("    '''Market")
    code = textwrap.dedent(base.__doc__[start : base.__doc__.index("Saved as market.py")])
    (tmp_path / "data/builders").mkdir(parents=True)
    (tmp_path / "data/builders/market.py").write_text(code)
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path))
    for name, points in (("a", [(70, 12), (20, 50)]), ("b", [(99, 59)])):
        save_picture(tmp_path / f"raw/{name}.jpg", points)
        (tmp_path / f"raw/{name}.txt").write_text("".join(f"{x} {y}\n" for x, y in points))
    lines = preparation.prepare("market", tmp_path / "raw", tmp_path / "prepared")
    assert lines[1:] == ["  train: 1 images, 2 people", "  test: 1 images, 1 people"]
    (record,) = sources.open_source("market", "train", tmp_path / "prepared")
    assert record["id"] == "a" and record["points"].tolist() == [[70, 12], [20, 50]]
    with pytest.raises(ConfigError, match="needs its raw files"):
        preparation.prepare("market", None, tmp_path / "elsewhere")


def test_tfds_can_build_without_prepare(tmp_path):
    """As `tfds build` does."""
    import tensorflow_datasets as tfds

    raw = shanghaitech(tmp_path / "raw", {"train": POINTS})
    builder = sources.make_builder("shanghaitech/part_a", tmp_path / "data")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=raw, try_download_gcs=False)
    )
    assert len(sources.open_source("shanghaitech/part_a", "train", tmp_path / "data")) == 3


def test_a_render_that_changes_needs_a_new_version():
    """If these counts change, so did the images: raise VERSION, or datasets on disk stay as they were."""
    version, counts = GOLDEN
    assert str(synthetic.Builder.VERSION) == version
    for look, expected in counts.items():
        found = [
            len(crowds.render(0, i, look=look, height=256, width=384).points) for i in range(len(expected))
        ]
        # Versions of OpenCV round some edges differently, which can hide or show a head.
        np.testing.assert_allclose(found, expected, atol=2)


GOLDEN = ("1.10.0", {"source": [19, 3, 18, 8, 129, 24], "target": [35, 42, 28, 17, 27, 0]})


# Real files


@pytest.mark.parametrize(
    ("dataset", "below", "totals"),
    [
        ("unity_crowd", "unity_crowd", {"all": (232, 97_399)}),
        ("shanghaitech/part_a", "shanghaitech", {"train": (300, 162_413), "test": (182, 78_862)}),
        ("shanghaitech/part_b", "shanghaitech", {"train": (400, 49_151)}),
    ],
)
def test_the_published_totals(real_data, tmp_path, dataset, below, totals):
    lines = preparation.prepare(dataset, real_data / below, tmp_path)
    for split, (count, people) in totals.items():
        assert f"  {split}: {count:,} images, {people:,} people, as published" in "\n".join(lines)
    names = ["train", "test"] if dataset != "shanghaitech/part_b" else ["train"]
    opened = [sources.open_source(dataset, name, tmp_path) for name in names]
    found = [(len(source), sum(len(record["points"]) for record in source)) for source in opened]
    if "all" in totals:
        assert tuple(map(sum, zip(*found, strict=True))) == totals["all"]
        assert_no_twins_across(opened)
    else:
        assert found == [totals[name] for name in names]
    shutil.rmtree(tmp_path)


def test_three_faults_in_a_copy_of_part_a_are_named_together(real_data, tmp_path):
    """One image is missing, one is cut short, one label belongs to another image. All other files are links."""
    for path in (real_data / "shanghaitech/part_A").rglob("*.*"):
        link = tmp_path / "raw/part_A" / path.relative_to(real_data / "shanghaitech/part_A")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    train, test = (tmp_path / "raw/part_A" / name for name in ("train_data", "test_data"))
    cut = (test / "images/IMG_9.jpg").read_bytes()[:-1000]
    for path in (train / "images/IMG_7.jpg", test / "images/IMG_9.jpg", train / "ground-truth/GT_IMG_12.mat"):
        path.unlink()
    (test / "images/IMG_9.jpg").write_bytes(cut)
    (train / "ground-truth/GT_IMG_12.mat").symlink_to((train / "ground-truth/GT_IMG_13.mat").resolve())
    with pytest.raises(InputError) as caught:
        preparation.prepare("shanghaitech/part_a", tmp_path / "raw", tmp_path / "data")
    told = str(caught.value).split("; ")
    assert [line.split(":")[0].rsplit("/", 1)[-1] for line in told if ": " in line] == [
        "GT_IMG_7.mat", "GT_IMG_12.mat", "IMG_9.jpg",
    ]  # fmt: skip
    assert not (tmp_path / "data").exists()


def assert_no_twins_across(opened):
    hashes = [
        np.stack([twins.perceptual_hash(images.read_image(record["image"])) for record in source])
        for source in opened
    ]
    distance = (hashes[0][:, None] != hashes[1][None]).sum(axis=-1)
    assert distance.min() > unity_crowd.MAX_BITS
    assert len(hashes[1]) >= 0.15 * (len(hashes[0]) + len(hashes[1]))


def test_unitys_far_heads_are_above_the_near_ones(real_data, tmp_path):
    """Far heads are closer together, so most heads are in the upper half of the range of heads."""
    raw = sources.make_builder("unity_crowd", tmp_path).raw(real_data / "unity_crowd")
    ys = [frame.points[:, 1] for frame in frames_of(raw).values()]
    assert np.mean([np.median(y) < (y.min() + y.max()) / 2 for y in ys]) > 0.95


def test_points_are_as_many_as_the_files_state(real_data):
    mats = sorted((real_data / "shanghaitech").glob("part_A/test_data/ground*/GT_IMG_*.mat"))[:40]
    assert mats and all(labels.read_number(path) == len(labels.read_mat(path)) for path in mats)
