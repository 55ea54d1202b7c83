"""Machines: one row for each, with everything that differs between them.

Whoever adds a machine adds a member to `Arch` and a row to `ROWS`, and the policies and tables of data that name it.
"""

from __future__ import annotations

import enum

from deloc8.values import NamedTuple


class Arch(enum.Enum):
    """A machine that the policies know; the value is its name in platform tags."""

    X86_64 = "x86_64"
    I686 = "i686"
    AARCH64 = "aarch64"
    ARMV7L = "armv7l"
    PPC64LE = "ppc64le"
    PPC64 = "ppc64"
    S390X = "s390x"
    RISCV64 = "riscv64"
    LOONGARCH64 = "loongarch64"

    @property
    def row(self) -> MachineRow:
        """All that is known of the machine."""
        return _ROW_OF[self._value_]

    @property
    def largest_page(self) -> int:
        """The largest page, in bytes, that a kernel for this machine may use."""
        return self.row.largest_page

    @property
    def bits(self) -> int:
        """The width of a pointer."""
        return self.row.bits


class MachineRow(NamedTuple):
    """Facts about one machine.

    Attributes:
        arch: The machine.
        number: e_machine (the ELF specification and its processor supplements).
        bits: The class of its files: the width of a pointer.
        little_endian: The byte order of its files.
        triplet: GNU's name of it, which the names of cross tools begin with.
        multiarch: Debian's name of its library folders, as `gcc -print-multiarch` prints it.
        debian: Debian's name of it, as `dpkg --print-architecture` prints it.
        suffix_machines: How a platform begins in the file names of CPython's extension modules
            (Misc/platform_triplet.c); Android has names of its own.
        loader: The path of glibc's dynamic loader (shlib-versions of glibc): the ABI fixes it for every distribution.
        cache_flags: The flags of its libraries in ld.so.cache (sysdeps/generic/ldconfig.h): FLAG_ELF_LIBC6 with the
            bits of the machine and its ABI.
        musl: Its name in musl, whose loader is ld-musl-NAME.so.1.
        alpine: Its name in Alpine, where the soname of libc is libc.musl-NAME.so.1.
        relative: The number of the relocation that adds the load address (psABI, R_*_RELATIVE).
        pointers: Those that store the address of a symbol as a whole pointer: R_*_GLOB_DAT and the absolute word.
        other_names: More names of it in platform tags and of `uname -m`.
        android: Its name in Android's platform tags (PEP 738); None where Android does not run on it.
        platform: AT_PLATFORM of the oldest processor that distributions support, for `$PLATFORM`; None for none.
        wide_folders: The folders of its libraries beside `lib` where Debian's are not used, the first one first.
        largest_page: The linkers' maximum page size; kernels are configured with pages up to that.
        has_addends: Whether its relocations have addends of their own (psABI).
        hash_bits: The width of a word of DT_HASH (ELF supplement of the machine).
        executable_stack: Whether glibc assumes an executable stack where PT_GNU_STACK is missing
            (sysdeps/*/stackinfo.h).
        trampoline: A pattern of what gcc copies, or writes word by word, onto the stack to give a nested function an
            address (TRAMPOLINE_TEMPLATE and trampoline_init of gcc/config/*); empty where it is not known.
        has_plt_marks: Whether its relocations of the PLT can be marked for a newer ld.so (DT_X86_64_PLT).
        has_fixed_dynamic: Whether its ld.so has never written to the dynamic section (DL_RO_DYN_SECTION).
        kernel_library: The soname of what the kernel maps into every process (vdso(7)); no file has it.
        hwcaps: The levels of its processors that have a folder below `glibc-hwcaps`, the best first
            (sysdeps/*/dl-hwcaps-subdirs.c of glibc 2.42).
        old_hwcaps: The folders that glibc searched until 2.36, as its `ld.so --help` lists them: for all processors,
            for single features, and for AT_PLATFORM.
        old_levels: Of those the ones of newer processors, each with the level of `hwcaps` that these have.
        flags_mask: The bits of e_flags that tell a machine with another float ABI.
        flags: What those bits must be.
    """

    arch: Arch
    number: int
    bits: int
    little_endian: bool
    triplet: str
    multiarch: str
    debian: str
    suffix_machines: tuple[str, ...]
    loader: str
    cache_flags: tuple[int, ...]
    musl: str
    alpine: str
    relative: int
    pointers: frozenset[int]
    other_names: tuple[str, ...] = ()
    android: str | None = None
    platform: str | None = None
    wide_folders: tuple[str, ...] = ("lib64",)
    largest_page: int = 0x1000
    has_addends: bool = True
    hash_bits: int = 32
    executable_stack: bool = False
    trampoline: bytes = b""
    has_plt_marks: bool = False
    has_fixed_dynamic: bool = False
    kernel_library: str = "linux-vdso.so.1"
    hwcaps: tuple[str, ...] = ()
    old_hwcaps: tuple[str, ...] = ("tls",)
    old_levels: tuple[tuple[str, str], ...] = ()
    flags_mask: int = 0
    flags: int = 0

    @property
    def loader_name(self) -> str:
        """The file name of glibc's dynamic loader: that of PT_INTERP, and its soname."""
        return self.loader.rpartition("/")[2]

    @property
    def musl_names(self) -> tuple[str, ...]:
        """The sonames of musl, whose C library is its loader.

        musl itself takes every name that begins with "libc." for its own (ldso/dynlink.c, `reserved`).
        """
        return (f"ld-musl-{self.musl}.so.1", f"libc.musl-{self.musl}.so.1", f"libc.musl-{self.alpine}.so.1")

    @property
    def musl_loader(self) -> str:
        """The path of musl's dynamic loader."""
        return f"/lib/ld-musl-{self.musl}.so.1"

    @property
    def lib_names(self) -> tuple[str, ...]:
        """The folders that `$LIB` stands for, below `/` and `/usr`: Debian's, then those of other distributions."""
        return (f"lib/{self.multiarch}", *self.wide_folders, "lib")


