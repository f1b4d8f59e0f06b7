/**
 * The steps of the run engine, in the database, so that each is one round trip and one transaction.
 *
 * Locks: whoever ends tasks holds the rows of their runs first, in the order of their ids. Whoever holds a run never asks for the run of a
 * child; a child that ends touches the row of its parent's task and no more. Tasks are handed out without their runs' rows, and whoever does
 * that waits for pools and flows alone, pools first. So there is no circle.
 *
 * `p_now` is the clock: null for the database's own, a time in tests that have a clock of their own.
 */

/**
 * Every lookup here is of a few rows by a key, whatever the tables grow to; what the planner guesses of the rows in a JSON parameter, or of a
 * table that was empty a moment ago, would make it read whole tables. Functions that only others call have it from them.
 *
 * Plans are made when the tables may be empty still: `lateral (... offset 0)` fixes the order of the lookups where another would read all of a graph.
 *
 * A statement costs by its length before it reads a row, so what is seldom needed is a statement of its own, behind an `if`.
 */
const BY_INDEX = `set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
    set plan_cache_mode = force_generic_plan set jit = off`

export const FUNCTIONS = /* sql */ `
  create or replace function run_now(p_now timestamptz) returns timestamptz language sql volatile as $$ select coalesce(p_now, clock_timestamp()) $$;

  -- What becomes of a task when all before it have ended: ready, or why it is skipped.
  create or replace function run_decide(rule text, upstream integer, failed integer, skipped integer) returns text language sql immutable as $$
    select case
      when rule = 'all_done' then 'ready'
      when failed > 0 then 'upstream_failed'
      when skipped > 0 and (rule = 'all_succeeded' or skipped >= upstream) then 'branch'
      else 'ready' end
  $$;

  -- What follows from tasks that have just ended: elements tell their node, nodes tell those behind them, the last one ends the run.
  -- Answers the runs that ended.
  create or replace function run_settle(p_runs text[], p_ns integer[], p_now timestamptz) returns text[] language plpgsql as $$
  declare
    f_runs text[] := p_runs;
    f_ns integer[] := p_ns;
    all_runs text[];
    all_ns integer[];
    t_runs text[];
    t_ns integer[];
    ended text[];
    some_paused boolean;
    some_awaited boolean;
  begin
    if exists (select from unnest(p_runs, p_ns) f (run, n) join run_tasks t on t.run = f.run and t.n = f.n where t.item_index is not null) then
      with elements as (
        select t.run, t.node, count(*) as ended, count(*) filter (where t.state = 'failed') as failed
        from unnest(p_runs, p_ns) f (run, n) join run_tasks t on t.run = f.run and t.n = f.n where t.item_index is not null group by t.run, t.node
      ), told as (
        update run_tasks p set
          waits = p.waits - e.ended,
          output = case when p.waits = e.ended then (
            select jsonb_agg(i.output order by i.item_index) from run_tasks i where i.run = p.run and i.node = p.n and i.item_index is not null
          ) else p.output end,
          failed_before = p.failed_before + e.failed,
          state = case when p.waits > e.ended then p.state when p.failed_before + e.failed > 0 then 'failed' else 'succeeded' end,
          reason = case when p.waits = e.ended and p.failed_before + e.failed > 0 then 'elements_failed' else p.reason end,
          ended_at = case when p.waits = e.ended then p_now else p.ended_at end
        from elements e where p.run = e.run and p.n = e.node and p.state = 'expanded'
        returning p.run, p.n, p.state
      )
      select coalesce(array_agg(run), '{}'), coalesce(array_agg(n), '{}') into t_runs, t_ns from told where state <> 'expanded';
      f_runs := f_runs || t_runs;
      f_ns := f_ns || t_ns;
    end if;
    all_runs := f_runs;
    all_ns := f_ns;

    loop
      with effects as (
        select u.run, f.graph, e.target, count(*) as ended,
          count(*) filter (where f.state in ('failed', 'cancelled') and not nd.optional or f.reason = 'upstream_failed') as failed,
          count(*) filter (where f.state = 'skipped' and f.reason <> 'upstream_failed' or f.chosen is not null and not e.target = any (f.chosen)) as skipped
        from unnest(f_runs, f_ns) u (run, n)
        cross join lateral (select t.node, t.item_index, t.state, t.reason, t.chosen, r.graph from run_tasks t join runs r on r.id = t.run where t.run = u.run and t.n = u.n offset 0) f
        cross join lateral (select target from run_edges where graph = f.graph and source = f.node offset 0) e
        cross join lateral (select optional from run_nodes where graph = f.graph and node = f.node offset 0) nd
        where f.item_index is null
        group by u.run, f.graph, e.target
      ), decided as (
        update run_tasks d set
          waits = d.waits - e.ended,
          failed_before = d.failed_before + e.failed,
          skipped_before = d.skipped_before + e.skipped,
          state = case when v.verdict is null then d.state when v.verdict = 'ready' then 'ready' else 'skipped' end,
          reason = case when v.verdict is null or v.verdict = 'ready' then d.reason else v.verdict end,
          ready_at = case when v.verdict is null then d.ready_at else p_now end,
          ended_at = case when v.verdict <> 'ready' then p_now else d.ended_at end
        from effects e
        -- What stands behind a node is a node itself.
        cross join lateral (select rule, upstream from run_nodes where graph = e.graph and node = e.target offset 0) nd
        cross join lateral (
          select case when t.state = 'waiting' and t.waits = e.ended then
            run_decide(nd.rule, nd.upstream, (t.failed_before + e.failed)::integer, (t.skipped_before + e.skipped)::integer) end as verdict
          from run_tasks t where t.run = e.run and t.n = e.target offset 0
        ) v
        where d.run = e.run and d.n = e.target
        returning d.run, d.n, v.verdict
      )
      select coalesce(array_agg(run), '{}'), coalesce(array_agg(n), '{}') into f_runs, f_ns from decided where verdict <> 'ready';
      exit when cardinality(f_runs) = 0;
      all_runs := all_runs || f_runs;
      all_ns := all_ns || f_ns;
    end loop;

    with counts as (
      select u.run, count(*) as ended, count(*) filter (where f.state = 'failed' and f.item_index is null and not nd.optional) as failed
      from unnest(all_runs, all_ns) u (run, n)
      cross join lateral (select t.node, t.item_index, t.state, r.graph from run_tasks t join runs r on r.id = t.run where t.run = u.run and t.n = u.n offset 0) f
      cross join lateral (select optional from run_nodes where graph = f.graph and node = f.node offset 0) nd
      group by u.run
    ), counted as (
      update runs r set
        open = r.open - c.ended,
        failed = r.failed + c.failed,
        state = case when r.open > c.ended then r.state when r.cancel_at is not null then 'cancelled' when r.failed + c.failed > 0 then 'failed' else 'succeeded' end,
        ended_at = case when r.open > c.ended then null else p_now end
      from counts c where r.id = c.run
      returning r.id, r.open, r.paused, r.parent
    )
    select coalesce(array_agg(id) filter (where open = 0), '{}'), bool_or(paused), bool_or(open = 0 and parent is not null)
      into ended, some_paused, some_awaited from counted;
    -- A run that is paused takes its newly ready tasks out of the queues.
    if some_paused then
      update run_tasks t set state = 'held' from runs r where r.id = any (p_runs) and r.paused and t.run = r.id and t.state = 'ready';
    end if;
    if some_awaited then
      update run_tasks t set state = case when r.paused then 'held' else 'ready' end, ready_at = p_now, resumed = true
        from runs c join runs r on r.id = c.parent where c.id = any (ended) and t.run = c.parent and t.n = c.parent_task and t.state = 'deferred' and t.child = c.id;
    end if;
    return ended;
  end $$;

  -- Makes the tasks of runs that stand in the queue. Answers how many runs left it.
  create or replace function run_begin(p_most integer, p_now timestamptz) returns integer language plpgsql as $$
  declare
    f record;
    most integer;
    chosen text[] := '{}';
    part text[];
  begin
    if not exists (select from runs where state = 'queued' and not paused) then return 0; end if;
    for f in select name, slots from run_flows rf
      where exists (select from runs q where q.flow = rf.name and q.state = 'queued' and not q.paused and q.backfill is null) order by name loop
      most := p_most - cardinality(chosen);
      exit when most <= 0;
      if f.slots is not null then
        perform from run_flows where name = f.name for update;
        most := least(most, f.slots - (select count(*)::integer from runs where flow = f.name and state = 'running'));
        continue when most <= 0;
      end if;
      select coalesce(array_agg(id), '{}') into part from (
        select id from runs where flow = f.name and state = 'queued' and not paused and backfill is null order by priority desc, id limit most for update skip locked
      ) q;
      chosen := chosen || part;
    end loop;
    -- Backfills take what is left; each has slots of its own beside those of its flow.
    for f in select b.id, b.flow, b.slots, rf.slots as flow_slots from run_backfills b join run_flows rf on rf.name = b.flow
      where not b.paused and not b.cancelled and exists (select from runs q where q.backfill = b.id and q.state = 'queued' and not q.paused) order by b.flow, b.id loop
      most := p_most - cardinality(chosen);
      exit when most <= 0;
      -- One that another node holds is left to it: the flows were locked in the order of their names, and are not any more.
      if f.flow_slots is not null then
        perform from run_flows where name = f.flow for update skip locked;
        continue when not found;
        most := least(most, f.flow_slots - (select count(*)::integer from runs where flow = f.flow and (state = 'running' or id = any (chosen))));
        continue when most <= 0;
      end if;
      perform from run_backfills where id = f.id for update skip locked;
      continue when not found;
      most := least(most, f.slots - (select count(*)::integer from runs where backfill = f.id and state = 'running'));
      continue when most <= 0;
      select coalesce(array_agg(id), '{}') into part from (
        select id from runs where backfill = f.id and state = 'queued' and not paused order by priority desc, id limit most for update skip locked
      ) q;
      chosen := chosen || part;
    end loop;
    if cardinality(chosen) = 0 then return 0; end if;
    -- One that was asked for when the run that would wait for it was cancelled already does not begin.
    update runs r set state = 'cancelled', cancel_at = p_now, ended_at = p_now
      from runs p where r.id = any (chosen) and p.id = r.parent and p.cancel_at is not null;
    insert into run_tasks (run, n, node, state, waits, pool, priority, ready_at)
      select r.id, nd.node, nd.node, case when nd.upstream = 0 then 'ready' else 'waiting' end, nd.upstream, nd.pool, nd.priority + r.priority, p_now
      from runs r join run_nodes nd on nd.graph = r.graph where r.id = any (chosen) and r.state = 'queued';
    update runs r set state = case when c.n = 0 then 'succeeded' else 'running' end, started_at = p_now, tasks = c.n, open = c.n,
        ended_at = case when c.n = 0 then p_now end
      from (select q.id, (select count(*)::integer from run_nodes nd where nd.graph = q.graph) as n from runs q where q.id = any (chosen) and q.state = 'queued') c
      where r.id = c.id;
    return cardinality(chosen);
  end $$;

  -- Hands out ready tasks. A pool with slots is locked while its running tasks are counted.
  create or replace function run_claim(p_worker text, p_most integer, p_lease_ms integer, p_now timestamptz) returns jsonb language plpgsql as $$
  declare
    p record;
    most integer;
    given jsonb := '[]';
    part jsonb;
    pass integer;
  begin
    perform from run_pools o where o.slots is not null and exists (select from run_tasks t where t.state = 'ready' and t.pool = o.name) order by o.name for update;
    for pass in 1..2 loop
      for p in select o.name, o.slots from run_pools o where (select true from run_tasks t where t.state = 'ready' and t.pool = o.name limit 1) order by o.slots is null, o.name loop
        most := p_most - jsonb_array_length(given);
        exit when most <= 0;
        if p.slots is not null then
          -- Locked at the start, in the order of names; one that has got tasks since then is left to whoever has it.
          perform from run_pools where name = p.name for update skip locked;
          continue when not found;
          most := least(most, p.slots - (select count(*)::integer from run_tasks where state = 'running' and pool = p.name));
          continue when most <= 0;
        end if;
        with picked as (
          -- One that was made ready while its run was being paused stays where it is.
          select t.run, t.n from run_tasks t where t.state = 'ready' and t.pool = p.name and not exists (select from runs r where r.id = t.run and r.paused)
          order by t.priority desc, t.ready_at limit most for update skip locked
        ), claimed as (
          update run_tasks t set state = 'running', worker = p_worker, lease_until = p_now + p_lease_ms * interval '1 ms',
            fence = t.fence + 1, attempt = t.attempt + case when t.resumed then 0 else 1 end,
            started_at = case when t.resumed then t.started_at else p_now end, ended_at = null, error = null
          from picked k where t.run = k.run and t.n = k.n
          returning t.run, t.n, t.node, t.item_index, t.item, t.fence, t.attempt, t.resumed, t.child, t.ready_at, t.priority, t.started_at
        )
        select coalesce(jsonb_agg(jsonb_build_object(
            'run', c.run, 'n', c.n, 'node', c.node, 'itemIndex', c.item_index, 'item', c.item, 'fence', c.fence, 'attempt', c.attempt,
            'resumed', c.resumed, 'child', c.child, 'ageMs', extract(epoch from p_now - c.started_at) * 1000, 'flow', r.flow, 'kind', r.kind, 'graph', r.graph, 'params', r.params, 'partition', r.partition, 'trigger', r.trigger,
            'inputs', (
              select coalesce(jsonb_object_agg(u.n, u.output), '{}') from run_edges e join run_tasks u on u.run = c.run and u.n = e.source
              where e.graph = r.graph and e.target = c.node)
          ) order by c.priority desc, c.ready_at, c.run, c.n), '[]') into part
        from claimed c join runs r on r.id = c.run;
        given := given || part;
      end loop;
      exit when pass = 2 or jsonb_array_length(given) >= p_most;
      exit when run_begin(p_most - jsonb_array_length(given), p_now) = 0;
    end loop;
    return given;
  end $$;

  -- The one round trip of a worker: says what came of tasks that it held, and takes new ones.
  --
  -- Each of p_done is {run, n, fence, outcome, output?, error?, chosen?, retryMs?, readyMs?, child?, items?} with an outcome of succeeded,
  -- failed, retry, deferred, expanded, cancelled or released. One whose fence is old is refused and changes nothing; one that is told again is
  -- acknowledged again. With p_held, running tasks of this worker that are not in it go back: it never heard of them.
  create or replace function run_step(p_worker text, p_done jsonb, p_held jsonb, p_most integer, p_lease_ms integer, p_now timestamptz) returns jsonb language plpgsql ${BY_INDEX} as $$
  declare
    v_now timestamptz := run_now(p_now);
    v_wake timestamptz;
    refused jsonb := '[]';
    ended text[] := '{}';
    given jsonb := '[]';
    -- What was told and is so now: all, those that ended, and those that became elements.
    v_runs text[] := '{}';
    v_ns integer[] := '{}';
    e_runs text[] := '{}';
    e_ns integer[] := '{}';
    x_runs text[] := '{}';
    x_ns integer[] := '{}';
  begin
    if p_held is not null then
      perform from runs where id in (
        select d ->> 'run' from jsonb_array_elements(p_done) d
        union all select t.run from run_tasks t where t.state = 'running' and t.worker = p_worker
      ) order by id for no key update;
    elsif jsonb_array_length(p_done) > 0 then
      perform from runs where id in (select d ->> 'run' from jsonb_array_elements(p_done) d) order by id for no key update;
    end if;
    if jsonb_array_length(p_done) > 0 then
      if jsonb_path_exists(p_done, '$[*].outcome ? (@ == "succeeded" || @ == "failed" || @ == "cancelled")') then
        with valid as (
          select d.*, t.attempt, t.started_at
          from jsonb_to_recordset(p_done) d (run text, n integer, fence integer, outcome text, output jsonb, error jsonb, chosen integer[])
          cross join lateral (select state, fence, attempt, started_at from run_tasks where run = d.run and n = d.n offset 0) t
          where d.outcome in ('succeeded', 'failed', 'cancelled') and t.state = 'running' and t.fence = d.fence
        ), told as (
          update run_tasks t set state = v.outcome, output = case v.outcome when 'succeeded' then v.output else t.output end, chosen = v.chosen,
            error = case v.outcome when 'failed' then v.error end, child = null, worker = null, lease_until = null, resumed = false, ended_at = v_now
          from valid v where t.run = v.run and t.n = v.n
          returning t.run, t.n
        ), kept as (
          insert into run_attempts (run, n, fence, attempt, worker, state, started_at, ended_at, error)
          select run, n, fence, attempt, p_worker, outcome, started_at, v_now, case outcome when 'failed' then error end from valid
        )
        select coalesce(array_agg(run), '{}'), coalesce(array_agg(n), '{}') into e_runs, e_ns from told;
        v_runs := e_runs;
        v_ns := e_ns;
      end if;
      if jsonb_path_exists(p_done, '$[*].outcome ? (@ == "retry" || @ == "deferred" || @ == "expanded" || @ == "released")') then
        with valid as (
          select d.*, t.attempt, t.started_at,
            case
              when r.cancel_at is not null then 'cancelled'
              when d.outcome = 'retry' or d.outcome = 'deferred' and d.child is null then 'delayed'
              when d.outcome = 'released' or d.outcome = 'deferred' and (select c.state in ('succeeded', 'failed', 'cancelled') from runs c where c.id = d.child)
                then case when r.paused then 'held' else 'ready' end
              when d.outcome = 'expanded' and d.elements = 0 then 'succeeded'
              else d.outcome end as state
          from (
            select j.*, jsonb_array_length(j.items) as elements from jsonb_to_recordset(p_done) j (run text, n integer, fence integer, outcome text,
              error jsonb, "retryMs" double precision, "readyMs" double precision, child text, items jsonb)
            where j.outcome in ('retry', 'deferred', 'expanded', 'released')
          ) d
          cross join lateral (select state, fence, attempt, started_at from run_tasks where run = d.run and n = d.n offset 0) t
          join runs r on r.id = d.run
          where t.state = 'running' and t.fence = d.fence
        ), told as (
          update run_tasks t set
            state = v.state,
            output = case v.outcome when 'expanded' then '[]' else t.output end,
            error = case when v.state = 'delayed' then v.error end,
            chosen = null,
            attempt = t.attempt - case when v.outcome = 'released' and not t.resumed then 1 else 0 end,
            resumed = case v.outcome when 'deferred' then true when 'released' then t.resumed else false end,
            child = case v.outcome when 'deferred' then v.child when 'released' then t.child end,
            ready_at = case v.state when 'delayed' then v_now + coalesce(v."retryMs", v."readyMs", 0) * interval '1 ms' when 'ready' then v_now else t.ready_at end,
            waits = case when v.state = 'expanded' then v.elements else t.waits end,
            failed_before = case when v.state = 'expanded' then 0 else t.failed_before end,
            worker = null, lease_until = null,
            ended_at = case when v.state in ('succeeded', 'cancelled') then v_now end
          from valid v where t.run = v.run and t.n = v.n
          returning t.run, t.n, t.state
        ), kept as (
          insert into run_attempts (run, n, fence, attempt, worker, state, started_at, ended_at, error)
          select run, n, fence, attempt, p_worker, case when state = 'cancelled' then 'cancelled' when outcome = 'retry' then 'failed' else 'succeeded' end, started_at, v_now, error
          from valid where outcome in ('retry', 'expanded')
        )
        select
          v_runs || coalesce(array_agg(run), '{}'), v_ns || coalesce(array_agg(n), '{}'),
          e_runs || coalesce(array_agg(run) filter (where state in ('succeeded', 'cancelled')), '{}'),
          e_ns || coalesce(array_agg(n) filter (where state in ('succeeded', 'cancelled')), '{}'),
          coalesce(array_agg(run) filter (where state = 'expanded'), '{}'), coalesce(array_agg(n) filter (where state = 'expanded'), '{}')
        into v_runs, v_ns, e_runs, e_ns, x_runs, x_ns from told;
      end if;
      if cardinality(x_runs) > 0 then
        with elements as (
          insert into run_tasks (run, n, node, item_index, item, state, pool, priority, ready_at)
          select r.id, (r.tasks + row_number() over (partition by r.id order by t.n, i.position) - 1)::integer, t.n, (i.position - 1)::integer, i.value,
            case when r.paused then 'held' else 'ready' end, t.pool, t.priority, v_now
          from unnest(x_runs, x_ns) x (run, n)
          join jsonb_to_recordset(p_done) d (run text, n integer, outcome text, items jsonb) on d.run = x.run and d.n = x.n and d.outcome = 'expanded'
          join run_tasks t on t.run = x.run and t.n = x.n
          join runs r on r.id = x.run
          cross join jsonb_array_elements(d.items) with ordinality i (value, position)
          returning run
        )
        update runs r set tasks = r.tasks + c.n, open = r.open + c.n from (select run, count(*)::integer as n from elements group by run) c where r.id = c.run;
      end if;
      if cardinality(v_runs) < jsonb_array_length(p_done) then
        select coalesce(jsonb_agg(jsonb_build_object('run', d.run, 'n', d.n, 'fence', d.fence)), '[]') into refused
          from jsonb_to_recordset(p_done) d (run text, n integer, fence integer)
          where not exists (select from unnest(v_runs, v_ns) v (run, n) where v.run = d.run and v.n = d.n)
            and not exists (select from run_attempts a where a.run = d.run and a.n = d.n and a.fence = d.fence and a.worker = p_worker and a.state <> 'lost');
      end if;
      if cardinality(e_runs) > 0 then ended := run_settle(e_runs, e_ns, v_now); end if;
    end if;

    if p_held is not null then
      -- Of a cancelled run nothing is handed out any more: what is lost of it is left to run_reap.
      update run_tasks t set
          state = case when d.cancelled then 'running' when d.paused then 'held' else 'ready' end,
          worker = case when d.cancelled then t.worker end, lease_until = case when d.cancelled then v_now end, ready_at = v_now,
          attempt = t.attempt - case when d.cancelled or t.resumed then 0 else 1 end
        from (
          select o.run, o.n, r.paused, r.cancel_at is not null as cancelled from run_tasks o join runs r on r.id = o.run
          where o.state = 'running' and o.worker = p_worker
            and not exists (select from jsonb_to_recordset(p_held) h (run text, n integer, fence integer) where h.run = o.run and h.n = o.n and h.fence = o.fence)
          for update of o skip locked
        ) d where t.run = d.run and t.n = d.n;
    end if;

    select min(ready_at) into v_wake from run_tasks where state = 'delayed';
    if p_most > 0 then
      if v_wake <= v_now then
        update run_tasks t set state = case when d.paused then 'held' else 'ready' end
          from (
            select o.run, o.n, r.paused from run_tasks o join runs r on r.id = o.run where o.state = 'delayed' and o.ready_at <= v_now for update of o skip locked
          ) d where t.run = d.run and t.n = d.n;
        select min(ready_at) into v_wake from run_tasks where state = 'delayed';
      end if;
      given := run_claim(p_worker, p_most, p_lease_ms, v_now);
    end if;
    return jsonb_build_object('refused', refused, 'ended', to_jsonb(ended), 'tasks', given, 'wakeMs', extract(epoch from v_wake - v_now) * 1000);
  end $$;

  -- Extends the leases of a worker, and keeps how far its tasks are, each with the fence that it is of. Answers which of its tasks it holds no longer, and which it must stop.
  create or replace function run_beat(p_worker text, p_held jsonb, p_lease_ms integer, p_now timestamptz) returns jsonb language plpgsql ${BY_INDEX} as $$
  declare
    v_now timestamptz := run_now(p_now);
    answer jsonb;
  begin
    with held as (
      select * from jsonb_to_recordset(p_held) h (run text, n integer, fence integer, progress jsonb)
    ), kept as (
      update run_tasks t set lease_until = v_now + p_lease_ms * interval '1 ms',
        progress = coalesce(h.progress || jsonb_build_object('fence', h.fence), t.progress)
      from held h where t.run = h.run and t.n = h.n and t.fence = h.fence and t.state = 'running'
      returning t.run, t.n
    )
    select jsonb_build_object(
      'lost', coalesce(jsonb_agg(jsonb_build_object('run', h.run, 'n', h.n, 'fence', h.fence)) filter (where k.run is null), '[]'),
      'cancelled', coalesce(jsonb_agg(jsonb_build_object('run', h.run, 'n', h.n, 'fence', h.fence)) filter (where k.run is not null and r.cancel_at is not null), '[]'))
    into answer
    from held h left join kept k on k.run = h.run and k.n = h.n left join runs r on r.id = h.run;
    return answer;
  end $$;

  -- Takes back what dead workers held, and wakes what waits for a run that ended. A task that was lost too often fails: it kills who takes it.
  create or replace function run_reap(p_most_lost integer, p_now timestamptz) returns jsonb language plpgsql ${BY_INDEX} as $$
  declare
    v_now timestamptz := run_now(p_now);
    v_runs text[];
    e_runs text[];
    e_ns integer[];
    ended text[] := '{}';
    n_lost integer := 0;
  begin
    select coalesce(array_agg(id), '{}') into v_runs from (
      select r.id from runs r where r.id in (select t.run from run_tasks t where t.state = 'running' and t.lease_until < v_now limit 1000)
      order by r.id for no key update skip locked
    ) q;
    if cardinality(v_runs) > 0 then
      with dead as (
        select t.run, t.n, t.fence, t.attempt, t.worker, t.started_at, t.lost + 1 as lost, t.resumed, r.cancel_at is not null as cancelled
        from run_tasks t join runs r on r.id = t.run
        where t.run = any (v_runs) and t.state = 'running' and t.lease_until < v_now
      ), kept as (
        insert into run_attempts (run, n, fence, attempt, worker, state, started_at, ended_at)
        select run, n, fence, attempt, worker, 'lost', started_at, v_now from dead
      ), back as (
        update run_tasks t set
          state = case when d.cancelled then 'cancelled' when d.lost >= p_most_lost then 'failed' else 'ready' end,
          reason = case when d.lost >= p_most_lost and not d.cancelled then 'lost' else t.reason end,
          attempt = t.attempt - case when d.resumed then 0 else 1 end,
          lost = d.lost, worker = null, lease_until = null, ready_at = v_now,
          ended_at = case when d.cancelled or d.lost >= p_most_lost then v_now end
        from dead d where t.run = d.run and t.n = d.n
        returning t.run, t.n, t.state
      )
      select count(*)::integer, coalesce(array_agg(run) filter (where state <> 'ready'), '{}'), coalesce(array_agg(n) filter (where state <> 'ready'), '{}')
        into n_lost, e_runs, e_ns from back;
      if cardinality(e_runs) > 0 then ended := run_settle(e_runs, e_ns, v_now); end if;
      update run_tasks t set state = 'held' from runs r where r.id = any (v_runs) and r.paused and t.run = r.id and t.state = 'ready';
    end if;
    update run_tasks t set state = case when r.paused then 'held' else 'ready' end, ready_at = v_now, resumed = true
      from runs c, runs r where t.state = 'deferred' and r.id = t.run and c.id = t.child and c.state in ('succeeded', 'failed', 'cancelled');
    -- Whoever holds a task back may have seen the pause of its run just before that ended.
    update run_tasks t set state = 'ready', ready_at = v_now from runs r where t.state = 'held' and r.id = t.run and not r.paused;
    return jsonb_build_object('lost', n_lost, 'ended', to_jsonb(ended));
  end $$;

  -- Nothing more of the run is handed out; what is running is told to stop. Answers the runs that its tasks wait for.
  create or replace function run_cancel(p_run text, p_now timestamptz) returns jsonb language plpgsql ${BY_INDEX} as $$
  declare
    v_now timestamptz := run_now(p_now);
    v_run runs;
    children jsonb;
    n integer;
  begin
    select * into v_run from runs where id = p_run for no key update;
    if not found then return null; end if;
    if v_run.state in ('succeeded', 'failed', 'cancelled') then return jsonb_build_object('state', v_run.state, 'changed', false, 'children', '[]'::jsonb); end if;
    select coalesce(jsonb_agg(id), '[]') into children from runs where parent = p_run and state in ('queued', 'running');
    with stopped as (
      update run_tasks set state = 'cancelled', ended_at = v_now, reason = null
      where run = p_run and state in ('waiting', 'delayed', 'ready', 'held', 'deferred', 'expanded') returning 1
    ) select count(*)::integer into n from stopped;
    update runs set cancel_at = coalesce(cancel_at, v_now), open = open - n, paused = false,
        state = case when open = n then 'cancelled' else state end, ended_at = case when open = n then v_now end
      where id = p_run;
    if v_run.open = n and v_run.parent is not null then
      update run_tasks t set state = case when r.paused then 'held' else 'ready' end, ready_at = v_now, resumed = true
        from runs r where t.run = v_run.parent and r.id = t.run and t.n = v_run.parent_task and t.state = 'deferred' and t.child = p_run;
    end if;
    return jsonb_build_object('state', case when v_run.open = n then 'cancelled' else 'running' end, 'changed', v_run.cancel_at is null, 'children', children);
  end $$;

  -- A paused run hands out no tasks; those that run go on to their end.
  create or replace function run_pause(p_run text, p_paused boolean, p_now timestamptz) returns text language plpgsql ${BY_INDEX} as $$
  declare
    v_state text;
  begin
    update runs set paused = p_paused where id = p_run and state in ('queued', 'running') and cancel_at is null returning state into v_state;
    if v_state = 'running' and p_paused then update run_tasks set state = 'held' where run = p_run and state = 'ready'; end if;
    if v_state = 'running' and not p_paused then update run_tasks set state = 'ready', ready_at = run_now(p_now) where run = p_run and state = 'held'; end if;
    return v_state;
  end $$;

  -- Runs nodes of a run anew, and all that stands behind them; what stands before them is as it was. Elements are made anew.
  create or replace function run_again(p_run text, p_nodes integer[], p_now timestamptz) returns integer language plpgsql ${BY_INDEX} as $$
  declare
    v_now timestamptz := run_now(p_now);
    v_run runs;
    again integer[];
    gone integer;
    over integer;
    skipped integer[];
  begin
    select * into v_run from runs where id = p_run for no key update;
    if not found then return null; end if;
    if v_run.state = 'queued' then return -1; end if;
    with recursive behind (node) as (
      select unnest(p_nodes) union select e.target from behind b join run_edges e on e.graph = v_run.graph and e.source = b.node
    ) select array_agg(node) into again from behind;
    -- Only what is over can be run anew: two attempts of one task never run side by side.
    if exists (select from run_tasks where run = p_run and node = any (again) and state = 'running') then return -1; end if;
    select count(*)::integer into over from run_tasks
      where run = p_run and node = any (again) and item_index is null and state in ('succeeded', 'failed', 'skipped', 'cancelled');
    with removed as (
      delete from run_tasks where run = p_run and node = any (again) and item_index is not null returning state
    ) select count(*) filter (where state not in ('succeeded', 'failed', 'skipped', 'cancelled'))::integer into gone from removed;
    update run_tasks t set state = 'waiting', waits = 0, failed_before = 0, skipped_before = 0, chosen = null, attempt = 0, lost = 0, resumed = false,
        child = null, started_at = null, ended_at = null, output = null, error = null, reason = null, ready_at = v_now
      where t.run = p_run and t.node = any (again) and t.item_index is null;
    update run_tasks t set waits = u.waits, failed_before = u.failed, skipped_before = u.skipped
      from (
        select e.target,
          count(*) filter (where s.node = any (again) or s.state not in ('succeeded', 'failed', 'skipped', 'cancelled')) as waits,
          count(*) filter (where not s.node = any (again) and (s.state in ('failed', 'cancelled') and not nd.optional or s.reason = 'upstream_failed')) as failed,
          count(*) filter (where not s.node = any (again) and (s.state = 'skipped' and s.reason <> 'upstream_failed' or s.chosen is not null and not e.target = any (s.chosen))) as skipped
        from run_edges e join run_tasks s on s.run = p_run and s.n = e.source join run_nodes nd on nd.graph = v_run.graph and nd.node = s.node
        where e.graph = v_run.graph and e.target = any (again)
        group by e.target
      ) u where t.run = p_run and t.n = u.target;
    update runs r set state = 'running', ended_at = null, cancel_at = null, open = r.open - gone + over,
        failed = (select count(*) from run_tasks t join run_nodes nd on nd.graph = r.graph and nd.node = t.node
          where t.run = r.id and t.item_index is null and t.state = 'failed' and not nd.optional)
      where r.id = p_run;
    with decided as (
      update run_tasks t set
        state = case when v.verdict <> 'ready' then 'skipped' when v_run.paused then 'held' else 'ready' end,
        reason = case when v.verdict <> 'ready' then v.verdict end,
        ended_at = case when v.verdict <> 'ready' then v_now end
      from (
        select w.n, run_decide(nd.rule, nd.upstream, w.failed_before, w.skipped_before) as verdict
        from run_tasks w join run_nodes nd on nd.graph = v_run.graph and nd.node = w.node
        where w.run = p_run and w.state = 'waiting' and w.waits = 0
      ) v where t.run = p_run and t.n = v.n
      returning t.n, t.state
    ) select coalesce(array_agg(n) filter (where state = 'skipped'), '{}') into skipped from decided;
    if cardinality(skipped) > 0 then perform run_settle(array_fill(p_run, array[cardinality(skipped)]), skipped, v_now); end if;
    return cardinality(again);
  end $$;
`
