"""SimMIM in both forms: against the definition of the loss on an independent encoder, and what may
enter input and target.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.trials.test_encoders import reference_vit
from tests.trials.test_swin import scattered
from trials import SimMIM, build_encoder, count_parameters, get_recipe
from trials.models.decoders import TransformerDecoder
from trials.models.encoder import patchify, unpatchify
from trials.models.masking import draw_masks
from trials.models.mim_targets import normalise_by_window
from trials.models.simmim import simmim
from trials.recipes.fields import PretrainRecipe


def masks(images: int, units: int, ratio: float = 0.5, seed: int = 0) -> torch.Tensor:
    return draw_masks(images, units, ratio, torch.Generator().manual_seed(seed))


def test_loss_equals_the_definition_on_an_independent_encoder() -> None:
    """Mask tokens replace embeddings before positions; the transformer is vit_pytorch's; L1 on the
    masked pixels alone.
    """
    torch.manual_seed(2)
    model = SimMIM(build_encoder("viny/8@32")).eval()
    reference = reference_vit(model.encoder, 32, 8, classes=2)
    images = torch.randn(4, 3, 32, 32)
    masked = masks(4, 16)

    patches = reference.to_patch_embedding[0](images)
    tokens = reference.to_patch_embedding(images)
    for row, positions in enumerate(masked):
        tokens[row, positions] = model.mask_token
    encoded = reference.transformer(tokens + reference.pos_embedding[1:])
    errors = [(model.decoder(encoded[row, position]) - patches[row, position]).abs() for row in range(4) for position in masked[row].tolist()]
    torch.testing.assert_close(model(images, masked), torch.stack(errors).mean(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model(images, masked, per_image=True).mean(), model(images, masked))


# encoder, side of a mask unit: a patch, several, and of SwinV2 a token, four, a quarter, and
# squares that cut tokens
FORMS = [("pico/8@32", 0), ("pico/8@32", 16), ("swinv2-pico@64", 0), ("swinv2-pico@128", 64), ("swinv2-pico@64", 16), ("swinv2-pico@192", 48)]


def model_of(name: str, unit_px: int, **of: str) -> SimMIM:
    encoder = build_encoder(name)
    return SimMIM(scattered(encoder) if name.startswith("swinv2") else encoder, unit_px=unit_px, **of).eval()


@pytest.mark.parametrize("target", ["pixels", "window-normalised"])
@pytest.mark.parametrize(("name", "unit_px"), FORMS)
def test_loss_is_the_sum_over_masked_pixels_over_their_number_whatever_the_unit(name: str, unit_px: int, target: str) -> None:
    """sum(|x - x_hat| mask) / sum(mask) / 3, as SimMIM's code has it, from every pixel decoded."""
    torch.manual_seed(4)
    model = model_of(name, unit_px, target=target)
    side = model.encoder.image_px
    images, masked = torch.randn(2, 3, side, side), masks(2, model.units)
    with torch.no_grad():
        rebuilt = model.encoder.to_images(model.decoder(model.encode(images, masked)))
        hidden = model.hidden_pixels(masked).float()
        truth = normalise_by_window(images) if target == "window-normalised" else images
        loss = ((truth - rebuilt).abs() * hidden).sum() / hidden.sum() / 3
        torch.testing.assert_close(model(images, masked), loss, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model(images, masked, per_image=True).mean(), loss, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "unit_px"), FORMS)
def test_a_hidden_pixel_enters_the_target_alone_and_a_visible_one_the_input_alone(name: str, unit_px: int) -> None:
    torch.manual_seed(3)
    model = model_of(name, unit_px)
    side = model.encoder.image_px
    images, masked = torch.randn(1, 3, side, side), masks(1, model.units)
    hidden = model.hidden_pixels(masked)
    with torch.no_grad():
        prediction = model.predict(images, masked)
        other = torch.where(hidden, torch.randn_like(images), images)
        assert torch.equal(model.predict(other, masked), prediction)
        assert not torch.equal(model(other, masked), model(images, masked))
        seen = torch.where(hidden, images, torch.randn_like(images))
        assert not torch.equal(model.predict(seen, masked), prediction)
        # the target holds none of it: an encoder that tells nothing has the same loss
        model.decoder.weight.zero_()
        torch.testing.assert_close(model(seen, masked), model(images, masked), atol=1e-7, rtol=1e-6)


def test_visible_pixels_enter_the_target_never_and_the_input_only_if_visible() -> None:
    torch.manual_seed(3)
    model = SimMIM(build_encoder("pico/8@32")).eval()
    images = torch.randn(1, 3, 32, 32)
    masked = torch.tensor([[0, 5]])
    prediction = model.predict(images, masked)
    changed = patchify(images, 8).clone()
    changed[0, 5] = 9.0  # a masked patch: the model must not see it
    assert torch.equal(model.predict(unpatchify(changed, 8), masked), prediction)
    changed[0, 6] = 9.0  # a visible one: it must
    assert not torch.equal(model.predict(unpatchify(changed, 8), masked), prediction)


