/* SPDX-License-Identifier: MIT-0 */
/* Memory that is allocated or wiped. */
#include "compat.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/// reallocarray: realloc with a product that is checked for overflow
EXPORT void *reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, total);
}

/* The compiler must believe that somebody reads the bytes. */
static inline void wipe(void *block, int byte, size_t length) {
    memset(block, byte, length);
    __asm__ volatile("" : : "r"(block) : "memory");
}

/// explicit_bzero: zeroes that no compiler leaves out
EXPORT void explicit_bzero(void *block, size_t length) { wipe(block, 0, length); }

/// __explicit_bzero_chk: explicit_bzero that ends the process where the length passes the object
EXPORT void __explicit_bzero_chk(void *block, size_t length, size_t room) {
    if (room < length)
        __chk_fail();
    wipe(block, 0, length);
}

/// memset_explicit: a memset that no compiler leaves out
EXPORT void *memset_explicit(void *block, int byte, size_t length) {
    wipe(block, byte, length);
    return block;
}

/// __memset_explicit_chk: memset_explicit that ends the process where the length passes the object
EXPORT void *__memset_explicit_chk(void *block, int byte, size_t length, size_t room) {
    if (room < length)
        __chk_fail();
    wipe(block, byte, length);
    return block;
}

/// free_sized: free, for callers that know the size
EXPORT void free_sized(void *block, size_t size) {
    (void)size;
    free(block);
}

/// free_aligned_sized: free, for callers that know the size and the alignment
EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size) {
    (void)alignment;
    (void)size;
    free(block);
}

/// memalignment: the largest power of two that divides an address; 0 for a null pointer
EXPORT size_t memalignment(const void *block) { return (size_t)((uintptr_t)block & -(uintptr_t)block); }

/// memfd_create: a file in memory, by the system call
EXPORT int memfd_create(const char *name, unsigned int flags) { return (int)syscall(SYS_memfd_create, name, flags); }

/// mlock2: locked pages; flags that the kernel does not know are EINVAL
EXPORT int mlock2(const void *block, size_t length, unsigned int flags) {
    if (flags == 0)
        return mlock(block, length);
    int result = (int)syscall(SYS_mlock2, block, length, flags);
    return result < 0 && errno == ENOSYS ? fail(EINVAL) : result;
}

/// pkey_alloc: a new protection key, by the system call
EXPORT int pkey_alloc(unsigned int flags, unsigned int rights) { return (int)syscall(SYS_pkey_alloc, flags, rights); }

/// pkey_free: gives a protection key back, by the system call
EXPORT int pkey_free(int key) { return (int)syscall(SYS_pkey_free, key); }

/// pkey_mprotect: mprotect with a protection key; mprotect for the key -1
EXPORT int pkey_mprotect(void *block, size_t length, int protection, int key) {
    if (key == -1)
        return mprotect(block, length, protection);
    return (int)syscall(SYS_pkey_mprotect, block, length, protection, key);
}
