/* SPDX-License-Identifier: MIT-0 */
/* Files and descriptors. */
#include "compat.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

/* The halves of an offset as the kernel takes them; 64-bit kernels look at the first alone. */
#define LOW(offset) ((long)(offset))
#define HIGH(offset) ((long)((uint64_t)(int64_t)(offset) >> 32))

/// copy_file_range: copies between files inside the kernel, by the system call
EXPORT ssize_t copy_file_range(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t length, unsigned int flags) {
    return cancellable_syscall(SYS_copy_file_range, from, (long)from_offset, to, (long)to_offset, (long)length,
                               (long)flags);
}

/* What a read or write with flags is on a kernel without them (before Linux 4.6). */
static int plain(ssize_t result, int flags) {
    if (result >= 0 || errno != ENOSYS)
        return 0;
    if (flags == 0)
        return 1;
    errno = ENOTSUP;
    return 0;
}

/// preadv2: preadv with flags; without them on a kernel that has no such system call
EXPORT ssize_t preadv2(int file, const struct iovec *vector, int count, off_t offset, int flags) {
    ssize_t result = cancellable_syscall(SYS_preadv2, file, (long)vector, count, LOW(offset), HIGH(offset), flags);
    if (!plain(result, flags))
        return result;
    return offset == -1 ? readv(file, vector, count) : preadv(file, vector, count, offset);
}

/// pwritev2: pwritev with flags; without them on a kernel that has no such system call
EXPORT ssize_t pwritev2(int file, const struct iovec *vector, int count, off_t offset, int flags) {
    ssize_t result = cancellable_syscall(SYS_pwritev2, file, (long)vector, count, LOW(offset), HIGH(offset), flags);
    if (!plain(result, flags))
        return result;
    return offset == -1 ? writev(file, vector, count) : pwritev(file, vector, count, offset);
}

/// preadv64v2: preadv64 with flags; without them on a kernel that has no such system call
EXPORT ssize_t preadv64v2(int file, const struct iovec *vector, int count, int64_t offset, int flags) {
    ssize_t result = cancellable_syscall(SYS_preadv2, file, (long)vector, count, LOW(offset), HIGH(offset), flags);
    if (!plain(result, flags))
        return result;
    return offset == -1 ? readv(file, vector, count) : preadv64(file, vector, count, offset);
}

/// pwritev64v2: pwritev64 with flags; without them on a kernel that has no such system call
EXPORT ssize_t pwritev64v2(int file, const struct iovec *vector, int count, int64_t offset, int flags) {
    ssize_t result = cancellable_syscall(SYS_pwritev2, file, (long)vector, count, LOW(offset), HIGH(offset), flags);
    if (!plain(result, flags))
        return result;
    return offset == -1 ? writev(file, vector, count) : pwritev64(file, vector, count, offset);
}

/// renameat2: renameat with flags; flags that the kernel does not know are EINVAL
EXPORT int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags) {
    if (flags == 0)
        return renameat(from_folder, from, to_folder, to);
    int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    return result < 0 && errno == ENOSYS ? fail(EINVAL) : result;
}

/* The headers of loongarch64, whose first glibc has the function, declare it. */
#ifndef __loongarch__

/* struct statx, as the kernel fills it. */
struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct statx_result {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t more[14];
};
_Static_assert(sizeof(struct statx_result) == 256, "struct statx has 256 bytes");

#define BASIC_STATS 0x7ffu
#define SYNC_AS_STAT 0
#ifndef AT_NO_AUTOMOUNT
#define AT_NO_AUTOMOUNT 0x800
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static struct statx_time statx_time(struct timespec time) {
    return (struct statx_time){.seconds = time.tv_sec, .nanoseconds = (uint32_t)time.tv_nsec};
}

/// statx: a file's attributes, by the system call, or as fstatat64 has them on a kernel without it
EXPORT int statx(int folder, const char *path, int flags, unsigned int mask, struct statx_result *result) {
    int ended = (int)syscall(SYS_statx, folder, path, flags, mask, result);
    if (ended == 0 || errno != ENOSYS)
        return ended;
    if (flags & ~(AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW))
        return fail(EINVAL);
    struct stat64 found;
    if (fstatat64(folder, path, &found, flags) != 0)
        return -1;
    *result = (struct statx_result){
        .mask = BASIC_STATS,
        .block_size = (uint32_t)found.st_blksize,
        .links = (uint32_t)found.st_nlink,
        .user = found.st_uid,
        .group = found.st_gid,
        .mode = (uint16_t)found.st_mode,
        .inode = found.st_ino,
        .size = (uint64_t)found.st_size,
        .blocks = (uint64_t)found.st_blocks,
        .accessed = statx_time(found.st_atim),
        .changed = statx_time(found.st_ctim),
        .modified = statx_time(found.st_mtim),
        .special_major = major(found.st_rdev),
        .special_minor = minor(found.st_rdev),
        .device_major = major(found.st_dev),
        .device_minor = minor(found.st_dev),
    };
    return 0;
}

#endif

/// getdents64: the entries of an open folder, by the system call
EXPORT ssize_t getdents64(int folder, void *buffer, size_t length) {
    return syscall(SYS_getdents64, folder, buffer, length > INT_MAX ? (size_t)INT_MAX : length);
}

/// openat2: an open file, with rules for how its path is followed, by the system call
EXPORT int openat2(int folder, const char *path, const struct open_how *how, size_t size) {
    return (int)cancellable_syscall(437, folder, (long)path, (long)how, (long)size, 0, 0);
}

/// close_range: closes all descriptors of a range, by the system call
EXPORT int close_range(unsigned int first, unsigned int last, int flags) {
    return (int)syscall(436, first, last, flags);
}

struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* The number that a name is, or -1. */
static int number_of(const char *name) {
    int number = 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        number = number * 10 + (*name - '0');
    }
    return number;
}

/* An open /proc/self/fd, even where no descriptor is left: one that is to be closed makes room. */
static int open_descriptors(int first) {
    int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 || errno != EMFILE)
        return folder;
    long limit = sysconf(_SC_OPEN_MAX);
    for (int each = first; each < limit; each++)
        if (close(each) == 0)
            return open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return -1;
}

/// closefrom: closes all descriptors from a number on; the process is ended where that cannot be done
EXPORT void closefrom(int first) {
    if (first < 0)
        first = 0;
    if (close_range((unsigned int)first, ~0u, 0) == 0)
        return;
    int folder = open_descriptors(first);
    if (folder < 0)
        abort();
    /* Memory may not be allocated here: callers are children between fork and exec. */
    char buffer[1024] __attribute__((aligned(8)));
    for (;;) {
        long got = syscall(SYS_getdents64, folder, buffer, sizeof buffer);
        if (got < 0)
            abort();
        if (got == 0)
            break;
        int closed = 0;
        for (long place = 0; place < got;) {
            struct entry *entry = (struct entry *)(buffer + place);
            place += entry->length;
            int number = entry->name[0] == '.' ? -1 : number_of(entry->name);
            if (number >= first && number != folder) {
                close(number);
                closed = 1;
            }
        }
        /* The list changes with what is closed: read it from its begin until there is nothing more. */
        if (closed && lseek(folder, 0, SEEK_SET) < 0)
            abort();
    }
    close(folder);
}
