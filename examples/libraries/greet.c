#include "greet.h"
#include "words.h"

#include <math.h>
#include <stdio.h>

int greet_line(char *line, size_t size, const char *name, const char *language)
{
    return snprintf(line, size, "%s, %s!", words_hello(language), name);
}

double greet_loudness(unsigned voices)
{
    return 10.0 * log10((double)voices);
}
