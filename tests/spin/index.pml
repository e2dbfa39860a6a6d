/* SPDX-License-Identifier: MIT */
/*
 * index: summary bits that are set at once and cleared late (region_index.c, rules 1 to 5).
 *
 * The node with words of two bits instead of 32: eight pages, four leaves, two middle words and a
 * top, whose bit above stays set for good. Every atomic step of insert and erase is a step here,
 * as swaps of whole words: bits, PROPAGATED, version. A member that stays must have each bit above
 * it set while it stays, which is what makes a search find it. -DLONG: three owners.
 */
#define BITS       3
#define PROPAGATED 4
#define VERSION    8

#define LEAF   0 /* words 0 to 3 */
#define MIDDLE 4 /* words 4 and 5 */
#define TOP    6

short word[7];
bool member[8]; /* from the end of its insert to the beginning of its erase */

#define bit_of(position) (1 << ((position) & 1))
#define leaf_of(page)    (LEAF + ((page) >> 1))
#define middle_of(page)  (MIDDLE + ((page) >> 2))

inline swap(where, expected, desired) {
    atomic {
        swapped = (word[where] == expected);
        if
        :: swapped -> word[where] = desired
        :: else -> expected = word[where]
        fi
    }
}

/* Rule 4, from the emptied word of a level upwards, within the node. */
inline clear_above() {
    do
    :: level >= 2 -> break
    :: level < 2 ->
#ifdef PLANT_lower_word_read_first
        lower = word[at[level]];
        summary = word[at[level + 1]];
#else
        summary = word[at[level + 1]];
        lower = word[at[level]];
#endif
        if
        :: (lower & BITS) != 0 || (summary & flag[level + 1]) == 0 -> break
        :: else
        fi;
#ifndef PLANT_cleared_while_propagated
        if
        :: lower & PROPAGATED -> swap(at[level], lower, lower - PROPAGATED)
        :: else -> swapped = true
        fi;
        if
        :: !swapped -> goto retry
        :: else
        fi;
#endif
#ifdef PLANT_cleared_whatever_the_version
        atomic {
            summary = word[at[level + 1]];
            word[at[level + 1]] = summary & (32767 - flag[level + 1]);
            swapped = true
        }
#else
        swap(at[level + 1], summary, summary & (32767 - flag[level + 1]));
#endif
        if
        :: swapped && ((summary & (32767 - flag[level + 1])) & BITS) != 0 -> break
        :: swapped && ((summary & (32767 - flag[level + 1])) & BITS) == 0 -> level++
        :: else
        fi;
retry:
        skip
    od
}

inline insert() {
    level = 0;
    /* Rules 1 and 2: up, until a word vouches for everything above it. */
    do
    :: atomic {
           left[level] = word[at[level]];
           was = left[level] & PROPAGATED;
           left[level] = left[level] | flag[level];
#ifndef PLANT_insert_without_version
           left[level] = left[level] + VERSION;
#endif
#ifdef PLANT_propagated_on_the_way_up
           left[level] = left[level] | PROPAGATED;
#endif
           word[at[level]] = left[level]
       }
       if
       :: was || level == 2 -> break
       :: else -> level++
       fi
    od;
    /* Rule 3: down again. */
    do
    :: level == 0 -> break
    :: level > 0 ->
        level--;
#ifdef PLANT_propagated_on_any_word
        atomic { word[at[level]] = word[at[level]] | PROPAGATED; swapped = true };
#else
        swap(at[level], left[level], left[level] | PROPAGATED);
#endif
        if
        :: !swapped && (left[level] & BITS) == 0 ->
            kept = level;
            clear_above();
            level = kept
        :: else
        fi
    od
}

inline erase() {
    atomic {
        was = word[leaf_of(page)];
        word[leaf_of(page)] = was & (32767 - flag[0])
    }
    level = 0;
    if
    :: (was & BITS) == flag[0] -> clear_above()
    :: else
    fi
}

/* The page's words, and its bit in each. */
inline locate() {
    d_step {
        at[0] = leaf_of(page);
        at[1] = middle_of(page);
        at[2] = TOP;
        flag[0] = bit_of(page);
        flag[1] = bit_of(page >> 1);
        flag[2] = bit_of(page >> 2)
    }
}

/* The one owner of a page. */
proctype owner(byte page; byte times) {
    byte at[3], flag[3];
    short left[3];
    short was, lower, summary;
    byte level, kept;
    bool swapped;

    locate();
    do
    :: insert();
       member[page] = true;
       if
       :: times == 0 -> break
       :: else -> times--
       fi;
       member[page] = false;
       erase()
    od
}

/* Somebody inserts a page, and somebody else erases it before he is done. */
proctype inserter(byte page) {
    byte at[3], flag[3];
    short left[3];
    short was, lower, summary;
    byte level, kept;
    bool swapped;

    locate();
    insert()
}

proctype eraser(byte page) {
    byte at[3], flag[3];
    short was, lower, summary;
    byte level;
    bool swapped;

    locate();
    erase()
}

/* Looks once, at any moment. */
active proctype witness() {
    byte page;

    atomic {
        select(page : 0 .. 2);
        if
        :: member[page] ->
            assert(word[leaf_of(page)] & bit_of(page));
            assert(word[middle_of(page)] & bit_of(page >> 1));
            assert(word[TOP] & bit_of(page >> 2))
        :: else
        fi
    }
}

init {
    atomic {
        word[TOP] = PROPAGATED; /* rule 5 */
        if
        :: run owner(0, 1); run owner(1, 1)
        :: run owner(0, 1); run owner(2, 1)
        :: run inserter(0); run eraser(0); run owner(1, 0)
#ifdef LONG
        :: run inserter(0); run eraser(0); run owner(1, 1)
        :: run owner(0, 1); run owner(1, 1); run owner(2, 0)
#endif
        fi
    }
}
