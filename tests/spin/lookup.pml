/* SPDX-License-Identifier: MIT */
/*
 * lookup: from an address to a region that lives, while records pass from region to region
 * (region_life.h, "Easy to get wrong"; region.c).
 *
 * Two pages, two records. One thread keeps releasing what stands at a page and reserving anew, so
 * that a record may come back for the other page; the reader wants page 0 and must never work on a
 * record that belongs to page 1.
 */
byte table[2];          /* page -> record + 1; 0: nobody */
byte generation[2];     /* of a record; odd: alive */
bool closing[2];        /* of a record */
bool stripe[2];         /* of a record: the reader holds it */
byte page_of[2];        /* what the owner wrote into the record before its birth */
bool free_record[2] = true;
byte working_on = 255;

/* Reserve: record, contents, birth, table; in this order. */
inline reserve(page) {
    atomic {
        if
        :: free_record[0] -> record = 0
        :: free_record[1] -> record = 1
        fi;
        free_record[record] = false
    }
#ifdef PLANT_contents_last
    generation[record]++;
    table[page] = record + 1;
    page_of[record] = page
#else
    page_of[record] = page;
    generation[record]++;
    table[page] = record + 1
#endif
}

/* Release: close, drain, table, death, record; in this order. */
inline release(page) {
    record = table[page] - 1;
    closing[record] = true;
#ifndef PLANT_not_drained
    !stripe[record];
#endif
#ifdef PLANT_record_given_back_before_death
    atomic { free_record[record] = true; table[page] = 0 }
    atomic { closing[record] = false; generation[record]++ }
#else
    table[page] = 0;
    atomic { closing[record] = false; generation[record]++ }
    free_record[record] = true
#endif
}

proctype owner(byte mine) {
    byte record;

    reserve(mine);
    release(mine);
    reserve(mine);
    release(mine);
    reserve(mine)
}

proctype reader() {
    byte record, life;

again:
    record = table[0];
    if
    :: record == 0 -> goto again
    :: else -> record--
    fi;
    life = generation[record];
#ifndef PLANT_no_second_find
    if
    :: table[0] != record + 1 -> goto again
    :: else
    fi;
#endif
    atomic { /* enter: one compare-and-swap of the life word */
        if
#ifndef PLANT_generation_not_compared
        :: generation[record] != life || (life & 1) == 0 -> goto again
#endif
        :: closing[record] -> goto again /* it would sleep; then the same */
        :: else -> stripe[record] = true
        fi
    }
    assert(page_of[record] == 0 && generation[record] == life);
    stripe[record] = false
}

init {
    atomic {
        run owner(0);
        run owner(1);
        run reader()
    }
}
