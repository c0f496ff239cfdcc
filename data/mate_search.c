/* Finds forced mates and proves that there is one way only. Used by build_chess.py, which compiles it, and build_composed.py:

       cc -O2 -shared -fPIC -o mate_search.so mate_search.c

   A position is always seen from the side to move, which plays up the board: after a move the board is turned upside down and
   the colours change places, so there is one kind of pawn and one kind of search. Castling is left out: no position that is
   searched here has castling rights. En passant is there, since a double step may happen inside the search.
   Squares are numbered a1 = 0, b1 = 1, ... h8 = 63. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t u64;
enum { PAWN, KNIGHT, BISHOP, ROOK, QUEEN, KING };

typedef struct {
    u64 kind[6], side[2]; /* side[0] is to move */
    int ep;               /* the square behind a pawn that has just made a double step, or -1 */
} Position;

typedef struct {
    uint8_t from, to, promotion; /* promotion: a kind of piece, or 0 */
} Move;

#define MAX_MOVES 256
#define BIT(s) (1ULL << (s))
#define FIRST(b) __builtin_ctzll(b)
#define EACH(square, board) for (u64 rest_ = (board); rest_ && ((square = FIRST(rest_)), 1); rest_ &= rest_ - 1)

static u64 ray[8][64], knight_steps[64], king_steps[64], pawn_takes[64];
static int ready = 0;
static const int STEP[8][2] = {{0, 1}, {1, 0}, {1, 1}, {-1, 1}, {0, -1}, {-1, 0}, {-1, -1}, {1, -1}}; /* 0-3 go up in number */

static void prepare(void) {
    if (ready) return;
    for (int s = 0; s < 64; s++) {
        int file = s & 7, rank = s >> 3;
        for (int d = 0; d < 8; d++)
            for (int f = file + STEP[d][0], r = rank + STEP[d][1]; f >= 0 && f < 8 && r >= 0 && r < 8; f += STEP[d][0], r += STEP[d][1])
                ray[d][s] |= BIT(8 * r + f);
        for (int t = 0; t < 64; t++) {
            int a = abs((t & 7) - file), b = abs((t >> 3) - rank);
            if (a * b == 2) knight_steps[s] |= BIT(t);
            if (s != t && a <= 1 && b <= 1) king_steps[s] |= BIT(t);
            if (a == 1 && (t >> 3) == rank + 1) pawn_takes[s] |= BIT(t);
        }
    }
    ready = 1;
}

/* the squares seen from s in direction d, up to and including the first occupied one */
static inline u64 line(int d, int s, u64 occupied) {
    u64 blockers = ray[d][s] & occupied;
    if (!blockers) return ray[d][s];
    return ray[d][s] ^ ray[d][d < 4 ? FIRST(blockers) : 63 - __builtin_clzll(blockers)];
}
static inline u64 rook_view(int s, u64 o) { return line(0, s, o) | line(1, s, o) | line(4, s, o) | line(5, s, o); }
static inline u64 bishop_view(int s, u64 o) { return line(2, s, o) | line(3, s, o) | line(6, s, o) | line(7, s, o); }

/* does side[1] attack square s, if these squares are occupied? Its pawns come down the board. */
static inline int attacked(const Position *p, int s, u64 occupied) {
    u64 them = p->side[1];
    return (knight_steps[s] & p->kind[KNIGHT] & them) || (pawn_takes[s] & p->kind[PAWN] & them) || (king_steps[s] & p->kind[KING] & them) ||
           (bishop_view(s, occupied) & (p->kind[BISHOP] | p->kind[QUEEN]) & them) ||
           (rook_view(s, occupied) & (p->kind[ROOK] | p->kind[QUEEN]) & them);
}

static inline int in_check(const Position *p) {
    return attacked(p, FIRST(p->kind[KING] & p->side[0]), p->side[0] | p->side[1]);
}

/* upside down, the colours swapped: the other side is to move */
static inline void turn_round(Position *p) {
    for (int k = 0; k < 6; k++) p->kind[k] = __builtin_bswap64(p->kind[k]);
    u64 mine = __builtin_bswap64(p->side[0]);
    p->side[0] = __builtin_bswap64(p->side[1]);
    p->side[1] = mine;
}

