/* Makes and rates 9x9 sudokus as data/sudoku_generator.py and looped_lite/tasks/sudoku_puzzles.py do, some fifty times as fast:
   the same propagation, choice of cells and count of guesses, random numbers of its own. Used by mine_sudoku.py, which compiles
   it and has every puzzle that it keeps checked by the Python code:

       cc -O3 -march=native -shared -fPIC -o sudoku_miner.so sudoku_miner.c

   A grid is three bands of 27 cells, bit 9 * row + column of the band; each band holds one such number for each of nine digits, in
   one vector, so that what is done to a digit is done to all of them at once. The lanes beyond nine stay full and say nothing. */

#include <stdint.h>
#include <string.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef u32 Digits __attribute__((vector_size(64)));
typedef struct {
    Digits options[3], placed[3];
} Grid;

#define ALL ((u32)0x7FFFFFF)
static const int BOX_SHIFTS[9] = {0, 1, 2, 9, 10, 11, 18, 19, 20};
static Digits real;               /* all bits in the nine lanes that are digits */
static u32 peers[81][3];          /* the cells that share a row, column or box with a cell, itself too */
static int ready = 0;

static void prepare(void) {
    if (ready) return;
    for (int d = 0; d < 9; d++) real[d] = ~0u;
    for (int a = 0; a < 81; a++)
        for (int b = 0; b < 81; b++)
            if (a / 9 == b / 9 || a % 9 == b % 9 || (a / 27 == b / 27 && a % 9 / 3 == b % 9 / 3)) peers[a][b / 27] |= 1u << b % 27;
    ready = 1;
}

static inline int any(Digits v) {
    u32 all = 0;
    for (int d = 0; d < 9; d++) all |= v[d];
    return all != 0;
}

static inline void place(Grid *g, int digit, int cell) {
    u32 bit = 1u << cell % 27;
    for (int k = 0; k < 3; k++) g->options[k][digit] &= ~peers[cell][k];
    g->options[cell / 27] &= ~(real & bit);
    g->options[cell / 27][digit] |= bit;
    g->placed[cell / 27][digit] |= bit;
}

static void empty(Grid *g) {
    for (int k = 0; k < 3; k++) g->options[k] = (Digits){} + ALL, g->placed[k] = (Digits){};
}

/* Places every single until there is none. 0: some constraint has no option left. */
static int propagate(Grid *g) {
    for (;;) {
        Digits singles[3], bad = {}, once_column = {}, twice_column = {};
        for (int k = 0; k < 3; k++) {
            Digits o = g->options[k], once = {}, twice = {}, once_box = {}, twice_box = {};
            for (int s = 0; s < 9; s++) {
                Digits member = o >> s, in_box = o >> BOX_SHIFTS[s];
                twice |= once & member, once |= member;
                twice_box |= once_box & in_box, once_box |= in_box;
            }
            for (int s = 0; s < 27; s += 9) twice_column |= once_column & o >> s, once_column |= o >> s;
            bad |= (0x40201 & ~once) | (0x49 & ~once_box);
            singles[k] = (0x40201 & ~twice) * 0x1FF | (0x49 & ~twice_box) * 0x1C0E07;
        }
        bad |= 0x1FF & ~once_column;
        if (any(bad)) return 0;
        Digits columns = (0x1FF & ~twice_column) * 0x40201;
        u32 more = 0;
        for (int k = 0; k < 3; k++) {
            u32 once = 0, twice = 0;
            for (int d = 0; d < 9; d++) twice |= once & g->options[k][d], once |= g->options[k][d];
            if (once != ALL) return 0;
            singles[k] = (singles[k] | columns | (ALL & ~twice)) & g->options[k] & ~g->placed[k] & real;
        }
        for (int k = 0; k < 3; k++)
            for (int d = 0; d < 9; d++)
                for (u32 rest = singles[k][d]; rest; rest &= rest - 1) {
                    u32 bit = rest & -rest; /* two singles that exclude each other both go, and leave a constraint empty */
                    int cell = 27 * k + __builtin_ctz(rest);
                    u32 kept = g->options[k][d] & bit;
                    place(g, d, cell);
                    if (!kept) g->options[k][d] &= ~bit;
                    more = 1;
                }
        if (!more) return 1;
    }
}

static int solved(const Grid *g) {
    int count = 0;
    for (int k = 0; k < 3; k++)
        for (int d = 0; d < 9; d++) count += __builtin_popcount(g->placed[k][d]);
    return count == 81;
}

