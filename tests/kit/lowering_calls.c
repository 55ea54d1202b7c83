/* A library that calls what glibc gave new versions, and tells each result and errno in a line.

   int calls(const char *folder, int exact)     with the numbers of libm to the last bit, or to the digits that every
                                                release of glibc gets right

   What a line tells is the same on every machine and at every time of the day. The lines of the functions whose older
   versions behave a little differently begin with "differs". */
#define _GNU_SOURCE
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#if __GLIBC_PREREQ(2, 38)
/* What <stdlib.h>, <wchar.h> and <stdio.h> make of these names since then; not those of every compiler do. */
long __isoc23_strtol(const char *, char **, int);
unsigned long __isoc23_strtoul(const char *, char **, int);
long long __isoc23_strtoll(const char *, char **, int);
unsigned long long __isoc23_strtoull(const char *, char **, int);
intmax_t __isoc23_strtoimax(const char *, char **, int);
long __isoc23_wcstol(const wchar_t *, wchar_t **, int);
unsigned long long __isoc23_wcstoull(const wchar_t *, wchar_t **, int);
int __isoc23_sscanf(const char *, const char *, ...);
#define strtol __isoc23_strtol
#define strtoul __isoc23_strtoul
#define strtoll __isoc23_strtoll
#define strtoull __isoc23_strtoull
#define strtoimax __isoc23_strtoimax
#define wcstol __isoc23_wcstol
#define wcstoull __isoc23_wcstoull
#define sscanf __isoc23_sscanf
#endif

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TELL(call) (errno = 0, tell(#call, (long long)(call)))

static void tell(const char *call, long long result) { printf("%s = %lld, errno %d\n", call, result, errno); }

/* -- libm -- */

static int is_exact;

static void tell_number(const char *name, double one, double two, double result, int error, int digits)
{
    printf("%s(%g, %g) = ", name, one, two);
    if (isnan(result))
        printf("nan"); /* whose sign nobody promises */
    else if (is_exact)
        printf("%a", result);
    else
        printf("%.*g", digits, result);
    printf(", errno %d\n", error);
}

#define CALL(type, digits, name, arguments)                                                                            \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        volatile type result = name arguments;                                                                         \
        tell_number(#name, one, two, result, errno, digits);                                                           \
    } while (0)
#define DOUBLE1(name) CALL(double, 14, name, (one))
#define DOUBLE2(name) CALL(double, 14, name, (one, two))
#define FLOAT1(name) CALL(float, 5, name, (one))
#define FLOAT2(name) CALL(float, 5, name, (one, two))

static void doubles(volatile double one, volatile double two)
{
    DOUBLE1(exp);
    DOUBLE1(log);
    DOUBLE1(log2);
    DOUBLE1(log10);
    DOUBLE1(sqrt);
    DOUBLE1(acos);
    DOUBLE1(cosh);
    DOUBLE1(atanh);
    DOUBLE1(sin);
    if (one > -1000) /* where a result underflows, errno is up to the library */
        DOUBLE1(exp2);
    DOUBLE2(pow);
    DOUBLE2(fmod);
    DOUBLE2(hypot);
    DOUBLE2(atan2);
}

static void floats(volatile float one, volatile float two)
{
    FLOAT1(expf);
    FLOAT1(logf);
    FLOAT1(log2f);
    FLOAT1(log10f);
    FLOAT1(sqrtf);
    FLOAT1(acosf);
    FLOAT1(coshf);
    FLOAT1(sinhf);
    FLOAT1(atanhf);
    if (one > -1000)
        FLOAT1(exp2f);
    FLOAT2(powf);
    FLOAT2(fmodf);
    FLOAT2(hypotf);
    FLOAT2(atan2f);
}

static void numbers(void)
{
    static const double ones[] = {0.0, -0.0, 1.0, 0.5, -0.75, 2.5, -8.0, 10.25, 1e3, -1e3, 1e30, INFINITY, -INFINITY, NAN};
    static const double twos[] = {0.0, 1.5, -3.0, 7.0, INFINITY};
    for (size_t i = 0; i < COUNT(ones); i++)
        for (size_t j = 0; j < COUNT(twos); j++) {
            doubles(ones[i], twos[j]);
            floats(ones[i], twos[j]);
        }
    volatile double huge = 1.5e308, one = 3.5, two = 0;
    printf("hypot of huge numbers: %d", isinf(hypot(huge, huge)));
    printf(", errno %d\n", errno);
    DOUBLE1(lgamma);
    printf("signgam %d\n", signgam);
    DOUBLE1(tgamma);
}

/* -- numbers in texts -- */

static void parsed(const char *text, int base, const char *class)
{
    char *end;
    wchar_t wide[40], *wide_end;
    mbstowcs(wide, text, COUNT(wide));
#define PARSE(name, text, end, format)                                                                                 \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        printf("%s" #name "(\"%ls\", %d) = %" format, class, wide, base, name(text, &end, base));                      \
        printf(", %td read, errno %d\n", end - (text), errno);                                                         \
    } while (0)
    PARSE(strtol, text, end, "ld");
    PARSE(strtoul, text, end, "lu");
    PARSE(strtoll, text, end, "lld");
    PARSE(strtoull, text, end, "llu");
    PARSE(strtoimax, text, end, PRIdMAX);
    PARSE(wcstol, wide, wide_end, "ld");
    PARSE(wcstoull, wide, wide_end, "llu");
}

static void texts(void)
{
    static const char *const plain[] = {"0", "-1", " +7x", "0x1f", "017", "08", "z", "", "1e5", "11", "0x", "9223372036854775808",
                                        "99999999999999999999999", "-9223372036854775809"};
    static const int bases[] = {0, 8, 10, 16, 36};
    for (size_t i = 0; i < COUNT(plain); i++)
        for (size_t j = 0; j < COUNT(bases); j++)
            parsed(plain[i], bases[j], "");
    parsed("0b101", 0, "");
    parsed("0B11", 2, "");
    int number = -1, end = -1;
    char word[9] = "";
    TELL(sscanf("0x1f 12 word", "%i %d %8s%n", &number, &end, word, &end));
    printf("%d, %d, %s\n", number, end, word);
    TELL(sscanf("0b101", "%d%n", &number, &end));
    printf("%d, %d\n", number, end);
    TELL(sscanf("0b101", "%i%n", &number, &end));
    printf("differs: %%i of 0b101 = %d, %d read\n", number, end);
}

/* -- threads -- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static pthread_barrier_t barrier;
static sem_t semaphore;
static int count, once_count, destroyed, turn;

static void count_once(void) { once_count++; }
static void destroy(void *value) { __atomic_add_fetch(&destroyed, (int)(intptr_t)value, __ATOMIC_SEQ_CST); }

static void *work(void *argument)
{
    pthread_once(&once, count_once);
    pthread_setspecific(key, argument);
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        count++;
        pthread_mutex_unlock(&mutex);
    }
    pthread_barrier_wait(&barrier);
    sem_post(&semaphore);
    return pthread_getspecific(key);
}

static void *answer(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 100; i++) {
        while (turn % 2 == 0)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static struct timespec soon(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    now.tv_nsec += 1000000;
    now.tv_sec += now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    return now;
}

static void *nothing(void *argument) { return argument; }
static int c11_work(void *argument) { return *(int *)argument + 1; }

static void threads(void)
{
    pthread_t thread[4];
    void *result;
    int sum = 0;
    TELL(pthread_key_create(&key, destroy));
    TELL(pthread_barrier_init(&barrier, NULL, COUNT(thread)));
    TELL(sem_init(&semaphore, 0, 0));
    for (size_t i = 0; i < COUNT(thread); i++)
        TELL(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)(1 << i)));
    for (size_t i = 0; i < COUNT(thread); i++)
        TELL(sem_wait(&semaphore));
    for (size_t i = 0; i < COUNT(thread); i++) {
        TELL(pthread_join(thread[i], &result));
        sum += (int)(intptr_t)result;
    }
    printf("counted %d, once %d, results %d, destroyed %d\n", count, once_count, sum, destroyed);
    TELL(sem_trywait(&semaphore));
    struct timespec limit = soon(CLOCK_REALTIME);
    TELL(sem_timedwait(&semaphore, &limit));
    TELL(sem_destroy(&semaphore));
    TELL(pthread_key_delete(key));
    TELL(pthread_setspecific(key, NULL));

    TELL(pthread_create(&thread[0], NULL, answer, NULL));
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 100; i++) {
        while (turn % 2 == 1)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&mutex);
    TELL(pthread_join(thread[0], NULL));
    printf("turn %d\n", turn);

    pthread_mutexattr_t kind;
    pthread_mutex_t checked;
    TELL(pthread_mutexattr_init(&kind));
    TELL(pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK));
    TELL(pthread_mutex_init(&checked, &kind));
    TELL(pthread_mutex_unlock(&checked));
    TELL(pthread_mutex_lock(&checked));
    TELL(pthread_mutex_lock(&checked));
    TELL(pthread_mutex_trylock(&checked));
    limit = soon(CLOCK_REALTIME);
    TELL(pthread_cond_timedwait(&changed, &checked, &limit));
    limit = soon(CLOCK_MONOTONIC);
    TELL(pthread_cond_clockwait(&changed, &checked, CLOCK_MONOTONIC, &limit));
    TELL(pthread_mutex_destroy(&checked));
    TELL(pthread_mutex_unlock(&checked));
    TELL(pthread_mutex_destroy(&checked));

    pthread_attr_t attributes;
    size_t size = 0;
    int state = -1;
    TELL(pthread_attr_init(&attributes));
    TELL(pthread_attr_setstacksize(&attributes, 1));
    TELL(pthread_attr_setstacksize(&attributes, 1 << 20));
    TELL(pthread_attr_getstacksize(&attributes, &size));
    TELL(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    TELL(pthread_attr_getdetachstate(&attributes, &state));
    printf("stack %zu, detached %d\n", size, state);
    TELL(pthread_create(&thread[0], &attributes, nothing, NULL));
    TELL(pthread_attr_destroy(&attributes));
    TELL(pthread_equal(pthread_self(), pthread_self()));

    pthread_rwlock_t lock;
    TELL(pthread_rwlock_init(&lock, NULL));
    TELL(pthread_rwlock_rdlock(&lock));
    TELL(pthread_rwlock_tryrdlock(&lock));
    TELL(pthread_rwlock_trywrlock(&lock));
    TELL(pthread_rwlock_unlock(&lock));
    TELL(pthread_rwlock_unlock(&lock));
    TELL(pthread_rwlock_destroy(&lock));

    TELL(pthread_create(&thread[0], NULL, nothing, &count));
    struct timespec moment = {0, 50000000};
    nanosleep(&moment, NULL); /* ended, most probably; the next line is about a thread that is not joined */
    errno = 0;
    printf("pthread_kill of a thread that has ended = %d\n", pthread_kill(thread[0], 0));
    TELL(pthread_join(thread[0], &result));
    printf("the same %d\n", result == &count);

    thrd_t other;
    mtx_t plain;
    int begun = 41, ended = 0;
    TELL(mtx_init(&plain, mtx_plain));
    TELL(mtx_lock(&plain));
    TELL(mtx_trylock(&plain));
    TELL(mtx_unlock(&plain));
    TELL(thrd_create(&other, c11_work, &begun));
    TELL(thrd_join(other, &ended));
    printf("ended with %d\n", ended);
}

