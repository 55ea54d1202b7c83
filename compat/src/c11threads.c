/* SPDX-License-Identifier: MIT-0 */
/* The threads of C11, which are POSIX threads under other names. */
#include "compat.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

/* The values of <threads.h>, whose types are those of POSIX threads or as large. */
enum { SUCCESS, BUSY, ERROR, NO_MEMORY, TIMED_OUT };
enum { PLAIN, RECURSIVE, TIMED };

static int result_of(int error) {
    switch (error) {
    case 0:
        return SUCCESS;
    case EBUSY:
        return BUSY;
    case ENOMEM:
        return NO_MEMORY;
    case ETIMEDOUT:
        return TIMED_OUT;
    default:
        return ERROR;
    }
}

struct start {
    int (*function)(void *);
    void *argument;
};

static void *run(void *given) {
    struct start start = *(struct start *)given;
    free(given);
    return (void *)(intptr_t)start.function(start.argument);
}

/// thrd_create: pthread_create for a function that gives an int
EXPORT int thrd_create(pthread_t *thread, int (*function)(void *), void *argument) {
    struct start *start = malloc(sizeof *start);
    if (start == NULL)
        return NO_MEMORY;
    *start = (struct start){.function = function, .argument = argument};
    int error = pthread_create(thread, NULL, run, start);
    if (error)
        free(start);
    return result_of(error);
}

/// thrd_exit: pthread_exit with an int
EXPORT void thrd_exit(int value) { pthread_exit((void *)(intptr_t)value); }

/// thrd_join: pthread_join that gives an int
EXPORT int thrd_join(pthread_t thread, int *value) {
    void *ended = NULL;
    int error = pthread_join(thread, &ended);
    if (value != NULL)
        *value = (int)(intptr_t)ended;
    return result_of(error);
}

/// thrd_detach: pthread_detach
EXPORT int thrd_detach(pthread_t thread) { return result_of(pthread_detach(thread)); }

/// thrd_current: pthread_self
EXPORT pthread_t thrd_current(void) { return pthread_self(); }

/// thrd_equal: pthread_equal
EXPORT int thrd_equal(pthread_t one, pthread_t other) { return one == other; }

/// thrd_sleep: clock_nanosleep on the clock of the day; -1 where a signal ended it
EXPORT int thrd_sleep(const struct timespec *length, struct timespec *remaining) {
    int error = clock_nanosleep(CLOCK_REALTIME, 0, length, remaining);
    return error == 0 ? 0 : error == EINTR ? -1 : -2;
}

/// thrd_yield: sched_yield
EXPORT void thrd_yield(void) { sched_yield(); }

/// mtx_init: pthread_mutex_init
EXPORT int mtx_init(pthread_mutex_t *mutex, int kind) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    /* glibc takes a kind that it does not know for a plain one. */
    int recursive = kind == (PLAIN | RECURSIVE) || kind == (TIMED | RECURSIVE);
    pthread_mutexattr_settype(&attributes, recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_DEFAULT);
    int error = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result_of(error);
}

/// mtx_lock: pthread_mutex_lock
EXPORT int mtx_lock(pthread_mutex_t *mutex) { return result_of(pthread_mutex_lock(mutex)); }

/// mtx_timedlock: pthread_mutex_timedlock
EXPORT int mtx_timedlock(pthread_mutex_t *mutex, const struct timespec *limit) {
    return result_of(pthread_mutex_timedlock(mutex, limit));
}

/// mtx_trylock: pthread_mutex_trylock
EXPORT int mtx_trylock(pthread_mutex_t *mutex) { return result_of(pthread_mutex_trylock(mutex)); }

/// mtx_unlock: pthread_mutex_unlock
EXPORT int mtx_unlock(pthread_mutex_t *mutex) { return result_of(pthread_mutex_unlock(mutex)); }

/// mtx_destroy: pthread_mutex_destroy
EXPORT void mtx_destroy(pthread_mutex_t *mutex) { pthread_mutex_destroy(mutex); }

/// cnd_init: pthread_cond_init
EXPORT int cnd_init(pthread_cond_t *condition) { return result_of(pthread_cond_init(condition, NULL)); }

/// cnd_signal: pthread_cond_signal
EXPORT int cnd_signal(pthread_cond_t *condition) { return result_of(pthread_cond_signal(condition)); }

/// cnd_broadcast: pthread_cond_broadcast
EXPORT int cnd_broadcast(pthread_cond_t *condition) { return result_of(pthread_cond_broadcast(condition)); }

/// cnd_wait: pthread_cond_wait
EXPORT int cnd_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    return result_of(pthread_cond_wait(condition, mutex));
}

/// cnd_timedwait: pthread_cond_timedwait
EXPORT int cnd_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *limit) {
    return result_of(pthread_cond_timedwait(condition, mutex, limit));
}

/// cnd_destroy: pthread_cond_destroy
EXPORT void cnd_destroy(pthread_cond_t *condition) { pthread_cond_destroy(condition); }

/// tss_create: pthread_key_create
EXPORT int tss_create(pthread_key_t *key, void (*destructor)(void *)) {
    return result_of(pthread_key_create(key, destructor));
}

/// tss_get: pthread_getspecific
EXPORT void *tss_get(pthread_key_t key) { return pthread_getspecific(key); }

/// tss_set: pthread_setspecific
EXPORT int tss_set(pthread_key_t key, void *value) { return result_of(pthread_setspecific(key, value)); }

/// tss_delete: pthread_key_delete
EXPORT void tss_delete(pthread_key_t key) { pthread_key_delete(key); }

/// call_once: pthread_once
EXPORT void call_once(once_flag *flag, void (*function)(void)) { pthread_once((pthread_once_t *)flag, function); }

/// timespec_getres: the resolution of the clock of the day, for TIME_UTC
EXPORT int timespec_getres(struct timespec *resolution, int base) {
    if (base != 1 /* TIME_UTC */)
        return 0;
    if (resolution != NULL)
        clock_getres(CLOCK_REALTIME, resolution);
    return base;
}
