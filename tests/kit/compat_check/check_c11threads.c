#include "check.h"

static int with_argument(void *argument) { return *(int *)argument + 1; }
static void (*exit_in_thread)(int);
static int exits(void *argument) {
    exit_in_thread(*(int *)argument + 2);
    return 0;
}

static int called;
static void call(void) { called++; }

static pthread_mutex_t mutex;
static pthread_cond_t condition;
static int (*signal_it)(pthread_cond_t *);
static int ready;
static void *signal_in_thread(void *unused) {
    (void)unused;
    usleep(100000);
    pthread_mutex_lock(&mutex);
    ready = 1;
    signal_it(&condition);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static int destroyed;
static void destroy(void *value) { destroyed += *(int *)value; }
static unsigned key;
static int (*set_in_thread)(unsigned, void *);
static void *set_value(void *value) {
    set_in_thread(key, value);
    return NULL;
}

static int (*mutex_lock)(pthread_mutex_t *), (*mutex_trylock)(pthread_mutex_t *);
static int (*mutex_timedlock)(pthread_mutex_t *, const struct timespec *);
static void *lock_in_thread(void *unused) {
    (void)unused;
    struct timespec limit = after(CLOCK_REALTIME, 50);
    printf("mtx_trylock: other thread %d\n", mutex_trylock(&mutex));
    printf("mtx_timedlock: other thread %d\n", mutex_timedlock(&mutex, &limit));
    return NULL;
}

static int (*sleep_in_thread)(const struct timespec *, struct timespec *);
static void sleep_long(void *unused) {
    (void)unused;
    struct timespec length = {3, 0};
    sleep_in_thread(&length, NULL);
}

static void check_threads(void) {
    pthread_t thread = 0;
    int value = 41, result = 0;
    int (*join)(pthread_t, int *) = find("thrd_join");
    CHECK(thrd_create, int, pthread_t *, int (*)(void *), void *) {
        SHOW(thrd_create, thrd_create_(&thread, with_argument, &value));
        SHOW(thrd_join, join(thread, &result) + 0 * value);
        printf("thrd_join: %d\n", result);
        CHECK(thrd_exit, void, int) {
            exit_in_thread = thrd_exit_;
            thrd_create_(&thread, exits, &value);
            printf("thrd_exit: %d", join(thread, &result));
            printf(" %d\n", result);
        }
        CHECK(thrd_detach, int, pthread_t) {
            thrd_create_(&thread, with_argument, &value);
            SHOW(thrd_detach, thrd_detach_(thread) + 0 * value);
            usleep(50000);
        }
    }
    CHECK(thrd_current, pthread_t, void) { printf("thrd_current: %d\n", thrd_current_() == pthread_self()); }
    CHECK(thrd_equal, int, pthread_t, pthread_t) {
        SHOW(thrd_equal, thrd_equal_(pthread_self(), pthread_self()) != 0);
        SHOW(thrd_equal, thrd_equal_(pthread_self(), 0));
    }
    CHECK(thrd_sleep, int, const struct timespec *, struct timespec *) {
        struct timespec length = {0, 10000000}, wrong = {0, -1}, left = {0, 0}, longer = {100, 0};
        SHOW(thrd_sleep, thrd_sleep_(&length, NULL));
        SHOW(thrd_sleep, thrd_sleep_(&wrong, NULL));
        interrupt(1);
        SHOW(thrd_sleep, thrd_sleep_(&longer, &left));
        interrupt(0);
        printf("thrd_sleep: left %d\n", left.tv_sec >= 50 && left.tv_sec < 100);
        sleep_in_thread = thrd_sleep_;
        printf("thrd_sleep: cancelled %d\n", ends_in(sleep_long, NULL));
    }
    CHECK(thrd_yield, void, void) {
        thrd_yield_();
        printf("thrd_yield: came back\n");
    }
    CHECK(call_once, void, pthread_once_t *, void (*)(void)) {
        pthread_once_t once = PTHREAD_ONCE_INIT;
        call_once_(&once, call);
        call_once_(&once, call);
        printf("call_once: %d\n", called);
    }
}

static void check_mutex(void) {
    int (*init)(pthread_mutex_t *, int) = find("mtx_init");
    int (*unlock)(pthread_mutex_t *) = find("mtx_unlock");
    void (*end)(pthread_mutex_t *) = find("mtx_destroy");
    mutex_lock = find("mtx_lock");
    mutex_trylock = find("mtx_trylock");
    mutex_timedlock = find("mtx_timedlock");
    if (!init || !unlock || !end || !mutex_lock || !mutex_trylock || !mutex_timedlock)
        return;
    for (int kind = -1; kind < 6; kind++) {
        int result = init(&mutex, kind);
        printf("mtx_init: %d gives %d\n", kind, result);
        if (result != 0)
            continue;
        struct timespec limit = after(CLOCK_REALTIME, 50), past = {1, 0}, wrong = {1, -1};
        SHOW(mtx_lock, mutex_lock(&mutex));
        SHOW(mtx_trylock, mutex_trylock(&mutex));
        SHOW(mtx_timedlock, mutex_timedlock(&mutex, &limit));
        SHOW(mtx_timedlock, mutex_timedlock(&mutex, &past));
        SHOW(mtx_timedlock, mutex_timedlock(&mutex, &wrong));
        pthread_t thread;
        pthread_create(&thread, NULL, lock_in_thread, NULL);
        pthread_join(thread, NULL);
        SHOW(mtx_unlock, unlock(&mutex));
        end(&mutex);
        printf("mtx_destroy: done\n");
    }
}

static void check_condition(void) {
    int (*init)(pthread_cond_t *) = find("cnd_init");
    int (*wake_one)(pthread_cond_t *) = find("cnd_signal");
    int (*wake_all)(pthread_cond_t *) = find("cnd_broadcast");
    int (*wait)(pthread_cond_t *, pthread_mutex_t *) = find("cnd_wait");
    int (*wait_until)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) = find("cnd_timedwait");
    void (*end)(pthread_cond_t *) = find("cnd_destroy");
    if (!init || !wake_one || !wake_all || !wait || !wait_until || !end)
        return;
    pthread_mutex_init(&mutex, NULL);
    SHOW(cnd_init, init(&condition));
    SHOW(cnd_signal, wake_one(&condition));
    SHOW(cnd_broadcast, wake_all(&condition));
    for (int all = 0; all < 2; all++) {
        pthread_t thread;
        ready = 0;
        signal_it = all ? wake_all : wake_one;
        pthread_mutex_lock(&mutex);
        pthread_create(&thread, NULL, signal_in_thread, NULL);
        int result = 0;
        while (!ready)
            result = wait(&condition, &mutex);
        printf("cnd_wait: %d\n", result);
        pthread_mutex_unlock(&mutex);
        pthread_join(thread, NULL);
    }
    pthread_mutex_lock(&mutex);
    struct timespec limit = after(CLOCK_REALTIME, 50), wrong = {1, -1};
    SHOW(cnd_timedwait, wait_until(&condition, &mutex, &limit));
    SHOW(cnd_timedwait, wait_until(&condition, &mutex, &wrong));
    pthread_mutex_unlock(&mutex);
    end(&condition);
    printf("cnd_destroy: done\n");
}

