#include "check.h"

void check_memory(void) {
    CHECK(reallocarray, void *, void *, size_t, size_t) {
        char *block = reallocarray_(NULL, 10, 20);
        memset(block, 7, 200);
        block = reallocarray_(block, 1000, 100);
        printf("reallocarray: %d %d\n", block != NULL, block[199]);
        SHOW(reallocarray, (intptr_t)reallocarray_(block, SIZE_MAX / 2, 3));
        SHOW(reallocarray, (intptr_t)reallocarray_(NULL, SIZE_MAX / 4, 3));
        SHOW(reallocarray, reallocarray_(NULL, 0, 0) != NULL);
        free(block);
    }
    unsigned char bytes[32];
    CHECK(explicit_bzero, void, void *, size_t) {
        memset(bytes, 9, sizeof bytes);
        explicit_bzero_(bytes + 4, 8);
        printf("explicit_bzero: %d %d %d %d\n", bytes[3], bytes[4], bytes[11], bytes[12]);
    }
    CHECK(__explicit_bzero_chk, void, void *, size_t, size_t) {
        memset(bytes, 9, sizeof bytes);
        __explicit_bzero_chk_(bytes + 4, 8, 8);
        printf("__explicit_bzero_chk: %d %d %d %d\n", bytes[3], bytes[4], bytes[11], bytes[12]);
        SHOW_END(__explicit_bzero_chk, __explicit_bzero_chk_(bytes, 8, 7));
        SHOW_END(__explicit_bzero_chk, __explicit_bzero_chk_(bytes, 7, 8));
    }
    CHECK(memset_explicit, void *, void *, int, size_t) {
        memset(bytes, 9, sizeof bytes);
        printf("memset_explicit: %d\n", memset_explicit_(bytes + 4, 0x103, 8) == bytes + 4);
        printf("memset_explicit: %d %d %d %d\n", bytes[3], bytes[4], bytes[11], bytes[12]);
    }
    CHECK(__memset_explicit_chk, void *, void *, int, size_t, size_t) {
        memset(bytes, 9, sizeof bytes);
        printf("__memset_explicit_chk: %d\n", __memset_explicit_chk_(bytes + 4, 3, 8, 8) == bytes + 4);
        printf("__memset_explicit_chk: %d %d %d %d\n", bytes[3], bytes[4], bytes[11], bytes[12]);
        SHOW_END(__memset_explicit_chk, __memset_explicit_chk_(bytes, 3, 8, 7));
    }
    CHECK(free_sized, void, void *, size_t) {
        free_sized_(malloc(50), 50);
        free_sized_(NULL, 50);
        printf("free_sized: freed\n");
    }
    CHECK(free_aligned_sized, void, void *, size_t, size_t) {
        void *block = NULL;
        if (posix_memalign(&block, 64, 128) == 0)
            free_aligned_sized_(block, 64, 128);
        free_aligned_sized_(NULL, 64, 128);
        printf("free_aligned_sized: freed\n");
    }
    CHECK(memalignment, size_t, const void *) {
        SHOW(memalignment, memalignment_(NULL));
        SHOW(memalignment, memalignment_((void *)1));
        SHOW(memalignment, memalignment_((void *)0x6000));
    }
    CHECK(memfd_create, int, const char *, unsigned) {
        int file = memfd_create_("name", 1);
        if (file < 0)
            printf("memfd_create: errno %d\n", errno);
        else
            printf("memfd_create: %d %d\n", (int)write(file, "abc", 3), fcntl(file, F_GETFD));
        close(file);
        SHOW(memfd_create, memfd_create_("name", 0x40000000));
        SHOW(memfd_create, memfd_create_((const char *)1, 0));
    }
    static char pages[3 * 65536] __attribute__((aligned(65536)));
    CHECK(mlock2, int, const void *, size_t, unsigned) {
        SHOW(mlock2, mlock2_(pages, 4096, 0));
        SHOW(mlock2, mlock2_(pages, 4096, 1));
        SHOW(mlock2, mlock2_(pages, 4096, 64));
        SHOW(mlock2, mlock2_((void *)65536, 4096, 0));
        munlock(pages, 4096);
    }
    CHECK(pkey_alloc, int, unsigned, unsigned) {
        SHOW(pkey_alloc, (pkey_alloc_(1, 0)));
        SHOW(pkey_alloc, (pkey_alloc_(0, 64)));
    }
    CHECK(pkey_free, int, int) {
        SHOW(pkey_free, pkey_free_(-1));
        SHOW(pkey_free, pkey_free_(77));
    }
    CHECK(pkey_mprotect, int, void *, size_t, int, int) {
        SHOW(pkey_mprotect, pkey_mprotect_(pages, 65536, PROT_READ, -1));
        SHOW(pkey_mprotect, pkey_mprotect_(pages, 65536, PROT_READ | PROT_WRITE, -1));
        SHOW(pkey_mprotect, pkey_mprotect_(pages, 65536, PROT_READ, 77));
        SHOW(pkey_mprotect, pkey_mprotect_((void *)1, 65536, PROT_READ, -1));
    }
}
