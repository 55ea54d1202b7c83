"""Which C library a file was linked against, told by the file itself or by its name."""

from __future__ import annotations

from deloc8.patterns import pattern
from deloc8.target import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from deloc8.elf.read.image import ElfImage
    from deloc8.target import Arch

_ANDROID_LOADERS = ("linker", "linker64")
_MUSL_NAMES = ("libc.musl-", "ld-musl-")
_GLIBC_NAMES = ("libc.so.6", "ld-linux", "ld64.so.")


def find_libc(image: ElfImage) -> Libc | None:
    """The C library that an image asks for; None where it asks for none, which is normal for an extension module.

    PT_INTERP speaks first, then DT_NEEDED. The name ``libc.so`` alone is musl's and Android's; what Android's tools
    build has a note of its own, or the symbol version ``LIBC``.
    """
    asked = (image.interpreter.rpartition("/")[2], *image.needed) if image.interpreter else image.needed
    for name in asked:
        if name in _ANDROID_LOADERS:
            return Libc.ANDROID
        if name.startswith(_MUSL_NAMES):
            return Libc.MUSL
        if name.startswith(_GLIBC_NAMES):
            return Libc.GLIBC
    if any(note.owner == "Android" for note in image.notes):
        return Libc.ANDROID
    if "libc.so" in image.needed:
        versions = {version.name for need in image.version_needs for version in need.versions}
        return Libc.ANDROID if "LIBC" in versions else Libc.MUSL
    return None


# The platform part that CPython gives to extension modules: .cpython-311-x86_64-linux-gnu.so, .abi3.so has none.
_PLATFORM_PART = pattern(r"-linux-(gnu|musl|android)\w*\.so$")
_CPYTHON_PART = pattern(r"\.cpython-3([0-9]{1,4})[a-z]*-")
_LIBC_OF_SUFFIX = {"gnu": Libc.GLIBC, "musl": Libc.MUSL, "android": Libc.ANDROID}
_FIRST_CPYTHON_WITH_MUSL_SUFFIX = 11


def libc_of(image: ElfImage, filename: str) -> Libc | None:
    """The C library of a file: what its image says, else the suffix of its name; None where neither tells.

    Until 3.10, CPython wrote ``-linux-gnu`` on musl, too; there that suffix tells nothing.
    """
    libc = find_libc(image)
    if libc is not None:
        return libc
    suffix = _PLATFORM_PART.search(filename)
    if suffix is None:
        return None
    named = _LIBC_OF_SUFFIX[suffix[1]]
    cpython = _CPYTHON_PART.search(filename)
    if named is Libc.GLIBC and not (cpython and int(cpython[1]) >= _FIRST_CPYTHON_WITH_MUSL_SUFFIX):
        return None
    return named


# musl knows it by one name on all machines (ldso/dynlink.c), for what is opened after the start, as modules are.
_OF_KERNEL_FOR_MUSL = "linux-gate.so.1"


def is_of_kernel(name: str, arch: Arch | None, libc: Libc) -> bool:
    """Whether a needed name is the library that the kernel gives to every process of a machine."""
    if not name.startswith("linux-") or arch is None or libc is Libc.ANDROID:
        return False
    return name == (_OF_KERNEL_FOR_MUSL if libc is Libc.MUSL else arch.row.kernel_library)


_C_LIBRARY = pattern(
    r"(libc|libm|libdl|libpthread|librt|libutil|libanl|libresolv|ld-linux.*|ld64|(libc|ld)[.-]musl-.*)\.so.*"
)


def is_c_library(name: str) -> bool:
    """Whether a needed name is a part of the C library, which every process has."""
    return _C_LIBRARY.fullmatch(name) is not None


# What glibc builds beside them, and distributions put into a wheel's reach; not every process has these.
_BESIDE_GLIBC = pattern(
    r"(libmvec|libnsl|libcrypt|libnss_.*|libthread_db|libBrokenLocale|libc_malloc_debug|libmemusage|libpcprofile)\.so.*"
)


def is_beside_glibc(name: str) -> bool:
    """Whether a library is built from the sources of glibc, but is no part of the C library itself."""
    return _BESIDE_GLIBC.fullmatch(name) is not None
