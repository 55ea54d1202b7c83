#include "words.h"

#include <string.h>

static const struct {
    const char *language;
    const char *hello;
} table[] = {
    {"en", "Hello"}, {"de", "Hallo"}, {"fr", "Bonjour"}, {"is", "Hall\xc3\xb3"}, {"sw", "Habari"},
};

const char *words_hello(const char *language)
{
    for (int row = 0; row < words_languages(); row++)
        if (strcmp(table[row].language, language) == 0)
            return table[row].hello;
    return table[0].hello;
}

int words_languages(void)
{
    return (int)(sizeof table / sizeof table[0]);
}
