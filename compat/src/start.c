/* SPDX-License-Identifier: MIT-0 */
/* The start of programs that were linked with glibc 2.34 or newer. */
#include "compat.h"

#include <elf.h>
#include <link.h>

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

/* The first object in the loader's list is the program. */
static int initialise(int count, char **arguments, char **environment) {
    const struct link_map *program = _r_debug.r_map;
    uintptr_t first = 0;
    size_t size = 0;
    const ElfW(Dyn) *array = NULL;
    for (const ElfW(Dyn) *entry = program->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_INIT)
            first = program->l_addr + entry->d_un.d_ptr;
        else if (entry->d_tag == DT_INIT_ARRAY)
            array = entry;
        else if (entry->d_tag == DT_INIT_ARRAYSZ)
            size = entry->d_un.d_val;
    }
    if (HAS_INIT && first != 0)
        ((main_function *)first)(count, arguments, environment);
    if (array == NULL)
        return 0;
    main_function *const *constructors = (main_function *const *)(program->l_addr + array->d_un.d_ptr);
    for (size_t i = 0; i < size / sizeof *constructors; i++)
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
