/* Functions of libc asked for by version, and what each does in one small situation.

   program SITUATION NAME VERSION NAME VERSION [FOLDER]     a line for each of the two, of [CASE]RESULT

   Nothing here is linked by a version: each function comes from dlvsym, from the library that the program runs on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

typedef void *function;

/* -- numbers in texts -- */

static const char *const numbers[] = {
    "0", "1", "-1", " +7x", "0x1f", "0X1F", "0x", "0xg", "017", "08", "0b1", "0B11", "-0b1", "0b", "0b2", "b1", "1b1", "0o17",
    "z", "", "-", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551615",
    "18446744073709551616", "99999999999999999999999", "0x7fffffffffffffff", "11", "12", "\t 5", "- 5", "0x1p3", "1e5",
};
static const int bases[] = {0, 2, 3, 8, 10, 16, 36, 1, 37};

static void strtol_narrow(function f, locale_t locale)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t j = 0; j < sizeof bases / sizeof *bases; j++) {
            char *end = NULL;
            errno = 0;
            long long value = ((long long (*)(const char *, char **, int, locale_t))f)(numbers[i], &end, bases[j], locale);
            printf("[%s %d]%lld,%td,%d ", numbers[i], bases[j], value, end ? end - numbers[i] : -1, errno);
        }
}

static void strtol_wide(function f, locale_t locale)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t j = 0; j < sizeof bases / sizeof *bases; j++) {
            wchar_t text[40], *end = NULL;
            mbstowcs(text, numbers[i], 40);
            errno = 0;
            long long value = ((long long (*)(const wchar_t *, wchar_t **, int, locale_t))f)(text, &end, bases[j], locale);
            printf("[%s %d]%lld,%td,%d ", numbers[i], bases[j], value, end ? end - text : -1, errno);
        }
}

/* The functions of scanf's family differ in where the text comes from, in its letters, and in how they take the places. */
static int scan(function f, int has_list, const void *from, const void *format, ...)
{
    va_list list;
    int result;
    va_start(list, format);
    if (has_list && from)
        result = ((int (*)(const void *, const void *, va_list))f)(from, format, list);
    else if (has_list)
        result = ((int (*)(const void *, va_list))f)(format, list);
    else {
        int *value = va_arg(list, int *), *end = va_arg(list, int *);
        result = from ? ((int (*)(const void *, const void *, ...))f)(from, format, value, end)
                      : ((int (*)(const void *, ...))f)(format, value, end);
    }
    va_end(list);
    return result;
}

static void scanf_any(function f, const char *name)
{
    static const char *const conversions[] = {"%i%n", "%d%n", "%u%n", "%x%n", "%o%n", "%2i%n", "%b%n"};
    int has_list = *name == 'v', is_wide = strstr(name, "wscanf") != NULL;
    name += has_list;
    int from_text = !strncmp(name, "ss", 2) || !strncmp(name, "sw", 2), from_stdin = !from_text && *name != 'f';
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t j = 0; j < sizeof conversions / sizeof *conversions; j++) {
            wchar_t wide_text[60], wide_format[20];
            int value = -77, end = -1;
            mbstowcs(wide_text, numbers[i], 60);
            mbstowcs(wide_format, conversions[j], 20);
            FILE *file = tmpfile(), *standard = stdin;
            fputs(numbers[i], file);
            rewind(file);
            FILE *stream = fdopen(dup(fileno(file)), "r"); /* neither narrow nor wide yet */
            if (from_stdin)
                stdin = stream;
            const void *text = is_wide ? (const void *)wide_text : numbers[i];
            errno = 0;
            int result = scan(f, has_list, from_text ? text : from_stdin ? NULL : stream,
                              is_wide ? (const void *)wide_format : conversions[j], &value, &end);
            printf("[%s %s]%d,%d,%d ", numbers[i], conversions[j], result, value, end);
            stdin = standard;
            fclose(stream);
            fclose(file);
        }
}

/* -- memory -- */

static unsigned char one[4096], two[4096];

static void copy(function f)
{
    unsigned long sum = 0;
    for (int size = 0; size < 1500; size += size < 70 ? 1 : 37)
        for (int place = 0; place < 16; place++) {
            for (int i = 0; i < 4096; i++)
                one[i] = (unsigned char)(i * 7 + size), two[i] = 0;
            void *given = ((void *(*)(void *, const void *, size_t))f)(two + place, one + 3 * place, size);
            for (int i = 0; i < 4096; i++)
                sum = sum * 31 + two[i];
            sum += given == two + place;
        }
    printf("[sum]%lx ", sum);
}

