/**
 * Replay: held rows are judged anew by today's expectations, and those that pass are put into the table.
 *
 * Of a merged table only rows that are not superseded come back, the newest of each key: a newer good row is never overwritten, also
 * not one that today's expectations would hold. What a computed table holds belongs to the input version that the table covers, so it
 * is what a rebuild at that version would give; a later refresh of the same rows replaces it in both places.
 *
 * Exactly once, though it takes three commits. First the quarantine marks the rows that will go (`_replay`), then the table takes the
 * marked rows, then the quarantine drops them; each commit carries the number of the replay as a Delta `txn`. Killed before the first
 * commit, nothing happened. Killed later, the marks are there without the last commit: whoever works on the table next goes on with
 * exactly the marked rows, and the table's `txn` says whether it has them. Nothing else is done to the table before that, so the two
 * are never seen half-way by a refresh.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { conflict, type Clock } from '../base/index.ts'
import { quarantineName } from './declare.ts'
import type { CommitOptions, DeltaTable, Duck, Snapshot } from './delta/index.ts'
import { HELD_COLUMNS, judge } from './judge.ts'
import type { Model } from './model.ts'
import { GENERATION, progressOf } from './progress.ts'
import { quoteName } from './sql.ts'

export interface ReplayResult {
  readonly table: string
  /** Held rows that were judged. */
  readonly checked: number
  /** Those that were put into the table, or would be. */
  readonly released: number
  readonly stillHeld: number
  /** Those that pass but have a newer row with their key in the table: they leave the quarantine. */
  readonly superseded: number
  /** The table's version that holds the effect. */
  readonly version: number | null
  readonly dryRun: boolean
}

export interface ReplayContext {
  readonly duck: Duck
  readonly clock: Clock
  table(name: string): DeltaTable
}

/** Under this key of a commit's info stand the counts of a replay. */
const REPLAY_INFO = 'lagoaReplay'

export async function replayModel(
  context: ReplayContext,
  model: Model,
  { dryRun = false, signal }: { readonly dryRun?: boolean; readonly signal?: AbortSignal } = {},
): Promise<ReplayResult> {
  const target = context.table(model.name)
  const quarantine = context.table(quarantineName(model.name))
  const connection = await context.duck.connect()
  try {
    // A dry run only looks; what an earlier replay left half-way it counts as still held.
    if (!dryRun) await finishReplay(connection, model, target, quarantine, signal)
    const [table, held] = [await target.snapshot(), await quarantine.snapshot()]
    const done = { table: model.name, checked: 0, released: 0, stillHeld: 0, superseded: 0, version: table?.version ?? null, dryRun }
    if (!held) return done
    const inputs = new Map<string, Snapshot>()
    for (const name of model.inputs) {
      const snapshot = await context.table(name).snapshot()
      if (snapshot) inputs.set(name, snapshot)
    }
    const { current, covered, generation } = progressOf(model, inputs, table, held)
    if (!table || !current || covered === null || generation === undefined)
      throw conflict('lake.replay_outdated', `${model.name} has to be made anew before its held rows can be judged`, {
        hint: 'Its definition or its inputs changed: refresh it. The refresh judges all rows by the rules of today.',
      })
    signal?.throwIfAborted()
    const replay: Replay = { connection, model, target, table, quarantine, held, covered, generation, now: context.clock.now(), signal }
    const counts = await sortOut(replay)
    const answer = ({ checked, released, stillHeld, superseded }: Counts): ReplayResult => ({ ...done, checked, released, stillHeld, superseded })
    if (dryRun || (counts.released + counts.superseded === 0 && !counts.reasonsChanged)) return answer(counts)
    await mark(replay, counts.released > 0)
    if (counts.released === 0) return answer(counts)
    const { version } = await finish(replay, { released: counts.released, stillHeld: counts.stillHeld, superseded: counts.superseded })
    return { ...answer(counts), version }
  } finally {
    connection.closeSync()
  }
}

interface Replay {
  readonly connection: DuckDBConnection
  readonly model: Model
  readonly target: DeltaTable
  readonly table: Snapshot
  readonly quarantine: DeltaTable
  readonly held: Snapshot
  readonly covered: number
  readonly generation: string
  readonly now: number
  readonly signal: AbortSignal | undefined
}