@pytest.mark.parametrize("name", ["pico/8@32", "swinv2-pico@64"])
def test_a_decoders_values_are_the_pixels_of_its_token_and_back(name: str) -> None:
    encoder = build_encoder(name)
    images = torch.randn(2, 3, encoder.image_px, encoder.image_px)
    patches = encoder.to_patches(images)
    assert patches.shape == (2, encoder.patches, encoder.patch_values)
    assert torch.equal(encoder.to_images(patches), images)


def test_swinv2s_values_are_in_the_order_of_a_convolution_before_a_pixel_shuffle() -> None:
    images = torch.randn(2, 3, 64, 64)
    patches = build_encoder("swinv2-pico@64").to_patches(images)
    assert torch.equal(patches[1, 2].view(3, 32, 32), images[1, :, 32:, :32])


@pytest.mark.parametrize("name", ["pico/8@32", "swinv2-pico@64"])
def test_a_reconstruction_keeps_what_is_seen_and_undoes_the_windows_normalisation(name: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, build_encoder(name).image_px, build_encoder(name).image_px)
    for target in ("pixels", "window-normalised"):
        model = model_of(name, 0, target=target)
        masked = masks(2, model.units)
        truth = model.encoder.to_patches(normalise_by_window(images) if target == "window-normalised" else images)
        hidden = model.hidden_pixels(masked).expand_as(images)
        rebuilt = model.reconstruct(images, masked)
        assert torch.equal(rebuilt[~hidden], images[~hidden])
        assert not torch.allclose(rebuilt[hidden], images[hidden], atol=0.1)
        chosen = model._decoded(masked)
        right = truth.gather(1, chosen[..., None].expand(-1, -1, truth.shape[-1]))
        model.predict = lambda images, masked, right=right: right  # a perfect prediction gives the image back
        torch.testing.assert_close(model.reconstruct(images, masked), images, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "two-layer", "transformer"])
@pytest.mark.parametrize(("name", "unit_px"), [("pico/8@32", 0), ("swinv2-pico@64", 16)])
def test_every_decoder_learns_and_grows_in_the_order_named(kind: str, name: str, unit_px: int) -> None:
    torch.manual_seed(0)
    model = SimMIM(build_encoder(name), unit_px=unit_px, decoder=kind)
    side = model.encoder.image_px
    images, masked = torch.rand(4, 3, side, side), masks(4, model.units)
    before = float(model(images, masked).detach())
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(10):
        loss = model(images, masked)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert float(loss.detach()) < before
    own = {p: count_parameters(SimMIM(build_encoder(name), decoder=p).decoder) for p in ("linear", "two-layer", "transformer")}
    assert own["two-layer"] > own["linear"]
    assert isinstance(model.decoder, {"linear": nn.Linear, "two-layer": nn.Sequential, "transformer": TransformerDecoder}[kind])


def test_a_transformer_decoder_sees_all_tokens_and_knows_their_places() -> None:
    torch.manual_seed(0)
    decoder = TransformerDecoder(dim=64, values=5, side=4)
    tokens = torch.randn(1, 16, 64)
    chosen = torch.tensor([[3, 9]])
    said = decoder(tokens, chosen)
    torch.testing.assert_close(said, decoder(tokens, None)[:, [3, 9]])
    other = tokens.clone()
    other[0, 12] = 0.0
    assert not torch.allclose(decoder(other, chosen), said)
    torch.testing.assert_close(decoder(torch.zeros(1, 16, 64), None).std(dim=1).gt(1e-4), torch.ones(1, 5, dtype=torch.bool))


def test_recipes_name_the_second_papers_form_and_leave_the_first_as_it_was() -> None:
    swin, compact = get_recipe("pretrain", "simmim-swinv2"), get_recipe("pretrain", "compact")
    assert isinstance(swin, PretrainRecipe)
    assert isinstance(compact, PretrainRecipe)
    assert swin.learning_rate == pytest.approx(1e-4 * swin.batch_images / 512)
    torch.manual_seed(0)
    model = simmim(swin, build_encoder("swinv2-pico"))
    assert model.draw_masks(3, swin, torch.Generator().manual_seed(0)).shape == (3, 22)  # of 36
    assert model.by_window
    assert float(model.mask_token.detach().std()) < 0.04
    patches = simmim(swin, build_encoder("pico/16@224"))
    assert (patches.units, patches.unit_px) == (49, 32)
    first = simmim(compact, build_encoder("viny/16@128"))
    assert (first.units, first.by_window, count_parameters(first)) == (64, False, 4_942_080)
