/* How a cluster's place is claimed, kept and given back: a model that Spin searches exhaustively.
 *
 * Every step is one indivisible thing that can happen in a scaled-out installation: an SQL transaction
 * commits, a call reaches the runtime, a lease runs out, a message arrives. Spin tries them in every
 * order. README.md says what is and is not modelled; check.sh runs it.
 *
 *   here                       there
 *   st, att                    deployments.state, deployments.attempt
 *   resv                       the rows of reservations (primary key: deployment, attempt)
 *   free                       nodes.free_cpu and its like, with CHECK (free BETWEEN 0 AND capacity)
 *   holder, epoch              the lease row of a cluster
 *   outbox                     rows of the outbox that the relay has not marked as sent
 *   hint                       the cluster's queue in Redis: what a scheduler should look at
 *   move()                     next_state() and transition_table() in core/deployment
 *   claim()                    Scheduling::admit(): Transaction::update(d, from) and reserve()
 *   news_*()                   apply_observation() and apply_gone() in service/lifecycle
 *   OFFER_RUN, OFFER_GONE      Runner::launch(), stop(), clean(), and the reconciler's repeats of them
 *   inst                       what the runtime really runs: Runtime::ensure_running(), ensure_gone()
 *
 * Sizes: N deployments (2 or 3), TRIES attempts each, EPOCHS leases, CAP to share. -DQUEUE adds outbox,
 * relay and Redis; -DLIVE replaces the check of quiet states by the liveness formula at the end.
 *
 * Broken variants, each of which must be found: BLIND, NO_EPOCH, PUBLISH_FIRST, STOP_BY_NAME,
 * RELEASE_EARLY, NO_TOMBSTONE, TRUST_QUEUE, STALE_POLICY, STALE_NEWS, STALE_LIST. REACH_* turn something
 * that must be possible into an error, so that the model cannot hold because nothing happens in it.
 */
#ifndef N
#define N 2
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#define CAP 2
#define CALLS (N * TRIES)

/* Deployment 0 is low and small, 1 is high and takes everything, 2 is high and small: so a low one fits
 * while a high one waits and does not fit, and two may run side by side. */
#define demand(d) (1 + ((d) == 1))
#define low(d)    ((d) == 0)

/* deployments.state; the order matters to the three predicates. */
#define NONE      0
#define QUEUED    1
#define STARTING  2
#define RUNNING   3
#define STOPPING  4
#define STOPPED   5
#define SUCCEEDED 6
#define FAILED    7
#define CANCELLED 8
#define holds(s)    ((s) >= STARTING && (s) <= STOPPING)
#define terminal(s) ((s) >= STOPPED)
#define wanted(s)   ((s) == STARTING || (s) == RUNNING)

/* What the runtime knows of one attempt. GONE is the tombstone. */
#define ABSENT 0
#define UP     1
#define OK     2 /* exited with status 0 */
#define BAD    3 /* exited otherwise */
#define GONE   4

/* --- the SQL database ---------------------------------------------------------------------------- */
byte st[N];
byte att[N];
byte resv[N];   /* the attempt that holds demand(d), 0: no row */
byte free = CAP;
byte holder;    /* scheduler + 1, 0: the lease has run out */
byte epoch;     /* only grows */
#ifdef QUEUE
bool outbox[N];
#define note(d) outbox[d] = true
#else
#define note(d) skip
#endif

/* --- Redis --------------------------------------------------------------------------------------- */
#ifdef QUEUE
bool hint[N];
#endif
bool awake;     /* used by TRUST_QUEUE alone: a message has arrived and has not been looked into */

/* --- the world outside --------------------------------------------------------------------------- */
/* Calls that were ever sent stay in these sets: the runtime may carry out each of them late, out of
 * order and again, and it does not matter which scheduler sent it or whether that one still leads. */
bool run_sent[CALLS];
bool gone_sent[CALLS];
byte inst[CALLS];
bool confirmed[CALLS]; /* ensure_gone(deployment, attempt) has returned success */
bool started[CALLS];   /* for the check only */
byte my[2];            /* the epoch in which a scheduler believes to lead, 0: it knows that it does not */

