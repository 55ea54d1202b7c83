"""A JPEG written and opened, text drawn, and every optional library answering."""

from __future__ import annotations

import io

from mapped import assert_grafted
from PIL import Image, ImageDraw, ImageFont, features

image = Image.new("RGB", (64, 48), "white")
ImageDraw.Draw(image).rectangle((8, 8, 40, 40), fill=(200, 30, 30))
for name in ("JPEG", "WEBP", "TIFF", "JPEG2000", "PNG"):
    written = io.BytesIO()
    image.save(written, name)
    opened = Image.open(io.BytesIO(written.getvalue()))
    opened.load()
    assert (opened.format, opened.size) == (name, (64, 48)), name
    red, green, blue = opened.convert("RGB").getpixel((24, 24))
    assert abs(red - 200) < 12, name
    assert max(abs(green - 30), abs(blue - 30)) < 12, name

for feature in (
    "jpg",
    "jpg_2000",
    "libtiff",
    "webp",
    "freetype2",
    "littlecms2",
    "raqm",
    "libimagequant",
    "xcb",
    "zlib",
):
    assert features.check(feature), feature

ImageDraw.Draw(image).text((4, 4), "deloc8", fill="black", font=ImageFont.load_default(12))
assert image.quantize(8, method=Image.Quantize.LIBIMAGEQUANT).mode == "P"
assert_grafted("pillow.libs", "libjpeg", "libwebp", "libtiff", "libfreetype")
print("worked")
