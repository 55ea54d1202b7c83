/* libwords: the words that a greeting is made of. */
#ifndef WORDS_H
#define WORDS_H

/* The word to open a greeting with, in a language ("en", "de", ...); "Hello" for a language it does not know. */
const char *words_hello(const char *language);

/* How many languages it knows. */
int words_languages(void);

#endif
