/** Brings a database to the shape this version expects. Any number of nodes may start at once; one does the work, the others wait. */
import { bug, conflict } from '../../base/index.ts'
import type { Migration, Records } from './port.ts'

/** Any constant that no other program uses in this database: "lagoa" in ASCII. */
const MIGRATION_LOCK = 0x6c_61_67_6f_61

/**
 * Runs those of `migrations` that the database has not had, in the given order, each in its own transaction; answers their names.
 * Refuses with `storage.newer_database` when the database had a migration that is not in the list: a newer Lagoa was here.
 */
export async function migrate(records: Records, migrations: readonly Migration[]): Promise<string[]> {
  refuseDuplicates(migrations)
  const session = await records.session()
  try {
    // A session lock, because each migration commits by itself. It goes away with the session, also when this process dies.
    await session.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    await session.script('create table if not exists lagoa_migration (name text primary key, applied_at timestamptz not null default now())')
    const done = new Set((await session.query<{ name: string }>('select name from lagoa_migration')).map((row) => row.name))
    refuseDowngrade(done, migrations)
    const applied: string[] = []
    for (const migration of migrations) {
      if (done.has(migration.name)) continue
      await session.script('begin')
      try {
        await session.script(migration.sql)
        await session.query('insert into lagoa_migration (name) values ($1)', [migration.name])
        await session.script('commit')
      } catch (error) {
        await session.script('rollback').catch(() => undefined)
        throw error
      }
      applied.push(migration.name)
    }
    return applied
  } finally {
    await session.close()
  }
}

function refuseDuplicates(migrations: readonly Migration[]): void {
  const seen = new Set<string>()
  for (const { name } of migrations) {
    if (seen.has(name)) throw bug('storage.migration_twice', `Two migrations are called ${name}`)
    seen.add(name)
  }
}

function refuseDowngrade(done: ReadonlySet<string>, migrations: readonly Migration[]): void {
  const known = new Set(migrations.map((migration) => migration.name))
  const newer = [...done].filter((name) => !known.has(name)).sort()
  if (newer.length === 0) return
  throw conflict(
    'storage.newer_database',
    `The database was changed by a newer version of Lagoa (${newer.slice(0, 3).join(', ')}${newer.length > 3 ? ', ...' : ''})`,
    {
      hint: 'Start the newer version again, or set LAGOA_HOME to a folder that this version made.',
    },
  )
}
