/* SPDX-License-Identifier: MIT */
/*
 * waits: the waits of a manager are called off, and drained before it goes (wait.c, vm/manager.c,
 * vm/lock.c).
 *
 * Two calls wait for a region that a third thread holds as long as it likes, for ever if it wants;
 * somebody calls all waits off, nudges the region, and waits until nobody waits. He must always
 * come to an end, and when he has, no call may still be between joining and leaving the queue.
 */
#define HELD    1
#define WAITERS 2
#define TICK    4 /* and those above: changed by a nudge */

byte life = HELD; /* low half of the life word */
byte cancels;     /* how often waits were called off */
byte waiting;     /* calls in the queue; the drainer sleeps on it */
byte begun;       /* calls: those that begin later are not called off */
bool asleep[5];   /* by process: on `life`, and the drainer on `waiting` */

#define DRAINER 3

inline wake_sleepers() {
    d_step {
        asleep[1] = false;
        asleep[2] = false
    }
}

proctype call() {
    byte seen, before;
    bool joined;

    atomic { before = cancels; begun++ }
    do
    :: atomic { /* enter */
           if
           :: life & HELD ->
#ifndef PLANT_no_bit_before_the_look
               life = life | WAITERS;
#endif
               seen = life
           :: else -> break
           fi
       }
       if
       :: !joined ->
           joined = true;
           waiting++
       :: else
       fi;
#ifdef PLANT_look_before_the_bit
       if
       :: before != cancels -> break
       :: else
       fi;
       atomic {
           if
           :: life & HELD -> life = life | WAITERS; seen = life
           :: else -> break
           fi
       }
#else
       if
       :: before != cancels -> break /* MOAT_ABANDONED */
       :: else
       fi;
#endif
       atomic {
           if
           :: life == seen -> asleep[_pid] = true
           :: else
           fi
       }
       !asleep[_pid]
    od;
    if
    :: joined ->
        atomic { seen = waiting; waiting-- }
#ifndef PLANT_last_one_wakes_nobody
        if
        :: seen == 1 -> asleep[DRAINER] = false
        :: else
        fi
#endif
    :: else
    fi
}

proctype caller_off() {
    byte count;

    begun == 2;
#ifdef PLANT_nudged_before_called_off
    atomic { count = life; life = (life & (255 - WAITERS)) + TICK }
    if
    :: count & WAITERS -> wake_sleepers()
    :: else
    fi;
    cancels++;
#else
    cancels++;
    atomic {
        count = life;
#ifndef PLANT_nudge_leaves_the_word
        life = life & (255 - WAITERS);
#ifndef PLANT_nudge_without_tick /* then one may sleep on the bit that another has set again */
        life = life + TICK
#endif
#endif
    }
    if
    :: count & WAITERS -> wake_sleepers()
    :: else
    fi;
#endif
    do
    :: count = waiting;
       if
       :: count == 0 -> break
       :: else
       fi;
       atomic {
           if
           :: waiting == count -> asleep[_pid] = true
           :: else
           fi
       }
       !asleep[_pid]
    od
}

/* Holds the region; it may leave, or never. */
proctype holder() {
    byte word;

    if
    :: true
    :: atomic { word = life; life = life & (255 - HELD - WAITERS) }
       if
       :: word & WAITERS -> wake_sleepers()
       :: else
       fi
    fi
}

init {
    atomic {
        run call();
        run call();
        run caller_off();
        run holder()
    }
}
