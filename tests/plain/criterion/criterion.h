/* SPDX-License-Identifier: MIT */
/*
 * criterion: as much of Criterion as the tests here use, for machines that it is in no package for.
 *
 * Each test runs in a forked child, one after the other, in the order of the file. What a test says
 * is what it says with Criterion; what the runner prints is not. plain.c is the runner.
 *
 * Easy to get wrong: a failed check ends the child at once, in whatever thread it fails, so what
 * .fini would have cleaned up outside of the process stays.
 */
#ifndef MOAT_TESTS_PLAIN_CRITERION_H
#define MOAT_TESTS_PLAIN_CRITERION_H

/* As Criterion's own header, which the compiler takes no offence at in the programs that use it. */
#pragma GCC system_header

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct plain_options {
    int unused; /* so that a list may be empty */
    void (*init)(void);
    void (*fini)(void);
    int signal;
    int exit_code;
    double timeout; /* left to whoever runs the program */
    bool disabled;
};

struct criterion_test_params {
    size_t size;
    void *params;
    size_t length;
};

#define cr_make_param_array(Type, Array, Length)                                                   \
    ((struct criterion_test_params){sizeof(Type), (void *)(Array), Length})

struct plain_test {
    const char *suite;
    const char *name;
    void (*run)(void *parameter);
    struct criterion_test_params (*parameters)(void); /* NULL: one run, without any */
    const struct plain_options *options;
    struct plain_test *next;
};

struct plain_suite {
    const char *name;
    const struct plain_options *options;
    struct plain_suite *next;
};

void plain_add_test(struct plain_test *test);
void plain_add_suite(struct plain_suite *suite);

#define PLAIN_ADD(Kind, Id, ...)                                                                   \
    __attribute__((constructor)) static void plain_add_##Id(void) {                                \
        static struct plain_##Kind it = {__VA_ARGS__};                                             \
        plain_add_##Kind(&it);                                                                     \
    }                                                                                              \
    struct plain_options /* so that the line may end with a semicolon, or a body follow */

#define PLAIN_OPTIONS(Id, ...)                                                                     \
    static const struct plain_options plain_options_##Id = {.unused = 0, __VA_ARGS__}

