#include "check.h"

#include <sys/epoll.h>
#include <sys/resource.h>

static void *number_of_thread(void *function) { return (void *)(intptr_t)((pid_t(*)(void))function)(); }

static volatile int caught;
static void catch(int number) { caught = number; }

static int (*epoll_pwait2_in_thread)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);
static void wait_in_thread(void *epoll) {
    struct epoll_event event;
    struct timespec limit = {0, 1000};
    epoll_pwait2_in_thread(*(int *)epoll, &event, 1, &limit, NULL);
}

static void check_threads(void) {
    CHECK(gettid, pid_t, void) {
        pthread_t thread;
        void *other;
        pthread_create(&thread, NULL, number_of_thread, (void *)gettid_);
        pthread_join(thread, &other);
        printf("gettid: %d %d\n", gettid_() == getpid(), (pid_t)(intptr_t)other != getpid() && (intptr_t)other > 0);
    }
    CHECK(tgkill, int, pid_t, pid_t, int) {
        struct sigaction action = {.sa_handler = catch};
        sigaction(SIGUSR1, &action, NULL);
        SHOW(tgkill, tgkill_(getpid(), getpid(), SIGUSR1));
        printf("tgkill: caught %d\n", caught);
        SHOW(tgkill, tgkill_(getpid(), getpid(), 0));
        SHOW(tgkill, tgkill_(getpid(), getpid(), 1000));
        SHOW(tgkill, tgkill_(-1, 1, 0));
        SHOW(tgkill, tgkill_(getpid(), 1, 0));
    }
    CHECK(getcpu, int, unsigned *, unsigned *) {
        unsigned processor = 7777777, node = 7777777;
        SHOW(getcpu, getcpu_(&processor, &node));
        printf("getcpu: %d %d\n", processor < 4096, node < 4096);
        SHOW(getcpu, getcpu_(NULL, NULL));
    }
    CHECK(sched_getattr, int, pid_t, void *, unsigned, unsigned) {
        struct {
            uint32_t size, policy;
            uint64_t flags;
            int32_t nice;
            uint32_t priority;
            uint64_t times[3];
        } attributes = {0};
        SHOW(sched_getattr, sched_getattr_(0, &attributes, sizeof attributes, 0));
        printf("sched_getattr: %u %u %d\n", attributes.size, attributes.policy, attributes.nice);
        SHOW(sched_getattr, sched_getattr_(0, &attributes, 3, 0));
        SHOW(sched_getattr, sched_getattr_(0, &attributes, sizeof attributes, 9));
    }
    CHECK(sched_setattr, int, pid_t, void *, unsigned) {
        uint32_t attributes[12] = {48, 77};
        SHOW(sched_setattr, sched_setattr_(0, attributes, 0));
        attributes[1] = SCHED_OTHER;
        SHOW(sched_setattr, sched_setattr_(0, attributes, 0));
        SHOW(sched_setattr, sched_setattr_(0, NULL, 0));
    }
}

static void check_pidfd(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    int descriptor = -1;
    CHECK(pidfd_open, int, pid_t, unsigned) {
        descriptor = pidfd_open_(child, 0);
        printf("pidfd_open: %d\n", descriptor >= 0 ? 0 : errno);
        SHOW(pidfd_open, pidfd_open_(child, 77777777) + 0 * child);
        SHOW(pidfd_open, pidfd_open_(-1, 0));
    }
    CHECK(pidfd_getfd, int, int, int, unsigned) {
        SHOW(pidfd_getfd, pidfd_getfd_(-1, 0, 0));
        SHOW(pidfd_getfd, pidfd_getfd_(descriptor, 0, 7) + 0 * child);
    }
    CHECK(pidfd_send_signal, int, int, int, siginfo_t *, unsigned) {
        SHOW(pidfd_send_signal, pidfd_send_signal_(-1, 0, NULL, 0));
        SHOW(pidfd_send_signal, pidfd_send_signal_(descriptor, 0, NULL, 0x40000000));
        if (descriptor >= 0)
            SHOW(pidfd_send_signal, pidfd_send_signal_(descriptor, SIGTERM, NULL, 0));
    }
    kill(child, SIGTERM);
    int status = 0;
    waitpid(child, &status, 0);
    close(descriptor);
}

