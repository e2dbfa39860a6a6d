/* SPDX-License-Identifier: MIT */
/* describe_text: descriptions in words. The lines that matter most come first: texts are cut. */
#include "base/format.h"
#include "os/os.h"
#include "vm/describe.h"

#include <moat/moat.h>

#define MS_PER_S UINT64_C(1000)

/* A text that is being written. */
struct words {
    char *text;
    size_t size;
    size_t length; /* of the whole text, what was cut included */
};

static void add(struct words *words, const char *format, ...) MOAT_PRINTF(2, 3);

static void add(struct words *words, const char *format, ...) {
    bool full = words->length >= words->size;
    va_list arguments;

    va_start(arguments, format);
    words->length += moat_format_list(full ? NULL : words->text + words->length,
                                      full ? 0 : words->size - words->length, format, arguments);
    va_end(arguments);
}

const char *moat_protection_name(uint32_t protection) {
    switch (protection & 0xFF) {
    case MOAT_PAGE_NOACCESS:
        return "PAGE_NOACCESS";
    case MOAT_PAGE_READONLY:
        return "PAGE_READONLY";
    case MOAT_PAGE_READWRITE:
        return "PAGE_READWRITE";
    case MOAT_PAGE_EXECUTE:
        return "PAGE_EXECUTE";
    case MOAT_PAGE_EXECUTE_READ:
        return "PAGE_EXECUTE_READ";
    case MOAT_PAGE_EXECUTE_READWRITE:
        return "PAGE_EXECUTE_READWRITE";
    default:
        return "no protection";
    }
}

size_t moat_event_print(const char *deed, const struct moat_event *event, char *text, size_t size) {
    enum { PLACE_SIZE = 192 };
    struct words words = {.text = text, .size = size};
    char place[PLACE_SIZE];

    if (size > 0)
        text[0] = '\0';
    if (event->thread == 0)
        return 0;
    uint64_t ms = event->age_ns / MOAT_OS_MS;
    add(&words, "%s %lu.%03lu s ago by thread %u", deed, (unsigned long)(ms / MS_PER_S),
        (unsigned long)(ms % MS_PER_S), event->thread);
    if (event->site) {
        /* The call is before the place that it returns to, which may be in another function. */
        (void)moat_os_symbol((uintptr_t)event->site - 1, place, sizeof(place));
        add(&words, " at %s", place);
    }
    return words.length;
}

static void add_event(struct words *words, const char *deed, const struct moat_event *event) {
    bool full = words->length >= words->size;

    if (event->thread == 0)
        return;
    add(words, "  ");
    full = words->length >= words->size;
    words->length += moat_event_print(deed, event, full ? NULL : words->text + words->length,
                                      full ? 0 : words->size - words->length);
    add(words, "\n");
}

static void add_region(struct words *words, const char *what, const void *base, size_t size) {
    add(words, "%s of %zu bytes [%#lx, %#lx)", what, size, (unsigned long)(uintptr_t)base,
        (unsigned long)((uintptr_t)base + size));
}

static const char *noun(const struct moat_description *told) {
    if (told->kind == MOAT_ADDRESS_PLACEHOLDER)
        return "a placeholder";
    if (told->kind == MOAT_ADDRESS_FOREIGN)
        return "a mapping of somebody else,";
    return told->heap ? "a heap's region" : "a region";
}

/* "%s" of where the address is, for those kinds that lie in something. */
static const char *page_of(enum moat_address_kind kind) {
    switch (kind) {
    case MOAT_ADDRESS_COMMITTED:
        return "in a committed page";
    case MOAT_ADDRESS_GUARD_PAGE:
        return "in a page with its guard armed";
    case MOAT_ADDRESS_RESERVED:
        return "in a page that is not committed";
    case MOAT_ADDRESS_DECOMMITTED:
        return "in a page that was decommitted";
    default:
        return "";
    }
}

static void add_place(struct words *words, const struct moat_description *told) {
    const char *ending = told->distance == 1 ? "" : "s";

    add(words, "  %#lx is ", (unsigned long)(uintptr_t)told->address);
    switch (told->kind) {
    case MOAT_ADDRESS_FREE:
        add(words, "in no mapping, and nothing is known of it\n");
        return;
    case MOAT_ADDRESS_HELD:
        add(words, "in address space that Moat keeps for regions, near none\n");
        return;
    case MOAT_ADDRESS_BOOKS:
        add(words, "in Moat's own books or their guards\n");
        return;
    case MOAT_ADDRESS_PAST_END:
        add(words, "%zu byte%s past the end of ", told->distance, ending);
        break;
    case MOAT_ADDRESS_BEFORE_START:
        add(words, "%zu byte%s before the start of ", told->distance, ending);
        break;
    default:
        add(words, "%s%sat offset %#lx of ", page_of(told->kind), *page_of(told->kind) ? ", " : "",
            (unsigned long)told->offset);
    }
    add_region(words, noun(told), told->base, told->size);
    if (told->kind == MOAT_ADDRESS_RELEASED)
        add(words, ", which was released%s",
            told->trap_pending ? "; it does not trap yet (defer)" : "");
    add(words, "\n");
}

size_t moat_description_print(const struct moat_description *description, char *text, size_t size) {
    const struct moat_description *told = description;
    struct words words = {.text = text, .size = size};

    if (size > 0)
        text[0] = '\0';
    add_place(&words, told);
    if (told->protection != 0)
        add(&words, "  its page is %s%s\n", moat_protection_name(told->protection),
            told->protection & MOAT_PAGE_GUARD ? ", with PAGE_GUARD" : "");
    add_event(&words, "reserved", &told->reserved);
    add_event(&words, told->kind == MOAT_ADDRESS_DECOMMITTED ? "decommitted" : "released",
              &told->freed);
    if (told->near_base) {
        add(&words, "  also %zu byte%s %s ", told->near_distance,
            told->near_distance == 1 ? "" : "s",
            told->near_is_behind ? "before the start of" : "past the end of");
        add_region(&words, "a live region", told->near_base, told->near_size);
        add(&words, "\n");
    }
    if (told->earlier_base) {
        add(&words, "  before that");
        add_region(&words, " a region", told->earlier_base, told->earlier_size);
        add(&words, " lay there\n");
        add_event(&words, "which was released", &told->earlier_freed);
    }
    return words.length;
}
