/* What an extension module and the library that it needs do both, each for itself: newer functions of glibc, relocations
   of every kind, and references that may find nothing. Included with PREFIX before every name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma weak stat
#pragma weak getentropy
#ifdef LOSES_WEAKNESS /* mold gives a reference the binding of what it finds. */
#define _Fork deloc8_nowhere
#else
#pragma weak _Fork
#endif
#pragma weak deloc8_nowhere
extern void deloc8_nowhere(void);

/* Relative relocations, so many that packing them pays. */
static const char *const words[] = {
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
};
static int twice(int x) { return 2 * x; }
static int thrice(int x) { return 3 * x; }
static int (*const steps[])(int) = {twice, thrice, twice, abs, twice};
static int (*const *chosen)(int) = steps + 1;
static __thread int of_thread = 7;
static int initialised;

__attribute__((constructor)) static void initialise(void) { initialised = 5; }

/* Chosen when the file is loaded (IRELATIVE). */
static int fast(int x) { return x + 40; }
static int (*choose(void))(int) { return fast; }
__attribute__((ifunc("choose"))) static int added(int x);

static void *in_thread(void *given)
{
    of_thread += *(int *)given;
    *(int *)given = of_thread;
    return NULL;
}

int PREFIX(line)(char *text, size_t size)
{
    struct stat status, other;
    unsigned char bytes[16] = {0}, more[16] = {0};
    volatile double two = 2.0;
    pthread_t thread;
    int number = 3, letters = 0, sum = 0, descriptor, fstated, stated, closed;
    size_t i;

    for (i = 0; i < sizeof words / sizeof *words; i++)
        letters += (int)strlen(words[i]);
    for (i = 0; i < sizeof steps / sizeof *steps; i++)
        sum += steps[i](1);
    sum += (*chosen)(10);
    if (pthread_create(&thread, NULL, in_thread, &number) || pthread_join(thread, NULL))
        return -1;
    descriptor = open("/", O_RDONLY);
    memset(&status, 0, sizeof status);
    memset(&other, 0, sizeof other);
    fstated = fstat(descriptor, &other);
    stated = stat ? stat("/", &status) : -2;
    closed = fcntl(descriptor, F_GETFD) >= 0 && !close(descriptor);
    return snprintf(
        text, size, "letters %d sum %d init %d ifunc %d thread %d %d exp %.3f dlsym %d fstat %d stat %d same %d fcntl %d "
        "random %d entropy %d fork %d nowhere %d",
        letters, sum, initialised, added(2), number, of_thread, exp(two), dlsym(RTLD_DEFAULT, "malloc") != NULL,
        fstated, stated, status.st_ino && status.st_ino == other.st_ino, closed,
        (int)getrandom(bytes, sizeof bytes, 0), getentropy ? getentropy(more, sizeof more) : -2, _Fork != NULL,
        deloc8_nowhere != NULL);
}