type Counts = Pick<ReplayResult, 'checked' | 'released' | 'stillHeld' | 'superseded'> & { readonly reasonsChanged: boolean }

/** What becomes of each held row stands in `fate`: released, superseded or held, beside the rules it breaks now. */
const SORTED = 'temp.lagoa_sorted'

async function sortOut({ connection, model, target, table, quarantine, held, covered, now }: Replay): Promise<Counts> {
  const keys = model.mode.kind === 'merge' ? model.mode.keys : null
  const passed = `coalesce(_superseded_by <= ${covered}, false)`
  // In a version the order of a file's rows is that in which they came.
  await connection.run(
    `create or replace temp table lagoa_held as select row_number() over () as _lagoa_place, ${passed} as _lagoa_late, * from (${await quarantine.scan(held)}) where _input_version <= ${covered} order by _input_version, _lagoa_place`,
  )
  await connection.run(`create or replace temp table lagoa_judged (_lagoa_place bigint, _lagoa_late boolean, _lagoa_now varchar)`)
  const data = table.metadata.fields.filter(({ name }) => !isHeld(name)).map(({ name }) => quoteName(name))
  // A column that takes no nulls is a rule too, though nobody wrote it down.
  const filled = table.metadata.fields.filter(({ nullable }) => !nullable).map(({ name }) => name)
  for (const late of [false, true]) {
    await connection.run(
      `create or replace temp table lagoa_rows as select ${data.join(', ')} from lagoa_held where _lagoa_late = ${late} order by _input_version, _lagoa_place`,
    )
    await connection.run(
      `create or replace temp table lagoa_places as select _lagoa_place from lagoa_held where _lagoa_late = ${late} order by _input_version, _lagoa_place`,
    )
    // Rows that come too late anyway stand in nobody's way, so they are asked only for what can be said of them alone.
    const expectations = [
      ...filled.map((name) => ({ name: `${name} is null`, severity: 'quarantine' as const, check: { kind: 'notNull' as const, columns: [name] } })),
      ...model.expectations.filter(
        ({ severity, check }) => severity !== 'warn' && !(late && (check.kind === 'unique' || check.kind === 'rowCount' || check.kind === 'fresh')),
      ),
    ]
    const rest = (): Promise<string> => target.scan(table)
    const { reasons } = await judge(
      { name: model.name, expectations },
      { connection, table: 'temp.lagoa_rows', keys, rest, version: covered, now, lenient: true },
    )
    await connection.run(
      `insert into lagoa_judged select p._lagoa_place, ${late}, b._failed from (select rowid as _lagoa_row, * from lagoa_places) p left join (${reasons.sql}) b on b._lagoa_row = p._lagoa_row`,
    )
  }
  const same = keys?.map((key) => `n.${quoteName(key)} is not distinct from h.${quoteName(key)}`).join(' and ')
  const later = '(n._input_version, n._lagoa_place) > (h._input_version, h._lagoa_place)'
  const overtaken = same === undefined ? 'false' : `exists (select 1 from good n where ${same} and ${later})`
  await connection.run(`create or replace temp table lagoa_sorted as
    with judged as (select h.*, j._lagoa_now from lagoa_held h join lagoa_judged j using (_lagoa_place)),
    good as materialized (select * from judged where _lagoa_now is null and not _lagoa_late)
    select *, ${overtaken} as _lagoa_overtaken, case when _lagoa_now is not null then 'held' when _lagoa_late or ${overtaken} then 'superseded' else 'released' end as _lagoa_fate from judged h`)
  for (const name of ['lagoa_rows', 'lagoa_rows_breaks', 'lagoa_places', 'lagoa_judged', 'lagoa_held'])
    await connection.run(`drop table if exists temp.${name}`)
  const reader = await connection.runAndReadAll(
    `select count(*), count(*) filter (where _lagoa_fate = 'released'), count(*) filter (where _lagoa_fate = 'held'), count(*) filter (where _lagoa_fate = 'superseded'), bool_or(_lagoa_fate = 'held' and _lagoa_now is distinct from _failed) from ${SORTED}`,
  )
  const [checked, released, stillHeld, superseded, reasons] = reader.getRows()[0] ?? []
  return {
    checked: Number(checked),
    released: Number(released),
    stillHeld: Number(stillHeld),
    superseded: Number(superseded),
    reasonsChanged: reasons === true,
  }
}