static void wipe(function f)
{
    unsigned long sum = 0;
    for (int size = 0; size < 1500; size += size < 70 ? 1 : 37) {
        memset(one, 7, sizeof one);
        ((void (*)(void *, size_t))f)(one + size % 16, size);
        for (int i = 0; i < 4096; i++)
            sum = sum * 31 + one[i];
    }
    printf("[sum]%lx ", sum);
}

static void fill(function f)
{
    unsigned long sum = 0;
    for (int size = 0; size < 1500; size += size < 70 ? 1 : 37) {
        memset(one, 7, sizeof one);
        sum += ((void *(*)(void *, int, size_t))f)(one + size % 16, 300 + size, size) == one + size % 16;
        for (int i = 0; i < 4096; i++)
            sum = sum * 31 + one[i];
    }
    printf("[sum]%lx ", sum);
}

static void release(function f)
{
    for (size_t size = 16; size < 1 << 20; size *= 3) {
        char *place = aligned_alloc(16, size / 16 * 16), *small = malloc(size);
        memset(place, 1, size / 16 * 16);
        memset(small, 2, size);
        /* In the order of free_aligned_sized; free_sized takes what it takes for the size as a hint too. */
        ((void (*)(void *, size_t, size_t))f)(place, size / 16 * 16, size / 16 * 16);
        ((void (*)(void *, size_t, size_t))f)(small, size, size);
    }
    ((void (*)(void *, size_t, size_t))f)(NULL, 16, 16);
    printf("[released]all ");
}

static void magnitude(function f, const char *name)
{
    int is_wide = strcmp(name, "uabs") && strcmp(name, "abs");
    static const long long values[] = {0, 1, -1, 77, -77, INT_MAX, -INT_MAX, INT_MIN, LLONG_MAX, -LLONG_MAX, LLONG_MIN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (is_wide)
            printf("[%lld]%llu ", values[i], ((unsigned long long (*)(long long))f)(values[i]));
        else if (values[i] >= INT_MIN && values[i] <= INT_MAX)
            printf("[%lld]%u ", values[i], ((unsigned (*)(int))f)((int)values[i]));
}

static void equal(function f)
{
    for (int size = 0; size < 200; size++)
        for (int place = 0; place <= size; place++) {
            memset(one, 7, sizeof one);
            memset(two, 7, sizeof two);
            two[place] = 200;
            printf("[%d %d]%d ", size, place, !((int (*)(const void *, const void *, size_t))f)(one, two, size));
        }
}

static void align(function f)
{
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        char *place = ((void *(*)(size_t, size_t))f)(alignment, 3 * alignment);
        printf("[%zu]%d ", alignment, place && (uintptr_t)place % alignment == 0);
        memset(place, 1, 3 * alignment);
        free(place);
    }
    errno = 0;
    void *none = ((void *(*)(size_t, size_t))f)(64, SIZE_MAX / 2);
    printf("[too much]%d,%d ", none != NULL, errno);
}

/* -- threads -- */

static int calls;

static void count_call(void)
{
    calls++;
}

static pthread_once_t once_flag_of_all = PTHREAD_ONCE_INIT;

static void *call_it_once(void *f)
{
    ((int (*)(pthread_once_t *, void (*)(void)))f)(&once_flag_of_all, count_call);
    return NULL;
}

static void once(function f)
{
    pthread_t threads[8];
    once_flag_of_all = (pthread_once_t)PTHREAD_ONCE_INIT;
    calls = 0;
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, call_it_once, f);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("[calls]%d ", calls);
}

static void *is_own_number(void *f)
{
    return (void *)(uintptr_t)(((pthread_t(*)(void))f)() == pthread_self());
}

static void self(function f)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, is_own_number, f);
    pthread_join(thread, &result);
    printf("[thread]%d [main]%d ", result != NULL, is_own_number(f) != NULL);
}

static void alike(function f)
{
    int (*are_equal)(pthread_t, pthread_t) = (int (*)(pthread_t, pthread_t))f;
    printf("[one]%d ", are_equal(pthread_self(), pthread_self()) != 0);
    printf("[two]%d ", are_equal(pthread_self(), (pthread_t)0) != 0);
}

static void yield(function f)
{
    ((void (*)(void))f)();
    printf("[came]back ");
}

