#include "check.h"

#include <sys/sysmacros.h>

struct transfer {
    ssize_t (*function)(int, const struct iovec *, int, off_t, int);
    ssize_t (*function64)(int, const struct iovec *, int, int64_t, int);
    int file;
};

static void transfer(void *given) {
    struct transfer *wanted = given;
    char byte;
    struct iovec vector = {&byte, 1};
    if (wanted->function)
        wanted->function(wanted->file, &vector, 1, -1, 0);
    else
        wanted->function64(wanted->file, &vector, 1, -1, 0);
}

#define EACH_READ(name, offset_type, member)                                                                           \
    CHECK(name, ssize_t, int, const struct iovec *, int, offset_type, int) {                                           \
        char one[4] = "", other[4] = "";                                                                               \
        struct iovec vector[2] = {{one, 3}, {other, 3}};                                                               \
        int file = open("data", O_RDWR);                                                                               \
        SHOW(name, name##_(file, vector, 2, 1, 0));                                                                    \
        printf(#name ": %s %s at %d\n", one, other, (int)lseek(file, 0, SEEK_CUR));                                    \
        SHOW(name, name##_(file, vector, 2, -1, 0));                                                                   \
        printf(#name ": %s %s at %d\n", one, other, (int)lseek(file, 0, SEEK_CUR));                                    \
        SHOW(name, name##_(file, vector, 2, -2, 0));                                                                   \
        SHOW(name, name##_(file, vector, 2, 0, 0x40000000));                                                           \
        SHOW(name, name##_(file, vector, 2, 100, 0));                                                                  \
        SHOW(name, name##_(file, vector, -1, 0, 0));                                                                   \
        SHOW(name, name##_(-1, vector, 2, 0, 0));                                                                      \
        close(file);                                                                                                   \
        int ends[2];                                                                                                   \
        if (pipe(ends) != 0)                                                                                           \
            abort();                                                                                                   \
        SHOW(name, name##_(ends[0], vector, 2, 3, 0));                                                                 \
        interrupt(1);                                                                                                  \
        SHOW(name, (name##_(ends[0], vector, 2, -1, 0)));                                                              \
        interrupt(0);                                                                                                  \
        struct transfer wanted = {.member = name##_, .file = ends[0]};                                                 \
        printf(#name ": cancelled %d\n", ends_in(transfer, &wanted));                                                  \
        close(ends[0]);                                                                                                \
        close(ends[1]);                                                                                                \
    }

#define EACH_WRITE(name, offset_type, member)                                                                          \
    CHECK(name, ssize_t, int, const struct iovec *, int, offset_type, int) {                                           \
        struct iovec vector[2] = {{"abc", 3}, {"de", 2}};                                                              \
        char text[20] = "";                                                                                            \
        int file = open("written", O_RDWR | O_CREAT | O_TRUNC, 0600);                                                  \
        SHOW(name, name##_(file, vector, 2, 2, 0));                                                                    \
        SHOW(name, name##_(file, vector, 1, -1, 0));                                                                   \
        SHOW(name, (pread(file, text, 19, 0)));                                                                        \
        printf(#name ": %s at %d\n", text, (int)lseek(file, 0, SEEK_CUR));                                             \
        SHOW(name, name##_(file, vector, 2, -2, 0));                                                                   \
        SHOW(name, name##_(file, vector, 2, 0, 0x40000000));                                                           \
        SHOW(name, name##_(-1, vector, 2, 0, 0));                                                                      \
        struct transfer wanted = {.member = name##_, .file = file};                                                    \
        printf(#name ": cancelled %d\n", ends_in(transfer, &wanted));                                                  \
        close(file);                                                                                                   \
    }

struct copy {
    ssize_t (*function)(int, int64_t *, int, int64_t *, size_t, unsigned);
    int from, to;
};

static void copy(void *given) {
    struct copy *wanted = given;
    wanted->function(wanted->from, NULL, wanted->to, NULL, 1, 0);
}

static int open_count(int first, int last) {
    int count = 0;
    for (int i = first; i < last; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

struct statx_time_of {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct statx_of {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time_of accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t more[14];
};

static int (*openat2_in_thread)(int, const char *, const void *, size_t);
static void open_in_thread(void *how) { openat2_in_thread(AT_FDCWD, "data", how, 24); }

static void check_descriptors(void) {
    CHECK(close_range, int, unsigned, unsigned, int) {
        for (int i = 100; i < 110; i++)
            dup2(0, i);
        SHOW(close_range, close_range_(102, 105, 0));
        if (!old_kernel)
            printf("close_range: %d %d\n", open_count(100, 110), open_count(102, 106));
        SHOW(close_range, close_range_(105, 102, 0));
        SHOW(close_range, close_range_(105, 107, 0x40000000));
        for (int i = 100; i < 110; i++)
            close(i);
    }
    CHECK(closefrom, void, int) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            for (int i = 30; i < 900; i += 3)
                dup2(0, i);
            closefrom_(40);
            printf("closefrom: %d %d\n", open_count(30, 40), open_count(40, 1024));
            fflush(stdout);
            closefrom_(-5);
            _exit(open_count(0, 1024));
        }
        int status;
        waitpid(child, &status, 0);
        printf("closefrom: then %d\n", status);
    }
}

static void check_names(void) {
    CHECK(renameat2, int, int, const char *, int, const char *, unsigned) {
        close(open("one", O_CREAT | O_WRONLY, 0600));
        close(open("two", O_CREAT | O_WRONLY, 0600));
        SHOW(renameat2, renameat2_(AT_FDCWD, "one", AT_FDCWD, "two", 1));
        SHOW(renameat2, renameat2_(AT_FDCWD, "one", AT_FDCWD, "three", 1));
        SHOW(renameat2, renameat2_(AT_FDCWD, "two", AT_FDCWD, "four", 0));
        SHOW(renameat2, renameat2_(AT_FDCWD, "none", AT_FDCWD, "four", 0));
        SHOW(renameat2, renameat2_(AT_FDCWD, "four", AT_FDCWD, "five", 0x40000000));
        SHOW(renameat2, renameat2_(-1, "four", AT_FDCWD, "five", 0));
    }
    CHECK(statx, int, int, const char *, int, unsigned, struct statx_of *) {
        struct statx_of found;
        memset(&found, 0x55, sizeof found);
        SHOW(statx, statx_(AT_FDCWD, "data", 0, 0x7ff, &found));
        printf("statx: mask %x mode %o size %d links %d user %d inode %d device %d time %d block %d special %d %d\n",
               found.mask & 0x7ff, found.mode, (int)found.size, found.links, found.user, found.inode != 0,
               found.device_major + found.device_minor != 0, found.modified.seconds > 1700000000,
               found.block_size > 0, found.special_major, found.special_minor);
        SHOW(statx, statx_(AT_FDCWD, "/dev/null", 0, 0x7ff, &found));
        printf("statx: mode %o special %d %d\n", found.mode, found.special_major, found.special_minor);
        SHOW(statx, statx_(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, 0x7ff, &found));
        printf("statx: mode %o\n", found.mode);
        SHOW(statx, statx_(AT_FDCWD, "none", 0, 0x7ff, &found));
        SHOW(statx, statx_(AT_FDCWD, "data", 0x40000000, 0x7ff, &found));
        SHOW(statx, statx_(-1, "data", 0, 0x7ff, &found));
        if (!old_kernel) {
            SHOW(statx, statx_(AT_FDCWD, "data", 0x2000, 0x7ff, &found));
            SHOW(statx, statx_(AT_FDCWD, "data", 0, 0x80000000u, &found));
        }
    }
    CHECK(getdents64, ssize_t, int, void *, size_t) {
        char buffer[4096] __attribute__((aligned(8)));
        int here = open(".", O_RDONLY | O_DIRECTORY);
        SHOW(getdents64, getdents64_(here, buffer, 1));
        SHOW(getdents64, getdents64_(here, buffer, sizeof buffer) > 0);
        SHOW(getdents64, getdents64_(here, buffer, (size_t)1 << (sizeof(size_t) * 8 - 1)));
        close(here);
        SHOW(getdents64, getdents64_(-1, buffer, sizeof buffer));
        int file = open("data", O_RDONLY);
        SHOW(getdents64, (getdents64_(file, buffer, sizeof buffer) + 0 * file));
        close(file);
    }
    CHECK(openat2, int, int, const char *, const void *, size_t) {
        uint64_t how[3] = {O_RDONLY, 0, 0};
        int file = openat2_(AT_FDCWD, "data", how, sizeof how);
        printf("openat2: %d\n", file >= 0 ? 0 : errno);
        close(file);
        SHOW(openat2, openat2_(AT_FDCWD, "none", how, sizeof how));
        SHOW(openat2, openat2_(AT_FDCWD, "data", how, 3));
        openat2_in_thread = openat2_;
        printf("openat2: cancelled %d\n", ends_in(open_in_thread, how));
    }
}

void check_files(void) {
    int data = open("data", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(data, "0123456789", 10) != 10)
        abort();
    close(data);
    CHECK(copy_file_range, ssize_t, int, int64_t *, int, int64_t *, size_t, unsigned) {
        int from = open("data", O_RDONLY), to = open("copied", O_RDWR | O_CREAT | O_TRUNC, 0600);
        int64_t at = 2, into = 1;
        char text[20] = "";
        SHOW(copy_file_range, copy_file_range_(from, &at, to, &into, 5, 0) + 0 * from);
        printf("copy_file_range: %d %d\n", (int)at, (int)into);
        SHOW(copy_file_range, copy_file_range_(from, NULL, to, NULL, 3, 0));
        SHOW(copy_file_range, pread(to, text, 19, 0));
        printf("copy_file_range: %s %s\n", text, text + 1);
        SHOW(copy_file_range, copy_file_range_(from, NULL, to, NULL, 3, 7));
        SHOW(copy_file_range, copy_file_range_(-1, NULL, to, NULL, 3, 0));
        SHOW(copy_file_range, copy_file_range_(to, NULL, from, NULL, 3, 0));
        struct copy wanted = {copy_file_range_, from, to};
        printf("copy_file_range: cancelled %d\n", ends_in(copy, &wanted));
        close(from);
        close(to);
    }
    EACH_READ(preadv2, off_t, function)
    EACH_READ(preadv64v2, int64_t, function64)
    EACH_WRITE(pwritev2, off_t, function)
    EACH_WRITE(pwritev64v2, int64_t, function64)
    check_names();
    check_descriptors();
}
