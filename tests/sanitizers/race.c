/* SPDX-License-Identifier: MIT */
/*
 * A planted fault: two threads write to one page of Moat's, and nobody holds a lock. That
 * the pages are Moat's is the point: ThreadSanitizer must keep books of them as of any others.
 */
#include <moat/moat.h>
#include <pthread.h>
#include <stddef.h>

enum { ROUNDS = 100000 };

static void *count(void *word) {
    volatile unsigned *counter = word;
    for (int i = 0; i < ROUNDS; i++)
        ++*counter;
    return NULL;
}

int main(void) {
    struct moat_manager *manager;
    pthread_t other;
    void *page;

    if (moat_manager_create(NULL, &manager) != MOAT_OK ||
        moat_reserve(manager, NULL, 4096, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &page) !=
            MOAT_OK ||
        pthread_create(&other, NULL, count, page) != 0)
        return 1;
    count(page);
    pthread_join(other, NULL);
    return moat_release(manager, page) != MOAT_OK;
}