/* -- the loader, shared memory, time -- */

static void loader(void)
{
    Dl_info found;
    void *library;
    double (*function)(double);
    printf("dlerror: %s\n", dlerror() ? "something" : "nothing");
    library = dlopen("libm.so.6", RTLD_NOW);
    printf("dlopen: %d\n", library != NULL);
    function = (double (*)(double))dlsym(library, "cos");
    printf("cos(0) = %g\n", function(0));
    printf("dlsym: %d", dlsym(library, "deloc8_nothing") != NULL);
    printf(", %s\n", strstr(dlerror(), ": undefined symbol"));
    printf("dladdr: %d", dladdr((void *)function, &found) != 0);
    printf(", %s\n", strstr(found.dli_fname, "libm") ? "libm" : found.dli_fname);
    TELL(dlclose(library));
    printf("dlopen: %d", dlopen("libnothing.so.1", RTLD_LAZY) != NULL);
    printf(", %s\n", dlerror());
    printf("dlerror: %s\n", dlerror() ? "something" : "nothing");
}

static void shared_memory(void)
{
    char name[40];
    snprintf(name, sizeof name, "/deloc8-calls-%d", (int)getpid());
    int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    TELL(file >= 0);
    TELL(ftruncate(file, 4096));
    char *one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    strcpy(one, "shared");
    TELL(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    int again = shm_open(name, O_RDONLY, 0);
    char *two = mmap(NULL, 4096, PROT_READ, MAP_SHARED, again, 0);
    printf("read: %s\n", two);
    TELL(fcntl(again, F_GETFD));
    munmap(one, 4096);
    munmap(two, 4096);
    close(file);
    close(again);
    TELL(shm_unlink(name));
    TELL(shm_unlink(name));
    TELL(shm_open(name, O_RDONLY, 0));
    TELL(shm_open("/a/b", O_RDONLY, 0));
    sem_t *named = sem_open(name, O_CREAT | O_EXCL, 0600, 2);
    TELL(named != SEM_FAILED);
    int value = -1;
    TELL(sem_getvalue(named, &value));
    printf("value %d\n", value);
    TELL(sem_close(named));
    TELL(sem_unlink(name));
    TELL(sem_unlink(name));
}

static void clocks(void)
{
    struct timespec first, second, resolution, invalid = {0, -1};
    clockid_t own;
    TELL(clock_gettime(CLOCK_MONOTONIC, &first));
    TELL(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 2000000}, NULL));
    TELL(clock_gettime(CLOCK_MONOTONIC, &second));
    long long passed = (second.tv_sec - first.tv_sec) * 1000000000LL + second.tv_nsec - first.tv_nsec;
    printf("slept long enough: %d\n", passed >= 2000000);
    TELL(clock_getres(CLOCK_REALTIME, &resolution));
    printf("resolution %lld %ld\n", (long long)resolution.tv_sec, resolution.tv_nsec);
    TELL(clock_gettime(12345, &first));
    TELL(clock_settime(CLOCK_REALTIME, &invalid));
    TELL(clock_nanosleep(CLOCK_REALTIME, 0, &invalid, NULL));
    TELL(nanosleep(&invalid, NULL));
    TELL(clock_getcpuclockid(getpid(), &own));
    TELL(clock_gettime(own, &first));
    TELL(pthread_getcpuclockid(pthread_self(), &own));
    TELL(timespec_get(&first, TIME_UTC));
    printf("now is now: %d\n", llabs((long long)first.tv_sec - time(NULL)) < 3);

    time_t moment = 1709210096;
    struct tm parts;
    char text[80];
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    localtime_r(&moment, &parts);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z %j %a", &parts);
    printf("%s, %lld, %lld\n", text, (long long)mktime(&parts), (long long)timegm(&parts));
    gmtime_r(&moment, &parts);
    printf("%s", asctime_r(&parts, text));
    printf("%s", ctime_r(&moment, text));

    timer_t timer;
    struct itimerspec setting = {{0, 0}, {1000, 0}}, left;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    TELL(timer_create(CLOCK_MONOTONIC, &event, &timer));
    TELL(timer_settime(timer, 0, &setting, NULL));
    TELL(timer_gettime(timer, &left));
    printf("left %d\n", left.it_value.tv_sec >= 990 && left.it_value.tv_sec <= 1000);
    TELL(timer_getoverrun(timer));
    TELL(timer_delete(timer));
}

