/* SPDX-License-Identifier: MIT-0 */
/* Threads. */
#include "compat.h"

#include <pthread.h>
#include <signal.h>

/* Not a signal of a program: glibc's threads use them. */
static int is_reserved(int number) { return number == 32 || number == 33; }

/// pthread_kill@2.34 by deloc8_pthread_kill: the old version, with 0 for a thread that has ended and is not joined
EXPORT int deloc8_pthread_kill(pthread_t thread, int number) {
    if (is_reserved(number))
        return EINVAL;
    if (!pthread_equal(thread, pthread_self())) {
        int result = pthread_kill(thread, number);
        return result == ESRCH ? 0 : result;
    }
    /* By the kernel's numbers, as after vfork libc's are those of the parent. */
    int saved = errno;
    if (syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), number) == 0)
        return 0;
    int result = errno;
    errno = saved;
    return result;
}