/* the position after a move, seen by the other side; 0 if the move leaves the own king attacked */
static int play(const Position *p, Move m, Position *q) {
    u64 from = BIT(m.from), to = BIT(m.to), taken = p->side[1] & to;
    int kind = PAWN;
    while (!(p->kind[kind] & from)) kind++;
    *q = *p;
    q->ep = -1;
    if (kind == PAWN) {
        if (m.to == p->ep) taken = BIT(m.to - 8);
        if (m.to - m.from == 16) q->ep = (m.from + 8) ^ 56;
    }
    if (taken) {
        for (int k = 0; k < 6; k++) q->kind[k] &= ~taken;
        q->side[1] &= ~taken;
    }
    q->kind[kind] ^= from;
    q->kind[m.promotion ? m.promotion : kind] |= to;
    q->side[0] ^= from | to;
    if (in_check(q)) return 0;
    turn_round(q);
    return 1;
}

static inline Move *add(Move *out, int from, u64 targets) {
    int to;
    EACH(to, targets) *out++ = (Move){from, to, 0};
    return out;
}

/* moves that are legal but for what they may do to the own king; returns how many */
static int moves(const Position *p, Move *out) {
    Move *start = out;
    u64 us = p->side[0], them = p->side[1], occupied = us | them;
    int s;
    EACH(s, p->kind[PAWN] & us) {
        u64 targets = pawn_takes[s] & (them | (p->ep >= 0 ? BIT(p->ep) : 0));
        if (!(occupied & BIT(s + 8))) {
            targets |= BIT(s + 8);
            if (s < 16 && !(occupied & BIT(s + 16))) targets |= BIT(s + 16);
        }
        if (s >= 48) {
            u64 last = targets;
            while (last) {
                int to = FIRST(last);
                last &= last - 1;
                for (int kind = QUEEN; kind >= KNIGHT; kind--) *out++ = (Move){s, to, kind};
            }
        } else
            out = add(out, s, targets);
    }
    EACH(s, p->kind[KNIGHT] & us) out = add(out, s, knight_steps[s] & ~us);
    EACH(s, (p->kind[BISHOP] | p->kind[QUEEN]) & us) out = add(out, s, bishop_view(s, occupied) & ~us);
    EACH(s, (p->kind[ROOK] | p->kind[QUEEN]) & us) out = add(out, s, rook_view(s, occupied) & ~us);
    EACH(s, p->kind[KING] & us) out = add(out, s, king_steps[s] & ~us);
    return (int)(out - start);
}

/* Of these moves, in place, those that may give check: a superset, since promotions and en passant are let through. */
static int may_check(const Position *p, Move *list, int count) {
    u64 us = p->side[0], occupied = us | p->side[1];
    int king = FIRST(p->kind[KING] & p->side[1]), kept = 0;
    u64 rooks = (p->kind[ROOK] | p->kind[QUEEN]) & us, bishops = (p->kind[BISHOP] | p->kind[QUEEN]) & us, from = 0, to[6] = {0};
    for (int d = 0; d < 8; d++) {
        u64 lined = ray[d][king] & (d & 2 ? bishops : rooks), seen = line(d, king, occupied);
        to[d & 2 ? BISHOP : ROOK] |= seen;
        if (lined && (seen & us)) from |= seen & us; /* something of ours that may stand between them */
    }
    to[QUEEN] = to[ROOK] | to[BISHOP];
    to[KNIGHT] = knight_steps[king];
    for (int s = king - 9; s <= king - 7; s += 2)
        if (s >= 0 && (pawn_takes[s] & BIT(king))) to[PAWN] |= BIT(s);
    u64 always = p->kind[PAWN] & us & 0x00FF000000000000ULL;
    u64 movers[6];
    for (int k = 0; k < 6; k++) movers[k] = p->kind[k] & us;
    for (int i = 0; i < count; i++) {
        u64 start = BIT(list[i].from), end = BIT(list[i].to);
        int kind = PAWN;
        while (!(movers[kind] & start)) kind++;
        if ((from | always) & start || to[kind] & end || (kind == PAWN && list[i].to == p->ep)) list[kept++] = list[i];
    }
    return kept;
}

