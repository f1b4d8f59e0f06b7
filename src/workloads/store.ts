/** What is kept of workloads: one row each, with a version that every change raises. */
import { conflict, missing } from '../base/index.ts'
import type { Json } from '../flows/index.ts'
import type { Migration, Records } from '../storage/index.ts'

export const workloadMigrations: readonly Migration[] = [
  {
    name: '0500_workloads',
    sql: `
      create table workloads (
        id text primary key,
        name text not null,
        kind text not null,
        params jsonb not null,
        version integer not null default 1,
        -- Two requests with the same key made one.
        key text unique,
        -- Its event is in the log.
        announced boolean not null default false,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index workloads_by_kind on workloads (kind, id desc);
      create index workloads_silent on workloads (id) where not announced;
      create table workload_progress (
        topic text primary key,
        next_offset bigint not null
      );
    `,
  },
]

export interface StoredWorkload {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly params: Json
  readonly version: number
  readonly createdAt: number
  readonly updatedAt: number
}

export interface NewWorkload {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly params: Json
  readonly key: string | null
}

export interface WorkloadFilter {
  readonly kind?: string | undefined
  /** Part of the name, in any case. */
  readonly name?: string | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

const COLUMNS = 'id, name, kind, params, version, created_at as "createdAt", updated_at as "updatedAt"'

export interface WorkloadStore {
  /** The workload, which with a key that was there before is the earlier one. */
  insert(workload: NewWorkload): Promise<StoredWorkload>
  get(id: string): Promise<StoredWorkload>
  list(filter: WorkloadFilter): Promise<{ items: StoredWorkload[]; cursor?: string }>
  /** Refuses when `version` is given and is not the stored one. */
  update(id: string, change: Pick<NewWorkload, 'name' | 'kind' | 'params'>, version: number | undefined): Promise<StoredWorkload>
  remove(id: string, version: number | undefined): Promise<void>
  silent(): Promise<string[]>
  announced(id: string): Promise<void>
  progress(topic: string): Promise<number>
  setProgress(topic: string, next: number): Promise<void>
}

export function openWorkloadStore(records: Records): WorkloadStore {
  const noWorkload = (id: string): Error => missing('workloads.no_workload', `There is no workload ${id}`, { hint: 'GET /api/v1/workloads lists them.' })
  const changed = (id: string, version: number): Error =>
    conflict('workloads.changed', `Workload ${id} is no longer at version ${version}`, { hint: 'Read it again, and send what you want with the new ETag.' })

  async function get(id: string): Promise<StoredWorkload> {
    const [row] = await records.query<StoredWorkload>(`select ${COLUMNS} from workloads where id = $1`, [id])
    if (!row) throw noWorkload(id)
    return row
  }

  return {
    get,
    async insert({ id, name, kind, params, key }) {
      const [row] = await records.query<StoredWorkload>(
        `insert into workloads (id, name, kind, params, key) values ($1, $2, $3, $4::jsonb, $5) on conflict (key) do nothing returning ${COLUMNS}`,
        [id, name, kind, JSON.stringify(params), key],
      )
      if (row) return row
      const [before] = await records.query<StoredWorkload>(`select ${COLUMNS} from workloads where key = $1`, [key])
      if (!before) throw noWorkload(id)
      return before
    },
    async list({ kind, name, limit, cursor }) {
      const items = await records.query<StoredWorkload>(
        `select ${COLUMNS} from workloads
         where ($1::text is null or kind = $1) and ($2::text is null or position(lower($2) in lower(name)) > 0) and ($3::text is null or id < $3)
         order by id desc limit $4`,
        [kind ?? null, name ?? null, cursor ?? null, limit + 1],
      )
      const last = items.length > limit ? items[limit - 1] : undefined
      return { items: items.slice(0, limit), ...(last ? { cursor: last.id } : {}) }
    },
    async update(id, { name, kind, params }, version) {
      const [row] = await records.query<StoredWorkload>(
        `update workloads set name = $2, kind = $3, params = $4::jsonb, version = version + 1, updated_at = now()
         where id = $1 and ($5::integer is null or version = $5) returning ${COLUMNS}`,
        [id, name, kind, JSON.stringify(params), version ?? null],
      )
      if (row) return row
      await get(id)
      throw changed(id, version ?? 0)
    },
    async remove(id, version) {
      const rows = await records.query('delete from workloads where id = $1 and ($2::integer is null or version = $2) returning id', [id, version ?? null])
      if (rows.length > 0) return
      await get(id)
      throw changed(id, version ?? 0)
    },
    async silent() {
      const rows = await records.query<{ id: string }>(
        "select id from workloads where not announced and created_at < now() - interval '1 second' order by id limit 100",
      )
      return rows.map(({ id }) => id)
    },
    async announced(id) {
      await records.query('update workloads set announced = true where id = $1', [id])
    },
    async progress(topic) {
      const [row] = await records.query<{ next: number }>('select next_offset as next from workload_progress where topic = $1', [topic])
      return row?.next ?? 0
    },
    async setProgress(topic, next) {
      await records.query(
        'insert into workload_progress (topic, next_offset) values ($1, $2) on conflict (topic) do update set next_offset = excluded.next_offset where workload_progress.next_offset < excluded.next_offset',
        [topic, next],
      )
    },
  }
}
