#include <stdio.h>
#include "ring.h"

#define SIZE 16
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef struct ring {
    int *items;
    int count;
} ring;

enum mode { OPEN, CLOSED };

static int total = 0;

/* Puts an item into the ring. */
int ring_put(ring *r, int item)
{
    r->items[r->count++] = item;
    return ring_size(r);
}

static char *name(void) { return "ring"; }