const isHeld = (name: string): boolean => Object.values<string>(HELD_COLUMNS).includes(name.toLowerCase())

const replayId = ({ model, generation }: Pick<Replay, 'model' | 'generation'>): string => `replay/${model.name}/${generation}`
const markedId = (id: string): string => `${id}/marked`
const doneId = (id: string): string => `${id}/done`

/** The first commit: the decision, from which there is no way back. What is superseded leaves here; when nothing goes, this is all. */
async function mark(replay: Replay, releases: boolean): Promise<void> {
  const { connection, model, quarantine, held, covered } = replay
  const id = replayId(replay)
  const number = (held.txnVersion(markedId(id)) ?? 0) + 1
  const columns = held.metadata.fields.filter(({ name }) => !isHeld(name)).map(({ name }) => quoteName(name))
  const keys = model.mode.kind === 'merge' ? model.mode.keys : null
  // What stays held may be older than a row of its key that goes into the table now.
  const superseded = keys ? `case when _lagoa_overtaken then least(_superseded_by, ${covered}) else _superseded_by end` : '_superseded_by'
  await quarantine.overwrite(
    {
      connection,
      sql: `select ${columns.join(', ')}, coalesce(_lagoa_now, _failed) as _failed, _input_version, ${superseded} as _superseded_by, case when _lagoa_fate = 'released' then ${number}::bigint end as _replay from ${SORTED} where _lagoa_fate <> 'superseded' order by _input_version, _lagoa_place`,
    },
    { where: `_input_version <= ${covered}`, ...(releases ? { txn: { appId: markedId(id), version: number } } : {}), ...signalOf(replay) },
  )
}

/** Takes up a replay that was killed between its commits; nothing to do is told by the two tables' newest versions alone. */
export async function finishReplay(
  connection: DuckDBConnection,
  model: Model,
  target: DeltaTable,
  quarantine: DeltaTable,
  signal: AbortSignal | undefined,
): Promise<void> {
  const held = await quarantine.snapshot()
  const generation = held?.metadata.configuration[GENERATION]
  if (!held || generation === undefined) return
  const id = replayId({ model, generation })
  if ((held.txnVersion(markedId(id)) ?? 0) <= (held.txnVersion(doneId(id)) ?? 0)) return
  const table = await target.snapshot()
  // Marks of a generation that the table never had are of no table.
  if (!table || table.metadata.configuration[GENERATION] !== generation) return
  await finish({ connection, model, target, quarantine, generation, signal }, {})
}

/** The second and third commit. The second is skipped when the table has it. */
async function finish(
  replay: Pick<Replay, 'connection' | 'model' | 'target' | 'quarantine' | 'generation' | 'signal'>,
  counts: Readonly<Record<string, number>>,
): Promise<{ readonly version: number }> {
  const { connection, model, target, quarantine } = replay
  const id = replayId(replay)
  const held = await quarantine.snapshot()
  const number = held?.txnVersion(markedId(id)) ?? null
  if (!held || number === null)
    throw conflict('lake.replay_lost', `The quarantine of ${model.name} was replaced while its rows were put back`, { hint: 'Start the replay again.' })
  const columns = held.metadata.fields.filter(({ name }) => !isHeld(name)).map(({ name }) => quoteName(name))
  const marked = { connection, sql: `select ${columns.join(', ')} from (${await quarantine.scan(held)}) where _replay = ${number}` }
  const commit: CommitOptions = { txn: { appId: id, version: number }, info: { [REPLAY_INFO]: { number, ...counts } }, ...signalOf(replay) }
  const { version } =
    model.mode.kind === 'merge' ? await target.merge(marked, { ...commit, keys: model.mode.keys, duplicates: 'last' }) : await target.append(marked, commit)
  await quarantine.overwrite(
    { connection, sql: `${await quarantine.scan(held)} limit 0` },
    { where: `_replay = ${number}`, txn: { appId: doneId(id), version: number }, ...signalOf(replay) },
  )
  return { version }
}

const signalOf = ({ signal }: Pick<Replay, 'signal'>): CommitOptions => (signal ? { signal } : {})
