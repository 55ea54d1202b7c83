#include "check.h"

#include <sys/sysmacros.h>

#define ATTRIBUTES(name, found)                                                                                        \
    printf(#name ": mode %o size %lld links %d user %d group %d inode %d device %d blocks %d block %d time %d %d %d\n", \
           (unsigned)found.st_mode, (long long)found.st_size, (int)found.st_nlink, (int)found.st_uid,                  \
           (int)found.st_gid, found.st_ino != 0, found.st_dev != 0, found.st_blocks >= 0, found.st_blksize > 0,        \
           (int)found.st_mtime, (int)found.st_mtim.tv_nsec, found.st_ctime > 1700000000)

#define EACH_STAT(stat, lstat, fstat, fstatat, type)                                                                   \
    CHECK(stat, int, const char *, struct type *) {                                                                    \
        struct type found;                                                                                             \
        memset(&found, 0x55, sizeof found);                                                                            \
        SHOW(stat, stat##_("file", &found));                                                                           \
        ATTRIBUTES(stat, found);                                                                                       \
        SHOW(stat, stat##_("link", &found));                                                                           \
        ATTRIBUTES(stat, found);                                                                                       \
        SHOW(stat, stat##_("/dev/null", &found));                                                                      \
        printf(#stat ": device %d %d\n", (int)major(found.st_rdev), (int)minor(found.st_rdev));                        \
        SHOW(stat, stat##_("none", &found));                                                                           \
        SHOW(stat, stat##_("", &found));                                                                               \
        SHOW(stat, stat##_("file/below", &found));                                                                     \
        SHOW(stat, stat##_("loop", &found));                                                                           \
        SHOW(stat, stat##_((const char *)1, &found));                                                                  \
    }                                                                                                                  \
    CHECK(lstat, int, const char *, struct type *) {                                                                   \
        struct type found;                                                                                             \
        SHOW(lstat, lstat##_("link", &found));                                                                         \
        printf(#lstat ": mode %o size %d\n", (unsigned)found.st_mode, (int)found.st_size);                             \
        SHOW(lstat, lstat##_("file", &found));                                                                         \
        ATTRIBUTES(lstat, found);                                                                                      \
        SHOW(lstat, lstat##_("none", &found));                                                                         \
        SHOW(lstat, lstat##_("loop", &found));                                                                         \
    }                                                                                                                  \
    CHECK(fstat, int, int, struct type *) {                                                                            \
        struct type found;                                                                                             \
        int file = open("file", O_RDONLY);                                                                             \
        SHOW(fstat, fstat##_(file, &found));                                                                           \
        ATTRIBUTES(fstat, found);                                                                                      \
        close(file);                                                                                                   \
        SHOW(fstat, fstat##_(file, &found));                                                                           \
        SHOW(fstat, fstat##_(-1, &found));                                                                             \
        int ends[2];                                                                                                   \
        if (pipe(ends) == 0)                                                                                           \
            SHOW(fstat, fstat##_(ends[0], &found));                                                                    \
        printf(#fstat ": mode %o\n", (unsigned)found.st_mode);                                                         \
        close(ends[0]);                                                                                                \
        close(ends[1]);                                                                                                \
    }                                                                                                                  \
    CHECK(fstatat, int, int, const char *, struct type *, int) {                                                       \
        struct type found;                                                                                             \
        int here = open(".", O_RDONLY | O_DIRECTORY);                                                                  \
        SHOW(fstatat, fstatat##_(here, "file", &found, 0) + 0 * here);                                                 \
        ATTRIBUTES(fstatat, found);                                                                                    \
        SHOW(fstatat, fstatat##_(AT_FDCWD, "link", &found, 0));                                                        \
        printf(#fstatat ": mode %o\n", (unsigned)found.st_mode);                                                       \
        SHOW(fstatat, fstatat##_(AT_FDCWD, "link", &found, AT_SYMLINK_NOFOLLOW));                                      \
        printf(#fstatat ": mode %o\n", (unsigned)found.st_mode);                                                       \
        SHOW(fstatat, fstatat##_(here, "", &found, AT_EMPTY_PATH));                                                    \
        printf(#fstatat ": mode %o\n", (unsigned)found.st_mode);                                                       \
        SHOW(fstatat, fstatat##_(here, "none", &found, 0));                                                            \
        SHOW(fstatat, fstatat##_(-7, "file", &found, 0));                                                              \
        SHOW(fstatat, fstatat##_(AT_FDCWD, "file", &found, 0x40000000));                                               \
        close(here);                                                                                                   \
    }

void check_stat(void) {
    int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0640);
    if (write(file, "12345", 5) != 5)
        abort();
    struct timespec times[2] = {{1500000000, 123456789}, {1600000000, 987654321}};
    futimens(file, times);
    close(file);
    if (symlink("file", "link") != 0 || symlink("loop", "loop") != 0)
        abort();
    EACH_STAT(stat, lstat, fstat, fstatat, stat)
    EACH_STAT(stat64, lstat64, fstat64, fstatat64, stat64)

    CHECK(mknod, int, const char *, mode_t, dev_t) {
        struct stat64 made;
        SHOW(mknod, mknod_("fifo", S_IFIFO | 0666, 0));
        stat64("fifo", &made);
        printf("mknod: mode %o\n", (unsigned)made.st_mode);
        SHOW(mknod, mknod_("fifo", S_IFIFO | 0666, 0));
        SHOW(mknod, mknod_("plain", S_IFREG | 0600, 0));
        stat64("plain", &made);
        printf("mknod: mode %o\n", (unsigned)made.st_mode);
        SHOW(mknod, mknod_("none/below", S_IFREG | 0600, 0));
        SHOW(mknod, mknod_("wide", S_IFCHR | 0600, (dev_t)1 << 40));
        SHOW(mknod, mknod_("folder", S_IFDIR | 0600, 0));
        SHOW(mknod, mknod_("null", S_IFCHR | 0600, makedev(1, 3)));
        if (stat64("null", &made) == 0)
            printf("mknod: device %d %d\n", (int)major(made.st_rdev), (int)minor(made.st_rdev));
    }
    CHECK(mknodat, int, int, const char *, mode_t, dev_t) {
        int here = open(".", O_RDONLY | O_DIRECTORY);
        SHOW(mknodat, mknodat_(here, "fifo-at", S_IFIFO | 0600, 0));
        SHOW(mknodat, mknodat_(AT_FDCWD, "fifo-at", S_IFIFO | 0600, 0));
        SHOW(mknodat, mknodat_(-1, "other", S_IFIFO | 0600, 0));
        SHOW(mknodat, mknodat_(here, "wide", S_IFCHR | 0600, (dev_t)1 << 40));
        close(here);
    }
}
