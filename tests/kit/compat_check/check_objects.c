#include "check.h"

#include <link.h>

struct found_object {
    unsigned long long flags;
    char *start, *end;
    struct link_map *map;
    void *eh_frame;
    unsigned long long reserved[7];
};

static const void *eh_frame_of(const struct link_map *map);
static const struct link_map *looked_for;
static int look(struct dl_phdr_info *object, size_t size, void *found) {
    (void)size;
    int is_it = 0;
    uintptr_t place = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            is_it = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr == (uintptr_t)looked_for->l_ld;
        if (object->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
            place = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
    }
    if (is_it)
        *(uintptr_t *)found = place;
    return is_it;
}

static const void *eh_frame_of(const struct link_map *map) {
    const void *found = NULL;
    looked_for = map;
    dl_iterate_phdr(look, &found);
    return found;
}

/* The program itself begins elsewhere on machines with large pages. */
static int behaves_as_library(const char *path) { return strstr(path, ".so") != NULL; }

static int (*find_object)(void *, struct found_object *);

static void show(const char *what, void *address) {
    struct found_object found;
    memset(&found, 0x55, sizeof found);
    int result = find_object(address, &found);
    printf("_dl_find_object: %s %d", what, result);
    if (result == 0) {
        void *handle = NULL;
        Dl_info named;
        struct link_map *map = NULL;
        (void)handle;
        int known = dladdr1(address, &named, (void **)&map, RTLD_DL_LINKMAP);
        printf(" flags %d map %d eh_frame %d start %d inside %d", (int)found.flags, known && found.map == map,
               found.map && found.eh_frame == eh_frame_of(found.map), known && behaves_as_library(named.dli_fname) <= (found.start == (char *)named.dli_fbase),
               (char *)address >= found.start && (char *)address < found.end);
        /* Its ends are the object's: one byte further is not in it. */
        struct found_object beside;
        int before = find_object(found.start - 1, &beside), behind = find_object(found.end, &beside);
        printf(" before %d behind %d", before != 0 || beside.map != found.map, behind != 0 || beside.map != found.map);
    }
    printf("\n");
}

void check_objects(void) {
    static int data;
    int on_stack;
    find_object = find("_dl_find_object");
    if (!find_object)
        return;
    void *libm = dlopen("libm.so.6", RTLD_NOW);
    show("libc", dlsym(RTLD_DEFAULT, "malloc"));
    show("libm", dlsym(libm, "sin"));
    show("program", (void *)check_objects);
    show("data", &data);
    show("stack", &on_stack);
    show("heap", malloc(10));
    show("null", NULL);
    show("top", (void *)-1);
}
