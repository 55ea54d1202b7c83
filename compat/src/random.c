/* SPDX-License-Identifier: MIT-0 */
/* Random numbers from the kernel. */
#include "compat.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#define NONBLOCK 1u /* GRND_NONBLOCK */
#define RANDOM 2u   /* GRND_RANDOM */

static int open_device(const char *path, int flags) {
    int device;
    do
        device = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
    while (device < 0 && errno == EINTR);
    return device;
}

/* Whether the kernel has been seeded: 1 yes, 0 not yet, -1 not to be known. /dev/urandom does not wait for that, and
 * /dev/random can be read only then; it can also be drained later, so that it is asked until it was seen once. */
static int seeded(int milliseconds) {
    static int seen;
    if (__atomic_load_n(&seen, __ATOMIC_RELAXED))
        return 1;
    int device = open_device("/dev/random", 0);
    if (device < 0)
        return -1;
    struct pollfd ready = {.fd = device, .events = POLLIN};
    int result = poll(&ready, 1, milliseconds);
    int saved = errno;
    close(device);
    errno = saved;
    if (result > 0)
        __atomic_store_n(&seen, 1, __ATOMIC_RELAXED);
    return result;
}

/* What getrandom() does, for a kernel that does not have it (before Linux 3.17). */
static ssize_t read_device(void *buffer, size_t length, unsigned int flags) {
    if (flags & ~(NONBLOCK | RANDOM))
        return fail(EINVAL);
    int device;
    if (flags & RANDOM) {
        device = open_device("/dev/random", flags & NONBLOCK ? O_NONBLOCK : 0);
    } else {
        int result = seeded(flags & NONBLOCK ? 0 : -1);
        if (result == 0)
            return fail(EAGAIN);
        if (result < 0 && errno == EINTR)
            return -1;
        device = result < 0 ? -1 : open_device("/dev/urandom", 0);
    }
    if (device < 0)
        return fail(ENOSYS); /* what the caller would have been told by glibc on this kernel */
    ssize_t result = read(device, buffer, length);
    int saved = errno;
    close(device);
    errno = saved;
    return result;
}

/// getrandom: random bytes from the kernel; from /dev/urandom or /dev/random where it has no such system call
EXPORT ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    ssize_t result = cancellable_syscall(SYS_getrandom, (long)buffer, (long)length, (long)flags, 0, 0, 0);
    return result < 0 && errno == ENOSYS ? read_device(buffer, length, flags) : result;
}

/* Fills a buffer, once the kernel has been seeded. */
static int fill(unsigned char *buffer, size_t length) {
    while (length > 0) {
        ssize_t got = syscall(SYS_getrandom, buffer, length, 0);
        if (got < 0 && errno == ENOSYS)
            got = read_device(buffer, length, 0);
        if (got > 0) {
            buffer += got;
            length -= (size_t)got;
        } else if (got == 0) {
            return fail(EIO);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/// getentropy: up to 256 random bytes, all of them or none
EXPORT int getentropy(void *buffer, size_t length) { return length > 256 ? fail(EIO) : fill(buffer, length); }

/// arc4random_buf: random bytes from the kernel; the process is ended where there are none
EXPORT void arc4random_buf(void *buffer, size_t length) {
    int saved = errno;
    if (fill(buffer, length) < 0)
        abort();
    errno = saved;
}

/// arc4random: a random number of 32 bits
EXPORT uint32_t arc4random(void) {
    uint32_t number;
    arc4random_buf(&number, sizeof number);
    return number;
}

/// arc4random_uniform: a random number below a bound, each as likely as the others
EXPORT uint32_t arc4random_uniform(uint32_t bound) {
    if (bound < 2)
        return 0;
    /* As many bits as the bound needs, until they are below it: less than two attempts on average, and no division. */
    uint32_t mask = ~0u >> __builtin_clz(bound - 1);
    uint32_t number;
    do
        number = arc4random() & mask;
    while (number >= bound);
    return number;
}