static int can_move(const Position *p) {
    Move list[MAX_MOVES];
    Position q;
    for (int i = moves(p, list) - 1; i >= 0; i--) /* kings come last, and can move most often */
        if (play(p, list[i], &q)) return 1;
    return 0;
}

/* ---- the search ---- */

static u64 nodes, budget; /* positions looked at; past the budget every answer is void */
static int checks_only;   /* leave out the attacker's quiet moves: quick, but "no" may be wrong */
static u64 question;      /* entries of earlier questions never match, so that an answer does not depend on them */

typedef struct {
    u64 key, check;
    int8_t depth, mate;
} Entry;
#define TABLE_BITS 18
static Entry table[1 << TABLE_BITS];
static Move refutation[4][64][64]; /* the reply that last refuted a move, by depth left, from and to */
static const Move NONE = {0, 0, 0};

static u64 hash(const Position *p, u64 seed) {
    u64 h = seed ^ (u64)(p->ep + 1);
    for (int k = 0; k < 6; k++) {
        h = (h ^ (p->kind[k] & p->side[0])) * 0x9E3779B97F4A7C15ULL, h ^= h >> 29;
        h = (h ^ (p->kind[k] & p->side[1])) * 0xBF58476D1CE4E5B9ULL, h ^= h >> 32;
    }
    return h;
}

static void forget(u64 most) {
    question++;
    nodes = 0;
    budget = most;
}

static inline int same(Move a, Move b) { return a.from == b.from && a.to == b.to && a.promotion == b.promotion; }

/* does the move of side[0] that led here mate at once? */
static inline int is_mate(const Position *p) { return in_check(p) && !can_move(p); }

static int survives(const Position *p, int depth, Move last);

/* can the side to move force mate in at most `depth` moves? */
static int forces(const Position *p, int depth) {
    Move list[MAX_MOVES];
    Position q;
    Entry *entry = NULL;
    u64 key = 0, check = 0;
    if (++nodes > budget) return 0;
    if (depth >= 2) {
        key = hash(p, 1), check = hash(p, 0x1234567) ^ question;
        entry = &table[key >> (64 - TABLE_BITS)];
        if (entry->key == key && entry->check == check) {
            if (entry->mate && entry->depth <= depth) return 1;
            if (!entry->mate && entry->depth >= depth) return 0;
        }
    }
    int found = 0;
    for (int quiet = 0; quiet <= (depth > 1 && !checks_only) && !found; quiet++) { /* a mate at once is always a check */
        int count = moves(p, list);
        if (!quiet) count = may_check(p, list, count);
        for (int i = 0; i < count && !found; i++) {
            if (!play(p, list[i], &q) || in_check(&q) == quiet) continue;
            found = depth == 1 ? !can_move(&q) : !survives(&q, depth - 1, list[i]);
        }
    }
    if (nodes > budget) return 0;
    if (entry) *entry = (Entry){key, check, (int8_t)depth, (int8_t)found};
    return found;
}

/* can the side to move, whose opponent has just played `last`, avoid being mated in `depth` more moves? */
static int survives(const Position *p, int depth, Move last) {
    Move list[MAX_MOVES], *killer = &refutation[depth][last.from][last.to];
    Position q;
    if (!same(*killer, NONE)) { /* the reply that worked before may be illegal here, so look it up among the moves */
        int count = moves(p, list);
        for (int i = 0; i < count; i++)
            if (same(list[i], *killer) && play(p, list[i], &q) && !forces(&q, depth)) return 1;
    }
    int count = moves(p, list), any = 0;
    for (int i = count - 1; i >= 0; i--) {
        if (!play(p, list[i], &q)) continue;
        any = 1;
        if (!forces(&q, depth)) {
            *killer = list[i];
            return 1;
        }
    }
    return !any && !in_check(p); /* stalemate */
}

/* ---- text ---- */

static int turned; /* 56 if the position of the last question has black to move: its squares are upside down */

