/* SPDX-License-Identifier: MIT */
/*
 * Options come from the environment: every name, every bad form, and what an error changes.
 */
#include "base/options.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct moat_options parsed(const char *text) {
    struct moat_options options;
    char error[640];
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, error, sizeof error), MOAT_OK, "%s", error);
    cr_assert_str_eq(error, "");
    return options;
}

/* The text must be refused, with this sentence, and change nothing. */
static void refused(const char *text, const char *sentence) {
    struct moat_options options, before;
    char error[640];
    moat_options_init(&options);
    options.timeout_ms = 77;
    before = options;
    cr_assert_eq(moat_options_parse(&options, text, error, sizeof error), MOAT_INVALID_ARGUMENT,
                 "%s", text);
    cr_assert_str_eq(error, sentence);
    cr_assert_str_eq(moat_last_error_text(), sentence);
    cr_assert_eq(memcmp(&options, &before, sizeof options), 0, "%s changed something", text);
}

#define NAMES                                                                                      \
    "of trap, backend, report, timeout, quarantine, quarantine_bytes, poison, quota, reserve, "    \
    "watch, leaks, guard_before, guard_after, guard_random, placing, zero, misuse, "               \
    "on_corruption, faults, fork, execute, dump, heap_poison, commit, numa, numa_nodes, "          \
    "retain, defer, defer_bytes, defer_ms, deny_reserve, "                                         \
    "deny_commit, deny_protect, deny_heap, deny_grace, deny_seed, stats"

Test(options, defaults_are_what_the_documents_say) {
    struct moat_options options;
    memset(&options, 0xFF, sizeof options);
    moat_options_init(&options);
    cr_assert_eq(options.struct_size, sizeof options);
    cr_assert_eq(options.trap, MOAT_TRAP_AUTO);
    cr_assert_eq(options.backend, MOAT_BACKEND_OS);
    cr_assert_eq(options.report, MOAT_REPORT_STDERR);
    cr_assert_eq(options.timeout_ms, 10000);
    cr_assert_eq(options.quarantine_regions, 64);
    cr_assert_eq(options.poison, 0xDB);
    cr_assert_eq(options.quota_bytes, 0);
    cr_assert_eq(options.reserve_bytes, 0);
    cr_assert_eq(options.watch, MOAT_WATCH_AUTO);
    cr_assert_eq(options.leaks, MOAT_LEAKS_SILENT);
    cr_assert_eq(options.stats, MOAT_STATS_OFF);
    cr_assert_eq(options.quarantine_bytes, 64 << 20);
    cr_assert_eq(options.guard_before, 1);
    cr_assert_eq(options.guard_after, 1);
    cr_assert_eq(options.guard_random, 0);
    cr_assert_eq(options.placing, MOAT_PLACING_RANDOM);
    cr_assert_eq(options.zero, MOAT_ZERO_REUSE);
    cr_assert_eq(options.misuse, MOAT_MISUSE_FAIL);
    cr_assert_eq(options.on_corruption, MOAT_ON_CORRUPTION_LATCH);
    cr_assert_eq(options.faults, MOAT_FAULTS_SILENT);
    cr_assert_eq(options.fork, MOAT_FORK_INHERIT);
    cr_assert_eq(options.execute, MOAT_EXECUTE_ANY);
    cr_assert_eq(options.dump, MOAT_DUMP_COMMITTED);
    cr_assert_eq(options.heap_poison, MOAT_HEAP_POISON_OFF);
    cr_assert_eq(options.commit, MOAT_COMMIT_LAZY);
    cr_assert_eq(options.numa, MOAT_NUMA_DEFAULT);
    cr_assert_eq(options.numa_nodes, 0);
    cr_assert_eq(options.retain_bytes, UINT64_C(64) << 20);
    cr_assert_eq(options.deny_reserve | options.deny_commit | options.deny_protect, 0);
    cr_assert_eq(options.deny_heap | options.deny_grace_ms | options.deny_seed, 0);
    cr_assert_null(options.report_function);
}

Test(options, bytes_have_units) {
    const char *sentence = "option \"quota\" cannot be \"%s\": it is a number of bytes, or one "
                           "with K, M, G or T";
    static const char *const bad[] = {
        "", "K", "1k", "1KB", "-1", "1.5G", "18446744073709551616", "16777216T", "G1"};
    cr_assert_eq(parsed("quota=0").quota_bytes, 0);
    cr_assert_eq(parsed("quota=1234").quota_bytes, 1234);
    cr_assert_eq(parsed("quota=18446744073709551615").quota_bytes, UINT64_MAX);
    cr_assert_eq(parsed("quota=3K").quota_bytes, 3 << 10);
    cr_assert_eq(parsed("quota=0x10M").quota_bytes, 16 << 20);
    cr_assert_eq(parsed("reserve=5G").reserve_bytes, UINT64_C(5) << 30);
    cr_assert_eq(parsed("reserve=16777215T").reserve_bytes, UINT64_C(16777215) << 40);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char word[64], expected[256];
        snprintf(word, sizeof word, "quota=%s", bad[i]);
        snprintf(expected, sizeof expected, sentence, bad[i]);
        refused(word, expected);
    }
}

