/* SPDX-License-Identifier: MIT */
/*
 * limbo: releases that are put off, the thread that looks after them, and its end (region/limbo.c).
 *
 * Nothing may stay in limbo while the thread sleeps without a deadline; a limbo that is ended and
 * started anew is not touched by those who flush all limbos for somebody else; and what was put
 * is taken out by exactly one.
 */
#define UNUSED 0
#define USED   1
#define ENDING 2

byte words;      /* places in the part */
byte regions;    /* what it says it holds */
byte puts;       /* into a part that was empty; the thread sleeps on it */
byte used = USED;
byte visitors;   /* who flush it and are not its owner's */
bool stop, sleeping, asleep, worker_ended;
bool terms_are_written; /* by the next owner, who must be alone */
byte taken;      /* out of the part, by anybody */
byte put_ever;

/* Take the words out, one by one. */
inline flush() {
    assert(!terms_are_written);
    do
    :: atomic { words > 0 -> words--; taken++ }
       regions--
    :: atomic { words == 0 -> break }
    od
}

inline put() {
    atomic { before = regions; regions++ }
    atomic { words++; put_ever++ }
    if
    :: before == 0 ->
        puts++;
        if
        :: sleeping -> asleep = false
        :: else
        fi
    :: else
    fi
}

proctype worker() {
    byte seen;

    do
    :: stop -> break
    :: else ->
        seen = puts;
        if
        :: regions > 0 -> /* too young yet, or flushed now; a timed sleep ends */
            if
            :: flush()
            :: skip
            fi
        :: else
        fi;
        if
        :: regions > 0
        :: else ->
            sleeping = true;
#ifdef PLANT_sleeps_without_a_second_look
            asleep = true;
#else
            if
            :: !stop && puts == seen ->
                atomic { /* the futex */
                    if
                    :: puts == seen -> asleep = true
                    :: else
                    fi
                }
            :: else
            fi;
#endif
            !asleep;
            sleeping = false
        fi
    od;
    worker_ended = true
}

/* The manager's calls, and then its end; then somebody else's limbo. */
proctype owner() {
    byte before;

    put();
    put();
    if
    :: skip
    :: words == 0 /* the thread must come to that by itself */
    fi;
    stop = true;
#ifndef PLANT_end_tells_nobody
    puts++;
    if
    :: sleeping -> asleep = false
    :: else
    fi;
#endif
    worker_ended;
    flush();
    used = ENDING;
#ifndef PLANT_end_without_a_look_for_visitors
    visitors == 0;
#endif
    assert(words == 0);
    used = UNUSED;
    terms_are_written = true;
    terms_are_written = false;
    assert(taken == put_ever)
}

/* Flushes all limbos there are. */
proctype visitor() {
#ifdef PLANT_visitor_looks_first
    if
    :: used == USED ->
        visitors++;
        flush();
        visitors--
    :: else
    fi
#else
    visitors++;
    if
    :: used == USED -> flush()
    :: else
    fi;
    visitors--
#endif
}

init {
    atomic {
        run worker();
        run owner();
        run visitor()
    }
}
