/* SPDX-License-Identifier: MIT */
/* moat-inspect: what the regions of a process, or of a core dump, are. */
#include "show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <moat/moat.h>

#define TEXT_OF(number)              #number
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

static const char help[] =
    "moat-inspect shows the regions of a process that is linked with Moat, or of a core dump of\n"
    "one. The process is neither stopped nor told.\n"
    "\n"
    "usage: moat-inspect [--json] [--svg FILE] PID|CORE\n"
    "       moat-inspect --watch PID\n"
    "       moat-inspect --help | --version\n"
    "\n"
    "    moat-inspect 4711                     a table of the regions of process 4711\n"
    "    moat-inspect core                     the same of a core dump\n"
    "    moat-inspect --watch 4711             again each second, until q or Ctrl-C\n"
    "    moat-inspect --svg map.svg 4711       a picture of its address space, for a browser\n"
    "    moat-inspect --json core | jq '.regions[] | select(.committed > 1048576)'\n"
    "    moat-inspect --json \"$(pidof host)\" | jq .committed\n"
    "\n"
    "A region is a line: where it is, its size, how much of it is committed and how much of that\n"
    "is in memory (of a core: in the dump), the rights, the manager that owns it, and when and in\n"
    "which thread it was reserved. The notes say what is special of it. TORN: it was changed "
    "again\n"
    "and again while it was read. DAMAGED: its record is not as Moat wrote it. PAGES-MISSING: the\n"
    "dump does not have what its pages are.\n"
    "\n"
    "Needed are the rights to trace the process: its user, and where\n"
    "/proc/sys/kernel/yama/ptrace_scope is not 0, root. A core dump needs no rights and no files\n"
    "but itself.\n"
    "\n"
    "Exit status  0  shown\n"
    "             1  shown, and some entries are torn, missing or damaged\n"
    "             2  wrong arguments, or the picture cannot be written\n"
    "             3  no such process or file, or it may not be read\n"
    "             4  Moat is not in it, or was not started yet\n"
    "             5  the Moat in it is of another version than this program\n";

struct wishes {
    const char *target;
    const char *svg;
    bool json;
    bool watch;
};

static enum ending misused(const char *what, const char *word) {
    complain("%s%s; try moat-inspect --help", what, word);
    return USAGE;
}

/* SHOWN: go on. What is answered at once ends the program. */
static enum ending parse(char **words, struct wishes *wishes) {
    for (char **word = words + 1; *word; word++) {
        if (strcmp(*word, "--help") == 0 || strcmp(*word, "-h") == 0) {
            fputs(help, stdout);
            exit(SHOWN);
        } else if (strcmp(*word, "--version") == 0) {
            puts("moat-inspect " VERSION(MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR,
                                         MOAT_VERSION_PATCH));
            exit(SHOWN);
        } else if (strcmp(*word, "--json") == 0) {
            wishes->json = true;
        } else if (strcmp(*word, "--watch") == 0) {
            wishes->watch = true;
        } else if (strcmp(*word, "--svg") == 0) {
            if (!word[1])
                return misused("--svg needs the name of a file", "");
            wishes->svg = *++word;
        } else if (**word == '-') {
            return misused("there is no option ", *word);
        } else if (wishes->target) {
            return misused("one process or core at a time, and not also ", *word);
        } else {
            wishes->target = *word;
        }
    }
    return wishes->target ? SHOWN : misused("which process, or which core dump?", "");
}

/* What is all digits is a process. 0: it is not. */
static pid_t process_of(const char *word) {
    char *end;

    errno = 0;
    long number = strtol(word, &end, 10);
    return *end == '\0' && number > 0 && number <= INT32_MAX && errno == 0 ? (pid_t)number : 0;
}

static enum ending draw(const struct books *books, const char *path) {
    FILE *file = fopen(path, "we");

    if (file)
        show_svg(books, file);
    bool failed = !file || ferror(file);
    if (file && fclose(file) != 0)
        failed = true;
    if (failed)
        complain("%s: %s", path, strerror(errno));
    return failed ? USAGE : SHOWN;
}

static enum ending show(const struct wishes *wishes, pid_t process) {
    struct books books = {.regions = NULL};
    enum ending ending = process ? target_open_process(&books.target, process)
                                 : target_open_core(&books.target, wishes->target);

    if (ending == SHOWN)
        ending = books_read(&books);
    if (ending <= DAMAGED && wishes->svg && draw(&books, wishes->svg) != SHOWN)
        ending = USAGE;
    if (ending <= DAMAGED && wishes->json)
        show_json(&books, stdout);
    else if (ending <= DAMAGED && !wishes->svg)
        show_table(&books, stdout, 0);
    books_free(&books);
    return ending;
}

int main(int count, char **words) {
    struct wishes wishes = {.target = NULL};
    enum ending ending = parse(words, &wishes);

    (void)count;
    if (ending != SHOWN)
        return (int)ending;
    pid_t process = process_of(wishes.target);
    if (wishes.watch && (wishes.json || wishes.svg))
        ending = misused("--watch shows a table, and nothing else", "");
    else if (wishes.watch && !process)
        ending = misused("--watch needs a process, and no core: ", wishes.target);
    else
        ending = wishes.watch ? watch(process) : show(&wishes, process);
    return (int)ending;
}
