/* SPDX-License-Identifier: MIT-0 */
/* Processes, threads as the kernel numbers them, and system calls without more. */
#include "compat.h"

#include <signal.h>
#include <sys/uio.h>
#include <time.h>

/* System calls from 403 on have the same number on every machine. */
enum {
    NUMBER_pidfd_send_signal = 424,
    NUMBER_open_tree = 428,
    NUMBER_move_mount = 429,
    NUMBER_fsopen = 430,
    NUMBER_fsconfig = 431,
    NUMBER_fsmount = 432,
    NUMBER_fspick = 433,
    NUMBER_pidfd_open = 434,
    NUMBER_pidfd_getfd = 438,
    NUMBER_process_madvise = 440,
    NUMBER_epoll_pwait2 = 441,
    NUMBER_mount_setattr = 442,
    NUMBER_process_mrelease = 448,
    NUMBER_mseal = 462,
};

/// gettid: the kernel's number of the calling thread
EXPORT pid_t gettid(void) { return (pid_t)syscall(SYS_gettid); }

/// tgkill: a signal for one thread of a process, by the system call
EXPORT int tgkill(pid_t process, pid_t thread, int number) { return (int)syscall(SYS_tgkill, process, thread, number); }

/// getcpu: the processor and the node that the caller runs on, by the system call
EXPORT int getcpu(unsigned int *processor, unsigned int *node) {
    return (int)syscall(SYS_getcpu, processor, node, NULL);
}

/// execveat: a program in place of this one, relative to an open folder, by the system call
EXPORT int execveat(int folder, const char *path, char *const arguments[], char *const environment[], int flags) {
    return (int)syscall(SYS_execveat, folder, path, arguments, environment, flags);
}

/// sched_setattr: how a thread is scheduled, by the system call
EXPORT int sched_setattr(pid_t thread, void *attributes, unsigned int flags) {
    return (int)syscall(SYS_sched_setattr, thread, attributes, flags);
}

/// sched_getattr: how a thread is scheduled, by the system call
EXPORT int sched_getattr(pid_t thread, void *attributes, unsigned int size, unsigned int flags) {
    return (int)syscall(SYS_sched_getattr, thread, attributes, size, flags);
}

/// pidfd_open: a descriptor of a process, by the system call
EXPORT int pidfd_open(pid_t process, unsigned int flags) {
    return (int)syscall(NUMBER_pidfd_open, process, flags);
}

/// pidfd_getfd: a copy of another process's descriptor, by the system call
EXPORT int pidfd_getfd(int process, int descriptor, unsigned int flags) {
    return (int)syscall(NUMBER_pidfd_getfd, process, descriptor, flags);
}

/// pidfd_send_signal: a signal for a process that a descriptor names, by the system call
EXPORT int pidfd_send_signal(int process, int number, siginfo_t *details, unsigned int flags) {
    return (int)syscall(NUMBER_pidfd_send_signal, process, number, details, flags);
}

/// process_madvise: advice about another process's memory, by the system call
EXPORT ssize_t process_madvise(int process, const struct iovec *vector, size_t count, int advice, unsigned int flags) {
    return syscall(NUMBER_process_madvise, process, vector, count, advice, flags);
}

/// process_mrelease: gives a dying process's memory back, by the system call
EXPORT int process_mrelease(int process, unsigned int flags) {
    return (int)syscall(NUMBER_process_mrelease, process, flags);
}

/// mseal: memory whose mapping cannot change any more, by the system call
EXPORT int mseal(void *block, size_t length, unsigned long flags) {
    return (int)syscall(NUMBER_mseal, block, length, flags);
}

/// open_tree: a descriptor of a mounted tree, by the system call
EXPORT int open_tree(int folder, const char *path, unsigned int flags) {
    return (int)syscall(NUMBER_open_tree, folder, path, flags);
}

/// move_mount: a mounted tree put in another place, by the system call
EXPORT int move_mount(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags) {
    return (int)syscall(NUMBER_move_mount, from_folder, from, to_folder, to, flags);
}

/// mount_setattr: properties of a mount, by the system call
EXPORT int mount_setattr(int folder, const char *path, unsigned int flags, void *attributes, size_t size) {
    return (int)syscall(NUMBER_mount_setattr, folder, path, flags, attributes, size);
}

/// fsopen: a new file system that is to be configured, by the system call
EXPORT int fsopen(const char *name, unsigned int flags) { return (int)syscall(NUMBER_fsopen, name, flags); }

/// fsconfig: configures a file system, by the system call
EXPORT int fsconfig(int descriptor, unsigned int command, const char *key, const void *value, int more) {
    return (int)syscall(NUMBER_fsconfig, descriptor, command, key, value, more);
}

/// fsmount: a mount of a configured file system, by the system call
EXPORT int fsmount(int descriptor, unsigned int flags, unsigned int attributes) {
    return (int)syscall(NUMBER_fsmount, descriptor, flags, attributes);
}

/// fspick: a mounted file system that is to be configured anew, by the system call
EXPORT int fspick(int folder, const char *path, unsigned int flags) {
    return (int)syscall(NUMBER_fspick, folder, path, flags);
}

/// epoll_pwait2: epoll_pwait with a limit in nanoseconds, by the system call
EXPORT int epoll_pwait2(int epoll, void *events, int count, const struct timespec *limit, const sigset_t *mask) {
    /* The kernel's structure has 64 bits for the seconds on every machine. */
    struct {
        int64_t seconds, nanoseconds;
    } wide;
    if (limit != NULL) {
        wide.seconds = limit->tv_sec;
        wide.nanoseconds = limit->tv_nsec;
    }
    return (int)cancellable_syscall(NUMBER_epoll_pwait2, epoll, (long)events, count, limit ? (long)&wide : 0, (long)mask,
                                    _NSIG / 8);
}
