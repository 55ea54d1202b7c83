#include "check.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

const char *folder;
int is_libc, old_kernel;
static void *library;
static const char *path;

void *find(const char *name) {
    void *function = dlsym(library ? library : RTLD_DEFAULT, name);
    Dl_info where;
    /* What the library needs is looked through as well. */
    if (function && library && (!dladdr(function, &where) || strcmp(where.dli_fname, path) != 0))
        function = NULL;
    if (!function)
        printf("%s: missing\n", name);
    return function;
}

struct call {
    void (*function)(void *);
    void *argument;
};

static void *cancelled(void *given) {
    struct call *call = given;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    call->function(call->argument);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return NULL;
}

int ends_in(void (*function)(void *), void *argument) {
    struct call call = {function, argument};
    pthread_t thread;
    void *value;
    pthread_create(&thread, NULL, cancelled, &call);
    pthread_join(thread, &value);
    return value == PTHREAD_CANCELED;
}

static void nothing(int number) { (void)number; }

void interrupt(int on) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_interval = {0, on * 200000}, .it_value = {0, on * 200000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

struct timespec after(clockid_t clock, long milliseconds) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += milliseconds / 1000;
    time.tv_nsec += milliseconds % 1000 * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* From here on the kernel says ENOSYS to what Linux 3.10 does not know. */
static void become_old(void) {
    static const int unknown[] = {SYS_getrandom, SYS_memfd_create, SYS_copy_file_range, SYS_preadv2, SYS_pwritev2,
                                  SYS_renameat2, SYS_statx,        SYS_mlock2,          SYS_execveat, SYS_pkey_alloc,
                                  SYS_pkey_free, SYS_pkey_mprotect};
    struct sock_filter filter[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    int count = 1;
    /* All that have the same number on every machine; among them close_range, openat2, pidfd_open, epoll_pwait2. */
    filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 424, 0, 1);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, unknown[i], 0, 1);
        filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    }
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = count, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("seccomp");
        exit(2);
    }
    if (syscall(SYS_getrandom, NULL, 0, 0) != -1 || errno != ENOSYS)
        exit(2);
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    if (strcmp(arguments[1], "libc") != 0) {
        path = arguments[1];
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
    } else {
        is_libc = 1;
        dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    folder = arguments[2];
    if (chdir(folder) != 0)
        return 2;
    umask(022);
    if (count > 3) {
        old_kernel = 1;
        become_old();
    }
    check_stat();
    check_random();
    check_memory();
    check_strings();
    check_digits();
    check_signaling();
    check_files();
    check_process();
    check_clocks();
    check_c11threads();
    check_numbers();
    check_objects();
    check_destructors();
    return fflush(stdout) != 0;
}