static void check_plain_calls(void) {
    CHECK(execveat, int, int, const char *, char *const[], char *const[], int) {
        char *arguments[] = {"sh", "-c", "exit 7", NULL}, *environment[] = {NULL};
        SHOW(execveat, execveat_(AT_FDCWD, "none", arguments, environment, 0));
        SHOW(execveat, execveat_(-1, "none", arguments, environment, 0));
        SHOW(execveat, execveat_(AT_FDCWD, "none", arguments, environment, 7));
        SHOW_END(execveat, execveat_(AT_FDCWD, "/bin/sh", arguments, environment, 0));
    }
    CHECK(process_madvise, ssize_t, int, const struct iovec *, size_t, int, unsigned) {
        SHOW(process_madvise, process_madvise_(-1, NULL, 0, 0, 0));
        SHOW(process_madvise, process_madvise_(-1, NULL, 0, 0, 7));
    }
    CHECK(process_mrelease, int, int, unsigned) { SHOW(process_mrelease, process_mrelease_(-1, 0)); }
    CHECK(mseal, int, void *, size_t, unsigned long) {
        SHOW(mseal, mseal_((void *)1, 1, 0));
        SHOW(mseal, mseal_(NULL, 1, 7));
    }
    CHECK(open_tree, int, int, const char *, unsigned) {
        SHOW(open_tree, open_tree_(AT_FDCWD, "none", 0));
        SHOW(open_tree, open_tree_(AT_FDCWD, "none", 0x40000000));
    }
    CHECK(move_mount, int, int, const char *, int, const char *, unsigned) {
        SHOW(move_mount, move_mount_(-1, "none", -1, "none", 0x40000000));
        SHOW(move_mount, move_mount_(AT_FDCWD, "none", AT_FDCWD, "none", 0));
    }
    CHECK(mount_setattr, int, int, const char *, unsigned, void *, size_t) {
        SHOW(mount_setattr, mount_setattr_(AT_FDCWD, "none", 0, NULL, 3));
    }
    CHECK(fsopen, int, const char *, unsigned) {
        SHOW(fsopen, fsopen_("none", 0x40000000));
        SHOW(fsopen, fsopen_((const char *)1, 0));
    }
    CHECK(fsconfig, int, int, unsigned, const char *, const void *, int) {
        SHOW(fsconfig, fsconfig_(-1, 0, "a", NULL, 0));
        SHOW(fsconfig, fsconfig_(-1, 77, NULL, NULL, 0));
    }
    CHECK(fsmount, int, int, unsigned, unsigned) { SHOW(fsmount, fsmount_(-1, 0, 0)); }
    CHECK(fspick, int, int, const char *, unsigned) {
        SHOW(fspick, fspick_(AT_FDCWD, "none", 0));
        SHOW(fspick, fspick_(AT_FDCWD, "none", 0x40000000));
    }
}

void check_process(void) {
    check_threads();
    check_pidfd();
    check_plain_calls();
    CHECK(epoll_pwait2, int, int, struct epoll_event *, int, const struct timespec *, const sigset_t *) {
        int epoll = epoll_create1(0), ends[2];
        if (pipe(ends) != 0)
            abort();
        struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 12345}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
        struct timespec limit = {0, 1000000}, wrong = {0, 2000000000};
        sigset_t mask;
        sigemptyset(&mask);
        SHOW(epoll_pwait2, epoll_pwait2_(epoll, &event, 1, &limit, &mask) + 0 * epoll);
        SHOW(epoll_pwait2, epoll_pwait2_(epoll, &event, 1, &wrong, NULL));
        epoll_pwait2_in_thread = epoll_pwait2_;
        printf("epoll_pwait2: cancelled %d\n", ends_in(wait_in_thread, &epoll));
        if (write(ends[1], "x", 1) == 1 && !old_kernel)
            SHOW(epoll_pwait2, epoll_pwait2_(epoll, &event, 1, NULL, NULL));
        printf("epoll_pwait2: %d\n", (int)event.data.u64);
        SHOW(epoll_pwait2, epoll_pwait2_(-1, &event, 1, &limit, NULL));
        close(epoll);
        close(ends[0]);
        close(ends[1]);
    }
}
