"""How people stand, walk and sit, as directions of their bones.

Directions are in the axes of the body: x to the person's left, y up, z forwards. All angles vary from person to person.
"""

import dataclasses

import numpy as np

from cc_jax.tools.people import body

DOWN = np.array([0.0, -1.0, 0.0])


@dataclasses.dataclass
class Pose:
    """Directions of bones and rotations before them, as `BodyModel.posed` takes them; and what the hands hold."""

    directions: dict[str, np.ndarray]
    turns: dict[str, np.ndarray]
    holds: str = ""


def _direction(x: float, y: float, z: float) -> np.ndarray:
    vector = np.array([x, y, z])
    return vector / np.linalg.norm(vector)


def _legs_standing(rng: np.random.Generator, pose: Pose) -> None:
    spread = rng.uniform(0.03, 0.16)
    for side, sign in (("l", 1), ("r", -1)):
        forward = rng.normal(0, 0.05)
        pose.directions[f"thigh_{side}"] = _direction(sign * spread, -1, forward)
        pose.directions[f"calf_{side}"] = _direction(sign * spread * 0.7, -1, forward - rng.uniform(0, 0.1))


def _legs_walking(rng: np.random.Generator, pose: Pose) -> None:
    stride = rng.uniform(0.25, 0.5) * rng.choice([-1, 1])
    for side, sign in (("l", 1), ("r", -1)):
        forward = sign * stride
        pose.directions[f"thigh_{side}"] = _direction(sign * 0.05, -1, forward)
        bend = rng.uniform(0.0, 0.15) if forward > 0 else rng.uniform(0.25, 0.7)
        pose.directions[f"calf_{side}"] = _direction(sign * 0.03, -1, forward - bend)


def _legs_sitting(rng: np.random.Generator, pose: Pose) -> None:
    apart = rng.uniform(0.05, 0.35)
    for side, sign in (("l", 1), ("r", -1)):
        pose.directions[f"thigh_{side}"] = _direction(sign * apart, rng.uniform(-0.25, 0.05), 1)
        pose.directions[f"calf_{side}"] = _direction(sign * rng.normal(0.05, 0.08), -1, rng.normal(0, 0.2))


def _arm_hanging(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    swing = rng.normal(0, 0.12)
    return _direction(sign * rng.uniform(0.12, 0.28), -1, swing), _direction(
        sign * rng.uniform(0.0, 0.2), -1, swing + rng.uniform(0.05, 0.35)
    )


def _arm_in_pocket(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.4, -1, -0.25), _direction(-sign * rng.uniform(0.1, 0.3), -1, 0.5)


def _arm_folded(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.25, -1, rng.uniform(0.1, 0.3)), _direction(
        -sign * 0.9, rng.uniform(-0.1, 0.25), 0.45
    )


def _arm_at_phone(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.25, -1, 0.25), _direction(-sign * 0.35, rng.uniform(0.1, 0.7), 0.9)


def _arm_up(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * rng.uniform(0.3, 1.0), rng.uniform(0.2, 1), rng.uniform(0, 0.4)), _direction(
        sign * rng.normal(0.0, 0.3), 1, rng.uniform(-0.1, 0.4)
    )


def _arm_photographing(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.35, rng.uniform(-0.35, 0.35), 1), _direction(
        -sign * 0.35, rng.uniform(0.5, 1.2), 0.55
    )


def _arm_on_hip(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.8, -1, -0.2), _direction(-sign * 0.9, -0.6, 0.3)


def _arm_in_lap(rng: np.random.Generator, sign: int) -> tuple[np.ndarray, np.ndarray]:
    return _direction(sign * 0.15, -1, rng.uniform(0.2, 0.5)), _direction(
        -sign * rng.uniform(0, 0.4), rng.uniform(-0.5, 0), 1
    )


# Name of a way to hold the arms -> (share among standing people, left arm, right arm).
_ARMS = {
    "hanging": (0.475, _arm_hanging, _arm_hanging),
    "pockets": (0.12, _arm_in_pocket, _arm_in_pocket),
    "folded": (0.08, _arm_folded, _arm_folded),
    "phone": (0.09, _arm_hanging, _arm_at_phone),
    "photographing": (0.07, _arm_photographing, _arm_photographing),
    "one up": (0.05, _arm_hanging, _arm_up),
    "up": (0.06, _arm_up, _arm_up),
    "hip": (0.03, _arm_on_hip, _arm_hanging),
    "umbrella": (0.025, _arm_hanging, _arm_at_phone),
}


def sample(rng: np.random.Generator, activity: str) -> Pose:
    """A pose.

    Args:
      rng: source of randomness.
      activity: "stand", "walk" or "sit".
    """
    pose = Pose({}, {})
    {"stand": _legs_standing, "walk": _legs_walking, "sit": _legs_sitting}[activity](rng, pose)
    if activity == "sit" and rng.random() < 0.7:
        left = right = _arm_in_lap
    else:
        names = list(_ARMS)
        shares = np.array([_ARMS[name][0] for name in names])
        if activity == "walk":
            shares = shares * [3, 0.7, 0, 0.7, 0.2, 0.3, 0.1, 0.2, 1.5]
        pose.holds = str(rng.choice(names, p=shares / shares.sum()))
        _, left, right = _ARMS[pose.holds]
        if rng.random() < 0.5 and left is not right:
            left, right = right, left
    for side, sign, arm in (("l", 1, left), ("r", -1, right)):
        pose.directions[f"upperarm_{side}"], pose.directions[f"lowerarm_{side}"] = arm(rng, sign)
    lean = rng.normal(8 if activity == "walk" else 2, 4)
    pose.turns["spine_01"] = body.turn("x", lean)
    pose.turns["spine_02"] = body.turn("y", rng.normal(0, 5)) @ body.turn("z", rng.normal(0, 2))
    nod = rng.normal(25, 10) if pose.holds == "phone" else rng.normal(3, 9)
    pose.turns["neck_01"] = body.turn("x", nod * 0.4) @ body.turn("y", rng.normal(0, 9))
    pose.turns["head"] = body.turn("x", nod * 0.6) @ body.turn("y", rng.normal(0, 14))
    return pose
