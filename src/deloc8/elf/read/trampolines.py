"""Code that is put on the stack and run there: gcc's trampolines, which give functions inside functions an address."""

from __future__ import annotations

import re

from deloc8.elf import constants as c
from deloc8.target import arch_of_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.view import View


def writes_trampolines(view: View) -> bool:
    """Whether a file has what gcc makes trampolines of, and so needs an executable stack.

    The machine's row has the pattern; nothing is known of code that others put on the stack.
    """
    header, layout = view.header, view.layout
    arch = arch_of_elf(header.e_machine, bits=layout.bits, little_endian=layout.little_endian, flags=header.e_flags)
    if arch is None or not arch.row.trampoline:
        return False
    pattern = re.compile(arch.row.trampoline, re.DOTALL)
    # The pieces are constants, which stand among the code or beside it.
    return any(
        view.has(pattern, segment.offset, segment.offset + segment.filesz)
        for segment in view.segments
        if segment.type == c.PT_LOAD and not segment.flags & c.PF_W
    )
