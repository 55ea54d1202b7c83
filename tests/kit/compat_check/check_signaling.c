#include "check.h"

#include <float.h>

/* Numbers are made from their bytes. */
#define EACH_KIND(name, type, ...)                                                                                     \
    CHECK(name, int, type) {                                                                                           \
        static const uint64_t highs[] = {__VA_ARGS__};                                                                 \
        static const uint64_t lows[] = {0, 1, 0x8000000000000000u, 0xc000000000000000u, 0xc000000000000001u,           \
                                        0xa000000000000000u, 0x4000000000000000u};                                     \
        for (unsigned i = 0; i < sizeof highs / sizeof *highs; i++)                                                    \
            for (unsigned sign = 0; sign < 2; sign++) {                                                                \
                uint64_t high = highs[i] | (uint64_t)sign << (sizeof(type) == 4 ? 31 : 63);                            \
                for (unsigned k = 0; k < (sizeof(type) > 8 ? 7 : 1); k++) {                                            \
                    type number;                                                                                       \
                    make(&number, sizeof number, high, lows[k]);                                                       \
                    printf(#name ": %llx %llx %d\n", (unsigned long long)high, (unsigned long long)lows[k],            \
                           name##_(number) != 0);                                                                      \
                }                                                                                                      \
            }                                                                                                          \
    }

static void make(void *number, size_t size, uint64_t high, uint64_t low) {
    memset(number, 0, size);
    if (size == 4) {
        uint32_t bits = (uint32_t)high;
        memcpy(number, &bits, 4);
    } else if (size == 8) {
        memcpy(number, &high, 8);
    } else if (size == 12 || (LDBL_MANT_DIG == 64 && size == 16 && !(high >> 16 & 0xffffffffffff))) {
        uint16_t top = (uint16_t)high;
        memcpy(number, &low, 8);
        memcpy((char *)number + 8, &top, 2);
    } else {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ || LDBL_MANT_DIG == 106
        memcpy(number, &high, 8);
        memcpy((char *)number + 8, &low, 8);
#else
        memcpy(number, &low, 8);
        memcpy((char *)number + 8, &high, 8);
#endif
    }
}

#define FLOATS 0, 1, 0x3f800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fa00000, 0x7fc00000, 0x7fffffff
#define DOUBLES                                                                                                        \
    0, 1, 0x3ff0000000000000, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001, 0x7ff4000000000000,          \
        0x7ff7ffffffffffff, 0x7ff8000000000000, 0x7fffffffffffffff
#define QUADS                                                                                                          \
    0, 1, 0x3fff000000000000, 0x7ffeffffffffffff, 0x7fff000000000000, 0x7fff000000000001, 0x7fff400000000000,          \
        0x7fff7fffffffffff, 0x7fff800000000000, 0x7fffffffffffffff
#define EXTENDED 0, 1, 0x3fff, 0x7ffe, 0x7fff, 0xffff

void check_signaling(void) {
    EACH_KIND(__issignalingf, float, FLOATS)
    EACH_KIND(__issignaling, double, DOUBLES)
#if LDBL_MANT_DIG == 64
    EACH_KIND(__issignalingl, long double, EXTENDED)
#elif LDBL_MANT_DIG == 106
    EACH_KIND(__issignalingl, long double, DOUBLES)
#elif LDBL_MANT_DIG == 113
    EACH_KIND(__issignalingl, long double, QUADS)
#endif
#if defined(__SIZEOF_FLOAT128__) || defined(__FLOAT128__)
    EACH_KIND(__issignalingf128, __float128, QUADS)
#endif
}
