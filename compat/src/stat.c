/* SPDX-License-Identifier: MIT-0 */
/* The stat family, which was inline code around versioned functions until glibc 2.33 made it functions. */
#include "compat.h"

#include <fcntl.h>
#include <sys/types.h>

/* The version of struct stat, a part of each machine's ABI. */
#if defined(__x86_64__) || defined(__s390x__) || defined(__powerpc64__)
#define STAT_VERSION 1
#elif defined(__aarch64__) || defined(__riscv) || defined(__loongarch__)
#define STAT_VERSION 0
#elif defined(__i386__) || defined(__arm__)
#define STAT_VERSION 3
#else
#error "the version of struct stat on this machine is not known"
#endif

#ifndef __loongarch__
/* <sys/stat.h> declares what is defined here, in other words on each glibc. */
struct any_stat;
extern int __xstat(int version, const char *path, struct any_stat *result);
extern int __lxstat(int version, const char *path, struct any_stat *result);
extern int __fxstat(int version, int descriptor, struct any_stat *result);
extern int __fxstatat(int version, int folder, const char *path, struct any_stat *result, int flags);
extern int __xstat64(int version, const char *path, struct any_stat *result);
extern int __lxstat64(int version, const char *path, struct any_stat *result);
extern int __fxstat64(int version, int descriptor, struct any_stat *result);
extern int __fxstatat64(int version, int folder, const char *path, struct any_stat *result, int flags);

/// stat: a file's attributes, by __xstat
EXPORT int stat(const char *path, struct any_stat *result) { return __xstat(STAT_VERSION, path, result); }

/// lstat: a file's attributes, or a link's own, by __lxstat
EXPORT int lstat(const char *path, struct any_stat *result) { return __lxstat(STAT_VERSION, path, result); }

/// fstat: the attributes of an open file, by __fxstat
EXPORT int fstat(int descriptor, struct any_stat *result) { return __fxstat(STAT_VERSION, descriptor, result); }

/// fstatat: a file's attributes, relative to an open folder, by __fxstatat
EXPORT int fstatat(int folder, const char *path, struct any_stat *result, int flags) {
    return __fxstatat(STAT_VERSION, folder, path, result, flags);
}

/// stat64: a file's attributes, by __xstat64
EXPORT int stat64(const char *path, struct any_stat *result) { return __xstat64(STAT_VERSION, path, result); }

/// lstat64: a file's attributes, or a link's own, by __lxstat64
EXPORT int lstat64(const char *path, struct any_stat *result) { return __lxstat64(STAT_VERSION, path, result); }

/// fstat64: the attributes of an open file, by __fxstat64
EXPORT int fstat64(int descriptor, struct any_stat *result) { return __fxstat64(STAT_VERSION, descriptor, result); }

/// fstatat64: a file's attributes, relative to an open folder, by __fxstatat64
EXPORT int fstatat64(int folder, const char *path, struct any_stat *result, int flags) {
    return __fxstatat64(STAT_VERSION, folder, path, result, flags);
}

/* The kernel takes 32 bits of a device number, and the functions have taken 64 since glibc 2.2. The system call needs no
 * version, other than __xmknod. */

/// mknodat: a new file or device, relative to an open folder, by the system call
EXPORT int mknodat(int folder, const char *path, mode_t mode, dev_t device) {
    unsigned int narrow = (unsigned int)device;
    return narrow == device ? (int)syscall(SYS_mknodat, folder, path, mode, narrow) : fail(EINVAL);
}

/// mknod: a new file or device, by the system call mknodat
EXPORT int mknod(const char *path, mode_t mode, dev_t device) { return mknodat(AT_FDCWD, path, mode, device); }
#endif
