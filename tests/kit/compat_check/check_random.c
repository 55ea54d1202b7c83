#include "check.h"

#include <gnu/libc-version.h>

static ssize_t (*getrandom_in_thread)(void *, size_t, unsigned);

static void ask(void *buffer) { getrandom_in_thread(buffer, 8, 0); }

/* Whether some bytes are neither all the same nor what was there. */
static int changed(const unsigned char *bytes, size_t length) {
    int others = 0;
    for (size_t i = 0; i < length; i++)
        others += bytes[i] != 0x55;
    return others > (int)length / 2;
}

void check_random(void) {
    unsigned char buffer[5000];
    CHECK(getrandom, ssize_t, void *, size_t, unsigned) {
        if (old_kernel) {
            /* The one case in which ours does more: it reads the device, where glibc's says ENOSYS. */
            memset(buffer, 0x55, sizeof buffer);
            ssize_t got = getrandom_(buffer, 200, 0);
            printf("getrandom: on an old kernel %d\n",
                   got < 0 ? errno == ENOSYS : got == 200 && changed(buffer, 200) && !changed(buffer + 200, 200));
            int wrong = getrandom_(buffer, 8, 0x40000000) == -1 && (errno == EINVAL || errno == ENOSYS);
            int both = getrandom_(buffer, 8, 3) > 0 || errno == ENOSYS || errno == EAGAIN;
            printf("getrandom: on an old kernel %d %d\n", wrong, both);
            continue;
        }
        memset(buffer, 0x55, sizeof buffer);
        SHOW(getrandom, getrandom_(buffer, 256, 0));
        printf("getrandom: %d %d\n", changed(buffer, 256), changed(buffer + 256, 200));
        SHOW(getrandom, getrandom_(buffer, 0, 0));
        SHOW(getrandom, getrandom_(buffer, sizeof buffer, 1));
        SHOW(getrandom, getrandom_(buffer, 8, 2) == 8);
        SHOW(getrandom, getrandom_(buffer, 8, 0x40000000));
        /* Since 2.41 no longer, where the kernel has it in the vDSO. */
        getrandom_in_thread = getrandom_;
        if (!is_libc || atoi(gnu_get_libc_version() + 2) < 41)
            printf("getrandom: cancelled %d\n", ends_in(ask, buffer));
    }
    CHECK(getentropy, int, void *, size_t) {
        SHOW(getentropy, getentropy_(buffer, 257));
        memset(buffer, 0x55, sizeof buffer);
        if (old_kernel) {
            int result = getentropy_(buffer, 256);
            printf("getentropy: on an old kernel %d\n", result ? errno == ENOSYS : changed(buffer, 256));
            continue;
        }
        SHOW(getentropy, getentropy_(buffer, 256));
        printf("getentropy: %d %d\n", changed(buffer, 256), changed(buffer + 256, 200));
        SHOW(getentropy, getentropy_(buffer, 0));
    }
    CHECK(arc4random_buf, void, void *, size_t) {
        memset(buffer, 0x55, sizeof buffer);
        errno = 77;
        arc4random_buf_(buffer, 4000);
        printf("arc4random_buf: %d %d errno %d\n", changed(buffer, 4000), changed(buffer + 4000, 1000),
               old_kernel ? 77 : errno);
        arc4random_buf_(buffer, 0);
    }
    CHECK(arc4random, uint32_t, void) {
        uint32_t seen = 0, common = ~0u;
        for (int i = 0; i < 200; i++) {
            uint32_t number = arc4random_();
            seen |= number;
            common &= number;
        }
        printf("arc4random: %x %x\n", seen, common);
    }
    CHECK(arc4random_uniform, uint32_t, uint32_t) {
        SHOW(arc4random_uniform, arc4random_uniform_(0));
        SHOW(arc4random_uniform, arc4random_uniform_(1));
        unsigned seen = 0, largest = 0, high = 0;
        for (int i = 0; i < 1000; i++) {
            uint32_t number = arc4random_uniform_(10);
            seen |= 1u << number;
            largest = number > largest ? number : largest;
            high |= arc4random_uniform_(0x80000001u);
        }
        printf("arc4random_uniform: %x %u %d\n", seen, largest, high >= 0x7f000000u);
    }
}
