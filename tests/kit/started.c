/* Tells how it was started and how it ends: constructors and destructors once and in order, and what they are given. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int step;
static __thread int number = 5;
static char **given;

static void tell(const char *what, int count, char **words, char **names) {
    char line[200];
    int length = snprintf(line, sizeof line, "%s %d: %d words, %s, %d\n", what, ++step, count, words[1], names == environ);
    if (write(1, line, length) != length)
        _exit(99);
}

static void before(int count, char **words, char **names) {
    (void)names;
    tell("before", count, words, environ);
}
__attribute__((section(".preinit_array"), used)) static void (*before_)(int, char **, char **) = before;

__attribute__((constructor(101))) static void early(int count, char **words, char **names) {
    given = words;
    tell("early", count, words, names);
}
__attribute__((constructor)) static void late(int count, char **words, char **names) { tell("late", count, words, names); }
__attribute__((destructor)) static void end(void) { tell("end", 0, given, environ); }
#ifdef OLD_STYLE
void first(int count, char **words, char **names) { tell("first", count, words, names); }
void last(void) { tell("last", 0, given, environ); }
#endif

static void leave(void) { tell("leave", 0, given, environ); }
static void leave_too(void) { tell("leave too", 0, given, environ); }

#ifndef NO_IFUNC
static int answer_here(void) { return 42; }
static int (*choose(void))(void) { return answer_here; }
int answer(void) __attribute__((ifunc("choose")));
#else
int answer(void) { return 42; }
#endif

static void *work(void *unused) {
    (void)unused;
    number++;
    return (void *)(intptr_t)number;
}
static volatile int seen;
static void see(int signal) { seen = signal; }

static void kill_threads(void) {
    pthread_t thread;
    signal(SIGUSR1, see);
    errno = 77;
    int result = pthread_kill(pthread_self(), SIGUSR1);
    printf("self %d %d", result, seen == SIGUSR1);
    printf(" %d %d %d", pthread_kill(pthread_self(), 0), pthread_kill(pthread_self(), 32), pthread_kill(pthread_self(), 999));
    pthread_create(&thread, NULL, work, NULL);
    /* Until the kernel has no thread but this one. */
    usleep(200000);
    printf(" ended %d %d", pthread_kill(thread, 0), pthread_kill(thread, SIGUSR1));
    printf(" %d errno %d\n", pthread_kill(thread, 33), errno);
    void *value;
    pthread_join(thread, &value);
    printf("thread %d, here %d\n", (int)(intptr_t)value, number);
}

static void look_up(void) {
#ifdef LOOKUP
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct gaicb good = {.ar_name = "127.0.0.1", .ar_request = &hints}, bad = {.ar_name = "nowhere", .ar_request = &hints};
    struct gaicb *both[] = {&good, &bad};
    int started = getaddrinfo_a(GAI_NOWAIT, both, 2, NULL);
    /* Not with gai_suspend: in glibc it crashes now and then when a request ends meanwhile, on every release. */
    while (gai_error(&good) == EAI_INPROGRESS || gai_error(&bad) == EAI_INPROGRESS)
        usleep(1000);
    usleep(20000); /* until the threads have put the requests away */
    char name[50] = "";
    getnameinfo(good.ar_result->ai_addr, good.ar_result->ai_addrlen, name, sizeof name, NULL, 0, NI_NUMERICHOST);
    printf("lookup %d %d %s %d", started, gai_error(&good), name, gai_error(&bad));
    int again = getaddrinfo_a(GAI_WAIT, both, 1, NULL);
    printf(" %d %d cancel %d\n", again, gai_error(&good), gai_cancel(&good) == EAI_ALLDONE);
#endif
}

int main(int count, char **words, char **names) {
    char line[16] __attribute__((aligned(16)));
    strcpy(line, words[1]);
    atexit(leave);
    atexit(leave_too);
    tell("main", count, words, names);
    printf("%s %s %d %d\n", line, getenv("MARK"), answer(), (int)((uintptr_t)line % 16));
    kill_threads();
    look_up();
    fflush(stdout);
    return 7;
}
