#include "check.h"

static int (*at_end)(void (*)(void *), void *, void *);

static char order[20];
static void note(void *letter) { strcat(order, letter); }
static void note_and_add(void *letter) {
    strcat(order, letter);
    at_end(note, "n", NULL);
}

static void *in_thread(void *unused) {
    (void)unused;
    printf("__cxa_thread_atexit_impl: %d\n", at_end(note, "1", (void *)in_thread));
    at_end(note, "2", (void *)in_thread);
    at_end(note_and_add, "3", (void *)in_thread);
    at_end(note, "4", dlsym(RTLD_DEFAULT, "malloc"));
    return NULL;
}

static void tell(void *what) { printf("__cxa_thread_atexit_impl: at exit %s\n", (char *)what); }

void check_destructors(void) {
    at_end = find("__cxa_thread_atexit_impl");
    if (!at_end)
        return;
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    printf("__cxa_thread_atexit_impl: %s\n", order);
    at_end(tell, "first", (void *)tell);
    at_end(tell, "second", (void *)tell);
}
