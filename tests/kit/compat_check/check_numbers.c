#include "check.h"

#include <arpa/inet.h>
#include <limits.h>

void check_numbers(void) {
    CHECK(uabs, unsigned, int) { printf("uabs: %u %u %u %u\n", uabs_(0), uabs_(7), uabs_(-7), uabs_(INT_MIN)); }
    CHECK(ulabs, unsigned long, long) { printf("ulabs: %lu %lu %lu\n", ulabs_(7), ulabs_(-7), ulabs_(LONG_MIN)); }
    CHECK(ullabs, unsigned long long, long long) {
        printf("ullabs: %llu %llu %llu\n", ullabs_(7), ullabs_(-7), ullabs_(LLONG_MIN));
    }
    CHECK(uimaxabs, uintmax_t, intmax_t) {
        printf("uimaxabs: %llu %llu\n", (long long)uimaxabs_(-7), (unsigned long long)uimaxabs_(INTMAX_MIN));
    }
    CHECK(umaxabs, uintmax_t, intmax_t) {
        printf("umaxabs: %llu %llu\n", (long long)umaxabs_(-7), (unsigned long long)umaxabs_(INTMAX_MIN));
    }
    char text[50] = "";
    unsigned char address[16] = {127, 0, 0, 1};
    CHECK(__inet_ntop_chk, const char *, int, const void *, char *, socklen_t, size_t) {
        SHOW(__inet_ntop_chk, __inet_ntop_chk_(AF_INET, address, text, 50, 50) == text);
        printf("__inet_ntop_chk: %s\n", text);
        SHOW(__inet_ntop_chk, __inet_ntop_chk_(AF_INET, address, text, 3, 50) == NULL);
        SHOW(__inet_ntop_chk, __inet_ntop_chk_(77, address, text, 50, 50) == NULL);
        SHOW_END(__inet_ntop_chk, __inet_ntop_chk_(AF_INET, address, text, 50, 49));
    }
    CHECK(__inet_pton_chk, int, int, const char *, void *, size_t) {
        SHOW(__inet_pton_chk, __inet_pton_chk_(AF_INET, "10.1.2.3", address, 4));
        printf("__inet_pton_chk: %d %d\n", address[0], address[3]);
        SHOW(__inet_pton_chk, __inet_pton_chk_(AF_INET6, "::1", address, 16));
        SHOW(__inet_pton_chk, __inet_pton_chk_(AF_INET, "x", address, 4));
        SHOW(__inet_pton_chk, __inet_pton_chk_(77, "x", address, 0));
        SHOW_END(__inet_pton_chk, __inet_pton_chk_(AF_INET, "10.1.2.3", address, 3));
        SHOW_END(__inet_pton_chk, __inet_pton_chk_(AF_INET6, "::1", address, 15));
    }
}