#define key(d, a) ((d) * TRIES + (a) - 1)

#define M_HIGH(d) || (!low(d) && st[d] == QUEUED && demand(d) <= CAP)
#define M_USED(d) + (resv[d] != 0 -> demand(d) : 0)
#if N == 3
#define EACH(m) m(0) m(1) m(2)
#define ANY(m) m(0) m(1) m(2) /* the same, for use inside EACH */
#else
#define EACH(m) m(0) m(1)
#define ANY(m) m(0) m(1)
#endif
#if TRIES == 3
#define TRY(m, d) m(d, 1) m(d, 2) m(d, 3)
#elif TRIES == 2
#define TRY(m, d) m(d, 1) m(d, 2)
#else
#define TRY(m, d) m(d, 1)
#endif
#if N == 3
#define EACH_CALL(m) TRY(m, 0) TRY(m, 1) TRY(m, 2)
#else
#define EACH_CALL(m) TRY(m, 0) TRY(m, 1)
#endif

/* Policy `strict`: a low one only while no high one waits that the cluster could ever hold. */
#define high_waits   (false ANY(M_HIGH))
#define permitted(d) (!low(d) || !high_waits)
#define startable(d) (st[d] == QUEUED && demand(d) <= free && permitted(d))
#define M_STARTABLE(d) || startable(d)
#define any_startable (false EACH(M_STARTABLE))

/* --- invariants, after every step that changes what they speak of -------------------------------- */
/* Names for what must hold: they are 0, and only there to be read in what Spin prints. */
hidden byte never_over_committed, one_reservation_per_active_attempt, no_orphan, only_allowed_moves,
  current_epoch_decides, none_low_past_a_high_one, nobody_killed_unasked, one_start_per_attempt,
  told_only_what_is_committed, no_lost_wakeup, all_calls_carried_out, nothing_left_behind, seen_to_happen;
#define must(what, condition) assert(what || (condition))

#define M_ROW(d) \
  must(one_reservation_per_active_attempt, (resv[d] != 0) == holds(st[d])); \
  must(one_reservation_per_active_attempt, resv[d] == 0 || resv[d] == att[d]);
#define M_COVERED(d, a) \
  must(no_orphan, inst[key(d, a)] != UP || resv[d] == a); /* what runs holds its place */
#if defined(REACH_RETRY)
#define REACH must(seen_to_happen, !(att[0] == 2 && st[0] == SUCCEEDED));
#elif defined(REACH_TOMBSTONE) /* a start that was sent, and comes too late */
#define REACH must(seen_to_happen, !(run_sent[0] && inst[0] == GONE && !started[0]));
#elif defined(REACH_TWO_LEADERS)
#define REACH must(seen_to_happen, !(my[0] != 0 && my[1] != 0));
#else
#define REACH
#endif
inline check() {
  must(never_over_committed, free <= CAP); /* a byte: below 0 is above CAP */
  must(never_over_committed, free EACH(M_USED) == CAP);
  EACH(M_ROW)
  EACH_CALL(M_COVERED)
  REACH
}

/* The transition table: terminal states are final, and there are no other arrows. */
inline move(d, to) {
  must(only_allowed_moves,
         (st[d] == NONE && to == QUEUED) ||
         (st[d] == QUEUED && (to == STARTING || to == CANCELLED)) ||
         (wanted(st[d]) && (to == SUCCEEDED || to == FAILED || to == QUEUED || to == STOPPING)) ||
         (st[d] == STARTING && to == RUNNING) ||
         (st[d] == STOPPING && to == STOPPED));
  st[d] = to;
  note(d)
}

inline release(d) {
  free = free + demand(d);
  resv[d] = 0
}

