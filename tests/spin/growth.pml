/* SPDX-License-Identifier: MIT */
/*
 * growth: entries come from an array into the next, and old arrays are dropped
 * (region_table_grow.c).
 *
 * Arrays of one line with two slots; three of them, so that a mover can be stopped while the array
 * that it moves into grows old itself. A dropped word reads 0, and must stay 0. What is left out:
 * spilled and displaced entries, and that a line becomes two (tests/model has them).
 */
#define UNBORN 0
#define EMPTY  1
#define FROZEN 8
#define BORN   1 /* of a meta word */

#define entry(key) (2 + (key)) /* keys 0 and 1 */
#define is_frozen(word) ((word) >= FROZEN)
#define thawed(word) ((word) & 7)

typedef line {
    byte slot[2];
    byte meta
}

line array[3];
byte current, settled; /* numbers of arrays */
byte movers;           /* one shard */
byte retiring;
byte last;              /* array that there will be */
bool dropped[3];
bool stays[2];         /* from the end of a key's insert to the beginning of its erase */
bool gone[2];          /* from the end of its erase to the beginning of its next insert */
bool was_absent[2], was_present[2]; /* at some moment since the reader began */

/* Freeze a word for good, and see what is in it. */
inline freeze(at, seen) {
    atomic {
#ifdef PLANT_slots_not_frozen
        seen = at & 7
#else
        at = at | FROZEN;
        seen = at & 7
#endif
    }
}

inline give_birth(at, value) {
    atomic {
        assert(!dropped[to]); /* only movers write over 0, and a mover knows no dropped array */
        if
        :: at == UNBORN -> at = value
        :: else
        fi
    }
}

inline move_line(from, to) {
    if
    :: array[to].meta == UNBORN ->
#ifdef PLANT_meta_word_born_first
        give_birth(array[to].meta, BORN);
#endif
        assert(!dropped[from]);
        array[from].meta = array[from].meta | FROZEN;
        freeze(array[from].slot[0], seen0);
        freeze(array[from].slot[1], seen1);
        give_birth(array[to].slot[0], seen0);
        give_birth(array[to].slot[1], seen1);
        give_birth(array[to].meta, BORN)
    :: else
    fi
}

/* As a mover: load what is settled, then what is current, and move, and settle. */
inline help() {
    if
    :: settled != current ->
#ifndef PLANT_movers_not_counted
        movers++;
#endif
        from = settled;
        to = current;
        if
        :: from + 1 == to ->
            move_line(from, to);
            atomic {
                if
                :: settled == from -> settled = to
                :: else
                fi
            }
        :: else
        fi;
#ifndef PLANT_movers_not_counted
        movers--
#endif
    :: else
    fi
}

/* Before a line is used: it has to be born. */
inline bear() {
    if
    :: array[a].meta == UNBORN -> help()
    :: else
    fi
}

inline insert(key) {
    do
    :: a = current;
       bear();
       i = 0;
       do
       :: i == 2 -> break
       :: i < 2 ->
           atomic {
               if
               :: array[a].slot[i] == EMPTY -> array[a].slot[i] = entry(key); goto inserted
               :: else
               fi
           }
           i++
       od;
       help() /* frozen, unborn or dropped: look again */
    od;
inserted:
    skip
}

inline erase(key) {
    do
    :: a = current;
       bear();
       i = 0;
       do
       :: i == 2 -> break
       :: i < 2 ->
           atomic {
               if
               :: array[a].slot[i] == entry(key) -> array[a].slot[i] = EMPTY; goto erased
#ifdef PLANT_erase_of_a_frozen_word
               :: array[a].slot[i] == (entry(key) | FROZEN) ->
                   array[a].slot[i] = EMPTY | FROZEN;
                   goto erased
#endif
               :: else
               fi
           }
           i++
       od;
       help()
    od;
erased:
    skip
}

proctype owner(byte key; byte times) {
    byte a, i, from, to, seen0, seen1;

    do
    :: atomic { gone[key] = false; was_present[key] = true }
       insert(key);
       stays[key] = true;
       if
       :: times == 0 -> break
       :: else -> times--
       fi;
       atomic { stays[key] = false; was_absent[key] = true }
       erase(key);
       gone[key] = true
    od
}

proctype reader(byte key) {
    byte a, i, from, to, seen0, seen1, word;
    bool hit;

    atomic { was_absent[key] = !stays[key]; was_present[key] = !gone[key] }
again:
    hit = false;
    a = current;
#ifndef PLANT_find_reads_unborn_lines
    bear();
#endif
    i = 0;
    do
    :: i == 2 || hit -> break
    :: else ->
        word = array[a].slot[i];
        hit = (thawed(word) == entry(key));
        i++
    od;
    if
#ifndef PLANT_no_second_look
    :: !hit && current != a -> goto again
#endif
    :: else -> assert(hit -> was_present[key] : was_absent[key])
    fi
}

/* Whoever wants growth; twice. */
proctype grower() {
    byte from, to, seen0, seen1;

    do
    :: settled == last -> break
    :: else ->
        atomic {
            if
            :: settled == current && current < last -> current++
            :: else
            fi
        }
        help()
    od
}

/* Hands out an old array once its shard was seen quiet, and drops its pages word by word. */
proctype dropper() {
    do
    :: retiring == last -> break
    :: settled > retiring ->
#ifndef PLANT_shards_not_looked_at
        movers == 0;
#endif
        dropped[retiring] = true;
        array[retiring].slot[0] = 0;
        array[retiring].slot[1] = 0;
        array[retiring].meta = 0;
        retiring++
    od
}

init {
    byte key;

    atomic {
        array[0].slot[0] = EMPTY;
        array[0].slot[1] = EMPTY;
        array[0].meta = BORN;
        if
        :: last = 1; run owner(0, 1); run reader(0); run grower()
        :: last = 2; run owner(0, 0); run grower()
#ifdef LONG
        :: last = 2; run owner(0, 1); run reader(0); run grower()
        :: last = 1; run owner(0, 1); run owner(1, 1); run grower()
#endif
        fi;
        run dropper()
    }
    _nr_pr == 1;
    for (key : 0 .. 1) {
        assert(!stays[key] || thawed(array[current].slot[0]) == entry(key) ||
               thawed(array[current].slot[1]) == entry(key))
    }
    for (key : 0 .. last - 1) {
        assert(!array[key].slot[0] && !array[key].slot[1] && !array[key].meta)
    }
}
