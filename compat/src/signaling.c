/* SPDX-License-Identifier: MIT-0 */
/* Whether a floating-point number is a signalling NaN. Numbers are looked at as they lie in memory: to load one into a
 * register may make it quiet. */
#include "compat.h"

#include <float.h>
#include <string.h>

/* On all machines that are built for, the top bit of the fraction is set in a quiet NaN. */

/// __issignalingf: whether a float is a signalling NaN
EXPORT int __issignalingf(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return ((bits ^ 0x00400000u) & 0x7fffffffu) > 0x7fc00000u;
}

static inline int signaling_64(uint64_t bits) {
    return ((bits ^ 0x0008000000000000u) & 0x7fffffffffffffffu) > 0x7ff8000000000000u;
}

/// __issignaling: whether a double is a signalling NaN
EXPORT int __issignaling(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return signaling_64(bits);
}

#if (defined(__SIZEOF_FLOAT128__) || defined(__FLOAT128__)) || LDBL_MANT_DIG == 113
static inline int signaling_128(const void *number) {
    uint64_t halves[2];
    memcpy(halves, number, sizeof halves);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint64_t high = halves[0], low = halves[1];
#else
    uint64_t high = halves[1], low = halves[0];
#endif
    high = (high ^ 0x0000800000000000u) & 0x7fffffffffffffffu;
    return (high | (low != 0)) > 0x7fff800000000000u;
}
#endif

/// __issignalingl: whether a long double is a signalling NaN
EXPORT int __issignalingl(long double number) {
#if LDBL_MANT_DIG == 113
    return signaling_128(&number);
#elif LDBL_MANT_DIG == 64
    uint64_t fraction;
    uint16_t top;
    memcpy(&fraction, &number, sizeof fraction);
    memcpy(&top, (const char *)&number + 8, sizeof top);
    /* Without the leading bit a number is not valid, and the processor takes it for a signalling NaN, as glibc does
     * since 2.33. */
    if ((top & 0x7fff) != 0 && !(fraction >> 63))
        return 1;
    return (top & 0x7fff) == 0x7fff && (fraction ^ 0x4000000000000000u) > 0xc000000000000000u;
#elif LDBL_MANT_DIG == 106
    /* A pair of doubles, of which the first says what it is. */
    uint64_t first;
    memcpy(&first, &number, sizeof first);
    return signaling_64(first);
#else
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return signaling_64(bits);
#endif
}

#if (defined(__SIZEOF_FLOAT128__) || defined(__FLOAT128__)) || LDBL_MANT_DIG == 113
#if (defined(__SIZEOF_FLOAT128__) || defined(__FLOAT128__))
typedef __float128 number_of_128_bits;
#else
typedef long double number_of_128_bits;
#endif
/// __issignalingf128: whether a number of 128 bits is a signalling NaN
EXPORT int __issignalingf128(number_of_128_bits number) { return signaling_128(&number); }
#endif
