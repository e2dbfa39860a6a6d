/* SPDX-License-Identifier: MIT */
/*
 * forks: the child has the thread that forked, and nobody else. What that thread owns is there, or
 * reads as zero, or is gone, as the options of its manager say; what the others were in the middle
 * of must not keep the child from working.
 */
#define _GNU_SOURCE
#include "forks.h"

#include "../../fuzz/support/probe.h"
#include "pages.h"
#include "refuse.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE = 300 }; /* seconds: a child that hangs */

static void check_gone(const struct object *object) {
    struct moat_page_info info;

    EXPECT(ORACLE_CHILD,
           moat_query(object->base, &info) == MOAT_OK && info.owner == NULL &&
               probe_readable((uintptr_t)object->base, 1) == 0,
           "%p is there in the child", (void *)object->base);
}

static void check_wiped(struct object *object) {
    for (size_t page = 0; page < object->pages; page++) {
        object->token[page] = 0;
        object->soft[page] = 0;
    }
    pages_compare(object);
    for (size_t page = 0; page < object->pages; page++)
        pages_verify(object, page);
}

static void check_inherited(struct object *object) {
    pages_compare(object);
    for (size_t page = 0; page < object->pages; page++)
        pages_verify(object, page);
}

static void check_object(struct object *object) {
    switch (moat_manager_options(object->manager)->fork) {
    case MOAT_FORK_DONTFORK:
        check_gone(object);
        return;
    case MOAT_FORK_WIPE:
        check_wiped(object);
        break;
    default:
        check_inherited(object);
    }
    EXPECT(ORACLE_CHILD, moat_release(object->manager, object->base) == MOAT_OK || world.is_short,
           "a child cannot release %p", (void *)object->base);
}

/* A life of a region in the child, in each manager. */
static void live(struct moat_manager *manager) {
    void *base;
    enum moat_status status =
        moat_reserve(manager, NULL, 3 * PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base);

    if (status && (SCARCE & SET(status)))
        return;
    EXPECT(ORACLE_CHILD, status == MOAT_OK, "a child cannot reserve: %d", status);
    EXPECT(ORACLE_CHILD, *(unsigned char *)base == 0, "a page of a child is not fresh");
    memset(base, 'c', 3 * PAGE);
    status = moat_release(manager, base);
    EXPECT(ORACLE_CHILD, status == MOAT_OK || world.is_short, "a child cannot release: %d", status);
}

static _Noreturn void be_child(struct thread *self) {
    signal(SIGALRM, SIG_DFL);
    alarm(DEADLINE);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (self->object[i].base)
            check_object(&self->object[i]);
    for (unsigned i = 0; i < MANAGERS; i++)
        live(world.manager[i]);
    live(world.meeting_place);
    _exit(0);
}

void forks_act(struct thread *self) {
    int state = 0;
    pid_t child = fork();

    if (child == 0)
        be_child(self);
    if (child < 0 && (errno == EAGAIN || errno == ENOMEM))
        return;
    EXPECT(ORACLE_CHILD, child > 0, "no child");
    atomic_fetch_add(&tally.forks, 1);
    if (soak_springs(PLANT_LOST_CHILD))
        return;
    pid_t ended;
    do
        ended = waitpid(child, &state, 0);
    while (ended < 0 && errno == EINTR);
    if (ended == child && WIFEXITED(state) && WEXITSTATUS(state) >= ORACLE_STATUS)
        soak_fail((enum oracle)WEXITSTATUS(state), "a child has found this");
    EXPECT(ORACLE_CHILD, ended == child && WIFEXITED(state) && WEXITSTATUS(state) == 0,
           "a child ends with state %#x", state);
}

void forks_expect_none(void) {
    errno = 0;
    EXPECT(ORACLE_CHILD, waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child is left");
}
