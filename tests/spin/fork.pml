/* SPDX-License-Identifier: MIT */
/*
 * fork: the first thread of a forked child mends, once, and the others wait (region/fork.c).
 *
 * The word is 0 after a fork. Threads of the child come in at any time; one of them is interrupted
 * by a signal, perhaps while it mends, and its handler calls Moat too. Nobody may work before the
 * child is mended but who mends, and who interrupted him; and all come to an end.
 */
#define FORKED  0
#define MENDING 1
#define MENDED  2

byte word = FORKED;
byte mends;            /* how often it was mended */
bool asleep[5];

inline wake_all() {
    d_step {
        asleep[1] = false;
        asleep[2] = false;
        asleep[3] = false;
        asleep[4] = false
    }
}

/* What a call does before anything else. */
inline check() {
    if
    :: word == MENDED
    :: else ->
        do
        :: atomic {
               if
#ifdef PLANT_look_then_take
               :: word == FORKED -> skip
#else
               :: word == FORKED -> word = MENDING; break
#endif
               :: else
               fi
           }
#ifdef PLANT_look_then_take
           if
           :: word == FORKED -> word = MENDING; break
           :: else
           fi;
#endif
           if
           :: word == MENDED -> goto done
           :: else
           fi;
           atomic {
               if
               :: word == MENDING -> asleep[_pid] = true
               :: else
               fi
           }
           !asleep[_pid]
        od;
        if
        :: true
        :: true -> /* a signal, whose handler calls too */
#ifdef PLANT_handler_waits_for_its_own_thread
            word == MENDED
#else
            skip /* it sees that its own thread mends */
#endif
        fi;
#ifdef PLANT_told_before_it_is_done
        word = MENDED;
        mends++;
#else
        mends++;
        word = MENDED;
#endif
#ifndef PLANT_nobody_is_woken
        wake_all()
#endif
    fi;
done:
    skip
}

proctype thread() {
    check();
    assert(mends == 1)
}

init {
    atomic {
        run thread();
        run thread();
        run thread()
    }
}
