"""Whether Pillow finds fribidi, which its module opens by name, and lays out Hebrew from right to left with it."""

from PIL import features

assert features.check("fribidi"), "fribidi was not found"
print("worked")
