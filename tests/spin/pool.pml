/* SPDX-License-Identifier: MIT */
/*
 * pool: the free list of record indices, and the count against ABA (record_pool.c).
 *
 * Each thread takes an index, or two, and gives them back in any order. An index must never be in
 * two hands, and none may be lost. The count has as many values as there are steps here, as it has
 * 2^40 there.
 */
#define INDICES 3

byte top = 1; /* 0: empty */
byte count;   /* in one word with it */
byte link[4]; /* of an index: the one below */
byte hands[4];

inline take(index) {
    do
    :: atomic { head = top; head_count = count }
       if
       :: head == 0 -> index = 0; break
       :: else
       fi;
       below = link[head];
       atomic {
           if
#ifdef PLANT_no_count
           :: top == head -> top = below; index = head
#else
           :: top == head && count == head_count -> top = below; count++; index = head
#endif
           :: else -> index = 0
           fi
       }
       if
       :: index != 0 ->
           hands[index]++;
           assert(hands[index] == 1);
           break
       :: else
       fi
    od
}

inline give(index) {
    hands[index]--;
    do
    :: atomic { head = top; head_count = count }
#ifdef PLANT_link_after_swap
       below = head;
#else
       link[index] = head;
#endif
       atomic {
           if
           :: top == head && count == head_count -> top = index; count++; swapped = true
           :: else -> swapped = false
           fi
       }
       if
       :: swapped -> break
       :: else
       fi
    od;
#ifdef PLANT_link_after_swap
    link[index] = below
#endif
}

proctype thread(byte times) {
    byte head, head_count, below, one, two;
    bool swapped;

    do
    :: times == 0 -> break
    :: else ->
        take(one);
        take(two);
        if
        :: one != 0 -> give(one)
        :: else
        fi;
        if
        :: two != 0 -> give(two)
        :: else
        fi;
        times--
    od
}

init {
    byte index, seen;

    atomic {
        link[1] = 2;
        link[2] = 3;
        run thread(1);
        run thread(1);
#ifdef LONG
        run thread(1)
#endif
    }
    _nr_pr == 1;
    for (index : 1 .. INDICES) {
        assert(top != 0);
        assert(!(seen & (1 << top))); /* on the list twice */
        seen = seen | (1 << top);
        top = link[top]
    }
    assert(top == 0)
}
