"""Wheels whose extension module and library ask for much of a loader, by any linker and with any flags."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kit.compile import Toolchain, build
from kit.machines import EXAMPLES
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORK = Path(__file__).with_name("oldloader_work.c")
_LIBRARY = f'#define PREFIX(name) work_##name\n#include "{_WORK}"\n'
_EXTENSION = f"""
#define PREFIX(name) core_##name
#include "{_WORK}"
#include "stable_abi.h"
extern int work_line(char *text, size_t size);

static PyObject *run(PyObject *module, PyObject *arguments)
{{
    char text[1024];
    int length = core_line(text, 500);
    text[length] = '\\n';
    work_line(text + length + 1, 500);
    return PyUnicode_FromString(text);
}}
static PyMethodDef methods[] = {{{{"run", run, METH_VARARGS, ""}}, {{NULL, NULL, 0, NULL}}}};
static PyModuleDef_Slot slots[] = {{{{0, NULL}}}};
static struct PyModuleDef definition = {{
    PyModuleDef_HEAD_INIT, "_core", "", 0, methods, slots, NULL, NULL, NULL,
}};
PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) {{ return PyModuleDef_Init(&definition); }}
"""

LINE = (
    "letters 51 sum 40 init 5 ifunc 42 thread 10 7 exp 7.389 dlsym 1 fstat 0 stat 0 same 1 fcntl 1 "
    "random 16 entropy 0 fork 0 nowhere 0"
)
"""What both tell on glibc 2.17; `fork` is 1 from 2.34 on."""


def build_old_wheel(linker: str, flags: Sequence[str], folder: Path) -> Path:
    """A wheel with an extension module; the library that it needs is in `libraries` of the folder."""
    toolchain = Toolchain("gcc", linker)
    options = (f"-I{EXAMPLES / 'greeting'}", "-D_FILE_OFFSET_BITS=64", *flags)
    if linker == "mold":
        options += ("-DLOSES_WEAKNESS",)
    system = (Path("-lm"), Path("-lpthread"), Path("-ldl"))
    library = build(_LIBRARY, toolchain, options=("-Wl,-soname,libwork.so.1", *options), inputs=system)
    (folder / "libraries").mkdir()
    copied = Path(shutil.copy(library, folder / "libraries/libwork.so.1"))
    core = build(_EXTENSION, toolchain, options=("-Wl,-soname,_core.abi3.so", *options), inputs=(copied, *system))
    members = {"old/__init__.py": b"from ._core import run\n", "old/_core.abi3.so": core.read_bytes()}
    return build_wheel(folder, members, name="old", tags=("cp38-abi3-linux_x86_64",))