ROWS = (
    MachineRow(
        arch=Arch.X86_64,
        number=62,  # EM_X86_64
        bits=64,
        little_endian=True,
        triplet="x86_64-linux-gnu",
        multiarch="x86_64-linux-gnu",
        debian="amd64",
        suffix_machines=("x86_64",),
        loader="/lib64/ld-linux-x86-64.so.2",
        cache_flags=(0x0303,),
        musl="x86_64",
        alpine="x86_64",
        relative=8,
        pointers=frozenset({6, 1}),  # R_X86_64_GLOB_DAT, R_X86_64_64
        android="x86_64",
        platform="x86_64",
        executable_stack=True,
        hwcaps=("x86-64-v4", "x86-64-v3", "x86-64-v2"),
        old_hwcaps=("tls", "x86_64", "haswell", "xeon_phi", "avx512_1"),
        # sysdeps/x86/cpu-features.c of glibc 2.36 has what it wants of each.
        old_levels=(("haswell", "x86-64-v3"), ("xeon_phi", "x86-64-v3"), ("avx512_1", "x86-64-v4")),
        trampoline=rb"\x49\xff\xe3\x90",  # jmp *%r11; nop
        has_plt_marks=True,
    ),
    MachineRow(
        arch=Arch.I686,
        number=3,  # EM_386
        bits=32,
        little_endian=True,
        triplet="i686-linux-gnu",
        multiarch="i386-linux-gnu",
        debian="i386",
        suffix_machines=("i386", "i686"),
        loader="/lib/ld-linux.so.2",
        cache_flags=(0x0003,),
        musl="i386",
        alpine="x86",
        relative=8,
        pointers=frozenset({6, 1}),  # R_386_GLOB_DAT, R_386_32
        other_names=("i386", "i586"),
        android="x86",
        platform="i686",
        wide_folders=("lib32",),
        has_addends=False,
        executable_stack=True,
        kernel_library="linux-gate.so.1",
        old_hwcaps=("tls", "i586", "i686", "sse2"),
        # movb $0xb9 (mov %ecx), and five bytes behind it movb $0xe9 (jmp), to the same place on the stack.
        trampoline=(
            rb"\xc6(?:[\x00-\x07]|\x44\x24.|[\x40-\x43\x45-\x47].|\x84\x24.{4}|[\x80-\x83\x85-\x87].{4})[\xb8\xb9]"
            rb".{0,64}?\xc6(?:\x44\x24.|[\x40-\x43\x45-\x47].|\x84\x24.{4}|[\x80-\x83\x85-\x87].{4})\xe9"
        ),
    ),
    MachineRow(
        arch=Arch.AARCH64,
        number=183,  # EM_AARCH64
        bits=64,
        little_endian=True,
        triplet="aarch64-linux-gnu",
        multiarch="aarch64-linux-gnu",
        debian="arm64",
        suffix_machines=("aarch64",),
        loader="/lib/ld-linux-aarch64.so.1",
        cache_flags=(0x0A03,),
        musl="aarch64",
        alpine="aarch64",
        relative=1027,
        pointers=frozenset({1025, 257}),  # R_AARCH64_GLOB_DAT, R_AARCH64_ABS64
        android="arm64_v8a",
        platform="aarch64",
        largest_page=0x10000,
        old_hwcaps=("tls", "aarch64", "atomics"),
        trampoline=rb".\x00\x00\x58.\x00\x00\x58\x20\x02\x1f\xd6",  # ldr x17; ldr x18; br x17
    ),
    MachineRow(
        arch=Arch.ARMV7L,
        number=40,  # EM_ARM
        bits=32,
        little_endian=True,
        triplet="arm-linux-gnueabihf",
        multiarch="arm-linux-gnueabihf",
        debian="armhf",
        suffix_machines=("arm",),
        loader="/lib/ld-linux-armhf.so.3",
        # Of a library whose e_flags do not tell the float ABI, ldconfig does not tell it either, and ld.so takes it
        # (sysdeps/unix/sysv/linux/arm/dl-cache.h).
        cache_flags=(0x0903, 0x0003),
        musl="armhf",
        alpine="armv7",
        relative=23,
        pointers=frozenset({21, 2}),  # R_ARM_GLOB_DAT, R_ARM_ABS32
        other_names=("armv8l",),
        android="armeabi_v7a",
        platform="v7l",
        wide_folders=(),
        has_addends=False,
        executable_stack=True,
        # EABI version 5 in the top byte; 0x400 is hard float, 0x200 soft float (ELF for the Arm Architecture, 5.2.3).
        # Shared libraries may carry neither float bit.
        flags_mask=0xFF000200,
        flags=0x05000000,
        old_hwcaps=("tls", "v7l", "v8l", "neon", "vfp"),
        # ldr ip, [pc, #n]; ldr pc, [pc, #n]: of Thumb, and of Arm itself.
        trampoline=rb"\xdf\xf8\x04\xc0\xdf\xf8\x04\xf0|\x00\xc0\x9f\xe5\x00\xf0\x9f\xe5",
    ),
    MachineRow(
        arch=Arch.PPC64LE,
        number=21,  # EM_PPC64
        bits=64,
        little_endian=True,
        triplet="powerpc64le-linux-gnu",
        multiarch="powerpc64le-linux-gnu",
        debian="ppc64el",
        suffix_machines=("powerpc64le",),
        loader="/lib64/ld64.so.2",
        cache_flags=(0x0503,),
        musl="powerpc64le",
        alpine="ppc64le",
        relative=22,
        pointers=frozenset({20, 38}),  # R_PPC64_GLOB_DAT, R_PPC64_ADDR64
        platform="power8",
        largest_page=0x10000,
        kernel_library="linux-vdso64.so.1",
        hwcaps=("power10", "power9"),
        old_hwcaps=("tls", "altivec", "dfp", "power8", "power9", "power10"),
        # The end of __trampoline_setup of libgcc: std r5,16(r3); std r6,24(r3); mtctr r4; icbi 0,r3.
        trampoline=rb"\x10\x00\xa3\xf8\x18\x00\xc3\xf8\xa6\x03\x89\x7c\xac\x1f\x00\x7c",
    ),
    MachineRow(
        arch=Arch.PPC64,
        number=21,  # EM_PPC64
        bits=64,
        little_endian=False,
        triplet="powerpc64-linux-gnu",
        multiarch="powerpc64-linux-gnu",
        debian="ppc64",
        suffix_machines=("powerpc64",),
        loader="/lib64/ld64.so.1",
        cache_flags=(0x0503,),
        musl="powerpc64",
        alpine="ppc64",
        relative=22,
        pointers=frozenset({20, 38}),
        largest_page=0x10000,
        kernel_library="linux-vdso64.so.1",
        old_hwcaps=("tls", "altivec", "dfp", "ppc970", "power4", "power5", "power6", "power7", "power8", "power9"),
    ),
    MachineRow(
        arch=Arch.S390X,
        number=22,  # EM_S390
        bits=64,
        little_endian=False,
        triplet="s390x-linux-gnu",
        multiarch="s390x-linux-gnu",
        debian="s390x",
        suffix_machines=("s390x",),
        loader="/lib/ld64.so.1",
        cache_flags=(0x0403,),
        musl="s390x",
        alpine="s390x",
        relative=12,
        pointers=frozenset({10, 22}),  # R_390_GLOB_DAT, R_390_64
        hash_bits=64,
        executable_stack=True,
        trampoline=rb"\x0d\x10\xeb\x01\x10\x0e\x00\x04\x07\xf1",  # basr %r1; lmg %r0,%r1,14(%r1); br %r1
        kernel_library="linux-vdso64.so.1",
        hwcaps=("z17", "z16", "z15", "z14", "z13"),
        old_hwcaps=(
            *("tls", "vxe2", "vxe", "vx", "dfp", "eimm", "ldisp", "zarch"),
            *("z10", "z196", "zEC12", "z13", "z14", "z15", "z16"),
        ),
    ),
    MachineRow(
        arch=Arch.RISCV64,
        number=243,  # EM_RISCV
        bits=64,
        little_endian=True,
        triplet="riscv64-linux-gnu",
        multiarch="riscv64-linux-gnu",
        debian="riscv64",
        suffix_machines=("riscv64",),
        loader="/lib/ld-linux-riscv64-lp64d.so.1",
        cache_flags=(0x1003,),
        musl="riscv64",
        alpine="riscv64",
        relative=3,
        pointers=frozenset({2}),  # R_RISCV_64
        wide_folders=("lib64/lp64d", "lib64"),
        has_fixed_dynamic=True,
    ),
    MachineRow(
        arch=Arch.LOONGARCH64,
        number=258,  # EM_LOONGARCH
        bits=64,
        little_endian=True,
        triplet="loongarch64-linux-gnu",
        multiarch="loongarch64-linux-gnu",
        debian="loong64",
        suffix_machines=("loongarch64",),
        loader="/lib64/ld-linux-loongarch-lp64d.so.1",
        cache_flags=(0x1203,),
        musl="loongarch64",
        alpine="loongarch64",
        relative=3,
        pointers=frozenset({2}),  # R_LARCH_64
        largest_page=0x10000,
    ),
)

