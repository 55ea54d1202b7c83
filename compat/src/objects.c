/* SPDX-License-Identifier: MIT-0 */
/* The loaded object that an address belongs to, as unwinders ask for it. */
#include "compat.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

/* On 32-bit machines the structure is another one. */
#if __SIZEOF_POINTER__ == 8

struct search {
    uintptr_t address, page;
    struct dl_find_object *found;
};

static struct link_map *map_of(uintptr_t dynamic) {
    for (struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next)
        if ((uintptr_t)map->l_ld == dynamic)
            return map;
    return NULL;
}

/* The loader's lists do not change while it calls this. */
static int look_at(struct dl_phdr_info *object, size_t size, void *given) {
    (void)size;
    struct search *search = given;
    uintptr_t start = UINTPTR_MAX, end = 0, eh_frame = 0, dynamic = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t place = object->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD) {
            uintptr_t first = place & -search->page;
            start = first < start ? first : start;
            end = place + header->p_memsz > end ? place + header->p_memsz : end;
        } else if (header->p_type == PT_GNU_EH_FRAME) {
            eh_frame = place;
        } else if (header->p_type == PT_DYNAMIC) {
            dynamic = place;
        }
    }
    if (search->address < start || search->address >= end)
        return 0;
    struct link_map *map = map_of(dynamic);
    if (map == NULL)
        return 0;
    struct dl_find_object *found = search->found;
    found->dlfo_flags = 0;
    found->dlfo_map_start = (void *)start;
    found->dlfo_map_end = (void *)end;
    found->dlfo_link_map = map;
    found->dlfo_eh_frame = (void *)eh_frame;
    return 1;
}

/// _dl_find_object (64-bit): the loaded object at an address and its unwind table, by dl_iterate_phdr
EXPORT int _dl_find_object(void *address, struct dl_find_object *found) {
    struct search search = {
        .address = (uintptr_t)address, .page = (uintptr_t)sysconf(_SC_PAGESIZE), .found = found};
    return dl_iterate_phdr(look_at, &search) == 1 ? 0 : -1;
}

#endif