Test(options, no_text_changes_nothing) {
    struct moat_options options = parsed(NULL), empty = parsed("");
    struct moat_options fresh;
    moat_options_init(&fresh);
    cr_assert_eq(memcmp(&options, &fresh, sizeof fresh), 0);
    cr_assert_eq(memcmp(&empty, &fresh, sizeof fresh), 0);
}

Test(options, every_word_of_every_name_is_understood) {
    cr_assert_eq(parsed("trap=markers").trap, MOAT_TRAP_MARKERS);
    cr_assert_eq(parsed("trap=protect").trap, MOAT_TRAP_PROTECT);
    cr_assert_eq(parsed("trap=protect,trap=auto").trap, MOAT_TRAP_AUTO);
    cr_assert_eq(parsed("backend=mimalloc").backend, MOAT_BACKEND_MIMALLOC);
    cr_assert_eq(parsed("backend=mimalloc,backend=os").backend, MOAT_BACKEND_OS);
    cr_assert_eq(parsed("report=off").report, MOAT_REPORT_OFF);
    cr_assert_eq(parsed("report=off,report=stderr").report, MOAT_REPORT_STDERR);
    cr_assert_eq(parsed("watch=kernel").watch, MOAT_WATCH_KERNEL);
    cr_assert_eq(parsed("watch=fault").watch, MOAT_WATCH_FAULT);
    cr_assert_eq(parsed("watch=fault,watch=auto").watch, MOAT_WATCH_AUTO);
    cr_assert_eq(parsed("stats=openmetrics").stats, MOAT_STATS_OPENMETRICS);
    cr_assert_eq(parsed("leaks=report").leaks, MOAT_LEAKS_REPORT);
    cr_assert_eq(parsed("leaks=report,leaks=silent").leaks, MOAT_LEAKS_SILENT);
    cr_assert_eq(parsed("placing=packed").placing, MOAT_PLACING_PACKED);
    cr_assert_eq(parsed("zero=release").zero, MOAT_ZERO_RELEASE);
    cr_assert_eq(parsed("misuse=report").misuse, MOAT_MISUSE_REPORT);
    cr_assert_eq(parsed("misuse=abort").misuse, MOAT_MISUSE_ABORT);
    cr_assert_eq(parsed("on_corruption=abort").on_corruption, MOAT_ON_CORRUPTION_ABORT);
    cr_assert_eq(parsed("faults=report").faults, MOAT_FAULTS_REPORT);
    cr_assert_eq(parsed("fork=dontfork").fork, MOAT_FORK_DONTFORK);
    cr_assert_eq(parsed("fork=wipe").fork, MOAT_FORK_WIPE);
    cr_assert_eq(parsed("execute=wx").execute, MOAT_EXECUTE_WX);
    cr_assert_eq(parsed("dump=none").dump, MOAT_DUMP_NONE);
}

Test(options, a_region_without_guards_is_refused) {
    struct moat_options options = parsed("guard_before=0");
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    cr_assert_str_eq(moat_last_error_text(), "option \"guard_before\" is 0, its least value is 1: "
                                             "a region has a page that traps on either side");
    options = parsed("guard_after=0");
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    options = parsed("guard_before=4096,guard_after=1,guard_random=4096");
    cr_assert_eq(moat_options_check(&options), MOAT_OK);
}

Test(options, numbers_reach_their_ends_and_no_further) {
    cr_assert_eq(parsed("timeout=0").timeout_ms, 0);
    cr_assert_eq(parsed("timeout=4294967295").timeout_ms, UINT32_MAX);
    refused("timeout=4294967296", "option \"timeout\" cannot be \"4294967296\": it is a number "
                                  "from 0 to 4294967295");
    cr_assert_eq(parsed("quarantine=0").quarantine_regions, 0);
    cr_assert_eq(parsed("quarantine=4096").quarantine_regions, 4096);
    refused("quarantine=4097",
            "option \"quarantine\" cannot be \"4097\": it is a number from 0 to 4096");
    cr_assert_eq(parsed("poison=0").poison, 0);
    cr_assert_eq(parsed("poison=255").poison, 255);
    refused("poison=256", "option \"poison\" cannot be \"256\": it is a number from 0 to 255");
}

Test(options, hexadecimal_is_a_number_too) {
    cr_assert_eq(parsed("poison=0xA5").poison, 0xA5);
    cr_assert_eq(parsed("poison=0Xa5").poison, 0xA5);
    cr_assert_eq(parsed("timeout=0xffffffff").timeout_ms, UINT32_MAX);
}

