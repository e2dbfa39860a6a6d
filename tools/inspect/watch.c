/* SPDX-License-Identifier: MIT */
/*
 * watch: the table again each second. The terminal is given back as it was, however this ends.
 */
#define _GNU_SOURCE
#include "show.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PERIOD_MS 1000

static struct termios before;
static volatile sig_atomic_t ended;

static void end(int signal_number) {
    (void)signal_number;
    ended = 1;
}

static void give_back(void) {
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* Keys come one by one, and are not shown. */
static void take_keys(void) {
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    (void)atexit(give_back);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Whether the user has had enough. A stdin that is at its end is asked no more. */
static bool wait_for_q(void) {
    static bool silent;
    struct pollfd keys = {.fd = silent ? -1 : STDIN_FILENO, .events = POLLIN};
    char key = 0;

    if (poll(&keys, 1, PERIOD_MS) > 0 && read(STDIN_FILENO, &key, 1) != 1)
        silent = true;
    return key == 'q' || key == 'Q';
}

static unsigned lines_of_terminal(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

enum ending watch(pid_t process) {
    struct sigaction action = {.sa_handler = end};
    bool screen = isatty(STDOUT_FILENO) == 1, shown = false;
    enum ending ending;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    take_keys();
    do {
        struct books books = {.regions = NULL};
        ending = target_open_process(&books.target, process);
        if (ending == SHOWN)
            ending = books_read(&books);
        if (ending <= DAMAGED) {
            fputs(screen ? "\x1b[H\x1b[2J" : "", stdout);
            show_table(&books, stdout, lines_of_terminal());
            fputs(screen ? "q ends this\n" : "\n", stdout);
            (void)fflush(stdout);
            shown = true;
        }
        books_free(&books);
    } while (ending <= DAMAGED && !ended && !wait_for_q());
    return shown ? SHOWN : ending;
}
