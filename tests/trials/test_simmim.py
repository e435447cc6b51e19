"""SimMIM against vit_pytorch's encoder and the definition of the loss, and what masks must be."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trials.test_encoders import reference_vit
from trials import SimMIM, build_encoder
from trials.encoders import patchify
from trials.simmim import draw_masks, masked_count


def test_loss_equals_the_definition_on_an_independent_encoder() -> None:
    """Mask tokens replace embeddings before positions; the transformer is vit_pytorch's; L1 on the masked pixels alone."""
    torch.manual_seed(2)
    model = SimMIM(build_encoder("viny/8@32")).eval()
    reference = reference_vit(model.encoder, 32, 8, classes=2)
    images = torch.randn(4, 3, 32, 32)
    masked = draw_masks(4, 16, 0.5, torch.Generator().manual_seed(0))

    patches = reference.to_patch_embedding[0](images)
    tokens = reference.to_patch_embedding(images)
    for row, positions in enumerate(masked):
        tokens[row, positions] = model.mask_token
    encoded = reference.transformer(tokens + reference.pos_embedding[1:])
    errors = [(model.decoder(encoded[row, position]) - patches[row, position]).abs() for row in range(4) for position in masked[row].tolist()]
    torch.testing.assert_close(model(images, masked), torch.stack(errors).mean(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model(images, masked, per_image=True).mean(), model(images, masked))


def test_visible_pixels_enter_the_target_never_and_the_input_only_if_visible() -> None:
    torch.manual_seed(3)
    model = SimMIM(build_encoder("pico/8@32")).eval()
    images = torch.randn(1, 3, 32, 32)
    masked = torch.tensor([[0, 5]])
    prediction = model.predict(images, masked)
    changed = patchify(images, 8).clone()
    changed[0, 5] = 9.0  # a masked patch: the model must not see it
    from trials.encoders import unpatchify

    assert torch.equal(model.predict(unpatchify(changed, 8), masked), prediction)
    changed[0, 6] = 9.0  # a visible one: it must
    assert not torch.equal(model.predict(unpatchify(changed, 8), masked), prediction)


@given(images=st.integers(1, 5), side=st.integers(2, 9), ratio=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_every_image_has_the_same_number_of_distinct_masked_patches(images: int, side: int, ratio: float, seed: int) -> None:
    patches = side**2
    masks = draw_masks(images, patches, ratio, torch.Generator().manual_seed(seed))
    assert masks.shape == (images, masked_count(patches, ratio))
    assert all(len(set(row)) == len(row) for row in masks.tolist())
    assert 1 <= masks.shape[1] < patches
    assert int(masks.max()) < patches


def test_the_papers_count_of_masked_patches() -> None:
    assert masked_count(64, 0.5) == 32
