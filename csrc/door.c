#include "door.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The interpreter ends once: so this is set once, and never again. */
static _Atomic int shut;

void ltx_door_shut(void)
{
    atomic_store(&shut, 1);
}

int ltx_door_is_shut(void)
{
    return atomic_load(&shut);
}

void ltx_answer_set(ltx_answer *answer, const char *text, size_t size)
{
    free(answer->text);
    answer->text = malloc(size + 1);
    if (!answer->text)
        return;
    memcpy(answer->text, text, size);
    answer->text[size] = 0;
}