static void check_keys(void) {
    int (*create)(unsigned *, void (*)(void *)) = find("tss_create");
    void *(*get)(unsigned) = find("tss_get");
    int (*set)(unsigned, void *) = find("tss_set");
    void (*end)(unsigned) = find("tss_delete");
    if (!create || !get || !set || !end)
        return;
    int value = 5;
    SHOW(tss_create, create(&key, destroy));
    printf("tss_get: %d\n", get(key) == NULL);
    SHOW(tss_set, set(key, &value));
    printf("tss_get: %d\n", get(key) == &value);
    SHOW(tss_set, set(12345678, &value));
    pthread_t thread;
    set_in_thread = set;
    pthread_create(&thread, NULL, set_value, &value);
    pthread_join(thread, NULL);
    printf("tss_create: destroyed %d\n", destroyed);
    end(key);
    printf("tss_delete: then %d\n", set(key, &value));
    unsigned other;
    int count = 0, result;
    while ((result = create(&other, NULL)) == 0)
        count++;
    printf("tss_create: at last %d %d\n", result, count > 100);
    for (unsigned i = 0; i < 1024; i++)
        if (get(i) == NULL && i >= other)
            end(i);
}

void check_c11threads(void) {
    check_threads();
    check_mutex();
    check_condition();
    check_keys();
    CHECK(timespec_getres, int, struct timespec *, int) {
        struct timespec found = {7, 7};
        SHOW(timespec_getres, timespec_getres_(&found, 1));
        printf("timespec_getres: %d %d\n", (int)found.tv_sec, found.tv_nsec > 0);
        SHOW(timespec_getres, timespec_getres_(NULL, 1));
        SHOW(timespec_getres, timespec_getres_(&found, 0));
        SHOW(timespec_getres, timespec_getres_(&found, 77));
    }
}
