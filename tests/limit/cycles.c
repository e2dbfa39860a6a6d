/* SPDX-License-Identifier: MIT */
/*
 * cycles: ten thousand calls with the process at each limit, on both rungs.
 *
 * Nothing aborts, nothing that was given back can be used, what the books say of a page is what
 * the kernel does with it, and each refusal names the limit that was met. At the end all of it is
 * given back. Each limit is met by a process of its own.
 */
#include "support/limits.h"

#include <moat/report.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CYCLES = 10000, SKIPPED = 77 };

static const char *const rungs[] = {"trap=auto,timeout=1000", "trap=protect,timeout=1000"};

static int play(const struct limit *limit, const char *options) {
    struct moat_manager *manager = NULL;
    struct moat_limits seen;
    struct tally tally;

    if (limit->before_start && !limit->reach())
        return SKIPPED;
    manager = manager_with(options);
    CHECK(manager, "a manager");
    if (!cycles(manager, limit, CYCLES, 1, &tally))
        return SKIPPED;
    CHECK(moat_limits_read(&seen) == MOAT_OK, "limits");
    printf("%s, %s: %u done, %u refused, of those %u decommits or releases; less %#x, %u regions, "
           "%u spare mappings, %llu bytes parked\n",
           limit->name, options, tally.done, tally.refused, tally.kept, seen.less, seen.regions_max,
           seen.spare_mappings, (unsigned long long)seen.parked_bytes);
    moat_manager_destroy(manager);
    return 0;
}

int main(int argc, char **argv) {
    unsigned played = 0, skipped = 0;

    for (unsigned i = 0; i < 2u * LIMITS; i++) {
        const struct limit *limit = &limits[i / 2];
        int state;
        if (argc > 1 && strcmp(argv[1], limit->name) != 0)
            continue;
        fflush(NULL);
        pid_t process = fork();
        if (process == 0) {
            int end = play(limit, rungs[i % 2]);
            fflush(NULL);
            _exit(end);
        }
        CHECK(process > 0 && waitpid(process, &state, 0) == process, "a child");
        CHECK(WIFEXITED(state) && (WEXITSTATUS(state) == 0 || WEXITSTATUS(state) == SKIPPED),
              "%s, %s: %s %d", limit->name, rungs[i % 2], WIFEXITED(state) ? "exit" : "signal",
              WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
        skipped += WEXITSTATUS(state) == SKIPPED;
        played += WEXITSTATUS(state) == 0;
    }
    limits_clean_up();
    printf("%u played, %u skipped\n", played, skipped);
    return played ? 0 : SKIPPED;
}