static void nap(function f)
{
    int (*pause_for)(const struct timespec *, struct timespec *) = (int (*)(const struct timespec *, struct timespec *))f;
    printf("[slept]%d ", pause_for(&(struct timespec){0, 1000000}, NULL));
    printf("[wrong]%d ", pause_for(&(struct timespec){0, 2000000000}, NULL));
}

static void key_get(function f)
{
    pthread_key_t key;
    pthread_key_create(&key, NULL);
    printf("[unset]%d ", ((void *(*)(pthread_key_t))f)(key) == NULL);
    pthread_setspecific(key, &calls);
    printf("[set]%d ", ((void *(*)(pthread_key_t))f)(key) == &calls);
    pthread_key_delete(key);
}

static void key_delete(function f)
{
    pthread_key_t key;
    pthread_key_create(&key, NULL);
    ((void (*)(pthread_key_t))f)(key);
    printf("[deleted]%d ", pthread_setspecific(key, &calls));
}

static void key_set(function f)
{
    pthread_key_t key;
    pthread_key_create(&key, NULL);
    printf("[set]%d", ((int (*)(pthread_key_t, void *))f)(key, &calls));
    printf(",%d ", pthread_getspecific(key) == &calls);
    pthread_key_delete(key);
    printf("[failed]%d ", ((int (*)(pthread_key_t, void *))f)(key, &calls));
}

static void forget(void *unused)
{
    (void)unused;
    calls++;
}

static void *set_key(void *key)
{
    pthread_setspecific(*(pthread_key_t *)key, &calls);
    return NULL;
}

static void key_create(function f)
{
    pthread_key_t keys[PTHREAD_KEYS_MAX + 1];
    pthread_t thread;
    int made = 0, result;
    calls = 0;
    while (!(result = ((int (*)(pthread_key_t *, void (*)(void *)))f)(&keys[made], forget)))
        made++;
    pthread_create(&thread, NULL, set_key, &keys[0]);
    pthread_join(thread, NULL);
    printf("[made]%d,%d [failed]%d ", made > 900, calls, result);
    while (made)
        pthread_key_delete(keys[--made]);
}

static void *nothing(void *unused)
{
    return unused;
}

struct ending {
    function f;
    uintptr_t result;
};

static void *end(void *given)
{
    struct ending *ending = given;
    ((void (*)(uintptr_t))ending->f)(ending->result);
    return NULL;
}

static void leave(function f)
{
    struct ending small = {f, 3}, large = {f, ((uintptr_t)1 << (sizeof(uintptr_t) > 4 ? 32 : 0)) | 3};
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, end, &small);
    pthread_join(thread, &result);
    printf("[small]%d ", (int)(uintptr_t)result);
    pthread_create(&thread, NULL, end, &large);
    pthread_join(thread, &result);
    printf("[low half]%d [whole]%lx ", (int)(uintptr_t)result, (unsigned long)(uintptr_t)result);
}

static void kill_thread(function f)
{
    int (*send)(pthread_t, int) = (int (*)(pthread_t, int))f;
    pthread_t thread;
    printf("[running]%d,%d ", send(pthread_self(), 0), send(pthread_self(), 1000));
    pthread_create(&thread, NULL, nothing, NULL);
    usleep(200000);
    printf("[ended]%d ", send(thread, 0));
    pthread_join(thread, NULL);
}

/* -- programs and files -- */

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
static void *handle;

static void say(void *word)
{
    printf("[%s]run ", (const char *)word);
    fflush(stdout);
}

static void quick(function f)
{
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        __cxa_thread_atexit_impl(say, "thread_local", &handle);
        ((void (*)(int))f)(3);
    }
    int status;
    waitpid(child, &status, 0);
    printf("[status]%d [child]%d ", WEXITSTATUS(status), child > 0);
}

static int follow(const char *path, struct stat *found)
{
    return stat(path, found);
}

static int do_not_follow(const char *path, struct stat *found)
{
    return lstat(path, found);
}

static void find(function f, const char *folder)
{
    static const char *const patterns[] = {"*", "te*", "none*", "text", "none", "dangling", "{text,program}", "[d]angling"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char pattern[4096];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/%s", folder, patterns[i]);
        for (int flags = GLOB_BRACE; flags; flags = flags & GLOB_ALTDIRFUNC ? 0 : GLOB_BRACE | GLOB_ALTDIRFUNC) {
            found = (glob_t){0};
            found.gl_opendir = (void *(*)(const char *))opendir;
            found.gl_readdir = (struct dirent * (*)(void *)) readdir;
            found.gl_closedir = (void (*)(void *))closedir;
            found.gl_stat = follow;
            found.gl_lstat = do_not_follow;
            int result = ((int (*)(const char *, int, void *, glob_t *))f)(pattern, flags, NULL, &found);
            printf("[%s%s]%d", patterns[i], flags & GLOB_ALTDIRFUNC ? " own functions" : "", result);
            for (size_t j = 0; j < found.gl_pathc; j++)
                printf(",%s", strrchr(found.gl_pathv[j], '/') + 1);
            printf(" ");
        }
    }
}

