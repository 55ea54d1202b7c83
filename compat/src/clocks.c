/* SPDX-License-Identifier: MIT-0 */
/* Waiting with a limit on a clock that the caller names. */
#include "compat.h"

#include <gnu/libc-version.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BILLION 1000000000L

/* The longest wait, in seconds, before the two clocks are compared again: a clock that is set back makes no wait longer
 * than that. */
#define LONGEST 5

static int known(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC; }

static int valid(const struct timespec *time) { return time->tv_nsec >= 0 && time->tv_nsec < BILLION; }

static int passed(clockid_t clock, const struct timespec *limit) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec > limit->tv_sec || (now.tv_sec == limit->tv_sec && now.tv_nsec >= limit->tv_nsec);
}

/* The time on one clock at which a limit on another is reached, or LONGEST from now if that is earlier. */
static struct timespec translate(clockid_t from, const struct timespec *limit, clockid_t to) {
    struct timespec now, result;
    clock_gettime(from, &now);
    clock_gettime(to, &result);
    /* Limits can be as far away as the type allows: compare before subtracting. */
    if (limit->tv_sec < now.tv_sec)
        return (struct timespec){.tv_sec = 0, .tv_nsec = 0};
    if (limit->tv_sec > now.tv_sec && (uint64_t)limit->tv_sec - (uint64_t)now.tv_sec > LONGEST) {
        result.tv_sec += LONGEST;
        return result;
    }
    result.tv_sec += limit->tv_sec - now.tv_sec;
    result.tv_nsec += limit->tv_nsec - now.tv_nsec;
    if (result.tv_nsec >= BILLION) {
        result.tv_nsec -= BILLION;
        result.tv_sec++;
    } else if (result.tv_nsec < 0) {
        result.tv_nsec += BILLION;
        result.tv_sec--;
    }
    return result;
}

/* Locks with a limit on the clock of the day, called until the limit on the caller's clock is reached. */
typedef int lock_until(void *object, const struct timespec *limit);

static int lock_by(lock_until *lock, void *object, clockid_t clock, const struct timespec *limit) {
    if (!known(clock))
        return EINVAL;
    if (clock == CLOCK_REALTIME || !valid(limit))
        return lock(object, limit);
    int result;
    do {
        struct timespec translated = translate(clock, limit, CLOCK_REALTIME);
        result = lock(object, &translated);
    } while (result == ETIMEDOUT && !passed(clock, limit));
    return result;
}

static int lock_mutex(void *mutex, const struct timespec *limit) { return pthread_mutex_timedlock(mutex, limit); }
static int lock_to_read(void *lock, const struct timespec *limit) { return pthread_rwlock_timedrdlock(lock, limit); }
static int lock_to_write(void *lock, const struct timespec *limit) { return pthread_rwlock_timedwrlock(lock, limit); }
static int take(void *semaphore, const struct timespec *limit) { return sem_timedwait(semaphore, limit) ? errno : 0; }

/// pthread_mutex_clocklock: pthread_mutex_timedlock with a clock
EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *limit) {
    return lock_by(lock_mutex, mutex, clock, limit);
}

/// pthread_rwlock_clockrdlock: pthread_rwlock_timedrdlock with a clock
EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *limit) {
    return valid(limit) ? lock_by(lock_to_read, lock, clock, limit) : EINVAL;
}

/// pthread_rwlock_clockwrlock: pthread_rwlock_timedwrlock with a clock
EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *limit) {
    return valid(limit) ? lock_by(lock_to_write, lock, clock, limit) : EINVAL;
}

/// sem_clockwait: sem_timedwait with a clock
EXPORT int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *limit) {
    int result = valid(limit) ? lock_by(take, semaphore, clock, limit) : EINVAL;
    return result ? fail(result) : 0;
}

struct joining {
    pthread_t thread;
    void **value;
};

static int join(void *joining, const struct timespec *limit) {
    struct joining *wanted = joining;
    return pthread_timedjoin_np(wanted->thread, wanted->value, limit);
}

/// pthread_clockjoin_np: pthread_timedjoin_np with a clock
EXPORT int pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock, const struct timespec *limit) {
    if (!known(clock))
        return EINVAL;
    if (limit == NULL)
        return pthread_join(thread, value);
    struct joining wanted = {.thread = thread, .value = value};
    return lock_by(join, &wanted, clock, limit);
}

/* The clock that a condition variable was initialised with.
 *
 * It lies in the variable itself, in one of two forms: glibc 2.25 brought the second, and glibc 2.30 the function that is
 * defined below, so that no later form is ever seen here. */
static clockid_t clock_of(const pthread_cond_t *condition) {
    /* 2.17 to 2.24: lock, futex, three counters of 64 bits, the mutex, and the waiters, whose last bit it is. */
    size_t place = 4 + 4 + 3 * 8 + sizeof(void *);
    uint32_t mask = 1;
    const char *version = gnu_get_libc_version();
    if (strncmp(version, "2.", 2) != 0 || strtol(version + 2, NULL, 10) >= 25) {
        /* From 2.25: two positions of 64 bits, two times two numbers, a size, and the references; the second bit. */
        place = 2 * 8 + 4 * 4 + 4;
        mask = 2;
    }
    uint32_t word;
    memcpy(&word, (const char *)condition + place, sizeof word);
    return word & mask ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

/// pthread_cond_clockwait: pthread_cond_timedwait with a clock; a wait of seconds may end early, as such waits may
EXPORT int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *limit) {
    if (!valid(limit) || !known(clock))
        return EINVAL;
    clockid_t own = clock_of(condition);
    if (own == clock)
        return pthread_cond_timedwait(condition, mutex, limit);
    struct timespec translated = translate(clock, limit, own);
    int result = pthread_cond_timedwait(condition, mutex, &translated);
    /* The mutex was open for a moment, and a signal may have come: to wait on would be to lose it. */
    return result == ETIMEDOUT && !passed(clock, limit) ? 0 : result;
}
