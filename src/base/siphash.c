/* SPDX-License-Identifier: MIT */
/* siphash: as in the paper, for messages of eight bytes. */
#include "base/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

static void mix(struct state *state, unsigned rounds) {
    while (rounds-- > 0) {
        state->v0 += state->v1;
        state->v2 += state->v3;
        state->v1 = rotate(state->v1, 13) ^ state->v0;
        state->v3 = rotate(state->v3, 16) ^ state->v2;
        state->v0 = rotate(state->v0, 32);
        state->v2 += state->v1;
        state->v0 += state->v3;
        state->v1 = rotate(state->v1, 17) ^ state->v2;
        state->v3 = rotate(state->v3, 21) ^ state->v0;
        state->v2 = rotate(state->v2, 32);
    }
}

static void absorb(struct state *state, uint64_t word) {
    state->v3 ^= word;
    mix(state, 2);
    state->v0 ^= word;
}

uint64_t moat_siphash(const uint64_t key[static 2], uint64_t word) {
    const uint64_t length = UINT64_C(8) << 56;
    struct state state = {
        .v0 = key[0] ^ UINT64_C(0x736f6d6570736575),
        .v1 = key[1] ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key[0] ^ UINT64_C(0x6c7967656e657261),
        .v3 = key[1] ^ UINT64_C(0x7465646279746573),
    };

    absorb(&state, word);
    absorb(&state, length);
    state.v2 ^= 0xFF;
    mix(&state, 4);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}
