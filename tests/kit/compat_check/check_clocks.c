#include "check.h"

#include <gnu/libc-version.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;

#define LIMIT 300

static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};

/* Whether the most of LIMIT milliseconds has passed. */
static int waited(clockid_t clock, struct timespec begin) {
    struct timespec now;
    clock_gettime(clock, &now);
    long milliseconds = (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000;
    return milliseconds >= LIMIT - 50;
}

struct locking {
    int (*function)(void *, clockid_t, const struct timespec *);
    void *object;
    clockid_t clock;
    struct timespec limit;
    int result, error, waited;
};

static void *lock_in_thread(void *given) {
    struct locking *wanted = given;
    struct timespec begin = after(CLOCK_MONOTONIC, 0);
    errno = 0;
    wanted->result = wanted->function(wanted->object, wanted->clock, &wanted->limit);
    wanted->error = errno;
    wanted->waited = waited(CLOCK_MONOTONIC, begin);
    return NULL;
}

/* What another thread than the holder's gets. */
static void show_lock(const char *name, struct locking wanted) {
    pthread_t thread;
    int valid = wanted.limit.tv_nsec >= 0 && wanted.limit.tv_nsec < 1000000000;
    pthread_create(&thread, NULL, lock_in_thread, &wanted);
    pthread_join(thread, NULL);
    printf("%s: clock %d valid %d gives %d errno %d waited %d\n", name, (int)wanted.clock, valid, wanted.result,
           wanted.error, wanted.waited);
}

static void show_locks(const char *name, int (*function)(void *, clockid_t, const struct timespec *), void *object) {
    for (unsigned i = 0; i < 2; i++) {
        clockid_t clock = clocks[i];
        show_lock(name, (struct locking){function, object, clock, after(clock, LIMIT), 0, 0, 0});
        show_lock(name, (struct locking){function, object, clock, {1, 0}, 0, 0, 0});
        show_lock(name, (struct locking){function, object, clock, {-1, 0}, 0, 0, 0});
        show_lock(name, (struct locking){function, object, clock, {1, 1000000000}, 0, 0, 0});
        show_lock(name, (struct locking){function, object, clock, {1, -1}, 0, 0, 0});
    }
    show_lock(name, (struct locking){function, object, CLOCK_PROCESS_CPUTIME_ID, after(CLOCK_REALTIME, LIMIT), 0, 0, 0});
}

static void check_locks(void) {
    CHECK(pthread_mutex_clocklock, int, void *, clockid_t, const struct timespec *) {
        show_locks("pthread_mutex_clocklock", (pthread_mutex_lock(&mutex), pthread_mutex_clocklock_), &mutex);
        pthread_mutex_unlock(&mutex);
        show_locks("pthread_mutex_clocklock", pthread_mutex_clocklock_, (pthread_mutex_init(&mutex, NULL), &mutex));
        pthread_mutex_init(&mutex, NULL);
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
        pthread_mutex_t checking;
        pthread_mutex_init(&checking, &attributes);
        struct timespec limit = after(CLOCK_MONOTONIC, 100);
        SHOW(pthread_mutex_clocklock, pthread_mutex_clocklock_(&checking, CLOCK_MONOTONIC, &limit));
        SHOW(pthread_mutex_clocklock, pthread_mutex_clocklock_(&checking, CLOCK_MONOTONIC, &limit));
    }
    CHECK(pthread_rwlock_clockrdlock, int, void *, clockid_t, const struct timespec *) {
        pthread_rwlock_wrlock(&rwlock);
        show_locks("pthread_rwlock_clockrdlock", pthread_rwlock_clockrdlock_, &rwlock);
        struct timespec limit = after(CLOCK_MONOTONIC, 100);
        SHOW(pthread_rwlock_clockrdlock, pthread_rwlock_clockrdlock_(&rwlock, CLOCK_MONOTONIC, &limit));
        pthread_rwlock_unlock(&rwlock);
        SHOW(pthread_rwlock_clockrdlock, pthread_rwlock_clockrdlock_(&rwlock, CLOCK_MONOTONIC, &limit));
        pthread_rwlock_unlock(&rwlock);
        show_locks("pthread_rwlock_clockrdlock", pthread_rwlock_clockrdlock_, (pthread_rwlock_init(&rwlock, NULL), &rwlock));
        pthread_rwlock_init(&rwlock, NULL);
    }
    CHECK(pthread_rwlock_clockwrlock, int, void *, clockid_t, const struct timespec *) {
        pthread_rwlock_rdlock(&rwlock);
        show_locks("pthread_rwlock_clockwrlock", pthread_rwlock_clockwrlock_, &rwlock);
        pthread_rwlock_unlock(&rwlock);
        show_lock("pthread_rwlock_clockwrlock", (struct locking){pthread_rwlock_clockwrlock_, &rwlock, CLOCK_MONOTONIC, {1, 0}, 0, 0, 0});
        pthread_rwlock_init(&rwlock, NULL);
    }
}

static void check_semaphore(void) {
    CHECK(sem_clockwait, int, void *, clockid_t, const struct timespec *) {
        sem_init(&semaphore, 0, 0);
        show_locks("sem_clockwait", sem_clockwait_, &semaphore);
        sem_post(&semaphore);
        struct timespec limit = after(CLOCK_MONOTONIC, 5000), wrong = {1, 1000000000};
        SHOW(sem_clockwait, sem_clockwait_(&semaphore, CLOCK_MONOTONIC, &wrong));
        SHOW(sem_clockwait, sem_clockwait_(&semaphore, 77, &limit));
        SHOW(sem_clockwait, sem_clockwait_(&semaphore, CLOCK_MONOTONIC, &limit));
        interrupt(1);
        SHOW(sem_clockwait, sem_clockwait_(&semaphore, CLOCK_MONOTONIC, &limit));
        interrupt(0);
    }
}

static void *sleep_in_thread(void *value) {
    usleep(1000000);
    return value;
}

static void check_join(void) {
    CHECK(pthread_clockjoin_np, int, pthread_t, void **, clockid_t, const struct timespec *) {
        for (unsigned i = 0; i < 2; i++) {
            pthread_t thread;
            void *value = NULL;
            pthread_create(&thread, NULL, sleep_in_thread, (void *)77);
            struct timespec soon = after(clocks[i], 50), late = after(clocks[i], 5000);
            /* Not shown: a limit that is none, at which glibc 2.36 waits without end; and errno, which means nothing. */
            printf("pthread_clockjoin_np: soon %d", pthread_clockjoin_np_(thread, &value, clocks[i], &soon));
            printf(" no clock %d", pthread_clockjoin_np_(thread, &value, 77, &late));
            printf(" late %d", pthread_clockjoin_np_(thread, &value, clocks[i], i ? NULL : &late));
            printf(" value %d\n", (int)(intptr_t)value);
        }
        struct timespec late = after(CLOCK_MONOTONIC, 5000);
        printf("pthread_clockjoin_np: self %d\n",
               pthread_clockjoin_np_(pthread_self(), NULL, CLOCK_MONOTONIC, &late));
    }
}

static pthread_cond_t *waited_for;
static int ready;

static void *signal_in_thread(void *unused) {
    (void)unused;
    usleep(100000);
    pthread_mutex_lock(&mutex);
    ready = 1;
    pthread_cond_signal(waited_for);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

typedef int wait_function(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

static void unlock(void *unused) {
    (void)unused;
    pthread_mutex_unlock(&mutex);
}

static wait_function *wait_in_thread;

static void wait_and_unlock(void *condition) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, NULL);
    struct timespec limit = after(CLOCK_MONOTONIC, 5000);
    wait_in_thread(condition, &mutex, CLOCK_MONOTONIC, &limit);
    pthread_cleanup_pop(1);
}

/* The result of the waits until a limit; a wait may end early without a signal. */
static int wait_until(wait_function *wait, pthread_cond_t *condition, clockid_t clock, struct timespec limit) {
    int result;
    do
        result = wait(condition, &mutex, clock, &limit);
    while (result == 0 && !ready);
    return result;
}

static void check_condition(void) {
    /* Ours knows the forms that the variable had before glibc had the function; 2.41 brought another. */
    if (!is_libc && atoi(gnu_get_libc_version() + 2) >= 41) {
        printf("pthread_cond_clockwait: missing\n");
        return;
    }
    CHECK(pthread_cond_clockwait, int, pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *) {
        for (unsigned own = 0; own < 2; own++)
            for (unsigned i = 0; i < 2; i++) {
                pthread_condattr_t attributes;
                pthread_condattr_init(&attributes);
                pthread_condattr_setclock(&attributes, clocks[own]);
                pthread_cond_t condition;
                pthread_cond_init(&condition, &attributes);
                pthread_mutex_lock(&mutex);
                ready = 0;
                struct timespec begin = after(CLOCK_MONOTONIC, 0);
                int result = wait_until(pthread_cond_clockwait_, &condition, clocks[i], after(clocks[i], LIMIT));
                printf("pthread_cond_clockwait: %d by %d gives %d waited %d\n", own, i, result,
                       waited(CLOCK_MONOTONIC, begin));
                struct timespec past = {1, 0}, wrong = {1, 1000000000}, negative = {-5, 0};
                SHOW(pthread_cond_clockwait, pthread_cond_clockwait_(&condition, &mutex, clocks[i], &past) + 0 * (int)own);
                SHOW(pthread_cond_clockwait, pthread_cond_clockwait_(&condition, &mutex, clocks[i], &negative));
                SHOW(pthread_cond_clockwait, pthread_cond_clockwait_(&condition, &mutex, clocks[i], &wrong));
                SHOW(pthread_cond_clockwait, pthread_cond_clockwait_(&condition, &mutex, 77, &past));
                pthread_t thread;
                waited_for = &condition;
                pthread_create(&thread, NULL, signal_in_thread, NULL);
                result = wait_until(pthread_cond_clockwait_, &condition, clocks[i], after(clocks[i], 8000));
                printf("pthread_cond_clockwait: signalled %d %d\n", result, ready);
                pthread_mutex_unlock(&mutex);
                pthread_join(thread, NULL);
                wait_in_thread = pthread_cond_clockwait_;
                printf("pthread_cond_clockwait: cancelled %d, then lock %d\n", ends_in(wait_and_unlock, &condition),
                       pthread_mutex_trylock(&mutex));
                pthread_mutex_unlock(&mutex);
                pthread_cond_destroy(&condition);
            }
    }
}

void check_clocks(void) {
    check_locks();
    check_semaphore();
    check_join();
    check_condition();
}