/* The cell with the fewest options, but more than one: of several the first. */
static int choose(const Grid *g) {
    u32 pairs[3];
    for (int k = 0; k < 3; k++) {
        u32 once = 0, twice = 0, thrice = 0;
        for (int d = 0; d < 9; d++) {
            u32 o = g->options[k][d];
            thrice |= twice & o, twice |= once & o, once |= o;
        }
        pairs[k] = twice & ~thrice;
    }
    for (int k = 0; k < 3; k++)
        if (pairs[k]) return 27 * k + __builtin_ctz(pairs[k]);
    int best = -1, fewest = 10;
    for (int cell = 0; cell < 81; cell++) {
        int count = 0;
        for (int d = 0; d < 9; d++) count += g->options[cell / 27][d] >> cell % 27 & 1;
        if (count > 1 && count < fewest) best = cell, fewest = count;
    }
    return best;
}

static u64 draw(u64 *state) { /* splitmix64 */
    u64 z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

static void shuffle(int *items, int count, u64 *state) {
    for (int i = count - 1; i > 0; i--) {
        int j = (int)((draw(state) >> 32) * (u64)(i + 1) >> 32), held = items[i];
        items[i] = items[j], items[j] = held;
    }
}

/* Depth first, up to `limit` solutions, of which the last stays in *last. Counts guesses. */
static int search(Grid g, int limit, u64 *state, Grid *last, long *guesses) {
    if (!propagate(&g)) return 0;
    if (solved(&g)) {
        if (last) *last = g;
        return 1;
    }
    int cell = choose(&g), options[9], count = 0, found = 0;
    ++*guesses;
    for (int d = 0; d < 9; d++)
        if (g.options[cell / 27][d] >> cell % 27 & 1) options[count++] = d;
    if (state) shuffle(options, count, state);
    for (int i = 0; i < count && found < limit; i++) {
        Grid next = g;
        place(&next, options[i], cell);
        found += search(next, limit - found, state, last, guesses);
    }
    return found;
}

/* As `generate`: a random full grid loses givens, in random order, while its solution stays the only one. */
static void generate(u64 *state, uint8_t puzzle[81], uint8_t solution[81]) {
    Grid g, full;
    long guesses = 0;
    int order[81];
    empty(&g);
    search(g, 1, state, &full, &guesses);
    for (int cell = 0; cell < 81; cell++) {
        order[cell] = cell;
        for (int d = 0; d < 9; d++)
            if (full.placed[cell / 27][d] >> cell % 27 & 1) solution[cell] = d + 1;
    }
    memcpy(puzzle, solution, 81);
    shuffle(order, 81, state);
    for (int i = 0; i < 81; i++) {
        int cell = order[i];
        puzzle[cell] = 0;
        empty(&g);
        for (int c = 0; c < 81; c++)
            if (puzzle[c]) place(&g, puzzle[c] - 1, c);
        g.options[cell / 27][solution[cell] - 1] &= ~(1u << cell % 27);
        if (search(g, 1, 0, 0, &guesses)) puzzle[cell] = solution[cell];
    }
}

/* As `rate`, but the sum: guesses over `copies` symmetric copies, cells (copies, 81) and digits (copies, 10) as apply_symmetry's. */
long rate(const uint8_t puzzle[81], int copies, const uint8_t *cells, const uint8_t *digits) {
    long guesses = 0;
    prepare();
    for (int i = 0; i < copies; i++) {
        Grid g;
        empty(&g);
        for (int cell = 0; cell < 81; cell++) {
            int digit = digits[10 * i + puzzle[cells[81 * i + cell]]];
            if (digit) place(&g, digit - 1, cell);
        }
        search(g, 2, 0, 0, &guesses);
        if (!guesses) return 0; /* what singles solve, they solve in every copy */
    }
    return guesses;
}

/* Makes `count` puzzles; those whose sum of guesses is at least `least` go to `kept`, 162 bytes each, and their sums to `sums`. */
int mine(u64 seed, int count, long least, int copies, const uint8_t *cells, const uint8_t *digits, uint8_t *kept, long *sums) {
    int found = 0;
    prepare();
    for (int i = 0; i < count; i++) {
        generate(&seed, kept + 162 * found, kept + 162 * found + 81);
        sums[found] = rate(kept + 162 * found, copies, cells, digits);
        found += sums[found] >= least;
    }
    return found;
}