static void spawn(function f, const char *folder)
{
    static const char *const names[] = {"program", "text", "none"};
    for (int i = 0; i < 3; i++) {
        char path[4096], *words[] = {path, NULL}, *environment[] = {NULL};
        pid_t child = 0;
        int status = 0;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        int result = ((int (*)(pid_t *, const char *, const void *, const void *, char *const[], char *const[]))f)(
            &child, path, NULL, NULL, words, environment);
        if (!result)
            waitpid(child, &status, 0);
        printf("[%s]%d,%d ", names[i], result, WEXITSTATUS(status));
    }
}

static void memory_file(function f)
{
    static const char *const modes[] = {"r", "w", "a", "r+", "w+", "a+"};
    FILE *(*open_memory)(void *, size_t, const char *) = (FILE * (*)(void *, size_t, const char *)) f;
    for (int i = 0; i < 6; i++) {
        char buffer[16] = "hello";
        FILE *file = open_memory(buffer, sizeof buffer, modes[i]);
        printf("[%s]%d", modes[i], fputs("AB", file));
        fseek(file, 0, SEEK_SET);
        printf(",%d", fgetc(file));
        fseek(file, 0, SEEK_END);
        printf(",%ld", ftell(file));
        fclose(file);
        printf(",%.5s ", buffer);
    }
    FILE *file = open_memory(one, 0, "r");
    printf("[empty]%d ", file != NULL);
}

static void lock(function f, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", folder);
    int file = open(path, O_RDWR | O_CREAT, 0600), (*control)(int, int, ...) = (int (*)(int, int, ...))f;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    printf("[flags]%d,%d ", control(file, F_SETFD, FD_CLOEXEC), control(file, F_GETFD));
    printf("[lock]%d ", control(file, F_SETLK, &whole));
    whole.l_start = 20; /* the process's own lock would be in the way */
    printf("[description]%d ", control(file, F_OFD_SETLK, &whole));
    close(file);
}

static int act(const char *situation, function f, const char *name, const char *folder)
{
    static const struct {
        const char *name;
        void (*act)(function);
    } plain[] = {
        {"copy", copy}, {"wipe", wipe}, {"fill", fill}, {"release", release}, {"equal", equal}, {"align", align}, {"once", once}, {"self", self}, {"alike", alike},
        {"yield", yield}, {"nap", nap}, {"key-get", key_get}, {"key-delete", key_delete}, {"key-set", key_set},
        {"key-create", key_create}, {"kill", kill_thread}, {"leave", leave}, {"quick", quick}, {"memory-file", memory_file},
    };
    static const struct {
        const char *name;
        void (*act)(function, const char *);
    } placed[] = {{"find", find}, {"spawn", spawn}, {"lock", lock}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(situation, plain[i].name))
            return plain[i].act(f), 0;
    for (size_t i = 0; i < sizeof placed / sizeof *placed; i++)
        if (!strcmp(situation, placed[i].name))
            return placed[i].act(f, folder), 0;
    locale_t locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!strcmp(situation, "strtol"))
        return strtol_narrow(f, locale), 0;
    if (!strcmp(situation, "wcstol"))
        return strtol_wide(f, locale), 0;
    if (!strcmp(situation, "magnitude"))
        return magnitude(f, name), 0;
    if (!strcmp(situation, "scanf"))
        return scanf_any(f, strrchr(name, '_') + 1), 0;
    return 2;
}

int main(int count, char **words)
{
    function found[2] = {0};
    for (int i = 0; i < 2; i++) {
        found[i] = dlvsym(RTLD_DEFAULT, words[2 + 2 * i], words[3 + 2 * i]);
        if (!found[i])
            return 2;
    }
    if (found[0] == found[1])
        return 3;
    for (int i = 0; i < 2; i++) {
        if (act(words[1], found[i], words[2 + 2 * i], count > 6 ? words[6] : NULL))
            return 4;
        printf("\n");
    }
    return 0;
}