_ROW_OF = {row.arch._value_: row for row in ROWS}
_ROW_OF_ELF = {(row.number, row.bits, row.little_endian): row for row in ROWS}

ARCH_NAMED = {row.arch._value_: row.arch for row in ROWS}
"""The machines by their names in platform tags, then by other names of them."""
ARCH_NAMED.update({name: row.arch for row in ROWS for name in row.other_names})

SUFFIX_MACHINES = {name: row.arch for row in ROWS for name in row.suffix_machines}
"""The machines by their names in the file names of extension modules."""

LIB_NAMES_OF_UNKNOWN = ("lib64", "lib")
"""The folders of libraries on a machine that the policies do not know."""

# Alpha alone shares it with s390x that the words of DT_HASH are wide; the policies do not know it.
_EM_ALPHA = 0x9026


def arch_of_elf(machine: int, *, bits: int, little_endian: bool, flags: int) -> Arch | None:
    """The machine that an ELF header describes, or None where the policies know none like it."""
    row = _ROW_OF_ELF.get((machine, bits, little_endian))
    if row is None or flags & row.flags_mask != row.flags:
        return None
    return row.arch


def row_by_number(machine: int, bits: int) -> MachineRow | None:
    """The first row with this e_machine and width: what does not depend on byte order and float ABI is true of all."""
    for row in ROWS:
        if (row.number, row.bits) == (machine, bits):
            return row
    return None


def has_addends(machine: int) -> bool:
    """Whether relocations of this e_machine have addends of their own; so it is where the machine is not known."""
    return all(row.has_addends for row in ROWS if row.number == machine)


def assumes_executable_stack(machine: int) -> bool:
    """Whether glibc gives files of this e_machine an executable stack where PT_GNU_STACK is missing."""
    return any(row.executable_stack for row in ROWS if row.number == machine)


def hash_bits(machine: int, bits: int) -> int:
    """The width of a word of DT_HASH."""
    if (machine, bits) == (_EM_ALPHA, 64):
        return 64
    row = row_by_number(machine, bits)
    return row.hash_bits if row else 32
