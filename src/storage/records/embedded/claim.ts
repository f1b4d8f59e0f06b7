/**
 * Who may work on a home: one Lagoa server, or on a database server any number that share it, but never a server and a command that
 * needs it alone. A lock that lives exactly as long as the database session that holds it.
 */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { backoff, conflict, LagoaError } from '../../../base/index.ts'
import type { Records, RecordsSession } from '../port.ts'
import { isAlive } from './postmaster.ts'

/** Who to name to the next one who asks. */
export interface Holder {
  readonly pid: number
  /** Where the server can be reached. */
  readonly url: string
}

export interface HomeClaim {
  /** Aborts with a `storage.home_taken` error when the database restarted and another server was faster to claim. */
  readonly lost: AbortSignal
  /** Lets the next one in; safe to call twice. */
  release(): Promise<void>
}

/** Any constant other than the one of migrations: "home" in ASCII. */
const HOME_LOCK = 0x68_6f_6d_65
/** How long the session of a killed server may take to end. */
const DYING_MS = 3_000

/** Rejects with kind `conflict` and code `storage.home_taken` while another holds the home; those who share it do not mind each other. */
export async function claimHome(records: Records, holder: Holder, { shared = false }: { readonly shared?: boolean } = {}): Promise<HomeClaim> {
  const lost = new AbortController()
  let released = false
  let session: RecordsSession

  const take = async (): Promise<void> => {
    session = await claimedSession(records, holder, shared)
    session.onLost(() => void takeAgain())
  }
  const takeAgain = async (): Promise<void> => {
    for (let attempt = 0; !released; attempt++) {
      try {
        await take()
        if (released) await session.close()
        return
      } catch (error) {
        if (error instanceof LagoaError && (error.code === 'storage.home_taken' || error.code === 'storage.closed')) {
          if (!released) lost.abort(error)
          return
        }
        await sleep(backoff(attempt, 50, 2_000), undefined, { ref: false })
      }
    }
  }

  await take()
  return {
    lost: lost.signal,
    release: async () => {
      if (released) return
      released = true
      await session.close()
    },
  }
}

/** Who claimed the home last, dead or alive; null when nobody ever did. */
export async function homeHolder(records: Records): Promise<Holder | null> {
  const session = await records.session()
  try {
    return await currentHolder(session)
  } finally {
    await session.close()
  }
}

async function claimedSession(records: Records, holder: Holder, shared: boolean): Promise<RecordsSession> {
  const session = await records.session()
  try {
    const deadline = Date.now() + DYING_MS
    while (!(await tryLock(session, shared))) {
      const other = await currentHolder(session)
      // The lock of a server that just died is about to go; the one of a living server is not.
      const livesHere = other !== null && other.host === hostname() && isAlive(other.pid)
      if (livesHere || Date.now() > deadline) throw taken(other)
      await sleep(25)
    }
    await session.script(
      'create table if not exists lagoa_home (one boolean primary key default true check (one), pid integer not null, host text not null, url text not null, since timestamptz not null)',
    )
    await session.query(
      `insert into lagoa_home (pid, host, url, since) values ($1, $2, $3, now())
       on conflict (one) do update set pid = excluded.pid, host = excluded.host, url = excluded.url, since = excluded.since`,
      [holder.pid, hostname(), holder.url],
    )
    return session
  } catch (error) {
    await session.close()
    throw error
  }
}

async function tryLock(session: RecordsSession, shared: boolean): Promise<boolean> {
  const [row] = await session.query<{ locked: boolean }>(`select pg_try_advisory_lock${shared ? '_shared' : ''}($1) as locked`, [HOME_LOCK])
  return row?.locked === true
}

interface HolderRow extends Holder {
  readonly host: string
}

/** Null in the moment between another server's first lock and its row. */
async function currentHolder(session: RecordsSession): Promise<HolderRow | null> {
  const [table] = await session.query<{ there: boolean }>(`select to_regclass('lagoa_home') is not null as there`)
  if (!table?.there) return null
  const [row] = await session.query<HolderRow>('select pid, host, url from lagoa_home')
  return row ?? null
}

function taken(other: HolderRow | null): LagoaError {
  const who =
    other === null ? 'Another Lagoa server' : `A Lagoa server at ${other.url} (pid ${other.pid}${other.host === hostname() ? '' : ` on ${other.host}`})`
  return conflict('storage.home_taken', `${who} runs on this home already`, {
    hint: other === null ? 'Stop it first, or set another LAGOA_HOME.' : `Use that one, stop it with: kill ${other.pid}, or set another LAGOA_HOME.`,
  })
}