/* --- the scheduler ------------------------------------------------------------------------------- */
#define IDLE    0
#define CLAIM   1 /* read: this one may start.          then: the conditional transaction */
#define READY   2 /* heard: the attempt answers.        then: record it */
#define ENDED   3 /* heard: it exited, status 0.        then: release, record */
#define BROKE   4 /* heard: it exited otherwise.        then: release, record, maybe retry */
#define STOPPED_NOW 5 /* heard: ensure_gone succeeded.  then: release, record */
#define MISSING 6 /* a list without it.                 then: take it for exited */

/* Reading and writing are two steps; whatever happens in between, the conditions decide. */
#if defined(BLIND)
#define claim_holds(d) (my[me] == epoch && st[d] == QUEUED && permitted(d))
#define debit(d)       free = seen - demand(d)
#elif defined(NO_EPOCH)
#define claim_holds(d) (startable(d))
#define debit(d)       free = free - demand(d)
#elif defined(STALE_POLICY)
#define claim_holds(d) (my[me] == epoch && st[d] == QUEUED && demand(d) <= free)
#define debit(d)       free = free - demand(d)
#else
#define claim_holds(d) (my[me] == epoch && startable(d))
#define debit(d)       free = free - demand(d)
#endif

inline claim() {
  if
  :: claim_holds(d) ->
     must(current_epoch_decides, my[me] == epoch);
     must(none_low_past_a_high_one, permitted(d));
     move(d, STARTING);
     att[d] = att[d] + 1;
     resv[d] = att[d];
     debit(d)
  :: else ->
     if
     :: my[me] != epoch -> my[me] = 0; /* refused: somebody else leads */
#ifdef REACH_REFUSAL
        must(seen_to_happen, false)
#endif
     :: else
     fi
  fi
}

/* Facts about one attempt. They need no epoch: a stale scheduler may tell them too. The condition is
 * that the attempt is still the current one and holds resources. */
#ifdef STALE_NEWS
#define current(d, a) (holds(st[d]))
#else
#define current(d, a) (att[d] == a && holds(st[d]))
#endif

inline news_ready() {
  if
  :: current(d, a) && st[d] == STARTING -> move(d, RUNNING)
  :: else
  fi
}
inline news_ended(good) {
  if
  :: current(d, a) ->
     release(d);
     if
     :: st[d] == STOPPING -> move(d, STOPPED)
     :: wanted(st[d]) && good -> move(d, SUCCEEDED)
     :: wanted(st[d]) && !good && att[d] < TRIES -> move(d, QUEUED) /* retry */
     :: wanted(st[d]) && !good && att[d] == TRIES -> move(d, FAILED)
     fi
  :: else
  fi
}
inline news_gone() {
  if
  :: current(d, a) && st[d] == STOPPING -> release(d); move(d, STOPPED)
  :: else
  fi
}

#define HEAR(what, x, n, fact) \
  :: d_step { act == IDLE && my[me] != 0 && (fact) -> act = what; d = x; a = n }

#ifdef TRUST_QUEUE
#define looks awake
#else
#define looks true /* the sweep over SQL needs no message */
#endif
#ifdef BLIND
#define remember_free seen = free
#else
#define remember_free skip
#endif
#define OFFER_CLAIM(x) \
  :: d_step { act == IDLE && my[me] != 0 && looks && startable(x) -> act = CLAIM; d = x; remember_free }

#ifdef RELEASE_EARLY
#define stop_done(k) gone_sent[k]
#else
#define stop_done(k) confirmed[k]
#endif
/* What has vanished may only be concluded from a list that is younger than the record it is compared
 * with. The runtime of this model forgets nothing, so then nothing ever vanishes. */
#ifdef STALE_LIST
#define may_vanish(d) wanted(st[d])
#else
#define may_vanish(d) (st[d] == RUNNING)
#endif
#define OFFER_NEWS(x, n) \
  HEAR(READY, x, n, att[x] == n && st[x] == STARTING && inst[key(x, n)] == UP) \
  HEAR(ENDED, x, n, att[x] == n && holds(st[x]) && inst[key(x, n)] == OK) \
  HEAR(BROKE, x, n, att[x] == n && holds(st[x]) && inst[key(x, n)] == BAD) \
  HEAR(STOPPED_NOW, x, n, att[x] == n && st[x] == STOPPING && stop_done(key(x, n))) \
  HEAR(MISSING, x, n, att[x] == n && may_vanish(x) && inst[key(x, n)] == ABSENT)

