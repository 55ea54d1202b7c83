/* SPDX-License-Identifier: MIT-0 */
/* Absolute values without overflow, and checked forms of functions that take addresses. */
#include "compat.h"

#include <arpa/inet.h>
#include <stdint.h>

/// uabs: the absolute value of an int, without sign
EXPORT unsigned int uabs(int number) { return number < 0 ? -(unsigned int)number : (unsigned int)number; }

/// ulabs: the absolute value of a long, without sign
EXPORT unsigned long ulabs(long number) { return number < 0 ? -(unsigned long)number : (unsigned long)number; }

/// ullabs: the absolute value of a long long, without sign
EXPORT unsigned long long ullabs(long long number) {
    return number < 0 ? -(unsigned long long)number : (unsigned long long)number;
}

/// uimaxabs: the absolute value of an intmax_t, without sign (the name in glibc 2.42)
EXPORT uintmax_t uimaxabs(intmax_t number) { return number < 0 ? -(uintmax_t)number : (uintmax_t)number; }

/// umaxabs: the absolute value of an intmax_t, without sign
EXPORT uintmax_t umaxabs(intmax_t number) { return number < 0 ? -(uintmax_t)number : (uintmax_t)number; }

/// __inet_ntop_chk: inet_ntop that ends the process where the room passes the object
EXPORT const char *__inet_ntop_chk(int family, const void *address, char *text, socklen_t room, size_t real_room) {
    if (real_room < room)
        __chk_fail();
    return inet_ntop(family, address, text, room);
}

/// __inet_pton_chk: inet_pton that ends the process where the address does not fit into the object
EXPORT int __inet_pton_chk(int family, const char *text, void *address, size_t room) {
    if ((family == AF_INET && room < sizeof(struct in_addr)) || (family == AF_INET6 && room < sizeof(struct in6_addr)))
        __chk_fail();
    return inet_pton(family, text, address);
}
