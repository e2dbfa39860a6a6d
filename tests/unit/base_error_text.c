/* SPDX-License-Identifier: MIT */
/*
 * The error text is the only channel for why, so it must be there, whole, and nobody else's.
 */
#include "base/error_text.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

Test(error_text, is_empty_before_the_first_failure) {
    cr_assert_str_eq(moat_last_error_text(), "");
}

Test(error_text, is_the_last_one_set) {
    moat_error_set("first %d", 1);
    moat_error_set("second %s at %p", "failure", (void *)0x1000);
    cr_assert_str_eq(moat_last_error_text(), "second failure at 0x1000");
}

Test(error_text, may_extend_itself) {
    moat_error_set("the cause");
    moat_error_set("the context: %s", moat_last_error_text());
    cr_assert_str_eq(moat_last_error_text(), "the context: the cause");
}

Test(error_text, is_cut_to_its_buffer) {
    char text[2 * MOAT_ERROR_TEXT_SIZE];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    moat_error_set("%s", text);
    cr_assert_eq(strlen(moat_last_error_text()), MOAT_ERROR_TEXT_SIZE - 1);
}

static void *set_another(void *seen) {
    *(bool *)seen = moat_last_error_text()[0] == '\0';
    moat_error_set("of another thread");
    return NULL;
}

Test(error_text, belongs_to_its_thread) {
    bool empty = false;
    pthread_t thread;
    moat_error_set("of this thread");
    cr_assert_eq(pthread_create(&thread, NULL, set_another, &empty), 0);
    pthread_join(thread, NULL);
    cr_assert(empty, "a new thread starts without a text");
    cr_assert_str_eq(moat_last_error_text(), "of this thread");
}

/* A note is put together when it is read, so a later text must not be overtaken by an earlier note,
 * nor a later note by an earlier text. */
Test(error_text, note_and_text_come_in_order) {
    moat_error_note("release", 0x10000, "in no region");
    cr_assert_str_eq(moat_last_error_text(), "release at 0x10000: in no region");
    moat_error_set("of options");
    cr_assert_str_eq(moat_last_error_text(), "of options");
    moat_error_note("commit", 0x20000, "late");
    moat_error_set("last");
    cr_assert_str_eq(moat_last_error_text(), "last");
}
