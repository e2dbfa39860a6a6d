/* SPDX-License-Identifier: MIT */
/*
 * life: stripes, closing, locking, and the sleep on the life word (region_life.c, enter.c, lock.c).
 *
 * Each call of region_life is one step here: it is a loop around one compare-and-swap of one word,
 * so it takes effect at that swap. The two steps of a wake-up, the step that frees something and
 * the call that wakes, are two steps here too. Threads that have no deadline sleep until somebody
 * wakes them: one that never does is a state in which the model cannot go on. The others may give
 * up at any moment, and have to roll back.
 */
#define STRIPES 3 /* two of them */
#define LOCKED  4
#define WAITERS 8
#define CLOSING 16

#define is_life (generation == life && (life & 1) != 0)

mtype = {OK, BUSY, IS_CLOSING, IS_LOCKED, GONE};

byte low;            /* half of the life word: what a futex compares */
byte generation = 1; /* the other half; odd: alive */
bool asleep[5];      /* on the futex; by process */

/* What is really going on. */
byte inside[2]; /* per stripe */
byte alone;     /* closers that were told OK */
byte locking;   /* threads that were told that they hold the lock */

inline wake_all() {
    d_step {
        asleep[0] = false;
        asleep[1] = false;
        asleep[2] = false;
        asleep[3] = false;
        asleep[4] = false
    }
}

inline wake_if(word) {
    if
    :: word & WAITERS -> wake_all()
    :: else
    fi
}

/* The futex: it compares and goes to sleep in one step. */
inline sleep(has_deadline) {
    atomic {
        gave_up = false;
        if
#ifdef PLANT_sleeps_without_comparing
        :: true -> asleep[_pid] = true
#else
        :: low == seen -> asleep[_pid] = true
        :: else
#endif
        fi
    }
    if
    :: !asleep[_pid]
    :: atomic { has_deadline -> asleep[_pid] = false; gave_up = true }
    fi
}

inline set_waiters_and_see() {
#ifndef PLANT_sleeps_without_bit
    low = low | WAITERS;
#endif
    seen = low
}

inline life_enter(stripes) {
    atomic {
        if
#ifndef PLANT_generation_not_compared
        :: !is_life -> got = GONE
#endif
        :: else ->
            if
#ifdef PLANT_enter_while_closing
            :: low & (stripes | LOCKED) -> got = BUSY
#else
            :: low & (stripes | CLOSING | LOCKED) -> got = BUSY
#endif
            :: else -> low = low | stripes; got = OK
            fi;
            if
            :: got == BUSY -> set_waiters_and_see()
            :: else
            fi
        fi
    }
}

inline life_leave(stripes) {
    atomic {
        seen = low;
#ifdef PLANT_stripe_kept
        low = low & (255 - WAITERS)
#else
        low = low & (255 - (stripes | WAITERS))
#endif
    }
#ifdef PLANT_leave_wakes_nobody
    skip
#else
    wake_if(seen)
#endif
}

/* Closing and locking begin alike: take the bit, then wait for the stripes. */
inline life_take(flag) {
    atomic {
        if
        :: !is_life -> got = GONE
        :: else ->
            if
            :: low & CLOSING -> got = IS_CLOSING
            :: !(low & CLOSING) && (low & LOCKED) -> got = IS_LOCKED
            :: else ->
                got = (low & STRIPES -> BUSY : OK);
                low = low | flag
            fi;
            if
            :: got == OK || (got == IS_LOCKED && flag == CLOSING) /* a closer is refused */
            :: else -> low = low | WAITERS; seen = low
            fi
        fi
    }
}

/* Sleep until no stripe is held. */
inline drain(has_deadline) {
    do
    :: sleep(has_deadline);
       if
       :: gave_up -> break
       :: else
       fi;
       atomic {
           if
#ifdef PLANT_drained_by_first_leaver
           :: true -> got = OK
#else
           :: (low & STRIPES) == 0 -> got = OK
           :: else ->
#ifndef PLANT_drained_without_bit
               low = low | WAITERS;
#endif
               seen = low
#endif
           fi
       }
       if
       :: got == OK -> break
       :: else
       fi
    od
}

/* Undo the bit, whether work was done or the deadline has passed. */
inline life_give(flag) {
    atomic {
        seen = low;
        low = low & (255 - (flag | WAITERS))
    }
#ifdef PLANT_rollback_wakes_nobody
    if
    :: gave_up
    :: else -> wake_if(seen)
    fi
#else
    wake_if(seen)
#endif
}

proctype worker(byte stripes) {
    mtype got;
    byte seen, life;
    bool gave_up;

    life = generation;
    do
    :: life_enter(stripes);
       if
       :: got == BUSY -> sleep(false)
       :: got == GONE -> goto done
       :: got == OK -> break
       fi
    od;
    atomic {
        inside[0] = inside[0] + (stripes & 1);
        inside[1] = inside[1] + (stripes >> 1);
        assert(generation == life);
        assert(inside[0] <= 1 && inside[1] <= 1 && !alone && !locking)
    }
    atomic {
        inside[0] = inside[0] - (stripes & 1);
        inside[1] = inside[1] - (stripes >> 1)
    }
    life_leave(stripes);
done:
    skip
}

/* A release, or one that is refused half-way and reopens. */
proctype closer(bool has_deadline) {
    mtype got;
    byte seen, life;
    bool gave_up;

    life = generation;
    do
    :: life_take(CLOSING);
       if
       :: got == IS_CLOSING -> sleep(has_deadline); if :: gave_up -> goto done :: else fi
       :: got == IS_LOCKED || got == GONE -> goto done
       :: got == BUSY -> drain(has_deadline); break
       :: got == OK -> break
       fi
    od;
    if
    :: gave_up ->
#ifndef PLANT_no_rollback
        life_give(CLOSING);
#endif
        goto done
    :: else
    fi;
    atomic {
        alone++;
        assert(generation == life && alone == 1 && !locking && !inside[0] && !inside[1])
    }
    alone--;
    if
    :: life_give(CLOSING) /* refused by the kernel: as it was */
    :: atomic { seen = low; low = 0; generation++ }
#ifndef PLANT_death_wakes_nobody
       wake_if(seen);
#endif
       if
       :: skip
       :: atomic { generation++; low = 0 } /* the record's next life */
       fi
    fi;
done:
    skip
}

proctype locker(bool has_deadline) {
    mtype got;
    byte seen, life;
    bool gave_up;

    life = generation;
    do
    :: life_take(LOCKED);
       if
       :: got == IS_CLOSING || got == IS_LOCKED ->
           sleep(has_deadline);
           if :: gave_up -> goto done :: else fi
       :: got == GONE -> goto done
       :: got == BUSY -> drain(has_deadline); break
       :: got == OK -> break
       fi
    od;
    if
    :: gave_up ->
        life_give(LOCKED);
        goto done
    :: else
    fi;
    atomic {
        locking++;
        assert(generation == life && locking == 1 && !alone && !inside[0] && !inside[1])
    }
    locking--;
    life_give(LOCKED);
done:
    skip
}

init {
    atomic {
        run worker(1);
        if
        :: run worker(2)
        :: run worker(3)
        fi;
        run closer(true);
        if
        :: run closer(false)
        :: run locker(false)
        :: run locker(true)
        fi
    }
}