static int read_fen(const char *fen, Position *p) {
    static const char letters[] = "pnbrqk";
    prepare();
    memset(p, 0, sizeof *p);
    p->ep = -1;
    int s = 56;
    for (; *fen && *fen != ' '; fen++) {
        const char *found = strchr(letters, *fen | 32);
        if (*fen == '/') s -= 16;
        else if (*fen >= '1' && *fen <= '8') s += *fen - '0';
        else if (found) p->kind[found - letters] |= BIT(s), p->side[*fen > 'a'] |= BIT(s), s++;
        else return 0;
    }
    turned = fen[0] && fen[1] == 'b' ? 56 : 0;
    if (turned) turn_round(p);
    const char *rest = strchr(fen + 1, ' ');      /* castling */
    rest = rest ? strchr(rest + 1, ' ') : NULL;   /* en passant */
    if (rest && rest[1] >= 'a' && rest[1] <= 'h') p->ep = (rest[1] - 'a' + 8 * (rest[2] - '1')) ^ turned;
    return __builtin_popcountll(p->kind[KING] & p->side[0]) == 1 && __builtin_popcountll(p->kind[KING] & p->side[1]) == 1;
}

static char *write_move(char *out, Move m, int turn) {
    int from = m.from ^ turn, to = m.to ^ turn;
    out += sprintf(out, "%c%c%c%c", 'a' + (from & 7), '1' + (from >> 3), 'a' + (to & 7), '1' + (to >> 3));
    if (m.promotion) *out++ = "pnbrqk"[m.promotion];
    *out = 0;
    return out;
}

static char *write_fen(char *out, const Position *p, int turn) {
    for (int r = 7; r >= 0; r--) {
        int empty = 0;
        for (int f = 0; f < 8; f++) {
            u64 b = BIT((8 * r + f) ^ turn);
            if (!((p->side[0] | p->side[1]) & b)) {
                empty++;
                continue;
            }
            if (empty) *out++ = '0' + empty, empty = 0;
            int kind = 0;
            while (!(p->kind[kind] & b)) kind++;
            int white = !!(p->side[0] & b) == !turn;
            *out++ = "pnbrqk"[kind] - (white ? 32 : 0);
        }
        if (empty) *out++ = '0' + empty;
        if (r) *out++ = '/';
    }
    return out + sprintf(out, " %c - - 0 1", turn ? 'b' : 'w');
}

/* ---- what build_chess.py calls ---- */

static u64 leaves(const Position *p, int depth) {
    Move list[MAX_MOVES];
    Position q;
    u64 sum = 0;
    if (!depth) return 1;
    for (int i = moves(p, list) - 1; i >= 0; i--)
        if (play(p, list[i], &q)) sum += leaves(&q, depth - 1);
    return sum;
}

/* the number of games of `depth` plies from a position: to be compared with another program's */
u64 perft(const char *fen, int depth) {
    Position p;
    return read_fen(fen, &p) ? leaves(&p, depth) : 0;
}

/* a longest line: the only mating move of the attacker at first, then a reply that lasts longest (the first of them), and so on */
static void write_line(const Position *p, int depth, Move first, char *out, int turn) {
    Move list[MAX_MOVES], move = first;
    Position q, r;
    for (int left = depth; left > 0; left--, turn ^= 56) {
        out = write_move(out, move, turn);
        play(p, move, &q);
        turn ^= 56;
        if (left == 1) return;
        int count = moves(&q, list), chosen = -1;
        for (int i = 0; i < count && chosen < 0; i++)
            if (play(&q, list[i], &r) && (left == 2 || !forces(&r, left - 2))) chosen = i;
        *out++ = ' ';
        out = write_move(out, list[chosen], turn);
        *out++ = ' ';
        static Position at;
        play(&q, list[chosen], &at);
        p = &at;
        count = moves(p, list);
        for (int i = 0; i < count; i++) {
            if (!play(p, list[i], &q)) continue;
            if (left == 2 ? is_mate(&q) : !survives(&q, left - 2, list[i])) {
                move = list[i];
                break;
            }
        }
    }
}

/* The moves that force mate in the fewest moves, at most `most`: returns that depth and how many such moves there are; it stops
   counting at two. 0: no such mate; -1: the budget is spent. */
static int shortest(const Position *p, int most, int *count, Move *first) {
    Move list[MAX_MOVES];
    Position q;
    int total = moves(p, list);
    for (int depth = 1; depth <= most; depth++) {
        *count = 0;
        if (depth == 2) memset(refutation, 0, sizeof refutation); /* it orders the replies, so it must not depend on the past */
        for (int i = 0; i < total && *count < 2; i++) {
            if (!play(p, list[i], &q)) continue;
            if (depth == 1 ? is_mate(&q) : !survives(&q, depth - 1, list[i])) {
                if (!(*count)++) *first = list[i];
            }
            if (nodes > budget) return -1;
        }
        if (*count) return depth;
    }
    return 0;
}