Test(options, numbers_have_one_spelling) {
    static const char *const bad[] = {
        "",   " 5",  "5 ",  "+5",   "-1", "0x",  "5x",
        "x5", "1e3", "5.0", "0x1g", "a5", "5ms", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char word[64], sentence[160];
        snprintf(word, sizeof word, "timeout=%s", bad[i]);
        snprintf(sentence, sizeof sentence,
                 "option \"timeout\" cannot be \"%s\": it is a number from 0 to 4294967295",
                 bad[i]);
        refused(word, sentence);
    }
}

Test(options, words_are_listed_when_a_value_is_wrong) {
    refused("trap=marker",
            "option \"trap\" cannot be \"marker\": it is auto or markers or protect");
    refused("trap=", "option \"trap\" cannot be \"\": it is auto or markers or protect");
    refused("trap=AUTO", "option \"trap\" cannot be \"AUTO\": it is auto or markers or protect");
    refused("backend=jemalloc", "option \"backend\" cannot be \"jemalloc\": it is os or mimalloc");
    refused("report=1", "option \"report\" cannot be \"1\": it is stderr or off");
    refused("report=off=off", "option \"report\" cannot be \"off=off\": it is stderr or off");
}

Test(options, the_nearest_name_is_offered_for_an_unknown_one) {
    refused("tarp=auto", "unknown option \"tarp\"; nearest is \"trap\", " NAMES);
    refused("timeout_ms=5", "unknown option \"timeout_ms\"; nearest is \"timeout\", " NAMES);
    refused("quarentine=5", "unknown option \"quarentine\"; nearest is \"quarantine\", " NAMES);
    refused("posion=5", "unknown option \"posion\"; nearest is \"poison\", " NAMES);
    refused("reports=off", "unknown option \"reports\"; nearest is \"report\", " NAMES);
    refused("back-end=os", "unknown option \"back-end\"; nearest is \"backend\", " NAMES);
    refused("trapp=auto", "unknown option \"trapp\"; nearest is \"trap\", " NAMES);
    refused(" trap=auto", "unknown option \" trap\"; nearest is \"trap\", " NAMES);
}

Test(options, what_is_not_name_and_value_is_refused) {
    refused("trap", "\"trap\" is not name=value");
    refused(",", "\"\" is not name=value");
    refused("trap=auto,", "\"\" is not name=value");
    refused("trap=auto,,report=off", "\"\" is not name=value");
    refused("trap=auto;report=off",
            "option \"trap\" cannot be \"auto;report=off\": it is auto or markers or protect");
}

/* A later mistake must not leave an earlier word in force. */
Test(options, one_bad_word_leaves_all_unchanged) {
    refused("timeout=1,poison=2,nonsense=3",
            "unknown option \"nonsense\"; nearest is \"poison\", " NAMES);
}

/* The sentence goes to terminals and logs. */
Test(options, quotes_are_cut_and_printable) {
    refused("a\x1b[31m\n\xff\x7fz", "\"a?[31m???z\" is not name=value");
    refused("0123456789012345678901234567890123456789MORE",
            "\"0123456789012345678901234567890123456789\" is not name=value");
}

