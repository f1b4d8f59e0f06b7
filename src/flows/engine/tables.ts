/**
 * What runs are in the database.
 *
 * A run is one pass over a graph. The graph is kept by its hash, so that history draws it as it was; a run has one task a node, and a node
 * that maps over a list has one more for each element. `run_tasks` holds where each task stands now, `run_attempts` every try that ended.
 *
 * States of a task: waiting (for others), delayed (until a time), ready, running, deferred (for another run), expanded (for its elements),
 * and, final, succeeded, failed, skipped, cancelled. `fence` counts how often the task was handed out: who holds an older one holds nothing.
 */
import type { Migration } from '../../storage/index.ts'
import { FUNCTIONS } from './functions.ts'

export const runMigrations: readonly Migration[] = [
  {
    name: '0400_runs',
    sql: `
      create table run_flows (
        name text primary key,
        -- Runs at a time; null for any number.
        slots integer check (slots > 0)
      );
      create table run_pools (
        name text primary key,
        -- Tasks at a time on all nodes; null for any number.
        slots integer check (slots > 0)
      );
      insert into run_pools (name) values ('default');
      create table run_graphs (
        hash text primary key,
        flow text not null,
        graph jsonb not null,
        recorded_at timestamptz not null default now()
      );
      create table run_nodes (
        graph text not null references run_graphs on delete cascade,
        node integer not null,
        name text not null,
        pool text not null,
        priority integer not null,
        -- When to run: all_succeeded, none_failed or all_done of what stands before it.
        rule text not null check (rule in ('all_succeeded', 'none_failed', 'all_done')),
        upstream integer not null,
        -- Its failure does not fail the run, and counts as success for what follows.
        optional boolean not null,
        primary key (graph, node)
      );
      create table run_edges (
        graph text not null references run_graphs on delete cascade,
        source integer not null,
        target integer not null,
        primary key (graph, source, target)
      );
      create table runs (
        id text primary key,
        kind text not null,
        flow text not null,
        graph text not null references run_graphs,
        params jsonb not null,
        state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        paused boolean not null default false,
        priority integer not null,
        -- Who or what asked for it, in words of the caller.
        trigger jsonb not null,
        -- What it is about, such as a workload.
        subject text,
        -- Two requests with the same key are one run.
        key text,
        backfill text,
        partition text,
        parent text,
        parent_task integer,
        tasks integer not null default 0,
        open integer not null default 0,
        failed integer not null default 0,
        cancel_at timestamptz,
        created_at timestamptz not null,
        started_at timestamptz,
        ended_at timestamptz,
        unique (flow, key)
      ) with (fillfactor = 80);
      create index runs_queued on runs (flow, priority desc, id) where state = 'queued' and not paused;
      create index runs_running on runs (flow) where state = 'running';
      create index runs_by_flow on runs (flow, id desc);
      create index runs_by_state on runs (state, id desc);
      create index runs_by_backfill on runs (backfill, id) where backfill is not null;
      create index runs_by_subject on runs (subject, id desc) where subject is not null;
      create index runs_by_parent on runs (parent) where parent is not null;
      create table run_tasks (
        run text not null references runs on delete cascade,
        n integer not null,
        node integer not null,
        -- Of an element that a node maps over; null for the node itself.
        item_index integer,
        item jsonb,
        state text not null,
        waits integer not null default 0,
        failed_before integer not null default 0,
        skipped_before integer not null default 0,
        -- The nodes that a branch goes on to; null for all.
        chosen integer[],
        pool text not null,
        priority integer not null,
        ready_at timestamptz,
        attempt integer not null default 0,
        fence integer not null default 0,
        lost integer not null default 0,
        -- It goes on after it was deferred: the same attempt.
        resumed boolean not null default false,
        child text,
        worker text,
        lease_until timestamptz,
        started_at timestamptz,
        ended_at timestamptz,
        output jsonb,
        error jsonb,
        reason text,
        primary key (run, n)
      ) with (fillfactor = 70);
      create index run_tasks_ready on run_tasks (pool, priority desc, ready_at) where state = 'ready';
      create index run_tasks_delayed on run_tasks (ready_at) where state = 'delayed';
      create index run_tasks_leases on run_tasks (lease_until) where state = 'running';
      create index run_tasks_busy on run_tasks (pool) where state = 'running';
      create index run_tasks_deferred on run_tasks (child) where state = 'deferred';
      create table run_attempts (
        run text not null references runs on delete cascade,
        n integer not null,
        fence integer not null,
        attempt integer not null,
        worker text not null,
        state text not null,
        started_at timestamptz not null,
        ended_at timestamptz not null,
        error jsonb,
        primary key (run, n, fence)
      );
      create table run_schedules (
        flow text primary key,
        -- Names what it says; the next time of another spec means nothing.
        spec text not null,
        next_at timestamptz,
        paused boolean not null default false
      );
      create table run_logs (
        run text not null references runs on delete cascade,
        n integer not null,
        fence integer not null,
        seq integer not null,
        -- Lines of [epoch milliseconds, level, text].
        lines jsonb not null,
        primary key (run, n, fence, seq)
      );
      ${FUNCTIONS}
    `,
  },
  {
    name: '0401_run_backfills',
    sql: `
      create table run_backfills (
        id text primary key,
        flow text not null,
        -- Two requests with the same key are one backfill.
        key text,
        params jsonb not null,
        first text not null,
        last text not null,
        -- Runs at a time.
        slots integer not null check (slots > 0),
        total integer not null,
        paused boolean not null default false,
        cancelled boolean not null default false,
        created_at timestamptz not null,
        unique (flow, key)
      );
      drop index runs_queued;
      create index runs_queued on runs (flow, priority desc, id) where state = 'queued' and not paused and backfill is null;
      create index runs_queued_in_backfill on runs (backfill, priority desc, id) where state = 'queued' and not paused and backfill is not null;
      create index runs_running_in_backfill on runs (backfill) where state = 'running' and backfill is not null;
      create index runs_by_partition on runs (flow, partition) where partition is not null;
      -- How much of a table or a stream a flow that follows it has seen.
      create table run_watches (
        flow text not null,
        asset text not null,
        seen jsonb not null,
        primary key (flow, asset)
      );
      ${FUNCTIONS}
    `,
  },
  {
    name: '0403_run_progress',
    sql: `
      -- {done, total, fence}: how far the try with this fence is.
      alter table run_tasks add column progress jsonb;
      -- The order in which lines became known, whatever task they are of.
      alter table run_logs add column written xid8 not null default pg_current_xact_id();
      create index run_logs_written on run_logs (run, written, n, fence, seq);
    `,
  },
  {
    name: '0410_run_retention',
    sql: `
      -- Lines of run_logs that were moved to the object store, from the first batch to the last one.
      create table run_log_parts (
        run text not null references runs on delete cascade,
        path text not null,
        -- Of the run, when they were moved.
        ended_at timestamptz not null,
        -- When it was written, task, try, number.
        first bigint[] not null,
        last bigint[] not null,
        primary key (run, path)
      );
      create index run_log_parts_by_age on run_log_parts (ended_at);
      create index runs_over on runs (ended_at) where ended_at is not null;
      -- Runs that were removed and may still have objects.
      create table run_trash (run text primary key);
      create index run_tasks_held on run_tasks (run) where state = 'held';
      ${FUNCTIONS}
    `,
  },
  {
    name: '0411_run_steps',
    sql: `
      -- What a task takes from those before it.
      create index run_edges_back on run_edges (graph, target, source);
      ${FUNCTIONS}
    `,
  },
]