#define TestSuite(Suite, ...)                                                                      \
    PLAIN_OPTIONS(Suite, __VA_ARGS__);                                                             \
    PLAIN_ADD(suite, Suite, .name = #Suite, .options = &plain_options_##Suite)

#define Test(Suite, Name, ...)                                                                     \
    static void plain_##Suite##_##Name(void *);                                                    \
    PLAIN_OPTIONS(Suite##_##Name, __VA_ARGS__);                                                    \
    PLAIN_ADD(test, Suite##_##Name, .suite = #Suite, .name = #Name, .run = plain_##Suite##_##Name, \
              .options = &plain_options_##Suite##_##Name);                                         \
    static void plain_##Suite##_##Name(void *unused __attribute__((unused)))

#define ParameterizedTestParameters(Suite, Name)                                                   \
    static struct criterion_test_params plain_parameters_##Suite##_##Name(void)

#define ParameterizedTest(Parameter, Suite, Name, ...)                                             \
    static void plain_with_##Suite##_##Name(Parameter);                                            \
    static void plain_##Suite##_##Name(void *parameter) {                                          \
        plain_with_##Suite##_##Name(parameter);                                                    \
    }                                                                                              \
    PLAIN_OPTIONS(Suite##_##Name, __VA_ARGS__);                                                    \
    PLAIN_ADD(test, Suite##_##Name, .suite = #Suite, .name = #Name, .run = plain_##Suite##_##Name, \
              .parameters = plain_parameters_##Suite##_##Name,                                     \
              .options = &plain_options_##Suite##_##Name);                                         \
    static void plain_with_##Suite##_##Name(Parameter)

/* What is behind the checks, of which the last two do not return. `format` may be "". */
void plain_expect_failed(const char *file, int line, const char *what, const char *format, ...);
void plain_assert_failed(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((noreturn));
void plain_skip(const char *format, ...) __attribute__((noreturn));

/* The rest of each check is a format and its arguments, or nothing: "" makes it something. */
#define PLAIN_CHECK(How, Condition, What, ...)                                                     \
    ((Condition) ? (void)0 : plain_##How##_failed(__FILE__, __LINE__, What, __VA_ARGS__))
#define PLAIN_ONE(How, A, ...)        PLAIN_CHECK(How, A, #A, __VA_ARGS__)
#define PLAIN_NOT(How, A, ...)        PLAIN_CHECK(How, !(A), "!(" #A ")", __VA_ARGS__)
#define PLAIN_NULL(How, A, ...)       PLAIN_CHECK(How, (A) == NULL, #A " is NULL", __VA_ARGS__)
#define PLAIN_SOME(How, A, ...)       PLAIN_CHECK(How, (A) != NULL, #A " is not NULL", __VA_ARGS__)
#define PLAIN_TWO(How, Is, A, B, ...) PLAIN_CHECK(How, (A)Is(B), #A " " #Is " " #B, __VA_ARGS__)
#define PLAIN_TEXTS(How, Is, A, B, ...)                                                            \
    PLAIN_CHECK(How, strcmp(A, B) Is 0, #A " " #Is " " #B, __VA_ARGS__)
#define PLAIN_BYTES(How, A, B, Size, ...)                                                          \
    PLAIN_CHECK(How, memcmp(A, B, Size) == 0, #A " holds " #B, __VA_ARGS__)

#define cr_assert(...)          PLAIN_ONE(assert, __VA_ARGS__, "")
#define cr_assert_not(...)      PLAIN_NOT(assert, __VA_ARGS__, "")
#define cr_assert_null(...)     PLAIN_NULL(assert, __VA_ARGS__, "")
#define cr_assert_not_null(...) PLAIN_SOME(assert, __VA_ARGS__, "")
#define cr_assert_eq(...)       PLAIN_TWO(assert, ==, __VA_ARGS__, "")
#define cr_assert_neq(...)      PLAIN_TWO(assert, !=, __VA_ARGS__, "")
#define cr_assert_lt(...)       PLAIN_TWO(assert, <, __VA_ARGS__, "")
#define cr_assert_leq(...)      PLAIN_TWO(assert, <=, __VA_ARGS__, "")
#define cr_assert_gt(...)       PLAIN_TWO(assert, >, __VA_ARGS__, "")
#define cr_assert_geq(...)      PLAIN_TWO(assert, >=, __VA_ARGS__, "")
#define cr_assert_str_eq(...)   PLAIN_TEXTS(assert, ==, __VA_ARGS__, "")
#define cr_assert_str_neq(...)  PLAIN_TEXTS(assert, !=, __VA_ARGS__, "")
#define cr_assert_str_empty(A)  PLAIN_TEXTS(assert, ==, A, "", "")
#define cr_assert_arr_eq(...)   PLAIN_BYTES(assert, __VA_ARGS__, "")
#define cr_assert_fail(...)     plain_assert_failed(__FILE__, __LINE__, "this place", __VA_ARGS__)

#define cr_expect(...)        PLAIN_ONE(expect, __VA_ARGS__, "")
#define cr_expect_not(...)    PLAIN_NOT(expect, __VA_ARGS__, "")
#define cr_expect_eq(...)     PLAIN_TWO(expect, ==, __VA_ARGS__, "")
#define cr_expect_lt(...)     PLAIN_TWO(expect, <, __VA_ARGS__, "")
#define cr_expect_leq(...)    PLAIN_TWO(expect, <=, __VA_ARGS__, "")
#define cr_expect_gt(...)     PLAIN_TWO(expect, >, __VA_ARGS__, "")
#define cr_expect_str_eq(...) PLAIN_TEXTS(expect, ==, __VA_ARGS__, "")

#define cr_skip      plain_skip
#define cr_skip_test plain_skip
void cr_log_info(const char *format, ...);

/* Standard error goes to a file from then on, which is read from where the last read ended. */
void cr_redirect_stderr(void);
FILE *cr_get_redirected_stderr(void);

#endif