Test(options, the_error_is_cut_to_its_buffer) {
    struct moat_options options;
    char error[8];
    moat_options_init(&options);
    memset(error, '#', sizeof error);
    cr_assert_eq(moat_options_parse(&options, "trap", error, 5), MOAT_INVALID_ARGUMENT);
    cr_assert_str_eq(error, "\"tra");
    cr_assert_eq(error[5], '#');
    cr_assert_eq(moat_options_parse(&options, "trap=up", error, 5), MOAT_INVALID_ARGUMENT);
    cr_assert_str_eq(error, "opti");
    cr_assert_eq(error[5], '#');
    cr_assert_eq(moat_options_parse(&options, "trap", NULL, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_options_parse(&options, "trap", error, 0), MOAT_INVALID_ARGUMENT);
}

Test(options, null_options_are_refused) {
    char error[64];
    cr_assert_eq(moat_options_parse(NULL, "trap=auto", error, sizeof error), MOAT_NO_ACCESS);
    cr_assert_eq(moat_options_check(NULL), MOAT_NO_ACCESS);
}

/* What is said of nodes has to go together. */
Test(options, nodes_and_their_policy_go_together) {
    static const struct {
        const char *text;
        const char *reason; /* NULL: right */
    } cases[] = {
        {"numa=default", NULL},
        {"numa=local", NULL},
        {"numa=interleave", NULL},
        {"numa=interleave,numa_nodes=0xFF", NULL},
        {"numa=bind,numa_nodes=0x8000000000000001", NULL},
        {"numa=preferred,numa_nodes=4", NULL},
        {"numa_nodes=1", "has no nodes"},
        {"numa=local,numa_nodes=1", "has no nodes"},
        {"numa=bind", "needs nodes"},
        {"numa=preferred", "needs nodes"},
        {"numa=preferred,numa_nodes=3", "one node"},
        {"numa=local,backend=mimalloc", "backend=os"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moat_options options = parsed(cases[i].text);
        enum moat_status status = moat_options_check(&options);
        cr_assert_eq(status, cases[i].reason ? MOAT_INVALID_ARGUMENT : MOAT_OK, "%s",
                     cases[i].text);
        cr_assert(!cases[i].reason || strstr(moat_last_error_text(), cases[i].reason), "%s: %s",
                  cases[i].text, moat_last_error_text());
    }
    refused("numa_nodes=x", "option \"numa_nodes\" cannot be \"x\": it is a number with a bit for "
                            "each node, 0x3 for two");
}

Test(options, print_is_what_parse_reads) {
    char text[1024], again[1024];
    struct moat_options options = parsed(
        "trap=protect,backend=mimalloc,report=off,timeout=5,quarantine=9,quarantine_bytes=1M,"
        "poison=0x0F,quota=8K,reserve=100,watch=fault,leaks=report,guard_before=2,guard_after=3,"
        "guard_random=4,placing=packed,zero=release,misuse=abort,on_corruption=abort,"
        "faults=report,fork=wipe,execute=wx,dump=none,heap_poison=on,commit=huge,"
        "numa=bind,numa_nodes=0x8000000000000003,"
        "retain=3M,defer=7,defer_bytes=1K,defer_ms=2,"
        "deny_reserve=5,deny_commit=6,deny_protect=7,deny_heap=8,deny_grace=9,deny_seed=10,"
        "stats=json");
    size_t length = moat_options_print(&options, text, sizeof text);
    cr_assert_str_eq(
        text,
        "trap=protect,backend=mimalloc,report=off,timeout=5,quarantine=9,quarantine_bytes=1048576,"
        "poison=0x0F,quota=8192,reserve=100,watch=fault,leaks=report,guard_before=2,guard_after=3,"
        "guard_random=4,placing=packed,zero=release,misuse=abort,on_corruption=abort,"
        "faults=report,fork=wipe,execute=wx,dump=none,heap_poison=on,commit=huge,"
        "numa=bind,numa_nodes=0x8000000000000003,"
        "retain=3145728,defer=7,defer_bytes=1024,defer_ms=2,"
        "deny_reserve=5,deny_commit=6,deny_protect=7,deny_heap=8,deny_grace=9,deny_seed=10,"
        "stats=json");
    cr_assert_eq(length, strlen(text));
    struct moat_options copy = parsed(text);
    cr_assert_eq(memcmp(&copy, &options, sizeof copy), 0);
    moat_options_print(&copy, again, sizeof again);
    cr_assert_str_eq(again, text);
}

Test(options, print_measures_and_cuts) {
    struct moat_options options = parsed("");
    char whole[1024], text[1024];
    size_t length = moat_options_print(&options, whole, sizeof whole);
    cr_assert_eq(moat_options_print(&options, NULL, 0), length);
    for (size_t size = 1; size <= length + 1; size++) {
        memset(text, '#', sizeof text);
        cr_assert_eq(moat_options_print(&options, text, size), length);
        cr_assert_eq(strlen(text), size - 1);
        cr_assert_eq(memcmp(text, whole, size - 1), 0);
        cr_assert_eq(text[size], '#');
    }
}

Test(options, check_accepts_what_init_and_parse_make) {
    struct moat_options options = parsed("trap=protect,quarantine=4096,poison=255");
    cr_assert_eq(moat_options_check(&options), MOAT_OK);
}

Test(options, check_finds_every_value_out_of_range) {
    struct moat_options options = parsed("");
    options.struct_size = 0;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    options.struct_size = sizeof options + 8;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "struct_size"));

    options = parsed("");
    options.trap = (enum moat_trap)3;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    cr_assert_str_eq(moat_last_error_text(), "option \"trap\" is 3, its greatest value is 2");

    options = parsed("");
    options.backend = (enum moat_backend)2;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);

    options = parsed("");
    options.report = (enum moat_report) - 1;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);

    options = parsed("");
    options.quarantine_regions = 4097;
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "\"quarantine\" is 4097"));
}

Test(options, a_fork_policy_needs_pages_of_the_kernel) {
    struct moat_options options = parsed("fork=wipe,backend=mimalloc");
    cr_assert_eq(moat_options_check(&options), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "option \"fork\" is wipe"));
    options = parsed("fork=wipe");
    cr_assert_eq(moat_options_check(&options), MOAT_OK);
}