/* -- files -- */

static void tell_file(const struct stat *found)
{
    printf("  mode %o, links %d, size %lld, time %lld.%09ld, device %u\n", found->st_mode, (int)found->st_nlink,
           (long long)found->st_size, (long long)found->st_mtim.tv_sec, found->st_mtim.tv_nsec, major(found->st_rdev));
}

static void files(const char *folder)
{
    struct stat found;
    struct timespec times[2] = {{1600000000, 1}, {1600000001, 123456789}};
    umask(022);
    TELL(chdir(folder));
    int file = open("file", O_RDWR | O_CREAT, 0640);
    TELL(write(file, "twelve bytes", 12));
    TELL(futimens(file, times));
    TELL(symlink("file", "link"));
    TELL(symlink("loop", "loop"));
    TELL(mkdir("folder", 0755));
    TELL(stat("file", &found));
    tell_file(&found);
    TELL(stat("link", &found));
    tell_file(&found);
    TELL(fstat(file, &found));
    tell_file(&found);
    TELL(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
    TELL(lstat("link", &found));
    tell_file(&found);
    TELL(fstatat(AT_FDCWD, "link", &found, AT_SYMLINK_NOFOLLOW));
    tell_file(&found);
    TELL(stat("/dev/null", &found));
    printf("  mode %o, device %u %u\n", found.st_mode, major(found.st_rdev), minor(found.st_rdev));
    TELL(stat("folder", &found));
    printf("  folder %d\n", S_ISDIR(found.st_mode));
    TELL(stat("nothing", &found));
    TELL(stat("loop", &found));
    TELL(lstat("file/below", &found));
    TELL(stat("", &found));
    TELL(fstat(-1, &found));
    TELL(fstatat(-1, "file", &found, 0));
    TELL(fstatat(file, "", &found, AT_EMPTY_PATH));
    tell_file(&found);
    TELL(fstatat(AT_FDCWD, "file", &found, 1 << 30));
    TELL(mknod("pipe", S_IFIFO | 0600, 0));
    TELL(mknod("pipe", S_IFIFO | 0600, 0));
    TELL(mknodat(AT_FDCWD, "pipe2", S_IFIFO | 0640, 0));
    TELL(lstat("pipe2", &found));
    printf("  mode %o\n", found.st_mode);
    struct statx more;
    TELL(statx(AT_FDCWD, "file", 0, STATX_SIZE | STATX_MTIME, &more));
    printf("  size %lld, time %lld.%09u\n", (long long)more.stx_size, (long long)more.stx_mtime.tv_sec, more.stx_mtime.tv_nsec);

    char text[20] = "";
    struct aiocb request = {.aio_fildes = file, .aio_buf = text, .aio_nbytes = 6, .aio_offset = 7};
    const struct aiocb *all[] = {&request};
    TELL(aio_read(&request));
    while (aio_error(&request) == EINPROGRESS)
        aio_suspend(all, 1, NULL);
    TELL(aio_return(&request));
    printf("  %s\n", text);
    int copy = open("copy", O_RDWR | O_CREAT, 0600);
    off_t place = 0;
    TELL(copy_file_range(file, &place, copy, NULL, 6, 0));
    TELL(pread(copy, text, sizeof text, 0));
    TELL(copy_file_range(-1, &place, copy, NULL, 6, 0));
    TELL(fcntl(copy, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}));
    TELL(close(copy));
    TELL(close(file));
}

