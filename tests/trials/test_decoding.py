"""Each odd kind of image is decoded as stated, in bounded memory, or is broken for one stated
reason.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trials.odd_images import bomb, encoded, ramp, rotated, sixteen_bit, usable
from trials.data import decoding
from trials.data.decoding import Broken, fit_short, quiet_pillow, read_picture


def read(folder: Path, data: bytes, name: str = "image.png") -> decoding.Picture:
    (folder / name).write_bytes(data)
    return read_picture(folder / name)


KINDS = {
    "plain.png": (),
    "plain.jpg": (),
    "plain.bmp": (),
    "plain.webp": (),
    "progressive.jpg": (),
    "grey.jpg": ("greyscale",),
    "bit.png": ("greyscale",),
    "grey16.png": ("16-bit grey",),
    "cmyk.jpg": ("CMYK",),
    "palette.gif": ("palette",),
    "palette.png": ("palette", "transparency dropped"),
    "palette.bmp": ("palette",),
    "clear.png": ("transparency dropped",),
    "clear.webp": ("transparency dropped",),
    "moving.gif": ("palette", "first of several frames"),
    "moving.png": ("first of several frames",),
    "moving.webp": ("first of several frames",),
    "rotated.jpg": ("EXIF orientation not applied",),
}


def test_every_kind_is_tested() -> None:
    assert set(KINDS) == set(usable())


@pytest.mark.parametrize("name", KINDS)
def test_an_odd_image_gives_the_pixels_of_pillows_own_conversion_and_says_its_kind(tmp_path: Path, name: str) -> None:
    picture = read(tmp_path, usable()[name], name)
    assert picture.conversions == KINDS[name]
    assert picture.image.mode == "RGB"
    if name != "grey16.png":
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(usable()[name])) as image:
            assert np.array_equal(np.asarray(picture.image), np.asarray(image.convert("RGB")))


def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.asarray(read(tmp_path, sixteen_bit()).image)[..., 1].ravel()
    assert np.array_equal(values, np.round(np.linspace(0, 65_535, values.size).astype(np.uint16) / 257))


def test_what_a_file_holds_counts_not_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, usable()["palette.gif"], "really_a_gif.jpg").conversions == ("palette",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"no image at all", "is no JPEG, PNG, GIF, BMP or WebP image that can be read"),
        (encoded(ramp(), "TIFF"), "is no JPEG, PNG, GIF, BMP or WebP image that can be read"),
        (encoded(ramp(), "EPS"), "is no JPEG, PNG, GIF, BMP or WebP image that can be read"),
        (encoded(ramp(), "PNG")[:-40], "image file is truncated"),
        (encoded(ramp(), "JPEG")[:-60], "image file is truncated"),
        (usable()["palette.gif"][:-60], "image file is truncated"),
        (bomb(), "holds more than the 178,956,970 pixels that are decoded whole; make it smaller"),
        (bomb(13_400), "is 13,400 x 13,400 px, more than the 178,956,970 pixels that are decoded whole; make it smaller"),
    ],
    ids=["empty", "text", "tiff", "eps", "short png", "short jpeg", "short gif", "bomb", "small bomb"],
)
def test_a_broken_image_says_why(tmp_path: Path, data: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why.startswith("is 13,400"):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some programs set it: the bound is ours
    with pytest.raises(Broken, match=why):
        read(tmp_path, data)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, why in (("pipe.png", "is no file"), ("folder.png", "is no file"), ("absent.png", "No such file or directory")):
        with pytest.raises(Broken, match=why):
            read_picture(tmp_path / name)


def test_a_huge_jpeg_is_decoded_smaller_and_a_progressive_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    monkeypatch.setattr(decoding, "WHOLE_PIXELS", 100_000)
    monkeypatch.setattr(decoding, "DRAFT_PIXELS", 25_000)
    for limit in (None, 100_000):  # Pillow's own limit, passed over where it strikes first
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        picture = read(tmp_path, encoded(image, "JPEG", quality=95))
        assert picture.conversions == ("huge JPEG decoded at 1/4",)
        assert picture.image.size == (160, 120)
        assert np.abs(np.asarray(picture.image, int) - np.asarray(image.resize((160, 120), Image.Resampling.BOX), int)).max() < 4
        with pytest.raises(Broken, match="is 640 x 480 px and progressive, more than"):
            read(tmp_path, encoded(image, "JPEG", progressive=True))
    monkeypatch.setattr(decoding, "JPEG_PIXELS", 200_000)
    with pytest.raises(Broken, match="is 640 x 480 px, more than the 200,000 pixels that are read of a JPEG"):
        read(tmp_path, encoded(image, "JPEG"))


def test_a_strip_does_not_fill_the_memory(tmp_path: Path) -> None:
    strip = Image.new("RGB", (60_000, 1), (9, 9, 9))
    strip.paste((200, 0, 0), (29_990, 0, 30_010, 1))
    kept, _ = fit_short(strip, None, 64)  # brought up to 64 px it would be 3,840,000 px wide
    assert kept.size == (60_000, 1)


def test_trimaps_must_fit_their_image(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(rotated())
    trimap = tmp_path / "trimap.png"

    def trimap_of(values: np.ndarray) -> np.ndarray | None:
        Image.fromarray(values).save(trimap)
        return read_picture(tmp_path / "image.jpg", trimap).mask

    fine = np.full((20, 24), 3, np.uint8)
    fine[:5] = 1
    assert np.array_equal(trimap_of(fine), fine - 1)  # and the EXIF turn of the image is left alone
    with pytest.raises(Broken, match=r"trimap .*trimap.png is 20 x 24 px, but its image is 24 x 20"):
        trimap_of(fine.T.copy())
    for wrong in (fine - 1, fine + 1, fine.astype(np.uint16) * 256, np.stack([fine] * 3, axis=-1)):
        with pytest.raises(Broken, match=r"trimap .*trimap.png holds values outside 1 pet, 2 background, 3 border"):
            trimap_of(wrong)
    trimap.unlink()
    with pytest.raises(Broken, match=r"trimap .*trimap.png No such file or directory"):
        read_picture(tmp_path / "image.jpg", trimap)


def test_pillows_warnings_are_silent_and_others_are_not() -> None:
    from PIL import JpegImagePlugin

    with quiet_pillow():
        exec(compile("import warnings; warnings.warn('side information')", "x", "exec"), vars(JpegImagePlugin) | {"__warningregistry__": {}})
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)
