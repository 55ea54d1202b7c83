#include "check.h"

#define EACH_COPY(name, character, text, show)                                                                         \
    CHECK(name, size_t, character *, const character *, size_t) {                                                      \
        for (size_t room = 0; room < 9; room++) {                                                                      \
            character target[10] = text("ab\0xxxxxx");                                                                 \
            size_t result = name##_(target, text("12345"), room);                                                      \
            printf(#name ": %d of %d", (int)result, (int)room);                                                        \
            for (int i = 0; i < 10; i++)                                                                               \
                printf(" %d", (int)target[i]);                                                                         \
            printf("\n");                                                                                              \
        }                                                                                                              \
        character target[3] = text("ab");                                                                              \
        printf(#name ": %d\n", (int)name##_(target, text(""), 3));                                                     \
    }                                                                                                                  \
    CHECK(__##name##_chk, size_t, character *, const character *, size_t, size_t) {                                    \
        character target[10] = text("ab\0xxxxxx");                                                                     \
        printf("__" #name "_chk: %d", (int)__##name##_chk_(target, text("12345"), 5, 5));                              \
        for (int i = 0; i < 10; i++)                                                                                   \
            printf(" %d", (int)target[i]);                                                                             \
        printf("\n");                                                                                                  \
        SHOW_END(__##name##_chk, __##name##_chk_(target, text("1"), 6, 5));                                            \
        SHOW_END(__##name##_chk, __##name##_chk_(target, text("1"), 5, 6));                                            \
    }

#define NARROW(text) text
#define WIDE(text) L##text

void check_strings(void) {
    EACH_COPY(strlcpy, char, NARROW, "%s")
    EACH_COPY(strlcat, char, NARROW, "%s")
    EACH_COPY(wcslcpy, wchar_t, WIDE, "%ls")
    EACH_COPY(wcslcat, wchar_t, WIDE, "%ls")
}
