"""Names settings that always change together."""

from __future__ import annotations


def joint_name(first: str, second: str) -> str:
    """Two names as one: 'pre-training recipe' and 'fine-tuning recipe' are 'pre-training and
    fine-tuning recipe'; 'intermediate images' and 'intermediate data' 'intermediate images and data'.
    """
    one, other = first.split(), second.split()
    if len(one) == len(other) == 2 and one[1] == other[1]:
        return f"{one[0]} and {second}"
    if len(other) > 1 and one[0] == other[0]:
        return f"{first} and {' '.join(other[1:])}"
    return f"{first} and {second}"