/* A crash after the commit and before the call is this step not being taken yet. */
#define OFFER_RUN(x, n) \
  :: d_step { my[me] != 0 && att[x] == n && st[x] == STARTING && !run_sent[key(x, n)] -> \
              run_sent[key(x, n)] = true }
#define OFFER_GONE(x, n) \
  :: d_step { my[me] != 0 && !gone_sent[key(x, n)] && \
              ((att[x] == n && st[x] == STOPPING) || \
               (inst[key(x, n)] != ABSENT && !(att[x] == n && holds(st[x])))) -> \
              gone_sent[key(x, n)] = true }

proctype Scheduler(bit me) {
  byte act, d, a;
#ifdef BLIND
  byte seen;
#endif
end:
  do
  :: d_step { holder == 0 && my[me] == 0 -> /* take the lease */
              holder = me + 1; epoch = epoch + 1; my[me] = epoch; awake = true }
  :: d_step { my[me] != 0 && epoch < EPOCHS -> /* crash: all that it had in mind is lost */
              my[me] = 0; act = IDLE; d = 0; a = 0 }
  EACH(OFFER_CLAIM)
  EACH_CALL(OFFER_NEWS)
  EACH_CALL(OFFER_RUN)
  EACH_CALL(OFFER_GONE)
  :: d_step { act != IDLE ->
       if
       :: act == CLAIM -> claim()
       :: act == READY -> news_ready()
       :: act == ENDED -> news_ended(true)
       :: act == BROKE -> news_ended(false)
       :: act == STOPPED_NOW -> news_gone()
       :: act == MISSING ->
          if
          :: st[d] == RUNNING -> news_ended(false) /* one that starts is launched again instead */
          :: else
          fi
       fi;
       act = IDLE; d = 0; a = 0;
       check() }
#ifdef TRUST_QUEUE
  :: d_step { act == IDLE && my[me] != 0 && awake && !any_startable -> awake = false }
#endif
  od
}

/* The database's clock. Once EPOCHS leases were given the last holder keeps its own, and lives. */
proctype Lease() {
end:
  do
  :: d_step { holder != 0 && epoch < EPOCHS -> holder = 0 }
  od
}

/* --- the API: each deployment is submitted once, and perhaps stopped at some time ----------------- */
#ifdef PUBLISH_FIRST
#define OFFER_SUBMIT(x) \
  :: st[x] == NONE -> hint[x] = true; \
     if :: d_step { move(x, QUEUED); check() } :: skip /* crash before the commit */ fi
#else
#define OFFER_SUBMIT(x) \
  :: d_step { st[x] == NONE -> move(x, QUEUED); check() }
#endif
#define OFFER_STOP(x) \
  :: d_step { st[x] == QUEUED -> move(x, CANCELLED); check() } \
  :: d_step { wanted(st[x]) -> move(x, STOPPING); check() }
#define M_SUBMITTED(d) && st[d] != NONE
proctype Api() {
end:
  do
  EACH(OFFER_SUBMIT)
  EACH(OFFER_STOP)
  :: d_step { (true EACH(M_SUBMITTED)) -> skip }; break
  od
}

/* --- the relay and the queue ---------------------------------------------------------------------- */
#ifdef QUEUE
/* Publish, then mark. A crash in between, or a second relay, publishes again: the first step. What is
 * committed between the two has a row of its own, which that mark does not touch; so both are one step
 * here, and a message that was taken before the mark is one that Redis lost after it. */
#define OFFER_RELAY(x) \
  :: d_step { outbox[x] && !hint[x] -> hint[x] = true } \
  :: d_step { outbox[x] -> hint[x] = true; outbox[x] = false }
