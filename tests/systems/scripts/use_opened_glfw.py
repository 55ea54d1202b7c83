"""Whether GLFW finds OSMesa, which it opens by name, and makes a context with it, without a display."""

import os

os.environ["PYGLFW_LIBRARY_VARIANT"] = "x11"

import glfw

glfw.init_hint(glfw.PLATFORM, glfw.PLATFORM_NULL)
assert glfw.init()
glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.OSMESA_CONTEXT_API)
window = glfw.create_window(64, 64, "", None, None)
assert window, "OSMesa was not found"
glfw.make_context_current(window)
print("worked")
