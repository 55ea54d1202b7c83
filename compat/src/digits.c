/* SPDX-License-Identifier: MIT-0 */
/* Numbers in text, with the prefix 0b of C23. */
#include "compat.h"

#include <ctype.h>
#include <limits.h>
#include <locale.h>
#include <wchar.h>
#include <wctype.h>

/* Under these names the functions do without the prefix in every release; headers may give them others. */
#define PLAIN(name, result, character, ...)                                                                            \
    extern result plain_##name(const character *, character **, int, ##__VA_ARGS__) __asm__(#name)

PLAIN(strtoull, unsigned long long, char);
PLAIN(wcstoull, unsigned long long, wchar_t);

/* A number of base 2: whether it has a minus, how large it is, and whether it is larger than its type. */
struct binary {
    int negative, overflow;
    unsigned long long value;
};

/* The function `FIND` tells whether a text has the prefix and a digit behind it, reads it then, and says where it ends.
 * What has no digit behind the prefix is 0 and ends before the b, as without it. */
#define FIND(find, character, is_space, parse)                                                                         \
    static int find(const character *text, character **end, int base, locale_t locale, struct binary *found) {         \
        if (base != 0 && base != 2)                                                                                    \
            return 0;                                                                                                  \
        while (is_space(*text, locale))                                                                                \
            text++;                                                                                                    \
        found->negative = *text == '-';                                                                                \
        if (*text == '-' || *text == '+')                                                                              \
            text++;                                                                                                    \
        if (text[0] != '0' || (text[1] != 'b' && text[1] != 'B') || (text[2] != '0' && text[2] != '1'))                \
            return 0;                                                                                                  \
        int saved = errno;                                                                                             \
        errno = 0;                                                                                                     \
        found->value = parse(text + 2, end, 2);                                                                        \
        found->overflow = errno == ERANGE;                                                                             \
        errno = saved;                                                                                                 \
        return 1;                                                                                                      \
    }

static int is_space(char letter, locale_t locale) {
    unsigned char byte = (unsigned char)letter;
    return locale ? isspace_l(byte, locale) : isspace(byte);
}
static int is_wide_space(wchar_t letter, locale_t locale) {
    return locale ? iswspace_l((wint_t)letter, locale) : iswspace((wint_t)letter);
}
FIND(find, char, is_space, plain_strtoull)
FIND(find_wide, wchar_t, is_wide_space, plain_wcstoull)

static long long bounded(const struct binary *found, long long least, long long most) {
    if (!found->overflow && found->value <= (unsigned long long)most + (unsigned)found->negative)
        return (long long)(found->negative ? -found->value : found->value);
    errno = ERANGE;
    return found->negative ? least : most;
}

static unsigned long long bounded_above(const struct binary *found, unsigned long long most) {
    if (!found->overflow && found->value <= most)
        return found->negative ? -found->value : found->value;
    errno = ERANGE;
    return most;
}

#define SIGNED(least, most) bounded(&found, least, most)
#define UNSIGNED(most) bounded_above(&found, most)

#define READ(name, result, character, find, number)                                                                    \
    PLAIN(name, result, character);                                                                                    \
    EXPORT result __isoc23_##name(const character *text, character **end, int base) {                                  \
        struct binary found;                                                                                           \
        return find(text, end, base, NULL, &found) ? (result)number : plain_##name(text, end, base);                   \
    }
#define READ_BY(name, result, character, find, number)                                                                 \
    PLAIN(name, result, character, locale_t);                                                                          \
    EXPORT result __isoc23_##name(const character *text, character **end, int base, locale_t locale) {                 \
        struct binary found;                                                                                           \
        return find(text, end, base, locale, &found) ? (result)number : plain_##name(text, end, base, locale);         \
    }

