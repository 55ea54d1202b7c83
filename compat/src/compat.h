/* SPDX-License-Identifier: MIT-0 */
/* What the files of the compatibility library share.
 *
 * Each function stands in for one that a glibc older than the caller's does not have. A line that begins with `///` above a
 * function names it and says what it does; tools/make_compat.py reads these lines.
 */
#ifndef DELOC8_COMPAT_H
#define DELOC8_COMPAT_H

/* Declarations of other names than the caller's would bind to other functions. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE 1

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The library is built with -fvisibility=hidden. */
#define EXPORT __attribute__((visibility("default")))
#define HIDDEN __attribute__((visibility("hidden")))

/* Sets errno and gives -1, as system calls do. */
static inline int fail(int number) {
    errno = number;
    return -1;
}

/* A system call at which a thread can be cancelled, which syscall() is not. */
HIDDEN long cancellable_syscall(long number, long a, long b, long c, long d, long e, long f);

/* Ends the process as glibc's fortified functions do; since glibc 2.3.4. */
extern void __chk_fail(void) __attribute__((noreturn));

#endif
