/** Keys in one Postgres table. A call is one statement, so a batch of writes costs one commit. */
import { unavailable } from '../../base/index.ts'
import type { Migration, Records } from '../records/port.ts'
import { keptName } from './names.ts'
import { MOST_COUNTED, type KeyEntry, type KeyPrefix, type Keys, type KeysCapabilities, type KeyWrite } from './port.ts'
import { newestPerKey } from './writes.ts'

/** The table; rows are rewritten all the time, so pages keep room for the next version of a row. */
export const keysMigrations: readonly Migration[] = [
  {
    name: 'keys_001_table',
    sql: `
      create table lagoa_key (
        key text collate "C" primary key,
        fields json not null,
        source text,
        "offset" bigint,
        updated_at timestamptz not null,
        expires_at timestamptz
      ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2)`,
  },
  {
    name: 'keys_002_mark',
    sql: 'create table lagoa_key_mark (name text primary key, value text not null) with (fillfactor = 50)',
  },
]

export interface PostgresKeys extends Keys {
  /** Removes expired entries among the next `limit` keys, going on where the last call ended and round again; answers how many went. */
  sweep(limit?: number): Promise<number>
}

/** The database must have had `keysMigrations`. Closing leaves the records open. */
export function openPostgresKeys(records: Records): PostgresKeys {
  return new TableKeys(records)
}

class TableKeys implements PostgresKeys {
  readonly capabilities: KeysCapabilities = { name: 'postgres', orderedScan: true }
  readonly #records: Records
  #closed = false
  #swept = ''

  constructor(records: Records) {
    this.#records = records
  }

  async put(writes: readonly KeyWrite[]): Promise<void> {
    this.#refuseWhenClosed()
    const newest = newestPerKey(writes)
    if (newest.length === 0) return
    const keys: string[] = []
    const fields: string[] = []
    const sources: (string | null)[] = []
    const offsets: (number | null)[] = []
    const ttls: (number | null)[] = []
    for (const write of newest) {
      keys.push(write.key)
      fields.push(JSON.stringify(write.fields))
      sources.push(write.order?.source ?? null)
      offsets.push(write.order?.offset ?? null)
      ttls.push(write.ttlMs ?? null)
    }
    await this.#records.query(PUT, [keys, fields, sources, offsets, ttls], { name: 'keys_put' })
  }

  async get(key: string): Promise<KeyEntry | null> {
    const [entry] = await this.getMany([key])
    return entry ?? null
  }

  async getMany(keys: readonly string[]): Promise<(KeyEntry | null)[]> {
    this.#refuseWhenClosed()
    if (keys.length === 0) return []
    const names = keys.map(keptName)
    const rows = await this.#records.query<KeyEntry>(GET, [names], { name: 'keys_get' })
    const found = new Map(rows.map((row) => [row.key, row]))
    return names.map((name) => found.get(name) ?? null)
  }

  async scan(
    prefix: string,
    options: { readonly limit: number; readonly cursor?: string },
  ): Promise<{ readonly entries: KeyEntry[]; readonly cursor?: string }> {
    this.#refuseWhenClosed()
    const rows = await this.#records.query<KeyEntry>(SCAN, [prefix, options.cursor ?? null, prefixEnd(prefix), options.limit + 1], { name: 'keys_scan' })
    const entries = rows.slice(0, options.limit)
    const last = entries.at(-1)
    return rows.length > options.limit && last ? { entries, cursor: last.key } : { entries }
  }

  async prefixes(prefix: string, { limit }: { readonly limit: number }): Promise<{ readonly prefixes: KeyPrefix[]; readonly complete: boolean }> {
    this.#refuseWhenClosed()
    const parameters = [prefix, prefixEnd(prefix), limit, MOST_COUNTED, WALKED_KEYS]
    const rows = await this.#records.query<{ prefix: string | null; keys: number }>(PREFIXES, parameters, { name: 'keys_prefixes' })
    const prefixes = rows.flatMap(({ prefix: name, keys }) => (name === null ? [] : [{ prefix: name, keys }]))
    return { prefixes: prefixes.slice(0, limit), complete: rows.length === prefixes.length && prefixes.length <= limit }
  }

  async mark(name: string): Promise<string | null> {
    this.#refuseWhenClosed()
    const [row] = await this.#records.query<{ value: string }>('select value from lagoa_key_mark where name = $1', [name], { name: 'keys_mark' })
    return row?.value ?? null
  }

