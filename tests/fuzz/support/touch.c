/* SPDX-License-Identifier: MIT */
/* touch: one callback for the whole process, which counts. */
#include "touch.h"

#include "verify.h"

#include <stdatomic.h>

static struct moat_fault last;
static volatile unsigned count;

static void tell(const struct moat_fault *fault, void *context) {
    *(struct moat_fault *)context = *fault;
    count++;
}

void touch_begin(void) {
    count = 0;
    enum moat_status status = moat_fault_handler_install(tell, &last);
    if (status)
        verify_fail("install: %s", moat_last_error_text());
    if (moat_fault_handler_install(tell, &last) != MOAT_INVALID_ARGUMENT)
        verify_fail("the handler was installed twice");
}

void touch_end(void) {
    touch_check();
    if (moat_fault_handler_remove() != MOAT_OK)
        verify_fail("remove: %s", moat_last_error_text());
    if (moat_fault_handler_remove() != MOAT_INVALID_ARGUMENT)
        verify_fail("the handler was removed twice");
}

static unsigned told_of(struct moat_fault *told) {
    /* The compiler does not know that the access called something. */
    atomic_signal_fence(memory_order_seq_cst);
    unsigned times = count;
    *told = last;
    count = 0;
    return times;
}

unsigned touch_read(uintptr_t address, struct moat_fault *told) {
    touch_check();
    (void)*(volatile const uint8_t *)address;
    return told_of(told);
}

unsigned touch_write(uintptr_t address, uint8_t byte, struct moat_fault *told) {
    touch_check();
    *(volatile uint8_t *)address = byte;
    return told_of(told);
}

void touch_check(void) {
    if (count != 0)
        verify_fail("a guard page was told of at %p, and nobody touched it", last.address);
}
