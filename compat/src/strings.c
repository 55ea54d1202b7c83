/* SPDX-License-Identifier: MIT-0 */
/* Copies of strings that are cut to the room there is, as OpenBSD has them. */
#include "compat.h"

#include <string.h>
#include <wchar.h>

/// strlcpy: a copy cut to the room there is; gives the length of the source
EXPORT size_t strlcpy(char *target, const char *source, size_t room) {
    size_t length = strlen(source);
    if (room > 0) {
        size_t copied = length < room ? length : room - 1;
        memcpy(target, source, copied);
        target[copied] = '\0';
    }
    return length;
}

/// strlcat: appends, cut to the room there is; gives the length that was wanted
EXPORT size_t strlcat(char *target, const char *source, size_t room) {
    size_t before = strnlen(target, room);
    if (before == room)
        return room + strlen(source);
    return before + strlcpy(target + before, source, room - before);
}

/// wcslcpy: strlcpy for wide characters
EXPORT size_t wcslcpy(wchar_t *target, const wchar_t *source, size_t room) {
    size_t length = wcslen(source);
    if (room > 0) {
        size_t copied = length < room ? length : room - 1;
        wmemcpy(target, source, copied);
        target[copied] = L'\0';
    }
    return length;
}

/// wcslcat: strlcat for wide characters
EXPORT size_t wcslcat(wchar_t *target, const wchar_t *source, size_t room) {
    size_t before = wcsnlen(target, room);
    if (before == room)
        return room + wcslen(source);
    return before + wcslcpy(target + before, source, room - before);
}

/// __strlcpy_chk: strlcpy that ends the process where the room passes the object
EXPORT size_t __strlcpy_chk(char *target, const char *source, size_t room, size_t real_room) {
    if (real_room < room)
        __chk_fail();
    return strlcpy(target, source, room);
}

/// __strlcat_chk: strlcat that ends the process where the room passes the object
EXPORT size_t __strlcat_chk(char *target, const char *source, size_t room, size_t real_room) {
    if (real_room < room)
        __chk_fail();
    return strlcat(target, source, room);
}

/// __wcslcpy_chk: wcslcpy that ends the process where the room passes the object
EXPORT size_t __wcslcpy_chk(wchar_t *target, const wchar_t *source, size_t room, size_t real_room) {
    if (real_room < room)
        __chk_fail();
    return wcslcpy(target, source, room);
}

/// __wcslcat_chk: wcslcat that ends the process where the room passes the object
EXPORT size_t __wcslcat_chk(wchar_t *target, const wchar_t *source, size_t room, size_t real_room) {
    if (real_room < room)
        __chk_fail();
    return wcslcat(target, source, room);
}