/// __isoc23_strtol: strtol that reads the prefix 0b of C23
READ(strtol, long, char, find, SIGNED(LONG_MIN, LONG_MAX))
/// __isoc23_strtoll: strtoll that reads the prefix 0b of C23
READ(strtoll, long long, char, find, SIGNED(LLONG_MIN, LLONG_MAX))
/// __isoc23_strtoul: strtoul that reads the prefix 0b of C23
READ(strtoul, unsigned long, char, find, UNSIGNED(ULONG_MAX))
/// __isoc23_strtoull: strtoull that reads the prefix 0b of C23
EXPORT unsigned long long __isoc23_strtoull(const char *text, char **end, int base) {
    struct binary found;
    return find(text, end, base, NULL, &found) ? UNSIGNED(ULLONG_MAX) : plain_strtoull(text, end, base);
}
/// __isoc23_strtoimax: strtoimax that reads the prefix 0b of C23
READ(strtoimax, intmax_t, char, find, SIGNED(INTMAX_MIN, INTMAX_MAX))
/// __isoc23_strtoumax: strtoumax that reads the prefix 0b of C23
READ(strtoumax, uintmax_t, char, find, UNSIGNED(UINTMAX_MAX))
/// __isoc23_strtol_l: strtol_l that reads the prefix 0b of C23
READ_BY(strtol_l, long, char, find, SIGNED(LONG_MIN, LONG_MAX))
/// __isoc23_strtoll_l: strtoll_l that reads the prefix 0b of C23
READ_BY(strtoll_l, long long, char, find, SIGNED(LLONG_MIN, LLONG_MAX))
/// __isoc23_strtoul_l: strtoul_l that reads the prefix 0b of C23
READ_BY(strtoul_l, unsigned long, char, find, UNSIGNED(ULONG_MAX))
/// __isoc23_strtoull_l: strtoull_l that reads the prefix 0b of C23
READ_BY(strtoull_l, unsigned long long, char, find, UNSIGNED(ULLONG_MAX))
/// __isoc23_wcstol: wcstol that reads the prefix 0b of C23
READ(wcstol, long, wchar_t, find_wide, SIGNED(LONG_MIN, LONG_MAX))
/// __isoc23_wcstoll: wcstoll that reads the prefix 0b of C23
READ(wcstoll, long long, wchar_t, find_wide, SIGNED(LLONG_MIN, LLONG_MAX))
/// __isoc23_wcstoul: wcstoul that reads the prefix 0b of C23
READ(wcstoul, unsigned long, wchar_t, find_wide, UNSIGNED(ULONG_MAX))
/// __isoc23_wcstoull: wcstoull that reads the prefix 0b of C23
EXPORT unsigned long long __isoc23_wcstoull(const wchar_t *text, wchar_t **end, int base) {
    struct binary found;
    return find_wide(text, end, base, NULL, &found) ? UNSIGNED(ULLONG_MAX) : plain_wcstoull(text, end, base);
}
/// __isoc23_wcstoimax: wcstoimax that reads the prefix 0b of C23
READ(wcstoimax, intmax_t, wchar_t, find_wide, SIGNED(INTMAX_MIN, INTMAX_MAX))
/// __isoc23_wcstoumax: wcstoumax that reads the prefix 0b of C23
READ(wcstoumax, uintmax_t, wchar_t, find_wide, UNSIGNED(UINTMAX_MAX))
/// __isoc23_wcstol_l: wcstol_l that reads the prefix 0b of C23
READ_BY(wcstol_l, long, wchar_t, find_wide, SIGNED(LONG_MIN, LONG_MAX))
/// __isoc23_wcstoll_l: wcstoll_l that reads the prefix 0b of C23
READ_BY(wcstoll_l, long long, wchar_t, find_wide, SIGNED(LLONG_MIN, LLONG_MAX))
/// __isoc23_wcstoul_l: wcstoul_l that reads the prefix 0b of C23
READ_BY(wcstoul_l, unsigned long, wchar_t, find_wide, UNSIGNED(ULONG_MAX))
/// __isoc23_wcstoull_l: wcstoull_l that reads the prefix 0b of C23
READ_BY(wcstoull_l, unsigned long long, wchar_t, find_wide, UNSIGNED(ULLONG_MAX))
