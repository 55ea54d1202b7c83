/* SPDX-License-Identifier: MIT-0 */
/* System calls as cancellation points. */
#include "compat.h"

#include <pthread.h>

long cancellable_syscall(long number, long a, long b, long c, long d, long e, long f) {
    int previous;
    /* As glibc before 2.41 does itself: while the call lasts, cancelling takes effect at once; and a request that is
     * already there takes effect here. */
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &previous);
    long result = syscall(number, a, b, c, d, e, f);
    int saved = errno;
    pthread_setcanceltype(previous, &previous);
    errno = saved;
    return result;
}

#ifdef __arm__
/* Each unwind table of Arm names one of these, for the linker alone: an unwinder takes its own. */
HIDDEN void __aeabi_unwind_cpp_pr0(void) {}
HIDDEN void __aeabi_unwind_cpp_pr1(void) {}
#endif