/* -- the rest of the newer functions -- */

static void newer_functions(void)
{
    unsigned char bytes[300];
    TELL(getrandom(bytes, sizeof bytes, 0));
    TELL(getrandom(bytes, sizeof bytes, 1 << 20));
    TELL(getentropy(bytes, 256));
    TELL(getentropy(bytes, 257));
    TELL(reallocarray(NULL, (size_t)-1, 2) != NULL);
    TELL(reallocarray(NULL, 10, 20) != NULL);
    TELL(gettid() == getpid());
    int memory = memfd_create("deloc8", MFD_CLOEXEC);
    TELL(memory >= 0);
    TELL(fcntl(memory, F_GETFD));
    TELL(memfd_create("deloc8", 1 << 20));
    close(memory);
    memset(bytes, 1, sizeof bytes);
    explicit_bzero(bytes, sizeof bytes - 1);
    printf("wiped %d %d\n", bytes[0], bytes[sizeof bytes - 1]);
#if __GLIBC_PREREQ(2, 36)
    TELL(arc4random_uniform(1));
    TELL(arc4random_uniform(10) < 10);
    arc4random_buf(bytes, sizeof bytes);
#endif
#if __GLIBC_PREREQ(2, 38)
    char text[8];
    TELL(strlcpy(text, "more than eight", sizeof text));
    printf("%s\n", text);
    TELL(strlcat(text, "more", sizeof text));
    strcpy(text, "few");
    TELL(strlcat(text, "er", sizeof text));
    printf("%s\n", text);
#endif
}

int calls(const char *folder, int exact)
{
    is_exact = exact;
    numbers();
    texts();
    threads();
    loader();
    shared_memory();
    clocks();
    files(folder);
    newer_functions();
    fflush(stdout);
    return 0;
}
