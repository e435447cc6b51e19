"""All stages of a study diagnosed: what is measured, on which, and what is written where."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trials.data.augmentation import normalise
from trials.data.mask_classes import TRIMAP
from trials.data.pictures import evenly_spaced
from trials.diagnostics.attention import Reach, encode, uniform_reach_px
from trials.diagnostics.encoder_of_stage import root_of, trained_encoder, untrained_encoder
from trials.diagnostics.geometry import effective_rank, similarity_by_distance, variances
from trials.diagnostics.heldout import Heldout, Labelled, choose_heldout
from trials.diagnostics.probe import PENALTY, majority_classes, probe
from trials.diagnostics.similarity import central_patch, heat_map, linear_cka, outlined, similarity_to
from trials.errors import InputError, StageError
from trials.models.encoder import Encoder
from trials.objectives.examples import write_examples
from trials.received_files import check_stage_ids
from trials.spec import StageSpec
from trials.stage_files import read_json, read_result, refuse_links, write_json

FORMAT = 1
IMAGES = 200
HEAT_MAPS = 5
Tokens = tuple[Tensor, Reach]


class Diagnosis:
    """A study folder, its stores, and the images to measure on. Nothing is measured until a stage
    is asked for.
    """

    def __init__(self, study: Path, store: Path, *, images: int = IMAGES, device: torch.device | None = None) -> None:
        plan = read_json(study / "plan.json")
        if not isinstance(plan, dict) or not isinstance(plan.get("stages"), list):
            raise InputError(f"{study} holds no plan.json that can be read, so it is no study folder: name one under runs/.")
        if (study / "stages").is_symlink():
            raise InputError(f"{study / 'stages'} is a link, which may lead out of the study: put the folder itself there.")
        if images < 2:
            raise InputError(f"--images is {images}: give at least 2, for a variance across images needs two.")
        self._study, self._store, self._images = study, store, images
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            check_stage_ids(plan)
            self.specs = {str(stage["id"]): StageSpec.from_dict(stage["spec"]) for stage in plan["stages"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{study / 'plan.json'} is of another version ({str(error)[:200]}): launch its grid again to write it anew.") from None
        # a chain's parent is asked for by each of its children, and an untrained encoder by each
        # stage of its seed
        self._heldout = lru_cache(maxsize=4)(self._heldout_of)
        self._untrained_tokens = lru_cache(maxsize=8)(self._encode_untrained)
        self._untrained_numbers = lru_cache(maxsize=64)(self._measure_untrained)
        self._tokens = lru_cache(maxsize=4)(self._encode_stage)

    def stages(self) -> list[str]:
        """The finished pre-training and intermediate stages, parents first, seeds together."""
        wanted = [i for i, spec in self.specs.items() if spec.kind in ("pretrain", "intermediate") and read_result(self._folder(i)) is not None]
        return sorted(wanted, key=lambda i: (self.specs[i].seed, root_of(i, self.specs).data.train_images, self.specs[i].kind != "pretrain", i))

    def run(self, identity: str) -> bool:
        """Write a stage's diagnostics; False where they are there already, for the same weights and
        settings.

        Raises:
            InputError, StageError: a store or weights are missing or not those of the study.
        """
        spec, folder = self.specs[identity], self._folder(identity)
        result, above = read_result(folder), read_result(self._folder(spec.parent)) if spec.parent else None
        if result is None:
            raise StageError(f"The stage {identity} is not done: launch the grid again to run it first.")
        refuse_links(folder)
        heldout = self._heldout(spec.data.image_px)
        made_of = {
            "format": FORMAT,
            "id": identity,
            "kind": spec.kind,
            "encoder": spec.encoder,
            "seed": spec.seed,
            "weights_sha256": result["weights_sha256"],
            "parent": spec.parent,
            "parent_weights_sha256": above["weights_sha256"] if above else None,
            "settings": {
                "images": self._images,
                "heat_maps": HEAT_MAPS,
                "probe_penalty": PENALTY,
                "data": heldout.source | {"test_images": len(heldout.test.images)},
            },
        }
        there = read_json(folder / "diagnostics.json")
        if isinstance(there, dict) and {key: there.get(key) for key in made_of} == made_of and (folder / "diagnostics" / "index.json").exists():
            return False
        root = root_of(identity, self.specs)
        image_px = spec.data.image_px  # of which a chain's stages may have several: an encoder is measured at its own, its forebears at that too
        key = (root.encoder, root.recipe.positions, root.seed, image_px)
        tokens, reach = self._tokens(identity, image_px)
        untrained, _ = self._untrained_tokens(*key)
        numbers = self._measure(tokens, reach, trained_encoder(folder, spec, image_px), heldout)
        cka = {"parent": linear_cka(tokens, self._tokens(spec.parent, image_px)[0]) if spec.parent else None, "random": linear_cka(tokens, untrained)}
        self._write_heat_maps(folder, tokens, untrained, heldout)
        values = made_of | {"device": self._device.type, "no_probe": heldout.no_probe, **numbers, "cka": cka}
        write_json(folder / "diagnostics.json", values | {"random": self._untrained_numbers(*key)})
        return True

    def _folder(self, identity: str) -> Path:
        return self._study / "stages" / identity

    def _heldout_of(self, image_px: int) -> Heldout:
        return choose_heldout(list(self.specs.values()), self._store, image_px=image_px, images=self._images)

    def _encode(self, encoder: Encoder, heldout: Heldout) -> Tokens:
        images = normalise(torch.from_numpy(np.array(heldout.test.images)).to(self._device))
        return encode(encoder.to(self._device), images)

    def _encode_stage(self, identity: str, image_px: int) -> Tokens:
        return self._encode(trained_encoder(self._folder(identity), self.specs[identity], image_px), self._heldout(image_px))

    def _encode_untrained(self, *key: Any) -> Tokens:
        return self._encode(untrained_encoder(self._root(key), key[3]), self._heldout(key[3]))

    def _measure_untrained(self, *key: Any) -> dict[str, Any]:
        tokens, reach = self._untrained_tokens(*key)
        return self._measure(tokens, reach, untrained_encoder(self._root(key), key[3]), self._heldout(key[3]))

    def _root(self, key: tuple[Any, ...]) -> StageSpec:
        roots = (root_of(identity, self.specs) for identity in self.specs)
        return next(s for s in roots if (s.encoder, s.recipe.positions, s.seed) == key[:3])

    def _measure(self, tokens: Tensor, reach: Reach, encoder: Encoder, heldout: Heldout) -> dict[str, Any]:
        return {
            "measures": variances(tokens) | {"effective_rank": effective_rank(tokens), "dim": encoder.dim, "patches": encoder.patches},
            "similarity_by_distance": similarity_by_distance(tokens),
            "attention_distance_px": reach,
            "uniform_attention_distance_px": uniform_reach_px(encoder),
            "probe": self._probe(encoder, tokens, heldout),
        }

    def _probe(self, encoder: Encoder, tokens: Tensor, heldout: Heldout) -> dict[str, float | int] | None:
        if heldout.probe_train is None:
            return None
        images = normalise(torch.from_numpy(np.array(heldout.probe_train.images)).to(self._device))
        seen, _ = encode(encoder.to(self._device), images)
        classes = [self._classes(part, encoder.stride_px) for part in (heldout.probe_train, heldout.test)]
        return probe(seen, classes[0], tokens, classes[1], classes=len(TRIMAP))

    def _classes(self, labelled: Labelled, patch_px: int) -> Tensor:
        assert labelled.masks is not None, "a probe needs masks"
        return majority_classes(torch.from_numpy(np.array(labelled.masks)), patch_px, len(TRIMAP)).to(self._device)

    def _write_heat_maps(self, folder: Path, tokens: Tensor, untrained: Tensor, heldout: Heldout) -> None:
        query = central_patch(tokens.shape[1])
        patch_px = round(heldout.test.images.shape[1] / tokens.shape[1] ** 0.5)
        chosen = [int(p) for p in evenly_spaced(len(tokens), HEAT_MAPS)]
        rows = [
            [
                outlined(np.array(heldout.test.images[p]), query, patch_px=patch_px),
                *(heat_map(similarity_to(of[p], query).cpu().numpy(), patch_px=patch_px) for of in (tokens, untrained)),
            ]
            for p in chosen
        ]
        items = [{"caption": f"held-out image {heldout.test_positions[p]}"} for p in chosen]
        write_examples(folder, columns=["image", "similarity", "untrained encoder"], rows=rows, items=items, into="diagnostics")


def diagnose(study: Path, store: Path, *, images: int = IMAGES, say: Callable[[str], None] = lambda text: None) -> list[str]:
    """Diagnose every finished pre-training and intermediate stage; returns the sentences of those
    that could not be.

    Raises:
        InputError: the study or a store cannot be used at all.
    """
    diagnosis = Diagnosis(study, store, images=images)
    stages, problems = diagnosis.stages(), []
    for number, identity in enumerate(stages, start=1):
        try:
            said = "measured" if diagnosis.run(identity) else "there already"
        except StageError as error:
            problems.append(str(error))
            said = f"failed: {error}"
        say(f"{number} of {len(stages)}  {identity}  {said}")
    if not stages:
        say("No pre-training or intermediate stage is finished, so there is nothing to measure.")
    return problems
