#include "check.h"

#include <locale.h>

static const char *const texts[] = {
    "",       "0",      "0b",      "0B",       "0b1",     "0B101",   "-0b101",  "+0b11",    " \t\n 0b10x", "- 0b1", "--0b1",
    "0b2",    "0b12",   "-0b",     "0b-1",     "0b 1",    "0b0b1",   "00b1",    "0x1f",     "0xg",         "0x0b1", "017",
    "1b1",    "b1",     "0bb1",    "101",      "-101",    "12z",     "99999999999999999999999", "-99999999999999999999999",
    "0b1111111111111111111111111111111",      "-0b10000000000000000000000000000000",
    "0b10000000000000000000000000000000",     "-0b10000000000000000000000000000001",
    "0b11111111111111111111111111111111",     "0b100000000000000000000000000000000",
    "0b111111111111111111111111111111111111111111111111111111111111111",
    "-0b1000000000000000000000000000000000000000000000000000000000000000",
    "0b1000000000000000000000000000000000000000000000000000000000000000",
    "-0b1000000000000000000000000000000000000000000000000000000000000001",
    "0b1111111111111111111111111111111111111111111111111111111111111111",
    "-0b1111111111111111111111111111111111111111111111111111111111111111",
    "0b10000000000000000000000000000000000000000000000000000000000000000z",
    "-0b10000000000000000000000000000000000000000000000000000000000000000",
};
static const int bases[] = {0, 2, 8, 10, 16, 36, 1, 37, -1};

#define NARROW(text) text
#define WIDE(text) wide(text)

static const wchar_t *wide(const char *text) {
    static wchar_t copy[100];
    size_t i = 0;
    do
        copy[i] = (unsigned char)text[i];
    while (text[i++]);
    return copy;
}

#define EACH(name, result, character, as, ...)                                                                         \
    for (size_t i = 0; name##_ && i < sizeof texts / sizeof *texts; i++)                                               \
        for (size_t k = 0; k < sizeof bases / sizeof *bases; k++) {                                                    \
            const character *text = as(texts[i]);                                                                      \
            character *end = (character *)text + 90;                                                                   \
            errno = 7;                                                                                                 \
            long long shown = (long long)name##_(text, &end, bases[k], ##__VA_ARGS__);                                 \
            int left = errno;                                                                                          \
            printf(#name ": text %d, %d = %lld end %d errno %d", (int)i, bases[k], shown,                              \
                   (int)(end - text), left);                                                                           \
            printf(" without %lld\n", (long long)name##_(as(texts[i]), NULL, bases[k], ##__VA_ARGS__));                \
        }

#define BOTH(name, result)                                                                                             \
    CHECK(__isoc23_strto##name, result, const char *, char **, int)                                                    \
    EACH(__isoc23_strto##name, result, char, NARROW)                                                                   \
    CHECK(__isoc23_wcsto##name, result, const wchar_t *, wchar_t **, int)                                              \
    EACH(__isoc23_wcsto##name, result, wchar_t, WIDE)

#define BOTH_BY(name, result)                                                                                          \
    CHECK(__isoc23_strto##name##_l, result, const char *, char **, int, locale_t)                                      \
    EACH(__isoc23_strto##name##_l, result, char, NARROW, locale)                                                       \
    CHECK(__isoc23_wcsto##name##_l, result, const wchar_t *, wchar_t **, int, locale_t)                                \
    EACH(__isoc23_wcsto##name##_l, result, wchar_t, WIDE, locale)

void check_digits(void) {
    locale_t locale = newlocale(LC_ALL_MASK, "C", NULL);
    BOTH(l, long)
    BOTH(ll, long long)
    BOTH(ul, unsigned long)
    BOTH(ull, unsigned long long)
    BOTH(imax, intmax_t)
    BOTH(umax, uintmax_t)
    BOTH_BY(l, long)
    BOTH_BY(ll, long long)
    BOTH_BY(ul, unsigned long)
    BOTH_BY(ull, unsigned long long)
    freelocale(locale);
}