proctype Relay() {
end:
  do
  EACH(OFFER_RELAY)
  od
}
/* A message is delivered, or Redis loses what it has. The message must tell of something committed. */
#define OFFER_DELIVERY(x) \
  :: d_step { hint[x] -> must(told_only_what_is_committed, st[x] != NONE); hint[x] = false; awake = true } \
  :: d_step { hint[x] -> hint[x] = false }
proctype Redis() {
end:
  do
  EACH(OFFER_DELIVERY)
  od
}
#endif

/* --- the runtime ---------------------------------------------------------------------------------- */
inline kill(d, a) {
  must(nobody_killed_unasked, inst[key(d, a)] != UP || !(att[d] == a && wanted(st[d])));
#ifdef NO_TOMBSTONE
  inst[key(d, a)] = ABSENT;
#else
  inst[key(d, a)] = GONE;
#endif
}
#define EXECUTE(x, n) \
  :: d_step { run_sent[key(x, n)] && inst[key(x, n)] == ABSENT -> /* else it is there, over, or refused */ \
              must(one_start_per_attempt, !started[key(x, n)]); \
              started[key(x, n)] = true; inst[key(x, n)] = UP; check() } \
  :: d_step { gone_sent[key(x, n)] && (!confirmed[key(x, n)] || inst[key(x, n)] == UP) -> \
              kill(x, n); confirmed[key(x, n)] = true; check() }
#if TRIES == 3
#define HIT(x, n, o) :: d_step { gone_sent[key(x, n)] && inst[key(x, o)] == UP -> kill(x, o) }
#define BY_NAME(x, n) HIT(x, n, 1) HIT(x, n, 2) HIT(x, n, 3)
#elif TRIES == 2
#define HIT(x, n, o) :: d_step { gone_sent[key(x, n)] && inst[key(x, o)] == UP -> kill(x, o) }
#define BY_NAME(x, n) HIT(x, n, 1) HIT(x, n, 2)
#endif
proctype Runtime() {
end:
  do
  EACH_CALL(EXECUTE)
#ifdef STOP_BY_NAME
  EACH_CALL(BY_NAME) /* a stop that carries no attempt hits whatever runs under the name */
#endif
  od
}

#if N == 3
#define EXIT_OK(x, n) /* at this size all work ends in the same way */
#else
#define EXIT_OK(x, n) :: d_step { inst[key(x, n)] == UP -> inst[key(x, n)] = OK }
#endif
#define EXIT(x, n) \
  EXIT_OK(x, n) \
  :: d_step { inst[key(x, n)] == UP -> inst[key(x, n)] = BAD }
proctype Work() {
end:
  do
  EACH_CALL(EXIT)
#ifndef LIVE
  :: break /* from now on whatever runs goes on running */
#endif
  od
}

/* --- when nothing is left to do --------------------------------------------------------------------- */
#define M_SETTLED(d) \
  must(all_calls_carried_out, st[d] != STARTING && st[d] != STOPPING); \
  must(all_calls_carried_out, st[d] != RUNNING || inst[key(d, att[d])] == UP); \
  must(no_lost_wakeup, !startable(d)); /* nothing waits that fits and may start */
#define M_CLEAN(d, a) \
  must(nothing_left_behind, inst[key(d, a)] == ABSENT || inst[key(d, a)] == GONE || (att[d] == a && st[d] == RUNNING));

init {
  atomic {
    run Scheduler(0);
    run Scheduler(1);
    run Lease();
    run Api();
    run Runtime();
    run Work();
#ifdef QUEUE
    run Relay();
    run Redis()
#endif
  }
#ifndef LIVE
  timeout ->
  d_step {
    check();
    EACH(M_SETTLED)
    EACH_CALL(M_CLEAN) }
#endif
}

#ifdef LIVE
#define arrives(d) (st[d] == QUEUED -> <> (st[d] == RUNNING || terminal(st[d])))
ltl arrival { [] (arrives(0) && arrives(1)) }
#endif