/* The depth of the shortest mate, at most `most`, if exactly one move forces it, with a line written to `out`; 0 if there is no
   mate or more than one way; -1 if more than `most_nodes` positions would have to be looked at. */
int unique_mate(const char *fen, int most, u64 most_nodes, char *out) {
    Position p;
    Move first;
    int count;
    *out = 0;
    if (!read_fen(fen, &p)) return 0;
    forget(most_nodes);
    int depth = shortest(&p, most, &count, &first);
    if (depth < 1) return depth;
    if (count > 1) return 0;
    budget = ~0ULL;
    write_line(&p, depth, first, out, turned);
    return depth;
}

u64 nodes_searched(void) { return nodes; }

static u64 draw(u64 *state) { /* splitmix64 */
    u64 z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* writes "FEN,depth,line" of a position whose only mating move is `first` */
static void write_row(const Position *p, int turn, int depth, Move first, char **out) {
    budget = ~0ULL;
    *out = write_fen(*out, p, turn);
    *out += sprintf(*out, ",%d,", depth);
    write_line(p, depth, first, *out, turn);
    *out += strlen(*out);
    *out += sprintf(*out, "\n");
}

/* If exactly one move forces mate in the fewest moves and these are at most `most`, writes "FEN,depth,line" and returns the depth. */
static int report(const Position *p, int turn, int most, u64 most_nodes, char **out) {
    Move first;
    int count;
    forget(most_nodes);
    int depth = shortest(p, most, &count, &first);
    if (depth < 1) return depth;
    if (count > 1) return 0;
    write_row(p, turn, depth, first, out);
    return depth;
}

/* Plays games of random legal moves (no castling) of at most `plies` from the start, each until a position with a unique mate in
   exactly `depth` moves or past any mate; writes `count` lines "FEN,depth,line" to `out`. En passant squares are dropped from a
   position before it is searched. Returns the number of games. */
u64 random_mates(u64 seed, int count, int plies, int depth, char *out) {
    Position start, p, q;
    Move list[MAX_MOVES];
    u64 games = 0;
    read_fen("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w - - 0 1", &start);
    while (count) {
        games++;
        p = start;
        int turn = 0;
        for (int ply = 0; ply < plies; ply++, turn ^= 56) {
            Position bare = p;
            bare.ep = -1;
            char *end = out;
            int found = report(&bare, turn, depth, 1000000, &end);
            if (found == depth) {
                out = end;
                count--;
                break;
            }
            *out = 0;
            int total = moves(&p, list), legal = 0;
            for (int i = 0; i < total; i++)
                if (play(&p, list[i], &q)) list[legal++] = list[i];
            if (!legal) break;
            play(&p, list[draw(&seed) % legal], &q);
            p = q;
        }
    }
    return games;
}

/* Every move from a position as a possible blunder: writes "FEN,depth,line" for each that allows a unique mate. With most = 2 or 3
   all mates in so many moves are found, at 30 times the cost for 3. With most = 4 mates in three or four are proved where a
   mate by checks alone shows that the search is worth its while. */
void blunders(const char *fen, int most, u64 most_nodes, char *out) {
    Position p, q;
    Move list[MAX_MOVES], first;
    int count;
    *out = 0;
    if (!read_fen(fen, &p)) return;
    int turn = turned ^ 56, total = moves(&p, list);
    for (int i = 0; i < total; i++) {
        if (!play(&p, list[i], &q)) continue;
        q.ep = -1;
        forget(most_nodes);
        if (most > 2 && !shortest(&q, 2, &count, &first)) {
            if (most == 3) {
                report(&q, turn, 3, most_nodes, &out);
                continue;
            }
            forget(most_nodes);
            checks_only = 1;
            memset(refutation, 0, sizeof refutation);
            int likely = forces(&q, 4);
            checks_only = 0;
            if (likely) report(&q, turn, 4, most_nodes, &out);
        } else
            report(&q, turn, 2, most_nodes, &out);
    }
}

/* ---- what build_composed.py calls ---- */

enum { QUIET = 1, SACRIFICE = 2, UNDERPROMOTION = 4 }; /* what can be said of a first move */

static int below(u64 *seed, int count) { return (int)(draw(seed) % (u64)count); }

static int kind_at(const Position *p, int s) {
    int kind = PAWN;
    while (kind <= KING && !(p->kind[kind] & BIT(s))) kind++;
    return kind; /* KING + 1 for an empty square */
}

/* Can the man that moves be taken, so that two pawns' worth or more is lost, what it took and what is taken back counted? A man
   that promotes counts as a pawn. */
static int gives_up(const Position *p, Move m) {
    static const int worth[] = {1, 3, 3, 5, 9, 0, 0};
    Move list[MAX_MOVES], back[MAX_MOVES];
    Position q, r, s;
    int lost = worth[kind_at(p, m.from)] - worth[kind_at(p, m.to)];
    play(p, m, &q);
    for (int i = moves(&q, list) - 1; i >= 0; i--) {
        if (list[i].to != (m.to ^ 56) || !play(&q, list[i], &r)) continue;
        int retaken = 0;
        for (int j = moves(&r, back) - 1; j >= 0 && !retaken; j--) retaken = back[j].to == m.to && play(&r, back[j], &s);
        if (lost - (retaken ? worth[kind_at(&q, list[i].from)] : 0) >= 2) return 1;
    }
    return 0;
}

static int character(const Position *p, Move m) {
    Position q;
    play(p, m, &q);
    return (in_check(&q) ? 0 : QUIET) | (gives_up(p, m) ? SACRIFICE : 0) | (m.promotion && m.promotion != QUEEN ? UNDERPROMOTION : 0);
}

/* is nobody in check? */
static int is_calm(const Position *p) {
    Position q = *p;
    turn_round(&q);
    return !in_check(p) && !in_check(&q);
}

/* Kings and so many men of each side on squares drawn at random, the king that is to be mated on `king`, with `seventh` one own
   pawn before its promotion; 0 if they do not fit. Men come from one box, so that nothing has promoted yet, and the two bishops
   of a side are on squares of two colours. */
static int place(u64 *seed, int own, int others, int king, int seventh, Position *p) {
    static const u64 dark = 0xAA55AA55AA55AA55ULL;
    memset(p, 0, sizeof *p);
    p->ep = -1;
    for (int side = 0; side < 2; side++) {
        char box[] = {PAWN, PAWN, PAWN, PAWN, PAWN, KNIGHT, KNIGHT, BISHOP, BISHOP, ROOK, ROOK, QUEEN};
        int left = sizeof box;
        for (int i = 0; i <= (side ? others : own); i++) {
            int first = i == 1 && !side && seventh, kind = KING, s = side ? king : below(seed, 64);
            if (i) {
                int c = first ? 0 : below(seed, left);
                kind = box[c], box[c] = box[--left];
                s = first ? 48 + below(seed, 8) : kind == PAWN ? 8 + below(seed, 48) : below(seed, 64);
            }
            if ((p->side[0] | p->side[1]) & BIT(s)) return 0;
            p->kind[kind] |= BIT(s);
            p->side[side] |= BIT(s);
        }
        u64 bishops = p->kind[BISHOP] & p->side[side];
        if (__builtin_popcountll(bishops) == 2 && __builtin_popcountll(bishops & dark) != 1) return 0;
    }
    return is_calm(p);
}

/* The squares a man may have come from: those it could go to, if nothing was taken. None for a pawn. */
static u64 came_from(const Position *p, int s) {
    u64 occupied = p->side[0] | p->side[1];
    int kind = kind_at(p, s);
    u64 rooks = kind == ROOK || kind == QUEEN ? rook_view(s, occupied) : 0;
    u64 bishops = kind == BISHOP || kind == QUEEN ? bishop_view(s, occupied) : 0;
    return (rooks | bishops | (kind == KNIGHT ? knight_steps[s] : 0) | (kind == KING ? king_steps[s] : 0)) & ~occupied;
}

/* takes back a move of `side`, drawn at random, half of the time its king's; 0 if the man that was drawn has none */
static int take_back(Position *p, int side, u64 *seed) {
    u64 men = p->side[side] & (below(seed, 2) ? p->kind[KING] : ~0ULL);
    int s = 0, from = 0, chosen = below(seed, __builtin_popcountll(men));
    EACH(s, men) if (!chosen--) break;
    u64 squares = came_from(p, s);
    if (!squares) return 0;
    chosen = below(seed, __builtin_popcountll(squares));
    EACH(from, squares) if (!chosen--) break;
    p->kind[kind_at(p, s)] ^= BIT(s) | BIT(from);
    p->side[side] ^= BIT(s) | BIT(from);
    return 1;
}

/* Takes away, in random order, every man without whom the same move is still the only one that mates in so many moves. */
static void thin_out(Position *p, int depth, Move first, u64 most_nodes, u64 *seed) {
    int squares[64], count = 0, s, ways, like = character(p, first);
    EACH(s, (p->side[0] | p->side[1]) & ~p->kind[KING] & ~BIT(first.from)) squares[count++] = s;
    while (count) {
        int c = below(seed, count);
        u64 man = BIT(squares[c]);
        squares[c] = squares[--count];
        Position q = *p;
        Move move;
        for (int k = 0; k < 6; k++) q.kind[k] &= ~man;
        q.side[0] &= ~man, q.side[1] &= ~man;
        if (!is_calm(&q)) continue;
        forget(most_nodes);
        if (shortest(&q, depth, &ways, &move) == depth && ways == 1 && same(move, first) && character(&q, move) == like) *p = q;
    }
}

enum { TRIES = 40, PLAIN = 6 };

/* Takes a move of each side back, `TRIES` times or until the mate takes `now` + 1 moves, with one first move alone if this is
   `depth`, and again from there: 1 if it comes to `depth`, with this move in `first`. Adds the positions looked at to `spent`. */
static int lengthen(Position *p, int now, int depth, Move *first, u64 most_nodes, u64 *spent, u64 *seed) {
    for (int tries = TRIES; tries && now < depth; tries--) {
        Position q = *p;
        int ways;
        if (!take_back(&q, 1, seed) || !take_back(&q, 0, seed) || !is_calm(&q)) continue;
        forget(most_nodes);
        int found = shortest(&q, now + 1, &ways, first);
        *spent += nodes;
        if (found != now + 1 || (found == depth && ways > 1)) continue;
        *p = q, now++, tries = TRIES;
    }
    return now == depth;
}

/* `count` lines "FEN,depth,line" of positions like composed ones, with a unique mate in exactly `depth` moves. For each, the
   numbers of men (own 2 to `own_most`, others up to `others_most`, and the kings), the square of the king to be mated and the
   colours are drawn first, and kept for `patience` positions looked at, so that what is rare is tried for longer. Longer mates
   are found backwards, as composers do, from a mate in two. One draw in five insists on a first move that gives something up or
   promotes to a lesser piece. Elsewhere one in `PLAIN` of those that do neither and give check stays, but for mates in one
   without a pawn before its promotion. Half of the positions are thinned out. */
void composed_mates(u64 seed, int count, int depth, int own_most, int others_most, u64 patience, u64 most_nodes, char *out) {
    Position p;
    Move first;
    int ways, least = depth < 2 ? depth : 2;
    prepare();
    while (count) {
        int own = 2 + below(&seed, own_most - 1), others = below(&seed, others_most + 1), king = below(&seed, 64), turn = 56 * below(&seed, 2);
        int seventh = !below(&seed, 4), thin = below(&seed, 2), rare = depth > 1 && !below(&seed, 5);
        for (u64 spent = 0; spent < patience; spent++) {
            if (!place(&seed, own, others, king, seventh, &p)) continue;
            forget(most_nodes);
            int found = shortest(&p, least, &ways, &first);
            spent += nodes;
            if (found != least || (least == depth && ways > 1)) continue;
            if (!lengthen(&p, least, depth, &first, most_nodes, &spent, &seed)) continue;
            int like = character(&p, first);
            if (rare ? like <= QUIET : !like && (depth > 1 || seventh) && below(&seed, PLAIN)) continue;
            if (thin) thin_out(&p, depth, first, most_nodes, &seed);
            write_row(&p, turn, depth, first, &out);
            count--;
            break;
        }
    }
}
