/* libgreet: greetings; takes its words from libwords. */
#ifndef GREET_H
#define GREET_H

#include <stddef.h>

/* Writes "Hello, NAME!" with its final NUL into `line`; the length it has, or would need, without that NUL. */
int greet_line(char *line, size_t size, const char *name, const char *language);

/* How loud `voices` equal voices are together, in decibels above one voice. */
double greet_loudness(unsigned voices);

#endif
