/* SPDX-License-Identifier: MIT-0 */
/* The start of programs that were linked with glibc 2.34 or newer. */
#include "compat.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

/* The startup code of these programs hands over no initialiser: it leaves DT_INIT and DT_INIT_ARRAY to libc, and older
 * releases run nothing then. All releases run an initialiser that they are given, or (newer ones on powerpc) look at the
 * program alone, so that the constructors run once everywhere. DT_PREINIT_ARRAY, DT_FINI_ARRAY and DT_FINI of a program
 * are the loader's in every release. */

/* On riscv glibc has no use for DT_INIT. */
#ifdef __riscv
#define HAS_INIT 0
#else
#define HAS_INIT 1
#endif

typedef int main_function(int, char **, char **);

/* The program, as the kernel or the loader tells where it is; the loader finds it by the same header. */
static int initialise(int count, char **arguments, char **environment) {
    const ElfW(Phdr) *headers = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    uintptr_t base = 0, dynamic = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        if (headers[i].p_type == PT_PHDR)
            base = (uintptr_t)headers - headers[i].p_vaddr;
        else if (headers[i].p_type == PT_DYNAMIC)
            dynamic = headers[i].p_vaddr;
    }
    uintptr_t first = 0, array = 0;
    size_t size = 0;
    for (const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(base + dynamic); entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_INIT)
            first = base + entry->d_un.d_ptr;
        else if (entry->d_tag == DT_INIT_ARRAY)
            array = base + entry->d_un.d_ptr;
        else if (entry->d_tag == DT_INIT_ARRAYSZ)
            size = entry->d_un.d_val;
    }
    if (HAS_INIT && first != 0)
        ((main_function *)first)(count, arguments, environment);
    main_function *const *constructors = (main_function *const *)array;
    for (size_t i = 0; array != 0 && i < size / sizeof *constructors; i++)
        constructors[i](count, arguments, environment);
    return 0;
}

#ifdef __powerpc__

struct startup {
    void *small_data;
    main_function *main, *initialise;
    void (*finish)(void);
};

extern int __libc_start_main(int count, char **arguments, char **environment, void *auxiliary, void (*finish)(void),
                             const struct startup *startup, char **stack);

/// __libc_start_main@2.34 by deloc8_start_main: starts a program by the old version, and runs its constructors
EXPORT int deloc8_start_main(int count, char **arguments, char **environment, void *auxiliary, void (*finish)(void),
                             const struct startup *given, char **stack) {
    struct startup startup = {.small_data = given->small_data, .main = given->main, .initialise = initialise};
    return __libc_start_main(count, arguments, environment, auxiliary, finish, &startup, stack);
}

#else

extern int __libc_start_main(main_function *main, int count, char **arguments, main_function *initialise,
                             void (*unused)(void), void (*finish)(void), void *stack);

EXPORT int deloc8_start_main(main_function *main, int count, char **arguments, main_function *given,
                             void (*unused)(void), void (*finish)(void), void *stack) {
    return __libc_start_main(main, count, arguments, given ? given : initialise, unused, finish, stack);
}

#endif
