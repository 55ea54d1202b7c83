/* Calls the functions of the compatibility library, or libc's own, and prints what they do: a line is `NAME: RESULT`.
 *
 *     check libc FOLDER             the functions that the running libc has; the others are `NAME: missing`
 *     check LIBRARY FOLDER          those of the library, whatever libc has
 *     check ... FOLDER old-kernel   the same where the kernel does not know the newer system calls
 *
 * Two runs with the same results print the same lines. FOLDER is an empty one.
 */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE 1
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* The function of a name, or NULL after `NAME: missing` was printed. */
void *find(const char *name);

/* A block in which `NAME` is a pointer to the function, where there is one. */
#define CHECK(name, result, ...)                                                                                       \
    for (result (*name##_)(__VA_ARGS__) = find(#name); name##_; name##_ = NULL)

/* Prints a call's result and the error that it left. */
#define SHOW(name, call)                                                                                               \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long long shown = (long long)(call);                                                                           \
        int left = errno;                                                                                              \
        printf(#name ": %s = %lld errno %d\n", #call, shown, left);                                                    \
    } while (0)

/* Prints how a process ended that made a call. */
#define SHOW_END(name, call)                                                                                           \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        pid_t child = fork();                                                                                          \
        if (child == 0) {                                                                                              \
            int quiet = open("/dev/null", O_WRONLY);                                                                   \
            dup2(quiet, 2);                                                                                            \
            call;                                                                                                      \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        int status = 0;                                                                                                \
        waitpid(child, &status, 0);                                                                                    \
        printf(#name ": %s ended %d signal %d\n", #call, WIFEXITED(status) ? WEXITSTATUS(status) : -1,                 \
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);                                                            \
    } while (0)

/* Whether a thread that is to be cancelled ends in a function. */
int ends_in(void (*function)(void *), void *argument);

extern const char *folder;
extern int is_libc, old_kernel;

/* From now on a signal comes again and again, until the argument is 0: calls that block are interrupted, however late
 * they begin. */
void interrupt(int on);

/* A limit some milliseconds from now on a clock. */
struct timespec after(clockid_t clock, long milliseconds);

void check_stat(void);
void check_random(void);
void check_memory(void);
void check_strings(void);
void check_digits(void);
void check_signaling(void);
void check_files(void);
void check_process(void);
void check_clocks(void);
void check_c11threads(void);
void check_numbers(void);
void check_objects(void);
void check_destructors(void);

#endif
