/* SPDX-License-Identifier: MIT-0 */
/* Destructors of thread-local objects of C++. */
#include "compat.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

extern int __cxa_atexit(void (*function)(void *), void *argument, void *library);

struct destructor {
    void (*function)(void *);
    void *object;
    void *library;
    struct destructor *next;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t list;

/* Runs the newest first, and those that are added meanwhile. */
static void run(void *newest) {
    pthread_setspecific(list, newest);
    struct destructor *each;
    while ((each = pthread_getspecific(list)) != NULL) {
        pthread_setspecific(list, each->next);
        each->function(each->object);
        if (each->library != NULL)
            dlclose(each->library);
        free(each);
    }
}

static void run_at_exit(void *nothing) {
    (void)nothing;
    run(pthread_getspecific(list));
}

static void begin(void) {
    /* A thread that ends runs the destructors of its keys; one that calls exit() does not. */
    if (pthread_key_create(&list, run) != 0 || __cxa_atexit(run_at_exit, NULL, NULL) != 0)
        abort();
}

/* The library that an address lies in, held so that it stays; NULL for the program itself. */
static void *hold_library(void *address) {
    Dl_info found;
    if (address == NULL || dladdr(address, &found) == 0 || found.dli_fname == NULL)
        return NULL;
    return dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

/// __cxa_thread_atexit_impl: a destructor for the end of the thread, which holds its library until then
EXPORT int __cxa_thread_atexit_impl(void (*function)(void *), void *object, void *address) {
    pthread_once(&once, begin);
    struct destructor *added = malloc(sizeof *added);
    if (added == NULL)
        abort(); /* glibc too ends the process: its callers look for no error */
    *added = (struct destructor){.function = function, .object = object, .library = hold_library(address)};
    added->next = pthread_getspecific(list);
    if (pthread_setspecific(list, added) != 0)
        abort();
    return 0;
}
