"""Whether pygame's mixer finds libmodplug, which SDL_mixer opens by name, and reads a module with it."""

import io
import os

os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"

import pygame.mixer

# A ProTracker module: title, 31 samples of which one has 64 words, an order of one pattern, 64 rows for 4 channels.
sample = b"tone".ljust(22, b"\0") + b"\0\x40" + b"\0\x40" + b"\0\0\0\1"
samples = sample + (b"\0" * 28 + b"\0\1") * 30
rows = b"\x01\xac\x10\0" + b"\0" * (64 * 4 * 4 - 4)
module = b"tone".ljust(20, b"\0") + samples + b"\x01\x7f" + b"\0" * 128 + b"M.K." + rows + b"\x40\xc0" * 64
pygame.mixer.init()
pygame.mixer.music.load(io.BytesIO(module), "mod")
print("worked")