  async moveMark(name: string, from: string | null, to: string): Promise<boolean> {
    this.#refuseWhenClosed()
    const moved =
      from === null
        ? await this.#records.query('insert into lagoa_key_mark (name, value) values ($1, $2) on conflict do nothing returning 1', [name, to])
        : await this.#records.query('update lagoa_key_mark set value = $3 where name = $1 and value = $2 returning 1', [name, from, to], {
            name: 'keys_mark_move',
          })
    return moved.length > 0
  }

  async delete(keys: readonly string[]): Promise<number> {
    this.#refuseWhenClosed()
    if (keys.length === 0) return 0
    const [row] = await this.#records.query<{ gone: number }>(DELETE, [keys.map(keptName)], { name: 'keys_delete' })
    return row?.gone ?? 0
  }

  async sweep(limit: number = 10_000): Promise<number> {
    this.#refuseWhenClosed()
    const [row] = await this.#records.query<{ gone: number; last: string | null }>(SWEEP, [this.#swept, limit], { name: 'keys_sweep' })
    this.#swept = row?.last ?? ''
    return row?.gone ?? 0
  }

  async ping(): Promise<number> {
    this.#refuseWhenClosed()
    const start = performance.now()
    await this.#records.query('select 1', [], { name: 'keys_ping' })
    return performance.now() - start
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw unavailable('storage.closed', 'The key store was closed by this process')
  }
}

/** The first text after all that start with `prefix`, by code points; null when there is no such text. */
function prefixEnd(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    // Between U+D7FF and U+E000 there are no characters.
    if (last < 0x10_ffff) return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return null
}

/** Sorted by key, so that two batches take their row locks in one order and cannot deadlock. */
const PUT = `
  insert into lagoa_key as stored (key, fields, source, "offset", updated_at, expires_at)
  select key, fields::json, source, "offset", now(), now() + ttl * interval '1 millisecond'
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[]) as write (key, fields, source, "offset", ttl)
  order by key collate "C"
  on conflict (key) do update
  set fields = excluded.fields, source = excluded.source, "offset" = excluded."offset", updated_at = excluded.updated_at, expires_at = excluded.expires_at
  where stored.source is distinct from excluded.source or stored."offset" is null or excluded."offset" is null or stored."offset" < excluded."offset"`

const LIVE = '(expires_at is null or expires_at > now())'
const ENTRY = 'key, fields, updated_at as "updatedAt", expires_at as "expiresAt"'

const GET = `select ${ENTRY} from lagoa_key where key = any($1::text[]) and ${LIVE}`

const SCAN = `
  select ${ENTRY} from lagoa_key
  where key >= $1 and ($2::text is null or key > $2) and ($3::text is null or key < $3) and ${LIVE}
  order by key limit $4`

/** How many keys without another colon are passed over on the way to the next prefix. */
const WALKED_KEYS = 100_000

/**
 * Steps from prefix to prefix through the index: the first key after all that begin like the last one. ';' is what comes after ':'. A row
 * without a prefix says that the walk was given up.
 */
const PREFIXES = `
  with recursive walk (prefix, start, step) as (
    select null::text collate "C", $1::text collate "C", 0
    union all
    select next.prefix, left(next.prefix, -1) || ';', walk.step + 1
    from walk, lateral (
      select case when strpos(substr(page.key, length($1) + 1), ':') > 0 then left(page.key, length($1) + strpos(substr(page.key, length($1) + 1), ':')) end as prefix
      from (
        select key, row_number() over (order by key) as place
        from (select key from lagoa_key where key >= walk.start and ($2::text is null or key < $2) and ${LIVE} order by key limit $5) as seen
      ) as page
      where strpos(substr(page.key, length($1) + 1), ':') > 0 or page.place = $5
      order by page.place limit 1
    ) as next
    where walk.start is not null and walk.step <= $3
  )
  select walk.prefix, counted.keys from walk, lateral (
    select count(*) as keys from (
      select 1 from lagoa_key where key >= walk.prefix and key < left(walk.prefix, -1) || ';' and ${LIVE} limit $4
    ) as seen
  ) as counted
  where walk.step > 0
  order by walk.step`

const DELETE = `
  with gone as (delete from lagoa_key where key = any($1::text[]) returning ${LIVE} as live)
  select count(*) filter (where live) as gone from gone`

const SWEEP = `
  with page as materialized (select key, expires_at from lagoa_key where key > $1 order by key limit $2),
  gone as (delete from lagoa_key using page where lagoa_key.key = page.key and page.expires_at <= now() and lagoa_key.expires_at <= now() returning 1)
  select (select count(*) from gone) as gone, case when (select count(*) from page) = $2 then (select max(key) from page) end as last`
